//! `up`: the test environment, for use by hand.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use emulator::function::Registration;
use emulator::{Config, Emulator};
use testbed::controlplane::{ControlPlane, Options, binaries};
use testbed::node::{self, Node};
use testbed::postgres::Postgres;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::provision;

/// How long the database may take to stop.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is started: the control plane alone, or with a node on which pods run.
enum Environment {
    ControlPlane(Box<ControlPlane>),
    Node(Box<Node>),
}

impl Environment {
    async fn start(with_node: bool) -> Result<Self> {
        Ok(if with_node {
            Self::Node(Box::new(Node::start().await?))
        } else {
            Self::ControlPlane(Box::new(ControlPlane::start(Options::default()).await?))
        })
    }

    fn control_plane(&self) -> &ControlPlane {
        match self {
            Self::ControlPlane(control_plane) => control_plane,
            Self::Node(node) => node.plane(),
        }
    }

    async fn stop(self) -> Result<()> {
        match self {
            Self::ControlPlane(control_plane) => control_plane.stop().await,
            Self::Node(node) => node.stop().await,
        }
    }
}

/// Prints the commands for a shell that uses it, then waits for Ctrl-C or SIGTERM.
pub(crate) async fn up(with_node: bool, with_postgres: bool, functions: &[Registration]) -> Result<()> {
    // Listened for from the start, or an early Ctrl-C would leave the tidying to the watcher.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    spawn_blocking(binaries::provision).await??;
    if with_node {
        if let Some(obstacle) = node::obstacle() {
            bail!("no real node here: {obstacle}");
        }
        spawn_blocking(node::provision).await??;
    }
    let database = if with_postgres {
        eprintln!("starting PostgreSQL");
        Some(spawn_blocking(database).await??)
    } else {
        None
    };
    eprintln!("starting the control plane");
    let environment = tokio::select! {
        started = Environment::start(with_node) => started?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    let emulator = Emulator::new(Config::default());
    let server = emulator.serve(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    for function in functions {
        function.register(&emulator, &server.endpoint_url());
    }
    let control_plane = environment.control_plane();
    let kubectl = control_plane.kubectl().parent().context("kubectl has no directory")?;
    println!("export KUBECONFIG={}", control_plane.kubeconfig().display());
    println!("export AWS_ENDPOINT_URL={}", server.endpoint_url());
    println!("export AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1 AWS_ACCESS_KEY_ID=testbed AWS_SECRET_ACCESS_KEY=testbed");
    println!("export PATH={}:$PATH", kubectl.display());
    if let Some(Database { variables, .. }) = &database {
        print!("{variables}");
    }
    if let Environment::Node(node) = &environment {
        let authority = control_plane.dir().join("pods-authority.crt");
        std::fs::write(&authority, node.authority())?;
        println!("# for pods: AWS_ENDPOINT_URL={}; {} vouches for it", node.serve_to_pods(server.address())?, authority.display());
    }
    eprintln!("running until Ctrl-C; logs are in {}", control_plane.dir().display());
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    eprintln!("stopping");
    if let Some(Database { server, .. }) = database {
        spawn_blocking(|| server.stop(PATIENCE)).await??;
    }
    environment.stop().await
}

/// A server and the variables with which psql reaches it as the superuser.
struct Database {
    server: Postgres,
    variables: String,
}

/// Blocks.
fn database() -> Result<Database> {
    let programs = provision::postgres()?;
    let server = Postgres::start()?;
    let password = Uuid::new_v4().to_string();
    server.set_password("postgres", &password)?;
    let authority = server.dir().join("ca.crt");
    fs::write(&authority, server.ca())?;
    // Its libraries may be in the cache, and the shell of the person must not search there for every program.
    let bin = server.dir().join("bin");
    fs::create_dir(&bin)?;
    let psql = bin.join("psql");
    let command = programs.command("psql");
    let settings: Vec<String> =
        command.get_envs().map(|(name, value)| format!("{}='{}' ", name.display(), value.unwrap_or_default().display())).collect();
    fs::write(&psql, format!("#!/bin/sh\n{}exec '{}' \"$@\"\n", settings.concat(), command.get_program().display()))?;
    fs::set_permissions(&psql, fs::Permissions::from_mode(0o755))?;
    let variables = format!(
        "export PGHOST=127.0.0.1 PGPORT={} PGUSER=postgres PGPASSWORD={password} PGSSLMODE=verify-full PGSSLROOTCERT={}\nexport PATH={}:$PATH\n",
        server.port(),
        authority.display(),
        bin.display()
    );
    Ok(Database { server, variables })
}
