//! A test environment with an operator in the background and the plugin as a process.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use rotated_secrets::api::RotatedSecret;
use rotated_secrets::desired::Policy;
use rotated_secrets::reconcile::reconcile;
use serde_json::Value;
use tokio::process::Command;
use tokio::task::JoinHandle;

use testkit::{REGION, World, control_plane};

/// The plugin, as cargo built it for this test.
pub(crate) const PLUGIN: &str = env!("CARGO_BIN_EXE_kubectl-rotatedsecret");

/// Longer than it waits for the operator by default, on a slow machine. A wait of five minutes is longer.
pub(crate) const PATIENCE: Duration = Duration::from_mins(4);

/// How the plugin ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn says(self, words: &str) -> Self {
        assert!(self.out.contains(words) || self.err.contains(words), "does not say {words}: {self:#?}");
        self
    }

    /// A failure is one line on standard error.
    #[track_caller]
    pub(crate) fn in_one_sentence(self) -> Self {
        assert!(self.err.starts_with("error: ") && self.err.lines().count() == 1, "{self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("no JSON: {self:#?}"))
    }
}

pub(crate) struct Scene {
    pub(crate) world: World,
    kubeconfig: PathBuf,
    /// Whether the plugin's caller has AWS credentials.
    pub(crate) credentials: bool,
}

impl Scene {
    pub(crate) async fn new(name: &str) -> Result<Self> {
        let namespace = control_plane().await?.namespace(name).await?;
        let world = World::new(&namespace).await?;
        let kubeconfig = world.cluster.kubeconfig().to_owned();
        Ok(Self { world, kubeconfig, credentials: true })
    }

    /// As another user.
    pub(crate) fn by_user(mut self, kubeconfig: PathBuf) -> Self {
        self.kubeconfig = kubeconfig;
        self
    }

    /// An object in peace.
    pub(crate) async fn settled(&self, name: &str, spec: Value) -> Result<RotatedSecret> {
        self.world.create(name, spec).await?;
        let ctx = self.world.operator(None, Arc::default()).await?;
        self.world.settle(&ctx, name).await?.context("it is there")
    }

    /// The operator at work on every object of the namespace, until the handle is aborted.
    pub(crate) async fn operator(&self) -> Result<Working> {
        self.operator_with(|_| {}).await
    }

    /// The same, where the administrator has decided otherwise.
    pub(crate) async fn operator_with(&self, decide: impl FnOnce(&mut Policy)) -> Result<Working> {
        self.operator_in(&[], decide).await
    }

    /// The same, also at work on the objects of these namespaces.
    pub(crate) async fn operator_in(&self, others: &[String], decide: impl FnOnce(&mut Policy)) -> Result<Working> {
        let mut ctx = self.world.operator(None, Arc::default()).await?;
        decide(&mut ctx.policy);
        let others = others.iter().map(|namespace| Api::<RotatedSecret>::namespaced(self.world.admin.clone(), namespace));
        let watched: Vec<_> = others.chain([self.world.objects()]).collect();
        Ok(Working(tokio::spawn(async move {
            loop {
                for objects in &watched {
                    for object in objects.list(&ListParams::default()).await.into_iter().flatten() {
                        Box::pin(reconcile(&object, &ctx)).await;
                    }
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })))
    }

    /// A command of the plugin as it prints it.
    pub(crate) fn command(&self, words: &str) -> String {
        format!("kubectl rotatedsecret {words} -n {}", self.world.namespace)
    }

    /// As `run`, and interrupts it as Ctrl-C does when `moment` comes.
    pub(crate) async fn run_until(&self, line: &str, moment: impl Future<Output = Result<()>>) -> Result<Ran> {
        let mut command = Command::new("/bin/sh");
        let words = format!("echo $$ >\"$0\"; exec {PLUGIN} {line} --namespace {}", self.world.namespace);
        let file = tempfile::NamedTempFile::new()?;
        command.args(["-c", &words]).arg(file.path());
        let (ran, interrupted) = tokio::join!(self.finish(command), async {
            moment.await?;
            let id = std::fs::read_to_string(file.path())?;
            ensure!(std::process::Command::new("kill").args(["-INT", id.trim()]).status()?.success(), "it is there");
            Ok(())
        });
        interrupted?;
        ran
    }

    /// `kubectl rotatedsecret ...` in this namespace. What it writes is searched for every value that there is.
    pub(crate) async fn run(&self, line: &str) -> Result<Ran> {
        let mut command = Command::new(PLUGIN);
        command.args(line.split_whitespace()).args(["--namespace", &self.world.namespace]);
        self.finish(command).await
    }

    /// As `run`, without a namespace and with other variables.
    pub(crate) async fn run_with(&self, words: &[&str], variables: &[(&str, &str)]) -> Result<Ran> {
        let mut command = Command::new("/usr/bin/env");
        command.args(variables.iter().map(|(name, value)| format!("{name}={value}"))).arg(PLUGIN).args(words);
        self.finish(command).await
    }

    /// The kubeconfig of the user.
    pub(crate) fn kubeconfig(&self) -> &std::path::Path {
        &self.kubeconfig
    }

    /// A prepared command, in an environment without anything of this machine.
    pub(crate) async fn finish(&self, mut command: Command) -> Result<Ran> {
        command.env_clear().stdin(Stdio::null()).kill_on_drop(true);
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", self.world.cluster.dir())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_REGION", REGION)
            .env("AWS_ENDPOINT_URL", self.world.endpoint());
        if let Some(dir) = PathBuf::from(PLUGIN).parent() {
            command.env("PATH", dir);
        }
        if self.credentials {
            command.env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "example");
        }
        let ended = tokio::time::timeout(PATIENCE, command.output()).await.context("it does not end")??;
        let ran = Ran {
            code: ended.status.code().context("it ended by itself")?,
            out: String::from_utf8(ended.stdout)?,
            err: String::from_utf8(ended.stderr)?,
        };
        for value in self.values().await? {
            ensure!(!ran.out.contains(&value) && !ran.err.contains(&value), "a value was printed: {ran:#?}");
        }
        Ok(ran)
    }

    /// Every generated value that AWS or a Secret of this namespace holds, also as the API server encodes it.
    async fn values(&self) -> Result<Vec<String>> {
        let mut values = Vec::new();
        for secret in self.world.emulator.secrets() {
            for version in &secret.versions {
                let Some(text) = version.value().and_then(|value| value.as_str()) else { continue };
                values.push(text.to_owned());
                if let Ok(Value::Object(fields)) = serde_json::from_str(text) {
                    values.extend(fields.iter().filter(|(name, _)| *name != "username").filter_map(|(_, v)| v.as_str().map(str::to_owned)));
                }
            }
        }
        let secrets = Api::<Secret>::namespaced(self.world.admin.clone(), &self.world.namespace);
        for secret in secrets.list(&ListParams::default()).await? {
            for (key, bytes) in secret.data.iter().flatten().filter(|(key, _)| *key != "username") {
                values.push(String::from_utf8(bytes.0.clone()).with_context(|| format!("{key} of {}", secret.name_any()))?);
                if let Some(encoded) = serde_json::to_value(bytes)?.as_str() {
                    values.push(encoded.to_owned());
                }
            }
        }
        ensure!(values.iter().all(|value| value.len() >= 8), "too short to be searched for");
        Ok(values)
    }
}

/// An operator at work; it stops with this value.
pub(crate) struct Working(JoinHandle<()>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.abort();
    }
}
