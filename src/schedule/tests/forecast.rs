//! The next due times, as `schedule` of the plugin shows them.

use super::super::forecast::Effect::{self, Covered, Deferred, Rotates};
use super::super::{Clock, ExcludedDays, parse_duration};
use super::*;
use crate::api::OnMissedWindow::{self, NextWindow, RotateNow};
use crate::version_id::VersionIds;

const FREEZE: &str = "2026-12-20/2027-01-06";
const NOW: &str = "2026-11-24T09:30:00Z";

fn clock(expression: &str, zone: Option<&str>, duration: &str, on_missed: OnMissedWindow) -> Clock {
    let schedule = Schedule::parse_in(expression, zone).unwrap();
    let clock = Clock::new(schedule, parse_duration(duration).unwrap(), on_missed, VersionIds::of("uid")).unwrap();
    clock.without_offset().excluding(&ExcludedDays::parse_list(FREEZE).unwrap())
}

fn shown(clock: &Clock, first: &str, count: usize) -> Vec<(String, Effect)> {
    clock.forecast(at(first), at(NOW), count).into_iter().map(|forecast| (forecast.due.to_string(), forecast.effect)).collect()
}

#[test]
fn due_times_in_an_excluded_period_are_one_deferred_rotation() {
    let end = at("2027-01-07T00:00:00Z");
    let of = |due: &str, effect: Effect| (due.to_owned(), effect);
    assert_eq!(
        shown(&clock("0 8 * * MON", None, "0s", RotateNow), "2026-12-14T08:00:00Z", 5),
        [
            of("2026-12-14T08:00:00Z", Rotates(at("2026-12-14T08:00:00Z"))),
            of("2026-12-21T08:00:00Z", Deferred(end, end)),
            of("2026-12-28T08:00:00Z", Covered),
            of("2027-01-04T08:00:00Z", Covered),
            of("2027-01-11T08:00:00Z", Rotates(at("2027-01-11T08:00:00Z"))),
        ]
    );
    let next = at("2027-01-11T08:00:00Z");
    assert_eq!(
        shown(&clock("0 8 * * MON", None, "1h", NextWindow), "2027-01-04T08:00:00Z", 3),
        [
            of("2027-01-04T08:00:00Z", Deferred(next, end)),
            of("2027-01-11T08:00:00Z", Covered),
            of("2027-01-18T08:00:00Z", Rotates(at("2027-01-18T08:00:00Z"))),
        ]
    );
    // A rate counts from the rotation, also from one that was deferred.
    assert_eq!(
        shown(&clock("rate(10 days)", None, "0s", RotateNow), "2026-12-14T12:00:00Z", 3),
        [
            of("2026-12-14T12:00:00Z", Rotates(at("2026-12-14T12:00:00Z"))),
            of("2026-12-24T12:00:00Z", Deferred(end, end)),
            of("2027-01-17T00:00:00Z", Rotates(at("2027-01-17T00:00:00Z"))),
        ]
    );
}

#[test]
fn an_overdue_rotation_happens_now_and_the_next_ones_follow() {
    let now = at(NOW);
    let of = |due: &str, effect: Effect| (due.to_owned(), effect);
    assert_eq!(
        shown(&clock("0 8 1 * *", Some("Europe/Berlin"), "0s", RotateNow), "2026-10-01T06:00:00Z", 2),
        [of("2026-10-01T06:00:00Z", Rotates(now)), of("2026-12-01T07:00:00Z", Rotates(at("2026-12-01T07:00:00Z")))]
    );
    assert_eq!(
        shown(&clock("rate(1 day)", None, "0s", RotateNow), "2026-11-01T00:00:00Z", 2),
        [of("2026-11-01T00:00:00Z", Rotates(now)), of("2026-11-25T09:30:00Z", Rotates(at("2026-11-25T09:30:00Z")))]
    );
}

#[test]
fn local_times_have_the_weekday_and_the_offset_of_their_day() {
    let clock = clock("30 2 * * *", Some("Europe/Berlin"), "0s", RotateNow);
    assert_eq!(clock.local(at("2026-12-01T07:00:00Z")), "Tue 2026-12-01 08:00:00 +01:00");
    assert_eq!(clock.local(at("2026-07-01T07:00:00Z")), "Wed 2026-07-01 09:00:00 +02:00");
    assert_eq!(clock.time_zone(), "Europe/Berlin");
}

#[test]
fn only_two_day_fields_are_an_alternative() {
    for (expression, either) in [
        ("0 9 8-14 * MON", true),
        ("0 9 1 * 1", true),
        ("0 9 * * MON", false),
        ("0 9 1 * ?", false),
        ("0 9 ? * MON#2", false),
        ("cron(0 8 1 * ? *)", false),
        ("rate(1 day)", false),
    ] {
        assert_eq!(Schedule::parse(expression).unwrap().has_either_day(), either, "{expression}");
    }
}
