//! Logging, and the protection of secret values in logs.
//!
//! Some libraries log complete requests and responses at levels that a user may enable: kube-client 5.0 logs the body
//! of a response at WARN if it cannot be deserialized, and such a body can be a Secret. The user's filter is therefore
//! combined with caps that it cannot raise. A panic is logged by its location only, since its message can contain a
//! value.

mod caps;
mod filter;
mod follow;
mod format;
mod storm;

use std::panic::PanicHookInfo;

use tracing::Subscriber;
use tracing_subscriber::filter::FilterExt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, reload};

pub use self::filter::InvalidFilter;
use self::filter::{limited, parse};
pub use self::follow::Log;
pub use self::format::LogFormat;
use self::format::{Lines, SpanFields};
use self::storm::Storm;

/// Error in the setup of logging.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be parsed.
    #[error(transparent)]
    Filter(#[from] InvalidFilter),
    /// Logging was set up before.
    #[error("logging is already set up")]
    Twice,
}

/// Sets up logging to standard error, and logs panics by their location only. May be called once per process. The panic
/// hook does not decide what follows a panic: unwinding ends the task or, in `main`, the process.
///
/// # Errors
/// If the filter is not valid, or logging was set up before.
pub fn init(format: LogFormat, filter: &str) -> Result<Log, TelemetryError> {
    let (subscriber, log) = subscriber(format, filter, std::io::stderr)?;
    // Not `init()`, which would also forward the records of the `log` crate. Those have not been reviewed.
    tracing::subscriber::set_global_default(subscriber).map_err(|_| TelemetryError::Twice)?;
    std::panic::set_hook(Box::new(log_place));
    Ok(log)
}

fn subscriber<W>(format: LogFormat, filter: &str, writer: W) -> Result<(impl Subscriber + Send + Sync + use<W>, Log), TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().event_format(Lines(format)).with_ansi(false).with_writer(writer);
    let (wish, handle) = reload::Layer::new(parse(filter)?);
    let log = Log { filter: handle, storm: Storm::default(), declared: filter.to_owned() };
    let filters = limited(wish).and(log.storm.clone());
    Ok((Registry::default().with(SpanFields.and_then(lines).with_filter(filters)), log))
}

