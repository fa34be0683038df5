//! The AWS secret of an owner, the manifest of a mirror, and what an object of its name is already. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::ResourceExt as _;
use serde_json::{Map, Value, json};

use crate::api::condition::ConditionType;
use crate::api::{GROUP, MysqlUsers, PostgresUsers, RotatedSecret, TargetSpec};
use crate::desired::{SecretArn, is_default_name};
use crate::identity::RoleArn;
use crate::plugin::args::ShareArgs;
use crate::plugin::conditions::condition;
use crate::plugin::connect::FIELD_MANAGER;

/// The key of a plain text. A mirror would take a plain text that looks like JSON for an object with fields.
const WHOLE: &str = "value";

/// The AWS secret that the object owns.
///
/// # Errors
/// Why it cannot be shared. A status proves nothing by itself: an administrator who consents must not be led to the
/// secret of another object.
pub(super) fn owned(owner: &RotatedSecret) -> Result<SecretArn, String> {
    let (name, namespace) = (owner.name_any(), owner.namespace().unwrap_or_default());
    if owner.spec.value.is_none() {
        return Err(format!("{name} has no spec.value, so it owns no AWS secret: share the object that owns it"));
    }
    if owner.metadata.deletion_timestamp.is_some() {
        return Err(format!("{name} is being deleted, so it is not shared"));
    }
    let provisioned = condition(owner, ConditionType::Provisioned);
    if let Some(provisioned) = provisioned.filter(|provisioned| provisioned.status != "True") {
        return Err(format!("the AWS secret of {name} is not as it should be, so it is not shared: {}", provisioned.message));
    }
    // An object that only mirrored before would have a condition of that time.
    if provisioned.is_none_or(|provisioned| provisioned.observed_generation != owner.metadata.generation) {
        return Err(format!(
            "the operator has not confirmed the AWS secret of {name} since its last change, so it is not shared: wait until it is Ready, or \
             resume it"
        ));
    }
    let arn = owner.status.as_ref().and_then(|status| status.aws.as_ref()?.arn.as_deref()).and_then(SecretArn::parse);
    let Some(arn) = arn else { return Err(format!("{name} has no AWS secret yet, so it is not shared: wait until it is Ready")) };
    let aws = &owner.spec.aws;
    let default = || is_default_name(&arn.name, &namespace, &name);
    let named = aws.secret_name.as_ref().map_or_else(default, |name| *name == arn.name);
    if !named || aws.region.as_ref().is_some_and(|region| *region != arn.region) {
        return Err(format!("the status of {name} names another AWS secret than its spec ({}), so it is not shared", arn.text));
    }
    Ok(arn)
}

/// How a mirror names the AWS secret: by its name if the identity of the mirror is known to be of the same account, and
/// otherwise by its ARN, since the name could lead to another secret. `role`: of the mirror's namespace. `own_identity`: the
/// owner or the mirror has an identity of its own, so nothing tells that they share the operator's account.
pub(super) fn aws_name(arn: &SecretArn, role: Option<&str>, own_identity: bool) -> String {
    let same = match role.map(RoleArn::parse) {
        Some(role) => role.and_then(|role| role.account()).is_some_and(|account| account == arn.account),
        None => !own_identity,
    };
    if same { arn.name.clone() } else { arn.text.clone() }
}

/// The manifest of a mirror in this namespace, whose Secret has the form of the owner's.
pub(super) fn manifest(owner: &RotatedSecret, arn: &SecretArn, aws_name: &str, namespace: &str, args: &ShareArgs) -> Value {
    let name = mirror_name(owner, args);
    let target = target(owner, secret_name(owner, args), &name);
    let aws = fields([
        ("secretName", Some(json!(aws_name))),
        // An ARN names it.
        ("region", (aws_name == arn.name).then(|| json!(arn.region))),
        ("serviceAccountRef", args.service_account.as_ref().map(|account| json!({"name": account}))),
    ]);
    let spec = fields([
        ("aws", Some(aws)),
        ("target", (!target.is_empty()).then_some(Value::Object(target))),
        ("rollout", args.rollout.then(|| json!({}))),
    ]);
    json!({
        "apiVersion": format!("{GROUP}/v1alpha1"),
        "kind": "RotatedSecret",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    })
}

fn fields<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    fields.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?))).collect::<Map<_, _>>().into()
}

/// The name of the mirrors.
pub(super) fn mirror_name(owner: &RotatedSecret, args: &ShareArgs) -> String {
    args.mirror_name.clone().unwrap_or_else(|| owner.name_any())
}

