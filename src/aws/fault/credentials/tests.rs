use aws_config::imds;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::web_identity_token::{StaticConfiguration, WebIdentityTokenCredentialsProvider};
use aws_config::{BehaviorVersion, Region};
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::http::{HttpRequest, HttpResponse};
use aws_sdk_secretsmanager::config::{Credentials, IdentityCache, ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use super::*;
use crate::api::condition::Reason;
use crate::aws::fault::Fault;
use crate::aws::operation::Operation;
use crate::backoff::Class;

const REGION: &str = "eu-central-1";
const ROLE: &str = "arn:aws:iam::123456789012:role/operator";

/// What every request is answered with: a status and a body. `None`: the connection is refused.
#[derive(Debug, Clone, Copy)]
struct Server(Option<(u16, &'static str)>);

impl HttpConnector for Server {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        // The instance metadata service gives a token first.
        let token = request.uri().ends_with("/latest/api/token") && self.0.is_some_and(|(_, body)| body != "no token");
        let answer = if token { Some((200, "token")) } else { self.0 };
        HttpConnectorFuture::ready(match answer {
            Some((status, body)) => {
                let mut response = HttpResponse::new(status.try_into().unwrap(), body.into());
                if token {
                    response.headers_mut().insert("x-aws-ec2-metadata-token-ttl-seconds", "21600");
                }
                Ok(response)
            }
            None => Err(ConnectorError::io("connection refused".into())),
        })
    }
}

impl HttpClient for Server {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(*self)
    }
}

fn provider_config(server: Server) -> ProviderConfig {
    ProviderConfig::empty()
        .with_region(Some(Region::new(REGION)))
        .with_http_client(server)
        .with_retry_config(RetryConfig::disabled())
        .with_timeout_config(TimeoutConfig::disabled())
}

/// The operator's role of a profile.
async fn assumes_role(server: Server) -> SharedCredentialsProvider {
    let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .region(Region::new(REGION))
        .no_credentials()
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .http_client(server)
        .load()
        .await;
    let source = Credentials::new("AKIAEXAMPLE", "example", None, None, "test");
    SharedCredentialsProvider::new(AssumeRoleProvider::builder(ROLE).configure(&config).build_from_provider(source).await)
}

/// IRSA.
fn web_identity(server: Server) -> SharedCredentialsProvider {
    let static_configuration = StaticConfiguration {
        // Any file that exists.
        web_identity_token_file: concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").into(),
        role_arn: ROLE.to_owned(),
        session_name: "test".to_owned(),
    };
    let provider = WebIdentityTokenCredentialsProvider::builder().static_configuration(static_configuration);
    SharedCredentialsProvider::new(provider.configure(&provider_config(server)).build())
}

/// The role of the node, as the last link of a chain.
fn of_node(server: Server) -> SharedCredentialsProvider {
    let client = imds::Client::builder().configure(&provider_config(server)).max_attempts(1).build();
    let instance = ImdsCredentialsProvider::builder().imds_client(client).build();
    SharedCredentialsProvider::new(CredentialsProviderChain::first_try("Ec2InstanceMetadata", instance))
}

/// A provider that fails with this error.
#[derive(Debug)]
struct Fails(fn() -> CredentialsError);

impl ProvideCredentials for Fails {
    fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        aws_credential_types::provider::future::ProvideCredentials::ready(Err((self.0)()))
    }
}

/// How a call fails whose credentials this provider gives. The server of the call itself is never reached.
async fn failure(credentials: SharedCredentialsProvider) -> (Cause, Class, Reason) {
    let config = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(REGION))
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .identity_cache(IdentityCache::no_cache())
        .credentials_provider(credentials)
        .http_client(Server(Some((200, "{}"))))
        .build();
    let error = Client::from_conf(config).describe_secret().secret_id("x").send().await.unwrap_err();
    let fault = Fault::read(Operation::DescribeSecret, &error);
    let cause = fault.cause;
    let failure = fault.into_failure();
    assert!(failure.message.starts_with("DescribeSecret: nothing was sent to AWS: "), "{}", failure.message);
    (cause, failure.class, failure.reason)
}

