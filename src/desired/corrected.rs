//! The target of a staged version after a correction of the spec.

use super::strategy::{Alternation, Kind, Strategy};

impl Strategy {
    /// The recorded target of a version that is abandoned, as the spec says now how to get there. The server stays the one that
    /// may have the version, and so do its users. How the server is verified, the database and the administrator can have
    /// been wrong when the version was staged.
    #[must_use]
    pub fn corrected(self, declared: &Self) -> Self {
        // The key of the same receiver, or the template of the Jobs.
        if declared.same_receiver(&self) {
            return declared.clone();
        }
        if declared.runs_jobs() || !declared.needs_credential() || !declared.same_server(&self) {
            return self;
        }
        let of_recorded_users =
            |recorded: &Alternation, declared: &Alternation| Alternation { admin: declared.admin.clone(), turns: recorded.turns.clone() };
        let kind = match (&self.kind, &declared.kind) {
            (Kind::PostgresAlternatingUsers { alternation: recorded, .. }, Kind::PostgresAlternatingUsers { database, alternation }) => {
                Kind::PostgresAlternatingUsers { database: database.clone(), alternation: of_recorded_users(recorded, alternation) }
            }
            (Kind::MysqlAlternatingUsers { alternation: recorded, .. }, Kind::MysqlAlternatingUsers { database, alternation }) => {
                Kind::MysqlAlternatingUsers { database: database.clone(), alternation: of_recorded_users(recorded, alternation) }
            }
            (Kind::PostgresSingleUser { .. }, Kind::PostgresSingleUser { .. })
            | (Kind::MysqlSingleUser { .. }, Kind::MysqlSingleUser { .. })
            | (Kind::MysqlDualPassword { .. }, Kind::MysqlDualPassword { .. })
            | (Kind::RedisTwoPasswords { .. }, Kind::RedisTwoPasswords { .. }) => declared.kind.clone(),
            _ => self.kind.clone(),
        };
        Self { server: declared.server.clone(), kind, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::TlsMode;
    use crate::desired::fixture;
    use crate::value::Turns;

    fn pair(admin: &str, twin: &str) -> Strategy {
        let turns = Turns { base: "app".to_owned(), twin: twin.to_owned() };
        let kind =
            Kind::PostgresAlternatingUsers { database: "app".to_owned(), alternation: Alternation { admin: admin.to_owned(), turns } };
        Strategy { kind, ..fixture::strategy() }
    }

    #[test]
    fn the_server_and_its_users_stay_and_the_way_to_them_is_that_of_the_spec() {
        let recorded = pair("super", "app_clone");
        let mut declared = pair("chief", "app_other");
        declared.server.ca = Some("another authority".to_owned());
        let corrected = recorded.clone().corrected(&declared);
        assert_eq!((corrected.admin(), &corrected.server.ca), (Some("chief"), &declared.server.ca));
        assert_eq!(corrected.alternation().map(|alternation| alternation.turns.twin.as_str()), Some("app_clone"));
        // Another host is another server.
        let mut elsewhere = declared.clone();
        "other.shop.svc".clone_into(&mut elsewhere.server.address);
        assert_eq!(recorded.clone().corrected(&elsewhere), recorded);
        // One user now: the two recorded ones stay, and so does their administrator.
        let mut single = fixture::strategy();
        single.server.tls = TlsMode::VerifyCa;
        let corrected = recorded.clone().corrected(&single);
        assert_eq!((corrected.kind, corrected.server.tls), (recorded.kind, TlsMode::VerifyCa));
    }
}
