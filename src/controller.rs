//! Watches, queue, shutdown. No decisions: every event only means "look at this object".

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt, future};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, ListParams};
use kube::core::NamespaceResourceScope;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::{Client, Resource, ResourceExt};
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use crate::endpoints::Readiness;
use crate::api::{MANAGED_BY, RotatedSecret};
use crate::fleet::FleetStats;
use crate::kubernetes::stored::{Brief, Stored};
use crate::kubernetes::watch::{self, Lists};
use crate::election::Leadership;
use crate::reconcile::{Context, turn};
use crate::unreadable;

/// The longest that one turn may take; AWS and the API server have shorter limits of their own.
const TURN: Duration = Duration::from_mins(3);

/// A turn reports its failures itself, so there is none here.
#[derive(Debug, thiserror::Error)]
#[error("the turn was cut short")]
struct CutShort;

/// Which objects an operator looks after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// In these namespaces; empty: in all.
    namespaces: Vec<String>,
    /// With these labels.
    selector: Option<String>,
}

impl Scope {
    /// In `namespaces` (empty: all), with the labels that `selector` asks for.
    pub fn new(mut namespaces: Vec<String>, selector: Option<String>) -> Self {
        // Two watches of one namespace would be two turns at once for one object.
        namespaces.sort_unstable();
        namespaces.dedup();
        Self { namespaces, selector: selector.filter(|selector| !selector.trim().is_empty()) }
    }

    /// One part for each watch: a namespace, or all of them.
    fn parts(&self) -> Vec<Option<&str>> {
        if self.namespaces.is_empty() { vec![None] } else { self.namespaces.iter().map(|namespace| Some(namespace.as_str())).collect() }
    }
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Our Secrets, by label.
fn ours() -> String {
    format!("{}={}", MANAGED_BY.0, MANAGED_BY.1)
}

/// Why the operator cannot start. One sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The CRD is not there.
    #[error("the CustomResourceDefinition rotatedsecrets.rotated-secrets.io is not installed; type: kubectl apply -f crds/")]
    NoDefinition,
    /// The API server refuses.
    #[error("the API server does not let the operator {what} {place} (HTTP {code}); check the ServiceAccount and its {binding}")]
    Denied {
        /// Verb and kind.
        what: &'static str,
        /// Where.
        place: String,
        /// Which kind of binding would give the right.
        binding: &'static str,
        /// The answer.
        code: u16,
    },
    /// The selector does not parse.
    #[error("--object-selector: the API server does not understand it; write for example shard=blue")]
    Selector,
    /// The API server does not answer.
    #[error("the API server does not answer; check KUBECONFIG or the pod's network")]
    Unreachable,
    /// What answers is no API server. An object never leads to this, whatever it holds.
    #[error(
        "the answer is not one of a Kubernetes API server; check the server's address in KUBECONFIG, and whether a proxy answers for it"
    )]
    NotKubernetes,
}

/// Asks the API server for one of each that is watched, so that a missing CRD or right is said at once and in words.
///
/// # Errors
/// When it would be no use to start.
pub async fn check(client: &Client, scope: &Scope) -> Result<(), StartError> {
    let one = ListParams::default().limit(1);
    for part in scope.parts() {
        let denied = |what, code| StartError::Denied {
            what,
            place: part.map_or_else(|| "in all namespaces".to_owned(), |namespace| format!("in namespace {namespace}")),
            binding: if part.is_none() { "ClusterRoleBinding" } else { "RoleBinding there" },
            code,
        };
        let selected = ListParams { label_selector: scope.selector.clone(), ..one.clone() };
        match code(api::<Brief<RotatedSecret>>(client, part).list(&selected).await)? {
            None => {}
            Some(404) => return Err(StartError::NoDefinition),
            Some(400) if scope.selector.is_some() => return Err(StartError::Selector),
            Some(code) => return Err(denied("list RotatedSecrets", code)),
        }
        if let Some(code) = code(api::<Brief<Secret>>(client, part).list(&one.clone().labels(&ours())).await)? {
            return Err(denied("list Secrets", code));
        }
    }
    for namespace in &scope.namespaces {
        // What an administrator allows to the namespace is asked at each look.
        let leave = Api::<Brief<Namespace>>::all(client.clone()).get_opt(namespace).await;
        if let Some(code) = code(leave)? {
            return Err(StartError::Denied { what: "get the Namespace", place: namespace.clone(), binding: "RoleBinding there", code });
        }
    }
    if scope.namespaces.is_empty()
        && let Some(code) = code(Api::<Brief<Namespace>>::all(client.clone()).list(&one).await)?
    {
        return Err(StartError::Denied {
            what: "list the Namespaces",
            place: "of the cluster".to_owned(),
            binding: "ClusterRoleBinding",
            code,
        });
    }
    Ok(())
}

/// The code of a refusal; `None`: it was none.
fn code<T>(answer: Result<T, kube::Error>) -> Result<Option<u16>, StartError> {
    match answer {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => Ok(Some(status.code)),
        Err(kube::Error::SerdeError(_) | kube::Error::FromUtf8(_)) => Err(StartError::NotKubernetes),
        Err(_) => Err(StartError::Unreachable),
    }
}

/// What every turn needs, and whether it may begin.
struct Stage {
    ctx: Arc<Context>,
    leadership: Leadership,
    /// So many turns at once, in all namespaces together.
    places: Semaphore,
    lists: Lists,
}

/// How an operator works.
#[derive(Debug, Clone, Copy)]
pub struct Working {
    /// The most turns at once.
    pub concurrency: u16,
    /// Whether metrics tell of each object by name.
    pub metrics_per_object: bool,
}

