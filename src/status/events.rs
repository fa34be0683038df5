//! Events for the owner of an object. Made of closed words and version ids.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::change::ConditionChange;
use super::failures::mirror_failed;
use super::history::{abandoned, recorded};
use super::note::EventNote;
use super::{requests, rollout};
use crate::api::condition::Reason;
use crate::api::{Abandonment, AwsDeletionPolicy, Cause, GROUP, HistoryEntry, RotatedSecret, RotatedSecretStatus, STAGED_LABEL};
use crate::command::{Command, ObjectRef, SecretRef};
use crate::desired::{Desired, SecretArn};
use crate::step::{Step, StepKind};
use crate::text::manager_name;

/// The reason of the Event of a repaired Secret.
pub const MIRROR_REPAIRED: &str = "MirrorRepaired";

fn warning(reason: &str, action: &'static str, note: String) -> EventNote {
    EventNote { warning: true, reason: reason.to_owned(), action, note }
}

fn normal(reason: &str, action: &'static str, note: String) -> EventNote {
    EventNote { warning: false, reason: reason.to_owned(), action, note }
}

/// The Event of a step that no status shows.
pub fn of_step(want: &Desired, step: &Step) -> Option<EventNote> {
    let name = &want.secret_name;
    match step {
        Step::ReleaseMirror => Some(normal(
            "MirrorReleased",
            "Mirror",
            format!(
                "spec.target.creationPolicy is None: the Secret {0} keeps its last value and is not updated any more; if nothing uses it: {1}",
                want.mirror_name,
                Command::DeleteKubernetesSecret(ObjectRef { namespace: &want.namespace, name: &want.mirror_name })
            ),
        )),
        Step::Retire { version, .. } => {
            Some(normal("Retired", "Retire", format!("the target refuses the credential of version {version}, which was current before")))
        }
        Step::Restore => Some(normal(
            "Restored",
            "Restore",
            format!("the AWS secret {name} was scheduled for deletion and is restored, because this object declares it"),
        )),
        _ => None,
    }
}

/// The Event of a step that carried out a change of the spec in AWS. `None`: its step has Events of its own, or none.
pub fn of_change(want: &Desired, step: StepKind) -> Option<EventNote> {
    if !step.is_setting() || matches!(step, StepKind::MoveLabel | StepKind::Settle) {
        return None;
    }
    let what = setting(step);
    let step: &'static str = step.into();
    let note = format!("the {what} of the AWS secret {}: set as the changed spec declares ({step})", want.secret_name);
    Some(normal("SettingsChanged", "Configure", note))
}

fn setting(step: StepKind) -> &'static str {
    match step {
        StepKind::SetDescription => "description",
        StepKind::SetKey => "KMS key",
        StepKind::Tag | StepKind::Untag => "tags",
        StepKind::PutPolicy | StepKind::DeletePolicy => "resource policy",
        StepKind::Replicate | StepKind::StopReplicating => "replication",
        StepKind::SetReplicaKey => "KMS key of a replica",
        _ => "settings",
    }
}

/// The Event of a step that corrected drift of a setting in AWS: another writer had changed it, or the flags of the operator
/// changed.
pub fn of_repair(want: &Desired, step: StepKind) -> EventNote {
    let what = setting(step);
    let step: &'static str = step.into();
    let note = format!(
        "the {what} of the AWS secret {} differed from the declaration, and the operator corrected that ({step})",
        want.secret_name
    );
    warning("SettingsRepaired", "Correct", note)
}

/// The Event for the scheduled deletion of an AWS secret.
pub fn deletion_scheduled(arn: &str, window: i32) -> EventNote {
    let restore = Command::RestoreSecret(SecretRef::of_arn(arn));
    normal(
        "DeletionScheduled",
        "Delete",
        format!("the AWS secret {arn} will be deleted in {window} days; until then it can be restored: {restore}"),
    )
}

/// What is known of the AWS secret of a released object.
pub enum Kept<'a> {
    /// Its tags name this object. With the regions of its replicas.
    Owned(SecretRef<'a>, &'a BTreeSet<String>),
    /// The spec or the status name it, which users write. Its tags were not read, or name another owner.
    Named(SecretRef<'a>),
    /// Nothing names it.
    Unknown,
}

