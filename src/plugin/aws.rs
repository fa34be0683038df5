//! AWS with the caller's credentials, and messages for its errors.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_sdk_secretsmanager::config::ProvideCredentials as _;
use kube::ResourceExt;

use super::args::AwsArgs;
use super::flags::Flags;
use crate::api::RotatedSecret;
use crate::api::condition::Reason;
use crate::aws::{Address, Aws, SecretsManager};
use crate::command::{Command, SecretRef};
use crate::desired::SecretArn;
use crate::facts::AwsSecret;
use crate::failure::Failure;
use crate::metrics::Metrics;
use crate::proxy::ProxyVariables;

/// AWS with the caller's credentials.
pub(super) struct Caller {
    config: SdkConfig,
    /// Secrets Manager.
    pub(super) manager: SecretsManager,
}

impl Caller {
    /// Uses the default credential chain: environment, profile, SSO, instance.
    pub(super) async fn load(args: &AwsArgs) -> Self {
        // Short timeouts, because a person is waiting.
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .operation_attempt_timeout(Duration::from_secs(10))
            .operation_timeout(Duration::from_secs(20))
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .retry_config(RetryConfig::standard().with_max_attempts(2))
            .timeout_config(timeouts);
        if let Ok(name) = AppName::new(concat!("kubectl-rotatedsecret-", env!("CARGO_PKG_VERSION"))) {
            loader = loader.app_name(name);
        }
        if let Some(endpoint) = &args.aws_endpoint_url {
            loader = loader.endpoint_url(endpoint);
        }
        let config = loader.load().await;
        Self { manager: Aws::new(config.clone(), Metrics::new()).operator(), config }
    }

    /// The region of the environment or profile.
    pub(super) fn region(&self) -> Option<String> {
        self.config.region().map(ToString::to_string)
    }

    /// Whether there are credentials. They are not stored.
    pub(super) async fn has_credentials(&self) -> bool {
        match self.config.credentials_provider() {
            Some(provider) => provider.provide_credentials().await.is_ok(),
            None => false,
        }
    }

    /// The caller's ARN, by GetCallerIdentity, which needs no permission. `region`: if the environment has none.
    ///
    /// # Errors
    /// Reason why STS did not return it, as a sentence.
    pub(super) async fn who_am_i(&self, region: Option<&str>) -> Result<String, String> {
        let own = self.config.region().cloned();
        let region = own.or_else(|| region.map(|region| Region::new(region.to_owned())));
        if region.is_none() {
            return Err("the AWS region is not known: set AWS_REGION, or name an object".to_owned());
        }
        let config = self.config.to_builder().region(region).build();
        let answer = aws_sdk_sts::Client::new(&config).get_caller_identity().send().await;
        match answer {
            Ok(identity) => Ok(identity.arn.unwrap_or_default()),
            Err(error) if error.as_service_error().is_some() => Err({
                let region = config.region().map_or("REGION", |region| region.as_ref());
                format!("AWS does not accept your credentials: run {}, or {}", Command::SsoLogin, Command::ShowCaller { region })
            }),
            Err(_) => Err("STS does not respond: check the network, AWS_REGION and AWS_ENDPOINT_URL".to_owned()),
        }
    }

    /// DescribeSecret. `None`: the secret does not exist.
    ///
    /// # Errors
    /// Reason why the secret could not be read, as a sentence.
    pub(super) async fn describe(&self, place: &Place) -> Result<Option<AwsSecret>, String> {
        if !self.has_credentials().await {
            return Err(format!("AWS credentials are missing: run {}, or set AWS_PROFILE", Command::SsoLogin));
        }
        self.manager.describe(place.address()).await.map_err(|failure| refused("DescribeSecret", place, &failure))
    }
}

/// Location of an object's AWS secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The region.
    pub(super) region: String,
    /// The full ARN, or the name if the status does not have the ARN yet.
    pub(super) id: String,
}

