//! SARIF 2.1.0, which code scanning of GitHub and other tools read:
//! <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::report::Entry;
use crate::lint::Rule;

pub(super) fn document(findings: &[Entry]) -> Value {
    let rules: Vec<Value> = Rule::ALL
        .iter()
        .map(|rule| {
            let level = if *rule == Rule::Suspicious { "warning" } else { "error" };
            json!({"id": rule.id(), "shortDescription": {"text": rule.description()}, "defaultConfiguration": {"level": level}})
        })
        .collect();
    let results: Vec<Value> = findings.iter().map(result).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "kubectl-rotatedsecret", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(finding: &Entry) -> Value {
    let index = Rule::ALL.iter().position(|rule| rule.id() == finding.rule);
    json!({
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": finding.level,
        "message": {"text": finding.message},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": uri(&finding.file)},
            "region": {"startLine": finding.line.max(1), "startColumn": finding.column.max(1)},
        }}],
    })
}

/// The path as a relative reference (RFC 3986).
fn uri(path: &str) -> String {
    if path == "-" {
        return "stdin".to_owned();
    }
    let path = path.strip_prefix("./").unwrap_or(path);
    path.bytes().fold(String::new(), |mut uri, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
        uri
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_references() {
        for (path, expected) in [("./a/b.yaml", "a/b.yaml"), ("my file#1.yaml", "my%20file%231.yaml"), ("ü", "%C3%BC"), ("-", "stdin")] {
            assert_eq!(uri(path), expected);
        }
    }
}
