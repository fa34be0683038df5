//! Facts and assessment -> the status.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::failures::{self, Attempt, Attempts};
use super::{bounds, conditions, history, requests, rollout, settings, staged, stalled, suspension};
use crate::api::condition::{ConditionType, Statement, merge};
use crate::api::{
    AWSPENDING, AwsStatus, DeclaredStatus, MirrorStatus, PlaceStatus, REFRESH, RepairStatus, RequestStatus, RotatedSecret,
    RotatedSecretStatus, ScheduleStatus, UnseenVersion,
};
use crate::backoff::Class;
use crate::compare::{Current, MirrorState, Observation, SecretState, whole_seconds};
use crate::desired::{Desired, LambdaRotation, Rotation};
use crate::facts::Place;
use crate::failure::Failed;
use crate::journal::CONSISTENCY_WINDOW;
use crate::plan::{Assessment, Blocked, Examined, retention};
use crate::refusal::Refusal;
use crate::value::DeclaredValue;
use crate::version_id::VersionId;

/// How a reconcile ended.
#[derive(Debug)]
pub enum Outcome {
    /// There is nothing left to do, or nothing that may be done.
    Assessed {
        /// The last observation.
        seen: Box<Observation>,
        /// What the plan says of it.
        assessment: Assessment,
        /// Whether there is a Secret of the target's name, if the plan ended before the Secret matters; `None`: it is not
        /// known.
        secret_exists: Option<bool>,
    },
    /// The spec cannot be carried out.
    Invalid {
        /// Why.
        refusal: Refusal,
        /// Whether there is a Secret of the name that the status reports; `None`: it is not known.
        secret_exists: Option<bool>,
    },
    /// The reconcile ended early.
    Failed {
        /// Why.
        failed: Failed,
        /// Whether there is a Secret of the target's name; `None`: it is not known.
        secret_exists: Option<bool>,
    },
    /// AWS is not read before the backoff is over.
    Waiting {
        /// Whether there is a Secret of the target's name; `None`: it is not known.
        secret_exists: Option<bool>,
    },
}

impl Outcome {
    /// Whether something is left to do that the operator retries within seconds or minutes.
    fn unfinished(&self) -> bool {
        match self {
            Self::Assessed { seen, .. } => seen.journal.unfinished(),
            Self::Failed { failed, .. } => failed.failure.class.is_transient(),
            Self::Invalid { .. } => false,
            Self::Waiting { .. } => true,
        }
    }
}

/// The status after a reconcile.
pub fn write(
    object: &RotatedSecret,
    want: Option<&Desired>,
    outcome: &Outcome,
    attempts: &Attempts,
    now: Timestamp,
) -> RotatedSecretStatus {
    let before = bounds::bounded(object.status.clone().unwrap_or_default());
    let generation = object.metadata.generation;
    // A generation that a failure keeps from being carried out was not observed: the next attempt may.
    let observed = if outcome.unfinished() { before.observed_generation } else { generation };
    let mut after = RotatedSecretStatus { observed_generation: observed, failures: None, ..before.clone() };
    let statements = match outcome {
        Outcome::Invalid { refusal, secret_exists } => {
            if let Some(refresh) = requests::token(object, REFRESH) {
                after.requests.get_or_insert_default().refresh = Some(refresh);
            }
            let statements = conditions::refused(&before, ConditionType::Provisioned, refusal);
            missing(&mut after, want, *secret_exists, statements)
        }
        Outcome::Failed { failed, secret_exists } => {
            if let Some(refresh) = want.and_then(|want| want.refresh_request.clone()) {
                after.requests.get_or_insert_default().refresh = Some(refresh);
            }
            // A step follows a read: then the cause was looked at, unless a condition that is kept still has it.
            let unread = attempts.failed.iter().any(|(attempt, _)| *attempt == Attempt::Read) || failed.failure.class == Class::Conflict;
            let stalled =
                stalled::kept(&before, generation).filter(|kept| unread || stalled::persists(&before, failed.aspect, kept.reason));
            let statements = conditions::failed(&before, failed, stalled, now);
            missing(&mut after, want, *secret_exists, statements)
        }
        Outcome::Waiting { secret_exists } => {
            let statements = conditions::unchanged(&before);
            missing(&mut after, want, *secret_exists, statements)
        }
        Outcome::Assessed { seen, assessment, secret_exists } => {
            if let Some(want) = want {
                let report = Report { before: &before, want, seen, now };
                match assessment {
                    Assessment::Suspended => {}
                    Assessment::Blocked(blocked) => report.blocked(&mut after, blocked),
                    Assessment::Examined(examined) => report.examined(&mut after, examined),
                }
            }
            let statements = conditions::assessed(&before, &after, want, seen, assessment, now);
            missing(&mut after, want, *secret_exists, statements)
        }
    };
    let statements = conditions::certificate_expired(statements, &after, want, now);
    let ready = statements.iter().any(|statement| statement.of == ConditionType::Ready && statement.holds && !statement.kept);
    if !ready {
        after.failures = failures::count(object, attempts, now);
    }
    after.conditions = merge(&before.conditions, &statements, generation, now);
    after.suspension_time = suspension::since(object, &before, attempts.namespace_suspends, now);
    bounds::bounded(after)
}

