//! What a server stores of a user, and how it is changed.

use super::mark::{Mark, Standing};
use super::reply::{Reply, ServerError};
use super::session::Session;
use crate::strategy::{Fence, Problem, Refused, Unknown};

/// What counts of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    /// It may log in.
    pub(super) enabled: bool,
    /// It may log in with any password.
    pub(super) without_password: bool,
    /// Hashes of its passwords, in hexadecimal digits, marks among them.
    pub(super) hashes: Vec<String>,
}

/// How many hashes a user may have. Each is a part of the command that changes it.
const MOST_HASHES: usize = 200;

impl User {
    /// `None`: it does not exist.
    pub(super) async fn read(session: &mut Session, name: &str) -> Result<Option<Self>, Problem> {
        match session.must(&["ACL", "GETUSER", name]).await? {
            Reply::Nothing => Ok(None),
            Reply::Array(fields) => Ok(Some(Self::of(&fields).ok_or(Unknown::ProtocolViolation)?)),
            _ => Err(Unknown::ProtocolViolation.into()),
        }
    }

    /// Names and values take turns.
    fn of(fields: &[Reply]) -> Option<Self> {
        let list = |wanted: &str| {
            let mut pairs = fields.chunks_exact(2);
            pairs.find_map(|pair| match pair {
                [Reply::Text(name), Reply::Array(values)] if name == wanted => Some(texts(values)),
                _ => None,
            })
        };
        let (flags, hashes) = (list("flags")??, list("passwords")??);
        let is_hash = |hash: &String| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if hashes.len() > MOST_HASHES || !hashes.iter().all(is_hash) {
            return None;
        }
        let has = |flag: &str| flags.iter().any(|found| found == flag);
        Some(Self { enabled: has("on"), without_password: has("nopass"), hashes })
    }

    /// The latest of its marks counts.
    fn mark(&self) -> Option<Mark> {
        self.hashes.iter().filter_map(|hash| Mark::read(hash)).max()
    }

    /// What its mark says about a version.
    pub(super) fn standing(&self, fence: &Fence) -> Standing {
        self.mark().map_or(Standing::Older, |mark| mark.standing(fence))
    }

    pub(super) fn is_marked(&self) -> bool {
        self.mark().is_some()
    }

    /// Its passwords, without marks.
    pub(super) fn passwords(&self) -> impl Iterator<Item = &String> {
        self.hashes.iter().filter(|hash| Mark::read(hash).is_none())
    }

    fn has_exactly(&self, wanted: &[String]) -> bool {
        self.hashes.len() == wanted.len() && wanted.iter().all(|hash| self.hashes.contains(hash))
    }

    /// Gives the user these hashes in place of those that were read, in one command. `false`: another client has changed the
    /// user since then, and nothing is changed. A user that does not exist is not created: it lacks what is removed.
    pub(super) async fn replace(&self, session: &mut Session, name: &str, wanted: &[String]) -> Result<bool, Problem> {
        if self.has_exactly(wanted) {
            return Ok(true);
        }
        let removed = self.hashes.iter().map(|hash| format!("!{hash}"));
        let words: Vec<String> = removed.chain(wanted.iter().map(|hash| format!("#{hash}"))).collect();
        let command: Vec<&str> = ["ACL", "SETUSER", name].into_iter().chain(words.iter().map(String::as_str)).collect();
        match session.run(&command).await? {
            Ok(Reply::Text(answer)) if answer == "OK" => Ok(true),
            Ok(_) => Err(Unknown::ProtocolViolation.into()),
            Err(ServerError::NoSuchPassword) => Ok(false),
            Err(error) => Err(error.problem()),
        }
    }
}

fn texts(values: &[Reply]) -> Option<Vec<String>> {
    let text = |value: &Reply| match value {
        Reply::Text(text) => Some(text.clone()),
        _ => None,
    };
    values.iter().map(text).collect()
}

/// Makes sure that the session is at a server whose users count: not a replica, and no node of a cluster. Users are not
/// replicated.
pub(super) async fn must_be_primary(session: &mut Session) -> Result<(), Problem> {
    // The only command that says both, and that every user may run.
    let Reply::Array(fields) = session.must(&["HELLO", "2"]).await? else { return Err(Unknown::ProtocolViolation.into()) };
    let text = |wanted: &str| {
        fields.chunks_exact(2).find_map(|pair| match pair {
            [Reply::Text(name), Reply::Text(value)] if name == wanted => Some(value.as_str()),
            _ => None,
        })
    };
    match (text("mode"), text("role")) {
        (Some("cluster"), _) => Err(Refused::ClusterUnsupported.into()),
        (Some("standalone"), Some("master" | "primary")) => Ok(()),
        (Some("standalone"), Some("replica" | "slave")) => Err(Refused::ReadOnly.into()),
        (Some(_), Some(_)) => Err(Refused::Rejected.into()),
        _ => Err(Unknown::ProtocolViolation.into()),
    }
}

/// Stores the users, so that a restart of the server does not bring an earlier password back: in the file of the users if
/// the server has one, else in its configuration file. A server that has neither loses all users anyway.
pub(super) async fn store(session: &mut Session) -> Result<(), Problem> {
    let failed = |error: ServerError| match error.problem() {
        unknown @ Problem::Unknown(_) => unknown,
        Problem::Refused(_) => Refused::NotPersisted.into(),
    };
    match session.run(&["ACL", "SAVE"]).await? {
        Ok(_) => Ok(()),
        Err(ServerError::NoAclFile) => match session.run(&["CONFIG", "REWRITE"]).await? {
            Ok(_) | Err(ServerError::NoConfigFile) => Ok(()),
            Err(error) => Err(failed(error)),
        },
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Reply {
        Reply::Text(text.to_owned())
    }

    #[test]
    fn only_a_description_that_is_whole_is_believed() {
        let hash = super::super::mark::hash("p");
        let of = |flags: &[&str], hashes: Vec<Reply>| {
            let flags = Reply::Array(flags.iter().map(|flag| text(flag)).collect());
            let selectors = Reply::Array(vec![Reply::Array(vec![text("keys"), text("~*")])]);
            User::of(&[
                text("flags"),
                flags,
                text("passwords"),
                Reply::Array(hashes),
                text("commands"),
                text("+@all"),
                text("selectors"),
                selectors,
            ])
        };
        let user = User { enabled: true, without_password: false, hashes: vec![hash.clone()] };
        assert_eq!(of(&["on", "sanitize-payload"], vec![text(&hash)]), Some(user.clone()));
        assert_eq!(of(&["off"], vec![text(&hash)]), Some(User { enabled: false, ..user.clone() }));
        assert_eq!(of(&["on", "nopass"], vec![]), Some(User { without_password: true, hashes: vec![], ..user }));
        let long = "a".repeat(65);
        for hash in ["", "x", "!00", &hash.to_uppercase(), &hash[..63], &long] {
            assert_eq!(of(&["on"], vec![text(hash)]), None, "{hash}");
        }
        assert_eq!(of(&["on"], vec![Reply::Number(1)]), None);
        assert_eq!(of(&["on"], vec![text(&hash); MOST_HASHES + 1]), None);
        assert_eq!(User::of(&[text("flags"), Reply::Array(vec![text("on")])]), None);
        assert_eq!(User::of(&[]), None);
    }
}
