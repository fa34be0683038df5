//! Steps 9 and 10: pods are restarted with a new version, and one that does not work is rolled back.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::Api;

use super::create::views;
use super::kubelet::View;
use super::scenario::{NAME, NAMESPACE, PATIENCE, Scenario, State, conditions, history};
use super::screen::short;

const DEPLOYMENT: &str = "deployment/shop";
/// Kubernetes reports a Deployment whose pods do not become ready for so long.
const DEADLINE: &str = r#"{"spec":{"progressDeadlineSeconds":15}}"#;
const ROLLOUT: &str = r#"{"spec":{"rollout":{"onFailure":"RollBack"}}}"#;
/// The deadline of the Deployment, two looks of the operator and two rollouts.
const ROLLED_BACK_WITHIN: Duration = Duration::from_mins(3);

/// Pods are restarted with a new version. Gives the state after that.
pub(super) async fn roll_out(scenario: &Scenario<'_>) -> Result<State> {
    let screen = scenario.screen;
    screen.headline("Pods are restarted with a new version")?;
    screen.say("Programs that read a password when they start have to be restarted. With spec.rollout, the operator does that:")?;
    scenario.kubectl(&["patch", "rsec", NAME, "--type=merge", "-p", ROLLOUT]).await?;
    let before = scenario.settled("spec.rollout is seen", PATIENCE, rolled_out).await?;
    let pods = uids(&views(scenario, &before).await?);
    screen.ok("the present version restarts nothing: the pods have it")?;
    let after = rotate(scenario, &before.current, "with-restart").await?;
    let restarted = uids(&views(scenario, &after).await?);
    ensure!(restarted.is_disjoint(&pods), "expected that every pod was replaced; one was not");
    scenario.kubectl(&["get", "rsec,pods"]).await?;
    screen.ok(&format!(
        "all {} pods were replaced, and would read {}; the object says RolledOut",
        restarted.len(),
        short(&after.current)
    ))?;
    Ok(after)
}

/// Pods do not become ready with a new version: the operator restores the previous value.
pub(super) async fn roll_back(scenario: &Scenario<'_>, before: &State) -> Result<()> {
    let screen = scenario.screen;
    screen.headline("A new version does not work, and is rolled back")?;
    screen.say("The SIMULATED kubelet lets the pods with the next version not become ready. The Deployment waits 15 s for them:")?;
    scenario.kubectl(&["patch", DEPLOYMENT, "--type=merge", "-p", DEADLINE]).await?;
    let deployments: Api<Deployment> = Api::namespaced(scenario.client.clone(), NAMESPACE);
    let ready = async || {
        let deployment = deployments.get("shop").await?;
        anyhow::Ok(deployment.status.and_then(|status| status.ready_replicas).unwrap_or_default())
    };
    let fewest = Cell::new(ready().await?);
    let wanted = fewest.get();
    scenario.kubelet.break_the_next_after(&before.current);
    request(scenario, "does-not-work").await?;
    let expected = "the operator restores the previous value, and the pods are ready with it";
    let (object, versions) = scenario
        .until(expected, ROLLED_BACK_WITHIN, async || {
            fewest.set(fewest.get().min(ready().await?));
            let Some(object) = scenario.object().await? else { return Ok(None) };
            let restored = conditions(&object).get("RolledOut").is_some_and(|(_, why)| why.starts_with("RolloutRolledBack"));
            let versions = history(&object);
            let causes: Vec<&str> = versions.iter().take(2).map(|(_, cause)| cause.as_str()).collect();
            Ok((restored && causes == ["RolledBack", "Requested"]).then_some((object, versions)))
        })
        .await?;
    let [(current, _), (failed, _)] = versions.first_chunk().context("expected two versions in the status; there are fewer")?;
    let (restored, broken) = (scenario.aws.version(current).await?, scenario.aws.version(failed).await?);
    ensure!(restored.field("password") == before.version.field("password"), "expected the password of before; it is another one");
    ensure!(broken.field("password") != before.version.field("password"), "expected that the failed version had a new password");
    scenario.kubectl(&["get", "rsec,pods"]).await?;
    for (kind, (status, why)) in conditions(&object).iter().filter(|(kind, _)| ["Ready", "RolledOut"].contains(&kind.as_str())) {
        screen.output(&format!("{kind:<12} {status:<6} {why}"))?;
    }
    screen.ok(&format!(
        "the rollout of {} failed; {} has the password of before, and the pods are ready with it",
        short(failed),
        short(current)
    ))?;
    ensure!(fewest.get() == wanted, "expected that {wanted} pods were ready all the while; once there were {}", fewest.get());
    screen.ok(&format!("{wanted} pods were ready all the while"))?;

    screen.say("The cause is corrected, and a user requests a rotation again:")?;
    rotate(scenario, current, "works-again").await?;
    screen.ok("the pods are ready with a new version; the object is Ready and RolledOut")
}

/// Requests a rotation and waits until every pod has it.
async fn rotate(scenario: &Scenario<'_>, before: &str, token: &str) -> Result<State> {
    request(scenario, token).await?;
    let expected = "the pods are ready with a new version";
    scenario.settled(expected, 2 * PATIENCE, |state| state.current != before && rolled_out(state)).await
}

async fn request(scenario: &Scenario<'_>, token: &str) -> Result<()> {
    let request = format!("rotated-secrets.io/rotate={token}");
    scenario.kubectl(&["annotate", "--overwrite", "rsec", NAME, &request]).await.map(drop)
}

fn rolled_out(state: &State) -> bool {
    conditions(&state.object).get("RolledOut").is_some_and(|(status, _)| status == "True")
}

fn uids(pods: &[View]) -> BTreeSet<String> {
    pods.iter().map(|pod| pod.uid.clone()).collect()
}
