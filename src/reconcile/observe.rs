//! Reads, no plaintext: what AWS and Kubernetes show of one object, as facts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt;

use super::{Work, settings};
use crate::api::{Cause, FINALIZER, RotatedSecretStatus, TAG_ROTATION};
use crate::aws::{Address, Description, RotationDescription, Selector};
use crate::backoff::Class;
use crate::kubernetes::mirror::{self, MirrorMetadata};
use crate::desired::lambda_rotation::{self, LambdaRotation};
use crate::desired::{Desired, Pin, Rotation, SecretArn};
use crate::failure::Failure;
use crate::version_id::VersionId;
use crate::plan::{LambdaRotationFacts, Current, Mirror, Observed, Ownership, Place, Remote, Settings, settled};
use crate::status;
use crate::value::DeclaredValue;

/// The facts, and what acting on them needs.
pub(super) struct Sight {
    pub(super) seen: Observed,
    pub(super) mirror: Option<MirrorMetadata>,
}

impl Work<'_> {
    pub(super) async fn observe(&mut self, want: &Desired, deleting: bool) -> Result<Sight, Failure> {
        let now = (self.ctx.clock)();
        let permit = self.permit(want).await?;
        let mut seen = Observed {
            name_allowed: permit.name_allowed,
            refused: permit.refused,
            function_allowed: permit.function_allowed,
            finalizer: self.object.finalizers().iter().any(|name| name == FINALIZER),
            remote: None,
            mirror: Mirror::Unwanted,
            reported: status::recall(&self.object, want, now),
            spent: self.spent.clone(),
            mirror_revision: None,
            mirror_written: self.mirror_written,
            wrote: self.wrote.clone(),
            rolled_back: self.rolled_back.clone(),
            missing: self.missing.clone(),
            place: self.place.clone(),
            unfit: self.unfit.clone(),
            tried: self.tried.clone(),
        };
        seen.spent.extend(self.unseen());
        // A name that is not allowed is not even looked at: whether it exists is nobody's business. Suspended: nothing to decide.
        let barred = !seen.name_allowed || seen.refused.is_some();
        if want.suspended || (barred && !deleting) {
            return Ok(Sight { seen, mirror: None });
        }
        // An object that goes still lets go of its Secret.
        let located = self.located.take();
        let mut description = match located {
            Some(located) => Some(located),
            None if barred => None,
            None => match self.describe(want).await {
                // Nothing is done there anyway, and the place is what a person must mend.
                Err(failure) if failure.class == Class::Denied && !deleting && matches!(self.place, Place::Unproved(_)) => None,
                described => described?,
            },
        };
        if !barred {
            self.in_another_account(want, description.as_ref());
            seen.place = self.place.clone();
        }
        if let Some(description) = &mut description {
            self.overlay(description);
        }
        let arn = description.as_ref().map(|description| description.arn.clone());
        let mirror = match &want.target {
            Some(target) => mirror::look(&self.ctx.client, &self.object, target, arn.as_deref()).await?,
            None => None,
        };
        seen.mirror = match (&want.target, &mirror) {
            (None, _) => Mirror::Unwanted,
            (Some(_), None) => Mirror::Absent,
            (Some(target), Some(found)) if !found.ours && target.adopts && found.adoptable => Mirror::Adoptable,
            (Some(_), Some(found)) if !found.ours => Mirror::Foreign,
            (Some(_), Some(found)) => Mirror::Ours {
                version: found.version.clone(),
                intact: found.intact || self.confirmed(found.revision()),
                written: found.written,
            },
        };
        seen.mirror_revision = mirror.as_ref().and_then(MirrorMetadata::revision).map(str::to_owned);
        if let Some(description) = description {
            seen.remote = Some(self.remote(want, &seen, description, now).await?);
        }
        Ok(Sight { seen, mirror })
    }

    /// Whether a write of ours changed nothing at this revision of the Secret.
    fn confirmed(&self, revision: Option<&str>) -> bool {
        let mirror = self.object.status.as_ref().and_then(|status| status.mirror.as_ref());
        revision.is_some() && mirror.and_then(|mirror| mirror.confirmed_resource_version.as_deref()) == revision
    }

    /// The ARN of the secret that was ours when last looked.
    pub(super) fn known_arn(&self) -> Option<String> {
        self.object.status.as_ref().and_then(|status| status.aws.as_ref()).and_then(|aws| aws.arn.clone())
    }

    /// By full ARN once it is known; by name before, and when the ARN is gone. Whoever can write a status can write any ARN into it, so the
    /// secret must have the name that was allowed.
    pub(super) async fn describe(&self, want: &Desired) -> Result<Option<Description>, Failure> {
        // An ARN of another region is none that this region knows; one of another account is not for whoever acts.
        let acting = self.permit.as_ref().and_then(|permit| permit.account.as_ref());
        let here = |arn: &String| {
            SecretArn::parse(arn).is_none_or(|arn| arn.region == want.region && acting.is_none_or(|account| *account == arn.account))
        };
        let name = Address { region: &want.region, id: &want.secret_name };
        if let Some(arn) = self.known_arn().filter(here) {
            match self.aws()?.describe(Address { region: &want.region, id: &arn }).await {
                Ok(Some(found)) if found.name == want.secret_name => return Ok(Some(found)),
                Ok(_) => {}
                // AWS denies what is in another account. The name tells whether it is one; asked once in a row of failures.
                Err(failure) if failure.class == Class::Denied && !self.failed_before() => {
                    let account = |arn: &str| SecretArn::parse(arn).map(|arn| arn.account);
                    let found = self.aws()?.describe(name).await?.filter(|found| account(&found.arn) != account(&arn));
                    return found.map_or(Err(failure), |found| Ok(Some(found)));
                }
                Err(failure) => return Err(failure),
            }
        }
        self.aws()?.describe(name).await
    }

    fn failed_before(&self) -> bool {
        self.object.status.as_ref().is_some_and(|status| status.failures.is_some())
    }

    /// What a turn before this one wrote and AWS did not show. A version can only be unseen of the secret that was looked at then.
    fn unseen(&self) -> Option<(VersionId, Timestamp)> {
        let unseen = self.object.status.as_ref()?.aws.as_ref()?.unseen.as_ref()?;
        Some((VersionId::from(unseen.version_id.clone()), unseen.time.0))
    }

    /// Labels that this turn moved are where it moved them, also while a look is older.
    fn overlay(&self, description: &mut Description) {
        for (label, version) in &self.labelled {
            match version {
                Some(version) => description.labels.insert(label.clone(), version.clone()),
                None => description.labels.remove(label),
            };
        }
    }

    async fn remote(&mut self, want: &Desired, seen: &Observed, description: Description, now: Timestamp) -> Result<Remote, Failure> {
        let known = self.known_arn();
        let ownership = settings::ownership(want, &description.tags, known.as_deref());
        let label = |name: &str| description.labels.get(name).cloned();
        let readable = !description.deleted
            && (want.value.is_none() || matches!(ownership, Ownership::Ours | Ownership::Former | Ownership::Adoptable));
        let current = match label("AWSCURRENT") {
            Some(version) if readable => Some(self.current(want, seen, &description, version, now).await?),
            Some(version) => Some(Current { version, changed: now, anchor: now, fits: None }),
            None => None,
        };
        let settings = if ownership == Ownership::Ours && !description.deleted && self.object.metadata.deletion_timestamp.is_none() {
            self.settings(want, &description, now).await?
        } else {
            Settings {
                replicas: description.replicas.clone(),
                replica_of: description.primary_region.clone().filter(|primary| *primary != want.region),
                ..Settings::default()
            }
        };
        Ok(Remote {
            ownership,
            deleted: description.deleted,
            foreign_rotation: description.rotation.enabled && !rotation_is_ours(want, ownership, &description)
                || description.owning_service.is_some(),
            rotation: rotation(want, ownership, &description),
            current,
            previous: label("AWSPREVIOUS"),
            pending: label("AWSPENDING"),
            missing_tags: missing(&want.tags, &description.tags),
            description_differs: want
                .description
                .as_ref()
                .is_some_and(|wanted| wanted != description.description.as_deref().unwrap_or_default()),
            settings,
            service_owned: description.owning_service.is_some(),
            replaced: known.filter(|known| *known != description.arn),
            last_changed: description.last_changed,
            labels: description.labels,
            arn: description.arn,
        })
    }

    /// The current version and when the value became it. The status is asked first: it is a cache of facts that never change.
    async fn current(
        &mut self,
        want: &Desired,
        seen: &Observed,
        description: &Description,
        version: VersionId,
        now: Timestamp,
    ) -> Result<Current, Failure> {
        // The first version of a secret that was lost and made anew has the id of the one before: another ARN, another secret.
        let same = |status: &&RotatedSecretStatus| status.aws.as_ref().and_then(|aws| aws.arn.as_ref()) == Some(&description.arn);
        let head = self.object.status.as_ref().filter(same).and_then(|status| status.history.first()).cloned();
        let head = head.as_ref();
        let reported = head.filter(|head| head.version_id == version.as_str()).map(|head| head.time.0);
        let unsure = want.value.is_some() && seen.reported.declared.is_none();
        let (changed, fits) = match reported {
            Some(time) if !unsure => (time, None),
            // The mirror's read-back, which comes next, tells when it was made.
            _ if !unsure && self.to_be_read(want, seen, &version) => (now, None),
            _ => {
                let known = self.made.get(&version).copied().filter(|_| !unsure);
                let (created, fits) = if let Some(created) = known {
                    (created, None)
                } else {
                    let at = Address { region: &want.region, id: &description.arn };
                    let read = self.read(at, Selector::Version(&version)).await?;
                    (read.created, want.value.as_ref().map(|declared| declared.fits(&read.value)))
                };
                let made = whole_seconds(created);
                let moved = match (reported, head) {
                    (Some(time), _) => time,
                    // An older version became current again: that happened when the secret was last touched.
                    (None, Some(head)) if made <= head.time.0 => description.last_changed.map_or(made, whole_seconds).max(made),
                    _ => made,
                };
                (moved, fits)
            }
        };
        // A version of ours that was made later and carries no label any more: this one became current again after it.
        let passed = seen
            .spent
            .iter()
            .filter(|(spent, made)| {
                **spent != version && description.labels.values().all(|label| label != *spent) && now >= settled(**made)
            })
            .map(|(_, made)| whole_seconds(*made))
            .max();
        let changed = passed.map_or(changed, |passed| passed.max(changed));
        let anchor = self.anchor(want, description, &version, changed, reported.is_some()).await?;
        Ok(Current { version, changed, anchor, fits })
    }

    /// This turn wrote the version, and the mirror is to have it: whatever the plan decides, it is not by its date.
    fn to_be_read(&self, want: &Desired, seen: &Observed, version: &VersionId) -> bool {
        let wrote = self.wrote.as_ref().is_some_and(|(wrote, _)| wrote == version) && !self.made.contains_key(version);
        let behind = match &seen.mirror {
            Mirror::Absent | Mirror::Adoptable => true,
            Mirror::Ours { version: held, .. } => held.as_ref() != Some(version),
            Mirror::Unwanted | Mirror::Foreign => false,
        };
        wrote && behind && want.target.as_ref().is_some_and(|target| target.pin == Pin::Current)
    }

    /// What the schedule counts from: the change to this version, unless that only changed declared fields; then what it counted from before.
    async fn anchor(
        &mut self,
        want: &Desired,
        description: &Description,
        version: &VersionId,
        changed: Timestamp,
        reported: bool,
    ) -> Result<Timestamp, Failure> {
        let status = self.object.status.as_ref();
        let before = status.and_then(|status| status.last_rotation_time.as_ref()).map(|time| time.0);
        let newest = status.and_then(|status| status.history.first());
        let previous = description.labels.get("AWSPREVIOUS");
        let redeclared = if reported {
            newest.is_some_and(|newest| newest.cause == Cause::SpecChanged)
        } else {
            let hash = want.value.as_ref().map(DeclaredValue::hash).unwrap_or_default();
            previous.is_some_and(|previous| want.ids.declaration(previous, &hash) == *version)
        };
        match (redeclared, before, previous) {
            (true, Some(before), _) => Ok(before),
            // The status does not know: the version before has a date of its own.
            (true, None, Some(previous)) => {
                let at = Address { region: &want.region, id: &description.arn };
                let created = match self.made.get(previous) {
                    Some(created) => *created,
                    None => self.read(at, Selector::Version(previous)).await?.created,
                };
                Ok(whole_seconds(created))
            }
            // The version was pending for a while before AWS made it current.
            _ if matches!(want.rotation, Rotation::Lambda(_)) => Ok(description.rotation.last.map_or(changed, whole_seconds).max(changed)),
            _ => Ok(changed),
        }
    }
}

