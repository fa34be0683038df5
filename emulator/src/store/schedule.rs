//! AWS's own rotation schedules (section "Rotation schedules" of the user guide): what is refused, and when a window opens and closes.

use std::ops::RangeInclusive;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::fields::{Fields, check_length};
use crate::error::AwsError;

/// A day that comes on 29 February only may be eight years away.
const FARTHEST_DAYS: i64 = 8 * 366 + 1;

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
        let schedule = Schedule::parse(expression).ok_or_else(|| AwsError::invalid_parameter("Invalid schedule expression."))?;
        if window.is_some_and(|window| window > schedule.room()) {
            return Err(AwsError::invalid_parameter("The rotation window reaches into the next one, or into the next day."));
        }
    }
    Ok(())
}

/// When a rotation may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// From this moment on.
    pub(crate) opens: Timestamp,
    /// And before this one.
    pub(crate) closes: Timestamp,
}

/// The first window after `base`: the last rotation, or the moment of configuration. None if the rules name no schedule.
pub(super) fn window_after(rules: &Value, base: Timestamp) -> Option<Window> {
    let text = |member: &str| rules.get(member).and_then(Value::as_str);
    let schedule = match (text("ScheduleExpression"), rules.get("AutomaticallyAfterDays").and_then(Value::as_u64)) {
        (Some(expression), _) => Schedule::parse(expression)?,
        (None, Some(days)) => Schedule::Days(u32::try_from(days).ok()?),
        (None, None) => return None,
    };
    schedule.window_after(text("Duration").and_then(|text| parse_window(text).ok()), base)
}

/// Whether any new value restarts the period: a number of days counts, an expression of moments names them.
pub(super) fn counts(rules: &Value) -> bool {
    !rules.get("ScheduleExpression").and_then(Value::as_str).is_some_and(|expression| expression.starts_with("cron("))
}

/// Moments at which a window may open.
#[derive(Debug, PartialEq, Eq)]
enum Schedule {
    /// Again after so many hours, counted from midnight.
    Hours(u32),
    /// At midnight after so many days.
    Days(u32),
    /// At these hours of these days.
    Cron(Box<Cron>),
}

#[derive(Debug, PartialEq, Eq)]
struct Cron {
    /// The first hour and, for a schedule in hours, its step.
    hour: u32,
    step: Option<u32>,
    day_of_month: String,
    month: String,
    day_of_week: String,
}

impl Schedule {
    fn parse(expression: &str) -> Option<Self> {
        if let Some(rate) = expression.strip_prefix("rate(").and_then(|rest| rest.strip_suffix(')')) {
            let (count, unit) = rate.split_once(' ')?;
            let count = number(count)?;
            return match unit {
                "hour" | "hours" if (4..=999 * 24).contains(&count) => Some(Self::Hours(count)),
                "day" | "days" if (1..=999).contains(&count) => Some(Self::Days(count)),
                _ => None,
            };
        }
        let cron = expression.strip_prefix("cron(")?.strip_suffix(')')?.to_ascii_uppercase();
        let parts: Vec<&str> = cron.split(' ').filter(|part| !part.is_empty()).collect();
        let ["0", hours, day_of_month, month, day_of_week, "*"] = parts.as_slice() else {
            return None;
        };
        if (*day_of_month == "?") == (*day_of_week == "?") || *month == "?" {
            return None;
        }
        let (hour, step) = parse_hours(hours)?;
        let fits = days_fit(day_of_month, &DAYS_OF_MONTH, "L") && days_fit(month, &MONTHS, "") && days_fit(day_of_week, &WEEKDAYS, "L#");
        let text = |text: &str| text.to_owned();
        fits.then(|| {
            Self::Cron(Box::new(Cron { hour, step, day_of_month: text(day_of_month), month: text(month), day_of_week: text(day_of_week) }))
        })
    }

    /// How long a window may be, in hours: it reaches neither into the next one nor into the next day (UTC).
    fn room(&self) -> u32 {
        match self {
            Self::Hours(hours) => *hours,
            Self::Days(_) => 24,
            Self::Cron(cron) => cron.step.unwrap_or(24 - cron.hour),
        }
    }

