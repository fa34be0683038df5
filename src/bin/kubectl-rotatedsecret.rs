//! The kubectl plugin's binary: parse, run, exit code. kubectl finds it by its name on PATH.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use rotated_secrets::plugin::{Cli, Exit, execute, kubectl_flag};
use rotated_secrets::process::{ALLOCATOR, Allocator, protect_memory};

#[global_allocator]
static MEMORY: Allocator = ALLOCATOR;

fn main() -> ExitCode {
    // By its place only: the words of a panic can hold a value.
    std::panic::set_hook(Box::new(|panic| {
        let (file, line) = panic.location().map_or(("?", 0), |place| (place.file(), place.line()));
        let _ = writeln!(std::io::stderr(), "error: a defect at {file}:{line}: please report it");
    }));
    // `verify --values` reads values. On a system that does not allow it, the plugin works all the same.
    let _ = protect_memory();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => match kubectl_flag(&error) {
            Some(message) => {
                let _ = writeln!(std::io::stderr(), "error: {message}");
                return ExitCode::from(Exit::Usage.code());
            }
            None => error.exit(),
        },
    };
    let ended = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(execute(cli)),
        Err(_) => return ExitCode::from(Exit::Unreachable.code()),
    };
    let exit = ended.unwrap_or_else(|trouble| {
        let _ = writeln!(std::io::stderr(), "error: {trouble}");
        trouble.exit
    });
    ExitCode::from(exit.code())
}
