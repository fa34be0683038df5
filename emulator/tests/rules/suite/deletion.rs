//! Deleting, restoring, deleting for good.

use serde_json::{Value, json};

use super::wire::{Made, Wire, name, text, token};
use super::{Broken, Rule, must, rule, same};

const BAD: &[&str] = &["InvalidParameterException", "ValidationException"];
const MARKED: &str = "You can't perform this operation on the secret because it was marked for deletion.";

fn deleted(w: &Wire) -> Result<Made, Broken> {
    let made = w.make()?;
    w.ok("DeleteSecret", json!({"SecretId": made.name}))?;
    Ok(made)
}

/// An operation on a secret that waits for deletion is refused in the recorded words.
fn refuses(w: &Wire, operation: &str, mut body: Value) -> Result<(), Broken> {
    let made = deleted(w)?;
    body["SecretId"] = made.name.into();
    let refusal = w.refused_as(operation, body, &["InvalidRequestException"])?;
    same(refusal.message, MARKED.to_owned())
}

fn window(w: &Wire, more: &Value) -> Result<f64, Broken> {
    let made = w.make()?;
    let mut body = json!({"SecretId": made.name});
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more.clone()) {
        body.extend(more);
    }
    let changed = w.describe(&made.name)?["CreatedDate"].as_f64().unwrap_or_default();
    let planned = w.ok("DeleteSecret", body)?["DeletionDate"].as_f64().ok_or("no DeletionDate")?;
    Ok(((planned - changed) / 86_400.0).round())
}

