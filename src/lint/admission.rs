//! The CEL rules of the CustomResourceDefinition that neither the schema nor the operator's parser checks. A test applies
//! every mistake that the API server rejects to these checks too.

use crate::api::{
    AWSCURRENT, AWSPENDING, AwsAdoptionPolicy, GeneratorSpec, GeneratorType, OnMissedWindow, RETENTION_LABEL, RotatedSecretSpec,
};
use crate::value::is_secret_key;

/// A path and what is wrong there.
type Mistake = (String, String);

pub(super) fn check(spec: &RotatedSecretSpec) -> Vec<Mistake> {
    let mut found = Vec::new();
    value(spec, &mut found);
    rotation(spec, &mut found);
    aws(spec, &mut found);
    target(spec, &mut found);
    found.into_iter().map(|(path, message): (String, &str)| (path, message.to_owned())).collect()
}

type Found = Vec<(String, &'static str)>;

fn value(spec: &RotatedSecretSpec, found: &mut Found) {
    let Some(value) = &spec.value else { return };
    let fields = value.data.len().saturating_add(value.generate.len());
    if value.plain_text.is_some() != (fields == 0) {
        found.push(("spec.value".to_owned(), "set either plainText alone, or at least one field in data or generate"));
    }
    if let Some(name) = value.generate.keys().find(|name| value.data.contains_key(*name)) {
        found.push((format!("spec.value.generate.{name}"), "a field must not be in both data (fixed) and generate (generated)"));
    }
    for (of, name) in value.data.keys().map(|name| ("data", name)).chain(value.generate.keys().map(|name| ("generate", name))) {
        let fits = name.len() <= 253 && !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        if !fits {
            found.push((format!("spec.value.{of}"), "field names may contain only letters, digits, dots, dashes and underscores"));
        }
    }
    let size = value.data.iter().map(|(name, text)| name.chars().count().saturating_add(text.chars().count()));
    if size.fold(0, usize::saturating_add) > 65_536 {
        found.push(("spec.value.data".to_owned(), "at most 65,536 characters in total, the maximum size of a value in AWS"));
    }
    for (name, generator) in &value.generate {
        options(&format!("spec.value.generate.{name}"), generator, found);
    }
    if let Some(generator) = &value.plain_text {
        options("spec.value.plainText", generator, found);
    }
}

/// Options that belong to another type.
fn options(path: &str, of: &GeneratorSpec, found: &mut Found) {
    let kind = of.kind;
    let password = GeneratorSpec { kind, ..GeneratorSpec::default() };
    let defaults = GeneratorSpec {
        length: of.length,
        encoding: of.encoding,
        algorithm: of.algorithm,
        public_key_field: of.public_key_field.clone(),
        certificate_field: of.certificate_field.clone(),
        ca_field: of.ca_field.clone(),
        common_name: of.common_name.clone(),
        dns_names: of.dns_names.clone(),
        validity_days: of.validity_days,
        ..password
    };
    let tls = of.certificate_field.is_some()
        || of.ca_field.is_some()
        || of.common_name.is_some()
        || of.dns_names.is_some()
        || of.validity_days.is_some();
    let wrong = [
        (
            kind != GeneratorType::Password && *of != defaults,
            "passwordLength, the exclude options, includeSpace and requireEachIncludedType are valid only with type: Password; remove them \
             or change the type",
        ),
        (
            kind != GeneratorType::Bytes && (of.length.is_some() || of.encoding.is_some()),
            "length and encoding are valid only with type: Bytes; remove them or change the type (the length of a password is \
             passwordLength)",
        ),
        (
            kind != GeneratorType::SshKeyPair && (of.algorithm.is_some() || of.public_key_field.is_some()),
            "algorithm and publicKeyField are valid only with type: SshKeyPair; remove them or change the type",
        ),
        (
            kind != GeneratorType::TlsKeyPair && tls,
            "certificateField, caField, commonName, dnsNames and validityDays are valid only with type: TlsKeyPair; remove them or change \
             the type",
        ),
    ];
    found.extend(wrong.into_iter().filter(|(wrong, _)| *wrong).map(|(_, message)| (path.to_owned(), message)));
}

fn rotation(spec: &RotatedSecretSpec, found: &mut Found) {
    let Some(rotation) = &spec.rotation else { return };
    let mut add = |field: &str, message| found.push((format!("spec.rotation{field}"), message));
    if rotation.schedule.is_some() == rotation.automatically_after_days.is_some() {
        add("", "set exactly one of schedule or automaticallyAfterDays");
    }
    let Some(lambda) = &rotation.lambda else {
        match &spec.value {
            None => add("", "requires spec.value or spec.rotation.lambda: without spec.value the value is only mirrored; remove it"),
            Some(value) if value.plain_text.is_none() && value.generate.is_empty() => {
                add("", "requires a generated field: add spec.value.generate or spec.value.plainText, or remove spec.rotation");
            }
            Some(_) => {}
        }
        return;
    };
    if !is_function(&lambda.function_arn) {
        add(".lambda.functionArn", "use the full ARN of a function, such as arn:aws:lambda:eu-central-1:123456789012:function:rotate");
    }
    if rotation.time_zone.is_some() {
        add(".timeZone", "is not supported with lambda, because AWS runs the schedule in UTC: remove it");
    }
    if rotation.on_missed_window != OnMissedWindow::RotateNow {
        add(".onMissedWindow", "is not supported with lambda, because AWS handles missed windows: remove it");
    }
    if !rotation.exclude_periods.is_empty() {
        add(".excludePeriods", "is not supported with lambda, because AWS runs the schedule: remove it, or rotate without lambda");
    }
    let days = rotation.schedule.as_deref().and_then(|text| text.strip_prefix("rate(")).is_some_and(|rate| {
        let (number, unit) = rate.split_once(' ').unwrap_or_default();
        unit.starts_with("minute") || unit.starts_with("second") || (unit.starts_with("day") && number.len() > 3)
    });
    if days {
        add(".schedule", "with lambda, AWS runs the schedule: use 4 or more hours or 1 to 999 days, such as rate(30 days)");
    }
    let hours = rotation.duration.strip_suffix('h').is_some_and(|hours| hours.bytes().all(|b| b.is_ascii_digit()));
    if rotation.duration != "0s" && !hours {
        add(".duration", "with lambda, use whole hours from 1h to 24h, or 0s for the default window of AWS");
    }
}

/// `arn:PARTITION:lambda:REGION:ACCOUNT:function:NAME`, and perhaps `:VERSION`.
fn is_function(arn: &str) -> bool {
    let parts: Vec<&str> = arn.split(':').collect();
    let named = |name: &str, most: usize, more: &[u8]| {
        (1..=most).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b) || more.contains(&b))
    };
    let ["arn", partition, "lambda", region, account, "function", name, version @ ..] = parts.as_slice() else { return false };
    partition.starts_with("aws")
        && named(region, 64, b"")
        && account.len() == 12
        && account.bytes().all(|b| b.is_ascii_digit())
        && named(name, 64, b"")
        && match version {
            [] => true,
            [version] => named(version, 128, b"$"),
            _ => false,
        }
}

