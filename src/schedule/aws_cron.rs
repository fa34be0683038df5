//! `cron( )` in the format of AWS Secrets Manager: six fields in UTC, minutes 0, year `*`, and `?` in one of the two
//! day fields. Expressions that AWS rejects are rejected here too, so that an expression means the same for the
//! operator and for AWS.

#![allow(clippy::arithmetic_side_effects, reason = "fields of a calendar have at most four digits")]

use jiff::civil::Date;

use super::error::{Field, ScheduleError};
use super::field::{MONTHS, Spec, WEEKDAYS, bit, number};

const HOURS: Spec = Spec {
    field: Field::Hours,
    min: 0,
    max: 23,
    names: &[],
    hint: "use an hour from 0 to 23, or a first hour and a step such as 4/12; for lists and ranges use five-field cron",
};
const DAY_OF_MONTH: Spec = Spec {
    field: Field::DayOfMonth,
    min: 1,
    max: 31,
    names: &[],
    hint: "use days from 1 to 31, such as 1,15 or 1-7 or 1/10, L for the last day, FRIL for the last Friday, or ?",
};
const MONTH: Spec = Spec {
    field: Field::Month,
    min: 1,
    max: 12,
    names: &MONTHS,
    hint: "use months from 1 to 12 or JAN to DEC, such as JAN,JUL or 1/3, or *",
};
const DAY_OF_WEEK: Spec = Spec {
    field: Field::DayOfWeek,
    min: 1,
    max: 7,
    names: &WEEKDAYS,
    hint: "use days from 1 (Sunday) to 7 (Saturday) or SUN to SAT, such as MON-FRI, FRI#2 for the second Friday, FRIL for the last, or ?",
};

/// The days that match the expression. Only one of the two day fields is set, so one match is sufficient.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AwsDays {
    months: u64,
    of_month: u64,
    last_of_month: bool,
    /// Weekdays as bits, from Sunday = 1.
    weekdays: u64,
    /// The last such weekday of a month.
    last_weekdays: u64,
    /// The n-th such weekday of a month, n from 1.
    nth_weekdays: [u64; 5],
}

impl AwsDays {
    pub(super) fn has_month(&self, month: i8) -> bool {
        self.months & bits(month) != 0
    }

    pub(super) fn has(&self, date: Date) -> bool {
        let weekday = bits(date.weekday().to_sunday_one_offset());
        let in_last_week = date.day() + 7 > date.days_in_month();
        let is_last = date.day() == date.days_in_month();
        let week = usize::try_from((date.day() - 1) / 7).unwrap_or_default();
        let nth = self.nth_weekdays.get(week).copied().unwrap_or_default();
        self.has_month(date.month())
            && (self.of_month & bits(date.day()) != 0
                || self.last_of_month && is_last
                || (self.weekdays | nth) & weekday != 0
                || in_last_week && self.last_weekdays & weekday != 0)
    }

    fn add_days_of_month(&mut self, text: &str) -> Result<(), ScheduleError> {
        for element in text.split(',') {
            if element == "L" {
                self.last_of_month = true;
            } else if let Some(name) = element.strip_suffix('L') {
                // A number would be ambiguous here; AWS documents a *named* day.
                let day = DAY_OF_WEEK.value(name).filter(|_| WEEKDAYS.contains(&name)).ok_or_else(|| DAY_OF_MONTH.refuse(text))?;
                self.last_weekdays |= bit(day);
            } else {
                let span = DAY_OF_MONTH.span(element);
                self.of_month |= span.ok_or_else(|| DAY_OF_MONTH.refuse(text))?;
            }
        }
        Ok(())
    }

    fn add_days_of_week(&mut self, text: &str) -> Result<(), ScheduleError> {
        for element in text.split(',') {
            self.add_weekday(element).ok_or_else(|| DAY_OF_WEEK.refuse(text))?;
        }
        Ok(())
    }

    fn add_weekday(&mut self, element: &str) -> Option<()> {
        if element == "L" {
            // The last day of a week is Saturday.
            self.weekdays |= bit(DAY_OF_WEEK.max);
        } else if let Some(day) = element.strip_suffix('L') {
            self.last_weekdays |= bit(DAY_OF_WEEK.value(day)?);
        } else if let Some((day, nth)) = element.split_once('#') {
            let nth = usize::try_from(number(nth)?).ok()?.checked_sub(1)?;
            *self.nth_weekdays.get_mut(nth)? |= bit(DAY_OF_WEEK.value(day)?);
        } else {
            self.weekdays |= DAY_OF_WEEK.span(element)?;
        }
        Some(())
    }
}

fn bits(value: i8) -> u64 {
    u32::try_from(value).map_or(0, bit)
}

/// Parses the text inside `cron( )`: minutes and hours as bit sets, and the days.
pub(super) fn parse(inside: &str) -> Result<(u64, u64, AwsDays), ScheduleError> {
    let inside = inside.to_ascii_uppercase();
    let fields: Vec<&str> = inside.split(' ').filter(|field| !field.is_empty()).collect();
    let &[minutes, hours, day_of_month, month, day_of_week, year] = fields.as_slice() else {
        return Err(ScheduleError::FieldCount(fields.len()));
    };
    if minutes != "0" {
        return Err(fixed(Field::Minutes, minutes, MINUTES_HINT));
    }
    if year != "*" {
        return Err(fixed(Field::Year, year, "AWS supports only * here"));
    }
    let hours = parse_hours(hours)?;
    let mut days = AwsDays { months: MONTH.list(month)?, ..AwsDays::default() };
    match (day_of_month, day_of_week) {
        ("?", "?") => return Err(ScheduleError::QuestionMark),
        (_, "?") => days.add_days_of_month(day_of_month)?,
        ("?", _) => days.add_days_of_week(day_of_week)?,
        _ => return Err(ScheduleError::QuestionMark),
    }
    Ok((bit(0), hours, days))
}

const MINUTES_HINT: &str = "AWS rotates on the hour; use 0, or for other minutes five-field cron such as 30 8 1 * *";

fn fixed(field: Field, text: &str, hint: &'static str) -> ScheduleError {
    ScheduleError::Field { field, value: super::error::Quoted::new(text), hint }
}

fn parse_hours(text: &str) -> Result<u64, ScheduleError> {
    // AWS documents a slash in this field and no asterisk.
    if let Some(rest) = text.strip_prefix('*') {
        let hint = if rest.is_empty() { "use 0/1 for every hour" } else { "add the first hour before the step, such as 0/4" };
        return Err(HOURS.refuse_with(text, hint));
    }
    if text.contains([',', '-']) {
        return Err(HOURS.refuse(text));
    }
    HOURS.list(text)
}
