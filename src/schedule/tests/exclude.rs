//! Excluded periods: rotations that they defer, with and without windows, and across daylight saving changes.

use super::super::{Appointment, Clock, ExcludedDays, parse_duration};
use super::*;
use crate::api::OnMissedWindow::{self, NextWindow, RotateNow};
use crate::version_id::VersionIds;

fn days(text: &str) -> Vec<ExcludedDays> {
    ExcludedDays::parse_list(text).unwrap()
}

fn clock(expression: &str, zone: Option<&str>, duration: &str, on_missed: OnMissedWindow, excluded: &str) -> Clock {
    let schedule = Schedule::parse_in(expression, zone).unwrap();
    let clock = Clock::new(schedule, parse_duration(duration).unwrap(), on_missed, VersionIds::of("uid")).unwrap();
    clock.excluding(&days(excluded))
}

/// The offset of the object in a window of 10 hours: long after the start and long before the end.
fn offset() -> SignedDuration {
    let due = at("2026-11-24T08:00:00Z");
    let place = clock("0 8 * * *", None, "10h", RotateNow, "").appointment(due, due).unwrap().at.duration_since(due);
    assert!((SignedDuration::from_mins(1)..SignedDuration::from_hours(9)).contains(&place), "{place}");
    place
}

#[test]
fn a_rotation_in_an_excluded_period_happens_at_its_end() {
    let end = "2027-01-07T00:00:00Z";
    // Expression, due, now, planned time, deferred.
    #[rustfmt::skip]
    let table = [
        ("0 8 * * *", "2026-12-19T08:00:00Z", "2026-12-19T07:00:00Z", "2026-12-19T08:00:00Z", false),
        ("0 8 * * *", "2026-12-20T08:00:00Z", "2026-12-19T09:00:00Z", end, true),
        ("0 8 * * *", "2026-12-20T08:00:00Z", "2026-12-24T09:00:00Z", end, true),
        ("0 8 * * *", "2026-12-20T08:00:00Z", "2027-02-24T09:00:00Z", end, true),
        // The boundaries: both days belong to the period, and its end does not.
        ("0 0 * * *", "2026-12-20T00:00:00Z", "2026-12-20T00:00:00Z", end, true),
        ("59 23 * * *", "2027-01-06T23:59:00Z", "2027-01-06T23:59:00Z", end, true),
        ("0 0 * * *", "2027-01-07T00:00:00Z", "2027-01-06T23:59:00Z", end, false),
        // Overdue when the period begins: it waits too, and still does so for every later clock.
        ("0 8 * * *", "2026-12-19T08:00:00Z", "2026-12-19T23:59:59Z", "2026-12-19T08:00:00Z", false),
        ("0 8 * * *", "2026-12-19T08:00:00Z", "2026-12-20T00:00:00Z", end, true),
        ("0 8 * * *", "2026-12-19T08:00:00Z", "2027-01-08T00:00:00Z", end, true),
        ("rate(30 days)", "2026-12-24T10:15:30Z", "2026-12-01T00:00:00Z", end, true),
        ("cron(0 8 1 * ? *)", "2027-01-01T08:00:00Z", "2026-12-01T00:00:00Z", end, true),
    ];
    for (expression, due, now, planned, deferred) in table {
        let clock = clock(expression, None, "0s", RotateNow, "2026-12-20/2027-01-06");
        let expected = Appointment { at: at(planned), missed: 0, deferred: deferred.then(|| at(end)) };
        assert_eq!(clock.appointment(at(due), at(now)), Some(expected), "{expression} {due} {now}");
    }
}

