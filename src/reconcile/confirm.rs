//! Facts from watches are read again before anything is done because of them.

use jiff::Timestamp;

use super::failed;
use super::reconciler::Reconciler;
use crate::api::RotatedSecretStatus;
use crate::api::condition::ConditionType;
use crate::desired::{Desired, Target};
use crate::facts::Place;
use crate::failure::{Failed, Failure};
use crate::kubernetes::mirror::{self, MirrorMetadata};
use crate::kubernetes::namespace::NamespacePolicy;
use crate::status::{self, Attempts, Outcome};

impl Reconciler<'_> {
    /// The Namespace, from the watch if that shows it.
    pub(super) async fn watched_namespace(&mut self, name: &str) -> Result<NamespacePolicy, Failure> {
        match self.ctx.known.namespace(name).filter(|_| !self.watched.is_confirmed()) {
            Some(shown) => {
                self.watched.namespace = true;
                Ok(shown)
            }
            None => NamespacePolicy::of(&self.ctx.client, name).await,
        }
    }

    /// The Secret of the target, from the watch if that shows it.
    pub(super) async fn watched_mirror(&mut self, target: &Target, arn: Option<&str>) -> Result<Option<MirrorMetadata>, Failure> {
        let owner = self.weaknesses.owner(&self.object);
        match mirror::watched(&self.ctx.known, &owner, target, arn).filter(|_| !self.watched.is_confirmed()) {
            Some(shown) => {
                self.watched.mirror = true;
                Ok(Some(shown))
            }
            None => mirror::read(&self.ctx.client, &owner, target, arn).await,
        }
    }

    /// Reads what is only known from watches and lists. The next observation reads the Secret; what `DescribeSecret` showed is still
    /// true. If the Namespace says something else, what was decided with it is void.
    ///
    /// # Errors
    /// If the Namespace cannot be read.
    pub(super) async fn confirm(&mut self, want: &Desired) -> Result<(), Failed> {
        let (namespace, described) = self.watched.confirm();
        self.rival = None;
        self.located = described.filter(|_| self.place == Place::AsConfigured);
        if namespace {
            let read = NamespacePolicy::of(&self.ctx.client, &want.namespace).await;
            let read = read.map_err(|failure| self.hasten(want, failed::of(ConditionType::Provisioned, failure)))?;
            if let Some(shown) = self.namespace.replace(read.clone()).filter(|shown| *shown != read) {
                self.ctx.known.correct_namespace(&want.namespace, &shown, &read);
                self.watched.is_void = true;
                (self.access, self.access_hash, self.aws, self.located) = (None, None, None, None);
            }
        }
        Ok(())
    }

    /// Whether what follows from watches may stand: the status stays as it is. The failure of a call to AWS says nothing of the
    /// Secret, but the identity follows from the Namespace.
    pub(super) fn may_stand(&self, want: &Desired, outcome: &Outcome, attempts: &Attempts, now: Timestamp) -> bool {
        if !self.watched.is_used() {
            return true;
        }
        match outcome {
            Outcome::Failed { .. } => !self.watched.namespace,
            _ => self.object.status.clone().unwrap_or_default() == self.next_status(Some(want), outcome, attempts, now),
        }
    }

    /// The status after this reconcile.
    pub(super) fn next_status(
        &self,
        want: Option<&Desired>,
        outcome: &Outcome,
        attempts: &Attempts,
        now: Timestamp,
    ) -> RotatedSecretStatus {
        let after = status::write(&self.object, want, outcome, attempts, now);
        RotatedSecretStatus { target: self.target_status(want, after.target.clone()), ..after }
    }
}
