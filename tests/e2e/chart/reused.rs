//! `helm upgrade --reuse-values`: the values of an earlier chart lack what is new in this one. Installed so by [`super::installed`].

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::chart;

use super::rendered::{documents, render};

/// Taken by Kubernetes as they are: without them, the default is that of Kubernetes.
const TAKEN: [&str; 8] = [
    "topologySpreadConstraints",
    "resources",
    "podSecurityContext",
    "securityContext",
    "livenessProbe",
    "readinessProbe",
    "networkPolicy.egressPorts",
    "metrics.dashboard.labels",
];

fn values() -> Result<Value> {
    Ok(serde_saphyr::from_str(&std::fs::read_to_string(chart::dir().join("values.yaml"))?)?)
}

/// Arguments that remove these values, as if the earlier chart had not had them.
fn without<'a>(paths: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    paths.into_iter().flat_map(|path| ["--set".to_owned(), format!("{path}=null")]).collect()
}

/// The values that are no block of others.
fn leaves(path: &str, value: &Value, found: &mut Vec<String>) {
    match value.as_object().filter(|map| !map.is_empty() && !TAKEN.contains(&path)) {
        Some(map) => {
            for (key, value) in map {
                leaves(&if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, value, found);
            }
        }
        None => found.push(path.to_owned()),
    }
}

#[test]
fn a_block_or_a_switch_that_is_missing_has_its_default() -> Result<()> {
    let (values, defaults) = (values()?, render(&[])?);
    let blocks: Vec<&str> = values.as_object().context("values")?.keys().map(String::as_str).filter(|key| !TAKEN.contains(key)).collect();
    for block in &blocks {
        ensure!(render(&without([*block]))? == defaults, "without {block}, the default is another; see templates/_defaults.tpl");
    }
    ensure!(render(&without(blocks))? == defaults, "without all of them");
    let mut single = Vec::new();
    leaves("", &values, &mut single);
    single.retain(|path| !TAKEN.contains(&path.as_str()));
    ensure!(single.len() > 80, "{single:?}");
    for path in &single {
        ensure!(render(&without([path.as_str()]))? == defaults, "without {path}, the default is another; see templates/_defaults.tpl");
    }
    ensure!(render(&without(single.iter().map(String::as_str)))? == defaults, "without all of them");
    Ok(())
}

#[test]
fn nothing_fails_without_any_value() -> Result<()> {
    let values = values()?;
    let manifests = documents(&render(&without(values.as_object().context("values")?.keys().map(String::as_str)))?)?;
    ensure!(manifests.iter().any(|document| document["kind"] == "Deployment"));
    // A list that the user removed stays removed.
    let manifests = documents(&render(&without(TAKEN))?)?;
    let policy = manifests.iter().find(|document| document["kind"] == "NetworkPolicy").context("a NetworkPolicy")?;
    ensure!(!policy["spec"]["egress"].to_string().contains("6443"), "{policy}");
    Ok(())
}
