use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_secretsmanager::operation::put_secret_value::PutSecretValueError;
use futures::FutureExt;
use strum::IntoEnumIterator;

use super::bucket::Ceiling;
use super::*;

const REGION: &str = "eu-central-1";

/// Takes tokens until there is none; returns their number.
fn drain(limits: &RateLimits, group: QuotaGroup, region: &str, now: Instant) -> u32 {
    (0..100_000).find(|_| limits.acquire(group, region, now).is_some()).unwrap()
}

#[test]
fn every_quota_group_is_used_and_stays_within_the_published_quota() {
    let used: BTreeSet<String> = Operation::iter().map(|operation| format!("{:?}", operation.group())).collect();
    assert_eq!(used, QuotaGroup::iter().map(|group| format!("{group:?}")).collect());
    for group in QuotaGroup::iter() {
        let (limits, start) = (RateLimits::published(), Instant::now());
        let mut sent = drain(&limits, group, REGION, start);
        for millis in 1..=1000 {
            sent += drain(&limits, group, REGION, start + Duration::from_millis(millis));
        }
        let published = group.published();
        assert!((published * 0.94..=published).contains(&f64::from(sent)), "{group:?}: {sent} in the first second, of {published}");
    }
}

#[test]
fn calls_beyond_the_burst_wait_and_those_of_other_groups_and_regions_do_not() {
    let (limits, start) = (RateLimits::published(), Instant::now());
    drain(&limits, QuotaGroup::Write, REGION, start);
    let wait = limits.acquire(QuotaGroup::Write, REGION, start).expect("the burst is used");
    for group in QuotaGroup::iter().filter(|group| *group != QuotaGroup::Write) {
        assert_eq!(limits.acquire(group, REGION, start), None, "{group:?}");
    }
    assert_eq!(limits.acquire(QuotaGroup::Write, "eu-west-1", start), None);
    // A wait is rounded to nanoseconds.
    let later = start + wait + Duration::from_nanos(1);
    assert_eq!(limits.acquire(QuotaGroup::Write, REGION, later), None);
    assert!(limits.acquire(QuotaGroup::Write, REGION, later).is_some(), "only one token was added");
}

#[test]
fn throttling_concerns_one_quota_of_one_place() {
    let (limits, start) = (RateLimits::published(), Instant::now());
    limits.throttled(QuotaGroup::Write, REGION, start);
    assert!(limits.acquire(QuotaGroup::Write, REGION, start).is_some(), "no burst");
    assert_eq!(limits.acquire(QuotaGroup::Write, "eu-west-1", start), None);
    assert_eq!(limits.acquire(QuotaGroup::Create, REGION, start), None);
    let reduced: Vec<_> = limits.lowest(start).into_iter().filter(|(_, ratio)| *ratio < 1.0).collect();
    assert_eq!(reduced, [("Write", 0.6)]);
}

#[test]
fn places_that_are_no_longer_used_are_forgotten_unless_their_rate_is_reduced() {
    let (limits, start) = (RateLimits::published(), Instant::now());
    let at = |second| start + Duration::from_secs(second);
    for number in 0..10_000 {
        assert_eq!(limits.acquire(QuotaGroup::Write, &format!("region-{number}"), at(number)), None);
    }
    assert!(limits.places(QuotaGroup::Write) < 100);
    limits.throttled(QuotaGroup::Write, REGION, at(10_000));
    for number in 0..100 {
        assert_eq!(limits.acquire(QuotaGroup::Write, &format!("region-{number}"), at(10_000)), None);
    }
    assert!(limits.acquire(QuotaGroup::Write, REGION, at(10_000)).is_some());
}

/// At a time that does not change.
fn calls() -> Calls {
    let now = Instant::now();
    Calls::new(Metrics::new(), Arc::new(move || now))
}

/// Each group sends one call per hour.
fn one_per_hour() -> Calls {
    Calls { limits: Arc::new(RateLimits::new(|_| Ceiling { rate: 1.0 / 3600.0, burst: 1.0 })), ..calls() }
}

