//! Excluded periods, of the spec and of the Namespace.

use super::*;
use crate::schedule::{ExcludedDays, ScheduleError};

/// NOW is in the middle of this day.
const TODAY: &str = "2027-01-15";
/// The first second after it.
const TOMORROW: i64 = 1_800_057_600;

fn days(text: &str) -> Vec<ExcludedDays> {
    ExcludedDays::parse_list(text).unwrap()
}

/// Due since 100 seconds.
fn due(excluded: Result<Vec<ExcludedDays>, ScheduleError>) -> Observation {
    let secret = SecretState { current: Some(current(PERIOD + 100)), ..secret() };
    Observation { secret: Some(secret), access: Access { excluded, ..Access::default() }, ..seen() }
}

fn excluding(text: &str, immediately: bool) -> Desired {
    let Rotation::Scheduled { clock, expression, suspended, .. } = scheduled(false) else { panic!() };
    Desired { rotation: Rotation::Scheduled { clock: clock.excluding(&days(text)), expression, suspended, immediately }, ..want() }
}

#[test]
fn a_period_of_the_spec_or_of_the_namespace_defers_a_rotation_and_keeps_its_version() {
    let Next::Do(Step::Put { version: undisturbed, .. }) = plan(&want(), &due(Ok(Vec::new())), at(NOW)) else { panic!() };
    for (want, seen) in [(excluding(TODAY, false), due(Ok(Vec::new()))), (want(), due(Ok(days(TODAY))))] {
        for now in [NOW, TOMORROW - 1] {
            let Next::Rest(rest) = plan(&want, &seen, at(now)) else { panic!("{now}") };
            let end = Some(at(TOMORROW));
            assert_eq!((rest.next_rotation, rest.wake, rest.rotated), (end, end, None), "not a failure");
        }
        let Next::Do(Step::Put { version, cause, .. }) = plan(&want, &seen, at(TOMORROW)) else { panic!() };
        assert_eq!((version, cause), (undisturbed.clone(), Cause::Scheduled));
    }
    let elsewhere = due(Ok(days("2027-01-14, 2027-01-16")));
    assert!(matches!(plan(&want(), &elsewhere, at(NOW)), Next::Do(Step::Put { .. })), "another day");
}

#[test]
fn a_person_may_rotate_in_an_excluded_period() {
    let want = Desired { rotate_request: Some("now".to_owned()), ..excluding(TODAY, false) };
    let Next::Do(Step::Put { version, cause: Cause::Requested, .. }) = plan(&want, &due(Ok(days(TODAY))), at(NOW)) else { panic!() };
    assert_eq!(version, ids().request("now"));
}

#[test]
fn the_first_rotation_waits_for_the_end_of_the_period_too() {
    let mut new = due(Ok(Vec::new()));
    new.status.history = vec![recorded("current")];
    let Next::Rest(rest) = plan(&excluding(TODAY, true), &new, at(NOW)) else { panic!() };
    let end = Some(at(TOMORROW));
    assert_eq!((rest.first_pending, rest.next_rotation, rest.wake, rest.rotated), (true, end, end, None));
    let Next::Do(Step::Put { version, .. }) = plan(&excluding(TODAY, true), &new, at(TOMORROW)) else { panic!() };
    assert_eq!(version, ids().first());
}

#[test]
fn nothing_is_rotated_by_schedule_while_the_annotation_is_invalid() {
    let error = ExcludedDays::parse_list("christmas").unwrap_err();
    for want in [want(), excluding("2027-01-14", true)] {
        let mut seen = due(Err(error.clone()));
        seen.status.history = vec![recorded("current")];
        let Next::Rest(rest) = plan(&want, &seen, at(NOW)) else { panic!() };
        let refusal = rest.rotated.unwrap();
        assert_eq!(refusal.reason, Reason::InvalidSpec);
        assert!(refusal.message.contains("annotation rotated-secrets.io/exclude-periods on the Namespace shop"), "{}", refusal.message);
        assert!(refusal.message.contains("`christmas` is not a date"), "{}", refusal.message);
        let asked = Desired { rotate_request: Some("now".to_owned()), ..want };
        assert!(matches!(plan(&asked, &seen, at(NOW)), Next::Do(Step::Put { cause: Cause::Requested, .. })));
    }
}
