//! Location of the AWS secret: its region and its name. The spec or the operator's flags set them. A flag can change,
//! but the AWS secret of an object cannot move. An object whose recorded ARN differs from the location given by the flags
//! therefore continues to use that ARN, if the ownership tags of that AWS secret confirm it.

use super::{Desired, Policy, Refusal};
use crate::api::RotatedSecret;

/// ARN of an AWS secret, split into its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretArn {
    /// The full ARN.
    pub text: String,
    /// AWS region.
    pub region: String,
    /// AWS account.
    pub account: String,
    /// Name of the AWS secret, without the suffix of six characters that AWS appends.
    pub name: String,
}

impl SecretArn {
    /// Parses a full ARN of any partition. `None` if it is not the ARN of a secret.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_iam-permissions.html>
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.splitn(7, ':').collect();
        let ["arn", partition, "secretsmanager", region, account, "secret", resource] = parts.as_slice() else { return None };
        let (name, suffix) = resource.rsplit_once('-')?;
        let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let whole = partition.starts_with("aws")
            && word(region)
            && region.len() <= 32
            && account.len() == 12
            && account.bytes().all(|b| b.is_ascii_digit())
            && (1..=512).contains(&name.len())
            && suffix.len() == 6
            && suffix.bytes().all(|b| b.is_ascii_alphanumeric());
        whole.then(|| Self { text: text.to_owned(), region: (*region).to_owned(), account: (*account).to_owned(), name: name.to_owned() })
    }
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
    pub fn parse_at(object: &RotatedSecret, policy: &Policy, recorded: &SecretArn) -> Result<Self, Refusal> {
        Self::parse_in(object, policy, Some(recorded))
    }
}

/// Whether the name is a default name of this object under any prefix: `<prefix>/<namespace>/<name>`.
pub(super) fn is_default_name(secret_name: &str, namespace: &str, name: &str) -> bool {
    secret_name.strip_suffix(&format!("/{namespace}/{name}")).is_some_and(|prefix| !prefix.is_empty())
}

#[cfg(test)]
mod tests;
