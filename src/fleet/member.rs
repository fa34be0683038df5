//! What the statistics need of one object, so that the object itself need not be kept for them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use crate::api::condition::Reason;
use crate::api::{FINALIZER, OWNER, PLATFORM, RolloutPhase, RotatedSecret};

/// 2018-01-01T00:00:00Z. AWS Secrets Manager was introduced in April 2018.
pub(super) const EARLIEST: Timestamp = Timestamp::constant(1_514_764_800, 0);

/// Reasons with which the target of a rotation refuses a password.
const REFUSALS: [Reason; 4] = [Reason::ApplyFailed, Reason::VerifyFailed, Reason::AbandonFailed, Reason::TargetDiverged];

/// One object, as the statistics count it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub(super) namespace: Box<str>,
    pub(super) name: Box<str>,
    /// Status of the condition Ready.
    pub(super) ready: &'static str,
    /// Its reason. One that this version does not know is `Other`.
    pub(super) reason: &'static str,
    pub(super) rotates: bool,
    pub(super) without_rotation: bool,
    /// By the spec or by the Namespace.
    pub(super) suspended: bool,
    pub(super) is_deleting: bool,
    /// Consecutive failures.
    pub(super) failures: i64,
    /// Time of the next rotation.
    pub(super) next: Option<Timestamp>,
    /// Creation time of the current value. It may be in the future.
    pub(super) version_since: Option<Timestamp>,
    /// What most objects do not have.
    pub(super) unusual: Option<Box<Unusual>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Unusual {
    pub(super) stalled: bool,
    pub(super) suspended_since: Option<Timestamp>,
    /// The mirror does not hold the current version, or that is unknown.
    pub(super) out_of_step: bool,
    /// The reason for which the target refuses a password.
    pub(super) refused: Option<&'static str>,
    /// The reason of the condition `RolledOut`, and the start of a rollout in progress.
    pub(super) not_rolled_out: Option<(&'static str, Option<Timestamp>)>,
    /// Since when our finalizer holds the object.
    pub(super) deleting_since: Option<Timestamp>,
    /// It is not Ready: the reason, whom it concerns, and since when.
    pub(super) trouble: Option<(&'static str, &'static str, Timestamp)>,
}

impl Member {
    /// What counts of this object.
    pub fn of(object: &RotatedSecret) -> Self {
        let status = object.status.as_ref();
        let ready = condition(object, "Ready");
        let known = match ready.map(|ready| ready.status.as_str()) {
            Some("True") => "True",
            Some("False") => "False",
            _ => "Unknown",
        };
        let rotation = object.spec.rotation.as_ref();
        let inactive = is_inactive(object);
        let unusual = Unusual::of(object, known);
        // No rotation was due before the object existed, and no value is older than AWS Secrets Manager. The status may say so, for
        // any user with access to it may have written it.
        let next = status.and_then(|status| status.next_rotation_time.as_ref()).map(|time| time.0.max(created(object)));
        Self {
            namespace: object.namespace().unwrap_or_default().into(),
            name: object.name_any().into(),
            ready: known,
            reason: ready.map_or("None", |ready| word(&ready.reason)),
            rotates: rotation.is_some(),
            without_rotation: object.spec.value.is_some() && rotation.is_none(),
            suspended: inactive || rotation.is_some_and(|rotation| rotation.suspend),
            is_deleting: object.metadata.deletion_timestamp.is_some(),
            failures: status.and_then(|status| status.failures.as_ref()).map_or(0, |failures| i64::from(failures.count.max(0))),
            next: next.filter(|_| rotation.is_some()),
            version_since: status.and_then(|status| status.last_rotation_time.as_ref()).map(|time| time.0.max(EARLIEST)),
            unusual: (unusual != Unusual::default()).then(|| Box::new(unusual)),
        }
    }
}

impl Unusual {
    /// `known`: the status of the condition Ready.
    fn of(object: &RotatedSecret, known: &str) -> Self {
        let status = object.status.as_ref();
        let (created, inactive) = (created(object), is_inactive(object));
        let suspended = inactive || object.spec.rotation.as_ref().is_some_and(|rotation| rotation.suspend);
        let says = |of: &str, what: &str| condition(object, of).is_some_and(|condition| condition.status == what);
        let refused = ["Rotated", "Ready"].into_iter().filter(|of| says(of, "False")).find_map(|of| {
            let reason = word(&condition(object, of)?.reason);
            REFUSALS.iter().any(|known| known.as_str() == reason).then_some(reason)
        });
        let held_up = condition(object, "RolledOut").filter(|rolled_out| rolled_out.status == "False" && !inactive);
        let waiting = status.and_then(|status| status.rollout.as_ref()).filter(|rollout| rollout.phase == RolloutPhase::Waiting);
        let waiting = waiting.map(|rollout| rollout.start_time.0.max(created));
        let deletion = object.metadata.deletion_timestamp.as_ref();
        Self {
            stalled: says("Stalled", "True"),
            suspended_since: status
                .and_then(|status| status.suspension_time.as_ref())
                .filter(|_| suspended)
                .map(|since| since.0.max(created)),
            out_of_step: says("Mirrored", "False") && !inactive,
            refused: refused.filter(|_| !inactive),
            not_rolled_out: held_up.map(|held_up| (word(&held_up.reason), waiting)),
            // Other finalizers are those of other programs.
            deleting_since: deletion
                .filter(|_| object.finalizers().iter().any(|finalizer| finalizer == FINALIZER))
                .map(|deletion| deletion.0.max(created)),
            trouble: (deletion.is_none() && known != "True" && !inactive).then(|| trouble(object)),
        }
    }
}

/// Why the object is not Ready, whom that concerns, and since when.
fn trouble(object: &RotatedSecret) -> (&'static str, &'static str, Timestamp) {
    let (ready, created) = (condition(object, "Ready"), created(object));
    // While AWS cannot be read, Ready has the reason of that failure, and Stalled what waits for a user.
    let stalled = condition(object, "Stalled").filter(|stalled| stalled.status == "True");
    let reason = stalled.or(ready).map_or("None", |condition| word(&condition.reason));
    let concerns = concerns(object, reason);
    let since = ready.map_or(created, |ready| ready.last_transition_time.0);
    // The object may have waited for its owner, or was suspended, before what fails now began.
    let failures = object.status.as_ref().and_then(|status| status.failures.as_ref());
    let failing = failures.and_then(|failures| failures.since.as_ref()).filter(|_| concerns == PLATFORM);
    (reason, concerns, failing.map_or(since, |failing| failing.0.max(since)).max(created))
}

fn condition<'a>(object: &'a RotatedSecret, of: &str) -> Option<&'a Condition> {
    object.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == of)
}

