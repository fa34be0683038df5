//! Leader election: acquires and renews the Lease, and tells the controller whether it may act. A replica that loses
//! the Lease keeps running as a standby with synchronized caches, because a restart would only delay the next takeover.

#![allow(clippy::arithmetic_side_effects, reason = "durations of flags, and counts of terms")]

pub mod decide;
pub mod lease;

use std::time::Duration;

use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt, future, stream};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::election::decide::{Move, Sighting, Timing, decide};
use crate::election::lease::{LeaseError, Leases};
use crate::metrics::Metrics;

/// Of a pod. Who may write the Lease chooses the name of the holder.
const LONGEST_NAME: usize = 253;
/// The most time for the release of the Lease at the end, with all attempts. A dead API server must not keep the process.
const LONGEST_RELEASE: Duration = Duration::from_secs(5);

/// Whether this replica may act. It is evaluated at the moment of use, so that a blocked renewal cannot leave a stale
/// permission behind.
#[derive(Debug, Clone)]
pub struct Leadership(Option<Elected>);

#[derive(Debug, Clone)]
struct Elected {
    term: watch::Receiver<Term>,
    timing: Timing,
}

/// State of the current term.
#[derive(Debug, Clone, Copy, Default)]
struct Term {
    /// Time of the last successful renewal, measured when the request was sent. `None` if this replica does not hold
    /// the Lease.
    renewed: Option<Instant>,
    /// Number of times that this replica became the leader, including after an interruption.
    number: u64,
}

impl Term {
    fn may_begin(&self, timing: &Timing) -> bool {
        self.renewed.is_some_and(|at| at.elapsed() < timing.renew_deadline)
    }
}

impl Leadership {
    /// Leadership without election: always held.
    pub fn always() -> Self {
        Self(None)
    }

    /// Whether a new reconcile may be started now.
    pub fn may_begin(&self) -> bool {
        self.0.as_ref().is_none_or(|elected| elected.term.borrow().may_begin(&elected.timing))
    }

    /// Resolves when the Lease has expired or is held by another replica: reconciles in progress must end. Never
    /// resolves without election.
    pub async fn over(&self) {
        let Some(elected) = &self.0 else { return future::pending().await };
        let mut term = elected.term.clone();
        loop {
            let Some(renewed) = term.borrow_and_update().renewed else { return };
            tokio::select! {
                // A renewal that arrives at the same time takes precedence.
                biased;
                changed = term.changed() => if changed.is_err() { return },
                () = sleep_until(renewed + elected.timing.duration) => return,
            }
        }
    }

    /// Yields each time this replica becomes the leader; all objects must then be reconciled. Never yields without
    /// election.
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
    /// The Lease as last read or written, and the time since which it is unchanged.
    seen: Option<(Lease, Instant)>,
    /// The other holder that the log names.
    named: Option<String>,
    /// A write of this replica has no answer yet. If it is given up, it may have reached the API server.
    writes: bool,
    longest_release: Duration,
}

impl Election {
    /// A candidate with the identity `me`, which must be unique, and the handle that the controller queries.
    pub fn new(leases: Leases, me: String, timing: Timing, metrics: Metrics) -> (Self, Leadership) {
        let (term, receiver) = watch::channel(Term::default());
        metrics.led_until(None);
        let leadership = Leadership(Some(Elected { term: receiver, timing }));
        let longest_release = LONGEST_RELEASE;
        (Self { leases, me, timing, metrics, term, seen: None, named: None, writes: false, longest_release }, leadership)
    }

