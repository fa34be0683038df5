//! Queues of SQS that the event bus of their Region sends events of Secrets Manager to. The bus is inside: a rule is a list of staging labels.

mod messages;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::clock::{Clock, after};
use crate::faults::FaultInjector;
use crate::lock::lock;
use crate::store::arn::{ACCOUNT, partition};
pub(crate) use messages::{Messages, Receipt};

/// What fault plans call the delivery of one event to one queue. `Delay`, `LoseEvent` and `RepeatEvent` act on it.
pub const EVENT: &str = "SecretLabelUpdated";

/// All queues of all Regions. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Queues(Arc<Parts>);

#[derive(Default)]
struct Parts {
    /// By Region and name.
    queues: Mutex<BTreeMap<(String, String), Queue>>,
    faults: Arc<Mutex<FaultInjector>>,
    arrived: Notify,
}

#[derive(Default)]
struct Queue {
    /// The labels whose events the rule selects; none: every label.
    labels: Vec<String>,
    messages: Messages,
}

/// A queue, as a test acts on it.
#[derive(Clone)]
pub struct EventQueue {
    queues: Queues,
    clock: Clock,
    region: String,
    name: String,
}

impl EventQueue {
    pub(crate) fn new(queues: &Queues, clock: Clock, region: &str, name: &str) -> Self {
        Self { queues: queues.clone(), clock, region: region.to_owned(), name: name.to_owned() }
    }

    /// Its URL, as AWS tells it. SDKs send requests to the endpoint that they are configured with.
    pub fn url(&self) -> String {
        let domain = if partition(&self.region) == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
        format!("https://sqs.{}.{domain}/{ACCOUNT}/{}", self.region, self.name)
    }

    /// Its ARN.
    pub fn arn(&self) -> String {
        arn(&self.region, &self.name)
    }

    /// Puts any message into it.
    pub fn post(&self, body: &str) {
        self.queues.post(&self.region, &self.name, body, self.clock.now());
    }

    /// The bodies of the messages that were not deleted, also those that a receiver has.
    pub fn bodies(&self) -> Vec<String> {
        self.queues.with(&self.region, &self.name, |messages| messages.bodies()).unwrap_or_default()
    }

    /// Ends the delays of messages that nobody has received yet.
    pub fn hasten(&self) {
        let now = self.clock.now();
        self.queues.with(&self.region, &self.name, |messages| messages.hasten(now));
        self.queues.0.arrived.notify_waiters();
    }

    /// Deletes the queue with its messages.
    pub fn delete(&self) {
        lock(&self.queues.0.queues).remove(&(self.region.clone(), self.name.clone()));
    }
}

impl std::fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventQueue").field("region", &self.region).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Queues {
    pub(crate) fn new(faults: Arc<Mutex<FaultInjector>>) -> Self {
        Self(Arc::new(Parts { faults, ..Parts::default() }))
    }

    /// Makes a queue, and the rule that selects the events of these labels for it.
    pub(crate) fn create(&self, region: &str, name: &str, labels: &[&str]) {
        let queue = Queue { labels: labels.iter().map(|label| (*label).to_owned()).collect(), messages: Messages::default() };
        lock(&self.0.queues).insert((region.to_owned(), name.to_owned()), queue);
    }

    /// The bus has an event about this label: every queue of the Region whose rule selects it gets a message.
    pub(crate) fn send(&self, region: &str, label: &str, body: &str, now: Timestamp) {
        for ((of, _), queue) in lock(&self.0.queues).iter_mut().filter(|((of, _), _)| of == region) {
            if !(queue.labels.is_empty() || queue.labels.iter().any(|selected| selected == label)) {
                continue;
            }
            let injected = lock(&self.0.faults).next(EVENT, of);
            let copies = if injected.lose_event { 0 } else { 1 + injected.repeat };
            for _ in 0..copies {
                queue.messages.post(body, now, after(now, injected.delay));
            }
        }
        self.0.arrived.notify_waiters();
    }

    fn post(&self, region: &str, name: &str, body: &str, now: Timestamp) {
        self.with(region, name, |messages| messages.post(body, now, now));
        self.0.arrived.notify_waiters();
    }

    /// Acts on the messages of a queue, if it exists.
    pub(crate) fn with<T>(&self, region: &str, name: &str, act: impl FnOnce(&mut Messages) -> T) -> Option<T> {
        lock(&self.0.queues).get_mut(&(region.to_owned(), name.to_owned())).map(|queue| act(&mut queue.messages))
    }

    /// Until a message arrives, or a delayed one may be due.
    pub(crate) async fn arrival(&self) {
        let _ = tokio::time::timeout(Duration::from_millis(20), self.0.arrived.notified()).await;
    }
}

pub(crate) fn arn(region: &str, name: &str) -> String {
    format!("arn:{}:sqs:{region}:{ACCOUNT}:{name}", partition(region))
}
