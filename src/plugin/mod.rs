//! `kubectl rotatedsecret`: shows the state of objects, and sends requests to the operator without the need to remember
//! annotations.
//!
//! The plugin repeats no decision of the operator. It reads what the operator reports, and writes what a user could write
//! with kubectl. It never prints a value. It reads only the metadata of Secrets, except for `verify --values`, which
//! compares values and prints one word.

mod ages;
mod answer;
mod args;
mod aws;
mod conditions;
mod connect;
mod doctor;
mod escape;
mod exit;
mod flags;
mod health;
mod history;
mod output;
mod progress;
mod request;
mod restored;
mod rollback;
mod status;
mod suspend;
mod table;
mod values;
mod verify;
mod wait;

use clap::CommandFactory as _;

pub use args::Cli;
use args::Command;
use connect::Session;
pub use exit::{Exit, Trouble};

/// Carries out the command line.
///
/// # Errors
/// One sentence with the command to run.
pub async fn execute(cli: Cli) -> Result<Exit, Trouble> {
    if let Command::Completion { shell } = cli.command {
        let mut script = Vec::new();
        clap_complete::generate(clap_complete::Shell::from(shell), &mut Cli::command(), "kubectl-rotatedsecret", &mut script);
        return output::script(&String::from_utf8_lossy(&script)).map(|()| Exit::Fine);
    }
    let session = Session::open(&cli.cluster).await?;
    match cli.command {
        Command::Status(args) => status::run(&session, &args).await,
        Command::Rotate(args) => request::rotate(&session, &args).await,
        Command::Rollback(args) => rollback::run(&session, &args).await,
        Command::Refresh(args) => request::refresh(&session, &args).await,
        Command::History(args) => history::run(&session, &args).await,
        Command::Suspend(args) => suspend::suspend(&session, &args).await,
        Command::Resume(args) => suspend::resume(&session, &args).await,
        Command::Verify(args) => verify::run(&session, &args).await,
        Command::Doctor(args) => doctor::run(&session, &args).await,
        Command::Completion { .. } => Ok(Exit::Fine),
    }
}
