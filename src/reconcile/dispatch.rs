//! From a declared target to the strategy that calls it. No other part of the operator names the strategies.

use jiff::Timestamp;

use super::admin::Administrator;
use super::reconciler::Reconciler;
use crate::api::TlsMode;
use crate::backoff::Class;
use crate::command::ObjectRef;
use crate::desired::{Kind, Strategy, TargetServer};
use crate::failure::Failure;
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
}

/// What another RotatedSecret of the namespace gives.
enum Helper {
    None,
    Administrator(Administrator),
    Key(SigningKey),
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
    /// The target, with the user and password of its administrator.
    pub(super) async fn target<'t>(&self, of: ObjectRef<'t>, strategy: &'t Strategy, tried: &Tried) -> Result<Target<'t>, Failure> {
        // The other reconcile's future is large.
        let helper = match (strategy.admin(), &strategy.kind) {
            (Some(admin), _) => Helper::Administrator(Box::pin(self.administrator(of.namespace, admin, strategy)).await?),
            (None, Kind::Webhook { key, .. }) => Helper::Key(Box::pin(self.signing_key(of.namespace, key, strategy)).await?),
            _ => Helper::None,
        };
        let endpoint = self.endpoint(&strategy.server, tried);
        Ok(Target { strategy, endpoint, object: (of.namespace, of.name, self.uid()), now: Timestamp::now(), helper })
    }

    /// What clients connect to. Without an administrator, who is not needed to log in.
    pub(super) async fn entrance<'t>(&self, of: ObjectRef<'t>, strategy: &'t Strategy, tried: &Tried) -> Result<Target<'t>, Failure> {
        if let Kind::Webhook { .. } = &strategy.kind {
            return self.target(of, strategy, tried).await;
        }
        let endpoint = self.endpoint(strategy.entrance(), tried);
        Ok(Target { strategy, endpoint, object: (of.namespace, of.name, self.uid()), now: Timestamp::now(), helper: Helper::None })
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
        if let Kind::Webhook { path, .. } = &self.strategy.kind {
            let receiver = self.receiver(path);
            return self.webhook(&receiver)?.apply(&staged.fence.version, &staged.value, current, previous).await;
        }
        let (pending, current) = (&Credential::of(&staged.value)?, &Credential::of(current)?);
        let previous = previous.and_then(|previous| Credential::of(previous).ok());
        let (previous, fence) = (previous.as_ref(), &staged.fence);
        let applied = match &self.strategy.kind {
            Kind::PostgresSingleUser { database } => {
                postgres::SingleUser { server: &self.postgres(database) }.apply(pending, current, previous).await
            }
            Kind::PostgresAlternatingUsers { database, alternation } => {
                let server = self.postgres(database);
                self.two_users(&server, &alternation.turns)?.apply(pending, current, fence).await
            }
            Kind::MysqlSingleUser { database } => {
                mysql::SingleUser { server: &self.mysql(database.as_deref()) }.apply(pending, current, previous).await
            }
            Kind::MysqlDualPassword { database } => {
                mysql::DualPassword { server: &self.mysql(database.as_deref()) }.apply(pending, current, previous).await
            }
            Kind::RedisTwoPasswords { .. } => self.redis(&self.redis_server()).apply(pending, current, previous, fence).await,
            Kind::Webhook { .. } => Err(Refused::KeyUnusable.into()),
        };
        Ok(applied?)
    }

    /// Makes sure, in a new session, that the target accepts it and that the user can work.
    pub(super) async fn verify(&self, staged: &Staged) -> Result<(), Obstacle> {
        if let Kind::Webhook { path, .. } = &self.strategy.kind {
            let receiver = self.receiver(path);
            return self.webhook(&receiver)?.verify(&staged.fence.version, &staged.value).await;
        }
        let pending = &Credential::of(&staged.value)?;
        let verified = match &self.strategy.kind {
            Kind::PostgresSingleUser { database } => postgres::SingleUser { server: &self.postgres(database) }.verify(pending).await,
            Kind::PostgresAlternatingUsers { database, alternation } => {
                let server = self.postgres(database);
                self.two_users(&server, &alternation.turns)?.verify(pending).await
            }
            Kind::MysqlSingleUser { database } => mysql::SingleUser { server: &self.mysql(database.as_deref()) }.verify(pending).await,
            Kind::MysqlDualPassword { database } => mysql::DualPassword { server: &self.mysql(database.as_deref()) }.verify(pending).await,
            Kind::RedisTwoPasswords { .. } => self.redis(&self.redis_server()).verify(pending).await,
            Kind::Webhook { .. } => Err(Refused::KeyUnusable.into()),
        };
        Ok(verified?)
    }

