//! Windows and beginnings, as an object on the real API server lives through them.

use anyhow::{Context as _, Result};
use jiff::SignedDuration;
use kube::api::{Patch, PatchParams};
use rotated_secrets::api::{RotatedSecret, RotatedSecretStatus};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

use testkit::fixtures::spec;
use testkit::{World, control_plane};

async fn world(namespace: &str) -> Result<World> {
    World::new(&control_plane().await?.namespace(namespace).await?).await
}

fn status(object: Option<RotatedSecret>) -> Result<RotatedSecretStatus> {
    object.and_then(|object| object.status).context("a status")
}

fn condition(status: &RotatedSecretStatus, of: &str) -> (String, String) {
    let found = status.conditions.iter().find(|c| c.type_ == of);
    found.map(|c| (c.status.clone(), c.reason.clone())).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missed_window_is_waited_for_and_said_so() -> Result<()> {
    let world = world("windows").await?;
    let mut spec = spec();
    spec["rotation"] = json!({"schedule": "rate(1 hour)", "duration": "10m", "onMissedWindow": "NextWindow"});
    world.create("a", spec).await?;
    let operator = world.operator(None, Arc::default()).await?;
    let made = status(world.settle(&operator, "a").await?)?;
    let first = made.next_rotation_time.clone().context("a next rotation")?.0;
    let due = made.last_rotation_time.clone().context("a value")?.0 + SignedDuration::from_hours(1);
    assert!(first >= due && first < due + SignedDuration::from_mins(9), "the time of the rotation, including its offset");

    // Away for an hour and a half.
    world.emulator.clock().advance(Duration::from_mins(90));
    let missed = status(world.settle(&operator, "a").await?)?;
    assert_eq!(condition(&missed, "Rotated"), ("False".to_owned(), "MissedWindow".to_owned()));
    assert_eq!(condition(&missed, "Ready"), ("False".to_owned(), "MissedWindow".to_owned()));
    let next = missed.next_rotation_time.clone().context("a next rotation")?.0;
    assert_eq!((next, missed.history.len()), (first + SignedDuration::from_hours(1), 1));

    world.emulator.clock().set(next);
    let rotated = status(world.settle(&operator, "a").await?)?;
    assert_eq!((rotated.history.len(), rotated.missed_rotations), (2, 1));
    assert_eq!(condition(&rotated, "Ready").0, "True");
    world.check_agreement("a").await
}

/// A schedule without a due time that the definition accepts.
const NEVER: &str = "0 9 31 2-6/2 *";

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_the_clock_rotates_nothing_and_a_lost_status_begins_nothing_anew() -> Result<()> {
    let world = world("clock-edits").await?;
    // Half a year away from today, whenever that is.
    let month = (world.emulator.clock().now().to_zoned(jiff::tz::TimeZone::UTC).month() + 5) % 12 + 1;
    let mut spec = spec();
    spec["rotation"] = json!({"schedule": format!("0 8 1 {month} *")});
    world.create("a", spec).await?;
    let operator = world.operator(None, Arc::default()).await?;
    world.settle(&operator, "a").await?;
    for rotation in [
        json!({"timeZone": "Pacific/Kiritimati"}),
        json!({"duration": "24h"}),
        json!({"onMissedWindow": "NextWindow"}),
        json!({"suspend": true}),
        json!({"suspend": false, "rotateImmediately": true}),
        json!({"schedule": format!("0 9 1 {month} *")}),
        json!({"schedule": NEVER}),
        json!({"schedule": format!("0 9 1 {month} *"), "timeZone": "Europe/Berlin", "onMissedWindow": null, "duration": null}),
    ] {
        world.emulator.clock().advance(Duration::from_mins(1));
        world.patch("a", json!({"spec": {"rotation": rotation}})).await?;
        let object = world.settle(&operator, "a").await?.context("the object")?;
        assert_eq!(world.aws_secret("a").context("a secret")?.versions.len(), 1, "{rotation}");
        let never = object.spec.rotation.and_then(|rotation| rotation.schedule).is_some_and(|schedule| schedule == NEVER);
        let said = condition(&object.status.unwrap_or_default(), "Rotated");
        assert_eq!(said.1, if never { "InvalidSpec" } else { "Succeeded" }, "{rotation}");
    }
    world.objects().patch_status("a", &PatchParams::default(), &Patch::Merge(json!({"status": null}))).await?;
    world.settle(&operator, "a").await?;
    assert_eq!(world.aws_secret("a").context("a secret")?.versions.len(), 1);
    world.check_agreement("a").await
}

/// An operator whose clock is wrong by this number of minutes, and an AWS whose clock is right.
async fn off_by(world: &World, minutes: i64) -> Result<rotated_secrets::reconcile::Context> {
    let mut operator = world.operator(None, Arc::default()).await?;
    let aws = world.emulator.clock();
    operator.clock = Arc::new(move || {
        let now = aws.now() + SignedDuration::from_mins(minutes);
        jiff::Timestamp::from_second(now.as_second()).unwrap_or_default()
    });
    Ok(operator)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_moves_a_rotation_by_that_much_and_never_doubles_it() -> Result<()> {
    // AWS takes no request that is signed more than five minutes ahead or late, so a clock that is further off writes nothing at all. What
    // it would decide backwards is looked at all the same: a machine may wake up with its clock at the beginning of time.
    for (number, minutes) in [4, -4, -90, -60 * 24 * 365 * 30].into_iter().enumerate() {
        let world = world("jumps").await?;
        let name = format!("jump-{number}");
        world.create(&name, spec()).await?;
        let right = off_by(&world, 0).await?;
        let made = status(world.settle(&right, &name).await?)?;
        let due = made.next_rotation_time.clone().context("a next rotation")?.0;

        // The clock jumps, and with it the moment, but not what is announced.
        let wrong = off_by(&world, minutes).await?;
        let jumped = status(world.settle(&wrong, &name).await?)?;
        assert_eq!((jumped.next_rotation_time.clone().map(|at| at.0), jumped.history.len()), (Some(due), 1), "{minutes}");
        world.emulator.clock().set(due);
        for _ in 0..3 {
            let looked = status(world.settle(&wrong, &name).await?)?;
            assert_eq!(looked.history.len(), if minutes > 0 { 2 } else { 1 }, "{minutes}");
        }
        // It is set right: the rotation happens, if it has not, and once.
        let set_right = status(world.settle(&right, &name).await?)?;
        assert_eq!((set_right.history.len(), set_right.missed_rotations), (2, 0), "{minutes}");
        world.settle(&off_by(&world, -30).await?, &name).await?;
        assert_eq!(status(world.settle(&right, &name).await?)?.history.len(), 2, "{minutes}");
        world.check_agreement(&name).await?;
    }
    Ok(())
}
