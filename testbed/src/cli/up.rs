//! `up`: the test environment, for use by hand.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, bail};
use emulator::function::Registration;
use emulator::{Config, Emulator};
use testbed::controlplane::{ControlPlane, Options, binaries};
use testbed::node::{self, Node};
use tokio::signal::unix::{SignalKind, signal};

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
pub(crate) async fn up(with_node: bool, functions: &[Registration]) -> Result<()> {
    // Listened for from the start, or an early Ctrl-C would leave the tidying to the watcher.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::task::spawn_blocking(binaries::provision).await??;
    if with_node {
        if let Some(obstacle) = node::obstacle() {
            bail!("no real node here: {obstacle}");
        }
        tokio::task::spawn_blocking(node::provision).await??;
    }
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
    environment.stop().await
}