    fn window_after(&self, length: Option<u32>, base: Timestamp) -> Option<Window> {
        let midnight = |date: Date| date.to_zoned(TimeZone::UTC).ok().map(|midnight| midnight.timestamp());
        let today = base.to_zoned(TimeZone::UTC).date();
        let hours = |hours: u32| SignedDuration::from_hours(i64::from(hours));
        // A window without a duration closes after an hour, or with the day.
        let (opens, default) = match self {
            Self::Hours(step) => {
                let mut opens = midnight(today)?;
                while opens <= base {
                    opens = opens.checked_add(hours(*step)).ok()?;
                }
                (opens, 1)
            }
            Self::Days(days) => (midnight(today)?.checked_add(hours(days.checked_mul(24)?)).ok()?, 24),
            Self::Cron(cron) => {
                let mut date = today;
                let mut passed = 0;
                let opens = loop {
                    let hour = cron.hours().filter(|_| cron.has(date)).find_map(|hour| {
                        let opens = midnight(date)?.checked_add(hours(hour)).ok()?;
                        (opens > base).then_some((opens, hour))
                    });
                    if let Some(found) = hour {
                        break found;
                    }
                    date = date.tomorrow().ok()?;
                    passed += 1;
                    if passed > FARTHEST_DAYS {
                        return None;
                    }
                };
                (opens.0, if cron.step.is_some() { 1 } else { 24 - opens.1 })
            }
        };
        Some(Window { opens, closes: opens.checked_add(hours(length.unwrap_or(default))).ok()? })
    }
}

impl Cron {
    fn hours(&self) -> impl Iterator<Item = u32> {
        let step = self.step.unwrap_or(24);
        (self.hour..24).step_by(usize::try_from(step).unwrap_or(24))
    }

    fn has(&self, date: Date) -> bool {
        let number = |value: i8| u32::try_from(value).unwrap_or_default();
        let (day, last) = (number(date.day()), number(date.days_in_month()));
        let weekday = number(date.weekday().to_sunday_one_offset());
        let in_month = self.month.split(',').any(|item| MONTHS.covers(item, number(date.month())));
        let of_month = |item: &str| match item.strip_suffix('L') {
            Some("") => day == last,
            Some(name) => WEEKDAYS.value(name) == Some(weekday) && day + 7 > last,
            None => DAYS_OF_MONTH.covers(item, day),
        };
        let of_week = |item: &str| match (item.strip_suffix('L'), item.split_once('#')) {
            (Some(""), _) => weekday == 7,
            (Some(name), _) => WEEKDAYS.value(name) == Some(weekday) && day + 7 > last,
            (_, Some((name, nth))) => WEEKDAYS.value(name) == Some(weekday) && nth.parse() == Ok((day - 1) / 7 + 1),
            _ => WEEKDAYS.covers(item, weekday),
        };
        // One of the two is a question mark, and says nothing.
        in_month
            && (self.day_of_month == "?" || self.day_of_month.split(',').any(of_month))
            && (self.day_of_week == "?" || self.day_of_week.split(',').any(of_week))
    }
}

fn parse_window(text: &str) -> Result<u32, AwsError> {
    let hours = text.strip_suffix('h').filter(|digits| (1..=2).contains(&digits.len())).and_then(number);
    hours.filter(|hours| *hours > 0).ok_or_else(|| AwsError::invalid_parameter("Invalid Duration: a number of hours followed by h."))
}

/// One hour, or a first hour and a step that starts again each day.
fn parse_hours(text: &str) -> Option<(u32, Option<u32>)> {
    let hour = |text: &str| number(text).filter(|hour| *hour <= 23);
    match text.split_once('/') {
        None => hour(text).map(|hour| (hour, None)),
        Some((first, step)) => {
            let step = number(step).filter(|step| (4..=23).contains(step))?;
            Some((if first == "*" { 0 } else { hour(first)? }, Some(step)))
        }
    }
}

/// The numbers of a field and their names.
struct Range {
    numbers: RangeInclusive<u32>,
    names: &'static [&'static str],
}

