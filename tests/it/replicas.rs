//! Two replicas at once, without leader election, in interleavings of their writes that have one switch each way: the
//! first stops before or after one of its writes, the second runs until it stops before one of its own, the first goes
//! on to its end, then the second. One version for each cause, and the mirror holds what AWS holds. `STORY_PLANS=all`
//! runs every interleaving, otherwise a part of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Result, ensure};
use futures::future::BoxFuture;
use rotated_secrets::reconcile::Context;
use testkit::emulator::{Moment, WriteBarrier};
use tokio::sync::Notify;

use crate::campaign::{Campaign, EVENT, sample};
use crate::stories::{self, Case, Story};

/// A test for each of these stories.
macro_rules! interleave {
    ($($story:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $story() -> Result<()> {
                two_replicas_make_one_version_for_each_cause(&stories::$story::STORY).await
            }
        )+
    };
}

interleave![
    abandon,
    apply_to_postgres,
    begin_rotation,
    change_declaration,
    create,
    request,
    request_by_aws,
    roll_back,
    rotate,
    rotate_again,
    alternate_in_postgres,
    alternate_in_mysql,
    apply_to_mysql,
    two_passwords_in_mysql,
    two_passwords_in_redis,
    apply_by_webhook,
    apply_by_job,
    roll_out,
    retire_in_redis
];

/// Where a replica stops: at its n-th write.
type Stop = (usize, Moment);

/// Where the first and the second one stop.
type Plan = [Option<Stop>; 2];

/// Lets one replica run at a time.
#[derive(Default)]
struct Turnstile {
    active: AtomicUsize,
    stops: Plan,
    writes: [AtomicUsize; 2],
    stopped: [Notify; 2],
    released: [Notify; 2],
    effects: [Mutex<Vec<String>>; 2],
}

impl WriteBarrier for Turnstile {
    fn pass<'a>(&'a self, effect: &'a str, moment: Moment) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let me = self.active.load(Ordering::SeqCst);
            if moment == Moment::Before {
                self.writes[me].fetch_add(1, Ordering::SeqCst);
                self.effects[me].lock().unwrap().push(effect.to_owned());
            }
            if self.stops[me] == Some((self.writes[me].load(Ordering::SeqCst) - 1, moment)) {
                self.stopped[me].notify_one();
                self.released[me].notified().await;
            }
        })
    }
}

/// The writes of the first replica.
async fn run(story: &Story, case: &Case, stops: &Plan, weaken: fn(&mut Context)) -> Result<Vec<String>> {
    case.begin_lists();
    (story.cause)(case).await?;
    let (world, name) = (&case.world, &case.name);
    let turnstile = Arc::new(Turnstile { stops: *stops, ..Turnstile::default() });
    let gate = || Some(Arc::clone(&turnstile) as Arc<dyn WriteBarrier>);
    world.emulator.set_write_barrier(gate());
    let mirrored = Arc::new(Mutex::new(Vec::new()));
    let mut contexts = [world.operator(gate(), Arc::clone(&mirrored)).await?, world.operator(gate(), Arc::clone(&mirrored)).await?];
    contexts.iter_mut().for_each(story.configure);
    for ctx in &mut contexts {
        case.feed(ctx).await?;
    }
    contexts.iter_mut().for_each(weaken);

    interleave(&turnstile, [&contexts[0], &contexts[1]].map(|ctx| Box::pin(world.settle(ctx, name)))).await?;
    let effects = turnstile.effects[0].lock().unwrap().clone();

    case.end_lists();
    // A third one sees what is left of conflicts and of lists that were not true, and a fourth one writes nothing.
    let mut third = world.operator(None, Arc::default()).await?;
    (story.configure)(&mut third);
    world.settle(&third, name).await?;
    turnstile.effects.iter().for_each(|effects| effects.lock().unwrap().clear());
    let mut fourth = world.operator(gate(), Arc::clone(&mirrored)).await?;
    (story.configure)(&mut fourth);
    case.feed(&mut fourth).await?;
    world.settle(&fourth, name).await?;
    story.check_end(case).await?;
    let late: Vec<_> = turnstile.effects.iter().flat_map(|effects| effects.lock().unwrap().clone()).collect();
    case.check_history(&mirrored.lock().unwrap(), &late)?;
    Ok(effects)
}

/// The first replica until it stops, the second until it stops, the first to its end, the second to its end.
async fn interleave<T>(turnstile: &Turnstile, mut replicas: [impl Future<Output = Result<T>> + Unpin; 2]) -> Result<()> {
    let mut ended = [false, false];
    for (me, replica) in replicas.iter_mut().enumerate() {
        turnstile.active.store(me, Ordering::SeqCst);
        ended[me] = tokio::select! {
            biased;
            () = turnstile.stopped[me].notified() => false,
            end = replica => { end?; true }
        };
    }
    for (me, replica) in replicas.into_iter().enumerate().filter(|(me, _)| !ended[*me]) {
        turnstile.active.store(me, Ordering::SeqCst);
        turnstile.released[me].notify_one();
        replica.await?;
    }
    Ok(())
}

async fn campaign(story: &Story, weaken: fn(&mut Context)) -> Result<usize> {
    let campaign = Campaign::new("replicas", story).await?;
    let run = async |case: &Case, plan: &Plan| run(story, case, plan, weaken).await;
    let whole = campaign.run(vec![[None, None]], run).await?;
    let writes = &whole[0].1;
    ensure!(!writes.is_empty(), "a story without writes");
    // No process reads an Event, so the writes beside it stop a replica in as many states.
    let seen = || writes.iter().enumerate().filter(|(_, effect)| *effect != EVENT).map(|(write, _)| write);
    let stops = seen().flat_map(|write| [Moment::Before, Moment::After].map(|moment| Some((write, moment))));
    // The second one stops before its writes: then what it has read is old when it goes on.
    let before = || seen().map(|write| Some((write, Moment::Before)));
    // The first one goes on when the second one has made none of its writes, or exactly the next one: each is kept.
    let plans = sample(2, stops.map(|first| before().map(move |second| [first, second]).collect()));
    Ok(1 + campaign.run(plans, run).await?.len())
}

async fn two_replicas_make_one_version_for_each_cause(story: &Story) -> Result<()> {
    if let Some(obstacle) = (story.obstacle)() {
        println!("{}: {obstacle}", story.name);
        return Ok(());
    }
    let started = std::time::Instant::now();
    let plans = campaign(story, |_| {}).await?;
    println!("{}: {plans} interleavings of two replicas, {:.0?}", story.name, started.elapsed());
    Ok(())
}

/// With `--features weakened`: an operator that lacks a mechanism must be noticed, or the plans prove nothing.
#[cfg(feature = "weakened")]
mod weakened {
    use rotated_secrets::reconcile::Weakness;

    use super::*;

    async fn violation(weaken: fn(&mut Context)) -> Result<String> {
        let caught = campaign(&stories::rotate::STORY, weaken).await.map(drop).expect_err("the plans must notice");
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
