//! A schedule: its expression, and its due times.

use jiff::{SignedDuration, Timestamp};

use super::calendar::Calendar;
use super::days::Days;
use super::error::{self, Quoted, ScheduleError};
use super::{aws_cron, five_field, zone};

/// AWS's maximum rate.
const LONGEST_RATE: SignedDuration = SignedDuration::from_hours(999 * 24);
const SECOND: SignedDuration = SignedDuration::from_secs(1);
/// Upper bound of the number of missed rotations that is reported.
const MOST_MISSED: u32 = 10_000;

/// When rotations are due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// `rate(30 days)`: this long after each change.
    Rate(Period),
    /// `cron(0 8 1 * ? *)`: six fields in AWS's format.
    AwsCron(Calendar),
    /// `0 8 1 * *`: five fields in the format of crontab.
    FiveField(Calendar),
    /// `automaticallyAfterDays`: this many days after each change.
    AfterDays(Period),
}

/// The interval between two due times; at least one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period(SignedDuration);

impl Schedule {
    /// Parses `rate(N seconds|minutes|hours|days)`, `cron( )` with six fields, or five-field cron, in UTC.
    pub fn parse(expression: &str) -> Result<Self, ScheduleError> {
        Self::parse_in(expression, None)
    }

    /// As [`Schedule::parse`], with the IANA time zone of a five-field expression.
    pub fn parse_in(expression: &str, time_zone: Option<&str>) -> Result<Self, ScheduleError> {
        match (Self::parse_in_utc(expression)?, time_zone) {
            (schedule, None) => Ok(schedule),
            (Self::FiveField(calendar), Some(name)) => Ok(Self::FiveField(calendar.in_zone(zone::Zone::parse(name)?))),
            (_, Some(_)) => Err(ScheduleError::ZoneWithoutCron),
        }
    }

    fn parse_in_utc(expression: &str) -> Result<Self, ScheduleError> {
        if expression.len() > error::MAX_LENGTH {
            return Err(ScheduleError::TooLong);
        }
        let expression = expression.trim();
        if let Some(inside) = call("rate", expression) {
            return parse_rate(inside, expression).map(Self::Rate);
        }
        if let Some(inside) = call("cron", expression) {
            let (minutes, hours, days) = aws_cron::parse(inside)?;
            return Calendar::new(minutes, hours, Days::Aws(days)).map(Self::AwsCron);
        }
        let fields: Vec<&str> = expression.split_ascii_whitespace().collect();
        match fields.as_slice() {
            [] => Err(ScheduleError::Empty),
            _ if expression.contains(['(', ')']) => Err(ScheduleError::Unknown(Quoted::new(expression))),
            [_, _, _, _, _, _, ..] => Err(ScheduleError::Bare(fields.len())),
            fields => match <[&str; 5]>::try_from(fields) {
                Ok(fields) => {
                    let (minutes, hours, days) = five_field::parse(fields)?;
                    Calendar::new(minutes, hours, Days::FiveField(days)).map(Self::FiveField)
                }
                Err(_) => Err(ScheduleError::Unknown(Quoted::new(expression))),
            },
        }
    }

    /// Due this many days after each change; 1 to 1000, as in AWS.
    pub fn after_days(days: u32) -> Result<Self, ScheduleError> {
        if (1..=1000).contains(&days) {
            let period = SignedDuration::from_hours(i64::from(days).saturating_mul(24));
            Ok(Self::AfterDays(Period(period)))
        } else {
            Err(ScheduleError::DaysOutOfRange(days))
        }
    }

