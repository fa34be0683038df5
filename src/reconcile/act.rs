//! One step -> one effect. Except for the adapters, plaintext exists only here, and never longer than its step.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::reconciler::Reconciler;
use super::shape::restorable;
use crate::api::condition::Reason;
use crate::api::{AWSCURRENT, AWSPENDING, Cause, TAG_ROTATION};
use crate::aws::{Address, Moved, NewSecret, Rotate, Selector, Written};
use crate::backoff::Class;
use crate::compare::Observation;
use crate::desired::lambda_rotation::Rules;
use crate::desired::{Desired, LambdaRotation, Pin, Rotation, Target};
use crate::failure::Failure;
use crate::journal::{CONSISTENCY_WINDOW, Effect, LONGEST_RECONCILE, Unfit};
use crate::kubernetes::{initial, mirror, object};
use crate::plaintext::Plaintext;
use crate::plan;
use crate::step::{Source, Stage, Step};
use crate::value::{ComposeError, Data, DeclaredValue, Former, Layout, Payload, certificate};
use crate::version_id::VersionId;

/// A new version, as [`Step::Put`] has it.
pub(super) struct NewVersion<'a> {
    pub(super) version: &'a VersionId,
    source: &'a Source,
    pub(super) predecessor: Option<&'a VersionId>,
    cause: Cause,
    stage: Stage,
    label: Option<&'a str>,
}

