//! From a declared target to the strategy that calls it. No other part of the operator names the strategies.

use jiff::Timestamp;

use super::admin::Administrator;
use super::reconciler::Reconciler;
use crate::api::{AWSPENDING, STAGED_LABEL, TlsMode};
use crate::aws::{Address, Selector};
use crate::backoff::Class;
use crate::command::ObjectRef;
use crate::desired::{Kind, ReceiverProof, Strategy, TargetServer};
use crate::failure::Failure;
use crate::plaintext::Plaintext;
use crate::strategy::webhook::{Failure as Obstacle, ObjectName, Proof, SigningKey, Webhook};
use crate::strategy::{
    Addresses, Applied, Credential, Endpoint, Fence, Limits, Problem, Refused, Tls, Tried, Undone, mysql, postgres, redis, webhook,
};
use crate::value::{Payload, Turns};
use crate::version_id::VersionId;

/// A value that a target is to accept, and its version.
pub(super) struct Staged {
    pub(super) value: Payload,
    pub(super) fence: Fence,
}

/// A target with what is needed to call it.
pub(super) struct Target<'a> {
    strategy: &'a Strategy,
    endpoint: Endpoint,
    /// For whom a receiver is called.
    object: (&'a str, &'a str, String),
    /// A receiver compares it with its own clock.
    now: Timestamp,
    helper: Helper,
    /// Whether the previous version was created after the current one.
    pub(super) previous_is_later: bool,
}

/// What another RotatedSecret of the namespace gives.
enum Helper {
    None,
    Administrator(Administrator),
    Key(SigningKey),
    /// Not of a RotatedSecret, but of a ServiceAccount.
    Token(Plaintext),
}

/// Whether a target may have a staged value and lacks the current one. A value without a user was never applied.
pub(super) fn may_have(strategy: &Strategy, pending: &Payload, current: &Payload) -> Result<bool, Problem> {
    if !strategy.needs_credential() {
        let same = match (pending, current) {
            (Payload::Text(one), Payload::Text(other)) => one.expose() == other.expose(),
            (Payload::Binary(one), Payload::Binary(other)) => one.expose() == other.expose(),
            _ => false,
        };
        return Ok(!same);
    }
    match Credential::of(pending) {
        Ok(pending) => Ok(!pending.is(&Credential::of(current)?)),
        Err(_) => Ok(false),
    }
}

impl Reconciler<'_> {
    /// A version that is on its way.
    pub(super) async fn staged(&mut self, at: Address<'_>, version: &VersionId) -> Result<Staged, Failure> {
        self.labelled(at, version, &[AWSPENDING, STAGED_LABEL]).await
    }

    /// A version that has one of these labels. A process that was stopped since it saw them reads them once more, without
    /// another call: the old password alone does not keep it out if a rollback brought that one back.
    pub(super) async fn labelled(&mut self, at: Address<'_>, version: &VersionId, labels: &[&str]) -> Result<Staged, Failure> {
        let read = self.read(at, Selector::Version(version)).await?;
        if !read.labels.iter().any(|label| labels.contains(&label.as_str())) {
            return Err(Failure::conflict("the labels of the version have moved since they were read; the operator reads them again"));
        }
        Ok(Staged { fence: Fence { version: version.to_string(), created: read.created }, value: read.value })
    }

    /// The target, with the user and password of its administrator.
    pub(super) async fn target<'t>(&self, of: ObjectRef<'t>, strategy: &'t Strategy, tried: &Tried) -> Result<Target<'t>, Failure> {
        // The other reconcile's future is large.
        let helper = match (strategy.admin(), &strategy.kind) {
            (Some(admin), _) => Helper::Administrator(Box::pin(self.administrator(of.namespace, admin, strategy)).await?),
            (None, Kind::Webhook { proof: ReceiverProof::Key(key), .. }) => {
                Helper::Key(Box::pin(self.signing_key(of.namespace, key, strategy)).await?)
            }
            (None, Kind::Webhook { proof: ReceiverProof::Token { account, audience }, .. }) => {
                Helper::Token(self.receiver_token(of.namespace, account, audience, strategy).await?)
            }
            _ => Helper::None,
        };
        let endpoint = self.endpoint(&strategy.server, tried);
        Ok(Target {
            strategy,
            endpoint,
            object: (of.namespace, of.name, self.uid()),
            now: Timestamp::now(),
            helper,
            previous_is_later: false,
        })
    }

    /// What clients connect to. Without an administrator, who is not needed to log in.
    pub(super) async fn entrance<'t>(&self, of: ObjectRef<'t>, strategy: &'t Strategy, tried: &Tried) -> Result<Target<'t>, Failure> {
        if let Kind::Webhook { .. } = &strategy.kind {
            return self.target(of, strategy, tried).await;
        }
        let endpoint = self.endpoint(strategy.entrance(), tried);
        Ok(Target {
            strategy,
            endpoint,
            object: (of.namespace, of.name, self.uid()),
            now: Timestamp::now(),
            helper: Helper::None,
            previous_is_later: false,
        })
    }

    fn endpoint(&self, server: &TargetServer, tried: &Tried) -> Endpoint {
        let TargetServer { host, address, port, tls, ca, .. } = server;
        let names = match tls {
            TlsMode::VerifyFull => Some(true),
            TlsMode::VerifyCa => Some(false),
            TlsMode::Disable => None,
        };
        Endpoint {
            host: host.clone(),
            address: address.clone(),
            port: *port,
            tls: names.map_or(Tls::Disable, |names| Tls::Verify { names, ca: ca.clone() }),
            addresses: if self.ctx.policy.local_targets { Addresses::Local } else { Addresses::Remote },
            limits: Limits::default(),
            tried: tried.clone(),
        }
    }
}

