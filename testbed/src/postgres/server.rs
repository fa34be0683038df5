//! One server, with TLS, for one test or for all tests of a program.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;

use super::programs::{MISSING, find};
use crate::packages::{NOBODY, Programs, run};
use crate::process::{ProcessGroup, on_free_ports};
use crate::sandbox::authority::{Authority, Certificate};

/// How long the server takes to start on a busy machine, and then some.
const PATIENCE: Duration = Duration::from_mins(5);

const NAME: &str = "postgres";

/// A running server on a loopback port. Passwords are SCRAM-SHA-256; TCP needs a password, also without TLS. Every statement is logged. Ends with
/// this value, and with our own process however that ends.
#[derive(Debug)]
pub struct Postgres {
    group: ProcessGroup,
    programs: Programs,
    authority: Authority,
    port: u16,
    as_nobody: bool,
}

impl Postgres {
    /// One for all tests of this program.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<Postgres>> = OnceLock::new();
        match SHARED.get_or_init(Self::start) {
            Ok(shared) => Ok(shared),
            Err(error) => bail!("{error:#}"),
        }
    }

    /// Makes a server in a temporary directory and waits until it answers. Blocks. Fails with [`MISSING`] when it is not provisioned.
    pub fn start() -> Result<Self> {
        let Some(programs) = find()? else { bail!(MISSING) };
        let group = ProcessGroup::new("postgres-")?;
        // Not our own process: tests may run in a directory of root.
        let as_nobody = fs::metadata(group.dir())?.uid() == 0;
        if as_nobody {
            fs::set_permissions(group.dir(), fs::Permissions::from_mode(0o711))?;
        }
        let authority = Authority::new()?;
        let mut server = Self { group, programs, authority, port: 0, as_nobody };
        server.initialize()?;
        on_free_ports(|[port]| {
            server.port = port;
            server.run().or_else(|error| server.group.stop(NAME, Duration::ZERO).and(Err(error)))
        })?;
        Ok(server)
    }

    /// A program of PostgreSQL, as the user that owns the data.
    fn program(&self, name: &str) -> Command {
        if self.as_nobody { self.programs.command_as_nobody(name) } else { self.programs.command(name) }
    }

    fn data(&self) -> PathBuf {
        self.group.dir().join("data")
    }

    fn initialize(&self) -> Result<()> {
        let data = self.data();
        fs::create_dir(&data)?;
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700))?;
        self.give(&data)?;
        let mut initdb = self.program("initdb");
        initdb
            .args(["--no-sync", "--username=postgres", "--locale=C", "--encoding=UTF8", "--auth=trust", "--pgdata"])
            .arg(&data)
            .current_dir("/");
        run(&mut initdb)?;
        self.write("server.conf", &format!(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nssl = on\nssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\n\
             password_encryption = 'scram-sha-256'\nlog_statement = 'all'\nlog_connections = on\nlog_min_error_statement = 'log'\n\
             log_line_prefix = '%p %u '\nfsync = off\nmax_connections = 40\nsuperuser_reserved_connections = 3\nshared_buffers = '16MB'\n",
            data.display()
        ))?;
        let main = data.join("postgresql.conf");
        let configured = format!("{}\ninclude 'server.conf'\n", fs::read_to_string(&main)?);
        fs::write(&main, configured)?;
        self.authenticate("host all all 127.0.0.1/32 scram-sha-256")?;
        self.place(Certificate::Good)
    }

    /// A file of the server's directory, which only the server reads.
    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.data().join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        self.give(&path)
    }

    fn give(&self, path: &Path) -> Result<()> {
        if self.as_nobody {
            chown(path, Some(NOBODY), Some(NOBODY))?;
        }
        Ok(())
    }

    fn authenticate(&self, rules: &str) -> Result<()> {
        self.write("pg_hba.conf", &format!("local all postgres trust\n{rules}\n"))
    }

    fn place(&self, certificate: Certificate) -> Result<()> {
        let pair = self.authority.shown(certificate)?;
        self.write("server.crt", &pair.certificate)?;
        self.write("server.key", &pair.key)
    }

    fn run(&self) -> Result<()> {
        let mut postgres = self.program("postgres");
        postgres.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]).current_dir("/");
        self.group.start(NAME, &postgres)?;
        self.wait()
    }

    fn wait(&self) -> Result<()> {
        let begun = Instant::now();
        while self.sql("postgres", "SELECT 1").is_err() {
            self.group.check()?;
            ensure!(begun.elapsed() < PATIENCE, "PostgreSQL did not answer within {PATIENCE:?}:\n{}", self.group.log_tail(NAME));
            thread::sleep(Duration::from_millis(50));
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

    /// Runs SQL as the superuser and gives the rows, fields separated by `|`. Blocks.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String> {
        self.psql(database, sql, "")
    }

    /// Its major version. Blocks.
    pub fn major(&self) -> Result<u32> {
        let number: u32 = self.sql("postgres", "SHOW server_version_num")?.parse()?;
        Ok(number / 10_000)
    }

    /// Lets `admin`, which may create roles, change `role` too (a name as SQL has it). Until PostgreSQL 15, `CREATEROLE` is enough. Blocks.
    pub fn let_administer(&self, admin: &str, role: &str) -> Result<()> {
        if self.major()? >= 16 {
            self.sql("postgres", &format!("GRANT {role} TO {admin} WITH ADMIN OPTION"))?;
        }
        Ok(())
    }

    /// Gives a role this password, and logs no statement. Blocks.
    pub fn set_password(&self, role: &str, password: &str) -> Result<()> {
        let sql = format!("ALTER ROLE {role} PASSWORD '{}'", password.replace('\'', "''"));
        self.psql("postgres", &sql, "-c log_statement=none -c log_min_error_statement=panic").map(drop)
    }

    fn psql(&self, database: &str, sql: &str, options: &str) -> Result<String> {
        let mut psql = self.programs.command("psql");
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-p", &self.port.to_string(), "-d", database, "-c", sql])
            .env("PGHOST", self.data())
            .env("PGOPTIONS", options)
            .current_dir("/");
        // The socket is in a directory of the server's user; root passes.
        let output = run(&mut psql)?;
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Whether a user logs in with this password, as the programs of PostgreSQL see it. Blocks.
    pub fn accepts(&self, user: &str, password: &str) -> Result<bool> {
        let mut psql = self.programs.command("psql");
        psql.args(["-XAtq", "-U", user, "-h", "127.0.0.1", "-p", &self.port.to_string(), "-d", "postgres", "-c", "SELECT 1"])
            .envs([("PGPASSWORD", password), ("PGSSLMODE", "require"), ("PGCONNECT_TIMEOUT", "300")])
            .stdin(Stdio::null())
            .current_dir("/");
        let output = psql.output().context("cannot run psql")?;
        let said = String::from_utf8_lossy(&output.stderr);
        let refused = ["password authentication failed", "is not permitted to log in"].iter().any(|words| said.contains(words));
        ensure!(output.status.success() || refused, "psql: {said}");
        Ok(output.status.success())
    }

    /// Runs SQL as this user and gives the rows. Blocks.
    pub fn sql_as(&self, user: &str, password: &str, sql: &str) -> Result<String> {
        let mut psql = self.programs.command("psql");
        psql.args([
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            user,
            "-h",
            "127.0.0.1",
            "-p",
            &self.port.to_string(),
            "-d",
            "postgres",
            "-c",
            sql,
        ])
        .envs([("PGPASSWORD", password), ("PGSSLMODE", "require")])
        .current_dir("/");
        let output = run(&mut psql)?;
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Ends the sessions whose statement has these words, and waits until they are gone. Blocks.
    pub fn end_sessions(&self, words: &str) -> Result<()> {
        let with = format!("FROM pg_stat_activity WHERE query LIKE '%{words}%' AND pid <> pg_backend_pid()");
        self.sql("postgres", &format!("SELECT pg_terminate_backend(pid) {with}"))?;
        let begun = Instant::now();
        while self.sql("postgres", &format!("SELECT count(*) {with}"))? != "0" {
            ensure!(begun.elapsed() < PATIENCE, "sessions that run {words} do not end");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Stops the server and starts it as a standby without a primary. Blocks.
    pub fn become_standby(&self) -> Result<()> {
        // INT is the fast shutdown: it waits for no session.
        self.group.signal(NAME, Signal::INT)?;
        self.group.stop(NAME, PATIENCE)?;
        self.write("standby.signal", "")?;
        self.run()
    }

    /// All that the server has logged.
    pub fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(self.group.log(NAME))?).into_owned())
    }

    /// Rules of `pg_hba.conf` for TCP, in force for sessions that begin after this call. Blocks.
    pub fn set_authentication(&self, rules: &str) -> Result<()> {
        self.authenticate(rules)?;
        self.reload()
    }

    /// The certificate of sessions that begin after this call. Blocks.
    pub fn set_certificate(&self, certificate: Certificate) -> Result<()> {
        self.place(certificate)?;
        self.reload()
    }

    /// One of the server's settings, in force for sessions that begin after this call. Blocks.
    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        self.sql("postgres", &format!("ALTER SYSTEM SET {name} = '{value}'"))?;
        self.reload()
    }

    fn reload(&self) -> Result<()> {
        let loaded = |server: &Self| server.sql("postgres", "SELECT pg_conf_load_time()");
        let before = loaded(self)?;
        self.group.signal(NAME, Signal::HUP)?;
        let begun = Instant::now();
        while loaded(self)? == before {
            ensure!(begun.elapsed() < PATIENCE, "PostgreSQL did not read its configuration within {PATIENCE:?}");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// The processes that this value has started.
    pub fn process_ids(&self) -> Vec<u32> {
        self.group.ids()
    }

    /// Where its data and its log are.
    pub fn dir(&self) -> &Path {
        self.group.dir()
    }

    /// Ends the server in good order and removes its data. Blocks.
    pub fn stop(self, patience: Duration) -> Result<()> {
        // INT is the fast shutdown: it waits for no session.
        self.group.signal(NAME, Signal::INT)?;
        self.group.stop(NAME, patience)
    }

    /// Kills the server as a power failure does. Blocks.
    pub fn kill(&self) -> Result<()> {
        self.group.stop(NAME, Duration::ZERO)
    }

    /// Starts it again on the same port, with its data. Blocks.
    pub fn revive(&self) -> Result<()> {
        let _ = fs::remove_file(self.data().join("postmaster.pid"));
        let begun = Instant::now();
        loop {
            // The processes of the server that was killed end soon after it, and keep its shared memory until then.
            match self.run() {
                Err(_) if begun.elapsed() < PATIENCE && self.group.log_tail(NAME).contains("shared memory block") => {
                    self.group.stop(NAME, Duration::ZERO)?;
                    thread::sleep(Duration::from_millis(200));
                }
                started => return started,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_answers_keeps_its_data_through_a_crash_and_shows_the_certificate_that_it_was_given() {
        if find().unwrap().is_none() {
            return;
        }
        let server = Postgres::start().unwrap();
        assert_eq!(server.sql("postgres", "SELECT 1 + 1").unwrap(), "2");
        server.sql("postgres", "CREATE TABLE kept AS SELECT 7 AS n").unwrap();
        server.kill().unwrap();
        assert!(server.sql("postgres", "SELECT 1").is_err());
        server.revive().unwrap();
        assert_eq!(server.sql("postgres", "SELECT n FROM kept").unwrap(), "7");
        assert!(server.log().unwrap().contains("SELECT n FROM kept"), "statements are logged");
        for certificate in [Certificate::Expired, Certificate::OtherName, Certificate::OtherAuthority, Certificate::Good] {
            server.set_certificate(certificate).unwrap();
        }
        assert_eq!(server.sql("postgres", "SHOW ssl").unwrap(), "on");
    }
}
