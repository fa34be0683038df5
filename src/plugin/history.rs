//! `history`: shows the last versions, their causes, and whether a rollback to them is possible.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;

use super::args::ObjectsArgs;
use super::connect::Session;
use super::flags::Flags;
use super::objects::each_shown;
use super::output::{self, Page};
use super::seen::Seen;
use super::table::{Cell, Table, Tone};
use super::{Exit, Trouble, ages};
use crate::api::{AWSCURRENT, AWSPENDING, AWSPREVIOUS, Cause, Outcome, RotatedSecret};

/// The fields of `history -o json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct History {
    namespace: String,
    name: String,
    items: Vec<Entry>,
    /// Entries that this version of the plugin does not know. They are not in `items`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown_fields: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    version_id: String,
    time: Time,
    cause: Cause,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Its staging labels in AWS now.
    labels: Vec<&'static str>,
    /// Whether the Secret holds it.
    mirrored: bool,
    /// For a rollback: the version whose value it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    copy_of: Option<String>,
    /// For a scheduled rotation: when it was due.
    #[serde(skip_serializing_if = "Option::is_none")]
    due_time: Option<Time>,
    /// Failures in a row before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_attempts: Option<i32>,
    can_go_back: GoBack,
}

/// Whether `rollback --to` can restore the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum GoBack {
    /// It is the current version.
    Current,
    /// A staging label retains it in AWS.
    Yes,
    /// No staging label retains it, so only until AWS removes it.
    Perhaps,
    /// The object only mirrors the AWS secret.
    No,
}

impl GoBack {
    fn words(self) -> &'static str {
        match self {
            Self::Current => "-",
            Self::Yes => "yes",
            Self::Perhaps => "while AWS has it",
            Self::No => "no",
        }
    }
}

pub(super) async fn run(session: &Session, args: &ObjectsArgs) -> Result<Exit, Trouble> {
    let wide = args.out.is_wide();
    each_shown(session, &args.objects, &args.out, true, async |name, several| {
        let history = of_object(session, name).await?;
        let mut page = if several { Page::of(&format!("{name}:")) } else { Page::default() };
        page.append(&screen(&history, session.now(), output::colours(), wide, &session.flags));
        Ok((page, history, Exit::Fine))
    })
    .await
}

async fn of_object(session: &Session, name: &str) -> Result<History, Trouble> {
    let seen = session.seen(name).await?;
    let unknown = match &seen {
        Seen::Readable { unknown, .. } => unknown.iter().filter(|field| field.starts_with("status.history")).cloned().collect(),
        Seen::Unreadable(_) => Vec::new(),
    };
    let object = session.readable(seen)?;
    Ok(History { unknown_fields: unknown, ..collect(session.namespace.clone(), name.to_owned(), &object) })
}

fn collect(namespace: String, name: String, object: &RotatedSecret) -> History {
    let status = object.status.clone().unwrap_or_default();
    let aws = status.aws.unwrap_or_default();
    let mirrored = status.mirror.and_then(|mirror| mirror.version_id);
    let labelled = [(AWSCURRENT, aws.current_version_id), (AWSPREVIOUS, aws.previous_version_id), (AWSPENDING, aws.pending_version_id)];
    let retained = aws.retained_version_ids;
    let items = status
        .history
        .into_iter()
        .map(|entry| {
            let carries = |version: &Option<String>| version.as_ref() == Some(&entry.version_id);
            let can_go_back = match () {
                () if carries(&labelled[0].1) => GoBack::Current,
                () if object.spec.value.is_none() => GoBack::No,
                () if carries(&labelled[1].1) || retained.contains(&entry.version_id) => GoBack::Yes,
                () => GoBack::Perhaps,
            };
            Entry {
                can_go_back,
                copy_of: entry.copy_of,
                due_time: entry.due_time,
                failed_attempts: entry.failed_attempts,
                labels: labelled.iter().filter(|(_, version)| carries(version)).map(|(label, _)| *label).collect(),
                mirrored: carries(&mirrored),
                version_id: entry.version_id,
                time: entry.time,
                cause: entry.cause,
                outcome: entry.outcome,
                reason: entry.reason,
            }
        })
        .collect();
    History { namespace, name, items, unknown_fields: Vec::new() }
}

