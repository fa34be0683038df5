//! Crash plans: the operator dies before a write, or after it was applied and before its answer came, at every write of a story, once and
//! twice; then a new process, which has no memory, goes on. Whatever happened, the same state must come out, with as many versions as the
//! story has causes, and then nothing more is written.
//!
//! The operator is the real one in process, against the real API server and the emulator. The writes are not listed by hand: a run without
//! a crash records them, so a new effect is covered automatically.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Result, ensure};
use futures::future::BoxFuture;
use rotated_secrets::metrics::Metrics;
use rotated_secrets::reconcile::Context;
#[cfg(feature = "weakened")]
use rotated_secrets::reconcile::Weakness;
use rotated_secrets::step::StepKind;
use strum::VariantArray as _;
use testkit::emulator::{Moment, WriteBarrier};
use tokio::sync::Notify;

use crate::campaign::{Campaign, EVENT, sample};
use crate::stories::{self, Case, Story};

/// Defines the stories, and a test for each.
macro_rules! stories {
    ($($story:ident),+ $(,)?) => {
        pub(crate) static STORIES: &[&Story] = &[$(&stories::$story::STORY),+];

        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $story() -> Result<()> {
                any_one_or_two_crashes_lead_to_the_same_end(&stories::$story::STORY).await
            }
        )+
    };
}

stories![
    abandon,
    adopt,
    apply_to_postgres,
    begin_rotation,
    cancel_by_aws,
    change_declaration,
    come_back,
    configure_by_aws,
    create,
    declare,
    delete,
    delete_in_ending_namespace,
    delete_mirror,
    delete_replicated,
    describe,
    edit_mirror,
    finish_staged,
    lost_update,
    move_flags,
    pin,
    rekey_replica,
    request,
    request_by_aws,
    roll_back,
    rotate,
    rotate_after_outage,
    rotate_again,
    undeclare,
    unmirror,
    alternate_in_postgres,
    check_target,
    overtake_in_postgres,
    apply_to_mysql,
    two_passwords_in_mysql,
    two_passwords_in_redis,
    apply_by_webhook,
    apply_by_job,
    alternate_in_mysql,
    roll_out,
    retire_in_redis,
];

/// Where a process of the operator ends: at its n-th write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crash {
    pub(crate) write: usize,
    pub(crate) moment: Moment,
}

/// Ends one process after the other, and records what was written.
pub(crate) struct Fuse {
    crashes: Mutex<VecDeque<Crash>>,
    writes: AtomicUsize,
    effects: Mutex<Vec<String>>,
    pub(crate) crashed: Notify,
    /// The story's interference: before which write, and what.
    interference: Mutex<Option<(&'static str, Act)>>,
}

type Act = Box<dyn FnOnce() + Send>;

impl Fuse {
    pub(crate) fn new(story: &Story, case: &Case, crashes: &[Crash]) -> Arc<Self> {
        let interference = story.interference.as_ref().map(|interference| {
            let (external_writer, secret, act) = (case.world.emulator.external_writer(), case.world.aws_name(&case.name), interference.act);
            let act: Act = Box::new(move || act(&external_writer, &secret).expect("the interference succeeds"));
            (interference.before, act)
        });
        Arc::new(Self {
            crashes: Mutex::new(crashes.iter().copied().collect()),
            writes: AtomicUsize::new(0),
            effects: Mutex::default(),
            crashed: Notify::new(),
            interference: Mutex::new(interference),
        })
    }

    pub(crate) fn next_process(&self) {
        self.writes.store(0, Ordering::SeqCst);
        self.effects.lock().unwrap().clear();
    }

    /// No crash comes after this.
    pub(crate) fn disarm(&self) {
        self.crashes.lock().unwrap().clear();
    }

    /// What the current process has written.
    pub(crate) fn effects(&self) -> Vec<String> {
        self.effects.lock().unwrap().clone()
    }
}

impl WriteBarrier for Fuse {
    fn pass<'a>(&'a self, effect: &'a str, moment: Moment) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if moment == Moment::Before {
                self.writes.fetch_add(1, Ordering::SeqCst);
                self.effects.lock().unwrap().push(effect.to_owned());
                if let Some((_, act)) = self.interference.lock().unwrap().take_if(|(before, _)| *before == effect) {
                    act();
                }
            }
            let here = Crash { write: self.writes.load(Ordering::SeqCst) - 1, moment };
            let crashes = self.crashes.lock().unwrap().pop_front_if(|crash| *crash == here).is_some();
            if crashes {
                self.crashed.notify_one();
                std::future::pending::<()>().await;
            }
        })
    }
}

/// What a run showed.
struct Run {
    /// The writes of the last process.
    effects: Vec<String>,
    /// The kinds of steps that any process took.
    steps: BTreeSet<String>,
}

