//! The mirrored Secret while other clients write it.

use super::*;
use crate::api::condition::ConditionType;
use crate::facts::{Claims, Repairs, ReportedMirror};
use crate::failure::{Failed, Failure};

/// The Secret says that it holds `held`, written a second ago, and AWS has not changed since.
fn forged(held: &str, history: &[&str]) -> Observation {
    let mirror = MirrorState::Ours { version: Some(id(held)), intact: true, written: Some(at(NOW - 1)), changed: None, revision: None };
    let status = StatusFacts { history: history.iter().map(|version| recorded(version)).collect(), ..seen().status };
    Observation { mirror, status, ..seen() }
}

fn next(seen: &Observation) -> Next {
    super::plan(&want(), seen, at(NOW))
}

#[test]
fn a_date_that_another_client_wrote_does_not_delay_a_repair() {
    let confirmed = Next::Do(Step::ReplaceMirror { version: id("current"), confirm: true });
    for (about, held, history) in [
        ("a version that nobody knows", "forged", vec!["current"]),
        ("an older version", "old", vec!["current", "old"]),
        ("an older version that has its label", "previous", vec!["current", "previous"]),
    ] {
        assert_eq!(next(&forged(held, &history)), confirmed, "{about}");
    }
}

#[test]
fn a_mirror_that_may_be_newer_than_what_aws_shows_is_not_set_back() {
    for (about, seen) in [
        ("recorded later", forged("newer", &["newer", "current"])),
        ("not recorded, but it follows from a request", forged(ids().first().as_str(), &["current"])),
    ] {
        let Next::Rest(rest) = next(&seen) else { panic!("{about}") };
        assert!(rest.awaiting, "{about}");
    }
}

#[test]
fn a_secret_that_is_repaired_again_and_again_is_said_to_be_contested() {
    let repairs = |count, age| Some(Repairs { count, last: at(NOW - age), manager: Some("argocd-controller".to_owned()) });
    let with = |repairs| Observation {
        status: StatusFacts { mirror: ReportedMirror { repairs, ..ReportedMirror::default() }, ..forged("current", &["current"]).status },
        ..seen()
    };
    let Next::Rest(rest) = next(&with(repairs(4, 10))) else { panic!() };
    assert_eq!(rest.mirrored, None, "a person may edit it several times");
    let Next::Rest(rest) = next(&with(repairs(5, 10))) else { panic!() };
    let refusal = rest.mirrored.unwrap();
    assert_eq!(refusal.reason, Reason::Contested);
    assert!(refusal.message.contains("\"argocd-controller\"") && refusal.message.contains("repaired it 5 times"), "{}", refusal.message);
    assert_eq!(rest.wake, Some(at(NOW - 10 + 300)), "and not for ever");

    let late = SecretState { current: Some(current(PERIOD + 60)), ..secret() };
    let mut due = Observation { secret: Some(late), ..with(repairs(5, 10)) };
    due.status.schedule = Some(ReportedSchedule { expression: "rate(1 hour)".to_owned(), since: None });
    assert!(matches!(next(&due), Next::Do(Step::Put { .. })), "a rotation is not stopped by it");
}

#[test]
fn a_secret_of_another_controller_is_reported_with_its_owner() {
    let claims = Claims { controller: Some(("ExternalSecret".to_owned(), "theirs".to_owned())), ..Claims::default() };
    let Next::Rest(rest) = next(&Observation { mirror: MirrorState::Foreign, claims, ..seen() }) else { panic!() };
    let message = rest.mirrored.unwrap().message;
    assert!(message.contains("controlled by ExternalSecret theirs") && message.contains("--cascade=orphan"), "{message}");
    let Next::Rest(rest) = next(&Observation { mirror: MirrorState::Foreign, ..seen() }) else { panic!() };
    assert!(rest.mirrored.unwrap().message.contains("is not ours"));
}

#[test]
fn a_secret_that_is_not_declared_any_more_is_released_once() {
    let want = Desired { target: None, ..want() };
    let surplus = Observation { mirror: MirrorState::Surplus, ..seen() };
    assert_eq!(super::plan(&want, &surplus, at(NOW)), Next::Do(Step::ReleaseMirror));
    let mut journal = Journal::default();
    journal.record(Step::ReleaseMirror, Effect::Applied { at: at(NOW) });
    assert!(matches!(super::plan(&want, &Observation { journal, ..surplus.clone() }, at(NOW)), Next::Rest(_)));
    // A release that is refused is reported: the Secret would be deleted with the object.
    let failed = Failed { aspect: ConditionType::Mirrored, failure: Failure::conflict("no") };
    let mut journal = Journal::default();
    journal.record(Step::ReleaseMirror, Effect::Failed(failed));
    let refused = Observation { journal, ..surplus };
    let Next::Rest(rest) = super::plan(&want, &refused, at(NOW)) else { panic!("it is not tried twice") };
    assert_eq!(rest.mirrored.unwrap().message, "no");
    let late = SecretState { current: Some(current(PERIOD + 60)), ..secret() };
    let mut due = Observation { secret: Some(late), ..refused };
    due.status.schedule = Some(ReportedSchedule { expression: "rate(1 hour)".to_owned(), since: None });
    assert!(matches!(super::plan(&want, &due, at(NOW)), Next::Do(Step::Put { .. })), "a rotation is not stopped by it");
}

#[test]
fn no_message_deletes_what_an_owner_reference_merely_names() {
    assert!(crate::plan::mirror::is_deletable("ExternalSecret", "db") && crate::plan::mirror::is_deletable("SealedSecret", "a.b-c"));
    for (kind, owner) in [
        ("ns", "victim"),
        ("Namespace", "victim"),
        ("-f", "http://x"),
        ("ExternalSecret", "--all"),
        ("ExternalSecret", ""),
        ("Secret", "x"),
    ] {
        assert!(!crate::plan::mirror::is_deletable(kind, owner), "{kind} {owner}");
    }
}
