use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_secretsmanager::config::http::HttpRequest;
use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use super::*;
use crate::aws::Address;
use crate::identity::{self, NamespaceSays};

/// Takes down where requests were to go, and sends none.
#[derive(Debug, Clone, Default)]
struct Asked(Arc<Mutex<Vec<String>>>);

impl HttpConnector for Asked {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        lock(&self.0).push(request.uri().to_owned());
        HttpConnectorFuture::ready(Err(ConnectorError::other("no network".into(), None)))
    }
}

impl HttpClient for Asked {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

fn config(region: &str, fips: bool, asked: &Asked) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(region.to_owned()))
        .use_fips(fips)
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("AKIAEXAMPLE", "example", None, None, "test")))
        .http_client(asked.clone())
        .build()
}

fn role(namespace: &str) -> Identity {
    let session = identity::Session { cluster: "test".to_owned(), namespace: namespace.to_owned() };
    identity::of_namespace(session, NamespaceSays { role_arn: Some("arn:aws:iam::123456789012:role/x"), external_id: None }).unwrap()
}

async fn no_token() -> Result<Plaintext, Failure> {
    Err(Failure::bug("no token is needed"))
}

#[tokio::test]
async fn every_partition_has_its_own_endpoints_and_fips_ones_where_asked() {
    for (region, fips, manager, sts) in [
        ("eu-central-1", false, "secretsmanager.eu-central-1.amazonaws.com", "sts.eu-central-1.amazonaws.com"),
        ("us-east-1", true, "secretsmanager-fips.us-east-1.amazonaws.com", "sts-fips.us-east-1.amazonaws.com"),
        ("cn-north-1", false, "secretsmanager.cn-north-1.amazonaws.com.cn", "sts.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", false, "secretsmanager.us-gov-west-1.amazonaws.com", "sts.us-gov-west-1.amazonaws.com"),
        ("us-gov-west-1", true, "secretsmanager-fips.us-gov-west-1.amazonaws.com", "sts.us-gov-west-1.amazonaws.com"),
    ] {
        let asked = Asked::default();
        let aws = Aws::new(config(region, fips, &asked), Metrics::new());
        assert!(aws.operator().describe(Address { region, id: "x" }).await.is_err());
        assert!(aws.acting(&role("shop"), no_token).await.is_err());
        let hosts: Vec<String> = lock(&asked.0).iter().map(|uri| uri.trim_end_matches('/').to_owned()).collect();
        assert_eq!(hosts, [format!("https://{manager}"), format!("https://{sts}")], "{region} fips: {fips}");
    }
}

#[tokio::test]
async fn an_objects_own_region_is_asked_in_that_region() {
    let asked = Asked::default();
    let aws = Aws::new(config("eu-central-1", false, &asked), Metrics::new());
    assert!(aws.operator().describe(Address { region: "eu-west-1", id: "x" }).await.is_err());
    assert_eq!(lock(&asked.0).len(), 1);
    assert!(lock(&asked.0).iter().all(|uri| uri.contains("secretsmanager.eu-west-1.amazonaws.com")));
}

#[tokio::test]
async fn the_flag_asks_for_fips_endpoints() {
    let reach = Reach { region: Some("us-east-1".to_owned()), fips: true, ..Reach::default() };
    assert_eq!(Aws::load(&reach, "test", Metrics::new()).await.0.config.use_fips(), Some(true));
}

#[test]
fn sessions_are_shared_by_equal_identities_only_and_the_least_used_goes() {
    let mut sessions = Sessions::default();
    let (shop, desk) = (sessions.of(&role("shop")), sessions.of(&role("desk")));
    assert!(Arc::ptr_eq(&shop, &sessions.of(&role("shop"))));
    assert!(!Arc::ptr_eq(&shop, &desk));
    for number in 0..MOST_SESSIONS - 2 {
        sessions.of(&role(&format!("n{number}")));
    }
    assert_eq!(sessions.kept.len(), MOST_SESSIONS);
    sessions.of(&role("desk"));
    sessions.of(&role("one-too-many"));
    assert_eq!(sessions.kept.len(), MOST_SESSIONS);
    assert!(Arc::ptr_eq(&desk, &sessions.of(&role("desk"))), "used a moment ago");
    assert!(!Arc::ptr_eq(&shop, &sessions.of(&role("shop"))), "not used for longest");
}

#[tokio::test]
async fn a_token_is_asked_for_only_where_a_session_of_a_service_account_begins() {
    let asked = Asked::default();
    let aws = Aws::new(config("eu-central-1", false, &asked), Metrics::new());
    let account = identity::Account { uid: "1".to_owned(), role_arn: Some("arn:aws:iam::123456789012:role/x".to_owned()) };
    let session = identity::Session { cluster: "test".to_owned(), namespace: "shop".to_owned() };
    let account = identity::of_account(session, "app", Some(account)).unwrap();
    for (identity, expected) in [(Identity::Operator, 0), (role("shop"), 0), (account, 1)] {
        let tokens = AtomicU32::new(0);
        let token = async || {
            tokens.fetch_add(1, Ordering::SeqCst);
            Ok(Plaintext::from("token".to_owned()))
        };
        let acting = aws.acting(&identity, token).await;
        assert_eq!(acting.is_ok(), identity == Identity::Operator, "there is no network");
        assert_eq!(tokens.load(Ordering::SeqCst), expected, "{identity:?}");
    }
}
