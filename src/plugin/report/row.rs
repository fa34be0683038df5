//! One row of the report.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;

use crate::api::{AwsDeletionPolicy, CreationPolicy, OnMissedWindow, Outcome, RotatedSecret};
use crate::command::{Command, SecretRef};
use crate::desired::SecretArn;
use crate::plugin::health::Health;

/// The columns, which are the fields of `-o json`.
const COLUMNS: [&str; 25] = [
    "cluster",
    "namespace",
    "name",
    "owner",
    "contact",
    "classification",
    "schedule",
    "strategy",
    "lastRotationTime",
    "ageSeconds",
    "lastDueTime",
    "lastLateSeconds",
    "lastFailedAttempts",
    "nextRotationTime",
    "overdue",
    "overdueSeconds",
    "ready",
    "reason",
    "kmsKeyId",
    "region",
    "secretArn",
    "currentVersionId",
    "deletionPolicy",
    "historyEntries",
    "mirrorSecretName",
];

/// The columns, with or without those that were not asked for: an empty one would say that there are none.
pub(super) fn columns(max_age: bool, readers: bool) -> Vec<&'static str> {
    COLUMNS.into_iter().chain(max_age.then_some("overAge")).chain(readers.then_some("readers")).collect()
}

/// What labels, annotations and tags say of a credential.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct People {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) contact: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) classification: Option<String>,
}

/// A credential. Fields without a value are omitted.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    pub(super) cluster: String,
    pub(super) namespace: String,
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) people: People,
    /// As the spec says it, `none`, or `suspended: ` and what the spec says.
    schedule: String,
    strategy: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_rotation_time: Option<Time>,
    /// Time since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_seconds: Option<i64>,
    /// When the last version that became current was due.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_due_time: Option<Time>,
    /// How long after that it became current.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_late_seconds: Option<i64>,
    /// Failures in a row before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failed_attempts: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_rotation_time: Option<Time>,
    overdue: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    overdue_seconds: Option<i64>,
    /// Status of the condition Ready.
    ready: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// As the spec names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_version_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_policy: Option<AwsDeletionPolicy>,
    history_entries: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mirror_secret_name: Option<String>,
    /// With `--max-age-days`: whether the value is older, if the object has one of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    over_age: Option<bool>,
    /// With `--readers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) readers: Option<Vec<String>>,
    /// With `--readers`: how an administrator finds who can read the value in AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    aws_commands: Option<Vec<String>>,
    /// Fields that this version of the plugin does not know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown_fields: Vec<String>,
}

impl Row {
    /// `object`: absent if it cannot be decoded.
    pub(super) fn of(cluster: &str, health: Health, object: Option<&RotatedSecret>, people: People, now: Timestamp) -> Self {
        let status = object.and_then(|object| object.status.clone()).unwrap_or_default();
        let last = status.history.iter().find(|entry| entry.outcome == Outcome::Succeeded);
        let of_arn = || health.secret_arn.as_deref().and_then(SecretArn::parse).map(|arn| arn.region);
        let of_spec = || object.and_then(|object| object.spec.aws.region.clone());
        Self {
            cluster: cluster.to_owned(),
            people,
            schedule: object.map_or_else(|| "unknown".to_owned(), |object| schedule(object, &health)),
            strategy: object.map_or("unknown", strategy),
            overdue: health.overdue_seconds.is_some(),
            kms_key_id: object.and_then(|object| object.spec.aws.kms_key_id.clone()),
            region: status.aws.and_then(|aws| aws.region).or_else(of_arn).or_else(of_spec),
            deletion_policy: object.map(|object| object.spec.aws.deletion_policy),
            last_due_time: last.and_then(|entry| entry.due_time.clone()),
            last_late_seconds: last.and_then(|entry| Some(entry.time.0.duration_since(entry.due_time.as_ref()?.0).as_secs().max(0))),
            last_failed_attempts: last.and_then(|entry| entry.failed_attempts),
            history_entries: status.history.len(),
            mirror_secret_name: health.mirror_secret_name.filter(|name| !name.is_empty()).or_else(|| mirrored(object?)),
            namespace: health.namespace,
            name: health.name,
            age_seconds: health.last_rotation_time.as_ref().map(|time| now.duration_since(time.0).as_secs().max(0)),
            over_age: None,
            last_rotation_time: health.last_rotation_time,
            next_rotation_time: health.next_rotation_time,
            overdue_seconds: health.overdue_seconds,
            ready: health.ready,
            reason: health.reason,
            secret_arn: health.secret_arn,
            current_version_id: health.current_version_id,
            readers: None,
            aws_commands: None,
            unknown_fields: health.unknown_fields,
        }
    }