#[test]
fn objects_that_wait_for_the_end_of_a_period_keep_their_offsets() {
    let clock = clock("0 8 * * *", None, "10h", RotateNow, "2026-12-20/2027-01-06");
    let planned = clock.appointment(at("2026-12-20T08:00:00Z"), at("2026-12-20T08:00:00Z")).unwrap();
    assert_eq!(planned.at, at("2027-01-07T00:00:00Z") + offset());
    // Whether a rotation is excluded is decided by the time of the object, not by the start of the window.
    let before = clock.appointment(at("2026-12-19T08:00:00Z"), at("2026-12-19T08:00:00Z")).unwrap();
    assert_eq!((before.at, before.deferred), (at("2026-12-19T08:00:00Z") + offset(), None));
}

#[test]
fn a_rotation_that_must_be_in_a_window_waits_for_the_first_one_after_the_period() {
    let due = at("2026-12-21T08:00:00Z");
    let clock = clock("0 8 * * *", None, "10h", NextWindow, "2026-12-20/2027-01-06");
    let planned = Appointment { at: at("2027-01-07T08:00:00Z") + offset(), missed: 0, deferred: Some(at("2027-01-07T00:00:00Z")) };
    for now in ["2026-12-01T00:00:00Z", "2026-12-21T08:00:00Z", "2026-12-30T12:00:00Z", "2027-01-07T00:00:00Z", "2027-01-07T17:59:59Z"] {
        assert_eq!(clock.appointment(due, at(now)), Some(planned), "{now}");
    }
    // Windows after the period that passed are missed; those in the period are not.
    let late = clock.appointment(due, at("2027-01-09T07:00:00Z")).unwrap();
    assert_eq!((late.at, late.missed), (at("2027-01-09T08:00:00Z") + offset(), 2));
    assert_eq!(clock.missed(due, late.at), 2, "what is announced is what is counted");
}

#[test]
fn a_window_that_is_open_at_the_end_of_a_period_is_used() {
    // From 20:00 to 06:00.
    let due = at("2026-12-21T20:00:00Z");
    let planned = clock("0 20 * * *", None, "10h", NextWindow, "2026-12-20/2027-01-06").appointment(due, due).unwrap();
    let (end, closes) = (at("2027-01-07T00:00:00Z"), at("2027-01-07T06:00:00Z"));
    assert!(planned.at >= end && planned.at < closes, "{planned:?}");
    assert_eq!((planned.missed, planned.deferred), (0, Some(end)));
}

#[test]
fn periods_that_overlap_or_follow_each_other_are_one() {
    for excluded in [
        "2026-12-20/2027-01-06",
        "2026-12-20/2026-12-27, 2026-12-28/2027-01-06",
        "2027-01-02/2027-01-06,2026-12-20/2027-01-03",
        "2026-12-20/2027-01-06, 2026-12-24",
    ] {
        let planned =
            clock("0 8 * * *", None, "0s", RotateNow, excluded).appointment(at("2026-12-22T08:00:00Z"), at("2026-12-22T08:00:00Z"));
        assert_eq!(planned.unwrap().at, at("2027-01-07T00:00:00Z"), "{excluded}");
    }
    let apart = clock("0 8 * * *", None, "0s", RotateNow, "2026-12-20/2026-12-22, 2026-12-24");
    assert_eq!(apart.appointment(at("2026-12-22T08:00:00Z"), at("2026-12-22T08:00:00Z")).unwrap().at, at("2026-12-23T00:00:00Z"));
    // With the offset after the first period, the time would lie in the second one.
    let next = clock("0 8 * * *", None, "10h", RotateNow, "2026-12-20/2026-12-22, 2026-12-24");
    let planned = next.appointment(at("2026-12-22T08:00:00Z"), at("2026-12-24T08:00:00Z")).unwrap();
    assert_eq!(planned.at, at("2026-12-25T00:00:00Z") + offset(), "it did not happen in between");
}

