//! Where a crash plan takes hold: every write, to AWS or to Kubernetes, passes a gate before it is applied and after it was applied but
//! before its answer is given. A gate that never returns is a caller that died at that moment.

use futures::future::BoxFuture;

/// When, relative to its effect, a write passes the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Moment {
    /// Nothing has been applied.
    Before,
    /// Applied; the caller has no answer yet.
    After,
}

/// Asked around every write.
pub trait Gate: Send + Sync {
    /// `effect` names the write: an AWS operation (`PutSecretValue`) or a Kubernetes request (`PUT secrets`).
    fn pass<'a>(&'a self, effect: &'a str, moment: Moment) -> BoxFuture<'a, ()>;
}
