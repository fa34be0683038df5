//! The programs of a control plane, and helm, each of one pinned version. Looked for in `KUBEBUILDER_ASSETS` (not helm), then in this project's
//! cache; fetched from the official releases or built from their published Go modules by `cargo provision`.

mod build;
mod progress;
mod releases;
mod versions;

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::process::ProcessGroup;
pub(crate) use progress::Progress;
use releases::Releases;
pub use versions::{ETCD, HELM, KUBERNETES, Release};
use versions::{HELM_NAME, NAMES};

const NODE_NAMES: [&str; 2] = ["kubelet", "kube-scheduler"];

/// The beginning of the names of what is not finished.
const STAGING: &str = ".new-";
/// Interval at which a long step checks whether it is done.
const TICK: Duration = Duration::from_millis(200);

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
            "the control plane's programs are not on this machine yet ({} of Kubernetes {}): type `cargo provision`",
            missing.join(", "),
            places.release.version()
        );
    }
    places.binaries()
}

/// Finds the programs and makes those that are missing, which can take minutes and says so on stderr. Silent when nothing is missing. Two
/// processes may call this at once, and one that was killed goes on where it was.
pub fn provision() -> Result<Binaries> {
    let places = Places::of_this_machine()?;
    if !places.missing().is_empty() {
        provision_in(&places)?;
    }
    places.binaries()
}

/// Finds the kubelet and the scheduler; never downloads or builds.
pub(crate) fn find_node() -> Result<(PathBuf, PathBuf)> {
    let places = Places::of_node()?;
    let path = |name| places.path(name).with_context(|| format!("{name} of Kubernetes {KUBERNETES} is not on this machine yet"));
    Ok((path("kubelet")?, path("kube-scheduler")?))
}

/// The same as [`provision`], for these two.
pub(crate) fn provision_node() -> Result<()> {
    let places = Places::of_node()?;
    if !places.missing().is_empty() {
        provision_in(&places)?;
    }
    Ok(())
}

/// Makes a whole directory of programs of the cache by `make`, which is given a workshop and where to put them. The directory appears only when it is complete.
pub(crate) fn provide(directory: &Path, make: impl FnOnce(&ProcessGroup, &Path) -> Result<()>) -> Result<()> {
    let cache = directory.parent().context("a directory of the cache lies in another")?;
    fs::create_dir_all(cache)
        .with_context(|| format!("cannot make {}: set XDG_CACHE_HOME to a place that is writable", cache.display()))?;
    let _lock = lock(cache)?;
    remove_leftovers(cache)?;
    if directory.exists() {
        // Another process made it while this one waited for the lock.
        return Ok(());
    }
    let staging = tempfile::Builder::new().prefix(STAGING).tempdir_in(cache)?;
    let whole = staging.path().join("whole");
    fs::create_dir(&whole)?;
    make(&ProcessGroup::new("testbed-provision-")?, &whole)?;
    Ok(fs::rename(whole, directory)?)
}

/// Finds helm; never downloads or builds.
pub fn find_helm() -> Result<PathBuf> {
    Places::of_helm()?.path(HELM_NAME).with_context(|| format!("helm {HELM} is not on this machine yet: type `cargo provision`"))
}

/// The same as [`provision`], for helm.
pub fn provision_helm() -> Result<PathBuf> {
    let places = Places::of_helm()?;
    if !places.missing().is_empty() {
        provision_in(&places)?;
    }
    find_helm()
}

fn provision_in(places: &Places) -> Result<()> {
    provision_from(places, Releases::official(places.release))
}

fn provision_from(places: &Places, mut releases: Releases) -> Result<()> {
    fs::create_dir_all(&places.cache)
        .with_context(|| format!("cannot make {}: set XDG_CACHE_HOME to a place that is writable", places.cache.display()))?;
    let _lock = lock(&places.cache)?;
    remove_leftovers(&places.cache)?;
    let workshop = ProcessGroup::new("testbed-provision-")?;
    // Asked again: another process may have made them while this one waited for the lock.
    for name in places.missing() {
        let staging = tempfile::Builder::new().prefix(STAGING).tempdir_in(&places.cache)?;
        let program = staging.path().join(name);
        if !releases.fetch(&workshop, name, &program) {
            build::build(&workshop, name, places.release, &program)?;
        }
        make_executable(&program)?;
        // Renamed in one step, so that no incomplete program is visible.
        fs::rename(&program, places.cache.join(name))?;
    }
    Ok(())
}

