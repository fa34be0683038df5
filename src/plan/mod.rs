//! The heart: facts -> at most one step, or rest until something is due. Pure, synchronous, total.
//!
//! ```text
//!             absent --Create--> current C --Mirror--> mirrored C --(due, asked, declared anew)--> Write N --> current N, previous C --Mirror--> ...
//!   refusals: not ours, not allowed, scheduled for deletion, foreign pending, Secret not ours: say so, write nothing
//! ```
//!
//! 1. *Total*: every combination of facts has an answer; facts that should be impossible lead to a refusal, never to a panic.
//! 2. *Finish before start*: the current version is mirrored before a new one is made.
//! 3. *Record before destroy*: a value is durable in AWS before anything depends on it; the old one keeps AWSPREVIOUS.
//! 4. *Idempotent by name*: the id of the version to write follows from its cause ([`crate::version_id`]).
//! 5. *Nothing that is not ours is written.*

mod adoption;
mod lambda_rotation;
mod due;
mod facts;
pub mod retention;
mod mirrored;
mod lost_update;
mod pin;
mod rollback;
mod settings;
mod step;

pub use lambda_rotation::LambdaRotationFacts;
pub use facts::{Cure, Current, Mirror, Observed, Ownership, Place, Remote, Reported, Unfit};
pub use settings::{KeyFacts, PolicyState, Replica, ReplicaFacts, ReplicaState, Settings, rekey};
pub use step::Step;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use self::mirrored::{Settled, mirror, secret_not_owned};
use crate::api::condition::Reason;
use crate::api::{Cause, RollbackRefusal};
use crate::desired::{Desired, Refusal, Rotation};
use crate::version_id::VersionId;

/// How long AWS may show an old state after a change (field reports: up to two minutes).
pub const CONSISTENCY_WINDOW: SignedDuration = SignedDuration::from_secs(120);

/// When what happened at `at` is settled. `at` may be from an object, and so any time.
pub fn settled(at: Timestamp) -> Timestamp {
    at.saturating_add(CONSISTENCY_WINDOW).unwrap_or(Timestamp::MAX)
}

/// How soon to look again at a setting that AWS is still carrying out.
const SETTINGS_SHOW: SignedDuration = SignedDuration::from_secs(15);

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This, then look again.
    Do(Step),
    /// Nothing, until something changes or this moment comes.
    Rest(Rest),
}

/// Nothing to do, and how things stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rest {
    /// `spec.suspend`: the last truth stays.
    pub suspended: bool,
    /// Why the AWS secret is not as it should be.
    pub provisioned: Option<Refusal>,
    /// Why the value is not as young as it should be. `Err` only where something rotates.
    pub rotated: Option<Refusal>,
    /// Whether anything rotates at all.
    pub rotates: bool,
    /// Why the mirror does not hold the current version.
    pub mirrored: Option<Refusal>,
    /// Why the AWS secret is not as declared beside its value, which does not hold up the credential.
    pub settings: Option<Refusal>,
    /// An AWS secret that was there before is about to become ours.
    pub adopting: bool,
    /// Whether the look came as far as the mirror and the schedule; otherwise what was said of them stays.
    pub mirror_seen: bool,
    /// When the next rotation will happen.
    pub next_rotation: Option<Timestamp>,
    /// Look again at this moment at the latest.
    pub wake: Option<Timestamp>,
    /// Something is under way; what is seen now is not the end.
    pub unsettled: bool,
    /// The rotate request that was handled, now or earlier.
    pub rotate_handled: Option<String>,
    /// The rollback request that was handled, now or earlier, and why it was not carried out.
    pub rollback_handled: Option<(String, Option<RollbackRefusal>)>,
    /// `spec.rotation.rotateImmediately` asks for a first rotation that has not happened: the schedule is not in force before it.
    pub first_pending: bool,
}

impl Rest {
    fn provisioned(reason: Reason, message: impl Into<String>) -> Next {
        Next::Rest(Self { provisioned: Some(Refusal::new(reason, message)), ..Self::default() })
    }
}

