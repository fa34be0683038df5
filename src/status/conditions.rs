//! The conditions after a reconcile.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::requests;
use crate::api::condition::{ConditionType, Reason, Statement};
use crate::api::{Cause, RotatedSecretStatus, SUSPEND};
use crate::backoff::Class;
use crate::command::Command;
use crate::compare::Observation;
use crate::desired::{Desired, Pin, Rotation, Strategy};
use crate::facts::Place;
use crate::failure::Failed;
use crate::plan::{Assessment, Blocked, Examined};
use crate::refusal::Refusal;

fn statement(of: ConditionType, refusal: Option<&Refusal>, fine: impl FnOnce() -> String) -> Statement {
    match refusal {
        Some(refusal) => Statement { of, holds: false, reason: refusal.reason, message: refusal.message.clone(), kept: false },
        None => Statement { of, holds: true, reason: Reason::Succeeded, message: fine(), kept: false },
    }
}

/// The conditions after an assessment.
pub(super) fn assessed(
    before: &RotatedSecretStatus,
    after: &RotatedSecretStatus,
    want: Option<&Desired>,
    seen: &Observation,
    assessment: &Assessment,
    now: Timestamp,
) -> Vec<Statement> {
    match assessment {
        Assessment::Suspended => suspended(before, want),
        Assessment::Blocked(blocked) => self::blocked(before, blocked, seen.journal.unfinished(), now),
        Assessment::Examined(examined) => self::examined(after, want, seen, examined, now),
    }
}

/// The plan stopped before the mirror: what was said of it stays.
fn blocked(before: &RotatedSecretStatus, blocked: &Blocked, retried: bool, now: Timestamp) -> Vec<Statement> {
    let mut statements = refused(before, blocked.aspect, &blocked.refusal);
    summarise(&mut statements, &blocked.refusal, retried);
    if let Some(mirrored) = &blocked.mirrored {
        statements.retain(|s| s.of != ConditionType::Mirrored);
        statements.push(statement(ConditionType::Mirrored, Some(mirrored), String::new));
        // The mirror is what a person can correct here.
        summarise(&mut statements, mirrored, false);
    }
    if blocked.awaiting_consistency {
        statements.push(reconciling(blocked.refusal.reason));
    }
    overdue(&mut statements, before.next_rotation_time.as_ref(), now);
    statements
}

fn examined(
    after: &RotatedSecretStatus,
    want: Option<&Desired>,
    seen: &Observation,
    examined: &Examined,
    now: Timestamp,
) -> Vec<Statement> {
    let current = seen.secret.as_ref().and_then(|secret| secret.current.as_ref());
    let version = current.map_or_else(String::new, |current| current.version.to_string());
    let moving = Refusal::new(Reason::Progressing, "AWS may show an old state; the operator confirms it before it writes");
    let aspects = &examined.aspects;
    let mirrored = aspects.mirrored.as_ref().or(examined.awaiting_consistency.then_some(&moving));
    let provisioned = aspects.provisioned.as_ref().or(aspects.settings.as_ref());
    let pinned = want.and_then(|want| pinned(want, after, &version));
    // An adopted value stays as it is until a rotation is due, also if it differs from the declaration.
    let adopted =
        want.is_some_and(|want| want.value.is_some()) && current.is_some_and(|current| seen.status.adopting() == Some(&current.version));
    let restored = after.history.first().filter(|newest| newest.cause == Cause::RolledBack);
    let restored = want.is_some_and(|want| want.value.is_some()) && restored.is_some_and(|newest| newest.version_id == version);
    let provided = if adopted {
        "the AWS secret exists; it was adopted and keeps its value, which need not have the declared fields, until a rotation is due"
    } else if restored {
        "the AWS secret exists; a rollback restored its value, which need not be the one in spec.value, until the next version"
    } else {
        "the AWS secret exists and is as declared"
    };
    let mut statements = vec![match (provisioned, &seen.place) {
        (None, Place::Recorded(elsewhere)) => Statement {
            of: ConditionType::Provisioned,
            holds: true,
            reason: Reason::Moved,
            message: format!("{provided}; {elsewhere}"),
            kept: false,
        },
        _ => statement(ConditionType::Provisioned, provisioned, || provided.to_owned()),
    }];
    // A Secret that is not declared is reported as long as it cannot be released.
    if want.is_some_and(|want| want.target.is_some()) || aspects.mirrored.is_some() {
        statements.push(match (mirrored, &pinned) {
            (None, Some(pinned)) => {
                Statement { of: ConditionType::Mirrored, holds: true, reason: Reason::Pinned, message: pinned.clone(), kept: false }
            }
            _ => statement(ConditionType::Mirrored, mirrored, || format!("the Secret holds version {version}")),
        });
    }
    if examined.rotation.rotates {
        statements.push(statement(ConditionType::Rotated, aspects.rotated.as_ref(), || {
            after.next_rotation_time.as_ref().map_or_else(
                || "nothing is due".to_owned(),
                |next| format!("next rotation at {}{}", next.0, deferred(want, seen, examined)),
            ) + &examined.goes_on.as_ref().map_or_else(String::new, |what| format!("; {what}"))
        }));
    }
    // Without a rollout, the credential that leaked may be left to retire.
    let rolls_out = want.is_some_and(|want| want.rollout.is_some()) && examined.rollout.is_some();
    if rolls_out || aspects.rolled_out.is_some() {
        statements.push(statement(ConditionType::RolledOut, aspects.rolled_out.as_ref(), || rolled_out(examined)));
    }
    // A version that is being rolled out is current and mirrored, and nothing fails.
    let rolling = aspects.rolled_out.as_ref().is_some_and(|refusal| refusal.reason == Reason::Waiting);
    let rolled_out = aspects.rolled_out.as_ref().filter(|_| !rolling);
    // What requires user action comes first: the rest may follow from it.
    let refusals = || [provisioned, mirrored, aspects.rotated.as_ref(), rolled_out].into_iter().flatten();
    let first = refusals().find(|refusal| refusal.reason.requires_user_action()).or_else(|| refusals().next());
    if let Some(refusal) = first {
        summarise(&mut statements, refusal, seen.journal.unfinished());
        if seen.failed_version().is_some() {
            overdue(&mut statements, after.next_rotation_time.as_ref(), now);
        }
    } else {
        let mirrors = want.is_some_and(|want| want.target.is_some());
        let fine = format!("version {version} is {}", if mirrors { "current and mirrored" } else { "current" });
        statements.push(ready(fine, pinned, &(refused_rollback(after, want) + &delayed_request(after))));
    }
    let applying = aspects.settings.as_ref().is_some_and(|refusal| refusal.reason == Reason::Progressing);
    if (examined.awaiting_consistency || applying || rolling || examined.goes_on.is_some())
        && statements.iter().all(|s| s.of != ConditionType::Reconciling)
    {
        statements.push(reconciling(Reason::Progressing));
    }
    statements
}

