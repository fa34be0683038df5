//! `spec.rotation.postgres`, `mysql`, `redis`, `webhook` and `job`: the target that has to accept a value before it becomes current.

use std::ops::RangeInclusive;

use jiff::SignedDuration;

use strum::IntoStaticStr;

use super::audience::is_for_receiver;
use super::job::{job_timeout, recorded_timeout};
use super::location::Location;
use super::target_spec::{of_job, of_mysql, of_postgres, of_redis, of_webhook, own_service};
use crate::api::{
    MysqlUsers, RotatedSecretSpec, RotationSpec, StagedAlternation, StagedJob, StagedMysql, StagedPostgres, StagedRedis, StagedTarget,
    StagedToken, StagedWebhook, TlsMode,
};
use crate::schedule::parse_duration;
use crate::value::{Turns, USERNAME};

/// What an interval between two checks may be. A login counts towards the limits of the server, and what nobody sees for a
/// week is seen by the next rotation.
const CHECK_INTERVALS: RangeInclusive<SignedDuration> = SignedDuration::from_mins(5)..=SignedDuration::from_hours(168);

/// The target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strategy {
    /// The server whose users change. Jobs have none that the operator knows.
    pub server: TargetServer,
    /// What clients connect to instead, a pooler or a proxy; `None`: the server.
    pub pooler: Option<TargetServer>,
    pub kind: Kind,
    /// The query of `verify`.
    pub query: Option<String>,
    /// How often a login shows whether the server accepts the current value; `None`: never.
    pub check_interval: Option<SignedDuration>,
}

/// A server, as declared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TargetServer {
    /// Name or address, as written: the certificate is for it.
    pub host: String,
    /// The name to resolve.
    pub address: String,
    /// Whether it is a Service of the namespace itself.
    pub own_service: bool,
    pub port: u16,
    pub tls: TlsMode,
    pub ca: Option<String>,
}

/// What the server is, and whose password changes. The name is that in metrics.
#[derive(Debug, Clone, PartialEq, Eq, IntoStaticStr)]
pub enum Kind {
    /// The password of one user in PostgreSQL.
    PostgresSingleUser { database: String },
    /// The passwords of two users in PostgreSQL that take turns.
    PostgresAlternatingUsers { database: String, alternation: Alternation },
    /// The password of one user in MySQL or MariaDB.
    MysqlSingleUser { database: Option<String> },
    /// The two passwords of one user in MySQL.
    MysqlDualPassword { database: Option<String> },
    /// The passwords of two users in MySQL or MariaDB that take turns.
    MysqlAlternatingUsers { database: Option<String>, alternation: Alternation },
    /// The two passwords of one user in Redis. `admin`: the RotatedSecret of the administrator; `None`: the user itself.
    RedisTwoPasswords { admin: Option<String> },
    /// What a receiver takes to a target of its own.
    Webhook { url: String, proof: ReceiverProof },
    /// What Jobs take to a target of their own. `template`: the CronJob that they are made from.
    Job { template: String, timeout: SignedDuration },
}

/// How a receiver knows the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiverProof {
    /// By a signature with the key that this RotatedSecret has.
    Key(String),
    /// By a token of this ServiceAccount.
    Token { account: String, audience: String },
}

/// Two users that take turns, and who changes their passwords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternation {
    /// The RotatedSecret of the administrator.
    pub admin: String,
    pub turns: Turns,
}

impl Alternation {
    fn record(&self) -> StagedAlternation {
        let Self { admin, turns: Turns { base, twin } } = self;
        StagedAlternation { admin_name: admin.clone(), base: base.clone(), twin: twin.clone() }
    }

    fn recorded(staged: &StagedAlternation) -> Self {
        let StagedAlternation { admin_name, base, twin } = staged.clone();
        Self { admin: admin_name, turns: Turns { base, twin } }
    }
}

impl Strategy {
    /// The target of another object of this namespace.
    pub fn of(rotation: &RotationSpec, namespace: &str) -> Option<Self> {
        Self::parse(rotation, None, namespace)
    }

    /// The target that a spec declares, for an object of this namespace.
    pub(super) fn declared(spec: &RotatedSecretSpec, namespace: &str) -> Option<Self> {
        let user = spec.value.as_ref().and_then(|value| value.data.get(USERNAME));
        Self::parse(spec.rotation.as_ref()?, user.map(String::as_str), namespace)
    }

