//! Whose the AWS secret is, and how one that was there before becomes ours: first the status says so, then its tags do. A crash between the two
//! finds the status, so that what follows from an adoption (when the schedule begins, a first rotation at once) happens once.

use jiff::Timestamp;

use super::{Next, Observed, Ownership, Remote, Rest, Step};
use crate::api::condition::Reason;
use crate::api::{ADOPT_BY, AwsAdoptionPolicy};
use crate::desired::{Desired, Refusal};

/// What comes before anything else about an AWS secret that exists. `None`: it is ours, or only mirrored, and nothing is in the way.
pub(super) fn admission(want: &Desired, seen: &Observed, remote: &Remote, now: Timestamp) -> Option<Next> {
    let refuse = |refusal| Some(Next::Rest(Rest { provisioned: Some(refusal), ..Rest::default() }));
    if want.value.is_none() {
        return remote.deleted.then(|| scheduled_for_deletion(want)).and_then(refuse);
    }
    match remote.ownership {
        Ownership::Another | Ownership::Nobody => refuse(not_ours(want, remote)),
        Ownership::Adoptable if remote.deleted => refuse(scheduled_for_deletion(want)),
        Ownership::Ours | Ownership::Former if remote.deleted => Some(once(seen, Step::Restore)),
        Ownership::Ours => None,
        Ownership::Adoptable => match unadoptable(want, remote) {
            Some(refusal) => refuse(refusal),
            None => Some(take(want, seen, remote, now)),
        },
        Ownership::Former => Some(take(want, seen, remote, now)),
    }
}

/// Says that it becomes ours, then tags it.
fn take(want: &Desired, seen: &Observed, remote: &Remote, now: Timestamp) -> Next {
    let said = remote.current.as_ref().is_none_or(|current| seen.reported.adopting.as_ref() == Some(&current.version));
    if said {
        return once(seen, Step::Adopt { tags: remote.missing_tags.clone() });
    }
    Next::Rest(Rest {
        provisioned: Some(Refusal::new(
            Reason::Progressing,
            format!("the AWS secret {} was there before and becomes ours; it keeps its value until a rotation is due", want.secret_name),
        )),
        adopting: true,
        wake: Some(now),
        ..Rest::default()
    })
}

/// A step that AWS may not show at once is done once a turn.
fn once(seen: &Observed, step: Step) -> Next {
    if !step.once().is_some_and(|key| seen.tried.contains_key(&key)) {
        return Next::Do(step);
    }
    Next::Rest(Rest {
        provisioned: Some(Refusal::new(Reason::Progressing, "AWS does not show the last change yet")),
        unsettled: true,
        ..Rest::default()
    })
}

fn not_ours(want: &Desired, remote: &Remote) -> Refusal {
    let name = &want.secret_name;
    let ways = format!(
        "choose another spec.aws.secretName in a new object, remove spec.value to mirror it only, or let the object adopt it: \
         spec.aws.adoptionPolicy IfTagged, and aws secretsmanager tag-resource --secret-id {name} --tags Key={ADOPT_BY},Value={}/{}",
        want.namespace, want.name
    );
    if let Some(ours) = &remote.replaced {
        return Refusal::new(
            Reason::Recreated,
            format!(
                "the AWS secret {name} that was ours ({ours}) is gone, and somebody else made another one ({}): delete that one, or {ways}",
                remote.arn
            ),
        );
    }
    if remote.ownership == Ownership::Another {
        return Refusal::new(
            Reason::NotOwned,
            format!(
                "the AWS secret {name} belongs to another object (see its tags rotated-secrets.io/*): choose another spec.aws.secretName in a new \
                 object, or remove spec.value to mirror it only"
            ),
        );
    }
    let tagged = if want.settings.adoption == AwsAdoptionPolicy::IfTagged {
        format!(" and does not carry the tag {ADOPT_BY} with the value {}/{}", want.namespace, want.name)
    } else {
        String::new()
    };
    Refusal::new(Reason::AlreadyExists, format!("an AWS secret {name} exists already, the operator did not create it{tagged}: {ways}"))
}

/// Why an AWS secret that may be adopted cannot be.
fn unadoptable(want: &Desired, remote: &Remote) -> Option<Refusal> {
    let name = &want.secret_name;
    if remote.service_owned {
        return Some(Refusal::new(
            Reason::NotOwned,
            format!(
                "the AWS secret {name} is managed by an AWS service (OwningService), which changes it: remove spec.value to mirror it only"
            ),
        ));
    }
    if let Some(primary) = &remote.settings.replica_of {
        return Some(Refusal::new(
            Reason::NotOwned,
            format!(
                "the AWS secret {name} is a replica of the one in {primary}, which alone can be changed: set spec.aws.region to {primary} in a new object"
            ),
        ));
    }
    remote.foreign_rotation.then(|| super::foreign_rotation_refusal(want))
}

fn scheduled_for_deletion(want: &Desired) -> Refusal {
    Refusal::new(
        Reason::ScheduledForDeletion,
        format!(
            "the AWS secret {} is scheduled for deletion: restore it with aws secretsmanager restore-secret --secret-id {}",
            want.secret_name, want.secret_name
        ),
    )
}
