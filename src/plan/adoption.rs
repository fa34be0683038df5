//! Ownership and adoption of an AWS secret that exists. Adoption is recorded in status before the ownership tags are
//! written, so a crash in between cannot repeat its side effects (start of the schedule, first rotation).

use jiff::Timestamp;

use super::{Assessment, Blocked, Next, Wake, hold, lambda_rotation};
use crate::api::condition::Reason;
use crate::api::{ADOPT_BY, AwsAdoptionPolicy};
use crate::compare::{Manager, Observation, Ownership, SecretState};
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
        return secret.deleted.then(|| Next::blocked(scheduled_for_deletion(want)));
    }
    match secret.ownership {
        Ownership::Another | Ownership::Nobody => Some(Next::blocked(not_ours(want, secret))),
        Ownership::Adoptable if secret.deleted => Some(Next::blocked(scheduled_for_deletion(want))),
        Ownership::Ours | Ownership::Former if secret.deleted => Some(Next::Do(Step::Restore)),
        Ownership::Ours => None,
        Ownership::Adoptable => Some(unadoptable(want, secret).map_or_else(|| adopt(want, seen, secret, now), Next::blocked)),
        Ownership::Former => Some(adopt(want, seen, secret, now)),
    }
}

/// Reports the adoption, then tags the secret.
fn adopt(want: &Desired, seen: &Observation, secret: &SecretState, now: Timestamp) -> Next {
    let reported = secret.current.as_ref().is_none_or(|current| seen.status.adopting() == Some(&current.version));
    if reported {
        return Next::Do(Step::Adopt { tags: secret.drift.missing_tags.clone() });
    }
    let refusal = Refusal::new(
        Reason::Progressing,
        format!("the existing AWS secret {} is being adopted; it keeps its value until a rotation is due", want.secret_name),
    );
    Next::Rest(Assessment::Blocked(Blocked { adopting: true, wake: Wake(Some(now)), ..Blocked::by(refusal) }))
}

fn not_ours(want: &Desired, secret: &SecretState) -> Refusal {
    let name = &want.secret_name;
    let ways = format!(
        "choose another spec.aws.secretName in a new object, remove spec.value to mirror it only, or let the object adopt it: \
         spec.aws.adoptionPolicy IfTagged, and aws secretsmanager tag-resource --secret-id {name} --tags Key={ADOPT_BY},Value={}/{}",
        want.namespace, want.name
    );
    if let Some(ours) = &secret.replaced {
        return Refusal::new(
            Reason::Recreated,
            format!(
                "the AWS secret {name} of this object ({ours}) is gone, and another one was created with its name ({}): delete that one, or {ways}",
                secret.arn
            ),
        );
    }
    if secret.ownership == Ownership::Another {
        return Refusal::new(
            Reason::NotOwned,
            format!(
                "the AWS secret {name} belongs to another object (see its tags rotated-secrets.io/*): choose another spec.aws.secretName in a new \
                 object, or remove spec.value to mirror it only"
            ),
        );
    }
    let tagged = if want.settings.adoption == AwsAdoptionPolicy::IfTagged {
        format!(" and does not have the tag {ADOPT_BY} with the value {}/{}", want.namespace, want.name)
    } else {
        String::new()
    };
    Refusal::new(Reason::AlreadyExists, format!("an AWS secret {name} exists already, the operator did not create it{tagged}: {ways}"))
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
        None => secret.rotation.foreign.then(|| hold::foreign_rotation(want)),
    }
}

fn scheduled_for_deletion(want: &Desired) -> Refusal {
    let name = &want.secret_name;
    Refusal::new(
        Reason::ScheduledForDeletion,
        format!("the AWS secret {name} is scheduled for deletion: restore it with aws secretsmanager restore-secret --secret-id {name}"),
    )
}
