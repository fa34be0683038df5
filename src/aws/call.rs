//! The only path of an AWS call: ask the circuit breaker, wait for the rate limit, send, count, classify.

mod breaker;
mod bucket;
mod limit;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::RequestId;
use breaker::{Breakers, End, Service, Target};
pub(super) use limit::{QuotaGroup, RateLimits};

use super::fault::{Cause, Fault};
use super::operation::Operation;
use crate::identity::RoleArn;
use crate::metrics::Metrics;

/// The time that breakers compare. Not that of the node's clock, which can be set.
pub(super) type Monotonic = Arc<dyn Fn() -> Instant + Send + Sync>;

/// Sends calls. All identities of the process share one: AWS charges a call to the account of the caller.
pub(super) struct Calls {
    metrics: Metrics,
    limits: Arc<RateLimits>,
    breakers: Mutex<Breakers>,
    monotonic: Monotonic,
}

/// A call that the breaker let pass. If it is dropped, the call was given up.
struct Passed<'a> {
    calls: &'a Calls,
    target: Target,
    number: u64,
    end: End,
}

impl Drop for Passed<'_> {
    fn drop(&mut self) {
        let now = (self.calls.monotonic)();
        self.calls.breakers().end(&self.target, self.number, self.end, now);
    }
}

impl Calls {
    pub(super) fn new(metrics: Metrics, monotonic: Monotonic) -> Self {
        let limits = Arc::new(RateLimits::published());
        let shown = Arc::clone(&limits);
        metrics.show_rates(move || shown.lowest(Instant::now()));
        Self { metrics, limits, breakers: Mutex::default(), monotonic }
    }

    /// For the interceptor, which counts requests.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// For the interceptor, which sees what AWS throttles.
    pub(super) fn limits(&self) -> &Arc<RateLimits> {
        &self.limits
    }

    /// Waits until the quota of `operation` in `region` permits a call, then sends `request`. `role`: the role that signs it, if any.
    ///
    /// `request` must not have been polled: the SDK sends when its future is first polled. Dropping the returned future cancels the call
    /// at any point; a call that still waits has sent nothing.
    pub(super) fn call<T, E>(
        &self,
        region: &str,
        operation: Operation,
        role: Option<&RoleArn>,
        request: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> impl Future<Output = Result<T, Fault>>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        SdkError<E>: RequestId,
    {
        // The SDK's futures are large.
        let request = Box::pin(request);
        async move {
            self.wait(&place(region, role), operation).await;
            let mut passed = self.pass(region, operation, role)?;
            let answer = request.await;
            passed.end = end(&answer);
            drop(passed);
            self.count(region, operation, role, answer)
        }
    }

    /// Asks the breaker. A call that it does not let pass fails as the one before, without an answer.
    fn pass(&self, region: &str, operation: Operation, role: Option<&RoleArn>) -> Result<Passed<'_>, Fault> {
        let role = role.map(ToString::to_string);
        let service = match operation.group() {
            QuotaGroup::Sts => Service::Sts,
            QuotaGroup::Queue => Service::Sqs,
            QuotaGroup::List => Service::Lists,
            _ => Service::SecretsManager,
        };
        let target = Target { service, region: region.to_owned(), role: role.clone() };
        let now = (self.monotonic)();
        let number = self.breakers().begin(&target, now);
        let number = number.map_err(|cause| {
            self.metrics.aws_call_failed_fast(operation.as_str());
            Fault { operation, code: None, cause, role, region: Some(region.into()), secret: None, key: None, request_id: None }
        })?;
        Ok(Passed { calls: self, target, number, end: End::Unknown })
    }

    /// The data is complete after every change, so a poisoned lock is used as it is.
    fn breakers(&self) -> MutexGuard<'_, Breakers> {
        self.breakers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait(&self, place: &str, operation: Operation) {
        let mut next = self.limits.acquire(operation.group(), place, Instant::now());
        if next.is_some() {
            self.metrics.aws_call_delayed(operation.as_str());
        }
        // It waits again where another call took the token.
        while let Some(wait) = next {
            tokio::time::sleep(wait).await;
            next = self.limits.acquire(operation.group(), place, Instant::now());
        }
    }

    fn count<T, E>(&self, region: &str, operation: Operation, role: Option<&RoleArn>, answer: Result<T, SdkError<E>>) -> Result<T, Fault>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        SdkError<E>: RequestId,
    {
        match answer {
            Ok(output) => {
                self.metrics.aws_call(operation.as_str(), "ok");
                Ok(output)
            }
            Err(error) => {
                let (role, region) = (role.map(ToString::to_string), Some(region.into()));
                let fault = Fault { role, region, ..Fault::read(operation, &error) };
                self.metrics.aws_call(operation.as_str(), fault.reason().as_str());
                tracing::debug!(
                    %operation,
                    code = fault.code.as_deref().unwrap_or("none"),
                    request_id = fault.request_id.as_deref().unwrap_or("none"),
                    cause = ?fault.cause,
                    "an AWS call failed"
                );
                Err(fault)
            }
        }
    }
}

/// What has quotas of its own: a Region of an account.
pub(super) fn place(region: &str, role: Option<&RoleArn>) -> String {
    role.and_then(RoleArn::account).map_or_else(|| region.to_owned(), |account| format!("{account} {region}"))
}

fn end<T, E>(answer: &Result<T, SdkError<E>>) -> End
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match answer {
        Ok(_) | Err(SdkError::ServiceError(_)) => End::Answered,
        Err(error) => match Cause::of_unanswered(error) {
            cause @ (Cause::Unavailable | Cause::CredentialsUnavailable) => End::Unanswered(cause),
            _ => End::Unknown,
        },
    }
}

#[cfg(test)]
mod tests;
