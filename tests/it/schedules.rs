//! The page of schedules: its times are those that the operator computes.

use anyhow::{Context as _, Result, ensure};
use jiff::{Timestamp, tz::TimeZone};
use rotated_secrets::api::OnMissedWindow;
use rotated_secrets::schedule::{Clock, Effect, ExcludedDays, Schedule, parse_duration};
use rotated_secrets::version_id::VersionIds;

const PAGE: &str = include_str!("../../docs/schedules.md");
const ZONE: &str = "Europe/Berlin";

/// The cells of the rows whose second cell is a schedule.
fn rows() -> Vec<(String, String)> {
    let cells = |line: &str| Some(line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").map(str::to_owned).collect::<Vec<_>>());
    PAGE.lines()
        .filter_map(cells)
        .filter_map(|cells| {
            let expression = cells.get(1)?.strip_prefix("`schedule: ")?.strip_suffix('`')?.trim_matches('"').to_owned();
            Some((expression, cells.get(2)?.clone()))
        })
        .collect()
}

#[test]
fn the_page_shows_the_next_two_times_of_each_schedule() -> Result<()> {
    let change: Timestamp = "2026-11-27T12:00:00Z".parse()?;
    let rows = rows();
    ensure!(rows.len() == 10, "ten schedules: {}", rows.len());
    for (expression, shown) in rows {
        let zone = (!expression.contains('(')).then_some(ZONE);
        let schedule = Schedule::parse_in(&expression, zone).with_context(|| expression.clone())?;
        let first = schedule.next_after(change).context("it is due")?;
        let second = schedule.next_after(first).context("it is due again")?;
        let told = |t: Timestamp| -> Result<String> {
            Ok(t.to_zoned(TimeZone::get(zone.unwrap_or("UTC"))?).strftime("%Y-%m-%d %H:%M").to_string())
        };
        let computed = format!("{} · {}{}", told(first)?, told(second)?, if zone.is_some() { "" } else { " UTC" });
        ensure!(shown == computed, "{expression}: {computed}, and the page says {shown}");
    }
    Ok(())
}

#[test]
fn what_the_page_says_of_the_two_day_fields_is_so() -> Result<()> {
    let days = |expression: &str, count: usize| -> Result<Vec<i8>> {
        let schedule = Schedule::parse(expression)?;
        let mut at: Timestamp = "2026-12-01T00:00:00Z".parse()?;
        let mut days = Vec::new();
        while days.len() < count {
            at = schedule.next_after(at).context("it is due")?;
            days.push(at.to_zoned(TimeZone::UTC).day());
        }
        Ok(days)
    };
    ensure!(PAGE.contains("`0 9 8-14 * MON`") && PAGE.contains("`0 8 13 * FRI`") && PAGE.contains("`0 8 */2 * MON`"));
    // December 2026: the 7th, 14th, 21st and 28th are Mondays; the 4th, 11th, 18th and 25th are Fridays.
    assert_eq!(days("0 9 8-14 * MON", 10)?, [7, 8, 9, 10, 11, 12, 13, 14, 21, 28]);
    assert_eq!(days("0 9 * * MON#2", 1)?, [14]);
    assert_eq!(days("0 8 13 * FRI", 5)?, [4, 11, 13, 18, 25]);
    assert!(Schedule::parse("0 8 */2 * MON").is_err());
    // The number 1 is Monday with five fields and Sunday in AWS's format, whose L alone is Saturday.
    assert_eq!(days("0 8 * * 1", 1)?, [7]);
    assert_eq!(days("cron(0 8 ? * 1 *)", 1)?, [6]);
    assert_eq!(days("cron(0 8 ? * L *)", 1)?, [5]);
    Ok(())
}

/// The table of what follows a period without rotations: text of the first cell -> text of the second.
fn after_periods() -> Result<Vec<(String, String)>> {
    let section = PAGE.split("## Periods without rotations").nth(1).and_then(|rest| rest.split("\n## ").next()).context("a section")?;
    let cells = |line: &str| {
        let (first, second) = line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")?;
        Some((first.to_owned(), second.to_owned()))
    };
    Ok(section.lines().filter_map(cells).skip(1).collect())
}

#[test]
fn the_page_says_when_the_first_rotation_after_a_period_is() -> Result<()> {
    let freeze = ("0 9 * * MON", "8h", Some(("2026-12-20", "2027-01-06")), "2026-12-14T08:00:00Z");
    let cases = [
        ("`schedule: \"0 9 * 1-11 MON\"`", ("0 9 * 1-11 MON", "0s", None, "2026-11-30T08:00:00Z"), OnMissedWindow::RotateNow),
        ("the freeze above", freeze, OnMissedWindow::NextWindow),
        ("the freeze above with `onMissedWindow: RotateNow`", freeze, OnMissedWindow::RotateNow),
        (
            "`schedule: \"0 9 * * MON\"`, excluding 2026-12-01 to 2026-12-31",
            ("0 9 * * MON", "0s", Some(("2026-12-01", "2026-12-31")), "2026-11-30T08:00:00Z"),
            OnMissedWindow::RotateNow,
        ),
    ];
    let rows = after_periods()?;
    ensure!(rows.len() == cases.len(), "{rows:?}");
    for ((row, shown), (words, (expression, duration, period, change), on_missed)) in rows.into_iter().zip(cases) {
        ensure!(row == words, "{row}: {words}");
        let excluded = period.map(|(from, to)| ExcludedDays::new(from, to)).transpose()?.into_iter().collect::<Vec<_>>();
        let schedule = Schedule::parse_in(expression, Some(ZONE))?;
        let clock =
            Clock::new(schedule, parse_duration(duration)?, on_missed, VersionIds::of("uid"))?.excluding(&excluded).without_offset();
        let change: Timestamp = change.parse()?;
        let due = clock.next_after(change).context("it is due")?;
        let forecast = clock.forecast(due, change, 1);
        let (Effect::Rotates(at) | Effect::Deferred(at, _)) = forecast.first().context("a forecast")?.effect else {
            anyhow::bail!("{row}: nothing follows")
        };
        let local = at.to_zoned(TimeZone::get(ZONE)?).strftime("%Y-%m-%d %H:%M").to_string();
        ensure!(shown == local, "{row}: {local}, and the page says {shown}");
    }
    Ok(())
}
