//! What the conditions say after a turn.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::RotatedSecretStatus;
use crate::api::condition::{ConditionType, Reason, Statement};
use crate::backoff::Class;
use crate::desired::{Desired, Pin, Refusal};
use crate::failure::Failure;
use crate::plan::{Observed, Place, Rest};

fn statement(of: ConditionType, refusal: Option<&Refusal>, fine: impl FnOnce() -> String) -> Statement {
    match refusal {
        Some(refusal) => Statement { of, holds: false, reason: refusal.reason, message: refusal.message.clone() },
        None => Statement { of, holds: true, reason: Reason::Succeeded, message: fine() },
    }
}

pub(super) fn rested(
    before: &RotatedSecretStatus,
    after: &RotatedSecretStatus,
    want: Option<&Desired>,
    seen: &Observed,
    rest: &Rest,
    now: Timestamp,
) -> Vec<Statement> {
    if !rest.mirror_seen {
        // The look ended before the mirror: what was said of it stays.
        let Some(refusal) = &rest.provisioned else { return kept(before, &[]) };
        let mut statements = refused(before, ConditionType::Provisioned, refusal);
        if let Some(mirrored) = &rest.mirrored {
            statements.retain(|s| s.of != ConditionType::Mirrored);
            statements.push(statement(ConditionType::Mirrored, Some(mirrored), String::new));
            // The mirror is what a person can mend here.
            summarise(&mut statements, mirrored, false);
        }
        if rest.unsettled {
            statements.push(reconciling(refusal.reason));
        }
        overdue(&mut statements, before, now);
        return statements;
    }
    let version = seen.remote.as_ref().and_then(|remote| remote.current.as_ref()).map_or_else(String::new, |c| c.version.to_string());
    let moving = Refusal::new(Reason::Progressing, "AWS may be showing an old state; the operator confirms it before it writes");
    let mirrored = rest.mirrored.as_ref().or(rest.unsettled.then_some(&moving));
    let provisioned = rest.provisioned.as_ref().or(rest.settings.as_ref());
    let declared = "the AWS secret is there and as declared";
    let mut statements = vec![match (provisioned, &seen.place) {
        (None, Place::Recorded(elsewhere)) => {
            Statement { of: ConditionType::Provisioned, holds: true, reason: Reason::Moved, message: format!("{declared}; {elsewhere}") }
        }
        _ => statement(ConditionType::Provisioned, provisioned, || declared.to_owned()),
    }];
    let pinned = want.and_then(|want| pinned(want, after, &version));
    if want.is_some_and(|want| want.target.is_some()) {
        statements.push(match (mirrored, &pinned) {
            (None, Some(pinned)) => Statement { of: ConditionType::Mirrored, holds: true, reason: Reason::Pinned, message: pinned.clone() },
            _ => statement(ConditionType::Mirrored, mirrored, || format!("the Secret holds version {version}")),
        });
    }
    if rest.rotates {
        statements.push(statement(ConditionType::Rotated, rest.rotated.as_ref(), || {
            after.next_rotation_time.as_ref().map_or_else(|| "nothing is due".to_owned(), |next| format!("next rotation at {}", next.0))
        }));
    }
    // What a person must mend comes first: the rest may follow from it.
    let aspects = [provisioned, mirrored, rest.rotated.as_ref()];
    let worst = aspects.iter().flatten().find(|refusal| refusal.reason.requires_user_action()).or(aspects.iter().flatten().next()).copied();
    match worst {
        Some(refusal) => summarise(&mut statements, refusal, false),
        None => statements.push(Statement {
            of: ConditionType::Ready,
            holds: true,
            reason: if pinned.is_some() { Reason::Pinned } else { Reason::Succeeded },
            message: pinned.unwrap_or_else(|| format!("version {version} is current and mirrored")) + &refused_rollback(after, want),
        }),
    }
    let carried_out = rest.settings.as_ref().is_some_and(|refusal| refusal.reason == Reason::Progressing);
    if (rest.unsettled || carried_out) && statements.iter().all(|s| s.of != ConditionType::Reconciling) {
        statements.push(reconciling(Reason::Progressing));
    }
    statements
}

/// The Secret holds what it is to hold, and that need not be what is current: said, since it is easily forgotten.
fn pinned(want: &Desired, after: &RotatedSecretStatus, current: &str) -> Option<String> {
    let field = match &want.target.as_ref()?.pin {
        Pin::Current => return None,
        Pin::Stage(stage) => format!("spec.target.versionStage: {stage}"),
        Pin::Version(_) => "spec.target.versionId".to_owned(),
    };
    let held = after.mirror.as_ref().and_then(|mirror| mirror.version_id.as_deref()).unwrap_or("none");
    Some(if held == current {
        format!("the Secret is pinned ({field}) to version {held}, which is current in AWS too")
    } else {
        format!("the Secret is pinned ({field}) to version {held}; current in AWS is {current}")
    })
}