    /// Makes the target refuse it and accept the current value. `previous`: a value that the target has if another writer put
    /// the current one in AWS only.
    pub(super) async fn undo(&self, staged: &Staged, current: &Payload, previous: Option<&Payload>) -> Result<Undone, Obstacle> {
        if let Kind::Webhook { path, .. } = &self.strategy.kind {
            let receiver = self.receiver(path);
            return self.webhook(&receiver)?.undo(&staged.fence.version, &staged.value, current, previous).await;
        }
        let (pending, current) = (&Credential::of(&staged.value)?, &Credential::of(current)?);
        let previous = previous.and_then(|previous| Credential::of(previous).ok());
        let (previous, fence) = (previous.as_ref(), &staged.fence);
        let undone = match &self.strategy.kind {
            Kind::PostgresSingleUser { database } => {
                postgres::SingleUser { server: &self.postgres(database) }.undo(pending, current, previous).await
            }
            Kind::PostgresAlternatingUsers { database, alternation } => {
                let server = self.postgres(database);
                self.two_users(&server, &alternation.turns)?.undo(pending, fence, current, previous).await
            }
            Kind::MysqlSingleUser { database } => {
                mysql::SingleUser { server: &self.mysql(database.as_deref()) }.undo(pending, current, previous).await
            }
            Kind::MysqlDualPassword { database } => {
                mysql::DualPassword { server: &self.mysql(database.as_deref()) }.undo(pending, current, previous).await
            }
            Kind::RedisTwoPasswords { .. } => self.redis(&self.redis_server()).undo(pending, current, previous, fence).await,
            Kind::Webhook { .. } => Err(Refused::KeyUnusable.into()),
        };
        Ok(undone?)
    }

    /// Whether the target accepts the value of this version. Needs no administrator.
    pub(super) async fn check(&self, version: &VersionId, current: &Payload) -> Result<(), Obstacle> {
        if let Kind::Webhook { path, .. } = &self.strategy.kind {
            let receiver = self.receiver(path);
            return self.webhook(&receiver)?.check(version.as_str(), current).await;
        }
        let current = &Credential::of(current)?;
        let accepted = match &self.strategy.kind {
            Kind::PostgresSingleUser { database } => postgres::SingleUser { server: &self.postgres(database) }.check(current).await,
            Kind::PostgresAlternatingUsers { database, alternation } => {
                let Turns { base, twin } = &alternation.turns;
                postgres::AlternatingUsers::check(&self.postgres(database), [base, twin], current).await
            }
            Kind::MysqlSingleUser { database } | Kind::MysqlDualPassword { database } => {
                mysql::SingleUser { server: &self.mysql(database.as_deref()) }.check(current).await
            }
            Kind::RedisTwoPasswords { .. } => self.redis(&self.redis_server()).check(current).await,
            Kind::Webhook { .. } => Err(Refused::KeyUnusable.into()),
        };
        Ok(accepted?)
    }

    /// The failure, which passes by itself if the password of the administrator is changing.
    pub(super) fn waits(&self, problem: Problem, failure: Failure) -> Failure {
        let changing = matches!(&self.helper, Helper::Administrator(administrator) if administrator.staged);
        let class = if changing && problem == Refused::AdminRefused.into() { Class::Retry } else { failure.class };
        Failure { class, ..failure }
    }

    fn postgres(&self, database: &str) -> postgres::Server {
        postgres::Server { endpoint: self.endpoint.clone(), database: database.to_owned(), query: self.strategy.query.clone() }
    }

    fn two_users<'s>(
        &'s self,
        server: &'s postgres::Server,
        Turns { base, twin }: &'s Turns,
    ) -> Result<postgres::AlternatingUsers<'s>, Problem> {
        let Helper::Administrator(Administrator { credential, bound, .. }) = &self.helper else { return Err(Refused::AdminRefused.into()) };
        Ok(postgres::AlternatingUsers { server, admin: credential, bound: *bound, base, twin })
    }

    fn mysql(&self, database: Option<&str>) -> mysql::Server {
        mysql::Server { endpoint: self.endpoint.clone(), database: database.map(str::to_owned), query: self.strategy.query.clone() }
    }

    fn redis_server(&self) -> redis::Server {
        redis::Server { endpoint: self.endpoint.clone() }
    }

    fn redis<'s>(&'s self, server: &'s redis::Server) -> redis::TwoPasswords<'s> {
        let admin = match &self.helper {
            Helper::Administrator(Administrator { credential, bound, .. }) => Some(redis::Admin { credential, bound: *bound }),
            _ => None,
        };
        redis::TwoPasswords { server, admin }
    }

    fn receiver(&self, path: &str) -> webhook::Receiver {
        webhook::Receiver { endpoint: self.endpoint.clone(), path: path.to_owned() }
    }

    fn webhook<'s>(&'s self, receiver: &'s webhook::Receiver) -> Result<Webhook<'s>, Problem> {
        let Helper::Key(key) = &self.helper else { return Err(Refused::KeyUnusable.into()) };
        let (namespace, name, uid) = &self.object;
        Ok(Webhook { receiver, object: ObjectName { namespace, name, uid }, proof: Proof::Signature(key), now: self.now })
    }
}
