//! What differs between MySQL and MariaDB, and what their errors mean.

use crate::strategy::{Problem, Refused, Unknown};

/// Whose server it is. Told by what it says of itself, never by a version number: both have numbers that the other one had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    MySql,
    MariaDb,
}

impl Dialect {
    /// `version`: of `SELECT VERSION()`.
    pub(super) fn of(version: &str) -> Self {
        if version.to_ascii_lowercase().contains("mariadb") { Self::MariaDb } else { Self::MySql }
    }
}

/// What an error during the login means.
/// <https://dev.mysql.com/doc/mysql-errors/9.0/en/server-error-reference.html>, <https://mariadb.com/kb/en/mariadb-error-code-reference/>
pub(super) fn of_login(code: u16) -> Problem {
    match code {
        1045 | 1698 => Refused::PasswordRefused.into(),
        // No right to the database, from this address, too many errors, locked, expired.
        1044 | 1130 | 1129 | 3118 | 3955 | 4151 | 1862 | 1820 => Refused::LoginNotPermitted.into(),
        1049 => Refused::DatabaseNotFound.into(),
        1251 | 1524 => Refused::AuthenticationUnsupported.into(),
        3159 => Refused::TlsRequired.into(),
        _ => general(code),
    }
}

/// An option of the server, such as `read_only`, prevents the statement.
pub(super) const OPTION_PREVENTS: u16 = 1290;

/// The password after REPLACE is not the primary one of the user.
pub(super) const NOT_THE_PRIMARY_PASSWORD: u16 = 3891;

/// What an error of a statement means.
pub(super) fn of_statement(code: u16) -> Problem {
    match code {
        1044 | 1142 | 1227 | 1396 | 1410 => Refused::NotPermitted.into(),
        OPTION_PREVENTS | 1792 | 1836 => Refused::ReadOnly.into(),
        1820 | 1862 => Refused::LoginNotPermitted.into(),
        3892 => Refused::CurrentPasswordRequired.into(),
        NOT_THE_PRIMARY_PASSWORD => Refused::Superseded.into(),
        1205 | 1969 | 3024 => Unknown::Timeout.into(),
        _ => general(code),
    }
}

fn general(code: u16) -> Problem {
    match code {
        1040 | 1203 | 1226 => Unknown::ConnectionLimit.into(),
        // Shutdown, offline mode, out of memory, disk or other resources, killed, deadlock.
        1053 | 3032 | 1021 | 1037 | 1041 | 1135 | 1213 | 1317 | 1927 | 3169 => Unknown::ServerUnavailable.into(),
        // Network errors that the server noticed, and a session that was idle.
        1042 | 1043 | 1152..=1161 | 1184 | 4031 => Unknown::ConnectionLost.into(),
        0 => Unknown::ProtocolViolation.into(),
        _ => Refused::Rejected.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dialect_is_told_by_the_name_and_not_by_the_number() {
        for (version, dialect) in [
            ("8.0.36", Dialect::MySql),
            ("9.7.0", Dialect::MySql),
            ("10.11.6-log", Dialect::MySql),
            ("10.11.19-MariaDB-0+deb12u1", Dialect::MariaDb),
            ("5.5.5-10.11.6-MariaDB", Dialect::MariaDb),
            ("8.0.28-mariadb-compatible", Dialect::MariaDb),
        ] {
            assert_eq!(Dialect::of(version), dialect, "{version}");
        }
    }

    #[test]
    fn a_wrong_password_alone_is_refused_as_one() {
        for code in 0..=5000_u16 {
            let wrong = of_login(code) == Refused::PasswordRefused.into();
            assert_eq!(wrong, [1045, 1698].contains(&code), "{code}");
            assert_ne!(of_statement(code), Refused::PasswordRefused.into(), "{code}");
        }
        assert_eq!(of_login(0), Unknown::ProtocolViolation.into());
    }
}