/// One process makes programs at a time. The lock goes with the file handle, however the process ends.
fn lock(cache: &Path) -> Result<File> {
    let file = File::options().create(true).append(true).open(cache.join(".lock"))?;
    let mut line: Option<Progress> = None;
    loop {
        match file.try_lock() {
            Ok(()) => {
                if let Some(line) = line {
                    line.finish("it is done");
                }
                return Ok(file);
            }
            Err(TryLockError::WouldBlock) => {
                line.get_or_insert_with(|| Progress::start("waiting for another process that makes the same programs")).tick();
                std::thread::sleep(TICK);
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
}

/// What a killed process was working on. Only called under the lock.
fn remove_leftovers(cache: &Path) -> Result<()> {
    for entry in fs::read_dir(cache)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(STAGING) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// The programs, and the directories to search.
#[derive(Debug)]
struct Places {
    release: Release,
    names: &'static [&'static str],
    assets: Option<PathBuf>,
    cache: PathBuf,
}

impl Places {
    fn of_this_machine() -> Result<Self> {
        let release = Release::selected()?;
        // The variable names a directory with the newest version, if at all.
        let assets = (release == Release::Newest).then(|| std::env::var_os("KUBEBUILDER_ASSETS")).flatten();
        let assets = assets.filter(|value| !value.is_empty()).map(PathBuf::from);
        Ok(Self { release, names: &NAMES, assets, cache: cache_dir()?.join("controlplane").join(release.version()) })
    }

    fn of_node() -> Result<Self> {
        Ok(Self { names: &NODE_NAMES, ..Self::of_this_machine()? })
    }

    fn of_helm() -> Result<Self> {
        Ok(Self { release: Release::Newest, names: &[HELM_NAME], assets: None, cache: cache_dir()?.join(HELM_NAME).join(HELM) })
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.assets.iter().chain([&self.cache]).map(|dir| dir.join(name)).find(|path| is_program(path))
    }

    fn missing(&self) -> Vec<&'static str> {
        self.names.iter().copied().filter(|name| self.path(name).is_none()).collect()
    }

    fn binaries(&self) -> Result<Binaries> {
        let path = |name| self.path(name).with_context(|| format!("{name} has just been removed: type `cargo provision`"));
        Ok(Binaries {
            etcd: path("etcd")?,
            kube_apiserver: path("kube-apiserver")?,
            kube_controller_manager: path("kube-controller-manager")?,
            kubectl: path("kubectl")?,
        })
    }
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// What this project keeps between runs, shared by all clones: `$XDG_CACHE_HOME/rotated-secrets` or `~/.cache/rotated-secrets`.
pub fn cache_dir() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .map(|dir| dir.join("rotated-secrets"))
        .context("no place for the cache: set HOME or XDG_CACHE_HOME")
}

fn make_executable(path: &Path) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(dir: &Path, name: &str) {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join(name), "#!/bin/sh\n").unwrap();
        make_executable(&dir.join(name)).unwrap();
    }

    #[test]
    fn programs_of_kubebuilder_assets_go_before_those_of_the_cache_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let (assets, cache) = (dir.path().join("assets"), dir.path().join("cache"));
        for name in NAMES {
            put(&cache, name);
        }
        put(&assets, "kube-apiserver");
        let places = Places { release: Release::Newest, names: &NAMES, assets: Some(assets.clone()), cache: cache.clone() };
        let binaries = places.binaries().unwrap();
        assert_eq!(binaries.kube_apiserver, assets.join("kube-apiserver"));
        assert_eq!(binaries.etcd, cache.join("etcd"));
    }

    #[test]
    fn what_is_not_there_or_cannot_be_run_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "etcd");
        fs::write(dir.path().join("kubectl"), "half").unwrap();
        let places = Places { release: Release::Newest, names: &NAMES, assets: None, cache: dir.path().to_owned() };
        assert_eq!(places.missing(), ["kube-apiserver", "kube-controller-manager", "kubectl"]);
    }

    #[test]
    fn provisioning_takes_released_programs_and_clears_away_what_a_killed_one_left() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("cache");
        fs::create_dir_all(cache.join(".new-killed")).unwrap();
        let places = Places { release: Release::Newest, names: &NAMES, assets: None, cache: cache.clone() };
        provision_from(&places, releases::tests::simulated(&dir.path().join("official"))).unwrap();
        assert!(places.missing().is_empty());
        assert!(!cache.join(".new-killed").exists());
        let mut names: Vec<_> = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, [".lock", "etcd", "kube-apiserver", "kube-controller-manager", "kubectl"]);
    }

    #[test]
    fn helm_is_taken_from_its_release() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("cache");
        let places = Places { release: Release::Newest, names: &[HELM_NAME], assets: None, cache: cache.clone() };
        provision_from(&places, releases::tests::simulated(&dir.path().join("official"))).unwrap();
        assert_eq!(fs::read_to_string(cache.join("helm")).unwrap(), "simulated helm");
    }
}
