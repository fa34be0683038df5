//! `provision`: what the tests need, made once per machine.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use testbed::controlplane::binaries::{self, Binaries, KUBERNETES, Release};
use testbed::moto;
use testbed::packages::Programs;
use testbed::{mysql, node, postgres, promtool, redis};

use super::absent::{self, Absent, Effect, note};

/// What there is now.
pub(crate) struct Provisioned {
    binaries: Binaries,
    helm: PathBuf,
    /// What could not be obtained. The other tests run without it.
    pub(crate) absent: Vec<Absent>,
}

/// The control plane's programs, helm, and the servers whose passwords are rotated. Silent when everything is there.
pub(crate) fn provision() -> Result<Provisioned> {
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
    let mut absent = servers()?;
    match node::obstacle() {
        None => drop(node::provision()?),
        Some(obstacle) => absent.push(Absent { tests: "on a node", effect: Effect::LeftOut, why: obstacle }),
    }
    Ok(Provisioned { binaries, helm, absent })
}

/// The servers whose passwords are rotated. Gives those that could not be obtained: only their tests need them.
fn servers() -> Result<Vec<Absent>> {
    let mut absent = Vec::new();
    note(&mut absent, "of PostgreSQL", Effect::Fail, postgres());
    if postgres::find_release(postgres::Release::Newest)?.is_none() {
        let _lock = lock()?;
        let newest = postgres::provision_release(postgres::Release::Newest);
        note(&mut absent, "of PostgreSQL with its newest version", Effect::LeftOut, newest);
    }
    if postgres::pooler::find()?.is_none() {
        let _lock = lock()?;
        note(&mut absent, "of a connection pooler", Effect::Fail, postgres::pooler::provision());
    }
    note(&mut absent, "of Redis", Effect::Fail, redis());
    for kind in mysql::Kind::ALL {
        if mysql::find(kind)?.is_none() {
            let _lock = lock()?;
            let (tests, effect) = match kind {
                mysql::Kind::MySql => ("of MySQL", Effect::LeftOut),
                mysql::Kind::MariaDb => ("of MariaDB", Effect::Fail),
            };
            note(&mut absent, tests, effect, mysql::provision(kind));
        }
    }
    Ok(absent)
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
    let Provisioned { binaries, helm, absent } = provision()?;
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
    print!("{}", absent::sentences(&absent));
    Ok(())
}

fn version(apiserver: &Path) -> Option<String> {
    let output = Command::new(apiserver).arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
