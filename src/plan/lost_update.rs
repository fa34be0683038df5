//! PutSecretValue moves AWSCURRENT whatever version it is on, so a value that somebody puts between our look and our write is overtaken. It is
//! the truth, and is given AWSCURRENT back: in the same turn, or in a later life of the operator.

use super::{Current, Mirror, Observed, Remote, Step};
use crate::desired::{Desired, Pin};

pub(super) fn give_back(want: &Desired, seen: &Observed, remote: &Remote, current: &Current) -> Option<Step> {
    let theirs = match &seen.wrote {
        // This turn knows which version ours was meant to follow.
        Some((written, predecessor)) => {
            remote.previous.as_ref().filter(|previous| *previous != predecessor && current.version == *written)?
        }
        None => before_this_turn(want, seen, remote, current)?,
    };
    Some(Step::RestoreCurrent { to: theirs.clone(), from: current.version.clone() })
}

/// The write was made, and its turn never ended. A version is only written on top of one that the mirror holds. So if what is current is ours
/// and not reported, and the mirror still holds what was reported last, ours was meant to follow that; another version between, which cannot
/// be ours, was overtaken.
fn before_this_turn<'a>(want: &Desired, seen: &Observed, remote: &'a Remote, current: &Current) -> Option<&'a crate::version_id::VersionId> {
    let follows_current = want.target.as_ref().is_some_and(|target| target.pin == Pin::Current);
    let theirs = remote.previous.as_ref()?;
    let newest = seen.reported.history.first()?;
    let Mirror::Ours { version: Some(held), .. } = &seen.mirror else { return None };
    let reported = |version| seen.reported.history.contains(version);
    let overtaken = want.value.is_some()
        && follows_current
        && held == newest
        && current.version.is_derived()
        && !reported(&current.version)
        && !theirs.is_derived()
        && !reported(theirs);
    overtaken.then_some(theirs)
}
