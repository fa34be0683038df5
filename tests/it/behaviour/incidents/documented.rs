//! The table of incidents in docs/alerts.md.

use anyhow::{Context as _, Result, ensure};

const PAGE: &str = include_str!("../../../../docs/alerts.md");

/// The table has the incident, with each of its alerts and the first of these minutes in which it fires, and with the lines of
/// log. `log`: how many there were in how many minutes.
pub(super) fn is_documented(incident: &str, moments: &[(usize, &[&str])], log: (usize, usize)) -> Result<()> {
    let row = PAGE.lines().find_map(|line| line.strip_prefix(&format!("| {incident} | ")));
    let row = row.with_context(|| format!("docs/alerts.md has no row for: {incident}: {log:?}"))?.trim_end_matches('|').trim();
    let (told, lines) = row.split_once(" | ").context("alerts, and lines of log")?;
    let mut expected: Vec<String> = Vec::new();
    for (minute, alerts) in moments {
        for alert in *alerts {
            let alert = format!("`{}`", alert.trim_start_matches("RotatedSecrets"));
            if !expected.iter().any(|known| known.starts_with(&alert)) {
                expected.push(format!("{alert} by minute {minute}"));
            }
        }
    }
    let expected = if expected.is_empty() { "none".to_owned() } else { expected.join(", ") };
    ensure!(told == expected, "docs/alerts.md says of {incident}: {told}, instead of: {expected}");
    let (written, time) = log;
    if written == 0 {
        ensure!(lines == "-", "docs/alerts.md says of {incident}: {lines}, and the log has no line here");
        return Ok(());
    }
    let (most, minutes) = lines.split_once(" in ").context("a number of lines in minutes")?;
    let most: usize = most.parse()?;
    ensure!(minutes == format!("{time} min"), "docs/alerts.md says of {incident}: {minutes}, instead of {time} min");
    // The delays of retries vary, and so does the number of attempts.
    let told = written <= most && most <= written.saturating_mul(2).saturating_add(10);
    ensure!(told, "docs/alerts.md says of {incident}: up to {most} lines, and it wrote {written}");
    Ok(())
}
