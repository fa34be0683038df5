//! A barrier around writes, with which a test stops a caller at a chosen moment. Every write passes the barrier before it is applied, and again
//! after it was applied but before its response is sent. A barrier that never returns has the effect of a caller that crashed at that moment.

use futures::future::BoxFuture;

/// The moment of a write, relative to its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Moment {
    /// Nothing has been applied.
    Before,
    /// The write has been applied; the caller has no response yet.
    After,
}

/// Called around every write.
pub trait WriteBarrier: Send + Sync {
    /// Returns when the write may go on. `effect` names the write: an AWS operation (`PutSecretValue`) or a Kubernetes request (`PUT secrets`).
    fn pass<'a>(&'a self, effect: &'a str, moment: Moment) -> BoxFuture<'a, ()>;
}
