//! What the first list of a source shows of the AWS secret, in place of a `DescribeSecret`.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::reconciler::Reconciler;
use crate::api::condition::Reason;
use crate::desired::Desired;
use crate::facts::{AwsSecret, StatusFacts};
use crate::feed::Source;
use crate::identity::Identity;
use crate::status;

/// A list that takes longer is given up. What arrived is used.
const LONGEST_LIST: Duration = Duration::from_secs(20);

impl Reconciler<'_> {
    /// The secret, as the first list shows it. `None`: it does not, or more is needed than a list shows. Only the operator's own
    /// identity lists: there may be a role for each namespace.
    pub(super) async fn first_listed(&mut self, want: &Desired, status: &StatusFacts) -> Option<AwsSecret> {
        let feed = self.ctx.feed.as_ref().filter(|_| !self.watched.is_confirmed())?;
        let aws = self.aws.as_ref()?;
        let (identity, own) = (aws.identity().clone(), aws.account());
        if identity != Identity::Operator || !self.was_at_rest() {
            return None;
        }
        let by_arn = want.secret_name.starts_with("arn:");
        let arn = if by_arn { &want.secret_name } else { status.arn.as_ref()? };
        let source = Source { identity, region: want.region.clone() };
        let found = feed.first_sight(&source, arn, own.as_ref(), (self.ctx.clock)(), async |pages| self.list(&source, pages).await).await?;
        // A list does not show replicas.
        let usable = (by_arn || found.name == want.secret_name) && found.primary_region.is_none();
        usable.then_some(found)
    }

    /// Whether the status says so. Otherwise, a list would not be enough.
    fn was_at_rest(&self) -> bool {
        let generation = self.object.metadata.generation;
        let Some(status) = &self.object.status else { return false };
        let ready = |c: &Condition| c.type_ == "Ready" && c.status == "True" && c.observed_generation == generation;
        status.conditions.iter().any(ready) && status.staged.is_none() && status.failures.is_none() && !status::urgent(&self.object)
    }

    /// The secrets of objects that are reconciled for the first time, and whether the list is complete. To the objects of
    /// these secrets, what arrived before a list was given up is as good as a whole list.
    async fn list(&self, source: &Source, pages: usize) -> (HashMap<String, AwsSecret>, bool) {
        let mut entries = HashMap::new();
        let (Some(aws), Some(feed)) = (&self.aws, &self.ctx.feed) else { return (entries, false) };
        let keep = |secret: AwsSecret| {
            if feed.expects(&secret.arn) {
                entries.insert(secret.arn.clone(), secret);
            }
        };
        // Other reconciles wait for it.
        let listed = tokio::time::timeout(LONGEST_LIST, aws.list(&source.region, pages, keep)).await.unwrap_or(Ok(false));
        let (region, role) = (&source.region, source.identity.role().map(ToString::to_string));
        let outcome = match &listed {
            Ok(true) => "ok",
            Ok(false) => "too_long",
            Err(failure) if failure.reason == Reason::AccessDenied => "denied",
            Err(_) => "failed",
        };
        self.ctx.metrics.feed_list(outcome);
        if outcome == "ok" {
            tracing::info!(region, role, secrets = entries.len(), "secrets are listed, instead of read one by one at the start");
        } else {
            tracing::info!(region, role, outcome, listed = entries.len(), "secrets are read one by one at the start");
        }
        (entries, outcome == "ok")
    }
}
