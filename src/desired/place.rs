//! Location of the AWS secret: its region and its name. The spec or the operator's flags set them. A flag can change,
//! but the AWS secret of an object cannot move. An object whose recorded ARN differs from the location given by the flags
//! therefore continues to use that ARN, if the ownership tags of that AWS secret confirm it.

use super::arn::SecretArn;
use super::{Desired, Policy, Refusal};
use crate::api::RotatedSecret;

/// Where an ARN was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordedIn {
    /// In the status, which only the operator and administrators write.
    Status,
    /// On the mirrored Secret. Anyone who may write Secrets in the namespace can write it.
    Secret,
}

impl Desired {
    /// Whether `recorded` is at another location than this desired state, because a flag has changed since the AWS
    /// secret was created. The fields of the spec are immutable: an ARN that contradicts them never belonged to this
    /// object.
    pub fn is_elsewhere(&self, object: &RotatedSecret, recorded: &SecretArn) -> bool {
        let aws = &object.spec.aws;
        let contradicts = aws.region.as_ref().is_some_and(|region| *region != recorded.region)
            || aws.secret_name.as_ref().is_some_and(|name| *name != recorded.name);
        !contradicts && (self.region != recorded.region || self.secret_name != recorded.name)
    }

    /// Desired state of the object with its AWS secret at `recorded`. Needed if [`Desired::is_elsewhere`] is true.
    ///
    /// # Errors
    /// If that location cannot belong to this object, or is no longer allowed.
    pub fn parse_at(object: &RotatedSecret, policy: &Policy, recorded: &SecretArn, by: RecordedIn) -> Result<Self, Refusal> {
        Self::parse_in(object, policy, Some((recorded, by)))
    }
}

#[cfg(test)]
mod tests;
