//! `rollback`: which version is meant, and the request for its value.

use super::args::RollbackArgs;
use super::connect::Session;
use super::progress::Asking;
use super::request;
use super::{Exit, Trouble};
use crate::api::RotatedSecret;

pub(super) async fn run(session: &Session, args: &RollbackArgs) -> Result<Exit, Trouble> {
    let object = request::ready_for(session, &args.request, Asking::RollBack).await?;
    let to = find(&object, &args.to).map_err(Trouble::wrong)?;
    request::roll_back(session, &args.request, &object, &to).await
}

/// The whole id of the version that is meant. AWSPREVIOUS is looked up now, so that a rotation in between does not change what is asked for.
fn find(object: &RotatedSecret, meant: &str) -> Result<String, String> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let status = object.status.clone().unwrap_or_default();
    let aws = status.aws.unwrap_or_default();
    if meant == "AWSPREVIOUS" {
        return aws.previous_version_id.ok_or_else(|| format!("{name} has no previous version yet: kubectl rotatedsecret history {name}"));
    }
    let mut known: Vec<String> = status.history.into_iter().map(|entry| entry.version_id).chain(aws.retained_version_ids).collect();
    known.extend(aws.previous_version_id);
    known.retain(|version| !meant.is_empty() && version.starts_with(meant));
    known.sort_unstable();
    known.dedup();
    let version = match known.as_slice() {
        [version] => version.clone(),
        // AWS may know what the status does not: the operator answers.
        [] if (32..=64).contains(&meant.len()) && !meant.contains(':') => meant.to_owned(),
        [] => return Err(format!("{name} knows no version that begins with {meant}: kubectl rotatedsecret history {name}")),
        several => return Err(format!("several versions of {name} begin with {meant} ({}): write more of it", several.join(", "))),
    };
    if aws.current_version_id.as_ref() == Some(&version) {
        return Err(format!("version {version} is current already: kubectl rotatedsecret history {name}"));
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(previous: Option<&str>) -> RotatedSecret {
        let entry =
            |version: &str| json!({"versionId": version, "time": "2026-06-01T12:00:00Z", "cause": "Scheduled", "outcome": "Succeeded"});
        serde_json::from_value(json!({
            "apiVersion": "rotated-secrets.io/v1alpha1",
            "kind": "RotatedSecret",
            "metadata": {"name": "db"},
            "spec": {},
            "status": {
                "aws": {"currentVersionId": "cccc", "previousVersionId": previous, "retainedVersionIds": ["abcd", "ffff"]},
                "history": [entry("cccc"), entry("abcd"), entry("abce")],
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_version_is_found_by_its_label_its_id_or_the_beginning_of_it() {
        let object = object(Some("abcd"));
        let whole = "0".repeat(36);
        for (meant, version) in [("AWSPREVIOUS", "abcd"), ("abcd", "abcd"), ("f", "ffff"), (whole.as_str(), whole.as_str())] {
            assert_eq!(find(&object, meant).as_deref(), Ok(version), "{meant}");
        }
    }

    #[test]
    fn what_is_not_one_version_is_told_apart() {
        for (previous, meant, words) in [
            (None, "AWSPREVIOUS", "no previous version yet"),
            (Some("abcd"), "abc", "several versions of db begin with abc (abcd, abce)"),
            (Some("abcd"), "x", "knows no version that begins with x"),
            (Some("abcd"), "", "knows no version"),
            (Some("abcd"), "cccc", "is current already"),
        ] {
            let refusal = find(&object(previous), meant).unwrap_err();
            assert!(refusal.contains(words), "{meant}: {refusal}");
        }
    }
}
