//! The rules of AWS Secrets Manager, each as a sentence with its source and a black-box check, run against our emulator and against moto.
//! The grades of the sources: M is the API model; R-LS and R-MO are answers of the service itself, recorded by `LocalStack`'s tests and checked
//! by moto's; UG is the user guide; TF and TPL are field experience in Terraform's provider and AWS's own rotation template; INF is inferred.

// A member that is missing reads as null and fails its rule; clippy knows tests by their attribute, and these are plain functions.
#![allow(clippy::indexing_slicing, clippy::unwrap_used)]
// A request is written down where it is sent, and not needed any more.
#![allow(clippy::needless_pass_by_value)]

mod create;
mod deletion;
mod functions;
mod labels;
mod lists;
mod moto;
mod protocol;
mod reads;
mod regions;
mod rotation;
mod stub;
mod tags;
mod time;
mod tokens;
mod values;
mod wire;

use std::collections::BTreeSet;
use std::io::Write as _;

use jiff::Timestamp;
use testbed::emulator::{Clock, Config, Emulator, Server};
use tokio::runtime::Runtime;

use wire::Wire;

/// Why a rule does not hold.
type Broken = String;

/// How a rule is checked.
#[derive(Clone, Copy)]
enum Check {
    /// At any endpoint.
    Anywhere(fn(&Wire) -> Result<(), Broken>),
    /// At an emulator of its own, whose clock and switches it moves.
    Emulated(fn(&Wire, &Emulator) -> Result<(), Broken>),
}

/// One rule.
#[derive(Clone, Copy)]
struct Rule {
    name: &'static str,
    source: &'static str,
    check: Check,
}

const fn rule(name: &'static str, source: &'static str, check: fn(&Wire) -> Result<(), Broken>) -> Rule {
    Rule { name, source, check: Check::Anywhere(check) }
}

const fn timed(name: &'static str, source: &'static str, check: fn(&Wire, &Emulator) -> Result<(), Broken>) -> Rule {
    Rule { name, source, check: Check::Emulated(check) }
}

fn rules() -> Vec<Rule> {
    [
        protocol::RULES,
        create::RULES,
        tokens::RULES,
        values::RULES,
        labels::RULES,
        reads::RULES,
        lists::RULES,
        deletion::RULES,
        tags::RULES,
        rotation::RULES,
        functions::RULES,
        regions::RULES,
        time::RULES,
    ]
    .concat()
}

fn must(holds: bool, otherwise: impl Into<String>) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

fn same<T: PartialEq + std::fmt::Debug>(seen: T, wanted: T) -> Result<(), Broken> {
    must(seen == wanted, format!("{seen:?} instead of {wanted:?}"))
}

fn serve(runtime: &Runtime, config: Config) -> (Emulator, Server) {
    let emulator = Emulator::new(config);
    let server = runtime.block_on(emulator.serve("127.0.0.1:0".parse().unwrap())).unwrap();
    (emulator, server)
}

/// Says it also when the test passes: what is written past the macros is not captured.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// An emulator of a rule's own stands at noon, far from the turn of a day.
fn noon() -> Clock {
    Clock::fixed("2026-05-05T12:00:00Z".parse::<Timestamp>().unwrap())
}

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
