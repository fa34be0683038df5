//! Which changes of conditions are told, and by which condition.

use serde_json::{Value, json};

use super::*;

/// A status with these conditions: `+` True or `-` False, the type and the reason. `failed`: the reasons of failed steps.
fn status(conditions: &[&str], failed: &[&str]) -> RotatedSecretStatus {
    let condition = |text: &&str| {
        let (of, reason) = text[1..].split_once(' ').unwrap();
        let status = if text.starts_with('+') { "True" } else { "False" };
        json!({"type": of, "status": status, "reason": reason, "message": "why", "lastTransitionTime": "2026-12-01T02:00:00Z"})
    };
    let steps: Vec<Value> = failed.iter().map(|reason| json!({"step": "Put", "reason": reason})).collect();
    let failures = (!failed.is_empty()).then(|| json!({"count": 1, "steps": steps}));
    serde_json::from_value(json!({"conditions": conditions.iter().map(condition).collect::<Vec<_>>(), "failures": failures})).unwrap()
}

/// What is told of a change: `!` a refusal, `~` one that was told before, `-` another problem, `+` a recovery, `.` anything else.
fn told(before: &RotatedSecretStatus, after: &RotatedSecretStatus) -> Vec<String> {
    let short = |change: &ConditionChange<'_>| {
        let mark = match () {
            () if change.is_refusal() => '!',
            () if change.is_repeated() => '~',
            () if change.is_problem() => '-',
            () if change.is_recovery() => '+',
            () => '.',
        };
        format!("{mark}{} {}", change.now.type_, change.now.reason)
    };
    ConditionChange::all(before, after).iter().map(short).collect()
}

#[test]
fn each_condition_tells_its_problems_and_their_end_if_ready_does_not() {
    for of in ASPECTS {
        let of = of.to_string();
        let with = |condition: Option<&str>| {
            let condition = condition.map(|condition| format!("{}{of} {}", &condition[..1], &condition[1..]));
            let conditions: Vec<&str> = ["-Ready LimitExceeded"].into_iter().chain(condition.as_deref()).collect();
            status(&conditions, &["LimitExceeded"])
        };
        for (before, after, expected) in [
            (Some("+Succeeded"), Some("-NotOwned"), Some("!NotOwned")),
            (None, Some("-NotOwned"), Some("!NotOwned")),
            (Some("-NotOwned"), Some("-WriteRefused"), Some("!WriteRefused")),
            (Some("-Progressing"), Some("-NotOwned"), Some("!NotOwned")),
            (Some("-NotOwned"), Some("-LimitExceeded"), Some("-LimitExceeded")),
            (Some("-NotOwned"), Some("+Succeeded"), Some("+Succeeded")),
            // At rest, in the course of a change, and what is not declared any more.
            (Some("-NotOwned"), Some("-NotOwned"), None),
            (Some("+Succeeded"), Some("+Pinned"), None),
            (Some("+Succeeded"), Some("-Progressing"), None),
            (Some("+Succeeded"), Some("-Waiting"), None),
            (Some("+Succeeded"), Some("-Suspended"), None),
            (None, Some("-Creating"), None),
            (None, Some("+Succeeded"), None),
            (Some("-Progressing"), Some("+Succeeded"), None),
            (Some("-Waiting"), Some("+Succeeded"), None),
            (Some("-NotOwned"), None, None),
        ] {
            let expected: Vec<String> = expected.iter().map(|expected| format!("{}{of} {}", &expected[..1], &expected[1..])).collect();
            assert_eq!(told(&with(before), &with(after)), expected, "{of}: {before:?} -> {after:?}");
        }
    }
}

/// Conditions before and after, the reasons of failed steps, and what is told.
type Row = (&'static [&'static str], &'static [&'static str], &'static [&'static str], &'static [&'static str]);