/// `wide`: with times, failed attempts and whole version IDs.
fn screen(history: &History, now: Timestamp, colours: bool, wide: bool, flags: &Flags) -> Page {
    if history.items.is_empty() {
        let status = flags.plugin(&format!("status {}", history.name));
        return Page::of(&format!("{} has no version yet: {status}", history.name));
    }
    let headers: &[&str] = if wide {
        &["AGE", "TIME", "CAUSE", "DUE", "FAILED", "OUTCOME", "VERSION", "NOW", "BACK"]
    } else {
        &["AGE", "CAUSE", "OUTCOME", "VERSION", "BACK", "NOW"]
    };
    let mut table = Table::new(headers).within(if wide { None } else { output::columns() });
    let short = |version: &str| version.get(..8).unwrap_or(version).to_owned();
    for entry in &history.items {
        let mut place: Vec<String> = entry.labels.iter().map(|label| (*label).to_owned()).collect();
        if entry.mirrored {
            place.push("mirrored".to_owned());
        }
        if let Some(older) = &entry.copy_of {
            place.push(format!("value of {}", short(older)));
        }
        let outcome =
            entry.reason.as_ref().map_or_else(|| format!("{:?}", entry.outcome), |reason| format!("{:?}: {reason}", entry.outcome));
        let tone = if entry.outcome == Outcome::Succeeded { Tone::Plain } else { Tone::Bad };
        let (age, cause, back) = (ages::since(entry.time.0, now).into(), entry.cause.as_str().into(), entry.can_go_back.words().into());
        let place = place.join(", ").into();
        table.row(if wide {
            let (time, version) = (entry.time.0.to_string().into(), entry.version_id.as_str().into());
            let due = entry.due_time.as_ref().map_or_else(|| "-".to_owned(), |due| due.0.to_string()).into();
            let failed = entry.failed_attempts.map_or_else(|| "-".to_owned(), |count| count.to_string()).into();
            vec![age, time, cause, due, failed, Cell(outcome, tone), version, place, back]
        } else {
            vec![age, cause, Cell(outcome, tone), short(&entry.version_id).into(), back, place]
        });
    }
    let mut page = Page::default();
    page.table(&table, colours);
    if !history.unknown_fields.is_empty() {
        page.gap();
        page.line(&format!("entries that this plugin does not know: {} (update the plugin)", history.unknown_fields.join(", ")));
    }
    page
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn history() -> History {
        let object: RotatedSecret = serde_json::from_value(json!({
            "apiVersion": "rotated-secrets.io/v1alpha1",
            "kind": "RotatedSecret",
            "metadata": {"name": "db"},
            "spec": {"value": {"plainText": {}}},
            "status": {
                "aws": {"currentVersionId": "v3", "previousVersionId": "v1", "retainedVersionIds": ["v0"]},
                "mirror": {"secretName": "db", "versionId": "v3"},
                "history": [
                    {"versionId": "v3", "time": "2026-06-01T11:00:00Z", "cause": "RolledBack", "outcome": "Succeeded", "copyOf": "57c54e0c-0b7a"},
                    {"versionId": "v2", "time": "2026-05-30T12:00:00Z", "cause": "Scheduled", "outcome": "Abandoned", "reason": "ForeignPending", "failedAttempts": 3},
                    {"versionId": "v1", "time": "2026-05-01T12:00:00Z", "cause": "Scheduled", "outcome": "Succeeded",
                        "dueTime": "2026-05-01T11:58:00Z", "failedAttempts": 2},
                    {"versionId": "v0", "time": "2026-04-01T12:00:00Z", "cause": "Created", "outcome": "Succeeded"},
                ],
            },
        }))
        .unwrap();
        collect("shop".to_owned(), "db".to_owned(), &object)
    }

    #[test]
    fn the_table_says_when_why_and_what_each_version_is_now() {
        assert_eq!(
            screen(&history(), "2026-06-01T12:00:00Z".parse().unwrap(), false, true, &Flags::default()).text(),
            "AGE   TIME                   CAUSE        DUE                    FAILED   OUTCOME                     VERSION   NOW                                       BACK\n\
             60m   2026-06-01T11:00:00Z   RolledBack   -                      -        Succeeded                   v3        AWSCURRENT, mirrored, value of 57c54e0c   -\n\
             2d    2026-05-30T12:00:00Z   Scheduled    -                      3        Abandoned: ForeignPending   v2                                                  while AWS has it\n\
             31d   2026-05-01T12:00:00Z   Scheduled    2026-05-01T11:58:00Z   2        Succeeded                   v1        AWSPREVIOUS                               yes\n\
             61d   2026-04-01T12:00:00Z   Created      -                      -        Succeeded                   v0                                                  yes\n"
        );
        let narrow = screen(&history(), "2026-06-01T12:00:00Z".parse().unwrap(), false, false, &Flags::default());
        let mut lines = narrow.text().lines();
        assert_eq!(lines.next(), Some("AGE   CAUSE        OUTCOME                     VERSION   BACK               NOW"));
        assert_eq!(
            lines.next(),
            Some("60m   RolledBack   Succeeded                   v3        -                  AWSCURRENT, mirrored, value of 57c54e0c")
        );
        assert!(narrow.text().lines().all(|line| line.len() <= 120), "{narrow:?}");
    }

    #[test]
    fn machines_get_the_same() {
        let written = serde_json::to_value(history()).unwrap();
        assert_eq!(
            written["items"][0],
            json!({"versionId": "v3", "time": "2026-06-01T11:00:00Z", "cause": "RolledBack", "outcome": "Succeeded",
                "labels": ["AWSCURRENT"], "mirrored": true, "copyOf": "57c54e0c-0b7a", "canGoBack": "Current"})
        );
        assert_eq!(written["items"][1]["reason"], "ForeignPending");
        assert_eq!((&written["items"][2]["dueTime"], &written["items"][2]["failedAttempts"]), (&json!("2026-05-01T11:58:00Z"), &json!(2)));
    }

    #[test]
    fn no_value_of_a_secret_that_is_only_mirrored_can_be_restored() {
        let object = serde_json::from_value(json!({
            "apiVersion": "rotated-secrets.io/v1alpha1",
            "kind": "RotatedSecret",
            "metadata": {"name": "db"},
            "spec": {},
            "status": {
                "aws": {"currentVersionId": "v2", "previousVersionId": "v1"},
                "history": [
                    {"versionId": "v2", "time": "2026-06-01T11:00:00Z", "cause": "External", "outcome": "Succeeded"},
                    {"versionId": "v1", "time": "2026-05-01T12:00:00Z", "cause": "External", "outcome": "Succeeded"},
                ],
            },
        }))
        .unwrap();
        let history = collect("shop".to_owned(), "db".to_owned(), &object);
        let back: Vec<GoBack> = history.items.iter().map(|entry| entry.can_go_back).collect();
        assert_eq!(back, [GoBack::Current, GoBack::No]);
    }
}
