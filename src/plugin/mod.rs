//! `kubectl rotatedsecret`: how things stand, and the few things that a person asks of an object, without knowing an annotation by heart.
//!
//! Nothing here decides what the operator decides; it reads what the operator reports, and writes what a person could write with kubectl. No
//! value is ever printed. Secrets are read by their metadata, but for `verify --values`, which compares and says one word.

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
mod history;
mod output;
mod progress;
mod request;
mod restored;
mod rollback;
mod standing;
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
/// One sentence that says what to type.
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
