//! What the first list of a source shows of the AWS secret, in place of a `DescribeSecret`.

use std::collections::HashMap;

use super::reconciler::Reconciler;
use crate::api::condition::Reason;
use crate::desired::Desired;
use crate::facts::{AwsSecret, StatusFacts};
use crate::feed::Source;
use crate::identity::Identity;

impl Reconciler<'_> {
    /// The secret, as the first list shows it. `None`: it does not, or more is needed than a list shows.
    pub(super) async fn first_listed(&mut self, want: &Desired, status: &StatusFacts) -> Option<AwsSecret> {
        let feed = self.ctx.feed.as_ref().filter(|_| !self.watched.is_confirmed())?;
        let identity = self.aws.as_ref()?.identity().clone();
        if matches!(identity, Identity::ServiceAccount { .. }) {
            return None;
        }
        let by_arn = want.secret_name.starts_with("arn:");
        let arn = if by_arn { &want.secret_name } else { status.arn.as_ref()? };
        let source = Source { identity, region: want.region.clone() };
        let found = feed.first_sight(&source, arn, (self.ctx.clock)(), async |pages| self.list(&source, pages).await).await?;
        // A list does not show replicas.
        let usable = (by_arn || found.name == want.secret_name) && found.primary_region.is_none();
        usable.then_some(found)
    }

    async fn list(&self, source: &Source, pages: usize) -> Option<HashMap<String, AwsSecret>> {
        let mut entries = HashMap::new();
        let aws = self.aws.as_ref()?;
        let listed = aws.list(&source.region, pages, |secret| drop(entries.insert(secret.arn.clone(), secret))).await;
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
            return Some(entries);
        }
        tracing::info!(region, role, outcome, "secrets are read one by one at the start");
        None
    }
}
