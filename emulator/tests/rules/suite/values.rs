//! New versions and the labels that `PutSecretValue` and `UpdateSecret` move.

use serde_json::json;

use super::wire::{text, token};
use super::{Rule, must, rule, same};

const BAD: &[&str] = &["ValidationException", "InvalidParameterException", "InvalidRequestException"];

pub(crate) const RULES: &[Rule] = &[
    rule(
        "a put moves AWSCURRENT to the new version and AWSPREVIOUS to the one it leaves",
        "R-LS test_put_secret_value_with_new_version",
        |w| {
            let made = w.make()?;
            let second = w.put(&made.name, "second", None)?;
            w.labels_are(&made.name, &[(&made.first, &["AWSPREVIOUS"]), (&second, &["AWSCURRENT"])])?;
            same(w.value(&made.name, "AWSCURRENT")?, "second".to_owned())?;
            same(w.value(&made.name, "AWSPREVIOUS")?, "first".to_owned())
        },
    ),
    rule("a third put takes the last label from the first version", "M PutSecretValue", |w| {
        let made = w.make()?;
        let second = w.put(&made.name, "second", None)?;
        let third = w.put(&made.name, "third", None)?;
        w.labels_are(&made.name, &[(&second, &["AWSPREVIOUS"]), (&third, &["AWSCURRENT"])])
    }),
    rule("the answer of a put names the version and its labels", "M PutSecretValue", |w| {
        let made = w.make()?;
        let id = token();
        let answer = w.ok("PutSecretValue", json!({"SecretId": made.arn, "ClientRequestToken": id, "SecretString": "x"}))?;
        same(text(&answer, "VersionId"), id)?;
        same(text(&answer, "ARN"), made.arn)?;
        same(&answer["VersionStages"], &json!(["AWSCURRENT"]))
    }),
    rule("a put with labels moves only these", "R-LS test_put_secret_value_with_version_stages", |w| {
        let made = w.make()?;
        let pending = w.put(&made.name, "x", Some(&["AWSPENDING", "mine"]))?;
        w.labels_are(&made.name, &[(&made.first, &["AWSCURRENT"]), (&pending, &["AWSPENDING", "mine"])])
    }),
    rule("a put takes its labels away from the versions that had them", "R-LS test_put_secret_value_version_stages_replacement", |w| {
        let made = w.make()?;
        let one = w.put(&made.name, "1", Some(&["AWSPENDING", "mine"]))?;
        let two = w.put(&made.name, "2", Some(&["mine"]))?;
        w.labels_are(&made.name, &[(&made.first, &["AWSCURRENT"]), (&one, &["AWSPENDING"]), (&two, &["mine"])])
    }),
    rule("a put with AWSCURRENT among its labels moves AWSPREVIOUS, too", "M PutSecretValue", |w| {
        let made = w.make()?;
        let next = w.put(&made.name, "x", Some(&["AWSCURRENT", "mine"]))?;
        w.labels_are(&made.name, &[(&made.first, &["AWSPREVIOUS"]), (&next, &["AWSCURRENT", "mine"])])
    }),
    rule("the first version of an empty secret is current whatever labels were asked for", "M PutSecretValue", |w| {
        let made = w.make_empty()?;
        let first = w.put(&made.name, "x", Some(&["AWSPENDING"]))?;
        w.labels_are(&made.name, &[(&first, &["AWSCURRENT", "AWSPENDING"])])
    }),
    rule(
        "a put of a new current value strips AWSPENDING from the current version",
        "R-LS test_update_secret_version_stages_current_pending",
        |w| {
            let made = w.make()?;
            let second = w.put(&made.name, "second", Some(&["AWSPENDING"]))?;
            w.shift(&made.name, "AWSCURRENT", Some(&made.first), Some(&second))?;
            let third = w.put(&made.name, "third", None)?;
            w.labels_are(&made.name, &[(&second, &["AWSPREVIOUS"]), (&third, &["AWSCURRENT"])])
        },
    ),
    rule("a put of a new current value strips AWSPENDING from a third version", "UG RotationAbandoned, INF", |w| {
        let made = w.make()?;
        w.put(&made.name, "pending", Some(&["AWSPENDING"]))?;
        let third = w.put(&made.name, "third", None)?;
        w.labels_are(&made.name, &[(&made.first, &["AWSPREVIOUS"]), (&third, &["AWSCURRENT"])])
    }),
    rule("a put leaves custom labels on the version it demotes", "INF from R-LS custom_stages", |w| {
        let made = w.make()?;
        let second = w.put(&made.name, "2", Some(&["AWSCURRENT", "mine"]))?;
        let third = w.put(&made.name, "3", None)?;
        w.labels_are(&made.name, &[(&second, &["AWSPREVIOUS", "mine"]), (&third, &["AWSCURRENT"])])
    }),
    rule("one-phase after two-phase leaves one current version", "R-LS test_update_secret_version_stages_current_pending", |w| {
        let made = w.make()?;
        let second = w.put(&made.name, "second", Some(&["AWSPENDING"]))?;
        w.shift(&made.name, "AWSCURRENT", Some(&made.first), Some(&second))?;
        w.shift(&made.name, "AWSPENDING", Some(&second), None)?;
        let third = w.put(&made.name, "third", None)?;
        w.labels_are(&made.name, &[(&second, &["AWSPREVIOUS"]), (&third, &["AWSCURRENT"])])?;
        same(w.value(&made.name, "AWSCURRENT")?, "third".to_owned())
    }),
    rule("a put without a value is refused", "M PutSecretValue", |w| {
        let made = w.make()?;
        w.refused_as("PutSecretValue", json!({"SecretId": made.name, "ClientRequestToken": token()}), BAD).map(drop)
    }),
    rule("a put of text and bytes together is refused and makes no version", "M PutSecretValue", |w| {
        let made = w.make()?;
        let body = json!({"SecretId": made.name, "ClientRequestToken": token(), "SecretString": "x", "SecretBinary": "eA=="});
        w.refused_as("PutSecretValue", body, BAD)?;
        w.labels_are(&made.name, &[(&made.first, &["AWSCURRENT"])])
    }),
    rule("a put of an empty value is refused", "M SecretStringType", |w| {
        let made = w.make()?;
        let body = json!({"SecretId": made.name, "ClientRequestToken": token(), "SecretString": ""});
        w.refused_as("PutSecretValue", body, BAD).map(drop)
    }),
    rule("a put to a secret that is not there is refused", "M PutSecretValue", |w| {
        let body = json!({"SecretId": super::wire::name(), "ClientRequestToken": token(), "SecretString": "x"});
        let refusal = w.refused_as("PutSecretValue", body, &["ResourceNotFoundException"])?;
        same(refusal.message, "Secrets Manager can't find the specified secret.".to_owned())
    }),
    rule("one call has at most 20 labels", "M SecretVersionStagesType", |w| {
        let made = w.make()?;
        let labels: Vec<String> = (0..21).map(|n| format!("l{n}")).collect();
        let body = json!({"SecretId": made.name, "ClientRequestToken": token(), "SecretString": "x", "VersionStages": labels});
        w.refused_as("PutSecretValue", body, BAD).map(drop)
    }),
    rule("an empty list of labels is refused", "M SecretVersionStagesType", |w| {
        let made = w.make()?;
        let body = json!({"SecretId": made.name, "ClientRequestToken": token(), "SecretString": "x", "VersionStages": []});
        w.refused_as("PutSecretValue", body, BAD).map(drop)
    }),
    rule("a label has at most 256 characters", "M SecretVersionStageType", |w| {
        let made = w.make()?;
        w.put(&made.name, "x", Some(&[&"l".repeat(256)]))?;
        let body = json!({"SecretId": made.name, "ClientRequestToken": token(), "SecretString": "x", "VersionStages": ["l".repeat(257)]});
        w.refused_as("PutSecretValue", body, BAD).map(drop)
    }),
    rule("all versions of a secret together have at most 20 labels", "UG quotas", |w| {
        let made = w.make()?;
        let labels: Vec<String> = (0..19).map(|n| format!("l{n}")).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        w.put(&made.name, "x", Some(&labels))?;
        let body = json!({"SecretId": made.name, "ClientRequestToken": token(), "SecretString": "x", "VersionStages": ["one-more"]});
        w.refused("PutSecretValue", body).map(drop)
    }),
    rule("UpdateSecret with a value moves labels as a put does", "R-LS test_update_secret_version_stages", |w| {
        let made = w.make()?;
        let id = token();
        let answer = w.ok("UpdateSecret", json!({"SecretId": made.name, "ClientRequestToken": id, "SecretString": "new"}))?;
        same(text(&answer, "VersionId"), id.clone())?;
        w.labels_are(&made.name, &[(&made.first, &["AWSPREVIOUS"]), (&id, &["AWSCURRENT"])])
    }),
    rule("UpdateSecret of a secret that is not there is refused", "M UpdateSecret", |w| {
        let body = json!({"SecretId": super::wire::name(), "ClientRequestToken": token(), "Description": "x"});
        w.refused_as("UpdateSecret", body, &["ResourceNotFoundException"]).map(drop)
    }),
    rule("a token of the wrong length is refused on a put", "M ClientRequestTokenType", |w| {
        let made = w.make()?;
        let body = json!({"SecretId": made.name, "ClientRequestToken": "x".repeat(31), "SecretString": "x"});
        w.refused_as("PutSecretValue", body, BAD)?;
        must(w.labels(&made.name)?.len() == 1, "there is a version more")
    }),
];