    /// `user`: the declared one.
    fn parse(rotation: &RotationSpec, user: Option<&str>, namespace: &str) -> Option<Self> {
        let (staged, verify, interval, pooler) = match rotation {
            RotationSpec { postgres: Some(spec), .. } => {
                let pooler = spec.direct_host.is_some().then_some((&spec.host, spec.port));
                (StagedTarget::Postgres(of_postgres(spec, user)), spec.verify.as_ref(), &spec.check_interval, pooler)
            }
            RotationSpec { mysql: Some(spec), .. } => {
                let pooler = spec.direct_host.is_some().then_some((&spec.host, spec.port));
                (StagedTarget::Mysql(of_mysql(spec, user)), spec.verify.as_ref(), &spec.check_interval, pooler)
            }
            RotationSpec { redis: Some(spec), .. } => (StagedTarget::Redis(of_redis(spec)), None, &spec.check_interval, None),
            RotationSpec { webhook: Some(spec), .. } => (StagedTarget::Webhook(of_webhook(spec)), None, &spec.check_interval, None),
            RotationSpec { job: Some(spec), .. } => (StagedTarget::Job(of_job(spec)), None, &spec.check_interval, None),
            _ => return None,
        };
        let mut strategy = Self::recorded(&staged, namespace);
        if let (Kind::Job { timeout, .. }, Some(spec)) = (&mut strategy.kind, &rotation.job) {
            *timeout = job_timeout(&spec.timeout).unwrap_or(*timeout);
        }
        let TargetServer { tls, ca, .. } = &strategy.server;
        Some(Self {
            query: verify.map(|verify| verify.sql.clone()),
            check_interval: check_interval(interval).ok().flatten(),
            pooler: pooler.map(|(host, port)| TargetServer::new(host, port, *tls, ca.as_ref(), namespace)),
            ..strategy
        })
    }

    /// The target that the status records, for an object of this namespace. The text is untrusted: whether the namespace may
    /// use the host is decided as for a declared one.
    pub fn recorded(staged: &StagedTarget, namespace: &str) -> Self {
        let server = match staged {
            StagedTarget::Postgres(StagedPostgres { host, port, tls_mode, ca_bundle, .. })
            | StagedTarget::Mysql(StagedMysql { host, port, tls_mode, ca_bundle, .. })
            | StagedTarget::Redis(StagedRedis { host, port, tls_mode, ca_bundle, .. }) => {
                TargetServer::new(host, *port, *tls_mode, ca_bundle.as_ref(), namespace)
            }
            StagedTarget::Webhook(StagedWebhook { url, ca_bundle, .. }) => {
                let Location { host, port, .. } = Location::parse(url).unwrap_or_default();
                TargetServer::new(&host, i32::from(port), TlsMode::VerifyFull, ca_bundle.as_ref(), namespace)
            }
            StagedTarget::Job(StagedJob { .. }) => TargetServer::new("", 0, TlsMode::VerifyFull, None, namespace),
        };
        Self { server, pooler: None, kind: Kind::of(staged), query: None, check_interval: None }
    }

