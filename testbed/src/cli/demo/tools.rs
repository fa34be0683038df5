//! Step 1: the control plane's programs and the operator's binary, made where they are missing.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use testbed::controlplane::binaries::{self, Release};
use testbed::postgres;
use testbed::process::ProcessGroup;

use super::screen::{Progress, Screen, seconds};
use crate::cli::provision;

const BUILD: &str = "cargo";

/// The clone of the repository that this command was compiled in; the examples and manifests are in it.
pub(in crate::cli) fn repository() -> &'static Path {
    let testbed = Path::new(env!("CARGO_MANIFEST_DIR"));
    testbed.parent().unwrap_or(testbed)
}

/// Makes what is missing. Gives the operator's binary, and whether there is a PostgreSQL.
pub(super) async fn prepare(screen: &Screen) -> Result<(PathBuf, bool)> {
    let missing = binaries::find().is_err();
    let start = Instant::now();
    // Says itself what it fetches or builds. The demo needs no moto, which `cargo provision` makes, too.
    tokio::task::spawn_blocking(binaries::provision).await??;
    let how = if missing { format!("made in {} s, kept for the next time", start.elapsed().as_secs()) } else { "were here".to_owned() };
    screen.ok(&format!(
        "etcd, kube-apiserver, kube-controller-manager and kubectl of Kubernetes {} ({how})",
        Release::selected()?.version()
    ))?;

    let database = prepare_database(screen).await?;
    let start = Instant::now();
    let progress = screen.progress("cargo builds the operator");
    let operator = tokio::task::spawn_blocking(move || build(progress)).await??;
    let shown = operator.strip_prefix(repository()).unwrap_or(&operator).display();
    screen.ok(&format!("the operator's binary {shown} (cargo build: {})", seconds(start.elapsed())))?;
    Ok((operator, database))
}

/// Whether there is a PostgreSQL now. Without one the demo leaves its step out, and says so.
async fn prepare_database(screen: &Screen) -> Result<bool> {
    let (missing, start) = (postgres::find()?.is_none(), Instant::now());
    // Says itself what it fetches.
    let programs = screen.during("PostgreSQL is fetched", tokio::task::spawn_blocking(provision::postgres)).await?;
    let how = if missing { format!("fetched in {} s, kept for the next time", start.elapsed().as_secs()) } else { "was here".to_owned() };
    match programs {
        Ok(programs) => screen.ok(&format!("PostgreSQL {} ({how})", postgres::version(&programs)?)).map(|()| true),
        Err(error) => screen.say(&format!("No PostgreSQL, so the step with a database is left out: {error:#}")).map(|()| false),
    }
}

/// In a group, so that an early Ctrl-C ends cargo and its compilers, too.
fn build(mut progress: Progress) -> Result<PathBuf> {
    let group = ProcessGroup::new("rotated-secrets-build-")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command
        .current_dir(repository())
        .args(["build", "--locked", "--package", "rotated-secrets", "--bin", "rotated-secrets"])
        .arg("--message-format=json-render-diagnostics")
        // The output goes to a file; the count of finished units in it is what the progress shows.
        .envs([("CARGO_TERM_PROGRESS_WHEN", "always"), ("CARGO_TERM_PROGRESS_WIDTH", "120"), ("CARGO_TERM_COLOR", "never")]);
    let status = group.run(BUILD, &command, || progress.tick(&detail(&group.log_tail(BUILD))))?;
    let log = String::from_utf8_lossy(&fs::read(group.log(BUILD))?).into_owned();
    ensure!(status.success(), "expected that the operator can be built; cargo says:\n{}", said(&log));
    executable(&log).context("expected that cargo names the binary that it has built; it names none")
}

/// What cargo printed for people.
fn said(log: &str) -> String {
    let lines: Vec<&str> = log.split(['\n', '\r']).filter(|line| !line.starts_with('{') && !line.contains("Building [")).collect();
    lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n")
}

/// ` (12/345)` out of `Building [==>   ] 12/345: serde`.
fn detail(tail: &str) -> String {
    if tail.trim_end().rsplit('\n').next().is_some_and(|line| line.contains("waiting for file lock")) {
        return " (another cargo is building; this one waits)".to_owned();
    }
    let last = tail.rsplit(['\n', '\r']).find_map(|line| line.trim().strip_prefix("Building ["));
    let count = last.and_then(|line| line.split_once("] ")).and_then(|(_, rest)| rest.split(':').next());
    count.map(|count| format!(" ({})", count.trim())).unwrap_or_default()
}

/// The operator's binary, as cargo names it in its messages.
pub(in crate::cli) fn executable(log: &str) -> Option<PathBuf> {
    let messages = log.split(['\n', '\r']).filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages
        .filter(|message| message.pointer("/target/name").and_then(Value::as_str) == Some("rotated-secrets"))
        .filter_map(|message| message.get("executable").and_then(Value::as_str).map(PathBuf::from))
        .next_back()
}

/// A client for servers on this machine.
pub(in crate::cli) type Http = Client<HttpConnector, Full<Bytes>>;

pub(in crate::cli) fn http() -> Http {
    Client::builder(TokioExecutor::new()).build_http()
}

/// The program of this name in `PATH`.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_progress_of_cargo_is_read_from_its_last_words() {
        assert_eq!(
            detail("   Compiling kube v5.0.0\n    Building [===>      ] 7/31: kube\r    Building [====>     ] 8/31: http, tower\r"),
            " (8/31)"
        );
        assert_eq!(detail("   Compiling kube v5.0.0\n"), "");
        assert!(detail("    Blocking waiting for file lock on build directory\n").contains("another cargo"));
    }

    #[test]
    fn the_binary_is_the_one_that_cargo_names() {
        let log = "   Compiling\n{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"serde\"},\"executable\":null}\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"rotated-secrets\"},\"executable\":\"/t/debug/rotated-secrets\"}\n";
        assert_eq!(executable(log), Some(PathBuf::from("/t/debug/rotated-secrets")));
    }
}
