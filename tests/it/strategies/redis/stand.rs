//! A user of a test on a Redis server.

use anyhow::Result;
use jiff::Timestamp;
use rotated_secrets::strategy::redis::{Admin, Server, TwoPasswords};
use rotated_secrets::strategy::{Credential, Endpoint, Fence, Problem, Refused};
use sha2::{Digest as _, Sha256};
use testkit::redis::Redis;

use super::super::stand::{credential, endpoint};

/// Passwords, each a word that occurs nowhere else.
pub(super) const OLD: &str = "canaryOld'7fK2$x9";
pub(super) const NEW: &str = "canaryNew\"4mQ8\\z1";
pub(super) const THIRD: &str = "canaryThird-0pW3:v6";
pub(super) const FOURTH: &str = "canaryFourth 2bN5;c7";
pub(super) const ADMIN: &str = "canaryAdmin-8wL1;q5";
pub(super) const ALL: [&str; 4] = [OLD, NEW, THIRD, FOURTH];

/// What docs/rotation-redis.md gives the administrator.
pub(super) const RIGHTS: [&str; 4] = ["+acl|setuser", "+acl|getuser", "+acl|save", "+config|rewrite"];

pub(super) struct Stand<'r> {
    pub(super) redis: &'r Redis,
    pub(super) user: String,
    pub(super) admin: Credential,
    pub(super) server: Server,
}

/// The server at this port, verified.
pub(super) fn server(port: u16, ca: String) -> Server {
    Server { endpoint: endpoint(port, ca) }
}

/// The same server, reached in another way.
pub(super) fn reached(server: &Server, change: impl FnOnce(&mut Endpoint)) -> Server {
    let mut changed = server.clone();
    change(&mut changed.endpoint);
    changed
}

/// The version that was created at this second.
pub(super) fn version(second: i64) -> Fence {
    Fence { version: format!("version-{second}"), created: Timestamp::from_second(second).unwrap() }
}

pub(super) fn refused<T>(refused: Refused) -> Result<T, Problem> {
    Err(Problem::Refused(refused))
}

/// As the server stores it.
pub(super) fn hash(password: &str) -> String {
    Sha256::digest(password).iter().fold(String::new(), |hash, byte| format!("{hash}{byte:02x}"))
}

/// The strategy with an administrator.
pub(super) fn by<'s>(server: &'s Server, admin: &'s Credential) -> TwoPasswords<'s> {
    TwoPasswords { server, admin: Some(Admin { credential: admin, bound: false }) }
}

impl Stand<'static> {
    /// On the server that all tests share.
    pub(super) fn new(user: &str) -> Result<Self> {
        Stand::at(Redis::shared()?, user)
    }
}

impl<'r> Stand<'r> {
    /// A user that logs in with [`OLD`] and may read one key, and an administrator.
    pub(super) fn at(redis: &'r Redis, user: &str) -> Result<Self> {
        let admin = format!("{user}_admin");
        redis.command(&[["ACL", "SETUSER", &admin, "reset", "on", &format!("#{}", hash(ADMIN))].as_slice(), &RIGHTS].concat())?;
        let stand = Self { redis, user: user.to_owned(), admin: credential(&admin, ADMIN), server: server(redis.port(), redis.ca()) };
        stand.reset(&[OLD])?;
        Ok(stand)
    }

    /// The user as it is at the start, with these passwords.
    pub(super) fn reset(&self, passwords: &[&str]) -> Result<()> {
        let hashes: Vec<String> = passwords.iter().map(|password| format!("#{}", hash(password))).collect();
        let rules = ["ACL", "SETUSER", &self.user, "reset", "on", "~app:*", "+get"];
        self.redis.command(&rules.into_iter().chain(hashes.iter().map(String::as_str)).collect::<Vec<_>>()).map(drop)
    }

    pub(super) fn set(&self, rules: &[&str]) -> Result<()> {
        self.redis.command(&[["ACL", "SETUSER", &self.user].as_slice(), rules].concat()).map(drop)
    }

    pub(super) fn with(&self, password: &str) -> Credential {
        credential(&self.user, password)
    }

    pub(super) fn strategy(&self) -> TwoPasswords<'_> {
        by(&self.server, &self.admin)
    }

    /// Which of the passwords the server accepts, asked by other means than ours.
    pub(super) fn accepted(&self) -> Result<Vec<&'static str>> {
        let mut accepted = Vec::new();
        for password in ALL {
            if self.redis.accepts(&self.user, password)? {
                accepted.push(password);
            }
        }
        Ok(accepted)
    }

    /// What the server shows of the user.
    pub(super) fn shown(&self) -> Result<String> {
        self.redis.command(&["ACL", "GETUSER", &self.user])
    }
}
