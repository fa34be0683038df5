//! Watches, queue, shutdown. It decides nothing: every event only requests a reconcile of one object.

mod census;
mod feeding;
mod gone;
mod initial;
mod listed;
mod namespaces;
mod own;
mod owner;
mod receiving;
mod scope;
mod secrets;
mod start;
mod urgent;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt, future, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::Event;
use tokio::sync::mpsc;
use tracing::Instrument as _;

pub use self::census::{Counted, census};
use self::gone::{Gone, Reports, forget};
use self::initial::Initial;
use self::own::InProgress;
use self::owner::{key, owners};
use self::receiving::{Receivers, Watched};
pub use self::scope::Scope;
use self::scope::{api, ours};
use self::secrets::SecretEvents;
pub use self::start::{StartError, check};
use crate::api::RotatedSecret;
use crate::desired::SecretArn;
use crate::election::Leadership;
use crate::endpoints::Readiness;
use crate::fairness::{Answer, Key, Pauses, Permit, Permits, Urgency};
use crate::feed::Feed;
use crate::journal::LONGEST_RECONCILE;
use crate::kubernetes::known::WatchedSecret;
use crate::kubernetes::mirror::was_edited;
use crate::kubernetes::packed::Packed;
use crate::kubernetes::stored::{Brief, Stored};
use crate::kubernetes::watch::{self, Lists};
use crate::reconcile::{Context, reconcile};
use crate::{status, unreadable};

/// A reconcile that lasts longer than this waits for an answer, and lends its permit meanwhile.
const HANGS: Duration = Duration::from_secs(5);

/// A reconcile that timed out or panicked. A reconcile reports its failures itself, so this has no details.
#[derive(Debug, thiserror::Error)]
#[error("the reconcile was interrupted")]
struct Interrupted;

/// What every reconcile shares.
struct Shared {
    ctx: Arc<Context>,
    leadership: Leadership,
    /// Limits the concurrent reconciles over all namespaces.
    permits: Arc<Permits>,
    pauses: Pauses,
    lists: Lists,
    receivers: Arc<Receivers>,
    reports: Reports,
}

/// What the reconciles of one controller share.
struct Part {
    shared: Arc<Shared>,
    /// Requests the reconcile of an object that has waited for its permit.
    wake: mpsc::UnboundedSender<Key>,
    initial: Initial,
}

/// Settings of the controller.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Maximum number of concurrent reconciles.
    pub concurrency: u16,
    /// What the metrics of the objects count.
    pub counted: Counted,
    /// Namespaces that cannot be watched at the start. The operator is ready without them.
    pub unavailable: Vec<String>,
    /// The URLs of queues with events of Secrets Manager. If there are any, the context has an index.
    pub event_queues: Vec<String>,
}

