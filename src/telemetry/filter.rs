//! Which events are logged.

use std::str::FromStr as _;

use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt, ParseError, filter_fn};
use tracing_subscriber::layer::Filter;
use tracing_subscriber::registry::LookupSpan;

use super::caps::cap;

/// The filter cannot be parsed.
#[derive(Debug, thiserror::Error)]
#[error("invalid log filter: a level is off, error, warn, info, debug or trace, as in info,rotated_secrets=debug")]
pub struct InvalidFilter(#[source] Option<ParseError>);

/// Levels and directives, separated by commas. A word that is no level would be the name of a target with all levels, and
/// every other target would be off: it is a mistake.
pub(super) fn parse(filter: &str) -> Result<EnvFilter, InvalidFilter> {
    // The filter of a span has values, which may contain anything.
    if filter.contains('[') {
        return built(filter);
    }
    let directives: Vec<&str> = filter.split(',').map(str::trim).collect();
    let is_level = |word: &str| LevelFilter::from_str(word).is_ok();
    if !directives.iter().all(|directive| directive.contains('=') || directive.is_empty() || is_level(directive)) {
        return Err(InvalidFilter(None));
    }
    built(&directives.join(","))
}

fn built(filter: &str) -> Result<EnvFilter, InvalidFilter> {
    EnvFilter::builder().parse(filter).map_err(|error| InvalidFilter(Some(error)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for filter in ["info", "WARN", "", "off", "3", "info,rotated_secrets=debug", "info, rotated_secrets=debug", "hyper=off,debug"] {
            assert!(parse(filter).is_ok(), "{filter}");
        }
        assert!(parse("rotated_secrets[reconcile{object=shop/a}]=debug").is_ok());
        for filter in ["debgu", "warning", "verbose", "information", "info,warning", "rotated_secrets", "rotated_secrets=loud"] {
            let error = parse(filter).unwrap_err().to_string();
            assert!(error.contains("a level is off, error, warn, info, debug or trace"), "{filter}: {error}");
        }
    }
}
