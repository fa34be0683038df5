use clap::Parser as _;
use serde_json::json;

use super::*;
use crate::plugin::args::{Cli, Command};

const ARN: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:k8s/shop/db-AbCdEf";

fn object(namespace: &str, spec: Value, status: Value) -> RotatedSecret {
    let mut object = json!({"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret",
        "metadata": {"name": "db", "namespace": namespace, "uid": "u", "generation": 3}});
    object["spec"] = spec;
    object["status"] = status;
    serde_json::from_value(object).unwrap()
}

fn owner(spec: Value) -> RotatedSecret {
    object("shop", spec, confirmed(json!({"arn": ARN})))
}

fn confirmed(aws: Value) -> Value {
    let mut status = json!({"conditions": [{"type": "Provisioned", "status": "True", "reason": "Succeeded", "message": "",
        "observedGeneration": 3, "lastTransitionTime": "2026-06-01T12:00:00Z"}]});
    status["aws"] = aws;
    status
}

fn args(line: &str) -> ShareArgs {
    let words = format!("kubectl-rotatedsecret share db --to billing {line}");
    match Cli::try_parse_from(words.split_whitespace()).unwrap().command {
        Command::Share(args) => args,
        other => panic!("{other:?}"),
    }
}

fn arn() -> SecretArn {
    SecretArn::parse(ARN).unwrap()
}

fn spec_of(owner: &RotatedSecret, line: &str) -> Value {
    manifest(owner, &arn(), "k8s/shop/db", "billing", &args(line))["spec"].clone()
}

#[test]
fn only_an_owner_whose_status_agrees_with_its_spec_is_shared() {
    let value = json!({"plainText": {}});
    assert_eq!(owned(&owner(json!({"value": value}))), Ok(arn()));
    let named = |aws: Value| owned(&owner(json!({"value": value, "aws": aws})));
    assert!(named(json!({"secretName": "k8s/shop/db", "region": "eu-central-1"})).is_ok());
    // A status that leads to the secret of another object.
    for aws in [json!({"secretName": "shared/db"}), json!({"region": "eu-west-1"})] {
        assert!(named(aws.clone()).unwrap_err().contains("names another AWS secret than its spec"), "{aws}");
    }
    let elsewhere = object("other", json!({"value": value}), confirmed(json!({"arn": ARN})));
    assert!(owned(&elsewhere).is_err());
    assert!(owned(&owner(json!({"aws": {"secretName": "k8s/shop/db"}}))).unwrap_err().contains("owns no AWS secret"));
    assert!(owned(&object("shop", json!({"value": value}), confirmed(json!({})))).unwrap_err().contains("no AWS secret yet"));
    // A mirror that got a value is no owner before the operator says so.
    let mut stale = owner(json!({"value": value}));
    stale.metadata.generation = Some(4);
    for unconfirmed in [stale, object("shop", json!({"value": value}), json!({"aws": {"arn": ARN}}))] {
        assert!(owned(&unconfirmed).unwrap_err().contains("has not confirmed"));
    }
    let conditions = json!([{"type": "Provisioned", "status": "False", "reason": "NotOwned", "message": "belongs to another object",
        "lastTransitionTime": "2026-06-01T12:00:00Z"}]);
    let refused = object("shop", json!({"value": value}), json!({"aws": {"arn": ARN}, "conditions": conditions}));
    assert!(owned(&refused).unwrap_err().contains("belongs to another object"));
}

#[test]
fn the_secret_has_the_form_of_the_owners() {
    let fields = json!({"data": {"username": "u"}, "generate": {"password": {}}});
    let aws = json!({"secretName": "k8s/shop/db", "region": "eu-central-1"});
    assert_eq!(spec_of(&owner(json!({"value": fields})), ""), json!({"aws": aws}));
    let shaped = json!({"name": "db-login", "type": "kubernetes.io/basic-auth", "keys": {"username": "username", "password": "password"},
        "template": {"url": "{{ username }}"}, "labels": {"a": "b"}, "annotations": {"a": "b"}, "versionStage": "AWSPREVIOUS",
        "deletionPolicy": "Retain", "includePrevious": true});
    let target = json!({"name": "db-login", "type": "kubernetes.io/basic-auth", "keys": {"username": "username", "password": "password"},
        "template": {"url": "{{ username }}"}});
    let shaped = owner(json!({"value": fields, "target": shaped}));
    assert_eq!(spec_of(&shaped, "")["target"], target);
    assert_eq!(spec_of(&shaped, "--name db-login")["target"].get("name"), None, "the default");
    assert_eq!(spec_of(&owner(json!({"value": fields})), "--name other")["target"], json!({"name": "db"}));
    assert_eq!(spec_of(&owner(json!({"value": fields})), "--name other --secret-name other").get("target"), None);
    // A plain text that looks like JSON is no object with fields.
    assert_eq!(spec_of(&owner(json!({"value": {"plainText": {}}})), "")["target"], json!({"wholeValueKey": "value"}));
    let none = json!({"value": fields, "target": {"creationPolicy": "None"}});
    assert_eq!(spec_of(&owner(none), "").get("target"), None, "there is a Secret in the other namespace");
}

