//! The resource policy.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::*;
use crate::api::condition::Reason;
use crate::facts::PolicyRead;
use crate::failure::Failed;
use crate::refusal::Refusal;

fn document(action: &str) -> Value {
    json!({"Statement": [{"Effect": "Allow", "Action": action, "Principal": "*", "Resource": "*"}]})
}

fn declaring(block_public: bool) -> Desired {
    generated(&json!({"resourcePolicy": document("a:b"), "blockPublicPolicy": block_public}))
}

/// The hash of the declared policy.
fn ours() -> String {
    declaring(true).settings.policy.value().unwrap().meaning().to_owned()
}

fn other() -> String {
    crate::desired::resource_policy::meaning(&document("c:d").to_string())
}

fn denied() -> Refusal {
    Refusal::new(Reason::AccessDenied, "GetResourcePolicy is denied")
}

/// The operator put `applied` and read it when the secret was last modified.
fn applied(want: Desired, applied: Option<String>) -> Scene {
    Scene::new(want).with(|scene| {
        scene.status.applied.block_public_policy = applied.as_ref().map(|_| true);
        scene.status.applied.resource_policy = applied;
        scene.status.applied.last_changed_date = Some(MicroTime(ago(HOUR)));
    })
}

fn read(scene: &Scene, meaning: Result<Option<String>, Refusal>) -> Scene {
    scene.clone().with(|scene| scene.facts.reads.policy = Some(PolicyRead { changed: scene.aws().last_changed, meaning }))
}

fn state(scene: &Scene) -> Result<PolicyState, Need> {
    scene.compare().map(|seen| seen.secret.unwrap().drift.policy)
}

#[test]
fn a_policy_that_is_not_declared_and_that_the_operator_did_not_put_is_never_read() {
    let scene = applied(generated(&json!({})), None);
    assert_eq!(state(&scene), Ok(PolicyState::Unset));
    assert_eq!(state(&read(&scene, Ok(Some(other())))), Ok(PolicyState::Unset), "that of another writer stays");
    let elsewhere = applied(generated(&json!({})), Some(ours())).with(|scene| {
        scene.status.arn = Some(OTHER_ARN.to_owned());
        scene.read("current", HOUR);
    });
    assert_eq!(state(&elsewhere), Ok(PolicyState::Unset), "it was put on another secret");
}

#[test]
fn a_policy_is_not_read_again_while_nothing_about_the_secret_changed() {
    let same = applied(declaring(true), Some(ours()));
    assert_eq!(state(&same), Ok(PolicyState::AsDeclared(ours())));
    let refresh = Desired { refresh_request: Some("now".to_owned()), ..declaring(true) };
    let handled = |scene: &mut Scene| scene.status.requests.refresh = Some("now".to_owned());
    assert_eq!(state(&applied(refresh.clone(), Some(ours())).with(handled)), Ok(PolicyState::AsDeclared(ours())));
    let modified: Change = |scene| scene.aws().last_changed = Some(ago(5));
    let undated: Change = |scene| {
        scene.aws().last_changed = None;
        scene.status.applied.last_changed_date = None;
    };
    let unread: Change = |scene| scene.status.applied.last_changed_date = None;
    let edited: Change = |scene| scene.status.current_generation = false;
    let unchecked: Change = |scene| scene.status.applied.block_public_policy = Some(false);
    let elsewhere: Change = |scene| {
        scene.status.arn = Some(OTHER_ARN.to_owned());
        scene.read("current", HOUR);
    };
    for (name, scene) in vec![
        ("the secret was modified", same.clone().with(modified)),
        ("AWS shows no date", same.clone().with(undated)),
        ("it was never read", same.clone().with(unread)),
        ("the spec changed", same.clone().with(edited)),
        ("it was put without the check", same.clone().with(unchecked)),
        ("another secret has the name", same.with(elsewhere)),
        ("a refresh is requested", applied(refresh, Some(ours()))),
        ("another one was put", applied(declaring(true), Some(other()))),
        ("none was put", applied(declaring(true), None)),
        ("it is no longer declared", applied(generated(&json!({})), Some(ours()))),
    ] {
        assert_eq!(state(&scene), Err(Need::Policy), "{name}");
    }
}

#[test]
fn a_read_decides_between_as_declared_and_differs_and_between_surplus_and_unset() {
    let declared = applied(declaring(true), None);
    let removed = applied(generated(&json!({})), Some(ours()));
    for (name, scene, found, expected) in [
        ("declared, and the same", &declared, Some(ours()), PolicyState::AsDeclared(ours())),
        ("declared, and another", &declared, Some(other()), PolicyState::Differs),
        ("declared, and none", &declared, None, PolicyState::Differs),
        ("no longer declared, and ours", &removed, Some(ours()), PolicyState::Surplus),
        ("no longer declared, and another", &removed, Some(other()), PolicyState::Unset),
        ("no longer declared, and none", &removed, None, PolicyState::Unset),
    ] {
        assert_eq!(state(&read(scene, Ok(found))), Ok(expected), "{name}");
        assert_eq!(state(&read(scene, Err(denied()))), Ok(PolicyState::Rejected(denied())), "{name}: the read is denied");
    }
}

#[test]
fn a_read_from_before_the_last_modification_is_not_used() {
    let declared = read(&applied(declaring(true), None), Ok(Some(ours())));
    for (changed, used) in [(Some(HOUR), true), (Some(HOUR + 1), false), (Some(HOUR - 1), false), (None, false)] {
        let scene = declared.clone().with(|scene| scene.facts.reads.policy.as_mut().unwrap().changed = changed.map(ago));
        let expected = if used { Ok(PolicyState::AsDeclared(ours())) } else { Err(Need::Policy) };
        assert_eq!(state(&scene), expected, "{changed:?}");
    }
}

#[test]
fn a_policy_that_was_put_without_the_check_is_put_again_when_the_check_is_asked_for() {
    for (block, before, just_put, expected) in [
        (true, Some(true), false, PolicyState::AsDeclared(ours())),
        (true, Some(false), false, PolicyState::Differs),
        (true, Some(false), true, PolicyState::AsDeclared(ours())),
        (true, None, false, PolicyState::AsDeclared(ours())),
        (false, Some(false), false, PolicyState::AsDeclared(ours())),
        (false, Some(true), false, PolicyState::AsDeclared(ours())),
    ] {
        let scene = read(&applied(declaring(block), Some(ours())), Ok(Some(ours()))).with(|scene| {
            scene.status.applied.block_public_policy = before;
            if just_put {
                scene.journal.record(Step::PutPolicy, Effect::Applied { at: now() });
            }
        });
        assert_eq!(state(&scene), Ok(expected), "{block} {before:?} {just_put}");
    }
    let refused = read(&applied(declaring(true), Some(ours())), Ok(Some(ours()))).with(|scene| {
        scene.status.applied.block_public_policy = Some(false);
        scene.journal.record(Step::PutPolicy, Effect::Failed(Failed::denied(&denied())));
    });
    assert_eq!(state(&refused), Ok(PolicyState::Differs), "AWS refused it in this reconcile");
}

#[test]
fn a_rejected_policy_is_neither_read_nor_put() {
    let long = "x".repeat(20_480);
    let scene =
        applied(generated(&json!({"resourcePolicy": document(&long)})), Some(ours())).with(|scene| scene.status.current_generation = false);
    let rejected = scene.want.settings.policy.rejected().unwrap().clone();
    assert_eq!(state(&scene), Ok(PolicyState::Rejected(rejected)));
}
