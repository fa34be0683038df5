//! The next due times of a clock, and what happens at each of them.

use jiff::Timestamp;

use super::clock::Clock;
use super::due::Schedule;
use super::zone::Zone;

/// A due time and what happens at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    pub due: Timestamp,
    pub effect: Effect,
}

/// What happens at a due time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The object rotates at this time.
    Rotates(Timestamp),
    /// An excluded period defers the rotation to this time. The second time is the end of the period.
    Deferred(Timestamp, Timestamp),
    /// Nothing: a rotation that is deferred happens after this due time and serves it too.
    Covered,
}

impl Clock {
    /// The next due times, the first of which is `first`, seen from `now`. Each rotation is assumed to happen on time.
    pub fn forecast(&self, first: Timestamp, now: Timestamp, count: usize) -> Vec<Forecast> {
        let mut forecasts: Vec<Forecast> = Vec::new();
        // The time of the last rotation of this forecast.
        let mut rotated: Option<Timestamp> = None;
        let mut next = Some(first);
        while let (Some(due), true) = (next, forecasts.len() < count) {
            let effect = match rotated {
                Some(rotated) if due <= rotated => Effect::Covered,
                _ => self.effect(due, now.max(due)),
            };
            if let Effect::Rotates(at) | Effect::Deferred(at, _) = effect {
                rotated = Some(at);
            }
            forecasts.push(Forecast { due, effect });
            next = self.following(due, rotated.unwrap_or(due), now);
        }
        forecasts
    }

    /// `now`: not before `due`.
    fn effect(&self, due: Timestamp, now: Timestamp) -> Effect {
        match self.appointment(due, now) {
            Some(appointment) => match appointment.deferred.filter(|end| *end > due) {
                Some(end) => Effect::Deferred(appointment.at.max(now), end),
                None => Effect::Rotates(appointment.at.max(now)),
            },
            None => Effect::Covered,
        }
    }

    /// The due time after `due`. A rate counts from the rotation.
    fn following(&self, due: Timestamp, rotated: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let since = match self.schedule() {
            Schedule::Rate(_) | Schedule::AfterDays(_) => rotated,
            // What was due before now is one rotation.
            Schedule::AwsCron(_) | Schedule::FiveField(_) => due.max(now),
        };
        self.next_after(since)
    }

    /// The time in the zone of the schedule, such as `Tue 2026-12-01 08:00:00 +01:00`.
    pub fn local(&self, t: Timestamp) -> String {
        self.schedule().zone().show(t)
    }

    /// Name of the time zone of the schedule.
    pub fn time_zone(&self) -> &str {
        self.schedule().time_zone().unwrap_or("UTC")
    }
}

impl Zone {
    /// Local time with weekday and offset.
    pub(super) fn show(&self, t: Timestamp) -> String {
        t.to_zoned(self.rules().clone()).strftime("%a %Y-%m-%d %H:%M:%S %:z").to_string()
    }
}