impl Place {
    /// The location from the status, otherwise from the spec.
    ///
    /// # Errors
    /// What is missing, as a sentence.
    pub(super) fn of(object: &RotatedSecret, own_region: Option<String>, flags: &Flags) -> Result<Self, String> {
        let aws = object.status.as_ref().and_then(|status| status.aws.clone()).unwrap_or_default();
        let spec = &object.spec.aws;
        let id = aws.arn.or_else(|| spec.secret_name.clone()).ok_or_else(|| {
            let status = flags.plugin(&format!("status {}", object.name_any()));
            format!("the status does not name the AWS secret yet: {status} shows why")
        })?;
        let of_arn = || SecretArn::parse(&id).map(|arn| arn.region);
        let region = aws
            .region
            .or_else(|| spec.region.clone())
            .or_else(of_arn)
            .or(own_region)
            .ok_or("the AWS region is not known: set AWS_REGION")?;
        Ok(Self { region, id })
    }

    /// The secret, for commands in messages.
    pub(super) fn secret_ref(&self) -> SecretRef<'_> {
        SecretRef { region: &self.region, id: &self.id }
    }

    /// The address for the AWS adapter.
    pub(super) fn address(&self) -> Address<'_> {
        Address { region: &self.region, id: &self.id }
    }
}

/// Message for the caller. The messages of the adapter are for the administrator of the operator.
pub(super) fn refused(operation: &str, place: &Place, failure: &Failure) -> String {
    let id = &place.id;
    match failure.reason {
        Reason::AccessDenied => format!("AWS denies you {operation}: ask for secretsmanager:{operation} on {id}, or log in again"),
        Reason::ClockSkew => "AWS rejects your requests because of their time: check the clock of this machine".to_owned(),
        Reason::KeyUnusable => format!("you may not use the KMS key: ask for kms:Decrypt on the key of {id}"),
        Reason::Throttled => "AWS throttles this account: try again in a minute".to_owned(),
        Reason::AwsUnavailable => {
            let proxy =
                ProxyVariables::read().shown().map_or_else(String::new, |proxy| format!(", the proxy {proxy} (HTTPS_PROXY, NO_PROXY)"));
            format!("AWS does not respond in {}: check the network{proxy} and AWS_ENDPOINT_URL", place.region)
        }
        Reason::ScheduledForDeletion => format!("{id} is scheduled for deletion: {}", Command::RestoreSecret(place.secret_ref())),
        Reason::Progressing => "AWS does not show the version yet: try again in a minute".to_owned(),
        _ => format!("AWS rejects {operation} of {id}: see {}", Command::DescribeSecret(place.secret_ref())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::backoff::Class;

    fn object(spec: &serde_json::Value, status: &serde_json::Value) -> RotatedSecret {
        let object = json!({"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "metadata": {"name": "db"}, "spec": spec,
            "status": status});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn the_status_knows_the_secret_best_then_the_spec_and_nobody_guesses() {
        let named = json!({"aws": {"secretName": "shared/key", "region": "eu-west-1"}});
        let known = json!({"aws": {"arn": "arn:x", "region": "eu-central-1"}});
        let place = |region: &str, id: &str| Ok(Place { region: region.to_owned(), id: id.to_owned() });
        assert_eq!(Place::of(&object(&named, &known), None, &Flags::default()), place("eu-central-1", "arn:x"));
        assert_eq!(Place::of(&object(&named, &json!({})), None, &Flags::default()), place("eu-west-1", "shared/key"));
        let elsewhere =
            Place::of(&object(&json!({"aws": {"secretName": "n"}}), &json!({})), Some("us-east-1".to_owned()), &Flags::default());
        assert_eq!(elsewhere, place("us-east-1", "n"));
        assert!(
            Place::of(&object(&json!({"aws": {"secretName": "n"}}), &json!({})), None, &Flags::default())
                .unwrap_err()
                .contains("AWS_REGION")
        );
        assert!(Place::of(&object(&json!({}), &json!({})), Some("us-east-1".to_owned()), &Flags::default()).is_err());
    }

    #[test]
    fn a_refusal_of_aws_speaks_to_the_caller() {
        let place = Place { region: "eu-central-1".to_owned(), id: "arn:x".to_owned() };
        for reason in Reason::ALL {
            let failure = Failure { class: Class::Denied, reason, message: "check the operator's policy".to_owned(), request_id: None };
            let sentence = refused("GetSecretValue", &place, &failure);
            assert!(!sentence.contains("operator") && sentence.contains(':') && !sentence.contains('\n'), "{reason}: {sentence}");
        }
    }
}