impl Target<'_> {
    /// Makes the target accept the staged value. `previous`: a value that a server restored from a backup may have.
    pub(super) async fn apply(&self, staged: &Staged, current: &Payload, previous: Option<&Payload>) -> Result<Applied, Obstacle> {
        let Staged { value, fence } = staged;
        match self.driver()? {
            Driver::Receiver(receiver) => self.webhook(&receiver)?.apply(&fence.version, value, current, previous).await,
            Driver::Users(users) => {
                let previous = previous.and_then(|previous| Credential::of(previous).ok());
                Ok(users.apply(&Credential::of(value)?, &Credential::of(current)?, previous.as_ref(), fence).await?)
            }
        }
    }

    /// Makes sure, in a new session, that the target accepts it and that the user can work.
    pub(super) async fn verify(&self, staged: &Staged) -> Result<(), Obstacle> {
        match self.driver()? {
            Driver::Receiver(receiver) => self.webhook(&receiver)?.verify(&staged.fence.version, &staged.value).await,
            Driver::Users(users) => Ok(users.verify(&Credential::of(&staged.value)?).await?),
        }
    }

    /// Makes the target refuse it and accept the current value. `previous`: a value that the target has if another writer put
    /// the current one in AWS only.
    pub(super) async fn undo(&self, staged: &Staged, current: &Payload, previous: Option<&Payload>) -> Result<Undone, Obstacle> {
        let Staged { value, fence } = staged;
        match self.driver()? {
            Driver::Receiver(receiver) => self.webhook(&receiver)?.undo(&fence.version, value, current, previous).await,
            Driver::Users(users) => {
                let previous = previous.and_then(|previous| Credential::of(previous).ok());
                Ok(users.undo(&Credential::of(value)?, &Credential::of(current)?, previous.as_ref(), fence).await?)
            }
        }
    }

    /// Makes the target refuse the credential of an earlier version. Only the current one is accepted afterwards.
    pub(super) async fn retire(&self, old: &Payload, current: &Staged) -> Result<(), Obstacle> {
        match self.driver()? {
            // It is not asked to: a receiver has no second credential.
            Driver::Receiver(_) => Ok(()),
            Driver::Users(users) => Ok(users.retire(&Credential::of(old)?, &Credential::of(&current.value)?, &current.fence).await?),
        }
    }

    /// Whether the target accepts the value of this version. Needs no administrator.
    pub(super) async fn check(&self, version: &VersionId, current: &Payload) -> Result<(), Obstacle> {
        match self.driver()? {
            Driver::Receiver(receiver) => self.webhook(&receiver)?.check(version.as_str(), current).await,
            Driver::Users(users) => Ok(users.check(&Credential::of(current)?).await?),
        }
    }

    /// Whether a rotation could change the password that is current. Nothing is changed. `None`: that cannot be tried.
    pub(super) async fn try_rotation(&self, current: &Payload) -> Option<Result<(), Problem>> {
        let tried = match self.driver() {
            Ok(Driver::Receiver(_)) | Err(_) => return None,
            Ok(Driver::Users(users)) => match Credential::of(current) {
                Ok(current) => users.try_rotation(&current, self.now).await,
                Err(problem) => Err(problem),
            },
        };
        Some(tried)
    }

    /// The failure, which passes by itself if the password of the administrator is changing.
    pub(super) fn waits(&self, problem: Problem, failure: Failure) -> Failure {
        let changing = matches!(&self.helper, Helper::Administrator(administrator) if administrator.staged);
        let class = if changing && problem == Refused::AdminRefused.into() { Class::Retry } else { failure.class };
        Failure { class, ..failure }
    }

    fn driver(&self) -> Result<Driver<'_>, Problem> {
        let (endpoint, query) = (self.endpoint.clone(), self.strategy.query.clone());
        let administrator = match &self.helper {
            Helper::Administrator(administrator) => Some(administrator),
            _ => None,
        };
        Ok(Driver::Users(match &self.strategy.kind {
            Kind::PostgresSingleUser { database } => Users::Postgres(postgres::Server { endpoint, database: database.clone(), query }),
            Kind::PostgresAlternatingUsers { database, alternation } => {
                Users::PostgresPair(postgres::Server { endpoint, database: database.clone(), query }, &alternation.turns, administrator)
            }
            Kind::MysqlSingleUser { database } => Users::Mysql(mysql::Server { endpoint, database: database.clone(), query }),
            Kind::MysqlDualPassword { database } => {
                Users::MysqlDual(mysql::Server { endpoint, database: database.clone(), query }, self.previous_is_later)
            }
            Kind::MysqlAlternatingUsers { database, alternation } => {
                Users::MysqlPair(mysql::Server { endpoint, database: database.clone(), query }, &alternation.turns, administrator)
            }
            Kind::RedisTwoPasswords { .. } => Users::Redis(redis::Server { endpoint }, administrator),
            // Each step is a Job, which outlasts this call: see `job.rs`.
            Kind::Job { .. } => return Err(Refused::TemplateMissing.into()),
            Kind::Webhook { .. } => {
                let path = self.strategy.path().ok_or(Refused::ReceiverMissing)?;
                return Ok(Driver::Receiver(webhook::Receiver { endpoint, path }));
            }
        }))
    }

    fn webhook<'s>(&'s self, receiver: &'s webhook::Receiver) -> Result<Webhook<'s>, Problem> {
        let proof = match &self.helper {
            Helper::Key(key) => Proof::Signature(key),
            Helper::Token(token) => Proof::Token(token),
            Helper::None | Helper::Administrator(_) => return Err(Refused::KeyUnusable.into()),
        };
        let (namespace, name, uid) = &self.object;
        Ok(Webhook { receiver, object: ObjectName { namespace, name, uid }, proof, now: self.now })
    }
}

