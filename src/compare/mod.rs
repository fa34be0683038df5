//! What the facts mean against the spec: ownership, drift, whose rotation, whose pending version, what the schedule
//! counts from. Pure. A comparison that lacks a fact says which one it needs.

mod current;
mod drift;
mod ownership;
mod pending;
mod rotation;
mod state;

pub use current::Current;
pub use drift::{Drift, PolicyState};
pub use ownership::{Ownership, ownership};
pub use pending::{Pending, explain};
pub use rotation::LambdaState;
pub use state::{Manager, MirrorState, Observation, SecretState};

use jiff::Timestamp;

use crate::desired::Desired;
use crate::facts::{AwsSecret, Facts, StatusFacts};
use crate::journal::Journal;
use crate::version_id::VersionId;

/// A fact that a comparison lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// When this version was created, and whether its value has the declared fields.
    Version(VersionId),
    /// The resource policy.
    Policy,
}

/// What every comparison sees.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    pub(crate) want: &'a Desired,
    pub(crate) facts: &'a Facts,
    pub(crate) status: &'a StatusFacts,
    pub(crate) journal: &'a Journal,
    pub(crate) now: Timestamp,
    /// The object is being deleted: only what cleanup needs is compared.
    pub(crate) deleting: bool,
}

/// Compares the facts with the spec. `deleting`: the object is being deleted.
///
/// # Errors
/// A fact that is needed and was not read.
pub fn compare(
    want: &Desired,
    facts: &Facts,
    status: &StatusFacts,
    journal: &Journal,
    deleting: bool,
    now: Timestamp,
) -> Result<Observation, Need> {
    let input = Input { want, facts, status, journal, now, deleting };
    let secret = facts.secret.as_ref().map(|secret| with_moved_labels(secret, journal));
    Ok(Observation {
        access: facts.access.clone(),
        finalizer: facts.finalizer,
        place: facts.place.clone(),
        secret: secret.as_ref().map(|secret| state::secret(input, secret)).transpose()?,
        mirror: state::mirror(input),
        status: status.clone(),
        journal: journal.clone(),
    })
}

fn with_moved_labels(secret: &AwsSecret, journal: &Journal) -> AwsSecret {
    let mut secret = secret.clone();
    journal.overlay_labels(&mut secret.labels);
    secret
}

/// Kubernetes keeps whole seconds.
pub fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests;
