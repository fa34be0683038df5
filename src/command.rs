//! The commands that messages tell a person to run. Each is complete (namespace, region, id) and quoted for a POSIX
//! shell, so that it can be pasted. What only the reader can decide is in capitals. A comma, a semicolon, a colon, a
//! closing parenthesis or the end of the text follows a command, so that its end is visible. A command with a value that
//! the program itself would interpret is not shown.

use std::collections::BTreeSet;
use std::fmt;

use crate::api::{ADOPT_BY, ALLOWED_HOSTS, EXTERNAL_ID, INITIAL_VALUE_FOR, REFRESH, ROLE_ARN, ROTATE, SERVICE_ACCOUNT_ROLE_ARN};
use crate::text;

mod access;
pub(crate) mod values;

/// An AWS secret: its region, and its ARN or its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretRef<'a> {
    pub region: &'a str,
    pub id: &'a str,
}

impl<'a> SecretRef<'a> {
    /// The secret with this ARN, which contains the region.
    pub fn of_arn(arn: &'a str) -> Self {
        Self { region: arn.split(':').nth(3).filter(|region| !region.is_empty()).unwrap_or("REGION"), id: arn }
    }
}

/// A namespaced object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectRef<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
}

/// The KMS key of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRef<'a> {
    /// This key: an id, an ARN or an alias.
    Named { region: &'a str, key: &'a str },
    /// The key of this secret.
    Of(SecretRef<'a>),
}

