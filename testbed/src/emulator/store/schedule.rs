//! The form of AWS's own rotation schedules (section "Schedule expressions" of the user guide).

use super::fields::{Fields, check_length};
use crate::emulator::error::AwsError;

/// `RotationRules`: a number of days or an expression, not both, and a window that fits.
pub(super) fn check_rules(rules: Fields<'_>) -> Result<(), AwsError> {
    let days = rules.integer("AutomaticallyAfterDays")?;
    if days.is_some_and(|days| !(1..=1000).contains(&days)) {
        return Err(AwsError::invalid_parameter("RotationRules.AutomaticallyAfterDays must be within 1-1000."));
    }
    let expression = rules.str("ScheduleExpression")?;
    if days.is_some() && expression.is_some() {
        return Err(AwsError::invalid_parameter("You can't use both AutomaticallyAfterDays and ScheduleExpression."));
    }
    let window = rules.str("Duration")?.map(parse_window).transpose()?;
    if let Some(expression) = expression {
        check_length("ScheduleExpression", expression, 1, 256)?;
        let schedule = parse(expression).ok_or_else(|| AwsError::invalid_parameter("Invalid schedule expression."))?;
        let room = match schedule {
            Schedule::Hours(hours) => hours,
            Schedule::Days { from_hour } => 24 - from_hour,
        };
        if window.is_some_and(|window| window > room) {
            return Err(AwsError::invalid_parameter("The rotation window reaches into the next one, or into the next day."));
        }
    }
    Ok(())
}

/// What bounds a window.
#[derive(Debug, PartialEq, Eq)]
enum Schedule {
    /// Again after so many hours.
    Hours(u32),
    /// On some days, from this hour (UTC).
    Days { from_hour: u32 },
}

fn parse_window(text: &str) -> Result<u32, AwsError> {
    let hours = text.strip_suffix('h').filter(|digits| (1..=2).contains(&digits.len())).and_then(number);
    hours.filter(|hours| *hours > 0).ok_or_else(|| AwsError::invalid_parameter("Invalid Duration: a number of hours followed by h."))
}

fn parse(expression: &str) -> Option<Schedule> {
    if let Some(rate) = expression.strip_prefix("rate(").and_then(|rest| rest.strip_suffix(')')) {
        let (count, unit) = rate.split_once(' ')?;
        let count = number(count)?;
        return match unit {
            "hour" | "hours" if (4..=999 * 24).contains(&count) => Some(Schedule::Hours(count)),
            "day" | "days" if (1..=999).contains(&count) => Some(Schedule::Days { from_hour: 0 }),
            _ => None,
        };
    }
    let cron = expression.strip_prefix("cron(")?.strip_suffix(')')?;
    let parts: Vec<&str> = cron.split(' ').filter(|part| !part.is_empty()).collect();
    let ["0", hours, day_of_month, month, day_of_week, "*"] = parts.as_slice() else {
        return None;
    };
    if (*day_of_month == "?") == (*day_of_week == "?") {
        return None;
    }
    let fits =
        days_fit(day_of_month, 1..=31, &[], "L") && days_fit(month, 1..=12, &MONTHS, "") && days_fit(day_of_week, 1..=7, &DAYS, "L#");
    fits.then(|| parse_hours(hours)).flatten()
}

/// One hour, or a first hour and a step that starts again each day.
fn parse_hours(text: &str) -> Option<Schedule> {
    let hour = |text: &str| number(text).filter(|hour| *hour <= 23);
    match text.split_once('/') {
        None => hour(text).map(|from_hour| Schedule::Days { from_hour }),
        Some((first, step)) => {
            let step = number(step).filter(|step| (4..=23).contains(step))?;
            if first != "*" {
                hour(first)?;
            }
            Some(Schedule::Hours(step))
        }
    }
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// Whether a list of days or months is well formed: numbers or names, ranges, steps, and the letters in `marks`.
fn days_fit(text: &str, range: std::ops::RangeInclusive<u32>, names: &[&str], marks: &str) -> bool {
    let one = |item: &str| number(item).is_some_and(|n| range.contains(&n)) || names.contains(&item.to_ascii_uppercase().as_str());
    let last = |item: &str| marks.contains('L') && item.strip_suffix('L').is_some_and(|day| day.is_empty() || one(day));
    let nth = |item: &str| {
        marks.contains('#') && item.split_once('#').is_some_and(|(day, nth)| one(day) && number(nth).is_some_and(|n| (1..=5).contains(&n)))
    };
    let span = |item: &str| item == "*" || one(item) || item.split_once('-').is_some_and(|(from, to)| one(from) && one(to));
    let stepped = |item: &str| item.split_once('/').is_some_and(|(from, step)| span(from) && number(step).is_some_and(|n| n > 0));
    text == "?" || text.split(',').all(|item| span(item) || stepped(item) || last(item) || nth(item))
}

fn number(text: &str) -> Option<u32> {
    text.chars().all(|c| c.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_schedules_are_read() {
        for text in [
            "rate(4 hours)",
            "rate(999 days)",
            "cron(0 8 * * ? *)",
            "cron(0 0 ? * SUN#1 *)",
            "cron(0 4/12 * * ? *)",
            "cron(0 18 L * ? *)",
            "cron(0 8 1 1/3 ? *)",
            "cron(0 16 ? * MON-FRI *)",
        ] {
            assert!(parse(text).is_some(), "{text}");
        }
    }

    #[test]
    fn what_aws_refuses_is_refused() {
        for text in [
            "rate(3 hours)",
            "rate(1000 days)",
            "rate(10 minutes)",
            "cron(5 8 * * ? *)",
            "cron(0 8 * * * *)",
            "cron(0 8 ? * ? *)",
            "cron(0 8 * * ? 2027)",
            "cron(0 24 * * ? *)",
            "cron(0 8 32 * ? *)",
            "cron(0 8 * * ?)",
            "@daily",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