/// A rollback that was asked for and is not carried out, for as long as the annotation is there.
fn refused_rollback(after: &RotatedSecretStatus, want: Option<&Desired>) -> String {
    let asked = want.and_then(|want| want.rollback_request.as_ref()).map(|request| &request.token);
    let requests = after.requests.as_ref().filter(|requests| requests.rollback.as_ref() == asked && asked.is_some());
    let refusal = requests.and_then(|requests| requests.rollback_refused);
    refusal.map_or_else(String::new, |refusal| format!("; the request to roll back is not carried out: {}", refusal.sentence()))
}

/// One aspect is refused; what was said of the others stays.
pub(super) fn refused(before: &RotatedSecretStatus, of: ConditionType, refusal: &Refusal) -> Vec<Statement> {
    let mut statements = kept(before, &[of, ConditionType::Ready, ConditionType::Stalled, ConditionType::Reconciling]);
    statements.push(statement(of, Some(refusal), String::new));
    summarise(&mut statements, refusal, false);
    statements
}

pub(super) fn failed(before: &RotatedSecretStatus, failure: &Failure, now: Timestamp) -> Vec<Statement> {
    let refusal = Refusal::new(failure.reason, failure.message.clone());
    let of = failure.of;
    let mut statements = kept(before, &[of, ConditionType::Ready, ConditionType::Stalled, ConditionType::Reconciling]);
    if failure.class == Class::Conflict && after_moments(before) {
        // Somebody was faster, and the next look is a second away: no reason to take back what was said.
        statements = kept(before, &[]);
        statements.push(reconciling(failure.reason));
        return statements;
    }
    if of != ConditionType::Ready {
        statements.push(statement(of, Some(&refusal), String::new));
    }
    summarise(&mut statements, &refusal, true);
    overdue(&mut statements, before, now);
    statements
}

/// Whether the failures in a row are few, so far.
fn after_moments(before: &RotatedSecretStatus) -> bool {
    !before.conditions.is_empty() && before.failures.as_ref().is_none_or(|failures| failures.count < 4)
}

pub(super) fn suspended(before: &RotatedSecretStatus) -> Vec<Statement> {
    let held = before.conditions.iter().find(|c| c.type_ == "Ready").is_some_and(|c| c.status == "True");
    let mut statements = kept(before, &[ConditionType::Ready, ConditionType::Stalled, ConditionType::Reconciling]);
    statements.push(Statement {
        of: ConditionType::Ready,
        holds: held,
        reason: Reason::Suspended,
        message: "spec.suspend is true: nothing is written anywhere until it is false".to_owned(),
    });
    statements
}

/// `Ready=False`, and `Stalled` or `Reconciling` beside it. `retried`: the operator tries again by itself.
fn summarise(statements: &mut Vec<Statement>, refusal: &Refusal, retried: bool) {
    statements.retain(|s| !matches!(s.of, ConditionType::Ready | ConditionType::Stalled | ConditionType::Reconciling));
    statements.push(Statement { of: ConditionType::Ready, holds: false, reason: refusal.reason, message: refusal.message.clone() });
    if refusal.reason.requires_user_action() {
        statements.push(Statement { of: ConditionType::Stalled, holds: true, reason: refusal.reason, message: refusal.message.clone() });
    } else if retried {
        statements.push(reconciling(refusal.reason));
    }
}

fn reconciling(reason: Reason) -> Statement {
    Statement { of: ConditionType::Reconciling, holds: true, reason, message: "the operator looks again by itself".to_owned() }
}

/// A rotation that was announced and could not happen.
fn overdue(statements: &mut Vec<Statement>, before: &RotatedSecretStatus, now: Timestamp) {
    let late = before.next_rotation_time.as_ref().filter(|next| next.0 <= now);
    if let Some(next) = late
        && statements.iter().all(|s| s.of != ConditionType::Rotated || s.holds)
    {
        statements.retain(|s| s.of != ConditionType::Rotated);
        statements.push(Statement {
            of: ConditionType::Rotated,
            holds: false,
            reason: Reason::Overdue,
            message: format!("a rotation was due at {}", next.0),
        });
    }
}

/// The conditions that are there, but for some, as statements to make again.
fn kept(before: &RotatedSecretStatus, but: &[ConditionType]) -> Vec<Statement> {
    let types = [ConditionType::Ready, ConditionType::Provisioned, ConditionType::Rotated, ConditionType::Mirrored];
    types
        .into_iter()
        .filter(|of| !but.contains(of))
        .filter_map(|of| {
            let found: &Condition = before.conditions.iter().find(|c| c.type_ == of.to_string())?;
            let reason = Reason::ALL.into_iter().find(|reason| reason.as_str() == found.reason)?;
            Some(Statement { of, holds: found.status == "True", reason, message: found.message.clone() })
        })
        .collect()
}
