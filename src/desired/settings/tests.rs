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
    let found = asked.policy.value().unwrap();
    assert_eq!((found.block_public, found.text.as_str()), (false, document(3).to_string().as_str()));
    assert!(read(json!({"resourcePolicy": document(3)}), &allowed).policy.value().unwrap().block_public, "checked unless told otherwise");
    let reason = |settings: Settings| settings.rejected().unwrap().reason;
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
        (json!({}), Some(Reason::KeyNotAllowed)),
        (replica("eu-west-1", None), Some(Reason::KeyNotAllowed)),
        (replica("eu-west-1", Some("alias/shop/db")), None),
        (replica("eu-west-1", Some("alias/theirs")), Some(Reason::KeyNotAllowed)),
        (replica("us-east-1", None), Some(Reason::RegionNotAllowed)),
        (replica("eu-central-1", None), Some(Reason::InvalidSpec)),
    ] {
        let mut spec = spec;
        if spec.get("replicaRegions").is_some() {
            spec["kmsKeyId"] = json!("alias/shop/own");
        }
        let settings = read(spec.clone(), &listed);
        assert_eq!(settings.rejected().map(|refusal| refusal.reason), expected, "{spec}");
        assert!(settings.rejected().is_none_or(|refusal| refusal.message.len() < 1000), "{spec}");
        assert_eq!(read(spec.clone(), &policy()).rejected().is_some(), spec.to_string().contains("\"eu-central-1\""), "{spec}");
    }
}

#[test]
fn the_default_key_is_used_only_if_it_is_listed_or_nothing_is() {
    let replica = json!({"kmsKeyId": "alias/shop", "replicaRegions": [{"region": "eu-west-1"}]});
    for (allowed, refused) in [
        (vec![], false),
        (vec!["alias/shop"], true),
        (vec!["alias/shop", "aws/secretsmanager"], false),
        (vec!["alias/shop", "alias/aws/secretsmanager"], false),
        (vec!["*"], false),
        (vec!["alias/shop", "arn:aws:kms:*"], true),
    ] {
        let policy = Policy { allowed_kms_keys: allowed.iter().map(|key: &&str| (*key).to_owned()).collect(), ..policy() };
        for spec in [json!({}), replica.clone()] {
            let settings = read(spec.clone(), &policy);
            let refusal = settings.rejected().map(|refusal| (refusal.reason, refusal.message.contains("add aws/secretsmanager to")));
            assert_eq!(refusal, refused.then_some((Reason::KeyNotAllowed, true)), "{allowed:?} {spec}");
        }
    }
}

#[test]
fn public_access_needs_a_permission_of_its_own() {
    for (public, block, refused) in [(false, true, false), (false, false, true), (true, true, false), (true, false, false)] {
        let policy = Policy { allow_resource_policies: true, allow_public_policies: public, ..policy() };
        let settings = read(json!({"resourcePolicy": document(3), "blockPublicPolicy": block}), &policy);
        assert_eq!(settings.rejected().map(|refusal| refusal.reason), refused.then_some(Reason::PolicyNotAllowed), "{public} {block}");
        assert!(settings.rejected().is_none_or(|refusal| refusal.message.contains("--allow-public-policies")));
    }
    let without = Policy { allow_public_policies: false, ..policy() };
    assert!(read(json!({"blockPublicPolicy": false}), &without).rejected().is_none(), "there is no policy to check");
}

#[test]
fn an_object_adopts_no_more_than_the_administrator_allows() {
    use AwsAdoptionPolicy::{Always, IfTagged, Never};
    for declared in [Never, IfTagged, Always] {
        for max in [Never, IfTagged, Always] {
            let settings = read(json!({"adoptionPolicy": declared}), &Policy { max_adoption: max, ..policy() });
            let reduced = (declared > max).then_some(declared);
            assert_eq!((settings.adoption, settings.adoption_declared), (declared.min(max), reduced), "{declared:?} {max:?}");
        }
    }
    assert!(Never < IfTagged && IfTagged < Always);
}
