//! The programs of a control plane, of one pinned version. Looked for in `KUBEBUILDER_ASSETS`, then in this project's cache; fetched from the
//! official releases or built from their published Go modules when somebody asks for that (`cargo provision`).

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// The version of Kubernetes.
pub const KUBERNETES: &str = "1.36.2";
/// The version of etcd that goes with it.
pub const ETCD: &str = "3.6.13";

pub(super) const NAMES: [&str; 4] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kubectl",
];

/// Where the programs are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// The store.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// The built-in controllers.
    pub kube_controller_manager: PathBuf,
    /// The command-line client.
    pub kubectl: PathBuf,
}

/// Finds the programs; never downloads or builds.
pub fn find() -> Result<Binaries> {
    let places = Places::of_this_machine()?;
    let missing = places.missing();
    if !missing.is_empty() {
        bail!(
            "the control plane's programs are not on this machine yet ({} of Kubernetes {KUBERNETES}): type `cargo provision`",
            missing.join(", ")
        );
    }
    places.binaries()
}

/// The directories to look into.
#[derive(Debug)]
struct Places {
    assets: Option<PathBuf>,
    cache: PathBuf,
}

impl Places {
    fn of_this_machine() -> Result<Self> {
        let assets = std::env::var_os("KUBEBUILDER_ASSETS")
            .filter(|value| !value.is_empty())
            .map(PathBuf::from);
        Ok(Self {
            assets,
            cache: cache_dir()?.join("controlplane").join(KUBERNETES),
        })
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.assets
            .iter()
            .chain([&self.cache])
            .map(|dir| dir.join(name))
            .find(|path| is_program(path))
    }

    fn missing(&self) -> Vec<&'static str> {
        NAMES
            .into_iter()
            .filter(|name| self.path(name).is_none())
            .collect()
    }

    fn binaries(&self) -> Result<Binaries> {
        let path = |name| {
            self.path(name)
                .with_context(|| format!("{name} has just been removed: type `cargo provision`"))
        };
        Ok(Binaries {
            etcd: path("etcd")?,
            kube_apiserver: path("kube-apiserver")?,
            kube_controller_manager: path("kube-controller-manager")?,
            kubectl: path("kubectl")?,
        })
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// What this project keeps between runs, shared by all clones: `$XDG_CACHE_HOME/rotated-secrets` or `~/.cache/rotated-secrets`.
pub fn cache_dir() -> Result<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .map(|dir| dir.join("rotated-secrets"))
        .context("no place for the cache: set HOME or XDG_CACHE_HOME")
}
