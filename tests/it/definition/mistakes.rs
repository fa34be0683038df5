//! Mistakes that the definition rejects: what is wrong, the spec, and words of the message.

use serde_json::{Value, json};
use testkit::fixtures::spec;

/// A valid spec with something in the place of another.
fn with(path: &str, value: Value) -> Value {
    let mut spec = spec();
    let (parent, key) = path.rsplit_once('/').unwrap();
    let parent = if parent.is_empty() { &mut spec } else { spec.pointer_mut(parent).unwrap() };
    parent.as_object_mut().unwrap().insert(key.to_owned(), value);
    spec
}

/// What can be wrong with the settings of the AWS secret.
pub(super) fn wrong_settings() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("a policy as text", with("/aws", json!({"resourcePolicy": "{}"})), "expected map"),
        ("a policy of nothing", with("/aws", json!({"resourcePolicy": {"Version": "2012-10-17"}})), "Required value"),
        ("a policy without statements", with("/aws", json!({"resourcePolicy": {"Statement": []}})), "should have at least 1 items"),
        (
            "a policy with an effect that is none",
            with("/aws", json!({"resourcePolicy": {"Statement": [{"Effect": "allow"}]}})),
            "Unsupported value",
        ),
        (
            "an action that is no list",
            with("/aws", json!({"resourcePolicy": {"Statement": [{"Effect": "Allow", "Action": "*"}]}})),
            "expected list",
        ),
        (
            "principals without a kind",
            with("/aws", json!({"resourcePolicy": {"Statement": [{"Effect": "Allow", "Principal": "*"}]}})),
            "expected map",
        ),
        (
            "a condition without keys",
            with("/aws", json!({"resourcePolicy": {"Statement": [{"Effect": "Allow", "Condition": {"Bool": [0, 0]}}]}})),
            "expected map",
        ),
        (
            "a policy of more than a policy can be",
            with("/aws", json!({"resourcePolicy": {"Statement": [{"Effect": "Allow", "Resource": vec!["*"; 17]}]}})),
            "Too many",
        ),
        (
            "a policy of a secret that is only mirrored",
            json!({"aws": {"resourcePolicy": {"Statement": [{"Effect": "Deny"}]}}}),
            "require spec.value: without spec.value the AWS secret is managed elsewhere",
        ),
        ("replicas of a secret that is only mirrored", json!({"aws": {"replicaRegions": []}}), "require spec.value"),
        ("adoption of a secret that is only mirrored", json!({"aws": {"adoptionPolicy": "Always"}}), "require spec.value"),
        (
            "a replica at home",
            with("/aws", json!({"region": "eu-west-1", "replicaRegions": [{"region": "eu-west-1"}]})),
            "list other regions only",
        ),
        (
            "a region twice",
            with("/aws", json!({"replicaRegions": [{"region": "eu-west-1"}, {"region": "eu-west-1"}]})),
            "duplicate entries",
        ),
        ("a replica without a region", with("/aws", json!({"replicaRegions": [{"kmsKeyId": "alias/x"}]})), "key field"),
        ("a region that is none", with("/aws", json!({"replicaRegions": [{"region": "Frankfurt"}]})), "should match"),
        ("an adoption that nobody knows", with("/aws", json!({"adoptionPolicy": "IfAnnotated"})), "Unsupported value"),
    ]
}

/// Mistakes in excluded periods.
pub(super) fn mistakes_in_periods() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("a period of words", with("/rotation/excludePeriods", json!([{"from": "christmas", "to": "2027-01-06"}])), "must be of type date"),
        (
            "a day that no month has",
            with("/rotation/excludePeriods", json!([{"from": "2026-02-30", "to": "2026-03-06"}])),
            "must be of type date",
        ),
        (
            "a period that ends before it begins",
            with("/rotation/excludePeriods", json!([{"from": "2027-01-06", "to": "2026-12-20"}])),
            "from is the first and to the last day",
        ),
        (
            "a period of two years",
            with("/rotation/excludePeriods", json!([{"from": "2026-01-01", "to": "2027-01-02"}])),
            "at most 366 days",
        ),
        ("a period without an end", with("/rotation/excludePeriods", json!([{"from": "2026-12-20"}])), "Required value"),
    ]
}