fn log_place(panic: &PanicHookInfo<'_>) {
    let (file, line) = panic.location().map_or(("?", 0), |place| (place.file(), place.line()));
    tracing::error!(file, line, "panic");
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Written {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn logged(format: LogFormat, filter: &str, speak: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let (subscriber, _) = subscriber(format, filter, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, speak);
        written.text()
    }

    macro_rules! speak {
        ($($target:literal)+) => {{
            $(
                tracing::trace!(target: $target, "{}@trace", $target);
                tracing::debug!(target: $target, "{}@debug", $target);
                tracing::info!(target: $target, "{}@info", $target);
                tracing::warn!(target: $target, "{}@warn", $target);
                tracing::error!(target: $target, "{}@error", $target);
            )+
        }};
    }

    fn everybody() {
        speak!("kube_client" "kube_client::client" "kube_client::client::builder" "kube_runtime::controller" "hyper" "hyper::proto::h1" "hyper_util"
            "h2::codec" "rustls::client" "tower" "tower_http::trace" "aws_config" "aws_runtime" "aws_sdk_secretsmanager" "aws_smithy_runtime::client"
            "aws_smithy_http_client" "serde_json" "rotated_secrets_impostor" "kube_clientele");
    }

    /// The most verbose level at which `target` was logged.
    fn heard(text: &str, target: &str) -> Option<&'static str> {
        ["trace", "debug", "info", "warn", "error"].into_iter().find(|level| text.contains(&format!(" {target}@{level}")))
    }

    #[test]
    fn nobody_is_louder_than_his_cap_whatever_the_user_says() {
        let wishes = [
            "trace",
            "hyper=trace,kube_client=trace,trace",
            "trace,hyper::proto::h1=trace,kube_client::client=trace,aws_smithy_runtime::client=trace,h2::codec=trace",
            "trace,[{object}]=trace",
        ];
        for wish in wishes {
            let text = logged(LogFormat::Human, wish, everybody);
            for quiet in ["kube_client::client", "kube_client::client::builder"] {
                assert_eq!(heard(&text, quiet), Some("error"), "{wish}: {quiet}");
            }
            for known in ["kube_client", "kube_runtime::controller"] {
                assert_eq!(heard(&text, known), Some("info"), "{wish}: {known}");
            }
            for other in [
                "hyper",
                "hyper::proto::h1",
                "hyper_util",
                "h2::codec",
                "rustls::client",
                "tower",
                "tower_http::trace",
                "aws_config",
                "aws_runtime",
                "aws_sdk_secretsmanager",
                "aws_smithy_runtime::client",
                "aws_smithy_http_client",
                "serde_json",
                "rotated_secrets_impostor",
                "kube_clientele",
            ] {
                assert_eq!(heard(&text, other), Some("warn"), "{wish}: {other}");
            }
        }
    }

    #[test]
    fn a_span_wish_does_not_open_what_is_capped() {
        let text = logged(LogFormat::Human, "[reconcile]=trace", || {
            let span = tracing::error_span!(target: "rotated_secrets::reconcile", "reconcile");
            span.in_scope(|| speak!("hyper" "rotated_secrets"));
        });
        assert_eq!(heard(&text, "hyper"), Some("warn"));
        assert_eq!(heard(&text, "rotated_secrets"), Some("trace"));
    }

    #[test]
    fn our_own_words_follow_the_user() {
        for (wish, expected) in
            [("rotated_secrets=trace", Some("trace")), ("info,rotated_secrets=debug", Some("debug")), ("warn", Some("warn")), ("off", None)]
        {
            let text = logged(LogFormat::Human, wish, || speak!("rotated_secrets"));
            assert_eq!(heard(&text, "rotated_secrets"), expected, "{wish}");
        }
    }

    /// A failure in a step of a reconcile, as the operator logs it.
    fn failing_step() {
        let _reconcile = tracing::info_span!(target: "rotated_secrets", "reconcile", object = "shop/db-admin").entered();
        let _foreign = tracing::info_span!(target: "kube_runtime", "reconciling object", reason = "unknown").entered();
        let _step = tracing::info_span!(target: "rotated_secrets", "step", step = "Put", version = "v1").entered();
        tracing::warn!(target: "rotated_secrets", version = "v2", count = 3, message = "access denied\n\u{1b}[31m", "failed");
    }

    /// The line without its time.
    fn untimed(text: &str) -> &str {
        let (time, line) = text.split_once(' ').unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{text}");
        line
    }

    #[test]
    fn a_human_line_has_level_object_message_and_fields() {
        let text = logged(LogFormat::Human, "info", failing_step);
        assert_eq!(untimed(&text), "WARN shop/db-admin failed version=v2 count=3 detail=\"access denied\\n\\u{1b}[31m\" step=Put\n");
    }

    #[test]
    fn a_human_line_of_another_crate_has_its_target() {
        let text = logged(LogFormat::Human, "info", || tracing::warn!(target: "hyper", "connection closed"));
        assert_eq!(untimed(&text), "WARN connection closed target=hyper\n");
    }

    #[test]
    fn control_characters_cannot_start_a_line() {
        let text = logged(LogFormat::Human, "info", || {
            tracing::info!(target: "rotated_secrets", object = "a\nb", empty = "", pair = "a=b", "it's {}", "a\r\nb\u{1b}[0m\u{202e}");
        });
        assert_eq!(untimed(&text), "INFO a\\nb it's a\\r\\nb\\u{1b}[0m\\u{202e} empty=\"\" pair=\"a=b\"\n");
    }

    #[test]
    fn fields_that_a_span_records_later_are_logged() {
        let text = logged(LogFormat::Human, "info", || {
            let span = tracing::info_span!(target: "rotated_secrets", "step", version = tracing::field::Empty);
            span.record("version", "v1");
            span.in_scope(|| tracing::info!(target: "rotated_secrets", "written"));
        });
        assert_eq!(untimed(&text), "INFO written version=v1\n");
    }

    #[test]
    fn json_is_one_object_per_line_with_all_fields_at_the_top() {
        let text = logged(LogFormat::Json, "info", failing_step);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert_eq!(text.matches("\"message\"").count(), 1, "{text}");
        let mut line: serde_json::Value = serde_json::from_str(&text).unwrap();
        let time = line.as_object_mut().unwrap().remove("timestamp").unwrap();
        assert!(time.as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{time}");
        let expected = serde_json::json!({
            "level": "WARN", "target": "rotated_secrets", "object": "shop/db-admin", "namespace": "shop", "message": "failed",
            "detail": "access denied\n\u{1b}[31m", "version": "v2", "count": 3, "step": "Put",
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn the_filter_changes_while_the_process_runs_and_the_caps_stay() {
        let written = Written::default();
        let writer = written.clone();
        let (subscriber, log) = subscriber(LogFormat::Human, "warn", move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            log.apply("trace");
            speak!("rotated_secrets" "hyper");
            log.apply("rotated_secrets=loud");
            log.apply("");
            speak!("rotated_secrets::later");
        });
        let text = written.text();
        assert_eq!((heard(&text, "rotated_secrets"), heard(&text, "hyper")), (Some("trace"), Some("warn")), "{text}");
        assert_eq!(heard(&text, "rotated_secrets::later"), Some("warn"), "{text}");
        assert!(text.contains("WARN the log filter in the file is not used filter=\"rotated_secrets=loud\""), "{text}");
    }

    #[test]
    fn a_storm_of_equal_warnings_is_summarized_and_other_lines_are_not() {
        let written = Written::default();
        let writer = written.clone();
        let (subscriber, log) = subscriber(LogFormat::Json, "info", move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..60 {
                tracing::warn!(target: "rotated_secrets", reason = %"Throttled", message = "AWS throttles", "a step failed");
                tracing::warn!(target: "rotated_secrets", reason = "Throttled", "an Event could not be published");
                tracing::info!(target: "rotated_secrets", reason = "Succeeded", "ready");
            }
            log.summarize();
        });
        let text = written.text();
        let counts = ["a step failed", "an Event could not be published", "ready"]
            .map(|text_of| text.matches(&format!("\"message\":\"{text_of}\"")).count());
        assert_eq!(counts, [50, 60, 60]);
        assert!(
            text.contains(r#""lines":10"#) && text.contains(r#""of_reason":"Throttled""#) && text.contains(r#""text":"a step failed""#)
        );
    }

    #[test]
    fn a_panic_is_logged_by_its_place_and_not_by_its_words() {
        let text = logged(LogFormat::Human, "trace", || {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(log_place));
            let caught = std::panic::catch_unwind(|| panic!("{}", String::from("canary")));
            std::panic::set_hook(before);
            assert!(caught.is_err());
        });
        assert!(text.contains("panic") && text.contains("telemetry.rs"), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }
}
