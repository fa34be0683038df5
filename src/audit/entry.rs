//! One entry, and its line.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

use crate::api::{Cause, ROLLBACK, ROTATE, TICKET};
use crate::desired::{RollbackRequest, bounded};
use crate::text::json_escaped;

/// Version of the schema of the lines.
pub const SCHEMA: &str = "rotated-secrets.io/v1";
/// The most characters of a text.
const LONGEST: usize = 256;
/// The same for an ARN.
const LONGEST_ARN: usize = 2048;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::VariantArray)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// The AWS secret has its first version.
    Created,
    /// A new version is current: by schedule, on request, or because `spec.value` changed.
    Rotated,
    /// The value of an earlier version is current again.
    RolledBack,
    /// An existing AWS secret is adopted.
    Adopted,
    /// Another writer made a version current in AWS.
    ChangedInAws,
    /// A staged version is abandoned.
    Abandoned,
    /// A version reached the Secret.
    Mirrored,
    /// Drift in the Secret or in AWS was corrected.
    Repaired,
    /// The target refuses a previous credential.
    Retired,
    /// Every workload is healthy with the version.
    RolledOut,
    /// The AWS secret is scheduled for deletion.
    DeletionScheduled,
    /// The scheduled deletion of the AWS secret was cancelled.
    Restored,
    /// The object is released, and an AWS secret or a staged version remains that should not.
    Kept,
    /// The object is gone, and its AWS secret stays as declared.
    Retained,
    /// The operator does not carry out the object or a request.
    Refused,
}

impl Action {
    /// A version became current for this cause.
    pub fn of_version(cause: Cause) -> Self {
        match cause {
            Cause::Created => Self::Created,
            Cause::Adopted => Self::Adopted,
            Cause::External => Self::ChangedInAws,
            Cause::RolledBack => Self::RolledBack,
            Cause::Scheduled | Cause::Requested | Cause::SpecChanged => Self::Rotated,
        }
    }
}

/// What a line says beside its time and the object. Fields that do not apply are absent from the line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// What happened.
    pub action: Action,
    /// The version that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The version before it: in AWS, or in the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_version: Option<String>,
    /// The version whose value was restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy_of: Option<String>,
    /// Why the version was made, as in `status.history`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'static str>,
    /// When the rotation was due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_time: Option<String>,
    /// How long after that the version was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late_seconds: Option<i64>,
    /// Failures in a row before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_attempts: Option<i32>,
    /// The AWS secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    /// Why: a closed word, as in the condition, the Event or the history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The step that corrected drift.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<&'static str>,
    /// The field manager that caused drift in the Secret, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
    /// The token of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The field manager that owns the annotation of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requester: Option<String>,
}

impl Entry {
    /// An entry without details.
    pub fn of(action: Action) -> Self {
        Self {
            action,
            version: None,
            previous_version: None,
            copy_of: None,
            cause: None,
            due_time: None,
            late_seconds: None,
            failed_attempts: None,
            arn: None,
            reason: None,
            step: None,
            manager: None,
            request: None,
            requester: None,
        }
    }

    /// The annotation whose request this entry answers; `None`: it answers none.
    pub fn annotation(&self) -> Option<&'static str> {
        self.request.as_ref()?;
        Some(if self.action == Action::Rotated { ROTATE } else { ROLLBACK })
    }

    /// Whether this text of the annotation is the request that the entry answers.
    pub fn is_requested_by(&self, text: &str) -> bool {
        let token = match self.annotation() {
            Some(ROLLBACK) => RollbackRequest::parse(text).map(|request| request.token),
            Some(_) => Some(bounded(text)),
            None => None,
        };
        token.is_some() && token == self.request
    }

    /// Whether a person caused it: by a request, by a change of the spec, or by the deletion of the object.
    fn is_asked_for(&self) -> bool {
        let ends = matches!(self.action, Action::DeletionScheduled | Action::Kept | Action::Retained);
        ends || self.request.is_some() || self.cause == Some(Cause::SpecChanged.as_str())
    }

    /// The line about the object with this metadata, without a line end; `None` if it could not be written as JSON, which does
    /// not happen.
    pub(super) fn line(&self, object: &ObjectMeta, cluster: &str, now: Timestamp) -> Option<String> {
        let text = |text: Option<&str>| cut(text.unwrap_or_default(), LONGEST);
        let ticket = object.annotations.as_ref().and_then(|annotations| annotations.get(TICKET)).filter(|ticket| !ticket.is_empty());
        // A ticket of the past must not cover what nobody asked for.
        let ticket = ticket.filter(|_| self.is_asked_for());
        let line = Line {
            audit: SCHEMA,
            time: now.to_string(),
            cluster: cut(cluster, LONGEST),
            namespace: text(object.namespace.as_deref()),
            name: text(object.name.as_deref()),
            uid: text(object.uid.as_deref()),
            entry: self.clone().bounded(),
            ticket: ticket.map(|ticket| cut(ticket, LONGEST)),
        };
        serde_json::to_string(&line).ok().map(|json| json_escaped(&json))
    }

    /// With texts of a bounded length: some were read from a status, which users may be able to write.
    fn bounded(mut self) -> Self {
        let texts = [
            &mut self.version,
            &mut self.previous_version,
            &mut self.copy_of,
            &mut self.reason,
            &mut self.manager,
            &mut self.request,
            &mut self.requester,
        ];
        for text in texts.into_iter().flatten() {
            *text = cut(text, LONGEST);
        }
        self.arn = self.arn.map(|arn| cut(&arn, LONGEST_ARN));
        self
    }
}

#[derive(Serialize)]
struct Line {
    audit: &'static str,
    time: String,
    cluster: String,
    namespace: String,
    name: String,
    uid: String,
    #[serde(flatten)]
    entry: Entry,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<String>,
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
