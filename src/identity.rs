//! The identity used for AWS calls of an object: the operator itself, the IAM role in the annotation of the Namespace,
//! or the IAM role of a ServiceAccount in the same namespace. Pure. An invalid configuration is rejected; it never
//! falls back to the operator's own credentials.

use std::fmt;

use crate::api::condition::Reason;
use crate::api::{EXTERNAL_ID, ROLE_ARN, SERVICE_ACCOUNT_ROLE_ARN, TAG_CLUSTER, TAG_NAMESPACE};
use crate::command::{Command, ObjectRef};
use crate::refusal::Refusal;
use crate::value::short_hash;

/// Maximum length of a role session name. <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
const LONGEST_SESSION_NAME: usize = 64;

/// Identity used for AWS calls. It contains everything that determines a session, so that only equal identities share
/// one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// The operator, with its own credentials.
    Operator,
    /// A role that the administrator selected for a namespace, assumed by the operator.
    Role {
        role: RoleArn,
        /// External ID that the role's trust policy requires, if any.
        external_id: Option<String>,
        session: Session,
    },
    /// A role that trusts a ServiceAccount, assumed with a token of that ServiceAccount. The operator's own permissions
    /// are not used.
    ServiceAccount {
        role: RoleArn,
        /// Name of the ServiceAccount.
        name: String,
        /// uid of the ServiceAccount: a recreated account is a different identity.
        uid: String,
        session: Session,
    },
}

/// Cluster and namespace that a role session is created for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Session {
    /// Cluster ID, as in the ownership tags.
    pub cluster: String,
    pub namespace: String,
}

impl Identity {
    /// The role. `None` for the operator itself.
    pub fn role(&self) -> Option<&RoleArn> {
        match self {
            Self::Operator => None,
            Self::Role { role, .. } | Self::ServiceAccount { role, .. } => Some(role),
        }
    }
}

impl Session {
    /// Role session name, which shows namespace and cluster in CloudTrail: `<namespace>@<cluster>`, shortened with a
    /// hash if it exceeds AWS's limit of 64 characters.
    pub fn name(&self) -> String {
        let fine = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        let whole = format!("{}@{}", self.namespace, self.cluster);
        if whole.len() <= LONGEST_SESSION_NAME && whole.chars().all(fine) {
            return whole;
        }
        let hash: String = short_hash(format!("{}\n{}", self.cluster, self.namespace).as_bytes()).chars().take(12).collect();
        let kept: String = whole
            .chars()
            .map(|c| if fine(c) { c } else { '-' })
            .take(LONGEST_SESSION_NAME.saturating_sub(hash.len()).saturating_sub(1))
            .collect();
        format!("{kept}-{hash}")
    }

    /// Session tags. Their keys are those of the ownership tags on AWS secrets, so that an IAM policy can compare the
    /// two.
    pub fn tags(&self) -> [(&'static str, &str); 2] {
        [(TAG_CLUSTER, &self.cluster), (TAG_NAMESPACE, &self.namespace)]
    }
}

/// An AWS account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AwsAccount {
    /// The partition, such as `aws` or `aws-cn`.
    pub partition: String,
    /// The twelve digits.
    pub id: String,
}

impl AwsAccount {
    /// From the fields of an ARN. `None` if AWS has no such partition or account.
    pub fn parse(partition: &str, id: &str) -> Option<Self> {
        let word = partition.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let possible =
            partition.starts_with("aws") && word && partition.len() <= 32 && id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit());
        possible.then(|| Self { partition: partition.to_owned(), id: id.to_owned() })
    }
}

impl fmt::Display for AwsAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

/// ARN of an IAM role.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoleArn(String);

