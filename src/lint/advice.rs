//! What is accepted and is probably not what is meant. Each message begins with the path of the field.

use jiff::SignedDuration;

use crate::api::{AwsAdoptionPolicy, RotatedSecretSpec, RotationSpec};
use crate::schedule::{Clock, Span};
use crate::value::is_secret_key;

/// The default of `--minimum-rotation-interval`.
const DEFAULT_MINIMUM: SignedDuration = SignedDuration::from_hours(1);
/// Parts of names of fields that hold confidential values.
const CONFIDENTIAL: [&str; 6] = ["password", "passwd", "token", "secret", "apikey", "privatekey"];

pub(super) fn of_clock(clock: &Clock) -> Vec<String> {
    let mut found = Vec::new();
    if clock.schedule().has_either_day() {
        found.push(
            "spec.rotation.schedule: day of month and day of week are both set, so every day that matches one of them is due; for the second \
             Monday of the month write MON#2 and * as the day of month"
                .to_owned(),
        );
    }
    let shortest = clock.schedule().shortest_interval();
    if shortest < DEFAULT_MINIMUM {
        found.push(format!(
            "spec.rotation.schedule: {} between two rotations is less than the default minimum of the operator, {} \
             (--minimum-rotation-interval)",
            Span(shortest),
            Span(DEFAULT_MINIMUM)
        ));
    }
    found
}

pub(super) fn of_spec(spec: &RotatedSecretSpec) -> Vec<String> {
    let mut found = Vec::new();
    let target = spec.rotation.as_ref().and_then(RotationSpec::target_field);
    let first = spec.value.as_ref().is_some_and(|value| value.initial_ref.is_some());
    if let Some(target) = target.filter(|_| !first)
        && spec.aws.adoption_policy == AwsAdoptionPolicy::Never
    {
        found.push(format!(
            "spec.rotation.{target}: the operator does not create the AWS secret, because the server would not accept a generated password; \
             set spec.aws.adoptionPolicy: IfTagged to take over one with the present password, or name a Secret that has it in \
             spec.value.initialRef (no change is needed if this object owns its AWS secret already)"
        ));
    }
    for name in spec.value.iter().flat_map(|value| value.data.keys()).filter(|name| is_secret_key(name)) {
        let plain: String = name.to_ascii_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
        if CONFIDENTIAL.iter().any(|word| plain.contains(word)) {
            found.push(format!(
                "spec.value.data.{name}: is readable by everyone who can read this object; generate it (spec.value.generate), or keep the \
                 value in AWS and mirror it"
            ));
        }
    }
    found
}
