//! Who acts: for each identity one session, kept while it is used, with one client for each region. Sessions of roles are renewed before they
//! expire, at the beginning of a turn, so that no turn outlives its session.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::{Credentials, IdentityCache, ProvideCredentials, SharedCredentialsProvider, SharedInterceptor};
use jiff::{SignedDuration, Timestamp};

use super::SecretsManager;
use super::assume;
use super::meter::Meter;
use crate::failure::Failure;
use crate::identity::{Identity, RoleArn};
use crate::metrics::Metrics;
use crate::plaintext::Plaintext;

/// The most sessions that are kept; the one that was not used for longest goes. Far above the number of namespaces that have roles.
const MOST_SESSIONS: usize = 1000;
/// The most regions that one session has clients for. AWS has fewer.
const MOST_REGIONS: usize = 50;
/// A session that has less left than this is renewed.
const RENEW: SignedDuration = SignedDuration::from_mins(10);
/// Where renewing fails, a session may still begin a turn while it has this left: more than the longest turn.
const LEAST: SignedDuration = SignedDuration::from_mins(4);

/// How AWS is reached.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// Instead of the region that the environment names.
    pub region: Option<String>,
    /// Instead of AWS's own endpoints.
    pub endpoint: Option<String>,
    /// FIPS endpoints, also where the environment does not ask for them.
    pub fips: bool,
}

/// AWS, without saying yet who acts. It has no operations: those are [`SecretsManager`]'s, which exists for an identity only.
#[derive(Clone)]
pub struct Aws(Arc<Parts>);

/// The time, as the expiry of sessions is compared with.
type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

struct Parts {
    config: SdkConfig,
    metrics: Metrics,
    clock: Clock,
    sessions: Mutex<Sessions>,
}

/// Sessions, and when each was last asked for.
#[derive(Default)]
struct Sessions {
    kept: HashMap<Identity, (u64, Arc<Session>)>,
    asked: u64,
}

impl Sessions {
    fn of(&mut self, identity: &Identity) -> Arc<Session> {
        self.asked += 1;
        let asked = self.asked;
        if let Some((last, session)) = self.kept.get_mut(identity) {
            *last = asked;
            return Arc::clone(session);
        }
        if self.kept.len() >= MOST_SESSIONS
            && let Some(oldest) = self.kept.iter().min_by_key(|(_, (last, _))| *last).map(|(identity, _)| identity.clone())
        {
            self.kept.remove(&oldest);
        }
        let session = Arc::new(Session::of(identity));
        self.kept.insert(identity.clone(), (asked, Arc::clone(&session)));
        session
    }
}

