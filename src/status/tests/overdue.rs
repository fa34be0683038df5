//! Rotations that were announced and cannot happen.

use super::*;

#[test]
fn a_rotation_that_was_announced_and_cannot_happen_is_overdue() {
    let refused = rested(Rest { provisioned: Some(refusal(Reason::ScheduledForDeletion)), ..Rest::default() });
    for outcome in [throttled(), refused] {
        let rotated = |now| said(&after(&live(), &outcome, now)).into_iter().find(|said| said.contains("Rotated")).unwrap();
        assert_eq!(rotated(MADE + HOUR - 1), "+Rotated Succeeded");
        assert_eq!(rotated(MADE + HOUR), "-Rotated Overdue");
        let late = after(&live(), &outcome, MADE + 9 * HOUR);
        assert!(message(&late, "Rotated").contains(&at(MADE + HOUR).to_string()));
        assert!(!said(&late)[0].contains("Overdue"), "what hinders it is worse");
        assert!(said(&after(&late, &outcome, MADE + 10 * HOUR)).contains(&"-Rotated Overdue".to_owned()), "and stays so");
    }
    let told = after(&live(), &rested(Rest { rotated: Some(refusal(Reason::ForeignPending)), ..rest() }), MADE + HOUR);
    assert!(said(&after(&told, &throttled(), MADE + 2 * HOUR)).contains(&"-Rotated ForeignPending".to_owned()), "a better reason stays");
    let never = after(&RotatedSecretStatus::default(), &throttled(), MADE);
    assert_eq!(said(&never), ["-Ready Throttled", "-Provisioned Throttled", "+Reconciling Throttled"]);
}

#[test]
fn a_rotation_that_comes_due_while_the_secret_is_refused_is_overdue() {
    let refused = rested(Rest { provisioned: Some(refusal(Reason::ScheduledForDeletion)), ..Rest::default() });
    let early = after(&live(), &refused, MADE + 120);
    assert!(said(&after(&early, &refused, MADE + 9 * HOUR)).contains(&"-Rotated Overdue".to_owned()));
}
