//! Counts the requests that are sent to AWS. The SDK retries, so one call can be several requests, and a throttled request that succeeded on a
//! retry is counted nowhere else. The rate limits also learn here what AWS throttles.

use std::sync::Arc;
use std::time::Instant;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextRef, BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, Metadata};
use aws_smithy_runtime_api::client::retries::RequestAttempts;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use serde::Deserialize;

use super::call::{self, Calls, QuotaGroup, RateLimits};
use super::fault::{Cause, bounded_code};
use super::operation::Operation;
use crate::identity::RoleArn;
use crate::metrics::Metrics;

/// An interceptor of every AWS client.
#[derive(Clone)]
pub(super) struct Meter {
    metrics: Metrics,
    limits: Arc<RateLimits>,
    /// Whose quotas the client uses.
    place: String,
}

impl Meter {
    /// Of the client of this Region and role.
    pub(super) fn new(calls: &Calls, region: &str, role: Option<&RoleArn>) -> Self {
        Self { metrics: calls.metrics().clone(), limits: Arc::clone(calls.limits()), place: call::place(region, role) }
    }
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meter")
    }
}

#[derive(Debug)]
struct Started(Instant);

impl Storable for Started {
    type Storer = StoreReplace<Self>;
}

impl Intercept for Meter {
    fn name(&self) -> &'static str {
        "Meter"
    }

    fn read_before_execution(&self, _: &BeforeSerializationInterceptorContextRef<'_>, cfg: &mut ConfigBag) -> Result<(), BoxError> {
        cfg.interceptor_state().store_put(Started(Instant::now()));
        Ok(())
    }

    fn read_before_attempt(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // The first one has waited for its token.
        if let Some(group) = group(cfg).filter(|_| cfg.load::<RequestAttempts>().is_some_and(|number| number.attempts() > 1)) {
            self.limits.charge(group, &self.place, Instant::now());
        }
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let outcome = match (context.output_or_error(), context.response()) {
            (Some(Ok(_)), _) => "ok",
            (_, None) => "unanswered",
            (_, Some(response)) if throttled(response) => "throttled",
            (_, Some(response)) if response.status().is_server_error() => "failed",
            (_, Some(_)) => "refused",
        };
        if let Some(group) = group(cfg).filter(|_| outcome == "throttled") {
            self.limits.throttled(group, &self.place, Instant::now());
        }
        self.metrics.aws_request(operation(cfg), outcome);
        Ok(())
    }

    fn read_after_execution(
        &self,
        _: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(Started(at)) = cfg.load::<Started>() {
            self.metrics.aws_call_took(operation(cfg), at.elapsed());
        }
        Ok(())
    }
}

/// AWS's name of the operation. The SDK has a fixed set of them.
fn operation(cfg: &ConfigBag) -> &str {
    cfg.load::<Metadata>().map_or("Unknown", Metadata::name)
}

/// The quota of the operation.
fn group(cfg: &ConfigBag) -> Option<QuotaGroup> {
    Operation::named(operation(cfg)).map(Operation::group)
}

/// Whether the answer is a throttling error. Only the code is read.
fn throttled(response: &HttpResponse) -> bool {
    let code = response.body().bytes().and_then(code);
    Cause::of(code.as_deref(), "", response.status().as_u16()) == Cause::Throttled
}

/// The code in the body of a refusal: JSON of Secrets Manager, XML of STS.
fn code(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        #[serde(rename = "__type")]
        code: String,
    }
    if let Ok(refusal) = serde_json::from_slice::<Refusal>(body) {
        return refusal.code.rsplit('#').next().map(bounded_code);
    }
    let (_, rest) = std::str::from_utf8(body).ok()?.split_once("<Code>")?;
    rest.split_once("</Code>").map(|(code, _)| bounded_code(code))
}

#[cfg(test)]
mod tests;
