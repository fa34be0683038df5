use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_secretsmanager::config::http::{HttpRequest, HttpResponse as Answer};
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_types::body::SdkBody;

use super::*;
use crate::aws::{Address, Aws};

const THROTTLED: &str = r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#;

/// Answers one after the other.
#[derive(Debug, Clone)]
struct Answers(Arc<Mutex<VecDeque<(u16, &'static str)>>>);

impl HttpConnector for Answers {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let (status, body) = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front().unwrap();
        HttpConnectorFuture::ready(Ok(Answer::new(status.try_into().unwrap(), SdkBody::from(body))))
    }
}

impl HttpClient for Answers {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// The operator, whose requests are answered so.
fn aws(answers: &[(u16, &'static str)], metrics: &Metrics) -> Aws {
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-central-1"))
        .retry_config(RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(1)))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("AKIAEXAMPLE", "example", None, None, "test")))
        .http_client(Answers(Arc::new(Mutex::new(answers.iter().copied().collect()))))
        .build();
    Aws::new(config, metrics.clone())
}

fn ratio(metrics: &Metrics, quota: &str) -> String {
    let page = metrics.render().unwrap();
    let line = format!("rotated_secrets_aws_rate_limit_ratio{{quota=\"{quota}\"}} ");
    page.lines().find_map(|found| found.strip_prefix(&line)).unwrap_or_else(|| panic!("{page}")).to_owned()
}

#[tokio::test]
async fn a_throttled_answer_reduces_the_rate_also_if_the_sdk_retries_with_success() {
    let metrics = Metrics::new();
    let aws = aws(&[(400, THROTTLED), (200, "{}")], &metrics);
    assert_eq!([ratio(&metrics, "Describe"), ratio(&metrics, "Read")], ["1.0", "1.0"]);
    let at = Address { region: "eu-central-1", id: "shop/db" };
    drop(aws.operator().describe(at).await);
    let page = metrics.render().unwrap();
    assert!(page.contains("aws_requests_total{operation=\"DescribeSecret\",outcome=\"throttled\"} 1\n"), "{page}");
    // It grows by a hundredth of the highest rate each second.
    assert!((0.60..0.99).contains(&ratio(&metrics, "Describe").parse().unwrap()), "{}", ratio(&metrics, "Describe"));
    assert_eq!(ratio(&metrics, "Read"), "1.0", "another quota");
}

#[tokio::test]
async fn a_retry_takes_a_token_of_its_own() {
    let aws = aws(&[(400, THROTTLED), (200, "{}")], &Metrics::new());
    let start = Instant::now();
    aws.operator().restore(Address { region: "eu-central-1", id: "shop/db" }).await.unwrap();
    let wait = aws.limits().acquire(QuotaGroup::Restore, "eu-central-1", Instant::now()).unwrap();
    // None was left after the throttled request, one is owed for the retry, and one is wanted, at 60 % of 47 a second.
    let owed = (wait + start.elapsed()).as_secs_f64();
    assert!(owed > 1.95 / (0.6 * 47.0), "{owed}");
}

#[tokio::test]
async fn an_error_of_aws_is_told_from_a_refusal() {
    let metrics = Metrics::new();
    let aws = aws(&[(503, "{}"), (400, r#"{"__type":"AccessDeniedException","message":"no"}"#)], &metrics);
    assert!(aws.operator().describe(Address { region: "eu-central-1", id: "shop/db" }).await.is_err());
    let page = metrics.render().unwrap();
    for outcome in ["failed", "refused"] {
        let line = format!("aws_requests_total{{operation=\"DescribeSecret\",outcome=\"{outcome}\"}} 1\n");
        assert!(page.contains(&line), "{outcome}: {page}");
    }
}

#[tokio::test]
async fn other_refusals_leave_the_rate_as_it_is() {
    let metrics = Metrics::new();
    let aws = aws(&[(400, r#"{"__type":"AccessDeniedException","message":"no"}"#)], &metrics);
    assert!(aws.operator().describe(Address { region: "eu-central-1", id: "shop/db" }).await.is_err());
    assert_eq!(ratio(&metrics, "Describe"), "1.0");
}

#[test]
fn the_code_of_a_refusal_is_read_from_json_and_xml() {
    for (body, expected) in [
        (THROTTLED, Some("ThrottlingException")),
        (r#"{"__type":"com.amazonaws.secretsmanager#ThrottlingException"}"#, Some("ThrottlingException")),
        ("<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code></Error></ErrorResponse>", Some("Throttling")),
        ("<Code>", None),
        ("", None),
    ] {
        assert_eq!(code(body.as_bytes()).as_deref(), expected, "{body}");
    }
}
