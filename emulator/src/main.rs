//! The `emulator` command: serves the emulator until Ctrl-C.

use std::process::ExitCode;

use clap::Parser;
use emulator::EmulatorArgs;

/// AWS Secrets Manager for tests. Prints its endpoint as the first line; use it as `AWS_ENDPOINT_URL`.
#[derive(Debug, Parser)]
#[command(name = "emulator", version, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    emulator: EmulatorArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    match emulator::run(Cli::parse().emulator).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
