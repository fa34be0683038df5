//! The loop of the change feed: lists when one is due, and requests the reconciles of objects whose secret changed.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

use super::urgent;
use crate::api::condition::Reason;
use crate::backoff::Class;
use crate::election::Leadership;
use crate::facts::Listed;
use crate::failure::Failure;
use crate::fairness::{Key, Permits, Urgency};
use crate::feed::{Answer, Feed, LAG, PARTS, Source, Standing};
use crate::reconcile::Context;

/// Ends with the controller, which drops it. `wake` requests the reconcile of an object.
pub(super) async fn feed(ctx: Arc<Context>, leadership: Leadership, permits: Arc<Permits>, wake: UnboundedSender<Key>) {
    let Some(feed) = &ctx.feed else { return };
    let part_of_an_interval = ctx.refresh_interval.checked_div(i32::try_from(PARTS).unwrap_or(1)).unwrap_or(ctx.refresh_interval);
    let pause = Duration::try_from(part_of_an_interval).unwrap_or_default();
    let mut lists = JoinSet::new();
    for part in (0..PARTS).cycle() {
        tokio::time::sleep(pause).await;
        if !leadership.may_begin() {
            // The objects change, and this replica does not see it.
            lists.abort_all();
            feed.clear();
            continue;
        }
        let now = (ctx.clock)();
        for (source, since) in feed.due(now) {
            // A region that does not answer must not hold the others up.
            let (permits, wake) = (Arc::clone(&permits), wake.clone());
            lists.spawn(list(Arc::clone(&ctx), source, since, now, move |object: &Key| {
                urgent::request(&permits, &wake, object, Urgency::News);
            }));
        }
        while lists.try_join_next().is_some() {}
        for object in feed.uncovered(part, now) {
            // The receiver ends with the controller.
            let _ = wake.send(object);
        }
    }
}

async fn list(ctx: Arc<Context>, source: Source, since: Option<Timestamp>, began: Timestamp, request: impl Fn(&Key)) {
    let Some(feed) = &ctx.feed else { return };
    let (answer, outcome, failure) = match changed(&ctx, feed, &source, since).await {
        Ok(Some(entries)) => (Answer::Listed(entries), "ok", None),
        Ok(None) => (Answer::TooLong, "too_long", None),
        Err(failure) if failure.class == Class::Denied => (Answer::Denied, "denied", Some(failure)),
        Err(failure) => (Answer::Failed, "failed", Some(failure)),
    };
    ctx.metrics.feed_list(outcome);
    let (changed, standing) = feed.ended(&source, began, &answer);
    ctx.metrics.feed_changes(changed.len());
    report(&source, standing, failure.as_ref());
    // Something happened to them, unlike to those that lists do not cover.
    changed.iter().for_each(request);
}

async fn changed(ctx: &Context, feed: &Feed, source: &Source, since: Option<Timestamp>) -> Result<Option<Vec<Listed>>, Failure> {
    let token = async || Err(Failure::bug("a ServiceAccount does not list"));
    let list = async { ctx.aws.client_for(&source.identity, token).await?.changed_since(&source.region, since, LAG).await };
    let limit = Duration::try_from(feed.longest_list()).unwrap_or_default();
    tokio::time::timeout(limit, list).await.unwrap_or_else(|_| Err(unfinished()))
}

fn unfinished() -> Failure {
    let message = "ListSecrets did not end in time, because AWS answers slowly or many secrets changed".to_owned();
    Failure { class: Class::Retry, reason: Reason::AwsUnavailable, message, request_id: None }
}

/// A line when lists begin to fail, and when they work again.
fn report(source: &Source, standing: Option<Standing>, failure: Option<&Failure>) {
    let (region, role) = (&source.region, source.identity.role().map(ToString::to_string));
    match standing {
        Some(Standing::Working) => tracing::info!(region, role, "changes in AWS are found by ListSecrets"),
        Some(Standing::Failing | Standing::Denied) => tracing::warn!(
            region,
            role,
            reason = failure.map(|failure| failure.reason.as_str()),
            message = failure.map_or("more than 10,000 secrets changed", |failure| failure.message.as_str()),
            request_id = failure.and_then(|failure| failure.request_id.as_deref()),
            "changes in AWS cannot be listed; objects are read one by one"
        ),
        Some(Standing::Unknown) | None => {}
    }
}
