//! The node's programs: kubelet and scheduler as the control plane's programs are had, containerd from its Go module, runc and the network plugins
//! from Debian's packages, unpacked and not installed. Installed into the cache by `cargo provision`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::controlplane::binaries::{self, Progress};
use crate::process::ProcessGroup;

/// The version of containerd.
const CONTAINERD: &str = "2.4.2";
const CONTAINERD_NAMES: [&str; 3] = ["containerd", "containerd-shim-runc-v2", "ctr"];
const PACKAGES: [&str; 2] = ["runc", "containernetworking-plugins"];

/// Where they are.
#[derive(Debug, Clone)]
pub struct Programs {
    pub(super) kubelet: PathBuf,
    pub(super) kube_scheduler: PathBuf,
    /// A directory with containerd, its shim and ctr.
    pub(super) containerd: PathBuf,
    pub(super) runc: PathBuf,
    /// A directory.
    pub(super) network_plugins: PathBuf,
}

/// Finds the programs; never downloads or builds.
pub fn find() -> Result<Programs> {
    let missing = || "the node's programs are not on this machine yet: type `cargo provision`";
    let (kubelet, kube_scheduler) = binaries::find_node().with_context(missing)?;
    let cache = Cache::of_this_machine()?;
    ensure!(cache.has_containerd() && cache.has_packages(), missing());
    Ok(Programs {
        kubelet,
        kube_scheduler,
        runc: cache.packages.join("usr/sbin/runc"),
        network_plugins: cache.packages.join("usr/lib/cni"),
        containerd: cache.containerd,
    })
}

/// Finds the programs and makes those that are missing, which takes minutes and says so on stderr.
pub fn provision() -> Result<Programs> {
    binaries::provision_node()?;
    let cache = Cache::of_this_machine()?;
    if !cache.has_containerd() {
        binaries::provide(&cache.containerd, build_containerd)?;
    }
    if !cache.has_packages() {
        binaries::provide(&cache.packages, unpack)?;
    }
    find()
}

struct Cache {
    containerd: PathBuf,
    packages: PathBuf,
}

impl Cache {
    fn of_this_machine() -> Result<Self> {
        let node = binaries::cache_dir()?.join("node");
        Ok(Self { containerd: node.join(format!("containerd-{CONTAINERD}")), packages: node.join("packages") })
    }

    fn has_containerd(&self) -> bool {
        CONTAINERD_NAMES.iter().all(|name| self.containerd.join(name).exists())
    }

    fn has_packages(&self) -> bool {
        self.packages.join("usr/sbin/runc").exists() && self.packages.join("usr/lib/cni/bridge").exists()
    }
}

/// Without what no test uses.
fn build_containerd(workshop: &ProcessGroup, into: &Path) -> Result<()> {
    let mut progress = Progress::start("building containerd (once per machine, about 2 minutes)");
    let mut command = Command::new("go");
    command
        .envs([("CGO_ENABLED", "0"), ("GOWORK", "off")])
        .env("GOBIN", into)
        .args(["install", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w"])
        .args(["-tags", "no_btrfs no_zfs no_devmapper no_aufs no_tracing"])
        .args(CONTAINERD_NAMES.map(|name| format!("github.com/containerd/containerd/v2/cmd/{name}@v{CONTAINERD}")));
    let status = workshop.run("go", &command, || progress.tick())?;
    ensure!(status.success(), "go could not build containerd:\n{}", workshop.log_tail("go"));
    progress.finish("built");
    Ok(())
}

fn unpack(workshop: &ProcessGroup, into: &Path) -> Result<()> {
    let mut progress = Progress::start(&format!("fetching {}", PACKAGES.join(" and ")));
    let fetched = workshop.dir().join("packages");
    fs::create_dir_all(&fetched)?;
    // apt's own user, which would fetch, may not write here: then root does, and apt says so.
    let mut download = Command::new("apt-get");
    download.current_dir(&fetched).args(["--quiet", "download"]).args(PACKAGES);
    let mut status = workshop.run("apt-get", &download, || progress.tick());
    if !status.as_ref().is_ok_and(std::process::ExitStatus::success) {
        // A machine that has never asked for the lists knows no package.
        let mut update = Command::new("apt-get");
        update.args(["--quiet", "update"]);
        workshop.run("apt-get-update", &update, || progress.tick())?;
        status = workshop.run("apt-get", &download, || progress.tick());
    }
    if !status?.success() {
        bail!("apt-get could not download {}:\n{}", PACKAGES.join(" and "), workshop.log_tail("apt-get"));
    }
    for package in fs::read_dir(&fetched)? {
        let mut command = Command::new("dpkg-deb");
        command.arg("--extract").arg(package?.path()).arg(into);
        let status = workshop.run("dpkg-deb", &command, || progress.tick())?;
        ensure!(status.success(), "dpkg-deb could not unpack a package:\n{}", workshop.log_tail("dpkg-deb"));
    }
    let mut runc = Command::new(into.join("usr/sbin/runc"));
    runc.arg("--version");
    let status = workshop.run("runc", &runc, || progress.tick())?;
    ensure!(status.success(), "runc does not run here (it needs libseccomp2):\n{}", workshop.log_tail("runc"));
    progress.finish("unpacked");
    Ok(())
}
