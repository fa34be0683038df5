//! `provision`: what the tests need, made once per machine.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use testbed::controlplane::binaries::{self, Binaries, KUBERNETES};
use testbed::emulator::moto;

/// Silent when everything is there.
pub(crate) fn provision() -> Result<Binaries> {
    let binaries = binaries::provision()?;
    moto::provision()?;
    Ok(binaries)
}

pub(crate) fn provision_and_tell() -> Result<()> {
    let binaries = provision()?;
    for program in [
        &binaries.etcd,
        &binaries.kube_apiserver,
        &binaries.kube_controller_manager,
        &binaries.kubectl,
    ] {
        println!("{}", program.display());
    }
    println!("{}", moto::home()?.display());
    if let Some(version) = version(&binaries.kube_apiserver)
        && version != format!("Kubernetes v{KUBERNETES}")
    {
        println!(
            "KUBEBUILDER_ASSETS holds {version}; the tests are written for {KUBERNETES} and may fail with another"
        );
    }
    Ok(())
}

fn version(apiserver: &Path) -> Option<String> {
    let output = Command::new(apiserver).arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
