//! Who acts in AWS for an object: the operator itself, the role that the administrator wrote on the Namespace, or a ServiceAccount of the same
//! namespace. Pure: what was said becomes an identity or a refusal, and never a fall-back to the operator's own rights.

use std::fmt;

use crate::api::condition::Reason;
use crate::api::{EXTERNAL_ID, ROLE_ARN, SERVICE_ACCOUNT_ROLE_ARN, TAG_CLUSTER, TAG_NAMESPACE};
use crate::refusal::Refusal;
use crate::value::short_hash;

/// The most characters of a role session's name.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
const LONGEST_SESSION_NAME: usize = 64;

/// Who acts. Everything that makes a session what it is belongs to it, so that equal identities may share a session and others never do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// The operator, with the credentials of the default chain.
    Operator,
    /// A role of the administrator's choice for one namespace, assumed by the operator.
    Role {
        /// Which.
        role: RoleArn,
        /// What its trust policy asks for, if anything.
        external_id: Option<String>,
        /// For which namespace of which cluster.
        session: Session,
    },
    /// A role that trusts a ServiceAccount, by that account's own token. The operator's rights play no part.
    ServiceAccount {
        /// Which.
        role: RoleArn,
        /// The account.
        name: String,
        /// Its uid: an account made anew is another one.
        uid: String,
        /// Of which namespace of which cluster.
        session: Session,
    },
}

/// For whom a session is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Session {
    /// As in the ownership tags.
    pub cluster: String,
    /// The namespace.
    pub namespace: String,
}

impl Identity {
    /// The role, if it is not the operator itself.
    pub fn role(&self) -> Option<&RoleArn> {
        match self {
            Self::Operator => None,
            Self::Role { role, .. } | Self::ServiceAccount { role, .. } => Some(role),
        }
    }
}

impl Session {
    /// Tells namespace and cluster in CloudTrail: `<namespace>@<cluster>`, shortened with a hash where AWS's 64 characters do not suffice.
    pub fn name(&self) -> String {
        let fine = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        let whole = format!("{}@{}", self.namespace, self.cluster);
        if whole.len() <= LONGEST_SESSION_NAME && whole.chars().all(fine) {
            return whole;
        }
        let hash: String = short_hash(format!("{}\n{}", self.cluster, self.namespace).as_bytes()).chars().take(12).collect();
        let kept: String = whole.chars().map(|c| if fine(c) { c } else { '-' }).take(LONGEST_SESSION_NAME - 1 - hash.len()).collect();
        format!("{kept}-{hash}")
    }

    /// The session tags, by the names that the AWS secrets carry too, so that a policy can compare them.
    pub fn tags(&self) -> [(&'static str, &str); 2] {
        [(TAG_CLUSTER, &self.cluster), (TAG_NAMESPACE, &self.namespace)]
    }
}

/// The full ARN of an IAM role.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoleArn(String);

impl RoleArn {
    /// Reads one, of any partition. `None`: it is no ARN of a role.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, "iam", "", account, resource] = parts.as_slice() else { return None };
        let partition = partition.starts_with("aws") && partition.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        let account = account.len() == 12 && account.chars().all(|c| c.is_ascii_digit());
        let path = resource.strip_prefix("role/").filter(|path| !path.is_empty() && !path.ends_with('/') && path.len() <= 576)?;
        let fine = |c: char| c.is_ascii_alphanumeric() || "/_+=,.@-".contains(c);
        (partition && account && path.chars().all(fine)).then(|| Self(text.to_owned()))
    }

    /// As AWS takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The role's name, as `aws iam get-role --role-name` takes it.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the administrator wrote on the Namespace.
#[derive(Debug, Clone, Copy, Default)]
pub struct NamespaceSays<'a> {
    /// The annotation `role-arn`.
    pub role_arn: Option<&'a str>,
    /// The annotation `external-id`.
    pub external_id: Option<&'a str>,
}

/// A ServiceAccount as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its uid.
    pub uid: String,
    /// Its annotation `eks.amazonaws.com/role-arn`.
    pub role_arn: Option<String>,
}

/// The identity of a namespace's objects that name no ServiceAccount.
///
/// # Errors
/// Where the annotations make no sense: the operator's own rights are no answer to a slip of the pen.
pub fn of_namespace(session: Session, says: NamespaceSays<'_>) -> Result<Identity, Refusal> {
    let refused = |what: &str, namespace: &str| {
        Refusal::new(
            Reason::IdentityRefused,
            format!(
                "the Namespace {namespace} {what}; as administrator type: kubectl annotate namespace {namespace} --overwrite \
                 {ROLE_ARN}=arn:aws:iam::ACCOUNT:role/NAME, or take the annotation away with {ROLE_ARN}- {EXTERNAL_ID}-"
            ),
        )
    };
    match says {
        NamespaceSays { role_arn: None, external_id: None } => Ok(Identity::Operator),
        NamespaceSays { role_arn: None, external_id: Some(_) } => {
            Err(refused(&format!("has the annotation {EXTERNAL_ID} and no {ROLE_ARN}"), &session.namespace))
        }
        NamespaceSays { role_arn: Some(arn), external_id } => {
            let Some(role) = RoleArn::parse(arn) else {
                return Err(refused(&format!("has an annotation {ROLE_ARN} that is no ARN of an IAM role"), &session.namespace));
            };
            if external_id.is_some_and(|id| !is_external_id(id)) {
                return Err(refused(&format!("has an annotation {EXTERNAL_ID} that AWS does not take"), &session.namespace));
            }
            Ok(Identity::Role { role, external_id: external_id.map(str::to_owned), session })
        }
    }
}

/// The identity of an object that names the ServiceAccount `name`. `account`: as found, if it was.
///
/// # Errors
/// Where it does not exist or names no role.
pub fn of_account(session: Session, name: &str, account: Option<Account>) -> Result<Identity, Refusal> {
    let namespace = &session.namespace;
    let refused = |message: String| Err(Refusal::new(Reason::IdentityRefused, message));
    let Some(account) = account else {
        return refused(format!(
            "there is no ServiceAccount {name} in namespace {namespace}, which spec.aws.serviceAccountRef names: create it, or correct the name"
        ));
    };
    match account.role_arn.as_deref().map(RoleArn::parse) {
        Some(Some(role)) => Ok(Identity::ServiceAccount { role, name: name.to_owned(), uid: account.uid, session }),
        Some(None) => refused(format!(
            "the annotation {SERVICE_ACCOUNT_ROLE_ARN} of the ServiceAccount {name} is no ARN of an IAM role: kubectl annotate serviceaccount \
             {name} -n {namespace} --overwrite {SERVICE_ACCOUNT_ROLE_ARN}=arn:aws:iam::ACCOUNT:role/NAME"
        )),
        None => refused(format!(
            "the ServiceAccount {name} names no role: kubectl annotate serviceaccount {name} -n {namespace} \
             {SERVICE_ACCOUNT_ROLE_ARN}=arn:aws:iam::ACCOUNT:role/NAME"
        )),
    }
}

/// The refusal where the administrator has not enabled ServiceAccounts as identities.
pub fn accounts_not_allowed() -> Refusal {
    Refusal::new(
        Reason::IdentityNotAllowed,
        "spec.aws.serviceAccountRef is not enabled in this cluster: remove it, or ask the administrator for --allow-service-account-identity",
    )
}

/// As STS takes it. <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
fn is_external_id(id: &str) -> bool {
    (2..=1224).contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c))
}

#[cfg(test)]
mod tests;
