//! Why the Secret is written, by the status before.

use super::failures::mirror_failed;
use crate::api::{RotatedSecret, RotatedSecretStatus};
use crate::step::Step;
use crate::version_id::VersionId;

/// Why the Secret is written, as the metric of the writes says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
pub enum SecretWrite {
    /// It gets another version.
    NewVersion,
    /// The declaration changed, or the write before was refused.
    Spec,
    /// It gets another previous version.
    Previous,
    /// Another client changed or deleted it.
    Repair,
}

impl SecretWrite {
    /// Why this step writes the Secret; `None`: it does not. `managedFields` would tell also after a crash. But every user may
    /// write under the name of the operator.
    pub fn of(object: &RotatedSecret, step: &Step, wanted_previous: Option<&VersionId>) -> Option<Self> {
        let status = object.status.as_ref();
        let held = status.and_then(|status| status.mirror.as_ref());
        let current = |status: &&RotatedSecretStatus| status.observed_generation == object.metadata.generation;
        step.writes_mirror().then(|| {
            if held.and_then(|held| held.version_id.as_deref()) != step.version().map(VersionId::as_str) {
                Self::NewVersion
            } else if status.filter(current).is_none_or(mirror_failed) {
                Self::Spec
            } else if held.and_then(|held| held.previous_version_id.as_deref()) != wanted_previous.map(VersionId::as_str) {
                Self::Previous
            } else {
                Self::Repair
            }
        })
    }
}
