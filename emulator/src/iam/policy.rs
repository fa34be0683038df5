//! Policy documents and how IAM decides by them: a deny wins, an allow is needed, everything else is denied.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value};

use super::condition::Condition;
use super::pattern::{Facts, Piece, fits, words};

/// What is asked of IAM.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// `secretsmanager:PutSecretValue`.
    pub(crate) action: String,
    /// The ARN, or `*` where the action knows no resource.
    pub(crate) resource: String,
    /// For conditions.
    pub(crate) facts: Facts,
}

/// Who asks, as a `Principal` of a trust or resource policy names them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Named {
    /// ARNs that mean the caller: role and session, or user; and the account.
    pub(crate) aws: Vec<String>,
    /// The OIDC provider whose token the caller brought.
    pub(crate) federated: Option<String>,
    /// The AWS service that calls.
    pub(crate) service: Option<String>,
}

#[derive(Debug, Clone)]
enum Listed {
    These(Vec<String>),
    AllBut(Vec<String>),
}

#[derive(Debug, Clone)]
enum Principal {
    /// `"*"`
    Anybody,
    Of {
        aws: Vec<String>,
        federated: Vec<String>,
        service: Vec<String>,
    },
}

/// A statement.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) sid: String,
    pub(crate) allows: bool,
    actions: Listed,
    /// Absent in trust policies, where the role itself is meant.
    resources: Option<Listed>,
    principal: Option<Principal>,
    conditions: Vec<Condition>,
}

/// A policy document. What is not understood is an error: a slip must not pass as a narrow policy.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) name: String,
    pub(crate) statements: Vec<Statement>,
}

/// What the policies say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Statements that deny, as `policy/sid`.
    pub(crate) denied: Vec<String>,
    /// Statements that allow.
    pub(crate) allowed: Vec<String>,
}

impl Verdict {
    pub(crate) fn is_allowed(&self) -> bool {
        self.denied.is_empty() && !self.allowed.is_empty()
    }
}

impl Policy {
    /// Reads a document.
    pub(crate) fn parse(name: &str, document: &Value) -> Result<Self> {
        let read = || -> Result<Vec<Statement>> {
            let document = document.as_object().context("a policy is an object")?;
            only(document, &["Version", "Id", "Statement"])?;
            ensure!(
                document.get("Version").and_then(Value::as_str) == Some("2012-10-17"),
                "Version is 2012-10-17, or variables mean nothing"
            );
            let statements = match document.get("Statement").context("no Statement")? {
                Value::Array(statements) => statements.iter().collect(),
                statement => vec![statement],
            };
            statements.into_iter().enumerate().map(|(number, statement)| Statement::parse(number, statement)).collect()
        };
        Ok(Self { name: name.to_owned(), statements: read().with_context(|| format!("the policy {name}"))? })
    }

    /// Every (sid, action) that it allows; a wildcard stays one.
    pub(crate) fn grants(&self) -> Vec<(String, String)> {
        let allowing = self.statements.iter().filter(|statement| statement.allows);
        allowing.flat_map(|statement| statement.action_names().into_iter().map(|action| (statement.sid.clone(), action))).collect()
    }
}

impl Statement {
    fn parse(number: usize, statement: &Value) -> Result<Self> {
        let object = statement.as_object().context("a statement is an object")?;
        only(object, &["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Principal", "Condition"])?;
        let listed = |one: &str, other: &str| -> Result<Option<Listed>> {
            match (object.get(one), object.get(other)) {
                (Some(_), Some(_)) => bail!("both {one} and {other}"),
                (Some(these), None) => Ok(Some(Listed::These(words(these)?))),
                (None, Some(but)) => Ok(Some(Listed::AllBut(words(but)?))),
                (None, None) => Ok(None),
            }
        };
        Ok(Self {
            sid: object.get("Sid").and_then(Value::as_str).map_or_else(|| number.to_string(), str::to_owned),
            allows: match object.get("Effect").and_then(Value::as_str) {
                Some("Allow") => true,
                Some("Deny") => false,
                _ => bail!("Effect is Allow or Deny"),
            },
            actions: listed("Action", "NotAction")?.context("no Action")?,
            resources: listed("Resource", "NotResource")?,
            principal: object.get("Principal").map(parse_principal).transpose()?,
            conditions: match object.get("Condition") {
                Some(conditions) => Condition::parse_all(conditions)?,
                None => Vec::new(),
            },
        })
    }

    fn action_names(&self) -> Vec<String> {
        match &self.actions {
            Listed::These(actions) => actions.clone(),
            Listed::AllBut(_) => vec!["*".to_owned()],
        }
    }

    /// Whether it speaks of this.
    fn concerns(&self, ask: &Ask, who: Option<&Named>) -> bool {
        let action = ask.action.to_lowercase();
        let acts = |pattern: &String| fits(&[Piece::Pattern(pattern.to_lowercase())], &action);
        let means = |pattern: &String| ask.facts.resolve(pattern).is_some_and(|pieces| fits(&pieces, &ask.resource));
        let listed = |listed: &Listed, one: &dyn Fn(&String) -> bool| match listed {
            Listed::These(these) => these.iter().any(one),
            Listed::AllBut(but) => !but.iter().any(one),
        };
        listed(&self.actions, &acts)
            && self.resources.as_ref().is_none_or(|resources| listed(resources, &means))
            && self.names(who)
            && self.conditions.iter().all(|condition| condition.holds(&ask.facts))
    }

    fn names(&self, who: Option<&Named>) -> bool {
        match (&self.principal, who) {
            // An identity's own policy.
            (None, None) | (Some(Principal::Anybody), Some(_)) => true,
            (Some(Principal::Of { aws, federated, service }), Some(who)) => {
                aws.iter().any(|name| (name == "*" && !who.aws.is_empty()) || who.aws.contains(name))
                    || who.federated.as_ref().is_some_and(|from| federated.contains(from))
                    || who.service.as_ref().is_some_and(|from| service.contains(from))
            }
            _ => false,
        }
    }
}

/// What `policies` say to `ask`. `who`: for policies that name principals.
pub(crate) fn evaluate<'a>(policies: impl IntoIterator<Item = &'a Policy>, ask: &Ask, who: Option<&Named>) -> Verdict {
    let mut verdict = Verdict::default();
    for policy in policies {
        for statement in policy.statements.iter().filter(|statement| statement.concerns(ask, who)) {
            let found = format!("{}/{}", policy.name, statement.sid);
            if statement.allows { verdict.allowed.push(found) } else { verdict.denied.push(found) }
        }
    }
    verdict
}

fn parse_principal(principal: &Value) -> Result<Principal> {
    match principal {
        Value::String(name) if name == "*" => Ok(Principal::Anybody),
        Value::Object(kinds) => {
            only(kinds, &["AWS", "Federated", "Service"])?;
            let of = |kind: &str| kinds.get(kind).map_or(Ok(Vec::new()), words);
            Ok(Principal::Of { aws: of("AWS")?, federated: of("Federated")?, service: of("Service")? })
        }
        _ => bail!("Principal is \"*\" or an object"),
    }
}

fn only(object: &Map<String, Value>, known: &[&str]) -> Result<()> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => bail!("{key} is not understood"),
        None => Ok(()),
    }
}
