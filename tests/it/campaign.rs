//! Many runs of one story, several at a time.

use std::fmt::Debug;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use testkit::{Clients, control_plane};
use tokio::sync::Semaphore;

use crate::stories::{Case, Story};

/// Runs that use the processor, in all tests of this process together. Each waits for the API server most of the time.
static PLACES: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(4 * std::thread::available_parallelism().map_or(2, usize::from)));

/// Runs of one campaign that have begun. More than there are places: some pause.
const BEGUN: usize = 24;

/// The status tells when the mirror was written, in whole seconds of the API server: a repair within the same second would be one write less.
const NEXT_SECOND: Duration = Duration::from_millis(1001);

/// The write of an Event, as a write barrier names it.
pub(crate) const EVENT: &str = "POST events";

/// The runs of one story, in a namespace of their own.
pub(crate) struct Campaign<'a> {
    namespace: String,
    clients: Clients,
    story: &'a Story,
    runs: AtomicUsize,
}

impl<'a> Campaign<'a> {
    pub(crate) async fn new(kind: &str, story: &'a Story) -> Result<Self> {
        let namespace = control_plane().await?.namespace(&format!("{kind}-{}", story.name)).await?;
        Ok(Self { namespace, clients: Clients::new().await?, story, runs: AtomicUsize::new(0) })
    }

    /// Runs these plans, each on an object of its own. Ends at the first violation, and says which plan it was.
    pub(crate) async fn run<P: Debug, T>(&self, plans: Vec<P>, run: impl AsyncFn(&Case, &P) -> Result<T>) -> Result<Vec<(P, T)>> {
        let run = &run;
        stream::iter(plans)
            .map(|plan| async move {
                let name = format!("o{}", self.runs.fetch_add(1, Ordering::SeqCst));
                let what = || format!("{} with {plan:?} ({}/{name})", self.story.name, self.namespace);
                let shown = self.one(&name, async |case| run(case, &plan).await).await.with_context(what)?;
                anyhow::Ok((plan, shown))
            })
            .buffer_unordered(BEGUN)
            .try_collect()
            .await
    }

    /// Arranges the case and runs it. While one pauses in between, others use its place, so the pauses cost no time.
    async fn one<T>(&self, name: &str, run: impl AsyncFnOnce(&Case) -> Result<T>) -> Result<T> {
        let place = PLACES.acquire().await?;
        let case = Case::new(&self.clients, &self.namespace, name).await?;
        (self.story.arrange)(&case).await.context("before the cause")?;
        drop(place);
        tokio::time::sleep(NEXT_SECOND).await;
        let _place = PLACES.acquire().await?;
        run(&case).await
    }
}
