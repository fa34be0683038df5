//! Watches, queue, shutdown. No decisions: every event only means "look at this object".

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, ListParams};
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Client, ResourceExt};

use crate::admin::Readiness;
use crate::api::{MANAGED_BY, RotatedSecret};
use crate::reconcile::{Context, turn};

/// The longest that one turn may take; AWS and the API server have shorter limits of their own.
const TURN: Duration = Duration::from_mins(3);

/// An object that may not be readable: one such object must not stop the others.
type Guarded = DeserializeGuard<RotatedSecret>;

/// A turn reports its failures itself, so there is none here.
#[derive(Debug, thiserror::Error)]
#[error("the turn was cut short")]
struct CutShort;

/// Why the operator cannot start. One sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The CRD is not there.
    #[error("the CustomResourceDefinition rotatedsecrets.rotated-secrets.io is not installed; type: kubectl apply -f crds/")]
    NoDefinition,
    /// The API server refuses.
    #[error("the API server does not let the operator list RotatedSecrets (HTTP {0}); check the ServiceAccount and its ClusterRoleBinding")]
    Denied(u16),
    /// The API server does not answer.
    #[error("the API server does not answer; check KUBECONFIG or the pod's network")]
    Unreachable,
}

/// Asks the API server for one RotatedSecret, so that a missing CRD or permission is said at once and in words.
///
/// # Errors
/// When it would be no use to start.
pub async fn check(client: &Client) -> Result<(), StartError> {
    match Api::<PartialObjectMeta<RotatedSecret>>::all(client.clone()).list_metadata(&ListParams::default().limit(1)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Err(StartError::NoDefinition),
        Err(kube::Error::Api(status)) => Err(StartError::Denied(status.code)),
        Err(_) => Err(StartError::Unreachable),
    }
}

/// Runs until `stop` resolves and the turns under way have ended. `concurrency`: the most turns at once.
pub async fn run(ctx: Arc<Context>, concurrency: u16, readiness: Readiness, stop: impl Future<Output = ()> + Send + Sync + 'static) {
    let client = ctx.client.clone();
    let controller = Controller::new(Api::<Guarded>::all(client.clone()), watcher::Config::default());
    let store = controller.store();
    let objects_of = {
        let store = store.clone();
        move |namespace: PartialObjectMeta<Namespace>| -> Vec<ObjectRef<Guarded>> {
            let name = Some(namespace.name_any());
            store.state().iter().filter(|object| object.namespace() == name).map(|object| ObjectRef::from_obj(&**object)).collect()
        }
    };
    let ready = {
        let store = store.clone();
        async move {
            if store.wait_until_ready().await.is_ok() {
                readiness.set();
            }
        }
    };
    let ours = format!("{}={}", MANAGED_BY.0, MANAGED_BY.1);
    let turns = controller
        .with_config(controller::Config::default().concurrency(concurrency))
        .owns(Api::<PartialObjectMeta<Secret>>::all(client.clone()), watcher::Config::default().labels(&ours))
        .watches(Api::<PartialObjectMeta<Namespace>>::all(client), watcher::Config::default(), objects_of)
        .graceful_shutdown_on(stop)
        .run(look_at, |_, _, _| Action::requeue(Duration::from_secs(30)), ctx)
        .for_each(|result| async move {
            match result {
                Ok(_) | Err(controller::Error::ObjectNotFound(_)) => {}
                Err(controller::Error::ReconcilerFailed(_, object)) => {
                    tracing::error!(%object, "the turn was cut short; it is tried again");
                }
                Err(controller::Error::QueueError(error)) => {
                    tracing::warn!(kind = watch_error(&error), "a watch was interrupted; it goes on");
                }
                Err(_) => tracing::error!("the controller's queue failed; it goes on"),
            }
        });
    futures::join!(turns, ready);
}

fn watch_error(error: &watcher::Error) -> &'static str {
    match error {
        watcher::Error::InitialListFailed(_) => "list",
        watcher::Error::WatchStartFailed(_) => "watch start",
        watcher::Error::WatchError(_) => "watch",
        watcher::Error::WatchFailed(_) => "stream",
        watcher::Error::NoResourceVersion => "no resource version",
    }
}

async fn look_at(object: Arc<Guarded>, ctx: Arc<Context>) -> Result<Action, CutShort> {
    let Ok(object) = &object.0 else {
        // Its text may quote anything; the API server's own validation has told the author more than we could.
        tracing::error!("a RotatedSecret cannot be read with this version of the operator; it is left alone");
        return Ok(Action::await_change());
    };
    let started = std::time::Instant::now();
    let ended = tokio::time::timeout(TURN, AssertUnwindSafe(turn(object, &ctx)).catch_unwind()).await;
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
