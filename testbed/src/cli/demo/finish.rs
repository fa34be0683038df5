//! The last steps: the object is deleted, and what happened.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::aws::{CURRENT, labels, time};
use super::rotate::events;
use super::scenario::{Incident, NAME, PATIENCE, Scenario, State, clock};
use super::screen::{seconds, short};
use super::stage::OPERATOR;

const FINALIZER: &str = "rotated-secrets.io/cleanup";
const POLICY: &str = r#"{"spec":{"aws":{"deletionPolicy":"Delete"}}}"#;

/// The state before the deletion, which knows the history.
pub(super) async fn before_the_end(scenario: &Scenario<'_>) -> Result<State> {
    scenario.settled("AWS and Kubernetes agree", PATIENCE, |_| true).await
}

pub(super) async fn delete(scenario: &mut Scenario<'_>, before: &State) -> Result<()> {
    let screen = scenario.screen;
    screen.headline("The object is deleted")?;
    let default = before.object.pointer("/spec/aws/deletionPolicy").and_then(Value::as_str);
    ensure!(default == Some("Retain"), "expected that the AWS secret stays by default; the policy is {default:?}");
    screen.say("Its aws.deletionPolicy is Retain, the default, which keeps the AWS secret. Set it to Delete:")?;
    scenario.kubectl(&["patch", "rsec", NAME, "--type=merge", "-p", POLICY]).await?;
    let last = scenario
        .settled("the operator has put its finalizer on the object", PATIENCE, |state| {
            let finalizers = state.object.pointer("/metadata/finalizers").and_then(Value::as_array);
            finalizers.is_some_and(|finalizers| finalizers.iter().any(|name| name == FINALIZER))
        })
        .await?;
    ensure!(last.current == before.current, "expected that a change of the deletion policy makes no new version; it made one");
    let days =
        last.object.pointer("/spec/aws/recoveryWindowInDays").and_then(Value::as_i64).context("the object names no recovery window")?;

    let at = Timestamp::now();
    scenario.kubectl(&["delete", "rsec", NAME, "--timeout=60s"]).await?;
    ensure!(scenario.object().await?.is_none(), "expected that the object is gone; it is still there");
    let start = Instant::now();
    scenario
        .until("the Secret is garbage-collected", Duration::from_mins(2), async || {
            Ok(scenario.secrets().get_opt(NAME).await?.is_none().then_some(()))
        })
        .await?;
    screen.ok(&format!("the Secret was deleted with its owner (after {})", seconds(start.elapsed())))?;
    let described = scenario.aws.show(screen, "describe-secret").await?;
    let gone = time(&described, "DeletedDate").context("expected that AWS has planned the deletion of the secret; it has not")?;
    let planned = at + SignedDuration::from_hours(24 * days);
    ensure!(
        (planned - SignedDuration::from_secs(2)..planned + SignedDuration::from_mins(5)).contains(&gone),
        "expected that AWS deletes the secret after {days} days; it says {gone}"
    );
    let day = gone.strftime("%Y-%m-%d").to_string();
    screen.ok(&format!("in AWS the secret is scheduled for deletion on {day}, {days} days from now"))?;
    scenario.incidents.push(Incident { at, what: "RotatedSecret deleted".to_owned(), then: format!("Secret gone; AWS deletes on {day}") });

    screen.say("Until that day the AWS secret can be restored:")?;
    let at = Timestamp::now();
    scenario.aws.show(screen, "restore-secret").await?;
    let restored = scenario.aws.call("DescribeSecret", &json!({"SecretId": scenario.aws.name})).await?;
    ensure!(restored.get("DeletedDate").is_none(), "expected that the deletion is taken back; it is not");
    ensure!(labels(&restored).get(CURRENT) == Some(&last.current), "expected that the same version is current again; it is another one");
    ensure!(scenario.aws.version(&last.current).await? == last.version, "expected that the value is the same as before; it is another one");
    screen.ok(&format!("version {} is current again, the same value as before: yes", short(&last.current)))?;
    scenario.incidents.push(Incident { at, what: "AWS secret restored".to_owned(), then: "same version, same value".to_owned() });
    Ok(())
}

pub(super) async fn summary(scenario: &Scenario<'_>, state: &State) -> Result<()> {
    let screen = scenario.screen;
    screen.headline("What happened")?;
    screen.table(&table(scenario, state)?)?;
    let mut told = events(scenario).await?;
    told.sort();
    told.dedup();
    screen.say(&format!("Events told the object's owner: {}", told.join(", ")))?;
    search_for_values(scenario, state).await
}

