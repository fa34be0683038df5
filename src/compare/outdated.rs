//! Whether a read of AWS is older than what the status says of it. A fresh read shows the newest version of the history
//! somewhere: with `AWSCURRENT`, or, after one more change, with `AWSPREVIOUS`. Both the history and the dates are those of
//! AWS, so the rule does not depend on a mirrored Secret, and covers external versions too.

use std::cmp::Ordering;

use jiff::Timestamp;

use super::input::{Input, whole_seconds};
use crate::api::{AWSCURRENT, AWSPREVIOUS};
use crate::facts::AwsSecret;
use crate::journal::CONSISTENCY_WINDOW;

/// Until when nothing is decided by this read; `None`: nothing contradicts it. The status may be wrong, so the answer is
/// bounded by the time for which reads may be old.
pub(super) fn outdated(input: Input<'_>, secret: &AwsSecret) -> Option<Timestamp> {
    let Input { status, now, .. } = input;
    // Another ARN is another secret.
    let head = status.history.first().filter(|_| status.arn.as_deref() == Some(secret.arn.as_str()))?;
    let recent = |at: &Timestamp| now.duration_since(*at).abs() < CONSISTENCY_WINDOW;
    // A version that AWS rotated to is older than the end of that rotation.
    let recorded = [Some(head.time), status.last_rotation].into_iter().flatten().filter(recent).max()?;
    let shows = |label| secret.labelled(label) == Some(&head.version);
    if shows(AWSCURRENT) || shows_later_write(input, secret, recorded) {
        return None;
    }
    // AWS changes this date with every change, so each side of the moment has another one, except within its second.
    let outdated = match secret.last_changed.map(|changed| whole_seconds(changed).cmp(&recorded)) {
        Some(Ordering::Less) => true,
        Some(Ordering::Greater) => false,
        // One later change leaves AWSPREVIOUS on the head. So does the change before it, if the head was restored.
        Some(Ordering::Equal) if shows(AWSPREVIOUS) => shows_replaced(input, secret),
        Some(Ordering::Equal) => !shows_unknown_successor(input, secret, recorded),
        None => !shows(AWSPREVIOUS),
    };
    outdated.then(|| recorded.saturating_add(CONSISTENCY_WINDOW).unwrap_or(now))
}

/// Whether a version is shown that the operator wrote after the head was recorded.
fn shows_later_write(input: Input<'_>, secret: &AwsSecret, recorded: Timestamp) -> bool {
    let mut used = input.journal.used();
    used.extend(input.status.unseen.clone());
    used.iter().any(|(version, created)| whole_seconds(*created) >= recorded && secret.labels.values().any(|shown| shown == version))
}

/// Whether the current version that is shown is the one that the head replaced.
fn shows_replaced(input: Input<'_>, secret: &AwsSecret) -> bool {
    secret.labelled(AWSCURRENT).is_some_and(|shown| input.status.previous.as_ref() == Some(shown))
}

/// Whether the current version that is shown cannot have preceded the head within the second in which it was recorded: the
/// head replaced the entry before it, which was current in an earlier second, and what is shown is neither of them.
fn shows_unknown_successor(input: Input<'_>, secret: &AwsSecret, recorded: Timestamp) -> bool {
    let history = &input.status.history;
    let replaced = history.get(1).filter(|entry| whole_seconds(entry.time) < recorded).map(|entry| &entry.version);
    replaced.is_some()
        && replaced == input.status.previous.as_ref()
        && secret.labelled(AWSCURRENT).is_some_and(|shown| !input.status.recorded(shown))
}