#[test]
fn dates_are_those_of_the_time_zone_also_when_clocks_change() {
    #[rustfmt::skip]
    let table = [
        ("Europe/Berlin", "2026-12-20/2027-01-06", "2026-12-19T23:00:00Z", "2027-01-06T23:00:00Z"),
        ("America/New_York", "2026-12-20/2027-01-06", "2026-12-20T05:00:00Z", "2027-01-07T05:00:00Z"),
        // 25 October has 25 hours, 29 March has 23.
        ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
        ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
        // Midnight does not exist on this day.
        ("Africa/Cairo", "2026-04-24", "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"),
        ("UTC", "2026-12-24", "2026-12-24T00:00:00Z", "2026-12-25T00:00:00Z"),
    ];
    for (zone, excluded, start, end) in table {
        let clock = clock("0 8 * * *", Some(zone), "0s", RotateNow, excluded);
        let (start, end) = (at(start), at(end));
        for (t, until) in [(start - 1.seconds(), None), (start, Some(end)), (end - 1.seconds(), Some(end)), (end, None)] {
            assert_eq!(clock.excluded_until(t), until, "{zone} {excluded} {t}");
        }
    }
}

#[test]
fn rotations_that_a_period_prevented_are_not_missed() {
    let due = at("2026-12-20T08:00:00Z");
    let daily = |excluded| clock("0 8 * * *", None, "0s", RotateNow, excluded);
    assert_eq!(daily("").missed(due, at("2027-01-07T00:00:00Z")), 18);
    assert_eq!(daily("2026-12-20/2027-01-06").missed(due, at("2027-01-07T00:00:00Z")), 0);
    assert_eq!(daily("2026-12-20/2027-01-06").missed(due, at("2027-01-09T09:00:00Z")), 2, "the outage that followed");
}

#[test]
fn a_certificate_must_outlive_the_period_too() {
    let longest = |on_missed, excluded| clock("0 8 * * *", None, "1h", on_missed, excluded).longest_interval();
    assert_eq!(longest(RotateNow, ""), SignedDuration::from_hours(25));
    assert_eq!(longest(RotateNow, "2026-12-20/2027-01-06, 2027-04-02"), SignedDuration::from_hours(25 + 18 * 24));
    assert_eq!(longest(NextWindow, "2026-12-20/2027-01-06"), SignedDuration::from_hours(25 + 18 * 24 + 24));
}

#[test]
fn what_is_not_a_period_is_refused_with_what_to_write() {
    assert_eq!(ExcludedDays::parse_list(" , ").unwrap(), []);
    assert_eq!(days("2026-12-20/2026-12-20"), days("2026-12-20"));
    assert_eq!(days("2026-01-01/2026-12-31").len(), 1);
    for (text, words) in [
        ("2026-02-30", "`2026-02-30` is not a date; use year, month and day such as 2026-12-20"),
        ("20261220", "is not a date"),
        ("2026-12-20T00:00:00Z", "is not a date"),
        ("+02026-12-2", "is not a date"),
        ("christmas", "`christmas` is not a date"),
        ("2026-12-20 to 2027-01-06", "is not a date"),
        ("2027-01-06/2026-12-20", "the first day comes first"),
        ("2026-01-01/2027-01-02", "at most 366 days"),
        ("2026-12-20/\u{1b}[2J", "this text is not a date"),
    ] {
        let message = ExcludedDays::parse_list(text).expect_err(text).to_string();
        assert!(message.contains(words), "{text}: {message}");
    }
    let many = vec!["2026-12-20"; 17].join(",");
    assert!(ExcludedDays::parse_list(&many).unwrap_err().to_string().contains("remove those that are over"));
}

#[test]
fn extreme_dates_do_not_panic() {
    for excluded in ["0001-01-01", "9999-12-31", "9998-12-31/9999-12-31"] {
        let clock = clock("0 8 * * *", Some("Pacific/Kiritimati"), "1h", NextWindow, excluded);
        for t in [Timestamp::MIN, at("2026-12-20T00:00:00Z"), Timestamp::MAX] {
            let _ = (clock.appointment(t, t), clock.missed(t, Timestamp::MAX), clock.excluded_until(t), clock.longest_interval());
        }
    }
}