/// A valid spec with one mutation, and the words that the refusal must have.
pub(super) fn mistakes() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("a schedule of nothing", with("/rotation/schedule", json!("soon")), "use rate(30 days)"),
        ("a rate of zero", with("/rotation/schedule", json!("rate(0 days)")), "use rate(30 days)"),
        ("a rate of weeks", with("/rotation/schedule", json!("rate(2 weeks)")), "use rate(30 days)"),
        ("a cron of four fields", with("/rotation/schedule", json!("0 8 1 *")), "use rate(30 days)"),
        ("a zone beside a rate", with("/rotation/timeZone", json!("Europe/Berlin")), "requires a five-field cron expression"),
        (
            "a zone beside AWS's cron",
            with("/rotation", json!({"schedule": "cron(0 8 1 * ? *)", "timeZone": "Europe/Berlin"})),
            "requires a five-field cron expression",
        ),
        (
            "a zone beside days",
            with("/rotation", json!({"automaticallyAfterDays": 30, "timeZone": "Europe/Berlin"})),
            "requires a five-field cron expression",
        ),
        (
            "a zone that is an offset",
            with("/rotation", json!({"schedule": "0 8 1 * *", "timeZone": "+02:00"})),
            "use an IANA name such as Europe/Berlin",
        ),
        ("a window of a day as one says it", with("/rotation/duration", json!("1d")), "a day is 24h"),
        ("a window backwards", with("/rotation/duration", json!("30m1h")), "in this order"),
        ("a window of fractions", with("/rotation/duration", json!("1.5h")), "in this order"),
        ("a window without a unit", with("/rotation/duration", json!("30")), "in this order"),
        ("a policy that nobody knows", with("/rotation/onMissedWindow", json!("Skip")), "Unsupported value"),
        ("a strict window of no length", with("/rotation/onMissedWindow", json!("NextWindow")), "a duration of at least 5m"),
        (
            "a strict window of four minutes",
            with("/rotation", json!({"schedule": "rate(1 hour)", "duration": "4m59s", "onMissedWindow": "NextWindow"})),
            "a duration of at least 5m",
        ),
        ("two schedules", with("/rotation/automaticallyAfterDays", json!(30)), "exactly one of schedule or automaticallyAfterDays"),
        ("no schedule", with("/rotation", json!({})), "exactly one of schedule or automaticallyAfterDays"),
        ("a rotation of nothing", json!({"rotation": {"schedule": "rate(30 days)"}}), "spec.rotation requires spec.value or"),
        (
            "a rotation of fixed fields",
            json!({"value": {"data": {"a": "b"}}, "rotation": {"schedule": "rate(30 days)"}}),
            "spec.rotation requires a generated field",
        ),
        (
            "fixed fields of more than AWS holds",
            with("/value/data", (0..10).map(|field| (format!("field-{field}"), json!("x".repeat(8000)))).collect()),
            "at most 65,536 characters in total",
        ),
        ("an empty value", json!({"value": {}}), "at least one field in data or generate"),
        ("plain text and fields", with("/value/plainText", json!({})), "either plainText alone"),
        ("a field both fixed and generated", with("/value/data", json!({"password": "x"})), "both data (fixed) and generate (generated)"),
        ("a field that is no key", with("/value/data", json!({"user name": "x"})), "letters, digits, dots"),
        (
            "a password of no characters",
            with(
                "/value/generate",
                json!({"password": {
                    "excludeNumbers": true, "excludePunctuation": true, "excludeUppercase": true, "excludeLowercase": true,
                }}),
            ),
            "a password requires characters",
        ),
        (
            "a password that is too weak",
            with("/value/generate", json!({"password": {"passwordLength": 11}})),
            "a password with less than 64 bits",
        ),
        ("a short password", with("/value/generate", json!({"password": {"passwordLength": 7}})), "greater than or equal to 8"),
        ("a window of six days", with("/aws", json!({"recoveryWindowInDays": 6})), "greater than or equal to 7"),
        ("a tag of AWS", with("/aws", json!({"tags": {"aws:x": "y"}})), "must not start with aws:"),
        ("a tag of ours", with("/aws", json!({"tags": {"rotated-secrets.io/uid": "y"}})), "must not start with aws:"),
        ("two versions to keep", with("/aws", json!({"keepVersions": 2})), "3 or more"),
        ("eleven versions to keep", with("/aws", json!({"keepVersions": 11})), "less than or equal to 10"),
        (
            "a version and a label",
            with("/target", json!({"versionId": "3e0c7d7e-9d2f-5f1c-8a11-57c54e0c9e6f", "versionStage": "AWSPREVIOUS"})),
            "remove one of the two",
        ),
        (
            "a label for a version",
            with("/target", json!({"versionId": "AWSPREVIOUS"})),
            "for a staging label such as AWSPREVIOUS use versionStage",
        ),
        (
            "two words for a version",
            with("/target", json!({"versionId": "3e0c7d7e-9d2f-5f1c-8a11-57c54e0c9e6f x"})),
            "for a staging label such as AWSPREVIOUS use versionStage",
        ),
        ("a value that may not work yet", with("/target", json!({"versionStage": "AWSPENDING"})), "pin a version with versionId"),
        ("a label that moves", with("/target", json!({"versionStage": "rotated-secrets/2"})), "pin a version with versionId"),
        ("a label of nothing", with("/target", json!({"versionStage": ""})), "at least 1 chars"),
        ("a service account's token", with("/target", json!({"type": "kubernetes.io/service-account-token"})), "Unsupported value"),
        ("a label of Kubernetes", with("/target", json!({"labels": {"kubernetes.io/x": "y"}})), "are reserved"),
        ("an annotation of ours", with("/target", json!({"annotations": {"rotated-secrets.io/version-id": "y"}})), "are reserved"),
        ("a Secret's name in capitals", with("/target", json!({"name": "Admin"})), "lowercase letters"),
        ("a key that is no key", with("/target", json!({"keys": {"DB PASSWORD": "password"}})), "keys of a Secret"),
        ("a namespace to write into", with("/target", json!({"namespace": "other"})), "field not declared in schema"),
        ("an endpoint", with("/aws", json!({"endpoint": "http://127.0.0.1"})), "field not declared in schema"),
        ("a role", with("/aws", json!({"roleArn": "arn:aws:iam::1:role/x"})), "field not declared in schema"),
    ]
}

