//! The ARN of an AWS secret, and the names that a prefix gives.

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

/// Whether the name is one that a prefix would have given to this object: any prefix, but the namespace and the name are its own.
pub(super) fn is_default_name(secret_name: &str, namespace: &str, name: &str) -> bool {
    secret_name.strip_suffix(&format!("/{namespace}/{name}")).is_some_and(|prefix| !prefix.is_empty())
}
