//! Tags and resource policies.

use serde_json::{Value, json};

use super::wire::{Wire, name, text, token};
use super::{Broken, Rule, must, rule, same};

const BAD: &[&str] = &["InvalidParameterException", "ValidationException", "InvalidRequestException"];

fn tag(w: &Wire, secret: &str, tags: Value) -> Result<Value, Broken> {
    w.ok("TagResource", json!({"SecretId": secret, "Tags": tags}))
}

fn tags(w: &Wire, secret: &str) -> Result<Vec<(String, String)>, Broken> {
    let described = w.describe(secret)?;
    let mut tags: Vec<_> = described["Tags"].as_array().into_iter().flatten().map(|tag| (text(tag, "Key"), text(tag, "Value"))).collect();
    tags.sort();
    Ok(tags)
}

fn refuses(w: &Wire, bad: Value) -> Result<(), Broken> {
    let made = w.make()?;
    w.refused_as("TagResource", json!({"SecretId": made.name, "Tags": bad}), BAD)?;
    same(tags(w, &made.name)?.len(), 0)
}

fn many(count: usize) -> Value {
    (0..count).map(|n| json!({"Key": format!("k{n}"), "Value": ""})).collect()
}

fn policy(principal: &Value) -> String {
    let statement = json!({"Effect": "Allow", "Principal": principal, "Action": "secretsmanager:GetSecretValue", "Resource": "*"});
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

fn someone() -> Value {
    json!({"AWS": "arn:aws:iam::123456789012:root"})
}

fn changed(w: &Wire, secret: &str) -> Result<f64, Broken> {
    w.describe(secret)?["LastChangedDate"].as_f64().ok_or_else(|| "no LastChangedDate".to_owned())
}

/// Something is a change: `LastChangedDate` goes up.
fn is_a_change(w: &Wire, act: fn(&Wire, &super::wire::Made) -> Result<Value, Broken>) -> Result<(), Broken> {
    let made = w.make()?;
    let before = changed(w, &made.name)?;
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    act(w, &made)?;
    must(changed(w, &made.name)? > before, "LastChangedDate is as before")
}

pub(crate) const RULES: &[Rule] = &[
    rule("a secret that never had a tag says nothing of tags", "R-LS test_secret_tags", |w| {
        let made = w.make()?;
        must(w.describe(&made.name)?.get("Tags").is_none(), "it does")
    }),
    rule("a secret whose tags were all taken away has an empty list", "R-LS test_secret_tags", |w| {
        let made = w.make()?;
        tag(w, &made.name, json!([{"Key": "k", "Value": "v"}]))?;
        w.ok("UntagResource", json!({"SecretId": made.name, "TagKeys": ["k"]}))?;
        same(&w.describe(&made.name)?["Tags"], &json!([]))
    }),
    rule("tags are added to those there are", "M TagResource", |w| {
        let made = w.make_as(&name(), json!({"Tags": [{"Key": "a", "Value": "1"}]}))?;
        tag(w, &made.name, json!([{"Key": "b", "Value": "2"}, {"Key": "a", "Value": "3"}]))?;
        same(tags(w, &made.name)?, vec![("a".to_owned(), "3".to_owned()), ("b".to_owned(), "2".to_owned())])
    }),
    rule("tag keys know upper from lower case", "M TagResource", |w| {
        let made = w.make()?;
        tag(w, &made.name, json!([{"Key": "a", "Value": "1"}, {"Key": "A", "Value": "2"}]))?;
        same(tags(w, &made.name)?.len(), 2)
    }),
    rule("taking away a tag that is not there is no error", "M UntagResource", |w| {
        let made = w.make()?;
        w.ok("UntagResource", json!({"SecretId": made.name, "TagKeys": ["k"]})).map(drop)
    }),
    rule("a tag key has at most 128 characters", "M TagKeyType", |w| {
        let made = w.make()?;
        tag(w, &made.name, json!([{"Key": "k".repeat(128), "Value": ""}]))?;
        refuses(w, json!([{"Key": "k".repeat(129), "Value": ""}]))
    }),
    rule("a tag value has at most 256 characters", "M TagValueType", |w| refuses(w, json!([{"Key": "k", "Value": "v".repeat(257)}]))),
    rule("tag keys that begin with aws: are reserved", "M TagResource", |w| refuses(w, json!([{"Key": "aws:mine", "Value": ""}]))),
    rule("one call does not name a tag key twice", "INF from M TagResource", |w| {
        refuses(w, json!([{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}]))
    }),
    rule("a secret has at most 50 tags", "UG quotas", |w| {
        let made = w.make()?;
        tag(w, &made.name, many(50))?;
        refuses(w, many(51))
    }),
    rule("the 51st tag is refused when it is added, too", "UG quotas", |w| {
        let made = w.make()?;
        tag(w, &made.name, many(50))?;
        w.refused_as("TagResource", json!({"SecretId": made.name, "Tags": [{"Key": "more", "Value": ""}]}), BAD).map(drop)
    }),
    rule("tags of a secret that is not there are refused", "M TagResource", |w| {
        let body = json!({"SecretId": name(), "Tags": [{"Key": "k", "Value": "v"}]});
        w.refused_as("TagResource", body, &["ResourceNotFoundException"]).map(drop)
    }),
    rule("a bad tag keeps a secret from being created", "M CreateSecret Tags", |w| {
        let body = json!({"Name": name(), "ClientRequestToken": token(), "SecretString": "x", "Tags": [{"Key": "aws:x", "Value": ""}]});
        w.refused_as("CreateSecret", body.clone(), BAD)?;
        w.refused_as("DescribeSecret", json!({"SecretId": body["Name"]}), &["ResourceNotFoundException"]).map(drop)
    }),
    rule("a tag is a change", "M LastChangedDate", |w| is_a_change(w, |w, made| tag(w, &made.name, json!([{"Key": "k", "Value": "v"}])))),
    rule("a moved label is a change", "M LastChangedDate", |w| {
        is_a_change(w, |w, made| w.shift(&made.name, "mine", None, Some(&made.first)))
    }),
    rule("a policy is a change", "M LastChangedDate", |w| {
        is_a_change(w, |w, made| w.ok("PutResourcePolicy", json!({"SecretId": made.name, "ResourcePolicy": policy(&someone())})))
    }),
    rule("a put is a change", "M LastChangedDate", |w| is_a_change(w, |w, made| w.put(&made.name, "x", None).map(Value::from))),
    rule("a policy is kept as it was put", "M GetResourcePolicy", |w| {
        let made = w.make()?;
        let text_put = policy(&someone());
        w.ok("PutResourcePolicy", json!({"SecretId": made.name, "ResourcePolicy": text_put}))?;
        let got = w.ok("GetResourcePolicy", json!({"SecretId": made.name}))?;
        let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
        same(parsed(&text(&got, "ResourcePolicy")), parsed(&text_put))?;
        same(text(&got, "ARN"), made.arn)
    }),
    rule("a deleted policy is gone", "M DeleteResourcePolicy", |w| {
        let made = w.make()?;
        w.ok("PutResourcePolicy", json!({"SecretId": made.name, "ResourcePolicy": policy(&someone())}))?;
        w.ok("DeleteResourcePolicy", json!({"SecretId": made.name}))?;
        must(w.ok("GetResourcePolicy", json!({"SecretId": made.name}))?["ResourcePolicy"].is_null(), "it is there")
    }),
    rule("a policy that is none is refused", "M MalformedPolicyDocumentException", |w| {
        let made = w.make()?;
        let code = &["MalformedPolicyDocumentException"];
        w.refused_as("PutResourcePolicy", json!({"SecretId": made.name, "ResourcePolicy": "no policy"}), code)?;
        w.refused_as("PutResourcePolicy", json!({"SecretId": made.name, "ResourcePolicy": "{}"}), code).map(drop)
    }),
    rule("a public policy is refused when asked to block it", "M PutResourcePolicy BlockPublicPolicy", |w| {
        let made = w.make()?;
        let body = json!({"SecretId": made.name, "ResourcePolicy": policy(&json!("*")), "BlockPublicPolicy": true});
        w.refused_as("PutResourcePolicy", body, &["PublicPolicyException"]).map(drop)
    }),
    rule("a policy can be checked without putting it", "M ValidateResourcePolicy", |w| {
        let fine = w.ok("ValidateResourcePolicy", json!({"ResourcePolicy": policy(&someone())}))?;
        same(&fine["PolicyValidationPassed"], &json!(true))?;
        let bad = w.ok("ValidateResourcePolicy", json!({"ResourcePolicy": policy(&json!({"AWS": "*"}))}))?;
        same(&bad["PolicyValidationPassed"], &json!(false))?;
        must(bad["ValidationErrors"][0]["CheckName"].is_string(), "no check is named")
    }),
];
