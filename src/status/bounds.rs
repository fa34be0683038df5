//! The bounds of the status, which the schema declares as well. The API server rejects a status that exceeds them, and
//! with it every report of the operator. Any user with access to the status subresource may have stored one before the
//! schema had bounds. What the operator reads and what it writes therefore passes [`bounded`].

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::rollout::MOST_LISTED;
use crate::api::{
    AwsStatus, FailureStatus, HistoryEntry, RequestStatus, RotatedSecretStatus, StagedAlternation, StagedJob, StagedMysql, StagedPostgres,
    StagedRedis, StagedTarget, StagedWebhook,
};
use crate::desired::SecretArn;
use crate::version_id::VersionId;

/// The status without text and entries that the schema does not allow. A text of which a part has no meaning is removed,
/// not cut.
pub(super) fn bounded(mut status: RotatedSecretStatus) -> RotatedSecretStatus {
    status.conditions.truncate(16);
    status.aws = status.aws.map(aws);
    if let Some(mirror) = &mut status.mirror {
        cut(&mut mirror.secret_name, 253);
        version(&mut mirror.version_id);
        version(&mut mirror.previous_version_id);
        keep(&mut mirror.confirmed_resource_version, 253);
        if let Some(repairs) = &mut mirror.repairs {
            repairs.count = repairs.count.max(0);
            keep(&mut repairs.manager, 128);
        }
    }
    if let Some(declared) = &mut status.declared {
        cut(&mut declared.hash, 64);
        list(&mut declared.fields, 112, |field| fits(field, 253));
        list(&mut declared.fixed_fields, 112, |field| fits(field, 253));
    }
    if let Some(schedule) = &mut status.schedule {
        cut(&mut schedule.expression, 1024);
    }
    status.history.iter_mut().for_each(entry);
    list(&mut status.history, 10, |entry| VersionId::parse(&entry.version_id).is_some());
    status.missed_rotations = status.missed_rotations.max(0);
    status.staged = status.staged.filter(|staged| VersionId::parse(&staged.version_id).is_some());
    status.staged = status.staged.map(|staged| {
        let target = staged.target().filter(target);
        staged.with_target(target)
    });
    if let Some(staged) = &mut status.staged {
        version(&mut staged.from);
        due_time(&mut staged.due_time);
    }
    if let Some(target) = &mut status.target {
        cut(&mut target.host, 320);
        keep(&mut target.reason, 64);
        keep(&mut target.user, 128);
        keep(&mut target.refresh, 128);
        target.message.iter_mut().for_each(|message| cut(message, 2048));
    }
    status.rollout = status.rollout.filter(|rollout| VersionId::parse(&rollout.version_id).is_some());
    if let Some(rollout) = &mut status.rollout {
        list(&mut rollout.workloads, MOST_LISTED, |workload| fits(&workload.name, 253));
        rollout.workloads.iter_mut().for_each(|workload| workload.restarts = workload.restarts.max(0));
        rollout.unlisted = rollout.unlisted.max(0);
        rollout.restarts = rollout.restarts.max(0);
    }
    status.failures = status.failures.map(failures);
    status.requests.iter_mut().for_each(requests);
    status
}

fn aws(mut aws: AwsStatus) -> AwsStatus {
    aws.arn = aws.arn.filter(|arn| arn.len() <= 2048 && SecretArn::parse(arn).is_some());
    keep(&mut aws.region, 32);
    for id in [&mut aws.current_version_id, &mut aws.previous_version_id, &mut aws.pending_version_id] {
        version(id);
    }
    list(&mut aws.retained_version_ids, 20, |id| VersionId::parse(id).is_some());
    aws.place = aws.place.filter(|place| fits(&place.region, 32) && fits(&place.secret_name, 512));
    aws.unseen = aws.unseen.filter(|unseen| VersionId::parse(&unseen.version_id).is_some());
    for replica in &mut aws.replicas {
        cut(&mut replica.status, 32);
        keep(&mut replica.message, 64);
    }
    list(&mut aws.replicas, 64, |replica| fits(&replica.region, 32));
    if let Some(applied) = &mut aws.applied {
        list(&mut applied.tag_keys, 50, |key| fits(key, 128));
        keep(&mut applied.kms_key_id, 2048);
        keep(&mut applied.kms_key_shown, 2048);
        keep(&mut applied.resource_policy, 128);
    }
    aws
}

