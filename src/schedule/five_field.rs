//! Five-field cron as in crontab and `CronJob`. `croner` defines the meaning (Sunday is 0 or 7; if both day fields are
//! set, either may match). Additional checks reject names, lists and nicknames that croner accepts and that look like
//! typing errors.

use croner::parser::{CronParser, Seconds, Year};
use croner::time::Weekday;
use jiff::civil::Date;

use super::error::{Field, Quoted, ScheduleError};
use super::field::{MONTHS, Spec, WEEKDAYS, bit, number};

const FIELDS: [Spec; 5] = [
    Spec { field: Field::Minutes, min: 0, max: 59, names: &[], hint: "use minutes from 0 to 59, such as 30 or 0,30 or */15" },
    Spec { field: Field::Hours, min: 0, max: 23, names: &[], hint: "use hours from 0 to 23, such as 8 or 8,20 or */6, or *" },
    Spec {
        field: Field::DayOfMonth,
        min: 1,
        max: 31,
        names: &[],
        hint: "use days from 1 to 31, such as 1,15 or 1-7, L for the last day, or *",
    },
    Spec {
        field: Field::Month,
        min: 1,
        max: 12,
        names: &MONTHS,
        hint: "use months from 1 to 12 or JAN to DEC, such as JAN,JUL or */3, or *",
    },
    Spec {
        field: Field::DayOfWeek,
        min: 0,
        max: 7,
        names: &WEEKDAYS,
        hint: "use days from 0 (Sunday) to 7 (also Sunday) or SUN to SAT, such as MON-FRI, FRI#2 for the second Friday, FRIL for the \
             last, or *",
    },
];

/// The days that match the expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CronDays {
    cron: Box<croner::Cron>,
    either: bool,
}

impl CronDays {
    /// Whether both day fields are set, so that a day that matches one of them is due.
    pub(super) fn either(&self) -> bool {
        self.either
    }

    pub(super) fn has_month(&self, month: i8) -> bool {
        let month = u32::try_from(month).unwrap_or_default();
        self.cron.pattern.month_match(month).unwrap_or(false)
    }

    pub(super) fn has(&self, date: Date) -> bool {
        let (Ok(month), Ok(day), Ok(weekday)) =
            (u32::try_from(date.month()), u32::try_from(date.day()), u32::try_from(date.weekday().to_sunday_zero_offset()))
        else {
            return false;
        };
        let weekday = Weekday::from_days_from_sunday(weekday);
        let matched = |date: Date| self.cron.pattern.day_match(i32::from(date.year()), month, day, weekday).unwrap_or(false);
        self.has_month(date.month()) && matched(date)
    }
}

/// Parses an expression of exactly five fields: minutes and hours as bit sets, and the days.
pub(super) fn parse(fields: [&str; 5]) -> Result<(u64, u64, CronDays), ScheduleError> {
    let fields = fields.map(str::to_ascii_uppercase);
    for (spec, text) in FIELDS.iter().zip(&fields) {
        check(spec, text)?;
    }
    let [minutes, hours, day_of_month, month, day_of_week] = &fields;
    if ambiguous(day_of_month, day_of_week) || ambiguous(day_of_week, day_of_month) {
        return Err(ScheduleError::AmbiguousDays);
    }
    let expression = format!("{minutes} {hours} {day_of_month} {month} {day_of_week}");
    let cron = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build()
        .parse(&expression)
        .map_err(|_| ScheduleError::Unknown(Quoted::new(&expression)))?;
    let either = [day_of_month, day_of_week].into_iter().all(|days| !matches!(days.as_str(), "*" | "?"));
    let set = |values: Vec<u16>| values.into_iter().fold(0, |set, v| set | bit(v.into()));
    Ok((set(cron.pattern.minutes.values()), set(cron.pattern.hours.values()), CronDays { cron: Box::new(cron), either }))
}

/// Some cron implementations treat `*/2` like `*`, others like a list of days, which decides whether both day fields
/// must match or either.
fn ambiguous(stepped: &str, other: &str) -> bool {
    stepped.starts_with("*/") && !matches!(other, "*" | "?")
}

fn check(spec: &Spec, text: &str) -> Result<(), ScheduleError> {
    let is_day = matches!(spec.field, Field::DayOfMonth | Field::DayOfWeek);
    if text == "*" || (is_day && text == "?") {
        return Ok(());
    }
    let alone = !text.contains(',');
    let fits = text.split(',').all(|element| fits(spec, element) && (alone || !element.starts_with('*')));
    if fits { Ok(()) } else { Err(spec.refuse(text)) }
}

fn fits(spec: &Spec, element: &str) -> bool {
    match spec.field {
        Field::DayOfMonth if element == "L" => return true,
        Field::DayOfWeek => {
            if let Some(day) = element.strip_suffix('L') {
                return spec.value(day).is_some();
            }
            if let Some((day, nth)) = element.split_once('#') {
                return spec.value(day).is_some() && number(nth).is_some_and(|n| (1..=5).contains(&n));
            }
            // Sunday is both the first and the last day of a week.
            if let Some(first) = element.strip_suffix("-SUN") {
                return spec.value(first).is_some_and(|first| first > 0);
            }
        }
        _ => {}
    }
    // Cron implementations interpret a step after a single value differently.
    let stepped_value = element.contains('/') && !element.contains('-') && !element.starts_with("*/");
    !stepped_value && spec.span(element).is_some()
}
