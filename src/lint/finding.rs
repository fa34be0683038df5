//! A mistake, its place and its kind.

use crate::manifest::{Node, Place};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It is accepted, and probably not what is meant.
    Warning,
    /// The API server or the operator rejects it.
    Error,
}

/// What is checked. The names are the rule IDs of SARIF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    Syntax,
    UnknownField,
    DuplicateKey,
    Schema,
    Operator,
    Suspicious,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 6] = [Self::Syntax, Self::UnknownField, Self::DuplicateKey, Self::Schema, Self::Operator, Self::Suspicious];

    /// Its ID.
    pub fn id(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::UnknownField => "unknown-field",
            Self::DuplicateKey => "duplicate-key",
            Self::Schema => "schema",
            Self::Operator => "operator",
            Self::Suspicious => "suspicious",
        }
    }

    /// What it finds.
    pub fn description(self) -> &'static str {
        match self {
            Self::Syntax => "The file is not valid YAML",
            Self::UnknownField => "A field that the CustomResourceDefinition does not declare",
            Self::DuplicateKey => "A key that occurs twice: only the last one counts",
            Self::Schema => "A value that the schema of the CustomResourceDefinition rejects",
            Self::Operator => "A value, or values together, that the API server or the operator rejects",
            Self::Suspicious => "A value that is accepted and is probably not what is meant",
        }
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub place: Place,
    pub level: Level,
    pub rule: Rule,
    /// Path of the field, such as `spec.rotation.schedule`. Empty for the whole file.
    pub path: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

/// An error at the place of the path in `node`.
pub(super) fn finding(node: &Node, rule: Rule, path: &str, message: String) -> Finding {
    let steps: Vec<String> = path.replace('[', ".").replace(']', "").split('.').map(str::to_owned).collect();
    Finding { place: node.place_of(&steps), level: Level::Error, rule, path: path.to_owned(), message }
}