    /// The row with whether the value is older than this many days. The value of an object that only mirrors is for others
    /// to rotate, and an object without a value has no age.
    pub(super) fn older_than(self, days: u16) -> Self {
        let most = i64::from(days).saturating_mul(24 * 60 * 60);
        let over_age = self.age_seconds.filter(|_| self.strategy != "mirror").map(|age| age > most);
        Self { over_age, ..self }
    }

    /// The row with who can read the value.
    pub(super) fn read_by(self, readers: Vec<String>) -> Self {
        let commands = |arn: &String| Self::commands(SecretRef::of_arn(arn)).map(|command| command.to_string()).to_vec();
        Self { readers: Some(readers), aws_commands: self.secret_arn.as_ref().map(commands), ..self }
    }

    /// The commands that say who can read this secret in AWS.
    pub(super) fn commands(secret: SecretRef<'_>) -> [Command<'_>; 3] {
        [Command::GetResourcePolicy(secret), Command::SimulateRead(secret), Command::ListFindings(secret)]
    }
}

/// The Secret that the spec declares.
fn mirrored(object: &RotatedSecret) -> Option<String> {
    let target = &object.spec.target;
    let named = || target.name.clone().or_else(|| object.metadata.name.clone());
    if target.creation_policy == CreationPolicy::None { None } else { named() }
}

fn schedule(object: &RotatedSecret, health: &Health) -> String {
    let Some(rotation) = &object.spec.rotation else { return "none".to_owned() };
    let days = || rotation.automatically_after_days.map(|days| format!("automaticallyAfterDays: {days}"));
    let parts = [
        rotation.schedule.clone().or_else(days),
        rotation.time_zone.as_ref().map(|zone| format!("timeZone: {zone}")),
        (rotation.duration != "0s").then(|| format!("duration: {}", rotation.duration)),
        (rotation.on_missed_window == OnMissedWindow::NextWindow).then(|| "onMissedWindow: NextWindow".to_owned()),
    ];
    let words = parts.into_iter().flatten().collect::<Vec<_>>().join("; ");
    if health.suspended || health.rotation_suspended { format!("suspended: {words}") } else { words }
}