/// The name of the mirrored Secrets.
pub(super) fn secret_name(owner: &RotatedSecret, args: &ShareArgs) -> String {
    let of_owner = || owner.spec.target.name.clone().unwrap_or_else(|| owner.name_any());
    args.secret_name.clone().unwrap_or_else(of_owner)
}

/// The fields of `spec.target` that are no defaults: the form of the Secret. Labels and annotations can mean something to
/// other programs of the namespace, and pins and policies are decisions about one Secret: they are not taken from the owner.
/// Neither is the previous value, which a mirror would keep in an emergency.
fn target(owner: &RotatedSecret, secret: String, name: &str) -> Map<String, Value> {
    let of_owner = &owner.spec.target;
    let plain = owner.spec.value.as_ref().is_some_and(|value| value.plain_text.is_some());
    let whole = (plain && of_owner.template.is_empty()).then(|| WHOLE.to_owned());
    let default = TargetSpec::default();
    let target = TargetSpec {
        name: Some(secret).filter(|secret| secret != name),
        whole_value_key: of_owner.whole_value_key.clone().or(whole),
        creation_policy: default.creation_policy,
        labels: default.labels.clone(),
        annotations: default.annotations.clone(),
        version_stage: default.version_stage.clone(),
        version_id: None,
        include_previous: false,
        adoption_policy: default.adoption_policy,
        deletion_policy: default.deletion_policy,
        ..of_owner.clone()
    };
    let read = |target: &TargetSpec| match serde_json::to_value(target) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let defaults = read(&default);
    read(&target).into_iter().filter(|(field, value)| defaults.get(field) != Some(value)).collect()
}

/// What an object that has the name of the mirror is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A mirror that this plugin applied.
    Ours,
    /// A mirror of the same AWS secret that another client manages.
    Another,
    /// Something else, as words.
    Taken(String),
}

/// Compares an object that exists, and who manages it, with the secret that a mirror would name.
pub(super) fn found(existing: &RotatedSecret, managers: &[ManagedFieldsEntry], arn: &SecretArn, aws_name: &str) -> Found {
    let (spec, name) = (&existing.spec, existing.name_any());
    if spec.value.is_some() || spec.rotation.is_some() {
        return Found::Taken(format!("a RotatedSecret {name} exists there, which has an AWS secret of its own"));
    }
    let mirrored = existing.status.as_ref().and_then(|status| status.aws.as_ref()?.arn.as_ref());
    let named = spec.aws.secret_name.as_deref() == Some(aws_name);
    let there = aws_name == arn.text || spec.aws.region.as_ref() == Some(&arn.region) || mirrored == Some(&arn.text);
    if !named || !there || mirrored.is_some_and(|mirrored| *mirrored != arn.text) {
        return Found::Taken(format!("a RotatedSecret {name} exists there, which mirrors another AWS secret"));
    }
    if existing.metadata.deletion_timestamp.is_some() {
        return Found::Taken(format!("{name} is being deleted there"));
    }
    let applied = |entry: &ManagedFieldsEntry| {
        entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.operation.as_deref() == Some("Apply") && entry.subresource.is_none()
    };
    if managers.iter().any(applied) { Found::Ours } else { Found::Another }
}

/// What becomes of the previous credential while other namespaces still have it, if that matters.
pub(super) fn retirement(owner: &RotatedSecret) -> Option<String> {
    let (name, namespace) = (owner.name_any(), owner.namespace().unwrap_or_default());
    let rotation = owner.spec.rotation.as_ref()?;
    let mysql = rotation.mysql.as_ref().map(|mysql| mysql.users != MysqlUsers::SingleUser);
    let postgres = rotation.postgres.as_ref().map(|postgres| postgres.users == PostgresUsers::AlternatingUsers);
    let keeps_two = mysql.or(postgres).or(rotation.redis.as_ref().map(|_| true))?;
    match &owner.spec.rollout {
        _ if !keeps_two => Some(format!(
            "a rotation of {name} makes the previous password invalid at once, and other namespaces get the new one at their next resync \
             (--refresh-interval): rotate with two passwords or two users, if their workloads must not fail meanwhile"
        )),
        Some(rollout) => Some(format!(
            "the previous credential of {name} is retired {} after the rollout in namespace {namespace}, which does not wait for workloads \
             of other namespaces: spec.rollout.retireAfter of {name} gives them time",
            rollout.retire_after
        )),
        None => None,
    }
}

#[cfg(test)]
mod tests;