/// The Event for a released object whose AWS secret should be deleted and is kept. It has the command to delete only a
/// secret that is known to be of this object, since administrators run it.
pub fn secret_kept(secret: &Kept<'_>, why: &str) -> EventNote {
    let note = match secret {
        Kept::Owned(secret, replicas) => {
            format!("the AWS secret {} is kept: {why}; to delete it: {}", secret.id, to_delete(*secret, replicas))
        }
        Kept::Named(secret) => format!("the AWS secret is kept, if there is one: {why}; {}", look_at(*secret)),
        Kept::Unknown => format!("the AWS secret is kept, if there is one: {why}"),
    };
    warning("AwsSecretKept", "Delete", note)
}

/// How to see whose a secret is that was not read.
pub fn look_at(secret: SecretRef<'_>) -> String {
    format!(
        "the object names {}, and whether it owns it is not known: its tags {GROUP}/* tell the owner: {}",
        secret.id,
        Command::DescribeSecret(secret)
    )
}

/// AWS deletes no secret that has replicas.
fn to_delete(secret: SecretRef<'_>, replicas: &BTreeSet<String>) -> String {
    let first = (!replicas.is_empty()).then(|| format!("{}; then ", Command::RemoveReplicas(secret, replicas)));
    format!("{}{}", first.unwrap_or_default(), Command::DeleteSecret(secret))
}

/// The Event for an object that is gone and leaves its AWS secret as declared. `None`: it is not known to own one.
pub fn secret_retained(object: &RotatedSecret) -> Option<EventNote> {
    let status = object.status.as_ref()?;
    let managed = status.declared.is_some() && object.spec.aws.deletion_policy == AwsDeletionPolicy::Retain;
    let of_another = |c: &Condition| c.type_ == "Provisioned" && c.reason == Reason::NotOwned.as_str();
    let owns = managed && !status.conditions.iter().any(of_another);
    let aws = status.aws.as_ref().filter(|_| owns)?;
    let arn = aws.arn.as_deref().filter(|arn| SecretArn::parse(arn).is_some())?;
    // The tags are not read any more, and a user could have written the ARN: no command that deletes.
    let note = format!(
        "the object is deleted, and the AWS secret {arn} stays (spec.aws.deletionPolicy is Retain); an object with the same name uses it \
         again; its tags {GROUP}/* tell the owner: {}",
        Command::DescribeSecret(SecretRef::of_arn(arn))
    );
    Some(normal("AwsSecretRetained", "Delete", note))
}

/// The Event for a released object whose AWS secret stays with a version that is still staged.
pub fn left_staged(arn: Option<&str>, why: &str) -> EventNote {
    let note = format!(
        "a version of the AWS secret {} still has the label {STAGED_LABEL}, and the target accepts that version or the current one: {why}",
        arn.unwrap_or("of this object")
    );
    warning("VersionLeftStaged", "Delete", note)
}

/// The Event of a write of the Secret, if the Event of a new version does not tell it. It follows from a step of this reconcile,
/// and no later one tells it. So it does not wait for the status. `rival`: the field manager that had changed the Secret, if
/// this reconcile found one.
pub fn of_mirror(before: &RotatedSecretStatus, after: &RotatedSecretStatus, steps: &[StepKind], rival: Option<&str>) -> Option<EventNote> {
    let written = steps.iter().any(|step| matches!(step, StepKind::CreateMirror | StepKind::ReplaceMirror));
    let created = steps.iter().rev().find(|step| step.writes_mirror()) == Some(&StepKind::CreateMirror);
    if written && recorded(before, after).is_none() { mirrored(before, after, rival, created) } else { None }
}

/// The Events of a reconcile, from the status before and after it.
pub fn event_notes(before: &RotatedSecretStatus, after: &RotatedSecretStatus) -> Vec<EventNote> {
    let mut notes: Vec<EventNote> = recorded(before, after).map(new_version).into_iter().collect();
    notes.extend(abandoned(before, after).map(version_abandoned));
    notes.extend(requests::refused(before, after));
    notes.extend(requests::delay(before, after));
    notes.extend(rolled_out(before, after));
    notes.extend(ConditionChange::all(before, after).iter().filter_map(condition));
    notes
}

/// Every workload is healthy with the version. A version that restarted none needs no Event.
fn rolled_out(before: &RotatedSecretStatus, after: &RotatedSecretStatus) -> Option<EventNote> {
    rollout::rolled_out(before, after)?;
    let rollout = after.rollout.as_ref()?;
    let restarted = rollout.workloads.iter().filter(|workload| workload.restarts > 0).count();
    let note = format!("workloads run with version {} and are healthy ({restarted} restarted)", rollout.version_id);
    Some(normal("RolledOut", "RollOut", note))
}

