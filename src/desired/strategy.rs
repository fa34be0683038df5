//! `spec.rotation.postgres`: the target that has to accept a value before it becomes current.

use std::ops::RangeInclusive;

use jiff::SignedDuration;

use crate::api::{PostgresSpec, PostgresTlsMode, PostgresUsers, RotatedSecretSpec, StagedAlternation, StagedPostgres, default_suffix};
use crate::schedule::parse_duration;
use crate::value::{Turns, USERNAME};

/// What an interval between two checks may be. A login counts towards the limits of the server, and what nobody sees for a
/// week is seen by the next rotation.
const CHECK_INTERVALS: RangeInclusive<SignedDuration> = SignedDuration::from_mins(5)..=SignedDuration::from_hours(168);

/// The target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strategy {
    /// The password of one user in PostgreSQL.
    PostgresSingleUser(Box<PostgresServer>),
    /// The passwords of two users in PostgreSQL that take turns.
    PostgresAlternatingUsers(Box<PostgresServer>, Alternation),
}

/// A PostgreSQL server, as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresServer {
    /// Name or address, as written: the certificate is for it.
    pub host: String,
    /// The name to resolve.
    pub address: String,
    /// Whether it is a Service of the namespace itself.
    pub own_service: bool,
    pub port: u16,
    pub database: String,
    pub tls: PostgresTlsMode,
    pub ca: Option<String>,
    /// The query of `verify`.
    pub query: Option<String>,
    /// How often a login shows whether the server accepts the current value; `None`: never.
    pub check_interval: Option<SignedDuration>,
}

/// Two users that take turns, and who changes their passwords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternation {
    /// The RotatedSecret of the administrator.
    pub admin: String,
    pub turns: Turns,
}

impl Strategy {
    /// The target of another object of this namespace.
    pub fn of(spec: &PostgresSpec, namespace: &str) -> Self {
        Self::parse(spec, None, namespace)
    }

    /// The target that a spec declares, for an object of this namespace.
    pub(super) fn declared(spec: &RotatedSecretSpec, namespace: &str) -> Option<Self> {
        let user = spec.value.as_ref().and_then(|value| value.data.get(USERNAME));
        Some(Self::parse(spec.rotation.as_ref()?.postgres.as_ref()?, user.map(String::as_str), namespace))
    }

    /// `user`: the declared one.
    fn parse(spec: &PostgresSpec, user: Option<&str>, namespace: &str) -> Self {
        let alternating = (spec.users == PostgresUsers::AlternatingUsers).then(|| {
            let suffix = spec.alternate.as_ref().map_or_else(default_suffix, |alternate| alternate.suffix.clone());
            let base = user.unwrap_or_default().to_owned();
            let admin_name = spec.admin_ref.as_ref().map(|admin| admin.name.clone()).unwrap_or_default();
            StagedAlternation { admin_name, twin: format!("{base}{suffix}"), base }
        });
        let staged = StagedPostgres {
            host: spec.host.clone(),
            port: spec.port,
            database: spec.database.clone(),
            tls_mode: spec.tls.mode,
            ca_bundle: spec.tls.ca_bundle.clone(),
            alternating,
        };
        let mut strategy = Self::recorded(&staged, namespace);
        let (Self::PostgresSingleUser(server) | Self::PostgresAlternatingUsers(server, _)) = &mut strategy;
        server.query = spec.verify.as_ref().map(|verify| verify.sql.clone());
        server.check_interval = check_interval(&spec.check_interval).ok().flatten();
        strategy
    }

    /// The target that the status records, for an object of this namespace. The text is untrusted: whether the namespace may
    /// use the host is decided as for a declared one.
    pub fn recorded(staged: &StagedPostgres, namespace: &str) -> Self {
        let (address, own_service) = match own_service(&staged.host, namespace) {
            Some(address) => (address, true),
            None => (staged.host.clone(), false),
        };
        let server = Box::new(PostgresServer {
            host: staged.host.clone(),
            address,
            own_service,
            port: u16::try_from(staged.port).unwrap_or_default(),
            database: staged.database.clone(),
            tls: staged.tls_mode,
            ca: staged.ca_bundle.clone(),
            query: None,
            check_interval: None,
        });
        match &staged.alternating {
            None => Self::PostgresSingleUser(server),
            Some(StagedAlternation { admin_name, base, twin }) => {
                let turns = Turns { base: base.clone(), twin: twin.clone() };
                Self::PostgresAlternatingUsers(server, Alternation { admin: admin_name.clone(), turns })
            }
        }
    }