/// The same for the names of secrets, labels and keys.
pub(super) fn wrong_names() -> Vec<(&'static str, Value, &'static str)> {
    let arn = "arn:aws:secretsmanager:eu-central-1:222233334444:secret:shared/db-AbCdEf";
    vec![
        (
            "half an ARN",
            json!({"aws": {"secretName": "arn:aws:secretsmanager:eu-central-1:1:secret:a"}}),
            "the full ARN of a secret, with the six characters",
        ),
        ("an ARN of a secret to create", with("/aws", json!({"secretName": arn})), "can only be mirrored"),
        ("an ARN of another region", json!({"aws": {"secretName": arn, "region": "us-east-1"}}), "names another region"),
        ("a secret of a service to create", with("/aws", json!({"secretName": "rds!db-1"})), "can only be mirrored"),
        ("a recommended label that is ours", with("/target", json!({"labels": {"app.kubernetes.io/managed-by": "y"}})), "are reserved"),
        ("a label with a space", with("/target", json!({"labels": {"team": "a b"}})), "spec.target.labels: use keys and values"),
        ("a label of two prefixes", with("/target", json!({"labels": {"a/b/c": "d"}})), "spec.target.labels: use keys and values"),
        ("an annotation with a space", with("/target", json!({"annotations": {"a b": "c"}})), "spec.target.annotations: use keys"),
        ("an annotation of Kubernetes in capitals", with("/target", json!({"annotations": {"Kubernetes.IO/x": "y"}})), "are reserved"),
        ("a Secret's name with an empty part", with("/target", json!({"name": "a.-b"})), "a letter or digit next to each dot"),
        (
            "a key for the whole that is none",
            with("/target", json!({"wholeValueKey": "a b"})),
            "spec.target.wholeValueKey: a key of a Secret",
        ),
        (
            "the whole and fields of it",
            with("/target", json!({"wholeValueKey": "a", "keys": {"b": "password"}})),
            "set only one of the two",
        ),
    ]
}

/// The same for what AWS does not take.
pub(super) fn mistakes_by_aws() -> Vec<(&'static str, Value, &'static str)> {
    let lambda_rotation = |more: Value| {
        let function = "arn:aws:lambda:eu-central-1:123456789012:function:rotate";
        let mut rotation = json!({"schedule": "rate(30 days)", "lambda": {"functionArn": function}});
        rotation.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"rotation": rotation})
    };
    vec![
        (
            "a function that is no ARN",
            lambda_rotation(json!({"lambda": {"functionArn": "arn:aws:s3:::rotate-the-password"}})),
            "use the full ARN of a function",
        ),
        ("a function that has no name", lambda_rotation(json!({"lambda": {}})), "functionArn: Required value"),
        ("five-field cron by AWS", lambda_rotation(json!({"schedule": "0 8 1 * *"})), "with lambda, AWS runs the schedule"),
        (
            "a zone by AWS",
            lambda_rotation(json!({"schedule": "0 8 1 * *", "timeZone": "Europe/Berlin"})),
            "with lambda, AWS runs the schedule",
        ),
        ("minutes by AWS", lambda_rotation(json!({"schedule": "rate(300 minutes)"})), "with lambda, AWS runs the schedule"),
        ("three hours by AWS", lambda_rotation(json!({"schedule": "rate(3 hours)"})), "with lambda, AWS runs the schedule"),
        ("a thousand days by AWS", lambda_rotation(json!({"schedule": "rate(1000 days)"})), "with lambda, AWS runs the schedule"),
        ("half an hour by AWS", lambda_rotation(json!({"duration": "30m"})), "with lambda, use whole hours"),
        ("two days by AWS", lambda_rotation(json!({"duration": "48h"})), "with lambda, use whole hours"),
        ("a strict window by AWS", lambda_rotation(json!({"duration": "2h", "onMissedWindow": "NextWindow"})), "not supported with lambda"),
    ]
}
