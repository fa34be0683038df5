//! `provision`: what the tests need, made once per machine.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use testbed::controlplane::binaries::{self, Binaries, KUBERNETES, Release};
use testbed::moto;
use testbed::packages::Programs;
use testbed::{mysql, node, postgres, promtool, redis};

/// The control plane's programs, and helm. Silent when everything is there.
pub(crate) fn provision() -> Result<(Binaries, PathBuf)> {
    let binaries = binaries::provision()?;
    let helm = binaries::provision_helm()?;
    if moto::find()?.is_none() {
        let _lock = lock()?;
        moto::provision()?;
    }
    if !promtool::complete()? {
        let _lock = lock()?;
        promtool::provision()?;
    }
    // Only the tests of rotation in PostgreSQL need it.
    if let Err(error) = postgres() {
        eprintln!("no PostgreSQL here: {error}; the tests that rotate a password in one fail");
    }
    if postgres::find_release(postgres::Release::Newest)?.is_none() {
        let _lock = lock()?;
        if let Err(error) = postgres::provision_release(postgres::Release::Newest) {
            eprintln!("no newer PostgreSQL here: {error:#}; the tests use that of this machine alone");
        }
    }
    if postgres::pooler::find()?.is_none() {
        let _lock = lock()?;
        if let Err(error) = postgres::pooler::provision() {
            eprintln!("no PgBouncer here: {error:#}; the test of a connection pooler fails");
        }
    }
    if let Err(error) = redis() {
        eprintln!("no Redis here: {error}; the tests that rotate a password in one fail");
    }
    for kind in mysql::Kind::ALL {
        if mysql::find(kind)?.is_none() {
            let _lock = lock()?;
            if let Err(error) = mysql::provision(kind) {
                eprintln!("no {kind:?} here: {error:#}; the tests that rotate a password in one fail");
            }
        }
    }
    match node::obstacle() {
        None => drop(node::provision()?),
        Some(obstacle) => eprintln!("no real node here: {obstacle}; what the tests do on one, they do on the control plane alone"),
    }
    Ok((binaries, helm))
}

/// PostgreSQL, fetched if this machine has none.
pub(crate) fn postgres() -> Result<Programs> {
    if let Some(programs) = postgres::find()? {
        return Ok(programs);
    }
    let _lock = lock()?;
    postgres::provision()
}

/// Redis, fetched if this machine has none.
fn redis() -> Result<Programs> {
    if let Some(programs) = redis::find()? {
        return Ok(programs);
    }
    let _lock = lock()?;
    redis::provision()
}

/// One process installs moto at a time. The lock goes with the file handle, however the process ends.
fn lock() -> Result<File> {
    let cache = binaries::cache_dir()?;
    fs::create_dir_all(&cache)?;
    let file = File::options().create(true).append(true).open(cache.join(".lock"))?;
    file.lock()?;
    Ok(file)
}

pub(crate) fn provision_and_tell() -> Result<()> {
    let (binaries, helm) = provision()?;
    for program in [&binaries.etcd, &binaries.kube_apiserver, &binaries.kube_controller_manager, &binaries.kubectl, &helm] {
        println!("{}", program.display());
    }
    println!("{}", moto::home()?.display());
    println!("{}", promtool::provision()?.display());
    for programs in [postgres::find()?, redis::find()?].into_iter().flatten() {
        println!("{}", programs.directory().display());
    }
    if let Some(version) = version(&binaries.kube_apiserver)
        && version != format!("Kubernetes v{}", Release::selected()?.version())
    {
        println!("KUBEBUILDER_ASSETS holds {version}; the tests are written for {KUBERNETES} and may fail with another");
    }
    Ok(())
}

fn version(apiserver: &Path) -> Option<String> {
    let output = Command::new(apiserver).arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
