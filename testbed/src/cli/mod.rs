//! The subcommands.

mod chart;
mod demo;
mod image;
mod provision;
mod up;
mod verify;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use testbed::emulator::function::Registration;
use testbed::emulator::{self, EmulatorArgs};

/// The pretend world of Rotated Secrets: a real Kubernetes control plane and an emulated AWS Secrets Manager.
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
    /// Show the whole life of one credential, from nothing, on this machine alone
    Demo(demo::DemoArgs),
    /// Print docs/reference.md, made of the definition in crds/
    Reference {
        #[arg(default_value = "crds/rotatedsecrets.yaml", value_name = "DEFINITION")]
        definition: std::path::PathBuf,
    },
    /// Write what is made from the chart: its copy of the definition, its README, deploy/install.yaml
    Chart {
        /// Write nothing; fail when a file is not as it should be
        #[arg(long)]
        check: bool,
    },
    /// Run the helm that the tests use, made if this machine does not have it yet
    Helm {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "HELM ARGUMENTS")]
        arguments: Vec<String>,
    },
    /// Run a control plane and an emulator until Ctrl-C
    Up {
        /// Also a real node, on which pods run; takes root
        #[arg(long)]
        node: bool,
        /// A rotation function: its ARN, then `builtin`, an endpoint that speaks Lambda's Invoke, or a program; see `testbed emulator --help`
        #[arg(long = "function", value_name = "ARN=TARGET")]
        functions: Vec<Registration>,
    },
    /// Run only the emulator until Ctrl-C
    Emulator(EmulatorArgs),
    /// Write the operator's image as an archive, without a container engine
    Image(image::ImageArgs),
    /// Write what the operator is made of: a bill of materials in the format of `CycloneDX`
    Sbom(image::SbomArgs),
}

impl Cli {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Provision => provision::provision_and_tell()?,
            Command::Verify { arguments } => return verify::verify(&arguments),
            Command::Demo(arguments) => return demo::demo(&arguments),
            Command::Reference { definition } => print!("{}", testbed::reference::markdown(&std::fs::read_to_string(definition)?)?),
            Command::Chart { check } => chart::chart(check)?,
            Command::Helm { arguments } => return chart::helm(&arguments),
            Command::Up { node, functions } => in_runtime(up::up(node, &functions))?,
            Command::Emulator(arguments) => in_runtime(emulator::run(arguments))?,
            Command::Image(arguments) => image::image(&arguments)?,
            Command::Sbom(arguments) => image::sbom(&arguments)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn in_runtime(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}
