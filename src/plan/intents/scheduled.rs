//! The schedule asks for a rotation.

use jiff::Timestamp;

use super::intent::{Intent, Proposal};
use crate::api::Cause;
use crate::api::condition::Reason;
use crate::command::Command;
use crate::compare::last_attempted;
use crate::desired::{Desired, Rotation};
use crate::plan::assessment::Examined;
use crate::plan::hold::obstacle;
use crate::plan::situation::Situation;
use crate::refusal::Refusal;
use crate::schedule::Clock;
use crate::step::Source;
use crate::version_id::VersionId;

/// A rotation that is due or will be.
struct Appointment {
    version: VersionId,
    /// When it was due.
    due: Timestamp,
    /// When it happens.
    at: Timestamp,
    /// Windows that passed without it.
    missed: u32,
    /// End of the excluded period that deferred it.
    deferred: Option<Timestamp>,
}

/// Whether rotation starts with a rotation at once, and that has not happened.
pub(super) fn first_pending(situation: &Situation<'_>) -> bool {
    let Situation { want, seen, .. } = situation;
    matches!(want.rotation, Rotation::Scheduled { immediately: true, .. })
        && want.value.is_some()
        && seen.status.rotation_is_new()
        && !situation.known(&want.ids.first())
        && !requested_meanwhile(situation)
}

/// A request rotated since the rotation was declared, so it is the first rotation.
fn requested_meanwhile(situation: &Situation<'_>) -> bool {
    let Situation { want, seen, current, .. } = situation;
    let requested = want.rotate_request.as_ref().is_some_and(|token| want.ids.request(token) == current.version);
    requested && !seen.status.recorded(&current.version)
}

/// The rotation with which rotation starts. The schedule comes into force after it.
pub(super) fn first(situation: &Situation<'_>, examined: &mut Examined) -> Proposal {
    let Rotation::Scheduled { suspended, clock, .. } = &situation.want.rotation else { return Proposal::Nothing };
    if !examined.rotation.first_pending {
        return Proposal::Nothing;
    }
    if *suspended {
        examined.aspects.rotated = Some(suspended_refusal(true));
        return Proposal::Nothing;
    }
    let Some(clock) = excluding(situation, clock, examined) else { return Proposal::Nothing };
    if let Some(end) = clock.excluded_until(situation.now) {
        examined.rotation.next = Some(end);
        examined.rotation.deferred = Some(end);
        examined.wake.at([end]);
        return Proposal::Nothing;
    }
    intent(situation.want.ids.first())
}

/// The clock, which also excludes the periods of the Namespace. `None`: they are invalid, and nothing is rotated, since
/// the periods that were meant are unknown.
fn excluding(situation: &Situation<'_>, clock: &Clock, examined: &mut Examined) -> Option<Clock> {
    match &situation.seen.access.excluded {
        Ok(days) => Some(clock.clone().excluding(days)),
        Err(error) => {
            let message = format!(
                "the annotation {} on the Namespace {} is invalid: {error}. Write for example 2026-12-20/2027-01-06, 2027-04-02. No scheduled \
                 rotation happens until an administrator corrects it",
                crate::api::EXCLUDE_PERIODS,
                situation.want.namespace
            );
            examined.aspects.rotated = Some(Refusal::new(Reason::InvalidSpec, message));
            None
        }
    }
}

/// The rotation of the first due time after the last change of the value.
pub(super) fn scheduled(situation: &Situation<'_>, examined: &mut Examined) -> Proposal {
    let Situation { want, now, .. } = situation;
    if examined.rotation.first_pending {
        return Proposal::Nothing;
    }
    let (clock, suspended, expression) = match &want.rotation {
        // AWS has its own schedule.
        Rotation::Never | Rotation::Lambda(_) => return Proposal::Nothing,
        Rotation::Scheduled { .. } if want.value.is_none() => return Proposal::Nothing,
        Rotation::Refused(refusal) => {
            examined.aspects.rotated = Some(refusal.clone());
            return Proposal::Nothing;
        }
        Rotation::Scheduled { clock, suspended, expression, .. } => (clock, *suspended, expression),
    };
    let Some(clock) = excluding(situation, clock, examined) else { return Proposal::Nothing };
    let Some(next) = appointment(situation, &clock, expression) else { return Proposal::Nothing };
    let due = next.at <= *now;
    if !due {
        examined.wake.at([next.at]);
    }
    if suspended {
        if due || next.missed > 0 {
            examined.aspects.rotated = Some(suspended_refusal(due));
        }
        return Proposal::Nothing;
    }
    if due {
        return due_now(situation, examined, next, expression);
    }
    examined.rotation.next = Some(next.at);
    examined.rotation.deferred = next.deferred;
    if next.missed > 0 {
        examined.aspects.rotated = obstacle(situation, Cause::Scheduled, examined).or_else(|| Some(missed_window(want, &next)));
    }
    Proposal::Nothing
}

/// The rotation whose time has come. `expression`: the schedule as written.
fn due_now(situation: &Situation<'_>, examined: &mut Examined, next: Appointment, expression: &str) -> Proposal {
    let failed = situation.seen.failed_version().is_some();
    let held = failed || obstacle(situation, Cause::Scheduled, examined).is_some();
    let edited = situation.seen.status.schedule_edited(expression);
    if held || edited {
        examined.rotation.next = Some(next.at);
    }
    if edited && !held {
        // A rotation that an edit makes due is announced before it happens.
        examined.wake.at([situation.now]);
        return Proposal::Nothing;
    }
    intent(next.version)
}

fn intent(version: VersionId) -> Proposal {
    Proposal::Version(Intent { version, source: Some(Source::Compose), cause: Cause::Scheduled })
}

/// The rotation that comes next, or is overdue: of the first due time after the last change of the value whose version
/// was not made yet.
fn appointment(situation: &Situation<'_>, clock: &Clock, expression: &str) -> Option<Appointment> {
    let since = situation.seen.status.schedule_since(expression, situation.now);
    let mut due = clock.due_after(situation.current.schedule_base, since)?;
    if let Some(attempted) = last_attempted(situation.want, &situation.seen.status, situation.now).filter(|attempted| *attempted >= due) {
        due = clock.next_after(attempted)?;
    }
    // The version of a due time exists although another one is current: the rotation happened, and a person went back
    // since; or AWS, whose clock is slower, created it before the due time, and a later change of the declared fields left
    // it without a label. AWS showed each such version in this reconcile or the history has it, so there are few.
    let version = loop {
        let version = situation.want.ids.slot(due);
        if !situation.known(&version) && !situation.seen.status.recorded(&version) {
            break version;
        }
        due = clock.next_after(due)?;
    };
    // The version is that of the due time in whichever window it is made: early or late, it is the same rotation.
    let appointment = clock.appointment(due, situation.now)?;
    Some(Appointment { version, due, at: appointment.at, missed: appointment.missed, deferred: appointment.deferred })
}

fn suspended_refusal(due: bool) -> Refusal {
    let when = if due { "rotate" } else { "rotate in the next window" };
    let message = format!("a rotation is due and spec.rotation.suspend is true: set it to false to {when}");
    Refusal::new(Reason::Suspended, message)
}

fn missed_window(want: &Desired, next: &Appointment) -> Refusal {
    let windows = if next.missed == 1 { "window" } else { "windows" };
    Refusal::new(
        Reason::MissedWindow,
        format!(
            "a rotation was due at {} and {} {windows} passed without it: it waits for the next window (spec.rotation.onMissedWindow); to \
             rotate now: {}",
            next.due,
            next.missed,
            Command::Rotate(want.object_ref())
        ),
    )
}
