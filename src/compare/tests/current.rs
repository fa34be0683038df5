//! Since when the current version is current, and what the schedule counts from.

use super::*;
use crate::journal::CONSISTENCY_WINDOW;

/// The current version is one that the status does not have.
fn unreported(want: Desired) -> Scene {
    Scene::new(want).with(|scene| scene.label(AWSCURRENT, &id("new")))
}

fn changed(scene: &Scene) -> Timestamp {
    scene.current().unwrap().changed
}

#[test]
fn a_reported_version_is_current_since_the_reported_time_and_nothing_is_read() {
    for want in [generated(&json!({})), scheduled("rate(1 hour)"), lambda(), mirror_only()] {
        let current = Scene::new(want).current().unwrap();
        assert_eq!(current, Current { version: id("current"), changed: ago(HOUR), schedule_base: ago(HOUR), matches: None });
    }
}

#[test]
fn a_version_that_the_status_does_not_have_is_read_for_its_date() {
    for want in [generated(&json!({})), mirror_only()] {
        let unread = unreported(want);
        assert_eq!(unread.current(), Err(needs("new")));
        let read = unread.clone().with(|scene| scene.read("new", 5));
        assert_eq!(read.current().unwrap(), Current { version: id("new"), changed: ago(5), schedule_base: ago(5), matches: None });
        let created = ago(5) + SignedDuration::from_millis(999);
        let fraction = unread.with(|scene| scene.read_at(&id("new"), created));
        assert_eq!(changed(&fraction), ago(5), "Kubernetes keeps whole seconds");
    }
}

#[test]
fn the_history_of_another_secret_says_nothing_about_this_one() {
    for arn in [None, Some(OTHER_ARN)] {
        let scene = Scene::new(generated(&json!({}))).with(|scene| scene.status.arn = arn.map(str::to_owned));
        assert_eq!(scene.current(), Err(needs("current")), "{arn:?}");
        // Its newest entry is younger than this version, and yet no older version became current again.
        assert_eq!(changed(&scene.with(|scene| scene.read("current", 9 * HOUR))), ago(9 * HOUR), "{arn:?}");
    }
}

#[test]
fn a_status_that_lost_the_declaration_has_the_value_read_and_compared() {
    let lost = |scene: &mut Scene| scene.status.declared.hash = None;
    for (name, scene, time) in [
        ("reported", Scene::new(generated(&json!({}))).with(lost), ago(HOUR)),
        ("unreported", unreported(generated(&json!({}))).with(lost), ago(7)),
    ] {
        let version = scene.facts.secret.as_ref().unwrap().labelled(AWSCURRENT).unwrap().clone();
        assert_eq!(scene.current(), Err(Need::Version(version.clone())), "{name}");
        let dated = scene.with(|scene| scene.read_at(&version, ago(7)));
        assert_eq!(dated.current(), Err(Need::Version(version.clone())), "{name}: the date alone is not enough");
        for matches in [true, false] {
            let read = dated.clone().with(|scene| scene.matched(&version, matches));
            let current = read.current().unwrap();
            assert_eq!((current.changed, current.matches), (time, Some(matches)), "{name}");
        }
    }
    let mirror = Scene::new(mirror_only()).with(lost);
    assert_eq!(mirror.current().unwrap().matches, None, "nothing is declared that could match");
}

#[test]
fn a_known_declaration_is_never_compared_with_the_value() {
    let scene = Scene::new(generated(&json!({}))).with(|scene| scene.matched(&id("current"), false));
    assert_eq!(scene.current().unwrap().matches, None);
}

#[test]
fn an_older_version_became_current_again_when_the_secret_was_last_modified() {
    for (created, modified, expected) in [
        (2 * HOUR, Some(60), 60),
        (2 * HOUR, None, 2 * HOUR),
        (2 * HOUR, Some(3 * HOUR), 2 * HOUR),
        // As old as the newest reported one.
        (HOUR, Some(60), 60),
        // Younger: it became current when it was created.
        (HOUR - 1, Some(60), HOUR - 1),
    ] {
        let scene = unreported(generated(&json!({}))).with(|scene| {
            scene.read("new", created);
            scene.aws().last_changed = modified.map(ago);
        });
        assert_eq!(changed(&scene), ago(expected), "{created} {modified:?}");
    }
}

