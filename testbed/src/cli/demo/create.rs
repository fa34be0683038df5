//! Steps 4 and 5: a credential is created, and a workload uses it.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt as _;
use kube::api::Api;
use serde_json::Value;
use testbed::controlplane::AuditEvent;

use super::aws::{CURRENT, labels, tags, text};
use super::kubelet::View;
use super::scenario::{AWS_NAME, NAME, NAMESPACE, PATIENCE, Scenario, State};
use super::screen::{Screen, short};
use super::tools::repository;

pub(super) const EXAMPLE: &str = "examples/db-admin.yaml";
const DEPLOYMENT: &str = "examples/deployment.yaml";
/// The Secret that [`DEPLOYMENT`] uses.
const OTHER: &str = "orders-db";
const CONTROLLER: &str = "system:serviceaccount:kube-system:replicaset-controller";
const SELECTOR: &str = "app=shop";
/// Long enough for what is shown between two rotations.
const SCHEDULE: &str = "rate(20 seconds)";

pub(super) async fn create(scenario: &Scenario<'_>) -> Result<()> {
    let screen = scenario.screen;
    screen.headline("A user creates a credential")?;
    scenario.kubectl(&["create", "namespace", NAMESPACE]).await?;
    scenario.kubectl(&["config", "set-context", "--current", "--namespace", NAMESPACE]).await?;
    screen.say(&format!("{EXAMPLE}, with a shorter schedule, is applied with kubectl:"))?;
    let example = fs::read_to_string(repository().join(EXAMPLE)).with_context(|| format!("cannot read {EXAMPLE}"))?;
    let shortened = changed(screen, &example, shorten)?;
    scenario.kubectl_with(&["apply", "-f", "-"], Some(&shortened)).await?;
    scenario.kubectl(&["wait", "--for=condition=Ready", "rsec/db-admin", "--timeout=60s"]).await?;
    let state = scenario.settled("the credential is in AWS and in Kubernetes", PATIENCE, |_| true).await?;

    screen.say("What is in AWS:")?;
    let described = scenario.aws.show(screen, "describe-secret").await?;
    show_secret(screen, &described)?;
    check_owner(&described, &state.object)?;
    screen.ok("its tags name the object that owns it: cluster, namespace, name and uid")?;
    screen.ok(&format!("its value has the fields {}", state.version.shape()))?;
    let username = example_username(&example)?;
    ensure!(state.version.field("username") == Some(username.as_bytes()), "expected that the user name is {username}; it is another one");
    ensure!(state.version.field("password").is_some_and(|password| !password.is_empty()), "expected a password; there is none");

    screen.say("What is in Kubernetes:")?;
    scenario.kubectl(&["get", "rsec,secret"]).await?;
    let owner = state.secret.owner_references().iter().any(|owner| Some(owner.uid.as_str()) == uid(&state.object));
    ensure!(owner, "expected that the Secret's owner is the RotatedSecret; it is not");
    screen.ok(&format!("the Secret {NAME} holds version {}, the same value as in AWS: yes", short(&state.current)))
}

/// Shows `example` without its comments, with every line that `change` replaces, and returns what it shows.
fn changed(screen: &Screen, example: &str, change: fn(&str) -> Option<String>) -> Result<String> {
    let mut manifest = String::new();
    let mut changes = 0;
    for line in example.lines().filter(|line| !line.starts_with('#')) {
        if let Some(new) = change(line) {
            screen.removed(line)?;
            screen.added(&new)?;
            manifest.push_str(&new);
            changes += 1;
        } else {
            screen.output(line)?;
            manifest.push_str(line);
        }
        manifest.push('\n');
    }
    ensure!(changes > 0, "expected a line of the example that the demo changes; there is none");
    Ok(manifest)
}

fn shorten(line: &str) -> Option<String> {
    let indent = line.len() - line.trim_start().len();
    line.trim_start().starts_with("schedule:").then(|| format!("{}schedule: {SCHEDULE}", " ".repeat(indent)))
}

/// The example uses the Secret of another example.
fn use_secret(line: &str) -> Option<String> {
    line.contains(OTHER).then(|| line.replace(OTHER, NAME))
}

fn example_username(example: &str) -> Result<&str> {
    let line = example.lines().find_map(|line| line.trim().strip_prefix("username:"));
    line.map(str::trim).with_context(|| format!("expected that {EXAMPLE} has a line `username:`; it has none"))
}

/// What `DescribeSecret` says, in short.
fn show_secret(screen: &Screen, described: &Value) -> Result<()> {
    screen.output(&format!("name      {}", text(described, "Name")))?;
    for (key, value) in tags(described) {
        screen.output(&format!("tag       {key} = {value}"))?;
    }
    for (label, id) in labels(described) {
        screen.output(&format!("version   {} {label}", short(&id)))?;
    }
    Ok(())
}

