//! The receiver of examples/webhook-receiver, run as a user runs it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::process::ProcessGroup;
use crate::python::interpreter;
use crate::sandbox::authority::{Authority, Certificate};

/// How long Python takes to start on a busy machine, and then some.
const PATIENCE: Duration = Duration::from_mins(1);

const NAME: &str = "receiver";

/// A receiver on a loopback port. Ends with this value.
#[derive(Debug)]
pub struct Receiver {
    group: ProcessGroup,
    authority: Authority,
    port: u16,
}

impl Receiver {
    /// Starts it with this signing key, and waits until it listens. `users`: the users and passwords of its service, as JSON. Blocks.
    pub fn start(signing_key: &str, users: &str) -> Result<Self> {
        let group = ProcessGroup::new("receiver-")?;
        let authority = Authority::new()?;
        let pair = authority.shown(Certificate::Good)?;
        let files = [("tls.crt", pair.certificate.as_str()), ("tls.key", &pair.key), ("signing.key", signing_key), ("users.json", users)];
        for (name, text) in files {
            fs::write(group.dir().join(name), text)?;
        }
        let mut python = Command::new(interpreter()?);
        python
            .current_dir(group.dir())
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/webhook-receiver/receiver.py"))
            .args(["--address", "127.0.0.1", "--port", "0", "--cert", "tls.crt", "--key", "tls.key"])
            .args(["--signing-key", "signing.key", "--state", "users.json"]);
        group.start(NAME, &python)?;
        let mut receiver = Self { group, authority, port: 0 };
        let begun = Instant::now();
        while receiver.port == 0 {
            receiver.group.check()?;
            ensure!(begun.elapsed() < PATIENCE, "the receiver did not start within {PATIENCE:?}");
            thread::sleep(Duration::from_millis(20));
            let log = receiver.log()?;
            let Some(line) = log.lines().find_map(|line| line.strip_prefix("listening on port ")) else { continue };
            let Ok(port) = line.parse() else { bail!("the receiver says no port: {line}") };
            receiver.port = port;
        }
        Ok(receiver)
    }

    /// The loopback port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate of the authority, as PEM.
    pub fn ca(&self) -> String {
        self.authority.pem()
    }

    /// The users and passwords of its service, as JSON.
    pub fn users(&self) -> Result<String> {
        fs::read_to_string(self.group.dir().join("users.json")).context("the receiver has no users")
    }

    /// All that it has printed.
    pub fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(self.group.log(NAME))?).into_owned())
    }
}