    /// What the status records of it: everything that is needed to set an earlier value back.
    pub fn record(&self) -> StagedTarget {
        let TargetServer { host, port, tls, ca, .. } = &self.server;
        let (host, port, tls_mode, ca_bundle) = (host.clone(), i32::from(*port), *tls, ca.clone());
        let mysql = |database: &Option<String>, users| StagedMysql {
            host: host.clone(),
            port,
            database: database.clone(),
            users,
            tls_mode,
            ca_bundle: ca_bundle.clone(),
            alternating: self.alternation().map(Alternation::record),
        };
        match &self.kind {
            Kind::PostgresSingleUser { database } | Kind::PostgresAlternatingUsers { database, .. } => {
                let alternating = self.alternation().map(Alternation::record);
                StagedTarget::Postgres(StagedPostgres { host, port, database: database.clone(), tls_mode, ca_bundle, alternating })
            }
            Kind::MysqlSingleUser { database } => StagedTarget::Mysql(mysql(database, MysqlUsers::SingleUser)),
            Kind::MysqlDualPassword { database } => StagedTarget::Mysql(mysql(database, MysqlUsers::DualPassword)),
            Kind::MysqlAlternatingUsers { database, .. } => StagedTarget::Mysql(mysql(database, MysqlUsers::AlternatingUsers)),
            Kind::RedisTwoPasswords { admin } => {
                StagedTarget::Redis(StagedRedis { host, port, admin_name: admin.clone(), tls_mode, ca_bundle })
            }
            Kind::Webhook { url, proof } => {
                let (signing_key_name, service_account_token) = match proof {
                    ReceiverProof::Key(key) => (Some(key.clone()), None),
                    ReceiverProof::Token { account, audience } => {
                        (None, Some(StagedToken { name: account.clone(), audience: audience.clone() }))
                    }
                };
                StagedTarget::Webhook(StagedWebhook { url: url.clone(), signing_key_name, service_account_token, ca_bundle })
            }
            Kind::Job { template, .. } => StagedTarget::Job(StagedJob { template_name: template.clone() }),
        }
    }

    /// The users that take turns; `None`: there is one user.
    pub fn alternation(&self) -> Option<&Alternation> {
        match &self.kind {
            Kind::PostgresAlternatingUsers { alternation, .. } | Kind::MysqlAlternatingUsers { alternation, .. } => Some(alternation),
            _ => None,
        }
    }

    /// The RotatedSecret of the administrator; `None`: the user changes its own password.
    pub fn admin(&self) -> Option<&str> {
        match &self.kind {
            Kind::RedisTwoPasswords { admin } => admin.as_deref(),
            _ => self.alternation().map(|alternation| &*alternation.admin),
        }
    }

    /// The other RotatedSecret that is needed to call the target.
    pub fn helper(&self) -> Option<&str> {
        match &self.kind {
            Kind::Webhook { proof: ReceiverProof::Key(key), .. } => Some(key),
            _ => self.admin(),
        }
    }

    /// Whether the value has a user and a password that the server knows. A receiver and a Job know what they get.
    pub fn needs_credential(&self) -> bool {
        !matches!(self.kind, Kind::Webhook { .. } | Kind::Job { .. })
    }

    /// Whether the server refuses the current value from `Apply` until the staged one is current: one user with one password.
    /// What a receiver or a Job does is not known.
    pub fn replaces(&self) -> bool {
        matches!(self.kind, Kind::PostgresSingleUser { .. } | Kind::MysqlSingleUser { .. } | Kind::Webhook { .. } | Kind::Job { .. })
    }

    /// Whether the server accepts the previous credential beside the current one, until that is retired.
    pub fn overlaps(&self) -> bool {
        !self.replaces()
    }