fn check_owner(described: &Value, object: &Value) -> Result<()> {
    ensure!(text(described, "Name") == AWS_NAME, "expected that the AWS secret is {AWS_NAME}; it is {}", text(described, "Name"));
    let tags = tags(described);
    for (key, wanted) in [("namespace", Some(NAMESPACE)), ("name", Some(NAME)), ("uid", uid(object))] {
        let found = tags.get(&format!("rotated-secrets.io/{key}")).map(String::as_str);
        ensure!(wanted.is_some() && found == wanted, "expected that the tag rotated-secrets.io/{key} is {wanted:?}; it is {found:?}");
    }
    ensure!(tags.contains_key("rotated-secrets.io/cluster"), "expected a tag rotated-secrets.io/cluster; there is none");
    ensure!(labels(described).contains_key(CURRENT), "expected a version with the label {CURRENT}; there is none");
    Ok(())
}

fn uid(object: &Value) -> Option<&str> {
    object.pointer("/metadata/uid").and_then(Value::as_str)
}

pub(super) async fn consume(scenario: &Scenario<'_>) -> Result<()> {
    let screen = scenario.screen;
    screen.headline("A workload uses it")?;
    screen.say("There is no node here and no container runs: a SIMULATED kubelet assigns the pods, marks them as running and says what")?;
    screen.say("they would read. All else is real: the Deployment's pods come from kube-controller-manager.")?;
    screen.say(&format!("{DEPLOYMENT}, with the Secret of this demo, is applied with kubectl:"))?;
    let example = fs::read_to_string(repository().join(DEPLOYMENT)).with_context(|| format!("cannot read {DEPLOYMENT}"))?;
    let deployment = changed(screen, &example, use_secret)?;
    scenario.kubectl_with(&["apply", "-f", "-"], Some(&deployment)).await?;
    let deployments: Api<Deployment> = Api::namespaced(scenario.client.clone(), NAMESPACE);
    scenario
        .until("the Deployment's pods are ready", PATIENCE, async || {
            let deployment = deployments.get("shop").await?;
            let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
            let ready = deployment.status.as_ref().and_then(|status| status.ready_replicas);
            Ok((wanted.is_some() && ready == wanted).then_some(()))
        })
        .await?;
    scenario.kubectl(&["get", "deployment,pods"]).await?;
    let state = scenario.settled("the Secret holds AWS's current version", PATIENCE, |_| true).await?;
    let makers = makers(scenario).await?;
    ensure!(makers == [CONTROLLER], "expected that the pods were made by {CONTROLLER}; they were made by {makers:?}");
    screen.ok(&format!("the pods were made by {CONTROLLER}"))?;
    let views = views(scenario, &state).await?;
    for view in &views {
        screen.ok(&format!("pod {} would read version {} in {}", view.pod, short(&view.version.id), view.path))?;
    }
    Ok(())
}

/// Who made pods, by the API server's audit log.
async fn makers(scenario: &Scenario<'_>) -> Result<Vec<String>> {
    let audit = scenario.stage.control_plane.audit().await?;
    let made = audit.into_iter().filter(|event| event.verb == "create" && event.resource == "pods" && event.subresource.is_empty());
    let mut makers: Vec<String> = made.filter(AuditEvent::is_write).map(|event| event.user).collect();
    makers.sort();
    makers.dedup();
    Ok(makers)
}

/// What each pod would read. Fails unless it is the version and the value of `state`.
pub(super) async fn views(scenario: &Scenario<'_>, state: &State) -> Result<Vec<View>> {
    let views = scenario.kubelet.views(SELECTOR).await?;
    ensure!(!views.is_empty(), "expected pods with the label {SELECTOR}; there are none");
    for view in &views {
        ensure!(
            view.version == state.version,
            "expected that pod {} would read version {}; it would read {}",
            view.pod,
            short(&state.current),
            short(&view.version.id)
        );
    }
    Ok(views)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_have_the_lines_that_the_demo_changes() {
        let read = |path: &str| fs::read_to_string(repository().join(path)).expect(path);
        assert_eq!(read(EXAMPLE).lines().filter_map(shorten).count(), 1, "{EXAMPLE}");
        let manifest: String = read(DEPLOYMENT).lines().map(|line| use_secret(line).unwrap_or_else(|| line.to_owned()) + "\n").collect();
        let deployment: Value = serde_saphyr::from_str(&manifest).expect(DEPLOYMENT);
        let mounted = deployment.pointer("/spec/template/spec/volumes/0/secret/secretName");
        let variable = deployment.pointer("/spec/template/spec/containers/0/env/0/valueFrom/secretKeyRef/name");
        assert_eq!([mounted, variable], [Some(&NAME.into()); 2], "{DEPLOYMENT}");
    }
}
