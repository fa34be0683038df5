//! How the settings of the AWS secret stand: read where a look is needed, compared by pure rules.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::Work;
use crate::api::{ADOPT_BY, AwsAdoptionPolicy, AppliedStatus, TAG_CLUSTER, TAG_NAME, TAG_NAMESPACE, TAG_UID};
use crate::aws::{Address, Description};
use crate::backoff::Class;
use crate::desired::{Desired, Refusal, Setting, resource_policy};
use crate::failure::Failure;
use crate::plan::{KeyFacts, Ownership, PolicyState, ReplicaFacts, Settings, Step, rekey};

/// A resource policy that was looked at in this turn: when AWS had last seen a modification, and what it means.
pub(super) type PolicyLook = (Option<Timestamp>, Option<String>);

/// Whose it is, by its tags. `known`: the ARN that the status reports.
pub(super) fn ownership(want: &Desired, tags: &BTreeMap<String, String>, known: Option<&str>) -> Ownership {
    let ours = |key: &&str| tags.get(*key).is_some() && tags.get(*key) == want.tags.get(*key);
    let place = [TAG_CLUSTER, TAG_NAMESPACE, TAG_NAME];
    if place.iter().all(ours) && tags.contains_key(TAG_UID) {
        // An object that had this secret and does not find its uid there has lost it. One that never had one comes in the place of another.
        return match (ours(&TAG_UID), known) {
            (true, _) => Ownership::Ours,
            (false, None) => Ownership::Former,
            (false, Some(_)) => Ownership::Another,
        };
    }
    if tags.contains_key(TAG_UID) || place.iter().any(|key| tags.contains_key(*key)) {
        return Ownership::Another;
    }
    let may = match want.settings.adoption {
        AwsAdoptionPolicy::Never => false,
        AwsAdoptionPolicy::IfTagged => tags.get(ADOPT_BY).is_some_and(|by| *by == format!("{}/{}", want.namespace, want.name)),
        AwsAdoptionPolicy::Always => true,
    };
    if may { Ownership::Adoptable } else { Ownership::Nobody }
}

impl Work<'_> {
    /// Notes what is done once a turn, and whether it was done: a setting that AWS refuses for good is said, and the credential goes on without
    /// it. What passes by itself is tried again with everything else.
    pub(super) fn said(&mut self, step: &Step, deleting: bool, acted: Result<(), Failure>) -> Result<bool, Failure> {
        let refused = match acted {
            Ok(()) => None,
            Err(failure) if step.keeps_a_setting() && !deleting && failure.is_terminal() => {
                tracing::warn!(step = step.kind(), reason = %failure.reason, message = failure.message, "a setting was refused");
                self.ctx.metrics.failure(failure.reason.as_str());
                Some(Refusal::new(failure.reason, failure.message))
            }
            Err(failure) => return Err(failure),
        };
        let done = refused.is_none();
        if let Some(key) = step.once() {
            self.tried.insert(key, refused);
        }
        Ok(done)
    }

    /// Where the settings differ from the declaration. Nothing is asked about what is not declared and was not set by us.
    pub(super) async fn settings(&mut self, want: &Desired, description: &Description, now: Timestamp) -> Result<Settings, Failure> {
        let kept = self.kept(description);
        let shown = description.kms_key_id.as_deref();
        let surplus: BTreeSet<String> =
            kept.tag_keys.iter().filter(|key| !want.tags.contains_key(*key) && description.tags.contains_key(*key)).cloned().collect();
        let key = KeyFacts {
            shown,
            kept: kept.kms_key_id.as_deref(),
            kept_shown: kept.kms_key_shown.as_deref(),
            just_set: self.tried.get("SetKey") == Some(&None),
        };
        let settings = Settings {
            surplus_tags: surplus,
            rekey: rekey(&want.settings.key, key),
            key_shown: shown.map(str::to_owned),
            policy: self.policy(want, description, &kept).await?,
            replica_of: description.primary_region.clone().filter(|primary| *primary != want.region),
            ..Settings::default()
        };
        let facts = ReplicaFacts { anew: self.anew(want), last_changed: description.last_changed, now };
        Ok(settings.replicated(&want.settings.replicas, description.replicas.clone(), facts))
    }

    /// What the status says that we set on this very secret.
    fn kept(&self, description: &Description) -> AppliedStatus {
        let aws = self.object.status.as_ref().and_then(|status| status.aws.as_ref());
        aws.filter(|aws| aws.arn.as_ref() == Some(&description.arn)).and_then(|aws| aws.applied.clone()).unwrap_or_default()
    }

    /// The spec is another one than last reported, or a person asks for a look.
    fn anew(&self, want: &Desired) -> bool {
        let status = self.object.status.as_ref();
        let handled = status.and_then(|status| status.requests.as_ref()).and_then(|requests| requests.refresh.as_ref());
        status.and_then(|status| status.observed_generation) != self.object.metadata.generation
            || (want.refresh_request.is_some() && want.refresh_request.as_ref() != handled)
    }

    /// AWS is asked only when the declaration is another one than was put, when anything about the secret changed since, or when a person asks.
    async fn policy(&mut self, want: &Desired, description: &Description, kept: &AppliedStatus) -> Result<PolicyState, Failure> {
        let just_put = self.tried.get("PutPolicy") == Some(&None);
        let declared = match &want.settings.policy {
            Setting::Rejected(refusal) => return Ok(PolicyState::Refused(refusal.clone())),
            Setting::Set(policy) => Some(policy),
            Setting::Unset => None,
        };
        // A policy that was put without the check of AWS is put again when the check is asked for.
        let unchecked = |block: bool| block && kept.block_public_policy == Some(false) && !just_put;
        match (declared, &kept.resource_policy) {
            (None, None) => return Ok(PolicyState::Unmentioned),
            (Some(policy), Some(put))
                if put == policy.meaning()
                    && !unchecked(policy.block_public)
                    && description.last_changed.is_some()
                    && kept.last_changed_date.as_ref().map(|date| date.0) == description.last_changed
                    && !self.anew(want) =>
            {
                return Ok(PolicyState::AsDeclared(put.clone()));
            }
            _ => {}
        }
        let found = match self.look_at_policy(want, description).await {
            Ok(found) => found,
            Err(failure) if failure.class == Class::Denied => {
                return Ok(PolicyState::Refused(Refusal::new(failure.reason, failure.message)));
            }
            Err(failure) => return Err(failure),
        };
        Ok(match (declared, found) {
            (Some(policy), Some(found)) if found == policy.meaning() && !unchecked(policy.block_public) => PolicyState::AsDeclared(found),
            (Some(_), _) => PolicyState::Differs,
            // Taken away only while it is still the one that we put.
            (None, found) if found.is_some() && found == kept.resource_policy => PolicyState::Surplus,
            (None, _) => PolicyState::Unmentioned,
        })
    }

    async fn look_at_policy(&mut self, want: &Desired, description: &Description) -> Result<Option<String>, Failure> {
        if let Some((changed, meaning)) = &self.policy_seen
            && changed.is_some()
            && *changed == description.last_changed
        {
            return Ok(meaning.clone());
        }
        let text = self.aws()?.policy(Address { region: &want.region, id: &description.arn }).await?;
        let meaning = text.as_deref().map(resource_policy::meaning);
        self.policy_seen = Some((description.last_changed, meaning.clone()));
        Ok(meaning)
    }
}
