//! Creation: names, limits, the state of a new secret.

use serde_json::json;

use super::wire::{Wire, name, text, token};
use super::{Broken, Rule, must, rule, same};

/// AWS's own code for a bad member is not recorded for each of them.
const BAD: &[&str] = &["ValidationException", "InvalidParameterException"];

fn refuses_name(w: &Wire, bad: &str) -> Result<(), Broken> {
    let body = json!({"Name": bad, "ClientRequestToken": token(), "SecretString": "x"});
    w.refused_as("CreateSecret", body, &["ValidationException"]).map(drop)
}

fn created(w: &Wire, more: serde_json::Value) -> Result<(), Broken> {
    w.make_as(&name(), more).map(drop)
}

fn refuses(w: &Wire, more: serde_json::Value) -> Result<(), Broken> {
    let mut body = json!({"Name": name(), "ClientRequestToken": token()});
    if let (Some(body), serde_json::Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    w.refused_as("CreateSecret", body, BAD).map(drop)
}

pub(crate) const RULES: &[Rule] = &[
    rule("a secret created with a value has one version, whose id is the token, labelled AWSCURRENT", "M CreateSecret", |w| {
        let made = w.make()?;
        w.labels_are(&made.name, &[(&made.first, &["AWSCURRENT"])])?;
        same(w.value(&made.name, "AWSCURRENT")?, "first".to_owned())
    }),
    rule("a secret created without a value has no version", "R-LS test_create_secret_without_value", |w| {
        let name = name();
        let answer = w.ok("CreateSecret", json!({"Name": name, "ClientRequestToken": token()}))?;
        must(answer.get("VersionId").is_none(), "the answer names a version")?;
        must(w.describe(&name)?.get("VersionIdsToStages").is_none(), "the description has labels")
    }),
    rule("a secret without a value answers a read with the text about AWSCURRENT", "R-LS test_create_secret_without_value", |w| {
        let made = w.make_empty()?;
        let refusal = w.refused_as("GetSecretValue", json!({"SecretId": made.name}), &["ResourceNotFoundException"])?;
        same(refusal.message, "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT".to_owned())
    }),
    rule("an ARN is the name and six random characters", "M CreateSecret", |w| {
        let made = w.make()?;
        let suffix = made.arn.rsplit(&format!(":secret:{}-", made.name)).next().unwrap_or_default().to_owned();
        must(suffix.len() == 6 && suffix.chars().all(|c| c.is_ascii_alphanumeric()), made.arn)
    }),
    rule("the account is in the ARN and the Region is that of the signature", "M CreateSecret", |w| {
        let made = w.in_region("eu-west-1").make()?;
        must(made.arn.starts_with("arn:aws:secretsmanager:eu-west-1:123456789012:secret:"), made.arn)
    }),
    rule("a name with a space is refused", "R-LS test_invalid_secret_name", |w| refuses_name(w, "a name")),
    rule("a name with an asterisk is refused", "R-LS test_invalid_secret_name", |w| refuses_name(w, "name*")),
    rule("a name with an exclamation mark is refused although the text allows it", "R-LS test_invalid_secret_name", |w| {
        refuses_name(w, "name!")
    }),
    rule("a name with a letter outside ASCII is refused", "R-LS test_invalid_secret_name", |w| refuses_name(w, "nam\u{e9}")),
    rule("an empty name is refused", "M NameType", |w| {
        let body = json!({"Name": "", "ClientRequestToken": token(), "SecretString": "x"});
        w.refused_as("CreateSecret", body, BAD).map(drop)
    }),
    rule("a name has at most 512 characters", "M NameType", |w| {
        let name = name();
        let long = format!("{name}{}", "x".repeat(512 - name.len()));
        w.make_as(&long, json!({}))?;
        let body = json!({"Name": format!("{long}x"), "ClientRequestToken": token(), "SecretString": "x"});
        w.refused_as("CreateSecret", body, BAD).map(drop)
    }),
    rule("a name with an exclamation mark is accepted on reads, for the secrets that other services own", "UG managed secrets", |w| {
        w.refused_as("DescribeSecret", json!({"SecretId": "rds!db-1"}), &["ResourceNotFoundException"]).map(drop)
    }),
    rule("a bad name is refused on reads, too", "R-LS test_invalid_secret_name", |w| {
        w.refused_as("DescribeSecret", json!({"SecretId": "a*b"}), &["ValidationException"]).map(drop)
    }),
    rule("a name may have all of /_+=.@-", "M CreateSecret Name", |w| w.make_as(&format!("{}/_+=.@-x", name()), json!({})).map(drop)),
    rule("a value has at most 65536 bytes", "M SecretStringType", |w| {
        created(w, json!({"SecretString": "x".repeat(65_536)}))?;
        refuses(w, json!({"SecretString": "x".repeat(65_537)}))
    }),
    rule("the length of a value is counted in bytes, not characters", "UG quotas", |w| {
        refuses(w, json!({"SecretString": "\u{e9}".repeat(32_769)}))
    }),
    rule("an empty value is refused", "M SecretStringType", |w| refuses(w, json!({"SecretString": ""}))),
    rule("text and bytes together are refused", "M CreateSecret", |w| refuses(w, json!({"SecretString": "x", "SecretBinary": "eA=="}))),
    rule("bytes come back as bytes", "M SecretBinary", |w| {
        let name = name();
        w.ok("CreateSecret", json!({"Name": name, "ClientRequestToken": token(), "SecretBinary": "AP8="}))?;
        let got = w.ok("GetSecretValue", json!({"SecretId": name}))?;
        same(text(&got, "SecretBinary"), "AP8=".to_owned())?;
        must(got.get("SecretString").is_none(), "there is text, too")
    }),
    rule("a description has at most 2048 characters", "M DescriptionType", |w| {
        created(w, json!({"Description": "x".repeat(2048)}))?;
        refuses(w, json!({"SecretString": "x", "Description": "x".repeat(2049)}))
    }),
    rule("the service's own key is not told", "R-LS test_create_and_update_secret", |w| {
        let made = w.make()?;
        must(w.describe(&made.name)?.get("KmsKeyId").is_none(), "it is told")
    }),
    rule("a key of one's own is told", "M DescribeSecret KmsKeyId", |w| {
        let made = w.make_as(&name(), json!({"KmsKeyId": "alias/mine"}))?;
        same(text(&w.describe(&made.name)?, "KmsKeyId"), "alias/mine".to_owned())
    }),
    rule("a secret that was never rotated by AWS says nothing of rotation", "M DescribeSecret RotationEnabled", |w| {
        let made = w.make()?;
        let described = w.describe(&made.name)?;
        must(described["RotationEnabled"].is_null() && described["RotationRules"].is_null(), "it does")
    }),
    rule("UpdateSecret changes the description without naming a version", "R-LS test_update_secret_description", |w| {
        let made = w.make()?;
        let body = json!({"SecretId": made.name, "Description": "new", "ClientRequestToken": token()});
        let answer = w.ok("UpdateSecret", body)?;
        must(answer.get("VersionId").is_none(), "it names one")?;
        same(text(&w.describe(&made.name)?, "Description"), "new".to_owned())
    }),
    rule("UpdateSecret with an empty key goes back to the service's own", "M UpdateSecret KmsKeyId", |w| {
        let made = w.make_as(&name(), json!({"KmsKeyId": "alias/mine"}))?;
        w.ok("UpdateSecret", json!({"SecretId": made.name, "KmsKeyId": "", "ClientRequestToken": token()}))?;
        same(text(&w.describe(&made.name)?, "KmsKeyId"), String::new())
    }),
];
