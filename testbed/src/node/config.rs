//! What containerd, the kubelet and the network plugins are told. The kubelet's and the network's are JSON, which is YAML.

use std::path::Path;

use serde_json::{Value, json};

use super::programs::Programs;
use crate::sandbox::namespaces::ADDRESS;

/// The name of the node.
pub const NAME: &str = "node";

/// The image of the process that holds a pod's namespaces.
pub(super) const PAUSE: &str = "node.test/pause:1";

/// Where containerd listens.
pub(super) const SOCKET: &str = "/run/containerd/containerd.sock";

/// Where things are on the node. What begins with /run or /var exists only inside.
#[derive(Debug)]
pub(super) struct Files<'a> {
    /// The group's directory, which the machine sees as well.
    pub(super) dir: &'a Path,
    pub(super) programs: &'a Programs,
}

impl Files<'_> {
    /// Below the group's directory, so that this process, which is outside, can read it.
    pub(super) fn pod_logs(&self) -> std::path::PathBuf {
        self.dir.join("pods")
    }

    /// `restrict_oom_score_adj`: a machine may lack the capability to protect a process from the kernel, and runc then cannot start one.
    pub(super) fn containerd(&self) -> String {
        format!(
            r#"version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.snapshotter.v1.native", "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.erofs", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{PAUSE}"
[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{plugins}"]
    conf_dir = "{network}"
    use_internal_loopback = true
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      BinaryName = "{runc}"
      SystemdCgroup = false
"#,
            plugins = self.programs.network_plugins.display(),
            network = self.network_dir().display(),
            runc = self.programs.runc.display(),
        )
    }

    pub(super) fn network_dir(&self) -> std::path::PathBuf {
        self.dir.join("network")
    }

    pub(super) fn network() -> Value {
        let range = json!([{"subnet": "10.244.0.0/24"}]);
        json!({"cniVersion": "1.0.0", "name": "node", "plugins": [{
            "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false,
            "ipam": {"type": "host-local", "dataDir": "/run/cni", "ranges": [range], "routes": [{"dst": "0.0.0.0/0"}]},
        }]})
    }

    /// Never evicts, whatever the state of the disks. Polls often, so that tests need not wait.
    pub(super) fn kubelet(&self, client_authority: &Path) -> Value {
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "address": ADDRESS, "port": 10250, "healthzPort": 10248, "readOnlyPort": 0,
            "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": true}, "x509": {"clientCAFile": client_authority}},
            "authorization": {"mode": "Webhook"},
            "containerRuntimeEndpoint": format!("unix://{}", SOCKET),
            "cgroupDriver": "cgroupfs", "failCgroupV1": false, "failSwapOn": false,
            "makeIPTablesUtilChains": false, "localStorageCapacityIsolation": false,
            "podLogsDir": self.pod_logs(), "resolvConf": "", "volumePluginDir": "/var/lib/kubelet/plugins",
            "evictionHard": {
                "memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%",
                "nodefs.inodesFree": "0%", "imagefs.inodesFree": "0%",
            },
            "imageGCHighThresholdPercent": 100,
            "configMapAndSecretChangeDetectionStrategy": "Watch", "syncFrequency": "1s", "nodeStatusUpdateFrequency": "2s",
        })
    }
}

/// What only flags tell.
pub(super) fn kubelet_flags(config: &Path, kubeconfig: &Path) -> Vec<String> {
    let flag = |name: &str, value: &str| format!("--{name}={value}");
    vec![
        flag("config", &config.display().to_string()),
        flag("kubeconfig", &kubeconfig.display().to_string()),
        flag("hostname-override", NAME),
        flag("node-ip", ADDRESS),
        flag("root-dir", "/var/lib/kubelet"),
        flag("cert-dir", "/var/lib/kubelet/pki"),
    ]
}
