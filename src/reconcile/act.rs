//! One step -> one effect. The only place beside the adapters where plaintext is alive, and it never outlives its step.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::Work;
use super::observe::Sight;
use crate::api::condition::{ConditionType, Reason};
use crate::api::{Cause, TAG_ROTATION};
use crate::aws::{Address, Moved, NewSecret, Rotate, Selector, Version, Written};
use crate::backoff::Class;
use crate::kubernetes::{mirror, object};
use crate::desired::lambda_rotation::{self, LambdaRotation, Rules};
use crate::desired::{Desired, Pin, Rotation};
use crate::failure::Failure;
use crate::version_id::VersionId;
use crate::plaintext::Plaintext;
use crate::plan::{Step, kept, settled};
use crate::status::EventNote;
use crate::value::{ComposeError, Payload};

impl Work<'_> {
    pub(super) async fn act(&mut self, want: &Desired, sight: &Sight, step: &Step) -> Result<(), Failure> {
        let arn = sight.seen.remote.as_ref().map(|remote| remote.arn.as_str());
        let at = Address { region: &want.region, id: arn.unwrap_or(&want.secret_name) };
        match step {
            Step::AddFinalizer => self.object = object::set_finalizer(&self.ctx.client, &self.object, true).await?,
            Step::RemoveFinalizer => self.object = object::set_finalizer(&self.ctx.client, &self.object, false).await?,
            Step::Create { version } => {
                let value = compose(want, None, Cause::Created, &[], (self.ctx.clock)())?;
                let new = NewSecret {
                    name: &want.secret_name,
                    version,
                    value: &value,
                    description: want.description.as_deref(),
                    kms_key_id: want.settings.key.asked().map(String::as_str),
                    tags: &want.tags,
                };
                self.aws()?.create(&want.region, new).await?;
                // Created now or before: either way AWS has it, also while a look does not show it.
                self.spent.insert(version.clone(), (self.ctx.clock)());
            }
            Step::Write { version, predecessor, cause } => self.write(want, sight, at, version, predecessor.as_ref(), *cause).await?,
            Step::RollBack { version, to, predecessor } => self.roll_back(want, sight, at, version, to, predecessor).await?,
            Step::MoveLabel { label, from, to } => self.label(at, label, from.as_ref(), to.as_ref()).await?,
            Step::RestoreCurrent { to, from } => {
                self.aws()?.move_current(at, to, from).await?;
                self.wrote = None;
            }
            Step::SetDescription { description } => self.aws()?.set_description(at, description).await?,
            Step::SetKey { key } => self.aws()?.set_key(at, key).await?,
            Step::Tag { tags } | Step::Adopt { tags } => self.aws()?.tag(at, tags).await?,
            Step::Untag { keys } => self.aws()?.untag(at, keys).await?,
            Step::PutPolicy => {
                self.policy_seen = None;
                if let Some(policy) = want.settings.policy.asked() {
                    self.aws()?.put_policy(at, &policy.text, policy.block_public).await?;
                }
            }
            Step::DeletePolicy => {
                self.policy_seen = None;
                self.aws()?.delete_policy(at).await?;
            }
            Step::Replicate { replicas } => self.aws()?.replicate(at, replicas).await?,
            Step::StopReplicating { regions } => self.aws()?.stop_replicating(at, regions).await?,
            Step::SetReplicaKey { region, key } => {
                // A replica's ARN is the primary's but for the region.
                let arn = at.id.replacen(&format!(":{}:", want.region), &format!(":{region}:"), 1);
                self.aws()?.set_key(Address { region, id: &arn }, key).await?;
            }
            Step::Restore => {
                // Whoever deleted the object may have scheduled this, and our look at the object may be older than that.
                object::alive(&self.ctx.client, &self.object).await?;
                self.aws()?.restore(at).await?;
                self.event_notes.push(EventNote {
                    warning: false,
                    reason: "Restored".to_owned(),
                    action: "Restore",
                    note: format!(
                        "the AWS secret {} was scheduled for deletion and is restored, since this object asks for it",
                        want.secret_name
                    ),
                });
            }
            Step::CreateMirror { version } | Step::AdoptMirror { version } => self.mirror(want, sight, at, version, false).await?,
            Step::ReplaceMirror { version, confirm } => self.mirror(want, sight, at, version, *confirm).await?,
            Step::ReleaseMirror => {
                if let (Some(target), Some(found)) = (&want.target, &sight.mirror) {
                    mirror::release(&self.ctx.client, &self.object, target, found).await?;
                }
            }
            Step::ClaimRotation => self.aws()?.tag(at, &BTreeMap::from([(TAG_ROTATION.to_owned(), lambda_rotation::mark(want))])).await?,
            Step::ReleaseRotation => self.aws()?.untag(at, &BTreeSet::from([TAG_ROTATION.to_owned()])).await?,
            Step::ConfigureRotation { version } => {
                let Rotation::Lambda(LambdaRotation { function, terms: Ok(terms), .. }) = &want.rotation else {
                    return Err(Failure::bug("a rotation by AWS that is not declared"));
                };
                self.rotate(at, version.as_ref(), Some((function, &terms.rules))).await?;
            }
            Step::RotateNow { version } => self.rotate(at, Some(version), None).await?,
            Step::CancelRotation => self.aws()?.cancel_rotation(at).await?,
            Step::Delete { window } => {
                self.aws()?.delete(at, *window).await?;
                self.event_notes.push(EventNote {
                    warning: false,
                    reason: "DeletionScheduled".to_owned(),
                    action: "Delete",
                    note: format!("the AWS secret {} will be deleted in {window} days; until then it can be restored", want.secret_name),
                });
                // The object goes with its finalizer, so this Event cannot wait for a status.
                for note in std::mem::take(&mut self.event_notes) {
                    self.ctx.events.publish(&self.object, &note).await;
                }
            }
        }
        Ok(())
    }

    /// Writes a version. When AWS has it already, with another value, that value is the one: only what is read back is ever used.
    async fn write(
        &mut self,
        want: &Desired,
        sight: &Sight,
        at: Address<'_>,
        version: &VersionId,
        predecessor: Option<&VersionId>,
        cause: Cause,
    ) -> Result<(), Failure> {
        let before = match predecessor {
            Some(predecessor) => match self.carried(want, sight, at, predecessor, cause).await? {
                Some(value) => Some(value),
                None => return Ok(()),
            },
            None => None,
        };
        let dropped = self.object.status.as_ref().and_then(|status| status.declared.as_ref()).map(|declared| declared.fields.clone());
        let value = compose(want, before.as_ref(), cause, &dropped.unwrap_or_default(), (self.ctx.clock)())?;
        #[cfg(feature = "weakened")]
        {
            self.in_memory = Some(Payload::Text(Plaintext::from(value.expose().to_owned())));
        }
        let label = kept_label(want, sight);
        let made = match self.aws()?.put(at, version, &Payload::Text(value), label.as_deref()).await? {
            Written::Applied => {
                self.wrote = predecessor.map(|predecessor| (version.clone(), predecessor.clone()));
                (self.ctx.clock)()
            }
            Written::Exists => self.read(at, Selector::Version(version)).await?.created,
        };
        self.spent.insert(version.clone(), made);
        Ok(())
    }

    /// Has AWS rotate. To a version that AWS has already it does not: what it answers then is not documented.
    async fn rotate(&mut self, at: Address<'_>, to: Option<&VersionId>, configure: Option<(&str, &Rules)>) -> Result<(), Failure> {
        let made = match to {
            Some(version) => self.aws()?.created_at(at, version).await?,
            None => None,
        };
        let made = if let Some(made) = made {
            made
        } else {
            self.aws()?.rotate(at, Rotate { to, configure }).await?;
            (self.ctx.clock)()
        };
        if let Some(version) = to {
            self.spent.insert(version.clone(), made);
        }
        Ok(())
    }

    /// Writes an older value as a new version. AWS takes the same value under the same token for the same request, and moves nothing then: when
    /// the version was made tells.
    async fn roll_back(
        &mut self,
        want: &Desired,
        sight: &Sight,
        at: Address<'_>,
        version: &VersionId,
        to: &VersionId,
        predecessor: &VersionId,
    ) -> Result<(), Failure> {
        let Some(older) = self.find(at, Selector::Version(to)).await? else {
            self.vain(to);
            return Ok(());
        };
        let label = kept_label(want, sight);
        let now = (self.ctx.clock)();
        let made = match self.aws()?.put(at, version, &older.value, label.as_deref()).await? {
            Written::Applied => {
                let made = self.find(at, Selector::Version(version)).await?.map_or(now, |read| read.created);
                if now < settled(made) {
                    self.wrote = Some((version.clone(), predecessor.clone()));
                    self.rolled_back = Some((version.clone(), to.clone()));
                }
                made
            }
            Written::Exists => self.read(at, Selector::Version(version)).await?.created,
        };
        self.spent.insert(version.clone(), made);
        Ok(())
    }

    /// There is no such version.
    fn vain(&mut self, version: &VersionId) {
        self.missing.insert(version.clone());
        self.in_vain = true;
    }

    /// Moves a label of ours. Labels are for convenience: where somebody else was faster, or the version is gone, the turn goes on.
    async fn label(&mut self, at: Address<'_>, label: &str, from: Option<&VersionId>, to: Option<&VersionId>) -> Result<(), Failure> {
        let moved = self.aws()?.move_label(at, label, from, to).await?;
        tracing::debug!(label, from = from.map(VersionId::as_str), to = to.map(VersionId::as_str), ?moved, "label");
        self.in_vain = moved == Moved::Refused;
        self.labelled.insert(label.to_owned(), to.cloned());
        Ok(())
    }

    async fn mirror(&mut self, want: &Desired, sight: &Sight, at: Address<'_>, version: &VersionId, confirm: bool) -> Result<(), Failure> {
        let (Some(target), Some(remote)) = (&want.target, &sight.seen.remote) else { return Ok(()) };
        let read: Version = match &target.pin {
            Pin::Version(_) => {
                let Some(read) = self.find(at, Selector::Version(version)).await? else {
                    self.vain(version);
                    return Ok(());
                };
                read
            }
            Pin::Current | Pin::Stage(_) if !confirm => self.read(at, Selector::Version(version)).await?,
            pin => {
                let label = if let Pin::Stage(stage) = pin { stage } else { "AWSCURRENT" };
                let read = self.read(at, Selector::Labelled(label)).await?;
                if read.id != *version {
                    return Err(Failure::conflict("AWS shows two versions under one label in two reads; the operator looks again"));
                }
                read
            }
        };
        #[cfg(feature = "weakened")]
        let read = self.forget_read(read);
        let data = match self.render(want, sight, version, &read.value) {
            Ok(data) => data,
            Err(unfit) => {
                tracing::warn!(reason = %unfit.refusal.reason, version = version.as_str(), "the value is not mirrored");
                self.ctx.metrics.failure(unfit.refusal.reason.as_str());
                self.unfit.insert(version.clone(), unfit);
                self.in_vain = true;
                return Ok(());
            }
        };
        mirror::write(&self.ctx.client, &self.object, target, sight.mirror.as_ref(), &remote.arn, version, data).await?;
        self.mirror_written = true;
        Ok(())
    }
}

