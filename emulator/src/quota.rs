//! Request quotas: one token bucket per Region and group of operations, as AWS counts them (quota table of the user guide).

use std::collections::BTreeMap;

use jiff::Timestamp;

/// How strictly requests are counted.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Quotas {
    /// No request is refused.
    #[default]
    Off,
    /// AWS's figures.
    Real,
    /// AWS's figures times a factor.
    Scaled(f64),
}

impl std::str::FromStr for Quotas {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            "real" => Ok(Self::Real),
            factor => match factor.parse::<f64>() {
                Ok(factor) if factor.is_finite() && factor > 0.0 => Ok(Self::Scaled(factor)),
                _ => Err(format!("'{factor}' is none of: off, real, a factor above zero")),
            },
        }
    }
}

/// The group an operation is charged to, and its requests per second.
fn charge(operation: &str) -> (&'static str, f64) {
    match operation {
        "GetSecretValue" => ("get", 10_000.0),
        "DescribeSecret" => ("describe", 40_000.0),
        "BatchGetSecretValue" => ("batch", 100.0),
        "ListSecrets" => ("list", 100.0),
        "ListSecretVersionIds" => ("list versions", 50.0),
        "CreateSecret" => ("create", 50.0),
        "DeleteSecret" => ("delete", 50.0),
        "RestoreSecret" => ("restore", 50.0),
        "GetRandomPassword" => ("password", 50.0),
        "RotateSecret" | "CancelRotateSecret" => ("rotate", 50.0),
        "TagResource" | "UntagResource" => ("tag", 50.0),
        "PutResourcePolicy" | "GetResourcePolicy" | "DeleteResourcePolicy" | "ValidateResourcePolicy" => ("policy", 50.0),
        // PutSecretValue, UpdateSecret, UpdateSecretVersionStage and the replication operations share one.
        _ => ("update", 50.0),
    }
}

/// The buckets.
#[derive(Debug)]
pub(crate) struct Meter {
    quotas: Quotas,
    buckets: BTreeMap<(String, &'static str), Bucket>,
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    filled: Timestamp,
}

impl Meter {
    pub(crate) fn new(quotas: Quotas) -> Self {
        Self { quotas, buckets: BTreeMap::new() }
    }

    pub(crate) fn set(&mut self, quotas: Quotas) {
        *self = Self::new(quotas);
    }

    /// Takes one request's share; `false` when there is none left. A bucket holds one second's worth.
    pub(crate) fn admit(&mut self, region: &str, operation: &str, now: Timestamp) -> bool {
        let (group, rate) = charge(operation);
        let rate = match self.quotas {
            Quotas::Off => return true,
            Quotas::Real => rate,
            Quotas::Scaled(factor) => rate * factor,
        };
        let size = rate.max(1.0);
        let bucket = self.buckets.entry((region.to_owned(), group)).or_insert(Bucket { left: size, filled: now });
        let passed = now.duration_since(bucket.filled).as_secs_f64().max(0.0);
        bucket.left = (bucket.left + passed * rate).min(size);
        bucket.filled = now;
        let admitted = bucket.left >= 1.0;
        if admitted {
            bucket.left -= 1.0;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::after;
    use std::time::Duration;

    #[test]
    fn writes_of_one_group_share_a_bucket_that_refills_with_time() {
        let mut meter = Meter::new(Quotas::Real);
        let start = Timestamp::UNIX_EPOCH;
        for nth in 0..50 {
            let operation = if nth % 2 == 0 { "PutSecretValue" } else { "UpdateSecretVersionStage" };
            assert!(meter.admit("r", operation, start), "{nth}");
        }
        assert!(!meter.admit("r", "UpdateSecret", start));
        assert!(meter.admit("other", "UpdateSecret", start), "each Region has its own");
        assert!(meter.admit("r", "CreateSecret", start), "another group");
        assert!(meter.admit("r", "UpdateSecret", after(start, Duration::from_millis(25))));
    }

    #[test]
    fn a_small_factor_still_lets_one_through() {
        let mut meter = Meter::new(Quotas::Scaled(0.001));
        assert!(meter.admit("r", "CreateSecret", Timestamp::UNIX_EPOCH));
        assert!(!meter.admit("r", "CreateSecret", Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn a_factor_is_a_positive_number() {
        assert_eq!("0.5".parse(), Ok(Quotas::Scaled(0.5)));
        assert!("-1".parse::<Quotas>().is_err());
    }
}