/// What to do next for an object that is to live.
pub fn plan(want: &Desired, seen: &Observed, now: Timestamp) -> Next {
    if want.suspended {
        return Next::Rest(Rest { suspended: true, ..Rest::default() });
    }
    if !seen.name_allowed {
        return Rest::provisioned(
            Reason::NameNotAllowed,
            format!(
                "the AWS name {} lies outside what namespace {} may use: leave out spec.aws.secretName, or ask the administrator to put the \
                 annotation {} on the Namespace",
                want.secret_name,
                want.namespace,
                crate::api::ALLOWED_NAMES
            ),
        );
    }
    if let Some(refusal) = &seen.refused {
        return Next::Rest(Rest { provisioned: Some(refusal.clone()), ..Rest::default() });
    }
    if seen.finalizer != want.needs_finalizer() {
        return Next::Do(if seen.finalizer { Step::RemoveFinalizer } else { Step::AddFinalizer });
    }
    if let Place::Unproved(refusal) = &seen.place {
        // Tags that name this object are proof enough, wherever the status points.
        let proved = want.value.is_some() && seen.remote.as_ref().is_some_and(|remote| remote.ownership == Ownership::Ours);
        if !proved {
            return Next::Rest(Rest { provisioned: Some(refusal.clone()), ..Rest::default() });
        }
    }
    let Some(remote) = &seen.remote else { return absent(want, seen) };
    if let Some(next) = adoption::admission(want, seen, remote, now) {
        let writes = matches!(next, Next::Do(_));
        if writes && !seen.function_allowed {
            return Next::Rest(Rest { provisioned: Some(lambda_rotation::not_allowed(want)), ..Rest::default() });
        }
        return next;
    }
    if want.value.is_some()
        && seen.function_allowed
        && let Some(step) = settings::drift(want, seen, remote)
    {
        return Next::Do(step);
    }
    let Some(current) = &remote.current else { return valueless(want, seen, remote) };
    if let Some(step) = lost_update::give_back(want, seen, remote, current) {
        return Next::Do(step);
    }
    if want.value.is_some()
        && seen.function_allowed
        && let Some(step) = retention::tidy(want, seen, remote)
    {
        return Next::Do(step);
    }
    let mirror = match mirror(want, seen, remote, current, now) {
        Ok(settled) => settled,
        Err(step) => return Next::Do(step),
    };
    renew(want, seen, remote, current, mirror, now)
}

/// What to do next for an object that is to go.
pub fn plan_cleanup(want: &Desired, seen: &Observed) -> Next {
    if want.suspended {
        return Next::Rest(Rest { suspended: true, ..Rest::default() });
    }
    if !seen.finalizer {
        return Next::Rest(Rest::default());
    }
    if want.target.as_ref().is_some_and(|target| target.retained) && matches!(seen.mirror, Mirror::Ours { .. }) {
        return Next::Do(Step::ReleaseMirror);
    }
    if let (Some(window), Some(_), Some(remote)) = (want.delete_after_days, &want.value, &seen.remote)
        && seen.name_allowed
        && seen.refused.is_none()
        && remote.ownership == Ownership::Ours
        && !remote.deleted
    {
        // AWS refuses to delete a secret that has replicas. They can be made again as long as it can be restored.
        let regions: BTreeSet<String> = remote.settings.replicas.iter().map(|replica| replica.region.clone()).collect();
        if !regions.is_empty() {
            return Next::Do(Step::StopReplicating { regions });
        }
        return Next::Do(Step::Delete { window });
    }
    Next::Do(Step::RemoveFinalizer)
}

