//! The time at which one object rotates: a schedule, the window that opens at each due time, the object's offset within
//! it, and the handling of missed windows. Pure, like the schedule.

use jiff::{SignedDuration, Timestamp};

use super::due::Schedule;
use super::error::{Quoted, ScheduleError, Span};
use super::exclude::{self, Excluded, ExcludedDays};
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
    excluded: Vec<ExcludedDays>,
}

/// The planned time of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appointment {
    pub at: Timestamp,
    /// Number of windows that passed without a rotation. Nonzero only if the rotation waits for the next window.
    /// Windows in an excluded period do not count.
    pub missed: u32,
    /// End of the excluded period that deferred it.
    pub deferred: Option<Timestamp>,
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
        let places = u64::try_from(duration.as_secs().saturating_sub(duration.as_secs() / 10)).unwrap_or_default();
        let place = SignedDuration::from_secs(i64::try_from(ids.place(places)).unwrap_or_default());
        Ok(Self { schedule, duration, place, on_missed, excluded: Vec::new() })
    }

    /// The same clock, which also excludes these days. They are not part of [`Clock::describe`]: to exclude days, or to
    /// stop doing so, is not an edit of the schedule.
    #[must_use]
    pub fn excluding(mut self, days: &[ExcludedDays]) -> Self {
        self.excluded.extend_from_slice(days);
        self
    }

    /// The same clock for an object that has no uid yet: it rotates at the start of the window.
    #[must_use]
    pub fn without_offset(self) -> Self {
        Self { place: SignedDuration::ZERO, ..self }
    }

    /// The schedule.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Length of the window.
    pub fn duration(&self) -> SignedDuration {
        self.duration
    }

    /// Whether any days are excluded.
    pub fn excludes(&self) -> bool {
        !self.excluded.is_empty()
    }

    /// End of the excluded period that contains `t`.
    pub fn excluded_until(&self, t: Timestamp) -> Option<Timestamp> {
        self.periods().into_iter().find(|period| period.contains(t)).map(|period| period.end)
    }

    fn periods(&self) -> Vec<Excluded> {
        if self.excluded.is_empty() { Vec::new() } else { exclude::in_order(&self.excluded, &self.schedule.zone()) }
    }

    /// The longest interval between two rotations on time: an object early in one window may be late in the next. An
    /// excluded period makes it longer, and the wait for the next window after the period too.
    pub fn longest_interval(&self) -> SignedDuration {
        let longest = self.schedule.longest_interval();
        let excluded = self.periods().iter().map(Excluded::length).max();
        let deferred = excluded.map_or(SignedDuration::ZERO, |period| match self.on_missed {
            OnMissedWindow::RotateNow => period,
            OnMissedWindow::NextWindow => period.saturating_add(longest),
        });
        longest.saturating_add(self.duration).saturating_add(deferred)
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
        let at = window.checked_add(self.place).ok()?;
        let periods = self.periods();
        if periods.is_empty() {
            return Some(Appointment { at, missed, deferred: None });
        }
        self.defer(due, window, now, &periods)
    }

    /// The planned time of the rotation that was due at `due` and would happen in `window`, outside of the periods.
    fn defer(&self, due: Timestamp, mut window: Timestamp, now: Timestamp, periods: &[Excluded]) -> Option<Appointment> {
        let own = due.checked_add(self.place).ok()?;
        let (mut at, mut deferred) = (window.checked_add(self.place).ok()?, None);
        for period in periods {
            // The time lies in the period, or it has passed and the period has begun since. The answer is the same for
            // every `now` after the start of the period, also after its end.
            let reached = period.start <= at.max(now) && at < period.end;
            if reached {
                (window, at) = self.after(due, period.end)?;
            }
            if reached || period.contains(own) {
                deferred = Some(period.end);
            }
        }
        let missed = match self.on_missed {
            OnMissedWindow::RotateNow => 0,
            OnMissedWindow::NextWindow => self.count(self.schedule.row(due, window), periods),
        };
        Some(Appointment { at, missed, deferred })
    }

    /// The window and the time of a rotation that waits for the end of a period.
    fn after(&self, due: Timestamp, end: Timestamp) -> Option<(Timestamp, Timestamp)> {
        if self.on_missed == OnMissedWindow::RotateNow {
            return Some((due, end.checked_add(self.place).ok()?));
        }
        let (window, _) = self.schedule.in_row(due, end.checked_sub(self.duration).ok()?)?;
        let at = window.checked_add(self.place).ok()?;
        if at >= end {
            return Some((window, at));
        }
        // The window is open and the object's own time has passed: the same offset in what is left of the window.
        let left = window.checked_add(self.duration).ok()?.duration_since(end).as_secs();
        let offset = self.place.as_secs().checked_mul(left)?.checked_div(self.duration.as_secs().max(1))?;
        Some((window, end.checked_add(SignedDuration::from_secs(offset)).ok()?))
    }

    /// How many of these windows were open to this object.
    fn count(&self, windows: impl Iterator<Item = Timestamp>, periods: &[Excluded]) -> u32 {
        let open = windows.filter_map(|window| window.checked_add(self.place).ok()).filter(|at| !periods.iter().any(|p| p.contains(*at)));
        u32::try_from(open.count()).unwrap_or(u32::MAX)
    }

    /// Number of due times that had passed when the rotation that was due at `due` happened; see [`Schedule::missed`].
    /// Those in an excluded period do not count.
    pub fn missed(&self, due: Timestamp, happened: Timestamp) -> u32 {
        let missed = self.schedule.missed(due, happened, self.duration);
        let periods = self.periods();
        if missed == 0 || periods.is_empty() {
            return missed;
        }
        self.count(self.schedule.row(due, happened).take(usize::try_from(missed).unwrap_or_default()), &periods)
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
            let digits = (1..=5).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
            let number: i64 = number.parse().ok().filter(|_| digits).ok_or_else(refused)?;
            seconds = seconds.saturating_add(number.saturating_mul(worth));
            rest = after;
        }
    }
    if text.is_empty() || !rest.is_empty() {
        Err(refused())
    } else {
        Ok(SignedDuration::from_secs(i32::try_from(seconds).map_err(|_| refused())?.into()))
    }
}