    /// The first due time strictly after `t`; for a rate, one period after it. `None` only at the end of time.
    pub fn next_after(&self, t: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Rate(Period(period)) | Self::AfterDays(Period(period)) => whole(t)?.checked_add(*period).ok(),
            Self::AwsCron(calendar) | Self::FiveField(calendar) => calendar.next_after(t),
        }
    }

    /// The slot: the first due time after the last change of the value.
    ///
    /// `since` is when the schedule was edited, and `place` the object's offset after a due time. An edit can move a
    /// due time of the new schedule into the past, which alone must not cause a rotation: such a due time counts only
    /// if the value was already older than one new period at the time of the edit. A rate always counts from the change
    /// and does not need this rule.
    pub fn due_after(&self, change: Timestamp, since: Option<Timestamp>, place: SignedDuration) -> Option<Timestamp> {
        let change = whole(change)?;
        let first = self.next_after(change)?;
        let (Self::AwsCron(_) | Self::FiveField(_), Some(since)) = (self, since) else {
            return Some(first);
        };
        let since = whole(since)?;
        // The first due time whose rotation time is not before the edit.
        let from = since.checked_sub(place).ok()?;
        if first >= from {
            return Some(first);
        }
        let period = self.next_after(first)?.duration_since(first);
        if since.duration_since(change) > period { Some(first) } else { self.next_after(from.checked_sub(SECOND).ok()?) }
    }

    /// The first due time strictly after `t` in the sequence that begins with `due`, and the number of due times before
    /// it (at most 10,000).
    pub fn in_row(&self, due: Timestamp, t: Timestamp) -> Option<(Timestamp, u32)> {
        if due > t {
            return Some((due, 0));
        }
        match self {
            Self::Rate(Period(period)) | Self::AfterDays(Period(period)) => {
                let before = t.duration_since(due).as_secs().checked_div(period.as_secs())?.saturating_add(1);
                let moment = due.checked_add(SignedDuration::from_secs(period.as_secs().checked_mul(before)?)).ok()?;
                Some((moment, u32::try_from(before).map_or(MOST_MISSED, |before| before.min(MOST_MISSED))))
            }
            Self::AwsCron(calendar) | Self::FiveField(calendar) => {
                let found = calendar.next_after(t)?;
                let (mut moment, mut before) = (due, 0);
                while moment < found && before < MOST_MISSED {
                    moment = calendar.next_after(moment)?;
                    before = u32::saturating_add(before, 1);
                }
                Some((found, before))
            }
        }
    }

    /// Number of due times from `due` to `now` that were missed: their window of length `window` is over, and a later
    /// due time has passed or is less than half an interval away. 0 for a rotation on time, k after an outage of k
    /// periods. At most 10,000.
    pub fn missed(&self, due: Timestamp, now: Timestamp, window: SignedDuration) -> u32 {
        if now <= due {
            return 0;
        }
        match self {
            Self::Rate(Period(period)) | Self::AfterDays(Period(period)) => {
                let late = now.duration_since(due).as_millis();
                let period = period.as_millis().max(1);
                // All k from 0 with late - k * period > period / 2, and those with late - k * period >= window.
                let passed = late
                    .saturating_mul(2)
                    .saturating_add(period)
                    .saturating_sub(1)
                    .checked_div(period.saturating_mul(2))
                    .unwrap_or_default();
                let over = late.saturating_sub(window.as_millis());
                let closed = if over < 0 { 0 } else { over.checked_div(period).unwrap_or_default().saturating_add(1) };
                u32::try_from(passed.min(closed)).map_or(MOST_MISSED, |passed| passed.min(MOST_MISSED))
            }
            Self::AwsCron(calendar) | Self::FiveField(calendar) => missed_on(calendar, due, now, window),
        }
    }

    /// Name of the time zone. `None` for UTC.
    pub fn time_zone(&self) -> Option<&str> {
        match self {
            Self::Rate(_) | Self::AfterDays(_) => None,
            Self::AwsCron(calendar) | Self::FiveField(calendar) => calendar.zone(),
        }
    }

    /// Whether five-field cron has both day of month and day of week: a day that matches either of them is due.
    pub fn has_either_day(&self) -> bool {
        matches!(self, Self::FiveField(calendar) if calendar.either_day())
    }

    /// The zone in which dates of this schedule are meant.
    pub(super) fn zone(&self) -> zone::Zone {
        match self {
            Self::Rate(_) | Self::AfterDays(_) => zone::Zone::utc(),
            Self::AwsCron(calendar) | Self::FiveField(calendar) => calendar.rules().clone(),
        }
    }

    /// The due times from `due` on, before `end`; at most 10,000.
    pub(super) fn row(&self, due: Timestamp, end: Timestamp) -> impl Iterator<Item = Timestamp> {
        let row = std::iter::successors(Some(due), |moment| self.next_after(*moment));
        row.take_while(move |moment| *moment < end).take(usize::try_from(MOST_MISSED).unwrap_or_default())
    }

    /// The shortest interval between two due times that can ever occur.
    pub fn shortest_interval(&self) -> SignedDuration {
        match self {
            Self::Rate(Period(period)) | Self::AfterDays(Period(period)) => *period,
            Self::AwsCron(calendar) | Self::FiveField(calendar) => calendar.shortest_interval(),
        }
    }

    /// The longest interval between two due times. Generated certificates must be valid for longer.
    pub fn longest_interval(&self) -> SignedDuration {
        match self {
            Self::Rate(Period(period)) | Self::AfterDays(Period(period)) => *period,
            Self::AwsCron(calendar) | Self::FiveField(calendar) => calendar.longest_interval(),
        }
    }
}

fn missed_on(calendar: &Calendar, due: Timestamp, now: Timestamp, window: SignedDuration) -> u32 {
    let mut moment = due;
    for count in 0..MOST_MISSED {
        let Some(later) = calendar.next_after(moment) else {
            return count;
        };
        let late = now.duration_since(moment);
        if late < window || late <= later.duration_since(now) {
            return count;
        }
        moment = later;
    }
    MOST_MISSED
}

/// Rounded down to a second: AWS reports milliseconds, the status seconds, and both must give the same slot.
fn whole(t: Timestamp) -> Option<Timestamp> {
    let before = i64::from(t.subsec_nanosecond() < 0);
    Timestamp::from_second(t.as_second().checked_sub(before)?).ok()
}

/// The text inside `name( )`.
fn call<'a>(name: &str, expression: &'a str) -> Option<&'a str> {
    expression.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')')
}

fn parse_rate(inside: &str, expression: &str) -> Result<Period, ScheduleError> {
    let refused = || ScheduleError::Rate(Quoted::new(expression));
    let (number, unit) = inside.trim().split_once(' ').ok_or_else(refused)?;
    let unit = unit.trim_start();
    let (one, many, seconds): (&'static str, &'static str, i64) = match unit.strip_suffix('s').unwrap_or(unit) {
        "second" => ("second", "seconds", 1),
        "minute" => ("minute", "minutes", 60),
        "hour" => ("hour", "hours", 60 * 60),
        "day" => ("day", "days", 24 * 60 * 60),
        _ => return Err(refused()),
    };
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(refused());
    }
    let number: u32 = number.parse().map_err(|_| ScheduleError::RateOutOfRange)?;
    let period = SignedDuration::from_secs(i64::from(number).saturating_mul(seconds));
    if period.is_zero() || period > LONGEST_RATE {
        return Err(ScheduleError::RateOutOfRange);
    }
    let right = if number == 1 { one } else { many };
    if unit != right {
        return Err(ScheduleError::RateUnit(Quoted::new(expression), number, right));
    }
    Ok(Period(period))
}
