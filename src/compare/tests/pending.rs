//! Whose the pending version is.

use super::*;
use crate::api::{AWSPENDING, AWSPREVIOUS, STAGED_LABEL, TAG_CLUSTER, TAG_NAME, TAG_ROTATION};
use crate::facts::Announced;

/// The id of a version that a person requested, which follows from the object.
fn ours() -> VersionId {
    generated(&json!({})).ids.request("now")
}

fn theirs() -> VersionId {
    id("9f1c2a11-57c5-4e0c-9e6f-9d2f7f1c2a11")
}

/// `version` is pending, and a person requested a rotation.
fn pending(want: Desired, version: &VersionId) -> Scene {
    Scene::new(Desired { rotate_request: Some("now".to_owned()), ..want }).with(|scene| scene.label(AWSPENDING, version))
}

fn claimed(scene: &mut Scene) {
    let claim = scene.want.rotation_claim();
    scene.aws().tags.insert(TAG_ROTATION.to_owned(), claim);
}

#[test]
fn without_the_label_nothing_is_pending() {
    for want in [generated(&json!({})), lambda(), mirror_only()] {
        assert_eq!(Scene::new(want).secret().pending, Pending::None);
    }
}

#[test]
fn a_pending_version_that_is_current_is_a_rotation_that_ended() {
    for (name, want) in [("generated", generated(&json!({}))), ("lambda", lambda()), ("mirrored only", mirror_only())] {
        let scene = pending(want, &id("current"));
        let rotating = scene.clone().with(|scene| scene.aws().rotation.enabled = true);
        let another = scene.clone().with(|scene| drop(scene.aws().tags.insert(TAG_NAME.to_owned(), "other".to_owned())));
        for scene in [scene, rotating, another] {
            assert_eq!(scene.secret().pending, Pending::Current(id("current")), "{name}");
        }
    }
}

#[test]
fn a_version_is_ours_only_if_its_id_follows_from_this_object_and_aws_never_rotates() {
    let nothing: Change = |_| {};
    let function: Change = |scene| scene.aws().rotation.function = Some(FUNCTION.to_owned());
    let enabled: Change = |scene| {
        scene.aws().rotation.enabled = true;
        scene.aws().rotation.function = Some(FUNCTION.to_owned());
    };
    let service: Change = |scene| scene.aws().owning_service = Some("rds".to_owned());
    let another: Change = |scene| drop(scene.aws().tags.insert(TAG_NAME.to_owned(), "other".to_owned()));
    let nobodys: Change = |scene| scene.aws().tags.clear();
    let enabled_by_us: Change = |scene| {
        scene.aws().rotation.enabled = true;
        claimed(scene);
    };
    let was_current: Change = |scene| scene.label(AWSPREVIOUS, &ours());
    let recorded: Change = |scene| scene.status.history.push(entry(ours().as_str(), 60, Cause::Requested));
    let plain = || generated(&json!({}));
    for (name, want, change, id, expected) in vec![
        ("ours", plain(), nothing, ours(), Pending::Ours(ours(), Cause::Requested)),
        ("ours, and scheduled", scheduled("rate(1 hour)"), nothing, ours(), Pending::Ours(ours(), Cause::Requested)),
        ("ours, and it was current", plain(), was_current, ours(), Pending::Foreign(ours())),
        ("ours, and it is recorded", plain(), recorded, ours(), Pending::Foreign(ours())),
        ("the first version", plain(), nothing, plain().ids.creation(), Pending::Foreign(plain().ids.creation())),
        ("a random id", plain(), nothing, theirs(), Pending::Foreign(theirs())),
        ("AWS rotated it once", plain(), function, ours(), Pending::Foreign(ours())),
        ("another's secret", plain(), another, ours(), Pending::Foreign(ours())),
        ("nobody's secret", plain(), nobodys, ours(), Pending::Foreign(ours())),
        ("mirrored only", mirror_only(), nothing, ours(), Pending::Foreign(ours())),
        ("a service manages it", plain(), service, ours(), Pending::Foreign(ours())),
        ("another rotates it with a function", plain(), enabled, ours(), Pending::Foreign(ours())),
        ("another rotates it, random id", plain(), enabled, theirs(), Pending::Foreign(theirs())),
        ("a function is declared, rotation is off", lambda(), nothing, ours(), Pending::Foreign(ours())),
        ("a function is declared, rotation is on", lambda(), enabled, ours(), Pending::Delegated(ours())),
        ("a function is declared, random id", lambda(), enabled, theirs(), Pending::Delegated(theirs())),
        ("rotation is on and claimed", plain(), enabled_by_us, theirs(), Pending::Delegated(theirs())),
        ("a function is declared, a service manages it", lambda(), service, ours(), Pending::Foreign(ours())),
        ("mirrored only, another rotates it", mirror_only(), enabled, theirs(), Pending::Foreign(theirs())),
    ] {
        assert_eq!(pending(want, &id).with(change).secret().pending, expected, "{name}");
    }
}

