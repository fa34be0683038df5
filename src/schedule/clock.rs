//! When one object has its turn: a schedule, the window that opens at each due moment, the object's own place in it, and what becomes of a
//! window that was missed. Pure, as the schedule is.

use jiff::{SignedDuration, Timestamp};

use super::error::{Quoted, ScheduleError, Span};
use super::{SECOND, Schedule};
use crate::api::OnMissedWindow;
use crate::version_id::VersionIds;

/// A window that must not be left needs time for a second and a third attempt.
const SHORTEST_STRICT_WINDOW: SignedDuration = SignedDuration::from_mins(5);

/// When an object rotates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    schedule: Schedule,
    duration: SignedDuration,
    place: SignedDuration,
    on_missed: OnMissedWindow,
}

/// The turn of a due moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appointment {
    /// When to rotate.
    pub at: Timestamp,
    /// How many windows are over and were not used; 0 unless the next one is waited for.
    pub missed: u32,
}

impl Clock {
    /// The clock of the object that has these ids.
    ///
    /// # Errors
    /// A window that reaches the next one, or that is too short to be kept.
    pub fn new(schedule: Schedule, duration: SignedDuration, on_missed: OnMissedWindow, ids: VersionIds) -> Result<Self, ScheduleError> {
        // Asked only where it matters: the answer takes a look at decades.
        if !duration.is_zero() {
            let shortest = schedule.shortest_interval();
            if duration > shortest {
                return Err(ScheduleError::WindowTooLong(Span(duration), Span(shortest)));
            }
        }
        if on_missed == OnMissedWindow::NextWindow && duration < SHORTEST_STRICT_WINDOW {
            return Err(ScheduleError::WindowTooShort(Span(SHORTEST_STRICT_WINDOW)));
        }
        // The last tenth is nobody's place: whoever comes last has time to try again within the window.
        let places = u64::try_from(duration.as_secs() - duration.as_secs() / 10).unwrap_or_default();
        let place = SignedDuration::from_secs(i64::try_from(ids.place(places)).unwrap_or_default());
        Ok(Self { schedule, duration, place, on_missed })
    }

    /// The greatest distance between two rotations on time: whoever is first in one window may be last in the next.
    pub fn longest_interval(&self) -> SignedDuration {
        self.schedule.longest_interval() + self.duration
    }

    /// Everything about this clock that decides when it is time, for the eye and for telling an edit; `expression` is the schedule as written.
    /// What is at its default is left out.
    pub fn describe(&self, expression: &str) -> String {
        let zone = self.schedule.time_zone().map(|zone| format!("timeZone: {zone}"));
        let duration = (!self.duration.is_zero()).then(|| format!("duration: {}", Span(self.duration)));
        let on_missed = (self.on_missed == OnMissedWindow::NextWindow).then(|| "onMissedWindow: NextWindow".to_owned());
        let parts: Vec<String> = std::iter::once(expression.to_owned()).chain([zone, duration, on_missed].into_iter().flatten()).collect();
        parts.join("; ")
    }

    /// The slot: the first due moment after the last change of the value; see [`Schedule::due_after`].
    pub fn due_after(&self, change: Timestamp, since: Option<Timestamp>) -> Option<Timestamp> {
        self.schedule.due_after(change, since, self.place)
    }

    /// The due moment after this one.
    pub fn next_after(&self, due: Timestamp) -> Option<Timestamp> {
        self.schedule.next_after(due)
    }

    /// When the rotation that was due at `due` has its turn, as things stand at `now`. `None` only at the end of time.
    pub fn appointment(&self, due: Timestamp, now: Timestamp) -> Option<Appointment> {
        let (window, missed) = match self.on_missed {
            OnMissedWindow::RotateNow => (due, 0),
            // The first window that is not over: it began after `now - duration`.
            OnMissedWindow::NextWindow => self.schedule.in_row(due, now.checked_sub(self.duration).ok()?)?,
        };
        Some(Appointment { at: window.checked_add(self.place).ok()?, missed })
    }

    /// How many due moments had passed for good when the rotation that was due at `due` happened; see [`Schedule::missed`].
    pub fn missed(&self, due: Timestamp, happened: Timestamp) -> u32 {
        self.schedule.missed(due, happened, self.duration)
    }
}

/// A duration in whole seconds as Go writes it, hours, minutes and seconds in this order: `1h`, `90m`, `1h30m`, `0s`.
///
/// # Errors
/// Anything else.
pub fn parse_duration(text: &str) -> Result<SignedDuration, ScheduleError> {
    let refused = || ScheduleError::Duration(Quoted::new(text));
    let mut rest = text;
    let mut seconds = 0_i64;
    for (unit, worth) in [('h', 3600), ('m', 60), ('s', 1)] {
        if let Some((number, after)) = rest.split_once(unit) {
            let digits = (1..=8).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
            let number: i64 = number.parse().ok().filter(|_| digits).ok_or_else(refused)?;
            seconds += number * worth;
            rest = after;
        }
    }
    if text.is_empty() || !rest.is_empty() { Err(refused()) } else { Ok(SECOND * i32::try_from(seconds).map_err(|_| refused())?) }
}
