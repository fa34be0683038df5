//! Where a test plays: a control plane with our definition and roles, an empty AWS, a namespace. Every operator sees the whole cluster, so one
//! test at a time has the shared one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use rotated_secrets::api::{FINALIZER, REFRESH, ROTATE, RotatedSecret, VERSION_ID};
use serde_json::{Value, json};
use testkit::controlplane::{AuditEvent, ControlPlane, Options};
use testkit::emulator::{self, Emulator, SecretSnapshot};
use testkit::node::Node;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

pub(crate) const REGION: &str = "eu-central-1";
/// Who the operator is to the API server.
pub(crate) const USER: &str = "system:serviceaccount:rotated-secrets:rotated-secrets";
/// Where it would run.
pub(crate) const NAMESPACE: &str = "rotated-secrets";

/// Far above what anything takes on a slow, busy machine.
const DEADLINE: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(100);

/// Polls until there is an answer.
pub(crate) async fn until<T>(what: &str, mut probe: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = probe().await.with_context(|| format!("waiting until {what}"))? {
            return Ok(found);
        }
        if start.elapsed() > DEADLINE {
            bail!("waited {} s until {what}, in vain", DEADLINE.as_secs());
        }
        tokio::time::sleep(POLL).await;
    }
}

pub(crate) async fn pause(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

enum Cluster {
    Shared { plane: &'static ControlPlane, _turn: MutexGuard<'static, ()> },
    Own(Box<ControlPlane>),
    Node(Box<Node>),
}

impl Cluster {
    fn plane(&self) -> &ControlPlane {
        match self {
            Self::Shared { plane, .. } => plane,
            Self::Own(plane) => plane,
            Self::Node(node) => node.plane(),
        }
    }
}

pub(crate) struct Stage {
    cluster: Cluster,
    pub(crate) namespace: String,
    pub(crate) emulator: Emulator,
    /// The operator's, with its own rights. On a node: the administrator's.
    pub(crate) kubeconfig: PathBuf,
    server: emulator::Server,
}

impl Stage {
    /// The shared control plane, for one test at a time, without a trace of the test before.
    pub(crate) async fn enter(prefix: &str) -> Result<Self> {
        static TURN: Mutex<()> = Mutex::const_new(());
        static PREPARED: OnceCell<()> = OnceCell::const_new();
        let turn = TURN.lock().await;
        let plane = ControlPlane::shared().await?;
        PREPARED.get_or_try_init(|| prepare(plane)).await?;
        sweep(&plane.admin()).await?;
        Self::on(Cluster::Shared { plane, _turn: turn }, prefix).await
    }

    /// A control plane of its own, so that nobody else is counted.
    pub(crate) async fn alone(prefix: &str) -> Result<Self> {
        let plane = ControlPlane::start(Options::default()).await?;
        prepare(&plane).await?;
        Self::on(Cluster::Own(Box::new(plane)), prefix).await
    }

    /// A control plane of its own where our definition and account were made by other means.
    pub(crate) async fn prepared(plane: ControlPlane, prefix: &str) -> Result<Self> {
        Self::on(Cluster::Own(Box::new(plane)), prefix).await
    }

    /// A node, on which the operator is going to run as pods.
    pub(crate) async fn on_node(node: Node, prefix: &str) -> Result<Self> {
        Self::on(Cluster::Node(Box::new(node)), prefix).await
    }

    async fn on(cluster: Cluster, prefix: &str) -> Result<Self> {
        let plane = cluster.plane();
        let namespace = plane.namespace(prefix).await?;
        let kubeconfig = match &cluster {
            // Nothing outside acts for the operator.
            Cluster::Node(_) => plane.kubeconfig().to_owned(),
            _ => plane.service_account_kubeconfig("rotated-secrets", "rotated-secrets").await?,
        };
        let emulator = Emulator::new(emulator::Config { region: REGION.to_owned(), ..emulator::Config::default() });
        let server = emulator.serve(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        Ok(Self { cluster, namespace, emulator, kubeconfig, server })
    }

    pub(crate) fn plane(&self) -> &ControlPlane {
        self.cluster.plane()
    }

    pub(crate) fn node(&self) -> Option<&Node> {
        match &self.cluster {
            Cluster::Node(node) => Some(node),
            _ => None,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub(crate) fn endpoint(&self) -> String {
        self.server.endpoint_url()
    }

    pub(crate) fn objects(&self) -> Api<RotatedSecret> {
        Api::namespaced(self.plane().admin(), &self.namespace)
    }

    /// The same as stored, with fields that we do not know.
    pub(crate) fn dynamic(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.plane().admin(), &self.namespace, &ApiResource::erase::<RotatedSecret>(&()))
    }

    pub(crate) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.plane().admin(), &self.namespace)
    }

    pub(crate) async fn create(&self, name: &str, spec: Value) -> Result<RotatedSecret> {
        let object = serde_json::from_value(json!({
            "apiVersion": "rotated-secrets.io/v1alpha1",
            "kind": "RotatedSecret",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        }))?;
        Ok(self.objects().create(&PostParams::default(), &object).await?)
    }

    pub(crate) async fn patch(&self, name: &str, patch: Value) -> Result<RotatedSecret> {
        Ok(self.objects().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?)
    }

    /// Asks for a rotation and waits until it is acknowledged and everything agrees.
    pub(crate) async fn rotate(&self, name: &str, token: &str) -> Result<Agreed> {
        self.ask_rotation(name, token).await?;
        self.acknowledged(name, token).await
    }

    /// Asks for a rotation. Kubernetes tells the time of the mirror's last write in whole seconds only: what AWS changes within the next two
    /// counts as possibly older, and is confirmed two minutes later.
    pub(crate) async fn ask_rotation(&self, name: &str, token: &str) -> Result<()> {
        pause(3).await;
        self.patch(name, json!({"metadata": {"annotations": {ROTATE: token}}})).await?;
        Ok(())
    }

    pub(crate) async fn acknowledged(&self, name: &str, token: &str) -> Result<Agreed> {
        let what = format!("{name} acknowledges {token}");
        let waited = until(&what, async || {
            let agreed = self.agreed(name).await?;
            Ok(agreed.filter(|agreed| agreed.acknowledges(token)))
        })
        .await;
        self.explained(name, waited).await
    }

    /// Asks the operator to look now, which also ends a wait after a failure.
    pub(crate) async fn refresh(&self, name: &str, token: &str) -> Result<()> {
        self.patch(name, json!({"metadata": {"annotations": {REFRESH: token}}})).await?;
        Ok(())
    }

    pub(crate) fn aws_name(&self, name: &str) -> String {
        format!("k8s/{}/{name}", self.namespace)
    }

    /// The AWS secret `k8s/<namespace>/<name>`.
    pub(crate) fn aws(&self, name: &str) -> Option<SecretSnapshot> {
        let full = self.aws_name(name);
        self.emulator.secrets().into_iter().find(|secret| secret.name == full)
    }

    /// How many versions it has.
    pub(crate) fn versions(&self, name: &str) -> usize {
        self.aws(name).map_or(0, |secret| secret.versions.len())
    }

    /// When AWS's current version, the Secret and the status are all of one version, and the Secret holds its fields.
    pub(crate) async fn agreed(&self, name: &str) -> Result<Option<Agreed>> {
        let (Some(object), Some(mirror)) = (self.objects().get_opt(name).await?, self.secrets().get_opt(name).await?) else {
            return Ok(None);
        };
        let Some(aws) = self.aws(name) else { return Ok(None) };
        let Some(current) = aws.labels.get("AWSCURRENT") else { return Ok(None) };
        let status = object.status.clone().unwrap_or_default();
        let told = status.aws.as_ref().and_then(|aws| aws.current_version_id.as_ref()) == Some(current)
            && status.mirror.as_ref().and_then(|mirror| mirror.version_id.as_ref()) == Some(current)
            && status.observed_generation == object.metadata.generation;
        if !told || mirror.annotations().get(VERSION_ID) != Some(current) || fields(aws.current()) != data(&mirror) {
            return Ok(None);
        }
        Ok(Some(Agreed { object, mirror, aws }))
    }

    /// The same, and the object says so by Ready.
    pub(crate) async fn ready(&self, name: &str) -> Result<Agreed> {
        let what = format!("{name} is Ready and holds AWS's value");
        let waited = until(&what, async || Ok(self.agreed(name).await?.filter(Agreed::is_ready))).await;
        self.explained(name, waited).await
    }

    /// The AWS secret of this name, once the object is Ready and says that it holds its current version.
    pub(crate) async fn ready_in(&self, name: &str, secret: &str) -> Result<SecretSnapshot> {
        until(&format!("{name} is Ready and in step with {secret}"), async || {
            let Some(object) = self.objects().get_opt(name).await? else { return Ok(None) };
            let aws = self.emulator.secrets().into_iter().find(|found| found.name == secret);
            let told = object.status.as_ref().and_then(|status| status.aws.as_ref()?.current_version_id.clone());
            let ready = ready_reason(&object).is_some_and(|(status, _)| status == "True");
            Ok(aws.filter(|aws| ready && told.is_some() && aws.labels.get("AWSCURRENT") == told.as_ref()))
        })
        .await
    }

    /// Waits for a reason of Ready=False.
    pub(crate) async fn refused(&self, name: &str, reason: &str) -> Result<()> {
        self.refused_for_one_of(name, &[reason]).await
    }

    pub(crate) async fn refused_for_one_of(&self, name: &str, reasons: &[&str]) -> Result<()> {
        let what = format!("{name} is not Ready because of {reasons:?}");
        let waited = until(&what, async || {
            let ready = ready_reason(&self.objects().get(name).await?);
            Ok(ready.filter(|(status, reason)| status == "False" && reasons.contains(&reason.as_str())).map(drop))
        })
        .await;
        self.explained(name, waited).await
    }

    /// With the status, where waiting was in vain.
    async fn explained<T>(&self, name: &str, waited: Result<T>) -> Result<T> {
        match waited {
            Ok(found) => Ok(found),
            Err(error) => {
                let status = self.objects().get_opt(name).await?.and_then(|object| object.status);
                Err(error.context(format!("the status: {status:?}; in AWS: {:?}", self.aws(name).map(|aws| aws.labels))))
            }
        }
    }

    /// kubectl, as admin, in the namespace.
    pub(crate) async fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.kubectl_with(args, &[]).await
    }

    pub(crate) async fn kubectl_with(&self, args: &[&str], env: &[(&str, &str)]) -> Result<String> {
        let plane = self.plane();
        let output = tokio::process::Command::new(plane.kubectl())
            .arg("--kubeconfig")
            .arg(plane.kubeconfig())
            .arg("--cache-dir")
            .arg(plane.dir().join("kubectl-cache"))
            .args(["--namespace", &self.namespace])
            .args(args)
            .envs(env.iter().copied())
            .output()
            .await?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl {}: {errors}", args.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What was asked of the API server by the operator since `from` lines of the audit log; and how many lines there are.
    pub(crate) async fn asked(&self, from: usize) -> Result<(Vec<AuditEvent>, usize)> {
        let mut events = self.plane().audit().await?;
        let end = events.len();
        let events = events.drain(from..).filter(|event| event.user == USER).collect();
        Ok((events, end))
    }
}

async fn prepare(plane: &ControlPlane) -> Result<()> {
    plane.apply_yaml(include_str!("../../crds/rotatedsecrets.yaml")).await?;
    plane.apply_yaml(include_str!("../../deploy/install.yaml")).await?;
    Ok(())
}

/// Takes away every object, also those whose operator is gone.
async fn sweep(admin: &Client) -> Result<()> {
    // A leader that was killed left its name in it.
    let leases: Api<Lease> = Api::namespaced(admin.clone(), NAMESPACE);
    let _ = leases.delete("rotated-secrets", &DeleteParams::default()).await;
    let all: Api<RotatedSecret> = Api::all(admin.clone());
    until("the objects of the test before are gone", async || {
        let left = all.list_metadata(&kube::api::ListParams::default()).await?.items;
        for object in &left {
            let api: Api<RotatedSecret> = Api::namespaced(admin.clone(), &object.namespace().unwrap_or_default());
            if object.finalizers().iter().any(|name| name == FINALIZER) {
                let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
                let _ = api.patch_metadata(&object.name_any(), &PatchParams::default(), &none).await;
            }
            let _ = api.delete(&object.name_any(), &DeleteParams::default()).await;
        }
        Ok(left.is_empty().then_some(()))
    })
    .await
}

/// All that there is of one credential, at a moment when it fits together.
pub(crate) struct Agreed {
    pub(crate) object: RotatedSecret,
    pub(crate) mirror: Secret,
    pub(crate) aws: SecretSnapshot,
}

impl Agreed {
    pub(crate) fn is_ready(&self) -> bool {
        ready_reason(&self.object).is_some_and(|(status, _)| status == "True")
    }

    pub(crate) fn acknowledges(&self, token: &str) -> bool {
        let requests = self.object.status.as_ref().and_then(|status| status.requests.as_ref());
        requests.and_then(|requests| requests.rotate.as_deref()) == Some(token)
    }
}

pub(crate) fn ready_reason(object: &RotatedSecret) -> Option<(String, String)> {
    let conditions = &object.status.as_ref()?.conditions;
    conditions.iter().find(|condition| condition.type_ == "Ready").map(|ready| (ready.status.clone(), ready.reason.clone()))
}

/// The fields of a value; a plain string is one under `value`.
pub(crate) fn fields(value: Option<&str>) -> BTreeMap<String, Vec<u8>> {
    let Some(value) = value else { return BTreeMap::new() };
    match serde_json::from_str::<BTreeMap<String, String>>(value) {
        Ok(fields) => fields.into_iter().map(|(name, text)| (name, text.into_bytes())).collect(),
        Err(_) => BTreeMap::from([("value".to_owned(), value.as_bytes().to_vec())]),
    }
}

pub(crate) fn data(secret: &Secret) -> BTreeMap<String, Vec<u8>> {
    secret.data.iter().flatten().map(|(key, bytes)| (key.clone(), bytes.0.clone())).collect()
}