fn aws(spec: &RotatedSecretSpec, found: &mut Found) {
    let aws = &spec.aws;
    let mut add = |field: &str, message| found.push((format!("spec.aws.{field}"), message));
    if spec.value.is_none() {
        const MESSAGE: &str = "requires spec.value: without spec.value the AWS secret is managed elsewhere and is only mirrored";
        for (field, is_set) in [
            ("resourcePolicy", aws.resource_policy.is_some()),
            ("replicaRegions", aws.replica_regions.is_some()),
            ("adoptionPolicy", aws.adoption_policy != AwsAdoptionPolicy::Never),
        ] {
            if is_set {
                add(field, MESSAGE);
            }
        }
    }
    if aws.replica_regions.iter().flatten().any(|replica| Some(&replica.region) == aws.region.as_ref()) {
        add("replicaRegions", "must not contain spec.aws.region, the region of the secret itself: list other regions only");
    }
    if (1..3).contains(&aws.keep_versions) {
        add("keepVersions", "must be 3 or more (AWS itself keeps the current and the previous version), or 0 for none");
    }
    if aws.tags.keys().any(|key| key.chars().count() > 128) {
        add("tags", "keys have at most 128 characters");
    }
}

fn target(spec: &RotatedSecretSpec, found: &mut Found) {
    let target = &spec.target;
    let mut add = |field: &str, message| found.push((format!("spec.target{field}"), message));
    if target.version_id.is_some() && target.version_stage != AWSCURRENT {
        add("", "versionId pins the Secret to a version ID, versionStage to a staging label: remove one of the two");
    }
    if target.version_id.as_ref().is_some_and(|id| !id.bytes().all(|b| b.is_ascii_graphic())) {
        add(".versionId", "use a version ID of status.history; for a staging label use versionStage");
    }
    if target.version_stage == AWSPENDING || target.version_stage.starts_with(RETENTION_LABEL) {
        add(
            ".versionStage",
            "a version with AWSPENDING may not be usable yet, and retention labels move with every rotation: use AWSCURRENT, AWSPREVIOUS or \
             a label of your own, or pin a version with versionId",
        );
    }
    if target.keys.keys().any(|key| !is_secret_key(key)) {
        add(".keys", "keys of a Secret may contain only letters, digits, dots, dashes and underscores, at most 253 characters");
    }
}

/// RFC 1123 subdomain.
pub(super) fn is_subdomain(text: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let part = |part: &str| {
        let bytes = part.as_bytes();
        bytes.first().is_some_and(alphanumeric)
            && bytes.last().is_some_and(alphanumeric)
            && bytes.iter().all(|b| alphanumeric(b) || *b == b'-')
    };
    text.len() <= 253 && text.split('.').all(part)
}
