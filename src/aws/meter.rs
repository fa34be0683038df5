//! Counts the requests that are sent to AWS. The SDK retries, so one call can be several requests, and a throttled request that succeeded on a
//! retry is counted nowhere else.

use std::time::Instant;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{BeforeSerializationInterceptorContextRef, FinalizerInterceptorContextRef};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, Metadata};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use serde::Deserialize;

use super::fault::{Cause, bounded_code};
use crate::metrics::Metrics;

/// An interceptor of every AWS client.
#[derive(Debug, Clone)]
pub(super) struct Meter(pub(super) Metrics);

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
            (_, Some(_)) => "refused",
        };
        self.0.aws_request(operation(cfg), outcome);
        Ok(())
    }

    fn read_after_execution(
        &self,
        _: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(Started(at)) = cfg.load::<Started>() {
            self.0.aws_call_took(operation(cfg), at.elapsed());
        }
        Ok(())
    }
}

/// AWS's name of the operation. The SDK has a fixed set of them.
fn operation(cfg: &ConfigBag) -> &str {
    cfg.load::<Metadata>().map_or("Unknown", Metadata::name)
}

/// Whether the answer is a throttling error. Only the code is read.
fn throttled(response: &HttpResponse) -> bool {
    #[derive(Deserialize)]
    struct Refusal {
        #[serde(rename = "__type")]
        code: String,
    }
    let refusal = response.body().bytes().and_then(|body| serde_json::from_slice::<Refusal>(body).ok());
    let code = refusal.as_ref().and_then(|refusal| refusal.code.rsplit('#').next()).map(bounded_code);
    Cause::of(code.as_deref(), "", response.status().as_u16()) == Cause::Throttled
}
