//! A person's request to go back to an older value.
//!
//! The value is written anew, as a version whose id follows from the request's token. So a request is carried out once, also where status,
//! annotation or operator come back from an older time, and the mirror goes forwards.

use super::{Current, Observed, Remote, known};
use crate::api::RollbackRefusal;
use crate::desired::{Desired, RollbackTo};
use crate::version_id::VersionId;

/// What becomes of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// There is none.
    Nothing,
    /// It was carried out, or there is nothing to do for it; or it cannot be carried out.
    Handled(String, Option<RollbackRefusal>),
    /// AWS does not show the version that it shows the labels of.
    Unsure,
    /// This version is to be written, with the value of that one.
    Wanted { version: VersionId, to: VersionId },
}

pub(super) fn asked(want: &Desired, seen: &Observed, remote: &Remote, current: &Current) -> Asked {
    let Some(request) = &want.rollback_request else { return Asked::Nothing };
    if let Some((token, refused)) = seen.reported.rollback_handled.as_ref().filter(|(token, _)| *token == request.token) {
        return Asked::Handled(token.clone(), *refused);
    }
    let handled = |refused| Asked::Handled(request.token.clone(), refused);
    let version = want.ids.rollback(&request.token);
    if known(&version, seen, remote, current) {
        return handled(None);
    }
    if want.value.is_none() {
        return handled(Some(RollbackRefusal::MirrorOnly));
    }
    let to = match &request.to {
        None => return handled(Some(RollbackRefusal::Malformed)),
        Some(RollbackTo::Version(to)) => to,
        // AWSPREVIOUS is the version that was rolled back from: two people who ask the same must not undo each other.
        Some(RollbackTo::Previous) if seen.reported.rolled_back.as_ref() == Some(&current.version) => {
            return handled(Some(RollbackRefusal::AlreadyRolledBack));
        }
        Some(RollbackTo::Previous) => match &remote.previous {
            Some(previous) => previous,
            None => return handled(Some(RollbackRefusal::NoPreviousVersion)),
        },
    };
    if *to == current.version {
        return handled(None);
    }
    if seen.missing.contains(to) {
        // A version without a value carries AWSPENDING only; any other that has a label is there, and this look was too early.
        let shown = remote.labels.iter().any(|(label, version)| version == to && label != "AWSPENDING");
        return if shown { Asked::Unsure } else { handled(Some(RollbackRefusal::VersionNotFound)) };
    }
    Asked::Wanted { version, to: to.clone() }
}
