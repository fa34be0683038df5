//! Conditions of a statement.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::pattern::{Facts, Piece, fits, words};

/// How many values of the call must fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Many {
    /// The one that there is.
    One,
    /// `ForAllValues:`; none at all fits too.
    All,
    /// `ForAnyValue:`
    Any,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equals,
    EqualsIgnoreCase,
    Like,
    Bool,
    Numeric,
    Null,
}

/// One key of one operator.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    many: Many,
    operator: Operator,
    negated: bool,
    if_exists: bool,
    key: String,
    values: Vec<String>,
}

impl Condition {
    /// All of a `Condition` element. What is not understood is an error.
    pub(super) fn parse_all(element: &Value) -> Result<Vec<Self>> {
        let mut conditions = Vec::new();
        for (operator, keys) in element.as_object().context("Condition is an object")? {
            let (many, rest) = match operator.split_once(':') {
                Some(("ForAllValues", rest)) => (Many::All, rest),
                Some(("ForAnyValue", rest)) => (Many::Any, rest),
                Some(_) => bail!("{operator} is not understood"),
                None => (Many::One, operator.as_str()),
            };
            let (rest, if_exists) = rest.strip_suffix("IfExists").map_or((rest, false), |rest| (rest, true));
            let (operator, negated) = match rest {
                "StringEquals" | "ArnEquals" => (if rest == "ArnEquals" { Operator::Like } else { Operator::Equals }, false),
                "StringNotEquals" => (Operator::Equals, true),
                "StringEqualsIgnoreCase" => (Operator::EqualsIgnoreCase, false),
                "StringLike" | "ArnLike" => (Operator::Like, false),
                "StringNotLike" | "ArnNotLike" => (Operator::Like, true),
                "Bool" => (Operator::Bool, false),
                "NumericEquals" => (Operator::Numeric, false),
                "Null" => (Operator::Null, false),
                _ => bail!("the operator {rest} is not understood"),
            };
            for (key, values) in keys.as_object().context("an operator has keys")? {
                conditions.push(Self { many, operator, negated, if_exists, key: key.clone(), values: words(values)? });
            }
        }
        Ok(conditions)
    }

    pub(super) fn holds(&self, facts: &Facts) -> bool {
        let found = facts.get(&self.key);
        if self.operator == Operator::Null {
            return self.values.iter().any(|value| (value == "true") == found.is_none());
        }
        let Some(found) = found.filter(|found| !found.is_empty()) else {
            // A missing key fits IfExists, a negation, and every one of no values.
            return self.if_exists || self.many == Many::All || (self.negated && self.many == Many::One);
        };
        let fine = |value: &String| self.values.iter().any(|wanted| self.fits(facts, wanted, value)) != self.negated;
        match self.many {
            Many::One | Many::All => found.iter().all(fine),
            Many::Any => found.iter().any(fine),
        }
    }

    fn fits(&self, facts: &Facts, wanted: &str, value: &str) -> bool {
        let Some(pieces) = facts.resolve(wanted) else { return false };
        let literal = || -> String {
            pieces
                .iter()
                .map(|piece| match piece {
                    Piece::Pattern(text) | Piece::Literal(text) => text.as_str(),
                })
                .collect()
        };
        match self.operator {
            Operator::Equals | Operator::Numeric => literal() == value,
            Operator::EqualsIgnoreCase | Operator::Bool => literal().eq_ignore_ascii_case(value),
            Operator::Like => fits(&pieces, value),
            Operator::Null => false,
        }
    }
}
