//! The rules of AWS Secrets Manager, each as a sentence with its source and a black-box check, run against this emulator and against moto.
//! The grades of the sources: M is the API model; R-LS and R-MO are answers of the service itself, recorded by `LocalStack`'s tests and checked
//! by moto's; UG is the user guide; TF and TPL are field experience in Terraform's provider and AWS's own rotation template; INF is inferred.

mod create;
mod deletion;
pub(crate) mod functions;
mod labels;
mod lists;
mod protocol;
mod queue;
mod reads;
mod regions;
mod rotation;
mod tags;
mod time;
mod tokens;
mod values;
pub(crate) mod wire;

use std::io::Write as _;

use emulator::{Clock, Config, Emulator, Server};
use jiff::Timestamp;
use tokio::runtime::Runtime;

use wire::Wire;

/// Why a rule does not hold.
pub(crate) type Broken = String;

/// How a rule is checked.
#[derive(Clone, Copy)]
pub(crate) enum Check {
    /// At any endpoint.
    Anywhere(fn(&Wire) -> Result<(), Broken>),
    /// At an emulator of its own, whose clock and switches it moves.
    Emulated(fn(&Wire, &Emulator) -> Result<(), Broken>),
}

/// One rule.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) source: &'static str,
    pub(crate) check: Check,
}

const fn rule(name: &'static str, source: &'static str, check: fn(&Wire) -> Result<(), Broken>) -> Rule {
    Rule { name, source, check: Check::Anywhere(check) }
}

const fn timed(name: &'static str, source: &'static str, check: fn(&Wire, &Emulator) -> Result<(), Broken>) -> Rule {
    Rule { name, source, check: Check::Emulated(check) }
}

pub(crate) fn rules() -> Vec<Rule> {
    [
        protocol::RULES,
        create::RULES,
        tokens::RULES,
        values::RULES,
        labels::RULES,
        queue::RULES,
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

/// Says it also when the test passes: what is written past the macros is not captured.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// An emulator that is served on a free port.
pub(crate) fn serve(runtime: &Runtime, config: Config) -> (Emulator, Server) {
    let emulator = Emulator::new(config);
    let server = runtime.block_on(emulator.serve("127.0.0.1:0".parse().unwrap())).unwrap();
    (emulator, server)
}

/// The clock of an emulator that one rule has for itself: noon, far from midnight.
pub(crate) fn noon() -> Clock {
    Clock::fixed("2026-05-05T12:00:00Z".parse::<Timestamp>().unwrap())
}
