//! The programs, and their pinned versions.

/// The version of Kubernetes.
pub const KUBERNETES: &str = "1.36.2";
/// The version of etcd that goes with it.
pub const ETCD: &str = "3.6.13";
/// The version of helm.
pub const HELM: &str = "4.2.4";

pub(super) const NAMES: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl"];
pub(super) const HELM_NAME: &str = "helm";
