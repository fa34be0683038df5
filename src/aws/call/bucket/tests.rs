use super::*;

/// As for the quota of 50 writes a second.
const CEILING: Ceiling = Ceiling { rate: 47.0, burst: 3.0 };

fn after(start: Instant, millis: u64) -> Instant {
    start + Duration::from_millis(millis)
}

#[test]
fn the_rate_follows_throttling_and_comes_back_with_time() {
    // When requests were throttled, in milliseconds, and the rate as a share of the highest one at a later time.
    let cases: [(&[u64], u64, f64); 9] = [
        (&[], 0, 1.0),
        (&[0], 0, 0.6),
        (&[0, 300, 900], 900, 0.609),
        (&[0, 1000], 1000, 0.366),
        (&[0], 10_000, 0.7),
        (&[0], 39_000, 0.99),
        (&[0], 41_000, 1.0),
        (&[0, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10_000], 10_000, 0.02),
        (&[100_000], 100_000, 0.6),
    ];
    for (throttled, at, expected) in cases {
        let start = Instant::now();
        let mut bucket = Bucket::new(CEILING, start);
        for millis in throttled {
            bucket.throttled(after(start, *millis));
        }
        let ratio = bucket.ratio(after(start, at));
        assert!((ratio - expected).abs() < 0.01, "{throttled:?}: {ratio} at {at}, not {expected}");
    }
}

#[test]
fn throttled_all_the_time_it_still_asks_now_and_then() {
    let start = Instant::now();
    let mut bucket = Bucket::new(CEILING, start);
    for second in 0..600 {
        bucket.throttled(after(start, 1000 * second));
    }
    let ratio = bucket.ratio(after(start, 599_000));
    assert!((LOWEST..0.05).contains(&ratio), "{ratio}");
}

#[test]
fn a_request_that_does_not_wait_delays_those_that_do() {
    let start = Instant::now();
    let mut bucket = Bucket::new(CEILING, start);
    for _ in 0..5 {
        bucket.charge(start);
    }
    let wait = bucket.take(start).unwrap();
    assert!((wait.as_secs_f64() - 3.0 / 47.0).abs() < 0.001, "two are owed, and one is wanted: {wait:?}");
    assert!(bucket.take(after(start, 50)).is_some());
    assert_eq!(bucket.take(start + wait), None);
}

#[test]
fn a_throttled_request_ends_the_burst() {
    let start = Instant::now();
    let mut bucket = Bucket::new(CEILING, start);
    bucket.throttled(start);
    assert!(bucket.take(start).is_some());
}

#[test]
fn a_time_that_goes_back_changes_nothing() {
    let start = Instant::now();
    let mut bucket = Bucket::new(CEILING, after(start, 1000));
    bucket.throttled(after(start, 1000));
    assert!(bucket.take(start).is_some());
    assert!((bucket.ratio(start) - 0.6).abs() < 0.001);
}

/// AWS's quota: 50 requests a second, and so many at once.
struct Quota {
    left: f64,
    burst: f64,
}

impl Quota {
    fn admits(&mut self) -> bool {
        let admits = self.left >= 1.0;
        if admits {
            self.left -= 1.0;
        }
        admits
    }
}

/// What one run of ten minutes has sent.
#[derive(Debug, Default)]
struct Sent {
    accepted: u32,
    throttled: u32,
    others_throttled: u32,
}

/// Ten minutes in steps of a millisecond. Another client sends `others` requests a second at random times, and does not slow down. We have
/// always more to send, and learn `latency` milliseconds later what AWS has answered. What is throttled is sent again half a second later,
/// without a token, as the SDK does.
fn ten_minutes(others: u32, burst: f64, latency: u64) -> Sent {
    let start = Instant::now();
    let (mut bucket, mut quota, mut sent) = (Bucket::new(CEILING, start), Quota { left: burst, burst }, Sent::default());
    let (mut answers, mut retries) = (Vec::<u64>::new(), Vec::<u64>::new());
    let mut random: u64 = 1;
    for millis in 0..600_000 {
        let now = after(start, millis);
        quota.left = (quota.left + 0.05).min(quota.burst);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if (random >> 33) % 1000 < others.into() && !quota.admits() {
            sent.others_throttled += 1;
        }
        for _ in answers.extract_if(.., |at| *at <= millis) {
            bucket.throttled(now);
        }
        let due = retries.extract_if(.., |at| *at <= millis).inspect(|_| bucket.charge(now)).count();
        for _ in 0..due + usize::from(bucket.take(now).is_none()) {
            if quota.admits() {
                sent.accepted += 1;
            } else {
                sent.throttled += 1;
                answers.push(millis + latency);
                retries.push(millis + latency + 500);
            }
        }
    }
    sent
}

#[test]
fn another_client_that_uses_half_of_the_quota_costs_less_than_one_throttled_request_in_a_hundred() {
    // Requests of others in a second, AWS's burst, latency in ms; the most throttled requests in a thousand, and the least share in percent that
    // we use of what the others leave.
    for (others, burst, latency, throttled, used) in [
        (2, 50.0, 20, 0, 97),
        (10, 50.0, 20, 2, 90),
        (25, 50.0, 20, 5, 90),
        (25, 50.0, 200, 8, 90),
        (25, 10.0, 20, 8, 65),
        (40, 50.0, 20, 20, 90),
    ] {
        let sent = ten_minutes(others, burst, latency);
        let (all, left) = (sent.accepted + sent.throttled, 600 * (50 - others));
        let what = format!("others {others}, burst {burst}, latency {latency}: {sent:?}, and {left} are left");
        println!("{what}");
        assert!(sent.throttled * 1000 <= throttled * all, "{what}");
        assert!(sent.accepted * 100 >= used * left, "{what}");
        // The other client is not pushed aside.
        assert!(sent.others_throttled * 100 <= 4 * 600 * others, "{what}");
    }
}

#[test]
fn with_the_quota_for_itself_it_is_never_throttled() {
    let sent = ten_minutes(0, 50.0, 20);
    assert_eq!(sent.throttled, 0);
    assert!((600 * 47..=600 * 47 + 3).contains(&sent.accepted), "{sent:?}");
}
