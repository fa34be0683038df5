//! Reads that are older than the status.

use super::*;
use crate::journal::CONSISTENCY_WINDOW;

/// The head of the history, `head`, is ten seconds old, and AWS shows `before` and `older`, modified `modified` seconds ago.
fn old_state(modified: i64) -> Scene {
    Scene::new(generated(&json!({}))).with(|scene| {
        scene.label(AWSCURRENT, &id("before"));
        scene.label(AWSPREVIOUS, &id("older"));
        scene.read("before", HOUR);
        scene.status.history.insert(0, entry("head", 10, Cause::Requested));
        scene.status.last_rotation = Some(ago(10));
        scene.aws().last_changed = Some(ago(modified));
    })
}

/// The state before the head was restored, in the second of the restoration.
fn replaced(scene: &mut Scene) {
    scene.label(AWSPREVIOUS, &id("head"));
    scene.status.previous = Some(id("before"));
}

fn outdated(scene: &Scene) -> Option<Timestamp> {
    scene.secret().outdated
}

#[test]
fn a_read_without_the_newest_version_of_the_history_is_outdated_for_the_consistency_window() {
    let until = ago(10) + CONSISTENCY_WINDOW;
    let table: [(&str, i64, Change, Option<Timestamp>); 17] = [
        ("before the rotation", HOUR, |_| {}, Some(until)),
        ("no date", HOUR, |scene| scene.aws().last_changed = None, Some(until)),
        ("in the same second", 10, |_| {}, Some(until)),
        ("two changes since", 9, |_| {}, None),
        ("shown as current", 10, |scene| scene.label(AWSCURRENT, &id("head")), None),
        ("shown as previous", 9, |scene| scene.label(AWSPREVIOUS, &id("head")), None),
        ("as previous, in the same second", 10, |scene| scene.label(AWSPREVIOUS, &id("head")), None),
        ("as previous, of the version that it replaced when it was restored", 10, replaced, Some(until)),
        ("as previous, before it was current again", 11, |scene| scene.label(AWSPREVIOUS, &id("head")), Some(until)),
        ("retained from an earlier time", HOUR, |scene| scene.label("rotated-secrets/1", &id("head")), Some(until)),
        ("still pending", HOUR, |scene| scene.label("AWSPENDING", &id("head")), Some(until)),
        ("no current version", HOUR, |scene| drop(scene.aws().labels.remove(AWSCURRENT)), Some(until)),
        ("another secret", HOUR, |scene| scene.aws().arn = OTHER_ARN.to_owned(), None),
        ("no history", HOUR, |scene| scene.status.history.clear(), None),
        ("a garbled version", HOUR, |scene| scene.status.history[0].version = id("~"), Some(until)),
        ("this reconcile wrote what is shown", 10, |scene| scene.put("before", "head", Effect::Applied { at: ago(10) }), None),
        ("AWS had it already", 10, |scene| scene.put("before", "head", Effect::Exists { created: ago(HOUR) }), Some(until)),
    ];
    for (name, modified, change, expected) in table {
        assert_eq!(outdated(&old_state(modified).with(change)), expected, "{name}");
    }
}

#[test]
fn within_the_second_of_the_head_a_version_that_cannot_precede_it_is_newer() {
    let until = ago(10) + CONSISTENCY_WINDOW;
    let table: [(&str, Change, Option<Timestamp>); 6] = [
        ("two later versions", |_| {}, None),
        ("the version that the head replaced", |scene| scene.label(AWSCURRENT, &id("current")), Some(until)),
        ("an older version of the history", |scene| scene.label(AWSCURRENT, &id("previous")), Some(until)),
        ("the head replaced a version that was not recorded", |scene| scene.status.previous = Some(id("unrecorded")), Some(until)),
        ("nothing is known of what it replaced", |scene| scene.status.previous = None, Some(until)),
        ("what it replaced is of the same second", |scene| scene.status.history[1].time = ago(10), Some(until)),
    ];
    for (name, change, expected) in table {
        let scene = old_state(10).with(|scene| {
            for version in ["current", "previous"] {
                scene.read(version, HOUR);
            }
            scene.status.previous = Some(id("current"));
            change(scene);
        });
        assert_eq!(outdated(&scene), expected, "{name}");
    }
}

#[test]
fn a_status_with_any_date_makes_a_read_outdated_for_a_bounded_time() {
    let window = CONSISTENCY_WINDOW.as_secs();
    for (age, expected) in [(119, true), (120, false), (HOUR, false), (-119, true), (-120, false), (-HOUR, false)] {
        let scene = old_state(9 * HOUR).with(|scene| {
            scene.status.history[0].time = ago(age);
            scene.status.last_rotation = None;
        });
        let until = outdated(&scene);
        assert_eq!(until.is_some(), expected, "{age}");
        assert!(until.is_none_or(|until| until <= ago(-2 * window)), "{age}");
    }
    for time in [Timestamp::MIN, Timestamp::MAX] {
        let scene = old_state(HOUR).with(|scene| scene.status.last_rotation = Some(time));
        assert!(outdated(&scene).is_some(), "one date that is not credible does not withdraw the other");
    }
}

#[test]
fn a_rotation_by_aws_that_ended_after_its_version_was_created_is_known_by_its_end() {
    // The function put the value 50 seconds ago, and the rotation ended 10 seconds ago.
    let scene = old_state(50).with(|scene| {
        scene.want = lambda();
        scene.label("AWSPENDING", &id("head"));
        scene.status.history[0].time = ago(50);
    });
    assert!(outdated(&scene).is_some());
}
