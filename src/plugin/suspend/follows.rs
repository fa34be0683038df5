//! What the operator does once an object is resumed.

use jiff::Timestamp;

use crate::api::{AwsDeletionPolicy, OnMissedWindow, RotatedSecret};
use crate::plugin::conditions::suspended_by_namespace;
use crate::plugin::flags::Flags;
use crate::plugin::progress::{Asking, pending};

/// `; a rotation is due and starts now`, or nothing.
pub(super) fn follows(object: &RotatedSecret, now: Timestamp, flags: &Flags) -> String {
    if object.metadata.deletion_timestamp.is_some() {
        let secret = if object.spec.aws.deletion_policy == AwsDeletionPolicy::Delete && object.spec.value.is_some() {
            ", and its AWS secret is scheduled for deletion"
        } else {
            ""
        };
        return format!("; it is being deleted: the deletion goes on{secret}");
    }
    if suspended_by_namespace(object).is_some() {
        return format!(", and its namespace is still suspended: {}", flags.plugin("resume --namespace-wide"));
    }
    let mut follows = String::new();
    for asking in [Asking::Rotate, Asking::RollBack] {
        if pending(object, asking).is_some() {
            let verb = asking.verb();
            follows.push_str("; the pending ");
            follows.push_str(verb);
            follows.push_str(" request is carried out now");
        }
    }
    let next = object.status.as_ref().and_then(|status| status.next_rotation_time.as_ref());
    if let Some(rotation) = object.spec.rotation.as_ref().filter(|_| next.is_some_and(|next| next.0 <= now)) {
        follows.push_str(match rotation.on_missed_window {
            OnMissedWindow::RotateNow if rotation.lambda.is_some() => "; a rotation is due, and AWS rotates in its next window",
            OnMissedWindow::RotateNow => "; a rotation is due and starts now",
            OnMissedWindow::NextWindow => "; a rotation is due: it starts now if its window is still open, otherwise in the next window",
        });
    }
    follows
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn resuming_says_what_comes_next() {
        let now = "2026-06-01T12:00:00Z".parse().unwrap();
        let object = |metadata: Value, spec: Value, next: &str| -> RotatedSecret {
            let mut object = json!({"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "metadata": {"name": "db"}, "spec": spec,
                "status": {"nextRotationTime": next}});
            object["metadata"].as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
            serde_json::from_value(object).unwrap()
        };
        let (past, future) = ("2026-06-01T11:00:00Z", "2026-06-01T13:00:00Z");
        let rotation =
            |missed: &str| json!({"value": {"plainText": {}}, "rotation": {"schedule": "rate(1 day)", "onMissedWindow": missed}});
        let deleted = json!({"deletionTimestamp": past});
        let delete = json!({"value": {"plainText": {}}, "aws": {"deletionPolicy": "Delete"}});
        let asked = json!({"annotations": {"rotated-secrets.io/rotate": "t"}});
        for (metadata, spec, next, expected) in [
            (json!({}), rotation("RotateNow"), future, ""),
            (json!({}), rotation("RotateNow"), past, "starts now"),
            (json!({}), rotation("NextWindow"), past, "otherwise in the next window"),
            (json!({}), json!({}), past, ""),
            (asked, rotation("RotateNow"), future, "the pending rotate request is carried out now"),
            (deleted.clone(), json!({}), future, "the deletion goes on"),
            (deleted, delete, future, "its AWS secret is scheduled for deletion"),
        ] {
            let found = follows(&object(metadata.clone(), spec.clone(), next), now, &Flags::default());
            assert!(found.contains(expected) && found.is_empty() == expected.is_empty(), "{spec} {metadata}: {found}");
        }
    }
}
