//! A version of ours is staged: it has `AWSPENDING` and is not current.

use super::intent::{Intent, Proposal};
use crate::compare::Pending;
use crate::plan::assessment::Examined;
use crate::plan::situation::Situation;

/// Finishes it, also if its cause is gone.
pub(super) fn staged(situation: &Situation<'_>, _: &mut Examined) -> Proposal {
    match &situation.secret.pending {
        Pending::Ours(version, cause) if situation.want.value.is_some() => {
            Proposal::Version(Intent { version: version.clone(), source: None, cause: *cause })
        }
        _ => Proposal::Nothing,
    }
}
