//! An object that this version of the operator cannot decode: it is reported, and its deletion is not blocked.

use std::time::Duration;

use kube::runtime::controller::Action;

use crate::api::FINALIZER;
use crate::audit::{self, Entry};
use crate::command::{Command, SecretRef};
use crate::kubernetes::object;
use crate::kubernetes::stored::{Stored, Unreadable};
use crate::reconcile::Context;
use crate::status::EventNote;
use crate::status::events::look_at;

/// Delay before the finalizer is removed again after a failure.
const RETRY_DELAY: Duration = Duration::from_secs(30);

/// Names the object in the log and, for its owner, in an Event, and once for each change in the audit stream. If it is being
/// deleted, removes our finalizer and does nothing in AWS, because its deletion policy cannot be read. `leads`: this replica is the leader.
pub async fn handle(unreadable: &Unreadable, ctx: &Context, leads: bool) -> Action {
    let metadata = &unreadable.metadata;
    let name = format!("{}/{}", metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default());
    // The content of the object is never logged.
    tracing::error!(object = name, defect = %unreadable.defect, "a RotatedSecret cannot be read; nothing is done for it");
    if !leads {
        return Action::await_change();
    }
    let ours = metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER);
    if metadata.deletion_timestamp.is_none() {
        let complaint = complaint(unreadable);
        let (uid, defect) = (metadata.uid.as_deref().unwrap_or_default(), unreadable.defect.to_string());
        if ctx.memory.cannot_read(uid, metadata.generation, &defect) {
            let (arn, reason) = (unreadable.arn.clone(), Some(complaint.reason.clone()));
            ctx.record(metadata, &[Entry { arn, reason, ..Entry::of(audit::Action::Refused) }]);
        }
        publish(unreadable, ctx, &complaint).await;
        return Action::await_change();
    }
    if !ours {
        return Action::await_change();
    }
    let orphaned = orphaned(unreadable);
    let (arn, reason) = (unreadable.arn.clone(), Some(orphaned.reason.clone()));
    ctx.record(metadata, &[Entry { arn, reason, ..Entry::of(audit::Action::Kept) }]);
    // Published first: there can be no Event about an object that is gone.
    publish(unreadable, ctx, &orphaned).await;
    match object::release(&ctx.client, unreadable).await {
        Ok(()) => {
            tracing::warn!(object = name, note = orphaned.note, "removed the finalizer from an object that cannot be read");
            Action::await_change()
        }
        Err(failure) => {
            tracing::warn!(object = name, reason = %failure.reason, message = failure.message, request_id = failure.request_id.as_deref(), "the finalizer could not be removed");
            Action::requeue(RETRY_DELAY)
        }
    }
}

async fn publish(unreadable: &Unreadable, ctx: &Context, note: &EventNote) {
    ctx.events.publish_lasting(&Stored::Unreadable(Box::new(unreadable.clone())), note).await;
}

fn complaint(unreadable: &Unreadable) -> EventNote {
    EventNote {
        warning: true,
        reason: "Unreadable".to_owned(),
        action: "Read",
        note: format!(
            "{}: nothing is created, rotated or mirrored for this object: apply it again as docs/reference.md describes it, or delete it; the AWS \
             secret and the Secret stay as they are",
            unreadable.defect
        ),
    }
}

fn orphaned(unreadable: &Unreadable) -> EventNote {
    let note = match &unreadable.arn {
        Some(arn) => format!(
            "{}, so spec.aws.deletionPolicy is not known: the AWS secret {arn} stays; {}",
            unreadable.defect,
            look_at(SecretRef::of_arn(arn))
        ),
        None => format!(
            "{}, so spec.aws.deletionPolicy is not known: an AWS secret of this object stays, if there is one; to find it: {}",
            unreadable.defect,
            Command::FindSecrets { region: "REGION", tag_value: unreadable.metadata.uid.as_deref().unwrap_or_default() }
        ),
    };
    EventNote { warning: true, reason: "AwsSecretKept".to_owned(), action: "Delete", note }
}
