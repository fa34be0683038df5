//! Maximum level of the log messages of each crate.

use tracing::level_filters::LevelFilter;

/// Crates of this project. Their messages are not capped.
const OURS: [&str; 1] = ["rotated_secrets"];
/// Maximum level of other crates; the first match applies. Crates that are not listed are limited to WARN: a new
/// dependency is not trusted until its log messages have been reviewed.
const CAPS: [(&str, LevelFilter); 3] = [
    // Logs the body of a response that cannot be deserialized, at WARN.
    ("kube_client::client", LevelFilter::ERROR),
    ("kube_client", LevelFilter::INFO),
    ("kube_runtime", LevelFilter::INFO),
];

/// Maximum level of messages with this target.
pub(super) fn cap(target: &str) -> LevelFilter {
    if is_ours(target) {
        return LevelFilter::TRACE;
    }
    let cap = CAPS.iter().find(|(theirs, _)| is_within(target, theirs));
    cap.map_or(LevelFilter::WARN, |(_, cap)| *cap)
}

/// Whether the target is in a crate of this project.
pub(super) fn is_ours(target: &str) -> bool {
    OURS.iter().any(|ours| is_within(target, ours))
}

/// Whether `target` is the module or is inside it.
fn is_within(target: &str, module: &str) -> bool {
    target.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}
