//! What an object says while it is suspended.

use super::*;
use crate::api::{StagedAlternation, StagedPostgres, StagedStatus, StagedStep};

#[test]
fn a_suspended_object_keeps_its_last_truth() {
    let paused = rested(Rest { suspended: true, ..Rest::default() });
    let stalled = after(&live(), &rested(Rest { rotated: Some(refusal(Reason::IntervalTooShort)), ..rest() }), MADE + 120);
    let staged = |alternating| RotatedSecretStatus {
        staged: Some(StagedStatus {
            from: None,
            version_id: "v2".to_owned(),
            step: StagedStep::Stage,
            since: Time(at(MADE)),
            postgres: Some(StagedPostgres { alternating, ..fixture::strategy().record() }),
        }),
        ..live()
    };
    let two = StagedAlternation { admin_name: String::new(), base: String::new(), twin: String::new() };
    let table: [(RotatedSecretStatus, &[&str]); 5] = [
        (live(), &["+Ready Suspended", "+Provisioned Succeeded", "+Rotated Succeeded", "+Mirrored Succeeded"]),
        (staged(None), &["-Ready Suspended", "+Provisioned Succeeded", "+Rotated Succeeded", "+Mirrored Succeeded"]),
        (staged(Some(two)), &["+Ready Suspended", "+Provisioned Succeeded", "+Rotated Succeeded", "+Mirrored Succeeded"]),
        (stalled, &["-Ready Suspended", "+Provisioned Succeeded", "-Rotated IntervalTooShort", "+Mirrored Succeeded"]),
        (RotatedSecretStatus::default(), &["-Ready Suspended"]),
    ];
    for (before, expected) in table {
        let status = after(&before, &paused, MADE + 180);
        assert_eq!(said(&status), expected);
        let unchanged =
            |status: &RotatedSecretStatus| RotatedSecretStatus { conditions: Vec::new(), observed_generation: None, ..status.clone() };
        assert_eq!(unchanged(&status), unchanged(&before));
        assert_eq!(said(&after(&status, &paused, MADE + 240)), expected, "and keeps keeping it");
    }
}