/// One row for each version, of what AWS, the operator and the watch on the Secret say of it, and one for whatever else happened.
fn table(scenario: &Scenario<'_>, state: &State) -> Result<Vec<Vec<String>>> {
    let seen = scenario.recorder.labels();
    let mut causes = state.history();
    causes.reverse();
    let in_aws: Vec<&str> = seen.iter().map(|labels| labels.current.as_str()).collect();
    let reported: Vec<&str> = causes.iter().map(|(version, _)| version.as_str()).collect();
    ensure!(
        in_aws == reported,
        "expected that the status lists the versions that AWS had, in their order: {in_aws:?}; it lists {reported:?}"
    );

    let mut rows: Vec<(Timestamp, [String; 5])> = Vec::new();
    for (labels, (_, cause)) in seen.iter().zip(&causes) {
        let mirrored = scenario.recorder.mirrored(&labels.current).context("expected that every version was mirrored; one was not")?;
        // AWS keeps milliseconds.
        let after = Duration::try_from(mirrored.duration_since(labels.made)).unwrap_or_default();
        let previous = labels.previous.as_deref().map_or_else(|| "-".to_owned(), short);
        let what = match cause.as_str() {
            "Created" => "created",
            "Scheduled" => "rotated by schedule",
            "Requested" => "rotated on request",
            "RolledBack" => "rolled back",
            _ => "changed",
        };
        let then = format!("in the Secret after {}", seconds(after));
        rows.push((labels.made, [what.to_owned(), cause.clone(), short(&labels.current), previous, then]));
    }
    for incident in &scenario.incidents {
        let last = rows.iter().filter(|(at, _)| *at <= incident.at).max_by_key(|(at, _)| *at);
        let (current, previous) = last.map(|(_, [_, _, current, previous, _])| (current.clone(), previous.clone())).unwrap_or_default();
        rows.push((incident.at, [incident.what.clone(), "-".to_owned(), current, previous, incident.then.clone()]));
    }
    rows.sort_by_key(|(at, _)| *at);
    let head = ["UTC", "what", "cause", "AWSCURRENT", "AWSPREVIOUS", "and then"].map(str::to_owned).to_vec();
    let body = rows.into_iter().map(|(at, cells)| std::iter::once(clock(at)).chain(cells).collect());
    Ok(std::iter::once(head).chain(body).collect())
}

/// No value may appear in logs, status or Events.
async fn search_for_values(scenario: &Scenario<'_>, last: &State) -> Result<()> {
    let stage = scenario.stage;
    let mut values = Vec::new();
    for version in stage.emulator.secrets().iter().flat_map(|secret| &secret.versions) {
        let value: Value =
            version.value().and_then(|value| value.as_str()).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let password = value.get("password").and_then(Value::as_str).context("expected that every version has a password; one has none")?;
        let escaped = json!(password).to_string();
        values.push([password.to_owned(), escaped.trim_matches('"').to_owned(), STANDARD.encode(password)]);
    }
    ensure!(!values.is_empty(), "expected that AWS still has the versions; it has none");
    let audit = stage.control_plane.audit().await?;
    let audit: Vec<&str> = audit.iter().map(|event| event.raw.as_str()).collect();
    let log = fs::read_to_string(stage.group.log(OPERATOR))?;
    let told = scenario.stage.kubectl(stage.kubeconfig(), &["get", "rsec,events", "-o", "json"], None).await?;
    let told = format!("{told}\n{}", last.object);
    let database = stage.database.as_ref().map(|server| tokio::task::block_in_place(|| server.log())).transpose()?.unwrap_or_default();
    for (place, text) in [
        ("the operator's log", &log),
        ("the audit log", &audit.join("\n")),
        ("an object or an Event", &told),
        ("the log of PostgreSQL", &database),
    ] {
        let found = values.iter().flatten().any(|value| text.contains(value.as_str()));
        ensure!(!found, "expected that no value stands in {place}; one does");
    }
    scenario.screen.ok(&format!(
        "none of the {} passwords stands in the operator's log ({} lines), in the API server's audit log\n        \
         ({} requests), in the object or in an Event",
        values.len(),
        log.lines().count(),
        audit.len()
    ))
}
