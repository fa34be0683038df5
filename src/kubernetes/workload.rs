//! Workloads that use a Secret: Deployments, StatefulSets and DaemonSets of its namespace.

use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec, Volume};
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::Semaphore;

use super::failed;
use crate::api::condition::Reason;
use crate::api::{FIELD_MANAGER, WorkloadKind, WorkloadRef};
use crate::backoff::Class;
use crate::desired::{Rollout, annotation_key};
use crate::facts::{Pods, Replacement, Workload};
use crate::failure::Failure;
use crate::value::short_hash;
use crate::version_id::VersionId;

/// How many workloads one page of a list has. A page is held in memory, and a tenant may create large workloads.
const PAGE: u32 = 25;
/// How many pages are held at the same time.
static PAGES: Semaphore = Semaphore::const_new(2);
/// Maximum number of workloads of one kind that are looked at.
const MOST: usize = 1000;
/// `terminationGracePeriodSeconds` of a pod that does not set it, and the most that is waited for.
const GRACE: i64 = 30;
const LONGEST_GRACE: i64 = 3600;

/// The workloads that are to take up a version: those that the rollout names, or all that refer to the Secret.
///
/// # Errors
/// If they cannot be read.
pub async fn find(client: &Client, namespace: &str, secret: &str, rollout: &Rollout) -> Result<Vec<Workload>, Failure> {
    let Some(named) = &rollout.workloads else {
        let mut found = list::<Deployment>(client, namespace, secret).await?;
        found.extend(list::<StatefulSet>(client, namespace, secret).await?);
        found.extend(list::<DaemonSet>(client, namespace, secret).await?);
        found.sort_by(|one, other| one.workload.cmp(&other.workload));
        return Ok(found);
    };
    let mut found = Vec::with_capacity(named.len());
    for workload in named {
        found.push(match workload.kind {
            WorkloadKind::Deployment => get::<Deployment>(client, namespace, secret, workload).await?,
            WorkloadKind::StatefulSet => get::<StatefulSet>(client, namespace, secret, workload).await?,
            WorkloadKind::DaemonSet => get::<DaemonSet>(client, namespace, secret, workload).await?,
        });
    }
    Ok(found)
}

/// Writes the version into the pod template, by server-side apply with a field manager for each Secret: tools that apply the
/// workload leave the annotation alone, and other objects do not remove it. The uid keeps the API server from creating a
/// workload that is gone.
///
/// # Errors
/// Includes a conflict if the workload is gone or was created again.
pub async fn restart(client: &Client, namespace: &str, secret: &str, workload: &Workload, version: &VersionId) -> Result<(), Failure> {
    let WorkloadRef { kind, name } = &workload.workload;
    let patch = json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "uid": workload.uid},
        "spec": {"template": {"metadata": {"annotations": {annotation_key(secret): version.as_str()}}}},
    });
    let params = PatchParams { field_manager: Some(field_manager(secret)), force: true, ..PatchParams::default() };
    let patch = Patch::Apply(patch);
    let answer = match kind {
        WorkloadKind::Deployment => Api::<Deployment>::namespaced(client.clone(), namespace).patch(name, &params, &patch).await.map(drop),
        WorkloadKind::StatefulSet => Api::<StatefulSet>::namespaced(client.clone(), namespace).patch(name, &params, &patch).await.map(drop),
        WorkloadKind::DaemonSet => Api::<DaemonSet>::namespaced(client.clone(), namespace).patch(name, &params, &patch).await.map(drop),
    };
    answer.map_err(|error| explained(failed("restarting a workload", &error), "patch"))
}

/// A field manager has at most 128 characters.
fn field_manager(secret: &str) -> String {
    let whole = format!("{FIELD_MANAGER}-rollout-{secret}");
    if whole.len() <= 128 { whole } else { format!("{FIELD_MANAGER}-rollout-{}", short_hash(secret.as_bytes())) }
}

async fn list<K>(client: &Client, namespace: &str, secret: &str) -> Result<Vec<Workload>, Failure>
where
    K: Kind + DeserializeOwned,
{
    let api = Api::<K>::namespaced(client.clone(), namespace);
    let (mut found, mut page, mut read) = (Vec::new(), ListParams::default().limit(PAGE), 0_usize);
    loop {
        let _one = PAGES.acquire().await.map_err(|_| Failure::bug("the semaphore is never closed"))?;
        let listed = api.list(&page).await.map_err(|error| explained(failed("reading workloads", &error), "list"))?;
        read = read.saturating_add(listed.items.len());
        if read > MOST {
            return Err(too_many());
        }
        let users = listed
            .items
            .iter()
            .filter(|item| item.template().and_then(|template| template.spec.as_ref()).is_some_and(|pod| refers(pod, secret)));
        found.extend(users.map(|item| facts(item, secret)));
        match listed.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(found),
        }
    }
}

async fn get<K>(client: &Client, namespace: &str, secret: &str, workload: &WorkloadRef) -> Result<Workload, Failure>
where
    K: Kind + DeserializeOwned,
{
    let found = Api::<K>::namespaced(client.clone(), namespace).get_opt(&workload.name).await;
    let found = found.map_err(|error| explained(failed("reading a workload", &error), "get"))?;
    let missing = || Workload { workload: workload.clone(), uid: None, version: None, grace: SignedDuration::ZERO, pods: Pods::default() };
    Ok(found.map_or_else(missing, |found| facts(&found, secret)))
}

fn too_many() -> Failure {
    Failure {
        class: Class::Invalid,
        reason: Reason::InvalidSpec,
        message: format!(
            "the namespace has more than {MOST} workloads of one kind: name those that are to be restarted in spec.rollout.workloads"
        ),
        request_id: None,
    }
}