async fn run(story: &Story, case: &Case, crashes: &[Crash], weaken: fn(&mut Context)) -> Result<Run> {
    case.begin_lists();
    (story.cause)(case).await?;
    let fuse = Fuse::new(story, case, crashes);
    let gate = || Arc::clone(&fuse) as Arc<dyn WriteBarrier>;
    let mirrored = Arc::new(Mutex::new(Vec::new()));
    case.world.emulator.set_write_barrier(Some(gate()));
    let mut steps = BTreeSet::new();
    let (mut goes_on, mut truth, mut told) = (false, false, false);
    loop {
        if !std::mem::take(&mut goes_on) {
            fuse.next_process();
        }
        let mut ctx = case.world.operator(Some(gate()), Arc::clone(&mirrored)).await?;
        (story.configure)(&mut ctx);
        case.feed(&mut ctx).await?;
        weaken(&mut ctx);
        let settled = tokio::select! {
            biased;
            () = fuse.crashed.notified() => None,
            settled = case.world.settle(&ctx, &case.name) => Some(settled?),
        };
        steps.extend(steps_taken(&ctx.metrics)?);
        if settled.is_some() {
            // What lists do not show is found when they show it. The process that finds it goes on where this one stopped.
            goes_on = !std::mem::replace(&mut truth, true) && case.end_lists();
            told |= goes_on;
            if !goes_on {
                break;
            }
        }
    }
    let effects = fuse.effects();
    story.check_end(case).await?;

    // Nothing more is written, by a new process either.
    fuse.next_process();
    let mut ctx = case.world.operator(Some(gate()), Arc::clone(&mirrored)).await?;
    (story.configure)(&mut ctx);
    case.feed(&mut ctx).await?;
    case.world.settle(&ctx, &case.name).await?;
    let late = fuse.effects();
    case.world.emulator.set_write_barrier(None);

    case.check_history(&mirrored.lock().unwrap(), &late)?;
    // What a process writes can depend on whether a list was enough for it.
    ensure!(story.has_controller || told || fuse.crashes.lock().unwrap().is_empty(), "a crash that never came");
    Ok(Run { effects, steps })
}

