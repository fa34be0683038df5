//! Ctrl-C around a request. From the first await on, it no longer ends the process: the command ends by itself and says
//! what remains.

use std::future::pending;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};

use super::Trouble;

/// Whether the user has interrupted the command. All clones see the same signal.
#[derive(Clone)]
pub(super) struct Interrupt(Shared<BoxFuture<'static, ()>>);

impl Interrupt {
    /// Catches Ctrl-C from now on.
    pub(super) fn listen() -> Self {
        let signal = async {
            if tokio::signal::ctrl_c().await.is_err() {
                pending::<()>().await;
            }
        };
        let interrupt = Self(signal.boxed().shared());
        // The signal is caught from the first poll on.
        let _ = interrupt.0.clone().now_or_never();
        interrupt
    }

    /// Ends when the user has interrupted the command.
    pub(super) async fn received(&self) {
        self.0.clone().await;
    }

    /// Carries out what precedes the request, unless the user interrupts it.
    pub(super) async fn before<T>(&self, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        tokio::select! {
            biased;
            () = self.received() => Err(Trouble::wrong("interrupted before anything was requested")),
            ended = work => ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn already(received: bool) -> Interrupt {
        Interrupt(if received { futures::future::ready(()).boxed() } else { pending().boxed() }.shared())
    }

    #[tokio::test]
    async fn what_precedes_a_request_ends_with_the_interruption() {
        assert_eq!(already(false).before(async { Ok(1) }).await.ok(), Some(1));
        let interrupted = already(true);
        for _ in 0..2 {
            let trouble = interrupted.before(async { Ok(1) }).await.unwrap_err();
            assert_eq!(trouble.to_string(), "interrupted before anything was requested");
        }
    }
}