#[test]
fn a_later_version_of_ours_without_a_label_shows_that_this_one_became_current_after_it() {
    let window = CONSISTENCY_WINDOW.as_secs();
    for (age, version, label, superseded) in [
        (window, "lost", None, true),
        (window + 60, "lost", None, true),
        // Too young: AWS may not show its label yet.
        (window - 1, "lost", None, false),
        (window, "lost", Some("AWSPENDING"), false),
        (window, "lost", Some("rotated-secrets/1"), false),
        (window, "current", None, false),
        // Older than the reported time.
        (2 * HOUR, "lost", None, false),
    ] {
        let expected = ago(if superseded { age } else { HOUR });
        let labelled = Scene::new(generated(&json!({}))).with(|scene| label.into_iter().for_each(|label| scene.label(label, &id(version))));
        let unseen = labelled.clone().with(|scene| scene.status.unseen = Some((id(version), ago(age))));
        let wrote = labelled.clone().with(|scene| scene.put(version, "current", Effect::Applied { at: ago(age) }));
        let exists = labelled.with(|scene| scene.put(version, "current", Effect::Exists { created: ago(age) }));
        for (by, scene) in [("unseen", unseen), ("applied", wrote), ("exists", exists)] {
            let current = scene.current().unwrap();
            assert_eq!((current.changed, current.schedule_base), (expected, expected), "{by}: {version} {age} {label:?}");
        }
    }
}

#[test]
fn a_version_that_was_only_staged_does_not_move_the_date_of_a_current_one_that_is_recorded() {
    let age = CONSISTENCY_WINDOW.as_secs();
    let staged = |scene: &mut Scene| {
        let (source, cause, stage) = (Source::Compose, Cause::Scheduled, Stage::Pending);
        let step = Step::Put { version: id("lost"), source, predecessor: Some(id("current")), cause, stage, label: None };
        scene.journal.record(step, Effect::Exists { created: ago(age) });
    };
    let recorded = Scene::new(generated(&json!({}))).with(staged);
    assert_eq!(recorded.current().unwrap().changed, ago(HOUR), "it was abandoned");
    let unknown = unreported(generated(&json!({}))).with(|scene| scene.read("new", HOUR - 1)).with(staged);
    assert_eq!(changed(&unknown), ago(age), "the status does not know: it may have been current");
}

#[test]
fn what_this_reconcile_wrote_is_not_read_while_the_mirror_gets_it_next() {
    let target = |target: Value| want(json!({"value": {"generate": {"password": {}}}, "target": target}));
    let adopts = || target(json!({"adoptionPolicy": "IfAnnotated"}));
    let foreign = |adoptable| Some(MirrorFacts { adoptable, ..MirrorFacts::default() });
    let ours = |version: Option<&str>| Some(MirrorFacts { ours: true, version: version.map(id), ..MirrorFacts::default() });
    let plain = || target(json!({}));
    let cases = vec![
        ("absent", plain(), None, true),
        ("ours with the predecessor", plain(), ours(Some("current")), true),
        ("ours with no version", plain(), ours(None), true),
        ("adoptable", adopts(), foreign(true), true),
        ("ours with the version", plain(), ours(Some("new")), false),
        ("foreign", adopts(), foreign(false), false),
        ("adoptable, not allowed by the spec", plain(), foreign(true), false),
        ("no mirror", target(json!({"creationPolicy": "None"})), None, false),
        ("pinned to a label", target(json!({"versionStage": "AWSPREVIOUS"})), None, false),
        ("pinned to a version", target(json!({"versionId": "3e0c7d7e-9d2f-5f1c-8a11-57c54e0c9e6f"})), None, false),
    ];
    for (name, want, mirror, next) in cases {
        let scene = unreported(want).with(|scene| {
            scene.facts.mirror = mirror;
            scene.put("new", "current", Effect::Applied { at: now() });
        });
        let expected = if next { Ok(now()) } else { Err(needs("new")) };
        assert_eq!(scene.current().map(|current| current.changed), expected, "{name}");
        // Once it was read, its date is used.
        assert_eq!(changed(&scene.with(|scene| scene.read("new", 3))), ago(3), "{name}");
    }
    let another = unreported(plain()).with(|scene| {
        scene.facts.mirror = None;
        scene.put("third", "new", Effect::Applied { at: now() });
    });
    assert_eq!(another.current(), Err(needs("new")), "this reconcile wrote another version");
}

