//! Schedules: from an expression to its due times. Pure: the current time is an argument, and the same arguments always
//! give the same due time, so that every replica, early or late, addresses the same rotation.
//!
//! `rate( )` and a number of days count from the last change of the value. The two cron formats define points in time,
//! in UTC or, with five fields, in a time zone. All times are whole seconds. A due time is the start of a window; the
//! [`Clock`] determines when within it an object rotates.

mod aws_cron;
mod calendar;
mod clock;
mod days;
mod due;
mod error;
mod exclude;
mod field;
mod five_field;
mod forecast;
#[cfg(test)]
mod tests;
mod zone;

pub use calendar::Calendar;
pub use clock::{Appointment, Clock, parse_duration};
pub use due::{Period, Schedule};
pub use error::{Field, Quoted, ScheduleError, Span};
pub use exclude::ExcludedDays;
pub use forecast::{Effect, Forecast};
