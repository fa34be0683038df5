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
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use rotated_secrets::reconcile::Context;
use serde_json::json;
use testbed::gate::{Gate, Moment};
use tokio::sync::Notify;

use crate::support::{World, control_plane, spec};

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

impl Gate for Fuse {
    fn pass<'a>(&'a self, effect: &'a str, moment: Moment) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if moment == Moment::Before {
                self.writes.fetch_add(1, Ordering::SeqCst);
                self.effects.lock().unwrap().push(effect.to_owned());
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

/// A story with a beginning in peace, one cause, and an end to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Story {
    Create,
    Rotate,
    RotateAfterOutage,
    Request,
    ChangeDeclaration,
    Describe,
    EditMirror,
    DeleteMirror,
    Delete,
}

impl Story {
    const ALL: [Self; 9] = [
        Self::Create,
        Self::Rotate,
        Self::RotateAfterOutage,
        Self::Request,
        Self::ChangeDeclaration,
        Self::Describe,
        Self::EditMirror,
        Self::DeleteMirror,
        Self::Delete,
    ];

    /// How many versions AWS holds at the end: one for each cause, whatever happened on the way.
    fn versions(self) -> usize {
        match self {
            Self::Create | Self::Describe | Self::EditMirror | Self::DeleteMirror | Self::Delete => 1,
            Self::Rotate | Self::RotateAfterOutage | Self::Request | Self::ChangeDeclaration => 2,
        }
    }

    async fn begin(self, world: &World, name: &str) -> Result<()> {
        let mut spec = spec();
        if self == Self::Delete || self == Self::Create {
            spec["aws"] = json!({"deletionPolicy": "Delete", "recoveryWindowInDays": 7});
            spec["target"] = json!({"deletionPolicy": "Retain"});
        }
        world.create(name, spec).await?;
        if self == Self::Create {
            return Ok(());
        }
        let peace = world.operator(None, Arc::default()).await?;
        world.settle(&peace, name).await?;
        world.check_agreement(name).await?;
        // The status tells when the mirror was written, in whole seconds: a repair within the same second would be one write less.
        tokio::time::sleep(std::time::Duration::from_millis(1001)).await;
        let hours = |n: u64| std::time::Duration::from_secs(n * 3600 + 5);
        match self {
            Self::Create => {}
            Self::Rotate => world.emulator.clock().advance(hours(1)),
            // Three quarters into the eighth hour: seven due times passed by.
            Self::RotateAfterOutage => world.emulator.clock().advance(hours(7) + std::time::Duration::from_mins(45)),
            Self::Request => drop(world.request_rotation(name, "please").await?),
            Self::ChangeDeclaration => {
                drop(world.patch(name, json!({"spec": {"value": {"data": {"host": "db"}, "generate": {"key": {}}}}})).await?);
            }
            Self::Describe => {
                drop(world.patch(name, json!({"spec": {"aws": {"description": "new", "kmsKeyId": "alias/shop", "tags": {"team": "shop"}}}})).await?);
            }
            Self::EditMirror => {
                let edit = json!({"stringData": {"password": "edited by hand"}});
                world.secrets().patch(name, &PatchParams::default(), &Patch::Merge(edit)).await?;
            }
            Self::DeleteMirror => drop(world.secrets().delete(name, &DeleteParams::default()).await?),
            Self::Delete => drop(world.objects().delete(name, &DeleteParams::default()).await?),
        }
        Ok(())
    }

