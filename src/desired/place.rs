//! The place of the AWS secret: its region and its name. The spec sets them, or the operator's flags do. A flag can change; the secret of an
//! object cannot move. So an object whose recorded ARN names another place than the flags stays at that ARN, if the tags there prove it.

use super::{Desired, Policy, Refusal};
use crate::api::RotatedSecret;

/// The ARN of a secret, in its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretArn {
    /// All of it.
    pub text: String,
    /// The region.
    pub region: String,
    /// The account.
    pub account: String,
    /// The name, without the six characters that AWS appends.
    pub name: String,
}

impl SecretArn {
    /// Reads a full ARN, of any partition. `None`: it is no ARN of a secret.
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

/// Whether the name is one that a prefix would have given to this object: any prefix, but the namespace and the name are its own.
pub(super) fn is_default_name(secret_name: &str, namespace: &str, name: &str) -> bool {
    secret_name.strip_suffix(&format!("/{namespace}/{name}")).is_some_and(|prefix| !prefix.is_empty())
}

#[cfg(test)]
mod tests;
