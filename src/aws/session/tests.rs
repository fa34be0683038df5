use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_secretsmanager::config::http::HttpRequest;
use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use aws_config::BehaviorVersion;
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;

use super::*;
use crate::aws::{Address, Aws};
use crate::identity::{self, NamespaceSays};
use crate::metrics::Metrics;

/// Records the URLs of requests and sends none.
#[derive(Debug, Clone, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl HttpConnector for Recorder {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        lock(&self.0).push(request.uri().to_owned());
        HttpConnectorFuture::ready(Err(ConnectorError::other("no network".into(), None)))
    }
}

impl HttpClient for Recorder {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

fn config(region: &str, fips: bool, recorder: &Recorder) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(region.to_owned()))
        .use_fips(fips)
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("AKIAEXAMPLE", "example", None, None, "test")))
        .http_client(recorder.clone())
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
async fn every_partition_has_its_own_endpoints_and_fips_endpoints_if_configured() {
    for (region, fips, manager, sts) in [
        ("eu-central-1", false, "secretsmanager.eu-central-1.amazonaws.com", "sts.eu-central-1.amazonaws.com"),
        ("us-east-1", true, "secretsmanager-fips.us-east-1.amazonaws.com", "sts-fips.us-east-1.amazonaws.com"),
        ("cn-north-1", false, "secretsmanager.cn-north-1.amazonaws.com.cn", "sts.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", false, "secretsmanager.us-gov-west-1.amazonaws.com", "sts.us-gov-west-1.amazonaws.com"),
        ("us-gov-west-1", true, "secretsmanager-fips.us-gov-west-1.amazonaws.com", "sts.us-gov-west-1.amazonaws.com"),
    ] {
        let recorder = Recorder::default();
        let aws = Aws::new(config(region, fips, &recorder), Metrics::new());
        assert!(aws.operator().describe(Address { region, id: "x" }).await.is_err());
        assert!(aws.client_for(&role("shop"), no_token).await.is_err());
        let hosts: Vec<String> = lock(&recorder.0).iter().map(|uri| uri.trim_end_matches('/').to_owned()).collect();
        assert_eq!(hosts, [format!("https://{manager}"), format!("https://{sts}")], "{region} fips: {fips}");
    }
}

#[tokio::test]
async fn a_call_goes_to_the_region_of_its_object() {
    let recorder = Recorder::default();
    let aws = Aws::new(config("eu-central-1", false, &recorder), Metrics::new());
    assert!(aws.operator().describe(Address { region: "eu-west-1", id: "x" }).await.is_err());
    assert_eq!(lock(&recorder.0).len(), 1);
    assert!(lock(&recorder.0).iter().all(|uri| uri.contains("secretsmanager.eu-west-1.amazonaws.com")));
}

/// The session of this identity, with credentials.
fn started(sessions: &mut Sessions, identity: &Identity) -> Arc<Session> {
    let session = sessions.get(identity);
    sessions.keep(&session);
    session
}

fn account(namespace: &str, name: &str, role: &str) -> Identity {
    let account = identity::Account { uid: "1".to_owned(), role_arn: Some(format!("arn:aws:iam::123456789012:role/{role}")) };
    let session = identity::Session { cluster: "test".to_owned(), namespace: namespace.to_owned() };
    identity::of_account(session, name, Some(account)).unwrap()
}

#[test]
fn equal_identities_share_a_session_while_it_starts_and_afterwards() {
    let mut sessions = Sessions::default();
    let shop = sessions.get(&role("shop"));
    assert!(Arc::ptr_eq(&shop, &sessions.get(&role("shop"))), "it starts");
    sessions.keep(&shop);
    assert!(Arc::ptr_eq(&shop, &sessions.get(&role("shop"))));
    assert!(!Arc::ptr_eq(&shop, &sessions.get(&role("desk"))));
}

#[test]
fn the_namespace_with_the_most_sessions_loses_its_least_recently_used_one() {
    let mut sessions = Sessions::default();
    let operator = started(&mut sessions, &Identity::Operator);
    let shop = started(&mut sessions, &role("shop"));
    let first = started(&mut sessions, &account("crowd", "first", "x"));
    let second = started(&mut sessions, &account("crowd", "second", "x"));
    for number in 0..2 * MAX_SESSIONS {
        started(&mut sessions, &account("crowd", &format!("a{number}"), "x"));
        sessions.get(&account("crowd", "first", "x"));
    }
    assert_eq!(sessions.started.len(), MAX_SESSIONS);
    assert!(Arc::ptr_eq(&operator, &sessions.get(&Identity::Operator)));
    assert!(Arc::ptr_eq(&shop, &sessions.get(&role("shop"))), "of another namespace");
    assert!(Arc::ptr_eq(&first, &sessions.get(&account("crowd", "first", "x"))), "recently used");
    assert!(!Arc::ptr_eq(&second, &sessions.get(&account("crowd", "second", "x"))), "least recently used");
}

