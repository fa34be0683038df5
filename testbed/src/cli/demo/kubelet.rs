//! A simulated kubelet (and scheduler): no container runs, but pods are assigned, become Running and Ready, and go, as on a node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::aws::Version;

const NODE: &str = "simulated-node";
const PERIOD: Duration = Duration::from_millis(200);
/// On a mirrored Secret: the version that its data is.
pub(super) const VERSION_ID: &str = "rotated-secrets.io/version-id";

/// On a pod: the version that its workload was restarted for.
const ROLLED_OUT: &str = "versions.rotated-secrets.io/";

/// Works until it is dropped.
pub(super) struct Kubelet {
    client: Client,
    namespace: &'static str,
    fault: Arc<Mutex<Fault>>,
    work: JoinHandle<()>,
}

/// Which pods do not become ready.
#[derive(Default)]
enum Fault {
    #[default]
    None,
    /// Those with the next version after this one.
    After(String),
    /// Those with this version.
    With(String),
}

impl Fault {
    /// Whether a pod with this version does not become ready.
    fn hits(&mut self, version: Option<&str>) -> bool {
        let Some(version) = version else { return false };
        if matches!(self, Self::After(known) if known != version) {
            *self = Self::With(version.to_owned());
        }
        matches!(self, Self::With(broken) if broken == version)
    }
}

/// What a pod would read in the Secret that it mounts.
pub(super) struct View {
    pub(super) pod: String,
    pub(super) uid: String,
    pub(super) restarts: i32,
    /// Where the Secret is mounted.
    pub(super) path: String,
    pub(super) version: Version,
}

impl Kubelet {
    pub(super) fn start(client: Client, namespace: &'static str) -> Self {
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let fault = Arc::<Mutex<Fault>>::default();
        let shared = Arc::clone(&fault);
        let work = tokio::spawn(async move {
            loop {
                for pod in pods.list(&ListParams::default()).await.into_iter().flatten() {
                    let version =
                        pod.annotations().iter().find(|(key, _)| key.starts_with(ROLLED_OUT)).map(|(_, version)| version.as_str());
                    let ready = !shared.lock().unwrap_or_else(PoisonError::into_inner).hits(version);
                    // What fails is tried again; what goes on failing shows in the rollout.
                    let _ = tend(&pods, &secrets, &pod, ready).await;
                }
                tokio::time::sleep(PERIOD).await;
            }
        });
        Self { client, namespace, fault, work }
    }

    /// From now on, pods with the version that follows this one do not become ready.
    pub(super) fn break_the_next_after(&self, version: &str) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Fault::After(version.to_owned());
    }

    /// For each pod with this label, what it would read now in the first Secret that it mounts.
    pub(super) async fn views(&self, selector: &str) -> Result<Vec<View>> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), self.namespace);
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), self.namespace);
        let mut views = Vec::new();
        for pod in pods.list(&ListParams::default().labels(selector)).await? {
            let (volume, name) = mounted(&pod).into_iter().next().context("the pod mounts no Secret")?;
            let path = mount_path(&pod, &volume).context("the pod's Secret is nowhere mounted")?;
            let restarts =
                pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten()).map(|status| status.restart_count).sum();
            let version = read(&secrets.get(&name).await?);
            views.push(View { pod: pod.name_any(), uid: pod.uid().unwrap_or_default(), restarts, path, version });
        }
        Ok(views)
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.work.abort();
    }
}

/// The version that a mirrored Secret says to hold, with its data.
pub(super) fn read(secret: &Secret) -> Version {
    let id = secret.annotations().get(VERSION_ID).cloned().unwrap_or_default();
    let fields: BTreeMap<String, Vec<u8>> = secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect();
    Version::new(&id, fields)
}

async fn tend(pods: &Api<Pod>, secrets: &Api<Secret>, pod: &Pod, ready: bool) -> Result<()> {
    let name = pod.name_any();
    if pod.metadata.deletion_timestamp.is_some() {
        pods.delete(&name, &DeleteParams::default().grace_period(0)).await?;
    } else if pod.spec.as_ref().is_none_or(|spec| spec.node_name.is_none()) {
        let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": NODE}});
        let _: Status = pods.create_subresource("binding", &name, &PostParams::default(), &binding).await?;
    } else if pod.status.as_ref().is_none_or(|status| status.phase.as_deref() != Some("Running")) {
        for (_, secret) in mounted(pod) {
            // A pod waits for the Secrets that it mounts.
            secrets.get_metadata(&secret).await?;
        }
        pods.patch_status(&name, &PatchParams::default(), &Patch::Strategic(running(pod, ready))).await?;
    }
    Ok(())
}

/// The volumes that are Secrets, and the Secrets' names.
fn mounted(pod: &Pod) -> Vec<(String, String)> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| Some((volume.name.clone(), volume.secret.as_ref()?.secret_name.clone()?))).collect()
}

fn mount_path(pod: &Pod, volume: &str) -> Option<String> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut mounts = containers.flat_map(|container| container.volume_mounts.iter().flatten());
    mounts.find(|mount| mount.name == volume).map(|mount| mount.mount_path.clone())
}

fn running(pod: &Pod, ready: bool) -> Value {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let condition = |kind: &str| {
        let holds = ready || kind == "Initialized";
        json!({"type": kind, "status": if holds { "True" } else { "False" }, "lastTransitionTime": now})
    };
    let containers: Vec<Value> = pod
        .spec
        .iter()
        .flat_map(|spec| &spec.containers)
        .map(|container| {
            json!({
                "name": container.name, "image": container.image, "imageID": "", "ready": ready, "started": true, "restartCount": 0,
                "state": {"running": {"startedAt": now}},
            })
        })
        .collect();
    json!({"status": {
        "phase": "Running",
        "startTime": now,
        "conditions": (["Initialized", "ContainersReady", "Ready"].map(condition)),
        "containerStatuses": containers,
    }})
}
