//! One server, with TLS and without, for one test or for all tests of a program.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::programs::{MISSING, find};
use crate::packages::Programs;
use crate::process::{ProcessGroup, on_free_ports};
use crate::sandbox::authority::{Authority, Certificate};

/// How long the server takes to start on a busy machine, and then some.
const PATIENCE: Duration = Duration::from_mins(5);

const NAME: &str = "redis";

/// The administrator of the tests, who may do everything.
const ROOT: [&str; 2] = ["root", "root-of-the-testbed"];

/// Where the server stores its users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Users {
    /// In a file of their own (`aclfile`).
    #[default]
    InAclFile,
    /// In the configuration file.
    InConfigFile,
    /// Nowhere: it is configured by its command line.
    InMemory,
}

/// What a server is like.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Where it stores its users.
    pub users: Users,
    /// More lines of its configuration, such as `maxclients 10`.
    pub more: Vec<String>,
}

/// A running server on two loopback ports. Its log is verbose. Ends with this value, and with our own process however that ends.
#[derive(Debug)]
pub struct Redis {
    group: ProcessGroup,
    programs: Programs,
    authority: Authority,
    setup: Setup,
    port: u16,
    plain: u16,
}

impl Redis {
    /// One for all tests of this program.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<Redis>> = OnceLock::new();
        match SHARED.get_or_init(|| Self::start(Setup::default())) {
            Ok(shared) => Ok(shared),
            Err(error) => bail!("{error:#}"),
        }
    }

    /// Makes a server in a temporary directory and waits until it answers. Blocks. Fails with [`MISSING`] when it is not provisioned.
    pub fn start(setup: Setup) -> Result<Self> {
        let Some(programs) = find()? else { bail!(MISSING) };
        let group = ProcessGroup::new("redis-")?;
        let mut server = Self { group, programs, authority: Authority::new()?, setup, port: 0, plain: 0 };
        fs::write(server.path("ca.crt"), server.ca())?;
        on_free_ports(|[port, plain]| {
            (server.port, server.plain) = (port, plain);
            server.configure()?;
            server.run().or_else(|error| server.group.stop(NAME, Duration::ZERO).and(Err(error)))
        })?;
        Ok(server)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.group.dir().join(name)
    }

    fn configure(&self) -> Result<()> {
        self.place(Certificate::Good)?;
        let [root, password] = ROOT;
        let users = format!("user default off resetpass -@all\nuser {root} on >{password} ~* &* +@all\n");
        let mut config = format!(
            "bind 127.0.0.1\nport {}\ntls-port {}\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\ntls-auth-clients no\nloglevel verbose\n\
             dir {}\nsave \"\"\nslowlog-log-slower-than 0\n",
            self.plain,
            self.port,
            self.path("server.crt").display(),
            self.path("server.key").display(),
            self.path("ca.crt").display(),
            self.group.dir().display()
        );
        if self.setup.users == Users::InAclFile {
            fs::write(self.path("users.acl"), users)?;
            writeln!(config, "aclfile {}", self.path("users.acl").display())?;
        } else {
            config.push_str(&users);
        }
        for line in &self.setup.more {
            writeln!(config, "{line}")?;
        }
        Ok(fs::write(self.path("redis.conf"), config)?)
    }

    fn place(&self, certificate: Certificate) -> Result<()> {
        let pair = self.authority.shown(certificate)?;
        for (name, text) in [("server.crt", &pair.certificate), ("server.key", &pair.key)] {
            let path = self.path(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        }
        Ok(())
    }

    fn run(&self) -> Result<()> {
        let mut redis = self.programs.command("redis-server");
        let config = self.path("redis.conf");
        if self.setup.users == Users::InMemory {
            // As arguments: `name value` becomes `--name value`.
            for line in fs::read_to_string(&config)?.lines() {
                let mut words = line.split(' ');
                redis.arg(format!("--{}", words.next().unwrap_or_default()));
                redis.args(words.map(|word| if word == "\"\"" { "" } else { word }));
            }
        } else {
            redis.arg(&config);
        }
        redis.current_dir("/");
        self.group.start(NAME, &redis)?;
        let begun = Instant::now();
        while self.command(&["PING"]).is_err() {
            self.group.check()?;
            ensure!(begun.elapsed() < PATIENCE, "Redis did not answer within {PATIENCE:?}:\n{}", self.group.log_tail(NAME));
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The loopback port with TLS.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The loopback port without TLS.
    pub fn plain_port(&self) -> u16 {
        self.plain
    }

    /// The certificate of the authority, as PEM.
    pub fn ca(&self) -> String {
        self.authority.pem()
    }

    /// Runs a command as a user that may do everything, and gives what redis-cli prints of the reply. Blocks.
    pub fn command(&self, words: &[&str]) -> Result<String> {
        let output = self.cli(ROOT, words)?;
        ensure!(output.status.success(), "redis-cli: {}{}", text(&output.stdout), text(&output.stderr));
        Ok(text(&output.stdout))
    }

    /// Whether a user logs in with this password, as redis-cli sees it. Blocks.
    pub fn accepts(&self, user: &str, password: &str) -> Result<bool> {
        // The login is the command itself: redis-cli would go on without it.
        let output = self.cli(ROOT, &["AUTH", user, password])?;
        let said = text(&output.stdout) + &text(&output.stderr);
        ensure!(said.contains("WRONGPASS") || said.trim() == "OK", "redis-cli: {said}");
        Ok(said.trim() == "OK")
    }

    fn cli(&self, [user, password]: [&str; 2], words: &[&str]) -> Result<Output> {
        let mut cli = self.programs.command("redis-cli");
        cli.args(["-h", "127.0.0.1", "-p", &self.plain.to_string(), "--user", user, "--no-auth-warning", "-e"])
            .args(words)
            .env("REDISCLI_AUTH", password)
            .stdin(Stdio::null());
        cli.output().context("cannot run redis-cli")
    }

    /// Prints every command that the server runs, as redis-cli's MONITOR sees it, until the server ends. See [`Self::monitored`]. Blocks.
    pub fn monitor(&self) -> Result<()> {
        let mut cli = self.programs.command("redis-cli");
        let [user, password] = ROOT;
        cli.args(["-h", "127.0.0.1", "-p", &self.plain.to_string(), "--user", user, "--no-auth-warning", "MONITOR"])
            .env("REDISCLI_AUTH", password);
        self.group.start("monitor", &cli)?;
        let begun = Instant::now();
        while !self.monitored()?.contains("OK") {
            ensure!(begun.elapsed() < PATIENCE, "MONITOR did not begin within {PATIENCE:?}");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// What MONITOR has printed.
    pub fn monitored(&self) -> Result<String> {
        Ok(text(&fs::read(self.group.log("monitor"))?))
    }

    /// All that the server has logged.
    pub fn log(&self) -> Result<String> {
        Ok(text(&fs::read(self.group.log(NAME))?))
    }

    /// The file with the users, or the configuration file if there is none.
    pub fn stored(&self) -> Result<String> {
        let name = if self.setup.users == Users::InAclFile { "users.acl" } else { "redis.conf" };
        Ok(fs::read_to_string(self.path(name))?)
    }

    /// The certificate of sessions that begin after this call. Blocks.
    pub fn set_certificate(&self, certificate: Certificate) -> Result<()> {
        self.place(certificate)?;
        self.command(&["CONFIG", "SET", "tls-cert-file", &self.path("server.crt").display().to_string()]).map(drop)
    }

    /// Where its files and its log are.
    pub fn dir(&self) -> &Path {
        self.group.dir()
    }

    /// The processes that this value has started.
    pub fn process_ids(&self) -> Vec<u32> {
        self.group.ids()
    }

    /// Ends the server in good order and removes its data. Blocks.
    pub fn stop(self, patience: Duration) -> Result<()> {
        self.group.stop_all(patience)
    }

    /// Kills the server as a power failure does. Blocks.
    pub fn kill(&self) -> Result<()> {
        self.group.stop(NAME, Duration::ZERO)
    }

    /// Starts it again on the same ports, with the users that it has stored. Blocks.
    pub fn revive(&self) -> Result<()> {
        self.run()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_answers_stores_its_users_and_shows_the_certificate_that_it_was_given() {
        if find().unwrap().is_none() {
            return;
        }
        for (users, kept) in [(Users::InAclFile, true), (Users::InConfigFile, true), (Users::InMemory, false)] {
            let server = Redis::start(Setup { users, more: Vec::new() }).unwrap();
            server.command(&["ACL", "SETUSER", "app", "on", ">secret", "+ping"]).unwrap();
            assert!(server.accepts("app", "secret").unwrap() && !server.accepts("app", "other").unwrap());
            let stored = [["ACL", "SAVE"], ["CONFIG", "REWRITE"]].map(|words| server.command(&words).is_ok());
            assert_eq!(stored, [users == Users::InAclFile, users != Users::InMemory], "{users:?}");
            server.kill().unwrap();
            assert!(server.command(&["PING"]).is_err());
            server.revive().unwrap();
            assert_eq!(server.accepts("app", "secret").unwrap(), kept, "{users:?}");
        }
        let server = Redis::start(Setup::default()).unwrap();
        server.monitor().unwrap();
        server.command(&["GET", "watched"]).unwrap();
        for certificate in [Certificate::Expired, Certificate::OtherName, Certificate::OtherAuthority, Certificate::Good] {
            server.set_certificate(certificate).unwrap();
        }
        assert!(server.monitored().unwrap().contains("watched"));
        assert!(server.log().unwrap().contains("Ready to accept connections"));
    }
}
