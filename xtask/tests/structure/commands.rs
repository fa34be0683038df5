//! The commands of messages have one source, `src/command.rs`: what is composed elsewhere lacks a namespace or a region, and no test runs it.

use std::path::Path;

/// A description in the schema; and the plugin: the flags of the user's invocation are added to them, and its help is tested by itself.
const OTHERS: [&str; 5] = ["src/api/policy.rs", "src/command.rs", "src/plugin/args.rs", "src/plugin/complete.rs", "src/plugin/flags.rs"];

/// The lines of a source file that are neither comments nor tests.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines().enumerate().map(|(number, line)| (number + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Whether a line of code writes a command.
fn writes_one(line: &str) -> bool {
    let services = ["secretsmanager", "kms", "iam", "sts", "sso", "account", "logs", "lambda"].map(|service| format!("aws {service}"));
    let ends = line.trim_end_matches('\\').trim_end();
    line.contains('"') && (line.contains("kubectl ") || services.iter().any(|service| line.contains(service)))
        || line.trim_end().ends_with('\\') && (ends.ends_with("kubectl") || ends.ends_with(" aws") || ends.ends_with("(aws"))
}

/// Commands outside of the one place, as `file:line`.
pub(crate) fn strays<'a>(root: &Path, files: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.filter(|file| !OTHERS.contains(file) && !file.ends_with("tests.rs") && !file.contains("/tests/")) {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        found.extend(lines(&text).filter(|(_, line)| writes_one(line)).map(|(number, line)| format!("{file}:{number}: {}", line.trim())));
    }
    found
}

#[test]
fn commands_in_code_are_seen_and_comments_are_not() {
    for line in
        [r#"format!("run: kubectl delete secret {x}")"#, r#""restore it (aws secretsmanager restore-secret)""#, r"  put it on one (aws \"]
    {
        assert!(writes_one(line), "{line}");
    }
    assert!(!writes_one("let kubectl = 1;"));
    assert_eq!(lines("a\n// kubectl get\nb\n#[cfg(test)]\nmod tests {\nc").map(|(number, _)| number).collect::<Vec<_>>(), [1, 3]);
}
