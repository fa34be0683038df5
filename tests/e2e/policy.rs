//! The admission policies of the chart, which are in deploy/install.yaml: they let the operator work, and refuse what a client with its token could
//! do beyond that. And the example policy for annotations of Namespaces.

use anyhow::{Result, ensure};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use rotated_secrets::api::{ADOPT_BY, FINALIZER, MANAGED_BY, RotatedSecret, SECRET_ARN};
use serde_json::{Value, json};
use testkit::until;

use crate::operator::Operator;
use crate::stage::{NAMESPACE, Stage};

const TYPES: &str = "only Secrets of the types";
const OWNER: &str = "only Secrets with its label and a RotatedSecret as controller";
const FOREIGN: &str = "changes only Secrets of a RotatedSecret";
const OTHERS: &str = "adds and removes no other owner";
const FIXED: &str = "neither the finalizers of a Secret nor whether it is immutable";
const OFFER: &str = "does not set the annotation adopt-by";
const OBJECT: &str = "only its finalizer and the status";
const TOKEN: &str = "tokens of ServiceAccounts only for the audience";

/// `None`: the answer of the API server is yes. `Some`: why the policy refuses.
fn refusal<T>(answer: kube::Result<T>) -> Result<Option<String>> {
    match answer {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) if status.code == 403 && status.message.contains("ValidatingAdmissionPolicy 'rotated-secrets-") => {
            Ok(Some(status.message))
        }
        Err(error) => Err(error.into()),
    }
}

fn expect<T>(about: &str, answer: kube::Result<T>, expected: Option<&str>) -> Result<()> {
    let told = refusal(answer)?;
    let as_expected = match (&told, expected) {
        (Some(told), Some(expected)) => told.contains(expected),
        (told, expected) => told.is_none() && expected.is_none(),
    };
    ensure!(as_expected, "{about}: {told:?} instead of {expected:?}");
    Ok(())
}

/// A client with the operator's token, and an object with its Secret, whose operator has ended.
async fn stolen(stage: &Stage) -> Result<(Client, RotatedSecret)> {
    let operator = Operator::start(stage).await?;
    stage.create("one", json!({"value": {"generate": {"password": {}}}, "aws": {"deletionPolicy": "Delete"}})).await?;
    let object = stage.ready("one").await?.object;
    operator.terminate().await?;
    let client = Client::try_from(stage.plane().service_account_config(NAMESPACE, "rotated-secrets").await?)?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &stage.namespace);
    until("the policies are in force", async || {
        let plain: Secret = serde_json::from_value(json!({"metadata": {"name": "plain"}}))?;
        Ok(refusal(secrets.create(&PostParams { dry_run: true, ..PostParams::default() }, &plain).await)?.map(drop))
    })
    .await?;
    Ok((client, object))
}