const OUTAGE: (Cause, Class, Reason) = (Cause::CredentialsUnavailable, Class::Retry, Reason::AwsUnavailable);
const NONE: (Cause, Class, Reason) = (Cause::NoCredentials, Class::Denied, Reason::IdentityRefused);

fn refusal(code: &str) -> &'static str {
    let body = format!("<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>m</Message></Error></ErrorResponse>");
    Box::leak(body.into_boxed_str())
}

#[tokio::test]
async fn an_outage_of_sts_is_temporary_and_a_denial_is_not() {
    for (answer, expected) in [
        (None, OUTAGE),
        (Some((500, "")), OUTAGE),
        (Some((503, refusal("ServiceUnavailable"))), OUTAGE),
        (Some((400, refusal("Throttling"))), OUTAGE),
        (Some((429, refusal("TooManyRequestsException"))), OUTAGE),
        (Some((400, refusal("IDPCommunicationError"))), OUTAGE),
        (Some((200, "not XML")), OUTAGE),
        (Some((403, refusal("AccessDenied"))), NONE),
        (Some((400, refusal("InvalidIdentityToken"))), NONE),
        (Some((403, refusal("RegionDisabledException"))), NONE),
        (Some((400, refusal("ValidationError"))), NONE),
    ] {
        assert_eq!(failure(assumes_role(Server(answer)).await).await, expected, "a role of a profile: {answer:?}");
        assert_eq!(failure(web_identity(Server(answer))).await, expected, "IRSA: {answer:?}");
    }
}

#[tokio::test]
async fn an_outage_of_the_instance_metadata_service_is_temporary_and_a_node_without_a_role_is_not() {
    for (answer, expected) in [
        (None, OUTAGE),
        (Some((500, "")), OUTAGE),
        (Some((503, "no token")), OUTAGE),
        (Some((429, "")), OUTAGE),
        (Some((404, "")), NONE),
        (Some((403, "no token")), NONE),
    ] {
        assert_eq!(failure(of_node(Server(answer))).await, expected, "{answer:?}");
    }
}

#[tokio::test]
async fn an_outage_of_the_pod_identity_agent_is_temporary_and_a_missing_association_is_not() {
    let answered: [(fn() -> CredentialsError, _); 6] = [
        // The words of the SDK.
        (|| CredentialsError::provider_error("Non-success status from HTTP credential provider: StatusCode(503)"), OUTAGE),
        (|| CredentialsError::provider_error("Non-success status from HTTP credential provider: StatusCode(429)"), OUTAGE),
        (|| CredentialsError::provider_error("Non-success status from HTTP credential provider: StatusCode(404)"), NONE),
        (|| CredentialsError::unhandled(SdkError::<CredentialsError>::timeout_error("no answer")), OUTAGE),
        (|| CredentialsError::unhandled(SdkError::<CredentialsError>::dispatch_failure(ConnectorError::io("refused".into()))), OUTAGE),
        (|| CredentialsError::provider_timed_out(std::time::Duration::from_secs(5)), OUTAGE),
    ];
    for (error, expected) in answered {
        assert_eq!(failure(SharedCredentialsProvider::new(Fails(error))).await, expected, "{:?}", error());
    }
}

#[tokio::test]
async fn what_is_not_configured_or_wrong_ends_only_when_it_is_corrected() {
    let wrong: [fn() -> CredentialsError; 4] = [
        CredentialsError::not_loaded_no_source,
        || CredentialsError::invalid_configuration("a profile that names itself"),
        || CredentialsError::provider_error(std::io::Error::from(std::io::ErrorKind::NotFound)),
        || CredentialsError::provider_error(CredentialsError::not_loaded("--allow-instance-identity is not set")),
    ];
    for error in wrong {
        let chain = CredentialsProviderChain::first_try("one", Fails(error));
        assert_eq!(failure(SharedCredentialsProvider::new(chain)).await, NONE, "{:?}", error());
    }
}
