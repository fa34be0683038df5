//! Windows: each object's place in them, what becomes of those that were missed, and edits while one is open.

use super::super::{Appointment, Clock, Span, parse_duration};
use super::*;
use crate::api::OnMissedWindow::{self, NextWindow, RotateNow};
use crate::version_id::VersionIds;

fn clock(expression: &str, duration: &str, on_missed: OnMissedWindow) -> Clock {
    clock_of("uid", expression, duration, on_missed)
}

fn clock_of(uid: &str, expression: &str, duration: &str, on_missed: OnMissedWindow) -> Clock {
    Clock::new(schedule(expression), parse_duration(duration).unwrap(), on_missed, VersionIds::of(uid)).unwrap()
}

/// The object's place in a window of this length.
fn place(duration: &str) -> SignedDuration {
    let due = at("2026-11-24T08:00:00Z");
    clock("0 8 * * *", duration, RotateNow).appointment(due, due).unwrap().at.duration_since(due)
}

#[test]
fn durations_are_read_as_go_writes_them_and_written_back_the_same() {
    for (text, seconds, canonical) in [
        ("0s", 0, "0s"),
        ("1h", 3600, "1h"),
        ("90m", 5400, "1h30m"),
        ("36h", 129_600, "36h"),
        ("1h30m15s", 5415, "1h30m15s"),
        ("1h5s", 3605, "1h5s"),
        ("0h0m7s", 7, "7s"),
        ("99999h", 359_996_400, "99999h"),
    ] {
        let duration = parse_duration(text).unwrap();
        assert_eq!((duration, Span(duration).to_string().as_str()), (SignedDuration::from_secs(seconds), canonical), "{text}");
    }
    for text in ["", "1", "0", "h", "1d", "-1h", "+1h", "1.5h", "30m1h", "1h1h", "1 h", "1h ", "1ms", "99999999h", "999999999s", "１h"] {
        let message = parse_duration(text).expect_err(text).to_string();
        assert!(message.contains("such as 1h, 90m or 1h30m"), "{text}: {message}");
    }
}

#[test]
fn each_object_has_its_own_fixed_place_in_the_first_nine_tenths_of_the_window() {
    let due = at("2026-11-24T08:00:00Z");
    let mut places = std::collections::BTreeSet::new();
    for n in 0..20_000 {
        let clock = clock_of(&format!("object {n}"), "0 8 * * *", "10m", RotateNow);
        let turn = clock.appointment(due, due).unwrap();
        assert_eq!(clock.appointment(due, due + 7.minutes()), Some(turn), "whoever asks, whenever");
        places.insert(turn.at.duration_since(due).as_secs());
    }
    assert_eq!(places.into_iter().collect::<Vec<_>>(), (0..540).collect::<Vec<_>>(), "every whole second is somebody's");
    assert_eq!(place("0s"), SignedDuration::ZERO);
    assert_eq!(place("1s"), SignedDuration::ZERO);
}

#[test]
fn a_window_that_reaches_the_next_one_or_cannot_be_kept_is_refused() {
    let new = |expression: &str, duration: &str, on_missed| {
        Clock::new(schedule(expression), parse_duration(duration).unwrap(), on_missed, VersionIds::of("uid"))
    };
    #[rustfmt::skip]
    let table = [
        ("rate(1 hour)", "1h", RotateNow, None),
        ("rate(1 hour)", "1h0m1s", RotateNow, Some("a window of 1h1s overlaps the next one, which may open 1h later; use at most 1h")),
        ("0 8,20 * * *", "12h", NextWindow, None),
        ("0 8,20 * * *", "13h", RotateNow, Some("use at most 12h")),
        ("cron(0 8 1 * ? *)", "673h", RotateNow, Some("use at most 672h")),
        ("0 8 * * *", "5m", NextWindow, None),
        ("0 8 * * *", "299s", NextWindow, Some("requires a duration of at least 5m")),
        ("0 8 * * *", "0s", NextWindow, Some("requires a duration of at least 5m")),
    ];
    for (expression, duration, on_missed, refused) in table {
        let message = new(expression, duration, on_missed).err().map(|error| error.to_string());
        match refused {
            None => assert_eq!(message, None, "{expression} {duration}"),
            Some(words) => assert!(message.as_ref().is_some_and(|m| m.contains(words)), "{expression} {duration}: {message:?}"),
        }
    }
    let berlin = Schedule::parse_in("0 8 * * *", Some("Europe/Berlin")).unwrap();
    let message = Clock::new(berlin, SignedDuration::from_hours(24), RotateNow, VersionIds::of("uid")).unwrap_err().to_string();
    assert!(message.contains("use at most 23h"), "{message}");
}

