//! What a process of the operator does: it reads, decides and acts.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rotated_secrets::api::{AWSPREVIOUS, ROLLBACK, ROTATE, RotatedSecret};
use rotated_secrets::compare::{Need, Observation, compare};
use rotated_secrets::desired::{Desired, Removal, SecretPlace};
use rotated_secrets::facts::{Facts, MirrorFacts, Remains, SecretLeft, StagedLeft};
use rotated_secrets::journal::{Effect, Journal};
use rotated_secrets::plan::{Assessment, CleanupNext, Next, plan, plan_cleanup};
use rotated_secrets::status::{self, Attempt, Attempts, Outcome};
use rotated_secrets::step::{Step, StepKind};
use rotated_secrets::version_id::VersionId;

use crate::aws::{ARN, NAME, Secret};
use crate::machine::{HOURS, How, Machine, Missing};
use crate::state::{Read, Reconcile, Shown, Who, World};
use crate::steps::{carry_out, labels_have_moved};

impl Machine {
    /// The object as a process has read it.
    pub(crate) fn object(&self, world: &World, read: Option<&Read>) -> RotatedSecret {
        let (status, asked) = read.map_or((&world.status.value, world.asked), |read| (&read.status, read.asked));
        let mut object = self.declared.clone();
        object.metadata.deletion_timestamp = asked.deletion.map(Time);
        let rotation = (asked.rotation > 0).then(|| (ROTATE.to_owned(), asked.rotation.to_string()));
        let rollback = (asked.rollback > 0).then(|| (ROLLBACK.to_owned(), format!("{}:{AWSPREVIOUS}", asked.rollback)));
        object.metadata.annotations = Some(rotation.into_iter().chain(rollback).collect());
        object.status = Some(status.clone());
        object
    }

    /// What the operator sees, by its own comparison.
    fn observe(
        &self,
        world: &World,
        met: Option<&(VersionId, Timestamp)>,
        object: &RotatedSecret,
        want: &Desired,
        journal: &Journal,
        aws: &Secret,
    ) -> Observation {
        let mut status = status::read(object, world.now);
        if let Some(announced) = &mut status.staging.announced {
            let met = met.filter(|(version, _)| *version == announced.version).map_or(world.now, |(_, met)| *met);
            status.staging.met = Some(met).filter(|_| self.missing != Some(Missing::Hold));
            if self.missing == Some(Missing::From) {
                announced.from = None;
            }
        }
        let mirror = world.mirror.as_ref().map(|mirror| MirrorFacts {
            ours: true,
            version: Some(mirror.version.clone()),
            intact: true,
            written: Some(mirror.written),
            changed: Some(mirror.changed),
            revision: Some(mirror.revision.to_string()),
            ..MirrorFacts::default()
        });
        let mut facts = Facts { finalizer: world.finalizer, secret: Some(aws.described()), mirror, ..Facts::default() };
        loop {
            match compare(want, &facts, &status, journal, world.now) {
                Ok(seen) => return seen,
                Err(Need::Version(version)) => {
                    let created = world.aws.versions[&version].created;
                    facts.reads.created.insert(version.clone(), created);
                    facts.reads.matches.insert(version, true);
                }
                Err(Need::Policy) => unreachable!("no policy is declared"),
            }
        }
    }

    pub(crate) fn read(&self, world: &mut World, who: Who, old: bool) {
        let now = world.now;
        let begun = world.process(who).reconcile.take().map(|reconcile| reconcile.value);
        let object = self.object(world, begun.as_ref().and_then(|begun| begun.before.as_ref()));
        if object.metadata.deletion_timestamp.is_some() {
            return self.clean_up(world, who, &object, begun, old);
        }
        let want = Desired::parse(&object, &self.policy).expect("the spec is valid");
        let mut reconcile = begun.unwrap_or_else(|| Reconcile {
            journal: Journal::holding(status::waits(&object, now).steps),
            next: None,
            old: false,
            mirror: None,
            before: None,
            left: None,
        });
        reconcile.old |= old;
        reconcile.mirror = world.mirror.as_ref().map(|mirror| mirror.revision);
        let met = &mut world.process(who).met;
        if let Some(announced) = object.status.as_ref().and_then(|status| status.staged.as_ref())
            && met.as_ref().is_none_or(|(version, _)| version.as_str() != announced.version_id)
        {
            *met = Some((VersionId::from(announced.version_id.as_str()), now));
        }
        let met = met.clone();
        let aws = if old { &world.earlier } else { &world.aws };
        let seen = self.observe(world, met.as_ref(), &object, &want, &reconcile.journal, aws);
        match plan(&want, &seen, now) {
            Next::Do(step) => {
                reconcile.next = Some(step);
                world.process(who).reconcile = Some(Shown::new(reconcile));
            }
            Next::Rest(assessment) => {
                Self::report(world, who, &object, &want, seen, assessment, &reconcile);
                // It is not the leader, so it begins no other reconcile.
                world.late = world.late.take().filter(|_| who == Who::Leader);
            }
        }
    }

