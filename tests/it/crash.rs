//! Crash plans: the operator dies before a write, or after it was applied and before its answer came, at every write of a story, once and
//! twice; then a new life, which has no memory, goes on. Whatever happened, the same world must come out, with as many versions as the
//! story has causes, and then there must be silence.
//!
//! The operator is the real one in process, against the real API server and the emulator. The writes are not listed by hand: a run without
//! a crash records them, so a new effect has its plans by itself.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use emulator::{Moment, WriteBarrier};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use rotated_secrets::reconcile::Context;
use tokio::sync::Notify;

use crate::story::{Story, THEIRS, check_history};
use crate::support::{World, control_plane};

/// Where a life ends: at its n-th write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Death {
    write: usize,
    moment: Moment,
}

/// Kills one life after the other, and records what was written.
#[derive(Default)]
struct Fuse {
    deaths: Mutex<VecDeque<Death>>,
    writes: AtomicUsize,
    effects: Mutex<Vec<String>>,
    died: Notify,
    /// Somebody who puts a value in AWS between the operator's look and its first write of one.
    overtaker: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Fuse {
    fn new(deaths: &[Death]) -> Arc<Self> {
        Arc::new(Self { deaths: Mutex::new(deaths.iter().copied().collect()), ..Self::default() })
    }

    fn next_life(&self) {
        self.writes.store(0, Ordering::SeqCst);
        self.effects.lock().unwrap().clear();
    }

    fn unused(&self) -> usize {
        self.deaths.lock().unwrap().len()
    }
}

impl WriteBarrier for Fuse {
    fn pass<'a>(&'a self, effect: &'a str, moment: Moment) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if moment == Moment::Before {
                self.writes.fetch_add(1, Ordering::SeqCst);
                self.effects.lock().unwrap().push(effect.to_owned());
                if effect == "PutSecretValue"
                    && let Some(overtake) = self.overtaker.lock().unwrap().take()
                {
                    overtake();
                }
            }
            let here = Death { write: self.writes.load(Ordering::SeqCst) - 1, moment };
            let dies = {
                let mut deaths = self.deaths.lock().unwrap();
                if deaths.front() == Some(&here) { deaths.pop_front() } else { None }
            };
            if dies.is_some() {
                self.died.notify_one();
                std::future::pending::<()>().await;
            }
        })
    }
}

/// What a run showed.
struct Run {
    /// The writes of the last life.
    effects: Vec<String>,
    /// Whether every death of the plan came.
    complete: bool,
}

async fn run(world: &World, story: Story, name: &str, deaths: &[Death], weaken: fn(&mut Context)) -> Result<Run> {
    story.begin(world, name).await?;
    let fuse = Fuse::new(deaths);
    if story == Story::Overtaken {
        let (external_writer, secret) = (world.emulator.external_writer(), world.aws_name(name));
        *fuse.overtaker.lock().unwrap() = Some(Box::new(move || drop(external_writer.put_value(&secret, THEIRS).unwrap())));
    }
    let mirrored = Arc::new(Mutex::new(Vec::new()));
    world.emulator.set_write_barrier(Some(Arc::clone(&fuse) as Arc<dyn WriteBarrier>));
    loop {
        fuse.next_life();
        let mut ctx = world.operator(Some(Arc::clone(&fuse) as Arc<dyn WriteBarrier>), Arc::clone(&mirrored)).await?;
        weaken(&mut ctx);
        tokio::select! {
            biased;
            () = fuse.died.notified() => {}
            settled = world.settle(&ctx, name) => { settled?; break }
        }
    }
    let effects = fuse.effects.lock().unwrap().clone();
    story.check_end(world, name).await?;

    // Silence, also for a new life.
    fuse.next_life();
    world.settle(&world.operator(Some(Arc::clone(&fuse) as Arc<dyn WriteBarrier>), Arc::clone(&mirrored)).await?, name).await?;
    let late = fuse.effects.lock().unwrap().clone();
    world.emulator.set_write_barrier(None);

    check_history(world, name, &mirrored.lock().unwrap(), &late)?;
    Ok(Run { effects, complete: fuse.unused() == 0 })
}

static NUMBER: AtomicUsize = AtomicUsize::new(0);