#[test]
fn flags_add_a_rollout_and_an_identity() {
    let fields = owner(json!({"value": {"generate": {"password": {}}}, "aws": {"serviceAccountRef": {"name": "of-the-owner"}}}));
    assert_eq!(spec_of(&fields, "")["aws"].get("serviceAccountRef"), None, "an identity of another namespace");
    let spec = spec_of(&fields, "--rollout --service-account reader");
    assert_eq!((&spec["rollout"], &spec["aws"]["serviceAccountRef"]), (&json!({}), &json!({"name": "reader"})));
}

#[test]
fn a_role_of_another_account_reads_the_secret_by_its_arn() {
    let (same, another) = (Some("arn:aws:iam::123456789012:role/a"), Some("arn:aws:iam::222233334444:role/a"));
    for (role, own_identity, expected) in [
        (None, false, "k8s/shop/db"),
        (None, true, ARN),
        (same, false, "k8s/shop/db"),
        (same, true, "k8s/shop/db"),
        (another, false, ARN),
        (Some("no role"), false, ARN),
    ] {
        assert_eq!(aws_name(&arn(), role, own_identity), expected, "{role:?} {own_identity}");
    }
    let fields = owner(json!({"value": {"generate": {"password": {}}}}));
    assert_eq!(manifest(&fields, &arn(), ARN, "billing", &args(""))["spec"]["aws"], json!({"secretName": ARN}));
}

#[test]
fn an_object_of_that_name_is_told_by_what_it_mirrors_and_who_applied_it() {
    let fields = json!({"secretName": "k8s/shop/db", "region": "eu-central-1"});
    let of = |spec: Value, status: Value| found(&object("billing", spec, status), &[], &arn(), "k8s/shop/db");
    assert_eq!(of(json!({"aws": fields}), json!({})), Found::Another);
    assert_eq!(of(json!({"aws": {"secretName": "k8s/shop/db"}}), json!({"aws": {"arn": ARN}})), Found::Another);
    for spec in [
        json!({"value": {"plainText": {}}}),
        json!({"value": {"plainText": {}}, "aws": fields}),
        json!({"aws": {"secretName": "k8s/shop/other", "region": "eu-central-1"}}),
        json!({"aws": {"secretName": "k8s/shop/db", "region": "eu-west-1"}}),
        json!({"aws": {"secretName": "k8s/shop/db"}}),
    ] {
        assert!(matches!(of(spec.clone(), json!({})), Found::Taken(_)), "{spec}");
    }
    let elsewhere = json!({"aws": {"arn": ARN.replace("123456789012", "222233334444")}});
    assert!(matches!(of(json!({"aws": fields}), elsewhere), Found::Taken(_)), "the secret of another account");
    for (manager, operation, expected) in
        [(FIELD_MANAGER, "Apply", Found::Ours), (FIELD_MANAGER, "Update", Found::Another), ("argocd", "Apply", Found::Another)]
    {
        let applied = object("billing", json!({"aws": fields}), json!({}));
        let entry = serde_json::from_value(json!({"manager": manager, "operation": operation})).unwrap();
        assert_eq!(found(&applied, &[entry], &arn(), "k8s/shop/db"), expected, "{manager} {operation}");
    }
}

#[test]
fn the_retirement_is_told_where_there_is_one() {
    let told = |rotation: Value, rollout: Value| {
        let mut spec = json!({"value": {"data": {"username": "u"}, "generate": {"password": {}}}, "rotation": rotation});
        if rollout.is_object() {
            spec["rollout"] = rollout;
        }
        retirement(&owner(spec))
    };
    let (some, none) = (json!({"retireAfter": "2h"}), Value::Null);
    let redis = json!({"schedule": "rate(1 day)", "redis": {"host": "r", "port": 6379}});
    assert!(told(redis.clone(), some.clone()).unwrap().contains("is retired 2h after the rollout in namespace shop"));
    assert_eq!(told(redis, none), None, "nothing is retired before the next rotation");
    assert_eq!(told(json!({"schedule": "rate(1 day)"}), some.clone()), None);
    for strategy in ["postgres", "mysql"] {
        let database = json!({"host": "d", "port": 5432, "database": "orders"});
        let single = json!({"schedule": "rate(1 day)", strategy: database});
        assert!(told(single, some.clone()).unwrap().contains("invalid at once"), "{strategy}");
    }
}
