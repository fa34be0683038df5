//! The mirror, who manages the secret, and labels that this reconcile moved.

use super::*;
use crate::api::{AWSPENDING, RETIRING_LABEL};

fn with_target(target: &Value) -> Desired {
    want(json!({"value": {"generate": {"password": {}}}, "target": target}))
}

#[test]
fn the_mirror_is_unwanted_absent_ours_adoptable_or_foreign() {
    let found = |ours, adoptable| Some(MirrorFacts { ours, adoptable, ..MirrorFacts::default() });
    let ours = MirrorState::Ours { version: None, intact: false, written: None, changed: None, revision: None };
    let none = json!({"creationPolicy": "None"});
    let (plain, adopts) = (json!({}), json!({"adoptionPolicy": "IfAnnotated"}));
    for (name, target, found, expected) in [
        ("none is declared any more", &none, found(true, false), MirrorState::Surplus),
        ("none is declared, another's is there", &none, found(false, true), MirrorState::Unwanted),
        ("none is declared, none there", &none, None, MirrorState::Unwanted),
        ("none there", &plain, None, MirrorState::Absent),
        ("ours", &plain, found(true, false), ours.clone()),
        ("ours, and annotated", &adopts, found(true, true), ours),
        ("not ours", &plain, found(false, false), MirrorState::Foreign),
        ("not ours, annotated, the spec does not adopt", &plain, found(false, true), MirrorState::Foreign),
        ("not ours, not annotated, the spec adopts", &adopts, found(false, false), MirrorState::Foreign),
        ("not ours, annotated, the spec adopts", &adopts, found(false, true), MirrorState::Adoptable),
    ] {
        let scene = Scene::new(with_target(target)).with(|scene| scene.facts.mirror = found);
        assert_eq!(scene.compare().unwrap().mirror, expected, "{name}");
    }
}

#[test]
fn a_mirror_of_ours_is_intact_if_it_is_as_laid_out_or_at_the_confirmed_revision() {
    for (intact, confirmed, revision, expected) in [
        (true, None, Some("7"), true),
        (true, Some("6"), Some("7"), true),
        (false, None, Some("7"), false),
        (false, Some("6"), Some("7"), false),
        (false, Some("7"), Some("7"), true),
        (false, None, None, false),
        (false, Some("7"), None, false),
    ] {
        let scene = Scene::new(with_target(&json!({}))).with(|scene| {
            scene.mirror().intact = intact;
            scene.mirror().revision = revision.map(str::to_owned);
            scene.status.mirror.confirmed_revision = confirmed.map(str::to_owned);
        });
        let expected = MirrorState::Ours {
            version: Some(id("current")),
            intact: expected,
            written: Some(ago(HOUR)),
            changed: Some(ago(2 * HOUR)),
            revision: revision.map(str::to_owned),
        };
        assert_eq!(scene.compare().unwrap().mirror, expected, "{intact} {confirmed:?} {revision:?}");
    }
}

/// How the labels and the request are.
type Circumstance = (&'static str, Value, &'static [(&'static str, &'static str)], Option<&'static str>, Option<&'static str>);

#[test]
fn the_previous_version_is_mirrored_if_declared_until_it_is_retired() {
    let both = json!({"target": {"includePrevious": true}});
    let redis = json!({"redis": {"host": "redis.example.com"}, "schedule": "rate(30 days)"});
    let two = json!({"target": {"includePrevious": true}, "rotation": redis});
    let retired = json!({"target": {"includePrevious": true}, "rotation": redis, "rollout": {}});
    let retiring: &[(&str, &str)] = &[(RETIRING_LABEL, "previous")];
    let older: &[(&str, &str)] = &[(RETIRING_LABEL, "older")];
    let rows: [Circumstance; 9] = [
        ("not declared", json!({}), &[], None, None),
        ("declared", both.clone(), &[], None, Some("previous")),
        ("in an emergency", both.clone(), &[], Some("t:emergency"), None),
        ("after another request", both.clone(), &[], Some("t"), Some("previous")),
        ("it is the current one", both, &[(AWSPREVIOUS, "current")], None, None),
        ("never retired", two, retiring, None, Some("previous")),
        ("to be retired", retired.clone(), retiring, None, Some("previous")),
        ("an older one is to be retired", retired.clone(), older, None, None),
        ("retired", retired, &[], None, None),
    ];
    for (name, spec, labels, request, wanted) in rows {
        let mut whole = json!({"value": {"generate": {"password": {}}, "data": {"username": "app"}}});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let mut declared = want(whole);
        declared.rotate_request = request.map(str::to_owned);
        declared.emergency = request.is_some_and(|token| token.ends_with(":emergency"));
        let requested = request.map(|token| declared.ids.request(token));
        let scene = Scene::new(declared).with(|scene| {
            for (label, version) in labels {
                scene.label(label, &id(version));
            }
            if let Some(version) = &requested {
                scene.label(AWSCURRENT, version);
                scene.read_at(version, ago(HOUR));
                scene.matched(version, true);
                scene.mirror().version = Some(version.clone());
            }
        });
        let seen = scene.compare().unwrap();
        assert_eq!(seen.extras.wanted_previous, wanted.map(id), "{name}");
        let intact = matches!(seen.mirror, MirrorState::Ours { intact: true, .. });
        assert_eq!(intact, wanted.is_none(), "{name}: the Secret does not hold it yet");
        let handled = scene.clone().with(|scene| {
            scene.want.rotate_request = None;
            scene.want.emergency = false;
            scene.status.requests.rotate = request.map(str::to_owned);
        });
        assert_eq!(handled.compare().unwrap().extras.wanted_previous, wanted.map(id), "{name}, and the annotation is removed");
        let held = scene.with(|scene| scene.mirror().previous = wanted.map(id)).compare().unwrap();
        assert!(matches!(held.mirror, MirrorState::Ours { intact: true, .. }), "{name}");
    }
}

