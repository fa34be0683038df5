//! What a tenant can store and the operator cannot use: it harms that object only. Written through the API server, past every type of ours.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use rotated_secrets::api::FINALIZER;
use serde_json::{Value, json};

use crate::operator::Operator;
use crate::stage::Stage;
use testkit::until;

const DEFINITION: &str = "rotatedsecrets.rotated-secrets.io";
/// The last second that RFC 3339 has. jiff has no such time.
const BEYOND: &str = "9999-12-31T23:59:59Z";
/// In every object that is written here; never in a log.
const MARK: &str = "written-by-a-tenant";

/// The API server as its clients see it that know no types.
struct Raw(Client);

impl Raw {
    async fn send(&self, method: &str, path: &str, body: String) -> Result<String> {
        let request = http::Request::builder().method(method).uri(path).header("content-type", "application/json");
        self.0.request_text(request.body(body.into_bytes())?).await.with_context(|| format!("{method} {path}"))
    }

    async fn patch(&self, path: &str, body: &str) -> Result<String> {
        let request = http::Request::patch(path).header("content-type", "application/merge-patch+json");
        self.0.request_text(request.body(body.as_bytes().to_vec())?).await.with_context(|| format!("PATCH {path}"))
    }

    async fn get(&self, path: &str) -> Result<String> {
        self.send("GET", path, String::new()).await
    }

    /// Writes an entry of `managedFields` with a time that jiff does not have, as everybody may who may update the object.
    async fn misdate(&self, path: &str) -> Result<()> {
        let mut object: Value = serde_json::from_str(&self.get(path).await?)?;
        object["metadata"]["labels"]["misdated"] = json!("yes");
        let entries = object["metadata"]["managedFields"].as_array_mut().context("managedFields")?;
        entries.push(json!({
            "manager": MARK, "operation": "Update", "apiVersion": object_version(path), "time": BEYOND, "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:labels": {"f:misdated": {}}}},
        }));
        self.send("PUT", path, object.to_string()).await?;
        ensure!(self.get(path).await?.contains(BEYOND), "the API server keeps it");
        Ok(())
    }
}

fn object_version(path: &str) -> &'static str {
    if path.starts_with("/api/") { "v1" } else { "rotated-secrets.io/v1alpha1" }
}

fn objects_in(namespace: &str) -> String {
    format!("/apis/rotated-secrets.io/v1alpha1/namespaces/{namespace}/rotatedsecrets")
}

/// JSON of a RotatedSecret that is held by our finalizer, with a spec of any text.
fn object(name: &str, spec: &str) -> String {
    format!(
        r#"{{"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret",
            "metadata": {{"name": "{name}", "finalizers": ["{FINALIZER}"]}}, "spec": {spec}}}"#
    )
}

