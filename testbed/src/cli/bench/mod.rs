//! `bench`: what the operator costs with so many mirrored objects, and how this grows. Figures only; the tests fail on counts
//! (`tests/e2e/scale.rs`).

mod operator;
mod page;
mod phases;
mod seen;
mod stage;
mod table;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use testbed::controlplane::binaries::{self, Release};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;

use super::demo::{executable, repository};
use table::{Circumstances, Figures};

/// What is measured, and with which operator.
#[derive(Debug, Clone, Args)]
pub(crate) struct BenchArgs {
    /// Numbers of objects, each measured with a new control plane
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [250, 1000, 4000])]
    objects: Vec<u32>,
    /// Measure a debug build, which is there sooner; its processor time says nothing
    #[arg(long)]
    debug: bool,
    /// By how many seconds ListSecrets lags behind in the emulated AWS (AWS: up to 300)
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    list_lag: u64,
    /// A page that gets the table, between the lines `<!-- bench -->` and `<!-- /bench -->`
    #[arg(long, value_name = "PAGE")]
    output: Option<PathBuf>,
    /// Further flags of the operator, or other values of those that the benchmark sets
    #[arg(last = true, value_name = "OPERATOR FLAGS")]
    flags: Vec<String>,
}

/// Measures, and prints the table. Progress goes to standard error.
pub(crate) async fn bench(arguments: &BenchArgs) -> Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // Dropping the work ends the processes that it has started.
    tokio::select! {
        done = Box::pin(measure(arguments)) => done,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

async fn measure(arguments: &BenchArgs) -> Result<()> {
    ensure!(arguments.objects.iter().all(|count| *count >= stage::LEAST), "--objects: at least {} each", stage::LEAST);
    // Read first: a page without the marks is noticed before the minutes of the measurement.
    if let Some(page) = &arguments.output {
        page::replace(&fs::read_to_string(page).with_context(|| page.display().to_string())?, "")?;
    }
    spawn_blocking(binaries::provision).await??;
    let debug = arguments.debug;
    tell(if debug { "building the operator" } else { "building the operator, as for a release" });
    let binary = spawn_blocking(move || build(debug)).await??;
    let mut all = Vec::new();
    for count in &arguments.objects {
        all.push(one_size(arguments, &binary, *count).await.with_context(|| format!("with {count} objects"))?);
    }
    let circumstances = Circumstances {
        kubernetes: Release::selected()?.version().to_owned(),
        build: if debug { "debug" } else { "release" },
        processors: std::thread::available_parallelism()?.get(),
        list_lag: Duration::from_secs(arguments.list_lag),
        flags: arguments.flags.clone(),
    };
    let table = table::table(&circumstances, &all);
    print!("{table}");
    if let Some(page) = &arguments.output {
        fs::write(page, page::replace(&fs::read_to_string(page)?, &table)?)?;
    }
    Ok(())
}

/// All phases, with a control plane, an emulator and an operator of their own.
async fn one_size(arguments: &BenchArgs, binary: &Path, count: u32) -> Result<Figures> {
    let step = |what: &str| tell(&format!("{count} objects: {what}"));
    step("a control plane starts");
    let stage = stage::Stage::start(count, Duration::from_secs(arguments.list_lag)).await?;
    let operator = stage.start_operator(binary, &arguments.flags).await?;
    step("start: they are created");
    let start = phases::start(&stage, &operator).await?;
    step("steady: one minute without a change");
    let steady = phases::steady(&stage, &operator).await?;
    step("drift: Secrets are edited");
    let drift = phases::drift(&stage).await?;
    step("latency: values are changed in AWS");
    let latency = phases::latency(&stage).await?;
    step("restart");
    operator.stop().await?;
    let (operator, restart) = phases::restart(&stage, binary, &arguments.flags).await?;
    operator.stop().await?;
    stage.stop().await?;
    Ok(Figures { count, start, steady, drift, latency, restart })
}

/// Gives the binary. Compiler messages go to standard error.
fn build(debug: bool) -> Result<PathBuf> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(repository())
        .args(["build", "--locked", "--workspace", "--bin", "rotated-secrets", "--message-format=json-render-diagnostics"])
        .args((!debug).then_some("--release"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let built = command.output().context("cargo cannot be started: install Rust from rustup.rs")?;
    ensure!(built.status.success(), "the operator cannot be built");
    executable(&String::from_utf8_lossy(&built.stdout)).context("cargo has not named the operator's binary")
}

fn tell(what: &str) {
    eprintln!("{what}");
}
