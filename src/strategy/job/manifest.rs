//! The Job that is made from a CronJob. The template is kept as JSON, so that fields which this release does not know, such as
//! those of a newer Kubernetes, are in the Job too.

use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::ask::Ask;
use super::values::labels;
use crate::api::{GROUP, JOB_INPUTS, TEMPLATE_FOR};
use crate::desired::glob_allows;
use crate::strategy::Refused;

/// The volume with the values.
pub(super) const VOLUME: &str = "rotated-secrets";
/// Where containers have it, unless the template mounts it itself.
const MOUNT_PATH: &str = "/rotated-secrets";
/// How long a Job stays after its end, in seconds, unless the template says more: its log may be needed, and as long as it is
/// there, a replica that comes late creates no other one.
const LASTS: i64 = 3600;
const LASTS_AT_LEAST: i64 = 600;

/// What the object may make a Job from: the jobTemplate of the CronJob.
pub(super) fn job_template<'t>(template: &'t Value, ask: &Ask<'_>) -> Result<&'t Value, Refused> {
    if template.pointer("/metadata/deletionTimestamp").is_some() {
        return Err(Refused::TemplateMissing);
    }
    if template.pointer("/spec/suspend") != Some(&Value::Bool(true)) {
        return Err(Refused::TemplateNotSuspended);
    }
    let annotations = template.pointer("/metadata/annotations");
    let offered = annotations.and_then(|annotations| annotations.get(TEMPLATE_FOR)).and_then(Value::as_str);
    if !offered.is_some_and(|names| glob_allows(names, ask.object.name)) {
        return Err(Refused::TemplateNotOffered);
    }
    template.pointer("/spec/jobTemplate").ok_or(Refused::TemplateUnusable)
}

/// The Job. `secret`: the name of the Secret with its values.
pub(super) fn manifest(job_template: &Value, ask: &Ask<'_>, secret: &str) -> Result<Value, Refused> {
    let inputs = ask.inputs(job_template);
    let mut pod = job_template.pointer("/spec/template").cloned().ok_or(Refused::TemplateUnusable)?;
    object(entry(&mut pod, "metadata")?, "annotations")?.insert(JOB_INPUTS.to_owned(), json!(inputs));
    prepare(entry(&mut pod, "spec")?, secret)?;
    let of_template = |path: &str| job_template.pointer(path).and_then(Value::as_object).cloned().unwrap_or_default();
    let mut job_labels = of_template("/metadata/labels");
    job_labels.extend(labels(ask.object.uid).into_iter().map(|(key, value)| (key, Value::String(value))));
    let mut annotations = of_template("/metadata/annotations");
    annotations.insert(JOB_INPUTS.to_owned(), json!(inputs));
    let lasts = job_template.pointer("/spec/ttlSecondsAfterFinished").and_then(Value::as_i64).unwrap_or(LASTS);
    let mut spec = json!({
        "template": pod,
        "completions": 1,
        "parallelism": 1,
        "backoffLimit": 0,
        "activeDeadlineSeconds": ask.timeout.max(SignedDuration::from_secs(1)).as_secs(),
        "ttlSecondsAfterFinished": lasts.max(LASTS_AT_LEAST),
        // Without it, an exit code is in the status of the pod only, which the operator may not read.
        "podFailurePolicy": {"rules": [{
            "action": "FailJob",
            "onExitCodes": {"operator": "In", "values": [1, 2, 3, 4, 5, 6, 7, 8, 9]},
        }]},
    });
    // Another controller may run the Jobs of the cluster.
    if let (Some(spec), Some(manager)) = (spec.as_object_mut(), job_template.pointer("/spec/managedBy")) {
        spec.insert("managedBy".to_owned(), manager.clone());
    }
    Ok(json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": ask.name(),
            "namespace": ask.object.namespace,
            "labels": job_labels,
            "annotations": annotations,
            "ownerReferences": [{
                "apiVersion": format!("{GROUP}/v1alpha1"),
                "kind": "RotatedSecret",
                "name": ask.object.name,
                "uid": ask.object.uid,
                "controller": true,
            }],
        },
        "spec": spec,
    }))
}

/// Gives the pod the volume. If the template has one of this name, it decides which containers mount it.
fn prepare(pod: &mut Map<String, Value>, secret: &str) -> Result<(), Refused> {
    pod.insert("restartPolicy".to_owned(), json!("Never"));
    let ours = json!({"name": VOLUME, "secret": {"secretName": secret, "defaultMode": 0o444}});
    let volumes = list(pod, "volumes")?;
    if let Some(placeholder) = volumes.iter_mut().find(|volume| volume.get("name") == Some(&json!(VOLUME))) {
        *placeholder = ours;
        return Ok(());
    }
    volumes.push(ours);
    for containers in ["initContainers", "containers"] {
        if !pod.contains_key(containers) {
            continue;
        }
        for container in list(pod, containers)? {
            let container = container.as_object_mut().ok_or(Refused::TemplateUnusable)?;
            list(container, "volumeMounts")?.push(json!({"name": VOLUME, "mountPath": MOUNT_PATH, "readOnly": true}));
        }
    }
    Ok(())
}

fn entry<'v>(value: &'v mut Value, key: &str) -> Result<&'v mut Map<String, Value>, Refused> {
    object(value.as_object_mut().ok_or(Refused::TemplateUnusable)?, key)
}

fn object<'v>(map: &'v mut Map<String, Value>, key: &str) -> Result<&'v mut Map<String, Value>, Refused> {
    let value = map.entry(key).or_insert_with(|| json!({}));
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut().ok_or(Refused::TemplateUnusable)
}