/// What calls the target.
enum Driver<'a> {
    /// For any value.
    Receiver(webhook::Receiver),
    /// For a value with a user and a password.
    Users(Users<'a>),
}

/// Whose password changes, in which server.
enum Users<'a> {
    Postgres(postgres::Server),
    PostgresPair(postgres::Server, &'a Turns, Option<&'a Administrator>),
    Mysql(mysql::Server),
    /// With whether the previous version is later than the current one.
    MysqlDual(mysql::Server, bool),
    MysqlPair(mysql::Server, &'a Turns, Option<&'a Administrator>),
    Redis(redis::Server, Option<&'a Administrator>),
}

impl Users<'_> {
    async fn apply(
        &self,
        pending: &Credential,
        current: &Credential,
        previous: Option<&Credential>,
        fence: &Fence,
    ) -> Result<Applied, Problem> {
        match self {
            Self::Postgres(server) => postgres::SingleUser { server }.apply(pending, current, previous).await,
            Self::PostgresPair(server, turns, administrator) => pair(server, turns, *administrator)?.apply(pending, current, fence).await,
            Self::Mysql(server) => mysql::SingleUser { server }.apply(pending, current, previous).await,
            Self::MysqlDual(server, later) => dual(server, *later).apply(pending, current, previous).await,
            Self::MysqlPair(server, turns, administrator) => {
                mysql_pair(server, turns, *administrator)?.apply(pending, current, fence).await
            }
            Self::Redis(server, administrator) => two_passwords(server, *administrator).apply(pending, current, previous, fence).await,
        }
    }

    async fn verify(&self, pending: &Credential) -> Result<(), Problem> {
        match self {
            Self::Postgres(server) => postgres::SingleUser { server }.verify(pending).await,
            Self::PostgresPair(server, turns, administrator) => pair(server, turns, *administrator)?.verify(pending).await,
            Self::Mysql(server) => mysql::SingleUser { server }.verify(pending).await,
            Self::MysqlDual(server, later) => dual(server, *later).verify(pending).await,
            Self::MysqlPair(server, turns, administrator) => mysql_pair(server, turns, *administrator)?.verify(pending).await,
            Self::Redis(server, administrator) => two_passwords(server, *administrator).verify(pending).await,
        }
    }

    async fn undo(
        &self,
        pending: &Credential,
        current: &Credential,
        previous: Option<&Credential>,
        fence: &Fence,
    ) -> Result<Undone, Problem> {
        match self {
            Self::Postgres(server) => postgres::SingleUser { server }.undo(pending, current, previous).await,
            Self::PostgresPair(server, turns, administrator) => {
                pair(server, turns, *administrator)?.undo(pending, fence, current, previous).await
            }
            Self::Mysql(server) => mysql::SingleUser { server }.undo(pending, current, previous).await,
            Self::MysqlDual(server, later) => dual(server, *later).undo(pending, current, previous).await,
            Self::MysqlPair(server, turns, administrator) => {
                mysql_pair(server, turns, *administrator)?.undo(pending, fence, current, previous).await
            }
            Self::Redis(server, administrator) => two_passwords(server, *administrator).undo(pending, current, previous, fence).await,
        }
    }

    async fn retire(&self, old: &Credential, current: &Credential, fence: &Fence) -> Result<(), Problem> {
        match self {
            // The previous password is refused since `apply`.
            Self::Postgres(_) | Self::Mysql(_) => Ok(()),
            Self::PostgresPair(server, turns, administrator) => pair(server, turns, *administrator)?.retire(old, current, fence).await,
            Self::MysqlPair(server, turns, administrator) => mysql_pair(server, turns, *administrator)?.retire(old, current, fence).await,
            Self::MysqlDual(server, later) => dual(server, *later).retire(old, current).await,
            Self::Redis(server, administrator) => two_passwords(server, *administrator).retire(old, current, fence).await.map(drop),
        }
    }

    async fn try_rotation(&self, current: &Credential, now: Timestamp) -> Result<(), Problem> {
        match self {
            Self::Postgres(server) => postgres::SingleUser { server }.try_rotation(current).await,
            Self::PostgresPair(server, turns, administrator) => {
                // The clock can be behind that of AWS, by five minutes at most.
                let created = now.saturating_add(jiff::SignedDuration::from_mins(10)).unwrap_or(now);
                let fence = Fence { version: String::new(), created };
                pair(server, turns, *administrator)?.try_rotation(current, &fence).await
            }
            Self::Mysql(server) => mysql::SingleUser { server }.try_rotation(current).await,
            Self::MysqlDual(server, later) => dual(server, *later).try_rotation(current).await,
            Self::MysqlPair(server, turns, administrator) => mysql_pair(server, turns, *administrator)?.try_rotation(current).await,
            Self::Redis(server, administrator) => two_passwords(server, *administrator).try_rotation(current).await,
        }
    }

    async fn check(&self, current: &Credential) -> Result<(), Problem> {
        match self {
            Self::Postgres(server) => postgres::SingleUser { server }.check(current).await,
            Self::PostgresPair(server, Turns { base, twin }, _) => postgres::AlternatingUsers::check(server, [base, twin], current).await,
            Self::Mysql(server) => mysql::SingleUser { server }.check(current).await,
            Self::MysqlDual(server, later) => dual(server, *later).check(current).await,
            Self::MysqlPair(server, Turns { base, twin }, _) => mysql::AlternatingUsers::check(server, [base, twin], current).await,
            Self::Redis(server, administrator) => two_passwords(server, *administrator).check(current).await,
        }
    }
}

