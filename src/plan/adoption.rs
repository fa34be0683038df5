//! Ownership and adoption of an AWS secret that exists. Adoption is recorded in status before the ownership tags are
//! written, so a crash in between cannot repeat its side effects (start of the schedule, first rotation). It is recorded
//! before the secret is restored, too.

use jiff::Timestamp;

use super::{Assessment, Blocked, Next, Wake, hold, lambda_rotation};
use crate::api::condition::Reason;
use crate::api::{ADOPT_BY, AwsAdoptionPolicy, GROUP, MIRROR_NAMES, TAG_CLUSTER, TAG_NAME, TAG_NAMESPACE, TAG_NAMESPACE_UID, TAG_UID};
use crate::command::Command;
use crate::compare::{self, Difference, Manager, Observation, Ownership, SecretState};
use crate::desired::Desired;
use crate::refusal::Refusal;
use crate::step::Step;

/// What comes before anything else. `None`: the secret is ours, or only mirrored, and nothing is in the way.
pub(super) fn admit(want: &Desired, seen: &Observation, secret: &SecretState, now: Timestamp) -> Option<Next> {
    let next = admission(want, seen, secret, now)?;
    if matches!(next, Next::Do(_)) && !seen.access.function_allowed {
        return Some(Next::blocked(lambda_rotation::not_allowed(want)));
    }
    Some(next)
}

fn admission(want: &Desired, seen: &Observation, secret: &SecretState, now: Timestamp) -> Option<Next> {
    if want.value.is_none() {
        return unreadable(want, seen, secret).or_else(|| secret.deleted.then(|| scheduled_for_deletion(want, secret))).map(Next::blocked);
    }
    match secret.ownership {
        Ownership::Another(_) | Ownership::Nobody => Some(Next::blocked(not_ours(want, seen, secret))),
        Ownership::Adoptable if secret.deleted => Some(Next::blocked(scheduled_for_deletion(want, secret))),
        Ownership::Ours if secret.deleted => Some(Next::Do(Step::Restore)),
        Ownership::Ours => None,
        Ownership::Adoptable => Some(unadoptable(want, secret).map_or_else(|| adopt(want, seen, secret, now), Next::blocked)),
        Ownership::Former => Some(adopt(want, seen, secret, now)),
    }
}

/// Reports the adoption, then restores and tags the secret. If the object is deleted in between, the report tells that the
/// secret is to go with it.
fn adopt(want: &Desired, seen: &Observation, secret: &SecretState, now: Timestamp) -> Next {
    let reported = secret.current.as_ref().is_none_or(|current| seen.status.adopting() == Some(&current.version));
    if reported && secret.deleted {
        return Next::Do(Step::Restore);
    }
    if reported {
        return Next::Do(Step::Adopt { tags: secret.drift.missing_tags.clone() });
    }
    let refusal = Refusal::new(
        Reason::Progressing,
        format!("the existing AWS secret {} is being adopted; it keeps its value until a rotation is due", want.secret_name),
    );
    Next::Rest(Assessment::Blocked(Blocked { adopting: true, wake: Wake(Some(now)), ..Blocked::by(refusal) }))
}

/// What the tags say about the owner, as the rest of a sentence about the AWS secret.
fn owner(want: &Desired, difference: Difference) -> String {
    let (namespace, tag) = (&want.namespace, |key: &str| format!("(see its tag {key})"));
    match difference {
        Difference::Cluster => format!("belongs to another cluster {}", tag(TAG_CLUSTER)),
        Difference::Namespace => format!("belongs to another namespace {}", tag(TAG_NAMESPACE)),
        Difference::NamespaceUid => {
            format!("belongs to an earlier namespace {namespace}, which was deleted {}", tag(TAG_NAMESPACE_UID))
        }
        Difference::NamespaceUidUnknown => {
            format!(
                "does not tell whether it belongs to this namespace {namespace} or to an earlier one (it has no tag {TAG_NAMESPACE_UID})"
            )
        }
        Difference::Object => format!("belongs to another object of this namespace {}", tag(TAG_NAME)),
        Difference::Uid => format!("belongs to another object of the same name {}", tag(TAG_UID)),
        Difference::Incomplete => format!("has some, but not all of the ownership tags {GROUP}/*, so its owner is not known"),
    }
}

