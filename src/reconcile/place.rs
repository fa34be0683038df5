//! Where the AWS secret is: where the flags put it today, or where it was created under other flags.

use jiff::{SignedDuration, Timestamp};

use super::reconciler::Reconciler;
use crate::api::condition::Reason;
use crate::backoff::Class;
use crate::compare::{Ownership, ownership};
use crate::desired::{Desired, Elsewhere, RecordedIn, RecordedPlace, SecretArn};
use crate::facts::{AwsSecret, Place};
use crate::failure::Failure;
use crate::kubernetes::{mirror, object};
use crate::refusal::Refusal;
use crate::status;

const UNPROVED: &str = "AWS shows no secret there with the ownership tags of this object, or denies DescribeSecret";

/// How long after an attempt AWS may not show the secret: the rest of a reconcile (three minutes), a call without an answer,
/// and reads of an old state (two minutes).
const UNSETTLED: SignedDuration = SignedDuration::from_mins(10);

/// What AWS says of the secret at a recorded place.
enum Proof {
    /// Its tags name this object.
    Ours(Box<AwsSecret>),
    /// There is none whose tags name this object.
    None,
    /// It could not be asked, for this reason.
    Unknown(String),
}

impl Reconciler<'_> {
    /// The desired state, at the place where the secret is. What is recorded only says where to ask: a user who can write a
    /// status can write any place into it. The four ownership tags, uid included, prove that the secret there is this
    /// object's.
    pub(super) async fn locate(&mut self, want: Desired) -> Result<Desired, Failure> {
        let want = self.unless_suspended(want).await?;
        if want.suspended {
            return Ok(want);
        }
        let want = self.identified(want).await?;
        for recorded in self.recorded(&want).await? {
            let Some(why) = want.elsewhere(&self.object, &recorded) else { return Ok(want) };
            if let Some(decided) = self.follow(&want, &recorded, why).await? {
                return Ok(decided);
            }
            // Decided again for the other name.
            self.access = None;
        }
        Ok(want)
    }

    /// The desired state there, or here with the reason why nothing is done; `None`: the record says nothing.
    async fn follow(&mut self, want: &Desired, recorded: &RecordedPlace, why: Elsewhere) -> Result<Option<Desired>, Failure> {
        let there = match Desired::parse_at(&self.object, &self.ctx.policy, recorded, why) {
            Ok(there) => self.identified(there).await?,
            Err(refusal) => return Ok(Some(self.refuse(want, unproved(want, recorded, why, &refusal.message)))),
        };
        let access = self.access(&there).await?;
        if access.refused.is_some() {
            return Ok(Some(there));
        }
        let proof = if access.name_allowed {
            self.proof(&there, recorded).await?
        } else {
            let annotation = if there.manages() { crate::api::ALLOWED_NAMES } else { crate::api::MIRROR_NAMES };
            Proof::Unknown(format!("namespace {} may not use that name (annotation {annotation} on the Namespace)", want.namespace))
        };
        let until = match recorded.by {
            RecordedIn::Attempt(at) => unsettled(at, (self.ctx.clock)()),
            RecordedIn::Status | RecordedIn::Secret => None,
        };
        let place = match (proof, why, recorded.by) {
            (Proof::Ours(found), Elsewhere::ByFlags, _) => {
                self.located = Some(*found);
                self.place = Place::Recorded(format!(
                    "it is {} in {}, where it was created; the operator's flags would put it at {} in {} today, and a credential is never moved",
                    there.secret_name, there.region, want.secret_name, want.region
                ));
                return Ok(Some(there));
            }
            (Proof::Ours(_), Elsewhere::BySpec, _) => Place::Unproved(changed(want, recorded)),
            (Proof::Unknown(doubt), ..) => unproved(want, recorded, why, &doubt),
            (Proof::None, _, RecordedIn::Attempt(_)) => match until {
                Some(until) => Place::Unsettled(begun(want, recorded), until),
                None => return Ok(None),
            },
            // What never belonged to this object.
            (Proof::None, Elsewhere::BySpec, _) => return Ok(None),
            (Proof::None, Elsewhere::ByFlags, _) => unproved(want, recorded, why, UNPROVED),
        };
        Ok(Some(self.refuse(want, place)))
    }

    /// Nothing is done here.
    fn refuse(&mut self, want: &Desired, place: Place) -> Desired {
        // Decided again for the other name.
        self.access = None;
        self.place = place;
        want.clone()
    }

    /// Whether the secret there is this object's. A secret that is only mirrored has no tags of ours; the spec could name it,
    /// so nothing is read that may not be. Every doubt has the same text: the difference would tell which secrets exist.
    async fn proof(&mut self, there: &Desired, recorded: &RecordedPlace) -> Result<Proof, Failure> {
        let status = status::read(&self.object, (self.ctx.clock)());
        match self.describe(there, &status).await {
            Ok(Some(found)) if there.value.is_none() || is_ours(there, &found, recorded) => Ok(Proof::Ours(Box::new(found))),
            Ok(_) => Ok(Proof::None),
            Err(failure) if failure.class == Class::Denied => Ok(Proof::Unknown(UNPROVED.to_owned())),
            Err(failure) => Err(failure),
        }
    }

    /// What is recorded, the newest first: the last attempt; the ARN in the status, or the one on the mirrored Secret.
    async fn recorded(&self, want: &Desired) -> Result<Vec<RecordedPlace>, Failure> {
        let place = self.object.status.as_ref().and_then(|status| status.aws.as_ref()?.place.as_ref());
        let attempt = place.filter(|_| want.value.is_some()).and_then(RecordedPlace::of_attempt);
        let known = match (self.recorded_arn(), &want.target) {
            (Some(arn), _) => SecretArn::parse(&arn).map(|arn| RecordedPlace::of_arn(arn, RecordedIn::Status)),
            (None, Some(target)) => {
                let found = mirror::read(&self.ctx.client, &self.object, target, None).await?;
                let arn = found.filter(|found| found.facts.ours).and_then(|found| SecretArn::parse(found.arn.as_deref()?));
                arn.map(|arn| RecordedPlace::of_arn(arn, RecordedIn::Secret))
            }
            (None, None) => None,
        };
        Ok(attempt.into_iter().chain(known).collect())
    }

    fn recorded_arn(&self) -> Option<String> {
        self.object.status.as_ref().and_then(|status| status.aws.as_ref()).and_then(|aws| aws.arn.clone())
    }

    /// Records where the AWS secret is about to become ours. The write fails if the object changed since it was read, so an
    /// object that is gone or has another place gets no AWS secret.
    pub(super) async fn record_place(&mut self, want: &Desired) -> Result<(), Failure> {
        let now = (self.ctx.clock)();
        let status = status::placed(&self.object, want, now);
        self.object = object::write_status(&self.ctx.client, &self.object, &status).await?;
        super::report::status_is_written(self.ctx.memory.wrote(&self.uid(), &status, now));
        Ok(())
    }

    /// Whether the identity that acts belongs to another account than the secret. A name that is mirrored would lead to the
    /// secret of the same name there. An ARN in the spec names its account itself.
    pub(super) fn compare_accounts(&mut self, want: &Desired, found: Option<&AwsSecret>) {
        let Some(recorded) = self.recorded_arn().and_then(|arn| SecretArn::parse(&arn)) else { return };
        let elsewhere = || want.elsewhere(&self.object, &RecordedPlace::of_arn(recorded.clone(), RecordedIn::Status)).is_some();
        if want.secret_name.starts_with("arn:") || self.place != Place::AsConfigured || elsewhere() {
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

/// `Former`: the attempt was to adopt what an earlier object of the same name left.
fn is_ours(there: &Desired, found: &AwsSecret, recorded: &RecordedPlace) -> bool {
    match ownership(there, &found.tags, recorded.arn.as_deref()) {
        Ownership::Ours => true,
        Ownership::Former => matches!(recorded.by, RecordedIn::Attempt(_)),
        _ => false,
    }
}

/// Until when AWS may not show what was begun at `at`. A time in the future was written by a wrong clock, with which AWS
/// refuses every request.
fn unsettled(at: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let until = at.saturating_add(UNSETTLED).unwrap_or(at);
    (until > now && at.duration_since(now) < UNSETTLED).then_some(until)
}

fn unproved(want: &Desired, recorded: &RecordedPlace, why: Elsewhere, doubt: &str) -> Place {
    let remedy = match why {
        Elsewhere::ByFlags => "set --name-prefix and --aws-region (AWS_REGION) back to what they were",
        Elsewhere::BySpec => "set spec.aws.region and spec.aws.secretName back to what they were",
    };
    Place::Unproved(Refusal::new(
        Reason::Moved,
        format!(
            "the AWS secret of this object is {}, and it cannot be used: {doubt}. The operator would put it at {} in {} today and creates \
             nothing there: {remedy}, and let the operator read that secret; to give it up, delete this object and create it again",
            recorded.text(),
            want.secret_name,
            want.region
        ),
    ))
}

/// The spec was changed, although the API server does not accept that.
fn changed(want: &Desired, recorded: &RecordedPlace) -> Refusal {
    Refusal::new(
        Reason::Moved,
        format!(
            "the AWS secret of this object is {}, and spec.aws now says {} in {}: a credential is never moved, and nothing is created there. The \
             fields region and secretName cannot be changed. To keep the secret, set spec.aws.deletionPolicy to Retain, delete this object and \
             create it again with region {} and the name {}; to give it up, delete this object and create it again",
            recorded.text(),
            want.secret_name,
            want.region,
            recorded.region,
            recorded.name
        ),
    )
}

/// The last attempt may have been carried out.
fn begun(want: &Desired, recorded: &RecordedPlace) -> Refusal {
    Refusal::new(
        Reason::Creating,
        format!(
            "the operator began to create the AWS secret as {} under other flags, and AWS may not show it yet; if it does not, the secret is \
             created as {} in {}",
            recorded.text(),
            want.secret_name,
            want.region
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_waited_for_as_long_as_its_secret_may_not_be_shown() {
        let at = |minutes: i64| Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap();
        for (now, until) in [(0, Some(10)), (9, Some(10)), (10, None), (600, None), (-5, Some(10)), (-10, None), (-600, None)] {
            assert_eq!(unsettled(at(0), at(now)), until.map(at), "{now}");
        }
        assert_eq!(unsettled(Timestamp::MAX, at(0)), None);
        assert_eq!(unsettled(Timestamp::MIN, at(0)), None);
    }
}
