//! Holds up writes to AWS until a test lets them go on.

use std::sync::Arc;

use anyhow::Result;
use futures::future::BoxFuture;
use testkit::emulator::{Moment, WriteBarrier};
use testkit::until;
use tokio::sync::watch;

/// Every write of one kind waits here, also when the operator gives it up and makes it again.
pub(crate) struct Gate {
    effect: &'static str,
    moment: Moment,
    /// How many writes have come.
    came: watch::Sender<usize>,
    open: watch::Sender<bool>,
}

impl Gate {
    pub(crate) fn at(effect: &'static str, moment: Moment) -> Arc<Self> {
        Arc::new(Self { effect, moment, came: watch::Sender::new(0), open: watch::Sender::new(false) })
    }

    /// Waits until a write hangs.
    pub(crate) async fn hangs(&self) -> Result<()> {
        until(&format!("{} hangs", self.effect), async || Ok((*self.came.borrow() > 0).then_some(()))).await
    }

    /// Lets all of them go on.
    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }
}

impl WriteBarrier for Gate {
    fn pass<'a>(&'a self, effect: &'a str, moment: Moment) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if effect == self.effect && moment == self.moment {
                self.came.send_modify(|came| *came += 1);
                // It lives as long as the gate.
                let _ = self.open.subscribe().wait_for(|open| *open).await;
            }
        })
    }
}
