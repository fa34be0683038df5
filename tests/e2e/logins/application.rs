//! The program of the application's pods: it reads the credential once, when it starts, and logs in with it until it is killed.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rotated_secrets::plaintext::Plaintext;
use rotated_secrets::strategy::{Addresses, Credential, Endpoint, Limits, Problem, Tls, Tried, mysql, postgres};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval};

/// Where the Secret is mounted.
pub(super) const MOUNT: &str = "/run/secrets/db";
/// Open when the first login succeeded.
pub(super) const READY_PORT: u16 = 8080;

/// A server that is slow beside other tests refuses nothing.
const PATIENCE: Limits = Limits { connect: Duration::from_mins(2), statement: Duration::from_mins(2), step: Duration::from_mins(5) };

fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("the variable {name}"))
}

fn mounted(key: &str) -> Result<String> {
    Ok(std::fs::read_to_string(Path::new(MOUNT).join(key))?)
}

/// The server, by the variables of the pod.
enum Server {
    Postgres(postgres::Server),
    MySql(mysql::Server),
}

impl Server {
    fn of_environment() -> Result<Self> {
        let address = variable("SERVER")?;
        let (host, port) = address.rsplit_once(':').context("an address and a port")?;
        let endpoint = Endpoint {
            host: host.to_owned(),
            address: host.to_owned(),
            port: port.parse()?,
            // The certificate is for another address.
            tls: Tls::Verify { names: false, ca: Some(variable("AUTHORITY")?) },
            addresses: Addresses::Local,
            limits: PATIENCE,
            tried: Tried::default(),
        };
        Ok(if variable("KIND")? == "postgres" {
            Self::Postgres(postgres::Server { endpoint, database: "postgres".to_owned(), query: None })
        } else {
            Self::MySql(mysql::Server { endpoint, database: None, query: None })
        })
    }

    /// One new session.
    async fn log_in(&self, credential: &Credential) -> Result<(), Problem> {
        match self {
            Self::Postgres(server) => postgres::SingleUser { server }.check(credential).await,
            Self::MySql(server) => mysql::SingleUser { server }.check(credential).await,
        }
    }
}

/// Tells the collector of each login: `ok`, or what the server said. It handles no signal, so it goes on until the kubelet kills it.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "the program of the pods of another test"]
async fn logs_in_until_it_is_killed() -> Result<()> {
    let (server, period) = (Server::of_environment()?, Duration::from_millis(variable("PERIOD_MS")?.parse()?));
    let credential = Credential { user: mounted("username")?, password: Plaintext::from(mounted("password")?) };
    let mut collector = TcpStream::connect(variable("COLLECTOR")?).await?;
    collector.write_all(format!("{} {}\n", variable("KIND")?, credential.user).as_bytes()).await?;
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut ready = None;
    loop {
        ticks.tick().await;
        let answer = server.log_in(&credential).await;
        let told = answer.map_or_else(|problem| format!("{problem:?}"), |()| "ok".to_owned());
        collector.write_all(format!("{told}\n").as_bytes()).await?;
        if ready.is_none() && told == "ok" {
            ready = Some(tokio::spawn(accept(TcpListener::bind(("0.0.0.0", READY_PORT)).await?)));
        }
    }
}

/// Answers the probes: connections that nobody accepts fill the queue, and then the pod is not ready any more.
async fn accept(listener: TcpListener) {
    while listener.accept().await.is_ok() {}
}