fn explained(failure: Failure, verb: &'static str) -> Failure {
    if failure.class != Class::Denied {
        return failure;
    }
    let message = format!(
        "the operator may not {verb} Deployments, StatefulSets and DaemonSets in this namespace: install the chart with rollout.enabled=true, or \
         remove spec.rollout"
    );
    Failure { message, ..failure }
}

fn facts<K: Kind>(workload: &K, secret: &str) -> Workload {
    let template = workload.template();
    let annotations = template.and_then(|template| template.metadata.as_ref()?.annotations.as_ref());
    let version = annotations.and_then(|annotations| VersionId::parse(annotations.get(&annotation_key(secret))?));
    let seconds = template.and_then(|template| template.spec.as_ref()?.termination_grace_period_seconds).unwrap_or(GRACE);
    Workload {
        workload: WorkloadRef { kind: K::KIND, name: workload.name_any() },
        uid: workload.uid(),
        version,
        grace: SignedDuration::from_secs(seconds.clamp(0, LONGEST_GRACE)),
        pods: workload.pods(),
    }
}

/// What the three kinds have in common.
trait Kind: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope> + Clone + std::fmt::Debug {
    const KIND: WorkloadKind;

    fn template(&self) -> Option<&PodTemplateSpec>;

    fn pods(&self) -> Pods;

    /// Whether its controller has seen the newest generation.
    fn observed(&self, generation: Option<i64>) -> bool {
        generation.is_some() && generation >= self.meta().generation
    }
}

impl Kind for Deployment {
    const KIND: WorkloadKind = WorkloadKind::Deployment;

    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.as_ref().map(|spec| &spec.template)
    }

    fn pods(&self) -> Pods {
        let (spec, status) = (self.spec.clone().unwrap_or_default(), self.status.clone().unwrap_or_default());
        let stuck = status.conditions.iter().flatten().any(|condition| {
            condition.type_ == "Progressing"
                && condition.status == "False"
                && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
        });
        let observed = self.observed(status.observed_generation);
        let replacement = match spec.paused {
            Some(true) => Replacement::Paused,
            // What an earlier generation met says nothing.
            _ if stuck && observed => Replacement::Stuck,
            _ => Replacement::Automatic,
        };
        Pods {
            observed,
            desired: spec.replicas.unwrap_or(1),
            total: status.replicas.unwrap_or_default(),
            updated: status.updated_replicas.unwrap_or_default(),
            available: status.available_replicas.unwrap_or_default(),
            terminating: status.terminating_replicas.unwrap_or_default(),
            replacement,
        }
    }
}

impl Kind for StatefulSet {
    const KIND: WorkloadKind = WorkloadKind::StatefulSet;

    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.as_ref().map(|spec| &spec.template)
    }

    fn pods(&self) -> Pods {
        let (spec, status) = (self.spec.clone().unwrap_or_default(), self.status.clone().unwrap_or_default());
        let strategy = spec.update_strategy.unwrap_or_default();
        let partition = strategy.rolling_update.and_then(|rolling| rolling.partition).unwrap_or_default();
        let manual = strategy.type_.as_deref() == Some("OnDelete") || partition > 0;
        // `updatedReplicas` is absent once all pods are of the newest template and the set has recorded that.
        let recorded = status.update_revision.is_some() && status.update_revision == status.current_revision;
        let total = status.replicas;
        let updated = if recorded { total } else { status.updated_replicas.unwrap_or_default() };
        Pods {
            observed: self.observed(status.observed_generation),
            desired: spec.replicas.unwrap_or(1),
            total,
            updated,
            available: status.available_replicas.unwrap_or_default(),
            terminating: 0,
            replacement: if manual { Replacement::Manual } else { Replacement::Automatic },
        }
    }
}

impl Kind for DaemonSet {
    const KIND: WorkloadKind = WorkloadKind::DaemonSet;

    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.as_ref().map(|spec| &spec.template)
    }

    fn pods(&self) -> Pods {
        let status = self.status.clone().unwrap_or_default();
        let strategy = self.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref()?.type_.as_deref());
        Pods {
            observed: self.observed(status.observed_generation),
            desired: status.desired_number_scheduled,
            // With maxSurge there is a second pod on a node for a moment; the number of nodes with a pod does not change.
            total: status.current_number_scheduled,
            updated: status.updated_number_scheduled.unwrap_or_default(),
            available: status.number_available.unwrap_or_default(),
            terminating: 0,
            replacement: if strategy == Some("OnDelete") { Replacement::Manual } else { Replacement::Automatic },
        }
    }
}

/// Whether pods of this template hold the Secret: as a volume, or as environment. The kubelet reads the Secrets with which
/// it pulls images at each pull.
fn refers(pod: &PodSpec, secret: &str) -> bool {
    let containers = pod.containers.iter().chain(pod.init_containers.iter().flatten());
    pod.volumes.iter().flatten().any(|volume| mounts(volume, secret)) || containers.into_iter().any(|container| reads(container, secret))
}

fn mounts(volume: &Volume, secret: &str) -> bool {
    let direct = volume.secret.as_ref().is_some_and(|source| source.secret_name.as_deref() == Some(secret));
    let projected = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    let published = volume.csi.as_ref().and_then(|csi| csi.node_publish_secret_ref.as_ref());
    direct
        || projected.filter_map(|source| source.secret.as_ref()).any(|source| source.name == secret)
        || published.is_some_and(|reference| reference.name == secret)
}

fn reads(container: &Container, secret: &str) -> bool {
    let variables = container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()?.secret_key_ref.as_ref());
    let sources = container.env_from.iter().flatten().filter_map(|source| source.secret_ref.as_ref());
    variables.map(|key| &key.name).chain(sources.map(|source| &source.name)).any(|name| name == secret)
}

#[cfg(test)]
mod tests;
