//! What an object says while it is suspended.

use super::*;
use crate::api::{StagedStatus, StagedStep};
use crate::desired::{Alternation, Kind, Strategy};
use crate::value::Turns;

#[test]
fn a_suspended_object_keeps_its_last_truth() {
    let paused = rested(Rest { suspended: true, ..Rest::default() });
    let stalled = after(&live(), &rested(Rest { rotated: Some(refusal(Reason::IntervalTooShort)), ..rest() }), MADE + 120);
    let staged = |kind: Kind| {
        let target = Strategy { kind, ..fixture::strategy() }.record();
        let staged = StagedStatus {
            from: None,
            due_time: None,
            version_id: "v2".to_owned(),
            step: StagedStep::Stage,
            since: Time(at(MADE)),
            postgres: None,
            mysql: None,
            redis: None,
            webhook: None,
            job: None,
        };
        RotatedSecretStatus { staged: Some(staged.with_target(Some(target))), ..live() }
    };
    let works = ["+Ready Suspended", "+Provisioned Succeeded", "+Rotated Succeeded", "+Mirrored Succeeded"];
    // The server may refuse the only password that pods have.
    let in_doubt = ["-Ready Suspended", "+Provisioned Succeeded", "+Rotated Succeeded", "+Mirrored Succeeded"];
    let turns = Turns { base: "app".to_owned(), twin: "app_clone".to_owned() };
    let alternation = Alternation { admin: "db-super".to_owned(), turns };
    let table: Vec<(RotatedSecretStatus, &[&str])> = vec![
        (live(), &works),
        (staged(Kind::PostgresSingleUser { database: "app".to_owned() }), &in_doubt),
        (staged(Kind::MysqlSingleUser { database: None }), &in_doubt),
        (staged(Kind::PostgresAlternatingUsers { database: "app".to_owned(), alternation: alternation.clone() }), &works),
        (staged(Kind::MysqlAlternatingUsers { database: None, alternation }), &works),
        (staged(Kind::MysqlDualPassword { database: None }), &works),
        (staged(Kind::RedisTwoPasswords { admin: None }), &works),
        (stalled, &["-Ready Suspended", "+Provisioned Succeeded", "-Rotated IntervalTooShort", "+Mirrored Succeeded"]),
        (RotatedSecretStatus::default(), &["-Ready Suspended"]),
    ];
    for (before, expected) in table {
        let status = after(&before, &paused, MADE + 180);
        assert_eq!(said(&status), expected);
        assert_eq!(status.suspension_time, Some(Time(at(MADE + 180))));
        let unchanged = |status: &RotatedSecretStatus| RotatedSecretStatus {
            conditions: Vec::new(),
            observed_generation: None,
            suspension_time: None,
            ..status.clone()
        };
        assert_eq!(unchanged(&status), unchanged(&before));
        assert_eq!(said(&after(&status, &paused, MADE + 240)), expected, "and keeps keeping it");
    }
}

#[test]
fn a_credential_that_is_not_retired_is_stated_without_a_rollout_too_and_stays_stated_in_a_suspension() {
    let mut failed = rested(rest());
    if let Outcome::Assessed { assessment: Assessment::Examined(examined), .. } = &mut failed {
        examined.aspects.rolled_out = Some(refusal(Reason::RetirementFailed));
    }
    let told = after(&live(), &failed, MADE + 120);
    assert!(said(&told).contains(&"-RolledOut RetirementFailed".to_owned()), "{:?}", said(&told));
    let suspended = after(&told, &rested(Rest { suspended: true, ..Rest::default() }), MADE + 180);
    assert!(said(&suspended).contains(&"-RolledOut RetirementFailed".to_owned()), "{:?}", said(&suspended));
    assert!(!said(&after(&live(), &rested(rest()), MADE + 120)).iter().any(|said| said.contains("RolledOut")));
}
