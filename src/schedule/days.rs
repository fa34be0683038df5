//! The days of a cron expression, in AWS or five-field form.

use jiff::civil::{Date, date};

use super::aws_cron::AwsDays;
use super::five_field::CronDays;

/// The Gregorian calendar repeats after 400 years: a date that does not occur in these months never occurs.
pub(super) const CYCLE_MONTHS: u32 = 400 * 12;
pub(super) const CYCLE_START: Date = date(2000, 1, 1);
const CYCLE_END: Date = date(2401, 1, 1);
/// Until this date, every type of year has been followed by every possible type of next year.
const ALL_KINDS_OF_YEARS: Date = date(2030, 1, 1);

/// The days that match an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Days {
    Aws(AwsDays),
    FiveField(CronDays),
}

impl Days {
    fn has_month(&self, month: i8) -> bool {
        match self {
            Self::Aws(days) => days.has_month(month),
            Self::FiveField(days) => days.has_month(month),
        }
    }

    /// Whether a day is due that matches one of two sets of days.
    pub(super) fn either(&self) -> bool {
        matches!(self, Self::FiveField(days) if days.either())
    }

    pub(super) fn has(&self, date: Date) -> bool {
        match self {
            Self::Aws(days) => days.has(date),
            Self::FiveField(days) => days.has(date),
        }
    }

    /// The first matching day on or after `day`.
    pub(super) fn next(&self, mut day: Date) -> Option<Date> {
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

    /// The smallest number of days between two matching days.
    pub(super) fn shortest_distance(&self) -> Option<i32> {
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

    /// The largest number of days between two consecutive matching days.
    pub(super) fn longest_distance(&self) -> Option<i32> {
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