fn absent(want: &Desired, seen: &Observed) -> Next {
    if want.value.is_none() {
        return Rest::provisioned(
            Reason::SecretNotFound,
            format!(
                "there is no AWS secret {} in {}: create it, or say in spec.value what the operator shall create",
                want.secret_name, want.region
            ),
        );
    }
    if !seen.function_allowed {
        return Next::Rest(Rest { provisioned: Some(lambda_rotation::not_allowed(want)), ..Rest::default() });
    }
    if seen.mirror == Mirror::Foreign {
        // Nothing is made that could not be delivered.
        return Next::Rest(Rest {
            provisioned: Some(Refusal::new(Reason::Creating, "waits until the Secret can be written (see Mirrored)")),
            mirrored: Some(secret_not_owned(want)),
            ..Rest::default()
        });
    }
    if let Some(refusal) = want.settings.key.refused() {
        return Next::Rest(Rest { provisioned: Some(refusal.clone()), ..Rest::default() });
    }
    let version = want.ids.creation();
    if seen.spent.contains_key(&version) {
        return created_unseen();
    }
    Next::Do(Step::Create { version })
}

/// AWS knows the version already; this look was too early.
fn created_unseen() -> Next {
    Next::Rest(Rest {
        provisioned: Some(Refusal::new(Reason::Creating, "created; AWS does not show it yet")),
        unsettled: true,
        ..Rest::default()
    })
}

/// The AWS secret exists without a value.
fn valueless(want: &Desired, seen: &Observed, remote: &Remote) -> Next {
    if want.value.is_none() {
        return Rest::provisioned(
            Reason::SecretNotFound,
            format!("the AWS secret {} has no value yet: put one, it is mirrored then", want.secret_name),
        );
    }
    let not_allowed = || (!seen.function_allowed).then(|| lambda_rotation::not_allowed(want));
    if let Some(refusal) = held(want, remote).or_else(not_allowed) {
        return Next::Rest(Rest { provisioned: Some(refusal), ..Rest::default() });
    }
    let version = want.ids.creation();
    if seen.spent.contains_key(&version) {
        return created_unseen();
    }
    Next::Do(Step::Write { version, predecessor: None, cause: Cause::Created })
}

fn foreign_rotation_refusal(want: &Desired) -> Refusal {
    Refusal::new(
        Reason::ForeignRotation,
        format!(
            "AWS rotates {} itself: turn that off with aws secretsmanager cancel-rotate-secret, or remove spec.value and spec.rotation to \
             mirror it only",
            want.secret_name
        ),
    )
}

/// Why nothing may be written as the current value now.
fn held(want: &Desired, remote: &Remote) -> Option<Refusal> {
    if remote.foreign_rotation {
        return Some(foreign_rotation_refusal(want));
    }
    if remote.rotation.enabled && remote.pending.is_some() && remote.pending.as_ref() != remote.current.as_ref().map(|c| &c.version) {
        return Some(Refusal::new(
            Reason::Progressing,
            "AWS is rotating, and a write would abandon that; it follows when the rotation has ended",
        ));
    }
    let foreign = remote.pending.as_ref().filter(|pending| remote.current.as_ref().is_none_or(|current| current.version != **pending))?;
    Some(Refusal::new(
        Reason::ForeignPending,
        format!(
            "version {foreign} of {} is labelled AWSPENDING by another rotation, which a write would abandon: let it finish, or take the label \
             away with aws secretsmanager update-secret-version-stage --version-stage AWSPENDING --remove-from-version-id {foreign}",
            want.secret_name
        ),
    ))
}

