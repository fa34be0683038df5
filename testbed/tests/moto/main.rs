//! The rules of `emulator/tests/rules` against moto. It deviates from AWS in many; each of them is listed with its reason, and the list must be exact: a rule that
//! deviates unlisted may be a misreading of ours, and one that is listed without deviating is out of date.

// A member that is missing reads as null and fails its rule; clippy knows tests by their attribute, and these are plain functions.
#![allow(clippy::indexing_slicing, clippy::unwrap_used)]
// A request is written where it is sent, and not needed afterwards.
#![allow(clippy::needless_pass_by_value)]

mod python;
#[path = "../../../emulator/tests/rules/suite/mod.rs"]
// The parts that only the emulator's own tests use.
#[allow(dead_code)]
mod suite;

use std::collections::BTreeMap;

use testbed::moto::Moto;

use suite::wire::Wire;
use suite::{Check, rules, tell};

/// `rule name | reason`, one per line.
const LIST: &str = include_str!("deviations.txt");

fn listed() -> BTreeMap<&'static str, &'static str> {
    let lines = LIST.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(" | ")).map(|(name, why)| (name.trim(), why.trim())).collect()
}

#[test]
fn moto_deviates_only_where_listed() {
    let moto = Moto::start().unwrap_or_else(|error| panic!("{error:#}"));
    let wire = Wire::to(&moto.endpoint_url());
    let mut listed = listed();
    let (mut count, mut deviations, mut wrong) = (0, 0, Vec::new());
    for rule in rules() {
        let Check::Anywhere(check) = rule.check else { continue };
        count += 1;
        let outcome = check(&wire);
        deviations += usize::from(outcome.is_err());
        match (outcome, listed.remove(rule.name)) {
            (Err(why), None) => wrong.push(format!("deviates unlisted: {} | {why}", rule.name)),
            (Ok(()), Some(_)) => wrong.push(format!("is listed and does not deviate: {}", rule.name)),
            _ => {}
        }
    }
    wrong.extend(listed.keys().map(|name| format!("is listed and is no rule: {name}")));
    tell(&format!("moto {}: {count} rules, {deviations} deviations", testbed::moto::VERSION));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
