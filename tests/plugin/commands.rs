//! The commands that messages print work as printed: those of kubectl and of the plugin are run here, each where the message with it would be
//! printed. Those of AWS are compared with what the AWS command line accepts.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use kube::api::{Api, PostParams};
use rotated_secrets::command::{Command, CommandKind, KeyRef, ObjectRef, SecretRef};
use serde_json::json;
use strum::IntoEnumIterator as _;
use testkit::REGION;
use testkit::commands::check;
use testkit::fixtures::spec;

use super::scene::{PLUGIN, Scene};

const ARN: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:shop/db-AbCdEf";

static REPLICAS: LazyLock<BTreeSet<String>> = LazyLock::new(|| BTreeSet::from(["eu-west-1", "us-east-1"].map(str::to_owned)));

/// One command of each kind. They are run in the order of the kinds: a rollback follows a rotation.
fn examples<'a>(namespace: &'a str, kind: CommandKind) -> Command<'a> {
    let secret = SecretRef::of_arn(ARN);
    let object = |name: &'a str| ObjectRef { namespace, name };
    let region = REGION;
    match kind {
        CommandKind::DescribeSecret => Command::DescribeSecret(secret),
        CommandKind::RestoreSecret => Command::RestoreSecret(secret),
        CommandKind::DeleteSecret => Command::DeleteSecret(secret),
        CommandKind::RemoveReplicas => Command::RemoveReplicas(secret, &REPLICAS),
        CommandKind::FindSecrets => Command::FindSecrets { region, tag_value: "0f5cb6a5-62d5-4a4e-a7e2-0d3e3f9f2c5b" },
        CommandKind::PutSecretValue => Command::PutSecretValue(secret),
        CommandKind::CreateForAdoption => Command::CreateForAdoption(secret, object("db")),
        CommandKind::TagForAdoption => Command::TagForAdoption(secret, "shop/db@0b7a4c52-57c5-4e0c-9e6f-9d2f7f1c2a11"),
        CommandKind::UntagSecret => Command::UntagSecret(secret, "cost centre"),
        CommandKind::RemoveLabel => Command::RemoveLabel { secret, label: "AWSPENDING", version: "v1" },
        CommandKind::SetLabel => Command::SetLabel { secret, label: "blue" },
        CommandKind::CancelRotation => Command::CancelRotation(secret),
        CommandKind::ListOwned => Command::ListOwned { region },
        CommandKind::GetResourcePolicy => Command::GetResourcePolicy(secret),
        CommandKind::SimulateRead => Command::SimulateRead(secret),
        CommandKind::ListFindings => Command::ListFindings(secret),
        CommandKind::DescribeKey => Command::DescribeKey(KeyRef::Of(secret)),
        CommandKind::GetRole => Command::GetRole("shop"),
        CommandKind::ListOidcProviders => Command::ListOidcProviders,
        CommandKind::ShowCaller => Command::ShowCaller { region },
        CommandKind::SsoLogin => Command::SsoLogin,
        CommandKind::EnableRegion => Command::EnableRegion(region),
        CommandKind::TailFunctionLog => Command::TailFunctionLog { region, function: "rotate" },
        CommandKind::AllowInvocation => {
            Command::AllowInvocation { region, function: "arn:aws:lambda:eu-central-1:123456789012:function:rotate" }
        }
        CommandKind::ShowFunction => Command::ShowFunction(secret),
        CommandKind::Rotate => Command::Rotate(object("db")),
        CommandKind::Refresh => Command::Refresh(object("db")),
        CommandKind::DeleteKubernetesSecret => Command::DeleteKubernetesSecret(object("surplus")),
        CommandKind::DeleteOrphaning => Command::DeleteOrphaning { kind: "ConfigMap", object: object("owner") },
        CommandKind::ShowFieldManagers => Command::ShowFieldManagers(object("db")),
        CommandKind::AnnotateForInitialValue => Command::AnnotateForInitialValue { secret: object("theirs"), by: "db" },
        CommandKind::AnnotateForAdoption => Command::AnnotateForAdoption { secret: object("theirs"), by: "db" },
        CommandKind::AnnotateNamespaceRole => Command::AnnotateNamespaceRole(namespace),
        CommandKind::AllowHost => Command::AllowHost { namespace, host: "db.example.com:5432" },
        CommandKind::RemoveNamespaceRole => Command::RemoveNamespaceRole(namespace),
        CommandKind::AllowName => Command::AllowName { namespace, annotation: "rotated-secrets.io/mirror-names", name: "shared/key" },
        CommandKind::AnnotateAccountRole => Command::AnnotateAccountRole(object("app")),
        CommandKind::BindRole => Command::BindRole { role: "rotated-secrets-jobs", namespace, operator: Some(object("operator")) },
        CommandKind::Patch => Command::Patch(object("db"), r#"{"spec":{"aws":{"deletionPolicy":"Retain"}}}"#),
        CommandKind::ApplyDefinition => Command::ApplyDefinition,
        CommandKind::WhoAmI => Command::WhoAmI,
        CommandKind::TryManifest => Command::TryManifest("crds/rotatedsecrets.yaml"),
        CommandKind::History => Command::History(object("db")),
        CommandKind::Rollback => Command::Rollback(object("db")),
        CommandKind::RotateByPlugin => Command::RotateByPlugin(object("db")),
        CommandKind::RefreshByPlugin => Command::RefreshByPlugin(object("db")),
    }
}

