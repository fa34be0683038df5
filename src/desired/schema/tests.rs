//! The bounds that are read from the definition. tests/it/admission.rs compares every one of them with the API server.

use serde_json::json;

use super::*;

fn violations(spec: Value) -> Violations {
    Violations::of(&serde_json::from_value(spec).unwrap())
}

#[test]
fn the_schema_of_the_definition_is_read_with_all_its_patterns() {
    let region = &SPEC.properties["aws"].properties["region"];
    assert_eq!(region.max_length, Some(32));
    assert!(region.pattern.as_ref().unwrap().0.is_match("eu-central-1"));
    assert_eq!(SPEC.properties["value"].properties["generate"].max_properties, Some(16));
}

#[test]
fn each_part_has_its_own_violation_and_a_message_that_names_the_field() {
    let found = violations(json!({
        "aws": {
            "region": "Frankfurt", "replicaRegions": [{"region": "eu-west-1"}, {"region": "eu-west-1"}],
            "resourcePolicy": {"Statement": []}, "tags": {"a\nb": "x".repeat(257)},
        },
        "rotation": {"automaticallyAfterDays": 1001},
    }));
    let message = |refusal: Option<Refusal>| refusal.unwrap().message;
    let object = message(found.object);
    assert!(object.starts_with("spec.aws.region: the text does not match"), "{object}");
    assert_eq!(message(found.rotation), "spec.rotation.automaticallyAfterDays: 1001 is too large: set 1000 or less");
    assert_eq!(message(found.policy), "spec.aws.resourcePolicy.Statement: 0 entries are too few: at least 1 are required");
    assert_eq!(message(found.replicas), "spec.aws.replicaRegions: an entry occurs twice: remove one of the two");
}

#[test]
fn a_key_is_shown_escaped_and_short() {
    let key = "a\nb".repeat(1000);
    let message = violations(json!({"aws": {"tags": {key: "x".repeat(257)}}})).object.unwrap().message;
    assert!(message.starts_with("spec.aws.tags[a\\nba\\nb") && message.len() < 300, "{message}");
}

#[test]
fn forms_of_an_older_definition_have_no_bound() {
    let found = violations(json!({"aws": {"resourcePolicy": {"Statement": [
        {"Effect": "Deny", "Principal": "*", "Action": "x".repeat(200), "Resource": "*"},
    ]}}}));
    assert!(found.policy.is_none() && found.object.is_none(), "{found:?}");
}
