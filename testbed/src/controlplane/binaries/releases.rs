//! The official releases, if the internet is available. Each program is checked against the SHA-256 that its publisher provides.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use super::progress::Progress;
use super::versions::{ETCD, HELM, HELM_NAME, Release};
use crate::process::ProcessGroup;

/// Where releases are; forgets about them at the first failure.
pub(super) struct Releases {
    kubernetes: String,
    etcd: String,
    helm: String,
    reachable: bool,
}

impl Releases {
    pub(super) fn official(release: Release) -> Self {
        let kubernetes = release.version();
        Self {
            kubernetes: format!("https://dl.k8s.io/release/v{kubernetes}/bin/{}/{}", std::env::consts::OS, architecture()),
            etcd: format!("https://github.com/etcd-io/etcd/releases/download/v{ETCD}"),
            helm: "https://get.helm.sh".to_owned(),
            reachable: true,
        }
    }

    /// Downloads a program; `false` when it cannot be had from here, and from then on always.
    pub(super) fn fetch(&mut self, workshop: &ProcessGroup, name: &str, program: &Path) -> bool {
        if !self.reachable {
            return false;
        }
        let progress = Progress::start(&format!("fetching {name}"));
        let fetched = match name {
            "etcd" => self.fetch_etcd(workshop, progress, program),
            HELM_NAME => self.fetch_helm(workshop, progress, program),
            _ => self.fetch_kubernetes(workshop, progress, name, program),
        };
        if let Err(reason) = fetched {
            eprintln!("the official releases cannot be used from here ({reason:#}), so the programs are built from source");
            self.reachable = false;
        }
        self.reachable
    }

    fn fetch_kubernetes(&self, workshop: &ProcessGroup, mut progress: Progress, name: &str, program: &Path) -> Result<()> {
        let url = format!("{}/{name}", self.kubernetes);
        let sum = read(workshop, &mut progress, &format!("{url}.sha256"))?;
        download(workshop, &mut progress, &url, program)?;
        verify(program, sum.split_whitespace().next().unwrap_or_default())?;
        progress.finish("fetched and verified");
        Ok(())
    }

    fn fetch_etcd(&self, workshop: &ProcessGroup, mut progress: Progress, program: &Path) -> Result<()> {
        let folder = format!("etcd-v{ETCD}-{}-{}", std::env::consts::OS, architecture());
        let archive = format!("{folder}.tar.gz");
        let sums = read(workshop, &mut progress, &format!("{}/SHA256SUMS", self.etcd))?;
        let sum = sums
            .lines()
            .filter_map(|line| line.split_once(char::is_whitespace))
            .find(|(_, file)| file.trim_start_matches([' ', '*']) == archive)
            .with_context(|| format!("SHA256SUMS does not name {archive}"))?
            .0;
        fetch_from_archive(workshop, progress, &format!("{}/{archive}", self.etcd), sum, &format!("{folder}/etcd"), program)
    }

    fn fetch_helm(&self, workshop: &ProcessGroup, mut progress: Progress, program: &Path) -> Result<()> {
        let folder = format!("{}-{}", std::env::consts::OS, architecture());
        let url = format!("{}/helm-v{HELM}-{folder}.tar.gz", self.helm);
        let sum = read(workshop, &mut progress, &format!("{url}.sha256sum"))?;
        let sum = sum.split_whitespace().next().unwrap_or_default();
        fetch_from_archive(workshop, progress, &url, sum, &format!("{folder}/helm"), program)
    }
}

/// Takes `member` out of the archive at `url`, whose SHA-256 is `sum`.
fn fetch_from_archive(workshop: &ProcessGroup, mut progress: Progress, url: &str, sum: &str, member: &str, program: &Path) -> Result<()> {
    let file = workshop.dir().join("archive.tar.gz");
    download(workshop, &mut progress, url, &file)?;
    verify(&file, sum)?;
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(&file).arg("-C").arg(workshop.dir()).arg(member);
    run(workshop, &mut progress, "tar", &tar)?;
    fs::copy(workshop.dir().join(member), program)?;
    progress.finish("fetched and verified");
    Ok(())
}

