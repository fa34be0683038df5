//! The audit stream: a line for each change, none at rest, and after a crash a line twice rather than never.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use futures::future::BoxFuture;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use rotated_secrets::api::{Cause, ROLLBACK, ROTATE, TICKET};
use rotated_secrets::audit::Audit;
use rotated_secrets::kubernetes::stored::{Stored, Unreadable};
use rotated_secrets::reconcile::reconcile;
use rotated_secrets::unreadable;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::stage::{HOUR, MINUTE, Stage};
use testkit::emulator::{Fault, FaultPlan, Moment, When, WriteBarrier};
use testkit::fixtures::spec;

/// What was written.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn stream(&self) -> Audit {
        let lines = Arc::clone(&self.0);
        Audit::to(move |line| lines.lock().unwrap().push(line.to_owned()))
    }

    /// The lines since the last time, and forgets them.
    fn take(&self) -> Result<Vec<Value>> {
        let lines = std::mem::take(&mut *self.0.lock().unwrap());
        lines.iter().map(|line| serde_json::from_str(line).with_context(|| format!("JSON: {line}"))).collect()
    }
}

fn actions(lines: &[Value]) -> Vec<&str> {
    lines.iter().filter_map(|line| line["action"].as_str()).collect()
}

/// A person asks, with a program of this name.
async fn ask(stage: &Stage, annotation: &str, request: &str) -> Result<()> {
    stage.advance(MINUTE);
    let params = PatchParams { field_manager: Some("portal".to_owned()), ..PatchParams::default() };
    let patch = json!({"metadata": {"annotations": {annotation: request, TICKET: "CHG-7\n\"forged\""}}});
    stage.objects().patch("app", &params, &Patch::Merge(patch)).await?;
    stage.settle("app").await
}

