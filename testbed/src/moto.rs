//! moto, an emulator by other hands. The rule suite runs against it, too: where it and ours agree, it is less likely that we misread AWS.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::controlplane::binaries::cache_dir;
use crate::process::{ProcessGroup, free_ports};

/// The version that the list of deviations is about.
pub const VERSION: &str = "5.2.5";

/// What a caller says when moto is missing.
pub const MISSING: &str = "moto is not provisioned; type: cargo provision";

/// Exact versions of moto and all that it needs: a fresh release of one of sixty packages must not change a test.
const REQUIREMENTS: &str = include_str!("../tests/moto/requirements.txt");

/// Written last, so that an interrupted provision is not mistaken for a complete one.
const DONE: &str = "provisioned";

/// How long moto takes to start on a busy machine, and then some.
const PATIENCE: Duration = Duration::from_mins(5);

/// Where moto is, or will be: a Python environment in the user's cache, one for all clones.
pub fn home() -> Result<PathBuf> {
    Ok(cache_dir()?.join("moto").join(VERSION))
}

/// The Python that has moto; none until it is provisioned.
pub fn find() -> Result<Option<PathBuf>> {
    let home = home()?;
    let done = fs::read_to_string(home.join(DONE)).is_ok_and(|text| text == REQUIREMENTS);
    Ok(done.then(|| python_of(&home)))
}

/// Installs moto if it is not there: about a minute and 350 MB. Says on stderr what it does. Blocks.
pub fn provision() -> Result<PathBuf> {
    if let Some(python) = find()? {
        return Ok(python);
    }
    let home = home()?;
    eprintln!("moto {VERSION}: making a Python environment in {}", home.display());
    if home.exists() {
        fs::remove_dir_all(&home).with_context(|| format!("cannot clear {}", home.display()))?;
    }
    fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
    perform(Command::new("python3").args(["-m", "venv"]).arg(&home), "python3 -m venv (is python3 there, with its venv module?)")?;
    let wanted = home.join("requirements.txt");
    fs::write(&wanted, REQUIREMENTS)?;
    let count = REQUIREMENTS.lines().filter(|line| line.contains("==")).count();
    eprintln!("moto {VERSION}: installing {count} packages, about a minute");
    let python = python_of(&home);
    perform(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", "--requirement"])
            .arg(&wanted),
        "pip install",
    )?;
    fs::write(home.join(DONE), REQUIREMENTS)?;
    eprintln!("moto {VERSION}: ready");
    Ok(python)
}

fn python_of(home: &Path) -> PathBuf {
    home.join("bin/python")
}

/// Runs a command that shows its progress on stderr.
fn perform(command: &mut Command, what: &str) -> Result<()> {
    let status = command.stdout(std::io::stderr()).status().with_context(|| format!("cannot run {what}"))?;
    if !status.success() {
        bail!("{what} failed ({status})");
    }
    Ok(())
}

/// A running moto. Ends with this value, and with our own process however that ends.
#[derive(Debug)]
pub struct Moto {
    _group: ProcessGroup,
    port: u16,
}

impl Moto {
    /// Starts it on a free loopback port and waits until it listens. Blocks. Fails with [`MISSING`] when it is not provisioned.
    pub fn start() -> Result<Self> {
        let Some(python) = find()? else { bail!(MISSING) };
        // Another process may take the port in between, so there is a second and a third try.
        let mut last = None;
        for _ in 0..3 {
            match Self::start_once(&python) {
                Ok(moto) => return Ok(moto),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("moto did not start")))
    }

    fn start_once(python: &Path) -> Result<Self> {
        let group = ProcessGroup::new("moto-")?;
        let [port] = free_ports()?;
        let mut command = Command::new(python);
        command
            .args(["-m", "moto.server", "--host", "127.0.0.1", "--port"])
            .arg(port.to_string())
            .current_dir(group.dir())
            // Nothing of the caller's AWS set-up reaches it.
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", group.dir())
            .env("PYTHONDONTWRITEBYTECODE", "1");
        group.start("moto", &command)?;
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            group.check()?;
            if begun.elapsed() > PATIENCE {
                bail!("moto did not listen within {PATIENCE:?}:\n{}", group.log_tail("moto"));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(Self { _group: group, port })
    }

    /// What SDKs take as endpoint.
    pub fn endpoint_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
