//! Sessions: one for each identity, with one client for each Region. The session of a role is renewed at the start of a reconcile, before it
//! expires, so that it outlasts the reconcile.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use aws_config::Region;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{Credentials, IdentityCache, ProvideCredentials, SharedCredentialsProvider, SharedInterceptor};
use jiff::{SignedDuration, Timestamp};

use super::assume;
use super::environment::Environment;
use super::fault::Cause;
use super::meter::Meter;
use super::recent::Recent;
use crate::failure::Failure;
use crate::identity::{AwsAccount, Identity, RoleArn};
use crate::plaintext::Plaintext;

/// The number of sessions. Above it one is dropped for each new one. Far more than the namespaces that have roles.
const MAX_SESSIONS: usize = 1000;
/// The number of Regions that one session has clients for. Above it the least recently used one is dropped. AWS has fewer.
const MAX_REGIONS: usize = 50;
/// A session with less time left than this is renewed.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_mins(10);
/// If it cannot be renewed, a session is used while it has this time left: more than the longest reconcile.
const MIN_REMAINING: SignedDuration = SignedDuration::from_mins(4);
/// A session younger than this is not replaced because AWS denied a call: that is at most one AssumeRole for each identity in this time.
const MIN_AGE: Duration = Duration::from_mins(2);

/// All sessions. Only those are kept for which STS issued credentials, so that a role that refuses displaces none.
#[derive(Default)]
pub(super) struct Sessions {
    /// With the number of the last use.
    started: HashMap<Identity, (u64, Arc<Session>)>,
    /// What reconciles start at this moment, so that reconciles of the same identity share it.
    starting: HashMap<Identity, Weak<Session>>,
    uses: u64,
}

impl Sessions {
    /// The session of this identity, or a new one, which is not kept yet.
    pub(super) fn get(&mut self, identity: &Identity) -> Arc<Session> {
        self.uses = self.uses.saturating_add(1);
        if let Some((last, session)) = self.started.get_mut(identity) {
            *last = self.uses;
            return Arc::clone(session);
        }
        if let Some(session) = self.starting.get(identity).and_then(Weak::upgrade) {
            return session;
        }
        self.starting.retain(|_, session| session.strong_count() > 0);
        let session = Arc::new(Session::new(identity));
        self.starting.insert(identity.clone(), Arc::downgrade(&session));
        session
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.started.len()
    }

    /// Keeps a session that has credentials, in place of that of another role of the same Namespace or ServiceAccount.
    pub(super) fn keep(&mut self, session: &Arc<Session>) {
        let identity = &session.identity;
        if self.started.contains_key(identity) {
            return;
        }
        self.starting.remove(identity);
        self.started.retain(|earlier, _| !of_the_same(earlier, identity));
        if self.started.len() >= MAX_SESSIONS {
            self.drop_one();
        }
        self.started.insert(identity.clone(), (self.uses, Arc::clone(session)));
    }

    /// Drops the least recently used session of the namespace with the most sessions. A namespace with many
    /// ServiceAccounts does not displace the sessions of others.
    fn drop_one(&mut self) {
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        for namespace in self.started.keys().filter_map(namespace) {
            let number = numbers.entry(namespace).or_default();
            *number = number.saturating_add(1);
        }
        let most = numbers.values().copied().max();
        let candidates = self
            .started
            .iter()
            .filter(|(identity, _)| most.is_some() && namespace(identity).and_then(|of| numbers.get(of)) == most.as_ref());
        let oldest = candidates.min_by_key(|(_, (last, _))| *last).map(|(identity, _)| identity.clone());
        if let Some(oldest) = oldest {
            self.started.remove(&oldest);
        }
    }
}

/// The namespace that an identity belongs to. `None`: the operator itself.
fn namespace(identity: &Identity) -> Option<&str> {
    match identity {
        Identity::Operator => None,
        Identity::Role { session, .. } | Identity::ServiceAccount { session, .. } => Some(&session.namespace),
    }
}

/// Whether both are of the same Namespace, or of the same ServiceAccount, which has one role at a time.
fn of_the_same(one: &Identity, other: &Identity) -> bool {
    match (one, other) {
        (Identity::Role { session, .. }, Identity::Role { session: of_other, .. }) => session == of_other,
        (Identity::ServiceAccount { session, name, .. }, Identity::ServiceAccount { session: of_other, name: other, .. }) => {
            session == of_other && name == other
        }
        _ => false,
    }
}

/// The session of one identity.
pub(super) struct Session {
    pub(super) identity: Identity,
    issued: Arc<Mutex<Option<Issued>>>,
    /// By Region.
    clients: Mutex<Recent<String, Client>>,
    renewal: tokio::sync::Mutex<()>,
    /// The account, from an answer of AWS. Credentials of the operator do not name theirs.
    account: OnceLock<AwsAccount>,
}

/// Credentials from STS.
#[derive(Clone)]
struct Issued {
    credentials: Credentials,
    at: Instant,
    /// AWS denied a call with them. They are not removed: without credentials the calls of other reconciles would fail with another cause.
    rejected: bool,
}

