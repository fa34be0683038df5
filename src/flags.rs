//! Parsers of flag values that the operator and the plugin share.

use jiff::SignedDuration;

use crate::api::is_reserved_tag;

/// Parses a duration of at least one second.
pub(crate) fn duration(text: &str) -> Result<SignedDuration, String> {
    let parsed: SignedDuration = text.parse().map_err(|_| "use a duration such as 90m or 36h".to_owned())?;
    if parsed < SignedDuration::from_secs(1) { Err("at least 1s".to_owned()) } else { Ok(parsed) }
}

/// As [`duration`], or zero.
pub(crate) fn interval(text: &str) -> Result<SignedDuration, String> {
    let zero = text.parse::<SignedDuration>().ok().filter(SignedDuration::is_zero);
    zero.map_or_else(|| duration(text), Ok)
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

/// Accepts the URL of an SQS queue: an endpoint, then the account and the name.
pub(crate) fn queue_url(text: &str) -> Result<String, String> {
    const EXAMPLE: &str = "use the URL of a queue, such as https://sqs.eu-central-1.amazonaws.com/123456789012/changes";
    let url = endpoint(text).map_err(|_| EXAMPLE.to_owned())?;
    let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map(|(_, path)| path).unwrap_or_default();
    let name = |name: &str| (1..=80).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    match path.split_once('/') {
        Some((account, queue)) if account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()) && name(queue) => Ok(url),
        _ => Err(EXAMPLE.to_owned()),
    }
}

/// Parses `KEY=VALUE` of a tag in AWS.
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/managing-secrets_tagging.html>
pub(crate) fn tag(text: &str) -> Result<(String, String), String> {
    let fine = |text: &str| text.chars().all(|c| c.is_alphanumeric() || " +-=._:/@".contains(c));
    let (key, value) = text.split_once('=').ok_or("use KEY=VALUE")?;
    let (keys, values) = (key.chars().count(), value.chars().count());
    if keys == 0 || keys > 128 || values > 256 || !fine(key) || !fine(value) {
        return Err("use a key of 1 to 128 and a value of up to 256 letters, digits, spaces and + - = . _ : / @".to_owned());
    }
    if is_reserved_tag(key) {
        return Err("keys that start with aws: (AWS) or rotated-secrets.io/ (ownership), in any case, are reserved".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_key_and_a_value_that_aws_takes() {
        let pair = |key: &str, value: &str| Ok((key.to_owned(), value.to_owned()));
        assert_eq!(tag("team=shop"), pair("team", "shop"));
        assert_eq!(tag("cost center=a=b"), pair("cost center", "a=b"));
        assert_eq!(tag("empty="), pair("empty", ""));
        let long = format!("k={}", "v".repeat(257));
        for bad in
            ["team", "=shop", "aws:x=y", "AWS:x=y", "rotated-secrets.io/uid=y", "Rotated-Secrets.IO/uid=y", "a=b\n", "a*=b", long.as_str()]
        {
            assert!(tag(bad).is_err(), "{bad}");
        }
    }

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
    fn the_url_of_a_queue_has_an_account_and_a_name() {
        for good in ["https://sqs.eu-central-1.amazonaws.com/123456789012/changes", "http://127.0.0.1:4566/123456789012/a_b-c.fifo"] {
            assert_eq!(queue_url(good).as_deref(), Ok(good));
        }
        for bad in [
            "changes",
            "arn:aws:sqs:eu-central-1:123456789012:changes",
            "https://sqs.eu-central-1.amazonaws.com/changes",
            "https://sqs.eu-central-1.amazonaws.com/123456789012/",
            "https://sqs.eu-central-1.amazonaws.com/123456789012/changes?x=y",
            "http://sqs.eu-central-1.amazonaws.com/123456789012/changes",
        ] {
            assert!(queue_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_written_as_in_go() {
        assert_eq!(duration("90m").unwrap(), SignedDuration::from_mins(90));
        assert_eq!(duration("36h").unwrap(), SignedDuration::from_hours(36));
        for bad in ["", "0s", "-1h", "soon", "10"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!((interval("0s"), interval("10m")), (Ok(SignedDuration::ZERO), Ok(SignedDuration::from_mins(10))));
        for bad in ["", "-1h", "soon", "10", "500ms"] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }
}
