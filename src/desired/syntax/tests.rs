//! What an older definition may let through, and the message for it.

use serde_json::{Value, json};

use super::*;

fn refusal(spec: Value) -> Option<String> {
    check("db-admin", &serde_json::from_value(spec).unwrap()).err().map(|refusal| {
        assert_eq!(refusal.reason, Reason::InvalidSpec);
        refusal.message
    })
}

const ARN: &str = "arn:aws:secretsmanager:us-east-1:222233334444:secret:shared/db-AbCdEf";

#[test]
fn names_that_kubernetes_and_aws_take_are_taken() {
    let long = "a".repeat(63);
    for spec in [
        json!({}),
        json!({"target": {"name": "a.b-c.d"}}),
        json!({"target": {"labels": {"team": "", "example.com/Team_1": "A.b-c_D", "x": long}}}),
        json!({"target": {"labels": {
            "app.kubernetes.io/name": "shop", "app.kubernetes.io/instance": "shop-1", "app.kubernetes.io/version": "1.2",
            "app.kubernetes.io/component": "db", "app.kubernetes.io/part-of": "shop",
        }}}),
        json!({"target": {"annotations": {"Example.com/note": "any text\n", "note": ""}}}),
        json!({"target": {"wholeValueKey": ".dockerconfigjson"}}),
        json!({"aws": {"secretName": "rds!db-1fcd41b2"}}),
        json!({"aws": {"secretName": ARN}}),
        json!({"aws": {"secretName": ARN, "region": "us-east-1"}}),
    ] {
        assert_eq!(refusal(spec.clone()), None, "{spec}");
    }
}

#[test]
fn other_names_are_refused_with_the_field_and_the_name() {
    let value = json!({"plainText": {}});
    let long = "a".repeat(64);
    for (spec, field, words) in [
        (json!({"target": {"name": "a.-b"}}), "spec.target.name", "\"a.-b\""),
        (json!({"target": {"name": "a..b"}}), "spec.target.name", "\"a..b\""),
        (json!({"target": {"labels": {"team": "a b"}}}), "spec.target.labels", "\"a b\""),
        (json!({"target": {"labels": {"team": "-a"}}}), "spec.target.labels", "both ends"),
        (json!({"target": {"labels": {"team": long}}}), "spec.target.labels", "63"),
        (json!({"target": {"labels": {"a b": ""}}}), "spec.target.labels", "\"a b\""),
        (json!({"target": {"labels": {"Example.com/a": ""}}}), "spec.target.labels", "PREFIX/NAME"),
        (json!({"target": {"labels": {"a/b/c": ""}}}), "spec.target.labels", "PREFIX/NAME"),
        (json!({"target": {"labels": {"": ""}}}), "spec.target.labels", "PREFIX/NAME"),
        (json!({"target": {"labels": {"app.kubernetes.io/managed-by": "x"}}}), "spec.target.labels", "reserved"),
        (json!({"target": {"labels": {"node-restriction.kubernetes.io/x": "x"}}}), "spec.target.labels", "reserved"),
        (json!({"target": {"labels": {"rotated-secrets.io/x": "x"}}}), "spec.target.labels", "reserved"),
        (json!({"target": {"annotations": {"app.kubernetes.io/name": "x"}}}), "spec.target.annotations", "reserved"),
        (json!({"target": {"annotations": {"Kubernetes.IO/x": "x"}}}), "spec.target.annotations", "reserved"),
        (json!({"target": {"annotations": {"a b": "x"}}}), "spec.target.annotations", "\"a b\""),
        (json!({"target": {"keys": {"a\nb": "x"}}}), "spec.target.keys", "\"a\\nb\""),
        (json!({"target": {"wholeValueKey": ".."}}), "wholeValueKey", "\"..\""),
        (json!({"target": {"wholeValueKey": "a", "keys": {"a": "b"}}}), "spec.target", "not both"),
        (json!({"aws": {"tags": {"aws:x": "y"}}}), "spec.aws.tags", "\"aws:x\""),
        (json!({"aws": {"tags": {"rotated-secrets.io/adopt-by": "y"}}}), "spec.aws.tags", "rotated-secrets.io/"),
        (json!({"aws": {"tags": {"AWS:x": "y"}}}), "spec.aws.tags", "\"AWS:x\""),
        (json!({"aws": {"tags": {"Rotated-Secrets.IO/Cluster": "y"}}}), "spec.aws.tags", "in any case"),
        (json!({"aws": {"secretName": "a b"}}), "spec.aws.secretName", "\"a b\""),
        (json!({"aws": {"secretName": "rds!db-1"}, "value": value}), "spec.aws.secretName", "can only be mirrored"),
        (json!({"aws": {"secretName": ARN}, "value": value}), "spec.aws.secretName", "can only be mirrored"),
        (json!({"aws": {"secretName": ARN, "region": "eu-west-1"}}), "spec.aws.secretName", "remove spec.aws.region"),
        (json!({"aws": {"secretName": ARN.trim_end_matches("-AbCdEf")}}), "spec.aws.secretName", "full ARN"),
        (json!({"aws": {"secretName": ARN.replace("shared/db", "a:b")}}), "spec.aws.secretName", "full ARN"),
    ] {
        let message = refusal(spec.clone()).unwrap_or_else(|| panic!("{spec} is taken"));
        assert!(message.contains(field) && message.contains(words), "{spec}: {message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
    let message = refusal(json!({"target": {"labels": {"team": "x y".repeat(10_000)}}})).unwrap();
    assert!(message.len() < 400, "{}", message.len());
}