/// A part of an address or of a certificate has no meaning.
fn target(target: &StagedTarget) -> bool {
    let (host, ca, longest) = match target {
        StagedTarget::Postgres(StagedPostgres { host, ca_bundle, .. })
        | StagedTarget::Mysql(StagedMysql { host, ca_bundle, .. })
        | StagedTarget::Redis(StagedRedis { host, ca_bundle, .. }) => (host, ca_bundle, 253),
        StagedTarget::Webhook(StagedWebhook { url, ca_bundle, .. }) => (url, ca_bundle, 2048),
        StagedTarget::Job(StagedJob { template_name }) => (template_name, &None, 253),
    };
    let others = match target {
        StagedTarget::Postgres(StagedPostgres { database, alternating, .. }) => fits(database, 63) && take_turns(alternating.as_ref()),
        StagedTarget::Mysql(StagedMysql { database, alternating, .. }) => {
            database.as_deref().is_none_or(|database| fits(database, 64)) && take_turns(alternating.as_ref())
        }
        StagedTarget::Redis(StagedRedis { admin_name, .. }) => admin_name.as_deref().is_none_or(|name| fits(name, 253)),
        StagedTarget::Webhook(StagedWebhook { signing_key_name, service_account_token, .. }) => {
            let proofs = [
                signing_key_name.as_deref().map(|name| fits(name, 253)),
                service_account_token.as_ref().map(|token| fits(&token.name, 253) && fits(&token.audience, 2048)),
            ];
            // Exactly one.
            proofs.iter().flatten().eq([&true])
        }
        StagedTarget::Job(_) => true,
    };
    others && fits(host, longest) && ca.as_deref().is_none_or(|ca| fits(ca, 65536))
}

/// Users that take turns, or none.
fn take_turns(users: Option<&StagedAlternation>) -> bool {
    let texts = users.map_or(["", "", ""], |users| [&*users.admin_name, &*users.base, &*users.twin]);
    texts.iter().zip([253, 63, 63]).all(|(text, most)| fits(text, most))
}

/// As [`bounded`].
pub(super) fn failures(mut failures: FailureStatus) -> FailureStatus {
    failures.count = failures.count.max(0);
    failures.requests.iter_mut().for_each(requests);
    keep(&mut failures.access, 64);
    list(&mut failures.steps, 16, |step| {
        let detail = step.detail.as_deref().unwrap_or_default();
        let texts = [(step.step.as_str(), 64), (detail, 256), (&step.condition, 32), (&step.class, 32), (&step.reason, 64)];
        texts.iter().all(|(text, most)| fits(text, *most))
    });
    for step in &mut failures.steps {
        step.count = step.count.max(0);
        cut(&mut step.message, 4096);
    }
    failures
}

fn entry(entry: &mut HistoryEntry) {
    keep(&mut entry.reason, 1024);
    version(&mut entry.copy_of);
    due_time(&mut entry.due_time);
    entry.failed_attempts = entry.failed_attempts.filter(|count| *count > 0);
}

fn requests(requests: &mut RequestStatus) {
    for token in [&mut requests.rotate, &mut requests.rollback, &mut requests.refresh] {
        keep(token, 128);
    }
}

/// As the API server counts.
fn fits(text: &str, most: usize) -> bool {
    text.len() <= most || text.chars().count() <= most
}

fn keep(text: &mut Option<String>, most: usize) {
    *text = text.take().filter(|text| fits(text, most));
}

fn version(id: &mut Option<String>) {
    *id = id.take().filter(|id| VersionId::parse(id).is_some());
}

fn due_time(time: &mut Option<Time>) {
    *time = time.take().filter(|time| time.0 >= Timestamp::UNIX_EPOCH);
}

fn cut(text: &mut String, most: usize) {
    if !fits(text, most) {
        *text = text.chars().take(most).collect();
    }
}

