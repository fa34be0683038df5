use serde_json::json;

use super::*;
use crate::api::condition::Reason;
use crate::desired::tests::{self, policy};

fn object(region: Option<&str>, name: Option<&str>, owned: bool) -> RotatedSecret {
    let value = owned.then(|| json!({"generate": {"password": {}}}));
    tests::object(json!({"aws": {"region": region, "secretName": name}, "value": value}))
}

fn arn(region: &str, name: &str) -> SecretArn {
    SecretArn::parse(&format!("arn:aws:secretsmanager:{region}:123456789012:secret:{name}-AbCdEf")).unwrap()
}

#[test]
fn an_arn_is_read_in_its_parts() {
    let read = SecretArn::parse("arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:k8s/shop/db-admin-AbCd12").unwrap();
    assert_eq!(
        (read.region.as_str(), read.account.partition.as_str(), read.account.id.as_str(), read.name.as_str()),
        ("cn-north-1", "aws-cn", "123456789012", "k8s/shop/db-admin")
    );
    for text in [
        "",
        "k8s/shop/db",
        "arn:aws:secretsmanager:eu-central-1:123456789012:secret:k8s/shop/db",
        "arn:aws:secretsmanager:eu-central-1:123456789012:secret:-AbCdEf",
        "arn:aws:secretsmanager:eu-central-1:123456789012:secret:db-AbCdE",
        "arn:aws:secretsmanager:eu-central-1:123456789012:secret:db-AbCd_f",
        "arn:aws:secretsmanager:eu-central-1:1234:secret:db-AbCdEf",
        "arn:aws:secretsmanager:evil.example/#:123456789012:secret:db-AbCdEf",
        "arn:aws:secretsmanager::123456789012:secret:db-AbCdEf",
        "arn:evil:secretsmanager:eu-central-1:123456789012:secret:db-AbCdEf",
        &format!("arn:aws{}:secretsmanager:eu-central-1:123456789012:secret:db-AbCdEf", "x".repeat(200)),
        "arn:aws X:secretsmanager:eu-central-1:123456789012:secret:db-AbCdEf",
        "arn:aws:iam:eu-central-1:123456789012:secret:db-AbCdEf",
    ] {
        assert_eq!(SecretArn::parse(text), None, "{text}");
    }
}

/// The flags say `k8s` and `eu-central-1`; the object is `db-admin` of `shop`.
#[test]
fn only_what_the_spec_does_not_say_can_be_elsewhere() {
    let own = "old/shop/db-admin";
    // What the spec says; the recorded place; whether it is elsewhere; where it is then.
    let table = [
        (None, None, ("eu-central-1", "k8s/shop/db-admin"), false),
        (None, None, ("eu-central-1", own), true),
        (None, None, ("us-east-1", "k8s/shop/db-admin"), true),
        (None, None, ("us-east-1", own), true),
        (Some("eu-central-1"), None, ("eu-central-1", own), true),
        (Some("eu-central-1"), None, ("us-east-1", own), false),
        (None, Some("k8s/shop/x"), ("us-east-1", "k8s/shop/x"), true),
        (None, Some("k8s/shop/x"), ("eu-central-1", own), false),
        (Some("eu-central-1"), Some("k8s/shop/x"), ("us-east-1", own), false),
    ];
    for (row, (region, name, (there, recorded), elsewhere)) in table.into_iter().enumerate() {
        let object = object(region, name, true);
        let want = Desired::parse(&object, &policy()).unwrap();
        let recorded = arn(there, recorded);
        assert_eq!(want.is_elsewhere(&object, &recorded), elsewhere, "row {row}");
        if elsewhere {
            let at = Desired::parse_at(&object, &policy(), &recorded, RecordedIn::Status).unwrap();
            assert_eq!((&at.region, &at.secret_name), (&recorded.region, &recorded.name), "row {row}");
            assert!(at.own_prefix, "row {row}: its tags must prove it, not the prefix of today");
            // Anyone who may write Secrets can write it there.
            let at = Desired::parse_at(&object, &policy(), &recorded, RecordedIn::Secret).unwrap();
            assert_eq!(at.own_prefix, recorded.name.starts_with("k8s/shop/"), "row {row}");
        }
    }
}

#[test]
fn a_name_that_no_prefix_gives_to_this_object_is_not_followed() {
    let object = object(None, None, true);
    for name in
        ["old/victim/db-admin", "old/shop/other", "/shop/db-admin", "shop/db-admin", "old/shop/db-admin/x", "old/shop/x/db-admin", "x"]
    {
        let refused = Desired::parse_at(&object, &policy(), &arn("eu-central-1", name), RecordedIn::Status).err();
        assert_eq!(refused.map(|refusal| refusal.reason), Some(Reason::Moved), "{name}");
    }
    assert!(Desired::parse_at(&object, &policy(), &arn("eu-central-1", "a/b/shop/db-admin"), RecordedIn::Status).is_ok());
}

#[test]
fn what_is_only_mirrored_is_followed_where_the_namespace_may_name_it_today() {
    let object = object(None, None, false);
    assert!(Desired::parse_at(&object, &policy(), &arn("us-east-1", "k8s/shop/db-admin"), RecordedIn::Status).unwrap().own_prefix);
    assert!(!Desired::parse_at(&object, &policy(), &arn("eu-central-1", "old/shop/db-admin"), RecordedIn::Status).unwrap().own_prefix);
}

#[test]
fn a_region_that_is_not_allowed_any_more_is_not_followed() {
    let policy = Policy { allowed_regions: vec!["eu-central-1".to_owned()], ..policy() };
    let refused = Desired::parse_at(&object(None, None, true), &policy, &arn("us-east-1", "k8s/shop/db-admin"), RecordedIn::Status).err();
    assert_eq!(refused.map(|refusal| refusal.reason), Some(Reason::RegionNotAllowed));
}
