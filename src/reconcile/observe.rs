//! Reads what AWS and Kubernetes show of one object. Reads only: what the facts mean is [`crate::compare`]'s business.
//! A value is read only if a comparison needs to know whether it has the declared fields.

use super::failed;
use super::reconciler::Reconciler;
use crate::api::condition::ConditionType;
use crate::aws::{Address, SecretsManager, Selector, Version};
use crate::backoff::Class;
use crate::compare::{Need, Observation, compare};
use crate::desired::{Desired, SecretArn, resource_policy};
use crate::facts::{AwsSecret, Facts, Place, PolicyRead, StatusFacts};
use crate::failure::{Failed, Failure};
use crate::identity::AwsAccount;
use crate::kubernetes::mirror;
use crate::refusal::Refusal;
use crate::status;
use crate::step::Step;
use crate::value::Payload;
use crate::version_id::VersionId;

impl Reconciler<'_> {
    /// Reads until the comparison has all the facts that it needs.
    pub(super) async fn observe(&mut self, want: &Desired) -> Result<Observation, Failed> {
        let now = (self.ctx.clock)();
        let mut status = status::read(&self.object, now);
        if let Some(announced) = &status.staging.announced {
            status.staging.met = self.ctx.memory.meets(&self.uid(), &announced.version, now);
        }
        let mut facts = self.facts(want, &status).await?;
        loop {
            facts.reads.clone_from(&self.reads);
            facts.workloads.clone_from(&self.workloads);
            let need = match compare(want, &facts, &status, &self.journal, now) {
                Ok(observation) => return Ok(observation),
                Err(need) => need,
            };
            // A value is not read for what may have changed.
            if self.watched.is_used() && (self.watched.listed || !matches!(need, Need::Policy)) {
                self.confirm(want).await?;
                if self.watched.is_void {
                    return Err(provisioned(Failure::conflict("the Namespace changed meanwhile; the operator reads it again")));
                }
                facts = self.facts(want, &status).await?;
                continue;
            }
            if self.answered.was_used() {
                facts = self.facts(want, &status).await?;
                continue;
            }
            let Some(secret) = &facts.secret else {
                return Err(failed::of(ConditionType::Ready, Failure::bug("a fact about an AWS secret that does not exist is needed")));
            };
            self.fetch(want, secret, need).await.map_err(|failure| provisioned(failed::for_secret(secret.deleted, failure)))?;
        }
    }

    async fn facts(&mut self, want: &Desired, status: &StatusFacts) -> Result<Facts, Failed> {
        let access = self.access(want).await.map_err(provisioned)?;
        let finalizer = self.has_finalizer();
        let charged = self.ctx.memory.charged(&want.secret_key());
        let check_due = self.check_due(want);
        let mut facts = Facts { access, finalizer, charged, check_due, ..Facts::default() };
        // Whether a name exists that is not allowed is not for this namespace to know. And the finalizer comes first.
        let finalizer_first = want.needs_finalizer() && !finalizer && !self.journal.tried(&Step::AddFinalizer);
        if want.suspended || !(facts.access.granted() || self.weaknesses.reads_first()) || finalizer_first {
            return Ok(facts);
        }
        let (described, written) = self.answered.take().unzip();
        facts.secret = match described {
            Some(described) => Some(described),
            None => self.secret(want, status).await.map_err(provisioned)?,
        };
        self.compare_accounts(want, facts.secret.as_ref());
        facts.place = self.place.clone();
        let arn = facts.secret.as_ref().map(|secret| secret.arn.as_str());
        let read = if written.is_some() {
            Ok(written)
        } else if let Some(target) = &want.target {
            self.watched_mirror(target, arn).await
        } else {
            // One that was declared before must not stay ours and out of date.
            mirror::read_by_name(&self.ctx.client, &self.object, &want.mirror_name).await
        };
        self.mirror = read.map_err(|failure| failed::of(ConditionType::Mirrored, failure))?;
        facts.mirror = self.mirror.as_ref().map(|mirror| mirror.facts.clone());
        if let Some(found) = &mut facts.mirror {
            // A repair takes the fields away from the client that made it necessary.
            self.rival = found.claims.manager.take().or(self.rival.take());
            found.claims.manager.clone_from(&self.rival);
        }
        Ok(facts)
    }

    async fn secret(&mut self, want: &Desired, status: &StatusFacts) -> Result<Option<AwsSecret>, Failure> {
        if let Some(listed) = self.first_listed(want, status).await {
            self.watched.described(None);
            self.watched.listed = true;
            return Ok(Some(listed));
        }
        let described = match self.located.take() {
            Some(located) => Some(located),
            None => match self.describe(want, status).await {
                // Nothing is done at an unproved place, and the place is what a person must correct.
                Err(failure) if failure.class == Class::Denied && matches!(self.place, Place::Unproved(_) | Place::Unsettled(..)) => None,
                described => described?,
            },
        };
        self.watched.described(described.as_ref());
        self.answered.described(described.as_ref());
        Ok(described)
    }

    /// By full ARN once it is known; by name before, and if the ARN is gone. A user who can write a status can write any ARN
    /// into it, so the secret must have the name that was allowed.
    pub(super) async fn describe(&self, want: &Desired, status: &StatusFacts) -> Result<Option<AwsSecret>, Failure> {
        // This region knows no ARN of another one, and this identity none of another account.
        let by_name = Address { region: &want.region, id: &want.secret_name };
        // If the spec names an ARN, AWS answers with the secret of exactly that ARN, or with none.
        let by_arn = want.secret_name.starts_with("arn:");
        let Some(arn) = status.arn.as_ref().filter(|_| !by_arn) else { return self.aws()?.describe(by_name).await };
        if self.account().is_none()
            && let Some(found) = self.aws()?.describe(by_name).await?.filter(|found| found.arn == *arn)
        {
            // A name never leads to another account, so the answer also tells which account this is.
            return Ok(Some(found));
        }
        let account = self.account();
        let here = |arn: &SecretArn| arn.region == want.region && account.as_ref().is_none_or(|account| *account == arn.account);
        if !SecretArn::parse(arn).as_ref().is_some_and(here) {
            return self.aws()?.describe(by_name).await;
        }
        match self.aws()?.describe(Address { region: &want.region, id: arn }).await {
            // Tags can be copied, also to another account that lets this identity read.
            Ok(Some(found)) if account.is_none() && found.name == want.secret_name => {
                Err(Failure::conflict("AWS does not show the secret by its name yet, so its account is not known; the operator retries"))
            }
            Ok(Some(found)) if found.name == want.secret_name => Ok(Some(found)),
            Ok(_) => self.aws()?.describe(by_name).await,
            // AWS denies what is in another account. The name tells whether it is one; asked once in a row of failures.
            Err(failure) if failure.class == Class::Denied && !self.failed_before() => {
                let account = |arn: &str| SecretArn::parse(arn).map(|arn| arn.account);
                let found = self.aws()?.describe(by_name).await?.filter(|found| account(&found.arn) != account(arn));
                found.map_or(Err(failure), |found| Ok(Some(found)))
            }
            Err(failure) => Err(failure),
        }
    }

    /// The account of the identity that acts; `None` if that is not known yet.
    pub(super) fn account(&self) -> Option<AwsAccount> {
        self.aws.as_ref().and_then(SecretsManager::account)
    }

    fn failed_before(&self) -> bool {
        self.object.status.as_ref().is_some_and(|status| status.failures.is_some())
    }

    async fn fetch(&mut self, want: &Desired, secret: &AwsSecret, need: Need) -> Result<(), Failure> {
        let at = Address { region: &want.region, id: &secret.arn };
        match need {
            Need::Version(version) => {
                let read = self.read(at, Selector::Version(&version)).await?;
                if let Some(declared) = &want.value {
                    self.reads.matches.insert(version, declared.matches(&read.value));
                }
            }
            Need::Policy => {
                let meaning = match self.aws()?.policy(at).await {
                    Ok(text) => Ok(text.as_deref().map(resource_policy::meaning)),
                    Err(failure) if failure.class == Class::Denied => Err(Refusal::new(failure.reason, failure.message)),
                    Err(failure) => return Err(failure),
                };
                self.reads.policy = Some(PolicyRead { changed: secret.last_changed, meaning });
            }
        }
        Ok(())
    }

    /// Reads a version, and keeps its creation date.
    pub(super) async fn read(&mut self, at: Address<'_>, which: Selector<'_>) -> Result<Version, Failure> {
        let read = self.aws()?.read(at, which).await.inspect_err(|_| self.value_unread = true)?;
        self.created(&read);
        Ok(read)
    }

    /// As `read`; `None` if there is no such version.
    pub(super) async fn find(&mut self, at: Address<'_>, version: &VersionId) -> Result<Option<Version>, Failure> {
        let found = self.aws()?.read_if_present(at, Selector::Version(version)).await.inspect_err(|_| self.value_unread = true)?;
        if let Some(read) = &found {
            self.created(read);
        }
        Ok(found)
    }

    /// The value of an earlier version, and whether that one was created after the current one.
    pub(super) async fn previous(
        &mut self,
        at: Address<'_>,
        previous: Option<&VersionId>,
        current: &VersionId,
    ) -> Result<(Option<Payload>, bool), Failure> {
        let Some(previous) = previous else { return Ok((None, false)) };
        let found = self.find(at, previous).await?;
        let later = self.reads.created.get(current).zip(found.as_ref()).is_some_and(|(current, found)| found.created > *current);
        Ok((found.map(|found| found.value), later))
    }

    fn created(&mut self, read: &Version) {
        self.reads.created.insert(read.id.clone(), read.created);
    }
}

fn provisioned(failure: Failure) -> Failed {
    failed::of(ConditionType::Provisioned, failure)
}
