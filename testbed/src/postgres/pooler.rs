//! PgBouncer before a PostgreSQL server, with passwords of its own.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::Postgres;
use crate::packages::{self, Archive, NOBODY, Packages, Programs, known, run};
use crate::process::{ProcessGroup, on_free_ports};

const PATIENCE: Duration = Duration::from_mins(5);
const NAME: &str = "pgbouncer";
const MISSING: &str = "PgBouncer is not provisioned; type: cargo provision";

/// A pooler on a loopback port, without TLS. Ends with this value.
#[derive(Debug)]
pub struct Pooler {
    group: ProcessGroup,
    port: u16,
}

impl Pooler {
    /// Starts one that knows this user and password, and waits until it listens. Blocks.
    pub fn start(server: &Postgres, user: &str, password: &str) -> Result<Self> {
        let mut started = None;
        on_free_ports(|[port]| {
            started = Some(Self::at(port, server, user, password)?);
            Ok(())
        })?;
        started.context("PgBouncer did not start")
    }

    fn at(port: u16, server: &Postgres, user: &str, password: &str) -> Result<Self> {
        let programs = find()?.context(MISSING)?;
        let group = ProcessGroup::new("pgbouncer-")?;
        let dir = group.dir();
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let users = dir.join("users.txt");
        let configuration = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = scram-sha-256\nauth_file = {}\npool_mode = session\n",
            server.port(),
            users.display()
        );
        let ini = dir.join("pgbouncer.ini");
        let as_nobody = fs::metadata(dir)?.uid() == 0;
        if as_nobody {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o711))?;
        }
        for (path, text) in [(&users, format!("{} {}\n", quoted(user), quoted(password))), (&ini, configuration)] {
            fs::write(path, text)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
            if as_nobody {
                chown(path, Some(NOBODY), Some(NOBODY))?;
            }
        }
        // PgBouncer does not run as root.
        let mut command = if as_nobody { programs.command_as_nobody(NAME) } else { programs.command(NAME) };
        command.arg(&ini).current_dir("/");
        group.start(NAME, &command)?;
        let pooler = Self { group, port };
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            pooler.group.check()?;
            ensure!(begun.elapsed() < PATIENCE, "PgBouncer did not listen within {PATIENCE:?}:\n{}", pooler.group.log_tail(NAME));
            thread::sleep(Duration::from_millis(20));
        }
        Ok(pooler)
    }

    /// The loopback port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// In the cache; none until it is provisioned.
pub fn find() -> Result<Option<Programs>> {
    Ok(packages::find(NAME)?.and_then(|root| unpacked(&root)))
}

fn unpacked(root: &Path) -> Option<Programs> {
    let bin = root.join("usr/sbin");
    bin.join(NAME).is_file().then(|| Programs::unpacked(root, bin))
}

/// Unpacks Debian's package if it is not in the cache: some seconds. Says on stderr what it does. Blocks.
pub fn provision() -> Result<Programs> {
    const ADVICE: &str = "PgBouncer is missing, and Debian's package `pgbouncer` cannot be fetched";
    if let Some(programs) = find()? {
        return Ok(programs);
    }
    let archive = Archive::own();
    known(|| archive.field(NAME, "Version")).context(ADVICE)?;
    let packages = Packages { name: "PgBouncer", directory: NAME, package: NAME, others: &[], archive: &archive };
    let root = packages.unpack(|root| {
        let programs = unpacked(root).context("the package does not have the program")?;
        run(programs.command(NAME).arg("--version")).context("the unpacked PgBouncer does not run here").map(drop)
    });
    unpacked(&root.context(ADVICE)?).context(MISSING)
}
