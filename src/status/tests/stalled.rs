//! Stalled while AWS cannot be read.

use super::*;
use crate::step::Step;

/// The object waits for a person, who must give the Secret to it.
fn waiting() -> RotatedSecretStatus {
    after(&live(), &rested(Rest { mirrored: Some(refusal(Reason::SecretNotOwned)), ..rest() }), MADE + 120)
}

fn stalled(status: &RotatedSecretStatus) -> Option<(String, String, Timestamp)> {
    let found = status.conditions.iter().find(|c| c.type_ == "Stalled" && c.status == "True")?;
    Some((found.reason.clone(), found.message.clone(), found.last_transition_time.0))
}

fn has(status: &RotatedSecretStatus, of: &str) -> bool {
    status.conditions.iter().any(|c| c.type_ == of)
}

#[test]
fn what_waits_for_a_person_waits_on_while_aws_cannot_be_read() {
    let expected = Some(("SecretNotOwned".to_owned(), "why SecretNotOwned".to_owned(), at(MADE + 120)));
    assert_eq!(stalled(&waiting()), expected);
    let unavailable = failure(ConditionType::Provisioned, Class::Retry, Reason::AwsUnavailable);
    let of_kubernetes = failure(ConditionType::Mirrored, Class::Retry, Reason::Progressing);
    let conflict = failure(ConditionType::Provisioned, Class::Conflict, Reason::Progressing);
    for outcome in [throttled(), unavailable, of_kubernetes, conflict] {
        let first = after(&waiting(), &outcome, MADE + 180);
        let second = after(&first, &outcome, MADE + 240);
        for status in [&first, &second] {
            assert_eq!(stalled(status), expected, "{outcome:?}");
            assert!(!has(status, "Reconciling"), "{outcome:?}: what is retried does not help");
        }
        let again = after(&second, &rested(Rest { mirrored: Some(refusal(Reason::SecretNotOwned)), ..rest() }), MADE + 300);
        assert_eq!(stalled(&again), expected, "{outcome:?}: it began when it began");
        assert_eq!(said(&after(&second, &rested(rest()), MADE + 300)), FINE, "{outcome:?}: it was looked at");
    }
    assert_eq!(said(&after(&waiting(), &throttled(), MADE + 180))[0], "-Ready Throttled");
}

#[test]
fn a_cause_that_was_looked_at_or_may_be_resolved_is_not_kept() {
    let denied = after(&waiting(), &failure(ConditionType::Provisioned, Class::Denied, Reason::AccessDenied), MADE + 180);
    assert_eq!(stalled(&denied).map(|(reason, ..)| reason).as_deref(), Some("AccessDenied"), "it waits for a person as well");
    let invalid = after(&live(), &Outcome::Invalid { refusal: refusal(Reason::InvalidSpec), secret_exists: Some(true) }, MADE + 120);
    assert!(stalled(&invalid).is_some());
    let read = after(&invalid, &throttled(), MADE + 180);
    assert!(stalled(&read).is_none() && has(&read, "Reconciling"), "the spec was accepted");
    let mut edited = object(&waiting());
    edited.metadata.generation = Some(2);
    let edited = report(&edited, Some(&want()), &throttled(), at(MADE + 180));
    assert!(stalled(&edited).is_none() && has(&edited, "Reconciling"), "the spec may be what was waited for");
}

#[test]
fn an_outage_between_the_reads_and_a_step_keeps_what_a_condition_still_says() {
    let at_step = |of: ConditionType| {
        let outcome = failure(of, Class::Throttled, Reason::Throttled);
        let Outcome::Failed { failed, .. } = &outcome else { panic!("a failure") };
        let step = Step::CreateMirror { version: ids().creation() };
        let attempts = Attempts { failed: vec![(Attempt::Step(step.key()), failed.clone())], ..Attempts::default() };
        write(&object(&waiting()), Some(&want()), &outcome, &attempts, at(MADE + 180))
    };
    let elsewhere = at_step(ConditionType::Provisioned);
    assert_eq!(stalled(&elsewhere), Some(("SecretNotOwned".to_owned(), "why SecretNotOwned".to_owned(), at(MADE + 120))));
    assert!(said(&elsewhere).contains(&"-Mirrored SecretNotOwned".to_owned()) && !has(&elsewhere, "Reconciling"));
    let there = at_step(ConditionType::Mirrored);
    assert!(stalled(&there).is_none() && has(&there, "Reconciling"), "the Secret was read, and is the object's");
}
