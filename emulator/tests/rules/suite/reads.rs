//! `GetSecretValue`, `DescribeSecret`, `ListSecretVersionIds`, `BatchGetSecretValue`, and what a `SecretId` may be.

use serde_json::{Value, json};

use super::wire::{Wire, name, text, token};
use super::{Broken, Rule, must, rule, same};

const BAD: &[&str] = &["ValidationException", "InvalidParameterException"];

fn batch(w: &Wire, body: Value) -> Result<(Vec<Value>, Vec<Value>), Broken> {
    let answer = w.ok("BatchGetSecretValue", body)?;
    let list = |member: &str| answer[member].as_array().cloned().unwrap_or_default();
    Ok((list("SecretValues"), list("Errors")))
}

/// An ARN ends with a hyphen and six characters.
fn without_end(text: &str, count: usize) -> &str {
    &text[..text.len().saturating_sub(count)]
}

fn versions(w: &Wire, body: Value) -> Result<Vec<Value>, Broken> {
    Ok(w.ok("ListSecretVersionIds", body)?["Versions"].as_array().cloned().unwrap_or_default())
}

pub(crate) const RULES: &[Rule] = &[
    rule("a read names the version, its labels and when it was made", "M GetSecretValue", |w| {
        let made = w.make()?;
        let got = w.ok("GetSecretValue", json!({"SecretId": made.name}))?;
        same(text(&got, "VersionId"), made.first)?;
        same(text(&got, "ARN"), made.arn)?;
        same(&got["VersionStages"], &json!(["AWSCURRENT"]))?;
        must(got["CreatedDate"].is_number(), "no CreatedDate")
    }),
    rule("a read by version finds that version", "M GetSecretValue", |w| {
        let made = w.make()?;
        w.put(&made.name, "second", None)?;
        let got = w.ok("GetSecretValue", json!({"SecretId": made.name, "VersionId": made.first}))?;
        same(text(&got, "SecretString"), "first".to_owned())
    }),
    rule("a version that lost all labels can still be read by its id", "INF from M ListSecretVersionIds", |w| {
        let made = w.make()?;
        w.put(&made.name, "second", None)?;
        w.put(&made.name, "third", None)?;
        let got = w.ok("GetSecretValue", json!({"SecretId": made.name, "VersionId": made.first}))?;
        same(text(&got, "SecretString"), "first".to_owned())
    }),
    rule("a version and a label that do not agree are refused", "R-LS test_get_secret_value_errors", |w| {
        let made = w.make()?;
        let body = json!({"SecretId": made.name, "VersionId": made.first, "VersionStage": "AWSPREVIOUS"});
        let refusal = w.refused_as("GetSecretValue", body, &["InvalidRequestException"])?;
        same(refusal.message, "You provided a VersionStage that is not associated to the provided VersionId.".to_owned())
    }),
    rule("a label on no version is not found, with a text of its own", "R-LS test_get_secret_value_errors", |w| {
        let made = w.make()?;
        let body = json!({"SecretId": made.name, "VersionStage": "nowhere"});
        let refusal = w.refused_as("GetSecretValue", body, &["ResourceNotFoundException"])?;
        same(refusal.message, "Secrets Manager can't find the specified secret value for staging label: nowhere".to_owned())
    }),
    rule("a version that is not there is not found, with a text of its own", "R-LS test_get_secret_value_errors", |w| {
        let made = w.make()?;
        let id = token();
        let refusal = w.refused_as("GetSecretValue", json!({"SecretId": made.name, "VersionId": id}), &["ResourceNotFoundException"])?;
        same(refusal.message, format!("Secrets Manager can't find the specified secret value for VersionId: {id}"))
    }),
    rule("a whole ARN finds its secret", "M SecretId", |w| {
        let made = w.make()?;
        same(text(&w.describe(&made.arn)?, "Name"), made.name)
    }),
    rule("an ARN without its suffix finds the secret", "M SecretId", |w| {
        let made = w.make()?;
        let partial = without_end(&made.arn, 7);
        same(text(&w.describe(partial)?, "ARN"), made.arn.clone())
    }),
    rule("an ARN with another suffix does not", "M SecretId", |w| {
        let made = w.make()?;
        let other = format!("{}AAAAAA", without_end(&made.arn, 6));
        w.refused_as("DescribeSecret", json!({"SecretId": other}), &["ResourceNotFoundException"]).map(drop)
    }),
    rule("a name that ends like a suffix is accepted and cannot be found by an ARN without its suffix", "UG troubleshooting", |w| {
        let made = w.make_as(&format!("{}-abcdef", name()), json!({}))?;
        w.describe(&made.name)?;
        let partial = without_end(&made.arn, 7);
        w.refused_as("DescribeSecret", json!({"SecretId": partial}), &["ResourceNotFoundException"]).map(drop)
    }),
    rule("a part of a name finds nothing", "M SecretId", |w| {
        let made = w.make()?;
        let part = without_end(&made.name, 1);
        w.refused_as("DescribeSecret", json!({"SecretId": part}), &["ResourceNotFoundException"]).map(drop)
    }),
    rule("a description shows only versions that have a label", "R-LS test_deprecated_secret_version_stage", |w| {
        let made = w.make()?;
        w.put(&made.name, "second", None)?;
        w.put(&made.name, "third", None)?;
        let described = w.describe(&made.name)?;
        must(described["VersionIdsToStages"].get(&made.first).is_none(), "the first version is shown")
    }),
    rule("a secret that was never read has no LastAccessedDate", "R-LS test_last_accessed_date", |w| {
        let made = w.make()?;
        must(w.describe(&made.name)?["LastAccessedDate"].is_null(), "it has one")
    }),
    rule("LastAccessedDate is a whole day", "R-LS test_last_accessed_date", |w| {
        let made = w.make()?;
        w.value(&made.name, "AWSCURRENT")?;
        let day = w.describe(&made.name)?["LastAccessedDate"].as_f64().ok_or("there is none")?;
        must((day % 86_400.0).abs() < 0.001, format!("{day}"))
    }),
    rule("CreatedDate of a read is that of the version", "M GetSecretValue CreatedDate", |w| {
        let made = w.make()?;
        std::thread::sleep(std::time::Duration::from_millis(1_100));
        w.put(&made.name, "second", None)?;
        let at = |stage: &str| -> Result<f64, Broken> {
            let got = w.ok("GetSecretValue", json!({"SecretId": made.name, "VersionStage": stage}))?;
            got["CreatedDate"].as_f64().ok_or_else(|| "no CreatedDate".to_owned())
        };
        must(at("AWSPREVIOUS")? < at("AWSCURRENT")?, "both are of one age")
    }),
    rule("the list of versions shows labelled ones only, unless asked", "R-LS test_deprecated_secret_version_stage", |w| {
        let made = w.make()?;
        w.put(&made.name, "second", None)?;
        w.put(&made.name, "third", None)?;
        same(versions(w, json!({"SecretId": made.name}))?.len(), 2)?;
        same(versions(w, json!({"SecretId": made.name, "IncludeDeprecated": true}))?.len(), 3)
    }),
    rule("a version without labels has no VersionStages in the list", "R-LS test_deprecated_secret_version_stage", |w| {
        let made = w.make()?;
        w.put(&made.name, "second", None)?;
        w.put(&made.name, "third", None)?;
        let all = versions(w, json!({"SecretId": made.name, "IncludeDeprecated": true}))?;
        let first = all.iter().find(|version| version["VersionId"] == made.first.as_str()).ok_or("the first version is missing")?;
        must(first.get("VersionStages").is_none(), "it has")
    }),
    rule("the list of versions names the secret by its ARN", "M ListSecretVersionIds", |w| {
        let made = w.make()?;
        same(text(&w.ok("ListSecretVersionIds", json!({"SecretId": made.name}))?, "ARN"), made.arn)
    }),
    rule("the list of versions comes in pages", "M ListSecretVersionIds", |w| {
        let made = w.make()?;
        w.put(&made.name, "second", None)?;
        let page = w.ok("ListSecretVersionIds", json!({"SecretId": made.name, "MaxResults": 1}))?;
        same(page["Versions"].as_array().map(Vec::len), Some(1))?;
        let next = w.ok("ListSecretVersionIds", json!({"SecretId": made.name, "MaxResults": 1, "NextToken": page["NextToken"]}))?;
        same(next["Versions"].as_array().map(Vec::len), Some(1))?;
        must(next["Versions"] != page["Versions"] && next["NextToken"].is_null(), "the second page is not the rest")
    }),
    rule("the versions of a secret that is not there are not found", "M ListSecretVersionIds", |w| {
        w.refused_as("ListSecretVersionIds", json!({"SecretId": name()}), &["ResourceNotFoundException"]).map(drop)
    }),
    rule("a batch reads the current values of several secrets", "M BatchGetSecretValue", |w| {
        let (one, two) = (w.make()?, w.make()?);
        let (values, errors) = batch(w, json!({"SecretIdList": [one.name, two.arn]}))?;
        same((values.len(), errors.len()), (2, 0))?;
        must(values.iter().all(|value| value["SecretString"] == "first"), "wrong values")
    }),
    rule("a batch reads the new value after AWSCURRENT was moved", "M BatchGetSecretValue", |w| {
        let made = w.make()?;
        let next = w.put(&made.name, "next", Some(&["AWSPENDING"]))?;
        w.shift(&made.name, "AWSCURRENT", Some(&made.first), Some(&next))?;
        let (values, _) = batch(w, json!({"SecretIdList": [made.name]}))?;
        same(values.first().map(|value| text(value, "VersionId")), Some(next))
    }),
    rule("what a batch does not find is told beside what it finds", "M BatchGetSecretValue", |w| {
        let made = w.make()?;
        let missing = name();
        let (values, errors) = batch(w, json!({"SecretIdList": [missing, made.name]}))?;
        same(values.len(), 1)?;
        let error = errors.first().ok_or("no error is told")?;
        same(text(error, "SecretId"), missing)?;
        same(text(error, "ErrorCode"), "ResourceNotFoundException".to_owned())
    }),
    rule("a secret without a value does not fail a batch", "M BatchGetSecretValue", |w| {
        let (empty, made) = (w.make_empty()?, w.make()?);
        let (values, errors) = batch(w, json!({"SecretIdList": [empty.name, made.name]}))?;
        same((values.len(), errors.len()), (1, 1))
    }),
    rule("a batch takes a list or filters, not both and not neither", "M BatchGetSecretValue", |w| {
        let made = w.make()?;
        let filters = json!([{"Key": "name", "Values": [made.name]}]);
        w.refused_as("BatchGetSecretValue", json!({"SecretIdList": [made.name], "Filters": filters}), BAD)?;
        w.refused_as("BatchGetSecretValue", json!({}), BAD).map(drop)
    }),
    rule("a batch takes a page size only with filters", "M BatchGetSecretValue", |w| {
        let made = w.make()?;
        w.refused_as("BatchGetSecretValue", json!({"SecretIdList": [made.name], "MaxResults": 5}), BAD).map(drop)
    }),
    rule("a batch takes at most 20 ids", "M SecretIdListType", |w| {
        let ids: Vec<String> = (0..21).map(|_| name()).collect();
        w.refused_as("BatchGetSecretValue", json!({"SecretIdList": ids}), BAD).map(drop)
    }),
    rule("a page of a batch has at most 20 values", "M MaxResultsBatchType", |w| {
        let body = json!({"Filters": [{"Key": "name", "Values": [name()]}], "MaxResults": 21});
        w.refused_as("BatchGetSecretValue", body, BAD).map(drop)
    }),
    rule("a batch by filter comes in pages", "M BatchGetSecretValue", |w| {
        let prefix = name();
        for n in 0..3 {
            w.make_as(&format!("{prefix}/{n}"), json!({}))?;
        }
        let filters = json!([{"Key": "name", "Values": [prefix]}]);
        let page = w.ok("BatchGetSecretValue", json!({"Filters": filters, "MaxResults": 2}))?;
        same(page["SecretValues"].as_array().map(Vec::len), Some(2))?;
        let rest = w.ok("BatchGetSecretValue", json!({"Filters": filters, "MaxResults": 2, "NextToken": page["NextToken"]}))?;
        same(rest["SecretValues"].as_array().map(Vec::len), Some(1))
    }),
];