fn pair<'s>(
    server: &'s postgres::Server,
    Turns { base, twin }: &'s Turns,
    administrator: Option<&'s Administrator>,
) -> Result<postgres::AlternatingUsers<'s>, Problem> {
    let Administrator { credential, bound, .. } = administrator.ok_or(Refused::AdminRefused)?;
    Ok(postgres::AlternatingUsers { server, admin: credential, bound: *bound, base, twin })
}

fn mysql_pair<'s>(
    server: &'s mysql::Server,
    Turns { base, twin }: &'s Turns,
    administrator: Option<&'s Administrator>,
) -> Result<mysql::AlternatingUsers<'s>, Problem> {
    let Administrator { credential, bound, .. } = administrator.ok_or(Refused::AdminRefused)?;
    Ok(mysql::AlternatingUsers { server, admin: credential, bound: *bound, base, twin })
}

fn dual(server: &mysql::Server, previous_is_later: bool) -> mysql::DualPassword<'_> {
    mysql::DualPassword { server, previous_is_later }
}

fn two_passwords<'s>(server: &'s redis::Server, administrator: Option<&'s Administrator>) -> redis::TwoPasswords<'s> {
    let admin = administrator.map(|Administrator { credential, bound, .. }| redis::Admin { credential, bound: *bound });
    redis::TwoPasswords { server, admin }
}
