//! The loop of the event queues: receives messages, and requests the reconciles of objects whose AWS secret has another
//! version than they saw. It decides nothing: see docs/design/0027-change-feed.md.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future;
use tokio::sync::mpsc::UnboundedSender;

use super::urgent;
use crate::aws::{Message, Queue};
use crate::backoff::Class;
use crate::election::Leadership;
use crate::failure::Failure;
use crate::fairness::{Key, Permits, Urgency};
use crate::feed::{Again, Arrival, EventIndex, LabelMoved, Useless};
use crate::reconcile::Context;

/// An empty answer that comes sooner is not that of a long poll.
const SHORTEST_POLL: Duration = Duration::from_secs(1);
/// The longest wait after calls that failed.
const LONGEST_BACKOFF: Duration = Duration::from_mins(1);
/// A message that could not be deleted has not come again for so long: it is gone. By default, it comes again after 30
/// seconds.
const COMES_AGAIN: Duration = Duration::from_mins(5);
/// How long after a reconcile that did not see the version of its event AWS is asked once more.
const OLD_STATE: Duration = Duration::from_secs(5);
/// How often a replica that is not the leader asks whether it is.
const STANDBY: Duration = Duration::from_secs(1);

/// The queues of all controllers of this process.
pub(super) struct Receivers {
    ctx: Arc<Context>,
    leadership: Leadership,
    permits: Arc<Permits>,
    queues: Vec<Receiver>,
    /// Each controller has the objects of one namespace, or of all.
    wakes: Mutex<Vec<(Option<String>, UnboundedSender<Key>)>>,
}

struct Receiver {
    queue: Queue,
    standing: Mutex<Standing>,
}

/// What failed lately with a queue.
#[derive(Debug, Default)]
struct Trouble {
    /// Calls in a row.
    failures: u32,
    /// When messages could not be deleted. An empty answer meanwhile only shows that they are hidden.
    undeleted: Option<Instant>,
}

/// Whether a queue can be read.
#[derive(Debug, Clone, Copy)]
enum Standing {
    /// Not tried yet.
    Unknown,
    Readable,
    UnreadableSince(Instant),
}

/// A reconcile in progress, for the index. When it ends, an event that arrived meanwhile may request another one.
pub(super) struct Watched<'a> {
    index: Option<&'a EventIndex>,
    permits: &'a Arc<Permits>,
    key: Key,
    wake: &'a UnboundedSender<Key>,
}

impl<'a> Watched<'a> {
    pub(super) fn new(ctx: &'a Context, permits: &'a Arc<Permits>, key: &Key, wake: &'a UnboundedSender<Key>) -> Self {
        let index = ctx.event_index.as_ref();
        if let Some(index) = index {
            index.begins(key);
        }
        Self { index, permits, key: key.clone(), wake }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        match self.index.map_or(Again::No, |index| index.ends(&self.key)) {
            Again::No => {}
            Again::Now => urgent::request(self.permits, self.wake, &self.key, Urgency::News),
            Again::Later => request_later(self.permits, self.wake, &self.key),
        }
    }
}

fn request_later(permits: &Arc<Permits>, wake: &UnboundedSender<Key>, object: &Key) {
    // Without a runtime, the process ends.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    let (permits, wake, object) = (Arc::clone(permits), wake.clone(), object.clone());
    runtime.spawn(async move {
        tokio::time::sleep(OLD_STATE).await;
        urgent::request(&permits, &wake, &object, Urgency::News);
    });
}

impl Receivers {
    pub(super) fn new(ctx: &Arc<Context>, leadership: &Leadership, permits: &Arc<Permits>, urls: &[String]) -> Arc<Self> {
        let receiver = |url: &String| Receiver { queue: ctx.aws.queue(url), standing: Mutex::new(Standing::Unknown) };
        let queues = urls.iter().map(receiver).collect();
        let (leadership, permits) = (leadership.clone(), Arc::clone(permits));
        let receivers = Arc::new(Self { ctx: Arc::clone(ctx), leadership, permits, queues, wakes: Mutex::default() });
        ctx.metrics.measure_unreadable_queue({
            // The context has the metrics.
            let receivers = Arc::downgrade(&receivers);
            move || receivers.upgrade().map_or(Duration::ZERO, |receivers| receivers.longest_unreadable())
        });
        receivers
    }

    /// `wake` requests the reconcile of an object in this part of the scope.
    pub(super) fn add(&self, part: Option<&str>, wake: &UnboundedSender<Key>) {
        lock(&self.wakes).push((part.map(str::to_owned), wake.clone()));
    }

    /// Receives until it is dropped.
    pub(super) async fn run(&self) {
        future::join_all(self.queues.iter().map(|receiver| self.receive(receiver))).await;
        future::pending::<()>().await;
    }

