//! Comparison of resource policies by meaning. AWS may return a policy in another order and form than it was sent, so
//! the texts cannot be compared.
//!
//! The rules are those of the IAM grammar: a single string equals a list of one; lists, statements and principals are
//! sets; an account ID means the root of the account; action names are case-insensitive.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>

use serde_json::{Map, Value};

use crate::api::ResourcePolicy;
use crate::value::short_hash;

/// A declared resource policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyDocument {
    /// The JSON text that is sent.
    pub text: String,
    /// Whether AWS must reject it if it grants public access.
    pub block_public: bool,
    meaning: String,
}

impl PolicyDocument {
    /// `None` if the policy exceeds AWS's maximum length.
    pub fn new(policy: &ResourcePolicy, block_public: bool) -> Option<Self> {
        let ResourcePolicy::Text(text) = policy else { return None };
        Some(Self { text: text.to_string(), block_public, meaning: meaning(text) })
    }

    /// Hash of the meaning. Equal for texts with the same meaning.
    pub fn meaning(&self) -> &str {
        &self.meaning
    }
}

/// Hash of the meaning of the policy in `text`. A text that is not a JSON object has no meaning and differs from every
/// declared policy.
pub fn meaning(text: &str) -> String {
    hash(&serde_json::from_str(text).unwrap_or(Value::Null))
}

fn hash(document: &Value) -> String {
    short_hash(canonical(document).to_string().as_bytes())
}

fn canonical(document: &Value) -> Value {
    let Value::Object(members) = document else { return Value::Null };
    let mut out = Map::new();
    for (key, value) in members {
        let value = match key.as_str() {
            "Statement" => set(list(value).iter().map(|one| statement(one))),
            _ => value.clone(),
        };
        out.insert(key.clone(), value);
    }
    out.entry("Version").or_insert_with(|| "2008-10-17".into());
    sorted(out)
}

fn statement(statement: &Value) -> Value {
    let Value::Object(members) = statement else { return statement.clone() };
    let mut out = Map::new();
    for (key, value) in members {
        let value = match key.as_str() {
            "Action" | "NotAction" => set(list(value).into_iter().map(small)),
            "Resource" | "NotResource" => set(list(value).into_iter().cloned()),
            "Principal" | "NotPrincipal" => principal(value),
            "Condition" => condition(value),
            // An empty Sid equals no Sid.
            "Sid" if value == "" => continue,
            _ => value.clone(),
        };
        out.insert(key.clone(), value);
    }
    sorted(out)
}

fn small(name: &Value) -> Value {
    name.as_str().map_or_else(|| name.clone(), |name| name.to_lowercase().into())
}

fn principal(principal: &Value) -> Value {
    match principal {
        // In a resource policy `*` and `{"AWS": "*"}` are equal.
        Value::String(anybody) if anybody == "*" => sorted(Map::from_iter([("AWS".to_owned(), set([anybody.clone().into()]))])),
        Value::Object(kinds) => sorted(
            kinds
                .iter()
                .map(|(kind, names)| {
                    let names = list(names).into_iter().map(|name| if kind == "AWS" { account(name) } else { name.clone() });
                    (kind.clone(), set(names))
                })
                .collect(),
        ),
        other => other.clone(),
    }
}

/// `123456789012` is the short form of the account's root.
fn account(name: &Value) -> Value {
    let is_number = |name: &str| name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_digit());
    let root = name.as_str().and_then(|arn| {
        let mut parts = arn.split(':');
        let iam = parts.next() == Some("arn") && parts.next().is_some() && parts.next() == Some("iam") && parts.next() == Some("");
        let number = parts.next()?;
        (iam && is_number(number) && parts.next() == Some("root") && parts.next().is_none()).then(|| number.into())
    });
    root.unwrap_or_else(|| name.clone())
}

fn condition(condition: &Value) -> Value {
    let Value::Object(operators) = condition else { return condition.clone() };
    let operators = operators.iter().map(|(operator, keys)| {
        let keys = match keys {
            // Condition keys are case-insensitive; their values may be case-sensitive.
            Value::Object(keys) => {
                sorted(keys.iter().map(|(key, values)| (key.to_lowercase(), set(list(values).into_iter().map(text)))).collect())
            }
            other => other.clone(),
        };
        (operator.clone(), keys)
    });
    sorted(operators.collect())
}

/// Values of conditions are strings; `true` and `5` are short forms of strings.
fn text(value: &Value) -> Value {
    match value {
        Value::Bool(_) | Value::Number(_) => value.to_string().into(),
        other => other.clone(),
    }
}

fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        one => vec![one],
    }
}

