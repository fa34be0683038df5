//! The page of schedules: its times are those that the operator computes.

use anyhow::{Context as _, Result, ensure};
use jiff::{Timestamp, tz::TimeZone};
use rotated_secrets::schedule::Schedule;

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
