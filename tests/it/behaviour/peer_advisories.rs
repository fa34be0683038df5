//! The security advisories of a peer (External Secrets Operator), each as a test that the same attack fails here.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, PostParams};
use rotated_secrets::api::{RotatedSecret, RotatedSecretSpec, definition};
use rotated_secrets::reconcile::Context;
use serde_json::{Value, json};

use super::stage::Stage;
use testkit::control_plane;
use testkit::fixtures::spec;

/// The rules of all roles in the manifest that users apply.
fn rules() -> Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(include_str!("../../../deploy/install.yaml"))?;
    let is_role = |document: &Value| document["kind"].as_str().is_some_and(|kind| kind.ends_with("Role"));
    let rules: Vec<Value> =
        documents.into_iter().filter(is_role).flat_map(|role| role["rules"].as_array().cloned().unwrap_or_default()).collect();
    ensure!(rules.len() > 3, "the rules are found");
    Ok(rules)
}

fn words<'a>(rule: &'a Value, field: &str) -> Vec<&'a str> {
    rule[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Nothing that grants permissions or reads beyond what is needed.
fn check_rules(rules: &[Value]) -> Result<()> {
    for rule in rules {
        let (groups, resources, verbs) = (words(rule, "apiGroups"), words(rule, "resources"), words(rule, "verbs"));
        for forbidden in ["admissionregistration.k8s.io", "rbac.authorization.k8s.io", "apiextensions.k8s.io", "*"] {
            ensure!(!groups.contains(&forbidden) || groups == ["rotated-secrets.io"], "{rule}");
        }
        ensure!(!resources.contains(&"*") && !resources.contains(&"serviceaccounts/token") && !verbs.contains(&"*"), "{rule}");
        for verb in ["escalate", "bind", "impersonate"] {
            ensure!(!verbs.contains(&verb), "{rule}");
        }
        ensure!(!resources.contains(&"secrets") || !verbs.iter().any(|verb| verb.starts_with("delete")), "{rule}");
    }
    Ok(())
}

/// GHSA-qwgc-rr35-h4x9: a component could read all Secrets and change webhooks, which it did not need.
#[test]
fn cve_2024_45041_no_rights_on_webhooks_roles_or_tokens_and_none_to_delete_secrets() -> Result<()> {
    check_rules(&rules()?)
}

#[test]
fn cve_2024_45041_the_check_notices_each_right_that_is_added() -> Result<()> {
    for (group, resource, verb) in [
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations", "update"),
        ("rbac.authorization.k8s.io", "clusterroles", "get"),
        ("apiextensions.k8s.io", "customresourcedefinitions", "patch"),
        ("*", "pods", "get"),
        ("", "*", "get"),
        ("", "pods", "*"),
        ("", "serviceaccounts/token", "create"),
        ("", "serviceaccounts", "impersonate"),
        ("apps", "roles", "escalate"),
        ("apps", "roles", "bind"),
        ("", "secrets", "delete"),
        ("", "secrets", "deletecollection"),
    ] {
        let mut rules = rules()?;
        rules.push(json!({"apiGroups": [group], "resources": [resource], "verbs": [verb]}));
        ensure!(check_rules(&rules).is_err(), "{verb} of {resource} in {group} is not noticed");
    }
    Ok(())
}

/// The names of all fields of the schema.
fn fields(schema: &Value, found: &mut Vec<String>) {
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        found.push(name.to_lowercase());
        fields(below, found);
    }
    for below in ["items", "additionalProperties"].into_iter().filter_map(|key| schema.get(key)) {
        fields(below, found);
    }
}

fn schema_of_the_spec() -> Result<Value> {
    let definition = serde_json::to_value(definition().context("a definition")?)?;
    Ok(definition.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").context("a schema")?.clone())
}

/// GHSA-fcxq-v2r3-cc8h: Secrets were listed without a namespace, so that one namespace's objects used those of another.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2025_55196_a_secret_of_the_same_name_in_another_namespace_is_neither_read_nor_written() -> Result<()> {
    stays_in_its_namespace(&mut Stage::new("peer").await?, |_, _| {}).await
}

/// `weaken`: takes a mechanism away; the name is that of another namespace.
async fn stays_in_its_namespace(stage: &mut Stage, weaken: fn(&mut Context, String)) -> Result<()> {
    let other = control_plane().await?.namespace("peer").await?;
    weaken(&mut stage.ctx, other.clone());
    let theirs: Api<Secret> = Api::namespaced(stage.world.admin.clone(), &other);
    let secret = json!({
        "metadata": {"name": "app", "labels": {"app.kubernetes.io/managed-by": "rotated-secrets"}, "annotations": {"rotated-secrets.io/adopt-by": "app"}},
        "stringData": {"password": "theirs"},
    });
    let before = theirs.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
    let mut adopting = spec();
    adopting["target"] = json!({"adoptionPolicy": "IfAnnotated"});
    stage.world.create("app", adopting).await?;
    for _ in 0..3 {
        stage.reconcile("app").await?;
    }
    ensure!(theirs.get("app").await? == before, "the Secret of another namespace was written");
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    ensure!(!stage.data("app").await?.values().any(|value| value == "theirs"), "the value of another namespace");
    Ok(())
}

