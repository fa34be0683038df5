//! The Helm chart, rendered by the real helm.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
pub use xtask::chart::NAME;

use crate::controlplane::binaries;

/// In the clone that this was compiled in.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const CHART: &str = "charts/rotated-secrets";

/// The directory of the chart.
pub fn dir() -> PathBuf {
    Path::new(ROOT).join(CHART)
}

/// helm, with nothing of this machine's environment or configuration. It must have been provisioned.
pub fn helm() -> Result<Command> {
    let mut command = Command::new(binaries::find_helm()?);
    for (name, _) in std::env::vars() {
        if name.starts_with("HELM_") || name.starts_with("KUBE") || name.to_lowercase().ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// What helm says on standard output; an error has what it says on standard error, word for word.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.output().context("helm cannot be started")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    String::from_utf8(output.stdout).context("helm speaks no UTF-8")
}

/// The manifests of a release `rotated-secrets` in the namespace of the same name, with further arguments such as `--set port=8081`.
pub fn render(chart: &Path, arguments: &[&str]) -> Result<String> {
    run(helm()?.arg("template").arg(NAME).arg(chart).args(["--namespace", NAME]).args(arguments))
}

/// The manifests from which `deploy/install.yaml` is generated: see [`xtask::chart::generated`].
pub fn defaults() -> Result<String> {
    render(&dir(), &xtask::chart::DEFAULTS)
}

/// The documents of a rendered chart or of deploy/install.yaml whose kind is not among `kinds`.
pub fn without(manifests: &str, kinds: &[&str]) -> String {
    let named = |document: &&str| kinds.iter().any(|kind| document.lines().any(|line| line == format!("kind: {kind}")));
    manifests.split("---\n").filter(|document| !named(document)).collect::<Vec<_>>().join("---\n")
}