/// The Secret is gone, and is not created again now.
fn missing(
    after: &mut RotatedSecretStatus,
    want: Option<&Desired>,
    secret_exists: Option<bool>,
    statements: Vec<Statement>,
) -> Vec<Statement> {
    let name = match want {
        Some(want) => want.target.as_ref().map(|target| target.name.clone()),
        None => after.mirror.as_ref().map(|mirror| mirror.secret_name.clone()),
    };
    let Some(name) = name.filter(|_| secret_exists == Some(false)) else { return statements };
    after.mirror = None;
    conditions::secret_missing(statements, &name)
}

/// What a report is made of.
struct Report<'a> {
    before: &'a RotatedSecretStatus,
    want: &'a Desired,
    seen: &'a Observation,
    now: Timestamp,
}

impl Report<'_> {
    /// The plan stopped early: what was announced stays announced, so that it becomes overdue.
    fn blocked(&self, after: &mut RotatedSecretStatus, blocked: &Blocked) {
        self.refreshed(after);
        let secret = self.seen.secret.as_ref();
        if blocked.awaiting_consistency {
            self.unseen(after);
        } else if let (true, Some(current)) = (blocked.adopting, secret.and_then(|secret| secret.current.as_ref())) {
            adopt(after, self.before, self.want, current);
        } else if secret.is_none() && (self.observed() || after.aws.is_none()) {
            after.aws = Some(unnamed(self.before, self.want));
        }
    }

    /// Whether AWS was asked about the secret. Only then may what was recorded be withdrawn: it says where the secret is.
    fn observed(&self) -> bool {
        self.seen.access.granted() && !matches!(self.seen.place, Place::Unproved(_) | Place::Unsettled(..))
    }

    fn examined(&self, after: &mut RotatedSecretStatus, examined: &Examined) {
        self.refreshed(after);
        handled(after, examined);
        if examined.awaiting_consistency {
            self.unseen(after);
            return;
        }
        let Some(secret) = &self.seen.secret else { return };
        after.next_rotation_time = examined.rotation.next.map(Time);
        after.aws = Some(self.aws(secret));
        after.mirror = self.mirror();
        // A change that the namespace's function may not make was not carried out.
        let carried_out = examined.aspects.provisioned.is_none() && self.seen.access.function_allowed;
        // What was written was carried out, also if it cannot be read.
        let carried_out = |declared: &&DeclaredValue| carried_out || secret.written_for(self.want, &declared.hash());
        if let Some(declared) = self.want.value.as_ref().filter(carried_out) {
            after.declared =
                Some(DeclaredStatus { hash: declared.hash(), fields: declared.field_names(), fixed_fields: declared.fixed_names() });
        }
        after.schedule = self.schedule(secret, examined);
        if let Some(current) = &secret.current {
            history::record(after, self.before, self.want, self.seen, secret, current, self.now);
        }
        history::note_existing(after, self.before, self.seen, secret, self.now);
        rollout::report(after, self.want, examined);
        staged::report(after, self.before, self.want, self.seen, secret, examined, self.now);
    }

    fn refreshed(&self, after: &mut RotatedSecretStatus) {
        if self.want.refresh_request.is_some() {
            after.requests.get_or_insert_default().refresh.clone_from(&self.want.refresh_request);
        }
    }

    /// Only that AWS has a version that it does not show yet: what was read is older than our writes.
    fn unseen(&self, after: &mut RotatedSecretStatus) {
        let unseen = self.youngest_invisible();
        if unseen.is_some() || after.aws.as_ref().is_some_and(|aws| aws.unseen.is_some()) {
            after.aws.get_or_insert_with(|| unnamed(self.before, self.want)).unseen = unseen;
        }
    }

    /// The youngest version that AWS has and does not show, so that the next reconcile waits for it instead of writing
    /// it again.
    fn youngest_invisible(&self) -> Option<UnseenVersion> {
        let labels = self.seen.secret.as_ref().map(|secret| &secret.labels);
        let shown = |version: &VersionId| labels.is_some_and(|labels| labels.values().any(|shown| shown == version));
        let young = |created: Timestamp| self.now.duration_since(created) < CONSISTENCY_WINDOW;
        let invisible = self.seen.used().into_iter().filter(|(version, created)| !shown(version) && young(*created));
        let (version, created) = invisible.max_by_key(|(_, created)| *created)?;
        Some(UnseenVersion { version_id: version.to_string(), time: Time(whole_seconds(created)) })
    }

    fn aws(&self, secret: &SecretState) -> AwsStatus {
        let retained = if self.want.value.is_some() { retention::retained(secret) } else { Vec::new() };
        AwsStatus {
            arn: Some(secret.arn.clone()),
            region: Some(self.want.region.clone()),
            current_version_id: secret.current.as_ref().map(|current| current.version.to_string()),
            previous_version_id: secret.previous().map(ToString::to_string),
            pending_version_id: secret.labels.get(AWSPENDING).map(ToString::to_string),
            retained_version_ids: retained.iter().map(ToString::to_string).collect(),
            place: None,
            unseen: None,
            replicas: settings::replicas(secret),
            applied: settings::applied(self.before.aws.as_ref(), self.want, secret),
        }
    }

    fn mirror(&self) -> Option<MirrorStatus> {
        let (MirrorState::Ours { version, written, intact, revision, .. }, Some(target)) = (&self.seen.mirror, &self.want.target) else {
            return None;
        };
        // A write of this reconcile changed nothing, although another manager claims fields: at this revision the Secret
        // is as declared.
        let as_wanted = self.seen.extras.previous == self.seen.extras.wanted_previous;
        let confirmed = if !*intact && as_wanted && self.seen.journal.mirror_written() {
            revision.clone()
        } else {
            self.seen.status.mirror.confirmed_revision.clone().filter(|earlier| revision.as_ref() == Some(earlier))
        };
        Some(MirrorStatus {
            secret_name: target.name.clone(),
            version_id: version.as_ref().map(ToString::to_string),
            previous_version_id: self.seen.extras.previous.as_ref().map(ToString::to_string),
            last_write_time: written.map(Time),
            not_after: self.seen.extras.not_after.map(Time),
            confirmed_resource_version: confirmed,
            repairs: self.seen.repairs(self.now).map(|repairs| RepairStatus {
                count: i32::try_from(repairs.count).unwrap_or(i32::MAX),
                last_time: Time(repairs.last),
                manager: repairs.manager,
            }),
        })
    }

    fn schedule(&self, secret: &SecretState, examined: &Examined) -> Option<ScheduleStatus> {
        let in_force = |expression: String| {
            let since = self.seen.status.schedule_since(&expression, self.now).map(Time);
            Some(ScheduleStatus { expression, since })
        };
        match &self.want.rotation {
            // The schedule comes into force with the first rotation.
            _ if examined.rotation.first_pending => self.before.schedule.clone(),
            Rotation::Scheduled { expression, .. } => in_force(expression.clone()),
            Rotation::Lambda(LambdaRotation { config: Ok(config), .. }) if secret.rotation.enabled && secret.rotation.as_declared => {
                in_force(config.rules.describe())
            }
            // A mistake that is corrected does not start the schedule again, and neither does one that AWS was not told.
            Rotation::Refused(_) | Rotation::Lambda(_) => self.before.schedule.clone(),
            Rotation::Never => None,
        }
    }
}