    async fn check_end(self, world: &World, name: &str) -> Result<()> {
        let aws = world.aws_secret(name).context("the AWS secret is there")?;
        ensure!(aws.versions.len() == self.versions(), "{} versions instead of {}", aws.versions.len(), self.versions());
        if self == Self::Delete {
            ensure!(world.objects().get_opt(name).await?.is_none(), "the object is gone");
            ensure!(aws.deletion_date.is_some(), "the AWS secret is scheduled for deletion");
            let secret: Secret = world.secrets().get(name).await?;
            ensure!(secret.metadata.owner_references.is_none_or(|owners| owners.is_empty()), "the Secret stays, without its owner");
            ensure!(world.emulator.log().iter().all(|call| !format!("{call:?}").contains("ForceDelete")), "never forced");
            return Ok(());
        }
        ensure!(aws.deletion_date.is_none(), "nothing is deleted");
        world.check_agreement(name).await?;
        let value: serde_json::Value = serde_json::from_str(aws.current().context("a value")?)?;
        ensure!(value["username"] == "admin", "the user name stays");
        let old: Option<serde_json::Value> = aws.labelled("AWSPREVIOUS").and_then(|v| serde_json::from_str(v.value()?.as_str()?).ok());
        match self {
            Self::Rotate | Self::RotateAfterOutage | Self::Request => {
                let old = old.context("the old value can be read")?;
                ensure!(old["password"] != value["password"], "the password is new");
            }
            Self::ChangeDeclaration => {
                let old = old.context("the old value can be read")?;
                ensure!(old["password"] == value["password"], "the password stays");
                ensure!(value["host"] == "db" && value["key"].is_string(), "the new fields are there");
            }
            Self::Describe => {
                ensure!(aws.description.as_deref() == Some("new") && aws.kms_key.as_deref() == Some("alias/shop"), "as declared");
                ensure!(aws.tags.get("team").map(String::as_str) == Some("shop"), "tagged");
            }
            _ => {}
        }
        if self == Self::RotateAfterOutage {
            let status = world.objects().get(name).await?.status.unwrap_or_default();
            ensure!(status.missed_rotations == 7, "{} missed of 7", status.missed_rotations);
        }
        Ok(())
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
    let mirrored = Arc::new(Mutex::new(Vec::new()));
    world.emulator.set_gate(Some(Arc::clone(&fuse) as Arc<dyn Gate>));
    loop {
        fuse.next_life();
        let mut ctx = world.operator(Some(Arc::clone(&fuse) as Arc<dyn Gate>), Arc::clone(&mirrored)).await?;
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
    world.settle(&world.operator(Some(Arc::clone(&fuse) as Arc<dyn Gate>), Arc::clone(&mirrored)).await?, name).await?;
    let late = fuse.effects.lock().unwrap().clone();
    ensure!(late.is_empty(), "writes after the end: {late:?}");
    world.emulator.set_gate(None);

    // What was mirrored was current once, and never went backwards.
    let aws = world.aws_secret(name).context("the AWS secret is there")?;
    let order: Vec<usize> = mirrored.lock().unwrap().iter().filter_map(|id| aws.versions.iter().position(|v| v.id == *id)).collect();
    ensure!(order.len() == mirrored.lock().unwrap().len(), "a mirrored version that AWS does not have");
    ensure!(order.is_sorted(), "the mirror went backwards: {order:?}");
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
        "CreateSecret",
        "DeleteSecret",
        "PATCH rotatedsecrets",
        "PATCH secrets",
        "POST events",
        "POST secrets",
        "PUT rotatedsecrets/status",
        "PUT secrets",
        "PutSecretValue",
        "TagResource",
        "UpdateSecret",
    ];
    assert_eq!(effects.iter().map(String::as_str).collect::<Vec<_>>(), known);
    Ok(())
}

/// With `--features weakened`: the same plans against an operator that lacks one mechanism. Each must be caught, or the plans prove nothing.
#[cfg(feature = "weakened")]
mod weakened {
    use rotated_secrets::reconcile::Weakness;

    use super::*;

    async fn violation(story: Story, weaken: fn(&mut Context)) -> Result<String> {
        let namespace = control_plane().await?.namespace("weakened").await?;
        let caught = campaign(&namespace, story, weaken).await.map(|_| ()).expect_err("the plans must notice");
        Ok(format!("{caught:#}"))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_operator_with_random_version_ids_is_caught() -> Result<()> {
        let text = violation(Story::Request, |ctx| ctx.weakness = Some(Weakness::RandomVersions)).await?;
        assert!(text.contains("versions instead of 2"), "{text}");
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_operator_that_mirrors_what_it_has_in_memory_is_caught() -> Result<()> {
        let text = violation(Story::Rotate, |ctx| ctx.weakness = Some(Weakness::NoReadBack)).await?;
        assert!(text.contains("the mirror holds the current value"), "{text}");
        Ok(())
    }
}
