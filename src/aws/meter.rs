//! Counts what is really sent to AWS: the SDK tries again by itself, so one call can be several requests, and a throttled request that was sent again
//! with success shows nowhere else.

use std::time::Instant;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{BeforeSerializationInterceptorContextRef, FinalizerInterceptorContextRef};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, Metadata};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use serde::Deserialize;

use super::{bounded_code, classify};
use crate::api::condition::Reason;
use crate::metrics::Metrics;

/// Sits in every client of AWS.
#[derive(Debug, Clone)]
pub(super) struct Meter(pub(super) Metrics);

#[derive(Debug)]
struct Begun(Instant);

impl Storable for Begun {
    type Storer = StoreReplace<Self>;
}

impl Intercept for Meter {
    fn name(&self) -> &'static str {
        "Meter"
    }

    fn read_before_execution(&self, _: &BeforeSerializationInterceptorContextRef<'_>, cfg: &mut ConfigBag) -> Result<(), BoxError> {
        cfg.interceptor_state().store_put(Begun(Instant::now()));
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
        if let Some(Begun(at)) = cfg.load::<Begun>() {
            self.0.aws_call_took(operation(cfg), at.elapsed());
        }
        Ok(())
    }
}

/// As AWS calls it; the SDK knows finitely many.
fn operation(cfg: &ConfigBag) -> &str {
    cfg.load::<Metadata>().map_or("Unknown", Metadata::name)
}

/// Only the code is taken from the answer; nothing else of it is looked at.
fn throttled(response: &HttpResponse) -> bool {
    #[derive(Deserialize)]
    struct Refusal {
        #[serde(rename = "__type")]
        code: String,
    }
    if response.status().as_u16() == 429 {
        return true;
    }
    let Some(refusal) = response.body().bytes().and_then(|body| serde_json::from_slice::<Refusal>(body).ok()) else { return false };
    let code = refusal.code.rsplit('#').next().map(bounded_code);
    classify(code.as_deref(), "", false).1 == Reason::Throttled
}
