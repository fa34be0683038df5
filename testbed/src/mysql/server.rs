//! One server, with TLS, for one test or for all tests of a program.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::programs::{Installed, Kind, find};
use crate::packages::run;
use crate::process::{ProcessGroup, on_free_ports};
use crate::sandbox::authority::{Authority, Certificate};

/// How long the server takes to start on a busy machine, and then some.
const PATIENCE: Duration = Duration::from_mins(5);

const NAME: &str = "server";

/// A running server on a loopback port. Every statement is in its general log. Ends with this value, and with our own process
/// however that ends.
#[derive(Debug)]
pub struct MySql {
    kind: Kind,
    installed: Installed,
    group: ProcessGroup,
    authority: Authority,
    port: u16,
    /// Further options of the server.
    options: Vec<String>,
}

impl MySql {
    /// One of each kind for all tests of this program.
    pub fn shared(kind: Kind) -> Result<&'static Self> {
        static MYSQL: OnceLock<Result<MySql>> = OnceLock::new();
        static MARIADB: OnceLock<Result<MySql>> = OnceLock::new();
        let shared = match kind {
            Kind::MySql => &MYSQL,
            Kind::MariaDb => &MARIADB,
        };
        match shared.get_or_init(|| Self::start(kind)) {
            Ok(shared) => Ok(shared),
            Err(error) => bail!("{error:#}"),
        }
    }

    /// Makes a server in a temporary directory and waits until it answers. Blocks. Fails when it is not provisioned.
    pub fn start(kind: Kind) -> Result<Self> {
        Self::start_with(kind, &[])
    }

    /// The same with further options.
    pub fn start_with(kind: Kind, options: &[&str]) -> Result<Self> {
        let Some(installed) = find(kind)? else { bail!(kind.missing()) };
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut server = Self { kind, installed, group: ProcessGroup::new("mysql-")?, authority: Authority::new()?, port: 0, options };
        server.initialize()?;
        server.place(Certificate::Good)?;
        on_free_ports(|[port]| {
            server.port = port;
            server.run().or_else(|error| server.group.stop(NAME, Duration::ZERO).and(Err(error)))
        })?;
        Ok(server)
    }

    fn data(&self) -> PathBuf {
        self.group.dir().join("data")
    }

    /// A program that stores temporary tables. Each server has a directory for them: MariaDB deletes all that it finds
    /// there at its start, also those that another server uses.
    fn program(&self, name: &str) -> Command {
        let mut command = self.installed.programs.command(name);
        command.env("TMPDIR", self.temporary());
        command
    }

    fn temporary(&self) -> PathBuf {
        self.group.dir().join("tmp")
    }

    /// The server, as root only if we are.
    fn server(&self) -> Command {
        let [server, _] = self.kind.programs();
        let mut command = self.program(server);
        command.args(["--no-defaults", "--datadir"]).arg(self.data()).current_dir("/");
        if rustix::process::geteuid().is_root() {
            command.arg("--user=root");
        }
        let share = self.installed.root.join("usr/share/mysql");
        match self.kind {
            Kind::MySql => command.arg("--lc-messages-dir").arg(share),
            Kind::MariaDb => command.arg("--lc-messages-dir").arg(&share).arg("--character-sets-dir").arg(share.join("charsets")),
        };
        command
    }

    fn initialize(&self) -> Result<()> {
        fs::create_dir(self.temporary())?;
        match self.kind {
            Kind::MySql => run(self.server().arg("--initialize-insecure"))?,
            Kind::MariaDb => {
                fs::create_dir(self.data())?;
                let mut tables = self.program("mariadb-install-db");
                tables
                    .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"])
                    .arg(option("basedir", &self.installed.root.join("usr")))
                    .arg(option("datadir", &self.data()))
                    .current_dir("/");
                if rustix::process::geteuid().is_root() {
                    tables.arg("--user=root");
                }
                run(&mut tables)?
            }
        };
        Ok(())
    }

    fn place(&self, certificate: Certificate) -> Result<()> {
        let pair = self.authority.shown(certificate)?;
        for (name, text) in [("server.crt", &pair.certificate), ("server.key", &pair.key), ("ca.crt", &self.authority.pem())] {
            fs::write(self.data().join(name), text).with_context(|| format!("cannot write {name}"))?;
        }
        Ok(())
    }

    fn run(&self) -> Result<()> {
        let mut server = self.server();
        let data = self.data();
        server
            .arg(format!("--port={}", self.port))
            .args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--innodb-buffer-pool-size=8M", "--performance-schema=OFF"])
            .args(["--max-connections=40", "--general-log=ON", "--key-buffer-size=1M"])
            .arg(option("general-log-file", &data.join("general.log")))
            .arg(option("socket", &data.join("s.sock")))
            .arg(option("pid-file", &data.join("server.pid")))
            .arg(option("ssl-ca", &data.join("ca.crt")))
            .arg(option("ssl-cert", &data.join("server.crt")))
            .arg(option("ssl-key", &data.join("server.key")));
        if self.kind == Kind::MySql {
            server.args(["--skip-log-bin", "--secure-file-priv=NULL", "--loose-mysqlx=0"]);
        }
        server.args(&self.options);
        self.group.start(NAME, &server)?;
        self.wait()
    }

    fn wait(&self) -> Result<()> {
        let begun = Instant::now();
        while self.sql("SELECT 1").is_err() {
            self.group.check()?;
            let log = || format!("{} did not answer within {PATIENCE:?}:\n{}", self.kind.name(), self.group.log_tail(NAME));
            ensure!(begun.elapsed() < PATIENCE, log());
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Whose server it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The loopback port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate of the authority, as PEM.
    pub fn ca(&self) -> String {
        self.authority.pem()
    }

    fn client(&self) -> Command {
        let [_, client] = self.kind.programs();
        let mut command = self.installed.programs.command(client);
        command.args(["--no-defaults", "--batch", "--skip-column-names"]).current_dir("/");
        command
    }

    /// Runs SQL as the superuser and gives the rows, fields separated by tabs. Blocks.
    pub fn sql(&self, sql: &str) -> Result<String> {
        let mut client = self.client();
        client.arg(option("socket", &self.data().join("s.sock"))).args(["--user=root", "-e", sql]);
        let output = run(&mut client)?;
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Whether a user logs in with this password, as the server's own client sees it. Blocks.
    pub fn accepts(&self, user: &str, password: &str) -> Result<bool> {
        let mut client = self.client();
        client.args(["--host=127.0.0.1", &format!("--port={}", self.port), &format!("--user={user}"), "-e", "SELECT 1"]);
        match self.kind {
            Kind::MySql => client.arg("--ssl-mode=REQUIRED"),
            Kind::MariaDb => client.arg("--ssl"),
        };
        let output = client.env("MYSQL_PWD", password).stdin(Stdio::null()).output().context("cannot run the client")?;
        let said = String::from_utf8_lossy(&output.stderr);
        // The last two: the account is locked.
        let refused = ["ERROR 1045", "ERROR 3118", "ERROR 4151"].iter().any(|code| said.contains(code));
        ensure!(output.status.success() || refused, "the client: {said}");
        Ok(output.status.success())
    }

    /// Keeps a session of this user open for some seconds. Blocks.
    pub fn sleep_as(&self, user: &str, password: &str, seconds: u32) -> Result<()> {
        self.sql_as(user, password, &format!("SELECT SLEEP({seconds})")).map(drop)
    }

    /// Waits until a session runs a statement with these words. Blocks.
    pub fn await_statement(&self, words: &str) -> Result<()> {
        let begun = Instant::now();
        while self.sessions_with(words)?.is_empty() {
            ensure!(begun.elapsed() < PATIENCE, "no session runs {words}");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Ends the sessions whose statement has these words, and waits until they are gone. Blocks.
    pub fn end_sessions(&self, words: &str) -> Result<()> {
        let begun = Instant::now();
        loop {
            let left = self.sessions_with(words)?;
            if left.is_empty() {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "sessions that run {words} do not end");
            for id in left {
                // It may have ended by now.
                let _ = self.sql(&format!("KILL {id}"));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The IDs of the sessions whose statement has these words.
    fn sessions_with(&self, words: &str) -> Result<Vec<String>> {
        let list = self.sql("SHOW FULL PROCESSLIST")?;
        Ok(list.lines().filter(|line| line.contains(words)).filter_map(|line| line.split('\t').next().map(str::to_owned)).collect())
    }

    /// Runs SQL as this user and gives the rows. Blocks.
    pub fn sql_as(&self, user: &str, password: &str, sql: &str) -> Result<String> {
        let mut client = self.client();
        client.args(["--host=127.0.0.1", &format!("--port={}", self.port), &format!("--user={user}")]);
        let output = run(client.args(["-e", sql]).env("MYSQL_PWD", password))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// All that the server has logged, statements too.
    pub fn log(&self) -> Result<String> {
        let statements = fs::read(self.data().join("general.log"))?;
        let messages = fs::read(self.group.log(NAME))?;
        Ok([statements, messages].iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect())
    }

    /// The files of the server that have this text: its logs and its data. Blocks.
    pub fn files_with(&self, text: &str) -> Result<Vec<String>> {
        let mut search = Command::new("grep");
        search.args(["--recursive", "--files-with-matches", "--text", "--fixed-strings", "--devices=skip", "--no-messages", "-e", text]);
        let output = search.arg(self.group.dir()).env("LC_ALL", "C").output().context("cannot run grep")?;
        // 1: nothing is found; 2: a file went away meanwhile.
        ensure!(output.status.code().is_some_and(|code| code <= 2), "grep: {}", output.status);
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// The certificate of sessions that begin after this call. Blocks.
    pub fn set_certificate(&self, certificate: Certificate) -> Result<()> {
        self.place(certificate)?;
        let reload = match self.kind {
            Kind::MySql => "ALTER INSTANCE RELOAD TLS NO ROLLBACK ON ERROR",
            Kind::MariaDb => "FLUSH SSL",
        };
        self.sql(reload).map(drop)
    }

    /// Kills the server without notice. Blocks.
    pub fn kill(&self) -> Result<()> {
        self.group.stop(NAME, Duration::ZERO)
    }

    /// Starts it again with its data. Blocks.
    pub fn revive(&self) -> Result<()> {
        self.run()
    }
}

fn option(name: &str, path: &std::path::Path) -> std::ffi::OsString {
    let mut option = std::ffi::OsString::from(format!("--{name}="));
    option.push(path);
    option
}
