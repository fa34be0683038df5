//! Reads, no plaintext: what AWS and Kubernetes show of one object, as facts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt;

use super::Work;
use crate::api::{Cause, FINALIZER, RotatedSecretStatus, TAG_CLUSTER, TAG_NAME, TAG_NAMESPACE, TAG_UID};
use crate::aws::{Address, Description, Selector};
use crate::cluster::mirror::{self, MirrorMetadata};
use crate::desired::Desired;
use crate::failure::Failure;
use crate::ids::VersionId;
use crate::plan::{Current, Mirror, Observed, Ownership, Remote, SETTLING};
use crate::report;
use crate::value::Declared;

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
            finalizer: self.object.finalizers().iter().any(|name| name == FINALIZER),
            remote: None,
            mirror: Mirror::Unwanted,
            reported: report::recall(&self.object, want, now),
            spent: self.spent.clone(),
            mirror_revision: None,
            mirror_written: self.mirror_written,
            wrote: self.wrote.clone(),
        };
        // A name that is not allowed is not even looked at: whether it exists is nobody's business. Suspended: nothing to decide.
        let barred = !seen.name_allowed || seen.refused.is_some();
        if want.suspended || (barred && !deleting) {
            return Ok(Sight { seen, mirror: None });
        }
        // An object that goes still lets go of its Secret.
        let description = if barred { None } else { self.describe(want).await? };
        let arn = description.as_ref().map(|description| description.arn.clone());
        let mirror = match &want.target {
            Some(target) => mirror::look(&self.ctx.client, &self.object, target, arn.as_deref()).await?,
            None => None,
        };
        seen.mirror = match (&want.target, &mirror) {
            (None, _) => Mirror::Unwanted,
            (Some(_), None) => Mirror::Absent,
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

    /// By full ARN once it is known; by name before, and when the ARN is gone.
    async fn describe(&self, want: &Desired) -> Result<Option<Description>, Failure> {
        let known = self.object.status.as_ref().and_then(|status| status.aws.as_ref()).and_then(|aws| aws.arn.as_deref());
        if let Some(arn) = known
            && let Some(found) = self.aws()?.describe(Address { region: &want.region, id: arn }).await?
        {
            return Ok(Some(found));
        }
        self.aws()?.describe(Address { region: &want.region, id: &want.secret_name }).await
    }

    async fn remote(&self, want: &Desired, seen: &Observed, description: Description, now: Timestamp) -> Result<Remote, Failure> {
        let status = self.object.status.as_ref();
        let ownership = ownership(want, &description.tags);
        let label = |name: &str| description.labels.get(name).cloned();
        let readable = !description.deleted && (want.value.is_none() || ownership == Ownership::Ours);
        let current = match label("AWSCURRENT") {
            Some(version) if readable => Some(self.current(want, seen, &description, version, now).await?),
            Some(version) => Some(Current { version, changed: now, anchor: now, fits: None }),
            None => None,
        };
        let declared_anew = status.and_then(|status| status.observed_generation) != self.object.metadata.generation
            || status.is_some_and(|status| status.conditions.iter().any(|c| c.type_ == "Provisioned" && c.status == "False"));
        Ok(Remote {
            ownership,
            deleted: description.deleted,
            driven_by_aws: description.rotation_enabled || description.owning_service.is_some(),
            current,
            previous: label("AWSPREVIOUS"),
            pending: label("AWSPENDING"),
            missing_tags: missing(&want.tags, &description.tags),
            description_differs: want
                .description
                .as_ref()
                .is_some_and(|wanted| wanted != description.description.as_deref().unwrap_or_default()),
            key_differs: declared_anew
                && want.kms_key_id.as_ref().is_some_and(|wanted| !same_key(wanted, description.kms_key_id.as_deref())),
            last_changed: description.last_changed,
            arn: description.arn,
        })
    }

    /// The current version and when the value became it. The status is asked first: it is a cache of facts that never change.
    async fn current(
        &self,
        want: &Desired,
        seen: &Observed,
        description: &Description,
        version: VersionId,
        now: Timestamp,
    ) -> Result<Current, Failure> {
        // The first version of a secret that was lost and made anew has the id of the one before: another ARN, another secret.
        let same = |status: &&RotatedSecretStatus| status.aws.as_ref().and_then(|aws| aws.arn.as_ref()) == Some(&description.arn);
        let head = self.object.status.as_ref().filter(same).and_then(|status| status.history.first());
        let reported = head.filter(|head| head.version_id == version.as_str()).map(|head| head.time.0);
        let unsure = want.value.is_some() && seen.reported.declared.is_none();
        let (changed, fits) = match reported {
            Some(time) if !unsure => (time, None),
            _ => {
                let at = Address { region: &want.region, id: &description.arn };
                let read = self.aws()?.read(at, Selector::Version(&version)).await?;
                let fits = want.value.as_ref().map(|declared| declared.fits(&read.value));
                let made = whole_seconds(read.created);
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
        let passed = self
            .spent
            .iter()
            .filter(|(spent, made)| {
                **spent != version && description.labels.values().all(|label| label != *spent) && now >= **made + SETTLING
            })
            .map(|(_, made)| whole_seconds(*made))
            .max();
        let changed = passed.map_or(changed, |passed| passed.max(changed));
        let anchor = self.anchor(want, description, &version, changed, reported.is_some()).await?;
        Ok(Current { version, changed, anchor, fits })
    }

    /// What the schedule counts from: the change to this version, unless that only changed declared fields; then what it counted from before.
    async fn anchor(
        &self,
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
            let hash = want.value.as_ref().map(Declared::hash).unwrap_or_default();
            previous.is_some_and(|previous| want.tokens.declaration(previous, &hash) == *version)
        };
        match (redeclared, before, previous) {
            (true, Some(before), _) => Ok(before),
            // The status does not know: the version before has a date of its own.
            (true, None, Some(previous)) => {
                let at = Address { region: &want.region, id: &description.arn };
                Ok(whole_seconds(self.aws()?.read(at, Selector::Version(previous)).await?.created))
            }
            _ => Ok(changed),
        }
    }
}

fn ownership(want: &Desired, tags: &BTreeMap<String, String>) -> Ownership {
    let ours = [TAG_CLUSTER, TAG_NAMESPACE, TAG_NAME, TAG_UID];
    if ours.iter().all(|key| tags.get(*key).is_some() && tags.get(*key) == want.tags.get(*key)) {
        Ownership::Ours
    } else if ours.iter().any(|key| tags.contains_key(*key)) {
        Ownership::Another
    } else {
        Ownership::Nobody
    }
}

fn missing(wanted: &BTreeMap<String, String>, found: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    wanted.iter().filter(|(key, value)| found.get(*key) != Some(value)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Whether two ways of writing a key mean the same one: AWS may answer with an ARN where an id or an alias was given.
fn same_key(wanted: &str, found: Option<&str>) -> bool {
    found.is_some_and(|found| found == wanted || found.ends_with(&format!("/{wanted}")) || found.ends_with(&format!(":{wanted}")))
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