impl Session {
    fn new(identity: &Identity) -> Self {
        Self {
            identity: identity.clone(),
            issued: Arc::default(),
            clients: Mutex::new(Recent::new(MAX_REGIONS)),
            renewal: tokio::sync::Mutex::default(),
            account: OnceLock::new(),
        }
    }

    /// The role. `None`: the operator itself.
    pub(super) fn role(&self) -> Option<&RoleArn> {
        self.identity.role()
    }

    /// The account; `None` if it is not known yet.
    pub(super) fn account(&self) -> Option<AwsAccount> {
        self.role().and_then(RoleArn::account).or_else(|| self.account.get().cloned())
    }

    /// Remembers the account, from the ARN of a secret that AWS found by its name.
    pub(super) fn found(&self, account: AwsAccount) {
        self.account.get_or_init(|| account);
    }

    /// The client for a Region.
    pub(super) fn client(&self, environment: &Environment, region: &str) -> Client {
        lock(&self.clients).get_or_insert(region, || self.new_client(environment, region))
    }

    fn new_client(&self, environment: &Environment, region: &str) -> Client {
        let mut config = aws_sdk_secretsmanager::config::Builder::from(&environment.config).region(Region::new(region.to_owned()));
        config.push_interceptor(SharedInterceptor::new(Meter::new(&environment.calls, region, self.role())));
        if self.identity != Identity::Operator {
            // Without the SDK's cache every request uses the credentials of the latest renewal.
            config.set_identity_cache(IdentityCache::no_cache());
            config.set_credentials_provider(Some(SharedCredentialsProvider::new(Provider(Arc::clone(&self.issued)))));
        }
        Client::from_conf(config.build())
    }

    /// Asks STS for new credentials if the present ones expire soon or were rejected.
    ///
    /// # Errors
    /// If STS refuses or does not answer, and the present ones cannot be used any longer.
    pub(super) async fn renew(
        &self,
        environment: &Environment,
        token: impl AsyncFnOnce() -> Result<Plaintext, Failure>,
    ) -> Result<(), Failure> {
        if self.identity == Identity::Operator {
            return Ok(());
        }
        // One renewal at a time: the others then find the new credentials.
        let _renewal = self.renewal.lock().await;
        let (left, rejected) = self.left(environment.now());
        if left > RENEW_BEFORE && !rejected {
            return Ok(());
        }
        let issued = match &self.identity {
            Identity::Operator => return Ok(()),
            Identity::Role { role, external_id, session } => assume::role(environment, role, external_id.as_deref(), session).await,
            Identity::ServiceAccount { role, session, name, .. } => match token().await {
                Ok(token) => assume::web_identity(environment, role, session, name, token).await,
                Err(failure) => Err(failure),
            },
        };
        match issued {
            Ok(credentials) => {
                *lock(&self.issued) = Some(Issued { credentials, at: environment.instant(), rejected: false });
                Ok(())
            }
            // Rejected credentials are used only if STS did not refuse new ones: the rejection may concern one secret.
            Err(failure) if left > MIN_REMAINING && !(rejected && failure.is_terminal()) => {
                tracing::warn!(reason = %failure.reason, request_id = failure.request_id.as_deref(), "a session could not be renewed; the present one is used until shortly before it expires");
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    /// After a call that `started` and failed: marks the session for renewal if new credentials can help.
    ///
    /// AWS also denies calls when the sessions of a role are revoked or the role is re-created; then a new session helps, and the code does
    /// not tell it apart from a missing permission.
    pub(super) fn after_fault(&self, cause: Cause, started: Instant, now: Instant) {
        let least_age = match cause {
            Cause::SessionExpired => Duration::ZERO,
            Cause::Permissions | Cause::Credentials => MIN_AGE,
            _ => return,
        };
        let concerns = |issued: &Issued| issued.at <= started && now.saturating_duration_since(issued.at) >= least_age;
        if let Some(issued) = lock(&self.issued).as_mut().filter(|issued| concerns(issued)) {
            issued.rejected = true;
        }
    }

    /// The time until the session expires (zero if there is none), and whether AWS rejected it.
    fn left(&self, now: Timestamp) -> (SignedDuration, bool) {
        let issued = lock(&self.issued);
        let expiry = issued.as_ref().and_then(|issued| issued.credentials.expiry()).and_then(timestamp);
        let left = expiry.map_or(SignedDuration::ZERO, |expiry| expiry.duration_since(now));
        (left, issued.as_ref().is_some_and(|issued| issued.rejected))
    }
}

/// Gives the credentials of a session to the SDK.
struct Provider(Arc<Mutex<Option<Issued>>>);

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Provider")
    }
}

impl ProvideCredentials for Provider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let credentials = lock(&self.0).as_ref().map(|issued| issued.credentials.clone());
        future::ProvideCredentials::ready(credentials.ok_or_else(|| CredentialsError::not_loaded("no session was started")))
    }
}

fn timestamp(at: SystemTime) -> Option<Timestamp> {
    Timestamp::try_from(at).ok()
}

/// The data under these locks is complete after every change, so a poisoned lock is used as it is.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
