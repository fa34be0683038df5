use serde_json::{Value, json};

use super::pattern::Facts;
use super::policy::{Ask, Named, Policy, evaluate};

const SECRET: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:k8s/shop/db-AbCdEf";

fn ask(action: &str, resource: &str, facts: &[(&str, &str)]) -> Ask {
    let mut known = Facts::default();
    for (key, value) in facts {
        known.put(key, *value);
    }
    Ask { action: action.to_owned(), resource: resource.to_owned(), facts: known }
}

fn policy(statements: &Value) -> Policy {
    Policy::parse("p", &json!({"Version": "2012-10-17", "Statement": statements})).unwrap()
}

fn allowed(statements: &Value, ask: &Ask) -> bool {
    evaluate([&policy(statements)], ask, None).is_allowed()
}

#[test]
fn nothing_is_allowed_but_by_an_allow_and_a_deny_wins() {
    let get = ask("secretsmanager:GetSecretValue", SECRET, &[]);
    let allow = json!({"Sid": "A", "Effect": "Allow", "Action": "secretsmanager:*", "Resource": "*"});
    let deny = json!({"Sid": "D", "Effect": "Deny", "Action": "secretsmanager:Get*", "Resource": "*"});
    assert!(!allowed(&json!([]), &get));
    assert!(allowed(&json!([allow]), &get));
    assert!(!allowed(&json!([allow, deny]), &get));
    let verdict = evaluate([&policy(&json!([allow, deny]))], &get, None);
    assert_eq!((verdict.allowed, verdict.denied), (vec!["p/A".to_owned()], vec!["p/D".to_owned()]));
}

#[test]
fn actions_ignore_case_and_resources_do_not_and_stars_run_over_slashes() {
    for (action, resource, fits) in [
        ("SecretsManager:getsecretvalue", "*", true),
        ("secretsmanager:Get*", "arn:aws:secretsmanager:*:*:secret:k8s/*", true),
        ("secretsmanager:GetSecretValu?", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:k8s/shop/db-??????", true),
        ("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:k8s/shop/db-?????", false),
        ("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:K8S/*", false),
        ("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:k8s/sho/*", false),
        ("secretsmanager:Describe*", "*", false),
        ("kms:*", "*", false),
    ] {
        let statement = json!({"Effect": "Allow", "Action": action, "Resource": resource});
        assert_eq!(allowed(&statement, &ask("secretsmanager:GetSecretValue", SECRET, &[])), fits, "{action} {resource}");
    }
    let all_but = json!({"Effect": "Allow", "NotAction": ["kms:*"], "NotResource": ["arn:aws:s3:::*"]});
    assert!(allowed(&all_but, &ask("secretsmanager:GetSecretValue", SECRET, &[])));
    assert!(!allowed(&all_but, &ask("kms:Decrypt", SECRET, &[])));
    assert!(!allowed(&all_but, &ask("s3:GetObject", "arn:aws:s3:::x", &[])));
}

#[test]
fn variables_are_values_without_wildcards_and_a_missing_one_fits_nothing() {
    let own =
        json!({"Effect": "Allow", "Action": "*", "Resource": "arn:aws:secretsmanager:*:*:secret:k8s/${aws:PrincipalTag/namespace}/*"});
    let of = |namespace: &str| ask("secretsmanager:GetSecretValue", SECRET, &[("aws:PrincipalTag/namespace", namespace)]);
    assert!(allowed(&own, &of("shop")));
    assert!(!allowed(&own, &of("desk")));
    assert!(!allowed(&own, &of("*")), "a tag is no pattern");
    assert!(!allowed(&own, &ask("secretsmanager:GetSecretValue", SECRET, &[])));
}

#[test]
fn conditions_hold_as_iam_says_also_where_the_key_is_missing() {
    let with = |values: &[&str]| {
        let mut facts = Facts::default();
        facts.put_all("aws:TagKeys", values.iter().map(|value| (*value).to_owned()).collect());
        Ask { action: "a:b".to_owned(), resource: "*".to_owned(), facts }
    };
    let none = ask("a:b", "*", &[]);
    for (operator, wanted, value, fits, without) in [
        ("StringEquals", json!("shop"), "shop", true, false),
        ("StringEquals", json!(["desk", "shop"]), "shop", true, false),
        ("StringEquals", json!("Shop"), "shop", false, false),
        ("StringEquals", json!("sh*"), "shop", false, false),
        ("StringEqualsIgnoreCase", json!("SHOP"), "shop", true, false),
        ("StringNotEquals", json!("shop"), "shop", false, true),
        ("StringNotEquals", json!("desk"), "shop", true, true),
        ("StringLike", json!("sh*"), "shop", true, false),
        ("StringNotLike", json!("sh*"), "shop", false, true),
        ("StringEqualsIfExists", json!("shop"), "shop", true, true),
        ("StringEqualsIfExists", json!("shop"), "desk", false, true),
        ("Bool", json!("true"), "true", true, false),
        ("Bool", json!(true), "True", true, false),
        ("Bool", json!("true"), "false", false, false),
        ("BoolIfExists", json!("true"), "false", false, true),
        ("NumericEquals", json!(7), "7", true, false),
        ("Null", json!("true"), "shop", false, true),
        ("Null", json!("false"), "shop", true, false),
        ("ForAnyValue:StringLike", json!("sh*"), "shop", true, false),
        ("ForAllValues:StringEquals", json!(["desk"]), "shop", false, true),
    ] {
        let statement = json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {operator: {"aws:tagkeys": wanted}}});
        assert_eq!(allowed(&statement, &with(&[value])), fits, "{operator} {wanted} {value}");
        assert_eq!(allowed(&statement, &none), without, "{operator} {wanted} without the key");
    }
    let all =
        json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}}});
    assert!(allowed(&all, &with(&["a", "b"])) && !allowed(&all, &with(&["a", "c"])));
    let two = json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringEquals": {"x": "1", "y": "2"}, "Bool": {"z": "true"}}});
    assert!(allowed(&two, &ask("a:b", "*", &[("x", "1"), ("y", "2"), ("z", "true")])));
    assert!(!allowed(&two, &ask("a:b", "*", &[("x", "1"), ("y", "2")])), "all must hold");
}

