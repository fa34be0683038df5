//! `bench`: what the operator costs with so many mirrored objects, how this grows, and what many rotations at the same time cost. Figures only;
//! the tests fail on counts (`tests/e2e/scale.rs`).

mod herd;
mod herd_table;
mod operator;
mod page;
mod phases;
mod plot;
mod seen;
mod stage;
mod table;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use emulator::Config;
use testbed::controlplane::binaries::{self, Release};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;

use super::demo::{executable, repository};
use herd::{Herd, Kind};
use table::{Changes, Circumstances, Figures};

/// What is measured, and with which operator.
#[derive(Debug, Clone, Args)]
pub(crate) struct BenchArgs {
    /// Numbers of objects, each measured with a new control plane; 0 for none
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [250, 1000, 4000])]
    objects: Vec<u32>,
    /// Numbers of objects of which only the start and the steady state are measured
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    at_rest: Vec<u32>,
    /// Numbers of rotations that are due at the same time; 0 for none
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [1000])]
    herd: Vec<u32>,
    /// Measure a debug build, which is there sooner; its processor time says nothing
    #[arg(long)]
    debug: bool,
    /// Measure this binary of the operator instead of building one
    #[arg(long, value_name = "PATH", conflicts_with = "debug")]
    operator: Option<PathBuf>,
    /// Let the operator receive the events of Secrets Manager from a queue of the emulated AWS
    #[arg(long)]
    event_queue: bool,
    /// By how many seconds ListSecrets lags behind in the emulated AWS (AWS: up to 300)
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    list_lag: u64,
    /// A page that gets the tables, between the lines `<!-- bench -->` and `<!-- /bench -->`. The plot is written beside it, as SVG
    #[arg(long, value_name = "PAGE")]
    output: Option<PathBuf>,
    /// Further flags of the operator, or other values of those that the benchmark sets
    #[arg(last = true, value_name = "OPERATOR FLAGS")]
    flags: Vec<String>,
}

/// Measures, and prints the table; of what was measured, also if a later part fails. Progress goes to standard error.
pub(crate) async fn bench(arguments: &BenchArgs) -> Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut arguments = arguments.clone();
    if arguments.event_queue {
        arguments.flags.extend(["--event-queue-url".to_owned(), stage::queue_url()]);
    }
    // Dropping the work ends the processes that it has started.
    tokio::select! {
        done = Box::pin(measure(&arguments)) => done,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

async fn measure(arguments: &BenchArgs) -> Result<()> {
    ensure!(arguments.objects.iter().all(|count| *count == 0 || *count >= stage::LEAST), "--objects: at least {} each", stage::LEAST);
    ensure!(arguments.objects.iter().chain(&arguments.at_rest).is_sorted(), "--objects and --at-rest: the smallest number first");
    // Read first: a page without the marks is noticed before the minutes of the measurement.
    if let Some(page) = &arguments.output {
        page::replace(&fs::read_to_string(page).with_context(|| page.display().to_string())?, "")?;
    }
    spawn_blocking(binaries::provision).await??;
    let debug = arguments.debug;
    let binary = if let Some(binary) = &arguments.operator {
        binary.clone()
    } else {
        tell(if debug { "building the operator" } else { "building the operator, as for a release" });
        spawn_blocking(move || build(debug)).await??
    };
    let mut measured = Measured::default();
    let outcome = Box::pin(parts(arguments, &binary, &mut measured)).await;
    let circumstances = Circumstances {
        kubernetes: Release::selected()?.version().to_owned(),
        build: match (&arguments.operator, debug) {
            (Some(_), _) => "given",
            (None, true) => "debug",
            (None, false) => "release",
        },
        processors: std::thread::available_parallelism()?.get(),
        list_lag: Duration::from_secs(arguments.list_lag),
        flags: arguments.flags.clone(),
    };
    let Measured { sizes, herds } = measured;
    let mut text = table::table(&circumstances, &sizes) + &herd_table::table(&herds);
    print!("{text}");
    // A page is replaced by all of it only.
    outcome?;
    if let Some(page) = &arguments.output {
        let plot = page.with_extension("svg");
        fs::write(&plot, plot::plot(&sizes, &herds))?;
        let name = plot.file_name().unwrap_or_default().to_string_lossy();
        writeln!(text, "\n![The figures by number of objects, and the rotations over time]({name})")?;
        fs::write(page, page::replace(&fs::read_to_string(page)?, &text)?)?;
    }
    Ok(())
}

#[derive(Default)]
struct Measured {
    sizes: Vec<Figures>,
    herds: Vec<Herd>,
}

/// Each size, then each herd, added to `measured` when it has ended.
async fn parts(arguments: &BenchArgs, binary: &Path, measured: &mut Measured) -> Result<()> {
    let sizes = arguments.objects.iter().map(|count| (*count, true)).chain(arguments.at_rest.iter().map(|count| (*count, false)));
    for (count, whole) in sizes.filter(|(count, _)| *count > 0) {
        measured.sizes.push(one_size(arguments, binary, count, whole).await.with_context(|| format!("with {count} objects"))?);
    }
    for count in arguments.herd.iter().filter(|count| **count > 0) {
        let step = |what: &str| tell(&format!("{count} rotations: {what}"));
        for kind in [Kind::Quotas, Kind::Killed, Kind::Unlimited] {
            let herd = herd::herd(binary, kind, *count, &arguments.flags, step).await;
            measured.herds.push(herd.with_context(|| format!("with {count} rotations ({kind:?})"))?);
        }
    }
    Ok(())
}

/// All phases, or the first two, with a control plane, an emulator and an operator of their own.
async fn one_size(arguments: &BenchArgs, binary: &Path, count: u32, whole: bool) -> Result<Figures> {
    let step = |what: &str| tell(&format!("{count} objects: {what}"));
    step("a control plane starts");
    let stage = stage::Stage::start(count, Config { list_lag: Duration::from_secs(arguments.list_lag), ..Config::default() }).await?;
    let operator = stage.start_operator(binary, stage::IDENTITY, &arguments.flags).await?;
    step("start: they are created");
    let start = phases::start(&stage, &operator).await?;
    step("steady: one minute without a change");
    let steady = phases::steady(&stage, &operator).await?;
    if !whole {
        operator.stop().await?;
        stage.stop().await?;
        return Ok(Figures { count, start, steady, changes: None });
    }
    step("drift: Secrets are edited");
    let drift = phases::drift(&stage).await?;
    step("latency: values are changed in AWS");
    let latency = phases::latency(&stage).await?;
    step("restart");
    operator.stop().await?;
    let (operator, restart) = phases::restart(&stage, binary, &arguments.flags).await?;
    operator.stop().await?;
    stage.stop().await?;
    Ok(Figures { count, start, steady, changes: Some(Changes { drift, latency, restart }) })
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
