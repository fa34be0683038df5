//! `demo`: the life cycle of one credential, on this machine, without an AWS account. Every sentence that it says of the operator was checked just
//! before; what does not hold ends the demo with what was expected.

mod aws;
mod create;
mod database;
mod finish;
mod install;
mod kubelet;
mod recorder;
mod rollout;
mod rotate;
mod scenario;
mod screen;
mod stage;
mod tools;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use testbed::controlplane::binaries::Release;
use tokio::signal::unix::{Signal, SignalKind, signal};

use kubelet::Kubelet;
use scenario::{AWS_NAME, NAME, NAMESPACE, Scenario};
use screen::{Screen, seconds};
use stage::{KEY, OPERATOR, REGION, Stage};
use tools::on_path;

pub(super) use stage::isolated;
pub(super) use tools::{Http, executable, http as http_client, repository};

/// As shells say it of a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

/// How the demo ends.
#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArgs {
    /// Do not delete the object at the end: say how to look around with kubectl and aws-cli, and wait for Ctrl-C
    #[arg(long)]
    keep: bool,
}

/// How a part of it ended.
enum Ended<T> {
    Done(T),
    Interrupted,
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Does the work; drops it at Ctrl-C.
    async fn unless<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<Ended<T>> {
        tokio::select! {
            done = work => done.map(Ended::Done),
            () = self.next() => Ok(Ended::Interrupted),
        }
    }
}

pub(crate) fn demo(arguments: &DemoArgs) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(play(arguments));
    // A build that Ctrl-C has left behind ends with this process.
    runtime.shutdown_background();
    ended
}

async fn play(arguments: &DemoArgs) -> Result<ExitCode> {
    let screen = Screen::new();
    let mut signals = Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? };
    let start = Instant::now();
    screen.title("Rotated Secrets: the life cycle of one credential, on this machine, without an AWS account or containers")?;

    screen.headline("What the demo needs")?;
    let Ended::Done((binary, database)) = signals.unless(tools::prepare(&screen)).await? else { return interrupted(&screen) };
    screen.headline("A Kubernetes control plane and an emulated AWS start")?;
    let Ended::Done(stage) = signals.unless(Box::pin(open(&screen, database))).await? else { return interrupted(&screen) };

    let told = match signals.unless(Box::pin(tell(&screen, &stage, &binary, arguments.keep))).await {
        Ok(Ended::Done(())) if arguments.keep => keep(&screen, &stage, &mut signals).await.map(Ended::Done),
        told => told,
    };
    let code = match told {
        Ok(Ended::Done(())) => ExitCode::SUCCESS,
        Ok(Ended::Interrupted) => interrupted(&screen)?,
        Err(error) => {
            // The demo's own failure counts, not that of telling more about it.
            let _ = explain(&screen, &stage, &binary, &error).await;
            ExitCode::FAILURE
        }
    };
    screen.line("")?;
    // A second Ctrl-C: what is not stopped is killed.
    if let Ended::Interrupted = signals.unless(Box::pin(stage.stop(&screen))).await? {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if code == ExitCode::SUCCESS {
        screen.title(&format!("Done in {} s.", start.elapsed().as_secs()))?;
    }
    Ok(code)
}

fn interrupted(screen: &Screen) -> Result<ExitCode> {
    screen.line("\nInterrupted.")?;
    Ok(ExitCode::from(INTERRUPTED))
}

async fn open(screen: &Screen, database: bool) -> Result<Stage> {
    let start = Instant::now();
    let stage = screen.during("etcd, kube-apiserver and kube-controller-manager start", Stage::start(database)).await?;
    let version = stage.control_plane.admin().apiserver_version().await?.git_version;
    let note = if version == format!("v{}", Release::selected()?.version()) { "" } else { ", from KUBEBUILDER_ASSETS" };
    screen.ok(&format!("etcd, kube-apiserver and kube-controller-manager run, {version}{note} ({})", seconds(start.elapsed())))?;
    screen.say(&format!("Their logs are in {}.", stage.control_plane.dir().display()))?;
    Ok(stage)
}

