//! Steps 6 to 8: rotations by schedule and on request, and an edit by hand.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams};
use serde_json::Value;

use super::create::{EXAMPLE, views};
use super::kubelet::View;
use super::scenario::{Incident, NAME, NAMESPACE, PATIENCE, Scenario, State, clock};
use super::screen::{seconds, short};

/// The schedule's period, and time for a slow machine.
const DUE_WITHIN: Duration = Duration::from_secs(90);
const TOKEN: &str = "member-left-the-team";

pub(super) async fn by_schedule(scenario: &Scenario<'_>) -> Result<()> {
    let screen = scenario.screen;
    screen.headline("The schedule comes due, twice")?;
    for round in ["once", "twice"] {
        let before = scenario.settled("AWS and Kubernetes agree", PATIENCE, |_| true).await?;
        let pods = views(scenario, &before).await?;
        let due = before.next_rotation()?;
        screen.say(&format!("{round}: the next rotation is due at {} UTC", clock(due)))?;
        let expected = format!("the rotation that is due at {} is in AWS and in Kubernetes", clock(due));
        let after = scenario.settled(&expected, DUE_WITHIN, |state| state.current != before.current).await?;
        after.expect_cause("Scheduled")?;
        let made = made(scenario, &after)?;
        ensure!(made >= due, "expected that the version was made when it was due, at {due}; it was made before, at {made}");
        let late = Duration::try_from(made.duration_since(due)).unwrap_or_default();
        screen.ok(&format!("rotated {} after the due time", seconds(late)))?;
        compare(scenario, &before, &after, &pods).await?;
    }
    Ok(())
}

pub(super) async fn on_request(scenario: &Scenario<'_>) -> Result<()> {
    let screen = scenario.screen;
    screen.headline("A user requests a rotation now")?;
    screen.say("First the example as it is in the repository, so that the schedule does not come due in between:")?;
    scenario.kubectl(&["apply", "-f", EXAMPLE]).await?;
    let later = Timestamp::now() + SignedDuration::from_hours(24);
    let before = scenario
        .settled("the next rotation is more than a day away", PATIENCE, |state| state.next_rotation().is_ok_and(|next| next > later))
        .await?;
    let pods = views(scenario, &before).await?;
    screen.ok(&format!("the next rotation by schedule is due on {}", before.next_rotation()?.strftime("%Y-%m-%d")))?;
    // A version that AWS makes within a second of the mirror's last write may be a stale read, so the operator accepts it only after two minutes.
    let written = made(scenario, &before)?;
    while Timestamp::now() < written + SignedDuration::from_secs(4) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    scenario.kubectl(&["annotate", "rsec", NAME, &format!("rotated-secrets.io/rotate={TOKEN}")]).await?;
    let after = scenario.settled("a new value is in AWS and in Kubernetes", PATIENCE, |state| state.current != before.current).await?;
    after.expect_cause("Requested")?;
    compare(scenario, &before, &after, &pods).await?;
    let handled = after.object.pointer("/status/requests/rotate").and_then(Value::as_str);
    ensure!(handled == Some(TOKEN), "expected that the status says that the request {TOKEN} was handled; it says {handled:?}");
    screen.ok("the status says that this request was handled, so it is not handled again")
}

pub(super) async fn mend(scenario: &mut Scenario<'_>) -> Result<()> {
    let screen = scenario.screen;
    screen.headline("A user edits the Secret")?;
    let before = scenario.settled("AWS and Kubernetes agree", PATIENCE, |_| true).await?;
    let writes = scenario.stage.emulator.counters().writes();
    let repairs = events(scenario).await?.iter().filter(|reason| *reason == "MirrorRepaired").count();
    let (start, at) = (Instant::now(), Timestamp::now());
    let printed =
        scenario.kubectl(&["patch", "secret", NAME, "--type=merge", "-p", r#"{"stringData":{"password":"easier-to-remember"}}"#]).await?;
    ensure!(!printed.contains("no change"), "expected that the edit changes the Secret; it does not");
    let after = scenario.settled("the Secret is again as in AWS", PATIENCE, |_| true).await?;
    let took = seconds(start.elapsed());
    ensure!(after.current == before.current, "expected that an edit of the Secret leaves AWS as it is; AWS has another version");
    ensure!(scenario.stage.emulator.counters().writes() == writes, "expected that nothing is written to AWS; something was");
    scenario
        .until("an Event says that the Secret was repaired", PATIENCE, async || {
            let now = events(scenario).await?.iter().filter(|reason| *reason == "MirrorRepaired").count();
            Ok((now > repairs).then_some(()))
        })
        .await?;
    views(scenario, &after).await?;
    screen.ok(&format!("{took} later the Secret holds version {} again, the same value as in AWS: yes", short(&after.current)))?;
    screen.ok("nothing was written to AWS; an Event (MirrorRepaired) tells the object's owner")?;
    scenario.incidents.push(Incident { at, what: "Secret edited by hand".to_owned(), then: format!("repaired after {took}") });
    Ok(())
}

/// The reasons of the Events about the object.
pub(super) async fn events(scenario: &Scenario<'_>) -> Result<Vec<String>> {
    let events: Api<Event> = Api::namespaced(scenario.client.clone(), NAMESPACE);
    let listed = events.list(&ListParams::default()).await?;
    let about = |event: &Event| event.regarding.as_ref().is_some_and(|object| object.kind.as_deref() == Some("RotatedSecret"));
    Ok(listed.items.into_iter().filter(about).filter_map(|event| event.reason).collect())
}

/// When AWS made the current version.
fn made(scenario: &Scenario<'_>, state: &State) -> Result<Timestamp> {
    let labels = scenario.recorder.labels();
    let found = labels.iter().find(|labels| labels.current == state.current);
    found.map(|labels| labels.made).context("expected that AWS knows when it made the version; it does not")
}

/// Shows two states of a rotation and checks what must hold between them.
async fn compare(scenario: &Scenario<'_>, before: &State, after: &State, pods: &[View]) -> Result<()> {
    let screen = scenario.screen;
    let id = |id: &Option<String>| id.as_deref().map_or_else(|| "-".to_owned(), short);
    let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
    screen.table(&[
        row(["", "before", "after"]),
        row(["AWSCURRENT", &short(&before.current), &short(&after.current)]),
        row(["AWSPREVIOUS", &id(&before.previous), &id(&after.previous)]),
        row(["in the Secret", &short(&before.version.id), &short(&after.version.id)]),
    ])?;
    ensure!(
        after.previous.as_ref() == Some(&before.current),
        "expected that AWSPREVIOUS is the version that was current before, {}; it is {}",
        short(&before.current),
        id(&after.previous)
    );
    let (old, new) = (&before.version, &after.version);
    ensure!(new.field("password") != old.field("password"), "expected another password; it is the same");
    ensure!(new.field("username") == old.field("username"), "expected the same user name; it is another one");
    screen.ok("the password is another one, the user name is the same; the Secret has the same value as AWS: yes")?;
    let now = views(scenario, after).await?;
    let identity = |views: &[View]| views.iter().map(|view| (view.uid.clone(), view.restarts)).collect::<Vec<_>>();
    ensure!(identity(&now) == identity(pods), "expected that no pod was restarted or replaced; one was");
    screen.ok(&format!("all {} pods would read {} now; none was restarted", now.len(), short(&new.id)))
}