#[test]
fn a_missed_window_is_followed_at_once_or_by_the_next_one() {
    let due = "2026-11-24T08:00:00Z";
    let turn = |clock: &Clock, now: &str| {
        let Appointment { at: turn, missed, .. } = clock.appointment(at(due), at(now)).unwrap();
        ((turn - place("1h")).to_string(), missed)
    };
    #[rustfmt::skip]
    let table = [
        // Expression, now, the window that is used, how many are over. Also with a clock that was set back.
        ("0 8 * * *", "2026-11-20T00:00:00Z", "2026-11-24T08:00:00Z", 0),
        ("0 8 * * *", "2026-11-24T07:59:59Z", "2026-11-24T08:00:00Z", 0),
        ("0 8 * * *", "2026-11-24T08:00:00Z", "2026-11-24T08:00:00Z", 0),
        ("0 8 * * *", "2026-11-24T08:59:59Z", "2026-11-24T08:00:00Z", 0),
        ("0 8 * * *", "2026-11-24T09:00:00Z", "2026-11-25T08:00:00Z", 1),
        ("0 8 * * *", "2026-11-25T08:59:59Z", "2026-11-25T08:00:00Z", 1),
        ("0 8 * * *", "2026-11-25T09:00:00Z", "2026-11-26T08:00:00Z", 2),
        ("0 8 * * MON-FRI", "2026-11-27T23:00:00Z", "2026-11-30T08:00:00Z", 4),
        ("rate(1 day)", "2026-11-24T09:00:00Z", "2026-11-25T08:00:00Z", 1),
        ("rate(1 day)", "2026-11-27T08:59:59Z", "2026-11-27T08:00:00Z", 3),
        ("rate(1 day)", "2026-11-27T09:00:00Z", "2026-11-28T08:00:00Z", 4),
        ("rate(7 days)", "2027-11-24T09:00:00Z", "2027-11-30T08:00:00Z", 53),
    ];
    for (expression, now, window, missed) in table {
        assert_eq!(turn(&clock(expression, "1h", NextWindow), now), (window.to_owned(), missed), "{expression} {now}");
        assert_eq!(turn(&clock(expression, "1h", RotateNow), now), (due.to_owned(), 0), "{expression} {now}");
    }
    let always_open = clock("rate(1 hour)", "1h", NextWindow);
    for minutes in [0, 59, 60, 61, 600] {
        let now = at(due) + minutes.minutes();
        let turn = always_open.appointment(at(due), now).unwrap();
        assert!(turn.at.duration_since(now) < SignedDuration::from_hours(1), "a window without an end is never waited for long");
    }
}

