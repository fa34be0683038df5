//! The messages of one standard queue: at least once, in no guaranteed order, invisible to others while a receiver has them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::clock::{after, before};

/// For how long a queue keeps a message, by default.
const RETENTION: Duration = Duration::from_hours(4 * 24);
/// An EventBridge rule has no IAM user: the service sends.
const SENDER: &str = "AIDAJ2E3KPEXAMPLE";

#[derive(Debug, Default)]
pub(crate) struct Messages {
    next: u64,
    /// In the order of their arrival.
    kept: BTreeMap<u64, Message>,
}

#[derive(Debug)]
struct Message {
    id: String,
    body: String,
    sent: Timestamp,
    /// From when on it can be received.
    visible: Timestamp,
    received: u64,
    first_received: Option<Timestamp>,
}

/// What a receiver names a message by: its number, and how often it had been received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Receipt {
    number: u64,
    received: u64,
}

impl Receipt {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (number, received) = text.strip_prefix("AQEB")?.split_once('+')?;
        Some(Self { number: number.parse().ok()?, received: received.parse().ok()? })
    }
}

impl std::fmt::Display for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AQEB{}+{}", self.number, self.received)
    }
}

impl Messages {
    pub(crate) fn post(&mut self, body: &str, sent: Timestamp, visible: Timestamp) {
        let message = Message { id: Uuid::new_v4().to_string(), body: body.to_owned(), sent, visible, received: 0, first_received: None };
        self.kept.insert(self.next, message);
        self.next += 1;
    }

    pub(crate) fn bodies(&self) -> Vec<String> {
        self.kept.values().map(|message| message.body.clone()).collect()
    }

    /// Messages that nobody has received yet can be received from now on.
    pub(crate) fn hasten(&mut self, now: Timestamp) {
        for message in self.kept.values_mut().filter(|message| message.received == 0) {
            message.visible = message.visible.min(now);
        }
    }

    /// Up to so many messages, which become invisible. `attributes`: the system attributes that are shown of each.
    pub(crate) fn receive(&mut self, most: usize, hidden: Duration, attributes: &[&str], now: Timestamp) -> Vec<Value> {
        let horizon = before(now, RETENTION);
        self.kept.retain(|_, message| message.sent > horizon);
        let visible = self.kept.iter_mut().filter(|(_, message)| message.visible <= now).take(most);
        visible
            .map(|(number, message)| {
                message.visible = after(now, hidden);
                message.received += 1;
                message.first_received.get_or_insert(now);
                message.show(Receipt { number: *number, received: message.received }, attributes)
            })
            .collect()
    }

    /// Deletes a message. Without effect if it is gone, or was received again since.
    pub(crate) fn delete(&mut self, receipt: Receipt) {
        if self.kept.get(&receipt.number).is_some_and(|message| message.received == receipt.received) {
            self.kept.remove(&receipt.number);
        }
    }

    /// Changes for how long a message stays invisible. `false`: it is not invisible.
    pub(crate) fn hide(&mut self, receipt: Receipt, hidden: Duration, now: Timestamp) -> bool {
        let message = self.kept.get_mut(&receipt.number).filter(|message| message.received == receipt.received && message.visible > now);
        message.map(|message| message.visible = after(now, hidden)).is_some()
    }
}

impl Message {
    fn show(&self, receipt: Receipt, attributes: &[&str]) -> Value {
        let all = [
            ("SenderId", SENDER.to_owned()),
            ("SentTimestamp", self.sent.as_millisecond().to_string()),
            ("ApproximateReceiveCount", self.received.to_string()),
            ("ApproximateFirstReceiveTimestamp", self.first_received.unwrap_or(self.sent).as_millisecond().to_string()),
        ];
        let wanted = |name: &str| attributes.iter().any(|attribute| [name, "All"].contains(attribute));
        let shown: Map<String, Value> =
            all.into_iter().filter(|(name, _)| wanted(name)).map(|(name, value)| (name.to_owned(), value.into())).collect();
        let mut message = json!({
            "MessageId": self.id,
            "ReceiptHandle": receipt.to_string(),
            "MD5OfBody": md5(&self.body),
            "Body": self.body,
        });
        if let (Some(message), false) = (message.as_object_mut(), shown.is_empty()) {
            message.insert("Attributes".to_owned(), shown.into());
        }
        message
    }
}

fn md5(text: &str) -> String {
    use md5::{Digest as _, Md5};
    hex::encode(Md5::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_rfc_1321() {
        assert_eq!(md5("abc"), "900150983cd24fb0d6963f7d28e17f72");
    }

    #[test]
    fn a_delayed_message_that_is_hastened_arrives_and_one_that_a_receiver_has_stays_invisible() {
        let (now, hour) = (Timestamp::UNIX_EPOCH, Duration::from_hours(1));
        let mut messages = Messages::default();
        messages.post("received", now, now);
        assert_eq!(messages.receive(10, hour, &[], now).len(), 1);
        messages.post("delayed", now, after(now, hour));
        assert_eq!(messages.receive(10, hour, &[], now).len(), 0);
        messages.hasten(now);
        let arrived = messages.receive(10, hour, &[], now);
        assert_eq!(arrived.iter().map(|message| message["Body"].as_str()).collect::<Vec<_>>(), [Some("delayed")]);
    }

    #[test]
    fn a_receipt_is_read_as_it_was_written() {
        let receipt = Receipt { number: 7, received: 2 };
        assert_eq!(Receipt::parse(&receipt.to_string()), Some(receipt));
        for bad in ["", "AQEB", "AQEB1", "x1+2", "AQEB1+"] {
            assert_eq!(Receipt::parse(bad), None, "{bad}");
        }
    }
}
