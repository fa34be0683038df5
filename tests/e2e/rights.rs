//! The rights in deploy/install.yaml, which are the chart's defaults: enough, and none to spare.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt as _;
use kube::core::DynamicObject;
use serde_json::{Value, json};
use testkit::controlplane::AuditEvent;

use crate::operator::Operator;
use crate::recorded::recorded;
use crate::stage::{NAMESPACE, Stage};

/// (verb, resource) of every rule of every role that the objects bind to the operator's account. Other roles among them are for people.
pub(crate) fn granted_by(objects: &[DynamicObject]) -> Result<BTreeSet<(String, String)>> {
    let words = |rule: &Value, key: &str| -> Result<Vec<String>> {
        let words = rule[key].as_array().with_context(|| format!("a rule has {key}"))?;
        Ok(words.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    };
    let kind = |object: &DynamicObject| object.types.as_ref().map(|types| types.kind.clone()).unwrap_or_default();
    let account = json!([{"kind": "ServiceAccount", "name": "rotated-secrets", "namespace": NAMESPACE}]);
    let bound: BTreeSet<(String, String, String)> = objects
        .iter()
        .filter(|object| matches!(kind(object).as_str(), "ClusterRoleBinding" | "RoleBinding") && object.data["subjects"] == account)
        .map(|binding| {
            let reference = |key: &str| binding.data["roleRef"][key].as_str().unwrap_or_default().to_owned();
            (reference("kind"), reference("name"), binding.namespace().unwrap_or_default())
        })
        .collect();
    let mut granted = BTreeSet::new();
    for role in objects.iter().filter(|role| bound.contains(&(kind(role), role.name_any(), role.namespace().unwrap_or_default()))) {
        for rule in role.data["rules"].as_array().context("rules")? {
            for resource in words(rule, "resources")? {
                granted.extend(words(rule, "verbs")?.into_iter().map(|verb| (verb, resource.clone())));
            }
        }
    }
    ensure!(!granted.is_empty(), "there are roles");
    Ok(granted)
}

/// The same of what was asked. A path that is no resource (discovery, version) needs no rule.
pub(crate) fn asked_of(events: &[AuditEvent]) -> BTreeSet<(String, String)> {
    let resources = events.iter().filter(|event| !event.resource.is_empty());
    resources
        .map(|event| {
            let resource =
                if event.subresource.is_empty() { event.resource.clone() } else { format!("{}/{}", event.resource, event.subresource) };
            (event.verb.clone(), resource)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_right_is_used_and_no_other_is_asked_for() -> Result<()> {
    let recorded = recorded().await?;
    let stage = Stage::enter("rights").await?;
    let applied = stage.plane().apply_yaml(include_str!("../../deploy/install.yaml")).await?;
    let granted = granted_by(&applied.objects)?;

    let refused: Vec<_> = recorded.asked.iter().filter(|event| matches!(event.code, 401 | 403)).map(|event| &event.uri).collect();
    ensure!(refused.is_empty(), "refused: {refused:?}");
    let asked = asked_of(&recorded.asked);
    println!("rights: {asked:?}");
    println!(
        "rights: paths without a resource: {:?}",
        recorded.asked.iter().filter(|e| e.resource.is_empty()).map(|e| &e.uri).collect::<BTreeSet<_>>()
    );
    let unused: Vec<_> = granted.difference(&asked).collect();
    ensure!(unused.is_empty(), "granted and never used: {unused:?}");
    let beyond: Vec<_> = asked.difference(&granted).collect();
    ensure!(beyond.is_empty(), "asked beyond the rules: {beyond:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_touched_only_where_there_are_objects_and_watched_only_by_label() -> Result<()> {
    let recorded = recorded().await?;
    let mut seen = 0;
    for event in recorded.asked.iter().filter(|event| event.resource == "secrets") {
        seen += 1;
        if matches!(event.verb.as_str(), "list" | "watch") {
            ensure!(event.uri.contains("labelSelector=app.kubernetes.io%2Fmanaged-by%3Drotated-secrets"), "by label: {}", event.uri);
        } else {
            ensure!(event.namespace == recorded.namespace, "{} {} in {}", event.verb, event.name, event.namespace);
        }
    }
    ensure!(seen > 20, "the story has touched Secrets");
    Ok(())
}

/// Bytes and number of the API server's responses to a verb on Secrets, for all clients.
async fn answers(stage: &Stage, verb: &str) -> Result<(f64, f64)> {
    let page = stage.plane().admin().request_text(http::Request::get("/metrics").body(Vec::new())?).await?;
    let total = |metric: &str| -> f64 {
        page.lines()
            .filter(|line| line.starts_with(metric) && line.contains("resource=\"secrets\"") && line.contains(&format!("verb=\"{verb}\"")))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    };
    Ok((total("apiserver_response_sizes_sum"), total("apiserver_response_sizes_count")))
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_read_by_their_metadata_only() -> Result<()> {
    let stage = Stage::enter("metadata").await?;
    let generate: Value =
        (0..4).map(|number| (format!("field{number}"), json!({"passwordLength": 4096}))).collect::<serde_json::Map<_, _>>().into();
    stage.create("large", json!({"value": {"generate": generate}})).await?;
    let first = Operator::start(&stage).await?;
    let large = stage.ready("large").await?;
    let bytes: usize = large.mirror.data.iter().flatten().map(|(_, value)| value.0.len()).sum();
    ensure!(bytes == 4 * 4096, "a Secret whose data outweighs its metadata");
    first.terminate().await?;

    // Only the operator reads Secrets meanwhile.
    let (before, listed) = (answers(&stage, "GET").await?, answers(&stage, "LIST").await?);
    let second = Operator::start_with(&stage, &["--refresh-interval", "1s"]).await?;
    stage.reads(6).await?;
    // Watches show an object at rest. A request is carried out after a read.
    stage.refresh("large", "look").await?;
    stage.reads(2).await?;
    second.terminate().await?;
    for (verb, before) in [("GET", before), ("LIST", listed)] {
        let after = answers(&stage, verb).await?;
        let (sum, count) = (after.0 - before.0, after.1 - before.1);
        println!("rights: {count} answers to {verb} of Secrets had {sum} bytes");
        ensure!(count >= 1.0, "there were some");
        ensure!(sum / count < 6000.0, "an answer to {verb} is too large for metadata: {sum} bytes in {count} answers");
    }
    Ok(())
}
