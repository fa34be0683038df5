//! Settings of the AWS secret that the operator applied, so that it can take them back.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use crate::api::{AppliedStatus, AwsStatus, GROUP, ReplicaStatus};
use crate::compare::{PolicyState, SecretState};
use crate::desired::{Desired, Setting};
use crate::facts::Replica;

/// The replicas as AWS shows them.
pub(super) fn replicas(secret: &SecretState) -> Vec<ReplicaStatus> {
    let of = |replica: &Replica| ReplicaStatus {
        region: replica.region.clone(),
        status: replica.state.as_str().to_owned(),
        message: replica.why.map(str::to_owned),
    };
    secret.replicas.iter().map(of).collect()
}

/// What the operator applied and is in use. `before`: what was reported, of any secret.
pub(super) fn applied(before: Option<&AwsStatus>, want: &Desired, secret: &SecretState) -> Option<AppliedStatus> {
    want.value.as_ref()?;
    let before = before.filter(|aws| aws.arn.as_ref() == Some(&secret.arn)).and_then(|aws| aws.applied.clone()).unwrap_or_default();
    let drift = &secret.drift;
    let own = |key: &&String| !key.starts_with(&format!("{GROUP}/"));
    let applied = |key: &&String| own(key) && !drift.foreign_tags.contains(*key);
    let mut tag_keys: Vec<String> = want.tags.keys().filter(applied).chain(drift.surplus_tags.iter().filter(own)).cloned().collect();
    tag_keys.sort();
    let (kms_key_id, kms_key_shown) = match &want.settings.key {
        Setting::Set(key) if drift.key.is_none() => (Some(key.clone()), drift.key_shown.clone()),
        Setting::Unset if drift.key.is_none() => (None, None),
        _ => (before.kms_key_id, before.kms_key_shown),
    };
    let block = want.settings.policy.value().map(|policy| policy.block_public);
    let (resource_policy, block_public_policy, last_changed_date) = match &drift.policy {
        PolicyState::AsDeclared(meaning) => (Some(meaning.clone()), block, secret.last_changed.map(MicroTime)),
        PolicyState::Unset => (None, None, None),
        PolicyState::Differs | PolicyState::Surplus | PolicyState::Rejected(_) => {
            (before.resource_policy, before.block_public_policy, None)
        }
    };
    let applied = AppliedStatus { tag_keys, kms_key_id, kms_key_shown, resource_policy, block_public_policy, last_changed_date };
    (applied != AppliedStatus::default()).then_some(applied)
}