    /// Runs until `stop` resolves, then releases the Lease. `stop` must resolve only after all reconciles have ended.
    pub async fn run(mut self, stop: impl Future<Output = ()> + Send) {
        let mut watch: Option<BoxStream<'static, ()>> = None;
        let mut stop = std::pin::pin!(stop.fuse());
        tracing::info!(identity = self.me, "standby: waiting for the Lease");
        loop {
            let wait = tokio::select! {
                // What ends anyway must not wait for an answer.
                () = &mut stop => break,
                wait = self.attempt() => wait,
            };
            self.metrics.led_until(self.led_until());
            // A leader does not need the watch: it sees the Lease at every renewal.
            watch = if self.leads() { None } else { watch.or_else(|| Some(self.leases.changes().boxed())) };
            let changed = async {
                match &mut watch {
                    Some(watch) => watch.next().await,
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

    /// Reads the Lease, writes it at most once, and returns the time until the next attempt.
    async fn attempt(&mut self) -> Duration {
        if !self.leads()
            && let Err(error) = self.read().await
        {
            tracing::warn!(%error, "cannot read the Lease; retrying");
            return self.timing.retry_period;
        }
        let next = decide(self.sighting(), &self.me, self.leads(), &self.timing);
        if let Move::Wait(wait) = next {
            self.name_holder();
            return wait;
        }
        let asked = Instant::now();
        let seen = self.seen.as_ref().map(|(lease, _)| lease);
        let hold = self.leases.hold(seen, &self.me, self.timing.duration, Timestamp::now());
        self.writes = true;
        let written = self.bounded(hold).await;
        self.writes = matches!(written, Err(LeaseError::Unreachable));
        match written {
            Ok(lease) => {
                self.seen = Some((lease, asked));
                self.hold(asked);
                self.timing.retry_period
            }
            Err(LeaseError::Conflict) => self.conflict().await,
            Err(error) => {
                tracing::warn!(%error, "cannot write the Lease; retrying");
                self.renewal_failed();
                // Retry sooner than after a success, because only the time until the Lease expires remains.
                self.timing.retry_period / 2
            }
        }
    }

    /// Logs who holds the Lease, once for each holder.
    fn name_holder(&mut self) {
        let Some(lease) = self.sighting() else { return };
        let Some(holder) = lease.holder.filter(|holder| *holder != self.me) else { return };
        let holder: String = holder.chars().take(LONGEST_NAME).collect();
        if self.named.as_deref() != Some(holder.as_str()) {
            tracing::info!(holder, duration_seconds = lease.duration.as_secs(), "another replica holds the Lease");
            self.named = Some(holder);
        }
    }

    /// Handles a conflict: another replica wrote the Lease, or this replica did and the response was lost.
    async fn conflict(&mut self) -> Duration {
        if let Err(error) = self.read().await {
            tracing::warn!(%error, "cannot read the Lease; retrying");
            self.renewal_failed();
            return self.timing.retry_period / 2;
        }
        let ours = self.sighting().is_some_and(|lease| lease.holder == Some(&self.me));
        if self.leads() && !ours {
            self.name_holder();
            self.lose("another replica holds the Lease");
        }
        // Back off, so that two candidates do not livelock.
        if ours { Duration::ZERO } else { self.timing.retry_period / 4 }
    }

    fn hold(&mut self, asked: Instant) {
        self.named = None;
        self.term.send_modify(|term| {
            if !term.may_begin(&self.timing) {
                term.number += 1;
                tracing::info!(identity = self.me, "became the leader");
                self.metrics.leads(true);
            }
            term.renewed = Some(asked);
        });
    }

    /// Handles a failed renewal, which has no effect until the renew deadline. Reconciles in progress may continue
    /// until the Lease expires.
    fn renewal_failed(&self) {
        let Some(renewed) = self.term.borrow().renewed else { return };
        if renewed.elapsed() >= self.timing.duration {
            self.lose("the Lease has expired");
        } else if renewed.elapsed() >= self.timing.renew_deadline {
            tracing::warn!(identity = self.me, "could not renew the Lease before the renew deadline; starting no new reconciles");
            self.metrics.leads(false);
        }
    }

    fn lose(&self, why: &'static str) {
        tracing::warn!(identity = self.me, holder = self.named, why, "lost the leadership");
        self.metrics.leads(false);
        self.term.send_modify(|term| term.renewed = None);
    }

    async fn read(&mut self) -> Result<(), LeaseError> {
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

    /// Until when a replica holds the Lease, or held it, as far as is known. `None`: there is no Lease.
    fn led_until(&self) -> Option<Instant> {
        let (_, since) = self.seen.as_ref()?;
        self.sighting().map(|lease| *since + lease.lasts(&self.timing))
    }

    /// Limits the duration of a request, so that it cannot delay the next one beyond the deadline.
    async fn bounded<T>(&self, request: impl Future<Output = Result<T, LeaseError>>) -> Result<T, LeaseError> {
        timeout(self.timing.renew_deadline / 2, request).await.unwrap_or(Err(LeaseError::Unreachable))
    }

    /// Gives the Lease back, so that the next leader does not wait until it expires.
    async fn release(mut self) {
        if !self.leads() && !self.writes {
            return;
        }
        match timeout(self.longest_release, self.give_back()).await {
            Ok(Ok(true)) => tracing::info!(identity = self.me, "released the Lease"),
            // Another replica holds it.
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "could not release the Lease; the next leader waits until it expires"),
            Err(_) => tracing::warn!("could not release the Lease in time; the next leader waits until it expires"),
        }
    }

    /// Until the API server has answered: whether this replica held the Lease. Retries what may succeed the next time.
    async fn give_back(&mut self) -> Result<bool, LeaseError> {
        // A write without an answer may have changed the Lease.
        let mut known = !self.writes;
        let once = self.longest_release / 3;
        loop {
            let attempt = async {
                if !known {
                    self.read().await?;
                }
                match &self.seen {
                    Some((lease, _)) if self.sighting().is_some_and(|lease| lease.holder == Some(&self.me)) => {
                        self.leases.release(lease, Timestamp::now()).await.map(|()| true)
                    }
                    _ => Ok(false),
                }
            };
            let error = match timeout(once, attempt).await.unwrap_or(Err(LeaseError::Unreachable)) {
                Ok(released) => return Ok(released),
                Err(error) => error,
            };
            match error {
                LeaseError::Refused(code) if code < 500 && code != 429 => return Err(error),
                LeaseError::Conflict => {}
                LeaseError::Refused(_) | LeaseError::Unreachable => {
                    tracing::warn!(%error, "cannot release the Lease; retrying");
                    sleep(once / 4).await;
                }
            }
            known = false;
        }
    }
}

#[cfg(test)]
mod tests;
