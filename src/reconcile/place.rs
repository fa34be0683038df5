//! Where the AWS secret is: where the flags put it today, or where it was created under other flags.

use super::reconciler::Reconciler;
use crate::api::condition::Reason;
use crate::backoff::Class;
use crate::compare::{Ownership, ownership};
use crate::desired::{Desired, RecordedIn, SecretArn};
use crate::facts::{AwsSecret, Place};
use crate::failure::Failure;
use crate::kubernetes::mirror;
use crate::refusal::Refusal;
use crate::status;

const UNPROVED: &str = "AWS shows no secret there with the ownership tags of this object, or denies DescribeSecret";

impl Reconciler<'_> {
    /// The desired state, at the place where the secret is. The recorded ARN only says where to ask: a user who can write a
    /// status can write any ARN into it. The four ownership tags, uid included, prove that the secret there is this
    /// object's.
    pub(super) async fn locate(&mut self, want: Desired) -> Result<Desired, Failure> {
        let want = self.unless_suspended(want).await?;
        if want.suspended {
            return Ok(want);
        }
        let want = self.identified(want).await?;
        let Some((recorded, by)) = self.recorded(&want).await?.filter(|(recorded, _)| want.is_elsewhere(&self.object, recorded)) else {
            return Ok(want);
        };
        let there = match Desired::parse_at(&self.object, &self.ctx.policy, &recorded, by) {
            Ok(there) => self.identified(there).await?,
            Err(refusal) => return Ok(self.unproved(want, &recorded, &refusal.message)),
        };
        let access = self.access(&there).await?;
        if access.refused.is_some() {
            return Ok(there);
        }
        let doubt = if access.name_allowed {
            self.doubt(&there, &recorded).await?
        } else {
            let annotation = if there.manages() { crate::api::ALLOWED_NAMES } else { crate::api::MIRROR_NAMES };
            Some(format!("namespace {} may not use that name (annotation {annotation} on the Namespace)", want.namespace))
        };
        if let Some(doubt) = doubt {
            // Decided again for the other name.
            self.access = None;
            return Ok(self.unproved(want, &recorded, &doubt));
        }
        self.place = Place::Recorded(format!(
            "it is {} in {}, where it was created; the operator's flags would put it at {} in {} today, and a credential is never moved",
            there.secret_name, there.region, want.secret_name, want.region
        ));
        Ok(there)
    }

    /// Why the secret there may not be this object's. A secret that is only mirrored has no tags of ours; the spec could
    /// name it, so nothing is read that may not be. Every doubt has the same text: the difference would tell which secrets
    /// exist.
    async fn doubt(&mut self, there: &Desired, recorded: &SecretArn) -> Result<Option<String>, Failure> {
        if there.value.is_none() {
            return Ok(None);
        }
        let status = status::read(&self.object, (self.ctx.clock)());
        let doubt = match self.describe(there, &status).await {
            Ok(Some(found)) if ownership(there, &found.tags, Some(&recorded.text)) == Ownership::Ours => {
                self.located = Some(found);
                None
            }
            Ok(_) => Some(UNPROVED),
            Err(failure) if failure.class == Class::Denied => Some(UNPROVED),
            Err(failure) => return Err(failure),
        };
        Ok(doubt.map(str::to_owned))
    }

    /// The ARN in the status; if the status has none, the one on the mirrored Secret.
    async fn recorded(&self, want: &Desired) -> Result<Option<(SecretArn, RecordedIn)>, Failure> {
        if let Some(arn) = self.recorded_arn() {
            return Ok(SecretArn::parse(&arn).map(|arn| (arn, RecordedIn::Status)));
        }
        let Some(target) = &want.target else { return Ok(None) };
        let found = mirror::read(&self.ctx.client, &self.object, target, None).await?;
        let arn = found.filter(|found| found.facts.ours).and_then(|found| SecretArn::parse(found.arn.as_deref()?));
        Ok(arn.map(|arn| (arn, RecordedIn::Secret)))
    }

    fn recorded_arn(&self) -> Option<String> {
        self.object.status.as_ref().and_then(|status| status.aws.as_ref()).and_then(|aws| aws.arn.clone())
    }

    fn unproved(&mut self, want: Desired, recorded: &SecretArn, doubt: &str) -> Desired {
        self.place = Place::Unproved(Refusal::new(
            Reason::Moved,
            format!(
                "the AWS secret of this object is {}, and it cannot be used: {doubt}. The operator would put it at {} in {} today and creates \
                 nothing there: set --name-prefix and --aws-region (AWS_REGION) back to what they were, and let the operator read that secret; \
                 to give it up, delete this object and create it again",
                recorded.text, want.secret_name, want.region
            ),
        ));
        want
    }

    /// Whether the identity that acts belongs to another account than the secret. A name that is mirrored would lead to the
    /// secret of the same name there. An ARN in the spec names its account itself.
    pub(super) fn compare_accounts(&mut self, want: &Desired, found: Option<&AwsSecret>) {
        let Some(recorded) = self.recorded_arn().and_then(|arn| SecretArn::parse(&arn)) else { return };
        if want.secret_name.starts_with("arn:") || self.place != Place::AsConfigured || want.is_elsewhere(&self.object, &recorded) {
            return;
        }
        let found = found.and_then(|found| SecretArn::parse(&found.arn)).map(|found| found.account);
        let Some(account) = found.or_else(|| self.account()).filter(|account| *account != recorded.account) else { return };
        self.place = Place::Unproved(Refusal::new(
            Reason::Moved,
            format!(
                "the AWS secret of this object is {}, and the identity that acts for it in AWS belongs to account {account}: nothing is created \
                 or mirrored there. Set the role of the Namespace or of the ServiceAccount, or the operator's own identity, back to account {}; to give the \
                 secret up, delete this object and create it again",
                recorded.text, recorded.account
            ),
        ));
    }
}