fn new_version(entry: &HistoryEntry) -> EventNote {
    let version = &entry.version_id;
    match entry.cause {
        Cause::Created => normal("Created", "Create", format!("the AWS secret holds its first version {version}")),
        Cause::Adopted => normal("Adopted", "Adopt", format!("the existing AWS secret is adopted and keeps version {version}")),
        Cause::External => normal("ChangedInAws", "Mirror", format!("version {version} was put in AWS externally and is mirrored")),
        Cause::RolledBack => normal(
            "RolledBack",
            "Mirror",
            match &entry.copy_of {
                Some(older) => format!("version {version} is current and has the value of version {older}, as requested"),
                None => format!("version {version} is current again"),
            },
        ),
        Cause::Scheduled => normal("Rotated", "Rotate", format!("version {version} is current; the rotation was due by schedule")),
        Cause::Requested => normal("Rotated", "Rotate", format!("version {version} is current; the rotation was requested")),
        Cause::SpecChanged => normal("ValueChanged", "Rotate", format!("version {version} is current; spec.value changed")),
    }
}

fn version_abandoned(entry: &HistoryEntry) -> EventNote {
    let why = match entry.reason.as_deref().and_then(|reason| reason.parse().ok()) {
        Some(Abandonment::TargetRemoved) => "spec.rotation no longer names its target or its users",
        Some(Abandonment::Withdrawn) => "a rollback was requested",
        Some(Abandonment::Overtaken) => "another writer made another version current",
        Some(Abandonment::Pinned) => "spec.target.versionId pins the Secret to the current version",
        Some(Abandonment::AlreadyExists) => {
            let id = &entry.version_id;
            let note =
                format!("version {id} was made and given up before: AWS has it, so it is not made again. The next cause makes another one");
            return warning("VersionAbandoned", "Abandon", note);
        }
        Some(Abandonment::VerifyFailed) | None => "it did not work in the target",
    };
    let note = format!("staged version {} is abandoned, because {why}: the target gets the current value back", entry.version_id);
    warning("VersionAbandoned", "Abandon", note)
}

/// The Secret went to another version, or was repaired. `created`: it was missing.
fn mirrored(before: &RotatedSecretStatus, after: &RotatedSecretStatus, rival: Option<&str>, created: bool) -> Option<EventNote> {
    let earlier = before.mirror.as_ref()?;
    let held = after.mirror.as_ref().and_then(|mirror| mirror.version_id.as_deref());
    if let (Some(held), Some(earlier)) = (held, earlier.version_id.as_deref())
        && held != earlier
    {
        return Some(normal("Mirrored", "Mirror", format!("the Secret holds version {held}")));
    }
    let contested = |c: &Condition| c.type_ == "Mirrored" && c.reason == Reason::Contested.as_str();
    // One Event says that for all repairs.
    let previous = |status: &RotatedSecretStatus| status.mirror.as_ref().and_then(|mirror| mirror.previous_version_id.clone());
    let unchanged = before.observed_generation == after.observed_generation && previous(before) == previous(after);
    let declared = unchanged && !mirror_failed(before);
    let repaired = declared && !after.conditions.iter().any(contested);
    let told = match rival.and_then(manager_name) {
        // `managedFields` are gone with the object.
        _ if created => {
            "the Secret was deleted, and the operator has created it again: the audit log of the API server says by whom".to_owned()
        }
        Some(name) => format!("the field manager {name} edited the Secret, and the operator has written it again"),
        None => "the Secret was edited by a client that its metadata.managedFields do not name, and the operator has written it again: \
                 the audit log of the API server says by whom"
            .to_owned(),
    };
    repaired.then(|| warning(MIRROR_REPAIRED, "Mirror", told))
}

fn condition(change: &ConditionChange<'_>) -> Option<EventNote> {
    let Condition { type_, reason, message, .. } = change.now.clone();
    if change.is_recovery() {
        // The object itself need not be Ready.
        let note = if change.is_of_ready() { message } else { format!("the condition {type_} is True again: {message}") };
        return Some(normal("Recovered", "Reconcile", note));
    }
    (!change.holds() && !change.is_repeated()).then(|| EventNote {
        warning: change.is_problem(),
        reason,
        action: "Reconcile",
        note: message,
    })
}
