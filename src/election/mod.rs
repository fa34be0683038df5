//! Leader election: keeps the Lease, and tells the controller whether it may act. A replica that loses the Lease stays, as a standby with warm
//! caches: a restart would only make the next take-over slower.

pub mod decide;
pub mod lease;

use std::time::Duration;

use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt, future, stream};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::election::lease::{LeaseError, Leases};
use crate::election::decide::{Move, Sighting, Timing, decide};
use crate::metrics::Metrics;

/// Whether this replica may act. Asked at the moment of use, so that a renewer that is stuck leaves no stale yes behind.
#[derive(Debug, Clone)]
pub struct Leadership(Option<Elected>);

#[derive(Debug, Clone)]
struct Elected {
    term: watch::Receiver<Term>,
    timing: Timing,
}

/// What the election knows.
#[derive(Debug, Clone, Copy, Default)]
struct Term {
    /// When the Lease was last renewed, by the moment at which that was asked for; `None`: it is not ours.
    renewed: Option<Instant>,
    /// Counts the times that this replica began to act, also after a pause.
    number: u64,
}

impl Term {
    fn may_begin(&self, timing: &Timing) -> bool {
        self.renewed.is_some_and(|at| at.elapsed() < timing.renew_deadline)
    }
}

impl Leadership {
    /// Without election: always.
    pub fn always() -> Self {
        Self(None)
    }

    /// Whether something new may be begun now.
    pub fn may_begin(&self) -> bool {
        self.0.as_ref().is_none_or(|elected| elected.term.borrow().may_begin(&elected.timing))
    }

    /// Resolves when the Lease has run out or is somebody else's: what is still under way must end. Never without election.
    pub async fn over(&self) {
        let Some(elected) = &self.0 else { return future::pending().await };
        let mut term = elected.term.clone();
        loop {
            let Some(renewed) = term.borrow_and_update().renewed else { return };
            tokio::select! {
                // A renewal that came at the same time counts.
                biased;
                changed = term.changed() => if changed.is_err() { return },
                () = sleep_until(renewed + elected.timing.duration) => return,
            }
        }
    }

    /// Rings each time that this replica begins to act, after which everything wants a look. Not without election.
    pub fn begins(&self) -> impl Stream<Item = ()> + Send + use<> {
        let Some(elected) = self.0.clone() else { return stream::pending().left_stream() };
        stream::unfold((elected.term, 0), async |(mut term, mut seen)| {
            loop {
                let number = term.borrow_and_update().number;
                if std::mem::replace(&mut seen, number) != number {
                    return Some(((), (term, seen)));
                }
                term.changed().await.ok()?;
            }
        })
        .right_stream()
    }
}

/// A candidate for the Lease.
pub struct Election {
    leases: Leases,
    me: String,
    timing: Timing,
    metrics: Metrics,
    term: watch::Sender<Term>,
    /// The Lease as it was when last read or written, and since when it is like that.
    seen: Option<(Lease, Instant)>,
}

impl Election {
    /// A candidate of the name `me`, which no other may have; and what its controller asks.
    pub fn new(leases: Leases, me: String, timing: Timing, metrics: Metrics) -> (Self, Leadership) {
        let (term, receiver) = watch::channel(Term::default());
        let leadership = Leadership(Some(Elected { term: receiver, timing }));
        (Self { leases, me, timing, metrics, term, seen: None }, leadership)
    }

    /// Runs until `stop`, which is to resolve when everything under way has ended: the Lease is released then.
    pub async fn run(mut self, stop: impl Future<Output = ()> + Send) {
        let mut bell: Option<BoxStream<'static, ()>> = None;
        let mut stop = std::pin::pin!(stop.fuse());
        tracing::info!(identity = self.me, "standing by: another replica may be leading");
        loop {
            let wait = self.turn().await;
            // A leader learns from its own renewals.
            bell = if self.leads() { None } else { bell.or_else(|| Some(self.leases.bell().boxed())) };
            let changed = async {
                match &mut bell {
                    Some(bell) => bell.next().await,
                    None => future::pending().await,
                }
            };
            tokio::select! {
                () = &mut stop => break,
                () = sleep(wait) => {}
                _ = changed => {}
            }
        }
        self.release().await;
    }

    fn leads(&self) -> bool {
        self.term.borrow().renewed.is_some()
    }