#[test]
fn with_a_target_a_derived_id_and_the_label_are_enough_and_its_cause_may_be_gone() {
    let target = json!({"host": "db", "database": "app"});
    let with_target = || {
        want(json!({
            "value": {"data": {"username": "app"}, "generate": {"password": {}}},
            "rotation": {"schedule": "rate(1 hour)", "postgres": target},
        }))
    };
    let gone = with_target().ids.request("an earlier request");
    let nothing: Change = |_| {};
    let unmarked: Change = |scene| drop(scene.aws().labels.remove(STAGED_LABEL));
    let was_current: Change = |scene| scene.label(AWSPREVIOUS, &scene.want.ids.request("an earlier request"));
    let nobodys: Change = |scene| scene.aws().tags.clear();
    for (name, want, change, id, expected) in [
        ("its cause is gone", with_target(), nothing, gone.clone(), Pending::Ours(gone.clone(), Cause::Requested)),
        ("its cause is there", with_target(), nothing, ours(), Pending::Ours(ours(), Cause::Requested)),
        ("without the label", with_target(), unmarked, gone.clone(), Pending::Foreign(gone.clone())),
        ("a random id", with_target(), nothing, theirs(), Pending::Foreign(theirs())),
        ("it was current", with_target(), was_current, gone.clone(), Pending::Foreign(gone.clone())),
        ("nobody's secret", with_target(), nobodys, gone.clone(), Pending::Foreign(gone.clone())),
        ("no target", scheduled("rate(1 hour)"), nothing, gone.clone(), Pending::Foreign(gone)),
    ] {
        let marked = |scene: &mut Scene| scene.label(STAGED_LABEL, &id);
        assert_eq!(pending(want, &id).with(marked).with(change).secret().pending, expected, "{name}");
    }
}

#[test]
fn a_version_that_lost_awspending_to_another_writer_is_overtaken_until_the_target_refuses_it() {
    let target = json!({"host": "db", "database": "app"});
    let with_target = || {
        want(json!({
            "value": {"data": {"username": "app"}, "generate": {"password": {}}},
            "rotation": {"schedule": "rate(1 hour)", "postgres": target},
        }))
    };
    let nothing: Change = |_| {};
    let foreign: Change = |scene| scene.label(AWSPENDING, &theirs());
    let previous: Change = |scene| scene.label(AWSPREVIOUS, &ours());
    let current: Change = |scene| {
        scene.label(AWSCURRENT, &ours());
        scene.read(ours().as_str(), 60);
    };
    let recorded: Change = |scene| scene.status.history.push(entry(ours().as_str(), 60, Cause::Requested));
    let nobodys: Change = |scene| scene.aws().tags.clear();
    let function: Change = |scene| scene.aws().rotation.function = Some(FUNCTION.to_owned());
    let overtaken = || Pending::Overtaken(ours(), Cause::Requested);
    for (name, want, change, id, expected) in [
        ("another writer put a value", with_target(), nothing, ours(), overtaken()),
        ("and another rotator staged one", with_target(), foreign, ours(), overtaken()),
        ("AWS rotated the secret once", with_target(), function, ours(), overtaken()),
        ("it was current", with_target(), previous, ours(), Pending::None),
        ("it is current", with_target(), current, ours(), Pending::None),
        ("it is recorded", with_target(), recorded, ours(), Pending::None),
        ("a random id", with_target(), nothing, theirs(), Pending::None),
        ("nobody's secret", with_target(), nobodys, ours(), Pending::None),
        ("no target", scheduled("rate(1 hour)"), nothing, ours(), Pending::Foreign(ours())),
    ] {
        let marked = |scene: &mut Scene| scene.label(STAGED_LABEL, &id);
        assert_eq!(Scene::new(want).with(marked).with(change).secret().pending, expected, "{name}");
    }
    // The label proves what the status does not say any more, and without a target nothing is promoted.
    let marked = |scene: &mut Scene| scene.label(STAGED_LABEL, &ours());
    let rotated_once = pending(with_target(), &ours()).with(function).with(marked).secret().pending;
    assert_eq!(rotated_once, Pending::Ours(ours(), Cause::Requested));
    assert_eq!(pending(scheduled("rate(1 hour)"), &ours()).with(marked).secret().pending, Pending::Foreign(ours()));
}

