//! Our rotation function in Python, run with the boto3 that moto brought along: the kind of function that people really have.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use emulator::RotationStep;
use emulator::function::{CommandFunction, HttpFunction};

use crate::moto;

/// Where the function and what runs it are.
fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("functions")
}

pub(crate) fn interpreter() -> Result<PathBuf> {
    moto::find()?.context(moto::MISSING)
}

/// What it needs to reach an emulator, and nothing of the caller's own set-up of AWS.
fn environment(endpoint: &str, region: &str, fails_at: Option<RotationStep>) -> Vec<(String, String)> {
    let mut all = vec![
        ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ("AWS_REGION", region.to_owned()),
        ("AWS_DEFAULT_REGION", region.to_owned()),
        ("AWS_ACCESS_KEY_ID", "function".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "function".to_owned()),
        ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
    ];
    all.extend(fails_at.map(|step| ("FAIL_AT", step.as_str().to_owned())));
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The function as a local command; `fails_at` makes a step of it fail.
///
/// # Errors
/// When moto, and with it boto3, is not provisioned.
pub fn command(endpoint: &str, region: &str, fails_at: Option<RotationStep>) -> Result<CommandFunction> {
    Ok(CommandFunction {
        program: interpreter()?,
        arguments: vec![directory().join("run.py").display().to_string(), "rotate_password".to_owned()],
        environment: environment(endpoint, region, fails_at),
    })
}

/// The function behind an endpoint that speaks Lambda's Invoke. Ends with this value.
#[derive(Debug)]
pub struct Served {
    child: Child,
    endpoint: String,
}

impl Served {
    /// Starts it for an emulator at `endpoint`, and waits until it listens. Blocks.
    ///
    /// # Errors
    /// When moto, and with it boto3, is not provisioned, or Python does not start.
    pub fn start(endpoint: &str, region: &str, fails_at: Option<RotationStep>) -> Result<Self> {
        let mut child = Command::new(interpreter()?)
            .arg(directory().join("run.py"))
            .args(["rotate_password", "--serve"])
            .envs(environment(endpoint, region, fails_at))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start python")?;
        let mut line = String::new();
        let out = child.stdout.take().context("python has no output")?;
        BufReader::new(out).read_line(&mut line)?;
        Ok(Self { child, endpoint: line.trim().to_owned() })
    }

    /// What AWS invokes.
    pub fn function(&self) -> HttpFunction {
        HttpFunction { endpoint: self.endpoint.clone() }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
