//! `spec.rotation.job`: how long a Job may take, and whether there may be any.

use std::ops::RangeInclusive;

use jiff::SignedDuration;

use crate::api::condition::Reason;
use crate::api::default_job_timeout;
use crate::refusal::Refusal;
use crate::schedule::parse_duration;

/// How long a Job may take. Nodes need time to start a pod.
const JOB_TIMEOUTS: RangeInclusive<SignedDuration> = SignedDuration::from_secs(30)..=SignedDuration::from_hours(1);

/// Why no Job is made for any object.
pub fn jobs_not_allowed() -> Refusal {
    Refusal::new(
        Reason::JobsNotAllowed,
        "spec.rotation.job: the operator runs without --allow-rotation-jobs: ask the administrator to add the namespace to rotationJobs.namespaces \
         of the chart, which sets the flag and creates a Role in the namespace",
    )
}

/// How long a Job may take. `Err`: it is not what the field may have.
pub(super) fn job_timeout(text: &str) -> Result<SignedDuration, ()> {
    let timeout = parse_duration(text).map_err(drop)?;
    JOB_TIMEOUTS.contains(&timeout).then_some(timeout).ok_or(())
}

/// How long a Job may take for a target that only the status names.
pub(super) fn recorded_timeout() -> SignedDuration {
    job_timeout(&default_job_timeout()).unwrap_or(*JOB_TIMEOUTS.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_may_take_half_a_minute_to_an_hour() {
        for (text, timeout) in [("30s", Ok(30)), ("5m", Ok(300)), ("1h", Ok(3600)), ("29s", Err(())), ("1h1s", Err(())), ("", Err(()))] {
            assert_eq!(job_timeout(text).map(|timeout| timeout.as_secs()), timeout, "{text}");
        }
        assert_eq!(job_timeout(&default_job_timeout()), Ok(SignedDuration::from_mins(5)));
    }
}
