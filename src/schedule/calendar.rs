//! The due times of a cron expression: times of the day on a set of days, in a time zone. The search iterates over
//! months and days, not over seconds, so that the rarest schedule (29 February) takes at most a few hundred steps.

#![allow(clippy::arithmetic_side_effects, reason = "fields of a calendar have at most four digits")]

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::days::{CYCLE_MONTHS, CYCLE_START, Days};
use super::error::ScheduleError;
use super::field::bit;
use super::zone::Zone;

/// The due times of a cron expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// Minutes of the day, ascending, never empty.
    times: Vec<i16>,
    days: Days,
    zone: Zone,
}

impl Calendar {
    /// Minutes (0-59) and hours (0-23) as bit sets, in UTC. Rejects a schedule that never occurs.
    pub(super) fn new(minutes: u64, hours: u64, days: Days) -> Result<Self, ScheduleError> {
        let members = |set: u64, end: u32| (0..end).filter(move |v| set & bit(*v) != 0);
        let times: Vec<i16> = members(hours, 24)
            .flat_map(|hour| members(minutes, 60).map(move |minute| hour * 60 + minute))
            .filter_map(|time| i16::try_from(time).ok())
            .collect();
        if times.is_empty() || days.next(CYCLE_START).is_none() {
            return Err(ScheduleError::Never);
        }
        Ok(Self { times, days, zone: Zone::utc() })
    }

    /// The same local times in this time zone.
    pub(super) fn in_zone(self, zone: Zone) -> Self {
        Self { zone, ..self }
    }

    /// Name of the time zone. `None` for UTC.
    pub(super) fn zone(&self) -> Option<&str> {
        self.zone.name()
    }

    pub(super) fn either_day(&self) -> bool {
        self.days.either()
    }

    /// The time zone.
    pub(super) fn rules(&self) -> &Zone {
        &self.zone
    }

    /// The first due time strictly after `t`.
    pub(super) fn next_after(&self, t: Timestamp) -> Option<Timestamp> {
        let (today, minute) = self.zone.civil(t);
        // A local time that occurs twice counts only once, and that may have been before `t`: hence the filter.
        let later = |day: Date, from: i16| {
            let times = self.times.iter().filter(move |time| **time > from);
            times.filter_map(move |time| self.zone.instant(day, *time)).find(|moment| *moment > t)
        };
        let mut day = today;
        if self.days.has(today)
            && let Some(moment) = later(today, minute)
        {
            return Some(moment);
        }
        loop {
            day = self.days.next(day.tomorrow().ok()?)?;
            if let Some(moment) = later(day, -1) {
                return Some(moment);
            }
        }
    }

    /// The shortest interval between two due times that ever occurs.
    pub(super) fn shortest_interval(&self) -> SignedDuration {
        let least = self.shortest_on_the_wall();
        if least >= SignedDuration::from_hours(24) {
            let farthest = self.zone.leaps().map(|(_, by)| by).max().unwrap_or_default();
            return least - farthest.min(least / 2);
        }
        self.zone.leaps().filter_map(|(leap, _)| self.shortest_around(leap)).fold(least, SignedDuration::min)
    }

    /// The shortest interval in local time, without daylight saving changes.
    fn shortest_on_the_wall(&self) -> SignedDuration {
        let within = self.times.iter().zip(self.times.iter().skip(1));
        let within = within.map(|(a, b)| i64::from(b - a)).min();
        let across = self
            .times
            .first()
            .zip(self.times.last())
            .zip(self.days.shortest_distance())
            .map(|((first, last), days)| i64::from(days) * 24 * 60 + i64::from(first - last));
        let minutes = within.into_iter().chain(across).min();
        // Neither exists only if a day occurs once in 400 years.
        SignedDuration::from_mins(minutes.unwrap_or(i64::from(CYCLE_MONTHS) * 30 * 24 * 60))
    }

    /// The shortest interval between due times around a daylight saving change that skips local time.
    fn shortest_around(&self, leap: Timestamp) -> Option<SignedDuration> {
        let from = |back: SignedDuration| self.next_after(leap.checked_sub(back).ok()?);
        // There is no backward search, so the last due time before the change is searched from nearby, then from
        // further back.
        let before = [1, 6, 25].into_iter().find_map(|hours| from(SignedDuration::from_hours(hours)).filter(|moment| *moment < leap));
        let mut moment = before.or_else(|| from(SignedDuration::from_secs(1)))?;
        let mut least = SignedDuration::MAX;
        while moment <= leap {
            let next = self.next_after(moment)?;
            least = least.min(next.duration_since(moment));
            moment = next;
        }
        Some(least)
    }

    /// The longest interval between two due times, in the thirty years that contain every type of year.
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