const READS_A_SECRET: &str = r#"{{ getSecretKey "kube-system" "bootstrap" "token" }}"#;
const RESOLVES_A_NAME: &str = r#"{{ getHostByName "x.example.org" }}$(getent hosts x.example.org)"#;

/// Values, keys, labels and annotations that would be a program to a template engine are what was written.
async fn stays_literal(stage: &Stage, text: &str) -> Result<()> {
    let mut literal = spec();
    literal["value"] = json!({"data": {"field": text}, "generate": {"password": {}}});
    literal["target"] = json!({"annotations": {"example.org/note": text}});
    stage.settled("app", literal).await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.data("app").await?["field"], text);
    let annotations = stage.secret("app").await?.metadata.annotations.unwrap_or_default();
    assert_eq!(annotations.get("example.org/note").map(String::as_str), Some(text));
    assert_eq!(stage.value("app")["field"], text);
    Ok(())
}

/// GHSA-77v3-r3jw-j2v2: a function of templates read Secrets of other namespaces.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_22822_no_text_of_a_spec_reads_another_secret() -> Result<()> {
    stays_literal(&Stage::new("peer").await?, READS_A_SECRET).await
}

/// GHSA-r2pg-r6h7-crf3: a function of templates resolved host names, which sends values out by DNS.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_34984_no_text_of_a_spec_resolves_a_host_name() -> Result<()> {
    stays_literal(&Stage::new("peer").await?, RESOLVES_A_NAME).await
}

/// No field can name an object of another namespace or of another kind.
fn check_fields(schema: &Value) -> Result<()> {
    let mut found = Vec::new();
    fields(schema, &mut found);
    ensure!(found.len() > 40, "the fields are found: {found:?}");
    // An option of passwords, which takes true or false.
    found.retain(|field| field != "excludeurlunsafe");
    // That of a webhook: a host, which is one of the namespace or allowed by the administrator. No other field is a URL.
    if let Some(webhook) = found.iter().position(|field| field == "url") {
        found.remove(webhook);
    }
    for forbidden in ["namespace", "configmap", "endpoint", "url", "rolearn", "secretref", "caprovider"] {
        ensure!(!found.iter().any(|field| field.contains(forbidden)), "{forbidden} in {found:?}");
    }
    Ok(())
}

#[test]
fn cve_2026_42875_the_check_notices_each_field_that_is_added() -> Result<()> {
    for field in ["namespace", "configMapRef", "endpoint", "proxyUrl", "roleArn", "secretRef", "caProvider"] {
        for place in ["/properties", "/properties/aws/properties", "/properties/value/properties/generate/additionalProperties/properties"]
        {
            let mut schema = schema_of_the_spec()?;
            schema.pointer_mut(place).with_context(|| place)?[field] = json!({"type": "string"});
            ensure!(check_fields(&schema).is_err(), "{field} in {place} is not noticed");
        }
    }
    Ok(())
}

/// GHSA-wv26-88m5-6h59: a reference to a `ConfigMap` named the namespace of another tenant, and told whether it exists.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_42875_no_field_names_a_namespace_or_an_object_of_another_kind() -> Result<()> {
    check_fields(&schema_of_the_spec()?)?;

    // A namespace that is written nevertheless is dropped, and the message is the same whether the other object exists.
    let mut stage = Stage::new("peer").await?;
    stage.ctx.policy.service_accounts = true;
    let other = control_plane().await?.namespace("peer").await?;
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::namespaced(stage.world.admin.clone(), &other);
    accounts.create(&PostParams::default(), &serde_json::from_value(json!({"metadata": {"name": "exists"}}))?).await?;
    let mut messages = Vec::new();
    for name in ["exists", "absent"] {
        let api: Api<DynamicObject> =
            Api::namespaced_with(stage.world.admin.clone(), &stage.world.namespace, &ApiResource::erase::<RotatedSecret>(&()));
        let object = json!({
            "apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "metadata": {"name": name},
            "spec": {"aws": {"serviceAccountRef": {"name": name, "namespace": other}}, "value": {"generate": {"password": {}}}},
        });
        api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
        stage.settle(name).await?;
        messages.push(stage.expect(name, "Ready", "False", "IdentityRefused").await?.replace(name, "NAME"));
    }
    assert_eq!(messages[0], messages[1]);
    Ok(())
}

/// The types of Secrets that the schema accepts grant no access to the cluster.
fn check_types(schema: &Value) -> Result<()> {
    let types = schema.pointer("/properties/target/properties/type/enum").and_then(Value::as_array).context("a list of types")?;
    for refused in ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"] {
        ensure!(!types.contains(&json!(refused)), "{refused} in {types:?}");
    }
    Ok(())
}