/// Whether the spec or the Namespace suspends all work. The latter is only in the condition.
fn is_inactive(object: &RotatedSecret) -> bool {
    object.spec.suspend || condition(object, "Ready").is_some_and(|ready| ready.reason == Reason::Suspended.as_str())
}

fn created(object: &RotatedSecret) -> Timestamp {
    object.metadata.creation_timestamp.as_ref().map_or(EARLIEST, |time| time.0.max(EARLIEST))
}

/// The reason of a condition. One that this version does not know is `Other`, so that the values of labels stay bounded.
fn word(reason: &str) -> &'static str {
    Reason::ALL.into_iter().find(|known| known.as_str() == reason).map_or("Other", Reason::as_str)
}

/// Whom it concerns that the object is not Ready for this reason. The permissions of an identity of its own are those of the
/// owner, who has also chosen the key that the spec names.
fn concerns(object: &RotatedSecret, reason: &str) -> &'static str {
    let of_identity = [Reason::AccessDenied, Reason::IdentityRefused, Reason::KeyUnusable];
    let aws = &object.spec.aws;
    match Reason::parse(reason) {
        Some(reason) if aws.service_account_ref.is_some() && of_identity.contains(&reason) => OWNER,
        Some(Reason::KeyUnusable) if aws.kms_key_id.is_some() => OWNER,
        Some(reason) => reason.concerns(),
        None => PLATFORM,
    }
}
