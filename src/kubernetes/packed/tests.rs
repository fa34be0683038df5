use serde_json::{Value, json};

use super::super::stored::DEEPEST;
use super::*;

fn packed(text: &str) -> Packed {
    serde_json::from_str(text).unwrap()
}

/// As the API server stores it: keys in alphabetical order.
fn text(spec: &Value, status: &Value) -> String {
    json!({
        "apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret",
        "metadata": {
            "name": "cache-7", "namespace": "checkout", "uid": "5f0cbb1e-7a3a-4d66-a1ad-5a3b0cbb1c11", "resourceVersion": "81723",
            "generation": 2, "creationTimestamp": "2026-10-02T07:11:12Z", "labels": {"team": "checkout"},
            "annotations": {"rotated-secrets.io/rotate": "today", "kubectl.kubernetes.io/last-applied-configuration": "x".repeat(2000)},
            "managedFields": [{"manager": "kubectl", "operation": "Apply", "time": "2026-10-02T07:11:12Z", "fieldsV1": {"f:spec": {}}}],
        },
        "spec": spec, "status": status,
    })
    .to_string()
}

fn condition(of: &str, message: &str) -> Value {
    json!({"type": of, "status": "True", "reason": "Succeeded", "message": message, "observedGeneration": 2,
           "lastTransitionTime": "2026-10-02T07:11:19Z"})
}

fn status() -> Value {
    let version = "3d0d6a0c-93f4-5c55-9d3f-0c7f8a35a9b1";
    json!({
        "observedGeneration": 2,
        "aws": {"arn": "arn:aws:secretsmanager:eu-west-1:987654321098:secret:k8s/checkout/cache-7-Zk81Qa", "region": "eu-west-1",
                "currentVersionId": version},
        "conditions": [
            condition("Ready", &format!("version {version} is current and mirrored")),
            condition("Provisioned", "the AWS secret exists and is as declared"),
            condition("Rotated", "next rotation at 2026-12-01T03:00:00Z"),
            condition("Mirrored", &format!("the Secret holds version {version}")),
        ],
        "history": [{"versionId": version, "time": "2026-11-01T03:00:07Z", "cause": "Scheduled", "outcome": "Succeeded"}],
        "mirror": {"secretName": "cache-7", "versionId": version, "lastWriteTime": "2026-11-01T03:00:08Z"},
        "schedule": {"expression": "rate(30 days)", "since": "2026-10-02T07:11:12Z"},
        "lastRotationTime": "2026-11-01T03:00:07Z", "nextRotationTime": "2026-12-01T03:00:00Z",
    })
}

fn spec() -> Value {
    json!({"rotation": {"schedule": "rate(30 days)"}, "target": {"name": "cache-7"}, "value": {"generate": {"password": {}}}})
}

#[test]
fn an_object_is_unpacked_as_it_was_decoded() {
    let lost = json!({"aws": {"arn": "arn:aws:secretsmanager:eu-west-1:987654321098:secret:k8s/x-Zk81Qa"}, "history": 7});
    for (spec, status) in [(spec(), status()), (spec(), Value::Null), (spec(), lost)] {
        let text = text(&spec, &status);
        let (Stored::Readable(unpacked), Stored::Readable(decoded)) = (packed(&text).unpack(), Stored::decode(&text)) else {
            panic!("both are readable")
        };
        let [unpacked, mut decoded] = [unpacked, decoded].map(|object| serde_json::to_value(object).unwrap());
        decoded["metadata"].as_object_mut().unwrap().remove("managedFields");
        assert_eq!(unpacked, decoded);
    }
}

#[test]
fn an_object_that_cannot_be_decoded_keeps_its_metadata_and_its_defect() {
    let mut deep = Value::Null;
    for _ in 0..DEEPEST {
        deep = json!([deep]);
    }
    let packed = packed(&text(&json!({"odd": deep}), &status()));
    assert!(packed.member().is_none());
    let Stored::Unreadable(unreadable) = packed.unpack() else { panic!("it cannot be decoded") };
    assert_eq!((unreadable.metadata.name.as_deref(), unreadable.defect), (Some("cache-7"), Defect::TooDeep("spec")));
    assert!(unreadable.arn.is_some());
}

/// What an object needs beside its packed JSON does not depend on its content.
#[test]
fn a_usual_object_needs_less_than_a_kilobyte_for_its_content() {
    let text = text(&spec(), &status());
    let Content::Readable(content, member) = packed(&text).content else { panic!("it is readable") };
    println!("{} bytes of JSON, {} packed, and {} for statistics", text.len(), content.len(), size_of_val(&*member));
    assert!(content.len() < 700, "{}", content.len());
    assert!(size_of_val(&*member) <= 192 && size_of::<Packed>() <= 512, "{} {}", size_of_val(&*member), size_of::<Packed>());
}
