//! The event `Secret Label Updated`.
//! <https://docs.aws.amazon.com/secretsmanager/latest/userguide/event-detail-secret-label-updated.html>

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::arn::ACCOUNT;
use super::secret::{PENDING, PREVIOUS, Secret};

/// The events that a change of a secret causes, each with its label and its text: one for each staging label that is on another version
/// than before, all but AWSPENDING and AWSPREVIOUS. A label that is only removed moves to no version.
pub(super) fn moved(before: Option<&Secret>, now_is: &Secret, region: &str, now: Timestamp) -> Vec<(String, String)> {
    let moved = now_is.labels.iter().filter(|(label, version)| {
        ![PENDING, PREVIOUS].contains(&label.as_str()) && before.and_then(|before| before.labels.get(*label)) != Some(*version)
    });
    let event = |label: &str, version: &str| {
        json!({
            "version": "0",
            "id": Uuid::new_v4().to_string(),
            "detail-type": "Secret Label Updated",
            "source": "aws.secretsmanager",
            "account": ACCOUNT,
            "time": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "region": region,
            "resources": [now_is.arn],
            "detail": {"name": now_is.name, "labelUpdated": label, "versionId": version},
        })
    };
    moved.map(|(label, version)| (label.clone(), event(label, version).to_string())).collect()
}