#[test]
fn missed_counts_windows_that_are_over_and_never_the_one_that_was_used() {
    #[rustfmt::skip]
    let table = [
        // Within the window nothing is missed, however late in it.
        ("0 8 * * *", "23h", "2026-11-24T08:00:00Z", "2026-11-25T06:59:59Z", 0),
        ("0 8 * * *", "23h", "2026-11-24T08:00:00Z", "2026-11-25T07:00:00Z", 1),
        ("rate(1 day)", "23h", "2026-11-24T08:00:00Z", "2026-11-25T06:59:59Z", 0),
        ("rate(1 day)", "23h", "2026-11-24T08:00:00Z", "2026-11-25T07:00:00Z", 1),
        // After it as ever: until half the time to the next one it is late, then it is missed.
        ("0 8 * * *", "1h", "2026-11-24T08:00:00Z", "2026-11-24T19:59:59Z", 0),
        ("0 8 * * *", "1h", "2026-11-24T08:00:00Z", "2026-11-24T20:00:01Z", 1),
        // In a later window: those before it, whatever its length.
        ("0 8 * * *", "1h", "2026-11-24T08:00:00Z", "2026-11-26T08:00:00Z", 2),
        ("0 8 * * *", "20h", "2026-11-24T08:00:00Z", "2026-11-27T03:59:59Z", 2),
        ("rate(1 day)", "20h", "2026-11-24T08:00:00Z", "2026-11-27T03:59:59Z", 2),
        ("rate(1 day)", "24h", "2026-11-24T08:00:00Z", "2026-11-27T07:59:59Z", 2),
    ];
    for (expression, duration, due, happened, missed) in table {
        assert_eq!(clock(expression, duration, RotateNow).missed(at(due), at(happened)), missed, "{expression} {duration} {happened}");
    }
    for (expression, duration) in [("0 8 * * *", "23h"), ("0 8 * * MON-FRI", "8h"), ("rate(7 days)", "36h"), ("cron(0 0/6 * * ? *)", "5h")]
    {
        let clock = clock(expression, duration, NextWindow);
        let due = clock.next_after(at("2026-11-24T03:00:00Z")).unwrap();
        for hours in 0..1_000 {
            let now = due + (i64::from(hours) * 61).minutes();
            let turn = clock.appointment(due, now).unwrap();
            assert_eq!(clock.missed(due, turn.at.max(now)), turn.missed, "what is announced is what is counted: {expression} {now}");
        }
    }
}

#[test]
fn an_edit_while_the_window_is_open_neither_loses_the_rotation_nor_makes_it_happen() {
    let changed = at("2026-11-23T08:30:00Z");
    let (today, tomorrow) = (at("2026-11-24T08:00:00Z"), at("2026-11-25T08:00:00Z"));
    let longer = clock("0 8 * * *", "8h", RotateNow);
    let turn = today + place("8h");
    let second = SignedDuration::from_secs(1);
    for (edited, due) in [
        (today - second, today),
        (today, today),
        // The place in the longer window lies ahead: it is still this window's rotation.
        (turn - second, today),
        (turn, today),
        // It lies behind, and the value is younger than a day.
        (
            turn + second,
            if turn + second - changed.duration_since(Timestamp::UNIX_EPOCH) > Timestamp::UNIX_EPOCH + 24.hours() {
                today
            } else {
                tomorrow
            },
        ),
    ] {
        assert_eq!(longer.due_after(changed, Some(edited)), Some(due), "{edited}");
    }
    let none = clock("0 8 * * *", "0s", RotateNow);
    assert_eq!(none.due_after(at("2026-11-23T20:00:00Z"), Some(today + second)), Some(tomorrow), "a window that is taken away");
    assert_eq!(none.due_after(at("2026-11-23T07:00:00Z"), Some(today + second)), Some(at("2026-11-23T08:00:00Z")), "older than a day");
}

#[test]
fn the_description_tells_every_edit_of_the_clock_and_nothing_else() {
    let berlin = Schedule::parse_in("0 8 * * *", Some("europe/berlin")).unwrap();
    let berlin = Clock::new(berlin, SignedDuration::from_mins(90), NextWindow, VersionIds::of("uid")).unwrap();
    assert_eq!(berlin.describe("0 8 * * *"), "0 8 * * *; timeZone: Europe/Berlin; duration: 1h30m; onMissedWindow: NextWindow");
    assert_eq!(clock("0 8 * * *", "0s", RotateNow).describe("0 8 * * *"), "0 8 * * *", "as the status had it before there were windows");
    assert_eq!(
        clock("rate(1 day)", "60m", RotateNow).describe("rate(1 day)"),
        clock("rate(1 day)", "1h", RotateNow).describe("rate(1 day)")
    );
}