fn set(items: impl IntoIterator<Item = Value>) -> Value {
    let mut items: Vec<(String, Value)> = items.into_iter().map(|item| (item.to_string(), item)).collect();
    items.sort_by(|one, other| one.0.cmp(&other.0));
    items.dedup_by(|one, other| one.0 == other.0);
    items.into_iter().map(|(_, item)| item).collect()
}

/// Sorts the members, so that the result does not depend on the map type of `serde_json`.
fn sorted(members: Map<String, Value>) -> Value {
    let mut members: Vec<(String, Value)> = members.into_iter().collect();
    members.sort_by(|one, other| one.0.cmp(&other.0));
    Value::Object(members.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::LONGEST_POLICY;

    fn one_statement(change: impl FnOnce(&mut Value)) -> String {
        let mut statement = json!({
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
            "Action": "secretsmanager:GetSecretValue",
            "Resource": "*",
        });
        change(&mut statement);
        hash(&json!({"Version": "2012-10-17", "Statement": [statement]}))
    }

    #[test]
    fn policies_that_mean_the_same_are_the_same_however_they_are_written() {
        let plain = one_statement(|_| {});
        let principal = |value: Value| one_statement(|s| s["Principal"] = value);
        let action = |value: Value| one_statement(|s| s["Action"] = value);
        let condition = |value: Value| one_statement(|s| s["Condition"] = value);
        let same = [
            ("one in a list", plain.clone(), action(json!(["secretsmanager:GetSecretValue"]))),
            ("case of an action", plain.clone(), action(json!("SecretsManager:getsecretvalue"))),
            ("one twice", plain.clone(), action(json!(["secretsmanager:GetSecretValue", "secretsmanager:getSecretValue"]))),
            ("an account's number", plain.clone(), principal(json!({"AWS": "123456789012"}))),
            ("an account in a list", plain.clone(), principal(json!({"AWS": ["123456789012"]}))),
            ("an empty Sid", plain.clone(), one_statement(|s| s["Sid"] = json!(""))),
            ("anybody", principal(json!("*")), principal(json!({"AWS": ["*"]}))),
            ("order", action(json!(["a:B", "c:D"])), action(json!(["c:d", "a:b"]))),
            (
                "conditions",
                condition(json!({"Bool": {"aws:SecureTransport": false}, "StringEquals": {"aws:PrincipalTag/team": ["a", "b"]}})),
                condition(json!({"StringEquals": {"aws:principaltag/team": ["b", "a"]}, "Bool": {"aws:SecureTransport": ["false"]}})),
            ),
            (
                "no version is the oldest",
                hash(&json!({"Statement": {"Effect": "Deny"}})),
                hash(&json!({"Statement": [{"Effect": "Deny"}], "Version": "2008-10-17"})),
            ),
        ];
        for (what, one, other) in same {
            assert_eq!(one, other, "{what}");
        }
    }

    #[test]
    fn policies_that_mean_something_else_differ() {
        let plain = one_statement(|_| {});
        let others = [
            one_statement(|s| s["Effect"] = json!("Deny")),
            one_statement(|s| s["Principal"] = json!("*")),
            one_statement(|s| s["Principal"] = json!({"AWS": "210987654321"})),
            one_statement(|s| s["Principal"] = json!({"Service": "123456789012"})),
            one_statement(|s| s["Action"] = json!(["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"])),
            one_statement(|s| s["Resource"] = json!("arn:aws:secretsmanager:eu-central-1:123456789012:secret:a-AbCdEf")),
            one_statement(|s| s["Condition"] = json!({"Bool": {"aws:SecureTransport": "true"}})),
            one_statement(|s| s["Condition"] = json!({"Bool": {"aws:SecureTransport": "TRUE"}})),
            one_statement(|s| s["Sid"] = json!("Readers")),
            meaning("not JSON"),
            meaning("[]"),
            meaning("{}"),
        ];
        for other in &others {
            assert_ne!(*other, plain);
        }
    }

    #[test]
    fn a_policy_that_aws_would_not_take_for_its_length_is_none() {
        let of = |length: usize| -> ResourcePolicy {
            serde_json::from_value(json!({"Statement": [{"Effect": "Deny", "Sid": "s".repeat(length)}]})).unwrap()
        };
        let frame = serde_json::to_string(&of(0)).unwrap().len();
        let longest = PolicyDocument::new(&of(LONGEST_POLICY - frame), true).unwrap();
        assert_eq!(longest.text.len(), LONGEST_POLICY);
        assert!(PolicyDocument::new(&of(LONGEST_POLICY - frame + 1), true).is_none());
        assert_eq!(of(10 * LONGEST_POLICY), ResourcePolicy::TooLong);
    }
}
