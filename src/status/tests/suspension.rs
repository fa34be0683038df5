//! Since when an object is suspended.

use super::*;
use crate::api::RotationSpec;

/// The time that the status has after `outcome`, and before it.
fn since(suspended: bool, before: Option<i64>, outcome: &Outcome, now: i64) -> Option<Timestamp> {
    let status = RotatedSecretStatus { suspension_time: before.map(|time| Time(at(time))), ..live() };
    let mut object = object(&status);
    object.spec.suspend = suspended;
    report(&object, Some(&want()), outcome, at(now)).suspension_time.map(|time| time.0)
}

#[test]
fn a_suspension_has_the_time_of_its_first_report_until_it_ends() {
    let paused = || rested(Rest { suspended: true, ..Rest::default() });
    let table = [
        (true, None, paused(), Some(MADE + 900)),
        (true, Some(MADE + 60), paused(), Some(MADE + 60)),
        // By the Namespace: the spec does not tell.
        (false, Some(MADE + 60), paused(), Some(MADE + 60)),
        (false, Some(MADE + 60), throttled(), Some(MADE + 60)),
        (false, None, throttled(), None),
        (false, Some(MADE + 60), rested(rest()), None),
        (false, None, rested(rest()), None),
        (true, Some(MADE + 9000), paused(), Some(MADE + 900)),
    ];
    for (row, (suspended, before, outcome, expected)) in table.into_iter().enumerate() {
        assert_eq!(since(suspended, before, &outcome, MADE + 900), expected.map(at), "row {row}");
    }
}

#[test]
fn a_rotation_alone_can_be_suspended() {
    let mut object = object(&live());
    object.spec.rotation = Some(serde_json::from_str::<RotationSpec>(r#"{"schedule": "rate(1 hour)", "suspend": true}"#).unwrap());
    let first = report(&object, Some(&want()), &rested(rest()), at(MADE + 900));
    assert_eq!(first.suspension_time, Some(Time(at(MADE + 900))));
    object.status = Some(first);
    assert_eq!(report(&object, Some(&want()), &rested(rest()), at(MADE + 1800)).suspension_time, Some(Time(at(MADE + 900))));
}

#[test]
fn a_suspension_by_the_namespace_ends_when_the_namespace_is_read_and_not_before() {
    let invalid = || Outcome::Invalid { refusal: refusal(Reason::InvalidSpec), secret_exists: None };
    let status = RotatedSecretStatus { suspension_time: Some(Time(at(MADE + 60))), ..live() };
    for outcome in [invalid(), throttled()] {
        for (namespace_suspends, expected) in [(None, true), (Some(true), true), (Some(false), false)] {
            let attempts = Attempts { namespace_suspends, ..Attempts::default() };
            let after = write(&object(&status), Some(&want()), &outcome, &attempts, at(MADE + 900));
            assert_eq!(after.suspension_time.is_some(), expected, "{outcome:?}: {namespace_suspends:?}");
        }
    }
}
