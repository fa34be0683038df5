//! An object that this version of the operator cannot read: it is named, and may go.

use std::time::Duration;

use kube::runtime::controller::Action;

use crate::api::FINALIZER;
use crate::kubernetes::object;
use crate::kubernetes::stored::{Stored, Unreadable};
use crate::reconcile::Context;
use crate::status::EventNote;

/// How soon to try again to let go of one.
const AGAIN: Duration = Duration::from_secs(30);

/// Names the object in the log and, for its owner, in an Event. One that is being deleted loses our finalizer: what its spec wants done in AWS
/// cannot be known, so nothing is done there. `leads`: whether this replica acts.
pub async fn handle(unreadable: &Unreadable, ctx: &Context, leads: bool) -> Action {
    let metadata = &unreadable.metadata;
    let name = format!("{}/{}", metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default());
    // Never what it holds.
    tracing::error!(object = name, defect = %unreadable.defect, "a RotatedSecret cannot be read; nothing is done for it");
    if !leads {
        return Action::await_change();
    }
    let ours = metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER);
    if metadata.deletion_timestamp.is_none() {
        publish(unreadable, ctx, &complaint(unreadable)).await;
        return Action::await_change();
    }
    if !ours {
        return Action::await_change();
    }
    let kept = kept(unreadable);
    // Before the object is gone, when it can still be told.
    publish(unreadable, ctx, &kept).await;
    match object::let_go(&ctx.client, unreadable).await {
        Ok(()) => {
            tracing::warn!(object = name, note = kept.note, "an object that cannot be read was let go");
            Action::await_change()
        }
        Err(failure) => {
            tracing::warn!(object = name, reason = %failure.reason, message = failure.message, "the finalizer could not be removed");
            Action::requeue(AGAIN)
        }
    }
}

async fn publish(unreadable: &Unreadable, ctx: &Context, note: &EventNote) {
    ctx.events.publish(&Stored::Unreadable(Box::new(unreadable.clone())), note).await;
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

fn kept(unreadable: &Unreadable) -> EventNote {
    let note = match &unreadable.arn {
        Some(arn) => format!(
            "{}, so spec.aws.deletionPolicy is not known: the AWS secret {arn} stays; type: aws secretsmanager delete-secret --secret-id {arn}",
            unreadable.defect
        ),
        None => format!(
            "{}, so spec.aws.deletionPolicy is not known: an AWS secret of this object stays, if there is one; aws secretsmanager list-secrets \
             --filters Key=tag-value,Values={} finds it",
            unreadable.defect,
            unreadable.metadata.uid.as_deref().unwrap_or_default()
        ),
    };
    EventNote { warning: true, reason: "AwsSecretKept".to_owned(), action: "Delete", note }
}