#[tokio::test]
async fn a_call_that_waits_sends_nothing_and_can_be_cancelled() {
    let calls = one_per_hour();
    let sent = AtomicU32::new(0);
    let request = || async {
        sent.fetch_add(1, Ordering::SeqCst);
        Ok::<(), SdkError<PutSecretValueError>>(())
    };
    let call = |operation| calls.call(REGION, operation, None, request()).now_or_never();
    assert!(matches!(call(Operation::PutSecretValue), Some(Ok(()))));
    // Polled once, then dropped.
    assert!(call(Operation::UpdateSecret).is_none(), "the same quota");
    assert!(call(Operation::PutSecretValue).is_none());
    assert_eq!(sent.load(Ordering::SeqCst), 1);
    assert!(matches!(call(Operation::DescribeSecret), Some(Ok(()))), "another quota");
    assert!(matches!(call(Operation::AssumeRole), Some(Ok(()))), "another quota");
    assert_eq!(sent.load(Ordering::SeqCst), 3);
    let page = calls.metrics.render().unwrap();
    for (operation, delayed) in [("PutSecretValue", 1), ("UpdateSecret", 1)] {
        let line = format!("rotated_secrets_aws_calls_delayed_total{{operation=\"{operation}\"}} {delayed}\n");
        assert!(page.contains(&line), "{page}");
    }
    assert!(!page.contains("delayed_total{operation=\"DescribeSecret\"}"), "{page}");
}

#[tokio::test]
async fn a_failed_call_is_counted_by_its_reason() {
    let calls = one_per_hour();
    let role = RoleArn::parse("arn:aws:iam::123456789012:role/shop").unwrap();
    let request = async { Err::<(), _>(SdkError::<PutSecretValueError>::timeout_error("no answer")) };
    let fault = calls.call(REGION, Operation::PutSecretValue, Some(&role), request).await.unwrap_err();
    assert_eq!((fault.operation, fault.role.as_deref()), (Operation::PutSecretValue, Some(role.as_str())));
    let line = "rotated_secrets_aws_calls_total{operation=\"PutSecretValue\",outcome=\"AwsUnavailable\"} 1\n";
    assert!(calls.metrics.render().unwrap().contains(line));
}

#[tokio::test]
async fn while_a_region_does_not_answer_calls_to_it_fail_at_once_and_are_not_sent() {
    let calls = calls();
    let role = RoleArn::parse("arn:aws:iam::123456789012:role/shop").unwrap();
    let sent = AtomicU32::new(0);
    let call = async |region, operation, role, answers: bool| {
        let request = async {
            sent.fetch_add(1, Ordering::SeqCst);
            if answers { Ok(()) } else { Err(SdkError::<PutSecretValueError>::timeout_error("no answer")) }
        };
        calls.call(region, operation, role, request).await.map_err(|fault| (fault.code, fault.cause, fault.role))
    };
    let unanswered = call(REGION, Operation::PutSecretValue, None, false).await;
    assert_eq!(unanswered, Err((None, Cause::Unavailable, None)));
    assert_eq!(call(REGION, Operation::DescribeSecret, None, true).await, unanswered, "the same failure");
    assert_eq!(sent.load(Ordering::SeqCst), 1);
    assert_eq!(call("eu-west-1", Operation::DescribeSecret, None, true).await, Ok(()), "another Region");
    assert_eq!(call(REGION, Operation::AssumeRole, None, true).await, Ok(()), "another endpoint");
    assert_eq!(call(REGION, Operation::DescribeSecret, Some(&role), true).await, Ok(()), "another identity");
    let page = calls.metrics.render().unwrap();
    assert!(page.contains("rotated_secrets_aws_calls_failed_fast_total{operation=\"DescribeSecret\"} 1\n"), "{page}");
}

#[tokio::test]
async fn each_account_has_its_own_quota() {
    let calls = one_per_hour();
    let call = |role: Option<&RoleArn>| {
        let request = async { Ok::<(), SdkError<PutSecretValueError>>(()) };
        calls.call(REGION, Operation::PutSecretValue, role, request).now_or_never().is_some()
    };
    let role = |account: &str| RoleArn::parse(&format!("arn:aws:iam::{account}:role/shop")).unwrap();
    assert!(call(None) && call(Some(&role("111122223333"))) && call(Some(&role("444455556666"))));
    assert!(!call(Some(&role("111122223333"))), "the quota of this account is used");
}
