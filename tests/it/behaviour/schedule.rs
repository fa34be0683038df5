//! Edits of the schedule.

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::stage::{HOUR, MINUTE, Stage};
use testkit::fixtures::{spec, unscheduled};

const DAY: std::time::Duration = std::time::Duration::from_hours(24);

/// The clock stands at this hour of tomorrow.
async fn at_ten(prefix: &str) -> Result<(Stage, Timestamp)> {
    let stage = Stage::new(prefix).await?;
    let midnight = Timestamp::from_second(Timestamp::now().as_second() / 86_400 * 86_400)? + DAY;
    stage.world.emulator.clock().set(midnight + 10 * HOUR);
    Ok((stage, midnight))
}

fn scheduled(schedule: &str) -> Value {
    let mut spec = spec();
    spec["rotation"] = json!({"schedule": schedule});
    spec
}

async fn edit(stage: &Stage, rotation: Value) -> Result<()> {
    stage.world.patch("app", json!({"spec": {"rotation": rotation}})).await?;
    stage.settle("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_puts_a_moment_into_the_past_rotates_at_the_next_one() -> Result<()> {
    for (before, after) in [("cron(0 20 * * ? *)", "cron(0 11 * * ? *)"), ("0 20 * * *", "0 11 * * *")] {
        let (stage, midnight) = at_ten("schedule").await?;
        stage.settled("app", scheduled(before)).await?;
        assert_eq!(stage.next_rotation("app").await?, Some(midnight + 20 * HOUR));
        stage.advance(2 * HOUR);
        let aws = stage.aws();
        edit(&stage, json!({"schedule": after})).await?;
        assert_eq!(stage.aws(), aws, "11:00 was an hour ago");
        let next = midnight + DAY + 11 * HOUR;
        assert_eq!(stage.next_rotation("app").await?, Some(next));
        stage.expect("app", "Rotated", "True", "Succeeded").await?;
        stage.assert_silence("app").await?;

        stage.world.emulator.clock().set(next - MINUTE);
        stage.settle("app").await?;
        assert_eq!(stage.aws(), aws);
        stage.advance(MINUTE);
        stage.settle("app").await?;
        assert_eq!(stage.versions("app"), 2);
        assert_eq!(stage.next_rotation("app").await?, Some(next + DAY));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_rotates_at_once_only_a_value_that_is_older_than_the_new_period() -> Result<()> {
    let cases = [
        ("rate(30 days)", json!({"schedule": "rate(3 days)"}), 1),
        ("rate(30 days)", json!({"schedule": "rate(1 day)"}), 2),
        ("cron(0 20 1 * ? *)", json!({"schedule": "cron(0 11 * * ? *)"}), 2),
        ("rate(30 days)", json!({"schedule": null, "automaticallyAfterDays": 3}), 1),
        ("rate(30 days)", json!({"schedule": null, "automaticallyAfterDays": 2}), 2),
    ];
    for (before, after, versions) in cases {
        let (stage, _) = at_ten("schedule").await?;
        stage.settled("app", scheduled(before)).await?;
        stage.advance(2 * DAY + 2 * HOUR);
        stage.settle("app").await?;
        if stage.versions("app") > 1 {
            // The first of a month lay between.
            continue;
        }
        edit(&stage, after.clone()).await?;
        assert_eq!(stage.versions("app"), versions, "{before} to {after}");
        stage.expect("app", "Rotated", "True", "Succeeded").await?;
        stage.assert_silence("app").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_an_edit_makes_due_is_announced_before_it_happens() -> Result<()> {
    let (stage, _) = at_ten("schedule").await?;
    stage.settled("app", scheduled("rate(30 days)")).await?;
    stage.advance(2 * DAY);
    stage.settle("app").await?;
    stage.writes.take();
    edit(&stage, json!({"schedule": "rate(1 day)"})).await?;
    let writes = stage.writes.take();
    let announced = writes.iter().position(|effect| effect == "PUT rotatedsecrets/status").context("a status")?;
    let rotated = writes.iter().position(|effect| effect == "PutSecretValue").context("a rotation")?;
    ensure!(announced < rotated, "kubectl get said nothing before it happened: {writes:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_period_puts_the_rotation_off_and_a_shorter_one_brings_it_forward() -> Result<()> {
    let stage = Stage::new("schedule").await?;
    stage.settled("app", scheduled("rate(2 hours)")).await?;
    let made = stage.now();
    stage.advance(30 * MINUTE);
    let before = stage.aws();
    for (schedule, hours) in [("rate(3 hours)", 3), ("rate(1 hour)", 1), ("rate(2 days)", 48)] {
        edit(&stage, json!({"schedule": schedule})).await?;
        assert_eq!(stage.next_rotation("app").await?, Some(made + hours * HOUR), "{schedule}");
    }
    assert_eq!(stage.aws(), before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_schedule_for_a_young_value_rotates_nothing_and_its_removal_stops_it() -> Result<()> {
    let (stage, midnight) = at_ten("schedule").await?;
    stage.settled("app", unscheduled()).await?;
    ensure!(!stage.has("app", "Rotated").await?, "nothing rotates here");
    assert_eq!(stage.next_rotation("app").await?, None);
    stage.advance(2 * HOUR);
    let before = stage.aws();
    edit(&stage, json!({"schedule": "0 11 * * *"})).await?;
    assert_eq!(stage.aws(), before);
    assert_eq!(stage.next_rotation("app").await?, Some(midnight + DAY + 11 * HOUR));
    stage.expect("app", "Rotated", "True", "Succeeded").await?;

    edit(&stage, Value::Null).await?;
    assert_eq!(stage.next_rotation("app").await?, None);
    ensure!(!stage.has("app", "Rotated").await?, "nothing rotates any more");
    stage.advance(3 * DAY);
    stage.settle("app").await?;
    assert_eq!(stage.aws(), before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_cannot_be_carried_out_stops_rotation_only() -> Result<()> {
    let cases = [("rate(5 minutes)", "IntervalTooShort"), ("*/5 * * * *", "IntervalTooShort"), ("0 0 31 2-6/2 *", "InvalidSpec")];
    for (schedule, reason) in cases {
        let stage = Stage::new("schedule").await?;
        stage.settled("app", scheduled(schedule)).await?;
        let message = stage.expect("app", "Rotated", "False", reason).await?;
        ensure!(message.starts_with("spec.rotation.schedule: "), "{message}");
        stage.expect("app", "Ready", "False", reason).await?;
        stage.expect("app", "Stalled", "True", reason).await?;
        stage.expect("app", "Provisioned", "True", "Succeeded").await?;
        stage.expect("app", "Mirrored", "True", "Succeeded").await?;
        assert_eq!(stage.told("app", "Warning", reason).await?, 1);
        assert_eq!(stage.next_rotation("app").await?, None);
        stage.advance(HOUR);
        stage.edit_secret("app", json!({"stringData": {"password": "edited"}})).await?;
        stage.settle("app").await?;
        assert_eq!(stage.versions("app"), 1, "{schedule}");
        assert_eq!(Some(stage.data("app").await?["password"].as_str()), stage.value("app")["password"].as_str(), "{schedule}");

        edit(&stage, json!({"schedule": "rate(2 hours)"})).await?;
        stage.world.check_agreement("app").await?;
        assert_eq!(stage.versions("app"), 1);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_of_the_object_or_of_the_namespace_defers_a_rotation_and_not_a_request() -> Result<()> {
    for by_namespace in [false, true] {
        let (stage, midnight) = at_ten("freeze").await?;
        let date = |t: Timestamp| t.to_string().chars().take(10).collect::<String>();
        let (today, tomorrow) = (date(midnight), date(midnight + DAY));
        let mut spec = scheduled("0 12 * * *");
        if by_namespace {
            stage.annotate_namespace(json!({"rotated-secrets.io/exclude-periods": format!("{today}/{tomorrow}")})).await?;
        } else {
            spec["rotation"]["excludePeriods"] = json!([{"from": today, "to": tomorrow}]);
        }
        stage.settled("app", spec).await?;
        let end = midnight + 2 * DAY;
        let deferred = async |versions: usize| -> Result<()> {
            assert_eq!(stage.versions("app"), versions);
            assert_eq!(stage.next_rotation("app").await?, Some(end));
            let message = stage.expect("app", "Rotated", "True", "Succeeded").await?;
            let source = if by_namespace { "the annotation rotated-secrets.io/exclude-periods" } else { "spec.rotation.excludePeriods" };
            ensure!(message.contains(&format!("deferred until {end}, the end of an excluded period ({source}")), "{message}");
            Ok(())
        };
        deferred(1).await?;
        stage.advance(3 * HOUR);
        stage.settle("app").await?;
        deferred(1).await?;
        stage.assert_silence("app").await?;
        stage.world.patch("app", json!({"metadata": {"annotations": {"rotated-secrets.io/rotate": "leaked"}}})).await?;
        stage.settle("app").await?;
        deferred(2).await?;
        // The noons of the freeze are neither made up nor counted.
        stage.world.emulator.clock().set(end);
        stage.settle("app").await?;
        assert_eq!(stage.versions("app"), 3);
        let status = stage.world.objects().get("app").await?.status.context("a status")?;
        assert_eq!((status.history[0].cause, status.missed_rotations), (rotated_secrets::api::Cause::Scheduled, 0));
        assert_eq!(stage.next_rotation("app").await?, Some(end + 12 * HOUR));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_freeze_of_the_namespace_stops_scheduled_rotations_and_nothing_else() -> Result<()> {
    let (stage, midnight) = at_ten("freeze").await?;
    stage.annotate_namespace(json!({"rotated-secrets.io/exclude-periods": "christmas"})).await?;
    stage.settled("app", scheduled("0 12 * * *")).await?;
    stage.world.emulator.clock().set(midnight + DAY);
    stage.settle("app").await?;
    let message = stage.expect("app", "Rotated", "False", "InvalidSpec").await?;
    ensure!(message.contains("`christmas` is not a date"), "{message}");
    stage.expect("app", "Mirrored", "True", "Succeeded").await?;
    assert_eq!(stage.versions("app"), 1);
    stage.annotate_namespace(json!({"rotated-secrets.io/exclude-periods": null})).await?;
    stage.settle("app").await?;
    assert_eq!(stage.versions("app"), 2);
    Ok(())
}
