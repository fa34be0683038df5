//! What the spec asks of the AWS secret, within what the administrator allows.

use serde_json::{Value, json};

use super::*;

fn policy() -> Policy {
    Policy { allow_resource_policies: false, ..crate::desired::tests::policy() }
}

fn read(spec: Value, policy: &Policy) -> Settings {
    Settings::read(&serde_json::from_value(spec).unwrap(), "eu-central-1", policy)
}

fn document(length: usize) -> Value {
    json!({"Statement": [{"Effect": "Deny", "Sid": "s".repeat(length)}]})
}

#[test]
fn what_is_not_mentioned_is_asked_for_by_nobody() {
    assert_eq!(read(json!({}), &policy()), Settings::default());
    let empty = read(json!({"replicaRegions": []}), &policy());
    assert_eq!(empty.replicas, Setting::Set(BTreeMap::new()), "none is not the same as nothing said");
}

#[test]
fn a_resource_policy_needs_leave_and_must_be_short_enough() {
    let allowed = Policy { allow_resource_policies: true, ..policy() };
    let asked = read(json!({"resourcePolicy": document(3), "blockPublicPolicy": false}), &allowed);
    let found = asked.policy.asked().unwrap();
    assert_eq!((found.block_public, found.text.as_str()), (false, document(3).to_string().as_str()));
    assert!(read(json!({"resourcePolicy": document(3)}), &allowed).policy.asked().unwrap().block_public, "checked unless told otherwise");
    let reason = |settings: Settings| settings.refused().unwrap().reason;
    assert_eq!(reason(read(json!({"resourcePolicy": document(3)}), &policy())), Reason::PolicyNotAllowed);
    assert_eq!(reason(read(json!({"resourcePolicy": document(20_480)}), &allowed)), Reason::InvalidSpec);
}

#[test]
fn keys_and_regions_are_those_that_the_administrator_lists_for_the_secret_and_for_its_replicas() {
    let listed = Policy {
        allowed_kms_keys: vec!["alias/shop/*".to_owned(), "arn:aws:kms:*:123456789012:key/????".to_owned()],
        allowed_regions: vec!["eu-central-1".to_owned(), "eu-west-1".to_owned()],
        ..policy()
    };
    let replica = |region: &str, key: Option<&str>| json!({"replicaRegions": [{"region": region, "kmsKeyId": key}]});
    for (spec, expected) in [
        (json!({"kmsKeyId": "alias/shop/db"}), None),
        (json!({"kmsKeyId": "arn:aws:kms:eu-central-1:123456789012:key/abcd"}), None),
        (json!({"kmsKeyId": "alias/shop"}), Some(Reason::KeyNotAllowed)),
        (json!({"kmsKeyId": "arn:aws:kms:eu-central-1:123456789012:key/abcde"}), Some(Reason::KeyNotAllowed)),
        (json!({"kmsKeyId": "x".repeat(2048)}), Some(Reason::KeyNotAllowed)),
        (replica("eu-west-1", None), None),
        (replica("eu-west-1", Some("alias/shop/db")), None),
        (replica("eu-west-1", Some("alias/theirs")), Some(Reason::KeyNotAllowed)),
        (replica("us-east-1", None), Some(Reason::RegionNotAllowed)),
        (replica("eu-central-1", None), Some(Reason::InvalidSpec)),
    ] {
        let settings = read(spec.clone(), &listed);
        assert_eq!(settings.refused().map(|refusal| refusal.reason), expected, "{spec}");
        assert!(settings.refused().is_none_or(|refusal| refusal.message.len() < 1000), "{spec}");
        assert_eq!(read(spec.clone(), &policy()).refused().is_some(), spec.to_string().contains("\"eu-central-1\""), "{spec}");
    }
}