#[test]
fn cve_2026_42876_the_check_notices_each_type_that_is_added() -> Result<()> {
    check_types(&schema_of_the_spec()?)?;
    for added in ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"] {
        let mut schema = schema_of_the_spec()?;
        schema["properties"]["target"]["properties"]["type"]["enum"].as_array_mut().context("a list")?.push(json!(added));
        ensure!(check_types(&schema).is_err(), "{added} is not noticed");
    }
    Ok(())
}

/// GHSA-fq7h-9x26-6j22: a Secret of the type of tokens gave the token of any `ServiceAccount` of the namespace.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_42876_no_secret_becomes_a_token_of_a_service_account() -> Result<()> {
    let token = json!({"type": "kubernetes.io/service-account-token"});
    let stage = Stage::new("peer").await?;
    for target in [
        token.clone(),
        json!({"type": "bootstrap.kubernetes.io/token"}),
        json!({"annotations": {"kubernetes.io/service-account.name": "default"}}),
    ] {
        let mut spec = spec();
        spec["target"] = target.clone();
        ensure!(stage.world.create("app", spec).await.is_err(), "the API server accepts {target}");
    }
    // An older CRD, or none of its rules: the operator itself cannot read such an object.
    let read = |target: &Value| serde_json::from_value::<RotatedSecretSpec>(json!({"target": target}));
    ensure!(read(&token).is_err() && read(&json!({"type": "Opaque"})).is_ok(), "the operator reads it");
    Ok(())
}

/// GHSA-q7hv-xx6h-q2x8: the check whether a Secret may be used came after it had been sent out.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_26287_what_may_not_be_used_is_not_read_first() -> Result<()> {
    is_not_read_first(&Stage::new("peer").await?).await
}

async fn is_not_read_first(stage: &Stage) -> Result<()> {
    let counters = stage.world.emulator.counters();
    let theirs = "k8s/peer-victim/app";
    let owned =
        BTreeMap::from(["cluster", "namespace", "name", "uid"].map(|tag| (format!("rotated-secrets.io/{tag}"), "theirs".to_owned())));
    stage.external_writer().create(theirs, r#"{"password":"theirs"}"#, &owned)?;
    let mirrors = json!({"aws": {"secretName": theirs}});
    let owns = json!({"aws": {"secretName": theirs, "adoptionPolicy": "Always"}, "value": {"generate": {"password": {}}}});

    // The name is not allowed: AWS is not called at all.
    counters.reset();
    for (name, spec) in [("owns", owns), ("mirrors", mirrors)] {
        stage.settled(name, spec).await?;
        stage.expect(name, "Provisioned", "False", "NameNotAllowed").await?;
    }
    ensure!(counters.calls() == 0, "AWS was called");

    // The name is allowed, and the secret belongs to another object: its value is not read.
    stage.allow_names(Some("k8s/*")).await?;
    stage.settle("owns").await?;
    stage.expect("owns", "Provisioned", "False", "NotOwned").await?;
    assert_eq!((counters.total("GetSecretValue"), counters.writes()), (0, 0), "the value was read");

    // The Secret belongs to another owner: the value is not read for it.
    stage.make_secret(json!({"metadata": {"name": "taken"}, "stringData": {"password": "theirs"}})).await?;
    stage.settled("taken", spec()).await?;
    stage.expect("taken", "Mirrored", "False", "SecretNotOwned").await?;
    assert_eq!(stage.data("taken").await?, BTreeMap::from([("password".to_owned(), "theirs".to_owned())]));
    Ok(())
}

/// With `--features weakened`: the same attacks on an operator without the guard must be noticed, or the tests prove
/// nothing.
#[cfg(feature = "weakened")]
mod weakened {
    use rotated_secrets::reconcile::Weakness;

    use super::*;

    async fn stage(weakness: Weakness) -> Result<Stage> {
        let mut stage = Stage::new("peer").await?;
        stage.ctx.weakness = Some(weakness);
        Ok(stage)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn cve_2025_55196_notices_an_operator_that_uses_secrets_of_another_namespace() -> Result<()> {
        let weaken = |ctx: &mut Context, other: String| ctx.weakness = Some(Weakness::SecretsOf(other.leak()));
        let noticed = stays_in_its_namespace(&mut Stage::new("peer").await?, weaken).await.expect_err("noticed");
        assert!(format!("{noticed:#}").contains("the Secret of another namespace was written"), "{noticed:#}");
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn cve_2026_22822_and_cve_2026_34984_notice_an_operator_with_templates() -> Result<()> {
        for text in [READS_A_SECRET, RESOLVES_A_NAME] {
            let noticed = stays_literal(&stage(Weakness::Templates).await?, text).await.expect_err("noticed");
            assert!(format!("{noticed:#}").contains("the mirror holds the current value"), "{noticed:#}");
        }
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn cve_2026_26287_notices_an_operator_that_reads_first() -> Result<()> {
        let noticed = is_not_read_first(&stage(Weakness::ReadsFirst).await?).await.expect_err("noticed");
        assert!(format!("{noticed:#}").contains("AWS was called"), "{noticed:#}");
        Ok(())
    }
}
