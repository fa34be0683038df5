//! What the status says of the AWS secret beside its value, so that what we set can be taken back.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use crate::api::{AwsStatus, GROUP, AppliedStatus, ReplicaStatus};
use crate::desired::{Desired, Setting};
use crate::plan::{PolicyState, Remote};

/// The replicas as AWS shows them.
pub(super) fn replicas(remote: &Remote) -> Vec<ReplicaStatus> {
    let of = |replica: &crate::plan::Replica| ReplicaStatus {
        region: replica.region.clone(),
        status: replica.state.as_str().to_owned(),
        message: replica.why.map(str::to_owned),
    };
    remote.settings.replicas.iter().map(of).collect()
}

/// What we set and keep. `before`: what was reported, of whichever secret.
pub(super) fn kept(before: Option<&AwsStatus>, want: &Desired, remote: &Remote) -> Option<AppliedStatus> {
    want.value.as_ref()?;
    let before = before.filter(|aws| aws.arn.as_ref() == Some(&remote.arn)).and_then(|aws| aws.applied.clone()).unwrap_or_default();
    let settings = &remote.settings;
    let own = |key: &&String| !key.starts_with(&format!("{GROUP}/"));
    let mut tag_keys: Vec<String> = want.tags.keys().filter(own).chain(&settings.surplus_tags).cloned().collect();
    tag_keys.sort();
    let (kms_key_id, kms_key_shown) = match &want.settings.key {
        Setting::Set(key) if settings.rekey.is_none() => (Some(key.clone()), settings.key_shown.clone()),
        Setting::Unset if settings.rekey.is_none() => (None, None),
        _ => (before.kms_key_id, before.kms_key_shown),
    };
    let block = want.settings.policy.asked().map(|policy| policy.block_public);
    let (resource_policy, block_public_policy, last_changed_date) = match &settings.policy {
        PolicyState::AsDeclared(meaning) => (Some(meaning.clone()), block, remote.last_changed.map(MicroTime)),
        PolicyState::Unmentioned => (None, None, None),
        PolicyState::Differs | PolicyState::Surplus | PolicyState::Refused(_) => (before.resource_policy, before.block_public_policy, None),
    };
    let kept = AppliedStatus { tag_keys, kms_key_id, kms_key_shown, resource_policy, block_public_policy, last_changed_date };
    (kept != AppliedStatus::default()).then_some(kept)
}
