//! Other circumstances: other policies, a mirror of an external secret, and failures while a value is in memory.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use rotated_secrets::api::ALLOWED_NAMES;
use serde_json::{Value, json};
use testkit::emulator::{Fault, FaultPlan, When};
use testkit::{data, fields, until};

use crate::stage::Stage;

/// As many attempts as the SDK makes before the operator hears of it. The first such failure is retried and not reported.
const ATTEMPTS: u64 = 3;

fn once(operation: &str, fault: Fault) -> FaultPlan {
    FaultPlan::none().with(operation, When::First(ATTEMPTS), fault)
}

/// Each deletion policy the other way round than in the story.
pub(crate) async fn policies(stage: &Stage) -> Result<()> {
    let value = json!({"data": {"username": "admin"}, "generate": {"password": {}}});
    let released = json!({"aws": {"deletionPolicy": "Delete"}, "target": {"deletionPolicy": "Retain"}, "value": value});
    stage.create("released", released).await?;
    stage.create("kept", json!({"value": value})).await?;
    stage.ready("released").await?;
    let kept = stage.ready("kept").await?;

    stage.kubectl(&["delete", "rsec", "released", "kept", "--timeout=5m"]).await?;
    let secret = stage.secrets().get("released").await?;
    ensure!(secret.owner_references().is_empty(), "the Secret stays, without its owner");
    let aws = stage.aws_secret("released").context("its AWS secret")?;
    ensure!(aws.deletion_date.is_some() && data(&secret) == fields(aws.current()), "AWS's waits for deletion; the value is still there");
    until("the other Secret is garbage-collected", async || Ok(stage.secrets().get_opt("kept").await?.is_none().then_some(()))).await?;
    let aws = stage.aws_secret("kept").context("its AWS secret")?;
    ensure!(aws.deletion_date.is_none() && aws.current() == kept.aws.current(), "AWS's stays as it is");
    Ok(())
}

/// A password of a database, without an AWS secret that has the present one.
pub(crate) fn targeted() -> Value {
    json!({
        "value": {"data": {"username": "app"}, "generate": {"password": {}}},
        "rotation": {"schedule": "rate(30 days)", "postgres": {"host": "db", "database": "app"}},
    })
}

