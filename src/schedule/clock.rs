//! The time at which one object rotates: a schedule, the window that opens at each due time, the object's offset within
//! it, and the handling of missed windows. Pure, like the schedule.

use jiff::{SignedDuration, Timestamp};

use super::due::Schedule;
use super::error::{Quoted, ScheduleError, Span};
use crate::api::OnMissedWindow;
use crate::version_id::VersionIds;

/// A window outside which no rotation happens must leave time for a second and a third attempt.
const SHORTEST_STRICT_WINDOW: SignedDuration = SignedDuration::from_mins(5);

/// Determines when an object rotates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    schedule: Schedule,
    duration: SignedDuration,
    place: SignedDuration,
    on_missed: OnMissedWindow,
}

/// The planned time of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appointment {
    pub at: Timestamp,
    /// Number of windows that passed without a rotation. Nonzero only if the rotation waits for the next window.
    pub missed: u32,
}

impl Clock {
    /// The clock of the object with these ids.
    ///
    /// # Errors
    /// If the window overlaps the next one, or is too short for `NextWindow`.
    pub fn new(schedule: Schedule, duration: SignedDuration, on_missed: OnMissedWindow, ids: VersionIds) -> Result<Self, ScheduleError> {
        // Checked only if there is a window, because it searches several decades.
        if !duration.is_zero() {
            let shortest = schedule.shortest_interval();
            if duration > shortest {
                return Err(ScheduleError::WindowTooLong(Span(duration), Span(shortest)));
            }
        }
        if on_missed == OnMissedWindow::NextWindow && duration < SHORTEST_STRICT_WINDOW {
            return Err(ScheduleError::WindowTooShort(Span(SHORTEST_STRICT_WINDOW)));
        }
        // No offset lies in the last tenth, so that the last object has time for a retry within the window.
        let places = u64::try_from(duration.as_secs() - duration.as_secs() / 10).unwrap_or_default();
        let place = SignedDuration::from_secs(i64::try_from(ids.place(places)).unwrap_or_default());
        Ok(Self { schedule, duration, place, on_missed })
    }

    /// The longest interval between two rotations on time: an object early in one window may be late in the next.
    pub fn longest_interval(&self) -> SignedDuration {
        self.schedule.longest_interval() + self.duration
    }

    /// All settings that determine the time of a rotation, as text for the status; a different text is an edit.
    /// `expression` is the schedule as written. Settings with their default value are omitted.
    pub fn describe(&self, expression: &str) -> String {
        let zone = self.schedule.time_zone().map(|zone| format!("timeZone: {zone}"));
        let duration = (!self.duration.is_zero()).then(|| format!("duration: {}", Span(self.duration)));
        let on_missed = (self.on_missed == OnMissedWindow::NextWindow).then(|| "onMissedWindow: NextWindow".to_owned());
        let parts: Vec<String> = std::iter::once(expression.to_owned()).chain([zone, duration, on_missed].into_iter().flatten()).collect();
        parts.join("; ")
    }

    /// The slot: the first due time after the last change of the value; see [`Schedule::due_after`].
    pub fn due_after(&self, change: Timestamp, since: Option<Timestamp>) -> Option<Timestamp> {
        self.schedule.due_after(change, since, self.place)
    }

    /// The due time after this one.
    pub fn next_after(&self, due: Timestamp) -> Option<Timestamp> {
        self.schedule.next_after(due)
    }

    /// The planned time, as of `now`, of the rotation that was due at `due`. `None` only at the end of time.
    pub fn appointment(&self, due: Timestamp, now: Timestamp) -> Option<Appointment> {
        let (window, missed) = match self.on_missed {
            OnMissedWindow::RotateNow => (due, 0),
            // The first window that is still open or in the future: it began after `now - duration`.
            OnMissedWindow::NextWindow => self.schedule.in_row(due, now.checked_sub(self.duration).ok()?)?,
        };
        Some(Appointment { at: window.checked_add(self.place).ok()?, missed })
    }

    /// Number of due times that had passed when the rotation that was due at `due` happened; see [`Schedule::missed`].
    pub fn missed(&self, due: Timestamp, happened: Timestamp) -> u32 {
        self.schedule.missed(due, happened, self.duration)
    }
}

/// Parses a duration in whole seconds in Go's format: hours, minutes and seconds in this order, such as `1h`, `90m`,
/// `1h30m`, `0s`.
///
/// # Errors
/// For any other text.
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
    if text.is_empty() || !rest.is_empty() {
        Err(refused())
    } else {
        Ok(SignedDuration::from_secs(i32::try_from(seconds).map_err(|_| refused())?.into()))
    }
}