/// A small text. It is asked for before the program itself and within seconds, which tells whether the internet is there.
fn read(workshop: &ProcessGroup, progress: &mut Progress, url: &str) -> Result<String> {
    let file = workshop.dir().join("answer");
    let mut curl = curl(url, &file);
    curl.args(["--max-time", "15"]);
    run(workshop, progress, "curl", &curl)?;
    Ok(fs::read_to_string(file)?)
}

fn download(workshop: &ProcessGroup, progress: &mut Progress, url: &str, file: &Path) -> Result<()> {
    let mut curl = curl(url, file);
    // A connection that has died is noticed; one that is slow is not punished.
    curl.args(["--speed-limit", "1024", "--speed-time", "20"]);
    run(workshop, progress, "curl", &curl)
}

fn curl(url: &str, file: &Path) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--fail", "--silent", "--show-error", "--location", "--connect-timeout", "3", "--output"]).arg(file).arg(url);
    curl
}

fn run(workshop: &ProcessGroup, progress: &mut Progress, name: &str, command: &Command) -> Result<()> {
    let status = workshop.run(name, command, || progress.tick())?;
    let log = workshop.log_tail(name);
    anyhow::ensure!(status.success(), "{}", log.lines().last().unwrap_or(name));
    Ok(())
}

fn verify(file: &Path, expected: &str) -> Result<()> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(file)?, &mut HashWriter(&mut hash))?;
    let actual = hex::encode(hash.finalize());
    anyhow::ensure!(actual == expected, "the SHA-256 of {} is not the published one", file.file_name().unwrap_or_default().display());
    Ok(())
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Go's name of this machine's architecture, which the publishers use.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Releases in a directory, with tiny programs.
    pub(in super::super) fn simulated(dir: &Path) -> Releases {
        let machine = format!("{}-{}", std::env::consts::OS, architecture());
        let etcd = format!("etcd-v{ETCD}-{machine}");
        let sum = pack(dir, &etcd, "etcd", &format!("{etcd}.tar.gz"));
        fs::write(dir.join("SHA256SUMS"), format!("{}  other.zip\n{sum}  {etcd}.tar.gz\n", "0".repeat(64))).unwrap();
        let helm = format!("helm-v{HELM}-{machine}.tar.gz");
        let sum = pack(dir, &machine, "helm", &helm);
        fs::write(dir.join(format!("{helm}.sha256sum")), format!("{sum}  {helm}\n")).unwrap();
        for name in ["kube-apiserver", "kube-controller-manager", "kubectl"] {
            fs::write(dir.join(name), name).unwrap();
            fs::write(dir.join(format!("{name}.sha256")), hex::encode(Sha256::digest(name))).unwrap();
        }
        let url = format!("file://{}", dir.display());
        Releases { kubernetes: url.clone(), etcd: url.clone(), helm: url, reachable: true }
    }

    /// An archive with one program in a folder; its SHA-256.
    fn pack(dir: &Path, folder: &str, name: &str, archive: &str) -> String {
        fs::create_dir_all(dir.join(folder)).unwrap();
        fs::write(dir.join(folder).join(name), format!("simulated {name}")).unwrap();
        let archive = dir.join(archive);
        assert!(Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(dir).arg(folder).status().unwrap().success());
        hex::encode(Sha256::digest(fs::read(&archive).unwrap()))
    }

    #[test]
    fn a_program_that_is_not_the_published_one_is_refused_and_no_other_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let workshop = ProcessGroup::new("testbed-test-").unwrap();
        let mut releases = simulated(dir.path());
        let program = dir.path().join("program");
        assert!(releases.fetch(&workshop, "kubectl", &program));
        assert_eq!(fs::read_to_string(&program).unwrap(), "kubectl");

        fs::write(dir.path().join("kube-apiserver"), "changed on the way").unwrap();
        assert!(!releases.fetch(&workshop, "kube-apiserver", &program));
        assert!(!releases.fetch(&workshop, "kubectl", &program), "asked again");
    }

    #[test]
    fn releases_that_cannot_be_reached_are_no_error() {
        let workshop = ProcessGroup::new("testbed-test-").unwrap();
        let nowhere = "file:///nowhere/at/all".to_owned();
        let mut releases = Releases { kubernetes: nowhere.clone(), etcd: nowhere.clone(), helm: nowhere, reachable: true };
        assert!(!releases.fetch(&workshop, "etcd", Path::new("/nowhere/etcd")));
    }
}