    fn report(
        world: &mut World,
        who: Who,
        object: &RotatedSecret,
        want: &Desired,
        seen: Observation,
        assessment: Assessment,
        reconcile: &Reconcile,
    ) {
        let journal = &reconcile.journal;
        let attempts = Attempts {
            failed: journal.failed().map(|(key, failed)| (Attempt::Step(key), failed.clone())).collect(),
            held: journal.held().cloned().map(Attempt::Step).collect(),
            ..Attempts::default()
        };
        let attempts = attempts.of_staged(seen.secret.as_ref().and_then(|secret| secret.pending.in_progress()));
        let idle = journal.entries().is_empty() && !reconcile.old && assessment.wake().is_none_or(|wake| wake > world.now + HOURS);
        let outcome = Outcome::Assessed { seen: Box::new(seen), assessment, secret_exists: None };
        let after = status::write(object, Some(want), &outcome, &attempts, world.now);
        // A process that is late says nothing of the leader.
        world.at_rest = if who == Who::Leader { idle && after == world.status.value } else { world.at_rest };
        // The API server refuses to write over a newer object.
        if reconcile.before.is_none() && after != world.status.value {
            if who == Who::Late {
                world.disturb();
            }
            world.object_changes();
            world.status = Shown::new(after);
        }
    }

    pub(crate) fn act(&self, world: &mut World, who: Who, how: How) {
        let Some(mut reconcile) = world.process(who).reconcile.take().map(|reconcile| reconcile.value) else { return };
        let Some(step) = reconcile.next.take() else { return };
        if who == Who::Late {
            world.disturb();
        }
        if let (How::Fails, Step::Put { version, .. }) = (how, &step) {
            world.broken = Some(version.clone());
        }
        // A conflict ends the reconcile, and the next one reads again.
        let looks = how != How::OnOld && self.missing != Some(Missing::Shown);
        let on_old = how == How::OnOld && matches!(step, Step::Apply { .. }) && labels_have_moved(world, &step);
        if looks && labels_have_moved(world, &step) {
            world.late = world.late.take().filter(|_| who == Who::Leader);
        } else if let Some(effect) = carry_out(world, who, (self.users, self.missing), &step, reconcile.mirror) {
            world.applied_late |= on_old && matches!(effect, Effect::Applied { .. });
            reconcile.journal.record(step, effect);
            world.process(who).reconcile = Some(Shown::new(reconcile));
        } else {
            world.late = world.late.take().filter(|_| who == Who::Leader);
        }
    }

    /// The same for an object that is being deleted.
    fn clean_up(&self, world: &mut World, who: Who, object: &RotatedSecret, begun: Option<Reconcile>, old: bool) {
        let removal = Removal::of(object, &self.policy);
        let aws = if old { &world.earlier } else { &world.aws };
        let place = SecretPlace { region: "eu-central-1".to_owned(), name: NAME.to_owned(), own_name: true };
        let left = SecretLeft::Ours {
            arn: ARN.to_owned(),
            place,
            deleted: false,
            replicas: std::collections::BTreeSet::new(),
            staged: StagedLeft::of(&aws.described(), removal.staged.as_ref()),
        };
        // A reconcile looks for the secret once.
        let mut reconcile = begun.unwrap_or_else(|| Reconcile {
            journal: Journal::default(),
            next: None,
            old,
            mirror: None,
            before: None,
            left: Some(left.clone()),
        });
        let remains = Remains { mirror: false, secret: reconcile.left.clone().or(Some(left)) };
        match plan_cleanup(&removal, &remains, &reconcile.journal, world.now) {
            CleanupNext::Do(step) => {
                reconcile.next = Some(step);
                world.process(who).reconcile = Some(Shown::new(reconcile));
            }
            CleanupNext::Release { .. } => {
                let left = reconcile.journal.failed().any(|(key, _)| key.kind() == StepKind::Abandon);
                world.finalizer = false;
                world.gone = Some(left);
            }
            CleanupNext::Wait { .. } | CleanupNext::Look => world.late = world.late.take().filter(|_| who == Who::Leader),
        }
    }
}
