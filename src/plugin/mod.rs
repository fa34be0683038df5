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
mod clock;
mod complete;
mod conditions;
mod connect;
mod doctor;
mod exit;
mod files;
mod flags;
mod format;
mod health;
mod history;
mod interrupt;
mod kubeconfig;
mod lint;
mod names;
mod objects;
mod operator;
mod output;
mod pin;
mod progress;
mod report;
mod request;
mod restored;
mod rollback;
mod schedule;
mod seen;
mod share;
mod status;
mod suspend;
mod table;
mod trace;
mod values;
mod verify;
mod version;
mod versions;
mod wait;

use args::Command;
pub use args::{Cli, kubectl_flag};
use connect::Session;
pub use exit::{Exit, Trouble};

/// Carries out the command line.
///
/// # Errors
/// One sentence with the command to run.
pub async fn execute(cli: Cli) -> Result<Exit, Trouble> {
    match &cli.command {
        Command::Completion { shell } => return output::script(complete::script(*shell)).map(|()| Exit::Fine),
        Command::Complete { words } => return complete::run(words).await,
        Command::Version(args) if args.client => return version::of_client(args),
        Command::Lint(args) => return lint::run(args),
        Command::Schedule(args) if args.name.is_none() => return schedule::offline(args),
        // It can read several clusters.
        Command::Report(args) => return Box::pin(report::run(&cli.cluster, args)).await,
        _ => {}
    }
    let session = Session::open(&cli.cluster).await?;
    match cli.command {
        Command::Status(args) => status::run(&session, &args).await,
        Command::Rotate(args) => {
            objects::each(&session, &args.objects, &args.wait, async |task| {
                Box::pin(request::rotate(&session, task, args.force, args.emergency)).await
            })
            .await
        }
        Command::Rollback(args) => Box::pin(rollback::run(&session, &args)).await,
        Command::Refresh(args) => {
            objects::each(&session, &args.objects, &args.wait, async |task| Box::pin(request::refresh(&session, task)).await).await
        }
        Command::History(args) => history::run(&session, &args).await,
        Command::Schedule(args) => schedule::run(&session, &args, args.name.as_deref().unwrap_or_default()).await,
        Command::Suspend(args) => suspend::suspend(&session, &args).await,
        Command::Resume(args) => suspend::resume(&session, &args).await,
        Command::Pin(args) => pin::pin(&session, &args).await,
        Command::Unpin(args) => pin::unpin(&session, &args).await,
        Command::Share(args) => Box::pin(share::run(&session, &args)).await,
        Command::Verify(args) => verify::run(&session, &args).await,
        Command::Doctor(args) => Box::pin(doctor::run(&session, &args)).await,
        Command::Version(args) => version::run(&session, &args).await,
        Command::Completion { .. } | Command::Complete { .. } | Command::Lint(_) | Command::Report(_) => Ok(Exit::Fine),
    }
}
