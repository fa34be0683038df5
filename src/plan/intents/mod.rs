//! Every cause that can ask for a new version, in order of precedence. Each rule is in the file that has its name.

mod checked;
mod intent;
mod recovered;
mod redeclared;
mod requested;
mod rollback;
mod scheduled;
mod staged;

use jiff::{SignedDuration, Timestamp};

use super::assessment::{Aspects, Assessment, Examined, HandledRequests, Next, RotationOutlook, Wake};
use super::hold::{defer, hold};
use super::mirror::Mirrored;
use super::situation::Situation;
pub(super) use intent::{Intent, Proposal};
pub(super) use requested::open_request;

use super::{lambda_rotation, pipeline, retirement, rollout, settings};
use crate::api::ALLOWED_HOSTS;
use crate::api::condition::Reason;
use crate::compare::REPLICA_RETRY;
use crate::desired::{Desired, Rotation, Strategy, TargetServer, jobs_not_allowed};
use crate::facts::{Replica, ReplicaState};
use crate::refusal::Refusal;
use crate::step::Step;

/// How soon to read a setting again that AWS is still applying.
const SETTINGS_RECHECK: SignedDuration = SignedDuration::from_secs(15);

/// A rule: it proposes, and adds what it found to the examination.
type Rule = fn(&Situation<'_>, &mut Examined) -> Proposal;

/// The rules, first match first. A test pins the order.
pub(super) const INTENTS: [(&str, Rule); 10] = [
    // A version that we staged is finished before anything new begins.
    ("staged", staged::staged),
    // A change of the declaration that was written is reported before another version follows it.
    ("unreported", redeclared::unreported),
    // A person says that the current value is wrong. A request for AWSPREVIOUS is refused while a version is on its way.
    ("rollback", rollback::rolled_back),
    // The workloads do not run with the current value.
    ("recovered", recovered::recovered),
    // The declaration is what everything below builds on.
    ("redeclared", redeclared::redeclared),
    // AWS rotates, is told to, or is told to stop. No rule below applies then.
    ("lambda", lambda_rotation::lambda),
    // A person asks for a new value.
    ("requested", requested::requested),
    // Rotation is new and starts with a rotation.
    ("first", scheduled::first),
    // The schedule.
    ("scheduled", scheduled::scheduled),
    // The target is asked whether it accepts the current value, if no other value is due.
    ("checked", checked::checked),
];

/// Asks every rule, until one has something to do.
pub(super) fn examine(situation: &Situation<'_>, mirrored: Mirrored) -> Next {
    let mut examined = begin(situation, mirrored);
    match current(situation, &mut examined) {
        Err(step) => return Next::Do(step),
        Ok(false) => return rest(situation, examined),
        Ok(true) => {}
    }
    for (_, rule) in INTENTS {
        match rule(situation, &mut examined) {
            Proposal::Nothing => {}
            Proposal::Wait => break,
            Proposal::Step(step) => match take(situation, step, &mut examined) {
                Some(step) => return Next::Do(step),
                None => break,
            },
            Proposal::Version(intent) if let Some(step) = rollout::look_before(situation, &intent) => return Next::Do(step),
            Proposal::Version(intent) => match hold(situation, &intent, &examined) {
                None => {
                    let step = pipeline::begin(situation, intent);
                    if goes_on(situation, &step, &mut examined) {
                        break;
                    }
                    return Next::Do(step);
                }
                Some(held) => {
                    if defer(situation, &intent, held, &mut examined) {
                        break;
                    }
                }
            },
        }
    }
    rest(situation, examined)
}

/// The step, unless it goes on, failed, or was carried out before.
fn take(situation: &Situation<'_>, step: Step, examined: &mut Examined) -> Option<Step> {
    if goes_on(situation, &step, examined) {
        return None;
    }
    if let Some(failed) = situation.seen.journal.failure(&step) {
        examined.aspects.fail(failed);
        return None;
    }
    if situation.seen.journal.tried(&step) {
        // AWS does not show it yet. The value and the Secret are not concerned, so Ready stays as it is.
        examined.wake.at(situation.now.saturating_add(SETTINGS_RECHECK));
        return None;
    }
    Some(step)
}

/// What is left to do for the current version: workloads take it up, and the credential before it is retired. Then whether any
/// rule may be asked.
fn current(situation: &Situation<'_>, examined: &mut Examined) -> Result<bool, Step> {
    if let Some(step) = rollout::advance(situation, examined) {
        return Err(step);
    }
    if !ready(situation, examined) {
        retirement::held_up(situation, examined);
        return Ok(false);
    }
    retirement::advance(situation, examined).map_or(Ok(true), Err)
}

/// Whether the step goes on outside of the operator. The value and the Secret are not concerned, so Ready stays as it is.
fn goes_on(situation: &Situation<'_>, step: &Step, examined: &mut Examined) -> bool {
    let Some(going) = situation.seen.journal.goes_on(step) else { return false };
    examined.wake.at([going.until]);
    match &going.after {
        Some(failed) => examined.aspects.fail(failed),
        None => examined.goes_on = Some(going.what.clone()),
    }
    true
}

fn rest(situation: &Situation<'_>, mut examined: Examined) -> Next {
    examined.wake.at(rollout::look_again(situation));
    // What waits for a report waits in vain: nothing is reported of an old state, which is read again within seconds.
    if examined.awaiting_consistency && examined.wake.0.is_some_and(|wake| wake <= situation.now) {
        examined.wake = Wake::default();
    }
    Next::Rest(Assessment::Examined(Box::new(examined)))
}

fn begin(situation: &Situation<'_>, mirrored: Mirrored) -> Examined {
    let rotates = match situation.want.rotation {
        Rotation::Never => false,
        Rotation::Lambda(_) | Rotation::Refused(_) => true,
        Rotation::Scheduled { .. } => situation.want.value.is_some(),
    };
    let provisioned = mirrored.refusal.clone().filter(|_| mirrored.unread);
    Examined {
        aspects: Aspects {
            provisioned,
            mirrored: mirrored.refusal,
            settings: settings::refusal(situation),
            rolled_out: None,
            rotated: staged::left_behind(situation).or_else(|| staged::last_abandoned(situation)),
        },
        rotation: RotationOutlook { rotates, first_pending: scheduled::first_pending(situation), ..RotationOutlook::default() },
        requests: HandledRequests { rollback: rollback::refused_meanwhile(situation), ..HandledRequests::default() },
        awaiting_consistency: mirrored.awaiting_consistency,
        wake: Wake(mirrored.wake),
        ..Examined::default()
    }
}

/// Whether any rule may be asked.
fn ready(situation: &Situation<'_>, examined: &mut Examined) -> bool {
    let Situation { want, seen, secret, now, .. } = situation;
    if !seen.access.function_allowed {
        examined.aspects.settings = None;
        examined.rotation.next = secret.rotation.next.filter(|_| secret.rotation.enabled);
        examined.aspects.rotated = Some(lambda_rotation::not_allowed(want));
        return false;
    }
    if !seen.access.host_allowed {
        examined.aspects.rotated = Some(host_not_allowed(want));
        return false;
    }
    // A declaration that is rejected may be that of the target.
    if let (Some(_), Rotation::Refused(refusal)) = (&want.strategy, &want.rotation)
        && refusal.reason == Reason::InvalidSpec
    {
        examined.aspects.rotated = Some(refusal.clone());
        return false;
    }
    if examined.aspects.settings.as_ref().is_some_and(|refusal| refusal.reason == Reason::Progressing) {
        examined.wake.at(now.saturating_add(SETTINGS_RECHECK));
    }
    examined.wake.at(retry_of_replicas(situation));
    let Some(until) = situation.stale_until() else { return true };
    examined.awaiting_consistency = true;
    examined.wake.at([until]);
    false
}

/// When a declared replica that failed is requested again. Once that time has come, it is among the settings that
/// differ.
fn retry_of_replicas(Situation { want, secret, now, .. }: &Situation<'_>) -> Option<Timestamp> {
    let regions = want.settings.replicas.value()?;
    let failed = |replica: &Replica| replica.state == ReplicaState::Failed && regions.contains_key(&replica.region);
    secret.replicas.iter().any(failed).then_some(())?;
    secret.last_changed?.checked_add(REPLICA_RETRY).ok().filter(|retry| retry > now)
}

/// The namespace may not use the host of the target, or the administrator has not enabled Jobs.
fn host_not_allowed(want: &Desired) -> Refusal {
    if want.strategy.as_ref().is_some_and(Strategy::runs_jobs) {
        return jobs_not_allowed();
    }
    let hosts: Vec<String> = want.strategy.iter().flat_map(Strategy::servers).map(TargetServer::host_and_port).collect();
    let host = hosts.join(" or ");
    Refusal::new(
        Reason::HostNotAllowed,
        format!(
            "namespace {} may not use the host {host}: name a Service of the namespace that selects pods, or ask the administrator to add the host to the \
             annotation {ALLOWED_HOSTS} on the Namespace",
            want.namespace
        ),
    )
}
