//! Syntax of names that reach Kubernetes and AWS. The CEL rules of the definition check the same at admission; an older
//! definition may lack a rule.

use super::arn::{SecretArn, is_aws_name};
use super::{Refusal, rollout};
use crate::api::condition::Reason;
use crate::api::{
    AWS_STAGING_LABELS, AWSCURRENT, AWSPENDING, AwsSpec, GROUP, RECOMMENDED_LABELS, RETENTION_LABEL, RotatedSecretSpec, TargetSpec,
    is_reserved_tag,
};
use crate::value::{Template, is_secret_key};

/// Maximum length of the name of an object, which is part of the default AWS name.
const LONGEST_NAME: usize = 200;

/// Checks the names in the spec.
///
/// # Errors
/// A refusal with the name of the field.
pub(super) fn check(name: &str, spec: &RotatedSecretSpec) -> Result<(), Refusal> {
    all(name, spec).into_iter().next().map_or(Ok(()), Err)
}

/// The first refusal of each part: of the name of the object, of `spec.aws` and of `spec.target`.
pub(super) fn all(name: &str, spec: &RotatedSecretSpec) -> Vec<Refusal> {
    let too_long = (name.len() > LONGEST_NAME).then(|| invalid("metadata.name", name, "use at most 200 characters"));
    too_long.into_iter().chain(aws(spec).err()).chain(target(&spec.target).err()).chain(rollout::refusal(spec)).collect()
}

fn aws(spec: &RotatedSecretSpec) -> Result<(), Refusal> {
    let AwsSpec { secret_name, region, tags, .. } = &spec.aws;
    if let Some(name) = secret_name {
        const FIELD: &str = "spec.aws.secretName";
        let others = name.starts_with("arn:") || name.contains('!');
        if others && (spec.value.is_some() || spec.rotation.is_some()) {
            return Err(invalid(
                FIELD,
                name,
                "a secret of an AWS service (with !) or of an ARN can only be mirrored: remove spec.value and spec.rotation",
            ));
        }
        if name.starts_with("arn:") {
            let Some(arn) = SecretArn::parse(name) else {
                return Err(invalid(FIELD, name, "use the full ARN of a secret, with the six characters at its end"));
            };
            if region.as_ref().is_some_and(|region| *region != arn.region) {
                return Err(invalid(FIELD, name, "the ARN names another region than spec.aws.region: remove spec.aws.region"));
            }
        } else if !is_aws_name(name) {
            return Err(invalid(FIELD, name, "use only letters, digits and / _ + = . @ - !, or a full ARN"));
        }
    }
    if let Some(region) = region.as_ref().filter(|region| is_availability_zone(region)) {
        return Err(invalid("spec.aws.region", region, "this is an availability zone: use its region, such as eu-central-1"));
    }
    if matches!(spec.aws.keep_versions, 1 | 2) {
        return refused("spec.aws.keepVersions must be 3 or more, or 0 for none");
    }
    let settings = &spec.aws;
    let more = settings.resource_policy.is_some()
        || settings.replica_regions.is_some()
        || settings.adoption_policy != crate::api::AwsAdoptionPolicy::Never;
    if spec.value.is_none() && more {
        return refused(
            "spec.aws.resourcePolicy, replicaRegions and adoptionPolicy require spec.value: without spec.value the AWS secret is only \
             mirrored; remove them",
        );
    }
    let reserved = tags.keys().find(|key| !(1..=128).contains(&key.chars().count()) || is_reserved_tag(key));
    reserved.map_or(Ok(()), |key| {
        Err(invalid("spec.aws.tags", key, "keys must have 1 to 128 characters and not start with aws: or rotated-secrets.io/, in any case"))
    })
}

