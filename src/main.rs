//! The operator's binary.

use std::process::ExitCode;

use clap::Parser as _;
use rotated_secrets::cli::{Cli, execute};
use rotated_secrets::process::{ALLOCATOR, Allocator, protect_memory};

#[global_allocator]
static MEMORY: Allocator = ALLOCATOR;

fn main() -> ExitCode {
    for setting in protect_memory() {
        warn(&format!("core dumps of this process may contain secret values, because the system does not allow {setting}"));
    }
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start threads: {}", error.kind())),
    };
    let ended = runtime.block_on(execute(cli));
    // A name lookup that hangs must not delay the end.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

fn warn(message: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "rotated-secrets: {message}");
}

fn fail(message: &str) -> ExitCode {
    warn(message);
    ExitCode::FAILURE
}
