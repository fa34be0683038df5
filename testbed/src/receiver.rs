//! The receiver of examples/webhook-receiver, run as a user runs it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::process::{ProcessGroup, on_free_ports};
use crate::python::interpreter;
use crate::sandbox::authority::{Authority, Certificate};

/// How long Python takes to start on a busy machine, and then some.
const PATIENCE: Duration = Duration::from_mins(1);

const NAME: &str = "receiver";

/// What a receiver knows the operator by.
#[derive(Debug, Clone, Copy)]
pub enum Knows<'a> {
    /// Requests are signed with this key.
    Key(&'a str),
    /// Requests carry a token of this `ServiceAccount` (`NAMESPACE/NAME`) with the URL of the receiver, without a path, as audience.
    Tokens {
        account: &'a str,
        /// URL of the API server that knows tokens, and its certificate.
        api: (&'a str, &'a Path),
        /// The receiver's own token.
        own: &'a str,
    },
}

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
        Self::start_with(Knows::Key(signing_key), users)
    }

    /// The same, for any operator that it knows.
    pub fn start_with(knows: Knows<'_>, users: &str) -> Result<Self> {
        let group = ProcessGroup::new("receiver-")?;
        let authority = Authority::new()?;
        let pair = authority.shown(Certificate::Good)?;
        let secret = match knows {
            Knows::Key(key) => key,
            Knows::Tokens { own, .. } => own,
        };
        let files = [("tls.crt", pair.certificate.as_str()), ("tls.key", &pair.key), ("secret", secret), ("users.json", users)];
        for (name, text) in files {
            fs::write(group.dir().join(name), text)?;
        }
        let interpreter = interpreter()?;
        let mut receiver = Self { group, authority, port: 0 };
        on_free_ports(|[port]| {
            receiver.port = port;
            let started = receiver.run(&interpreter, knows);
            started.or_else(|error| receiver.group.stop(NAME, Duration::ZERO).and(Err(error)))
        })?;
        Ok(receiver)
    }

    fn run(&self, interpreter: &Path, knows: Knows<'_>) -> Result<()> {
        let Self { group, port, .. } = self;
        let mut python = Command::new(interpreter);
        python.current_dir(group.dir()).arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/webhook-receiver/receiver.py")).args([
            "--address",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--cert",
            "tls.crt",
            "--key",
            "tls.key",
            "--state",
            "users.json",
        ]);
        match knows {
            Knows::Key(_) => python.args(["--signing-key", "secret"]),
            Knows::Tokens { account, api: (server, ca), .. } => python
                .args(["--audience", &format!("https://127.0.0.1:{port}"), "--service-account", account, "--api-server", server])
                .args(["--api-token", "secret", "--api-ca"])
                .arg(ca),
        };
        group.start(NAME, &python)?;
        let begun = Instant::now();
        while !self.log()?.contains("listening on port ") {
            group.check()?;
            ensure!(begun.elapsed() < PATIENCE, "the receiver did not start within {PATIENCE:?}");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
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