/// Whether a new version is wanted, and why; else rest.
fn renew(want: &Desired, seen: &Observed, remote: &Remote, current: &Current, mirror: Settled, now: Timestamp) -> Next {
    let mut rest = Rest {
        mirrored: mirror.refusal,
        wake: mirror.wake,
        unsettled: mirror.unsettled,
        mirror_seen: true,
        rotates: matches!(want.rotation, Rotation::Lambda(_)) || !matches!(want.rotation, Rotation::Never) && want.value.is_some(),
        first_pending: due::first_pending(want, seen, remote, current),
        ..Rest::default()
    };
    let look = due::Look { want, seen, remote, current, now };
    if want.value.is_none() {
        if let rollback::Asked::Handled(token, refused) = rollback::asked(want, seen, remote, current) {
            rest.rollback_handled = Some((token, refused));
        }
        if !lambda_rotation::concerns(&look) {
            return Next::Rest(rest);
        }
    }
    if !seen.function_allowed {
        rest.next_rotation = remote.rotation.next.filter(|_| remote.rotation.enabled);
        rest.rotated = Some(lambda_rotation::not_allowed(want));
        return Next::Rest(rest);
    }
    // What is around a value of somebody else's is theirs, tags too.
    rest.settings = want.value.as_ref().and_then(|_| settings::refusal(want, seen, remote));
    if rest.settings.as_ref().is_some_and(|refusal| refusal.reason == Reason::Progressing) {
        rest.wake = rest.wake.into_iter().chain([now + SETTINGS_SHOW]).min();
    }
    if let Some(made) = unseen(seen, remote, current, now) {
        // AWS has a version of ours that this look does not show: the look is old.
        rest.unsettled = true;
        rest.wake = rest.wake.into_iter().chain([settled(made)]).min();
        return Next::Rest(rest);
    }
    // A version is only made when it can be delivered, and nobody else is in the middle of making one. A mirror that is pinned to what is not
    // there waits for none.
    let unfit = seen.unfit.get(&current.version);
    let undelivered = rest.mirrored.as_ref().is_some_and(|refusal| refusal.reason != Reason::VersionNotFound)
        && unfit.is_none_or(|unfit| unfit.cure == Cure::Value);
    let free = held(want, remote);
    let obstacle =
        free.clone().or_else(|| undelivered.then(|| Refusal::new(Reason::Overdue, "held until the Secret can be written (see Mirrored)")));
    // What nobody asked for must not lose fields.
    let lossy = unfit.filter(|unfit| unfit.cure == Cure::Request).map(|unfit| &unfit.refusal);
    let unasked = obstacle.clone().or_else(|| lossy.map(|refusal| Refusal::new(Reason::Overdue, format!("held: {}", refusal.message))));
    // A person who goes back to an older value may mend what is wrong with this one.
    let back = if unfit.is_some() { &free } else { &obstacle };
    // One version a turn, so that each is reported before the next. A version that the Secret does not get is reported before it is replaced, or
    // a later life would take it for one that was overtaken.
    let unreported = unfit.is_some() && seen.reported.history.first() != Some(&current.version);
    let step = |rest: Rest, step| match &seen.wrote {
        Some(_) => Next::Rest(Rest { wake: Some(now), ..rest }),
        None if unreported => Next::Rest(Rest { wake: Some(now), ..rest }),
        None => Next::Do(retention::before_write(want, seen, remote, current).unwrap_or(step)),
    };
    let write = |rest: Rest, version, cause| step(rest, Step::Write { version, predecessor: Some(current.version.clone()), cause });

    match declared_anew(want, seen, remote, current) {
        Declaration::Kept => {}
        Declaration::Unreported => {
            // The labels remember this one change only as long as no other version follows: report it first.
            rest.wake = Some(now);
            return Next::Rest(rest);
        }
        Declaration::Changed(version) => match &unasked {
            None if mirror.unsettled => return Next::Rest(rest),
            None if lambda_rotation::unrecorded(&look) => {
                rest.provisioned = Some(Refusal::new(Reason::Progressing, "spec.value changed: the current version is recorded first"));
                rest.wake = Some(now);
                return Next::Rest(rest);
            }
            None => return write(Rest { unsettled: seen.wrote.is_some(), ..rest }, version, Cause::SpecChanged),
            Some(refusal) => rest.provisioned = Some(Refusal::new(refusal.reason, format!("spec.value changed: {}", refusal.message))),
        },
    }
    match (rollback::asked(want, seen, remote, current), back) {
        (rollback::Asked::Nothing, _) => {}
        (rollback::Asked::Handled(token, refused), _) => rest.rollback_handled = Some((token, refused)),
        (rollback::Asked::Wanted { .. }, None) if mirror.unsettled => return Next::Rest(rest),
        (rollback::Asked::Wanted { .. }, None) if lambda_rotation::unrecorded(&look) => rest.wake = Some(now),
        (rollback::Asked::Wanted { version, to }, None) => {
            return step(rest, Step::RollBack { version, to, predecessor: current.version.clone() });
        }
        (rollback::Asked::Unsure, _) => {
            rest.unsettled = true;
            return Next::Rest(rest);
        }
        (rollback::Asked::Wanted { .. }, Some(refusal)) if rest.rotates => rest.rotated = Some(refusal.clone()),
        (rollback::Asked::Wanted { .. }, Some(refusal)) => rest.provisioned = Some(refusal.clone()),
    }
    match lambda_rotation::govern(&look, &mut rest) {
        lambda_rotation::Governed::Do(step) => return Next::Do(step),
        lambda_rotation::Governed::Rest => return Next::Rest(rest),
        lambda_rotation::Governed::No => {}
    }
    if want.value.is_none() {
        return Next::Rest(rest);
    }
    match (asked(want, seen, remote, current), &obstacle) {
        (None, _) => rest.rotate_handled.clone_from(&want.rotate_request),
        (Some(_), None) if mirror.unsettled => return Next::Rest(rest),
        (Some(version), None) => return write(rest, version, Cause::Requested),
        (Some(_), Some(refusal)) if rest.rotates => rest.rotated = Some(refusal.clone()),
        (Some(_), Some(refusal)) => rest.provisioned = Some(refusal.clone()),
    }
    match due::by_clock(&look, unasked.as_ref(), &mut rest) {
        Some(version) => write(rest, version, Cause::Scheduled),
        None => Next::Rest(rest),
    }
}