impl Reconciler<'_> {
    /// Carries out one step.
    pub(super) async fn act(&mut self, want: &Desired, seen: &Observation, step: &Step) -> Result<Effect, Failure> {
        if self.began.elapsed() >= LONGEST_RECONCILE {
            // The process was stopped, and another one may have gone on. The controller ends this reconcile.
            std::future::pending::<()>().await;
        }
        let arn = seen.secret.as_ref().map(|secret| secret.arn.as_str());
        let at = Address { region: &want.region, id: arn.unwrap_or(&want.secret_name) };
        match step {
            Step::AddFinalizer => self.object = object::set_finalizer(&self.ctx.client, &self.object, true).await?,
            Step::RemoveFinalizer => self.object = object::set_finalizer(&self.ctx.client, &self.object, false).await?,
            Step::RecordPlace => self.record_place(want).await?,
            Step::Create { version } => self.create(want, seen, version).await?,
            Step::Put { version, source, predecessor, cause, stage, label } => {
                let (predecessor, label) = (predecessor.as_ref(), label.as_deref());
                let new = NewVersion { version, source, predecessor, cause: *cause, stage: *stage, label };
                return self.put(want, seen, at, new).await;
            }
            Step::Apply { version, from } => return self.apply(want, seen, at, version, from).await,
            Step::Verify { .. } if !self.weaknesses.verifies() => {}
            Step::Verify { version } => return self.verify(want, at, version).await,
            Step::FindWorkloads => self.find_workloads(want).await?,
            Step::Restart { version, workload } => return self.restart(want, workload, version).await,
            // A large future, of a rare step.
            Step::Retire { version, current } => return Box::pin(self.retire(want, at, version, current)).await,
            Step::Check { version } => return self.check(want, at, version).await,
            Step::Abandon { version, .. } if !self.weaknesses.undoes() => {
                return self.unstage(at, version).await;
            }
            Step::Abandon { version, current } => return self.abandon(want, seen, at, version, current).await,
            Step::Promote { version, from } => self.aws()?.move_current(at, version, from).await?,
            Step::RestoreCurrent { to, from } => self.aws()?.move_current(at, to, from).await?,
            Step::Settle { version } => return self.move_label(at, AWSPENDING, Some(version), None).await,
            Step::MoveLabel { label, from, to } => return self.move_label(at, label, from.as_ref(), to.as_ref()).await,
            Step::CreateMirror { version } | Step::AdoptMirror { version } => {
                // No version in the Secret tells whether this read is old: the second read has to agree, except on what this
                // reconcile wrote.
                let current = seen.secret.as_ref().and_then(|secret| secret.current.as_ref());
                let confirm = current.is_some_and(|current| current.version == *version) && !self.journal.used().contains_key(version);
                let follows = want.target.as_ref().is_some_and(|target| target.pin == Pin::Current);
                return self.write_mirror(want, seen, at, version, confirm && follows).await;
            }
            Step::ReplaceMirror { version, confirm } => return self.write_mirror(want, seen, at, version, *confirm).await,
            Step::ReleaseMirror => {
                if let Some(found) = &self.mirror {
                    mirror::release(&self.ctx.client, &self.object, &want.mirror_name, found).await?;
                }
            }
            Step::ConfigureRotation { .. } | Step::RotateNow { .. } => return self.rotate(want, at, step).await,
            Step::Restore => {
                // The user who deleted the object may have scheduled the deletion, and the cache may be older than that.
                object::alive(&self.ctx.client, &self.object).await?;
                self.aws()?.restore(at).await?;
            }
            _ => self.set(want, at, step).await?,
        }
        Ok(self.applied())
    }

    pub(super) fn applied(&self) -> Effect {
        Effect::Applied { at: (self.ctx.clock)() }
    }

    /// Steps that change settings of the AWS secret.
    async fn set(&self, want: &Desired, at: Address<'_>, step: &Step) -> Result<(), Failure> {
        let aws = self.aws()?;
        match step {
            Step::SetDescription { description } => aws.set_description(at, description).await,
            Step::SetKey { key } => aws.set_key(at, key).await,
            Step::Tag { tags } | Step::Adopt { tags } => aws.tag(at, tags).await,
            Step::Untag { keys } => aws.untag(at, keys).await,
            Step::PutPolicy => match want.settings.policy.value() {
                Some(policy) => aws.put_policy(at, &policy.text, policy.block_public).await,
                None => Ok(()),
            },
            Step::DeletePolicy => aws.delete_policy(at).await,
            Step::Replicate { replicas } => aws.replicate(at, replicas).await,
            Step::StopReplicating { regions } => aws.stop_replicating(at, regions).await.map_err(replicas_gone),
            Step::SetReplicaKey { region, key } => {
                // The ARN of a replica is the primary's except for the region.
                let arn = at.id.replacen(&format!(":{}:", want.region), &format!(":{region}:"), 1);
                aws.set_key(Address { region, id: &arn }, key).await
            }
            Step::ClaimRotation => aws.tag(at, &BTreeMap::from([(TAG_ROTATION.to_owned(), want.rotation_claim())])).await,
            Step::ReleaseRotation => aws.untag(at, &BTreeSet::from([TAG_ROTATION.to_owned()])).await,
            Step::CancelRotation => aws.cancel_rotation(at).await,
            _ => Err(Failure::bug("a step that is no setting")),
        }
    }

    async fn create(&self, want: &Desired, seen: &Observation, version: &VersionId) -> Result<(), Failure> {
        let value = self.first_value(want, seen).await?;
        let new = NewSecret {
            name: &want.secret_name,
            version,
            value: &value,
            description: want.description.as_deref(),
            kms_key_id: want.settings.key.value().map(String::as_str),
            tags: &want.tags,
        };
        // Created now or before: either way AWS has it, also while it does not show it.
        self.aws()?.create(&want.region, new).await.map(drop)
    }

    /// Writes a version. If AWS already has it, also with another value, that value counts: only what is read back is ever
    /// used. AWS accepts the same value under the same id again and moves no label then; the creation date tells.
    async fn put(&mut self, want: &Desired, seen: &Observation, at: Address<'_>, new: NewVersion<'_>) -> Result<Effect, Failure> {
        let now = (self.ctx.clock)();
        let value = match new.source {
            Source::Copy { of } => match self.find(at, of).await? {
                Some(older) => match restorable(want, seen, of, &older.value) {
                    Ok(()) => older.value,
                    Err(unfit) => return Ok(self.unfit(of, unfit)),
                },
                None => return Ok(Effect::Absent),
            },
            Source::Compose => match self.compose_next(want, seen, at, &new).await? {
                Ok(value) => Payload::Text(value),
                Err(unfit) => return Ok(self.unfit(new.version, unfit)),
            },
        };
        if new.stage == Stage::Pending {
            self.admit(want, seen, at, &new, &value).await?;
        }
        let stage = match new.stage {
            Stage::Current => AWSCURRENT,
            Stage::Pending => {
                self.ctx.memory.stages(&self.uid(), new.version, (self.ctx.clock)());
                AWSPENDING
            }
        };
        let written = self.aws()?.put(at, new.version, &value, stage, new.label).await?;
        match (written, new.source) {
            // Generated values differ. Only a change of the declared fields can compose the same value twice.
            (Written::Applied, Source::Compose) if new.cause != Cause::SpecChanged => Ok(Effect::Applied { at: now }),
            (Written::Applied, _) => {
                // AWS has the version, also if it cannot be read now.
                let found = self.find(at, new.version).await.ok().flatten();
                self.value_unread = false;
                let created = found.map_or(now, |read| read.created);
                let replayed = now.duration_since(created) >= CONSISTENCY_WINDOW;
                Ok(if replayed { Effect::Exists { created } } else { Effect::Applied { at: created } })
            }
            (Written::Exists, _) => Ok(Effect::Exists { created: self.read(at, Selector::Version(new.version)).await?.created }),
        }
    }

    async fn compose_next(
        &mut self,
        want: &Desired,
        seen: &Observation,
        at: Address<'_>,
        new: &NewVersion<'_>,
    ) -> Result<Result<Plaintext, Unfit>, Failure> {
        let base = match new.predecessor {
            Some(predecessor) => match self.base(want, seen, at, predecessor, new.cause).await? {
                Ok(base) => Some(base),
                Err(unfit) => return Ok(Err(unfit)),
            },
            None if new.cause == Cause::Created => return Ok(Ok(self.first_value(want, seen).await?)),
            None => None,
        };
        let former = Former { fields: &seen.status.declared.all, fixed: &seen.status.declared.fixed };
        let value = compose(want, base.as_ref(), new.cause, former, (self.ctx.clock)())?;
        self.weaknesses.composed(&value);
        Ok(Ok(value))
    }

    /// That of the Secret which the object names, or a generated one.
    async fn first_value(&self, want: &Desired, seen: &Observation) -> Result<Plaintext, Failure> {
        let now = (self.ctx.clock)();
        let (Some(reference), Some(declared)) = (plan::initial(want, seen), &want.value) else {
            return compose(want, None, Cause::Created, Former::default(), now);
        };
        let given = initial::read(&self.ctx.client, want.object_ref(), reference).await?;
        declared.with_first(given, &mut rand::rng(), now).map_err(|error| match error {
            ComposeError::TooLarge => {
                initial::missing(reference, "has a value under this key that exceeds the limit of AWS of 65,536 bytes")
            }
            error @ ComposeError::NotMade(_) => composing(error),
        })
    }

    fn unfit(&self, version: &VersionId, unfit: Unfit) -> Effect {
        tracing::warn!(reason = %unfit.refusal.reason, version = version.as_str(), "the value is not used");
        self.ctx.metrics.failure(unfit.refusal.reason.as_str());
        Effect::Unfit(unfit)
    }

    /// Has AWS rotate. AWS does not document what it answers for a version that exists, so such a version is not rotated to.
    async fn rotate(&mut self, want: &Desired, at: Address<'_>, step: &Step) -> Result<Effect, Failure> {
        let (to, configure): (Option<&VersionId>, Option<(&str, &Rules)>) = match (step, &want.rotation) {
            (Step::RotateNow { version }, _) => (Some(version), None),
            (Step::ConfigureRotation { version }, Rotation::Lambda(LambdaRotation { function, config: Ok(config), .. })) => {
                (version.as_ref(), Some((function, &config.rules)))
            }
            _ => return Err(Failure::bug("a rotation by AWS that is not declared")),
        };
        if let Some(version) = to
            && let Some(created) = self.aws()?.created_at(at, version).await?
        {
            return Ok(Effect::Exists { created });
        }
        self.aws()?.rotate(at, Rotate { to, configure }).await?;
        Ok(self.applied())
    }

    /// Moves a label of ours. If another client moved it first, or the version no longer exists, the reconcile continues
    /// without the move.
    pub(super) async fn move_label(
        &self,
        at: Address<'_>,
        label: &str,
        from: Option<&VersionId>,
        to: Option<&VersionId>,
    ) -> Result<Effect, Failure> {
        let moved = self.aws()?.move_label(at, label, from, to).await?;
        tracing::debug!(label, from = from.map(VersionId::as_str), to = to.map(VersionId::as_str), ?moved, "label");
        Ok(if moved == Moved::Refused { Effect::Absent } else { self.applied() })
    }

    async fn write_mirror(
        &mut self,
        want: &Desired,
        seen: &Observation,
        at: Address<'_>,
        version: &VersionId,
        confirm: bool,
    ) -> Result<Effect, Failure> {
        let (Some(target), Some(secret)) = (&want.target, &seen.secret) else { return Ok(Effect::Absent) };
        let read = match &target.pin {
            Pin::Version(_) => match self.find(at, version).await? {
                Some(read) => read,
                None => return Ok(Effect::Absent),
            },
            Pin::Current | Pin::Stage(_) if !confirm => self.read(at, Selector::Version(version)).await?,
            pin => {
                let label = if let Pin::Stage(stage) = pin { stage } else { AWSCURRENT };
                let read = self.read(at, Selector::Labelled(label)).await?;
                if read.id != *version {
                    return Err(Failure::conflict("AWS shows two versions under one label in two reads; the operator reads again"));
                }
                read
            }
        };
        let read = self.weaknesses.read(read);
        let data = match self.render(want, seen, version, &read.value) {
            Ok(data) => data,
            Err(unfit) => return Ok(self.unfit(version, unfit)),
        };
        let not_after = certificate::expiry(&data, &target.layout, want.value.as_ref());
        let data = match &seen.extras.wanted_previous {
            Some(previous) => Layout::with_previous(data, self.previous_data(want, target, at, previous).await?),
            None => data,
        };
        // After a write of this reconcile, AWS may still show the state before.
        let changed = secret.last_changed.max(self.journal.made_current(version));
        let previous = seen.extras.wanted_previous.as_ref();
        let contents = mirror::Contents { arn: &secret.arn, version, previous, changed, not_after, data };
        let owner = self.weaknesses.owner(&self.object);
        let written = mirror::write(&self.ctx.client, &owner, target, self.mirror.as_ref(), contents).await?;
        if let Some(written) = &written {
            self.wrote_secret(written.revision());
        }
        self.answered.written(written);
        if let Some((_, since)) = self.applied_version.take_if(|(applied, _)| applied == version) {
            self.ctx.metrics.target_gap(want.strategy(), since.elapsed());
        }
        Ok(self.applied())
    }
}