/// Runs until `stop` resolves and the turns under way have ended. Before `leadership` allows it, and after, objects are known and nothing is done.
pub fn run<S>(
    ctx: Arc<Context>,
    scope: &Scope,
    working: Working,
    leadership: Leadership,
    readiness: Readiness,
    stop: S,
) -> impl Future<Output = ()> + Send + use<S>
where
    S: Future<Output = ()> + Send + 'static,
{
    let stage = Arc::new(Stage { ctx, leadership, places: Semaphore::new(usize::from(working.concurrency)), lists: Lists::default() });
    let stop = stop.boxed().shared();
    let watches: Vec<_> = scope.parts().into_iter().map(|part| work_on(&stage, scope, part, working.concurrency, stop.clone())).collect();
    let (turns, stores): (Vec<_>, Vec<_>) = watches.into_iter().unzip();
    stage.ctx.metrics.count_objects({
        let (stores, clock) = (stores.clone(), Arc::clone(&stage.ctx.clock));
        move || {
            let mut census = FleetStats::default();
            let now = clock();
            for object in stores.iter().flat_map(Store::state) {
                match object.readable() {
                    Some(object) => census.count(object, now, working.metrics_per_object),
                    None => census.unreadable += 1,
                }
            }
            census
        }
    });
    async move {
        let ready = async {
            if future::try_join_all(stores.iter().map(Store::wait_until_ready)).await.is_ok() {
                readiness.set();
            }
        };
        futures::join!(future::join_all(turns), ready);
    }
}

/// The turns of the objects in one namespace, or in all, and the objects themselves.
fn work_on(
    stage: &Arc<Stage>,
    scope: &Scope,
    part: Option<&str>,
    concurrency: u16,
    stop: future::Shared<future::BoxFuture<'static, ()>>,
) -> (impl Future<Output = ()> + Send + use<>, Store<Stored>) {
    let client = &stage.ctx.client;
    let (lists, metrics) = (&stage.lists, &stage.ctx.metrics);
    let (store, writer) = reflector::store();
    let objects = watch::events(api::<Stored>(client, part), scope.selector.as_deref(), lists.clone(), metrics.clone());
    let secrets = watch::events(api::<Brief<Secret>>(client, part), Some(&ours()), lists.clone(), metrics.clone());
    let mut controller = Controller::for_stream(
        objects.modify(|object| object.meta_mut().managed_fields = None).reflect(writer).applied_objects(),
        store.clone(),
    )
    .with_config(controller::Config::default().concurrency(concurrency))
    .owns_stream(secrets.touched_objects())
    .reconcile_all_on(stage.leadership.begins());
    if part.is_none() {
        let store = store.clone();
        let objects_of = move |namespace: Brief<Namespace>| -> Vec<ObjectRef<Stored>> {
            let name = Some(namespace.name_any());
            store.state().iter().filter(|object| object.namespace() == name).map(|object| ObjectRef::from_obj(&**object)).collect()
        };
        // One Namespace alone can be read with a Role in it, but not watched: there, its annotations are seen at the next look.
        let namespaces = watch::events(Api::<Brief<Namespace>>::all(client.clone()), None, lists.clone(), metrics.clone());
        controller = controller.watches_stream(namespaces.touched_objects(), objects_of);
    }
    let turns = controller
        .graceful_shutdown_on(stop)
        .run(look_at, |_, _, _| Action::requeue(Duration::from_secs(30)), Arc::clone(stage))
        .for_each(|result| {
            match result {
                Ok(_) | Err(controller::Error::ObjectNotFound(_)) => {}
                Err(controller::Error::ReconcilerFailed(_, object)) => {
                    tracing::error!(%object, "the turn was cut short; it is tried again");
                }
                // Interruptions of watches do not come here: each watch says them itself.
                Err(_) => tracing::error!("the controller's queue failed; it goes on"),
            }
            future::ready(())
        });
    (turns, store)
}

async fn look_at(object: Arc<Stored>, stage: Arc<Stage>) -> Result<Action, CutShort> {
    let object = match &*object {
        Stored::Readable(object) => object,
        Stored::Unreadable(unreadable) => {
            return Ok(unreadable::handle(unreadable, &stage.ctx, stage.leadership.may_begin()).await);
        }
    };
    // Never closed.
    let Ok(_place) = stage.places.acquire().await else { return Err(CutShort) };
    // Whoever begins to lead looks at everything.
    if !stage.leadership.may_begin() {
        return Ok(Action::await_change());
    }
    let ctx = &stage.ctx;
    let _under_way = ctx.metrics.reconcile_begins();
    let started = std::time::Instant::now();
    let span = tracing::info_span!("turn", object = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any()));
    let ended = tokio::select! {
        ended = tokio::time::timeout(TURN, AssertUnwindSafe(turn(object, ctx)).catch_unwind().instrument(span)) => ended,
        // As if it had crashed, which the next leader's turn can take.
        () = stage.leadership.over() => {
            tracing::warn!("the turn was cut short: the Lease has run out");
            ctx.metrics.reconcile("error", started.elapsed());
            return Ok(Action::await_change());
        }
    };
    let Ok(Ok(turn)) = ended else {
        ctx.metrics.reconcile("error", started.elapsed());
        return Err(CutShort);
    };
    let outcome = match (turn.failed, turn.changed) {
        (true, _) => "error",
        (false, true) => "changed",
        (false, false) => "unchanged",
    };
    ctx.metrics.reconcile(outcome, started.elapsed());
    Ok(turn.again.map_or_else(Action::await_change, Action::requeue))
}
