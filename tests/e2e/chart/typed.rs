//! Values that YAML takes for numbers, booleans or nothing are texts for Kubernetes.

use anyhow::{Result, ensure};
use serde_json::Value;
use testkit::chart;

/// Texts that a template must quote, by the keys under which they come out.
const KEYS: [&str; 12] = [
    "name",
    "namespace",
    "serviceAccountName",
    "priorityClassName",
    "runtimeClassName",
    "schedulerName",
    "policyName",
    "interval",
    "scrapeTimeout",
    "matchNames",
    "resourceNames",
    "args",
];

/// The parts of an object in which every value is a text.
const TEXTS: [&str; 3] = ["labels", "annotations", "matchLabels"];

/// Every value under such a key is a text.
fn check(value: &Value, place: &str, text: bool) -> Result<()> {
    match value {
        Value::Object(fields) => fields.iter().try_for_each(|(key, field)| {
            let text = TEXTS.contains(&key.as_str()) || place.rsplit('.').next().is_some_and(|last| TEXTS.contains(&last));
            check(field, &format!("{place}.{key}"), text || KEYS.contains(&key.as_str()))
        }),
        Value::Array(items) => items.iter().try_for_each(|item| check(item, place, text)),
        Value::String(_) => Ok(()),
        other => {
            ensure!(!text, "{place}: {other} is not quoted");
            Ok(())
        }
    }
}

#[test]
fn names_labels_and_durations_that_look_like_numbers_or_booleans_are_quoted() -> Result<()> {
    let texts = [
        "nameOverride=1001",
        "fullnameOverride=1e3",
        "namespaceOverride=1003",
        "serviceAccount.name=007",
        "priorityClassName=true",
        "runtimeClassName=1006",
        "schedulerName=0x1f",
        "metrics.monitor.namespace=1008",
        "metrics.prometheusRule.namespace=1e9",
        "metrics.dashboard.namespace=null",
        "namespaces={1011,1012}",
        "serviceAccountIdentity.namespaces={1011}",
        "rotationJobs.namespaces={1012}",
        "metrics.monitor.interval=0",
        "serviceAccount.annotations.account=012345678901",
        "commonLabels.account=012345678901",
        "commonAnnotations.released=2026-01-01",
        "podLabels.zero=007",
        "podAnnotations.on=yes",
        "rbac.annotations.off=no",
    ];
    let mut arguments: Vec<&str> = texts.iter().flat_map(|set| ["--set-string", set]).collect();
    let network = "networkPolicy.metricsFrom[0].podSelector.matchLabels.app=prometheus";
    for set in ["metrics.monitor.enabled=true", network, "metrics.prometheusRule.enabled=true", "metrics.dashboard.enabled=true"] {
        arguments.extend(["--set", set]);
    }
    for kind in ["metrics.monitor.kind=PodMonitor", "metrics.monitor.kind=ServiceMonitor"] {
        let rendered = chart::render(&chart::dir(), &[&arguments[..], &["--set", kind]].concat())?;
        let mut checked = 0;
        for document in rendered.split("\n---\n").filter(|document| !document.contains("kind: CustomResourceDefinition")) {
            let Some(object) = serde_saphyr::from_str::<Option<Value>>(document)? else { continue };
            check(&object, object["kind"].as_str().unwrap_or_default(), false)?;
            checked += 1;
        }
        ensure!(checked > 15, "{checked} objects");
    }
    Ok(())
}
