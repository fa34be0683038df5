//! The entry points: the configuration with the sessions of all identities, and Secrets Manager as one of them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::RequestId;
use jiff::Timestamp;

use super::call::{Calls, Monotonic};
use super::chain;
use super::environment::{Clock, Environment};
use super::fault::Fault;
use super::operation::Operation;
use super::session::{Session, Sessions, lock};
use crate::failure::Failure;
use crate::identity::{AwsAccount, Identity};
use crate::metrics::Metrics;
use crate::plaintext::Plaintext;

/// The endpoints of AWS, and where the operator's own credentials may come from.
#[derive(Debug, Clone, Default)]
pub struct EndpointConfig {
    /// The Region. `None`: that of the environment.
    pub region: Option<String>,
    /// A URL in place of AWS's endpoints.
    pub endpoint: Option<String>,
    /// FIPS endpoints, also if the environment does not ask for them.
    pub fips: bool,
    /// Also ask the EC2 instance metadata service for credentials and the Region: the role of the node.
    pub instance_identity: bool,
}

/// The configuration and the sessions of all identities. Operations need an identity: see [`SecretsManager`].
#[derive(Clone)]
pub struct Aws(Arc<Parts>);

struct Parts {
    environment: Environment,
    sessions: Mutex<Sessions>,
}

/// Secrets Manager in every Region, as one identity.
#[derive(Clone)]
pub struct SecretsManager {
    aws: Aws,
    pub(super) session: Arc<Session>,
}

/// The Region and the id of an AWS secret.
#[derive(Debug, Clone, Copy)]
pub struct Address<'a> {
    /// The Region.
    pub region: &'a str,
    /// A name or a full ARN. AWS guesses the suffix of an ARN that has none, so such an ARN is never used.
    pub id: &'a str,
}

impl Aws {
    /// With the credentials of IRSA, Pod Identity, the environment or a profile; of the node only if allowed.
    /// `cluster` is part of the user agent in CloudTrail.
    pub async fn load(endpoints: &EndpointConfig, cluster: &str, metrics: Metrics) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .operation_attempt_timeout(Duration::from_secs(15))
            .operation_timeout(Duration::from_secs(45))
            .build();
        let behavior = BehaviorVersion::v2026_01_12();
        let mut loader = aws_config::defaults(behavior).retry_config(RetryConfig::standard().with_max_attempts(3)).timeout_config(timeouts);
        if let Ok(name) = AppName::new(app_name(cluster)) {
            loader = loader.app_name(name);
        }
        if let Some(endpoint) = &endpoints.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if endpoints.fips {
            loader = loader.use_fips(true);
        }
        let region = endpoints.region.clone().map(Region::new);
        let config = match region {
            region if !endpoints.instance_identity => chain::load(loader, behavior, region).await,
            Some(region) => loader.region(region).load().await,
            None => loader.load().await,
        };
        Self::new(config, metrics)
    }

    /// With an existing configuration.
    pub fn new(config: SdkConfig, metrics: Metrics) -> Self {
        Self::with_clocks(config, metrics, Arc::new(Timestamp::now), Arc::new(Instant::now))
    }

    /// With an existing configuration and a clock that never goes back, which also measures durations.
    pub fn with_clock(config: SdkConfig, metrics: Metrics, clock: Clock) -> Self {
        let (started, zero, time) = (Instant::now(), clock(), Arc::clone(&clock));
        let elapsed = move || Duration::try_from(time().duration_since(zero)).unwrap_or_default();
        Self::with_clocks(config, metrics, clock, Arc::new(move || started.checked_add(elapsed()).unwrap_or(started)))
    }

    fn with_clocks(config: SdkConfig, metrics: Metrics, clock: Clock, monotonic: Monotonic) -> Self {
        let calls = Calls::new(metrics, Arc::clone(&monotonic));
        Self(Arc::new(Parts { environment: Environment { config, calls, clock, monotonic }, sessions: Mutex::default() }))
    }

    pub(super) fn environment(&self) -> &Environment {
        &self.0.environment
    }

    /// The Region of the configuration.
    pub fn region(&self) -> Option<String> {
        self.0.environment.region()
    }

    /// Secrets Manager with the operator's own credentials. For an object use [`Aws::client_for`].
    pub fn operator(&self) -> SecretsManager {
        let mut sessions = lock(&self.0.sessions);
        let session = sessions.get(&Identity::Operator);
        sessions.keep(&session);
        SecretsManager { aws: self.clone(), session }
    }

    /// Secrets Manager as `identity`, with a session that outlasts one reconcile. `token` is called when a session of a ServiceAccount
    /// starts; it returns a token of that account for the audience `sts.amazonaws.com`.
    ///
    /// # Errors
    /// If STS does not return a session: reason `IdentityRefused`, or the reason for which STS did not answer.
    pub async fn client_for(
        &self,
        identity: &Identity,
        token: impl AsyncFnOnce() -> Result<Plaintext, Failure>,
    ) -> Result<SecretsManager, Failure> {
        let session = lock(&self.0.sessions).get(identity);
        session.renew(&self.0.environment, token).await?;
        lock(&self.0.sessions).keep(&session);
        Ok(SecretsManager { aws: self.clone(), session })
    }
}

#[cfg(test)]
impl Aws {
    pub(super) fn sessions_kept(&self) -> usize {
        lock(&self.0.sessions).len()
    }

    pub(super) fn limits(&self) -> Arc<super::call::RateLimits> {
        Arc::clone(self.0.environment.calls.limits())
    }
}

impl SecretsManager {
    /// Who acts.
    pub fn identity(&self) -> &Identity {
        &self.session.identity
    }

    /// The account of the identity. `None`: it is the operator's own, and AWS has not found a secret by its name yet.
    pub fn account(&self) -> Option<AwsAccount> {
        self.session.account()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.aws.0.environment.now()
    }

    pub(super) fn client(&self, region: &str) -> Client {
        self.session.client(&self.aws.0.environment, region)
    }

    /// The only way to send a request to Secrets Manager: see [`Calls::call`]. An answer that says that the session is no longer valid
    /// also ends the session.
    pub(super) fn call<T, E>(
        &self,
        at: Address<'_>,
        operation: Operation,
        request: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> impl Future<Output = Result<T, Fault>>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        SdkError<E>: RequestId,
    {
        let call = self.aws.0.environment.calls.call(at.region, operation, self.session.role(), request);
        async move {
            let started = self.aws.0.environment.instant();
            let answer = call.await;
            answer.map_err(|fault| Fault { secret: Some(at.id.into()), ..fault }).inspect_err(|fault| {
                self.session.after_fault(fault.cause, started, self.aws.0.environment.instant());
            })
        }
    }
}

/// The name in the user agent: program, version and cluster. The SDK warns about more than 50 characters; what remains of a cluster's uid
/// identifies it.
fn app_name(cluster: &str) -> String {
    let name = format!("rotated-secrets-{}-{cluster}", env!("CARGO_PKG_VERSION"));
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).take(50).collect()
}

pub(super) fn timestamp(at: &aws_sdk_secretsmanager::primitives::DateTime) -> Option<Timestamp> {
    Timestamp::from_millisecond(at.to_millis().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_fips_flag_selects_fips_endpoints() {
        let endpoints = EndpointConfig { region: Some("us-east-1".to_owned()), fips: true, ..EndpointConfig::default() };
        assert_eq!(Aws::load(&endpoints, "test", Metrics::new()).await.0.environment.config.use_fips(), Some(true));
    }
}