impl Aws {
    /// With the default credential chain (IRSA, Pod Identity, environment, profile). `cluster` names the caller in CloudTrail.
    pub async fn load(reach: &Reach, cluster: &str, metrics: Metrics) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .operation_attempt_timeout(Duration::from_secs(15))
            .operation_timeout(Duration::from_secs(45))
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .timeout_config(timeouts);
        if let Ok(name) = AppName::new(app_name(cluster)) {
            loader = loader.app_name(name);
        }
        if let Some(region) = &reach.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &reach.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if reach.fips {
            loader = loader.use_fips(true);
        }
        Self::new(loader.load().await, metrics)
    }

    /// With a configuration that is there already.
    pub fn new(config: SdkConfig, metrics: Metrics) -> Self {
        Self::with_clock(config, metrics, Arc::new(Timestamp::now))
    }

    /// The same with another clock, by which sessions of roles expire.
    pub fn with_clock(config: SdkConfig, metrics: Metrics, clock: Clock) -> Self {
        Self(Arc::new(Parts { config, metrics, clock, sessions: Mutex::default() }))
    }

    /// The region of the configuration.
    pub fn region(&self) -> Option<String> {
        self.0.config.region().map(ToString::to_string)
    }

    /// Secrets Manager as the operator itself. For an object, only [`Aws::acting`] says who acts.
    pub fn operator(&self) -> SecretsManager {
        SecretsManager { aws: self.clone(), session: self.session(&Identity::Operator) }
    }

    /// Secrets Manager as `identity`, with a session that lasts for a turn. `token`: asked for where a ServiceAccount acts and a session is to
    /// be begun: a token of that account for the audience `sts.amazonaws.com`.
    ///
    /// # Errors
    /// Where AWS does not give a session: reason `IdentityRefused`, or what keeps AWS from answering.
    pub async fn acting(
        &self,
        identity: &Identity,
        token: impl AsyncFnOnce() -> Result<Plaintext, Failure>,
    ) -> Result<SecretsManager, Failure> {
        let session = self.session(identity);
        if *identity != Identity::Operator {
            // One at a time: a herd of objects of one namespace asks STS once.
            let _turn = session.renewing.lock().await;
            self.renew(&session, token).await?;
        }
        Ok(SecretsManager { aws: self.clone(), session })
    }

    async fn renew(&self, session: &Session, token: impl AsyncFnOnce() -> Result<Plaintext, Failure>) -> Result<(), Failure> {
        let left = session.left((self.0.clock)());
        if left > RENEW {
            return Ok(());
        }
        let began = match &session.identity {
            Identity::Operator => return Ok(()),
            Identity::Role { role, external_id, session } => {
                assume::role(self.sts(), &self.0.metrics, role, external_id.as_deref(), session).await
            }
            Identity::ServiceAccount { role, session, name, .. } => match token().await {
                Ok(token) => assume::web_identity(self.sts(), &self.0.metrics, role, session, name, token).await,
                Err(failure) => Err(failure),
            },
        };
        match began {
            Ok(credentials) => {
                session.hold(Some(credentials));
                Ok(())
            }
            Err(failure) if left > LEAST => {
                tracing::warn!(reason = %failure.reason, "a session could not be renewed; it is used while it lasts");
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    fn session(&self, identity: &Identity) -> Arc<Session> {
        lock(&self.0.sessions).of(identity)
    }

    fn sts(&self) -> aws_sdk_sts::Client {
        let config = aws_sdk_sts::config::Builder::from(&self.0.config).interceptor(Meter(self.0.metrics.clone()));
        aws_sdk_sts::Client::from_conf(config.build())
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }
}

/// What the user agent of every request calls us: program, version and cluster. Cut at 50 characters, beyond which the SDK warns: of a cluster's uid that
/// leaves enough to know it by.
fn app_name(cluster: &str) -> String {
    let name = format!("rotated-secrets-{}-{cluster}", env!("CARGO_PKG_VERSION"));
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).take(50).collect()
}

/// What is kept of one identity.
pub(super) struct Session {
    identity: Identity,
    held: Arc<Held>,
    clients: Mutex<HashMap<String, Client>>,
    renewing: tokio::sync::Mutex<()>,
}

impl Session {
    fn of(identity: &Identity) -> Self {
        Self { identity: identity.clone(), held: Arc::default(), clients: Mutex::default(), renewing: tokio::sync::Mutex::default() }
    }

    /// The role that acts, unless it is the operator itself.
    pub(super) fn role(&self) -> Option<&RoleArn> {
        self.identity.role()
    }

    /// The client for a region.
    pub(super) fn client(&self, aws: &Aws, region: &str) -> Client {
        let mut clients = lock(&self.clients);
        if let Some(client) = clients.get(region) {
            return client.clone();
        }
        if clients.len() >= MOST_REGIONS {
            clients.clear();
        }
        let mut config = aws_sdk_secretsmanager::config::Builder::from(&aws.0.config).region(Region::new(region.to_owned()));
        config.push_interceptor(SharedInterceptor::new(Meter(aws.0.metrics.clone())));
        if self.identity != Identity::Operator {
            // Kept here, and nowhere else: what a session holds is asked anew by every request.
            config.set_identity_cache(IdentityCache::no_cache());
            config.set_credentials_provider(Some(SharedCredentialsProvider::new(Holder(Arc::clone(&self.held)))));
        }
        let client = Client::from_conf(config.build());
        clients.insert(region.to_owned(), client.clone());
        client
    }

    /// AWS says that the credentials are no good any more: the next turn begins a new session.
    pub(super) fn forget(&self) {
        self.hold(None);
    }

    fn hold(&self, credentials: Option<Credentials>) {
        *lock(&self.held.0) = credentials;
    }

    fn left(&self, now: Timestamp) -> SignedDuration {
        let expiry = lock(&self.held.0).as_ref().and_then(Credentials::expiry);
        expiry.and_then(timestamp).map_or(SignedDuration::ZERO, |expiry| expiry.duration_since(now))
    }
}

/// The credentials of a session.
#[derive(Default)]
struct Held(Mutex<Option<Credentials>>);

/// Gives them to the SDK.
struct Holder(Arc<Held>);

impl std::fmt::Debug for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Holder")
    }
}

impl ProvideCredentials for Holder {
    fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let held = lock(&self.0.0).clone();
        aws_credential_types::provider::future::ProvideCredentials::ready(
            held.ok_or_else(|| aws_credential_types::provider::error::CredentialsError::not_loaded("the session has ended")),
        )
    }
}

fn timestamp(at: SystemTime) -> Option<Timestamp> {
    Timestamp::try_from(at).ok()
}

/// What is under these locks is whole after every change, so a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