#[test]
fn every_command_is_complete_and_known_to_its_program() -> Result<()> {
    let mut texts = BTreeSet::new();
    for kind in CommandKind::iter() {
        let command = examples("shop", kind);
        ensure!(CommandKind::from(command) == kind, "{kind:?}");
        let text = command.to_string();
        // In a sentence, each ends where it ends.
        for sentence in [format!("run: {text}"), format!("not as declared ({text}), or else"), format!("run {text}; then wait")] {
            ensure!(check(&sentence)? == [text.clone()], "{sentence}");
        }
        ensure!(texts.insert(text), "{kind:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_for_kubernetes_works_as_printed() -> Result<()> {
    let scene = Scene::new("typed").await?;
    let namespace = scene.world.namespace.clone();
    scene.settled("db", spec()).await?;
    let working = scene.operator().await?;
    arrange(&scene).await?;
    let kinds: Vec<CommandKind> = CommandKind::iter().collect();
    let mut ran = 0;
    for kind in &kinds {
        let line = examples(&namespace, *kind).to_string();
        if !line.starts_with("kubectl ") {
            continue;
        }
        // The namespace's role is another identity, which this operator has not.
        let line = match kind {
            CommandKind::AnnotateNamespaceRole | CommandKind::RemoveNamespaceRole | CommandKind::ApplyDefinition => {
                format!("{line} --dry-run=server")
            }
            _ => line,
        };
        scene.typed(&line).await?;
        ran += 1;
    }
    ensure!(ran > 15, "commands are run: {ran}");
    drop(working);
    Ok(())
}

/// What the commands are about.
async fn arrange(scene: &Scene) -> Result<()> {
    let (admin, namespace, params) = (scene.world.admin.clone(), &scene.world.namespace, PostParams::default());
    let secrets = Api::<Secret>::namespaced(admin.clone(), namespace);
    for name in ["surplus", "theirs"] {
        let annotations = json!({"rotated-secrets.io/adopt-by": "another"});
        let secret = json!({"metadata": {"name": name, "annotations": annotations}, "stringData": {"password": "put there by another"}});
        secrets.create(&params, &serde_json::from_value(secret)?).await?;
    }
    let owner = serde_json::from_value(json!({"metadata": {"name": "owner"}}))?;
    Api::<ConfigMap>::namespaced(admin.clone(), namespace).create(&params, &owner).await?;
    let account = json!({"metadata": {"name": "app", "annotations": {"eks.amazonaws.com/role-arn": "no ARN"}}});
    Api::<ServiceAccount>::namespaced(admin.clone(), namespace).create(&params, &serde_json::from_value(account)?).await?;
    Ok(())
}

impl Scene {
    /// A command as a person types it, with kubectl and the plugin on the PATH.
    pub(crate) async fn typed(&self, line: &str) -> Result<()> {
        let directory = |program: &Path| program.parent().map(|path| path.display().to_string()).unwrap_or_default();
        let path = format!("{}:{}:/usr/bin:/bin", directory(self.world.cluster.kubectl()), directory(Path::new(PLUGIN)));
        let mut command = tokio::process::Command::new("/bin/sh");
        command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-c", &format!("PATH={path}; {line}")]);
        let ran = self.finish(command).await?;
        ensure!(ran.code == 0, "{line}: {ran:#?}");
        Ok(())
    }
}
