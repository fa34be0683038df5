//! Where a test plays: a control plane with our definition and roles, an empty AWS, a namespace. Every operator sees the whole cluster, so one
//! test at a time has a shared one.

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use rotated_secrets::api::{FINALIZER, REFRESH, RotatedSecret};
use serde_json::json;
use testkit::controlplane::{AuditEvent, ControlPlane, Options};
use testkit::emulator::{self, SecretSnapshot};
use testkit::node::Node;
use testkit::{Agreed, REGION, TestNamespace, prepare, ready_reason, until};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

/// The operator's identity for the API server.
pub(crate) const USER: &str = "system:serviceaccount:rotated-secrets:rotated-secrets";
/// Where it would run.
pub(crate) const NAMESPACE: &str = "rotated-secrets";

enum Cluster {
    Shared(MappedMutexGuard<'static, ControlPlane>),
    Own(Box<ControlPlane>),
    Node(Box<Node>),
}

impl Cluster {
    fn plane(&self) -> &ControlPlane {
        match self {
            Self::Shared(plane) => plane,
            Self::Own(plane) => plane,
            Self::Node(node) => node.plane(),
        }
    }
}

pub(crate) struct Stage {
    cluster: Cluster,
    within: TestNamespace,
    /// The operator's, with its own rights. On a node: the administrator's.
    pub(crate) kubeconfig: PathBuf,
}

impl Deref for Stage {
    type Target = TestNamespace;

    fn deref(&self) -> &TestNamespace {
        &self.within
    }
}

impl DerefMut for Stage {
    fn deref_mut(&mut self) -> &mut TestNamespace {
        &mut self.within
    }
}

impl Stage {
    /// A shared control plane, for one test at a time, without a trace of the test before. Such a test waits most of the
    /// time, so there are two.
    pub(crate) async fn enter(prefix: &str) -> Result<Self> {
        static FIRST: Mutex<Option<ControlPlane>> = Mutex::const_new(None);
        static SECOND: Mutex<Option<ControlPlane>> = Mutex::const_new(None);
        let mut shared = tokio::select! {
            biased;
            first = FIRST.lock() => first,
            second = SECOND.lock() => second,
        };
        if shared.is_none() {
            let plane = ControlPlane::start(Options::default()).await?;
            prepare(&plane).await?;
            *shared = Some(plane);
        }
        let plane = MutexGuard::try_map(shared, Option::as_mut).ok().context("a control plane")?;
        sweep(&plane.admin()).await?;
        Self::on(Cluster::Shared(plane), prefix).await
    }

    /// A separate control plane, so that no other client is counted.
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
        let config = emulator::Config { region: REGION.to_owned(), ..emulator::Config::default() };
        let within = TestNamespace::new(plane.admin(), &namespace, config).await?;
        Ok(Self { cluster, within, kubeconfig })
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

    /// Asks for a rotation and waits until it is acknowledged and everything agrees.
    pub(crate) async fn rotate(&self, name: &str, token: &str) -> Result<Agreed> {
        self.ask_rotation(name, token).await?;
        self.acknowledged(name, token).await
    }

    pub(crate) async fn ask_rotation(&self, name: &str, token: &str) -> Result<()> {
        self.mirrors_have_aged().await?;
        self.request_rotation(name, token).await.map(drop)
    }

    /// Waits until what changes in AWS counts as younger than the mirrored Secrets. Kubernetes tells the time of their last write in whole
    /// seconds: what AWS changes within the next two counts as possibly older, and is confirmed two minutes later.
    pub(crate) async fn mirrors_have_aged(&self) -> Result<()> {
        const AGE: SignedDuration = SignedDuration::from_secs(2);
        until("the last write of a mirror is two seconds ago", async || {
            let secrets = self.secrets().list_metadata(&ListParams::default()).await?;
            let youngest = secrets.iter().flat_map(ResourceExt::managed_fields).filter_map(|entry| entry.time.as_ref()).max();
            Ok(youngest.is_none_or(|written| Timestamp::now() >= written.0 + AGE).then_some(()))
        })
        .await
    }

    /// Waits until the operator has read AWS secrets this often from now on: each reconcile reads one at least once.
    pub(crate) async fn reads(&self, times: u64) -> Result<()> {
        let reads = || self.emulator.counters().total("DescribeSecret");
        let goal = reads() + times;
        until(&format!("the operator has read AWS secrets {times} times"), async || Ok((reads() >= goal).then_some(()))).await
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

    /// Requests a refresh, which also ends the backoff after a failure.
    pub(crate) async fn refresh(&self, name: &str, token: &str) -> Result<()> {
        self.patch(name, json!({"metadata": {"annotations": {REFRESH: token}}})).await?;
        Ok(())
    }

    /// Waits until AWS, the Secret and the status agree, and the object is Ready.
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
    pub(crate) async fn explained<T>(&self, name: &str, waited: Result<T>) -> Result<T> {
        match waited {
            Ok(found) => Ok(found),
            Err(error) => {
                let status = self.objects().get_opt(name).await?.and_then(|object| object.status);
                Err(error.context(format!("the status: {status:?}; in AWS: {:?}", self.aws_secret(name).map(|aws| aws.labels))))
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

/// Takes away every object, also those whose operator is gone.
async fn sweep(admin: &Client) -> Result<()> {
    // A leader that was killed left its name in it.
    let leases: Api<Lease> = Api::namespaced(admin.clone(), NAMESPACE);
    let _ = leases.delete("rotated-secrets", &DeleteParams::default()).await;
    let all: Api<RotatedSecret> = Api::all(admin.clone());
    until("the objects of the test before are gone", async || {
        let left = all.list_metadata(&ListParams::default()).await?.items;
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