impl Reconciler<'_> {
    /// The data of the version before the current one. Empty if AWS does not have it any more or denies to read it, or if it
    /// does not have the declared layout: the current version does not wait for it.
    async fn previous_data(&mut self, want: &Desired, target: &Target, at: Address<'_>, previous: &VersionId) -> Result<Data, Failure> {
        let unread = self.value_unread;
        let found = match self.find(at, previous).await {
            Ok(found) => found,
            Err(failure) if matches!(failure.class, Class::Denied | Class::Invalid) => {
                tracing::warn!(%previous, reason = failure.reason.as_str(), "the previous version cannot be read and is not mirrored");
                self.value_unread = unread;
                None
            }
            Err(failure) => return Err(failure),
        };
        let Some(found) = found else { return Ok(Data::new()) };
        let plain_text = matches!(want.value, Some(DeclaredValue::PlainText(_)));
        Ok(target.layout.render_as(&found.value, plain_text).unwrap_or_default())
    }
}

fn compose(want: &Desired, before: Option<&Payload>, cause: Cause, former: Former<'_>, now: Timestamp) -> Result<Plaintext, Failure> {
    let declared = want.value.as_ref().ok_or_else(|| Failure::bug("a version of a value that is not declared"))?;
    // The thread's generator is ChaCha, seeded by the operating system.
    declared.compose(before, cause != Cause::SpecChanged, former, &mut rand::rng(), now).map_err(composing)
}

fn composing(error: ComposeError) -> Failure {
    match error {
        ComposeError::TooLarge => {
            Failure { class: Class::Invalid, reason: Reason::InvalidSpec, message: format!("spec.value: {error}"), request_id: None }
        }
        ComposeError::NotMade(_) => Failure::bug("no key pair could be made by rules that were found to be right"),
    }
}

/// AWS refuses to remove a replica twice, and may still show one that it has removed.
fn replicas_gone(failure: Failure) -> Failure {
    if failure.reason != Reason::AwsRefused {
        return failure;
    }
    let message = format!("AWS does not remove the replicas, or still shows replicas that it has removed: {}", failure.message);
    Failure { class: Class::Retry, reason: Reason::Progressing, message, request_id: None }
}