/// What makes a new value and takes it to where it is used.
fn strategy(object: &RotatedSecret) -> &'static str {
    match &object.spec.rotation {
        Some(rotation) if rotation.lambda.is_some() => "lambda",
        Some(rotation) => rotation.target_field().unwrap_or("operator"),
        None if object.spec.value.is_none() => "mirror",
        None => "none",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plugin::flags::Flags;
    use crate::plugin::health::judge;

    fn row(spec: &Value, status: &Value) -> Row {
        let object: RotatedSecret = serde_json::from_value(json!({"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret",
            "metadata": {"name": "db", "namespace": "shop", "generation": 1}, "spec": spec, "status": status}))
        .unwrap();
        let health = judge(&object, "2026-06-01T12:00:00Z".parse().unwrap(), &Flags::default());
        let people =
            People { owner: Some("payments".to_owned()), contact: Some("oncall".to_owned()), classification: Some("internal".to_owned()) };
        Row::of("prod", health, Some(&object), people, "2026-06-01T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn schedules_are_in_the_words_of_the_spec() {
        let value = json!({"generate": {"password": {}}});
        for (spec, expected) in [
            (json!({"value": value}), ("none", "none")),
            (json!({}), ("none", "mirror")),
            (json!({"suspend": true}), ("none", "mirror")),
            (json!({"value": value, "rotation": {"schedule": "rate(30 days)"}}), ("rate(30 days)", "operator")),
            (json!({"value": value, "rotation": {"automaticallyAfterDays": 30}}), ("automaticallyAfterDays: 30", "operator")),
            (
                json!({"rotation": {"schedule": "0 8 * * MON", "timeZone": "Europe/Berlin", "duration": "2h", "onMissedWindow": "NextWindow"}}),
                ("0 8 * * MON; timeZone: Europe/Berlin; duration: 2h; onMissedWindow: NextWindow", "operator"),
            ),
            (json!({"rotation": {"schedule": "rate(1 day)", "suspend": true}}), ("suspended: rate(1 day)", "operator")),
            (json!({"suspend": true, "rotation": {"schedule": "rate(1 day)"}}), ("suspended: rate(1 day)", "operator")),
            (
                json!({"rotation": {"schedule": "rate(1 day)", "lambda": {"functionArn": "arn:aws:lambda:eu-central-1:1:function:f"}}}),
                ("rate(1 day)", "lambda"),
            ),
        ] {
            let row = row(&spec, &json!({}));
            assert_eq!((row.schedule.as_str(), row.strategy), expected, "{spec}");
        }
    }

    #[test]
    fn the_columns_are_the_fields_of_json_and_what_has_no_value_is_omitted() {
        let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:k8s/shop/db-Xy12Ab";
        let at = "2026-05-02T12:00:00Z";
        let status = json!({
            "observedGeneration": 1,
            "conditions": [{"type": "Ready", "status": "False", "reason": "AccessDenied", "message": "m", "lastTransitionTime": at}],
            "aws": {"arn": arn, "currentVersionId": "v1"},
            "mirror": {"secretName": "login"},
            "history": [
                {"versionId": "v2", "time": at, "cause": "Scheduled", "outcome": "Abandoned", "failedAttempts": 7},
                {"versionId": "v1", "time": at, "cause": "Scheduled", "outcome": "Succeeded", "dueTime": "2026-05-02T11:00:00Z",
                    "failedAttempts": 2},
            ],
            "lastRotationTime": at, "nextRotationTime": "2026-06-01T11:00:00Z",
        });
        let spec = json!({"aws": {"kmsKeyId": "alias/x", "deletionPolicy": "Delete"}, "rotation": {"schedule": "rate(30 days)"}});
        let row = row(&spec, &status).older_than(29).read_by(vec!["User:jane".to_owned()]);
        let mut document = serde_json::to_value(&row).unwrap();
        let commands = document.as_object_mut().unwrap().remove("awsCommands").unwrap();
        assert_eq!(
            document,
            json!({"cluster": "prod", "namespace": "shop", "name": "db", "owner": "payments", "contact": "oncall",
                "classification": "internal", "schedule": "rate(30 days)",
                "strategy": "operator", "lastRotationTime": at, "ageSeconds": 2_592_000, "overAge": true, "lastDueTime": "2026-05-02T11:00:00Z",
                "lastLateSeconds": 3600, "lastFailedAttempts": 2, "nextRotationTime": "2026-06-01T11:00:00Z", "overdue": true,
                "overdueSeconds": 3600, "ready": "False", "reason": "AccessDenied", "kmsKeyId": "alias/x", "region": "eu-central-1",
                "secretArn": arn, "currentVersionId": "v1", "deletionPolicy": "Delete", "historyEntries": 2,
                "mirrorSecretName": "login", "readers": ["User:jane"]})
        );
        let mut fields: Vec<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
        let mut columns = columns(true, true);
        fields.sort_unstable();
        columns.sort_unstable();
        assert_eq!(fields, columns);
        let first = format!("aws secretsmanager get-resource-policy --region eu-central-1 --secret-id {arn}");
        assert_eq!((&commands[0], commands.as_array().map(Vec::len)), (&json!(first), Some(3)));
    }

    #[test]
    fn a_value_is_over_age_if_it_is_older_and_the_object_has_one_of_its_own() {
        let status = json!({"lastRotationTime": "2026-05-02T12:00:00Z"});
        let value = json!({"value": {"generate": {"password": {}}}});
        for (spec, status, days, expected) in [
            (&value, &status, 29, Some(true)),
            (&value, &status, 30, Some(false)),
            (&value, &json!({}), 29, None),
            (&json!({}), &status, 29, None),
        ] {
            assert_eq!(row(spec, status).older_than(days).over_age, expected, "{spec} {status} {days}");
        }
        assert_eq!(row(&value, &status).over_age, None);
        assert!(!columns(false, true).contains(&"overAge"));
    }

    #[test]
    fn an_object_without_a_status_names_the_secret_that_it_declares() {
        for (target, expected) in
            [(json!({}), Some("db")), (json!({"name": "login"}), Some("login")), (json!({"creationPolicy": "None"}), None)]
        {
            let row = row(&json!({"target": target}), &json!({}));
            assert_eq!(row.mirror_secret_name.as_deref(), expected, "{target}");
            assert_eq!((row.ready.as_str(), row.overdue, row.secret_arn), ("Unknown", false, None));
        }
    }
}