fn rolled_out(examined: &Examined) -> String {
    let version = examined.rollout.as_ref().map_or_else(String::new, |news| news.version.to_string());
    let retirement = examined.retirement.map_or_else(String::new, |at| format!("; the previous credential is retired at {at}"));
    format!("every workload is healthy with version {version}{retirement}")
}

/// Why the next rotation is later than its schedule says.
fn deferred(want: Option<&Desired>, seen: &Observation, examined: &Examined) -> String {
    let Some(until) = examined.rotation.deferred else { return String::new() };
    let own = want.is_some_and(|want| matches!(&want.rotation, Rotation::Scheduled { clock, .. } if clock.excludes()));
    let namespace = seen.access.excluded.as_ref().is_ok_and(|days| !days.is_empty());
    let annotation = format!("the annotation {} on the Namespace", crate::api::EXCLUDE_PERIODS);
    let source = match (own, namespace) {
        (true, true) => format!("spec.rotation.excludePeriods or {annotation}"),
        (false, true) => annotation,
        (_, false) => "spec.rotation.excludePeriods".to_owned(),
    };
    format!("; deferred until {until}, the end of an excluded period ({source})")
}

fn ready(fine: String, pinned: Option<String>, suffix: &str) -> Statement {
    Statement {
        of: ConditionType::Ready,
        holds: true,
        reason: if pinned.is_some() { Reason::Pinned } else { Reason::Succeeded },
        message: pinned.unwrap_or(fine) + suffix,
        kept: false,
    }
}

/// The Secret is pinned, so it need not hold the current version. This is reported because it is easily forgotten.
fn pinned(want: &Desired, after: &RotatedSecretStatus, current: &str) -> Option<String> {
    let field = match &want.target.as_ref()?.pin {
        Pin::Current => return None,
        Pin::Stage(stage) => format!("spec.target.versionStage: {stage}"),
        Pin::Version(_) => "spec.target.versionId".to_owned(),
    };
    let held = after.mirror.as_ref().and_then(|mirror| mirror.version_id.as_deref()).unwrap_or("none");
    let waits = matches!(&want.target.as_ref()?.pin, Pin::Stage(stage) if stage == crate::api::AWSPREVIOUS)
        && after.aws.as_ref().is_some_and(|aws| aws.previous_version_id.is_none());
    Some(if held == current && waits {
        format!("the Secret is pinned ({field}), and no version has been replaced yet: it holds version {held}, which is current")
    } else if held == current {
        format!("the Secret is pinned ({field}) to version {held}, which is current in AWS too")
    } else {
        format!("the Secret is pinned ({field}) to version {held}; current in AWS is {current}")
    })
}

