//! From an object to the desired state, or to a message that says what to write instead.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;
use crate::api::{AwsAdoptionPolicy, RotatedSecretSpec, SecretType};
use crate::generate::{Generator, PasswordRules};
use crate::value::DeclaredValue;

const UID: &str = "0b7a4c52-57c5-4e0c-9e6f-9d2f7f1c2a11";

/// What an administrator allows by default, with resource policies.
pub(crate) fn policy() -> Policy {
    Policy {
        default_region: "eu-central-1".to_owned(),
        allowed_regions: Vec::new(),
        name_prefix: "k8s".to_owned(),
        cluster: "c1".to_owned(),
        minimum_interval: SignedDuration::from_hours(1),
        request_interval: SignedDuration::from_mins(10),
        service_accounts: false,
        rotation_jobs: false,
        allowed_kms_keys: Vec::new(),
        allow_resource_policies: true,
        default_tags: BTreeMap::new(),
        allow_public_policies: true,
        max_adoption: AwsAdoptionPolicy::Always,
        local_targets: false,
    }
}

pub(crate) fn object(spec: Value) -> RotatedSecret {
    let spec: RotatedSecretSpec = serde_json::from_value(spec).unwrap();
    let mut object = RotatedSecret::new("db-admin", spec);
    object.metadata.namespace = Some("shop".to_owned());
    object.metadata.uid = Some(UID.to_owned());
    object
}

fn annotated(key: &str, value: &str) -> RotatedSecret {
    let mut object = object(json!({}));
    object.metadata.annotations = Some(map(&[(key, value)]));
    object
}

fn parse(spec: Value) -> Result<Desired, Refusal> {
    Desired::parse(&object(spec), &policy())
}

