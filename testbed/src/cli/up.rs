//! `up`: the pretend world, to be used by hand.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use testbed::controlplane::{ControlPlane, Options, binaries};
use testbed::emulator::{Config, Emulator};
use tokio::signal::unix::{SignalKind, signal};

/// Prints what to type in a shell that is to use it, then waits for Ctrl-C or SIGTERM.
pub(crate) async fn up() -> Result<()> {
    // Listened for from the start, or an early Ctrl-C would leave the tidying to the watcher.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::task::spawn_blocking(binaries::provision).await??;
    eprintln!("starting the control plane");
    let control_plane = tokio::select! {
        started = ControlPlane::start(Options::default()) => started?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    let server = Emulator::new(Config::default()).serve(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let kubectl = control_plane.kubectl().parent().context("kubectl has no directory")?;
    println!("export KUBECONFIG={}", control_plane.kubeconfig().display());
    println!("export AWS_ENDPOINT_URL={}", server.endpoint_url());
    println!("export AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=testbed AWS_SECRET_ACCESS_KEY=testbed");
    println!("export PATH={}:$PATH", kubectl.display());
    eprintln!("running until Ctrl-C; logs are in {}", control_plane.dir().display());
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    eprintln!("stopping");
    control_plane.stop().await
}
