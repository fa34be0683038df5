//! The reasons why a schedule is rejected. Every message says what to write instead and has a bounded length: the
//! user's text is quoted only if it is short and printable, since the message is stored in a condition.

use std::fmt;

use jiff::SignedDuration;

/// Maximum length of an expression, as in AWS.
pub(super) const MAX_LENGTH: usize = 256;

/// The reason why a schedule is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Only white space.
    #[error("the schedule is empty; use rate(30 days), cron(0 8 1 * ? *) or five-field cron such as 0 8 1 * *")]
    Empty,
    /// More than 256 characters.
    #[error("the schedule is longer than {MAX_LENGTH} characters; use a shorter one")]
    TooLong,
    /// None of the three formats.
    #[error("{0} is not a schedule; use rate(30 days), cron(0 8 1 * ? *) or five-field cron such as 0 8 1 * *")]
    Unknown(Quoted),
    /// Six or more fields without `cron( )`.
    #[error(
        "a schedule with {0} fields is not supported; use six fields inside cron( ), such as cron(0 8 1 * ? *), or five fields \
         without it"
    )]
    Bare(usize),
    /// `rate( )` without a number and a unit.
    #[error("{0} is not a rate; use a whole number and seconds, minutes, hours or days, such as rate(30 days)")]
    Rate(Quoted),
    /// `rate(30 day)` or `rate(1 days)`.
    #[error("{0}: the unit is singular for 1 and plural for other numbers, as in AWS; use rate({1} {2})")]
    RateUnit(Quoted, u32, &'static str),
    /// A rate of zero, or above AWS's maximum of 999 days.
    #[error("a rate must be more than 0 and at most 999 days; use for example rate(30 days)")]
    RateOutOfRange,
    /// `automaticallyAfterDays` outside AWS's limits.
    #[error("{0} days are not supported; use a number of days from 1 to 1000")]
    DaysOutOfRange(u32),
    /// `cron( )` without exactly six fields.
    #[error(
        "cron( ) requires six fields (minutes, hours, day of month, month, day of week, year), not {0}; use for example cron(0 8 1 * ? *)"
    )]
    FieldCount(usize),
    /// An invalid field of a cron expression.
    #[error("{value} is not a valid {field}; {hint}")]
    Field {
        field: Field,
        value: Quoted,
        /// What to write instead.
        hint: &'static str,
    },
    /// AWS requires days in one of the two day fields and a question mark in the other.
    #[error("exactly one of day of month and day of week must be ?; use for example cron(0 8 1 * ? *) or cron(0 8 ? * MON *)")]
    QuestionMark,
    /// `*/2` in one day field together with days in the other: cron implementations disagree whether both must match or
    /// one is sufficient.
    #[error("a step over all days cannot be combined with the other day field; list the days, such as 1-31/2, or use * in one of the two")]
    AmbiguousDays,
    /// For example 31 February.
    #[error("the schedule never occurs; use a day that exists in one of its months")]
    Never,
    /// Not an IANA time zone.
    #[error("{0} is not a known time zone; use an IANA name such as Europe/Berlin or America/New_York")]
    TimeZone(Quoted),
    /// A time zone without five-field cron.
    #[error(
        "a time zone requires five-field cron, such as 0 8 1 * *; a rate counts from the last change, and cron( ) is always in UTC, as \
         in AWS"
    )]
    ZoneWithoutCron,
    /// Not a duration in Go's format.
    #[error("{0} is not a duration; use hours, minutes and seconds such as 1h, 90m or 1h30m, or 0s for no window")]
    Duration(Quoted),
    /// A window longer than the interval to the next one.
    #[error("a window of {0} overlaps the next one, which may open {1} later; use at most {1}, or rotate less often")]
    WindowTooLong(Span, Span),
    /// A window of `NextWindow` that is too short to be met.
    #[error("onMissedWindow: NextWindow requires a duration of at least {0}, to leave time for retries within the window")]
    WindowTooShort(Span),
    /// An excluded period with something else than a date.
    #[error("{0} is not a date; use year, month and day such as 2026-12-20")]
    ExcludedDate(Quoted),
    /// An excluded period that ends before it begins.
    #[error("a period cannot begin on {0} and end on {1}; the first day comes first")]
    ExcludedOrder(Quoted, Quoted),
    /// An excluded period of more than a year.
    #[error("a period may have at most 366 days; to stop scheduled rotations without an end, set spec.rotation.suspend to true")]
    ExcludedTooLong,
    /// More excluded periods than are supported.
    #[error("more than 16 periods; remove those that are over")]
    ExcludedTooMany,
}

/// A field of a cron expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// 0-59.
    Minutes,
    /// 0-23.
    Hours,
    /// 1-31.
    DayOfMonth,
    /// 1-12 or JAN-DEC.
    Month,
    /// A weekday by number or name.
    DayOfWeek,
    /// Only in AWS's format.
    Year,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Minutes => "minutes",
            Self::Hours => "hours",
            Self::DayOfMonth => "day of month",
            Self::Month => "month",
            Self::DayOfWeek => "day of week",
            Self::Year => "year",
        })
    }
}

/// A duration for messages: hours, minutes and seconds, in Go's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub SignedDuration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let parts = [("h", seconds / 3600), ("m", seconds / 60 % 60), ("s", seconds % 60)];
        for (unit, n) in parts.iter().filter(|(_, n)| *n > 0) {
            write!(f, "{n}{unit}")?;
        }
        if seconds > 0 { Ok(()) } else { f.write_str("0s") }
    }
}

/// Text written by the user, if it can be quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quoted(Option<String>);

impl Quoted {
    const LONGEST: usize = 40;

    pub(super) fn new(text: &str) -> Self {
        let fit = !text.is_empty() && text.len() <= Self::LONGEST && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        Self(fit.then(|| text.to_owned()))
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(text) => write!(f, "`{text}`"),
            None => f.write_str("this text"),
        }
    }
}
