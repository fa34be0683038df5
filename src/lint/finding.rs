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

/// What is reported of one object. A hostile file has tens of thousands of mistakes, and a person reads a few.
const MOST: usize = 100;

/// The findings of one object, up to a limit.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn push(&mut self, finding: Finding) {
        if !self.full() {
            self.0.push(finding);
        }
    }

    pub(super) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.push(finding));
    }

    /// Whether no other finding is reported, so that nothing else needs to be checked.
    pub(super) fn full(&self) -> bool {
        self.0.len() >= MOST
    }

    pub(super) fn any_error(&self) -> bool {
        self.0.iter().any(|finding| finding.level == Level::Error)
    }

    /// All findings. `object`: where the object is.
    pub(super) fn told(mut self, object: Place) -> Vec<Finding> {
        if self.full() {
            let message = format!("only the first {MOST} findings of this object are shown: correct them, and run the command again");
            // An error, because what was not checked may be one.
            self.0.push(Finding { place: object, level: Level::Error, rule: Rule::Schema, path: String::new(), message });
        }
        self.0
    }
}

/// An error at the place of the path in `node`.
pub(super) fn finding(node: &Node, rule: Rule, path: &str, message: String) -> Finding {
    let steps: Vec<String> = path.replace('[', ".").replace(']', "").split('.').map(str::to_owned).collect();
    Finding { place: node.place_of(&steps), level: Level::Error, rule, path: path.to_owned(), message }
}
