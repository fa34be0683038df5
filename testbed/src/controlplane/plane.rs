//! A running control plane: its clients, its files and its processes.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Config};
use uuid::Uuid;

use super::place::Place;
use crate::process::ProcessGroup;
use crate::sandbox::namespaces::Namespaces;

pub(super) const APISERVER: &str = "kube-apiserver";
pub(super) const INSIDE_KUBECONFIG: &str = "inside.kubeconfig";
pub(super) const KUBELET_CLIENT_AUTHORITY: &str = "kubelet-client-authority.crt";

/// How long a process may take to end when asked to, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running control plane. Dropping it kills its processes and removes its directory; so does the end of our process, however it comes.
#[derive(Debug)]
pub struct ControlPlane {
    pub(super) group: ProcessGroup,
    pub(super) place: Place,
    pub(super) admin: Config,
    pub(super) kubeconfig: PathBuf,
    pub(super) kubectl: PathBuf,
}

impl ControlPlane {
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
        self.group.dir()
    }

    pub(crate) fn group(&self) -> &ProcessGroup {
        &self.group
    }

    /// The namespaces of a control plane that was started for a node.
    pub(crate) fn inside(&self) -> Result<&Namespaces> {
        self.place.inside().context("this control plane was not started for a node")
    }

    /// A kubeconfig with all rights for programs in those namespaces.
    pub(crate) fn kubeconfig_inside(&self) -> PathBuf {
        self.dir().join(INSIDE_KUBECONFIG)
    }

    /// The certificate of who vouches for the API server when it asks a kubelet.
    pub(crate) fn kubelet_client_authority(&self) -> PathBuf {
        self.dir().join(KUBELET_CLIENT_AUTHORITY)
    }

    /// The process ids, in the order of their start: etcd, the API server, the controller manager.
    pub fn process_ids(&self) -> Vec<u32> {
        self.group.ids()
    }

    /// Creates a fresh namespace `PREFIX-xxxxxxxxxx` and returns its name. Deleting one takes seconds: let it go with the control plane.
    pub async fn namespace(&self, prefix: &str) -> Result<String> {
        let name = format!("{prefix}-{}", suffix());
        let namespace = Namespace { metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() }, ..Namespace::default() };
        Api::all(self.admin())
            .create(&PostParams::default(), &namespace)
            .await
            .with_context(|| format!("cannot create the namespace {name}"))?;
        Ok(name)
    }

    /// Makes the API server fall silent: it takes connections and answers nothing, until [`ControlPlane::resume_apiserver`].
    pub fn pause_apiserver(&self) -> Result<()> {
        self.group.signal(APISERVER, rustix::process::Signal::STOP)
    }

    /// Lets a paused API server go on.
    pub fn resume_apiserver(&self) -> Result<()> {
        self.group.signal(APISERVER, rustix::process::Signal::CONT)
    }

    /// Ends the processes in good order (the API server before etcd) and returns when they are gone.
    pub async fn stop(self) -> Result<()> {
        tokio::task::spawn_blocking(move || self.group.stop_all(PATIENCE)).await?
    }
}

/// Ten lower-case hexadecimal digits, which every Kubernetes name may hold. The last four count, so that no two namespaces of this process
/// have the same name. The others are random, for control planes that several processes use.
fn suffix() -> String {
    static MADE: AtomicU16 = AtomicU16::new(0);
    let random: String = Uuid::new_v4().simple().to_string().chars().take(6).collect();
    format!("{random}{:04x}", MADE.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_suffixes_of_one_process_differ_and_have_one_length() {
        let made: std::collections::BTreeSet<String> = (0..10_000).map(|_| suffix()).collect();
        assert_eq!(made.len(), 10_000);
        assert!(made.iter().all(|suffix| suffix.len() == 10 && suffix.chars().all(|c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase())));
    }

    #[test]
    fn the_counted_digits_of_two_suffixes_differ() {
        assert_ne!(suffix()[6..], suffix()[6..]);
    }
}
