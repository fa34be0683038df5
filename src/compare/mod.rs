//! What the facts mean against the spec: ownership, drift, whose rotation, whose pending version, what the schedule
//! counts from. Pure. A comparison that lacks a fact says which one it needs.

mod current;
mod drift;
mod input;
mod outdated;
mod ownership;
mod pending;
mod rotation;
mod state;

pub use current::Current;
pub use drift::{Drift, PolicyState, REPLICA_RETRY};
use input::Input;
pub use input::{Need, whole_seconds};
pub use ownership::{Difference, Ownership, consent, ownership};
pub use pending::{Pending, explain, last_attempted, slot_of};
pub use rotation::LambdaState;
pub use state::{Extras, Manager, MirrorState, Observation, SecretState};

use jiff::Timestamp;

use crate::desired::Desired;
use crate::facts::{AwsSecret, Facts, StatusFacts};
use crate::journal::Journal;

/// Compares the facts with the spec.
///
/// # Errors
/// A fact that is needed and was not read.
pub fn compare(want: &Desired, facts: &Facts, status: &StatusFacts, journal: &Journal, now: Timestamp) -> Result<Observation, Need> {
    let input = Input { want, facts, status, journal, now };
    let secret = facts.secret.as_ref().map(|secret| with_moved_labels(secret, journal));
    let extras = state::extras(input, secret.as_ref());
    Ok(Observation {
        access: facts.access.clone(),
        finalizer: facts.finalizer,
        place: facts.place.clone(),
        secret: secret.as_ref().map(|secret| state::secret(input, secret)).transpose()?,
        mirror: state::mirror(input, &extras),
        extras,
        claims: facts.mirror.as_ref().map(|mirror| mirror.claims.clone()).unwrap_or_default(),
        status: status.clone(),
        journal: journal.clone(),
        charged: facts.charged,
        check_due: facts.check_due,
        workloads: facts.workloads.clone(),
    })
}

fn with_moved_labels(secret: &AwsSecret, journal: &Journal) -> AwsSecret {
    let mut secret = secret.clone();
    journal.overlay_labels(&mut secret.labels);
    secret
}

#[cfg(test)]
mod tests;
