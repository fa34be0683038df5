//! The result of the comparison: what the plan decides on.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::drift::{self, Drift};
use super::{Current, Input, LambdaState, Need, Ownership, Pending};
use crate::api::{AWSCURRENT, AWSPREVIOUS, RETIRING_LABEL};
use crate::command::SecretRef;
use crate::desired::{Desired, Pin, Strategy};
use crate::facts::{Access, AwsSecret, Charged, Claims, Place, Repairs, Replica, StagingFacts, StatusFacts, Workload};
use crate::failure::Failed;
use crate::journal::{HIDDEN_WINDOW, Journal};
use crate::version_id::VersionId;

/// One consistent view of an object: facts compared with the spec, and what this reconcile did. No plaintext.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// What the namespace may do, and who acts.
    pub access: Access,
    /// Our finalizer is on the object.
    pub finalizer: bool,
    /// Whether the AWS secret is where the spec and the flags put it.
    pub place: Place,
    /// The AWS secret.
    pub secret: Option<SecretState>,
    /// The mirrored Secret.
    pub mirror: MirrorState,
    /// What it holds beside the version.
    pub extras: Extras,
    /// Who else claims it.
    pub claims: Claims,
    /// What the status says of earlier reconciles.
    pub status: StatusFacts,
    /// What this reconcile did.
    pub journal: Journal,
    /// Up to when this process has charged versions.
    pub charged: Charged,
    /// When the target is asked next whether it accepts the current value; `None`: never.
    pub check_due: Option<Timestamp>,
    /// The workloads that use the Secret; `None`: they were not read in this reconcile.
    pub workloads: Option<Vec<Workload>>,
}

impl Observation {
    /// Version ids that AWS has, and when those versions were created: written in this reconcile, or before it and not
    /// shown then.
    pub fn used(&self) -> BTreeMap<VersionId, Timestamp> {
        let mut used = self.journal.used();
        used.extend(self.status.unseen.clone());
        used
    }

    /// The version that the status records before it is staged, if AWS does not show it, and until when that means nothing: it
    /// may be staged, and the target may have it.
    pub fn hidden(&self, now: Timestamp) -> Option<(&VersionId, Timestamp)> {
        let StagingFacts { announced, met, .. } = &self.status.staging;
        let version = &announced.as_ref()?.version;
        let shown = self.secret.as_ref().is_some_and(|secret| {
            let current = secret.current.as_ref().map(|current| &current.version);
            current == Some(version) || secret.pending.version() == Some(version) || secret.labels.values().any(|id| id == version)
        });
        let known = shown || self.used().contains_key(version) || self.status.recorded(version);
        let until = met.filter(|_| !known && self.status.staging.abandoned(version).is_none())?.saturating_add(HIDDEN_WINDOW).ok()?;
        Some((version, until)).filter(|(_, until)| *until > now)
    }

    /// The ARN that was ours, if another secret has its name now.
    pub fn replaced(&self) -> Option<&str> {
        let known = self.status.arn.as_deref()?;
        self.secret.as_ref().is_some_and(|secret| secret.arn != known).then_some(known)
    }

    /// Recent repairs of the Secret, with the one of this reconcile.
    pub fn repairs(&self, now: Timestamp) -> Option<Repairs> {
        let same = |version: &VersionId| self.status.mirror.version.as_ref() == Some(version);
        // A write after a refused one only carries out what was declared.
        let expected = self.status.mirror.previous == self.extras.wanted_previous && !self.status.mirror.failed;
        let repaired = self.status.current_generation && expected && self.journal.mirrored().is_some_and(same);
        let earlier = self.status.mirror.repairs.as_ref();
        if repaired { Some(Repairs::again(earlier, self.claims.manager.clone(), now)) } else { earlier.cloned() }
    }
}

/// The AWS secret, compared with the spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretState {
    /// The full ARN.
    pub arn: String,
    /// Whose it is.
    pub ownership: Ownership,
    /// Scheduled for deletion.
    pub deleted: bool,
    /// Every staging label.
    pub labels: BTreeMap<String, VersionId>,
    /// The current version.
    pub current: Option<Current>,
    /// The pending version.
    pub pending: Pending,
    /// Rotation by AWS.
    pub rotation: LambdaState,
    /// Settings that differ.
    pub drift: Drift,
    /// Its replicas.
    pub replicas: Vec<Replica>,
    /// Who else manages it, so that it can be mirrored only.
    pub manager: Option<Manager>,
    /// When anything about it was last modified.
    pub last_changed: Option<Timestamp>,
    /// The read is older than the status. Until this time nothing is decided by it.
    pub outdated: Option<Timestamp>,
}

impl Observation {
    /// Why a version could not be written, or does not become current.
    pub fn failed_version(&self) -> Option<&Failed> {
        self.journal.failed_version(self.secret.as_ref().and_then(|secret| secret.pending.in_progress()))
    }
}

impl SecretState {
    /// The secret by its ARN, for commands in messages.
    pub fn at<'a>(&'a self, want: &'a Desired) -> SecretRef<'a> {
        SecretRef { region: &want.region, id: &self.arn }
    }

    /// The version with the label `AWSPREVIOUS`.
    pub fn previous(&self) -> Option<&VersionId> {
        self.labels.get(AWSPREVIOUS)
    }

