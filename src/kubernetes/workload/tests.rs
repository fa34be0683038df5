use serde_json::{Value, json};

use super::*;
use crate::api::WorkloadState;

fn template(pod: &Value) -> PodTemplateSpec {
    serde_json::from_value(json!({"spec": pod})).unwrap()
}

#[test]
fn a_pod_refers_to_a_secret_by_volume_or_environment() {
    let container = |fields: Value| {
        let mut container = json!({"name": "c"});
        container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        container
    };
    let plain = || json!([container(json!({}))]);
    for (pod, refers_to) in [
        (json!({"containers": plain()}), false),
        (json!({"containers": plain(), "volumes": [{"name": "v", "secret": {"secretName": "db"}}]}), true),
        (json!({"containers": plain(), "volumes": [{"name": "v", "secret": {"secretName": "db-2"}}]}), false),
        (json!({"containers": plain(), "volumes": [{"name": "db", "configMap": {"name": "db"}}]}), false),
        (json!({"containers": plain(), "volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "db"}}]}}]}), true),
        (json!({"containers": plain(), "volumes": [{"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "db"}}}]}), true),
        (json!({"containers": [container(json!({"envFrom": [{"secretRef": {"name": "db"}}]}))]}), true),
        (
            json!({"containers": [container(json!({"env": [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "db", "key": "p"}}}]}))]}),
            true,
        ),
        (json!({"containers": [container(json!({"env": [{"name": "P", "value": "db"}]}))]}), false),
        (json!({"containers": plain(), "initContainers": [container(json!({"envFrom": [{"secretRef": {"name": "db"}}]}))]}), true),
        (json!({"containers": plain(), "imagePullSecrets": [{"name": "db"}]}), false),
        (json!({"containers": plain(), "serviceAccountName": "db"}), false),
    ] {
        assert_eq!(refers(template(&pod).spec.as_ref().unwrap(), "db"), refers_to, "{pod}");
    }
}

fn state<K: Kind + DeserializeOwned>(workload: &Value) -> WorkloadState {
    let workload: K = serde_json::from_value(workload.clone()).unwrap();
    let mut found = facts(&workload, "db");
    found.uid = Some("u".to_owned());
    found.version = Some("v".into());
    found.state(&"v".into())
}

#[test]
fn the_three_kinds_are_read_as_their_controllers_write_them() {
    use WorkloadState::{Healthy, Manual, Paused, Progressing, ScaledToZero, Stuck};
    let deployment = |spec: Value, status: Value| json!({"metadata": {"name": "w", "generation": 2}, "spec": spec, "status": status});
    let template = json!({"metadata": {}});
    let spec = |more: Value| {
        let mut spec = json!({"selector": {}, "template": template, "serviceName": "w", "replicas": 2});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let fine = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2});
    let deadline = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]);
    for (more, status, expected) in [
        (json!({}), fine.clone(), Healthy),
        (json!({}), json!({}), Progressing),
        (json!({}), json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}), Progressing),
        (json!({"replicas": 0}), json!({"observedGeneration": 2}), ScaledToZero),
        (json!({"paused": true}), json!({"observedGeneration": 2, "replicas": 2, "availableReplicas": 2}), Paused),
        (
            json!({}),
            json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 1, "availableReplicas": 2, "conditions": deadline}),
            Stuck,
        ),
        (json!({}), json!({"observedGeneration": 1, "replicas": 3, "updatedReplicas": 1, "conditions": deadline}), Progressing),
        (
            json!({}),
            json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "terminatingReplicas": 1}),
            Progressing,
        ),
    ] {
        assert_eq!(state::<Deployment>(&deployment(spec(more), status.clone())), expected, "{status}");
    }
    let revision = |current: &str, updated: i32| json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": updated, "availableReplicas": 2, "currentRevision": current, "updateRevision": "b"});
    let partition = json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}});
    for (more, status, expected) in [
        (json!({}), revision("a", 1), Progressing),
        (json!({}), revision("a", 2), Healthy),
        (json!({}), revision("b", 0), Healthy),
        (json!({"updateStrategy": {"type": "OnDelete"}}), revision("a", 1), Manual),
        (partition, revision("a", 1), Manual),
    ] {
        assert_eq!(state::<StatefulSet>(&deployment(spec(more), status.clone())), expected, "{status}");
    }
    let nodes = |updated: i32, available: i32| {
        json!({"observedGeneration": 2, "desiredNumberScheduled": 3, "currentNumberScheduled": 3, "numberMisscheduled": 0, "numberReady": available,
               "updatedNumberScheduled": updated, "numberAvailable": available})
    };
    for (more, status, expected) in [
        (json!({}), nodes(3, 3), Healthy),
        (json!({}), nodes(2, 3), Progressing),
        (json!({}), nodes(3, 2), Progressing),
        (json!({"updateStrategy": {"type": "OnDelete"}}), nodes(1, 3), Manual),
    ] {
        assert_eq!(state::<DaemonSet>(&deployment(spec(more), status.clone())), expected, "{status}");
    }
}

#[test]
fn a_field_manager_is_of_one_secret_and_not_too_long() {
    assert_eq!(field_manager("db"), "rotated-secrets-rollout-db");
    let long = |end: &str| field_manager(&format!("{}{end}", "a".repeat(250)));
    assert!(long("x").len() <= 128 && long("x") != long("y"));
}
