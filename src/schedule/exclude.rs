//! Excluded days (a freeze): no scheduled rotation happens on them. They defer a rotation and do not change its due time,
//! so that the version of a deferred rotation is the same as without them.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::error::{Quoted, ScheduleError};
use super::zone::Zone;

/// Maximum number of periods in a list.
pub(super) const MOST: usize = 16;
/// A longer period is probably a typing error.
pub(super) const LONGEST: i32 = 366;

/// A period of whole days. Both days belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExcludedDays {
    first: Date,
    last: Date,
}

/// The same period as points in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Excluded {
    pub(super) start: Timestamp,
    /// The first point in time after the period.
    pub(super) end: Timestamp,
}

impl ExcludedDays {
    /// The period from one date to another, as `YYYY-MM-DD`.
    ///
    /// # Errors
    /// If one of them is not a date, or the period is empty or too long.
    pub fn new(from: &str, to: &str) -> Result<Self, ScheduleError> {
        let (first, last) = (date(from)?, date(to)?);
        if first > last {
            return Err(ScheduleError::ExcludedOrder(Quoted::new(from), Quoted::new(to)));
        }
        let days = first.until(last).map_or(i32::MAX, |days| days.get_days());
        if days >= LONGEST { Err(ScheduleError::ExcludedTooLong) } else { Ok(Self { first, last }) }
    }

    /// A list such as `2026-12-20/2027-01-06, 2027-04-02`. A single date is a period of one day.
    ///
    /// # Errors
    /// If an element is not a period, or there are too many.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, ScheduleError> {
        let elements: Vec<&str> = text.split(',').map(str::trim).filter(|element| !element.is_empty()).collect();
        if elements.len() > MOST {
            return Err(ScheduleError::ExcludedTooMany);
        }
        elements
            .into_iter()
            .map(|element| element.split_once('/').unwrap_or((element, element)))
            .map(|(a, b)| Self::new(a.trim(), b.trim()))
            .collect()
    }

    fn in_zone(self, zone: &Zone) -> Option<Excluded> {
        let start = zone.instant(self.first, 0)?;
        let end = self.last.tomorrow().ok().and_then(|after| zone.instant(after, 0)).unwrap_or(Timestamp::MAX);
        Some(Excluded { start, end })
    }
}

impl Excluded {
    pub(super) fn contains(&self, t: Timestamp) -> bool {
        self.start <= t && t < self.end
    }

    pub(super) fn length(&self) -> SignedDuration {
        self.end.duration_since(self.start)
    }
}

/// The periods in this zone, in order. Periods that overlap or follow each other are one.
pub(super) fn in_order(days: &[ExcludedDays], zone: &Zone) -> Vec<Excluded> {
    let mut periods: Vec<Excluded> = days.iter().filter_map(|days| days.in_zone(zone)).collect();
    periods.sort_unstable();
    let mut joined: Vec<Excluded> = Vec::with_capacity(periods.len());
    for period in periods {
        match joined.last_mut() {
            Some(before) if period.start <= before.end => before.end = before.end.max(period.end),
            _ => joined.push(period),
        }
    }
    joined
}

/// Stricter than jiff, which reads other ISO 8601 forms too.
fn date(text: &str) -> Result<Date, ScheduleError> {
    let shaped = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    text.parse().ok().filter(|_| shaped).ok_or_else(|| ScheduleError::ExcludedDate(Quoted::new(text)))
}