/// The kinds of steps that were carried out, by the operator's own count.
pub(crate) fn steps_taken(metrics: &Metrics) -> Result<BTreeSet<String>> {
    let page = metrics.render()?;
    let steps =
        page.lines().filter_map(|line| line.strip_prefix(r#"rotated_secrets_steps_total{step=""#)?.split_once(r#"",outcome="ok"}"#));
    // Each series is there from the start, at zero.
    Ok(steps.filter(|(_, count)| count.trim() != "0").map(|(step, _)| step.to_owned()).collect())
}

/// Before and after each write of a process.
fn crashes(run: &Run) -> Vec<Crash> {
    (0..run.effects.len()).flat_map(around).collect()
}

fn around(write: usize) -> [Crash; 2] {
    [Moment::Before, Moment::After].map(|moment| Crash { write, moment })
}

/// Those of them that leave different states. A process leaves nothing but its writes, so its end before a write leaves what its
/// end after the previous write leaves, unless something happens in between that passes no barrier. No process reads an Event.
fn different(story: &Story, run: &Run) -> Vec<Crash> {
    let seen = run.effects.iter().enumerate().filter(|(_, effect)| *effect != EVENT);
    let all = seen.flat_map(|(write, _)| around(write));
    all.filter(|crash| crash.moment == Moment::After || !story.passes_barrier()).collect()
}

/// Whether the process after a crash makes the writes that were left, and no others. Then a crash of it leaves what a
/// single crash leaves, as far as the names of the writes tell.
fn resumes(whole: &Run, after: &Run) -> bool {
    let seen = |run: &Run| run.effects.iter().filter(|effect| *effect != EVENT).cloned().collect::<Vec<_>>();
    seen(whole).ends_with(&seen(after))
}

/// What a campaign showed.
struct Shown {
    plans: usize,
    /// Of the run without a crash.
    writes: BTreeSet<String>,
    /// Of the runs with one crash at most. Each write of theirs had a crash in some plan.
    steps: BTreeSet<String>,
}

/// All single crashes of a story, and pairs that differ: the second crash at every write of the process that follows
/// the first. Of the pairs whose second process only resumes, a sample.
async fn campaign(story: &Story, weaken: fn(&mut Context)) -> Result<Shown> {
    let campaign = Campaign::new("crash", story).await?;
    let run = async |case: &Case, plan: &Vec<Crash>| run(story, case, plan, weaken).await;
    let mut whole = campaign.run(vec![Vec::new()], run).await?;
    let (_, whole) = whole.remove(0);
    let mut one = campaign.run(crashes(&whole).into_iter().map(|crash| vec![crash]).collect(), run).await?;
    // They end in any order, and the sample must be the same each time.
    one.sort_by_key(|(crash, _)| (crash[0].write, crash[0].moment == Moment::After));
    let first = different(story, &whole);
    let after_first = one.iter().filter(|(crash, _)| first.contains(&crash[0]));
    let pairs =
        after_first.map(|(first, after)| (after, different(story, after).into_iter().map(|second| vec![first[0], second]).collect()));
    let (resumed, other): (Vec<_>, Vec<_>) = pairs.partition(|(after, _)| resumes(&whole, after));
    let plans = |pairs: Vec<(_, Vec<_>)>| pairs.into_iter().map(|(_, plans)| plans);
    let two = plans(other).flatten().chain(sample(1, plans(resumed))).collect();
    let two = campaign.run(two, run).await?;
    let steps = one.iter().flat_map(|(_, run)| run.steps.clone()).chain(whole.steps).collect();
    Ok(Shown { plans: 1 + one.len() + two.len(), writes: whole.effects.into_iter().collect(), steps })
}

async fn any_one_or_two_crashes_lead_to_the_same_end(story: &Story) -> Result<()> {
    if let Some(obstacle) = (story.obstacle)() {
        println!("{}: {obstacle}", story.name);
        return Ok(());
    }
    let started = std::time::Instant::now();
    let shown = campaign(story, |_| {}).await?;
    println!("{}: {} crash plans, {:.0?}", story.name, shown.plans, started.elapsed());
    let as_declared = shown.steps.iter().eq(story.steps) && shown.writes.iter().eq(story.writes);
    ensure!(as_declared, "not as declared: the operator took the steps {:?} by the writes {:?}", shown.steps, shown.writes);
    Ok(())
}

/// Each story takes exactly the steps that it declares, or its test fails. So each kind of step has crash plans.
#[test]
fn every_kind_of_step_has_a_story() {
    let declared: BTreeSet<&str> = STORIES.iter().flat_map(|story| story.steps).copied().collect();
    let known: BTreeSet<&str> = StepKind::VARIANTS.iter().map(Into::into).collect();
    let missing: Vec<_> = known.difference(&declared).collect();
    assert!(missing.is_empty(), "no crash plan for the steps {missing:?}: add a story to tests/it/stories, see docs/testing.md");
    let unknown: Vec<_> = declared.difference(&known).collect();
    assert!(unknown.is_empty(), "a story declares steps that do not exist: {unknown:?}");
}

#[test]
fn every_write_has_a_story() {
    let declared: BTreeSet<&str> = STORIES.iter().flat_map(|story| story.writes).copied().collect();
    let known = [
        "CancelRotateSecret",
        "CreateSecret",
        "DeleteResourcePolicy",
        "DeleteSecret",
        "PATCH deployments",
        "PATCH rotatedsecrets",
        "PATCH secrets",
        "POST events",
        "POST jobs",
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
    assert_eq!(declared.into_iter().collect::<Vec<_>>(), known);
}

#[test]
fn stories_have_different_names() {
    let names: BTreeSet<&str> = STORIES.iter().map(|story| story.name).collect();
    assert_eq!(names.len(), STORIES.len());
}

/// With `--features weakened`: the same plans against an operator that lacks a mechanism must be noticed, or the plans prove nothing.
#[cfg(feature = "weakened")]
#[tokio::test(flavor = "multi_thread")]
async fn the_crash_plans_notice_an_operator_whose_version_ids_are_random() -> Result<()> {
    let weaken = |ctx: &mut Context| ctx.weakness = Some(Weakness::RandomVersions);
    let caught = campaign(&stories::request::STORY, weaken).await.map(drop).expect_err("the plans must notice");
    // Without an id that follows from it, a request cannot be recognised as handled: it is handled again and again.
    let text = format!("{caught:#}");
    assert!(text.contains("versions instead of 2") || text.contains("does not settle"), "{text}");
    Ok(())
}

#[cfg(feature = "weakened")]
#[tokio::test(flavor = "multi_thread")]
async fn the_crash_plans_notice_an_operator_that_verifies_no_login() -> Result<()> {
    let weaken = |ctx: &mut Context| ctx.weakness = Some(Weakness::Unverified);
    let caught = campaign(&stories::abandon::STORY, weaken).await.map(drop).expect_err("the plans must notice");
    let text = format!("{caught:#}");
    assert!(text.contains("the current password logs in"), "{text}");
    Ok(())
}

#[cfg(feature = "weakened")]
#[tokio::test(flavor = "multi_thread")]
async fn the_crash_plans_notice_an_operator_that_abandons_a_version_in_aws_only() -> Result<()> {
    let weaken = |ctx: &mut Context| ctx.weakness = Some(Weakness::LeavesTarget);
    let caught = campaign(&stories::abandon::STORY, weaken).await.map(drop).expect_err("the plans must notice");
    let text = format!("{caught:#}");
    assert!(text.contains("the current password logs in"), "{text}");
    Ok(())
}
