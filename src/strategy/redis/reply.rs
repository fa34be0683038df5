//! What a server replies, without its texts.

use crate::strategy::{Problem, Refused, Unknown};

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    Text(String),
    Number(i64),
    Nothing,
    Array(Vec<Self>),
    Error(ServerError),
}

/// What an error means. Its text never leaves this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerError {
    /// The password is wrong, or the user does not exist or is disabled.
    WrongPassword,
    /// The user may not run the command.
    NotPermitted,
    /// The server lets nobody in from here (protected mode).
    Denied,
    /// All connections are taken.
    ConnectionLimit,
    /// The server loads its data, waits for its primary, or runs a script.
    Unavailable,
    /// The server is a replica.
    ReadOnly,
    /// A password that is to be removed is not there.
    NoSuchPassword,
    /// Users are not stored in a file of their own.
    NoAclFile,
    /// The server has no configuration file.
    NoConfigFile,
    /// Anything else: the command is not known, or not as we send it.
    Other,
}

impl ServerError {
    /// An error begins with a code in capitals. Most have the code `ERR`, and only their text tells them apart.
    pub(super) fn read(line: &str) -> Self {
        let (code, text) = line.split_once(' ').unwrap_or((line, ""));
        match code {
            "WRONGPASS" => Self::WrongPassword,
            "NOPERM" | "NOAUTH" => Self::NotPermitted,
            "DENIED" => Self::Denied,
            "LOADING" | "MASTERDOWN" | "BUSY" | "OOM" | "CLUSTERDOWN" | "TRYAGAIN" => Self::Unavailable,
            "READONLY" => Self::ReadOnly,
            _ if text.contains("max number of clients") => Self::ConnectionLimit,
            _ if text.contains("password you are trying to remove") => Self::NoSuchPassword,
            _ if text.contains("not configured to use an ACL file") => Self::NoAclFile,
            _ if text.contains("running without a config file") => Self::NoConfigFile,
            _ => Self::Other,
        }
    }

    /// The answer to a command other than a login.
    pub(super) fn problem(self) -> Problem {
        match self {
            Self::WrongPassword => Refused::PasswordRefused.into(),
            Self::NotPermitted => Refused::NotPermitted.into(),
            Self::Denied => Refused::LoginNotPermitted.into(),
            Self::ConnectionLimit => Unknown::ConnectionLimit.into(),
            Self::Unavailable => Unknown::ServerUnavailable.into(),
            Self::ReadOnly => Refused::ReadOnly.into(),
            Self::NoSuchPassword | Self::NoAclFile | Self::NoConfigFile | Self::Other => Refused::Rejected.into(),
        }
    }

    /// The answer to a login. A server before Redis 6 has no users, and says that the command has too many words.
    pub(super) fn of_login(self) -> Problem {
        match self {
            Self::NoSuchPassword | Self::NoAclFile | Self::NoConfigFile | Self::Other | Self::NotPermitted => {
                Refused::AuthenticationUnsupported.into()
            }
            other => other.problem(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart_as_redis_and_valkey_write_them() {
        for (line, expected) in [
            ("WRONGPASS invalid username-password pair or user is disabled.", ServerError::WrongPassword),
            ("NOPERM this user has no permissions to run the 'acl|setuser' command", ServerError::NotPermitted),
            ("NOPERM User app has no permissions to run the 'acl|setuser' command", ServerError::NotPermitted),
            ("NOAUTH Authentication required.", ServerError::NotPermitted),
            ("DENIED Redis is running in protected mode because protected mode is enabled", ServerError::Denied),
            ("ERR max number of clients reached", ServerError::ConnectionLimit),
            ("ERR max number of clients + cluster connections reached", ServerError::ConnectionLimit),
            ("LOADING Redis is loading the dataset in memory", ServerError::Unavailable),
            ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", ServerError::Unavailable),
            ("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", ServerError::Unavailable),
            ("READONLY You can't write against a read only replica.", ServerError::ReadOnly),
            (
                "ERR Error in ACL SETUSER modifier '!00': The password you are trying to remove from the user does not exist",
                ServerError::NoSuchPassword,
            ),
            ("ERR This Redis instance is not configured to use an ACL file. You may want to", ServerError::NoAclFile),
            ("ERR This Valkey instance is not configured to use an ACL file. You may want to", ServerError::NoAclFile),
            ("ERR The server is running without a config file", ServerError::NoConfigFile),
            ("ERR unknown command 'ACL', with args beginning with: ", ServerError::Other),
            ("ERR wrong number of arguments for 'auth' command", ServerError::Other),
            ("", ServerError::Other),
        ] {
            assert_eq!(ServerError::read(line), expected, "{line}");
        }
        assert_eq!(ServerError::Other.of_login(), Refused::AuthenticationUnsupported.into());
        assert_eq!(ServerError::WrongPassword.of_login(), Refused::PasswordRefused.into());
    }
}
