use serde_json::json;

use super::*;
use crate::api::condition::Reason;
use crate::desired::tests::{self, policy};

fn object(region: Option<&str>, name: Option<&str>, owned: bool) -> RotatedSecret {
    let value = owned.then(|| json!({"generate": {"password": {}}}));
    tests::object(json!({"aws": {"region": region, "secretName": name}, "value": value}))
}

fn recorded(region: &str, name: &str, by: RecordedIn) -> RecordedPlace {
    let arn = SecretArn::parse(&format!("arn:aws:secretsmanager:{region}:123456789012:secret:{name}-AbCdEf")).unwrap();
    RecordedPlace::of_arn(arn, by)
}

fn at(object: &RotatedSecret, policy: &Policy, recorded: &RecordedPlace) -> Result<Desired, Refusal> {
    Desired::parse_at(object, policy, recorded, Elsewhere::ByFlags)
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
        "arn:aws:secretsmanager:eu-central-1:123456789012:secret:db\u{1b}[31m-AbCdEf",
        "arn:aws:secretsmanager:eu-central-1:123456789012:secret:db$(id)-AbCdEf",
    ] {
        assert_eq!(SecretArn::parse(text), None, "{text}");
    }
}

/// The flags say `k8s` and `eu-central-1`; the object is `db-admin` of `shop`.
#[test]
fn what_the_spec_does_not_say_is_elsewhere_by_a_flag_and_the_rest_by_the_spec() {
    use Elsewhere::{ByFlags, BySpec};
    let own = "old/shop/db-admin";
    // What the spec says; the recorded place; why it is elsewhere.
    let table = [
        (None, None, ("eu-central-1", "k8s/shop/db-admin"), None),
        (None, None, ("eu-central-1", own), Some(ByFlags)),
        (None, None, ("us-east-1", "k8s/shop/db-admin"), Some(ByFlags)),
        (None, None, ("us-east-1", own), Some(ByFlags)),
        (Some("eu-central-1"), None, ("eu-central-1", own), Some(ByFlags)),
        (Some("eu-central-1"), None, ("us-east-1", own), Some(BySpec)),
        (None, Some("k8s/shop/x"), ("us-east-1", "k8s/shop/x"), Some(ByFlags)),
        (None, Some("k8s/shop/x"), ("eu-central-1", own), Some(BySpec)),
        (None, None, ("eu-central-1", "k8s/shop/x"), Some(BySpec)),
        (Some("eu-central-1"), Some("k8s/shop/x"), ("us-east-1", own), Some(BySpec)),
    ];
    for (row, (region, name, (there, recorded_name), elsewhere)) in table.into_iter().enumerate() {
        let spec = object(region, name, true);
        let want = Desired::parse(&spec, &policy()).unwrap();
        let attempt = RecordedIn::Attempt(Timestamp::UNIX_EPOCH);
        for by in [RecordedIn::Status, attempt, RecordedIn::Secret] {
            let recorded = recorded(there, recorded_name, by);
            assert_eq!(want.elsewhere(&spec, &recorded), elsewhere, "row {row}");
            let Some(why) = elsewhere else { continue };
            let at = Desired::parse_at(&spec, &policy(), &recorded, why).unwrap();
            assert_eq!((&at.region, &at.secret_name), (&recorded.region, &recorded.name), "row {row}");
            // The tags must prove it, not the prefix of today. Anyone who may write Secrets can write what is recorded there.
            let trusted = by != RecordedIn::Secret && recorded.name == own;
            assert_eq!(at.own_prefix, trusted || recorded.name.starts_with("k8s/shop/"), "row {row}");
        }
        // Nothing is created for an object that only mirrors.
        let mirrors = object(region, name, false);
        let recorded = recorded(there, recorded_name, RecordedIn::Status);
        let why = Desired::parse(&mirrors, &policy()).unwrap().elsewhere(&mirrors, &recorded);
        assert_eq!(why, elsewhere.filter(|why| *why == ByFlags), "row {row}");
    }
}

#[test]
fn an_attempt_is_read_only_if_aws_can_have_such_a_place() {
    let place = |region: &str, name: &str| {
        let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH);
        RecordedPlace::of_attempt(&PlaceStatus { region: region.to_owned(), secret_name: name.to_owned(), time })
    };
    assert_eq!(place("eu-central-1", "k8s/shop/db").unwrap().text(), "k8s/shop/db in eu-central-1");
    for (region, name) in
        [("evil.example/#", "a"), ("", "a"), ("EU", "a"), ("eu-central-1", ""), ("eu-central-1", "a\nb"), ("eu-central-1", "a:b")]
    {
        assert_eq!(place(region, name), None, "{region} {name}");
    }
    assert_eq!(place("eu-central-1", &"x".repeat(513)), None);
}

#[test]
fn a_name_that_no_prefix_gives_to_this_object_is_not_followed() {
    let object = object(None, None, true);
    for name in
        ["old/victim/db-admin", "old/shop/other", "/shop/db-admin", "shop/db-admin", "old/shop/db-admin/x", "old/shop/x/db-admin", "x"]
    {
        let refused = at(&object, &policy(), &recorded("eu-central-1", name, RecordedIn::Status)).err();
        assert_eq!(refused.map(|refusal| refusal.reason), Some(Reason::Moved), "{name}");
    }
    assert!(at(&object, &policy(), &recorded("eu-central-1", "a/b/shop/db-admin", RecordedIn::Status)).is_ok());
}

#[test]
fn what_is_only_mirrored_is_followed_where_the_namespace_may_name_it_today() {
    let object = object(None, None, false);
    assert!(at(&object, &policy(), &recorded("us-east-1", "k8s/shop/db-admin", RecordedIn::Status)).unwrap().own_prefix);
    assert!(!at(&object, &policy(), &recorded("eu-central-1", "old/shop/db-admin", RecordedIn::Status)).unwrap().own_prefix);
}

#[test]
fn a_region_that_is_not_allowed_any_more_is_not_followed() {
    let policy = Policy { allowed_regions: vec!["eu-central-1".to_owned()], ..policy() };
    let refused = at(&object(None, None, true), &policy, &recorded("us-east-1", "k8s/shop/db-admin", RecordedIn::Status)).err();
    assert_eq!(refused.map(|refusal| refusal.reason), Some(Reason::RegionNotAllowed));
}