#[test]
fn a_policy_that_names_principals_speaks_of_those_only() {
    let trust =
        policy(&json!([{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": ["arn:a", "arn:b"], "Federated": "arn:idp"}}]));
    let who = |aws: &[&str], federated: Option<&str>| Named {
        aws: aws.iter().map(|name| (*name).to_owned()).collect(),
        federated: federated.map(str::to_owned),
        service: None,
    };
    let assume = ask("sts:AssumeRole", "arn:role", &[]);
    for (who, fits) in [
        (Some(who(&["arn:a"], None)), true),
        (Some(who(&["arn:c"], None)), false),
        (Some(who(&[], Some("arn:idp"))), true),
        (Some(who(&[], Some("arn:other"))), false),
        (None, false),
    ] {
        assert_eq!(evaluate([&trust], &assume, who.as_ref()).is_allowed(), fits, "{who:?}");
    }
    let anybody = policy(&json!([{"Effect": "Allow", "Action": "*", "Principal": "*"}]));
    assert!(evaluate([&anybody], &assume, Some(&who(&[], None))).is_allowed());
}

#[test]
fn what_is_not_understood_is_an_error_and_never_a_narrow_policy() {
    let fine = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
    let parse = |document: &Value| Policy::parse("p", document);
    assert!(parse(&json!({"Version": "2012-10-17", "Statement": fine})).is_ok());
    for broken in [
        json!({"Statement": fine}),
        json!({"Version": "2008-10-17", "Statement": fine}),
        json!({"Version": "2012-10-17", "Statements": [fine]}),
        json!({"Version": "2012-10-17", "Statement": {"Effect": "allow", "Action": "*", "Resource": "*"}}),
        json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Actions": "*", "Resource": "*"}}),
        json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "NotAction": "*", "Resource": "*"}}),
        json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringEqual": {"a": "b"}}}}),
        json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"ForSome:StringEquals": {"a": "b"}}}}),
        json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"IpAddress": {"a": "b"}}}}),
        json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Principal": {"Canonical": "x"}}}),
    ] {
        assert!(parse(&broken).is_err(), "{broken}");
    }
}