fn want(spec: Value) -> Desired {
    parse(spec).unwrap()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A spec with a password and this rotation.
fn rotating(rotation: &Value) -> Value {
    json!({"value": {"generate": {"password": {}}}, "rotation": rotation})
}

fn refusal(rotation: &Value, policy: &Policy) -> Refusal {
    match Desired::parse(&object(rotating(rotation)), policy).unwrap().rotation {
        Rotation::Refused(refusal) => refusal,
        other => panic!("{rotation} is not refused: {other:?}"),
    }
}

#[test]
fn the_smallest_object_takes_everything_else_from_its_name_and_the_policy() {
    let want = want(json!({}));
    assert_eq!((want.namespace.as_str(), want.name.as_str(), want.uid.as_str()), ("shop", "db-admin", UID));
    assert_eq!((want.region.as_str(), want.secret_name.as_str()), ("eu-central-1", "k8s/shop/db-admin"));
    assert!(want.own_prefix && !want.suspended);
    assert_eq!((want.description, want.settings, want.value, want.delete_after_days), (None, Settings::default(), None, None));
    assert_eq!((want.rotate_request, want.refresh_request), (None, None));
    assert!(matches!(want.rotation, Rotation::Never));
    assert_eq!(want.ids, VersionIds::of(UID));
    let target = want.target.unwrap();
    assert_eq!((target.name.as_str(), target.retained), ("db-admin", false));
    assert_eq!(target.layout, Layout::default());
    assert_eq!(target.labels, map(&[("app.kubernetes.io/managed-by", "rotated-secrets")]));
    assert_eq!(target.annotations, BTreeMap::new());
}

#[test]
fn what_the_object_says_comes_before_every_default() {
    let want = want(json!({
        "suspend": true,
        "aws": {"region": "eu-west-1", "secretName": "shared/key", "description": "", "kmsKeyId": "alias/shop",
                "deletionPolicy": "Delete", "recoveryWindowInDays": 7},
        "value": {"data": {"username": "admin"}, "generate": {"password": {"passwordLength": 20, "excludePunctuation": true}}},
        "target": {"name": "other", "type": "kubernetes.io/basic-auth", "keys": {"password": "password"}, "deletionPolicy": "Retain",
                   "labels": {"team": "shop"}, "annotations": {"note": "x"}},
    }));
    assert!(want.suspended && !want.own_prefix);
    assert_eq!((want.region.as_str(), want.secret_name.as_str()), ("eu-west-1", "shared/key"));
    assert_eq!(want.description.as_deref(), Some(""), "an empty description is declared too");
    assert_eq!((want.settings.key.value().map(String::as_str), want.delete_after_days), (Some("alias/shop"), Some(7)));
    let rules = PasswordRules { length: 20, exclude_punctuation: true, ..PasswordRules::default() };
    let generate = BTreeMap::from([("password".to_owned(), Generator::Password(rules))]);
    assert_eq!(want.value, Some(DeclaredValue::Fields { data: map(&[("username", "admin")]), generate, turns: None }));
    let target = want.target.unwrap();
    assert_eq!((target.name.as_str(), target.retained), ("other", true));
    assert_eq!(target.layout, Layout { kind: SecretType::BasicAuth, keys: map(&[("password", "password")]), ..Layout::default() });
    assert_eq!(target.labels, map(&[("team", "shop"), ("app.kubernetes.io/managed-by", "rotated-secrets")]));
    assert_eq!(target.annotations, map(&[("note", "x")]));
}

#[test]
fn every_option_of_a_generator_arrives_in_its_own_place() {
    let of = |options: Value| match want(json!({"value": {"plainText": options}})).value {
        Some(DeclaredValue::PlainText(Generator::Password(rules))) => rules,
        other => panic!("{other:?}"),
    };
    let all = PasswordRules::default();
    let table = [
        (json!({}), all.clone()),
        (json!({"passwordLength": 64}), PasswordRules { length: 64, ..all.clone() }),
        (json!({"excludeCharacters": "\"@"}), PasswordRules { exclude_characters: "\"@".to_owned(), ..all.clone() }),
        (json!({"excludeAmbiguous": true}), PasswordRules { exclude_characters: "0Oo1Il|'`".to_owned(), ..all.clone() }),
        (
            json!({"excludeUrlUnsafe": true, "excludeCharacters": "~"}),
            PasswordRules { exclude_characters: "~ !\"#$%&'()*+,/:;<=>?@[\\]^`{|}".to_owned(), ..all.clone() },
        ),
        (json!({"excludeNumbers": true}), PasswordRules { exclude_numbers: true, ..all.clone() }),
        (json!({"excludePunctuation": true}), PasswordRules { exclude_punctuation: true, ..all.clone() }),
        (json!({"excludeUppercase": true}), PasswordRules { exclude_uppercase: true, ..all.clone() }),
        (json!({"excludeLowercase": true}), PasswordRules { exclude_lowercase: true, ..all.clone() }),
        (json!({"includeSpace": true}), PasswordRules { include_space: true, ..all.clone() }),
        (json!({"requireEachIncludedType": false}), PasswordRules { require_each_included_type: false, ..all }),
    ];
    for (options, rules) in table {
        assert_eq!(of(options), rules);
    }
}

#[test]
fn a_generator_that_cannot_work_is_refused_with_what_to_write_instead() {
    for options in [json!({"passwordLength": 2}), json!({"passwordLength": -1}), json!({"excludeCharacters": "0123456789"})] {
        for value in [json!({"generate": {"fine": {}, "password": options}}), json!({"plainText": options})] {
            let refusal = parse(json!({"value": value})).unwrap_err();
            assert_eq!(refusal.reason, Reason::InvalidSpec);
            assert!(refusal.message.starts_with("spec.value") && refusal.message.contains("set "), "{}", refusal.message);
        }
    }
}

#[test]
fn only_names_below_the_namespaces_own_prefix_are_its_own() {
    let table = [
        ("k8s/shop/x", true),
        ("k8s/shop/x/y", true),
        ("k8s/shop/db-secret", true),
        ("k8s/shop/", false),
        ("k8s/shop", false),
        ("k8s/shop-evil/x", false),
        ("k8s/shopx", false),
        ("k8s/Shop/x", false),
        ("K8S/shop/x", false),
        ("k8s//shop/x", false),
        ("/k8s/shop/x", false),
        ("x/k8s/shop/x", false),
        ("k8s-other/shop/x", false),
        ("shop/x", false),
    ];
    for (name, own) in table {
        let want = want(json!({"aws": {"secretName": name}}));
        assert_eq!((want.secret_name.as_str(), want.own_prefix), (name, own));
    }
    let other = Policy { name_prefix: "prod/team".to_owned(), ..policy() };
    let want = Desired::parse(&object(json!({})), &other).unwrap();
    assert_eq!((want.secret_name.as_str(), want.own_prefix), ("prod/team/shop/db-admin", true));
}

#[test]
fn the_region_of_an_arn_is_that_of_the_secret() {
    let arn = "arn:aws:secretsmanager:us-east-1:222233334444:secret:shared/db-AbCdEf";
    let want = want(json!({"aws": {"secretName": arn}}));
    assert_eq!((want.region.as_str(), want.secret_name.as_str(), want.own_prefix), ("us-east-1", arn, false));
    let policy = Policy { allowed_regions: vec!["eu-central-1".to_owned()], ..policy() };
    let refusal = Desired::parse(&object(json!({"aws": {"secretName": arn}})), &policy).unwrap_err();
    assert_eq!(refusal.reason, Reason::RegionNotAllowed);
}

#[test]
fn default_tags_are_below_those_of_the_object_and_their_number_is_limited() {
    let defaults = |count: usize| (0..count).map(|number| (format!("tag-{number}"), "default".to_owned())).collect();
    let policy = Policy { default_tags: defaults(44), ..policy() };
    let spec = |tags: Value| object(json!({"value": {"plainText": {}}, "aws": {"tags": tags}}));
    let tags = Desired::parse(&spec(json!({"tag-1": "mine"})), &policy).unwrap().tags;
    assert_eq!((tags["tag-0"].as_str(), tags["tag-1"].as_str(), tags.len()), ("default", "mine", 48));
    let refusal = Desired::parse(&spec(json!({"one-more": "x"})), &policy).unwrap_err();
    assert!(refusal.reason == Reason::InvalidSpec && refusal.message.contains("--default-tags"), "{}", refusal.message);
}

#[test]
fn a_name_that_aws_does_not_hold_is_refused() {
    assert_eq!(want(json!({"aws": {"secretName": "x".repeat(512)}})).secret_name.len(), 512);
    let refusal = parse(json!({"aws": {"secretName": "x".repeat(513)}})).unwrap_err();
    assert_eq!(refusal.reason, Reason::InvalidSpec);
    assert!(refusal.message.contains("spec.aws.secretName") && refusal.message.len() < 200);
    let long = Policy { name_prefix: "p".repeat(500), ..policy() };
    assert_eq!(Desired::parse(&object(json!({})), &long).unwrap_err().reason, Reason::InvalidSpec);
}

#[test]
fn only_regions_that_the_administrator_allows_are_used_and_the_default_is_no_exception() {
    let some = Policy { allowed_regions: vec!["eu-west-1".to_owned(), "eu-west-2".to_owned()], ..policy() };
    let table = [
        (policy(), None, Ok("eu-central-1")),
        (policy(), Some("us-east-1"), Ok("us-east-1")),
        (some.clone(), Some("eu-west-2"), Ok("eu-west-2")),
        (some.clone(), Some("eu-west-3"), Err("eu-west-3")),
        (some.clone(), Some("eu-west-22"), Err("eu-west-22")),
        (some, None, Err("eu-central-1")),
    ];
    for (policy, region, expected) in table {
        let spec = region.map_or(json!({}), |region| json!({"aws": {"region": region}}));
        match (Desired::parse(&object(spec), &policy), expected) {
            (Ok(want), Ok(expected)) => assert_eq!(want.region, expected),
            (Err(refusal), Err(expected)) => {
                assert_eq!(refusal.reason, Reason::RegionNotAllowed);
                assert!(refusal.message.contains(expected) && refusal.message.contains("(eu-west-1, eu-west-2)"), "{}", refusal.message);
            }
            (got, expected) => panic!("{got:?} instead of {expected:?}"),
        }
    }
}

#[test]
fn an_object_that_was_never_stored_is_refused() {
    let mut without_uid = object(json!({}));
    without_uid.metadata.uid = None;
    let mut without_namespace = object(json!({}));
    without_namespace.metadata.namespace = None;
    for object in [without_uid, without_namespace] {
        assert_eq!(Desired::parse(&object, &policy()).unwrap_err().reason, Reason::InvalidSpec);
    }
}

#[test]
fn the_tags_of_the_user_stand_beside_ours_and_never_in_their_place() {
    let ours = [(TAG_CLUSTER, "c1"), (TAG_NAMESPACE, "shop"), (TAG_NAME, "db-admin"), (TAG_UID, UID)];
    assert_eq!(want(json!({})).tags, map(&ours));
    let mut expected = map(&ours);
    expected.insert("team".to_owned(), "shop".to_owned());
    assert_eq!(want(json!({"aws": {"tags": {"team": "shop"}}})).tags, expected);
    for (key, _) in ours {
        assert_eq!(parse(json!({"aws": {"tags": {key: "evil"}}})).unwrap_err().reason, Reason::InvalidSpec, "{key}");
        // Not even while the object is being deleted, when nothing is refused any more.
        let mut deleted = object(json!({"aws": {"tags": {key: "evil"}}}));
        deleted.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
        assert_eq!(Desired::parse(&deleted, &policy()).unwrap().tags, map(&ours), "{key}");
    }
}

#[test]
fn the_label_that_says_who_manages_the_secret_is_ours_too() {
    let refusal = parse(json!({"target": {"labels": {"app.kubernetes.io/managed-by": "Helm"}}})).unwrap_err();
    assert!(refusal.reason == Reason::InvalidSpec && refusal.message.contains("reserved"), "{}", refusal.message);
    let want = want(json!({"target": {"labels": {"app.kubernetes.io/name": "db"}}}));
    let labels = map(&[("app.kubernetes.io/managed-by", "rotated-secrets"), ("app.kubernetes.io/name", "db")]);
    assert_eq!(want.target.unwrap().labels, labels);
}

#[test]
fn a_request_is_its_token_and_an_overlong_one_is_kept_short_but_distinct() {
    type Pick = fn(Desired) -> (Option<String>, Option<String>);
    let table: [(&str, Pick); 2] =
        [(ROTATE, |want| (want.rotate_request, want.refresh_request)), (REFRESH, |want| (want.refresh_request, want.rotate_request))];
    for (key, pick) in table {
        let token = |token: &str| {
            let (asked, other) = pick(Desired::parse(&annotated(key, token), &policy()).unwrap());
            assert_eq!(other, None, "{key} is no other request");
            asked
        };
        assert_eq!(token(""), None);
        for kept in ["2026-01-01", " ", "é", &"x".repeat(128), &"é".repeat(128)] {
            assert_eq!(token(kept).as_deref(), Some(kept));
        }
        let (one, other) = (token(&"x".repeat(129)).unwrap(), token(&"x".repeat(130)).unwrap());
        assert!(one.len() <= 128 && other.len() <= 128 && one != other);
        assert_eq!(Some(one), token(&"x".repeat(129)), "the same token is the same request");
    }
}

#[test]
fn the_recovery_window_is_what_aws_accepts() {
    let window = |days: i32| parse(json!({"aws": {"deletionPolicy": "Delete", "recoveryWindowInDays": days}}));
    for days in [7, 12, 30] {
        assert_eq!(window(days).unwrap().delete_after_days, Some(days));
    }
    for days in [-1, 0, 6, 31] {
        assert_eq!(window(days).unwrap_err().reason, Reason::InvalidSpec, "{days}");
    }
    assert_eq!(want(json!({"aws": {"recoveryWindowInDays": 7}})).delete_after_days, None, "Retain is the default");
}

#[test]
fn a_schedule_arrives_as_written_with_its_suspension() {
    let table = [
        (json!({"schedule": "rate(30 days)"}), "rate(30 days)", false),
        (json!({"schedule": " rate(1 hour) ", "suspend": true}), " rate(1 hour) ", true),
        (json!({"schedule": "cron(0 8 1 * ? *)"}), "cron(0 8 1 * ? *)", false),
        (json!({"schedule": "0 8 1 * *"}), "0 8 1 * *", false),
        (json!({"automaticallyAfterDays": 30}), "rate(30 days)", false),
        (json!({"schedule": "0 8 1 * *", "timeZone": "UTC", "duration": "0h", "rotateImmediately": true}), "0 8 1 * *", false),
        (
            json!({"schedule": "0 8 1 * *", "timeZone": "Europe/Berlin", "duration": "90m", "onMissedWindow": "NextWindow"}),
            "0 8 1 * *; timeZone: Europe/Berlin; duration: 1h30m; onMissedWindow: NextWindow",
            false,
        ),
    ];
    for (rotation, written, halted) in table {
        match want(rotating(&rotation)).rotation {
            Rotation::Scheduled { expression, suspended, .. } => assert_eq!((expression.as_str(), suspended), (written, halted)),
            other => panic!("{rotation}: {other:?}"),
        }
    }
}

#[test]
fn a_schedule_that_is_none_is_refused_and_everything_else_of_the_object_goes_on() {
    let table = [
        json!({"schedule": "every day"}),
        json!({"schedule": ""}),
        json!({"schedule": "rate(0 days)"}),
        json!({"schedule": "0 0 31 2 *"}),
        json!({"automaticallyAfterDays": 0}),
        json!({"automaticallyAfterDays": -5}),
        json!({"automaticallyAfterDays": 1001}),
        json!({"automaticallyAfterDays": 30, "timeZone": "Europe/Berlin"}),
        json!({"schedule": "rate(30 days)", "timeZone": "UTC"}),
        json!({"schedule": "0 8 * * *", "timeZone": "Europe/Bonn"}),
        json!({"schedule": "0 8 * * *", "duration": "1d"}),
        json!({"schedule": "0 8 * * *", "duration": "25h"}),
        json!({"schedule": "0 8 * * *", "duration": "24h", "timeZone": "Europe/Berlin"}),
        json!({"schedule": "0 8 * * *", "onMissedWindow": "NextWindow"}),
        json!({}),
    ];
    for rotation in table {
        let refusal = refusal(&rotation, &policy());
        assert_eq!(refusal.reason, Reason::InvalidSpec, "{rotation}");
        assert!(refusal.message.starts_with("spec.rotation"), "{}", refusal.message);
    }
    let want = want(rotating(&json!({"schedule": "every day"})));
    assert!(want.value.is_some() && want.target.is_some());
}

#[test]
fn a_schedule_denser_than_the_operator_allows_is_refused_in_words_that_people_read() {
    let of = |minimum: SignedDuration| Policy { minimum_interval: minimum, ..policy() };
    let (hour, day) = (SignedDuration::from_hours(1), SignedDuration::from_hours(24));
    let table = [
        ("rate(59 minutes)", hour, "59m between", "of 1h that"),
        ("rate(3599 seconds)", hour, "59m59s between", "of 1h that"),
        ("rate(1 second)", SignedDuration::from_secs(90_061), "1s between", "of 25h1m1s that"),
        ("*/30 * * * *", hour, "30m between", "of 1h that"),
        ("cron(0 0/6 * * ? *)", day, "6h between", "of 24h that"),
        ("rate(23 hours)", day, "23h between", "of 24h that"),
        ("rate(1 day)", day + SignedDuration::from_secs(60), "24h between", "of 24h1m that"),
    ];
    for (schedule, minimum, shortest, least) in table {
        let refusal = refusal(&json!({"schedule": schedule}), &of(minimum));
        assert_eq!(refusal.reason, Reason::IntervalTooShort, "{schedule}: {}", refusal.message);
        for part in ["spec.rotation.schedule", shortest, least, "--minimum-rotation-interval"] {
            assert!(refusal.message.contains(part), "{part} is not in: {}", refusal.message);
        }
    }
    for schedule in ["rate(1 hour)", "rate(60 minutes)", "0 * * * *"] {
        let want = Desired::parse(&object(rotating(&json!({"schedule": schedule}))), &of(hour)).unwrap();
        assert!(matches!(want.rotation, Rotation::Scheduled { .. }), "{schedule} is just rare enough");
    }
}

#[test]
fn a_finalizer_is_only_there_where_something_must_be_cleaned_up() {
    let (owned, deleted, retained) =
        (json!({"generate": {"p": {}}}), json!({"deletionPolicy": "Delete"}), json!({"deletionPolicy": "Retain"}));
    let none = json!({"creationPolicy": "None", "deletionPolicy": "Retain"});
    let table = [
        (json!({"value": owned}), false),
        (json!({"value": owned, "aws": deleted}), true),
        // The value may have been removed: what becomes of the AWS secret has to be said.
        (json!({"aws": deleted}), true),
        (json!({"target": retained}), true),
        (json!({"value": owned, "target": retained}), true),
        (json!({"value": owned, "aws": deleted, "target": retained}), true),
        (json!({"value": owned, "target": none}), false),
        (json!({"value": owned, "aws": deleted, "target": none}), true),
    ];
    for (spec, needed) in table {
        assert_eq!(want(spec.clone()).needs_finalizer(), needed, "{spec}");
    }
    assert_eq!(want(json!({"target": {"creationPolicy": "None"}})).target, None);
}

#[test]
fn a_rendering_changes_with_everything_about_the_secret_but_its_values_and_its_name() {
    let target = |spec: Value| want(json!({"target": spec})).target.unwrap();
    let base = || target(json!({"keys": {"A": "a"}}));
    let distinct = [
        (base(), vec!["A"]),
        (base(), vec![]),
        (base(), vec!["B"]),
        (base(), vec!["A", "B"]),
        (target(json!({"keys": {"A": "a"}, "type": "kubernetes.io/ssh-auth"})), vec!["A"]),
        (target(json!({})), vec!["A"]),
        (target(json!({"keys": {"A": "b"}})), vec!["A"]),
        (target(json!({"keys": {"B": "a"}})), vec!["A"]),
        (target(json!({"keys": {"A": "a"}, "labels": {"x": "y"}})), vec!["A"]),
        (target(json!({"keys": {"A": "a"}, "labels": {"x": "z"}})), vec!["A"]),
        (target(json!({"keys": {"A": "a"}, "annotations": {"x": "y"}})), vec!["A"]),
        (target(json!({"keys": {"A": "a"}, "template": {"B": "x"}})), vec!["A"]),
        (target(json!({"keys": {"A": "a"}, "template": {"B": "{{ x }}"}})), vec!["A"]),
    ];
    let renderings: BTreeSet<String> = distinct.iter().map(|(target, keys)| target.rendering(keys.iter().copied())).collect();
    assert_eq!(renderings.len(), distinct.len());
    assert_eq!(base().rendering(["B", "A"]), base().rendering(["A", "B"]), "the order of the keys says nothing");
    let renamed = target(json!({"keys": {"A": "a"}, "name": "other", "deletionPolicy": "Retain"}));
    assert_eq!(renamed.rendering(["A"]), base().rendering(["A"]));
    // Secrets in clusters carry this hash: another algorithm would rewrite all of them.
    assert_eq!(base().rendering(["A"]), "35020bb448a7ce8b");
}
