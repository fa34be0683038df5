//! Rotation by AWS.

use super::*;
use crate::api::{TAG_CLUSTER, TAG_NAME, TAG_ROTATION};
use crate::desired::Rules;

const OTHER_FUNCTION: &str = "arn:aws:lambda:eu-central-1:123456789012:function:theirs";

fn rotation(scene: &Scene) -> LambdaState {
    scene.secret().rotation
}

/// AWS rotates with `function`.
fn rotated(want: Desired, function: &str) -> Scene {
    Scene::new(want).with(|scene| {
        scene.aws().rotation.enabled = true;
        scene.aws().rotation.function = Some(function.to_owned());
        scene.aws().rotation.rules.expression = Some("rate(30 days)".to_owned());
    })
}

fn claim_by(scene: &mut Scene, claim: &str) {
    scene.aws().tags.insert(TAG_ROTATION.to_owned(), claim.to_owned());
}

#[test]
fn a_rotation_that_is_on_is_foreign_unless_it_is_claimed_or_declared() {
    let ours = lambda().rotation_claim();
    let plain = || generated(&json!({}));
    let cases = vec![
        ("not claimed, not declared", plain(), FUNCTION, None, true, false, true),
        ("not claimed, another function is declared", lambda(), OTHER_FUNCTION, None, true, false, true),
        ("not claimed, declared", lambda(), FUNCTION, None, true, false, false),
        ("claimed, not declared", plain(), FUNCTION, Some(ours.as_str()), true, true, false),
        ("claimed, another function is declared", lambda(), OTHER_FUNCTION, Some(&ours), true, true, false),
        ("an old claim on our secret", plain(), FUNCTION, Some("c1/shop/former"), true, false, false),
        ("another's claim on another's secret", plain(), FUNCTION, Some("c1/shop/former"), false, false, true),
        ("another's claim on another's secret, declared", lambda(), FUNCTION, Some("c1/shop/former"), false, false, true),
        ("our claim on another's secret", plain(), FUNCTION, Some(&ours), false, true, false),
        ("an empty claim on another's secret, declared", lambda(), FUNCTION, Some(""), false, false, true),
        ("mirrored only", mirror_only(), FUNCTION, None, true, false, true),
    ];
    for (name, want, function, by, ours, claimed, foreign) in cases {
        let on = rotated(want, function).with(|scene| {
            if let Some(by) = by {
                claim_by(scene, by);
            }
            if !ours {
                scene.aws().tags.insert(TAG_NAME.to_owned(), "other".to_owned());
            }
        });
        let shown = rotation(&on);
        assert_eq!((shown.enabled, shown.claimed, shown.foreign), (true, claimed, foreign), "{name}");
        assert!(on.secret().rotated_by_aws(), "{name}");
        let off = on.with(|scene| scene.aws().rotation.enabled = false);
        let shown = rotation(&off);
        assert_eq!((shown.enabled, shown.claimed, shown.foreign), (false, claimed, false), "{name}: off");
        assert_eq!(off.secret().rotated_by_aws(), claimed, "{name}: off");
    }
}

#[test]
fn a_claim_is_contested_only_if_it_is_anothers_and_the_secret_is_not_ours() {
    let ours = lambda().rotation_claim();
    for (name, by, tag, contested) in [
        ("no claim, ours", None, None, false),
        ("no claim, not ours", None, Some(TAG_NAME), false),
        ("our claim, ours", Some(ours.as_str()), None, false),
        ("our claim, not ours", Some(&ours), Some(TAG_CLUSTER), false),
        ("another's claim, ours", Some("c1/shop/former"), None, false),
        ("another's claim, not ours", Some("c1/shop/former"), Some(TAG_NAME), true),
        ("another cluster's claim", Some("c2/shop/db-admin"), Some(TAG_CLUSTER), true),
    ] {
        let scene = Scene::new(lambda()).with(|scene| {
            if let Some(by) = by {
                claim_by(scene, by);
            }
            if let Some(tag) = tag {
                scene.aws().tags.insert(tag.to_owned(), "other".to_owned());
            }
        });
        assert_eq!(rotation(&scene).contested, contested, "{name}");
    }
}

#[test]
fn rotation_is_as_declared_if_function_and_rules_are_whether_it_is_on_or_not() {
    let rules = |days: Option<i64>, expression: Option<&str>, duration: Option<&str>| Rules {
        days,
        expression: expression.map(str::to_owned),
        duration: duration.map(str::to_owned),
    };
    let expression = Some("rate(30 days)");
    for (name, want, function, rules, as_declared) in [
        ("the same", lambda(), Some(FUNCTION), rules(None, expression, None), true),
        ("AWS computes the days", lambda(), Some(FUNCTION), rules(Some(30), expression, None), true),
        ("another expression", lambda(), Some(FUNCTION), rules(None, Some("rate(31 days)"), None), false),
        ("days only", lambda(), Some(FUNCTION), rules(Some(30), None, None), false),
        ("another window", lambda(), Some(FUNCTION), rules(None, expression, Some("3h")), false),
        ("another function", lambda(), Some(OTHER_FUNCTION), rules(None, expression, None), false),
        ("no function", lambda(), None, rules(None, expression, None), false),
        ("no function is declared", generated(&json!({})), Some(FUNCTION), rules(None, expression, None), false),
    ] {
        for enabled in [false, true] {
            let scene = Scene::new(want.clone()).with(|scene| {
                let shown = &mut scene.aws().rotation;
                shown.enabled = enabled;
                shown.function = function.map(str::to_owned);
                shown.rules = rules.clone();
            });
            assert_eq!(rotation(&scene).as_declared, as_declared, "{name} {enabled}");
        }
    }
}

#[test]
fn a_declaration_that_aws_would_refuse_is_never_as_declared() {
    let rotation_spec = json!({"schedule": "rate(1 hour)", "lambda": {"functionArn": FUNCTION}});
    let refused = want(json!({"value": {"generate": {"password": {}}}, "rotation": rotation_spec}));
    assert!(matches!(&refused.rotation, Rotation::Lambda(lambda) if lambda.config.is_err()));
    let scene = rotated(refused, FUNCTION).with(|scene| scene.aws().rotation.rules.expression = Some("rate(1 hour)".to_owned()));
    let shown = rotation(&scene);
    assert_eq!((shown.as_declared, shown.foreign), (false, false), "the function is declared all the same");
}

#[test]
fn a_secret_of_an_aws_service_is_rotated_by_another_even_if_rotation_is_off_or_claimed() {
    for (name, change) in [
        ("off", (|_| {}) as Change),
        ("on", |scene| scene.aws().rotation.enabled = true),
        ("claimed", |scene| {
            let ours = scene.want.rotation_claim();
            claim_by(scene, &ours);
        }),
    ] {
        let scene = Scene::new(lambda()).with(|scene| scene.aws().owning_service = Some("rds".to_owned())).with(change);
        assert!(rotation(&scene).foreign, "{name}");
        assert!(scene.secret().rotated_by_aws(), "{name}");
        assert_eq!(scene.secret().manager, Some(Manager::Service), "{name}");
    }
}

#[test]
fn dates_of_rotation_are_whole_seconds() {
    let scene = Scene::new(lambda()).with(|scene| {
        scene.aws().rotation.last = Some(ago(60) + SignedDuration::from_millis(999));
        scene.aws().rotation.next = Some(ago(-60) + SignedDuration::from_millis(1));
    });
    let shown = rotation(&scene);
    assert_eq!((shown.last, shown.next), (Some(ago(60)), Some(ago(-60))));
}
