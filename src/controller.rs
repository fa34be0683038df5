//! Watches, queue, shutdown. It decides nothing: every event only requests a reconcile of one object.

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

use crate::api::{MANAGED_BY, RotatedSecret};
use crate::election::Leadership;
use crate::endpoints::Readiness;
use crate::fleet::FleetStats;
use crate::kubernetes::stored::{Brief, Stored};
use crate::kubernetes::watch::{self, Lists};
use crate::reconcile::{Context, reconcile};
use crate::unreadable;

/// Time limit of one reconcile. Requests to AWS and to the API server have shorter timeouts.
const RECONCILE_TIMEOUT: Duration = Duration::from_mins(3);

/// A reconcile that timed out or panicked. A reconcile reports its failures itself, so this has no details.
#[derive(Debug, thiserror::Error)]
#[error("the reconcile was interrupted")]
struct Interrupted;

/// Which objects the operator reconciles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The objects in these namespaces; empty: in all.
    namespaces: Vec<String>,
    /// Label selector of the objects; `None`: all.
    selector: Option<String>,
}

impl Scope {
    /// The objects in `namespaces` (empty: all) that match the label selector.
    pub fn new(mut namespaces: Vec<String>, selector: Option<String>) -> Self {
        // Two watches of one namespace would allow two concurrent reconciles of one object.
        namespaces.sort_unstable();
        namespaces.dedup();
        Self { namespaces, selector: selector.filter(|selector| !selector.trim().is_empty()) }
    }

    /// One part for each watch: a namespace, or `None` for all namespaces.
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

/// Label selector of the mirrored Secrets.
fn ours() -> String {
    format!("{}={}", MANAGED_BY.0, MANAGED_BY.1)
}

/// Reason why the operator cannot start, as one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The CRD is not installed.
    #[error("the CustomResourceDefinition rotatedsecrets.rotated-secrets.io is not installed; type: kubectl apply -f crds/")]
    NoDefinition,
    /// The API server denies a request.
    #[error("the API server does not let the operator {what} {place} (HTTP {code}); check the ServiceAccount and its {binding}")]
    Denied {
        /// Verb and kind.
        what: &'static str,
        /// The namespace, or all namespaces.
        place: String,
        /// The kind of binding that would grant the permission.
        binding: &'static str,
        /// HTTP status of the response.
        code: u16,
    },
    /// The API server rejects the label selector.
    #[error("--object-selector: the API server cannot parse it; write for example shard=blue")]
    Selector,
    /// The API server does not respond.
    #[error("the API server does not respond; check KUBECONFIG or the pod's network")]
    Unreachable,
    /// The response does not come from an API server. The content of an object cannot cause this error.
    #[error(
        "the response is not that of a Kubernetes API server; check the server's address in KUBECONFIG, and whether a proxy responds \
         instead"
    )]
    NotKubernetes,
}

impl StartError {
    /// Whether the connection may be the cause, and not the API server.
    pub fn is_connection(&self) -> bool {
        matches!(self, Self::Unreachable | Self::NotKubernetes)
    }
}

/// Lists one object of each kind that is watched, so that a missing CRD or permission is reported at the start.
///
/// # Errors
/// If the operator cannot work with this API server.
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
        // Each reconcile reads the administrator's annotations of the namespace.
        let found = Api::<Brief<Namespace>>::all(client.clone()).get_opt(namespace).await;
        if let Some(code) = code(found)? {
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

/// HTTP status of an error response; `None` if the request succeeded.
fn code<T>(answer: Result<T, kube::Error>) -> Result<Option<u16>, StartError> {
    match answer {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => Ok(Some(status.code)),
        Err(kube::Error::SerdeError(_) | kube::Error::FromUtf8(_)) => Err(StartError::NotKubernetes),
        Err(_) => Err(StartError::Unreachable),
    }
}

/// What every reconcile shares.
struct Shared {
    ctx: Arc<Context>,
    leadership: Leadership,
    /// Limits the concurrent reconciles over all namespaces.
    permits: Semaphore,
    lists: Lists,
}

/// Settings of the controller.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Maximum number of concurrent reconciles.
    pub concurrency: u16,
    /// Whether there are metrics for each object.
    pub metrics_per_object: bool,
}

