//! Whose password changes.

use super::alternating::AlternatingUsers;
use super::single_user::SingleUser;
use crate::strategy::{Applied, Credential, Problem, Staged, Undone};

/// A strategy of PostgreSQL.
#[derive(Clone, Copy)]
pub enum Users<'a> {
    /// One user.
    Single(SingleUser<'a>),
    /// Two that take turns.
    Alternating(AlternatingUsers<'a>),
}

impl Users<'_> {
    /// Makes the server accept the staged value. `previous`: a value that a server restored from a backup may have.
    ///
    /// # Errors
    /// The server's refusal, or that its answer is not known.
    pub async fn apply(&self, staged: &Staged, current: &Credential, previous: Option<&Credential>) -> Result<Applied, Problem> {
        match self {
            Self::Single(single) => single.apply(&staged.credential, current, previous).await,
            Self::Alternating(alternating) => alternating.apply(&staged.credential, current, &staged.fence).await,
        }
    }

    /// Makes sure, in a new session, that the server accepts it and that the user can work.
    ///
    /// # Errors
    /// Why not, or that it is not known.
    pub async fn verify(&self, staged: &Staged) -> Result<(), Problem> {
        match self {
            Self::Single(single) => single.verify(&staged.credential).await,
            Self::Alternating(alternating) => alternating.verify(&staged.credential).await,
        }
    }

    /// Makes the server refuse it and accept the current value. `previous`: a value that the server has if another writer put
    /// the current one in AWS only.
    ///
    /// # Errors
    /// Why not, or that it is not known.
    pub async fn undo(&self, staged: &Staged, current: &Credential, previous: Option<&Credential>) -> Result<Undone, Problem> {
        match self {
            Self::Single(single) => single.undo(&staged.credential, current, previous).await,
            Self::Alternating(alternating) => alternating.undo(&staged.credential, &staged.fence, current, previous).await,
        }
    }
}
