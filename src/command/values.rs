//! What comes from objects and from AWS in a command. A shell takes each value as one word; kubectl and the AWS CLI can
//! still take that word for something else.

use super::{Command, KeyRef, ObjectRef, SecretRef};

/// What is shown instead of a command with such a value.
pub(super) const NONE: &str = "no command is shown, because a value in it could be read as an option, a file or an address";

/// Whether a program could interpret the value: as an option (`-`), as the file or address that contains it (`file://`),
/// or as JSON that it writes instead of it (`[`, `{`).
pub(super) fn is_interpreted(value: &str) -> bool {
    value.starts_with(['-', '[', '{']) || value.contains("://")
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

impl<'a> Command<'a> {
    /// Every value in the command that is not a text of the operator.
    pub(super) fn values(&self) -> Vec<&'a str> {
        match *self {
            Self::DescribeSecret(secret)
            | Self::RestoreSecret(secret)
            | Self::DeleteSecret(secret)
            | Self::PutSecretValue(secret)
            | Self::CancelRotation(secret)
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
            Self::AnnotateForAdoption { secret, by } => with(of_object(secret), [by]),
            Self::AllowHost { namespace, host } => vec![namespace, host],
            Self::AllowName { namespace, annotation: _, name } => vec![namespace, name],
            Self::BindServiceAccounts { namespace, operator } => with(vec![namespace], operator.map(of_object).unwrap_or_default()),
            // `-` is the standard input.
            Self::TryManifest(file) => if file == "-" { Vec::new() } else { vec![file] },
            Self::ListOidcProviders | Self::SsoLogin | Self::ApplyDefinition | Self::WhoAmI => Vec::new(),
        }
    }
}
