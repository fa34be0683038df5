//! Two replicas at once, without leader election, in every interleaving of their writes that has one switch each way: the first stops before
//! or after one of its writes, the second runs until it stops likewise, the first goes on to its end, then the second. One version for each
//! cause, and the mirror holds what AWS holds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use emulator::{Moment, WriteBarrier};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use rotated_secrets::reconcile::Context;
use tokio::sync::Notify;

use crate::story::{Story, check_history};
use crate::support::{World, control_plane};

/// Where a replica stops: at its n-th write.
type Stop = (usize, Moment);

/// Lets one replica run at a time.
#[derive(Default)]
struct Stage {
    active: AtomicUsize,
    stops: [Option<Stop>; 2],
    writes: [AtomicUsize; 2],
    stopped: [Notify; 2],
    released: [Notify; 2],
    effects: Mutex<Vec<String>>,
}

impl WriteBarrier for Stage {
    fn pass<'a>(&'a self, effect: &'a str, moment: Moment) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let me = self.active.load(Ordering::SeqCst);
            if moment == Moment::Before {
                self.writes[me].fetch_add(1, Ordering::SeqCst);
                self.effects.lock().unwrap().push(effect.to_owned());
            }
            if self.stops[me] == Some((self.writes[me].load(Ordering::SeqCst) - 1, moment)) {
                self.stopped[me].notify_one();
                self.released[me].notified().await;
            }
        })
    }
}

async fn run(namespace: &str, story: Story, stops: [Option<Stop>; 2], weaken: fn(&mut Context)) -> Result<usize> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let name = format!("r{}", NUMBER.fetch_add(1, Ordering::SeqCst));
    let world = World::new(namespace).await?;
    story.begin(&world, &name).await?;
    let stage = Arc::new(Stage { stops, ..Stage::default() });
    let gate = || Some(Arc::clone(&stage) as Arc<dyn WriteBarrier>);
    world.emulator.set_write_barrier(gate());
    let mirrored = Arc::new(Mutex::new(Vec::new()));
    let mut contexts = [world.operator(gate(), Arc::clone(&mirrored)).await?, world.operator(gate(), Arc::clone(&mirrored)).await?];
    contexts.iter_mut().for_each(weaken);

    let mut first = Box::pin(world.settle(&contexts[0], &name));
    let mut second = Box::pin(world.settle(&contexts[1], &name));
    let first_ended = tokio::select! {
        biased;
        () = stage.stopped[0].notified() => false,
        end = &mut first => { end?; true }
    };
    let writes = stage.writes[0].load(Ordering::SeqCst);
    stage.active.store(1, Ordering::SeqCst);
    let second_ended = tokio::select! {
        biased;
        () = stage.stopped[1].notified() => false,
        end = &mut second => { end?; true }
    };
    if !first_ended {
        stage.active.store(0, Ordering::SeqCst);
        stage.released[0].notify_one();
        first.await?;
    }
    if !second_ended {
        stage.active.store(1, Ordering::SeqCst);
        stage.released[1].notify_one();
        second.await?;
    }
    // A third life sees what is left of conflicts, and then there is silence.
    world.settle(&world.operator(None, Arc::default()).await?, &name).await?;
    stage.effects.lock().unwrap().clear();
    world.settle(&world.operator(gate(), Arc::clone(&mirrored)).await?, &name).await?;
    story.check_end(&world, &name).await?;
    let late = stage.effects.lock().unwrap().clone();
    check_history(&world, &name, &mirrored.lock().unwrap(), &late)?;
    Ok(writes)
}

async fn run_plan(namespace: &str, story: Story, stops: [Option<Stop>; 2], weaken: fn(&mut Context)) -> Result<usize> {
    run(namespace, story, stops, weaken).await.with_context(|| format!("{story:?} with {stops:?} in {namespace}"))
}

async fn campaign(namespace: &str, story: Story, weaken: fn(&mut Context)) -> Result<usize> {
    let writes = run_plan(namespace, story, [None, None], weaken).await?;
    ensure!(writes > 0, "a story without writes");
    let stops = || (0..writes).flat_map(|write| [Moment::Before, Moment::After].map(|moment| (write, moment)));
    let plans: Vec<[Option<Stop>; 2]> = stops().flat_map(|first| stops().map(move |second| [Some(first), Some(second)])).collect();
    let count = plans.len() + 1;
    stream::iter(plans)
        .map(|stops| run_plan(namespace, story, stops, weaken))
        .buffer_unordered(8)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    Ok(count)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_at_once_make_one_version_for_each_cause_in_every_interleaving() -> Result<()> {
    let namespace = control_plane().await?.namespace("replicas").await?;
    let started = std::time::Instant::now();
    let mut plans = 0;
    for story in [
        Story::Create,
        Story::Rotate,
        Story::BeginRotation,
        Story::Request,
        Story::RotateAgain,
        Story::RollBack,
        Story::ChangeDeclaration,
        Story::RequestByAws,
    ] {
        let count = campaign(&namespace, story, |_| {}).await?;
        println!("{story:?}: {count} interleavings");
        plans += count;
    }
    println!("{plans} interleavings of two replicas, 0 violations, {:.0?}", started.elapsed());
    Ok(())
}

/// With `--features weakened`: an operator that lacks a mechanism must be noticed, or the plans prove nothing.
#[cfg(feature = "weakened")]
mod weakened {
    use rotated_secrets::reconcile::Weakness;

    use super::*;

    async fn violation(weaken: fn(&mut Context)) -> Result<String> {
        let namespace = control_plane().await?.namespace("weakened").await?;
        let caught = campaign(&namespace, Story::Rotate, weaken).await.map(|_| ()).expect_err("the plans must notice");
        Ok(format!("{caught:#}"))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_interleavings_notice_an_operator_whose_version_ids_are_random() -> Result<()> {
        let text = violation(|ctx| ctx.weakness = Some(Weakness::RandomVersions)).await?;
        assert!(text.contains("versions instead of 2"), "{text}");
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_interleavings_notice_an_operator_that_mirrors_what_it_has_in_memory() -> Result<()> {
        let text = violation(|ctx| ctx.weakness = Some(Weakness::NoReadBack)).await?;
        assert!(text.contains("the mirror holds the current value"), "{text}");
        Ok(())
    }
}
