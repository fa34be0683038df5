//! Builds a program from its published Go modules; `testbed/tools/go.mod` says which. helm, which needs other versions of the same modules, is
//! built by its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use super::progress::Progress;
use super::versions::{HELM, HELM_NAME, NAMES, Release};
use crate::process::ProcessGroup;

const ETCD_NAME: &str = "etcd";

/// In the clone that this command was compiled in.
const TOOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tools");

/// The directory with the recipe: each version of Kubernetes needs other versions of the same modules.
fn recipe(name: &str, release: Release) -> PathBuf {
    let tools = PathBuf::from(TOOLS);
    if release == Release::Oldest && name != ETCD_NAME { tools.join("oldest") } else { tools }
}

pub(super) fn build(workshop: &ProcessGroup, name: &str, release: Release, program: &Path) -> Result<()> {
    let tools = recipe(name, release);
    ensure!(
        tools.join("go.mod").exists(),
        "{} is gone, the recipe for {name}: type `cargo provision` in a clone of the repository",
        tools.display()
    );
    if !has_go() {
        let instead = format!(", or set KUBEBUILDER_ASSETS to a directory with {}", NAMES.join(", "));
        let instead = if name == HELM_NAME { "" } else { &instead };
        bail!("go is not on the PATH, and {name} must be built: install Go 1.26 or later{instead}");
    }
    let mut progress = Progress::start(&format!("building {name} (once per machine, up to 5 minutes)"));
    let command = if name == HELM_NAME { helm_command(program)? } else { command(name, release, &tools, program) };
    let status = workshop.run(name, &command, || progress.tick())?;
    ensure!(status.success(), "go could not build {name}:\n{}", workshop.log_tail(name));
    progress.finish("built");
    Ok(())
}

fn has_go() -> bool {
    Command::new("go").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn command(name: &str, release: Release, tools: &Path, program: &Path) -> Command {
    let mut command = Command::new("go");
    command
        .current_dir(tools)
        // A workspace file further up must not change what is built.
        .envs([("CGO_ENABLED", "0"), ("GOWORK", "off")])
        .args(["build", "-trimpath", "-buildvcs=false", "-ldflags", &link_flags(release.version()), "-o"])
        .arg(program)
        .arg(package(name));
    command
}

/// Into the directory of `program`, under its own name.
fn helm_command(program: &Path) -> Result<Command> {
    let mut command = Command::new("go");
    command
        .envs([("CGO_ENABLED", "0"), ("GOWORK", "off")])
        .env("GOBIN", program.parent().context("a program lies in a directory")?)
        .args(["install", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w"])
        .arg(format!("helm.sh/helm/v4/cmd/helm@v{HELM}"));
    Ok(command)
}

fn package(name: &str) -> String {
    if name == ETCD_NAME { "go.etcd.io/etcd/server/v3".to_owned() } else { format!("k8s.io/kubernetes/cmd/{name}") }
}

/// Without its version the API server calls itself v0.0.0, and clients that ask for one refuse to work with it.
fn link_flags(kubernetes: &str) -> String {
    let mut numbers = kubernetes.split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let component = "k8s.io/component-base/version";
    format!(
        "-s -w -X {component}.gitVersion=v{kubernetes} -X {component}.gitMajor={major} -X {component}.gitMinor={minor} \
         -X k8s.io/client-go/pkg/version.gitVersion=v{kubernetes}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipe_names_the_versions_that_are_asked_for() {
        let read = |name, release| std::fs::read_to_string(recipe(name, release).join("go.mod")).unwrap();
        for release in [Release::Newest, Release::Oldest] {
            let version = release.version();
            assert!(read("kube-apiserver", release).contains(&format!("k8s.io/kubernetes v{version} ")), "{version}");
            assert!(read(ETCD_NAME, release).contains(&format!("go.etcd.io/etcd/server/v3 v{} ", crate::controlplane::binaries::ETCD)));
        }
    }
}
