//! Moments on a calendar: a set of times of the day on a set of days, in UTC. All questions are answered by going over months and days, not
//! over seconds, so that the rarest schedule (29 February) costs no more than some hundred steps.

use jiff::civil::{Date, date};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

use super::aws_cron::AwsDays;
use super::error::ScheduleError;
use super::field::bit;
use super::five_field::CronDays;

/// The Gregorian calendar repeats after 400 years: what does not happen in these months never happens.
const CYCLE_MONTHS: u32 = 400 * 12;
const CYCLE_START: Date = date(2000, 1, 1);
const CYCLE_END: Date = date(2401, 1, 1);
/// Every kind of year beside every kind of next year has come by then.
const ALL_KINDS_OF_YEARS: Date = date(2030, 1, 1);

/// The due moments of a cron expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// Minutes of the day, ascending, never empty.
    times: Vec<i16>,
    days: Days,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Days {
    Aws(AwsDays),
    FiveField(CronDays),
}

impl Calendar {
    /// The minutes (0-59) and hours (0-23) as sets of bits. Refuses what never happens.
    pub(super) fn new(minutes: u64, hours: u64, days: Days) -> Result<Self, ScheduleError> {
        let members = |set: u64, end: u32| (0..end).filter(move |v| set & bit(*v) != 0);
        let times: Vec<i16> = members(hours, 24)
            .flat_map(|hour| members(minutes, 60).map(move |minute| hour * 60 + minute))
            .filter_map(|time| i16::try_from(time).ok())
            .collect();
        if times.is_empty() || days.next(CYCLE_START).is_none() {
            return Err(ScheduleError::Never);
        }
        Ok(Self { times, days })
    }

    /// The first moment strictly after `t`.
    pub(super) fn next_after(&self, t: Timestamp) -> Option<Timestamp> {
        let (today, minute) = civil(t);
        if self.days.has(today) {
            let later = self.times.iter().find(|time| **time > minute);
            if let Some(time) = later {
                return instant(today, *time);
            }
        }
        instant(self.days.next(today.tomorrow().ok()?)?, *self.times.first()?)
    }

    /// The least distance between two moments that ever occurs.
    pub(super) fn shortest_interval(&self) -> SignedDuration {
        let within = self.times.iter().zip(self.times.iter().skip(1));
        let within = within.map(|(a, b)| i64::from(b - a)).min();
        let across = self
            .times
            .first()
            .zip(self.times.last())
            .zip(self.days.shortest_distance())
            .map(|((first, last), days)| i64::from(days) * 24 * 60 + i64::from(first - last));
        let minutes = within.into_iter().chain(across).min();
        // Neither is there only if a day comes once in 400 years.
        SignedDuration::from_mins(minutes.unwrap_or(i64::from(CYCLE_MONTHS) * 30 * 24 * 60))
    }

    /// The greatest distance between two moments in the thirty years that hold every kind of year.
    pub(super) fn longest_interval(&self) -> SignedDuration {
        let within = self.times.iter().zip(self.times.iter().skip(1));
        let within = within.map(|(a, b)| i64::from(b - a)).max();
        let across = self
            .times
            .first()
            .zip(self.times.last())
            .zip(self.days.longest_distance())
            .map(|((first, last), days)| i64::from(days) * 24 * 60 + i64::from(first - last));
        SignedDuration::from_mins(within.into_iter().chain(across).max().unwrap_or(i64::from(CYCLE_MONTHS) * 30 * 24 * 60))
    }
}

impl Days {
    fn has_month(&self, month: i8) -> bool {
        match self {
            Self::Aws(days) => days.has_month(month),
            Self::FiveField(days) => days.has_month(month),
        }
    }

    fn has(&self, date: Date) -> bool {
        match self {
            Self::Aws(days) => days.has(date),
            Self::FiveField(days) => days.has(date),
        }
    }

    /// The first day from `day` on.
    fn next(&self, mut day: Date) -> Option<Date> {
        for _ in 0..=CYCLE_MONTHS {
            let last = day.last_of_month();
            if self.has_month(day.month()) {
                while day < last && !self.has(day) {
                    day = day.tomorrow().ok()?;
                }
                if self.has(day) {
                    return Some(day);
                }
            }
            day = last.tomorrow().ok()?;
        }
        None
    }

    /// The least number of days from one day to the next.
    fn shortest_distance(&self) -> Option<i32> {
        let mut least = i32::MAX;
        let mut day = self.next(CYCLE_START)?;
        loop {
            let next = self.next(day.tomorrow().ok()?)?;
            let distance = day.until(next).ok()?.get_days();
            least = least.min(distance);
            let end = if least <= 366 { ALL_KINDS_OF_YEARS } else { CYCLE_END };
            if least <= 1 || next > end {
                return Some(least);
            }
            day = next;
        }
    }

    /// The greatest number of days from one day to the next.
    fn longest_distance(&self) -> Option<i32> {
        let mut greatest = 0;
        let mut day = self.next(CYCLE_START)?;
        while day <= ALL_KINDS_OF_YEARS {
            let next = self.next(day.tomorrow().ok()?)?;
            greatest = greatest.max(day.until(next).ok()?.get_days());
            day = next;
        }
        Some(greatest)
    }
}

/// The day of a moment and the minute within it, rounded down. A time zone other than UTC would begin here and in [`instant`].
fn civil(t: Timestamp) -> (Date, i16) {
    let now = Offset::UTC.to_datetime(t);
    (now.date(), i16::from(now.hour()) * 60 + i16::from(now.minute()))
}

fn instant(day: Date, minute: i16) -> Option<Timestamp> {
    let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
    let time = jiff::civil::Time::new(hour, minute, 0, 0).ok()?;
    Offset::UTC.to_timestamp(day.to_datetime(time)).ok()
}