pub(crate) const RULES: &[Rule] = &[
    rule("the recovery window is 30 days by default", "M DeleteSecret", |w| same(window(w, &json!({}))?, 30.0)),
    rule("the recovery window is what was asked for", "M DeleteSecret", |w| same(window(w, &json!({"RecoveryWindowInDays": 7}))?, 7.0)),
    rule("the recovery window is 7 to 30 days", "M RecoveryWindowInDays", |w| {
        let made = w.make()?;
        for days in [6, 31] {
            w.refused_as("DeleteSecret", json!({"SecretId": made.name, "RecoveryWindowInDays": days}), BAD)?;
        }
        Ok(())
    }),
    rule("a window and force together are refused", "M DeleteSecret", |w| {
        let made = w.make()?;
        let body = json!({"SecretId": made.name, "RecoveryWindowInDays": 7, "ForceDeleteWithoutRecovery": true});
        w.refused_as("DeleteSecret", body, BAD).map(drop)
    }),
    rule("a secret that waits for deletion can be described and tells its DeletedDate", "R-LS test_force_delete_deleted_secret", |w| {
        let made = deleted(w)?;
        must(w.describe(&made.name)?["DeletedDate"].is_number(), "it does not tell")
    }),
    rule("a secret that waits for deletion cannot be read", "R-LS test_can_recreate_delete_secret", |w| {
        refuses(w, "GetSecretValue", json!({}))
    }),
    rule("a secret that waits for deletion takes no value", "INF from R-LS tags on deleted secret", |w| {
        refuses(w, "PutSecretValue", json!({"SecretString": "x", "ClientRequestToken": token()}))
    }),
    rule("a secret that waits for deletion cannot be updated", "INF from R-LS tags on deleted secret", |w| {
        refuses(w, "UpdateSecret", json!({"Description": "x", "ClientRequestToken": token()}))
    }),
    rule("a secret that waits for deletion takes no tags", "R-LS tags on deleted secret", |w| {
        refuses(w, "TagResource", json!({"Tags": [{"Key": "k", "Value": "v"}]}))
    }),
    rule("a secret that waits for deletion keeps its tags", "R-LS tags on deleted secret", |w| {
        refuses(w, "UntagResource", json!({"TagKeys": ["k"]}))
    }),
    rule("labels of a secret that waits for deletion do not move", "INF from R-LS tags on deleted secret", |w| {
        let made = w.make()?;
        let next = w.put(&made.name, "x", Some(&["AWSPENDING"]))?;
        w.ok("DeleteSecret", json!({"SecretId": made.name}))?;
        let refusal = w.shift_refused(&made.name, "AWSCURRENT", Some(&made.first), Some(&next))?;
        same(refusal.code, "InvalidRequestException".to_owned())
    }),
    rule("a secret that waits for deletion takes no policy", "INF from R-LS tags on deleted secret", |w| {
        refuses(w, "PutResourcePolicy", json!({"ResourcePolicy": "{}"}))
    }),
    rule("a name that waits for deletion cannot be created", "R-LS test_can_recreate_delete_secret", |w| {
        let made = deleted(w)?;
        let body = json!({"Name": made.name, "ClientRequestToken": token(), "SecretString": "x"});
        let refusal = w.refused_as("CreateSecret", body, &["InvalidRequestException"])?;
        let wanted = "You can't create this secret because a secret with this name is already scheduled for deletion.";
        same(refusal.message, wanted.to_owned())
    }),
    rule(
        "a name that waits for deletion cannot be created by a replay of its creation either",
        "R-LS test_can_recreate_delete_secret",
        |w| {
            let body = json!({"Name": name(), "ClientRequestToken": token(), "SecretString": "x"});
            w.ok("CreateSecret", body.clone())?;
            w.ok("DeleteSecret", json!({"SecretId": body["Name"]}))?;
            w.refused_as("CreateSecret", body, &["InvalidRequestException"]).map(drop)
        },
    ),
    rule("deleting twice is refused", "INF from M DeleteSecret", |w| {
        let made = deleted(w)?;
        w.refused_as("DeleteSecret", json!({"SecretId": made.name}), &["InvalidRequestException"]).map(drop)
    }),
    rule("what waits for deletion can be deleted by force", "R-LS test_force_delete_deleted_secret", |w| {
        let made = deleted(w)?;
        w.ok("DeleteSecret", json!({"SecretId": made.name, "ForceDeleteWithoutRecovery": true}))?;
        w.refused_as("DescribeSecret", json!({"SecretId": made.name}), &["ResourceNotFoundException"]).map(drop)
    }),
    rule("deleting by force what is not there succeeds", "R-LS test_force_delete_nonexistent", |w| {
        let name = name();
        let answer = w.ok("DeleteSecret", json!({"SecretId": name, "ForceDeleteWithoutRecovery": true}))?;
        same(text(&answer, "Name"), name)
    }),
    rule("deleting without force what is not there does not", "M DeleteSecret", |w| {
        w.refused_as("DeleteSecret", json!({"SecretId": name()}), &["ResourceNotFoundException"]).map(drop)
    }),
    rule("a name that was just deleted by force is taken for a while", "R-LS comment, TF secret.go", |w| {
        let made = w.make()?;
        w.ok("DeleteSecret", json!({"SecretId": made.name, "ForceDeleteWithoutRecovery": true}))?;
        let body = json!({"Name": made.name, "ClientRequestToken": token(), "SecretString": "x"});
        w.refused_as("CreateSecret", body, &["InvalidRequestException"]).map(drop)
    }),
    rule("a restored secret is as it was before", "M RestoreSecret", |w| {
        let made = w.make()?;
        let next = w.put(&made.name, "second", None)?;
        w.ok("DeleteSecret", json!({"SecretId": made.name}))?;
        w.ok("RestoreSecret", json!({"SecretId": made.name}))?;
        w.labels_are(&made.name, &[(&made.first, &["AWSPREVIOUS"]), (&next, &["AWSCURRENT"])])?;
        must(w.describe(&made.name)?["DeletedDate"].is_null(), "DeletedDate is still there")
    }),
    rule("restoring what is not there is refused", "M RestoreSecret", |w| {
        w.refused_as("RestoreSecret", json!({"SecretId": name()}), &["ResourceNotFoundException"]).map(drop)
    }),
    rule("deletion and restoration are changes", "M LastChangedDate", |w| {
        let made = w.make()?;
        let mut last = 0.0;
        for operation in ["", "DeleteSecret", "RestoreSecret"] {
            if !operation.is_empty() {
                std::thread::sleep(std::time::Duration::from_millis(1_100));
                w.ok(operation, json!({"SecretId": made.name}))?;
            }
            let changed = w.describe(&made.name)?["LastChangedDate"].as_f64().unwrap_or_default();
            must(changed > last, format!("{operation} changed nothing"))?;
            last = changed;
        }
        Ok(())
    }),
    rule("a batch tells what waits for deletion as an error", "M BatchGetSecretValue", |w| {
        let made = deleted(w)?;
        let answer = w.ok("BatchGetSecretValue", json!({"SecretIdList": [made.name]}))?;
        same(text(&answer["Errors"][0], "ErrorCode"), "InvalidRequestException".to_owned())?;
        same(text(&answer["Errors"][0], "Message"), MARKED.to_owned())
    }),
    rule("a batch by filter passes over what waits for deletion", "INF from M BatchGetSecretValue", |w| {
        let made = deleted(w)?;
        let answer = w.ok("BatchGetSecretValue", json!({"Filters": [{"Key": "name", "Values": [made.name]}]}))?;
        same(answer["SecretValues"].as_array().map(Vec::len), Some(0))
    }),
];