/// An external secret with a name that an administrator allows.
pub(crate) async fn mirror_only(stage: &Stage) -> Result<()> {
    let name = format!("shared/{}/api-key", stage.namespace);
    let external_writer = stage.emulator.external_writer();
    external_writer
        .create(&name, r#"{"key":"the key of the warehouse, first"}"#, &BTreeMap::new())
        .context("the external writer's secret")?;
    stage.create("shared", json!({"aws": {"secretName": name}})).await?;
    stage.refused("shared", "NameNotAllowed").await?;
    let allowed = json!({"metadata": {"annotations": {ALLOWED_NAMES: format!("shared/{}/*", stage.namespace)}}});
    let namespaces: Api<Namespace> = Api::all(stage.plane().admin());
    namespaces.patch(&stage.namespace, &PatchParams::default(), &Patch::Merge(allowed)).await?;
    let mirrored = async |text: &str| {
        until("the external writer's value is mirrored", async || {
            let secret = stage.secrets().get_opt("shared").await?;
            Ok(secret.filter(|secret| data(secret).get("key").is_some_and(|key| key == text.as_bytes())).map(drop))
        })
        .await
    };
    mirrored("the key of the warehouse, first").await?;
    stage.mirrors_have_aged().await?;
    external_writer.put_value(&name, r#"{"key":"the key of the warehouse, second"}"#).context("the external writer's second value")?;
    stage.refresh("shared", "new").await?;
    mirrored("the key of the warehouse, second").await?;
    let aws = stage.emulator.secrets().into_iter().find(|secret| secret.name == name).context("the secret")?;
    ensure!(aws.tags.is_empty() && aws.versions.len() == 2, "nothing was written to it");
    // The operator reads the Service that an object names as the target of its rotation.
    stage.create("target", targeted()).await?;
    stage.refused("target", "SecretNotFound").await?;
    Ok(())
}

/// Faults of AWS, of the API server and of the value itself, each in a moment in which the operator has a value in its hands.
pub(crate) async fn suffer(stage: &Stage) -> Result<()> {
    const NAME: &str = "troubled";
    let spec = json!({"value": {"data": {"username": "admin"}, "generate": {"password": {}, "key": {"passwordLength": 64}}}});
    stage.create(NAME, spec).await?;
    stage.ready(NAME).await?;

    stage.emulator.set_faults(once("PutSecretValue", Fault::ServerError { status: 500 }));
    stage.ask_rotation(NAME, "server-error").await?;
    ensure!(stage.acknowledged(NAME, "server-error").await?.aws.versions.len() == 2, "a refused write is made again");

    stage.emulator.set_faults(once("PutSecretValue", Fault::LoseAnswer));
    stage.ask_rotation(NAME, "lost-answer").await?;
    ensure!(stage.acknowledged(NAME, "lost-answer").await?.aws.versions.len() == 3, "a write without an answer is not made twice");

    stage.emulator.set_faults(once("PutSecretValue", Fault::Throttle));
    stage.ask_rotation(NAME, "throttled").await?;
    stage.acknowledged(NAME, "throttled").await?;

    // AWS's texts are not to be trusted: this one quotes the value.
    let message =
        format!("not authorized to see {}", stage.aws_secret(NAME).and_then(|aws| aws.current().map(str::to_owned)).unwrap_or_default());
    let denied = Fault::Refuse { code: "AccessDeniedException".to_owned(), message };
    stage.emulator.set_faults(FaultPlan::none().with("GetSecretValue", When::Always, denied));
    stage.kubectl(&["patch", "secret", NAME, "--patch", r#"{"stringData":{"password":"edited by hand"}}"#]).await?;
    stage.refused(NAME, "AccessDenied").await?;
    stage.emulator.set_faults(FaultPlan::none());
    stage.refresh(NAME, "allowed").await?;
    stage.ready(NAME).await?;

    stage.patch(NAME, json!({"spec": {"target": {"keys": {"PASSWORD": "passwort"}}}})).await?;
    stage.refused(NAME, "FieldMissing").await?;
    stage.patch(NAME, json!({"spec": {"target": {"keys": null}}})).await?;
    stage.ready(NAME).await?;

    refuse_values(stage, NAME).await?;
    refuse_write(stage, NAME).await
}

/// External values that cannot be mirrored.
async fn refuse_values(stage: &Stage, name: &str) -> Result<()> {
    let external_writer = stage.emulator.external_writer();
    let full = stage.aws_name(name);
    let values = [
        ("a key that is none", r#"{"no key of a Secret":"canary under a bad key","username":"admin"}"#.to_owned()),
        ("a broken value", r#"{"password":"canary in broken JSON","#.to_owned()),
    ];
    for (number, (what, value)) in values.into_iter().enumerate() {
        if number == 1 {
            stage.patch(name, json!({"spec": {"target": {"keys": {"PASSWORD": "password"}}}})).await?;
        }
        stage.mirrors_have_aged().await?;
        external_writer.put_value(&full, &value).context("the external writer's value")?;
        stage.refresh(name, &format!("value-{number}")).await?;
        stage.refused(name, "FieldMissing").await.context(what)?;
    }
    // The external writer corrects it. The operator cannot know when, so a refresh is requested.
    stage.patch(name, json!({"spec": {"target": {"keys": null}}})).await?;
    stage.mirrors_have_aged().await?;
    external_writer.put_value(&full, r#"{"username":"admin","password":"canary as it should be","key":"canary, the other"}"#)?;
    stage.refresh(name, "mended").await?;
    stage.ready(name).await?;
    Ok(())
}

/// The API server refuses the write of the Secret.
async fn refuse_write(stage: &Stage, name: &str) -> Result<()> {
    stage.kubectl(&["patch", "secret", name, "--patch", r#"{"immutable":true}"#]).await?;
    stage.refused(name, "TypeMismatch").await?;
    stage.kubectl(&["delete", "secret", name]).await?;
    stage.refresh(name, "deleted").await?;
    stage.ready(name).await?;

    forbid(stage).await?;
    stage.ask_rotation(name, "forbidden").await?;
    stage.refused_for_one_of(name, &["WriteRefused", "TypeMismatch"]).await?;
    allow(stage).await?;
    stage.refresh(name, "permitted").await?;
    stage.acknowledged(name, "forbidden").await?;
    stage.ready(name).await?;
    Ok(())
}

/// The name of [`forbid`]'s policy, which is in every answer of it.
pub(crate) const POLICY: &str = "no-mirrors-here";

/// A policy that refuses the mirrors of the namespace, in words that quote the password. It answers with 422, as such policies do by default.
pub(crate) async fn forbid(stage: &Stage) -> Result<()> {
    let policy = format!(
        r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: {POLICY}}}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules: [{{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [secrets]}}]
  validations:
    - expression: "!('password' in object.data)"
      messageExpression: "'this namespace may not hold ' + string(object.data['password'])"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: {POLICY}}}
spec:
  policyName: {POLICY}
  validationActions: [Deny]
  matchResources: {{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {}}}}}}}
"#,
        stage.namespace
    );
    stage.plane().apply_yaml(&policy).await?;
    until("the policy is in force", async || Ok((!probe(stage).await?).then_some(()))).await
}

pub(crate) async fn allow(stage: &Stage) -> Result<()> {
    stage.kubectl(&["delete", "validatingadmissionpolicy,validatingadmissionpolicybinding", POLICY]).await?;
    until("the policy is gone", async || Ok(probe(stage).await?.then_some(()))).await
}

/// Whether a Secret with a password could be made.
async fn probe(stage: &Stage) -> Result<bool> {
    match stage.kubectl(&["create", "secret", "generic", "probe", "--from-literal=password=probe", "--dry-run=server"]).await {
        Ok(_) => Ok(true),
        Err(error) if format!("{error:#}").contains(POLICY) => Ok(false),
        Err(error) => Err(error),
    }
}