/// Runs until `stop` resolves and the reconciles in progress have ended. While this replica is not the leader, it
/// watches the objects and reconciles none.
pub fn run<S>(
    ctx: Arc<Context>,
    scope: &Scope,
    settings: Settings,
    leadership: Leadership,
    readiness: Readiness,
    stop: S,
) -> impl Future<Output = ()> + Send + use<S>
where
    S: Future<Output = ()> + Send + 'static,
{
    let shared = Arc::new(Shared { ctx, leadership, permits: Semaphore::new(usize::from(settings.concurrency)), lists: Lists::default() });
    let stop = stop.boxed().shared();
    let watches: Vec<_> = scope.parts().into_iter().map(|part| control(&shared, scope, part, settings.concurrency, stop.clone())).collect();
    let (controllers, stores): (Vec<_>, Vec<_>) = watches.into_iter().unzip();
    shared.ctx.metrics.count_objects({
        let (stores, clock) = (stores.clone(), Arc::clone(&shared.ctx.clock));
        move || {
            let mut stats = FleetStats::default();
            let now = clock();
            for object in stores.iter().flat_map(Store::state) {
                match object.readable() {
                    Some(object) => stats.count(object, now, settings.metrics_per_object),
                    None => stats.unreadable += 1,
                }
            }
            stats
        }
    });
    async move {
        let ready = async {
            if future::try_join_all(stores.iter().map(Store::wait_until_ready)).await.is_ok() {
                readiness.set();
            }
        };
        futures::join!(future::join_all(controllers), ready);
    }
}

/// The controller of the objects in one namespace, or in all, and the store of these objects.
fn control(
    shared: &Arc<Shared>,
    scope: &Scope,
    part: Option<&str>,
    concurrency: u16,
    stop: future::Shared<future::BoxFuture<'static, ()>>,
) -> (impl Future<Output = ()> + Send + use<>, Store<Stored>) {
    let client = &shared.ctx.client;
    let (lists, metrics) = (&shared.lists, &shared.ctx.metrics);
    let (store, writer) = reflector::store();
    let objects = watch::events(api::<Stored>(client, part), scope.selector.as_deref(), lists.clone(), metrics.clone());
    let secrets = watch::events(api::<Brief<Secret>>(client, part), Some(&ours()), lists.clone(), metrics.clone());
    let mut controller = Controller::for_stream(
        objects.modify(|object| object.meta_mut().managed_fields = None).reflect(writer).applied_objects(),
        store.clone(),
    )
    .with_config(controller::Config::default().concurrency(concurrency))
    .owns_stream(secrets.touched_objects())
    .reconcile_all_on(shared.leadership.begins());
    if part.is_none() {
        let store = store.clone();
        let objects_of = move |namespace: Brief<Namespace>| -> Vec<ObjectRef<Stored>> {
            let name = Some(namespace.name_any());
            store.state().iter().filter(|object| object.namespace() == name).map(|object| ObjectRef::from_obj(&**object)).collect()
        };
        // A Role in a namespace allows to read that Namespace, but not to watch it. With --namespaces, a change of its
        // annotations is seen at the next reconcile.
        let namespaces = watch::events(Api::<Brief<Namespace>>::all(client.clone()), None, lists.clone(), metrics.clone());
        controller = controller.watches_stream(namespaces.touched_objects(), objects_of);
    }
    let ended = controller
        .graceful_shutdown_on(stop)
        .run(reconcile_one, |_, _, _| Action::requeue(Duration::from_secs(30)), Arc::clone(shared))
        .for_each(|result| {
            match result {
                Ok(_) | Err(controller::Error::ObjectNotFound(_)) => {}
                Err(controller::Error::ReconcilerFailed(_, object)) => {
                    tracing::error!(%object, "the reconcile was interrupted; retrying");
                }
                // Interruptions of watches do not come here: each watch logs them itself.
                Err(_) => tracing::error!("the controller's queue failed; continuing"),
            }
            future::ready(())
        });
    (ended, store)
}

async fn reconcile_one(object: Arc<Stored>, shared: Arc<Shared>) -> Result<Action, Interrupted> {
    let object = match &*object {
        Stored::Readable(object) => object,
        Stored::Unreadable(unreadable) => {
            return Ok(unreadable::handle(unreadable, &shared.ctx, shared.leadership.may_begin()).await);
        }
    };
    // The semaphore is never closed.
    let Ok(_permit) = shared.permits.acquire().await else { return Err(Interrupted) };
    // A new leader reconciles every object, so nothing is lost here.
    if !shared.leadership.may_begin() {
        return Ok(Action::await_change());
    }
    let ctx = &shared.ctx;
    let _in_progress = ctx.metrics.reconcile_begins();
    let started = std::time::Instant::now();
    let span = tracing::info_span!("reconcile", object = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any()));
    let ended = tokio::select! {
        ended = tokio::time::timeout(RECONCILE_TIMEOUT, AssertUnwindSafe(reconcile(object, ctx)).catch_unwind().instrument(span)) => ended,
        // This is like a crash. The next leader continues from the state that it finds.
        () = shared.leadership.over() => {
            tracing::warn!("the reconcile was interrupted: the Lease has expired");
            ctx.metrics.reconcile("error", started.elapsed());
            return Ok(Action::await_change());
        }
    };
    let Ok(Ok(result)) = ended else {
        ctx.metrics.reconcile("error", started.elapsed());
        return Err(Interrupted);
    };
    let outcome = match (result.failed, result.changed) {
        (true, _) => "error",
        (false, true) => "changed",
        (false, false) => "unchanged",
    };
    ctx.metrics.reconcile(outcome, started.elapsed());
    Ok(result.again.map_or_else(Action::await_change, Action::requeue))
}