/// A requested rollback that is not carried out, as long as the annotation is there and the reason holds. The refusal
/// itself is final: `status.requests` keeps it.
fn refused_rollback(after: &RotatedSecretStatus, want: Option<&Desired>) -> String {
    let refusal = want.and_then(|want| {
        let asked = want.rollback_request.as_ref()?;
        let requests = after.requests.as_ref().filter(|requests| requests.rollback.as_ref() == Some(&asked.token))?;
        requests.rollback_refused.filter(|refusal| requests::still_holds(*refusal, asked, want, after))
    });
    refusal.map_or_else(String::new, |refusal| format!("; the request to roll back is not carried out: {}", refusal.sentence()))
}

/// A request that waits. The object is as its spec says meanwhile.
fn delayed_request(after: &RotatedSecretStatus) -> String {
    let until = after.requests.as_ref().and_then(|requests| requests.held_until.as_ref());
    until.map_or_else(String::new, |until| format!("; {}", requests::waits(until.0)))
}

/// One condition is False; the others stay.
pub(super) fn refused(before: &RotatedSecretStatus, of: ConditionType, refusal: &Refusal) -> Vec<Statement> {
    let mut statements = repeated(before, &[of, ConditionType::Ready]);
    if of != ConditionType::Ready {
        statements.push(statement(of, Some(refusal), String::new));
    }
    summarise(&mut statements, refusal, false);
    statements
}

/// The reconcile ended early. `stalled`: what waits for a person, as far as is known.
pub(super) fn failed(before: &RotatedSecretStatus, failed: &Failed, stalled: Option<Statement>, now: Timestamp) -> Vec<Statement> {
    let Failed { aspect, failure } = failed;
    if failure.class == Class::Conflict && after_moments(before) {
        // Another writer was faster, and the next reconcile is a second away: the conditions stay, and say of which
        // generation they are.
        let mut statements = repeated(before, &[]);
        statements.push(stalled.unwrap_or_else(|| reconciling(failure.reason)));
        return statements;
    }
    let mut statements = repeated(before, &[*aspect, ConditionType::Ready]);
    if *aspect != ConditionType::Ready {
        statements.push(statement(*aspect, Some(&failed.refusal()), String::new));
    }
    summarise(&mut statements, &failed.refusal(), true);
    if let Some(stalled) = stalled.filter(|_| !failure.reason.requires_user_action()) {
        statements.retain(|s| s.of != ConditionType::Reconciling);
        statements.push(stalled);
    }
    overdue(&mut statements, before.next_rotation_time.as_ref(), now);
    statements
}

/// Whether there were few failures in a row so far.
fn after_moments(before: &RotatedSecretStatus) -> bool {
    !before.conditions.is_empty() && before.failures.as_ref().is_none_or(|failures| failures.count < 4)
}

/// The existing conditions.
pub(super) fn unchanged(before: &RotatedSecretStatus) -> Vec<Statement> {
    let more = [ConditionType::Stalled, ConditionType::Reconciling].into_iter().filter_map(|of| repeat(before, of));
    repeated(before, &[]).into_iter().chain(more).collect()
}

/// The Secret is gone, and is not created again for the reason that Ready has.
pub(super) fn secret_missing(mut statements: Vec<Statement>, name: &str) -> Vec<Statement> {
    let Some(ready) = statements.iter_mut().find(|s| s.of == ConditionType::Ready) else { return statements };
    if ready.holds {
        // Suspended.
        *ready = Statement {
            holds: false,
            kept: false,
            message: format!("{}; the Secret {name} does not exist", ready.message),
            ..ready.clone()
        };
    }
    let ready = ready.clone();
    statements.retain(|s| s.of != ConditionType::Mirrored);
    statements.push(Statement {
        of: ConditionType::Mirrored,
        message: format!("the Secret {name} does not exist, and is not created at present (see Ready)"),
        ..ready
    });
    statements
}

