//! The table of docs/design/0022-hardening.md: each item has a row, and each test in it exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const NOTE: &str = "docs/design/0022-hardening.md";
const ITEMS: u32 = 58;

/// What is wrong with the table.
pub(crate) fn wrong(repository: &Path) -> Vec<String> {
    let note = fs::read_to_string(repository.join(NOTE)).unwrap();
    let mut code = String::new();
    for folder in ["src", "tests", "testkit/src", "xtask"] {
        read(&repository.join(folder), &mut code);
    }
    missing(&note, &code)
}

pub(crate) fn missing(note: &str, code: &str) -> Vec<String> {
    let rows: Vec<&str> =
        note.lines().filter(|line| line.strip_prefix("| ").is_some_and(|row| row.starts_with(|c: char| c.is_ascii_digit()))).collect();
    let numbers: BTreeSet<u32> =
        rows.iter().flat_map(|row| row.split('|').nth(1).unwrap().split(',')).filter_map(|n| n.trim().parse().ok()).collect();
    let mut wrong: Vec<String> =
        (1..=ITEMS).filter(|number| !numbers.contains(number)).map(|number| format!("item {number} has no row")).collect();
    // Names of tests are sentences.
    let is_test =
        |word: &&str| word.matches('_').count() > 2 && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    for test in rows.iter().flat_map(|row| row.split('`').skip(1).step_by(2)).filter(is_test) {
        if !code.contains(&format!("fn {test}(")) {
            wrong.push(format!("there is no test {test}"));
        }
    }
    wrong
}

fn read(folder: &Path, code: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, code);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            code.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}