fn list<T>(items: &mut Vec<T>, most: usize, fits: impl Fn(&T) -> bool) {
    items.retain(fits);
    items.truncate(most);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::definition;

    /// What the schema of the status says against this value.
    fn complaints(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
        let number = |name: &str| schema.get(name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        match value {
            Value::String(text) if number("maxLength").is_some_and(|most| text.chars().count() > most) => {
                found.push(format!("{path} is too long"));
            }
            Value::Array(items) => {
                if number("maxItems").is_some_and(|most| items.len() > most) {
                    found.push(format!("{path} has too many items"));
                }
                for item in items {
                    complaints(&schema["items"], item, &format!("{path}[]"), found);
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    complaints(&schema["properties"][name], value, &format!("{path}.{name}"), found);
                }
            }
            _ => {}
        }
    }

    fn schema() -> Value {
        let definition = serde_json::to_value(definition().unwrap()).unwrap();
        definition.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/status").unwrap().clone()
    }

    /// A value in which every text has 5,000 characters, and every list 200 items.
    fn excessive(schema: &Value) -> Value {
        if let Some(words) = schema.get("enum").and_then(Value::as_array) {
            return words[0].clone();
        }
        match schema["type"].as_str().unwrap() {
            "string" if schema["format"].is_string() => "0001-01-01T00:00:00Z".into(),
            "string" => "ä\u{202e}".repeat(2500).into(),
            "array" => (0..200).map(|_| excessive(&schema["items"])).collect(),
            "object" => schema["properties"].as_object().unwrap().iter().map(|(name, schema)| (name.clone(), excessive(schema))).collect(),
            "boolean" => true.into(),
            _ => (-5).into(),
        }
    }

    #[test]
    fn a_status_of_any_size_is_one_that_the_schema_allows() {
        let schema = schema();
        let stored = excessive(&schema);
        let mut before = Vec::new();
        complaints(&schema, &stored, "status", &mut before);
        assert!(before.len() > 40, "{before:#?}");
        let mut status = bounded(serde_json::from_value(stored).unwrap());
        // The texts of conditions are bounded where conditions are merged.
        status.conditions.clear();
        let mut after = Vec::new();
        complaints(&schema, &serde_json::to_value(&status).unwrap(), "status", &mut after);
        assert!(after.is_empty(), "{after:#?}");
        assert_eq!((status.missed_rotations, status.failures.unwrap().count), (0, 0));
        let senseless = json!({"versionId": "00000000-0000-5000-8000-000000000001", "time": "2026-11-26T12:00:00Z", "cause": "Scheduled",
            "outcome": "Succeeded", "dueTime": "0001-01-01T00:00:00Z", "failedAttempts": -5});
        let status = bounded(serde_json::from_value(json!({"history": [senseless]})).unwrap());
        assert_eq!((&status.history[0].due_time, status.history[0].failed_attempts), (&None, None));
    }

    #[test]
    fn a_status_within_the_bounds_stays_as_it_is() {
        let version = "00000000-0000-5000-8000-000000000001";
        let status: RotatedSecretStatus = serde_json::from_value(json!({
            "aws": {
                "arn": format!("arn:aws:secretsmanager:eu-central-1:123456789012:secret:{}-AbCdEf", "x".repeat(512)), "region": "eu-central-1",
                "currentVersionId": version, "retainedVersionIds": [version], "unseen": {"versionId": version, "time": "2026-11-26T12:00:00Z"},
                "place": {"region": "eu-central-1", "secretName": "x".repeat(512), "time": "2026-11-26T12:00:00Z"},
                "replicas": [{"region": "eu-west-1", "status": "InSync"}], "applied": {"tagKeys": ["ä".repeat(128)]},
            },
            "declared": {"hash": "0".repeat(64), "fields": ["password"]},
            "history": [{"versionId": version, "time": "2026-11-26T12:00:00Z", "cause": "Scheduled", "outcome": "Succeeded",
                "dueTime": "2026-11-26T11:59:58Z", "failedAttempts": 2}],
            "requests": {"rotate": "ä".repeat(128)}, "failures": {
                "count": 3, "access": "0".repeat(16),
                "steps": [{
                    "step": "MoveLabel", "detail": "ä".repeat(256), "condition": "Provisioned", "class": "Denied",
                    "reason": "AwsPermissionDenied", "message": "ä".repeat(4096), "count": 3,
                }],
            },
        }))
        .unwrap();
        assert_eq!(bounded(status.clone()), status);
    }
}