/// The status before a step that makes the AWS secret this object's. It says where that is.
pub fn placed(object: &RotatedSecret, want: &Desired, now: Timestamp) -> RotatedSecretStatus {
    let mut status = object.status.clone().unwrap_or_default();
    let place = PlaceStatus { region: want.region.clone(), secret_name: want.secret_name.clone(), time: Time(now) };
    status.aws.get_or_insert_default().place = Some(place);
    bounds::bounded(status)
}

/// An AWS secret whose ARN is not known, and where it is about to be.
fn unnamed(before: &RotatedSecretStatus, want: &Desired) -> AwsStatus {
    let place = before.aws.as_ref().and_then(|aws| aws.place.clone());
    AwsStatus { region: Some(want.region.clone()), place, ..AwsStatus::default() }
}

/// An existing AWS secret is being adopted. It is not ours yet, so its ARN is not reported. Rotation is new on it.
fn adopt(after: &mut RotatedSecretStatus, before: &RotatedSecretStatus, want: &Desired, current: &Current) {
    after.aws = Some(unnamed(before, want));
    after.declared = None;
    after.schedule = None;
    after.last_rotation_time = Some(Time(current.schedule_base));
    history::adopt(after, before, current);
}

/// The requests that were handled.
fn handled(after: &mut RotatedSecretStatus, examined: &Examined) {
    let mut requests = after.requests.clone().unwrap_or_default();
    if examined.requests.rotate.is_some() {
        requests.rotate.clone_from(&examined.requests.rotate);
    }
    if let Some((token, refused)) = &examined.requests.rollback {
        requests.rollback = Some(token.clone());
        requests.rollback_refused = *refused;
    }
    requests.held_until = examined.requests.held_until.map(Time);
    after.requests = (requests != RequestStatus::default()).then_some(requests);
}