#[test]
fn a_service_account_and_a_namespace_have_one_session_also_if_they_name_another_role() {
    let mut sessions = Sessions::default();
    let other = started(&mut sessions, &account("shop", "other", "x"));
    for number in 0..10 {
        started(&mut sessions, &account("shop", "app", &format!("r{number}")));
        started(&mut sessions, &role("shop"));
    }
    assert_eq!(sessions.started.len(), 3);
    assert!(Arc::ptr_eq(&other, &sessions.get(&account("shop", "other", "x"))));
    let again = identity::Account { uid: "2".to_owned(), role_arn: Some("arn:aws:iam::123456789012:role/r9".to_owned()) };
    let session = identity::Session { cluster: "test".to_owned(), namespace: "shop".to_owned() };
    started(&mut sessions, &identity::of_account(session, "app", Some(again)).unwrap());
    assert_eq!(sessions.started.len(), 3, "an account that was created again");
}

#[tokio::test]
async fn an_identity_that_gets_no_credentials_is_not_kept() {
    let recorder = Recorder::default();
    let aws = Aws::new(config("eu-central-1", false, &recorder), Metrics::new());
    for number in 0..20 {
        let refused = account("shop", "app", &format!("r{number}"));
        assert!(aws.client_for(&refused, async || Ok(Plaintext::from("token".to_owned()))).await.is_err());
    }
    assert_eq!(aws.sessions_kept(), 0);
    assert!(aws.client_for(&Identity::Operator, no_token).await.is_ok());
    assert_eq!(aws.sessions_kept(), 1);
}

#[tokio::test]
async fn a_token_is_requested_only_when_a_session_of_a_service_account_starts() {
    let recorder = Recorder::default();
    let aws = Aws::new(config("eu-central-1", false, &recorder), Metrics::new());
    let account = identity::Account { uid: "1".to_owned(), role_arn: Some("arn:aws:iam::123456789012:role/x".to_owned()) };
    let session = identity::Session { cluster: "test".to_owned(), namespace: "shop".to_owned() };
    let account = identity::of_account(session, "app", Some(account)).unwrap();
    for (identity, expected) in [(Identity::Operator, 0), (role("shop"), 0), (account, 1)] {
        let tokens = AtomicU32::new(0);
        let token = async || {
            tokens.fetch_add(1, Ordering::SeqCst);
            Ok(Plaintext::from("token".to_owned()))
        };
        let client = aws.client_for(&identity, token).await;
        assert_eq!(client.is_ok(), identity == Identity::Operator, "there is no network");
        assert_eq!(tokens.load(Ordering::SeqCst), expected, "{identity:?}");
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// An hour after the start, so that there is a time before it.
fn instant(second: i64) -> Instant {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    *START + Duration::from_secs(u64::try_from(3600 + second).unwrap())
}

/// A session of a role that started at second 0 and lasts an hour.
fn issued_at_zero() -> Session {
    let session = Session::new(&role("shop"));
    let expiry = SystemTime::from(at(3600));
    let credentials = Credentials::new("AKIAEXAMPLE", "example", Some("token".to_owned()), Some(expiry), "test");
    *lock(&session.issued) = Some(Issued { credentials, at: instant(0), rejected: false });
    session
}

#[test]
fn a_denied_call_ends_a_session_that_is_older_than_two_minutes_and_an_expired_one_ends_at_once() {
    for (cause, started, now, rejected) in [
        (Cause::Permissions, 119, 119, false),
        (Cause::Permissions, 120, 120, true),
        (Cause::Credentials, 120, 120, true),
        (Cause::SessionExpired, 1, 1, true),
        (Cause::Throttled, 1000, 1000, false),
        (Cause::Unavailable, 1000, 1000, false),
        (Cause::Key, 1000, 1000, false),
    ] {
        let session = issued_at_zero();
        session.after_fault(cause, instant(started), instant(now));
        assert_eq!(session.left(at(now)), (SignedDuration::from_secs(3600 - now), rejected), "{cause:?} {now}");
    }
}

#[test]
fn an_answer_to_a_call_with_earlier_credentials_does_not_end_the_session() {
    for cause in [Cause::Permissions, Cause::SessionExpired] {
        let session = issued_at_zero();
        session.after_fault(cause, instant(-1), instant(600));
        assert!(!session.left(at(600)).1, "{cause:?}");
    }
}
