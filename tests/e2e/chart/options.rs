//! Values for the surroundings of an operator: annotations, registries, another namespace, more containers and objects.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::chart;

use super::rendered::{PLACE, documents, render, sets};
use super::values;

fn set(values: &[&str]) -> Vec<String> {
    values.iter().flat_map(|value| ["--set".to_owned(), (*value).to_owned()]).collect()
}

fn of<'a>(manifests: &'a [Value], kind: &str) -> Result<&'a Value> {
    manifests.iter().find(|document| document["kind"] == kind).with_context(|| format!("a {kind}"))
}

/// The set with every value, and its file.
fn everything() -> Result<(Vec<Value>, Value)> {
    let path = values("everything.yaml");
    let arguments = ["--values".to_owned(), path.to_str().context("a path in UTF-8")?.to_owned()];
    Ok((documents(&render(&arguments)?)?, serde_saphyr::from_str(&std::fs::read_to_string(path)?)?))
}

#[test]
fn an_annotation_of_all_objects_is_on_each_of_them_and_on_no_pod() -> Result<()> {
    for (about, mut arguments) in sets()? {
        arguments.extend(set(&["commonAnnotations.contact=platform", "commonAnnotations.helm\\.sh/resource-policy=delete"]));
        for document in documents(&render(&arguments)?)? {
            let (name, annotations) = (&document["metadata"]["name"], &document["metadata"]["annotations"]);
            if about == "everything" && document["kind"] == "ConfigMap" && name != "rotated-secrets-dashboard" {
                ensure!(annotations.is_null(), "{name} is not the chart's: {annotations}");
                continue;
            }
            ensure!(annotations["contact"] == "platform", "{about}: {} {name} has {annotations}", document["kind"]);
            // Nothing takes it from the definition.
            let kept = document["kind"] == "CustomResourceDefinition";
            ensure!((annotations["helm.sh/resource-policy"] == "keep") == kept, "{about}: {} {name} has {annotations}", document["kind"]);
            ensure!(document["spec"]["template"]["metadata"]["annotations"]["contact"].is_null(), "{about}: the pods stay as they are");
        }
    }
    Ok(())
}

#[test]
fn an_annotation_of_one_kind_comes_before_that_of_all_objects() -> Result<()> {
    let (manifests, _) = everything()?;
    for (kind, about) in [
        ("CustomResourceDefinition", "the definition"),
        ("ClusterRole", "rights"),
        ("RoleBinding", "rights"),
        ("ValidatingAdmissionPolicy", "policies"),
        ("ValidatingAdmissionPolicyBinding", "policies"),
        ("PodDisruptionBudget", "the budget"),
        ("NetworkPolicy", "the network"),
        ("Deployment", "the Deployment"),
        ("PodMonitor", "the monitor"),
        ("PrometheusRule", "alerts"),
        ("ServiceAccount", "everything"),
    ] {
        let annotations = &of(&manifests, kind)?["metadata"]["annotations"];
        ensure!(annotations["about"] == about && annotations["contact"] == "platform@example.com", "{kind}: {annotations}");
    }
    let account = of(&manifests, "ServiceAccount")?;
    ensure!(account["metadata"]["labels"]["team"] == "platform", "{account}");

    let path = values("everything.yaml");
    let monitored = ["--values".to_owned(), path.to_str().context("UTF-8")?.to_owned()].into_iter();
    let manifests = documents(&render(&monitored.chain(set(&["metrics.monitor.kind=ServiceMonitor"])).collect::<Vec<_>>())?)?;
    let metadata = &of(&manifests, "Service")?["metadata"];
    ensure!(metadata["annotations"]["about"] == "the Service" && metadata["labels"]["about"] == "metrics", "{metadata}");
    // The Service stays with the pods; the monitor looks for it there.
    ensure!(metadata["namespace"] == PLACE, "{metadata}");
    let monitor = of(&manifests, "ServiceMonitor")?;
    ensure!(monitor["spec"]["namespaceSelector"] == json!({"matchNames": [PLACE]}), "{monitor}");
    Ok(())
}