    async fn receive(&self, receiver: &Receiver) -> Infallible {
        let mut trouble = Trouble::default();
        loop {
            if !self.leadership.may_begin() {
                // Another replica receives, and what it does is not seen here.
                if let Some(index) = &self.ctx.event_index {
                    index.clear();
                }
                *lock(&receiver.standing) = Standing::Unknown;
                trouble = Trouble::default();
                tokio::time::sleep(STANDBY).await;
                continue;
            }
            let started = Instant::now();
            let answer = tokio::select! {
                answer = receiver.queue.receive() => answer,
                // A message that the answer would have had is hidden for a while, then the leader gets it.
                () = self.leadership.over() => continue,
            };
            if answer.is_ok() {
                self.ctx.metrics.feed_receive("ok");
            }
            let pause = match answer {
                Ok(messages) if messages.is_empty() => {
                    if trouble.undeleted.is_none_or(|at| at.elapsed() > COMES_AGAIN) {
                        Self::works(receiver, &mut trouble);
                    }
                    SHORTEST_POLL.saturating_sub(started.elapsed())
                }
                // Nothing begins here any more. The messages are hidden for a while, then the leader gets them.
                Ok(_) if !self.leadership.may_begin() => continue,
                Ok(messages) => {
                    self.take(&messages);
                    match receiver.queue.delete(&messages).await {
                        Ok(()) => {
                            Self::works(receiver, &mut trouble);
                            Duration::ZERO
                        }
                        Err(failure) => {
                            trouble.undeleted = Some(Instant::now());
                            self.fails(receiver, &failure, &mut trouble.failures)
                        }
                    }
                }
                Err(failure) => self.fails(receiver, &failure, &mut trouble.failures),
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Requests what the messages ask for. They are deleted afterwards: a message whose deletion is lost comes again, and costs at most
    /// one more reconcile.
    fn take(&self, messages: &[Message]) {
        let Some(index) = &self.ctx.event_index else { return };
        for message in messages {
            let outcome = match LabelMoved::parse(&message.body).map(|event| index.arrives(event)) {
                Ok(Arrival::Requested(objects)) => {
                    for object in &objects {
                        self.wake(object);
                    }
                    "requested"
                }
                Ok(Arrival::InProgress) => "in_progress",
                Ok(Arrival::Echo) => "echo",
                Ok(Arrival::Unknown) => "unknown",
                Err(Useless::Other) => "other",
                Err(Useless::Invalid) => "invalid",
            };
            // The clocks of AWS and of this node may differ.
            let age = message.sent.map(|sent| jiff::Timestamp::now().duration_since(sent)).and_then(|age| Duration::try_from(age).ok());
            self.ctx.metrics.feed_message(outcome, age);
        }
    }

    fn wake(&self, object: &Key) {
        let wakes = lock(&self.wakes);
        let of_part = |part: &Option<String>| part.as_ref().is_none_or(|namespace| **namespace == *object.namespace);
        for (_, wake) in wakes.iter().filter(|(part, _)| of_part(part)) {
            urgent::request(&self.permits, wake, object, Urgency::News);
        }
    }

    fn works(receiver: &Receiver, trouble: &mut Trouble) {
        *trouble = Trouble::default();
        if receiver.readable() {
            tracing::info!(queue = receiver.queue.url(), "changes in AWS are found by events");
        }
    }

    /// Records a call that failed, with a line if the one before did not. Says how long to wait.
    fn fails(&self, receiver: &Receiver, failure: &Failure, failures: &mut u32) -> Duration {
        self.ctx.metrics.feed_receive(if failure.class == Class::Denied { "denied" } else { "failed" });
        if receiver.unreadable() {
            tracing::warn!(
                queue = receiver.queue.url(),
                reason = failure.reason.as_str(),
                message = failure.message,
                request_id = failure.request_id.as_deref(),
                "the event queue cannot be read; changes in AWS are found by the periodic checks"
            );
        }
        let pause = Duration::from_secs(1_u64.checked_shl(*failures).unwrap_or(u64::MAX)).min(LONGEST_BACKOFF);
        *failures = failures.saturating_add(1);
        pause
    }

    fn longest_unreadable(&self) -> Duration {
        let since = self.queues.iter().filter_map(|receiver| match *lock(&receiver.standing) {
            Standing::UnreadableSince(since) => Some(since),
            Standing::Unknown | Standing::Readable => None,
        });
        since.min().map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl Receiver {
    /// It was read. Says whether this is new.
    fn readable(&self) -> bool {
        !matches!(std::mem::replace(&mut *lock(&self.standing), Standing::Readable), Standing::Readable)
    }

    /// It could not be read. Says whether this is new.
    fn unreadable(&self) -> bool {
        let mut standing = lock(&self.standing);
        let new = !matches!(*standing, Standing::UnreadableSince(_));
        if new {
            *standing = Standing::UnreadableSince(Instant::now());
        }
        new
    }
}

/// The data is complete after every change, so a poisoned lock is used as it is.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