    /// What the status records of it: everything that is needed to set an earlier value back.
    pub fn record(&self) -> StagedPostgres {
        let server = self.server();
        StagedPostgres {
            host: server.host.clone(),
            port: i32::from(server.port),
            database: server.database.clone(),
            tls_mode: server.tls,
            ca_bundle: server.ca.clone(),
            alternating: self.alternation().map(|Alternation { admin, turns }| StagedAlternation {
                admin_name: admin.clone(),
                base: turns.base.clone(),
                twin: turns.twin.clone(),
            }),
        }
    }

    /// The server.
    pub fn server(&self) -> &PostgresServer {
        let (Self::PostgresSingleUser(server) | Self::PostgresAlternatingUsers(server, _)) = self;
        server
    }

    /// The users that take turns; `None`: there is one user.
    pub fn alternation(&self) -> Option<&Alternation> {
        match self {
            Self::PostgresSingleUser(_) => None,
            Self::PostgresAlternatingUsers(_, alternation) => Some(alternation),
        }
    }

    /// How often a login shows whether the target accepts the current value; `None`: never.
    pub fn check_interval(&self) -> Option<SignedDuration> {
        self.server().check_interval
    }

    /// Its name in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::PostgresSingleUser(_) => "PostgresSingleUser",
            Self::PostgresAlternatingUsers(..) => "PostgresAlternatingUsers",
        }
    }

    /// `host:port`, for the administrator's list and for messages.
    pub fn host_and_port(&self) -> String {
        let server = self.server();
        format!("{}:{}", server.host, server.port)
    }

    /// The Service of the namespace that the host names; `None`: it is another host.
    pub fn own_service(&self) -> Option<&str> {
        let server = self.server();
        server.address.split('.').next().filter(|_| server.own_service)
    }

    pub fn port(&self) -> u16 {
        self.server().port
    }

    /// Whether another target is the same server: a credential for one may be sent to the other.
    pub fn same_server(&self, other: &Self) -> bool {
        let (one, other) = (self.server(), other.server());
        (&one.address, one.port, one.own_service) == (&other.address, other.port, other.own_service)
    }
}

/// The interval between two checks; `None`: there are none. `Err`: it is not one that the field may have.
pub(super) fn check_interval(text: &str) -> Result<Option<SignedDuration>, ()> {
    let interval = parse_duration(text).map_err(drop)?;
    if interval.is_zero() {
        return Ok(None);
    }
    (CHECK_INTERVALS.contains(&interval)).then_some(Some(interval)).ok_or(())
}

/// The name of a Service of the namespace as it resolves in every pod: `db`, `db.shop`, `db.shop.svc` and
/// `db.shop.svc.cluster.local` are one. `None`: it is another host.
fn own_service(host: &str, namespace: &str) -> Option<String> {
    let mut labels = host.split('.');
    let name = labels.next().filter(|name| name.starts_with(|first: char| first.is_ascii_lowercase()) && !host.contains(':'))?;
    let rest: Vec<&str> = labels.collect();
    let own = match rest.as_slice() {
        [] => true,
        [first] | [first, "svc"] | [first, "svc", "cluster", "local"] => *first == namespace,
        _ => false,
    };
    own.then(|| format!("{name}.{namespace}.svc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_of_the_namespace_is_recognized_in_every_notation_and_nothing_else_is() {
        for host in ["db", "db.shop", "db.shop.svc", "db.shop.svc.cluster.local"] {
            assert_eq!(own_service(host, "shop").as_deref(), Some("db.shop.svc"), "{host}");
        }
        for host in [
            "db.other",
            "db.other.svc",
            "db.shop.svc.example.com",
            "db.shop.example",
            "shop",
            "10.0.0.7",
            "::1",
            "1db",
            "localhost.shop.svc.evil",
            "db.shop.svc.cluster",
            "kube-system.svc",
        ] {
            let own = own_service(host, "shop");
            assert_eq!(own, (host == "shop").then(|| "shop.shop.svc".to_owned()), "{host}");
        }
    }

    #[test]
    fn a_check_comes_every_five_minutes_at_most_and_every_week_at_least_or_never() {
        for (text, interval) in [
            ("0s", Ok(None)),
            ("0h", Ok(None)),
            ("5m", Ok(Some(300))),
            ("1h", Ok(Some(3600))),
            ("1h30m", Ok(Some(5400))),
            ("168h", Ok(Some(604_800))),
            ("299s", Err(())),
            ("168h0m1s", Err(())),
            ("1d", Err(())),
            ("", Err(())),
        ] {
            let found = check_interval(text).map(|interval| interval.map(|interval| interval.as_secs()));
            assert_eq!(found, interval, "{text}");
        }
        assert_eq!(check_interval(&crate::api::default_check_interval()), Ok(Some(SignedDuration::from_hours(1))));
    }
}
