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

/// `STORY_PLANS=all` runs all plans with two stops: `bash .ci/run plans`.
const PLANS: &str = "STORY_PLANS";

/// Without it, one of so many.
const STRIDE: usize = 6;

/// Of plans with two stops, those to run. `plans` has one list for each first stop, in the order of the second ones,
/// and all lists end with the same second stop. Kept are the pairs of a first stop and the `next` ones after it, and of
/// the others a part, so that each first stop is with several second ones, and each second one with some first ones.
pub(crate) fn sample<P>(next: usize, plans: impl IntoIterator<Item = Vec<P>>) -> Vec<P> {
    let stride = if std::env::var(PLANS).is_ok_and(|plans| plans == "all") { 1 } else { STRIDE };
    every(stride, next, plans)
}

fn every<P>(stride: usize, next: usize, plans: impl IntoIterator<Item = Vec<P>>) -> Vec<P> {
    let of_first = |(first, plans): (usize, Vec<P>)| {
        let last = plans.len();
        let kept = move |second: usize| second < next || (first + last - second).is_multiple_of(stride);
        plans.into_iter().enumerate().filter(move |(second, _)| kept(*second)).map(|(_, plan)| plan)
    };
    plans.into_iter().enumerate().flat_map(of_first).collect()
}

#[test]
fn a_sample_has_each_first_and_each_second_stop() {
    // Of two replicas, and of a process whose successor makes the writes that are left.
    let lists: [fn(usize) -> std::ops::Range<usize>; 2] = [|_| 0..9, |first| first + 1..9];
    for list in lists {
        let sample = every(STRIDE, 1, (0..8).map(|first| list(first).map(|second| (first, second)).collect()));
        let of_first = |stop: usize| sample.iter().filter(|(first, _)| *first == stop).count();
        let of_second = |stop: usize| sample.iter().filter(|(_, second)| *second == stop).count();
        assert!((0..8).all(|stop| of_first(stop) >= 1) && (0..5).all(|stop| of_first(stop) >= 2), "{sample:?}");
        assert!((1..9).all(|stop| of_second(stop) >= 1), "{sample:?}");
        assert!(sample.len() < 20, "{}", sample.len());
    }
    assert_eq!(every(STRIDE, 1, vec![vec!['a'], vec!['b'], vec![]]), ['a', 'b'], "the only plan of a first stop is kept");
    assert_eq!(every(1, 1, vec![vec!['a', 'b'], vec!['c']]), ['a', 'b', 'c']);
}

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
