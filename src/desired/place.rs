//! The place of the AWS secret: its region and its name. The spec sets them, or the operator's flags do. A flag can change; the secret of an
//! object cannot move. So an object whose recorded ARN names another place than the flags stays at that ARN, if the tags there prove it.

use super::arn::SecretArn;
use super::{Desired, Policy, Refusal};
use crate::api::RotatedSecret;

impl Desired {
    /// Whether `recorded` is at another place than this, because a flag differs from the one with which it was made. What the spec itself says is
    /// immutable: an ARN that contradicts it was never this object's.
    pub fn is_elsewhere(&self, object: &RotatedSecret, recorded: &SecretArn) -> bool {
        let aws = &object.spec.aws;
        let contradicts = aws.region.as_ref().is_some_and(|region| *region != recorded.region)
            || aws.secret_name.as_ref().is_some_and(|name| *name != recorded.name);
        !contradicts && (self.region != recorded.region || self.secret_name != recorded.name)
    }

    /// What the object asks for if its secret is where `recorded` says. Needed where [`Desired::is_elsewhere`].
    ///
    /// # Errors
    /// When the place cannot be this object's, or may not be used any more.
    pub fn parse_at(object: &RotatedSecret, policy: &Policy, recorded: &SecretArn) -> Result<Self, Refusal> {
        Self::parse_in(object, policy, Some(recorded))
    }
}

#[cfg(test)]
mod tests;
