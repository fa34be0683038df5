//! Why a schedule was refused. Every message says what to write instead and has a bounded length: what a user wrote is repeated only when
//! it is short and printable, since the message ends up in a condition.

use std::fmt;

use jiff::SignedDuration;

/// The longest expression that is read, as in AWS.
pub(super) const MAX_LENGTH: usize = 256;

/// Why an expression is not a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Nothing but white space.
    #[error("the schedule is empty; write rate(30 days), cron(0 8 1 * ? *) or five-field cron such as 0 8 1 * *")]
    Empty,
    /// More than 256 characters.
    #[error("the schedule is longer than {MAX_LENGTH} characters; write a shorter one")]
    TooLong,
    /// None of the three forms.
    #[error("{0} is not a schedule; write rate(30 days), cron(0 8 1 * ? *) or five-field cron such as 0 8 1 * *")]
    Unknown(Quoted),
    /// Six fields or more without `cron( )`.
    #[error("a schedule of {0} fields is not known; write six fields inside cron( ), such as cron(0 8 1 * ? *), or five without it")]
    Bare(usize),
    /// `rate( )` with something else than a number and a unit inside.
    #[error("{0} is not a rate; write a whole number and seconds, minutes, hours or days, such as rate(30 days)")]
    Rate(Quoted),
    /// A rate of zero, or of more than AWS's 999 days.
    #[error("a rate must be more than 0 and at most 999 days; write for example rate(30 days)")]
    RateOutOfRange,
    /// `automaticallyAfterDays` outside AWS's limits.
    #[error("{0} days are not possible; write a number of days from 1 to 1000")]
    DaysOutOfRange(u32),
    /// `cron( )` without exactly six fields.
    #[error(
        "cron( ) takes six fields (minutes, hours, day of month, month, day of week, year), not {0}; write for example cron(0 8 1 * ? *)"
    )]
    FieldCount(usize),
    /// One field of a cron expression.
    #[error("{value} cannot be the {field}; {hint}")]
    Field {
        /// Which one.
        field: Field,
        /// What was written.
        value: Quoted,
        /// What to write instead.
        hint: &'static str,
    },
    /// AWS wants one of the two day fields, and a question mark for the other.
    #[error("exactly one of day of month and day of week must be ?; write for example cron(0 8 1 * ? *) or cron(0 8 ? * MON *)")]
    QuestionMark,
    /// `*/2` in one day field beside days in the other: crons disagree whether both must hold or one is enough.
    #[error(
        "a step over all days cannot stand beside the other day field; write the days themselves, such as 1-31/2, or * in one of the two"
    )]
    AmbiguousDays,
    /// Such as 31 February.
    #[error("the schedule never comes; write a day that exists in one of its months")]
    Never,
    /// No IANA time zone.
    #[error("{0} is no time zone that is known; write an IANA name such as Europe/Berlin or America/New_York")]
    TimeZone(Quoted),
    /// A time zone beside something else than five-field cron.
    #[error(
        "a time zone goes with five-field cron only, such as 0 8 1 * *; a rate counts from the last change, and cron( ) is in UTC as AWS has it"
    )]
    ZoneWithoutCron,
    /// Not as Go writes durations.
    #[error("{0} is no duration; write hours, minutes and seconds such as 1h, 90m or 1h30m, or 0s for the very start")]
    Duration(Quoted),
    /// A window that is longer than the time to the next.
    #[error("a window of {0} reaches the next one, which may open {1} later; write at most {1}, or a rarer schedule")]
    WindowTooLong(Span, Span),
    /// A window that may be missed for good, and is too short to be met.
    #[error("onMissedWindow: NextWindow needs a window that can be met; write a duration of at least {0}")]
    WindowTooShort(Span),
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
    /// In AWS's form only.
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

/// A duration as people say it: hours, minutes and seconds, as Go writes it.
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

/// What a user wrote, if it is fit to be repeated.
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
