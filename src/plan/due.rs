//! What the clock asks for.

use jiff::Timestamp;

use super::{Current, Observed, Remote, Rest, known};
use crate::api::condition::Reason;
use crate::desired::{Desired, Refusal, Rotation};
use crate::version_id::VersionId;
use crate::schedule::Clock;

/// All that decides.
pub(super) struct Look<'a> {
    pub(super) want: &'a Desired,
    pub(super) seen: &'a Observed,
    pub(super) remote: &'a Remote,
    pub(super) current: &'a Current,
    pub(super) now: Timestamp,
}

/// A rotation that is due or will be.
struct Turn {
    version: VersionId,
    /// When it was due.
    due: Timestamp,
    /// When it is to happen.
    at: Timestamp,
    /// Windows that are over without it.
    missed: u32,
}

/// Whether rotation is to begin with a rotation at once, and that has not happened.
pub(super) fn first_pending(want: &Desired, seen: &Observed, remote: &Remote, current: &Current) -> bool {
    matches!(want.rotation, Rotation::Scheduled { immediately: true, .. })
        && want.value.is_some()
        && seen.reported.unscheduled
        && !known(&want.ids.first(), seen, remote, current)
}

/// The version to write now, if one is due; else `rest` says what is to come.
pub(super) fn by_clock(look: &Look<'_>, obstacle: Option<&Refusal>, rest: &mut Rest) -> Option<VersionId> {
    let (clock, suspended) = match &look.want.rotation {
        // AWS keeps its own clock.
        Rotation::Never | Rotation::Lambda(_) => return None,
        Rotation::Refused(refusal) => {
            rest.rotated = Some(refusal.clone());
            return None;
        }
        Rotation::Scheduled { clock, suspended, .. } => (clock, *suspended),
    };
    let turn = if rest.first_pending {
        Turn { version: look.want.ids.first(), due: look.now, at: look.now, missed: 0 }
    } else {
        look.turn(clock)?
    };
    let due = turn.at <= look.now;
    if suspended {
        if due || turn.missed > 0 {
            let when = if due { "rotate" } else { "rotate in the next window" };
            let message = format!("a rotation is due and spec.rotation.suspend is true: set it to false to {when}");
            rest.rotated = Some(Refusal::new(Reason::Suspended, message));
        }
    } else if due && obstacle.is_none() && look.seen.reported.schedule_edited && !rest.first_pending {
        // What an edit makes due is announced before it happens.
        rest.next_rotation = Some(turn.at);
        rest.wake = Some(look.now);
    } else if due && obstacle.is_none() {
        return (!rest.unsettled).then_some(turn.version);
    } else {
        // What is due at once has no time to be told of: it would be another one at each look.
        rest.next_rotation = (!rest.first_pending).then_some(turn.at);
        if due {
            rest.rotated = obstacle.cloned();
        } else if turn.missed > 0 {
            rest.rotated = obstacle.cloned().or_else(|| Some(missed_window(look.want, &turn)));
        }
    }
    if !due {
        rest.wake = rest.wake.into_iter().chain([turn.at]).min();
    }
    None
}

fn missed_window(want: &Desired, turn: &Turn) -> Refusal {
    let windows = if turn.missed == 1 { "window" } else { "windows" };
    Refusal::new(
        Reason::MissedWindow,
        format!(
            "a rotation was due at {} and {} {windows} passed without it: it waits for the next window (spec.rotation.onMissedWindow); to \
             rotate now: kubectl annotate rsec {} {}=$(date +%s) --overwrite",
            turn.due,
            turn.missed,
            want.name,
            crate::api::ROTATE
        ),
    )
}

impl Look<'_> {
    /// The rotation that comes next, or is past: of the first due moment after the last change of the value whose version was not made yet.
    fn turn(&self, clock: &Clock) -> Option<Turn> {
        let mut due = clock.due_after(self.current.anchor, self.seen.reported.schedule_since)?;
        // A slot whose version exists although another one is current was served, and somebody went back since. Each such slot has a
        // version that AWS showed in this turn, so there are few.
        let version = loop {
            let version = self.want.ids.slot(due);
            if !known(&version, self.seen, self.remote, self.current) {
                break version;
            }
            due = clock.next_after(due)?;
        };
        // The version is that of the due moment, whichever window it comes to happen in: early or late, it is the same rotation.
        let appointment = clock.appointment(due, self.now)?;
        Some(Turn { version, due, at: appointment.at, missed: appointment.missed })
    }
}