#[test]
fn an_overridden_namespace_is_as_that_of_the_release() -> Result<()> {
    let other = "elsewhere";
    for (about, mut arguments) in sets()? {
        let overridden = set(&[&format!("namespaceOverride={other}")]);
        let overridden = render(&arguments.iter().cloned().chain(overridden).collect::<Vec<_>>())?;
        arguments.extend(["--namespace".to_owned(), other.to_owned()]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        ensure!(overridden == chart::render(&chart::dir(), &arguments)?, "{about}");
    }
    Ok(())
}

#[test]
fn the_image_comes_from_the_registry_that_is_named_nearest_to_it() -> Result<()> {
    let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let version = env!("CARGO_PKG_VERSION");
    let global = "global.imageRegistry=mirror.example.com";
    for (values, image) in [
        (vec!["image.repository=a/b"], format!("a/b:{version}")),
        (vec!["image.repository=a/b", "image.registry=registry.example.com:5000/x"], format!("registry.example.com:5000/x/a/b:{version}")),
        (vec!["image.repository=a/b", global], format!("mirror.example.com/a/b:{version}")),
        (vec!["image.repository=a/b", global, "image.registry=other"], format!("other/a/b:{version}")),
        (vec!["image.repository=registry.example.com/a", global], format!("registry.example.com/a:{version}")),
        (vec!["image.repository=localhost/a", global], format!("localhost/a:{version}")),
        (vec![global, "image.tag=v1"], "mirror.example.com/rotated-secrets:v1".to_owned()),
        (vec![global, "image.tag=v1", &format!("image.digest={digest}")], format!("mirror.example.com/rotated-secrets@{digest}")),
    ] {
        let manifests = documents(&render(&set(&values))?)?;
        let found = &of(&manifests, "Deployment")?["spec"]["template"]["spec"]["containers"][0]["image"];
        ensure!(*found == json!(image), "{values:?}: {found}");
    }
    let (manifests, _) = everything()?;
    let secrets = &of(&manifests, "Deployment")?["spec"]["template"]["spec"]["imagePullSecrets"];
    ensure!(*secrets == json!([{"name": "registry"}, {"name": "mirror"}]), "{secrets}");
    Ok(())
}

#[test]
fn the_pod_has_what_the_values_say_and_the_operator_is_its_first_container() -> Result<()> {
    let (manifests, values) = everything()?;
    let spec = &of(&manifests, "Deployment")?["spec"];
    let pod = &spec["template"]["spec"];
    for key in ["dnsPolicy", "dnsConfig", "hostAliases", "runtimeClassName", "schedulerName", "hostUsers", "initContainers"] {
        ensure!(!values[key].is_null() && pod[key] == values[key], "{key}: {}", pod[key]);
    }
    ensure!(spec["revisionHistoryLimit"] == 0, "{spec}");
    let containers = pod["containers"].as_array().context("containers")?;
    ensure!(containers[0]["name"] == "operator" && containers[0]["lifecycle"] == values["lifecycle"], "{}", containers[0]);
    ensure!(json!(containers[1..]) == values["extraContainers"], "{containers:?}");
    Ok(())
}

#[test]
fn a_budget_has_one_bound() -> Result<()> {
    for (values, bounds) in [
        (vec![], json!([1, null])),
        (vec!["podDisruptionBudget.maxUnavailable=50%"], json!(["50%", null])),
        (vec!["podDisruptionBudget.minAvailable=1"], json!([null, 1])),
        (vec!["podDisruptionBudget.minAvailable=0"], json!([null, 0])),
    ] {
        let manifests = documents(&render(&set(&values))?)?;
        let spec = &of(&manifests, "PodDisruptionBudget")?["spec"];
        ensure!(json!([spec["maxUnavailable"], spec["minAvailable"]]) == bounds, "{values:?}: {spec}");
    }
    Ok(())
}

#[test]
fn an_object_is_taken_as_it_is_and_a_string_is_a_template() -> Result<()> {
    let (manifests, values) = everything()?;
    ensure!(manifests.contains(&values["extraObjects"][0]), "as it is");
    let more = manifests.iter().find(|document| document["metadata"]["name"] == "rotated-secrets-more").context("the template")?;
    ensure!(more["metadata"]["namespace"] == PLACE && more["data"]["region"] == "eu-central-1", "{more}");
    Ok(())
}

#[test]
fn the_schema_knows_the_values_and_no_others() -> Result<()> {
    let read = |name: &str| std::fs::read_to_string(chart::dir().join(name));
    let values: Value = serde_saphyr::from_str(&read("values.yaml")?)?;
    let mut schema: Value = serde_json::from_str(&read("values.schema.json")?)?;
    // Read by helm, not by the chart.
    ensure!(schema["properties"].as_object_mut().and_then(|known| known.remove("enabled")).is_some());
    compared("", &values, &schema)
}

fn compared(path: &str, values: &Value, schema: &Value) -> Result<()> {
    let (Some(values), Some(known)) = (values.as_object(), schema["properties"].as_object()) else { return Ok(()) };
    ensure!(schema["additionalProperties"] == false || path == ".global", "{path} takes anything");
    for (key, value) in values {
        compared(&format!("{path}.{key}"), value, known.get(key).with_context(|| format!("the schema has no {path}.{key}"))?)?;
    }
    // What Kubernetes takes, of which the default is a part or nothing.
    let part = [".updateStrategy", ".resources", ".livenessProbe", ".readinessProbe", ".dnsConfig", ".lifecycle"];
    let missing: Vec<_> = known.keys().filter(|key| !values.contains_key(*key) && !part.contains(&path)).collect();
    ensure!(missing.is_empty(), "values.yaml has no {missing:?} in {path}");
    Ok(())
}

#[test]
fn every_name_is_valid_whatever_the_name_of_the_release_contains() -> Result<()> {
    let monitor =
        "metrics.monitor.enabled=true,metrics.monitor.kind=ServiceMonitor,networkPolicy.enabled=false,metrics.dashboard.enabled=true";
    let ends_at_a_dot = format!("{}.more", "a".repeat(51));
    for name in ["team.operator", "9.operator", &ends_at_a_dot] {
        let manifests = documents(&render(&set(&[monitor, &format!("fullnameOverride={name}")]))?)?;
        let label = |name: &str| name.len() <= 63 && !name.contains('.') && name.starts_with(|first: char| first.is_ascii_lowercase());
        let service = of(&manifests, "Service")?["metadata"]["name"].as_str().context("a name")?.to_owned();
        ensure!(label(&service) && service.ends_with("-metrics"), "{name}: the Service is {service}");
        for document in &manifests {
            let name = document["metadata"]["name"].as_str().context("a name")?;
            let parts = name.split('.').all(|part| !part.is_empty() && !part.starts_with('-') && !part.ends_with('-'));
            ensure!(parts && name.len() <= 63, "{}: {name}", document["kind"]);
        }
    }
    Ok(())
}
