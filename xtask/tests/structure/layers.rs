//! The layers of the operator, and the imports that do not follow the rules yet.

/// From top to bottom. A file imports from its own layer and from those below. An entry is a module: its file, and the directory with its
/// children. The longest entry that fits a file counts.
const LAYERS: &[&[&str]] = &[
    &["src/main", "src/bin", "src/lib"],
    &["src/cli"],
    &["src/controller", "src/plugin", "src/unreadable"],
    &["src/election", "src/reconcile"],
    &["src/cluster"],
    &["src/aws", "src/report"],
    &["src/plan"],
    &["src/desired"],
    &["src/admin", "src/identity"],
    &["src/metrics", "src/value"],
    &["src/census", "src/facts", "src/failure", "src/generate", "src/refusal", "src/schedule"],
    &["src/api", "src/backoff", "src/ids", "src/leader", "src/plaintext", "src/telemetry"],
];

/// Imports that close a circle: from, to. Most are of a child module that imports from its parent. Only entries are removed, none is added.
pub(crate) const KNOWN_CIRCLES: [(&str, &str); 18] = [
    ("src/cli/availability.rs", "src/cli.rs"),
    ("src/desired/by_aws.rs", "src/desired.rs"),
    ("src/desired/generators.rs", "src/desired.rs"),
    ("src/desired/settings.rs", "src/desired.rs"),
    ("src/desired/versions.rs", "src/desired.rs"),
    ("src/plan/adoption.rs", "src/plan/mod.rs"),
    ("src/plan/by_aws.rs", "src/plan/mod.rs"),
    ("src/plan/due.rs", "src/plan/mod.rs"),
    ("src/plan/mirrored.rs", "src/plan/mod.rs"),
    ("src/plan/rollback.rs", "src/plan/mod.rs"),
    ("src/plugin/doctor/identity.rs", "src/plugin/doctor.rs"),
    ("src/reconcile/account.rs", "src/reconcile/mod.rs"),
    ("src/reconcile/identify.rs", "src/reconcile/mod.rs"),
    ("src/reconcile/settings.rs", "src/reconcile/mod.rs"),
    ("src/report/requests.rs", "src/report.rs"),
    ("src/schedule/clock.rs", "src/schedule/mod.rs"),
    ("src/plan/facts.rs", "src/plan/by_aws.rs"),
    ("src/plan/facts.rs", "src/plan/settings.rs"),
];

/// Imports from a layer above: from, to. Only entries are removed, none is added.
pub(crate) const KNOWN_UPWARD: [(&str, &str); 1] = [("src/plugin/args.rs", "src/cli.rs")];

/// The number of a file's layer, counted from the top.
pub(crate) fn layer(file: &str) -> Option<usize> {
    let fits = |entry: &str| file.strip_prefix(entry).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'));
    let entries = LAYERS.iter().enumerate().flat_map(|(number, entries)| entries.iter().map(move |entry| (number, *entry)));
    entries.filter(|(_, entry)| fits(entry)).max_by_key(|(_, entry)| entry.len()).map(|(number, _)| number)
}
