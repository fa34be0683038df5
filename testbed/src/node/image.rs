//! The program of the operator in the image that the node runs.

use std::env;
use std::process::Command;

/// Selects the program.
const SWITCH: &str = "TESTBED_IMAGE";
/// Cargo's profile, for image/build.
const PROFILE: &str = "PROFILE";

/// The command that builds the static program and prints its path: without optimization, or as it is released with
/// `TESTBED_IMAGE=release`. `None` with `TESTBED_IMAGE=debug`: the debug build with the libraries of this machine.
pub fn build_operator() -> Option<Command> {
    let mut build = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../image/build"));
    match env::var(SWITCH).as_deref() {
        Ok("release") => build.env_remove(PROFILE),
        Ok("debug") => return None,
        _ => build.env(PROFILE, "release-unoptimized"),
    };
    Some(build)
}
