//! The end of `run`: signals, reconciles in progress, the Lease.

use std::future;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::fatal::Fatal;

/// Time for the reconciles in progress after SIGTERM. With the end of the Lease and of the endpoints, 5 s each, it stays
/// below the grace period of the chart (60 s).
const DRAIN: Duration = Duration::from_secs(45);

/// What runs until the end.
pub(super) struct Tasks {
    /// The watches and reconciles, until `stop`.
    pub(super) watching: JoinHandle<()>,
    /// The election, if there is one, until `ended`.
    pub(super) electing: Option<JoinHandle<()>>,
    pub(super) stop: watch::Sender<bool>,
    pub(super) ended: watch::Sender<bool>,
}

impl Tasks {
    /// Until a signal arrives and the reconciles in progress have ended.
    pub(super) async fn run(mut self, signals: &mut Signals) -> Result<(), Fatal> {
        tokio::select! {
            () = signals.next() => {}
            // A process without watches is idle but looks healthy, so it exits. The same holds for a replica that can never
            // become the leader.
            _ = &mut self.watching => {
                return Err(Fatal("the watches have ended because of a bug in the operator; please report it with the log".to_owned()));
            }
            () = end_of(&mut self.electing) => {
                return Err(Fatal("the leader election has ended because of a bug in the operator; please report it with the log".to_owned()));
            }
        }
        tracing::info!("stopping: waiting for reconciles in progress");
        let _ = self.stop.send(true);
        let drained = tokio::select! {
            ended = tokio::time::timeout(DRAIN, &mut self.watching) => ended.is_ok(),
            () = signals.next() => {
                self.interrupt();
                return Err(Fatal("ended by a second signal; reconciles in progress were interrupted".to_owned()));
            }
        };
        if drained {
            // Release the Lease only after all reconciles have finished, so that the next leader does not overlap with them.
            let _ = self.ended.send(true);
            if let Some(electing) = self.electing {
                let _ = electing.await;
            }
        } else {
            tracing::warn!("reconciles in progress did not end in time and are interrupted; the Lease is not released");
            self.interrupt();
        }
        Ok(())
    }

    /// This is like a crash. The Lease is not released, so that the next leader takes over when it has expired.
    fn interrupt(&self) {
        if let Some(electing) = &self.electing {
            electing.abort();
        }
        self.watching.abort();
    }
}

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Self, Fatal> {
        let heard = |kind| signal(kind).map_err(|_| Fatal("the signal handlers could not be installed".to_owned()));
        Ok(Self { terminate: heard(SignalKind::terminate())?, interrupt: heard(SignalKind::interrupt())? })
    }

    /// Resolves at the next signal.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Resolves when the task has ended; never, if there is none.
async fn end_of(task: &mut Option<JoinHandle<()>>) {
    match task {
        Some(task) => drop(task.await),
        None => future::pending().await,
    }
}