#[test]
fn a_change_of_the_declaration_does_not_move_what_the_schedule_counts_from() {
    let want = scheduled("rate(1 hour)");
    let redeclared = want.ids.declaration(&id("previous"), &hash(&want));
    let unreported = |scene: &mut Scene| {
        scene.label(AWSCURRENT, &redeclared);
        scene.read_at(&redeclared, ago(5));
    };
    let reported = |scene: &mut Scene| {
        scene.status.history.insert(0, entry("current", 5, Cause::SpecChanged));
    };
    let scenes = [("reported", Scene::new(want.clone()).with(reported)), ("not reported", Scene::new(want.clone()).with(unreported))];
    for (name, scene) in scenes {
        let scene = scene.with(|scene| scene.status.last_rotation = Some(ago(7 * HOUR)));
        let current = scene.current().unwrap();
        assert_eq!((current.changed, current.schedule_base), (ago(5), ago(7 * HOUR)), "{name}");

        let lost = scene.with(|scene| scene.status.last_rotation = None);
        assert_eq!(lost.current(), Err(needs("previous")), "{name}: the version before has a date of its own");
        let read = lost.clone().with(|scene| scene.read("previous", 9 * HOUR));
        assert_eq!(read.current().unwrap().schedule_base, ago(9 * HOUR), "{name}");
        let first = lost.with(|scene| drop(scene.aws().labels.remove(AWSPREVIOUS)));
        // Without AWSPREVIOUS only the history can tell that it was a change of the declaration.
        assert_eq!(first.current().unwrap().schedule_base, ago(5), "{name}");
    }
}

#[test]
fn a_change_of_the_declaration_counts_from_the_value_before_it_also_if_no_status_has_that() {
    let want = scheduled("rate(1 hour)");
    let redeclared = want.ids.declaration(&id("by-hand"), &hash(&want));
    let scene = Scene::new(want).with(|scene| {
        scene.label(AWSCURRENT, &redeclared);
        scene.label(AWSPREVIOUS, &id("by-hand"));
        scene.read_at(&redeclared, ago(5));
        scene.status.last_rotation = Some(ago(7 * HOUR));
    });
    assert_eq!(scene.current(), Err(needs("by-hand")));
    for (created, expected) in [(HOUR, HOUR), (8 * HOUR, 7 * HOUR)] {
        let read = scene.clone().with(|scene| scene.read("by-hand", created));
        assert_eq!(read.current().unwrap().schedule_base, ago(expected), "{created}");
    }
    let known = scene.with(|scene| scene.status.history.insert(0, entry("by-hand", HOUR, Cause::External)));
    assert_eq!(known.current().unwrap().schedule_base, ago(7 * HOUR), "the status has counted it");
}

#[test]
fn every_other_change_moves_what_the_schedule_counts_from() {
    let want = scheduled("rate(1 hour)");
    for cause in [Cause::Created, Cause::Adopted, Cause::Scheduled, Cause::Requested, Cause::External, Cause::RolledBack] {
        let scene = Scene::new(want.clone()).with(|scene| {
            scene.status.history = vec![entry("current", 5, cause)];
            scene.status.last_rotation = Some(ago(7 * HOUR));
        });
        assert_eq!(scene.current().unwrap().schedule_base, ago(5), "{cause:?}");
    }
    let other_hash = want.ids.declaration(&id("previous"), "another declaration");
    let other_predecessor = want.ids.declaration(&id("current"), &hash(&want));
    for version in [other_hash, other_predecessor, want.ids.slot(ago(5))] {
        let scene = Scene::new(want.clone()).with(|scene| {
            scene.label(AWSCURRENT, &version);
            scene.read_at(&version, ago(5));
            scene.status.last_rotation = Some(ago(7 * HOUR));
        });
        assert_eq!(scene.current().unwrap().schedule_base, ago(5), "{version}");
    }
}