/// An object whose certificate has expired is not Ready. Its Secret is as declared.
pub(super) fn certificate_expired(
    mut statements: Vec<Statement>,
    after: &RotatedSecretStatus,
    want: Option<&Desired>,
    now: Timestamp,
) -> Vec<Statement> {
    let Some(mirror) = &after.mirror else { return statements };
    let Some(expired) = mirror.not_after.as_ref().filter(|end| end.0 <= now) else { return statements };
    let Some(ready) = statements.iter_mut().find(|s| s.of == ConditionType::Ready && s.holds) else { return statements };
    let what = format!("the certificate in the Secret {} expired at {}", mirror.secret_name, expired.0);
    let Some(want) = want.filter(|_| ready.reason != Reason::Suspended) else {
        *ready = Statement { holds: false, kept: false, message: format!("{}; {what}", ready.message), ..ready.clone() };
        return statements;
    };
    let remedy = match (&want.target, &want.value) {
        (Some(target), _) if target.pin != Pin::Current => "remove the pin, or pin a version with a valid certificate".to_owned(),
        (_, Some(value)) if value.generates() && !matches!(want.rotation, Rotation::Lambda(_)) => {
            format!("rotate it ({}), and set a schedule that is shorter than its validity", Command::Rotate(want.object_ref()))
        }
        _ => "store a valid certificate in AWS".to_owned(),
    };
    summarise(&mut statements, &Refusal::new(Reason::CertificateExpired, format!("{what}: {remedy}")), false);
    statements
}

fn suspended(before: &RotatedSecretStatus, want: Option<&Desired>) -> Vec<Statement> {
    let in_doubt = in_doubt(before);
    let held = in_doubt.is_none() && before.conditions.iter().find(|c| c.type_ == "Ready").is_some_and(|c| c.status == "True");
    let mut statements = repeated(before, &[ConditionType::Ready]);
    let why = match want.and_then(|want| want.suspended_by_namespace.as_ref()) {
        Some(because) => format!("the annotation {SUSPEND} on the Namespace says {because:?}: nothing is written until it is removed"),
        None => "spec.suspend is true: nothing is written until it is false".to_owned(),
    };
    statements.push(Statement {
        of: ConditionType::Ready,
        holds: held,
        reason: Reason::Suspended,
        message: why + &in_doubt.unwrap_or_default(),
        // Nothing of this generation was carried out.
        kept: held,
    });
    statements
}

/// One user has one password. Between the change in the server and the promotion it is that of the staged version. Which step
/// the status shows does not tell: it is written before a reconcile and after it.
fn in_doubt(before: &RotatedSecretStatus) -> Option<String> {
    let staged = before.staged.as_ref()?;
    let strategy = Strategy::recorded(&staged.target()?, "");
    if !strategy.replaces() {
        return None;
    }
    Some(format!(
        "; version {} is on its way to {}, which may refuse the password in the Secret until the object is resumed",
        staged.version_id,
        strategy.host_and_port()
    ))
}

/// `Ready=False`, and `Stalled` or `Reconciling`. `retried`: the operator retries.
fn summarise(statements: &mut Vec<Statement>, refusal: &Refusal, retried: bool) {
    statements.retain(|s| !matches!(s.of, ConditionType::Ready | ConditionType::Stalled | ConditionType::Reconciling));
    statements.push(Statement {
        of: ConditionType::Ready,
        holds: false,
        reason: refusal.reason,
        message: refusal.message.clone(),
        kept: false,
    });
    if refusal.reason.requires_user_action() {
        statements.push(Statement {
            of: ConditionType::Stalled,
            holds: true,
            reason: refusal.reason,
            message: refusal.message.clone(),
            kept: false,
        });
    } else if retried {
        statements.push(reconciling(refusal.reason));
    }
}

pub(super) fn reconciling(reason: Reason) -> Statement {
    Statement {
        of: ConditionType::Reconciling,
        holds: true,
        reason,
        message: "the operator reconciles again by itself".to_owned(),
        kept: false,
    }
}

/// A rotation that was announced and has not happened.
fn overdue(statements: &mut Vec<Statement>, announced: Option<&Time>, now: Timestamp) {
    let late = announced.filter(|next| next.0 <= now);
    if let Some(next) = late
        && statements.iter().all(|s| s.of != ConditionType::Rotated || s.holds)
    {
        statements.retain(|s| s.of != ConditionType::Rotated);
        statements.push(Statement {
            of: ConditionType::Rotated,
            holds: false,
            reason: Reason::Overdue,
            message: format!("a rotation was due at {}", next.0),
            kept: false,
        });
    }
}

/// The existing conditions except `but`, as statements. Stalled and Reconciling are stated again in every reconcile.
fn repeated(before: &RotatedSecretStatus, but: &[ConditionType]) -> Vec<Statement> {
    let types =
        [ConditionType::Ready, ConditionType::Provisioned, ConditionType::Rotated, ConditionType::Mirrored, ConditionType::RolledOut];
    types.into_iter().filter(|of| !but.contains(of)).filter_map(|of| repeat(before, of)).collect()
}

fn repeat(before: &RotatedSecretStatus, of: ConditionType) -> Option<Statement> {
    let found: &Condition = before.conditions.iter().find(|c| c.type_ == of.to_string())?;
    let reason = Reason::parse(&found.reason)?;
    Some(Statement { of, holds: found.status == "True", reason, message: found.message.clone(), kept: true })
}