#[test]
fn a_version_that_the_status_announces_is_ours_also_where_nothing_else_says_so() {
    let gone = generated(&json!({})).ids.request("an earlier request");
    let nothing: Change = |_| {};
    let function: Change = |scene| scene.aws().rotation.function = Some(FUNCTION.to_owned());
    let nobodys: Change = |scene| scene.aws().tags.clear();
    for (name, want, change, id, ours) in [
        ("the target was removed", generated(&json!({})), nothing, gone.clone(), true),
        ("AWS rotated the secret once", scheduled("rate(1 hour)"), function, gone.clone(), true),
        ("a random id", generated(&json!({})), nothing, theirs(), false),
        ("nobody's secret", generated(&json!({})), nobodys, gone.clone(), false),
        ("a function is declared", lambda(), nothing, gone, false),
    ] {
        let announces =
            |scene: &mut Scene| scene.status.staging.announced = Some(Announced { version: id.clone(), target: None, from: None });
        let found = pending(want, &id).with(change).with(announces).secret().pending;
        assert_eq!(found, if ours { Pending::Ours(id, Cause::Requested) } else { Pending::Foreign(id) }, "{name}");
    }
}

#[test]
fn a_staged_version_is_overtaken_if_another_one_was_made_current_after_it_was_recorded() {
    let with_target = || {
        want(json!({
            "value": {"data": {"username": "app"}, "generate": {"password": {}}},
            "rotation": {"schedule": "rate(1 hour)", "postgres": {"host": "db", "database": "app"}},
        }))
    };
    let current = pending(with_target(), &ours()).secret().current.map(|current| current.version);
    let (ours_still, overtaken) = (Pending::Ours(ours(), Cause::Requested), Pending::Overtaken(ours(), Cause::Requested));
    for (name, from, expected) in [
        ("the same one is current", current, ours_still.clone()),
        ("another one is", Some(theirs()), overtaken),
        ("by an earlier release of the operator", None, ours_still),
    ] {
        let records = |scene: &mut Scene| {
            scene.label(STAGED_LABEL, &ours());
            let target = with_target().strategy.map(|strategy| strategy.record());
            scene.status.staging.announced = Some(Announced { version: ours(), target, from: from.clone() });
        };
        assert_eq!(pending(with_target(), &ours()).with(records).secret().pending, expected, "{name}");
    }
}

#[test]
fn a_version_whose_predecessor_was_made_current_again_before_it_was_recorded_is_overtaken() {
    let with_target = || {
        want(json!({
            "value": {"data": {"username": "app"}, "generate": {"password": {}}},
            "rotation": {"schedule": "rate(1 hour)", "postgres": {"host": "db", "database": "app"}},
        }))
    };
    let records = |scene: &mut Scene| {
        let target = with_target().strategy.map(|strategy| strategy.record());
        scene.status.staging.announced = Some(Announced { version: ours(), target, from: None });
    };
    let moved_back = |scene: &mut Scene| {
        scene.label(STAGED_LABEL, &ours());
        scene.label(AWSPREVIOUS, &ours());
    };
    let history = |scene: &mut Scene| scene.status.history.push(entry(ours().as_str(), 60, Cause::Requested));
    let overtaken = Pending::Overtaken(ours(), Cause::Requested);
    assert_eq!(pending(with_target(), &ours()).with(moved_back).with(records).secret().pending, overtaken);
    assert_eq!(Scene::new(with_target()).with(moved_back).with(records).secret().pending, overtaken, "also without AWSPENDING");
    let recorded = pending(with_target(), &ours()).with(moved_back).with(records).with(history).secret().pending;
    assert_eq!(recorded, Pending::Foreign(ours()), "it was in use");
}

#[test]
fn another_objects_claim_on_a_secret_that_is_ours_does_not_make_its_pending_version_ours() {
    let scene = pending(generated(&json!({})), &ours()).with(|scene| {
        scene.aws().rotation.enabled = true;
        scene.aws().tags.insert(TAG_ROTATION.to_owned(), "c1/shop/former".to_owned());
    });
    assert_eq!(scene.secret().pending, Pending::Delegated(ours()), "an old claim on our secret is ours");
    let foreign = scene.with(|scene| drop(scene.aws().tags.insert(TAG_CLUSTER.to_owned(), "c2".to_owned())));
    assert_eq!(foreign.secret().pending, Pending::Foreign(ours()));
}

#[test]
fn only_a_rotation_that_has_not_ended_is_in_progress() {
    for (pending, in_progress) in [
        (Pending::None, false),
        (Pending::Current(ours()), false),
        (Pending::Ours(ours(), Cause::Scheduled), true),
        (Pending::Delegated(ours()), true),
        (Pending::Foreign(ours()), true),
    ] {
        assert_eq!(pending.in_progress(), in_progress.then_some(&ours()), "{pending:?}");
        assert_eq!(pending.version(), (pending != Pending::None).then_some(&ours()), "{pending:?}");
    }
}