/// Runs until `stop` resolves and the reconciles in progress have ended. While this replica is not the leader, it
/// watches the objects and reconciles none.
pub fn run<S>(
    ctx: Arc<Context>,
    scope: &Scope,
    settings: &Settings,
    leadership: Leadership,
    readiness: Readiness,
    stop: S,
) -> impl Future<Output = ()> + Send + use<S>
where
    S: Future<Output = ()> + Send + 'static,
{
    let permits = Permits::new(usize::from(settings.concurrency), ctx.metrics.clone());
    let receivers = Receivers::new(&ctx, &leadership, &permits, &settings.event_queues);
    let (pauses, lists, reports) = (Pauses::default(), Lists::default(), Reports::default());
    let shared = Arc::new(Shared { ctx, leadership, permits, pauses, lists, receivers, reports });
    let stop = stop.boxed().shared();
    let watches: Vec<_> = scope.parts().into_iter().map(|part| control(&shared, scope, part, stop.clone())).collect();
    let (mut controllers, stores): (FuturesUnordered<_>, Vec<_>) = watches.into_iter().unzip();
    shared.ctx.metrics.count_feed({
        // The context has the metrics.
        let ctx = Arc::downgrade(&shared.ctx);
        move || {
            let counts = ctx.upgrade().and_then(|ctx| ctx.feed.as_ref().map(Feed::counts)).unwrap_or_default();
            [counts.covered, counts.uncovered]
        }
    });
    shared.ctx.metrics.count_objects({
        let (stores, clock, counted) = (stores.clone(), Arc::clone(&shared.ctx.clock), settings.counted);
        let memory = Arc::clone(&shared.ctx.memory);
        move || census(stores.iter().flat_map(Store::state), &memory, clock(), counted)
    });
    shared.ctx.memory.remembers_checks_of({
        let stores = stores.clone();
        move || stores.iter().map(Store::len).fold(0, usize::saturating_add)
    });
    shared.ctx.metrics.measure_longest_wait({
        // The permits have the metrics.
        let permits = Arc::downgrade(&shared.permits);
        move || permits.upgrade().map_or(Duration::ZERO, |permits| permits.longest_wait())
    });
    let missing = |part: Option<&str>| part.is_some_and(|namespace| settings.unavailable.iter().any(|name| name == namespace));
    let required: Vec<_> =
        scope.parts().into_iter().zip(&stores).filter(|(part, _)| !missing(*part)).map(|(_, store)| store.clone()).collect();
    async move {
        let ready = async {
            if future::try_join_all(required.iter().map(Store::wait_until_ready)).await.is_ok() {
                readiness.set();
            }
        };
        let metrics = &shared.ctx.metrics;
        let synchronized = future::join_all(stores.iter().map(async |store| {
            metrics.unsynchronized(1);
            if store.wait_until_ready().await.is_ok() {
                metrics.unsynchronized(-1);
            }
        }));
        let stopping = stop.clone();
        let closed = async {
            tokio::select! {
                biased;
                () = stop => {}
                // What comes later is for the next process, since nothing begins here any more.
                () = shared.receivers.run() => {}
            }
            shared.permits.close();
            future::pending::<()>().await;
        };
        // One that ends by itself ends all: the objects of its namespace would be left alone, and nothing would show it.
        let all = async { while controllers.next().await.is_some() && stopping.peek().is_some() {} };
        tokio::select! {
            () = all => {}
            () = async { futures::join!(ready, synchronized); future::pending().await } => {}
            () = closed => {}
        }
        // The reports end with the controllers, which request them.
        drop(controllers);
        shared.reports.end().await;
    }
}