/// Whether rotation by AWS was turned on by us, or is what this object declares.
fn rotation_is_ours(want: &Desired, ownership: Ownership, description: &Description) -> bool {
    let mark = description.tags.get(TAG_ROTATION);
    let declared = matches!(&want.rotation, Rotation::Lambda(lambda_rotation) if description.rotation.function.as_ref() == Some(&lambda_rotation.function));
    match mark {
        // An old mark on a secret that is ours is ours.
        Some(mark) => *mark == lambda_rotation::mark(want) || ownership == Ownership::Ours,
        None => declared,
    }
}

fn rotation(want: &Desired, ownership: Ownership, description: &Description) -> LambdaRotationFacts {
    let mark = description.tags.get(TAG_ROTATION);
    let marked = mark.is_some_and(|mark| *mark == lambda_rotation::mark(want));
    let RotationDescription { enabled, function, rules, last, next } = &description.rotation;
    let as_declared = match &want.rotation {
        Rotation::Lambda(LambdaRotation { function: declared, terms: Ok(terms), .. }) => {
            function.as_ref() == Some(declared) && terms.rules.are_shown_as(rules)
        }
        _ => false,
    };
    LambdaRotationFacts {
        enabled: *enabled,
        marked,
        contested: mark.is_some() && !marked && ownership != Ownership::Ours,
        as_declared,
        next: next.map(whole_seconds),
        last: last.map(whole_seconds),
    }
}

fn missing(wanted: &BTreeMap<String, String>, found: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    wanted.iter().filter(|(key, value)| found.get(*key) != Some(value)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
