//! Where the AWS secret is: at the place that the flags give it today, or where it was made under other flags.

use super::{Work, settings};
use crate::api::condition::Reason;
use crate::aws::Description;
use crate::backoff::Class;
use crate::kubernetes::mirror;
use crate::desired::{Desired, Refusal, SecretArn};
use crate::failure::Failure;
use crate::plan::{Ownership, Place};

impl Work<'_> {
    /// The object's wishes, at the place where its secret is. The recorded ARN only says where to ask: whoever can write a status can write any ARN
    /// into it. The four ownership tags, uid included, prove that the secret there is this object's.
    pub(super) async fn locate(&mut self, want: Desired, deleting: bool) -> Result<Desired, Failure> {
        if want.suspended {
            return Ok(want);
        }
        let Some(recorded) = self.recorded(&want).await?.filter(|recorded| want.is_elsewhere(&self.object, recorded)) else {
            return Ok(want);
        };
        let there = match Desired::parse_at(&self.object, &self.ctx.policy, &recorded) {
            Ok(there) => there,
            Err(refusal) => return Ok(self.unproved(want, &recorded, &refusal.message)),
        };
        let permit = self.permit(&there).await?;
        if permit.refused.is_some() {
            return Ok(there);
        }
        if !permit.name_allowed {
            // Asked again for the other name.
            self.permit = None;
            let why =
                format!("namespace {} may not use that name (annotation {} on the Namespace)", want.namespace, crate::api::ALLOWED_NAMES);
            return Ok(self.unproved(want, &recorded, &why));
        }
        // What is only mirrored has no tags of ours. The spec could name this secret, so nothing is read that may not be.
        if there.value.is_some() {
            let why = match self.describe(&there).await {
                Ok(Some(found)) if settings::ownership(&there, &found.tags, Some(&recorded.text)) == Ownership::Ours => {
                    self.located = Some(found);
                    None
                }
                Ok(Some(_)) => Some("its tags do not say that it is this object's"),
                Ok(None) => Some("AWS has no such secret"),
                Err(failure) if failure.class == Class::Denied && !deleting => Some("AWS denies DescribeSecret there"),
                Err(failure) => return Err(failure),
            };
            if let Some(why) = why {
                self.permit = None;
                return Ok(self.unproved(want, &recorded, why));
            }
        }
        self.place = Place::Recorded(format!(
            "it is {} in {}, where it was made; the flags of the operator would put it at {} in {} today, and a credential is never moved",
            there.secret_name, there.region, want.secret_name, want.region
        ));
        Ok(there)
    }

    /// The ARN in the status; where the status does not know, the one on the mirrored Secret.
    async fn recorded(&self, want: &Desired) -> Result<Option<SecretArn>, Failure> {
        if let Some(arn) = self.known_arn() {
            return Ok(SecretArn::parse(&arn));
        }
        let Some(target) = &want.target else { return Ok(None) };
        let found = mirror::look(&self.ctx.client, &self.object, target, None).await?;
        Ok(found.filter(|found| found.ours).and_then(|found| SecretArn::parse(found.arn.as_deref()?)))
    }

    fn unproved(&mut self, want: Desired, recorded: &SecretArn, why: &str) -> Desired {
        self.place = Place::Unproved(Refusal::new(
            Reason::Moved,
            format!(
                "the AWS secret of this object is {}, and it cannot be used: {why}. The operator would put it at {} in {} today and creates \
                 nothing there: set --name-prefix and --aws-region (AWS_REGION) back to what they were, and let the operator read that secret; \
                 to give it up, delete this object and create it again",
                recorded.text, want.secret_name, want.region
            ),
        ));
        want
    }

    /// Whoever acts belongs to another account than the secret.
    pub(super) fn in_another_account(&mut self, want: &Desired, found: Option<&Description>) {
        let Some(recorded) = self.known_arn().and_then(|arn| SecretArn::parse(&arn)) else { return };
        if want.value.is_none() || self.place != Place::AsConfigured || want.is_elsewhere(&self.object, &recorded) {
            return;
        }
        let found = found.and_then(|found| SecretArn::parse(&found.arn)).map(|found| found.account);
        let acting = self.permit.as_ref().and_then(|permit| permit.account.clone());
        let Some(account) = found.or(acting).filter(|account| *account != recorded.account) else { return };
        self.place = Place::Unproved(Refusal::new(
            Reason::Moved,
            format!(
                "the AWS secret of this object is {}, and whoever acts for it in AWS belongs to account {account}: nothing is created there. Set \
                 the role of the Namespace or of the ServiceAccount, or the operator's own identity, back to account {}; to give the secret up, \
                 delete this object and create it again",
                recorded.text, recorded.account
            ),
        ));
    }
}