    /// Its name in metrics.
    pub fn name(&self) -> &'static str {
        (&self.kind).into()
    }

    /// The field of `spec.rotation` that declares it.
    pub fn field(&self) -> &'static str {
        match self.kind {
            Kind::PostgresSingleUser { .. } | Kind::PostgresAlternatingUsers { .. } => "postgres",
            Kind::MysqlSingleUser { .. } | Kind::MysqlDualPassword { .. } | Kind::MysqlAlternatingUsers { .. } => "mysql",
            Kind::RedisTwoPasswords { .. } => "redis",
            Kind::Webhook { .. } => "webhook",
            Kind::Job { .. } => "job",
        }
    }

    /// `host:port` of the server, for the administrator's list and for messages; or what the Jobs are made from.
    pub fn host_and_port(&self) -> String {
        match &self.kind {
            Kind::Job { template, .. } => format!("the target of CronJob {template}"),
            _ => self.server.host_and_port(),
        }
    }

    /// The server, and the pooler if there is one: both must be allowed. None with Jobs, which connect themselves.
    pub fn servers(&self) -> impl Iterator<Item = &TargetServer> {
        let own = (!self.runs_jobs()).then_some(&self.server);
        [own, self.pooler.as_ref()].into_iter().flatten()
    }

    /// `host:port` of what clients connect to; or what Jobs are made from.
    pub fn entrance_name(&self) -> String {
        if self.runs_jobs() { self.host_and_port() } else { self.entrance().host_and_port() }
    }

    /// What clients connect to.
    pub fn entrance(&self) -> &TargetServer {
        self.pooler.as_ref().unwrap_or(&self.server)
    }

    /// The path of the receiver; `None`: there is none.
    pub fn path(&self) -> Option<String> {
        let Kind::Webhook { url, .. } = &self.kind else { return None };
        Location::parse(url).map(|location| location.path)
    }

    /// Whether a token for this audience may be sent to the receiver: the Service of the namespace that the audience names in
    /// full. `local`: also a receiver on this machine.
    pub fn may_have_token(&self, audience: &str, local: bool) -> bool {
        let Kind::Webhook { url, .. } = &self.kind else { return false };
        let TargetServer { host, address, own_service, .. } = &self.server;
        let named = *own_service && host.strip_prefix(&**address).is_some_and(|rest| ["", ".cluster.local"].contains(&rest));
        (named || (local && host == "127.0.0.1")) && is_for_receiver(audience, url)
    }

    /// Whether both are the same URL of a receiver, or Jobs of the same template.
    pub fn same_receiver(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Webhook { url: one, .. }, Kind::Webhook { url: other, .. })
            | (Kind::Job { template: one, .. }, Kind::Job { template: other, .. }) => one == other,
            _ => false,
        }
    }

    /// Whether each step is a Job.
    pub fn runs_jobs(&self) -> bool {
        matches!(self.kind, Kind::Job { .. })
    }

    /// Whether another target is the same server: a credential for one may be sent to the other.
    pub fn same_server(&self, other: &Self) -> bool {
        let (one, two) = (&self.server, &other.server);
        self.field() == other.field() && (&one.address, one.port, one.own_service) == (&two.address, two.port, two.own_service)
    }
}

impl TargetServer {
    fn new(host: &str, port: i32, tls: TlsMode, ca: Option<&String>, namespace: &str) -> Self {
        let (address, own_service) = match own_service(host, namespace) {
            Some(address) => (address, true),
            None => (host.to_owned(), false),
        };
        Self { host: host.to_owned(), address, own_service, port: u16::try_from(port).unwrap_or_default(), tls, ca: ca.cloned() }
    }

    /// `host:port`, for the administrator's list and for messages.
    pub fn host_and_port(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The Service of the namespace that the host names; `None`: it is another host.
    pub fn own_service(&self) -> Option<&str> {
        self.address.split('.').next().filter(|_| self.own_service)
    }
}

impl Kind {
    fn of(staged: &StagedTarget) -> Self {
        match staged {
            StagedTarget::Postgres(StagedPostgres { database, alternating: None, .. }) => {
                Self::PostgresSingleUser { database: database.clone() }
            }
            StagedTarget::Postgres(StagedPostgres { database, alternating: Some(alternating), .. }) => {
                Self::PostgresAlternatingUsers { database: database.clone(), alternation: Alternation::recorded(alternating) }
            }
            StagedTarget::Mysql(StagedMysql { database, users, alternating, .. }) => match (users, alternating) {
                (_, Some(alternating)) => {
                    Self::MysqlAlternatingUsers { database: database.clone(), alternation: Alternation::recorded(alternating) }
                }
                (MysqlUsers::DualPassword, None) => Self::MysqlDualPassword { database: database.clone() },
                // Two users without names are those of an invalid record.
                (MysqlUsers::SingleUser | MysqlUsers::AlternatingUsers, None) => Self::MysqlSingleUser { database: database.clone() },
            },
            StagedTarget::Redis(StagedRedis { admin_name, .. }) => Self::RedisTwoPasswords { admin: admin_name.clone() },
            StagedTarget::Webhook(StagedWebhook { url, signing_key_name, service_account_token, .. }) => {
                let proof = match service_account_token {
                    Some(token) => ReceiverProof::Token { account: token.name.clone(), audience: token.audience.clone() },
                    None => ReceiverProof::Key(signing_key_name.clone().unwrap_or_default()),
                };
                Self::Webhook { url: url.clone(), proof }
            }
            StagedTarget::Job(StagedJob { template_name }) => Self::Job { template: template_name.clone(), timeout: recorded_timeout() },
        }
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

#[cfg(test)]
mod tests {
    use super::*;

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