fn list<'v>(map: &'v mut Map<String, Value>, key: &str) -> Result<&'v mut Vec<Value>, Refused> {
    let value = map.entry(key).or_insert_with(|| json!([]));
    if value.is_null() {
        *value = json!([]);
    }
    value.as_array_mut().ok_or(Refused::TemplateUnusable)
}

#[cfg(test)]
mod tests {
    use super::super::ask::tests::ask;
    use super::*;
    use crate::strategy::webhook::Step;

    fn cron_job(pod: &Value) -> Value {
        json!({
            "metadata": {"name": "rotate-orders", "annotations": {TEMPLATE_FOR: "orders, other-*"}},
            "spec": {"schedule": "@yearly", "suspend": true, "jobTemplate": {
                "metadata": {"labels": {"team": "shop", "app.kubernetes.io/managed-by": "another-tool"}},
                "spec": {"backoffLimit": 6, "parallelism": 5, "ttlSecondsAfterFinished": 0, "suspend": true, "template": {"spec": pod}},
            }},
        })
    }

    fn made(pod: &Value) -> Value {
        let (template, ask) = (cron_job(pod), ask(Step::Apply));
        manifest(job_template(&template, &ask).unwrap(), &ask, "the-secret").unwrap()
    }

    #[test]
    fn only_a_cron_job_that_is_suspended_and_names_the_object_is_a_template() {
        let ask = ask(Step::Apply);
        let refused = |template: &Value| job_template(template, &ask).err();
        let good = cron_job(&json!({"containers": []}));
        assert_eq!(refused(&good), None);
        let with = |path: &str, key: &str, value: Value| {
            let mut changed = good.clone();
            changed.pointer_mut(path).unwrap().as_object_mut().unwrap().insert(key.to_owned(), value);
            refused(&changed)
        };
        for value in [json!(false), json!("true"), Value::Null] {
            assert_eq!(with("/spec", "suspend", value.clone()), Some(Refused::TemplateNotSuspended), "{value}");
        }
        for value in [json!({}), json!({TEMPLATE_FOR: ""}), json!({TEMPLATE_FOR: "order, orders2"}), json!({TEMPLATE_FOR: 7}), Value::Null]
        {
            assert_eq!(with("/metadata", "annotations", value.clone()), Some(Refused::TemplateNotOffered), "{value}");
        }
        assert_eq!(with("/metadata", "annotations", json!({TEMPLATE_FOR: "ord*"})), None);
        assert_eq!(with("/metadata", "deletionTimestamp", json!("2026-11-28T10:00:00Z")), Some(Refused::TemplateMissing));
    }

    #[test]
    fn a_job_has_one_pod_that_is_never_repeated_and_every_container_has_the_values() {
        let job = made(&json!({
            "restartPolicy": "OnFailure", "serviceAccountName": "rotator", "fieldOfTomorrow": {"kept": true},
            "initContainers": [{"name": "wait"}],
            "containers": [{"name": "main", "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]}],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        }));
        let at = |path: &str| job.pointer(path).cloned().unwrap_or_default();
        assert_eq!(at("/spec/backoffLimit"), json!(0));
        assert_eq!((at("/spec/completions"), at("/spec/parallelism"), at("/spec/suspend")), (json!(1), json!(1), Value::Null));
        assert_eq!((at("/spec/activeDeadlineSeconds"), at("/spec/ttlSecondsAfterFinished")), (json!(300), json!(600)));
        assert_eq!(at("/spec/template/spec/restartPolicy"), json!("Never"));
        assert_eq!(at("/spec/template/spec/fieldOfTomorrow/kept"), json!(true), "also what this release does not know");
        assert_eq!(at("/spec/template/spec/serviceAccountName"), json!("rotator"));
        assert_eq!(at("/spec/template/spec/volumes/1/secret/secretName"), json!("the-secret"));
        let mount = json!({"name": VOLUME, "mountPath": "/rotated-secrets", "readOnly": true});
        assert_eq!(at("/spec/template/spec/containers/0/volumeMounts/1"), mount);
        assert_eq!(at("/spec/template/spec/initContainers/0/volumeMounts/0"), mount);
        assert_eq!(at("/metadata/labels/team"), json!("shop"));
        assert_eq!(at("/metadata/labels/app.kubernetes.io~1managed-by"), json!("rotated-secrets"), "its own labels count");
        assert_eq!(at("/metadata/ownerReferences/0/uid"), json!("u-1"));
        assert_eq!(at("/spec/managedBy"), Value::Null);
    }

    #[test]
    fn a_template_that_has_the_volume_decides_who_mounts_it() {
        let job = made(&json!({
            "containers": [{"name": "main", "volumeMounts": [{"name": VOLUME, "mountPath": "/in"}]}, {"name": "sidecar"}],
            "volumes": [{"name": VOLUME, "emptyDir": {}}],
        }));
        let volumes = job.pointer("/spec/template/spec/volumes").unwrap();
        assert_eq!(volumes, &json!([{"name": VOLUME, "secret": {"secretName": "the-secret", "defaultMode": 292}}]));
        assert_eq!(job.pointer("/spec/template/spec/containers/1/volumeMounts"), None);
    }

    #[test]
    fn a_template_of_another_form_is_refused_and_nothing_panics() {
        let ask = ask(Step::Apply);
        for template in
            [json!({}), json!({"spec": {}}), json!({"spec": {"template": 7}}), json!({"spec": {"template": {"spec": {"volumes": {}}}}})]
        {
            assert_eq!(manifest(&template, &ask, "s"), Err(Refused::TemplateUnusable), "{template}");
        }
        let empty = json!({"spec": {"template": {"metadata": null, "spec": {"volumes": null, "containers": null}}}});
        assert!(manifest(&empty, &ask, "s").is_ok(), "the API server says what is missing");
    }
}