fn errors(stage: &Stage, reason: &str) -> Result<String> {
    let line = format!("rotated_secrets_errors_total{{reason=\"{reason}\"}} ");
    let page = stage.ctx.metrics.render()?;
    page.lines().find_map(|text| text.strip_prefix(&line)).map(str::to_owned).context("a count")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_of_a_credential_is_a_line_and_rest_and_a_restart_are_none() -> Result<()> {
    let mut stage = Stage::new("audit").await?;
    let lines = Lines::default();
    stage.ctx.audit = lines.stream();
    let object = stage.settled("app", spec()).await?;
    let made = lines.take()?;
    assert_eq!(actions(&made), ["created", "mirrored"]);
    let first = &made[0];
    let expected =
        json!({"audit": "rotated-secrets.io/v1", "cluster": "test", "namespace": stage.namespace, "name": "app", "uid": object.uid()});
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(first[field], *value, "{field}: {first}");
    }

    let due = stage.next_rotation("app").await?.context("a due time")?;
    stage.advance(HOUR + MINUTE);
    stage.settle("app").await?;
    let rotated = lines.take()?;
    assert_eq!(actions(&rotated), ["rotated", "mirrored"]);
    assert_eq!((&rotated[0]["cause"], &rotated[0]["dueTime"]), (&json!("Scheduled"), &json!(due.to_string())));
    ensure!(rotated[0]["lateSeconds"].as_i64() >= Some(60), "{}", rotated[0]);
    assert_eq!(rotated[0]["previousVersion"], first["version"]);

    ask(&stage, ROTATE, "please").await?;
    let asked = lines.take()?;
    assert_eq!(actions(&asked), ["rotated", "mirrored"]);
    for (field, value) in [("cause", "Requested"), ("request", "please"), ("requester", "portal"), ("ticket", "CHG-7\n\"forged\"")] {
        assert_eq!(asked[0][field], value, "{}", asked[0]);
    }

    ask(&stage, ROLLBACK, "undo:AWSPREVIOUS").await?;
    let undone = lines.take()?;
    assert_eq!(actions(&undone), ["rolledBack", "mirrored"]);
    for (field, value) in [("request", "undo"), ("requester", "portal")] {
        assert_eq!(undone[0][field], value, "{}", undone[0]);
    }
    assert_eq!(undone[0]["copyOf"], rotated[0]["version"]);
    ask(&stage, ROLLBACK, "more:AWSPREVIOUS").await?;
    let refused = lines.take()?;
    assert_eq!(actions(&refused), ["refused"]);
    assert_eq!((&refused[0]["reason"], &refused[0]["request"]), (&json!("RollbackRefused"), &json!("more")));

    stage.edit_secret("app", json!({"stringData": {"password": "edited"}})).await?;
    stage.settle("app").await?;
    let repaired = lines.take()?;
    assert_eq!(actions(&repaired), ["repaired"]);
    assert_eq!((&repaired[0]["step"], &repaired[0]["version"]), (&json!("ReplaceMirror"), &undone[0]["version"]));
    assert_eq!(repaired[0]["manager"], "kubectl-edit");
    stage.delete_secret("app").await?;
    stage.settle("app").await?;
    let repaired = lines.take()?;
    assert_eq!((actions(&repaired), &repaired[0]["step"]), (vec!["repaired"], &json!("CreateMirror")));
    assert_eq!(repaired[0].get("manager"), None, "not that of the repair before");

    stage.external_writer().delete(&stage.aws_name("app"), 7)?;
    stage.settle("app").await?;
    assert_eq!(actions(&lines.take()?), ["restored"]);

    let before = errors(&stage, "IntervalTooShort")?;
    stage.patch("app", json!({"spec": {"rotation": {"schedule": "rate(5 minutes)"}}})).await?;
    stage.settle("app").await?;
    let refused = lines.take()?;
    assert_eq!(actions(&refused), ["refused"]);
    assert_eq!(refused[0]["reason"], "IntervalTooShort");
    assert_eq!((before.as_str(), errors(&stage, "IntervalTooShort")?.as_str()), ("0", "1"), "counted once, too");

    let mut next = stage.operator().await?;
    next.audit = lines.stream();
    for _ in 0..2 {
        stage.advance(10 * MINUTE);
        stage.world.settle(&next, "app").await?;
    }
    ensure!(lines.take()?.is_empty(), "nothing changed");
    ensure!(next.metrics.render()?.contains("rotated_secrets_errors_total{reason=\"IntervalTooShort\"} 0"), "nothing to count");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_cause_beside_that_of_ready_is_told_once_and_so_is_its_end() -> Result<()> {
    let mut stage = Stage::new("audit").await?;
    stage.ctx.policy.allow_resource_policies = false;
    let lines = Lines::default();
    let mut spec = spec();
    let reader = json!({"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam::210987654321:root"]}, "Action": ["secretsmanager:GetSecretValue"], "Resource": ["*"]});
    spec["aws"] = json!({"resourcePolicy": {"Version": "2012-10-17", "Statement": [reader]}});
    stage.settled("app", spec).await?;
    stage.ctx.audit = lines.stream();
    stage.expect("app", "Ready", "False", "PolicyNotAllowed").await?;
    assert_eq!(stage.told("app", "Warning", "PolicyNotAllowed").await?, 1, "by Ready, not by Provisioned too");

    stage.delete_secret("app").await?;
    stage.make_secret(json!({"metadata": {"name": "app"}, "stringData": {"password": "theirs"}})).await?;
    stage.settle("app").await?;
    stage.expect("app", "Ready", "False", "PolicyNotAllowed").await?;
    let message = stage.expect("app", "Mirrored", "False", "SecretNotOwned").await?;
    assert_eq!(stage.messages("app", "SecretNotOwned").await?, [message]);
    assert_eq!(stage.told("app", "Warning", "SecretNotOwned").await?, 1);
    assert_eq!((errors(&stage, "SecretNotOwned")?.as_str(), errors(&stage, "PolicyNotAllowed")?.as_str()), ("1", "1"));
    let refused = lines.take()?;
    assert_eq!((actions(&refused), &refused[0]["reason"]), (vec!["refused"], &json!("SecretNotOwned")));
    stage.assert_silence("app").await?;

    stage.delete_secret("app").await?;
    stage.settle("app").await?;
    stage.expect("app", "Ready", "False", "PolicyNotAllowed").await?;
    let recovered = stage.messages("app", "Recovered").await?;
    ensure!(recovered.len() == 1 && recovered[0].starts_with("the condition Mirrored is True again: "), "{recovered:?}");
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_whose_status_could_not_be_written_is_written_again() -> Result<()> {
    let mut stage = Stage::new("audit").await?;
    let lines = Lines::default();
    stage.settled("app", spec()).await?;
    stage.ctx.audit = lines.stream();
    stage.advance(MINUTE);
    stage.world.request_rotation("app", "please").await?;
    stage.world.refusals.status.set(true);
    stage.reconcile("app").await?;
    let first = lines.take()?;
    stage.world.refusals.status.set(false);
    let mut next = stage.operator().await?;
    next.audit = lines.stream();
    stage.world.settle(&next, "app").await?;
    let second = lines.take()?;
    assert_eq!((actions(&first), actions(&second)), (vec!["rotated", "mirrored"], vec!["rotated", "mirrored"]));
    assert_eq!(first[0]["version"], second[0]["version"]);
    assert_eq!(stage.versions("app"), 2, "the version was made once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_after_two_failed_attempts_has_its_due_time_and_their_number_in_the_history_and_in_its_line() -> Result<()> {
    let mut stage = Stage::new("audit").await?;
    let lines = Lines::default();
    stage.settled("app", spec()).await?;
    let first = stage.status("app").await?.history;
    stage.ctx.audit = lines.stream();
    let due = stage.next_rotation("app").await?.context("a due time")?;
    stage.advance(HOUR);
    stage.world.emulator.set_faults(FaultPlan::none().with("PutSecretValue", When::First(2), Fault::ServerError { status: 503 }));
    for _ in 0..2 {
        let ended = stage.reconcile("app").await?;
        ensure!(ended.failed, "{ended:?}");
        stage.advance(ended.again.context("another attempt")?);
    }
    ensure!(lines.take()?.is_empty(), "no version was made");
    stage.settle("app").await?;
    let history = stage.status("app").await?.history;
    assert_eq!((history.len(), history[0].cause, &history[1]), (2, Cause::Scheduled, &first[0]));
    assert_eq!((history[0].due_time.as_ref().map(|due| due.0), history[0].failed_attempts), (Some(due), Some(2)));
    let line = &lines.take()?[0];
    assert_eq!((&line["dueTime"], &line["failedAttempts"]), (&json!(due.to_string()), &json!(2)));
    assert_eq!(line["lateSeconds"].as_i64(), Some(history[0].time.0.duration_since(due).as_secs()));

    // A later version does not change the entry, and its request was not due.
    ask(&stage, ROTATE, "please").await?;
    let later = stage.status("app").await?.history;
    assert_eq!(later[1..], history[..]);
    assert_eq!((later[0].cause, &later[0].due_time, later[0].failed_attempts), (Cause::Requested, &None, None));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deletion_of_an_aws_secret_is_a_line() -> Result<()> {
    let mut stage = Stage::new("audit").await?;
    let mut spec = spec();
    spec["aws"] = json!({"deletionPolicy": "Delete"});
    stage.settled("app", spec).await?;
    let lines = Lines::default();
    stage.ctx.audit = lines.stream();
    stage.delete_object("app").await?;
    stage.settle("app").await?;
    let gone = lines.take()?;
    assert_eq!(actions(&gone), ["deletionScheduled"]);
    assert_eq!(gone[0]["arn"], stage.world.aws_secret("app").context("it is there until then")?.arn.as_str());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_another_one_follows_before_a_status_was_written_has_its_lines() -> Result<()> {
    let mut stage = Stage::new("audit").await?;
    let lines = Lines::default();
    stage.settled("app", spec()).await?;
    stage.ctx.audit = lines.stream();
    stage.advance(MINUTE);
    let planted = stage.external_writer().put_value(&stage.aws_name("app"), r#"{"username":"admin","password":"planted"}"#)?;
    ask(&stage, ROLLBACK, "undo:AWSPREVIOUS").await?;
    let written = lines.take()?;
    assert_eq!(actions(&written), ["changedInAws", "mirrored", "rolledBack", "mirrored"], "{written:#?}");
    assert_eq!((&written[0]["version"], &written[1]["version"]), (&json!(planted), &json!(planted)));
    ensure!(written[0].get("ticket").is_none() && written[2]["ticket"] != Value::Null, "{written:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_cannot_be_read_is_refused_once_for_each_change_by_the_leader() -> Result<()> {
    let mut stage = Stage::new("audit").await?;
    let lines = Lines::default();
    stage.ctx.audit = lines.stream();
    let odd = |generation: i64| -> Result<Unreadable> {
        let metadata = json!({"name": "odd", "namespace": stage.namespace, "uid": "u-1", "generation": generation});
        let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:k8s/odd-AbCdEf";
        let object = json!({"metadata": metadata, "spec": {"suspend": "SECRET"}, "status": {"aws": {"arn": arn}}});
        let stored: Stored = serde_json::from_value(object)?;
        stored.into_readable().err().map(|unreadable| *unreadable).context("it cannot be read")
    };
    unreadable::handle(&odd(1)?, &stage.ctx, false).await;
    assert_eq!(lines.take()?.len(), 0, "another replica leads");
    let mut numbers = Vec::new();
    for generation in [1, 1, 2, 2] {
        unreadable::handle(&odd(generation)?, &stage.ctx, true).await;
        let written = lines.take()?;
        numbers.push(written.len());
        for line in written {
            assert_eq!((&line["action"], &line["reason"], &line["name"]), (&json!("refused"), &json!("Unreadable"), &json!("odd")));
            ensure!(line["arn"].as_str().is_some_and(|arn| arn.ends_with("odd-AbCdEf")) && !line.to_string().contains("SECRET"), "{line}");
        }
    }
    assert_eq!(numbers, [1, 0, 1, 0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_api_server_refuses_is_counted_and_holds_up_nothing() -> Result<()> {
    let stage = Stage::new("audit").await?;
    stage.settled("app", spec()).await?;
    let lost = || -> Result<bool> { Ok(stage.ctx.metrics.render()?.contains("rotated_secrets_events_not_published_total 1\n")) };
    ensure!(!lost()?);
    stage.world.refusals.quota.set(true);
    ask(&stage, ROTATE, "please").await?;
    assert_eq!((stage.versions("app"), stage.told("app", "Normal", "Rotated").await?), (2, 0));
    ensure!(lost()?, "{}", stage.ctx.metrics.render()?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_is_told_also_if_another_step_of_the_same_reconcile_fails_shortly() -> Result<()> {
    let mut stage = Stage::new("audit").await?;
    let lines = Lines::default();
    let mut described = spec();
    described["aws"] = json!({"description": "ours"});
    stage.settled("app", described).await?;
    stage.ctx.audit = lines.stream();
    stage.advance(10 * MINUTE);
    stage.external_writer().set_description(&stage.aws_name("app"), "theirs")?;
    stage.edit_secret("app", json!({"stringData": {"password": "edited"}})).await?;
    stage.break_aws("UpdateSecret", Fault::ServerError { status: 500 });
    let ended = stage.reconcile("app").await?;
    ensure!(ended.failed && stage.status("app").await?.failures.is_none(), "the failure is not reported yet");
    assert_eq!(actions(&lines.take()?), ["repaired"]);
    assert_eq!(stage.told("app", "Warning", "MirrorRepaired").await?, 1);
    stage.mend_aws();
    stage.advance(MINUTE);
    stage.settle("app").await?;
    let rest = lines.take()?;
    assert_eq!((actions(&rest), &rest[0]["step"]), (vec!["repaired"], &json!("SetDescription")));
    assert_eq!(stage.told("app", "Warning", "MirrorRepaired").await?, 1, "told once");
    stage.assert_silence("app").await
}

/// The process ends at the first write after that of the Secret.
#[derive(Default)]
struct Stop {
    written: AtomicBool,
    reached: Notify,
}

impl WriteBarrier for Stop {
    fn pass<'a>(&'a self, effect: &'a str, moment: Moment) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if moment == Moment::After {
                self.written.fetch_or(effect.ends_with(" secrets"), Ordering::SeqCst);
            } else if self.written.load(Ordering::SeqCst) {
                self.reached.notify_one();
                std::future::pending::<()>().await;
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_has_one_line_also_if_its_reconcile_does_not_end_or_read_an_old_object() -> Result<()> {
    let mut stage = Stage::new("audit").await?;
    let lines = Lines::default();
    stage.settled("app", spec()).await?;
    stage.ctx.audit = lines.stream();
    let edit = async |number: u8| {
        stage.advance(10 * MINUTE);
        stage.edit_secret("app", json!({"stringData": {"password": format!("edit-{number}")}})).await
    };
    let repaired = |lines: Vec<Value>| {
        let one = actions(&lines) == ["repaired"] && lines[0]["manager"] == "kubectl-edit" && lines[0]["step"] == "ReplaceMirror";
        ensure!(one, "one line: {lines:?}");
        Ok(())
    };
    // The cache has the object as it was before the first repair was reported.
    let old = stage.object("app").await?;
    edit(1).await?;
    stage.reconcile("app").await?;
    repaired(lines.take()?)?;
    edit(2).await?;
    let ended = reconcile(&old, &stage.ctx).await;
    repaired(lines.take()?)?;
    ensure!(stage.status("app").await?.mirror.context("a Secret")?.repairs.context("repairs")?.count == 1, "not reported: {ended:?}");
    stage.settle("app").await?;
    assert_eq!(lines.take()?.len(), 0, "told before");

    edit(3).await?;
    let stop = Arc::new(Stop::default());
    let mut stopped = stage.operator_through(Arc::clone(&stop) as Arc<dyn WriteBarrier>).await?;
    stopped.audit = lines.stream();
    let object = stage.object("app").await?;
    tokio::select! {
        ended = reconcile(&object, &stopped) => anyhow::bail!("it ended: {ended:?}"),
        () = stop.reached.notified() => {}
    }
    repaired(lines.take()?)?;
    stage.settle("app").await?;
    assert_eq!(lines.take()?.len(), 0, "told before");
    Ok(())
}
