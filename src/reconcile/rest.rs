//! The next reconcile of an object at rest.

use jiff::{SignedDuration, Timestamp};

use super::reconciler::Reconciler;
use crate::api::AWSCURRENT;
use crate::compare::Observation;
use crate::desired::{Desired, SecretArn};
use crate::facts::Place;
use crate::fairness::Key;
use crate::feed::{Sight, Source};
use crate::identity::Identity;
use crate::status::Outcome;

impl Reconciler<'_> {
    /// When an object is reconciled again that waits for nothing: at the resync, or at the sweep if lists tell what changes.
    pub(super) fn until_next(&self, want: Option<&Desired>, seen: &Observation, now: Timestamp) -> SignedDuration {
        let covered = match (&self.ctx.feed, want.and_then(|want| self.sight(want, seen))) {
            (Some(feed), Some(sight)) => feed.rests(&self.key(), sight, now),
            _ => false,
        };
        if covered { self.spread(self.ctx.sweep_interval) } else { self.resync() }
    }

    /// The object does not rest, as far as is known.
    pub(super) fn stirs(&self) {
        if let Some(feed) = &self.ctx.feed {
            feed.forget(&self.key());
        }
    }

    /// Tells the index of events which version AWSCURRENT is on, whether the object rests or not. Without an observation, what the
    /// object saw before remains.
    pub(super) fn saw(&self, outcome: &Outcome) {
        let (Some(index), Outcome::Assessed { seen, .. }) = (&self.ctx.event_index, outcome) else { return };
        if let Some(secret) = &seen.secret {
            index.saw(&self.key(), &secret.arn, secret.labels.get(AWSCURRENT));
        }
    }

    /// What lists of the identity show of the AWS secret. `None`: they do not show it. A list has no secrets of other accounts,
    /// and a replica has a date of its own. The session of a ServiceAccount needs a token of that account.
    fn sight(&self, want: &Desired, seen: &Observation) -> Option<Sight> {
        let (aws, secret) = (self.aws.as_ref()?, seen.secret.as_ref()?);
        let identity = aws.identity();
        let arn = SecretArn::parse(&secret.arn)?;
        let listed = arn.region == want.region && aws.account().as_ref() == Some(&arn.account) && secret.manager.is_none();
        let settled = self.place == Place::AsConfigured && secret.outdated.is_none();
        if !listed || !settled || matches!(identity, Identity::ServiceAccount { .. }) {
            return None;
        }
        let source = Source { identity: identity.clone(), region: want.region.clone() };
        Some(Sight { source, arn: secret.arn.clone(), changed: secret.last_changed? })
    }

    fn key(&self) -> Key {
        Key::new(self.object.metadata.namespace.clone().unwrap_or_default(), self.object.metadata.name.clone().unwrap_or_default())
    }
}