    /// Whether the current version was written because the declared fields became those with this hash.
    pub fn written_for(&self, want: &Desired, hash: &str) -> bool {
        let current = self.current.as_ref().map(|current| &current.version);
        self.previous().zip(current).is_some_and(|(previous, current)| want.ids.is_declaration(current, previous, hash))
    }

    /// Whether AWS rotates the secret, for this object or not.
    pub fn rotated_by_aws(&self) -> bool {
        self.rotation.enabled || self.rotation.claimed || self.rotation.foreign
    }
}

/// Who manages an AWS secret that no object can own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manager {
    /// An AWS service.
    Service,
    /// The primary secret in this region, of which this one is a replica.
    Primary(String),
}

/// The Secret of the target's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MirrorState {
    /// None is declared.
    Unwanted,
    /// None is declared, and one is ours: it was declared before.
    Surplus,
    /// It does not exist.
    Absent,
    /// It is not ours.
    Foreign,
    /// It is not ours, and the object may adopt it.
    Adoptable,
    /// It is ours.
    Ours {
        /// The version that it holds.
        version: Option<VersionId>,
        /// It has the declared layout, and only the operator wrote its data.
        intact: bool,
        /// When the operator last wrote it.
        written: Option<Timestamp>,
        /// `LastChangedDate` of the AWS secret at that time.
        changed: Option<Timestamp>,
        /// Its resourceVersion.
        revision: Option<String>,
    },
}

/// What the Secret holds beside the version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extras {
    /// The version before, whose values it holds too.
    pub previous: Option<VersionId>,
    /// The version before, whose values it should hold.
    pub wanted_previous: Option<VersionId>,
    /// When the certificate in it expires.
    pub not_after: Option<Timestamp>,
}

pub(super) fn extras(input: Input<'_>, secret: Option<&AwsSecret>) -> Extras {
    let found = input.facts.mirror.as_ref();
    Extras {
        previous: found.and_then(|found| found.previous.clone()),
        wanted_previous: secret.and_then(|secret| wanted_previous(input, secret)),
        not_after: found.and_then(|found| found.not_after),
    }
}

/// The version before the current one, as long as it may be used.
fn wanted_previous(input: Input<'_>, secret: &AwsSecret) -> Option<VersionId> {
    let Input { want, status, .. } = input;
    want.target.as_ref().filter(|target| target.with_previous && target.pin == Pin::Current)?;
    let current = secret.labelled(AWSCURRENT)?;
    let previous = secret.labelled(AWSPREVIOUS).filter(|previous| *previous != current)?;
    if want.is_emergency(status.requests.rotate.as_deref(), current) {
        return None;
    }
    let retires = want.rollout.is_some() && want.value.is_some() && want.strategy.as_ref().is_some_and(Strategy::overlaps);
    (!retires || secret.labelled(RETIRING_LABEL) == Some(previous)).then(|| previous.clone())
}

pub(super) fn mirror(input: Input<'_>, extras: &Extras) -> MirrorState {
    let Some(target) = &input.want.target else {
        let ours = input.facts.mirror.as_ref().is_some_and(|found| found.ours);
        return if ours { MirrorState::Surplus } else { MirrorState::Unwanted };
    };
    let Some(found) = &input.facts.mirror else { return MirrorState::Absent };
    if !found.ours {
        return if target.adopts && found.adoptable { MirrorState::Adoptable } else { MirrorState::Foreign };
    }
    // A write of ours changed nothing at this revision, although another manager claims fields.
    let confirmed = found.revision.is_some() && input.status.mirror.confirmed_revision == found.revision;
    MirrorState::Ours {
        version: found.version.clone(),
        intact: (found.intact || confirmed) && extras.previous == extras.wanted_previous,
        written: found.written,
        changed: found.changed,
        revision: found.revision.clone(),
    }
}

pub(super) fn secret(input: Input<'_>, secret: &AwsSecret) -> Result<SecretState, Need> {
    let Input { want, status, now, .. } = input;
    let ownership = super::ownership::ownership(want, &secret.tags, status.arn.as_deref());
    let owned = ownership == Ownership::Ours;
    let readable = !secret.deleted
        && match want.value {
            Some(_) => matches!(ownership, Ownership::Ours | Ownership::Former | Ownership::Adoptable),
            None => ownership.may_be_mirrored(input.facts.access.listed),
        };
    let current = match secret.labelled(AWSCURRENT) {
        Some(version) if readable => Some(super::current::current(input, secret, version)?),
        Some(version) => Some(Current { version: version.clone(), changed: now, schedule_base: now, matches: None }),
        None => None,
    };
    let compared = owned && !secret.deleted;
    let rotation = super::rotation::rotation(want, ownership, secret);
    Ok(SecretState {
        ownership,
        deleted: secret.deleted,
        current,
        pending: super::pending::pending(input, secret, owned, rotation.foreign),
        rotation,
        drift: if compared { drift::settings(input, secret)? } else { drift::metadata(input, secret, &[]) },
        replicas: secret.replicas.clone(),
        manager: manager(secret, &want.region),
        last_changed: secret.last_changed,
        outdated: super::outdated::outdated(input, secret),
        labels: secret.labels.clone(),
        arn: secret.arn.clone(),
    })
}

fn manager(secret: &AwsSecret, region: &str) -> Option<Manager> {
    if secret.owning_service.is_some() {
        return Some(Manager::Service);
    }
    secret.replica_of(region).map(|primary| Manager::Primary(primary.to_owned()))
}
