//! The rules of AWS, checked against the emulator. `testbed/tests/moto` checks the same rules against moto.

// A member that is missing reads as null and fails its rule; clippy knows tests by their attribute, and these are plain functions.
#![allow(clippy::indexing_slicing, clippy::unwrap_used)]
// A request is written where it is sent, and not needed afterwards.
#![allow(clippy::needless_pass_by_value)]

mod http_function;
mod stub;
mod suite;

use std::collections::BTreeSet;

use emulator::Config;
use tokio::runtime::Runtime;

use suite::wire::Wire;
use suite::{Check, noon, rules, serve, tell};

#[test]
fn our_emulator_keeps_every_rule() {
    let runtime = Runtime::new().unwrap();
    let (_emulator, server) = serve(&runtime, Config::default());
    let wire = Wire::to(&server.endpoint_url());
    let mut broken = Vec::new();
    for rule in rules() {
        let outcome = match rule.check {
            Check::Anywhere(check) => check(&wire),
            Check::Emulated(check) => {
                let config = Config { clock: noon(), rotates_by_itself: false, ..Config::default() };
                let (emulator, server) = serve(&runtime, config);
                check(&Wire::to(&server.endpoint_url()), &emulator)
            }
        };
        if let Err(why) = outcome {
            broken.push(format!("{} [{}]: {why}", rule.name, rule.source));
        }
    }
    tell(&format!("our emulator: {} rules, {} deviations", rules().len(), broken.len()));
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn every_rule_has_a_name_of_its_own_and_a_source() {
    let rules = rules();
    let names: BTreeSet<&str> = rules.iter().map(|rule| rule.name).collect();
    assert_eq!(names.len(), rules.len());
    for rule in rules {
        let grade = rule.source.split([' ', ',']).next().unwrap_or_default();
        assert!(["M", "R-LS", "R-MO", "UG", "TF", "TPL", "INF"].contains(&grade), "{}", rule.name);
    }
}