    /// One look, at most one write; gives how long to wait then.
    async fn turn(&mut self) -> Duration {
        if !self.leads()
            && let Err(error) = self.look().await
        {
            tracing::warn!(%error, "the Lease cannot be read; it is tried again");
            return self.timing.retry_period;
        }
        let next = decide(self.sighting(), &self.me, self.leads(), &self.timing);
        if let Move::Wait(wait) = next {
            return wait;
        }
        let asked = Instant::now();
        let seen = self.seen.as_ref().map(|(lease, _)| lease);
        let hold = self.leases.hold(seen, &self.me, self.timing.duration, Timestamp::now());
        match self.bounded(hold).await {
            Ok(lease) => {
                self.seen = Some((lease, asked));
                self.hold(asked);
                self.timing.retry_period
            }
            Err(LeaseError::Conflict) => self.conflict().await,
            Err(error) => {
                tracing::warn!(%error, "the Lease cannot be written; it is tried again");
                self.stumble();
                // Sooner than after a success: the time until the lease ends is all that there is.
                self.timing.retry_period / 2
            }
        }
    }

    /// Somebody else wrote it; or it was we ourselves, and the answer was lost.
    async fn conflict(&mut self) -> Duration {
        if let Err(error) = self.look().await {
            tracing::warn!(%error, "the Lease cannot be read; it is tried again");
            self.stumble();
            return self.timing.retry_period / 2;
        }
        let ours = self.sighting().is_some_and(|lease| lease.holder == Some(&self.me));
        if self.leads() && !ours {
            self.lose("somebody else holds the Lease");
        }
        // A step back, so that two candidates do not dance.
        if ours { Duration::ZERO } else { self.timing.retry_period / 4 }
    }

    fn hold(&self, asked: Instant) {
        self.term.send_modify(|term| {
            if !term.may_begin(&self.timing) {
                term.number += 1;
                tracing::info!(identity = self.me, "leading from now on");
                self.metrics.leads(true);
            }
            term.renewed = Some(asked);
        });
    }

    /// A renewal failed: for a while that does not matter. What is under way may go on until the Lease has run out.
    fn stumble(&self) {
        let Some(renewed) = self.term.borrow().renewed else { return };
        if renewed.elapsed() >= self.timing.duration {
            self.lose("the Lease has run out");
        } else if renewed.elapsed() >= self.timing.renew_deadline {
            tracing::warn!(identity = self.me, "the Lease could not be renewed: nothing new is begun");
            self.metrics.leads(false);
        }
    }

    fn lose(&self, why: &'static str) {
        tracing::warn!(identity = self.me, why, "not leading any more");
        self.metrics.leads(false);
        self.term.send_modify(|term| term.renewed = None);
    }

    async fn look(&mut self) -> Result<(), LeaseError> {
        let found = self.bounded(self.leases.read()).await?;
        let version = |lease: &Lease| lease.metadata.resource_version.clone();
        self.seen = match (found, self.seen.take()) {
            (Some(found), Some((known, since))) if version(&found) == version(&known) => Some((found, since)),
            (Some(found), _) => Some((found, Instant::now())),
            (None, _) => None,
        };
        Ok(())
    }

    fn sighting(&self) -> Option<Sighting<'_>> {
        let (lease, since) = self.seen.as_ref()?;
        let spec = lease.spec.as_ref();
        let seconds = spec.and_then(|spec| spec.lease_duration_seconds).and_then(|seconds| u64::try_from(seconds).ok());
        Some(Sighting {
            holder: spec.and_then(|spec| spec.holder_identity.as_deref()).filter(|holder| !holder.is_empty()),
            duration: seconds.map_or(self.timing.duration, Duration::from_secs),
            unchanged: since.elapsed(),
        })
    }

    /// No request may take so long that the next one comes too late.
    async fn bounded<T>(&self, request: impl Future<Output = Result<T, LeaseError>>) -> Result<T, LeaseError> {
        timeout(self.timing.renew_deadline / 2, request).await.unwrap_or(Err(LeaseError::Unreachable))
    }

    async fn release(self) {
        let (true, Some((lease, _))) = (self.leads(), &self.seen) else { return };
        match self.bounded(self.leases.release(lease, Timestamp::now())).await {
            Ok(()) => tracing::info!(identity = self.me, "the Lease is released"),
            Err(error) => tracing::warn!(%error, "the Lease could not be released; the next leader waits until it runs out"),
        }
    }
}
