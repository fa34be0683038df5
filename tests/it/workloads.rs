//! Workloads of a namespace. Their controllers are Kubernetes' own; the test is the kubelet, which makes pods ready.

use std::time::Duration;

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams};
use rotated_secrets::api::ROLLED_OUT;
use serde_json::{Value, json};
use testkit::World;

/// How often a state is asked for, and how long after each other.
const PATIENCE: usize = 6000;
const PAUSE: Duration = Duration::from_millis(50);

/// The workloads of one kind.
pub(crate) struct Workloads {
    api: Api<DynamicObject>,
    pods: Api<Pod>,
    resource: ApiResource,
}

impl Workloads {
    pub(crate) fn of(world: &World, kind: &str) -> Self {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", kind));
        let (client, namespace) = (world.admin.clone(), &world.namespace);
        Self { api: Api::namespaced_with(client.clone(), namespace, &resource), pods: Api::namespaced(client, namespace), resource }
    }

    /// Creates one whose pods have the Secret in their environment, and waits until they are ready.
    pub(crate) async fn create(&self, name: &str, secret: &str) -> Result<()> {
        self.create_with(name, secret, json!({})).await
    }

    /// The same with these fields of the spec.
    pub(crate) async fn create_with(&self, name: &str, secret: &str, fields: Value) -> Result<()> {
        let labels = json!({"app": name});
        let container = json!({"name": "app", "image": "app", "envFrom": [{"secretRef": {"name": secret}}]});
        let mut spec = json!({
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        });
        if self.resource.kind == "StatefulSet" {
            spec["serviceName"] = json!(name);
        }
        if let (Some(spec), Value::Object(fields)) = (spec.as_object_mut(), fields) {
            spec.extend(fields);
        }
        let object = json!({"apiVersion": "apps/v1", "kind": self.resource.kind, "metadata": {"name": name}, "spec": spec});
        self.api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
        self.settle(name).await
    }

    /// Makes pods ready until all are of the newest template, and no earlier one is left.
    pub(crate) async fn settle(&self, name: &str) -> Result<()> {
        for _ in 0..PATIENCE {
            self.ready(name, true).await?;
            if self.is_up(name).await? {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("the workload {name} does not come up: {}", self.api.get(name).await?.data["status"])
    }

    async fn is_up(&self, name: &str) -> Result<bool> {
        let found = self.api.get(name).await?;
        let (spec, status) = (&found.data["spec"], &found.data["status"]);
        let desired = spec["replicas"].as_i64().unwrap_or(1);
        // No node runs the pods of a DaemonSet.
        let counts = self.resource.kind == "DaemonSet"
            || ["replicas", "updatedReplicas", "availableReplicas"]
                .iter()
                .all(|field| status[*field].as_i64().unwrap_or_default() == desired);
        Ok(counts && status["observedGeneration"].as_i64() == found.metadata.generation)
    }

    /// Its pods are not ready any more.
    pub(crate) async fn fail(&self, name: &str) -> Result<()> {
        self.ready(name, false).await?;
        for _ in 0..PATIENCE {
            if self.api.get(name).await?.data["status"]["availableReplicas"].as_i64().unwrap_or_default() == 0 {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("the workload {name} stays up")
    }

    /// As a user of `OnDelete` does.
    pub(crate) async fn delete_pods(&self, name: &str) -> Result<()> {
        for pod in self.pods_of(name).await? {
            self.pods.delete(&pod.name_any(), &DeleteParams::default()).await?;
        }
        Ok(())
    }

    async fn pods_of(&self, name: &str) -> Result<Vec<Pod>> {
        Ok(self.pods.list(&ListParams::default().labels(&format!("app={name}"))).await?.items)
    }

    async fn ready(&self, name: &str, ready: bool) -> Result<()> {
        let status = if ready { "True" } else { "False" };
        let patch = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": status}]}});
        for pod in self.pods_of(name).await? {
            let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            let is = conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == status);
            if !is && pod.metadata.deletion_timestamp.is_none() {
                // It may be gone by now.
                let _ = self.pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await;
            }
        }
        Ok(())
    }

    /// Another client changes it.
    pub(crate) async fn patch(&self, name: &str, patch: Value) -> Result<()> {
        self.api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    pub(crate) async fn delete(&self, name: &str) -> Result<()> {
        self.api.delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// The version of the Secret that its pod template names.
    pub(crate) async fn version(&self, name: &str, secret: &str) -> Result<Option<String>> {
        let found = self.api.get(name).await?;
        let annotations = &found.data["spec"]["template"]["metadata"]["annotations"];
        Ok(annotations[format!("{ROLLED_OUT}{secret}")].as_str().map(str::to_owned))
    }

    /// How often its spec was changed since it was created.
    pub(crate) async fn generation(&self, name: &str) -> Result<Option<i64>> {
        Ok(self.api.get(name).await?.metadata.generation)
    }
}