const DAYS_OF_MONTH: Range = Range { numbers: 1..=31, names: &[] };
const MONTHS: Range =
    Range { numbers: 1..=12, names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"] };
const WEEKDAYS: Range = Range { numbers: 1..=7, names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"] };

impl Range {
    fn value(&self, item: &str) -> Option<u32> {
        let named = || self.names.iter().position(|name| *name == item).and_then(|at| u32::try_from(at + 1).ok());
        number(item).filter(|n| self.numbers.contains(n)).or_else(named)
    }

    /// Whether `*`, `3`, `MON-FRI`, `1/3` and their like mean this number.
    fn covers(&self, item: &str, value: u32) -> bool {
        let (span, step) = match item.split_once('/') {
            Some((span, step)) => (span, number(step).filter(|step| *step > 0)),
            None => (item, None),
        };
        let ends = match span.split_once('-') {
            _ if span == "*" => Some((*self.numbers.start(), *self.numbers.end())),
            Some((from, to)) => self.value(from).zip(self.value(to)),
            None => self.value(span).map(|one| (one, if step.is_some() { *self.numbers.end() } else { one })),
        };
        ends.is_some_and(|(from, to)| (from..=to).contains(&value) && step.is_none_or(|step| (value - from).is_multiple_of(step)))
    }
}

/// Whether a list of days or months is well formed: numbers or names, ranges, steps, and the letters in `marks`.
fn days_fit(text: &str, range: &Range, marks: &str) -> bool {
    let one = |item: &str| range.value(item).is_some();
    let last = |item: &str| {
        let named = |day: &str| if range.names.is_empty() { WEEKDAYS.names.contains(&day) } else { one(day) };
        marks.contains('L') && item.strip_suffix('L').is_some_and(|day| day.is_empty() || named(day))
    };
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
    use serde_json::json;

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
            "cron(0 8 SUNL * ? *)",
            "cron(0 8 1 1/3 ? *)",
            "cron(0 16 ? * MON-FRI *)",
        ] {
            assert!(Schedule::parse(text).is_some(), "{text}");
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
            "cron(0 8 15W * ? *)",
            "cron(0 8 1 ? ? *)",
            "cron(0 8 * * ?)",
            "@daily",
        ] {
            assert!(Schedule::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn windows_open_and_close_as_the_user_guide_says() {
        #[rustfmt::skip]
        let table = [
            // Days: from midnight to the end of the day, or for as long as Duration says. 2026-05-05 is a Tuesday.
            (json!({"AutomaticallyAfterDays": 30}), "2026-05-05T12:00:00Z", "2026-06-04T00:00:00Z", "2026-06-05T00:00:00Z"),
            (json!({"AutomaticallyAfterDays": 1, "Duration": "3h"}), "2026-05-05T00:00:00Z", "2026-05-06T00:00:00Z", "2026-05-06T03:00:00Z"),
            (json!({"ScheduleExpression": "rate(10 days)"}), "2026-05-05T23:59:59Z", "2026-05-15T00:00:00Z", "2026-05-16T00:00:00Z"),
            // Hours: counted from midnight, an hour long.
            (json!({"ScheduleExpression": "rate(4 hours)"}), "2026-05-05T12:00:00Z", "2026-05-05T16:00:00Z", "2026-05-05T17:00:00Z"),
            (json!({"ScheduleExpression": "rate(4 hours)", "Duration": "4h"}), "2026-05-05T15:59:59Z", "2026-05-05T16:00:00Z", "2026-05-05T20:00:00Z"),
            (json!({"ScheduleExpression": "cron(0 4/12 * * ? *)"}), "2026-05-05T12:00:00Z", "2026-05-05T16:00:00Z", "2026-05-05T17:00:00Z"),
            (json!({"ScheduleExpression": "cron(0 4/12 * * ? *)"}), "2026-05-05T16:00:00Z", "2026-05-06T04:00:00Z", "2026-05-06T05:00:00Z"),
            // Moments: to the end of their day.
            (json!({"ScheduleExpression": "cron(0 8 * * ? *)"}), "2026-05-05T08:00:00Z", "2026-05-06T08:00:00Z", "2026-05-07T00:00:00Z"),
            (json!({"ScheduleExpression": "cron(0 8 1 * ? *)", "Duration": "2h"}), "2026-05-05T08:00:00Z", "2026-06-01T08:00:00Z", "2026-06-01T10:00:00Z"),
            (json!({"ScheduleExpression": "cron(0 8 29 2 ? *)"}), "2026-05-05T08:00:00Z", "2028-02-29T08:00:00Z", "2028-03-01T00:00:00Z"),
            (json!({"ScheduleExpression": "cron(0 17 L * ? *)"}), "2026-05-05T08:00:00Z", "2026-05-31T17:00:00Z", "2026-06-01T00:00:00Z"),
            (json!({"ScheduleExpression": "cron(0 8 SUNL * ? *)"}), "2026-05-05T08:00:00Z", "2026-05-31T08:00:00Z", "2026-06-01T00:00:00Z"),
            (json!({"ScheduleExpression": "cron(0 8 ? * 6L *)"}), "2026-05-05T08:00:00Z", "2026-05-29T08:00:00Z", "2026-05-30T00:00:00Z"),
            (json!({"ScheduleExpression": "cron(0 8 ? * FRI#2 *)"}), "2026-05-05T08:00:00Z", "2026-05-08T08:00:00Z", "2026-05-09T00:00:00Z"),
            (json!({"ScheduleExpression": "cron(0 8 ? * MON-FRI *)"}), "2026-05-08T08:00:00Z", "2026-05-11T08:00:00Z", "2026-05-12T00:00:00Z"),
            (json!({"ScheduleExpression": "cron(0 1 1 1/3 ? *)"}), "2026-05-05T08:00:00Z", "2026-07-01T01:00:00Z", "2026-07-02T00:00:00Z"),
        ];
        for (rules, base, opens, closes) in table {
            let window = window_after(&rules, base.parse().unwrap()).unwrap();
            let expected = Window { opens: opens.parse().unwrap(), closes: closes.parse().unwrap() };
            assert_eq!(window, expected, "{rules}");
        }
        assert_eq!(window_after(&json!({}), Timestamp::UNIX_EPOCH), None);
        assert_eq!(window_after(&json!({"ScheduleExpression": "cron(0 8 31 2 ? *)"}), Timestamp::UNIX_EPOCH), None, "it never comes");
    }
}
