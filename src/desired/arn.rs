//! The ARN of an AWS secret, and the names that the operator gives by default.

use crate::identity::AwsAccount;

/// ARN of an AWS secret, split into its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretArn {
    /// The full ARN.
    pub text: String,
    /// AWS region.
    pub region: String,
    /// AWS partition and account.
    pub account: AwsAccount,
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
        let whole = is_region(region) && is_aws_name(name) && suffix.len() == 6 && suffix.bytes().all(|b| b.is_ascii_alphanumeric());
        let account = AwsAccount::parse(partition, account).filter(|_| whole)?;
        Some(Self { text: text.to_owned(), region: (*region).to_owned(), account, name: name.to_owned() })
    }
}

/// A name in AWS, also of a secret that an AWS service manages.
pub(super) fn is_aws_name(name: &str) -> bool {
    (1..=512).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+=.@-!".contains(&b))
}

/// Whether the text has the form of a region. It becomes part of a host name.
pub(super) fn is_region(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Whether the name is one that a prefix would have given to this object: any prefix, but the namespace and the name are its own.
pub(crate) fn is_default_name(secret_name: &str, namespace: &str, name: &str) -> bool {
    secret_name.strip_suffix(&format!("/{namespace}/{name}")).is_some_and(|prefix| !prefix.is_empty())
}
