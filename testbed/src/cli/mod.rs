//! The subcommands.

mod absent;
mod bench;
mod demo;
mod helm;
mod provision;
mod repeat;
mod up;
mod verify;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use emulator::function::Registration;

/// The test environment of Rotated Secrets: a real Kubernetes control plane and an emulated AWS Secrets Manager.
#[derive(Debug, Parser)]
#[command(name = "testbed", max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make what the tests need and this machine does not have yet: fetched or built once, then kept in the cache
    Provision,
    /// Provision, then run all tests; what follows `--` goes to `cargo test`
    Verify {
        #[arg(last = true, value_name = "CARGO TEST ARGUMENTS")]
        arguments: Vec<String>,
    },
    /// Show the life cycle of one credential on this machine, without an AWS account
    Demo(demo::DemoArgs),
    /// Measure the operator with mirrored objects: calls, requests, processor time and memory, as a table for docs/performance.md
    Bench(bench::BenchArgs),
    /// Run the helm that the tests use, made if this machine does not have it yet
    Helm {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "HELM ARGUMENTS")]
        arguments: Vec<String>,
    },
    /// Run a control plane and an emulator until Ctrl-C
    Up {
        /// Also a real node, on which pods run; requires root
        #[arg(long)]
        node: bool,
        /// Also a PostgreSQL server with TLS on the loopback address; the printed variables are those of psql
        #[arg(long)]
        postgres: bool,
        /// A rotation function: its ARN, then `builtin`, an endpoint that speaks Lambda's Invoke, or a program; see `emulator --help`
        #[arg(long = "function", value_name = "ARN=TARGET")]
        functions: Vec<Registration>,
    },
}

impl Cli {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Provision => provision::provision_and_tell()?,
            Command::Verify { arguments } => return verify::verify(&arguments),
            Command::Demo(arguments) => return demo::demo(&arguments),
            Command::Bench(arguments) => in_runtime(bench::bench(&arguments))?,
            Command::Helm { arguments } => return helm::helm(&arguments),
            Command::Up { node, postgres, functions } => in_runtime(up::up(node, postgres, &functions))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn in_runtime(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}
