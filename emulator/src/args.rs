//! The emulator as a program.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;

use crate::function::Registration;
use crate::quota::Quotas;
use crate::service::{Config, Emulator};

/// Runs the Secrets Manager emulator.
#[derive(Debug, Clone, Args)]
pub struct EmulatorArgs {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Request quotas: off, real (AWS's), or a factor on AWS's
    #[arg(long, default_value = "off")]
    pub quotas: Quotas,
    /// How many seconds `ListSecrets` lags behind (AWS: up to 300)
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    pub list_lag: u64,
    /// Where ARN suffixes and passwords come from
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// A queue of SQS with the events of AWSCURRENT, by its name. May be given several times
    #[arg(long = "event-queue", value_name = "NAME")]
    pub event_queues: Vec<String>,
    /// A rotation function: its ARN, then `builtin` (keeps the user name, takes a new password), an endpoint that speaks Lambda's Invoke, or a
    /// program that reads the event from its standard input. May be given several times
    #[arg(long = "function", value_name = "ARN=TARGET")]
    pub functions: Vec<Registration>,
}

/// Serves until interrupted. Prints the endpoint as its first line.
pub async fn run(args: EmulatorArgs) -> anyhow::Result<()> {
    let emulator =
        Emulator::new(Config { quotas: args.quotas, seed: args.seed, list_lag: Duration::from_secs(args.list_lag), ..Config::default() });
    for name in &args.event_queues {
        emulator.create_event_queue(name, &["AWSCURRENT"]);
    }
    let server = emulator.serve(args.listen).await?;
    for function in &args.functions {
        function.register(&emulator, &server.endpoint_url());
    }
    say(&server.endpoint_url())?;
    tokio::signal::ctrl_c().await?;
    Ok(())
}

fn say(line: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
