//! Resource policies: stored, checked in form, never enforced.

use serde_json::{Value, json};

use super::fields::Fields;
use super::{Answer, Caller, Store};
use crate::error::AwsError;

const LONGEST: usize = 20_480;

impl Store {
    pub(super) fn put_policy(&mut self, caller: Caller<'_>, fields: Fields<'_>) -> Answer {
        let id = fields.secret_id()?;
        let text = fields.required("ResourcePolicy", 1, LONGEST)?;
        let block = fields.bool("BlockPublicPolicy")?;
        let mut secret = self.open(caller, id)?;
        let policy = parse(text).ok_or_else(|| AwsError::malformed_policy("This resource policy contains a syntax error."))?;
        if block && is_public(&policy) {
            return Err(AwsError::new("PublicPolicyException", "The resource policy grants broad access, and BlockPublicPolicy is set."));
        }
        secret.policy = Some(text.to_owned());
        let answer = json!({"ARN": secret.arn, "Name": secret.name});
        self.save(caller, secret);
        Ok(answer)
    }

    pub(super) fn get_policy(&mut self, caller: Caller<'_>, fields: Fields<'_>) -> Answer {
        let secret = self.find(caller, fields.secret_id()?)?;
        if secret.deletion.is_some() {
            return Err(AwsError::marked_for_deletion());
        }
        let mut answer = json!({"ARN": secret.arn, "Name": secret.name});
        if let (Some(policy), Some(answer)) = (&secret.policy, answer.as_object_mut()) {
            answer.insert("ResourcePolicy".into(), policy.clone().into());
        }
        Ok(answer)
    }

    pub(super) fn delete_policy(&mut self, caller: Caller<'_>, fields: Fields<'_>) -> Answer {
        let mut secret = self.open(caller, fields.secret_id()?)?;
        let answer = json!({"ARN": secret.arn, "Name": secret.name});
        if secret.policy.take().is_some() {
            self.save(caller, secret);
        }
        Ok(answer)
    }

    pub(super) fn validate_policy(&mut self, caller: Caller<'_>, fields: Fields<'_>) -> Answer {
        let text = fields.required("ResourcePolicy", 1, LONGEST)?;
        if fields.has("SecretId") {
            self.find(caller, fields.secret_id()?)?;
        }
        let finding = match parse(text) {
            None => Some(("POLICY_SYNTAX", "This resource policy contains a syntax error.")),
            Some(policy) if is_public(&policy) => Some(("PUBLIC_ACCESS", "The resource policy grants broad access.")),
            Some(_) => None,
        };
        let findings: Vec<Value> =
            finding.into_iter().map(|(check, message)| json!({"CheckName": check, "ErrorMessage": message})).collect();
        Ok(json!({"PolicyValidationPassed": findings.is_empty(), "ValidationErrors": findings}))
    }
}

/// The statements of a policy that has the right form.
fn parse(text: &str) -> Option<Vec<Value>> {
    let policy: Value = serde_json::from_str(text).ok()?;
    let statements = match policy.get("Statement")? {
        Value::Array(statements) => statements.clone(),
        statement => vec![statement.clone()],
    };
    let complete = |statement: &Value| {
        let has = |one: &str, other: &str| statement.get(one).is_some() != statement.get(other).is_some();
        matches!(statement.get("Effect").and_then(Value::as_str), Some("Allow" | "Deny"))
            && has("Action", "NotAction")
            && has("Principal", "NotPrincipal")
            && has("Resource", "NotResource")
    };
    (!statements.is_empty() && statements.iter().all(complete)).then_some(statements)
}

/// Whether a statement allows anybody, under no condition.
fn is_public(statements: &[Value]) -> bool {
    statements.iter().any(|statement| {
        statement.get("Effect").and_then(Value::as_str) == Some("Allow")
            && statement.get("Condition").is_none()
            && (statement.get("NotPrincipal").is_some() || statement.get("Principal").is_some_and(is_anybody))
    })
}

fn is_anybody(principal: &Value) -> bool {
    match principal {
        Value::String(name) => name == "*",
        Value::Array(names) => names.iter().any(is_anybody),
        Value::Object(kinds) => kinds.get("AWS").is_some_and(is_anybody),
        _ => false,
    }
}