/// A definition of another version, which takes everything. Ours refuses most of what is written here, and that is not what is tried.
async fn take_everything(stage: &Stage) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(stage.plane().admin());
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": anything}}});
    let mut version = serde_json::to_value(definitions.get(DEFINITION).await?)?["spec"]["versions"][0].take();
    version["schema"] = schema;
    let patch = Patch::Merge(json!({"spec": {"versions": [version]}}));
    definitions.patch(DEFINITION, &PatchParams::default(), &patch).await?;
    // The API server takes a moment to serve it.
    let raw = Raw(stage.plane().admin());
    let objects = objects_in(&stage.namespace);
    until("the API server takes everything", async || {
        let probe = object("probe", r#"{"anything": {"at": "all"}}"#).replace(FINALIZER, "example.org/none");
        let kept = raw.send("POST", &objects, probe).await?;
        let gone = format!("{objects}/probe");
        stage.kubectl(&["patch", "rsec", "probe", "--type=merge", "--patch", r#"{"metadata":{"finalizers":null}}"#]).await?;
        raw.send("DELETE", &gone, String::new()).await?;
        Ok(kept.contains("anything").then_some(()))
    })
    .await
}

/// Another tenant's life: created, repaired, rotated.
async fn others_live(stage: &Stage, name: &str) -> Result<()> {
    stage.create(name, json!({"value": {"generate": {"password": {}}}, "rotation": {"schedule": "rate(30 days)"}})).await?;
    stage.ready(name).await?;
    stage.secrets().delete(name, &DeleteParams::default()).await?;
    stage.ready(name).await?;
    stage.rotate(name, "asked").await?;
    Ok(())
}

const UNREADABLE: [&str; 3] = ["deep", "large", "word"];

/// Everything that is known to have stopped an operator.
async fn write_poison(stage: &Stage, raw: &Raw, namespace: &str) -> Result<()> {
    let path = objects_in(namespace);
    let deep = format!("{}{MARK:?}{}", "[".repeat(150), "]".repeat(150));
    let policy = format!(r#"{{"aws": {{"resourcePolicy": {{"Statement": [{{"Effect": "Allow", "Condition": {deep}}}]}}}}}}"#);
    raw.send("POST", &path, object("deep", &policy)).await?;
    let large = format!(r#"{{"aws": {{"description": {:?}}}}}"#, MARK.repeat(50_000));
    raw.send("POST", &path, object("large", &large)).await?;
    raw.send("POST", &path, object("word", &format!(r#"{{"aws": {{"deletionPolicy": {MARK:?}}}}}"#))).await?;
    let suspended = object("odd-status", r#"{"suspend": true}"#);
    raw.send("POST", &path, suspended).await?;
    let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:k8s/theirs-AbCdEf";
    let odd = json!({"aws": {"arn": arn}, "lastRotationTime": BEYOND, "missedRotations": MARK});
    for (name, status) in [("odd-status", odd), ("word", json!({"aws": {"arn": arn}}))] {
        let of = format!("{path}/{name}");
        until("the status is written", async || {
            let mut stored: Value = serde_json::from_str(&raw.get(&of).await?)?;
            stored["status"].clone_from(&status);
            Ok(raw.send("PUT", &format!("{of}/status"), stored.to_string()).await.ok().map(drop))
        })
        .await?;
    }
    let fine = r#"{"value": {"generate": {"password": {"type": "Password"}}}}"#;
    raw.send("POST", &path, object("misdated", fine)).await?;
    let secrets = format!("/api/v1/namespaces/{namespace}/secrets");
    let labels = json!({"app.kubernetes.io/managed-by": "rotated-secrets"});
    let labelled = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "aaa", "labels": labels}});
    raw.send("POST", &secrets, labelled.to_string()).await?;
    for path in [format!("{path}/misdated"), format!("{secrets}/aaa"), format!("/api/v1/namespaces/{namespace}")] {
        // The first time, the label is new and its writer is the owner; and the operator may have written meanwhile.
        until(&format!("{path} is misdated"), async || Ok(raw.misdate(&path).await.ok())).await?;
    }
    ensure!(stage.namespace != namespace, "others live elsewhere");
    Ok(())
}

/// Each unreadable object is named and counted, and none is quoted.
async fn told(operator: &Operator, namespace: &str) -> Result<()> {
    let count = "rotated_secrets_unreadable_objects{kind=\"RotatedSecret\"}";
    until("all are counted", async || {
        let counted = operator.metric(count).await?;
        Ok(((counted - 3.0).abs() < 0.5).then_some(()))
    })
    .await?;
    for name in UNREADABLE {
        let named = format!("{namespace}/{name}");
        until(&format!("{named} is named"), async || {
            let log = operator.log()?;
            let line = log
                .iter()
                .find(|line| line["object"] == json!(named) && line["message"].as_str().is_some_and(|m| m.contains("cannot be read")));
            Ok(line.map(drop))
        })
        .await?;
    }
    ensure!(!operator.output()?.contains(MARK), "nothing of what they hold is in the log");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_tenant_stores_never_stops_the_others_and_can_be_deleted() -> Result<()> {
    let stage = Stage::alone("zebra").await?;
    take_everything(&stage).await?;
    let raw = Raw(stage.plane().admin());
    // The first of the cluster by name, so that a list with a limit of one returns it.
    let theirs = stage.plane().namespace("aardvark").await?;
    let operator = Operator::start(&stage).await?;
    others_live(&stage, "before").await?;
    write_poison(&stage, &raw, &theirs).await?;
    others_live(&stage, "meanwhile").await?;
    told(&operator, &theirs).await?;
    let mut refused = until("each is in the audit stream", async || {
        let lines = operator.audited()?.into_iter().filter(|line| line["reason"] == "Unreadable");
        let names: Vec<String> = lines.filter_map(|line| line["name"].as_str().map(str::to_owned)).collect();
        Ok((names.len() >= UNREADABLE.len()).then_some(names))
    })
    .await?;
    refused.sort();
    ensure!(refused == UNREADABLE, "each is refused once in the audit stream: {refused:?}");
    operator.terminate().await?;

    let operator = Operator::start(&stage).await?;
    others_live(&stage, "after-a-restart").await?;
    told(&operator, &theirs).await?;
    operator.terminate().await?;

    let namespaces = format!("{theirs},{}", stage.namespace);
    let operator = Operator::start_with(&stage, &["--namespaces", &namespaces]).await?;
    others_live(&stage, "in-a-list-of-namespaces").await?;
    told(&operator, &theirs).await?;
    until("an object with an odd time in its metadata is served", async || {
        let found: Value = serde_json::from_str(&raw.get(&format!("{}/misdated", objects_in(&theirs))).await?)?;
        let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
        Ok(conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True").then_some(()))
    })
    .await?;

    for name in UNREADABLE.iter().chain(&["odd-status", "misdated"]) {
        let path = format!("{}/{name}", objects_in(&theirs));
        raw.send("DELETE", &path, String::new()).await?;
        until(&format!("{name} is gone"), async || Ok(raw.get(&path).await.is_err().then_some(()))).await?;
    }
    until("none is counted", async || {
        let counted = operator.metric("rotated_secrets_unreadable_objects{kind=\"RotatedSecret\"}").await?;
        Ok((counted.abs() < 0.5).then_some(()))
    })
    .await?;
    let events = until("what stays in AWS is told", async || {
        let events = stage.kubectl(&["get", "events", "-n", &theirs, "-o", "json"]).await?;
        Ok(events.contains("secret:k8s/theirs-AbCdEf stays").then_some(events))
    })
    .await?;
    ensure!(!events.contains(MARK), "{events}");
    let let_go = || -> Result<usize> {
        let log = operator.log()?;
        Ok(log.iter().filter(|line| line["message"] == "removed the finalizer from an object that cannot be read").count())
    };
    until("each was let go", async || Ok((let_go()? >= UNREADABLE.len()).then_some(()))).await?;
    ensure!(let_go()? == UNREADABLE.len(), "each was let go once: {}", let_go()?);
    operator.check()
}

/// Patches of the metadata with lists of as many entries as the API server accepts. An object needs the space of its
/// `managedFields` for that. The owners are other ones for each `round`.
fn crowds(round: usize) -> [Value; 2] {
    let owner = |n: usize| json!({"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "name": format!("{round}-{n}"), "uid": format!("{round}-{n}")});
    let owners: Vec<Value> = (0..12_000).map(owner).collect();
    let finalizers: Vec<String> = (0..40_000).map(|n| format!("example.org/{n}")).collect();
    [json!({"ownerReferences": owners, "managedFields": [{}]}), json!({"finalizers": finalizers, "managedFields": [{}]})]
}

/// RotatedSecrets and labelled Secrets with crowded metadata. Returns the number of bytes that are stored.
async fn crowd(raw: &Raw, namespace: &str) -> Result<u64> {
    let (objects, secrets) = (objects_in(namespace), format!("/api/v1/namespaces/{namespace}/secrets"));
    let labels = json!({"app.kubernetes.io/managed-by": "rotated-secrets"});
    let mut stored: u64 = 0;
    for number in 0..3 {
        for (kind, of) in [("owners", 0), ("finalizers", 1)] {
            let name = format!("{kind}-{number}");
            raw.send("POST", &objects, object(&name, r#"{"suspend": true}"#)).await?;
            let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": labels}});
            raw.send("POST", &secrets, secret.to_string()).await?;
            for path in [format!("{objects}/{name}"), format!("{secrets}/{name}")] {
                for round in 0..3 {
                    let text = json!({"metadata": crowds(round)[of]}).to_string();
                    raw.patch(&path, &text).await?;
                    // What is replaced is not stored any longer.
                    stored += if round == 0 { text.len() as u64 } else { 0 };
                }
            }
        }
    }
    Ok(stored)
}

/// How many bytes of memory one byte that a tenant stores may cost, at the highest. Measured: 1.1, of which most is the page of the list.
const COST: u64 = 2;

/// How many objects have a large resource policy.
const POLICIES: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn what_one_tenant_stores_costs_a_bounded_share_of_memory() -> Result<()> {
    let stage = Stage::alone("memory").await?;
    take_everything(&stage).await?;
    let raw = Raw(stage.plane().admin());
    let quiet = ["--log", "info"];
    let operator = Operator::start_with(&stage, &quiet).await?;
    others_live(&stage, "before").await?;
    let start = operator.used()?.peak;
    let path = objects_in(&stage.namespace);
    let mut stored: u64 = 0;
    for number in 0..8 {
        // Each byte pair is a value: what a tree of values makes most of.
        let many = vec!["0"; 600_000].join(",");
        let spec =
            format!(r#"{{"suspend": true, "aws": {{"resourcePolicy": {{"Statement": [{{"Effect": "Deny", "Condition": [{many}]}}]}}}}}}"#);
        let text = object(&format!("many-{number}"), &spec);
        stored += text.len() as u64;
        raw.send("POST", &path, text).await?;
    }
    // Within the limits of an earlier definition, and every text has one character.
    let keys: Value = (0..32).map(|n| (format!("c{n}"), json!(vec!["a"; 63]))).collect();
    let condition: Value = (0..31).map(|n| (format!("k{n}"), keys.clone())).collect();
    let statement = json!({"Effect": "Deny", "Principal": {"AWS": ["*"]}, "Action": ["a"], "Condition": condition});
    let spec = json!({
        "suspend": true, "value": {"generate": {"p": {}}}, "aws": {"resourcePolicy": {"Version": "2012-10-17", "Statement": [statement]}},
    });
    for number in 0..POLICIES {
        let text = object(&format!("policy-{number}"), &spec.to_string());
        stored += text.len() as u64;
        raw.send("POST", &path, text).await?;
    }
    stored += crowd(&raw, &stage.namespace).await?;
    others_live(&stage, "meanwhile").await?;
    let running = operator.used()?.peak.saturating_sub(start) * 1024;
    println!("{stored} bytes stored; running: {running} bytes more at the peak");
    operator.terminate().await?;

    let operator = Operator::start_with(&stage, &quiet).await?;
    others_live(&stage, "after-a-restart").await?;
    let cold = operator.used()?.peak.saturating_sub(start) * 1024;
    println!("after a restart: {cold} bytes more at the peak");
    ensure!(running < COST * stored && cold < COST * stored, "{running} and {cold} for {stored} bytes");
    for name in (0..8).map(|n| format!("many-{n}")).chain((0..POLICIES).map(|n| format!("policy-{n}"))) {
        raw.send("DELETE", &format!("{path}/{name}"), String::new()).await?;
    }
    operator.check()
}
