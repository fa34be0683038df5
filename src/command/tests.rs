use strum::IntoEnumIterator as _;

use super::*;

#[test]
fn what_a_shell_would_not_take_as_one_word_is_quoted() {
    let table =
        [("prod", "prod"), ("", "''"), ("a b", "'a b'"), ("$(x)", "'$(x)'"), ("it's", r"'it'\''s'"), ("a\nb", r"'a\nb'"), ("=ls", "'=ls'")];
    for (word, expected) in table {
        assert_eq!(quoted(word), expected);
    }
}

#[test]
fn commands_carry_region_namespace_and_id() {
    let secret = SecretRef { region: "eu-central-1", id: "shop/db" };
    let object = ObjectRef { namespace: "shop", name: "db" };
    let at = "--region eu-central-1 --secret-id shop/db";
    for (command, expected) in [
        (Command::RestoreSecret(secret), format!("aws secretsmanager restore-secret {at}")),
        (
            Command::RemoveLabel { secret, label: "AWSPENDING", version: "v1" },
            format!("aws secretsmanager update-secret-version-stage {at} --version-stage AWSPENDING --remove-from-version-id v1"),
        ),
        (Command::GetResourcePolicy(secret), format!("aws secretsmanager get-resource-policy {at}")),
        (
            Command::ListFindings(secret),
            "aws accessanalyzer list-findings-v2 --region eu-central-1 --analyzer-arn ANALYZER_ARN --filter \
             '{\"resource\":{\"eq\":[\"shop/db\"]}}'"
                .to_owned(),
        ),
        (Command::UntagSecret(secret, "cost centre"), format!("aws secretsmanager untag-resource {at} --tag-keys 'cost centre'")),
        (
            Command::DescribeKey(KeyRef::Of(secret)),
            format!(
                "aws kms describe-key --region eu-central-1 --key-id \"$(aws secretsmanager describe-secret {at} --query \"KmsKeyId || \
                 'alias/aws/secretsmanager'\" --output text)\""
            ),
        ),
        (Command::Rotate(object), "kubectl annotate rsec db -n shop rotated-secrets.io/rotate=$(date +%s) --overwrite".to_owned()),
        (Command::History(object), "kubectl rotatedsecret history db -n shop".to_owned()),
        (
            Command::Patch(object, r#"{"metadata":{"finalizers":null}}"#),
            r#"kubectl patch rsec db -n shop --type=merge -p '{"metadata":{"finalizers":null}}'"#.to_owned(),
        ),
    ] {
        assert_eq!(command.to_string(), expected);
    }
}

/// One command of each kind, with this value in the place of each value.
fn commands<'a>(kind: CommandKind, value: &'a str, values: &'a BTreeSet<String>) -> Command<'a> {
    let secret = SecretRef { region: "eu-central-1", id: value };
    let object = ObjectRef { namespace: "shop", name: value };
    let region = value;
    match kind {
        CommandKind::DescribeSecret => Command::DescribeSecret(secret),
        CommandKind::RestoreSecret => Command::RestoreSecret(secret),
        CommandKind::DeleteSecret => Command::DeleteSecret(SecretRef { region, id: "shop/db" }),
        CommandKind::RemoveReplicas => Command::RemoveReplicas(SecretRef { id: "shop/db", ..secret }, values),
        CommandKind::FindSecrets => Command::FindSecrets { region, tag_value: "1" },
        CommandKind::PutSecretValue => Command::PutSecretValue(secret),
        CommandKind::CreateForAdoption => Command::CreateForAdoption(SecretRef { id: "shop/db", ..secret }, object),
        CommandKind::TagForAdoption => Command::TagForAdoption(SecretRef { id: "shop/db", ..secret }, value),
        CommandKind::UntagSecret => Command::UntagSecret(SecretRef { id: "shop/db", ..secret }, value),
        CommandKind::RemoveLabel => Command::RemoveLabel { secret: SecretRef { id: "shop/db", ..secret }, label: value, version: "v1" },
        CommandKind::SetLabel => Command::SetLabel { secret: SecretRef { id: "shop/db", ..secret }, label: value },
        CommandKind::CancelRotation => Command::CancelRotation(secret),
        CommandKind::ListOwned => Command::ListOwned { region },
        CommandKind::GetResourcePolicy => Command::GetResourcePolicy(secret),
        CommandKind::SimulateRead => Command::SimulateRead(secret),
        CommandKind::ListFindings => Command::ListFindings(secret),
        CommandKind::DescribeKey => Command::DescribeKey(KeyRef::Named { region: "eu-central-1", key: value }),
        CommandKind::GetRole => Command::GetRole(value),
        CommandKind::ListOidcProviders => Command::ListOidcProviders,
        CommandKind::ShowCaller => Command::ShowCaller { region },
        CommandKind::SsoLogin => Command::SsoLogin,
        CommandKind::EnableRegion => Command::EnableRegion(region),
        CommandKind::TailFunctionLog => Command::TailFunctionLog { region: "eu-central-1", function: value },
        CommandKind::AllowInvocation => Command::AllowInvocation { region: "eu-central-1", function: value },
        CommandKind::ShowFunction => Command::ShowFunction(secret),
        CommandKind::Rotate => Command::Rotate(object),
        CommandKind::Refresh => Command::Refresh(object),
        CommandKind::DeleteKubernetesSecret => Command::DeleteKubernetesSecret(object),
        CommandKind::DeleteOrphaning => Command::DeleteOrphaning { kind: value, object: ObjectRef { name: "db", ..object } },
        CommandKind::ShowFieldManagers => Command::ShowFieldManagers(object),
        CommandKind::AnnotateForAdoption => Command::AnnotateForAdoption { secret: object, by: "db" },
        CommandKind::AnnotateForInitialValue => Command::AnnotateForInitialValue { secret: object, by: "db" },
        CommandKind::AnnotateNamespaceRole => Command::AnnotateNamespaceRole(value),
        CommandKind::AllowHost => Command::AllowHost { namespace: "shop", host: value },
        CommandKind::RemoveNamespaceRole => Command::RemoveNamespaceRole(value),
        CommandKind::AnnotateAccountRole => Command::AnnotateAccountRole(object),
        CommandKind::AllowName => Command::AllowName { namespace: "shop", annotation: "a", name: value },
        CommandKind::BindRole => Command::BindRole { role: "rotated-secrets-jobs", namespace: "shop", operator: Some(object) },
        CommandKind::Patch => Command::Patch(object, "{}"),
        CommandKind::ApplyDefinition => Command::ApplyDefinition,
        CommandKind::WhoAmI => Command::WhoAmI,
        CommandKind::TryManifest => Command::TryManifest(value),
        CommandKind::History => Command::History(object),
        CommandKind::Rollback => Command::Rollback(object),
        CommandKind::RotateByPlugin => Command::RotateByPlugin(object),
        CommandKind::RefreshByPlugin => Command::RefreshByPlugin(object),
    }
}

#[test]
fn no_command_has_a_value_that_its_program_would_interpret() {
    let hostile = [
        "file:///etc/passwd",
        "fileb://x",
        "http://127.0.0.1/x",
        "https://evil.example/x",
        "s3://bucket/x",
        "--all",
        "-f",
        "--endpoint-url=http://127.0.0.1",
        r#"["rotated-secrets.io/uid"]"#,
        "{}",
    ];
    for kind in CommandKind::iter() {
        for value in hostile {
            let text = commands(kind, value, &BTreeSet::from([value.to_owned()])).to_string();
            let constant = text == commands(kind, "shop/db", &BTreeSet::from(["shop/db".to_owned()])).to_string();
            assert!(text == values::NONE || constant, "{kind:?}: {text}");
        }
        let plain = commands(kind, "shop/db", &BTreeSet::from(["shop/db".to_owned()])).to_string();
        assert!(plain.starts_with("aws ") || plain.starts_with("kubectl "), "{kind:?}: {plain}");
    }
}