/// Whether the declared fields changed since a version was last made.
enum Declaration {
    Kept,
    /// They did, and this version is to be written.
    Changed(VersionId),
    /// They did, the version is written, and the status does not say so yet.
    Unreported,
}

fn declared_anew(want: &Desired, seen: &Observed, remote: &Remote, current: &Current) -> Declaration {
    let Some(declared) = want.value.as_ref().map(crate::value::DeclaredValue::hash) else { return Declaration::Kept };
    let unchanged = match &seen.reported.declared {
        Some(reported) => *reported == declared,
        // The status does not know. What somebody else put is the truth; a version that can only be ours is to be as declared.
        // Where AWS rotates, the id of a request is on a version that the function made.
        None if matches!(want.rotation, Rotation::Lambda(_)) => current.fits != Some(false) || current.version != want.ids.creation(),
        None => current.fits != Some(false) || !current.version.is_derived(),
    };
    if unchanged {
        return Declaration::Kept;
    }
    if remote.previous.as_ref().is_some_and(|previous| want.ids.declaration(previous, &declared) == current.version) {
        return Declaration::Unreported;
    }
    let version = want.ids.declaration(&current.version, &declared);
    if seen.spent.contains_key(&version) { Declaration::Kept } else { Declaration::Changed(version) }
}

/// A person asked for a rotation that has not happened.
fn asked(want: &Desired, seen: &Observed, remote: &Remote, current: &Current) -> Option<VersionId> {
    let token = want.rotate_request.as_ref()?;
    if seen.reported.rotate_handled.as_ref() == Some(token) || !want.value.as_ref()?.generates() {
        return None;
    }
    let version = want.ids.request(token);
    (!known(&version, seen, remote, current)).then_some(version)
}

/// When a version was made that AWS has, and that is too young for its absence from the labels to mean anything.
fn unseen(seen: &Observed, remote: &Remote, current: &Current, now: Timestamp) -> Option<Timestamp> {
    let labelled =
        |version: &VersionId| *version == current.version || [&remote.previous, &remote.pending].contains(&&Some(version.clone()));
    seen.spent.iter().filter(|(version, made)| !labelled(version) && now < settled(**made)).map(|(_, made)| *made).max()
}

fn known(version: &VersionId, seen: &Observed, remote: &Remote, current: &Current) -> bool {
    *version == current.version
        || remote.previous.as_ref() == Some(version)
        || remote.pending.as_ref() == Some(version)
        || remote.labels.values().any(|labelled| labelled == version)
        || seen.spent.contains_key(version)
}

#[cfg(test)]
mod tests;