fn owner(kind: &str, name: &str, uid: &str, controller: bool) -> Value {
    let version = if kind == "RotatedSecret" { "rotated-secrets.io/v1alpha1" } else { "v1" };
    json!([{"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": controller}])
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_operators_token_no_secret_is_created_but_that_of_an_object() -> Result<()> {
    let stage = Stage::enter("policy-create").await?;
    let (client, object) = stolen(&stage).await?;
    let secrets: Api<Secret> = Api::namespaced(client, &stage.namespace);
    let uid = object.uid().unwrap_or_default();
    let ours = owner("RotatedSecret", "one", &uid, true);
    let label = json!({MANAGED_BY.0: MANAGED_BY.1});
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    for (about, kind, labels, owners, expected) in [
        ("as the operator does", "Opaque", label.clone(), ours.clone(), None),
        ("another type of the list", "kubernetes.io/basic-auth", label.clone(), ours.clone(), None),
        ("a token", "kubernetes.io/service-account-token", label.clone(), ours.clone(), Some(TYPES)),
        ("a bootstrap token", "bootstrap.kubernetes.io/token", label.clone(), ours.clone(), Some(TYPES)),
        ("a type of others", "helm.sh/release.v1", label.clone(), ours.clone(), Some(TYPES)),
        ("without owner", "Opaque", label.clone(), json!([]), Some(OWNER)),
        ("without label", "Opaque", json!({}), ours.clone(), Some(OWNER)),
        ("with the label of others", "Opaque", json!({MANAGED_BY.0: "Helm"}), ours.clone(), Some(OWNER)),
        ("of another kind", "Opaque", label.clone(), owner("ConfigMap", "one", &uid, true), Some(OWNER)),
        ("without controller", "Opaque", label.clone(), owner("RotatedSecret", "one", &uid, false), Some(OWNER)),
        ("with a second owner", "Opaque", label.clone(), json!([ours[0], owner("ConfigMap", "one", &uid, false)[0]]), Some(OTHERS)),
    ] {
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {
                "name": "new", "labels": labels, "ownerReferences": owners,
                "annotations": {"kubernetes.io/service-account.name": "default"},
            },
            "type": kind,
            "stringData": {"username": "u"},
        }))?;
        expect(about, secrets.create(&dry, &secret).await, expected)?;
        // The policy is about the operator only.
        if kind == "kubernetes.io/service-account-token" {
            expect("an administrator", stage.secrets().create(&dry, &secret).await, None)?;
        }
    }
    for (about, metadata, immutable, expected) in [
        ("with a finalizer", json!({"finalizers": ["example.com/theirs"]}), false, FIXED),
        ("immutable", json!({}), true, FIXED),
        ("that is offered", json!({"annotations": {ADOPT_BY: "two"}}), false, OFFER),
    ] {
        let mut secret = json!({"metadata": metadata, "immutable": immutable, "type": "Opaque"});
        for (key, value) in [("name", json!("new")), ("labels", label.clone()), ("ownerReferences", ours.clone())] {
            secret["metadata"][key] = value;
        }
        expect(about, secrets.create(&dry, &serde_json::from_value(secret)?).await, Some(expected))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_operators_token_no_secret_is_changed_but_that_of_an_object() -> Result<()> {
    let stage = Stage::enter("policy-update").await?;
    let (client, object) = stolen(&stage).await?;
    let secrets: Api<Secret> = Api::namespaced(client, &stage.namespace);
    let uid = object.uid().unwrap_or_default();
    let ours = owner("RotatedSecret", "one", &uid, true);
    // The garbage collector would delete a Secret of a controller that does not exist.
    let maps: Api<ConfigMap> = Api::namespaced(stage.plane().admin(), &stage.namespace);
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "map"}}))?;
    let map = maps.create(&PostParams::default(), &map).await?;
    let map = owner("ConfigMap", "map", &map.uid().unwrap_or_default(), true);
    for (name, annotations, owners) in [
        ("foreign", json!({}), json!([])),
        ("offered", json!({ADOPT_BY: "one"}), json!([])),
        ("offered-to-other", json!({ADOPT_BY: "other"}), json!([])),
        ("controlled", json!({ADOPT_BY: "one"}), map),
    ] {
        let metadata = json!({"name": name, "annotations": annotations, "ownerReferences": owners});
        let secret: Secret = serde_json::from_value(json!({"metadata": metadata, "stringData": {"key": "theirs"}}))?;
        stage.secrets().create(&PostParams::default(), &secret).await?;
    }
    let data = json!({"stringData": {"key": "new"}});
    let take = json!({
        "metadata": {"labels": {MANAGED_BY.0: MANAGED_BY.1}, "ownerReferences": ours},
        "stringData": {"key": "new"},
    });
    let mut offer = take.clone();
    offer["metadata"]["annotations"] = json!({ADOPT_BY: "one"});
    let release = json!({"metadata": {"labels": {MANAGED_BY.0: null}, "ownerReferences": []}});
    let mut change = release.clone();
    change["stringData"] = json!({"password": "new"});
    // With an owner that does not exist the garbage collector would delete the Secret.
    let invented = owner("ConfigMap", "none", "33333333-3333-4333-8333-333333333333", false);
    let with = |patch: &Value, part: &str, value: Value| {
        let mut patch = patch.clone();
        patch["metadata"][part] = value;
        patch
    };
    let unlabelled = |more: (&str, &str)| json!({MANAGED_BY.0: null, more.0: more.1});
    let both = json!([ours[0], invented[0]]);
    let unlabel = json!({"metadata": {"labels": {MANAGED_BY.0: null}}});
    let pass_on = json!({"metadata": {"ownerReferences": owner("RotatedSecret", "two", "22222222-2222-4222-8222-222222222222", true)}});
    for (about, name, patch, expected) in [
        ("a foreign one", "foreign", &data, Some(OWNER)),
        ("labels of a foreign one", "foreign", &json!({"metadata": {"labels": {"a": "b"}}}), Some(OWNER)),
        ("a foreign one is taken", "foreign", &take, Some(FOREIGN)),
        ("and offered in the same write", "foreign", &offer, Some(FOREIGN)),
        ("one that is offered to another object", "offered-to-other", &take, Some(FOREIGN)),
        ("one that has a controller", "controlled", &take, Some(FOREIGN)),
        ("adoption", "offered", &take, None),
        ("without taking it", "offered", &data, Some(OWNER)),
        ("its own", "one", &json!({"stringData": {"password": "new"}}), None),
        ("its own without label", "one", &unlabel, Some(OWNER)),
        ("its own for another object", "one", &pass_on, Some(FOREIGN)),
        ("release", "one", &release, None),
        ("release with other data", "one", &change, Some(OWNER)),
        ("release to another owner", "one", &with(&release, "ownerReferences", invented.clone()), Some(OWNER)),
        ("release with another label", "one", &with(&release, "labels", unlabelled(("team", "x"))), Some(OWNER)),
        ("release with an annotation", "one", &with(&release, "annotations", json!({"a": "b"})), Some(OWNER)),
        ("release with an offer", "one", &with(&release, "annotations", json!({ADOPT_BY: "two"})), Some(OWNER)),
        ("release with a finalizer", "one", &with(&release, "finalizers", json!(["example.com/theirs"])), Some(FIXED)),
        ("release without its own annotations", "one", &with(&release, "annotations", json!({SECRET_ARN: null})), None),
        ("another owner of its own", "one", &json!({"metadata": {"ownerReferences": both}}), Some(OTHERS)),
        ("adoption with another owner", "offered", &with(&take, "ownerReferences", both.clone()), Some(FOREIGN)),
        ("a finalizer of its own", "one", &json!({"metadata": {"finalizers": ["example.com/theirs"]}}), Some(FIXED)),
        ("its own for ever", "one", &json!({"immutable": true}), Some(FIXED)),
        ("an offer of its own", "one", &json!({"metadata": {"annotations": {ADOPT_BY: "two"}}}), Some(OFFER)),
        ("an annotation of its own", "one", &json!({"metadata": {"annotations": {"a": "b"}}}), None),
    ] {
        let answer = secrets.patch(name, &PatchParams::default().dry_run(), &Patch::Merge(patch)).await;
        expect(about, answer, expected)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_operators_token_no_spec_is_changed() -> Result<()> {
    let stage = Stage::enter("policy-objects").await?;
    let (client, object) = stolen(&stage).await?;
    let objects: Api<RotatedSecret> = Api::namespaced(client, &stage.namespace);
    let uid = object.uid().unwrap_or_default();
    for (about, patch, expected) in [
        ("finalizer", json!({"metadata": {"finalizers": null}}), None),
        ("finalizers of others", json!({"metadata": {"finalizers": [FINALIZER, "example.com/theirs"]}}), Some(OBJECT)),
        ("spec", json!({"spec": {"suspend": true}}), Some(OBJECT)),
        ("labels", json!({"metadata": {"labels": {"a": "b"}}}), Some(OBJECT)),
        ("annotations", json!({"metadata": {"annotations": {"rotated-secrets.io/rotate": "now"}}}), Some(OBJECT)),
        ("owners", json!({"metadata": {"ownerReferences": owner("ConfigMap", "map", &uid, false)}}), Some(OBJECT)),
    ] {
        let answer = objects.patch("one", &PatchParams::default().dry_run(), &Patch::Merge(patch)).await;
        expect(about, answer, expected)?;
    }
    let (dry, seen) = (PostParams { dry_run: true, ..PostParams::default() }, stage.objects().get("one").await?);
    expect("the status", objects.replace_status("one", &dry, &seen).await, None)
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_operators_token_tokens_of_service_accounts_are_for_aws_and_services_of_the_namespace_only() -> Result<()> {
    let stage = Stage::enter("policy-tokens").await?;
    let (client, _) = stolen(&stage).await?;
    stage.plane().apply_yaml(include_str!("../../deploy/optional/service-accounts.yaml")).await?;
    let role = "--clusterrole=rotated-secrets-service-accounts";
    stage.kubectl(&["create", "rolebinding", "accounts", role, "--serviceaccount=rotated-secrets:rotated-secrets"]).await?;
    let accounts = |client: Client| Api::<ServiceAccount>::namespaced(client, &stage.namespace);
    stage.kubectl(&["create", "serviceaccount", "app"]).await?;
    let request = |audiences: &[&str], seconds: i64| {
        serde_json::from_value::<TokenRequest>(json!({"spec": {"audiences": audiences, "expirationSeconds": seconds}}))
    };
    let sts = "sts.amazonaws.com";
    let receiver = format!("https://rotate.{}.svc", stage.namespace);
    until("the right is in force", async || {
        let answer = accounts(client.clone()).create_token_request("app", &PostParams::default(), &request(&[sts], 600)?).await;
        Ok(answer.is_ok().then_some(()))
    })
    .await?;
    for (about, audiences, seconds, expected) in [
        ("as the operator does", [sts].as_slice(), 600, None),
        ("for longer", &[sts], 3600, Some(TOKEN)),
        ("for the API server", &[], 600, Some(TOKEN)),
        ("for another audience", &["vault"], 600, Some(TOKEN)),
        ("for a receiver", &[&receiver], 600, None),
        ("for a path of it", &[&format!("{receiver}/orders")], 600, None),
        ("for a receiver for longer", &[&receiver], 601, Some(TOKEN)),
        ("for AWS and a receiver", &[sts, &receiver], 600, Some(TOKEN)),
        ("for another namespace", &["https://rotate.kube-system.svc:8443"], 600, Some(TOKEN)),
        ("for a host outside", &[&format!("{receiver}.example.com")], 600, Some(TOKEN)),
        ("for the API server by its name", &["https://kubernetes.default.svc"], 600, Some(TOKEN)),
        ("for two audiences", &[sts, "vault"], 600, Some(TOKEN)),
    ] {
        let request = request(audiences, seconds)?;
        expect(about, accounts(client.clone()).create_token_request("app", &PostParams::default(), &request).await, expected)?;
        let administrator = accounts(stage.plane().admin()).create_token_request("app", &PostParams::default(), &request).await;
        expect("an administrator", administrator, None)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn adoption_repair_and_release_pass_the_policies() -> Result<()> {
    let stage = Stage::enter("policy-passes").await?;
    stolen(&stage).await?;
    let existing: Secret = serde_json::from_value(json!({
        "metadata": {"name": "taken", "annotations": {ADOPT_BY: "taken"}}, "type": "Opaque", "stringData": {"password": "old"},
    }))?;
    stage.secrets().create(&PostParams::default(), &existing).await?;
    let (_, from) = stage.asked(0).await?;
    let operator = Operator::start(&stage).await?;
    let spec = json!({"value": {"generate": {"password": {}}}, "target": {"adoptionPolicy": "IfAnnotated", "deletionPolicy": "Retain"}});
    stage.create("taken", spec).await?;
    stage.ready("taken").await?;
    stage.rotate("taken", "first").await?;
    // A client removes the label and changes the data.
    let change = json!({"metadata": {"labels": {MANAGED_BY.0: null}}, "stringData": {"password": "mine"}});
    stage.secrets().patch("taken", &PatchParams::default(), &Patch::Merge(&change)).await?;
    stage.refresh("taken", "look").await?;
    until("the Secret is repaired", async || {
        let secret = stage.secrets().get("taken").await?;
        Ok(secret.labels().contains_key(MANAGED_BY.0).then_some(()))
    })
    .await?;
    stage.ready("taken").await?;
    stage.objects().delete("taken", &DeleteParams::default()).await?;
    until("the object is gone", async || Ok(stage.objects().get_opt("taken").await?.is_none().then_some(()))).await?;
    ensure!(stage.secrets().get("taken").await?.metadata.owner_references.is_none_or(|owners| owners.is_empty()), "its Secret is released");

    stage.patch("one", json!({"spec": {"target": {"creationPolicy": "None"}}})).await?;
    until("the Secret is released while the object stays", async || {
        let secret = stage.secrets().get("one").await?;
        Ok((secret.owner_references().is_empty() && !secret.labels().contains_key(MANAGED_BY.0)).then_some(()))
    })
    .await?;
    operator.terminate().await?;
    let (asked, _) = stage.asked(from).await?;
    let refused: Vec<_> = asked.iter().filter(|event| matches!(event.code, 401 | 403 | 422)).map(|event| &event.uri).collect();
    ensure!(refused.is_empty(), "refused: {refused:?}");
    Ok(())
}

const TENANT: &str = r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: edits-namespaces}
rules: [{apiGroups: [""], resources: [namespaces, namespaces/status], verbs: [get, create, patch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: edits-namespaces}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edits-namespaces}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: tenant}]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_example_lets_only_administrators_write_our_annotations_of_namespaces() -> Result<()> {
    let stage = Stage::alone("policy-example").await?;
    let plane = stage.plane();
    let applied = plane.apply_yaml(include_str!("../../examples/namespace-annotations-policy.yaml")).await?;
    ensure!(applied.warnings.is_empty(), "{:?}", applied.warnings);
    plane.apply_yaml(TENANT).await?;
    let namespace = stage.namespace.as_str();
    let annotate = async |pair: &str, flags: &[&str]| -> Result<bool> {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = if value.is_empty() { Value::Null } else { json!(value) };
        let patch = json!({"metadata": {"annotations": {key: value}}}).to_string();
        let answer = stage.kubectl(&[&["patch", "namespace", namespace, "--type=merge", "--patch", &patch], flags].concat()).await;
        match answer {
            Ok(_) => Ok(true),
            Err(error) if format!("{error:#}").contains("only administrators may write the annotations") => Ok(false),
            Err(error) => Err(error),
        }
    };
    let tenant = ["--as=tenant"];
    let administrator = ["--as=tenant", "--as-group=rotated-secrets-administrators"];
    ensure!(annotate("rotated-secrets.io/allowed-names=shared/*", &administrator).await?, "an administrator sets it");
    until("the policy is in force", async || {
        Ok((!annotate("rotated-secrets.io/suspend=x", &["--as=tenant", "--dry-run=server"]).await?).then_some(()))
    })
    .await?;
    for (about, pair, flags, expected) in [
        ("adds", "rotated-secrets.io/role-arn=arn", tenant.as_slice(), false),
        ("changes", "rotated-secrets.io/allowed-names=*", &tenant, false),
        ("removes", "rotated-secrets.io/allowed-names", &tenant, false),
        ("adds by the status", "rotated-secrets.io/role-arn=arn", &["--as=tenant", "--subresource=status"], false),
        ("adds an annotation of others", "example.com/owner=me", &tenant, true),
        ("an administrator changes", "rotated-secrets.io/allowed-names=*", &administrator, true),
        ("an administrator removes", "rotated-secrets.io/allowed-names", &administrator, true),
    ] {
        ensure!(annotate(pair, flags).await? == expected, "{about}");
    }
    let mut created = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "theirs"}});
    for (annotations, expected) in [(json!({}), true), (json!({"rotated-secrets.io/role-arn": "arn"}), false)] {
        created["metadata"]["annotations"] = annotations;
        let path = plane.dir().join("namespace.json");
        std::fs::write(&path, created.to_string())?;
        let answer = stage.kubectl(&["create", "--as=tenant", "--dry-run=server", "-f", &path.display().to_string()]).await;
        ensure!(answer.is_ok() == expected, "create: {answer:?}");
    }
    Ok(())
}