async fn run_plan(namespace: &str, story: Story, deaths: Vec<Death>, weaken: fn(&mut Context)) -> Result<Run> {
    let name = format!("o{}", NUMBER.fetch_add(1, Ordering::SeqCst));
    let world = World::new(namespace).await?;
    run(&world, story, &name, &deaths, weaken).await.with_context(|| format!("{story:?} with {deaths:?} ({namespace}/{name})"))
}

fn deaths(writes: usize) -> impl Iterator<Item = Death> {
    (0..writes).flat_map(|write| [Moment::Before, Moment::After].map(|moment| Death { write, moment }))
}

/// Plans at a time: the machine has two cores, and each plan waits for the API server most of the time.
const AT_ONCE: usize = 8;

/// All single deaths of a story, and all pairs: the second death at every write of the life that follows the first.
async fn campaign(namespace: &str, story: Story, weaken: fn(&mut Context)) -> Result<(usize, BTreeSet<String>)> {
    let peaceful = run_plan(namespace, story, Vec::new(), weaken).await?;
    let first: Vec<Death> = deaths(peaceful.effects.len()).collect();
    let singles: Vec<(Death, Run)> = stream::iter(first)
        .map(|death| async move { anyhow::Ok((death, run_plan(namespace, story, vec![death], weaken).await?)) })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    ensure!(singles.iter().all(|(_, run)| run.complete), "a death that never came");
    let pairs: Vec<Vec<Death>> =
        singles.iter().flat_map(|(first, after)| deaths(after.effects.len()).map(|second| vec![*first, second])).collect();
    let count = 1 + singles.len() + pairs.len();
    let complete: Vec<bool> = stream::iter(pairs)
        .map(|pair| async move { anyhow::Ok(run_plan(namespace, story, pair, weaken).await?.complete) })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    ensure!(complete.into_iter().all(|complete| complete), "a second death that never came");
    Ok((count, peaceful.effects.into_iter().collect()))
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_single_or_double_death_the_same_world_comes_out() -> Result<()> {
    let namespace = control_plane().await?.namespace("crash").await?;
    let started = std::time::Instant::now();
    let mut plans = 0;
    let mut effects = BTreeSet::new();
    for story in Story::ALL {
        let (count, seen) = campaign(&namespace, story, |_| {}).await?;
        println!("{story:?}: {count} plans over {seen:?}");
        plans += count;
        effects.extend(seen);
    }
    println!("{plans} crash plans, 0 violations, {:.0?}", started.elapsed());
    // Every write that the operator knows was died at.
    let known = [
        "CancelRotateSecret",
        "CreateSecret",
        "DeleteResourcePolicy",
        "DeleteSecret",
        "PATCH rotatedsecrets",
        "PATCH secrets",
        "POST events",
        "POST secrets",
        "PUT rotatedsecrets/status",
        "PUT secrets",
        "PutResourcePolicy",
        "PutSecretValue",
        "RemoveRegionsFromReplication",
        "ReplicateSecretToRegions",
        "RestoreSecret",
        "RotateSecret",
        "TagResource",
        "UntagResource",
        "UpdateSecret",
        "UpdateSecretVersionStage",
    ];
    assert_eq!(effects.iter().map(String::as_str).collect::<Vec<_>>(), known);
    Ok(())
}

/// With `--features weakened`: the same plans against an operator that lacks a mechanism must be noticed, or the plans prove nothing.
#[cfg(feature = "weakened")]
#[tokio::test(flavor = "multi_thread")]
async fn the_crash_plans_notice_an_operator_whose_version_ids_are_random() -> Result<()> {
    let namespace = control_plane().await?.namespace("weakened").await?;
    let weaken = |ctx: &mut Context| ctx.weakness = Some(rotated_secrets::reconcile::Weakness::RandomVersions);
    let caught = campaign(&namespace, Story::Request, weaken).await.map(|_| ()).expect_err("the plans must notice");
    // Without an id that follows from it, a request cannot be recognised as handled: it is handled again and again.
    let text = format!("{caught:#}");
    assert!(text.contains("versions instead of 2") || text.contains("does not settle"), "{text}");
    Ok(())
}
