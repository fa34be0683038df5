//! Which facts a comparison asks for, and that it ends.

use super::*;
use crate::facts::PolicyRead;

/// Reads what is needed, as the reconcile does, until the comparison has all facts.
fn feed(mut scene: Scene) -> Vec<Need> {
    let mut needs = Vec::new();
    while let Err(need) = scene.compare() {
        assert!(!needs.contains(&need), "{need:?} is asked for twice");
        match &need {
            Need::Version(version) => {
                scene.read_at(version, ago(2 * HOUR));
                if scene.want.value.is_some() {
                    scene.matched(version, true);
                }
            }
            Need::Policy => {
                let changed = scene.aws().last_changed;
                scene.facts.reads.policy = Some(PolicyRead { changed, meaning: Ok(None) });
            }
        }
        needs.push(need);
    }
    needs
}

fn with_policy(rotation: &Value) -> Desired {
    let policy = json!({"resourcePolicy": {"Statement": [{"Effect": "Allow"}]}});
    want(json!({"value": {"generate": {"password": {}}}, "aws": policy, "rotation": rotation}))
}

#[test]
fn nothing_is_read_while_nothing_changes() {
    for want in [generated(&json!({})), scheduled("rate(1 hour)"), lambda(), mirror_only()] {
        assert_eq!(feed(Scene::new(want)), []);
    }
}

#[test]
fn a_lost_status_costs_the_current_version_the_one_before_and_the_policy() {
    let want = with_policy(&json!({"schedule": "rate(1 hour)"}));
    let redeclared = want.ids.declaration(&id("previous"), &hash(&want));
    let lost = Scene::new(want).with(|scene| scene.status = StatusFacts::default());
    assert_eq!(feed(lost.clone()), [needs("current"), Need::Policy]);
    let redeclared_lost = lost.clone().with(|scene| scene.label(AWSCURRENT, &redeclared));
    assert_eq!(feed(redeclared_lost), [Need::Version(redeclared), needs("previous"), Need::Policy]);
    let absent = lost.with(|scene| scene.facts.secret = None);
    assert_eq!(feed(absent), []);
}

#[test]
fn three_reads_are_enough_for_every_status() {
    let lost: [(&str, Change); 6] = [
        ("declaration", |scene| scene.status.declared.hash = None),
        ("history", |scene| scene.status.history.clear()),
        ("last rotation", |scene| scene.status.last_rotation = None),
        ("arn", |scene| scene.status.arn = None),
        ("generation", |scene| scene.status.current_generation = false),
        ("date", |scene| scene.aws().last_changed = None),
    ];
    let versions: [(&str, Change); 4] = [
        ("as reported", |_| {}),
        ("external", |scene| scene.label(AWSCURRENT, &id("external"))),
        ("redeclared", |scene| {
            let hash = scene.want.value.as_ref().map(DeclaredValue::hash).unwrap_or_default();
            let version = scene.want.ids.declaration(&id("previous"), &hash);
            scene.label(AWSCURRENT, &version);
        }),
        ("reported as redeclared", |scene| scene.status.history = vec![entry("current", 5, Cause::SpecChanged)]),
    ];
    let lambda = json!({"schedule": "rate(30 days)", "lambda": {"functionArn": FUNCTION}});
    let wants = [with_policy(&json!(null)), with_policy(&json!({"schedule": "rate(1 hour)"})), with_policy(&lambda), mirror_only()];
    let mut most = 0;
    for want in wants {
        for (version, current) in versions {
            for subset in 0_u32..1 << lost.len() {
                let mut scene = Scene::new(want.clone()).with(current);
                let mut names = vec![version];
                for (bit, (name, lose)) in lost.iter().enumerate() {
                    if subset & (1 << bit) != 0 {
                        lose(&mut scene);
                        names.push(name);
                    }
                }
                let needs = feed(scene);
                assert!(needs.len() <= 3, "{names:?}: {needs:?}");
                most = most.max(needs.len());
            }
        }
    }
    assert_eq!(most, 3);
}