impl RoleArn {
    /// Parses the ARN of an IAM role in any partition. `None` if the text is not such an ARN.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, "iam", "", account, resource] = parts.as_slice() else { return None };
        let path = resource.strip_prefix("role/").filter(|path| !path.is_empty() && !path.ends_with('/') && path.len() <= 576)?;
        let fine = |c: char| c.is_ascii_alphanumeric() || "/_+=,.@-".contains(c);
        AwsAccount::parse(partition, account).filter(|_| path.chars().all(fine)).map(|_| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Account of the role.
    pub fn account(&self) -> Option<AwsAccount> {
        let mut fields = self.0.split(':');
        AwsAccount::parse(fields.nth(1)?, fields.nth(2)?)
    }

    /// Name of the role, as used by `aws iam get-role --role-name`.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Annotations of the Namespace.
#[derive(Debug, Clone, Copy, Default)]
pub struct NamespaceSays<'a> {
    /// The annotation `role-arn`.
    pub role_arn: Option<&'a str>,
    /// The annotation `external-id`.
    pub external_id: Option<&'a str>,
}

/// The relevant parts of a ServiceAccount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub uid: String,
    /// The annotation `eks.amazonaws.com/role-arn`.
    pub role_arn: Option<String>,
}

/// The identity of objects that do not name a ServiceAccount.
///
/// # Errors
/// If the annotations are invalid. We never fall back to the operator's own credentials.
pub fn of_namespace(session: Session, says: NamespaceSays<'_>) -> Result<Identity, Refusal> {
    let refused = |what: &str, namespace: &str| {
        Refusal::new(
            Reason::IdentityRefused,
            format!(
                "the Namespace {namespace} {what}; as an administrator run: {}, or remove the annotations: {}",
                Command::AnnotateNamespaceRole(namespace),
                Command::RemoveNamespaceRole(namespace)
            ),
        )
    };
    match says {
        NamespaceSays { role_arn: None, external_id: None } => Ok(Identity::Operator),
        NamespaceSays { role_arn: None, external_id: Some(_) } => {
            Err(refused(&format!("has the annotation {EXTERNAL_ID} but not {ROLE_ARN}"), &session.namespace))
        }
        NamespaceSays { role_arn: Some(arn), external_id } => {
            let Some(role) = RoleArn::parse(arn) else {
                return Err(refused(&format!("has an annotation {ROLE_ARN} that is not the ARN of an IAM role"), &session.namespace));
            };
            if external_id.is_some_and(|id| !is_external_id(id)) {
                return Err(refused(&format!("has an annotation {EXTERNAL_ID} that is not a valid external ID"), &session.namespace));
            }
            Ok(Identity::Role { role, external_id: external_id.map(str::to_owned), session })
        }
    }
}

/// The identity of an object that names the ServiceAccount `name`. `account`: the ServiceAccount, if it exists.
///
/// # Errors
/// If it does not exist or has no role.
pub fn of_account(session: Session, name: &str, account: Option<Account>) -> Result<Identity, Refusal> {
    let namespace = &session.namespace;
    let annotate = Command::AnnotateAccountRole(ObjectRef { namespace, name }).to_string();
    let refused = |message: String| Err(Refusal::new(Reason::IdentityRefused, message));
    let Some(account) = account else {
        return refused(format!(
            "the ServiceAccount {name} in spec.aws.serviceAccountRef does not exist in namespace {namespace}: create it, or correct the \
             name"
        ));
    };
    match account.role_arn.as_deref().map(RoleArn::parse) {
        Some(Some(role)) => Ok(Identity::ServiceAccount { role, name: name.to_owned(), uid: account.uid, session }),
        Some(None) => refused(format!(
            "the annotation {SERVICE_ACCOUNT_ROLE_ARN} of the ServiceAccount {name} is not the ARN of an IAM role; run: {annotate}"
        )),
        None => refused(format!("the ServiceAccount {name} has no IAM role; run: {annotate}")),
    }
}

/// The refusal of a ServiceAccount identity that the administrator has not enabled.
pub fn accounts_not_allowed() -> Refusal {
    Refusal::new(
        Reason::IdentityNotAllowed,
        "spec.aws.serviceAccountRef is not enabled in this cluster: remove it, or ask the administrator to set \
         --allow-service-account-identity",
    )
}

/// Whether STS accepts the external ID. <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
fn is_external_id(id: &str) -> bool {
    (2..=1224).contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c))
}

#[cfg(test)]
mod tests;
