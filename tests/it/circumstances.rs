//! The stories again, each while something else is wrong: AWS shows old states, the flags change at a restart, the status
//! cannot be written, the API server refuses new objects, the namespace is terminating, or the clock is a year ahead. The
//! first process of the operator works under that circumstance, and dies at one of its writes or after the last one. At
//! the end the same must hold as without the circumstance.
//!
//! Each test also declares in which stories the operator does not meet the circumstance, and which kinds of steps no
//! process takes under it. Both lists are exact, so that a circumstance that stops having an effect fails its test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt as _};
use rotated_secrets::api::{REFRESH, RotatedSecret};
use rotated_secrets::reconcile::Context;
use rotated_secrets::step::StepKind;
use strum::VariantArray as _;
use testkit::emulator::{CallRecord, Moment, WriteBarrier};

use crate::campaign::Campaign;
use crate::crash::{Crash, Fuse, STORIES, steps_taken};
use crate::stories::{Case, Part, Story};

mod kinds;
mod selector;

/// With the object after the first process.
type Check = for<'a> fn(&'a Case, Option<&'a RotatedSecret>) -> BoxFuture<'a, Result<()>>;

/// What is wrong, and for how long.
struct Circumstance {
    /// Part of the namespace's name.
    name: &'static str,
    /// Before the first process.
    begin: fn(&Case),
    /// How the first process differs.
    first: fn(&mut Context),
    /// After the first process.
    then: Part,
    /// How the later ones differ.
    later: fn(&mut Context),
    /// After the second process: what is wrong until then ends.
    mend: fn(&Case),
    /// Whether the first and the second process work under it.
    of_first: bool,
    of_second: bool,
    /// How often the operator met it.
    met: fn(&Evidence<'_>) -> usize,
    /// What must hold at the end instead of what the story says.
    check: Option<Check>,
    /// Stories in which the first process dies only after its first write in AWS, before the status says so.
    claims_first: &'static [&'static str],
    /// Stories in which the operator does not meet it.
    unmet: &'static [&'static str],
    /// Kinds of steps that no process takes under it.
    untaken: &'static [&'static str],
}

/// What the first two processes left.
struct Evidence<'a> {
    case: &'a Case,
    /// The object after the first process.
    object: Option<RotatedSecret>,
    /// The calls to AWS of the second process.
    calls: Vec<CallRecord>,
}

/// What a run showed.
struct Shown {
    met: usize,
    /// What the first process wrote.
    writes: Vec<String>,
    /// What was done under the circumstance.
    steps: BTreeSet<String>,
}

async fn run(story: &Story, wrong: &Circumstance, case: &Case, crashes: &[Crash]) -> Result<Shown> {
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
    let writes = fuse.effects();
    // How often a failure is reported depends on the delays between the attempts, which differ for each object.
    fuse.disarm();
    let object = case.world.objects().get_opt(&case.name).await?;
    (wrong.then)(case).await?;
    // Ends every wait. An object that is gone waits for nothing.
    case.world.annotate(&case.name, REFRESH, "after").await.ok();
    let before = case.world.emulator.log().len();
    let second = process(wrong.later).await?;
    case.world.settle(&second, &case.name).await.context("the second process")?;
    let calls = case.world.emulator.log().split_off(before);
    let evidence = Evidence { case, object, calls };
    let met = (wrong.met)(&evidence);
    (wrong.mend)(case);
    let third = process(wrong.later).await?;
    case.world.settle(&third, &case.name).await.context("the third process")?;

    match wrong.check {
        Some(check) => check(case, evidence.object.as_ref()).await?,
        None => story.check_end(case).await?,
    }
    let last = process(wrong.later).await?;
    case.world.settle(&last, &case.name).await?;
    let late = fuse.effects();
    case.world.emulator.set_write_barrier(None);
    case.check_history(&mirrored.lock().unwrap(), &late)?;
    let mut steps = BTreeSet::new();
    for (_, process) in [(wrong.of_first, &first), (wrong.of_second, &second)].into_iter().filter(|(under, _)| *under) {
        steps.extend(steps_taken(&process.metrics)?);
    }
    Ok(Shown { met, writes, steps })
}