/// The controller of the objects in one namespace, or in all, and the store of these objects.
fn control(
    shared: &Arc<Shared>,
    scope: &Scope,
    part: Option<&str>,
    stop: future::Shared<future::BoxFuture<'static, ()>>,
) -> (impl Future<Output = ()> + Send + use<>, Store<Packed>) {
    let client = &shared.ctx.client;
    let (lists, metrics) = (&shared.lists, &shared.ctx.metrics);
    let (store, writer) = reflector::store();
    let (wake, granted) = mpsc::unbounded_channel();
    let feeding = feeding::feed(Arc::clone(&shared.ctx), shared.leadership.clone(), Arc::clone(&shared.permits), wake.clone());
    shared.receivers.add(part, &wake);
    let granted = stream::unfold(granted, async |mut granted| granted.recv().await.map(|key: Key| (object_ref(&key), granted)));
    let objects = watch::events(api::<Packed>(client, part), scope.selector.as_deref(), lists.clone(), metrics.clone(), || ());
    let interrupted = {
        let (known, part) = (Arc::clone(&shared.ctx.known), part.map(str::to_owned));
        move || known.secrets_interrupted(part.as_deref())
    };
    let secrets = watch::events(api::<WatchedSecret>(client, part), Some(&ours()), lists.clone(), metrics.clone(), interrupted);
    let initial = Initial::new();
    let (objects, secrets) = (initial.wait_for(objects), initial.wait_for(secrets));
    let known = Arc::clone(&shared.ctx.known);
    let secrets = secrets.modify(move |secret| known.note_former_controller(secret)).inspect(shared.ctx.known.sees_secrets(part)).filter({
        let (known, permits) = (Arc::clone(&shared.ctx.known), Arc::clone(&shared.permits));
        let (store, wake, initial) = (store.clone(), wake.clone(), initial.clone());
        let mut events = SecretEvents { known, permits, store, wake, initial, late: false };
        move |event| future::ready(events.is_news(event))
    });
    let objects = objects.inspect({
        let (gone, leadership) = (Gone::new(&shared.ctx, scope.selector.is_some(), &shared.reports), shared.leadership.clone());
        move |event| {
            if let Ok(Event::Delete(object)) = event {
                gone.report(&object.unpack(), leadership.may_begin());
            }
        }
    });
    let (objects, listed) = listed::reflect(objects, writer);
    let mut controller = Controller::for_stream(objects.applied_objects(), store.clone())
        // The permits limit the reconciles. An object that waits for one is no reconcile of this controller.
        .with_config(controller::Config::default().concurrency(0))
        .reconcile_on(granted)
        .watches_stream(secrets.touched_objects(), {
            let store = store.clone();
            move |secret| owners(&secret, &store)
        })
        .reconcile_all_on(listed)
        .reconcile_all_on(shared.leadership.begins().inspect(expect(shared, &store)).inspect({
            let ctx = Arc::clone(&shared.ctx);
            move |()| ctx.memory.begins_to_lead()
        }))
        .reconcile_all_on(initial.ends().inspect(expect(shared, &store)));
    if part.is_none() {
        let store = store.clone();
        let objects_of = move |namespace: Brief<Namespace>| -> Vec<ObjectRef<Packed>> {
            let name = Some(namespace.name_any());
            store.state().iter().filter(|object| object.namespace() == name).map(|object| ObjectRef::from_obj(&**object)).collect()
        };
        // A Role in a namespace allows to read that Namespace, but not to watch it. With --namespaces, a change of its
        // annotations is seen at the next reconcile.
        let known = Arc::clone(&shared.ctx.known);
        let interrupted = move || known.namespaces_interrupted();
        let namespaces = watch::events(Api::<Brief<Namespace>>::all(client.clone()), None, lists.clone(), metrics.clone(), interrupted);
        let namespaces = initial.wait_for(namespaces).inspect(shared.ctx.known.sees_namespaces());
        let mut changes = namespaces::changes({
            let initial = initial.clone();
            move || initial.done()
        });
        let namespaces = namespaces.filter(move |event| future::ready(changes(event)));
        controller = controller.watches_stream(namespaces.touched_objects(), objects_of);
    }
    let (permits, ctx) = (Arc::clone(&shared.permits), Arc::clone(&shared.ctx));
    let reconciling = controller
        .graceful_shutdown_on(stop.clone())
        .run(
            reconcile_one,
            |_, _, _| Action::requeue(Duration::from_secs(30)),
            Arc::new(Part { shared: Arc::clone(shared), wake, initial }),
        )
        .for_each(move |result| {
            match result {
                Ok(_) => {}
                Err(controller::Error::ObjectNotFound(object)) => {
                    let key = Key::new(object.namespace.unwrap_or_default(), object.name);
                    permits.forget(&key);
                    // A list does not tell of a deletion, and the end of a reconcile may come after it.
                    forget(&ctx, &key);
                }
                Err(controller::Error::ReconcilerFailed(_, object)) => {
                    tracing::error!(%object, "the reconcile was interrupted; retrying");
                }
                // Interruptions of watches do not come here: each watch logs them itself.
                Err(_) => tracing::error!("the controller's queue failed; continuing"),
            }
            future::ready(())
        });
    // The feed never ends by itself.
    let never_ready = initial::stopped_before_ready(store.clone(), stop);
    let ended = async move {
        tokio::select! {
            () = reconciling => {}
            () = never_ready => {}
            () = async { feeding.await; future::pending().await } => {}
        }
    };
    (ended, store)
}

/// Every object is reconciled for the first time from now on.
fn expect(shared: &Shared, store: &Store<Packed>) -> impl FnMut(&()) + Send + use<> {
    let (ctx, store, leadership) = (Arc::clone(&shared.ctx), store.clone(), shared.leadership.clone());
    move |()| {
        // A standby expects them when it begins to lead.
        let Some(feed) = ctx.feed.as_ref().filter(|_| leadership.may_begin()) else { return };
        let objects = store.state();
        feed.expect(objects.iter().filter_map(|object| arn(&object.unpack())), (ctx.clock)());
    }
}

/// The AWS secret that the status names.
fn arn(object: &Stored) -> Option<SecretArn> {
    SecretArn::parse(object.readable()?.status.as_ref()?.aws.as_ref()?.arn.as_deref()?)
}

