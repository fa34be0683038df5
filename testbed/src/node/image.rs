//! The program of the operator in the image that the node runs.

use std::env;
use std::process::Command;

/// Selects the program.
const SWITCH: &str = "TESTBED_IMAGE";
/// Cargo's profile, for image/build.
const PROFILE: &str = "PROFILE";

/// The program to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// As it is released, with `TESTBED_IMAGE=release`.
    Release,
    /// The same without optimization, which takes a third of the time.
    Unoptimized,
}

impl Build {
    /// `None` with `TESTBED_IMAGE=debug`: the debug build with the libraries of this machine.
    pub fn selected() -> Option<Self> {
        match env::var(SWITCH).as_deref() {
            Ok("release") => Some(Self::Release),
            Ok("debug") => None,
            _ => Some(Self::Unoptimized),
        }
    }

    /// Builds the static program and prints its path.
    pub fn command(self) -> Command {
        let mut build = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../image/build"));
        match self {
            Self::Release => build.env_remove(PROFILE),
            Self::Unoptimized => build.env(PROFILE, "release-unoptimized"),
        };
        build
    }
}
