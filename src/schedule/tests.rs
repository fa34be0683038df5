//! Tables of due moments. A fixed random generator instead of a property-test crate keeps failures repeatable.

use jiff::{SignedDuration, Timestamp, ToSpan};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::{Schedule, ScheduleError};

mod clock;
mod exclude;
mod forecast;
mod zone;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn schedule(expression: &str) -> Schedule {
    Schedule::parse(expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
}

/// The next moments, as `2024-02-29T08:00`.
fn moments(expression: &str, after: &str, count: usize) -> Vec<String> {
    let schedule = schedule(expression);
    let mut t = at(after);
    let next = || {
        t = schedule.next_after(t)?;
        Some(t.strftime("%Y-%m-%dT%H:%M").to_string())
    };
    std::iter::from_fn(next).take(count).collect()
}

const VALID: &[&str] = &[
    "rate(1 second)",
    "rate(10 minutes)",
    "rate(4 hours)",
    "rate(999 days)",
    "cron(0 10 * * ? *)",
    "cron(0 18 ? * SAT *)",
    "cron(0 8 1 * ? *)",
    "cron(0 1 ? 1/3 SUN *)",
    "cron(0 17 L * ? *)",
    "cron(0 8 ? * MON-FRI *)",
    "cron(0 16 1,15 * ? *)",
    "cron(0 0 ? * SUN#1 *)",
    "cron(0 8 SUNL * ? *)",
    "cron(0 8 ? FEB 6L *)",
    "cron(0 4/12 * JAN,JUL ? *)",
    "0 8 1 * *",
    "*/15 0-6,22 * * MON-FRI",
    "0 8 L * ?",
    "30 8 * 1-6/2 FRI#2",
];

#[test]
fn moments_are_those_of_the_table() {
    #[rustfmt::skip]
    let table: &[(&str, &str, &[&str])] = &[
        // Leap days, also over the year 2100, which has none.
        ("cron(0 8 29 2 ? *)", "2023-03-01T00:00Z", &["2024-02-29T08:00", "2028-02-29T08:00"]),
        ("0 8 29 2 *", "2096-02-29T08:00Z", &["2104-02-29T08:00"]),
        // The last day of the month.
        ("cron(0 17 L * ? *)", "2023-12-31T17:00Z", &["2024-01-31T17:00", "2024-02-29T17:00", "2024-03-31T17:00", "2024-04-30T17:00"]),
        ("0 17 L 2 *", "2024-12-31T17:00Z", &["2025-02-28T17:00", "2026-02-28T17:00"]),
        // Short months have no 31st, and none is invented.
        ("cron(0 0 31 * ? *)", "2025-01-31T00:00Z", &["2025-03-31T00:00", "2025-05-31T00:00", "2025-07-31T00:00", "2025-08-31T00:00"]),
        ("0 0 31 * *", "2025-10-31T00:00Z", &["2025-12-31T00:00", "2026-01-31T00:00"]),
        // Steps of hours restart each day.
        ("cron(0 4/12 * * ? *)", "2025-01-01T00:00Z", &["2025-01-01T04:00", "2025-01-01T16:00", "2025-01-02T04:00"]),
        ("cron(0 2/10 * * ? *)", "2025-01-01T02:00Z", &["2025-01-01T12:00", "2025-01-01T22:00", "2025-01-02T02:00"]),
        // Weekdays: AWS counts 1 = Sunday, crontab 0 = 7 = Sunday. 2025-01-05 is a Sunday.
        ("cron(0 8 ? * 1 *)", "2025-01-01T00:00Z", &["2025-01-05T08:00", "2025-01-12T08:00"]),
        ("cron(0 8 ? * 7 *)", "2025-01-01T00:00Z", &["2025-01-04T08:00"]),
        ("cron(0 8 ? * L *)", "2025-01-01T00:00Z", &["2025-01-04T08:00", "2025-01-11T08:00"]),
        ("cron(0 8 ? * MON-FRI *)", "2025-01-03T08:00Z", &["2025-01-06T08:00"]),
        ("cron(0 8 ? * 2/2 *)", "2025-01-05T00:00Z", &["2025-01-06T08:00", "2025-01-08T08:00", "2025-01-10T08:00", "2025-01-13T08:00"]),
        ("0 8 * * 0", "2025-01-01T00:00Z", &["2025-01-05T08:00"]),
        ("0 8 * * 7", "2025-01-01T00:00Z", &["2025-01-05T08:00"]),
        ("0 8 * * FRI-SUN", "2025-01-03T08:00Z", &["2025-01-04T08:00", "2025-01-05T08:00", "2025-01-10T08:00"]),
        // The n-th and the last weekday of a month.
        ("cron(0 8 ? * FRI#2 *)", "2025-01-01T00:00Z", &["2025-01-10T08:00", "2025-02-14T08:00"]),
        ("cron(0 8 ? * 6#2 *)", "2025-01-01T00:00Z", &["2025-01-10T08:00"]),
        ("cron(0 8 ? * FRI#5 *)", "2025-01-01T00:00Z", &["2025-01-31T08:00", "2025-05-30T08:00"]),
        ("0 8 * * FRI#2", "2025-01-01T00:00Z", &["2025-01-10T08:00"]),
        ("cron(0 8 ? * 6L *)", "2025-01-01T00:00Z", &["2025-01-31T08:00", "2025-02-28T08:00"]),
        ("cron(0 8 ? * FRIL *)", "2025-01-01T00:00Z", &["2025-01-31T08:00", "2025-02-28T08:00"]),
        ("cron(0 8 FRIL * ? *)", "2025-01-01T00:00Z", &["2025-01-31T08:00", "2025-02-28T08:00"]),
        ("0 8 * * FRIL", "2025-01-01T00:00Z", &["2025-01-31T08:00", "2025-02-28T08:00"]),
        ("0 8 * * 5L", "2025-01-01T00:00Z", &["2025-01-31T08:00"]),
        // The year's end, months by step and name, steps over days.
        ("cron(0 23 L 12 ? *)", "2025-06-01T00:00Z", &["2025-12-31T23:00", "2026-12-31T23:00"]),
        ("cron(0 1 1 1/3 ? *)", "2025-11-01T00:00Z", &["2026-01-01T01:00", "2026-04-01T01:00"]),
        ("cron(0 1 1/10 * ? *)", "2025-01-31T01:00Z", &["2025-02-01T01:00", "2025-02-11T01:00", "2025-02-21T01:00", "2025-03-01T01:00"]),
        ("*/20 23 31 12 *", "2025-12-31T23:20Z", &["2025-12-31T23:40", "2026-12-31T23:00"]),
        // Five fields: day of month and day of week together mean either.
        ("0 8 13 * FRI", "2025-06-06T08:00Z", &["2025-06-13T08:00", "2025-06-20T08:00", "2025-06-27T08:00", "2025-07-04T08:00", "2025-07-11T08:00", "2025-07-13T08:00"]),
        // A rate counts from the given time.
        ("rate(30 days)", "2025-01-01T12:34:56Z", &["2025-01-31T12:34"]),
        ("rate(1 hour)", "2025-12-31T23:30:00Z", &["2026-01-01T00:30"]),
    ];
    for (expression, after, expected) in table {
        assert_eq!(&moments(expression, after, expected.len()), expected, "{expression}");
    }
}

#[test]
fn a_refusal_says_what_to_write_instead() {
    #[rustfmt::skip]
    let table = [
        ("", "rate(30 days)"),
        ("   ", "rate(30 days)"),
        ("daily", "rate(30 days)"),
        ("@daily", "five-field cron such as 0 8 1 * *"),
        ("Rate(3 days)", "use rate(30 days)"),
        ("0 8 1 * ? *", "inside cron( )"),
        ("rate(30)", "rate(30 days)"),
        ("rate(1.5 days)", "whole number"),
        ("rate(-1 days)", "whole number"),
        ("rate(2 weeks)", "seconds, minutes, hours or days"),
        ("rate(30 day)", "use rate(30 days)"),
        ("rate(1 days)", "use rate(1 day)"),
        ("rate(12 hour)", "use rate(12 hours)"),
        ("rate(0 days)", "at most 999 days"),
        ("rate(1000 days)", "at most 999 days"),
        ("rate(99999999999999999999 days)", "at most 999 days"),
        ("cron(0 8 1 * *)", "six fields"),
        ("cron(30 8 1 * ? *)", "use 0, or"),
        ("cron(0 8 1 * ? 2025)", "only *"),
        ("cron(0 * * * ? *)", "use 0/1"),
        ("cron(0 */4 * * ? *)", "such as 0/4"),
        ("cron(0 8,20 * * ? *)", "five-field cron"),
        ("cron(0 8-12 * * ? *)", "five-field cron"),
        ("cron(0 24 * * ? *)", "0 to 23"),
        ("cron(0 0/0 * * ? *)", "such as 4/12"),
        ("cron(0 8 * * * *)", "must be ?"),
        ("cron(0 8 ? * ? *)", "must be ?"),
        ("cron(0 8 1 * MON *)", "must be ?"),
        ("cron(0 8 32 * ? *)", "1 to 31"),
        ("cron(0 8 0 * ? *)", "1 to 31"),
        ("cron(0 8 15W * ? *)", "1 to 31"),
        ("cron(0 8 6L * ? *)", "FRIL"),
        ("cron(0 8 1 13 ? *)", "1 to 12"),
        ("cron(0 8 1 ? ? *)", "1 to 12"),
        ("cron(0 8 ? * 0 *)", "1 (Sunday)"),
        ("cron(0 8 ? * 8 *)", "1 (Sunday)"),
        ("cron(0 8 ? * FRI#6 *)", "FRI#2"),
        ("cron(0 8 ? * FRI#0 *)", "FRI#2"),
        ("cron(0 8 ? * FRI-MON *)", "MON-FRI"),
        ("cron(0 8 1, * ? *)", "1 to 31"),
        ("cron(0 8 31 2 ? *)", "never occurs"),
        ("cron(0 8 30 FEB ? *)", "never occurs"),
        ("0 8 31 4 *", "never occurs"),
        ("60 8 1 * *", "0 to 59"),
        ("MON 8 1 * *", "0 to 59"),
        ("0 24 1 * *", "0 to 23"),
        ("0 /4 1 * *", "0 to 23"),
        ("0 2/4 * * *", "0 to 23"),
        ("0 8 15W * *", "1 to 31"),
        ("0 8 1 JANUARY *", "1 to 12"),
        ("0 8 * * L", "0 (Sunday)"),
        ("0 8 * * SUN-SUN", "0 (Sunday)"),
        ("0 8 * * +1", "0 (Sunday)"),
        (", 8 * * *", "0 to 59"),
        ("0 8 */2 * MON", "step over all days"),
        ("0 8 1 * */2", "step over all days"),
    ];
    for (expression, hint) in table {
        let message = Schedule::parse(expression).expect_err(expression).to_string();
        assert!(message.contains(hint), "{expression}: {message}");
        assert!(message.len() < 250, "{message}");
        assert!(!message.ends_with('.'), "{message}");
    }
}

#[test]
fn long_and_unprintable_text_is_not_repeated() {
    let long = "x".repeat(257);
    assert_eq!(Schedule::parse(&long), Err(ScheduleError::TooLong));
    let message = Schedule::parse(&"y".repeat(256)).unwrap_err().to_string();
    assert!(!message.contains("yy"), "{message}");
    let message = Schedule::parse("a\u{1b}[31m").unwrap_err().to_string();
    assert!(!message.contains('\u{1b}'), "{message}");
}

#[test]
fn days_are_bound_as_in_aws() {
    assert!(Schedule::after_days(1).is_ok());
    assert!(Schedule::after_days(1000).is_ok());
    assert_eq!(Schedule::after_days(0), Err(ScheduleError::DaysOutOfRange(0)));
    assert_eq!(Schedule::after_days(1001), Err(ScheduleError::DaysOutOfRange(1001)));
}

#[test]
fn the_slot_is_the_first_moment_after_the_change_unless_an_edit_put_it_into_the_past() {
    #[rustfmt::skip]
    let table = [
        // A rate counts from the change, whatever was edited.
        ("rate(30 days)", "2025-01-01T00:00:00Z", Some("2025-03-01T00:00:00Z"), "2025-01-31T00:00:00Z"),
        // Sub-seconds do not move the slot.
        ("rate(1 hour)", "2025-01-01T00:00:00.999Z", None, "2025-01-01T01:00:00Z"),
        ("0 8 * * *", "2025-01-01T07:59:59.999Z", None, "2025-01-01T08:00:00Z"),
        ("0 8 * * *", "2025-01-01T08:00:00.001Z", None, "2025-01-02T08:00:00Z"),
        // Daily at 08:00, edited at noon to 10:00: not due before tomorrow.
        ("cron(0 10 * * ? *)", "2025-01-10T08:00:05Z", Some("2025-01-10T12:00:00Z"), "2025-01-11T10:00:00Z"),
        // Edited at 09:00: due today at 10:00, which lies ahead.
        ("cron(0 10 * * ? *)", "2025-01-10T08:00:05Z", Some("2025-01-10T09:00:00Z"), "2025-01-10T10:00:00Z"),
        // Monthly to daily after ten days: the value is older than a day, so it is due at once.
        ("0 8 * * *", "2025-01-01T08:00:05Z", Some("2025-01-11T12:00:00Z"), "2025-01-02T08:00:00Z"),
        // Daily to monthly: nothing is due by that.
        ("0 8 1 * *", "2025-01-31T08:00:05Z", Some("2025-02-01T12:00:00Z"), "2025-03-01T08:00:00Z"),
        // A change after the edit makes the edit irrelevant.
        ("0 8 * * *", "2025-01-20T00:00:00Z", Some("2025-01-11T12:00:00Z"), "2025-01-20T08:00:00Z"),
        // Overdue since before a restart: still the same slot.
        ("0 8 * * *", "2024-06-01T00:00:00Z", Some("2024-05-01T00:00:00Z"), "2024-06-01T08:00:00Z"),
    ];
    for (expression, change, since, expected) in table {
        let due = schedule(expression).due_after(at(change), since.map(at), SignedDuration::ZERO);
        assert_eq!(due, Some(at(expected)), "{expression} {change} {since:?}");
    }
    let after_days = Schedule::after_days(30).unwrap();
    let due = after_days.due_after(at("2025-01-01T00:00:00Z"), Some(at("2025-03-01T00:00:00Z")), SignedDuration::ZERO);
    assert_eq!(due, Some(at("2025-01-31T00:00:00Z")));
}

#[test]
fn missed_counts_the_moments_that_have_passed_for_good() {
    #[rustfmt::skip]
    let table = [
        ("rate(1 hour)", "2025-01-01T00:00:00Z", "2024-12-31T00:00:00Z", 0),
        ("rate(1 hour)", "2025-01-01T00:00:00Z", "2025-01-01T00:00:00Z", 0),
        ("rate(1 hour)", "2025-01-01T00:00:00Z", "2025-01-01T00:30:00Z", 0),
        ("rate(1 hour)", "2025-01-01T00:00:00Z", "2025-01-01T00:30:01Z", 1),
        ("rate(1 hour)", "2025-01-01T00:00:00Z", "2025-01-01T05:00:00Z", 5),
        ("rate(1 second)", "2020-01-01T00:00:00Z", "2025-01-01T00:00:00Z", 10_000),
        ("0 8 * * *", "2025-01-01T08:00:00Z", "2025-01-01T08:00:10Z", 0),
        ("0 8 * * *", "2025-01-01T08:00:00Z", "2025-01-01T19:59:00Z", 0),
        ("0 8 * * *", "2025-01-01T08:00:00Z", "2025-01-01T20:01:00Z", 1),
        ("0 8 * * *", "2025-01-01T08:00:00Z", "2025-01-06T08:00:00Z", 5),
        ("cron(0 8 1 * ? *)", "2025-01-01T08:00:00Z", "2025-04-01T08:00:00Z", 3),
        ("* * * * *", "1990-01-01T00:00:00Z", "2025-01-01T00:00:00Z", 10_000),
        // Three Sundays of January, the third less than half-way to the first of April.
        ("cron(0 8 ? 1/3 SUN *)", "2025-01-12T08:00:00Z", "2025-01-30T08:00:00Z", 2),
        ("cron(0 8 29 2 ? *)", "2000-02-29T08:00:00Z", "2024-02-29T08:00:00Z", 6),
    ];
    for (expression, due, now, expected) in table {
        let missed = schedule(expression).missed(at(due), at(now), SignedDuration::ZERO);
        assert_eq!(missed, expected, "{expression} {due} {now}");
    }
}

#[test]
fn an_outage_of_k_periods_misses_k() {
    for expression in VALID {
        let schedule = schedule(expression);
        let due = schedule.next_after(at("2025-01-01T00:00:00Z")).unwrap();
        let mut now = due;
        for k in 0..20 {
            let late = now + 1.milliseconds();
            assert_eq!(schedule.missed(due, late, SignedDuration::ZERO), k, "{expression}");
            now = schedule.next_after(now).unwrap();
        }
    }
}

#[test]
fn the_shortest_interval_is_the_densest_place_of_all_years() {
    #[rustfmt::skip]
    let table = [
        ("rate(90 minutes)", SignedDuration::from_mins(90)),
        ("* * * * *", SignedDuration::from_mins(1)),
        ("*/7 * * * *", SignedDuration::from_mins(4)),
        ("59 23 * * *", SignedDuration::from_hours(24)),
        ("30 0,23 * * *", SignedDuration::from_hours(1)),
        ("cron(0 2/10 * * ? *)", SignedDuration::from_hours(4)),
        ("cron(0 8 ? * MON *)", SignedDuration::from_hours(7 * 24)),
        ("cron(0 8 1 * ? *)", SignedDuration::from_hours(28 * 24)),
        ("0 8 L * *", SignedDuration::from_hours(28 * 24)),
        ("0 0,23 1,15 * *", SignedDuration::from_hours(23)),
        // The last day of a month and the first of the next.
        ("cron(0 8 1,L * ? *)", SignedDuration::from_hours(24)),
        ("cron(0 8 1 JAN ? *)", SignedDuration::from_hours(365 * 24)),
        ("cron(0 8 29 FEB ? *)", SignedDuration::from_hours((4 * 365 + 1) * 24)),
    ];
    for (expression, expected) in table {
        assert_eq!(schedule(expression).shortest_interval(), expected, "{expression}");
    }
}

#[test]
fn moments_rise_and_none_lies_closer_than_the_shortest_interval() {
    let mut rng = StdRng::seed_from_u64(1);
    for expression in VALID {
        let schedule = schedule(expression);
        let least = schedule.shortest_interval();
        let mut t = Timestamp::from_second(rng.random_range(0..4_000_000_000)).unwrap();
        let mut before = None;
        for _ in 0..500 {
            let next = schedule.next_after(t).unwrap();
            assert!(next > t, "{expression}");
            assert_eq!(next.subsec_nanosecond(), 0);
            assert!(before.is_none_or(|before| next.duration_since(before) >= least), "{expression}");
            before = Some(next);
            t = next;
        }
    }
}

#[test]
fn every_change_between_two_moments_means_the_same_slot() {
    let mut rng = StdRng::seed_from_u64(2);
    for expression in VALID.iter().filter(|e| !e.starts_with("rate")) {
        let schedule = schedule(expression);
        let start = Timestamp::from_second(rng.random_range(0..4_000_000_000)).unwrap();
        let first = schedule.next_after(start).unwrap();
        let second = schedule.next_after(first).unwrap();
        for _ in 0..50 {
            let change = rng.random_range(first.as_millisecond()..second.as_millisecond());
            let change = Timestamp::from_millisecond(change).unwrap();
            assert_eq!(schedule.due_after(change, None, SignedDuration::ZERO), Some(second), "{expression}");
        }
        assert_ne!(schedule.due_after(second, None, SignedDuration::ZERO), Some(second), "{expression}");
    }
}

#[test]
fn no_text_makes_the_parser_panic() {
    let mut rng = StdRng::seed_from_u64(3);
    let alphabet: Vec<char> = "0123456789*/,-?#L()W@+ \t\nSUNMFRIJAEBrateconds\u{e9}\u{1F600}\0".chars().collect();
    let ends = [Timestamp::MIN, Timestamp::MAX, at("2025-01-01T00:00:00Z")];
    let mut accepted = 0;
    for round in 0..6_000 {
        let mut text: Vec<char> = if round % 3 == 0 {
            let length = rng.random_range(0..60);
            (0..length).map(|_| *alphabet.choose(&mut rng).unwrap()).collect()
        } else {
            VALID.choose(&mut rng).unwrap().chars().collect()
        };
        for _ in 0..rng.random_range(0..4) {
            let place = rng.random_range(0..=text.len());
            let new = *alphabet.choose(&mut rng).unwrap();
            match rng.random_range(0..3) {
                0 => text.insert(place, new),
                1 if place < text.len() => text[place] = new,
                _ if place < text.len() => drop(text.remove(place)),
                _ => {}
            }
        }
        let text: String = text.into_iter().collect();
        match Schedule::parse(&text) {
            Ok(schedule) => {
                accepted += 1;
                assert!(schedule.shortest_interval().is_positive(), "{text}");
                for t in ends {
                    let due = schedule.due_after(t, Some(t), SignedDuration::ZERO);
                    assert_eq!(schedule.missed(due.unwrap_or(t), t, SignedDuration::ZERO), 0, "{text}");
                }
                if accepted % 100 == 0 {
                    schedule.missed(Timestamp::MIN, Timestamp::MAX, SignedDuration::ZERO);
                }
            }
            Err(error) => assert!(error.to_string().len() < 250, "{text}: {error}"),
        }
    }
    assert!(accepted > 500, "only {accepted} were valid");
}

#[test]
fn the_longest_interval_is_the_greatest_distance_between_two_moments() {
    for (expression, hours) in [
        ("rate(30 days)", 30 * 24),
        ("rate(5 hours)", 5),
        ("cron(0 8 * * ? *)", 24),
        ("0 8,20 * * *", 12),
        ("cron(0 8 1 * ? *)", 31 * 24),
        ("0 8 1 1 *", 366 * 24),
        ("0 0 * * 1-5", 3 * 24),
        ("0 6,18 * * 1", 6 * 24 + 12),
    ] {
        assert_eq!(Schedule::parse(expression).unwrap().longest_interval(), SignedDuration::from_hours(hours), "{expression}");
    }
}

#[test]
fn the_rules_of_the_definition_accept_what_the_parser_accepts() {
    const FIELDS: [&str; 32] = [
        "*", "?", "0", "00", "1", "08", "23", "30", "31", "2", "FEB", "feb", "1,15", "1-5", "1-31/2", "*/2", "*/15", "L", "1,L", "MON",
        "MON-FRI", "FRI-SUN", "FRI#2", "5L", "FRIL", "SUNL", "JAN,JUL", "4/12", "1/3", "2-12/2", "29", "7",
    ];
    let accepted = crate::api::schedule::accepts();
    for expression in VALID {
        assert!(accepted(expression), "{expression}");
    }
    let mut random = StdRng::seed_from_u64(7);
    let mut words = |words: &[&str], count: usize| {
        let chosen: Vec<&str> = (0..count).filter_map(|_| words.choose(&mut random).copied()).collect();
        chosen.join(" ")
    };
    let (mut parsed, mut refused) = (0, 0);
    for round in 0..20_000 {
        let expression = match round % 3 {
            0 => words(&FIELDS, 5),
            1 => format!("cron(0 {} *)", words(&FIELDS, 4)),
            _ => format!("0 8 {}", words(&FIELDS, 3)),
        };
        if Schedule::parse(&expression).is_ok() {
            parsed += 1;
            assert!(accepted(&expression), "{expression}");
        } else if !accepted(&expression) {
            refused += 1;
        }
    }
    assert!(parsed > 500, "{parsed}");
    // What the rules miss is rare.
    assert!(refused * 100 > (20_000 - parsed) * 98, "{refused} of {}", 20_000 - parsed);
}
