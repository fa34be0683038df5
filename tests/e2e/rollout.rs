//! Workloads take up new versions with the rights of the chart, and a client with the operator's token can change nothing else of
//! them.

use anyhow::{Context as _, Result, ensure};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};
use testkit::until;

use crate::stage::{NAMESPACE, Stage};

const KINDS: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];

/// A workload without pods, which uses the Secret `rolled`.
fn workload(kind: &str) -> Value {
    let labels = json!({"app": "rolled"});
    let container = json!({"name": "app", "image": "app", "envFrom": [{"secretRef": {"name": "rolled"}}]});
    let annotations = json!({"theirs": "stays"});
    let template = json!({"metadata": {"labels": labels, "annotations": annotations}, "spec": {"containers": [container]}});
    let mut spec = json!({"selector": {"matchLabels": labels}, "template": template});
    if kind != "DaemonSet" {
        spec["replicas"] = json!(0);
    }
    if kind == "StatefulSet" {
        spec["serviceName"] = json!("app");
    }
    json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "app"}, "spec": spec})
}

async fn create_workloads(stage: &Stage) -> Result<()> {
    for kind in KINDS {
        stage.plane().apply_yaml_in(&stage.namespace, &workload(kind).to_string()).await?;
    }
    Ok(())
}

/// Workloads without pods take up new versions: those that refer to the Secret, then those that the object names.
pub(crate) async fn tell(stage: &Stage) -> Result<()> {
    create_workloads(stage).await?;
    stage.create("rolled", json!({"value": {"generate": {"password": {}}}, "rollout": {}})).await?;
    stage.ready("rolled").await?;
    rolled_out(stage, "one").await?;
    let named = KINDS.map(|kind| json!({"kind": kind, "name": "app"}));
    stage.patch("rolled", json!({"spec": {"rollout": {"workloads": named}}})).await?;
    rolled_out(stage, "two").await
}

async fn rolled_out(stage: &Stage, token: &str) -> Result<()> {
    stage.kubectl(&["annotate", "rsec", "rolled", &format!("rotated-secrets.io/rotate={token}"), "--overwrite"]).await?;
    let path = r"-o=jsonpath={.items[*].spec.template.metadata.annotations.versions\.rotated-secrets\.io/rolled}";
    until("every workload has the new version", async || {
        let agreed = stage.agreed("rolled").await?.filter(|agreed| agreed.acknowledges(token));
        let current = agreed.and_then(|agreed| agreed.aws.labels.get("AWSCURRENT").cloned());
        let found = stage.kubectl(&["get", "deployments,statefulsets,daemonsets", path]).await?;
        Ok(current.filter(|current| found == [current.as_str(); 3].join(" ")).map(drop))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_operators_token_only_our_annotations_of_pod_templates_are_changed() -> Result<()> {
    let stage = Stage::enter("workloads-policy").await?;
    stage.plane().apply_yaml(include_str!("../../deploy/install.yaml")).await?;
    create_workloads(&stage).await?;
    let client = Client::try_from(stage.plane().service_account_config(NAMESPACE, "rotated-secrets").await?)?;
    let template = |fields: Value| json!({"spec": {"template": fields}});
    let ours = template(json!({"metadata": {"annotations": {"versions.rotated-secrets.io/rolled": "v"}}}));
    let refused = [
        template(json!({"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}})),
        template(json!({"metadata": {"annotations": {"theirs": null}}})),
        template(json!({"metadata": {"labels": {"more": "labels"}}})),
        template(json!({"metadata": {"finalizers": ["example.com/theirs"]}})),
        template(json!({"spec": {"hostNetwork": true}})),
        template(json!({"spec": {"serviceAccountName": "another"}})),
        json!({"spec": {"minReadySeconds": 60}}),
        json!({"spec": {"revisionHistoryLimit": 0}}),
        json!({"metadata": {"labels": {"more": "labels"}}}),
        json!({"metadata": {"annotations": {"more": "annotations"}}}),
        json!({"metadata": {"finalizers": ["example.com/theirs"]}}),
    ];
    let of_kind = |kind: &str| match kind {
        "Deployment" => vec![
            json!({"spec": {"replicas": 9}}),
            json!({"spec": {"paused": true}}),
            json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}}),
        ],
        "StatefulSet" => vec![
            json!({"spec": {"replicas": 9}}),
            json!({"spec": {"ordinals": {"start": 7}}}),
            json!({"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}}}),
        ],
        _ => vec![json!({"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}}})],
    };
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    for kind in KINDS {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", kind));
        let thief: Api<DynamicObject> = Api::namespaced_with(client.clone(), &stage.namespace, &resource);
        let admin: Api<DynamicObject> = Api::namespaced_with(stage.admin.clone(), &stage.namespace, &resource);
        let policy = async |patch: &Value| match thief.patch("app", &dry, &Patch::Merge(patch)).await {
            Ok(_) => Ok(None),
            Err(kube::Error::Api(status)) if status.message.contains("changes only annotations versions.rotated-secrets.io/*") => {
                Ok(Some(()))
            }
            Err(error) => Err(anyhow::Error::from(error)),
        };
        until("the policy is in force", async || policy(&refused[0]).await).await?;
        ensure!(policy(&ours).await?.is_none(), "{kind}: as the operator does");
        for patch in refused.iter().cloned().chain(of_kind(kind)) {
            admin.patch("app", &dry, &Patch::Merge(&patch)).await.with_context(|| format!("{kind}: an administrator may: {patch}"))?;
            ensure!(policy(&patch).await?.is_some(), "{kind}: {patch}");
        }
    }
    Ok(())
}
