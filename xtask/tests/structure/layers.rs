//! The layers of the operator.

/// From top to bottom. A file imports from its own layer and from those below. An entry is a module: its file, and the directory with its
/// children. The longest entry that fits a file counts.
const LAYERS: &[&[&str]] = &[
    &["src/main", "src/bin", "src/lib"],
    &["src/cli"],
    &["src/controller", "src/plugin", "src/unreadable"],
    &["src/election", "src/fairness", "src/feed", "src/reconcile"],
    &["src/audit", "src/aws", "src/endpoints", "src/kubernetes", "src/status", "src/strategy"],
    &["src/plan"],
    &["src/compare", "src/lint"],
    &["src/journal"],
    &["src/facts", "src/metrics", "src/step"],
    &["src/desired"],
    &["src/identity", "src/value"],
    &["src/failure", "src/fleet", "src/generate", "src/refusal", "src/schedule"],
    &["src/command"],
    &[
        "src/api",
        "src/backoff",
        "src/flags",
        "src/manifest",
        "src/plaintext",
        "src/process",
        "src/proxy",
        "src/telemetry",
        "src/text",
        "src/version_id",
    ],
];

/// The number of a file's layer, counted from the top.
pub(crate) fn layer(file: &str) -> Option<usize> {
    let entries = LAYERS.iter().enumerate().flat_map(|(number, entries)| entries.iter().map(move |entry| (number, *entry)));
    entries.filter(|(_, entry)| fits(entry, file)).max_by_key(|(_, entry)| entry.len()).map(|(number, _)| number)
}

/// All entries.
pub(crate) fn entries() -> impl Iterator<Item = &'static str> {
    LAYERS.iter().flat_map(|entries| entries.iter().copied())
}

/// Whether the file belongs to the module of the entry.
pub(crate) fn fits(entry: &str, file: &str) -> bool {
    file.strip_prefix(entry).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}