/// Every story under the circumstance: without a crash, with one before the first write, and with one after another write.
async fn every_story(wrong: &'static Circumstance) -> Result<()> {
    let started = std::time::Instant::now();
    let shown: Vec<_> = stream::iter(STORIES.iter().enumerate().filter(|(_, story)| (story.obstacle)().is_none()))
        .map(async |(index, story)| (story.name, one_story(story, wrong, index).await))
        .buffer_unordered(8)
        .collect()
        .await;
    let (mut plans, mut violations) = (0, Vec::new());
    let (mut met, mut steps) = (BTreeMap::new(), BTreeSet::new());
    for (story, shown) in shown {
        match shown {
            Ok(runs) => {
                plans += runs.len();
                met.insert(story, runs.iter().map(|run| run.met).sum::<usize>());
                steps.extend(runs.into_iter().flat_map(|run| run.steps));
            }
            Err(violation) => violations.push(format!("{story}: {violation:#}")),
        }
    }
    println!("{}: {plans} plans, {} violations, {:.0?}; met: {met:?}", wrong.name, violations.len(), started.elapsed());
    ensure!(violations.is_empty(), "{}:\n{}", wrong.name, violations.join("\n"));
    let unmet: BTreeSet<&str> = met.iter().filter(|(_, times)| **times == 0).map(|(story, _)| *story).collect();
    ensure!(unmet == wrong.unmet.iter().copied().collect(), "not met in these stories: {unmet:?}");
    let known = StepKind::VARIANTS.iter().map(<&str>::from);
    let untaken: BTreeSet<&str> = known.filter(|kind| !steps.contains(*kind)).collect();
    ensure!(untaken == wrong.untaken.iter().copied().collect(), "not taken: {untaken:?}");
    Ok(())
}

/// The write of the second crash is another one for each story, the same at each run of the test.
async fn one_story(story: &Story, wrong: &'static Circumstance, index: usize) -> Result<Vec<Shown>> {
    let campaign = Campaign::new(wrong.name, story).await?;
    let run = async |case: &Case, plan: &Vec<Crash>| run(story, wrong, case, plan).await;
    let mut whole = campaign.run(vec![Vec::new()], run).await?;
    let writes = whole.first().context("a run")?.1.writes.clone();
    let crashes = if wrong.claims_first.contains(&story.name) {
        let claims = ["CreateSecret", "RestoreSecret", "TagResource"];
        let claim = writes.iter().position(|write| claims.contains(&write.as_str())).context("a write in AWS")?;
        vec![vec![Crash { write: claim, moment: Moment::After }]]
    } else {
        let sampled = (index + wrong.name.len()).checked_rem(writes.len()).map(|write| Crash { write, moment: Moment::After });
        // A process that never comes to a write does not die there.
        let first = (!writes.is_empty()).then_some(Crash { write: 0, moment: Moment::Before });
        [first, sampled].into_iter().flatten().map(|crash| vec![crash]).collect()
    };
    whole.extend(campaign.run(crashes, run).await?);
    Ok(whole.into_iter().map(|(_, shown)| shown).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_shows_old_states() -> Result<()> {
    every_story(&kinds::STALE).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flags_of_the_place_change_at_the_restart() -> Result<()> {
    every_story(&kinds::FLAGS).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_object_selector_changes_and_changes_back() -> Result<()> {
    every_story(&selector::SELECTOR).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_cannot_be_written() -> Result<()> {
    every_story(&kinds::NO_STATUS).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_refuses_new_objects() -> Result<()> {
    every_story(&kinds::QUOTA).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_namespace_is_terminating() -> Result<()> {
    every_story(&kinds::ENDING).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_is_a_year_ahead() -> Result<()> {
    every_story(&kinds::AHEAD).await
}