fn target(spec: &TargetSpec) -> Result<(), Refusal> {
    if let Some(name) = spec.name.as_ref().filter(|name| !is_subdomain(name)) {
        return Err(invalid(
            "spec.target.name",
            name,
            "use lowercase letters, digits, - and ., with a letter or digit next to each dot and at both ends",
        ));
    }
    for (key, value) in &spec.labels {
        check_metadata_key("spec.target.labels", key, key)?;
        if !is_label_value(value) {
            return Err(invalid(
                "spec.target.labels",
                value,
                "a label value has at most 63 letters, digits, - _ and ., with a letter or digit at both ends",
            ));
        }
    }
    for key in spec.annotations.keys() {
        // The API server ignores the case of the prefix of an annotation.
        check_metadata_key("spec.target.annotations", key, &key.to_ascii_lowercase())?;
    }
    let key = spec.keys.keys().chain(&spec.whole_value_key).find(|key| !is_secret_key(key));
    if let Some(key) = key {
        return Err(invalid("spec.target.keys and wholeValueKey", key, "use letters, digits, - _ and ., at most 253 characters"));
    }
    for (key, text) in &spec.template {
        if !is_secret_key(key) {
            return Err(invalid("spec.target.template", key, "use letters, digits, - _ and ., at most 253 characters"));
        }
        if spec.keys.contains_key(key) || spec.whole_value_key.as_ref() == Some(key) {
            return Err(invalid("spec.target.template", key, "the key is declared twice: remove it from keys, or rename wholeValueKey"));
        }
        if let Err(error) = Template::parse(text) {
            return Err(invalid("spec.target.template", key, &format!("{error}")));
        }
    }
    if spec.whole_value_key.is_some() && !spec.keys.is_empty() {
        return refused("spec.target: set keys or wholeValueKey, not both");
    }
    version(spec)
}

/// The version to which the Secret is pinned.
fn version(spec: &TargetSpec) -> Result<(), Refusal> {
    let whole = |version: &&String| (32..=64).contains(&version.len()) && version.bytes().all(|b| b.is_ascii_graphic());
    if let Some(version) = spec.version_id.as_ref().filter(|version| !whole(version)) {
        let advice = "use a whole version ID of 32 to 64 characters, as in status.history; for a staging label use versionStage";
        return Err(invalid("spec.target.versionId", version, advice));
    }
    let stage = &spec.version_stage;
    if let Some(label) = AWS_STAGING_LABELS.iter().find(|label| label.eq_ignore_ascii_case(stage) && *label != stage) {
        return Err(invalid(
            "spec.target.versionStage",
            stage,
            &format!("the labels of AWS are written in capitals: did you mean {label}?"),
        ));
    }
    if stage == AWSPENDING || stage.starts_with(RETENTION_LABEL) {
        return Err(invalid("spec.target.versionStage", stage, "use AWSCURRENT, AWSPREVIOUS or a label of your own, or set versionId"));
    }
    if spec.version_id.is_some() && stage != AWSCURRENT {
        return refused("spec.target: versionId pins the Secret to a version ID, versionStage to a staging label: remove one of the two");
    }
    Ok(())
}

fn refused(message: &str) -> Result<(), Refusal> {
    Err(Refusal::new(Reason::InvalidSpec, message))
}

/// `canonical`: the key as the API server checks it.
fn check_metadata_key(field: &str, key: &str, canonical: &str) -> Result<(), Refusal> {
    let recommended = field.ends_with("labels") && RECOMMENDED_LABELS.contains(&key);
    let reserved = canonical.contains("kubernetes.io/") || canonical.contains("k8s.io/") || canonical.starts_with(&format!("{GROUP}/"));
    if reserved && !recommended {
        return Err(invalid(field, key, "keys under kubernetes.io/, k8s.io/ and rotated-secrets.io/ are reserved"));
    }
    if is_qualified_name(canonical) { Ok(()) } else { Err(invalid(field, key, "use NAME or PREFIX/NAME with the syntax of Kubernetes")) }
}

fn invalid(field: &str, text: &str, advice: &str) -> Refusal {
    let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    Refusal::new(Reason::InvalidSpec, format!("{field}: \"{shown}\" is not accepted: {advice}"))
}

/// Such as eu-central-1a.
fn is_availability_zone(region: &str) -> bool {
    let Some((_, last)) = region.rsplit_once('-') else { return false };
    let digits = last.trim_end_matches(|c: char| c.is_ascii_lowercase());
    digits.len().saturating_add(1) == last.len() && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// RFC 1123 subdomain.
pub(crate) fn is_subdomain(text: &str) -> bool {
    let part = |part: &str| {
        framed(part, u8::is_ascii_alphanumeric) && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    text.len() <= 253 && text.split('.').all(part)
}

/// Key of a label or an annotation.
fn is_qualified_name(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    !name.is_empty() && is_label_value(name) && prefix.is_none_or(is_subdomain)
}

fn is_label_value(value: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    value.is_empty() || (value.len() <= 63 && value.bytes().all(fine) && framed(value, u8::is_ascii_alphanumeric))
}

/// Whether the text has such a byte at both ends.
fn framed(text: &str, end: fn(&u8) -> bool) -> bool {
    text.as_bytes().first().is_some_and(end) && text.as_bytes().last().is_some_and(end)
}

#[cfg(test)]
mod tests;
