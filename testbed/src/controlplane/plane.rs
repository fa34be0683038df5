//! A real Kubernetes control plane without containers: etcd, kube-apiserver and kube-controller-manager as plain processes on loopback ports,
//! in a temporary directory, gone with the value that holds them.

mod account;
mod apply;
mod audit;
pub mod binaries;
mod launch;
mod place;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Config};
use tokio::sync::OnceCell;
use uuid::Uuid;

pub use apply::Applied;
pub use audit::AuditEvent;

use crate::node::Namespaces;
use crate::process::Family;
use place::Place;

/// How long a process may take to end when asked to.
const PATIENCE: Duration = Duration::from_secs(10);

/// What to start, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Also the controller manager: garbage collection, namespace deletion, Deployments, default service accounts.
    pub controllers: bool,
    /// Write an audit log, for [`ControlPlane::audit`].
    pub audit: bool,
    /// More flags for the API server.
    pub apiserver_flags: Vec<String>,
    /// In namespaces of its own, which a [`crate::node::Node`] is going to join; that one sets it.
    pub node: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { controllers: true, audit: true, apiserver_flags: Vec::new(), node: false }
    }
}

/// A running control plane. Dropping it kills its processes and removes its directory; so does the end of our process, however it comes.
#[derive(Debug)]
pub struct ControlPlane {
    family: Family,
    place: Place,
    admin: Config,
    kubeconfig: PathBuf,
    kubectl: PathBuf,
}

impl ControlPlane {
    /// Starts one and returns when it answers and, with controllers, when they work. Never downloads or builds anything.
    pub async fn start(options: Options) -> Result<Self> {
        launch::launch(&options, &binaries::find()?).await
    }

    /// The one that all tests of this process share; it ends with the process. Clients of it must not be shared between runtimes, so ask for
    /// one where it is used.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED.get_or_try_init(|| Self::start(Options::default())).await
    }

    /// A new client with all rights. Must be called in a tokio runtime, like everything of kube's.
    ///
    /// # Panics
    ///
    /// Never: a client was made of the same configuration when the control plane started.
    #[expect(clippy::expect_used, reason = "as its documentation says")]
    pub fn admin(&self) -> Client {
        Client::try_from(self.admin.clone()).expect("a configuration that worked before")
    }

    /// The configuration of a client with all rights.
    pub fn admin_config(&self) -> Config {
        self.admin.clone()
    }

    /// A kubeconfig with all rights, for kubectl and the like.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The kubectl of the same version.
    pub fn kubectl(&self) -> &Path {
        &self.kubectl
    }

    /// The directory that goes away with the control plane; the logs are in it.
    pub fn dir(&self) -> &Path {
        self.family.dir()
    }

    pub(crate) fn family(&self) -> &Family {
        &self.family
    }

    /// The namespaces of a control plane that was started for a node.
    pub(crate) fn inside(&self) -> Result<&Namespaces> {
        self.place.inside().context("this control plane was not started for a node")
    }

    /// A kubeconfig with all rights for programs in those namespaces.
    pub(crate) fn kubeconfig_inside(&self) -> PathBuf {
        self.dir().join(launch::INSIDE_KUBECONFIG)
    }

    /// The certificate of who vouches for the API server when it asks a kubelet.
    pub(crate) fn kubelet_client_authority(&self) -> PathBuf {
        self.dir().join(launch::KUBELET_CLIENT_AUTHORITY)
    }

    /// The process ids, in the order of their start: etcd, the API server, the controller manager.
    pub fn process_ids(&self) -> Vec<u32> {
        self.family.ids()
    }

    /// Creates a fresh namespace `PREFIX-xxxxx` and returns its name. Deleting one takes seconds: let it go with the control plane.
    pub async fn namespace(&self, prefix: &str) -> Result<String> {
        let name = format!("{prefix}-{}", random_characters(5));
        let namespace = Namespace { metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() }, ..Namespace::default() };
        Api::all(self.admin())
            .create(&PostParams::default(), &namespace)
            .await
            .with_context(|| format!("cannot create the namespace {name}"))?;
        Ok(name)
    }

    /// Makes the API server fall silent: it takes connections and answers nothing, until [`ControlPlane::resume_apiserver`].
    pub fn pause_apiserver(&self) -> Result<()> {
        self.family.signal(launch::APISERVER, rustix::process::Signal::STOP)
    }

    /// Lets a paused API server go on.
    pub fn resume_apiserver(&self) -> Result<()> {
        self.family.signal(launch::APISERVER, rustix::process::Signal::CONT)
    }

    /// Ends the processes in good order (the API server before etcd) and returns when they are gone.
    pub async fn stop(self) -> Result<()> {
        tokio::task::spawn_blocking(move || self.family.stop_all(PATIENCE)).await?
    }
}

/// Lower-case hexadecimal digits, which every Kubernetes name may hold.
fn random_characters(count: usize) -> String {
    Uuid::new_v4().simple().to_string().chars().take(count).collect()
}
