//! The only path of an AWS call: wait for the rate limit, send, count, classify.

mod limit;

use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::RequestId;
use governor::clock::MonotonicClock;
pub(super) use limit::QuotaGroup;
use limit::RateLimits;

use super::fault::Fault;
use super::operation::Operation;
use crate::identity::RoleArn;
use crate::metrics::Metrics;

/// Sends calls. All identities of the process share one: AWS charges a call to the account of the caller.
pub(super) struct Calls {
    metrics: Metrics,
    limits: RateLimits<MonotonicClock>,
}

impl Calls {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { metrics, limits: RateLimits::published(MonotonicClock) }
    }

    /// For the interceptor, which counts requests.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
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
            self.wait(region, operation).await;
            self.count(region, operation, role, request.await)
        }
    }

    async fn wait(&self, region: &str, operation: Operation) {
        if let Some(wait) = self.limits.acquire(operation.group(), region) {
            self.metrics.aws_call_delayed(operation.as_str());
            self.limits.acquire_after(wait, operation.group(), region).await;
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
                let (role, region) = (role.map(ToString::to_string), Some(region.to_owned()));
                let fault = Fault { role, region, ..Fault::read(operation, &error) };
                self.metrics.aws_call(operation.as_str(), fault.reason().as_str());
                tracing::debug!(
                    %operation,
                    code = fault.code.as_deref().unwrap_or("none"),
                    request_id = error.request_id().unwrap_or("none"),
                    cause = ?fault.cause,
                    "an AWS call failed"
                );
                Err(fault)
            }
        }
    }
}

#[cfg(test)]
mod tests;