#[test]
fn one_cause_is_told_once_and_by_ready_if_it_has_that_reason() {
    const FINE: &[&str] = &["+Ready Succeeded", "+Provisioned Succeeded", "+Rotated Succeeded", "+Mirrored Succeeded"];
    let table: &[Row] = &[
        (FINE, &["-Ready NotOwned", "-Provisioned NotOwned", "+Stalled NotOwned"], &[], &["!Ready NotOwned"]),
        (&["-Ready NotOwned", "-Provisioned NotOwned", "+Stalled NotOwned"], FINE, &[], &["+Ready Succeeded"]),
        (&[], &["-Ready AccessDenied", "-Provisioned AccessDenied"], &["AccessDenied"], &["-Ready AccessDenied"]),
        // A second cause is told beside Ready, and once.
        (
            FINE,
            &["-Ready LimitExceeded", "-Provisioned LimitExceeded", "-Rotated SecretNotOwned", "-Mirrored SecretNotOwned"],
            &["LimitExceeded"],
            &["-Ready LimitExceeded", "!Rotated SecretNotOwned"],
        ),
        // A rotation that is due while something fails, at once and later.
        (FINE, &["-Ready Throttled", "-Provisioned Throttled", "-Rotated Overdue"], &["Throttled"], &["-Ready Throttled"]),
        (
            &["-Ready Throttled", "-Provisioned Throttled", "+Rotated Succeeded"],
            &["-Ready Throttled", "-Provisioned Throttled", "-Rotated Overdue"],
            &["Throttled"],
            &["-Rotated Overdue"],
        ),
        (&["-Ready SecretNotOwned", "+Rotated Succeeded"], &["-Ready SecretNotOwned", "-Rotated Overdue"], &[], &["!Rotated Overdue"]),
        // Trouble with AWS over something that waits for a person, and after it.
        (
            &["-Ready SecretNotOwned", "+Provisioned Succeeded", "-Mirrored SecretNotOwned"],
            &["-Ready Throttled", "-Provisioned Throttled", "-Mirrored SecretNotOwned"],
            &["Throttled"],
            &["-Ready Throttled"],
        ),
        (
            &["-Ready Throttled", "-Provisioned Throttled", "-Mirrored SecretNotOwned"],
            &["-Ready SecretNotOwned", "+Provisioned Succeeded", "-Mirrored SecretNotOwned"],
            &[],
            &["~Ready SecretNotOwned"],
        ),
        (
            &["-Ready Throttled", "-Provisioned Throttled", "+Stalled NotOwned"],
            &["-Ready NotOwned", "-Provisioned NotOwned", "+Stalled NotOwned"],
            &[],
            &["~Ready NotOwned"],
        ),
        (
            &["-Ready Throttled", "-Provisioned Throttled", "-Stalled NotOwned"],
            &["-Ready NotOwned", "-Provisioned NotOwned"],
            &[],
            &["!Ready NotOwned"],
        ),
        // Waiting is not told of RolledOut.
        (
            &["+Ready Succeeded", "+Rotated Succeeded", "-RolledOut Waiting"],
            &["-Ready Waiting", "-Rotated Waiting", "-RolledOut Waiting"],
            &[],
            &["!Ready Waiting"],
        ),
        // A failure of a call has its line and its count at each attempt.
        (
            &["-Ready Throttled", "-Provisioned Throttled", "+Stalled AccessDenied"],
            &["-Ready AccessDenied", "-Provisioned AccessDenied", "+Stalled AccessDenied"],
            &["AccessDenied"],
            &["-Ready AccessDenied"],
        ),
        // One of two causes ends.
        (
            &["-Ready SecretNotOwned", "-Rotated ForeignPending", "-Mirrored SecretNotOwned"],
            &["-Ready ForeignPending", "-Rotated ForeignPending", "+Mirrored Succeeded"],
            &[],
            &["~Ready ForeignPending"],
        ),
        (
            &["-Ready SecretNotOwned", "-Rotated ForeignPending", "-Mirrored SecretNotOwned"],
            &["-Ready SecretNotOwned", "+Rotated Succeeded", "-Mirrored SecretNotOwned"],
            &[],
            &["+Rotated Succeeded"],
        ),
        // The Secret is deleted while the operator does nothing for the object.
        (
            &["-Ready NotOwned", "-Provisioned NotOwned", "+Mirrored Succeeded"],
            &["-Ready NotOwned", "-Provisioned NotOwned", "-Mirrored NotOwned"],
            &[],
            &["!Mirrored NotOwned"],
        ),
    ];
    for (row, (before, after, failed, expected)) in table.iter().enumerate() {
        let (before, after) = (status(before, &[]), status(after, failed));
        assert_eq!(told(&before, &after), *expected, "row {row}");
        assert!(told(&after, &after).is_empty(), "row {row}: at rest");
    }
}

#[test]
fn each_change_of_ready_is_told() {
    for (before, after, expected) in [
        (None, "-Creating", ".Ready Creating"),
        (None, "+Succeeded", ".Ready Succeeded"),
        (Some("-Creating"), "+Succeeded", "+Ready Succeeded"),
        (Some("+Succeeded"), "+Pinned", ".Ready Pinned"),
        (Some("+Succeeded"), "-Progressing", ".Ready Progressing"),
        (Some("+Succeeded"), "-Suspended", ".Ready Suspended"),
        (Some("+Succeeded"), "-Waiting", "!Ready Waiting"),
        (Some("-NotOwned"), "-NameNotAllowed", "!Ready NameNotAllowed"),
    ] {
        let ready = |text: &str| status(&[&format!("{}Ready {}", &text[..1], &text[1..])], &[]);
        let before = before.map_or_else(RotatedSecretStatus::default, ready);
        assert_eq!(told(&before, &ready(after)), [expected], "{before:?}");
    }
    let stalled = |holds: char| status(&["-Ready NotOwned", &format!("{holds}Stalled NotOwned")], &[]);
    assert!(told(&stalled('-'), &stalled('+')).is_empty(), "it repeats what Ready says");
}
