//! What the demo starts, and stops: the control plane, the emulator and the operator.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use emulator::{Config, Emulator, Server};
use rustix::process::{Pid, test_kill_process};
use testbed::controlplane::{ControlPlane, Options};
use testbed::postgres::Postgres;
use testbed::process::{ProcessGroup, free_ports};
use tokio::io::AsyncWriteExt as _;

use super::screen::{Screen, seconds, typed};
use super::tools::{http as http_client, repository};

pub(super) const OPERATOR: &str = "operator";
pub(super) const REGION: &str = "us-east-1";
/// Access key and secret key for an emulator that asks for some and checks none.
pub(super) const KEY: &str = "demo";

/// Reconciles in progress are finished first.
const PATIENCE: Duration = Duration::from_secs(10);

/// Everything that runs. What is not stopped in good order is killed when this value goes, or our process.
pub(super) struct Stage {
    pub(super) control_plane: ControlPlane,
    pub(super) emulator: Emulator,
    pub(super) server: Server,
    /// `None` if it could not be obtained.
    pub(super) database: Option<Postgres>,
    /// The operator's process, and the demo's own directory.
    pub(super) group: ProcessGroup,
    kubeconfig: PathBuf,
}

impl Stage {
    /// `database`: with a PostgreSQL server, whose programs are there.
    pub(super) async fn start(database: bool) -> Result<Self> {
        let server = tokio::task::spawn_blocking(move || database.then(Postgres::start).transpose());
        let control_plane = ControlPlane::start(Options::default()).await?;
        let database = server.await??;
        let emulator = Emulator::new(Config { region: REGION.to_owned(), ..Config::default() });
        let server = emulator.serve(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let group = ProcessGroup::new("rotated-secrets-demo-")?;
        // A copy, since the demo changes its namespace.
        let kubeconfig = group.dir().join("kubeconfig");
        fs::copy(control_plane.kubeconfig(), &kubeconfig)?;
        Ok(Self { control_plane, emulator, server, database, group, kubeconfig })
    }

    /// The kubeconfig of the person in front of the screen.
    pub(super) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Runs kubectl with that person's kubeconfig, or another one. Gives what it printed; a failure is an error.
    pub(super) async fn kubectl(&self, kubeconfig: &Path, arguments: &[&str], input: Option<&str>) -> Result<String> {
        let mut command = isolated(self.control_plane.kubectl());
        command
            .current_dir(repository())
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            // Not into the home directory: this cluster is gone soon.
            .env("KUBECACHEDIR", self.group.dir().join("kubectl"))
            .env("KUBERC", "off");
        run(command, input).await.with_context(|| typed("kubectl", arguments))
    }

    /// Starts the operator's binary and waits until it says that it is ready. Gives its process id and how long it took.
    pub(super) async fn start_operator(
        &self,
        screen: &Screen,
        binary: &Path,
        kubeconfig: &Path,
        flags: &[&str],
    ) -> Result<(u32, Duration)> {
        let [port] = free_ports()?;
        let mut command = isolated(binary);
        command
            .arg("run")
            .args(flags)
            .args(["--health-address", &format!("127.0.0.1:{port}"), "--metrics-address", "127.0.0.1:0", "--log-format", "human"])
            .env("KUBECONFIG", kubeconfig)
            .envs(self.aws());
        let start = Instant::now();
        let id = self.group.start(OPERATOR, &command)?;
        let http = http_client();
        let url: http::Uri = format!("http://127.0.0.1:{port}/readyz").parse()?;
        screen
            .during("the operator starts", async {
                while !http.get(url.clone()).await.is_ok_and(|answer| answer.status().is_success()) {
                    self.expect_operator()?;
                    ensure!(start.elapsed() < Duration::from_mins(1), "expected that the operator is ready within a minute; it is not");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                anyhow::Ok(())
            })
            .await?;
        Ok((id, start.elapsed()))
    }

    /// Fails if the operator has exited.
    pub(super) fn expect_operator(&self) -> Result<()> {
        match self.group.ended()? {
            Some((_, status)) => bail!("expected that the operator runs; it has ended ({status})"),
            None => Ok(()),
        }
    }

    /// What makes an AWS SDK or aws-cli use the emulator.
    pub(super) fn aws(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ENDPOINT_URL", self.server.endpoint_url()),
            ("AWS_REGION", REGION.to_owned()),
            // What aws-cli 1 reads.
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", KEY.to_owned()),
        ]
    }

    /// Copies the logs to a place that stays.
    pub(super) fn keep_logs(&self, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir)?;
        let dirs = [self.group.dir(), self.control_plane.dir()].into_iter().chain(self.database.as_ref().map(Postgres::dir));
        for from in dirs {
            for entry in fs::read_dir(from)? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "log") {
                    fs::copy(&path, dir.join(path.file_name().unwrap_or_default()))?;
                }
            }
        }
        Ok(())
    }

    /// Stops everything and checks that it has ended.
    pub(super) async fn stop(self, screen: &Screen) -> Result<()> {
        let start = Instant::now();
        let Self { control_plane, server, database, group, .. } = self;
        let of_database = database.iter().flat_map(Postgres::process_ids);
        let ids: Vec<u32> = control_plane.process_ids().into_iter().chain(group.ids()).chain(of_database).collect();
        let of_database = database.as_ref().map(|database| database.dir().to_owned());
        let dirs: Vec<PathBuf> = [control_plane.dir().to_owned(), group.dir().to_owned()].into_iter().chain(of_database).collect();
        screen
            .during("everything stops", async {
                tokio::task::spawn_blocking(move || group.stop_all(PATIENCE)).await??;
                tokio::task::spawn_blocking(move || database.map(|database| database.stop(PATIENCE)).transpose()).await??;
                drop(server);
                control_plane.stop().await
            })
            .await?;
        let alive = |id: &u32| i32::try_from(*id).ok().and_then(Pid::from_raw).is_some_and(|id| test_kill_process(id).is_ok());
        let left = ids.iter().filter(|id| alive(id)).count();
        ensure!(left == 0, "expected that all {} processes have ended; {left} have not", ids.len());
        ensure!(!dirs.iter().any(|dir| dir.exists()), "expected that the temporary directories are gone; they are not");
        screen.ok(&format!("everything that the demo started is stopped, its files are gone ({})", seconds(start.elapsed())))
    }
}

/// A command that knows nothing of the caller's AWS account, clusters and proxies: everything that it speaks to is on this machine.
pub(in crate::cli) fn isolated(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let proxy = text.to_ascii_lowercase().ends_with("_proxy");
        if proxy || ["AWS_", "KUBE", "ROTATED_SECRETS_"].iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command.env("KUBECONFIG", "/dev/null");
    command.envs([("AWS_CONFIG_FILE", "/dev/null"), ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"), ("AWS_EC2_METADATA_DISABLED", "true")]);
    command
}

/// Runs a program to its end. It ends with us, too, and not before: the Ctrl-C of a terminal reaches only us. Gives its standard output; its standard error only when it fails.
pub(super) async fn run(command: Command, input: Option<&str>) -> Result<String> {
    let mut command = tokio::process::Command::from(command);
    command
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn()?;
    if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
        pipe.write_all(input.as_bytes()).await?;
    }
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(if output.stderr.is_empty() { &output.stdout } else { &output.stderr }).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}
