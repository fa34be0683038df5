//! From a declared target to the strategy that calls it. No other part of the operator names the strategies.

use super::admin::Administrator;
use super::reconciler::Reconciler;
use crate::api::TlsMode;
use crate::backoff::Class;
use crate::command::ObjectRef;
use crate::desired::{Kind, Strategy, TargetServer};
use crate::failure::Failure;
use crate::strategy::{
    Addresses, Applied, Credential, Endpoint, Limits, Problem, Refused, Staged, Tls, Tried, Undone, mysql, postgres, redis,
};
use crate::value::Turns;

/// A target with what is needed to call it.
pub(super) struct Target<'a> {
    strategy: &'a Strategy,
    endpoint: Endpoint,
    administrator: Option<Administrator>,
}

impl Reconciler<'_> {
    /// The target, with the user and password of its administrator.
    pub(super) async fn target<'t>(&self, of: ObjectRef<'_>, strategy: &'t Strategy, tried: &Tried) -> Result<Target<'t>, Failure> {
        let administrator = match strategy.admin() {
            // The other reconcile's future is large.
            Some(admin) => Some(Box::pin(self.administrator(of.namespace, admin, strategy)).await?),
            None => None,
        };
        Ok(Target { strategy, endpoint: self.endpoint(&strategy.server, tried), administrator })
    }

    /// What clients connect to. Without an administrator, who is not needed to log in.
    pub(super) fn entrance<'t>(&self, strategy: &'t Strategy, tried: &Tried) -> Target<'t> {
        Target { strategy, endpoint: self.endpoint(strategy.entrance(), tried), administrator: None }
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
    pub(super) async fn apply(&self, staged: &Staged, current: &Credential, previous: Option<&Credential>) -> Result<Applied, Problem> {
        let pending = &staged.credential;
        match &self.strategy.kind {
            Kind::PostgresSingleUser { database } => {
                postgres::SingleUser { server: &self.postgres(database) }.apply(pending, current, previous).await
            }
            Kind::PostgresAlternatingUsers { database, alternation } => {
                let server = self.postgres(database);
                self.two_users(&server, &alternation.turns)?.apply(pending, current, &staged.fence).await
            }
            Kind::MysqlSingleUser { database } => {
                mysql::SingleUser { server: &self.mysql(database.as_deref()) }.apply(pending, current, previous).await
            }
            Kind::MysqlDualPassword { database } => {
                mysql::DualPassword { server: &self.mysql(database.as_deref()) }.apply(pending, current, previous).await
            }
            Kind::RedisTwoPasswords { .. } => self.redis(&self.redis_server()).apply(pending, current, previous, &staged.fence).await,
        }
    }

    /// Makes sure, in a new session, that the target accepts it and that the user can work.
    pub(super) async fn verify(&self, staged: &Staged) -> Result<(), Problem> {
        let pending = &staged.credential;
        match &self.strategy.kind {
            Kind::PostgresSingleUser { database } => postgres::SingleUser { server: &self.postgres(database) }.verify(pending).await,
            Kind::PostgresAlternatingUsers { database, alternation } => {
                let server = self.postgres(database);
                self.two_users(&server, &alternation.turns)?.verify(pending).await
            }
            Kind::MysqlSingleUser { database } => mysql::SingleUser { server: &self.mysql(database.as_deref()) }.verify(pending).await,
            Kind::MysqlDualPassword { database } => mysql::DualPassword { server: &self.mysql(database.as_deref()) }.verify(pending).await,
            Kind::RedisTwoPasswords { .. } => self.redis(&self.redis_server()).verify(pending).await,
        }
    }

    /// Makes the target refuse it and accept the current value. `previous`: a value that the target has if another writer put
    /// the current one in AWS only.
    pub(super) async fn undo(&self, staged: &Staged, current: &Credential, previous: Option<&Credential>) -> Result<Undone, Problem> {
        let pending = &staged.credential;
        match &self.strategy.kind {
            Kind::PostgresSingleUser { database } => {
                postgres::SingleUser { server: &self.postgres(database) }.undo(pending, current, previous).await
            }
            Kind::PostgresAlternatingUsers { database, alternation } => {
                let server = self.postgres(database);
                self.two_users(&server, &alternation.turns)?.undo(pending, &staged.fence, current, previous).await
            }
            Kind::MysqlSingleUser { database } => {
                mysql::SingleUser { server: &self.mysql(database.as_deref()) }.undo(pending, current, previous).await
            }
            Kind::MysqlDualPassword { database } => {
                mysql::DualPassword { server: &self.mysql(database.as_deref()) }.undo(pending, current, previous).await
            }
            Kind::RedisTwoPasswords { .. } => self.redis(&self.redis_server()).undo(pending, current, previous, &staged.fence).await,
        }
    }

    /// Whether the target accepts a value. Needs no administrator.
    pub(super) async fn check(&self, current: &Credential) -> Result<(), Problem> {
        match &self.strategy.kind {
            Kind::PostgresSingleUser { database } => postgres::SingleUser { server: &self.postgres(database) }.check(current).await,
            Kind::PostgresAlternatingUsers { database, alternation } => {
                let Turns { base, twin } = &alternation.turns;
                postgres::AlternatingUsers::check(&self.postgres(database), [base, twin], current).await
            }
            Kind::MysqlSingleUser { database } | Kind::MysqlDualPassword { database } => {
                mysql::SingleUser { server: &self.mysql(database.as_deref()) }.check(current).await
            }
            Kind::RedisTwoPasswords { .. } => self.redis(&self.redis_server()).check(current).await,
        }
    }

    /// The failure, which passes by itself if the password of the administrator is changing.
    pub(super) fn waits(&self, problem: Problem, failure: Failure) -> Failure {
        let changing = self.administrator.as_ref().is_some_and(|administrator| administrator.staged);
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
        let Administrator { credential, bound, .. } = self.administrator.as_ref().ok_or(Refused::AdminRefused)?;
        Ok(postgres::AlternatingUsers { server, admin: credential, bound: *bound, base, twin })
    }

    fn mysql(&self, database: Option<&str>) -> mysql::Server {
        mysql::Server { endpoint: self.endpoint.clone(), database: database.map(str::to_owned), query: self.strategy.query.clone() }
    }

    fn redis_server(&self) -> redis::Server {
        redis::Server { endpoint: self.endpoint.clone() }
    }

    fn redis<'s>(&'s self, server: &'s redis::Server) -> redis::TwoPasswords<'s> {
        let admin = self.administrator.as_ref().map(|Administrator { credential, bound, .. }| redis::Admin { credential, bound: *bound });
        redis::TwoPasswords { server, admin }
    }
}