/// Why the value may not be read by an object that only mirrors.
fn unreadable(want: &Desired, seen: &Observation, secret: &SecretState) -> Option<Refusal> {
    let Ownership::Another(difference) = secret.ownership else { return None };
    (!secret.ownership.may_be_mirrored(seen.access.listed)).then(|| {
        Refusal::new(
            Reason::NotOwned,
            format!(
                "the AWS secret {} {}, so it is not mirrored: mirror another one in a new object, or ask the administrator to allow the name in the \
                 annotation {MIRROR_NAMES} on the Namespace",
                want.secret_name,
                owner(want, difference)
            ),
        )
    })
}

/// The value of the tag with which this object adopts the secret.
fn consent(want: &Desired, secret: &SecretState) -> String {
    let difference = if let Ownership::Another(difference) = secret.ownership { Some(difference) } else { None };
    compare::consent(want, difference).unwrap_or_default()
}

/// How this object can adopt a secret.
fn adoption(want: &Desired, secret: &SecretState) -> String {
    // AWS refuses to tag a secret that is scheduled for deletion.
    let restore = secret.deleted.then(|| format!("{}, ", Command::RestoreSecret(secret.at(want))));
    let tag = format!(
        "spec.aws.adoptionPolicy IfTagged, and {}{}, then {}",
        restore.unwrap_or_default(),
        Command::TagForAdoption(secret.at(want), &consent(want, secret)),
        Command::RefreshByPlugin(want.object_ref())
    );
    match want.settings.adoption_declared {
        Some(declared) => {
            format!("{tag}; spec.aws.adoptionPolicy {} is more than the operator allows (--max-adoption-policy)", declared.as_str())
        }
        None => tag,
    }
}

fn not_ours(want: &Desired, seen: &Observation, secret: &SecretState) -> Refusal {
    let name = &want.secret_name;
    let ways = format!(
        "choose another spec.aws.secretName in a new object, remove spec.value to mirror it only, or let the object adopt it: {}",
        adoption(want, secret)
    );
    if let Some(ours) = seen.replaced() {
        return Refusal::new(
            Reason::Recreated,
            format!(
                "the AWS secret {name} of this object ({ours}) is gone, and another one was created with its name ({}): delete that one, or {ways}",
                secret.arn
            ),
        );
    }
    if let Ownership::Another(difference) = secret.ownership {
        return Refusal::new(Reason::NotOwned, format!("the AWS secret {name} {}: {ways}", owner(want, difference)));
    }
    let tagged = if want.settings.adoption == AwsAdoptionPolicy::IfTagged {
        format!(", and it does not have the tag {ADOPT_BY} with the value {}/{}", want.namespace, want.name)
    } else {
        String::new()
    };
    Refusal::new(Reason::AlreadyExists, format!("the AWS secret {name} exists, and the operator did not create it{tagged}: {ways}"))
}

/// Why an AWS secret that may be adopted cannot be.
fn unadoptable(want: &Desired, secret: &SecretState) -> Option<Refusal> {
    let name = &want.secret_name;
    match &secret.manager {
        Some(Manager::Service) => Some(Refusal::new(
            Reason::NotOwned,
            format!(
                "the AWS secret {name} is managed by an AWS service (OwningService), which changes it: remove spec.value to mirror it only"
            ),
        )),
        Some(Manager::Primary(region)) => Some(Refusal::new(
            Reason::NotOwned,
            format!(
                "the AWS secret {name} is a replica of the one in {region}, and only that one can be changed: set spec.aws.region to {region} in a \
                 new object"
            ),
        )),
        None => secret.rotation.foreign.then(|| hold::foreign_rotation(want, secret)),
    }
}

fn scheduled_for_deletion(want: &Desired, secret: &SecretState) -> Refusal {
    let restore = Command::RestoreSecret(secret.at(want));
    Refusal::new(
        Reason::ScheduledForDeletion,
        format!("the AWS secret {} is scheduled for deletion: restore it with {restore}", want.secret_name),
    )
}
