//! Parsers of flag values that the operator and the plugin share.

use jiff::SignedDuration;

/// Parses a duration of at least one second.
pub(crate) fn duration(text: &str) -> Result<SignedDuration, String> {
    let parsed: SignedDuration = text.parse().map_err(|_| "use a duration such as 90m or 36h".to_owned())?;
    if parsed < SignedDuration::from_secs(1) { Err("at least 1s".to_owned()) } else { Ok(parsed) }
}

/// Accepts https, and http on loopback only, because credentials and secret values are sent to the endpoint.
pub(crate) fn endpoint(text: &str) -> Result<String, String> {
    let uri: http::Uri = text.parse().map_err(|_| "use a URL such as https://secretsmanager.eu-central-1.amazonaws.com".to_owned())?;
    let loopback = matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match uri.scheme_str() {
        Some("https") => Ok(text.to_owned()),
        Some("http") if loopback => Ok(text.to_owned()),
        _ => Err("must be https, or http on loopback, because secret values are sent there".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_only() {
        for good in ["https://secretsmanager.eu-central-1.amazonaws.com", "http://127.0.0.1:4566", "http://localhost:1", "http://[::1]:8"] {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for bad in ["http://example.com", "http://127.0.0.1.example.com", "ftp://127.0.0.1", "secretsmanager", "http://10.0.0.1"] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_written_as_in_go() {
        assert_eq!(duration("90m").unwrap(), SignedDuration::from_mins(90));
        assert_eq!(duration("36h").unwrap(), SignedDuration::from_hours(36));
        for bad in ["", "0s", "-1h", "soon", "10"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