/// A command. Its text is its `Display`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumDiscriminants)]
#[strum_discriminants(name(CommandKind), derive(strum::EnumIter))]
pub enum Command<'a> {
    // AWS Secrets Manager.
    DescribeSecret(SecretRef<'a>),
    RestoreSecret(SecretRef<'a>),
    DeleteSecret(SecretRef<'a>),
    /// Deletes the replicas of a secret. AWS does not delete a secret that has some.
    RemoveReplicas(SecretRef<'a>, &'a BTreeSet<String>),
    /// The secrets with this tag value.
    FindSecrets {
        region: &'a str,
        tag_value: &'a str,
    },
    /// The value is in the file value.json.
    PutSecretValue(SecretRef<'a>),
    /// A secret that the object may adopt. The value is in the file value.json.
    CreateForAdoption(SecretRef<'a>, ObjectRef<'a>),
    /// The tag with which an AWS secret agrees to its adoption.
    TagForAdoption(SecretRef<'a>, &'a str),
    UntagSecret(SecretRef<'a>, &'a str),
    RemoveLabel {
        secret: SecretRef<'a>,
        label: &'a str,
        version: &'a str,
    },
    /// Puts a label on a version that the reader chooses.
    SetLabel {
        secret: SecretRef<'a>,
        label: &'a str,
    },
    CancelRotation(SecretRef<'a>),
    // Audits.
    /// The secrets with a tag of the operator, of any cluster.
    ListOwned {
        region: &'a str,
    },
    GetResourcePolicy(SecretRef<'a>),
    /// Whether a principal that the reader chooses may read the value.
    SimulateRead(SecretRef<'a>),
    /// What IAM Access Analyzer has found about the secret.
    ListFindings(SecretRef<'a>),
    // Other services of AWS.
    DescribeKey(KeyRef<'a>),
    /// The trust policy of a role.
    GetRole(&'a str),
    ListOidcProviders,
    /// The caller, as AWS sees it.
    ShowCaller {
        region: &'a str,
    },
    SsoLogin,
    EnableRegion(&'a str),
    TailFunctionLog {
        region: &'a str,
        function: &'a str,
    },
    /// Lets Secrets Manager invoke a function.
    AllowInvocation {
        region: &'a str,
        function: &'a str,
    },
    /// The function that rotates a secret.
    ShowFunction(SecretRef<'a>),
    // Kubernetes.
    Rotate(ObjectRef<'a>),
    Refresh(ObjectRef<'a>),
    /// Removes a Secret.
    DeleteKubernetesSecret(ObjectRef<'a>),
    /// Removes an object and keeps what it owns.
    DeleteOrphaning {
        kind: &'a str,
        object: ObjectRef<'a>,
    },
    /// Who wrote which fields of a Secret.
    ShowFieldManagers(ObjectRef<'a>),
    /// The annotation with which a Secret lets an object read its first value.
    AnnotateForInitialValue {
        secret: ObjectRef<'a>,
        by: &'a str,
    },
    /// The annotation with which a Secret agrees to its adoption by the object of this name.
    AnnotateForAdoption {
        secret: ObjectRef<'a>,
        by: &'a str,
    },
    /// Sets the role of a namespace.
    AnnotateNamespaceRole(&'a str),
    /// Lets a namespace use a host, for the targets of rotations.
    AllowHost {
        namespace: &'a str,
        host: &'a str,
    },
    /// Removes the role of a namespace.
    RemoveNamespaceRole(&'a str),
    AnnotateAccountRole(ObjectRef<'a>),
    /// Lets the objects of a namespace use an AWS name. kubectl refuses to replace what the annotation allows already.
    AllowName {
        namespace: &'a str,
        annotation: &'a str,
        name: &'a str,
    },
    /// Gives the operator a role of deploy/optional in a namespace: tokens of its ServiceAccounts, or Jobs.
    BindRole {
        /// Name of the ClusterRole, in deploy/optional.
        role: &'a str,
        namespace: &'a str,
        /// The ServiceAccount of the operator, if it is known.
        operator: Option<ObjectRef<'a>>,
    },
    /// A merge patch of the RotatedSecret.
    Patch(ObjectRef<'a>, &'a str),
    ApplyDefinition,
    WhoAmI,
    // The plugin.
    History(ObjectRef<'a>),
    /// Checks a manifest.
    TryManifest(&'a str),
    RotateByPlugin(ObjectRef<'a>),
    RefreshByPlugin(ObjectRef<'a>),
    Rollback(ObjectRef<'a>),
}

/// Of a role without an account and a name.
const ROLE: &str = "arn:aws:iam::ACCOUNT:role/NAME";

impl Command<'_> {
    fn secrets_manager(&self) -> Option<String> {
        let aws = |operation: &str, secret: SecretRef<'_>, rest: &[&str]| {
            let line = ["aws", "secretsmanager", operation, "--region", secret.region, "--secret-id", secret.id];
            Some(line_of(line.iter().chain(rest).copied()))
        };
        match *self {
            Self::DescribeSecret(secret) => aws("describe-secret", secret, &[]),
            Self::RestoreSecret(secret) => aws("restore-secret", secret, &[]),
            Self::DeleteSecret(secret) => aws("delete-secret", secret, &[]),
            Self::RemoveReplicas(secret, regions) => {
                let regions: Vec<&str> = ["--remove-replica-regions"].into_iter().chain(regions.iter().map(String::as_str)).collect();
                aws("remove-regions-from-replication", secret, &regions)
            }
            Self::FindSecrets { region, tag_value } => {
                let filter = format!("Key=tag-value,Values={tag_value}");
                Some(line_of(["aws", "secretsmanager", "list-secrets", "--region", region, "--filters", &filter]))
            }
            Self::PutSecretValue(secret) => aws("put-secret-value", secret, &["--secret-string", "file://value.json"]),
            Self::CreateForAdoption(secret, by) => {
                let tag = format!("Key={ADOPT_BY},Value={}/{}", by.namespace, by.name);
                let line = ["aws", "secretsmanager", "create-secret", "--region", secret.region, "--name", secret.id];
                Some(line_of(line.into_iter().chain(["--secret-string", "file://value.json", "--tags", &tag])))
            }
            Self::TagForAdoption(secret, by) => aws("tag-resource", secret, &["--tags", &format!("Key={ADOPT_BY},Value={by}")]),
            Self::UntagSecret(secret, key) => aws("untag-resource", secret, &["--tag-keys", key]),
            Self::RemoveLabel { secret, label, version } => {
                aws("update-secret-version-stage", secret, &["--version-stage", label, "--remove-from-version-id", version])
            }
            Self::SetLabel { secret, label } => {
                aws("update-secret-version-stage", secret, &["--version-stage", label, "--move-to-version-id", "VERSION"])
            }
            Self::CancelRotation(secret) => aws("cancel-rotate-secret", secret, &[]),
            Self::ShowFunction(secret) => aws("describe-secret", secret, &["--query", "RotationLambdaARN"]),
            _ => None,
        }
    }

    fn other_service(&self) -> Option<String> {
        Some(match *self {
            Self::DescribeKey(KeyRef::Named { region, key }) => {
                line_of(["aws", "kms", "describe-key", "--region", region, "--key-id", key])
            }
            Self::DescribeKey(KeyRef::Of(secret)) => {
                // A secret without a key of its own has the default key, and AWS does not show it.
                let key = Self::DescribeSecret(secret);
                let of = "--query \"KmsKeyId || 'alias/aws/secretsmanager'\" --output text";
                format!("{} --key-id \"$({key} {of})\"", line_of(["aws", "kms", "describe-key", "--region", secret.region]))
            }
            Self::GetRole(role) => line_of(["aws", "iam", "get-role", "--role-name", role, "--query", "Role.AssumeRolePolicyDocument"]),
            Self::ListOidcProviders => line_of(["aws", "iam", "list-open-id-connect-providers"]),
            Self::ShowCaller { region } => line_of(["aws", "sts", "get-caller-identity", "--region", region]),
            Self::SsoLogin => line_of(["aws", "sso", "login"]),
            Self::EnableRegion(region) => line_of(["aws", "account", "enable-region", "--region-name", region]),
            Self::TailFunctionLog { region, function } => {
                line_of(["aws", "logs", "tail", &format!("/aws/lambda/{function}"), "--region", region])
            }
            Self::AllowInvocation { region, function } => line_of([
                "aws",
                "lambda",
                "add-permission",
                "--region",
                region,
                "--function-name",
                function,
                "--statement-id",
                "secretsmanager",
                "--action",
                "lambda:InvokeFunction",
                "--principal",
                "secretsmanager.amazonaws.com",
            ]),
            _ => return None,
        })
    }

    fn kubernetes(&self) -> Option<String> {
        let kubectl = |verb: &str, kind: &str, object: ObjectRef<'_>, rest: &[&str]| {
            let line = ["kubectl", verb, kind, object.name, "-n", object.namespace];
            Some(line_of(line.iter().chain(rest).copied()))
        };
        // The shell inserts the time, so that each request is a new one.
        let request = |key: &str, object| Some(format!("{} {key}=$(date +%s) --overwrite", kubectl("annotate", "rsec", object, &[])?));
        match *self {
            Self::Rotate(object) => request(ROTATE, object),
            Self::Refresh(object) => request(REFRESH, object),
            Self::DeleteKubernetesSecret(secret) => kubectl("delete", "secret", secret, &[]),
            Self::DeleteOrphaning { kind, object } => kubectl("delete", kind, object, &["--cascade=orphan"]),
            // The whole Secret would show its values.
            Self::ShowFieldManagers(secret) => kubectl("get", "secret", secret, &["-o", "jsonpath={.metadata.managedFields[*].manager}"]),
            Self::AnnotateForInitialValue { secret, by } => {
                kubectl("annotate", "secret", secret, &[&format!("{INITIAL_VALUE_FOR}={by}"), "--overwrite"])
            }
            Self::AnnotateForAdoption { secret, by } => {
                kubectl("annotate", "secret", secret, &[&format!("{ADOPT_BY}={by}"), "--overwrite"])
            }
            Self::AnnotateAccountRole(account) => {
                kubectl("annotate", "serviceaccount", account, &[&format!("{SERVICE_ACCOUNT_ROLE_ARN}={ROLE}"), "--overwrite"])
            }
            Self::AnnotateNamespaceRole(namespace) => {
                Some(line_of(["kubectl", "annotate", "namespace", namespace, &format!("{ROLE_ARN}={ROLE}"), "--overwrite"]))
            }
            Self::AllowName { namespace, annotation, name } => {
                Some(line_of(["kubectl", "annotate", "namespace", namespace, &format!("{annotation}={name}")]))
            }
            Self::AllowHost { namespace, host } => {
                Some(line_of(["kubectl", "annotate", "namespace", namespace, &format!("{ALLOWED_HOSTS}={host}")]))
            }
            Self::RemoveNamespaceRole(namespace) => {
                let remove = [ROLE_ARN, EXTERNAL_ID].map(|key| format!("{key}-"));
                Some(line_of(["kubectl", "annotate", "namespace", namespace].into_iter().chain(remove.iter().map(String::as_str))))
            }
            Self::BindRole { role, namespace, operator } => Some(line_of([
                "kubectl",
                "create",
                "rolebinding",
                role,
                "-n",
                namespace,
                &format!("--clusterrole={role}"),
                &operator.map_or_else(
                    || "--serviceaccount=OPERATOR_NAMESPACE:OPERATOR_SERVICE_ACCOUNT".to_owned(),
                    |operator| format!("--serviceaccount={}:{}", operator.namespace, operator.name),
                ),
            ])),
            Self::Patch(object, patch) => kubectl("patch", "rsec", object, &["--type=merge", "-p", patch]),
            Self::ApplyDefinition => Some(line_of(["kubectl", "apply", "-f", "crds/"])),
            Self::WhoAmI => Some(line_of(["kubectl", "auth", "whoami"])),
            Self::History(object) => kubectl("rotatedsecret", "history", object, &[]),
            Self::Rollback(object) => kubectl("rotatedsecret", "rollback", object, &[]),
            Self::TryManifest(file) => Some(line_of(["kubectl", "apply", "--dry-run=server", "-f", file])),
            Self::RotateByPlugin(object) => kubectl("rotatedsecret", "rotate", object, &[]),
            Self::RefreshByPlugin(object) => kubectl("rotatedsecret", "refresh", object, &[]),
            _ => None,
        }
    }
}

impl<'a> Command<'a> {
    /// Every value in the command that is not a text of the operator.
    fn values(&self) -> Vec<&'a str> {
        match *self {
            Self::DescribeSecret(secret)
            | Self::RestoreSecret(secret)
            | Self::DeleteSecret(secret)
            | Self::PutSecretValue(secret)
            | Self::CancelRotation(secret)
            | Self::GetResourcePolicy(secret)
            | Self::SimulateRead(secret)
            | Self::ListFindings(secret)
            | Self::ShowFunction(secret)
            | Self::DescribeKey(KeyRef::Of(secret)) => of_secret(secret),
            Self::RemoveReplicas(secret, regions) => with(of_secret(secret), regions.iter().map(String::as_str)),
            Self::FindSecrets { region, tag_value } => vec![region, tag_value],
            Self::CreateForAdoption(secret, by) => with(of_secret(secret), of_object(by)),
            Self::TagForAdoption(secret, value) | Self::UntagSecret(secret, value) => with(of_secret(secret), [value]),
            Self::RemoveLabel { secret, label, version } => with(of_secret(secret), [label, version]),
            Self::SetLabel { secret, label } => with(of_secret(secret), [label]),
            Self::DescribeKey(KeyRef::Named { region, key }) => vec![region, key],
            Self::TailFunctionLog { region, function } | Self::AllowInvocation { region, function } => vec![region, function],
            Self::GetRole(value)
            | Self::EnableRegion(value)
            | Self::ListOwned { region: value }
            | Self::ShowCaller { region: value }
            | Self::AnnotateNamespaceRole(value)
            | Self::RemoveNamespaceRole(value) => vec![value],
            Self::Rotate(object)
            | Self::Refresh(object)
            | Self::DeleteKubernetesSecret(object)
            | Self::ShowFieldManagers(object)
            | Self::AnnotateAccountRole(object)
            // The patch is a text of the operator.
            | Self::Patch(object, _)
            | Self::History(object)
            | Self::Rollback(object)
            | Self::RotateByPlugin(object)
            | Self::RefreshByPlugin(object) => of_object(object),
            Self::DeleteOrphaning { kind, object } => with(of_object(object), [kind]),
            Self::AnnotateForAdoption { secret, by } | Self::AnnotateForInitialValue { secret, by } => with(of_object(secret), [by]),
            Self::AllowHost { namespace, host } => vec![namespace, host],
            Self::AllowName { namespace, annotation: _, name } => vec![namespace, name],
            Self::BindRole { namespace, operator, .. } => with(vec![namespace], operator.map(of_object).unwrap_or_default()),
            // `-` is the standard input.
            Self::TryManifest(file) => if file == "-" { Vec::new() } else { vec![file] },
            Self::ListOidcProviders | Self::SsoLogin | Self::ApplyDefinition | Self::WhoAmI => Vec::new(),
        }
    }
}

fn of_secret(secret: SecretRef<'_>) -> Vec<&str> {
    vec![secret.region, secret.id]
}

fn of_object(object: ObjectRef<'_>) -> Vec<&str> {
    vec![object.namespace, object.name]
}

fn with<'a>(mut values: Vec<&'a str>, more: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    values.extend(more);
    values
}

impl fmt::Display for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.values().into_iter().any(values::is_interpreted) {
            return f.write_str(values::NONE);
        }
        let line = self.secrets_manager().or_else(|| self.audit()).or_else(|| self.other_service()).or_else(|| self.kubernetes());
        f.write_str(&line.unwrap_or_default())
    }
}

fn line_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(quoted).collect::<Vec<String>>().join(" ")
}

/// Quotes `word` for a POSIX shell if necessary. Control characters cannot be part of a command.
pub(crate) fn quoted(word: &str) -> String {
    let word = text::escaped(word);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:@%+=,".contains(&byte);
    // zsh replaces `=NAME` at the beginning of a word.
    if !word.is_empty() && !word.starts_with('=') && word.bytes().all(plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests;
