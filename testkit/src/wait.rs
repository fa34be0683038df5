//! Waiting for a condition.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Far above what anything takes on a slow, busy machine, and above the two minutes for which the operator does not act on a
/// read of AWS that may be old.
const DEADLINE: Duration = Duration::from_mins(10);
const POLL: Duration = Duration::from_millis(100);

/// Polls until the probe gives a value. Fails when it fails, or gives none for ten minutes.
pub async fn until<T>(what: &str, mut probe: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = probe().await.with_context(|| format!("waiting until {what}"))? {
            return Ok(found);
        }
        if start.elapsed() > DEADLINE {
            bail!("waited {} s until {what}, in vain", DEADLINE.as_secs());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// For what must not happen, and for clocks that nothing can set: otherwise wait for a condition by [`until`].
pub async fn pause(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