async fn tell(screen: &Screen, stage: &Stage, binary: &Path, keep: bool) -> Result<()> {
    let mut scenario = Scenario::new(screen, stage).await;
    let empty = scenario.aws.is_empty().await?;
    ensure!(empty, "expected that there is no secret in the emulated AWS yet; there is one");
    let endpoint = stage.server.endpoint_url();
    screen.ok(&format!("an emulated AWS Secrets Manager answers at {endpoint}, region {REGION}; it is empty"))?;
    screen.say(if scenario.aws.has_cli() {
        "Below, `aws` is the aws-cli of this machine, pointed at the emulator."
    } else {
        "Below, AWS is asked over HTTP, since there is no aws-cli on the PATH that reaches the emulator."
    })?;
    install::install(&scenario, binary).await?;
    create::create(&scenario).await?;
    create::consume(&scenario).await?;
    rotate::by_schedule(&scenario).await?;
    rotate::on_request(&scenario).await?;
    rotate::mend(&mut scenario).await?;
    let working = rollout::roll_out(&scenario).await?;
    rollout::roll_back(&scenario, &working).await?;
    if let Some(server) = &stage.database {
        database::rotate(&scenario, server).await?;
    }
    let before = finish::before_the_end(&scenario).await?;
    if !keep {
        finish::delete(&mut scenario, &before).await?;
    }
    finish::summary(&scenario, &before).await
}

/// Waits for Ctrl-C, with everything running.
async fn keep(screen: &Screen, stage: &Stage, signals: &mut Signals) -> Result<()> {
    screen.headline("Everything keeps running until Ctrl-C")?;
    let _kubelet = Kubelet::start(stage.control_plane.admin(), NAMESPACE);
    screen.say("In another shell:\n ")?;
    screen.line(&format!("export KUBECONFIG={}", stage.kubeconfig().display()))?;
    screen.line(&format!("export AWS_ENDPOINT_URL={}", stage.server.endpoint_url()))?;
    screen.line(&format!("export AWS_REGION={REGION} AWS_DEFAULT_REGION={REGION} AWS_ACCESS_KEY_ID={KEY} AWS_SECRET_ACCESS_KEY={KEY}"))?;
    let set: Vec<&str> = ["AWS_PROFILE", "AWS_SESSION_TOKEN"].into_iter().filter(|name| std::env::var_os(name).is_some()).collect();
    if !set.is_empty() {
        screen.line(&format!("unset {}", set.join(" ")))?;
    }
    if let (None, Some(dir)) = (on_path("kubectl"), stage.control_plane.kubectl().parent()) {
        screen.line(&format!("export PATH={}:$PATH", dir.display()))?;
    }
    screen.say(&format!(
        "\nfor example:\n  kubectl get rsec {NAME} -o yaml\n  kubectl annotate --overwrite rsec {NAME} rotated-secrets.io/rotate=$RANDOM\n  \
         aws secretsmanager describe-secret --secret-id {AWS_NAME}"
    ))?;
    screen.say(&format!("The operator's log: {}", stage.group.log(OPERATOR).display()))?;
    loop {
        tokio::select! {
            () = signals.next() => return Ok(()),
            () = tokio::time::sleep(Duration::from_secs(1)) => stage.expect_operator()?,
        }
    }
}

/// What was expected, what the object says, and where the operator's log is.
async fn explain(screen: &Screen, stage: &Stage, binary: &Path, error: &anyhow::Error) -> Result<()> {
    screen.failed(&format!("{error:#}"))?;
    for name in [NAME, database::NAME] {
        let object = tokio::time::timeout(Duration::from_secs(5), scenario::object(&stage.control_plane.admin(), name)).await;
        match object {
            Ok(Ok(Some(object))) => {
                screen.say(&format!("The conditions of {name}:"))?;
                for (kind, (status, why)) in scenario::conditions(&object) {
                    screen.output(&format!("{kind:<12} {status:<6} {why}"))?;
                }
            }
            Ok(Ok(None)) => screen.say(&format!("There is no RotatedSecret {name} at this moment."))?,
            Ok(Err(_)) | Err(_) => screen.say("The API server does not answer, so there are no conditions to show.")?,
        }
    }
    let logs = kept_logs(binary)?;
    stage.keep_logs(&logs)?;
    screen.say(&format!("The operator's log: {}", logs.join(format!("{OPERATOR}.log")).display()))?;
    screen.say("Its last lines:")?;
    screen.output(&stage.group.log_tail(OPERATOR))
}

/// `target/demo`, next to the output of cargo.
fn kept_logs(binary: &Path) -> Result<PathBuf> {
    let target = binary.parent().and_then(Path::parent).context("the binary has no directory")?;
    Ok(target.join("demo"))
}
