//! One object with its conditions.

use jiff::Timestamp;

use super::screen::next;
use crate::api::{RolloutPhase, RotatedSecret, WorkloadState};
use crate::plugin::ages;
use crate::plugin::health::Health;
use crate::plugin::output::{self, Page};
use crate::plugin::table::{Cell, Table, Tone};

/// The page of one object.
pub(super) fn page(object: &RotatedSecret, health: &Health, now: Timestamp, colours: bool) -> Page {
    let mut table = Table::bare();
    let mut line = |label: &str, cell: Cell| table.row(vec![label.into(), cell]);
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    line("Name:", format!("{}/{}", health.namespace, health.name).into());
    line("State:", Cell(format!("{:?}", health.state), health.state.tone()));
    line("AWS secret:", or_none(&health.secret_arn).into());
    line("Version:", or_none(&health.current_version_id).into());
    let mirror = match (&health.mirror_secret_name, &health.mirror_version_id) {
        (Some(name), version) if *version == health.current_version_id => format!("Secret {name}, of this version"),
        (Some(name), version) => format!("Secret {name}, of version {}", or_none(version)),
        (None, _) => "-".to_owned(),
    };
    line("Mirror:", mirror.into());
    if let Some(end) = object.status.as_ref().and_then(|status| status.mirror.as_ref()?.not_after.as_ref()) {
        let (verb, tone) = if end.0 > now { ("expires", Tone::Plain) } else { ("expired", Tone::Bad) };
        line("Certificate:", Cell(format!("{verb} {} ({})", ages::until(end.0, now), end.0), tone));
    }
    let rotated = health.last_rotation_time.as_ref();
    line("Last rotated:", rotated.map_or_else(|| "-".to_owned(), |at| format!("{} ({})", ages::until(at.0, now), at.0)).into());
    let Cell(words, tone) = next(health, now);
    let words = health.next_rotation_time.as_ref().map_or(words.clone(), |at| format!("{words} ({})", at.0));
    line("Next rotation:", Cell(words, tone));
    if health.missed_rotations > 0 {
        line("Missed:", format!("{} due times before the last rotation", health.missed_rotations).into());
    }
    if let Some(because) = &health.suspend_message {
        line("Suspended:", Cell(because.clone(), Tone::Caution));
    }
    if let Some(staged) = object.status.as_ref().and_then(|status| status.staged.as_ref()) {
        let next: &str = staged.step.into();
        let text = format!("version {} for {}, next step: {next}", staged.version_id, ages::since(staged.since.0, now));
        line("Staged:", Cell(text, Tone::Caution));
    }
    if let Some(rollout) = object.status.as_ref().and_then(|status| status.rollout.as_ref()) {
        let complete = rollout.phase == RolloutPhase::Completed;
        let tone = if complete { Tone::Plain } else { Tone::Caution };
        let at = rollout.completion_time.as_ref().filter(|_| complete).unwrap_or(&rollout.start_time).0;
        line("Rollout:", Cell(format!("{:?}, version {}, {}", rollout.phase, rollout.version_id, ages::until(at, now)), tone));
        for workload in &rollout.workloads {
            let tone = if workload.state <= WorkloadState::ScaledToZero { Tone::Plain } else { Tone::Caution };
            line("", Cell(format!("{} {}: {:?}", workload.kind, workload.name, workload.state), tone));
        }
    }
    if let Some(failures) = &health.failures {
        let again = failures.next_attempt_time.as_ref().map_or_else(String::new, |at| format!(", next attempt {}", ages::until(at.0, now)));
        line("Failures:", Cell(format!("{} in a row{again}", failures.count), Tone::Bad));
    }
    if !health.pending_requests.is_empty() {
        line("Requested:", Cell(health.pending_requests.join(", "), Tone::Caution));
    }
    if !health.unknown_fields.is_empty() {
        let fields = format!("{} (update the plugin)", health.unknown_fields.join(", "));
        line("Not known:", Cell(fields, Tone::Caution));
    }
    let mut page = Page::default();
    page.table(&table, colours);
    if let Some(message) = &health.message {
        page.gap();
        page.painted(message, health.state.tone(), colours);
    }
    let conditions = object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    if !conditions.is_empty() {
        let mut table = Table::new(&["CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"]).within(output::columns());
        for condition in conditions {
            let since = ages::since(condition.last_transition_time.0, now);
            // Ready, Stalled and the condition at fault have the same message, which is already shown above.
            let repeated = health.message.as_ref() == Some(&condition.message);
            let message = if repeated { "as above" } else { condition.message.as_str() };
            let cells = [condition.type_.as_str(), &condition.status, &condition.reason, &since, message];
            table.row(cells.into_iter().map(Cell::from).collect());
        }
        page.gap();
        page.table(&table, colours);
    }
    page
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugin::flags::Flags;
    use crate::plugin::health::judge;

    #[test]
    fn one_object_is_shown_with_its_conditions() {
        let condition = |of: &str, status: &str, reason: &str| json!({"type": of, "status": status, "reason": reason, "message": format!("about {of}"), "lastTransitionTime": "2026-06-01T11:00:00Z"});
        let object = serde_json::from_value(json!({
            "apiVersion": "rotated-secrets.io/v1alpha1",
            "kind": "RotatedSecret",
            "metadata": {"name": "db", "namespace": "shop", "creationTimestamp": "2026-05-20T12:00:00Z",
                "annotations": {"rotated-secrets.io/suspend-message": "INC-1 (jane)"}},
            "spec": {"rotation": {"schedule": "rate(30 days)", "suspend": true}},
            "status": {
                "conditions": [condition("Ready", "False", "NotOwned"), condition("Stalled", "True", "NotOwned")],
                "aws": {"arn": "arn:x", "currentVersionId": "v2"},
                "mirror": {"secretName": "db", "versionId": "v2"},
                "rollout": {"versionId": "v2", "phase": "Waiting", "startTime": "2026-06-01T11:58:00Z", "workloads": [
                    {"kind": "Deployment", "name": "api", "state": "Progressing", "restarts": 1}]},
                "staged": {"versionId": "v3", "step": "Apply", "since": "2026-06-01T11:55:00Z"},
                "lastRotationTime": "2026-05-31T12:00:00Z",
                "nextRotationTime": "2026-06-02T12:00:00Z",
            },
        }))
        .unwrap();
        let now = "2026-06-01T12:00:00Z".parse().unwrap();
        let health = judge(&object, now, &Flags::default());
        let page = page(&object, &health, now, false);
        let text = page.text();
        for line in [
            "Name:            shop/db",
            "State:           Stalled",
            "Version:         v2",
            "Mirror:          Secret db, of this version",
            "Last rotated:    24h ago (2026-05-31T12:00:00Z)",
            "Next rotation:   suspended (2026-06-02T12:00:00Z)",
            "Suspended:       INC-1 (jane)",
            "Staged:          version v3 for 5m, next step: Apply",
            "Rollout:         Waiting, version v2, 2m ago",
            "                 Deployment api: Progressing",
            "about Ready",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        // With or without the width of a terminal.
        let row = |words: &str| text.lines().any(|found| found.starts_with(words));
        assert!(row("Ready       False    NotOwned   60m") && row("Stalled     True     NotOwned   60m"), "{text}");
    }
}
