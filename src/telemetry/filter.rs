//! Which events are logged.

use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt, ParseError, filter_fn};
use tracing_subscriber::layer::Filter;
use tracing_subscriber::registry::LookupSpan;

use super::caps::cap;

/// The filter cannot be parsed.
#[derive(Debug, thiserror::Error)]
#[error("invalid log filter; use for example info or rotated_secrets=debug")]
pub struct InvalidFilter(#[source] ParseError);

pub(super) fn parse(filter: &str) -> Result<EnvFilter, InvalidFilter> {
    EnvFilter::builder().parse(filter).map_err(InvalidFilter)
}

/// The user's filter, limited by the caps.
pub(super) fn limited<S>(wish: impl Filter<S>) -> impl Filter<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    wish.and(filter_fn(may_be_said))
}

fn may_be_said(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= cap(metadata.target())
}
