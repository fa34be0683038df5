//! The operator's own credentials and Region without the instance metadata service: the SDK's default chain without its
//! last link. The role of a node belongs to everything that runs on it, and must not replace a forgotten role of the
//! ServiceAccount.

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::meta::region::ProvideRegion as _;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future;
use aws_sdk_secretsmanager::config::{ProvideCredentials, SharedCredentialsProvider};

/// The configuration with the Region and the credentials of this chain. `region`: instead of that of the environment or
/// profile.
pub(super) async fn load(loader: ConfigLoader, behavior: BehaviorVersion, region: Option<Region>) -> SdkConfig {
    let base = ProviderConfig::default().with_behavior_version(Some(behavior));
    // This also reads the profile, which the providers share: it can have an endpoint of STS.
    let of_profile = ProfileFileRegionProvider::builder().configure(&base).build().region().await;
    let of_environment = EnvironmentVariableRegionProvider::new().region().await;
    let Some(region) = region.or(of_environment).or(of_profile) else {
        // The operator does not start without a Region, and `load` would ask the service for it (to find SSO tokens).
        return SdkConfig::builder().behavior_version(behavior).build();
    };
    let config = loader.region(region).no_credentials().load().await;
    let mut base = base.with_region(config.region().cloned()).with_use_fips(config.use_fips()).with_use_dual_stack(config.use_dual_stack());
    if let Some(retry) = config.retry_config() {
        base = base.with_retry_config(retry.clone());
    }
    if let Some(timeouts) = config.timeout_config() {
        base = base.with_timeout_config(timeouts.clone());
    }
    let credentials = SharedCredentialsProvider::new(credentials(&base));
    config.into_builder().credentials_provider(credentials).build()
}

/// The order is that of the SDK.
fn credentials(base: &ProviderConfig) -> CredentialsProviderChain {
    // A profile can name the instance as its source.
    let profile = ProfileFileCredentialsProvider::builder().configure(base).with_custom_provider("Ec2InstanceMetadata", NoInstance).build();
    CredentialsProviderChain::first_try("Environment", EnvironmentVariableCredentialsProvider::new())
        .or_else("Profile", profile)
        .or_else("WebIdentityToken", WebIdentityTokenCredentialsProvider::builder().configure(base).build())
        .or_else("EcsContainer", EcsCredentialsProvider::builder().configure(base).build())
}

/// In place of the instance metadata service.
#[derive(Debug)]
struct NoInstance;

impl ProvideCredentials for NoInstance {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("--allow-instance-identity is not set")))
    }
}