/// The label of ours that a version takes along.
fn kept_label(want: &Desired, sight: &Sight) -> Option<String> {
    let remote = sight.seen.remote.as_ref()?;
    retention::next(want, &sight.seen, remote).map(|slot| slot.label)
}

#[cfg(feature = "weakened")]
impl Work<'_> {
    pub(super) fn weaken(&self, step: Step) -> Step {
        match (self.ctx.weakness, step) {
            (Some(super::Weakness::RandomVersions), Step::Write { predecessor, cause, .. }) => {
                Step::Write { version: VersionId::from(uuid::Uuid::new_v4().to_string()), predecessor, cause }
            }
            (_, step) => step,
        }
    }

    fn forget_read(&mut self, read: Version) -> Version {
        match self.in_memory.take() {
            Some(value) if self.ctx.weakness == Some(super::Weakness::NoReadBack) => Version { value, ..read },
            _ => read,
        }
    }
}

fn compose(want: &Desired, before: Option<&Payload>, cause: Cause, dropped: &[String], now: Timestamp) -> Result<Plaintext, Failure> {
    let declared = want.value.as_ref().ok_or_else(|| Failure::bug("a version of a value that is not declared"))?;
    // The thread's generator is ChaCha seeded, and seeded anew, by the operating system.
    declared.compose(before, cause != Cause::SpecChanged, dropped, &mut rand::rng(), now).map_err(|error| match error {
        ComposeError::TooLarge => Failure {
            of: ConditionType::Provisioned,
            class: Class::Invalid,
            reason: Reason::InvalidSpec,
            message: format!("spec.value: {error}"),
        },
        ComposeError::NotMade(_) => Failure::bug("no key pair could be made by rules that were found to be right"),
    })
}
