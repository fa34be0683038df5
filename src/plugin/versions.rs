//! The versions of an object that the status lists.

use super::flags::Flags;
use crate::api::RotatedSecret;

/// Their IDs, sorted.
pub(super) fn known(object: &RotatedSecret) -> Vec<String> {
    let status = object.status.clone().unwrap_or_default();
    let aws = status.aws.unwrap_or_default();
    let mut known: Vec<String> = status.history.into_iter().map(|entry| entry.version_id).chain(aws.retained_version_ids).collect();
    known.extend(aws.previous_version_id);
    known.extend(aws.current_version_id);
    known.sort_unstable();
    known.dedup();
    known
}

/// The complete ID of the version that `meant`, an ID or the beginning of one, names.
///
/// # Errors
/// Why it does not name one version, as a sentence.
pub(super) fn resolve(object: &RotatedSecret, meant: &str, flags: &Flags) -> Result<String, String> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let found: Vec<String> = known(object).into_iter().filter(|version| !meant.is_empty() && version.starts_with(meant)).collect();
    match found.as_slice() {
        [version] => Ok(version.clone()),
        // AWS may have a version that the status does not list. The operator decides.
        [] if (32..=64).contains(&meant.len()) && !meant.contains(':') => Ok(meant.to_owned()),
        [] => Err(format!("{name} has no version that begins with {meant}: {}", flags.plugin(&format!("history {name}")))),
        several => Err(format!("several versions of {name} begin with {meant} ({}): use a longer prefix", several.join(", "))),
    }
}
