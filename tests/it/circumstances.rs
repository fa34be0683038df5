//! The stories again, each while something else is wrong: AWS shows old states, the flags change at a restart, the status cannot be written, the
//! API server refuses new objects, or the clock is a year ahead. The first process of the operator works under that circumstance, and dies after
//! any of its writes or after the last one; then another process goes on. At the end the same must hold as without the circumstance.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use rotated_secrets::api::REFRESH;
use rotated_secrets::reconcile::Context;
use testkit::emulator::{Fault, FaultPlan, Moment, When, WriteBarrier};

use crate::campaign::Campaign;
use crate::crash::{Crash, Fuse, STORIES};
use crate::stories::{Case, Story};

/// What is wrong.
struct Circumstance {
    /// Part of the namespace's name.
    name: &'static str,
    /// Before the first process.
    begin: fn(&Case),
    /// How the first process differs.
    first: fn(&mut Context),
    /// After the first process.
    end: fn(&Case),
    /// How the later ones differ.
    later: fn(&mut Context),
    /// After the second process: what is wrong until then ends.
    mend: fn(&Case),
    /// How many versions more there may be: what the operator makes because of the circumstance.
    versions: usize,
    /// Stories that the circumstance turns into another story.
    without: &'static [&'static str],
}

impl Circumstance {
    const fn of(name: &'static str) -> Self {
        Self { name, begin: |_| {}, first: |_| {}, end: |_| {}, later: |_| {}, mend: |_| {}, versions: 0, without: &[] }
    }
}

async fn run(story: &Story, wrong: &Circumstance, case: &Case, crashes: &[Crash]) -> Result<usize> {
    (story.cause)(case).await?;
    let fuse = Fuse::new(story, case, crashes);
    let mirrored = Arc::new(Mutex::new(Vec::new()));
    let process = async |differs: fn(&mut Context)| {
        fuse.next_process();
        let mut ctx = case.world.operator(Some(Arc::clone(&fuse) as Arc<dyn WriteBarrier>), Arc::clone(&mirrored)).await?;
        (story.configure)(&mut ctx);
        differs(&mut ctx);
        anyhow::Ok(ctx)
    };
    case.world.emulator.set_write_barrier(Some(Arc::clone(&fuse) as Arc<dyn WriteBarrier>));
    (wrong.begin)(case);
    let first = process(wrong.first).await?;
    tokio::select! {
        biased;
        () = fuse.crashed.notified() => {}
        // What is wrong may last, and then it does not settle.
        _ = case.world.settle(&first, &case.name) => {}
    }
    let writes = fuse.effects().len();
    (wrong.end)(case);
    // Ends every wait. An object that is gone waits for nothing.
    case.world.annotate(&case.name, REFRESH, "after").await.ok();
    let second = process(wrong.later).await?;
    case.world.settle(&second, &case.name).await?;
    (wrong.mend)(case);
    let third = process(wrong.later).await?;
    case.world.settle(&third, &case.name).await?;

    let found = case.aws()?.versions.len();
    let expected = |most: &usize| (*most..=*most + wrong.versions).contains(&found);
    ensure!(story.versions.iter().any(expected), "{found} versions instead of {:?}", story.versions);
    (story.check)(case).await?;

    let last = process(wrong.later).await?;
    case.world.settle(&last, &case.name).await?;
    let late = fuse.effects();
    case.world.emulator.set_write_barrier(None);
    case.check_history(&mirrored.lock().unwrap(), &late)?;
    Ok(writes)
}

/// Every story under the circumstance: without a crash, and with one after each write of the first process.
async fn every_story(wrong: &'static Circumstance) -> Result<()> {
    let started = std::time::Instant::now();
    let (mut plans, mut violations) = (0, Vec::new());
    for story in STORIES.iter().filter(|story| !wrong.without.contains(&story.name)) {
        match one_story(story, wrong).await {
            Ok(ran) => plans += ran,
            Err(violation) => violations.push(format!("{}: {violation:#}", story.name)),
        }
    }
    println!("{}: {plans} plans, {} violations, {:.0?}", wrong.name, violations.len(), started.elapsed());
    ensure!(violations.is_empty(), "{}:\n{}", wrong.name, violations.join("\n"));
    Ok(())
}

async fn one_story(story: &Story, wrong: &'static Circumstance) -> Result<usize> {
    let campaign = Campaign::new(wrong.name, story).await?;
    let run = async |case: &Case, plan: &Vec<Crash>| run(story, wrong, case, plan).await;
    let whole = campaign.run(vec![Vec::new()], run).await?;
    let (_, writes) = whole.first().context("a run")?;
    let plans: Vec<Vec<Crash>> = (0..*writes).map(|write| vec![Crash { write, moment: Moment::After }]).collect();
    Ok(1 + campaign.run(plans, run).await?.len())
}

const OLD: Duration = Duration::from_secs(20);

static STALE: Circumstance = Circumstance {
    // What was arranged is visible.
    begin: |case| {
        case.world.emulator.clock().advance(3 * OLD);
        let stale = || Fault::StaleRead { seconds: OLD.as_secs() };
        let plan = FaultPlan::none().with("DescribeSecret", When::Always, stale()).with("GetSecretValue", When::Always, stale());
        case.world.emulator.set_faults(plan);
    },
    mend: |case| {
        case.world.emulator.set_faults(FaultPlan::none());
        case.world.emulator.clock().advance(3 * OLD);
    },
    ..Circumstance::of("stale")
};

static FLAGS: Circumstance = Circumstance {
    later: |ctx| {
        "other".clone_into(&mut ctx.policy.name_prefix);
        "eu-west-1".clone_into(&mut ctx.policy.default_region);
    },
    ..Circumstance::of("flags")
};

static NO_STATUS: Circumstance = Circumstance {
    begin: |case| case.world.status_refused.store(true, Ordering::SeqCst),
    end: |case| case.world.status_refused.store(false, Ordering::SeqCst),
    ..Circumstance::of("no-status")
};

static ENDING: Circumstance = Circumstance {
    begin: |case| case.world.namespace_ends.store(true, Ordering::SeqCst),
    end: |case| case.world.namespace_ends.store(false, Ordering::SeqCst),
    ..Circumstance::of("ending")
};

static AHEAD: Circumstance = Circumstance {
    first: |ctx| {
        let clock = Arc::clone(&ctx.clock);
        ctx.clock = Arc::new(move || clock().saturating_add(SignedDuration::from_hours(24 * 365)).unwrap_or(Timestamp::MAX));
    },
    // By that clock a rotation is due.
    versions: 1,
    ..Circumstance::of("ahead")
};

#[tokio::test(flavor = "multi_thread")]
async fn aws_shows_old_states() -> Result<()> {
    every_story(&STALE).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flags_change_at_the_restart() -> Result<()> {
    every_story(&FLAGS).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_cannot_be_written() -> Result<()> {
    every_story(&NO_STATUS).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_refuses_new_objects() -> Result<()> {
    every_story(&ENDING).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_is_a_year_ahead() -> Result<()> {
    every_story(&AHEAD).await
}