fn object_ref(key: &Key) -> ObjectRef<Packed> {
    ObjectRef::new(&key.name).within(&key.namespace)
}

async fn reconcile_one(object: Arc<Packed>, part: Arc<Part>) -> Result<Action, Interrupted> {
    let Part { shared, wake, initial } = &*part;
    let key = key(&object);
    let object = object.unpack();
    // A new leader reconciles every object, and so does the end of the first lists. So nothing is lost here. Unreadable objects
    // are reported by every replica.
    if object.readable().is_some() && !(shared.leadership.may_begin() && initial.done()) {
        shared.permits.forget(&key);
        return Ok(Action::await_change());
    }
    let now = (shared.ctx.clock)();
    if let Some(rest) = shared.pauses.rest(&key, Instant::now()).filter(|_| object.readable().is_some_and(|o| status::early(o, now))) {
        shared.permits.forget(&key);
        return Ok(Action::requeue(rest));
    }
    // A new leader has acted on no event of a Secret that was edited before it led. A repair that failed is not urgent
    // any longer.
    let fails = |object: &RotatedSecret| object.status.as_ref().is_some_and(|status| status.failures.is_some());
    let edited = |object: &RotatedSecret| !fails(object) && !object.spec.suspend && was_edited(&shared.ctx.known, object);
    let is_new = |object: &RotatedSecret| object.status.is_none() && object.metadata.deletion_timestamp.is_none();
    let urgency = match object.readable() {
        Some(object) if is_new(object) => Urgency::News,
        Some(object) if !status::urgent(object) && !edited(object) => Urgency::Routine,
        _ => Urgency::Urgent,
    };
    match shared.permits.ask(&key, urgency, wake) {
        Answer::Granted(permit) => {
            let _watched = Watched::new(&shared.ctx, &shared.permits, &key, wake);
            let mut own = InProgress::new(&shared.ctx.known.own_writes, &shared.permits, key.clone(), wake);
            let ended = Box::pin(with_permit(&object, shared, key, &permit)).await;
            if ended.is_ok() {
                own.reported();
            }
            ended
        }
        Answer::Waiting | Answer::Stopped => Ok(Action::await_change()),
    }
}

async fn with_permit(object: &Stored, shared: &Shared, key: Key, permit: &Permit) -> Result<Action, Interrupted> {
    let ctx = &shared.ctx;
    let object = match object {
        Stored::Readable(object) => object,
        Stored::Unreadable(unreadable) => {
            let handled = unreadable::handle(unreadable, ctx, shared.leadership.may_begin());
            return tokio::select! {
                ended = tokio::time::timeout(LONGEST_RECONCILE, handled) => ended.map_err(|_| Interrupted),
                never = permit.lend_after(HANGS) => match never {},
            };
        }
    };
    let _in_progress = ctx.metrics.reconcile_begins();
    let started = Instant::now();
    // At this level, so that also the lines of a quiet log name the object.
    let span = tracing::error_span!("reconcile", object = format!("{}/{}", key.namespace, key.name));
    let reconciled = AssertUnwindSafe(reconcile(object, ctx)).catch_unwind().instrument(span);
    let ended = tokio::select! {
        ended = tokio::time::timeout(LONGEST_RECONCILE, reconciled) => ended,
        // This is like a crash. The next leader continues from the state that it finds.
        () = shared.leadership.over() => {
            tracing::warn!("the reconcile was interrupted: the Lease has expired");
            ctx.metrics.reconcile("error", started.elapsed());
            return Ok(Action::await_change());
        }
        never = permit.lend_after(HANGS) => match never {},
    };
    let Ok(Ok(result)) = ended else {
        ctx.metrics.reconcile("error", started.elapsed());
        return Err(Interrupted);
    };
    if result.failed {
        shared.pauses.failed(key, started.elapsed(), Instant::now());
    }
    let outcome = match (result.failed, result.changed) {
        (true, _) => "error",
        (false, true) => "changed",
        (false, false) => "unchanged",
    };
    ctx.metrics.reconcile(outcome, started.elapsed());
    Ok(result.again.map_or_else(Action::await_change, Action::requeue))
}
