//! The `testbed` command: sets up the test environment, runs the tests in it, or keeps it running. `cargo provision`, `cargo verify`, ... call it.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
