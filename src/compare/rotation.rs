//! Rotation by AWS with a Lambda function: whose it is, and whether it is as declared.

use jiff::Timestamp;

use super::input::whole_seconds;
use super::ownership::Ownership;
use crate::api::TAG_ROTATION;
use crate::desired::lambda_rotation::LambdaRotation;
use crate::desired::{Desired, Rotation};
use crate::facts::AwsSecret;

/// Rotation by AWS, as far as it concerns this object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LambdaState {
    /// It is on.
    pub enabled: bool,
    /// AWS changes the value, but not for this object: a function that this object did not configure, or the service
    /// that manages the secret.
    pub foreign: bool,
    /// Our tag claims it.
    pub claimed: bool,
    /// Another object's tag claims it, and the secret is not ours.
    pub contested: bool,
    /// Function and rules are the declared ones.
    pub as_declared: bool,
    /// By when AWS rotates next.
    pub next: Option<Timestamp>,
    /// When AWS last rotated.
    pub last: Option<Timestamp>,
}

/// Compares the rotation of the secret with the declared one.
pub(super) fn rotation(want: &Desired, ownership: Ownership, secret: &AwsSecret) -> LambdaState {
    let claim = secret.tags.get(TAG_ROTATION);
    let claimed = claim.is_some_and(|claim| *claim == want.rotation_claim());
    let shown = &secret.rotation;
    let as_declared = match &want.rotation {
        Rotation::Lambda(LambdaRotation { function, config: Ok(config), .. }) => {
            shown.function.as_ref() == Some(function) && config.rules.are_shown_as(&shown.rules)
        }
        _ => false,
    };
    LambdaState {
        enabled: shown.enabled,
        foreign: shown.enabled && !is_ours(want, ownership, secret, claimed) || secret.owning_service.is_some(),
        claimed,
        contested: claim.is_some() && !claimed && ownership != Ownership::Ours,
        as_declared,
        next: shown.next.map(whole_seconds),
        last: shown.last.map(whole_seconds),
    }
}

/// Whether this object turned rotation by AWS on, or declares what is on.
fn is_ours(want: &Desired, ownership: Ownership, secret: &AwsSecret, claimed: bool) -> bool {
    if secret.tags.contains_key(TAG_ROTATION) {
        // An old claim on a secret that is ours is ours.
        return claimed || ownership == Ownership::Ours;
    }
    matches!(&want.rotation, Rotation::Lambda(lambda) if secret.rotation.function.as_ref() == Some(&lambda.function))
}
