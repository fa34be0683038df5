//! Combinations in `spec.rotation` that the CEL rules of the definition reject. An older definition may lack a rule.

use crate::api::condition::Reason;
use crate::api::{OnMissedWindow, RotatedSecretSpec, RotationSpec};
use crate::refusal::Refusal;

/// Why this rotation cannot be carried out.
pub(super) fn refusal(spec: &RotatedSecretSpec, rotation: &RotationSpec) -> Option<Refusal> {
    let by_aws = rotation.lambda.is_some();
    let generated = spec.value.as_ref().is_some_and(|value| value.plain_text.is_some() || !value.generate.is_empty());
    let rules = [
        (
            rotation.schedule.is_some() && rotation.automatically_after_days.is_some(),
            ": set exactly one of schedule or automaticallyAfterDays",
        ),
        (
            spec.value.is_none() && !by_aws,
            " requires spec.value or spec.rotation.lambda: without spec.value the value is only mirrored; set spec.value, or remove \
             spec.rotation",
        ),
        (
            spec.value.is_some() && !generated && !by_aws,
            " requires a generated field: add spec.value.generate or spec.value.plainText, or remove spec.rotation",
        ),
        (by_aws && rotation.time_zone.is_some(), ".timeZone is not supported with lambda, because cron( ) is in UTC in AWS: remove it"),
        (
            by_aws && rotation.on_missed_window != OnMissedWindow::RotateNow,
            ".onMissedWindow is not supported with lambda, because AWS handles missed windows: remove it",
        ),
        (
            by_aws && !rotation.exclude_periods.is_empty(),
            ".excludePeriods is not supported with lambda, because AWS runs the schedule: remove it, or rotate without lambda",
        ),
    ];
    let (_, message) = rules.into_iter().find(|(violated, _)| *violated)?;
    Some(Refusal::new(Reason::InvalidSpec, format!("spec.rotation{message}")))
}
