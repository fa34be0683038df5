//! `kubectl rotatedsecret`: how things stand, and the few things that a person asks of an object, without knowing an annotation by heart.
//!
//! Nothing here decides what the operator decides; it reads what the operator reports, and writes what a person could write with kubectl. No
//! value is ever printed. Secrets are read by their metadata, but for `verify --values`, which compares and says one word.

mod ages;
mod args;
mod aws;
mod connect;
mod doctor;
mod flags;
mod history;
mod output;
mod progress;
mod request;
mod rollback;
mod standing;
mod status;
mod suspend;
mod table;
mod values;
mod verify;
mod wait;

use std::fmt;

use clap::CommandFactory as _;

pub use args::Cli;
use args::Command;
use connect::Session;

/// How the plugin ends, for scripts. `--help` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is as it should be.
    Fine,
    /// Something is not.
    Wrong,
    /// The command line is not understood.
    Usage,
    /// It could not be found out: no answer, or no right to ask.
    Unreachable,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Wrong => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
        }
    }

    fn fine_if(fine: bool) -> Self {
        if fine { Self::Fine } else { Self::Wrong }
    }
}

/// Why a command did not come to its end: one sentence that says what to type.
#[derive(Debug)]
pub struct Trouble {
    /// How the plugin ends.
    pub exit: Exit,
    message: String,
}

impl Trouble {
    fn wrong(message: impl Into<String>) -> Self {
        Self { exit: Exit::Wrong, message: message.into() }
    }

    fn unreachable(message: impl Into<String>) -> Self {
        Self { exit: Exit::Unreachable, message: message.into() }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&output::escaped(&self.message))
    }
}

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