#[test]
fn with_a_function_the_schedule_counts_from_the_last_rotation_by_aws() {
    for (last, expected) in [(Some(60), 60), (Some(2 * HOUR), HOUR), (None, HOUR)] {
        let scene = Scene::new(lambda()).with(|scene| scene.aws().rotation.last = last.map(ago));
        let current = scene.current().unwrap();
        assert_eq!((current.changed, current.schedule_base), (ago(HOUR), ago(expected)), "{last:?}");
    }
    let redeclared = Scene::new(lambda()).with(|scene| {
        scene.status.history = vec![entry("current", 5, Cause::SpecChanged)];
        scene.status.last_rotation = Some(ago(7 * HOUR));
        scene.aws().rotation.last = Some(ago(60));
    });
    assert_eq!(redeclared.current().unwrap().schedule_base, ago(7 * HOUR));
    let without = Scene::new(scheduled("rate(1 hour)")).with(|scene| scene.aws().rotation.last = Some(ago(60)));
    assert_eq!(without.current().unwrap().schedule_base, ago(HOUR), "AWS does not rotate for this object");
}

#[test]
fn a_value_is_read_only_for_a_secret_that_is_or_may_become_ours_or_is_only_mirrored() {
    use crate::api::{TAG_CLUSTER, TAG_NAME, TAG_UID};
    let adoptable = generated(&json!({"adoptionPolicy": "Always"}));
    let untagged: Change = |scene| scene.aws().tags.clear();
    let another: Change = |scene| drop(scene.aws().tags.insert(TAG_NAME.to_owned(), "other".to_owned()));
    let former: Change = |scene| drop(scene.aws().tags.insert(TAG_UID.to_owned(), "other".to_owned()));
    let abroad: Change = |scene| drop(scene.aws().tags.insert(TAG_CLUSTER.to_owned(), "other".to_owned()));
    let listed: Change = |scene| {
        scene.aws().tags.insert(TAG_CLUSTER.to_owned(), "other".to_owned());
        scene.facts.access.listed = true;
    };
    let deleted: Change = |scene| scene.aws().deleted = true;
    let nothing: Change = |_| {};
    let cases = vec![
        ("ours", generated(&json!({})), nothing, Ownership::Ours, true),
        ("former", generated(&json!({})), former, Ownership::Former, true),
        ("adoptable", adoptable, untagged, Ownership::Adoptable, true),
        ("nobody's", generated(&json!({})), untagged, Ownership::Nobody, false),
        ("another's", generated(&json!({})), another, Ownership::Another(Difference::Object), false),
        ("scheduled for deletion", generated(&json!({})), deleted, Ownership::Ours, false),
        ("mirrored only, nobody's", mirror_only(), untagged, Ownership::Nobody, true),
        ("mirrored only, another's in the namespace", mirror_only(), another, Ownership::Another(Difference::Object), true),
        ("mirrored only, another cluster's", mirror_only(), abroad, Ownership::Another(Difference::Cluster), false),
        ("mirrored only, another cluster's, listed", mirror_only(), listed, Ownership::Another(Difference::Cluster), true),
        ("mirrored only, scheduled for deletion", mirror_only(), deleted, Ownership::Ours, false),
    ];
    for (name, want, change, ownership, readable) in cases {
        let lost = Scene::new(want).with(|scene| scene.status = StatusFacts::default()).with(change);
        if readable {
            assert_eq!(lost.current(), Err(needs("current")), "{name}");
            let read = lost.with(|scene| {
                scene.read("current", 5);
                scene.matched(&id("current"), true);
            });
            assert_eq!(read.secret().ownership, ownership, "{name}");
            assert_eq!(changed(&read), ago(5), "{name}");
        } else {
            assert_eq!(lost.secret().ownership, ownership, "{name}");
            let unread = Current { version: id("current"), changed: now(), schedule_base: now(), matches: None };
            assert_eq!(lost.current(), Ok(unread), "{name}");
        }
    }
}

#[test]
fn a_secret_without_a_current_version_has_none() {
    let scene = Scene::new(generated(&json!({}))).with(|scene| scene.aws().labels.clear());
    assert_eq!(scene.secret().current, None);
}