#[test]
fn services_and_primaries_of_other_regions_manage_a_secret() {
    for (service, primary, expected) in [
        (None, None, None),
        (None, Some("eu-central-1"), None),
        (None, Some("eu-west-1"), Some(Manager::Primary("eu-west-1".to_owned()))),
        (Some("rds"), None, Some(Manager::Service)),
        (Some("rds"), Some("eu-west-1"), Some(Manager::Service)),
    ] {
        let scene = Scene::new(generated(&json!({}))).with(|scene| {
            scene.aws().owning_service = service.map(str::to_owned);
            scene.aws().primary_region = primary.map(str::to_owned);
        });
        assert_eq!(scene.secret().manager, expected, "{service:?} {primary:?}");
    }
}

#[test]
fn a_secret_with_another_arn_than_the_reported_one_replaced_it() {
    for (reported, replaced) in [(None, None), (Some(ARN), None), (Some(OTHER_ARN), Some(OTHER_ARN))] {
        let scene = Scene::new(generated(&json!({}))).with(|scene| {
            scene.status.arn = reported.map(str::to_owned);
            scene.read("current", HOUR);
        });
        let seen = scene.compare().unwrap();
        assert_eq!(seen.replaced(), replaced, "{reported:?}");
        assert_eq!(seen.secret.unwrap().arn, ARN);
    }
}

#[test]
fn labels_that_this_reconcile_moved_are_seen_where_it_moved_them() {
    let scene = Scene::new(generated(&json!({}))).with(|scene| {
        scene.label(AWSPENDING, &id("staged"));
        scene.read("staged", 5);
        scene.journal.record(Step::Promote { version: id("staged"), from: id("current") }, Effect::Applied { at: now() });
    });
    let secret = scene.secret();
    assert_eq!(secret.current.as_ref().map(|current| &current.version), Some(&id("staged")));
    assert_eq!((secret.previous(), &secret.pending), (Some(&id("current")), &Pending::Current(id("staged"))));
    let settled = scene.with(|scene| scene.journal.record(Step::Settle { version: id("staged") }, Effect::Applied { at: now() }));
    assert_eq!(settled.secret().pending, Pending::None);
    assert_eq!(settled.facts.secret.unwrap().labelled(AWSCURRENT), Some(&id("current")), "the facts stay as they were read");
}

#[test]
fn used_versions_are_those_of_this_reconcile_and_the_unseen_one_of_an_earlier_one() {
    let scene = Scene::new(generated(&json!({}))).with(|scene| {
        scene.put("new", "current", Effect::Applied { at: ago(3) });
        scene.status.unseen = Some((id("unseen"), ago(9)));
        scene.read("current", HOUR);
    });
    let used = scene.compare().unwrap().used();
    assert_eq!(used, BTreeMap::from([(id("new"), ago(3)), (id("unseen"), ago(9))]));
}

#[test]
fn facts_that_are_not_compared_pass_through_as_they_are() {
    let scene = Scene::new(generated(&json!({}))).with(|scene| {
        scene.facts.finalizer = true;
        scene.facts.access.name_allowed = false;
        scene.put("new", "current", Effect::Absent);
    });
    let seen = scene.compare().unwrap();
    assert_eq!((seen.finalizer, &seen.access), (true, &scene.facts.access));
    assert_eq!((&seen.status, &seen.journal), (&scene.status, &scene.journal));
    let secret = seen.secret.unwrap();
    assert_eq!((secret.last_changed, secret.deleted), (Some(ago(HOUR)), false));
    let absent = scene.with(|scene| scene.facts.secret = None);
    assert_eq!(absent.compare().unwrap().secret, None);
}
