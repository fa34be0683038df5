//! Receives from a queue of SQS.

use std::time::Duration;

use aws_config::Region;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, MessageSystemAttributeName};
use aws_sdk_sqs::{Client, config};
use jiff::Timestamp;

use super::client::Aws;
use super::fault::Fault;
use super::meter::Meter;
use super::operation::Operation;
use crate::failure::Failure;

/// How long AWS waits for the first message before it answers that there is none. Longer is not possible.
const WAIT_SECONDS: i32 = 20;
/// Messages of one answer. More are not possible.
const MOST: i32 = 10;

/// A message.
#[derive(Debug, Clone)]
pub struct Message {
    /// What anyone who may send to the queue wrote.
    pub body: String,
    /// When it was sent, by the clock of AWS.
    pub sent: Option<Timestamp>,
    /// What it is deleted by.
    receipt: String,
}

/// A queue, read with the operator's own credentials.
pub struct Queue {
    aws: Aws,
    client: Client,
    url: String,
    region: String,
}

impl Aws {
    /// The queue with this URL.
    pub fn queue(&self, url: &str) -> Queue {
        let environment = self.environment();
        let region = region(url).map(str::to_owned).or_else(|| environment.region()).unwrap_or_default();
        // Longer than AWS waits.
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .operation_attempt_timeout(Duration::from_secs(30))
            .operation_timeout(Duration::from_secs(65))
            .build();
        let config = config::Builder::from(&environment.config)
            .region(Region::new(region.clone()))
            .timeout_config(timeouts)
            .interceptor(Meter::new(&environment.calls, &region, None));
        Queue { aws: self.clone(), client: Client::from_conf(config.build()), url: url.to_owned(), region }
    }
}

impl Queue {
    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Waits up to 20 seconds for messages. Those that it returns are hidden from other receivers, by default for 30 seconds.
    ///
    /// # Errors
    /// Any refusal, or no answer.
    pub async fn receive(&self) -> Result<Vec<Message>, Failure> {
        let request = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(MOST)
            .wait_time_seconds(WAIT_SECONDS)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
        let answer = self.aws.environment().calls.call(&self.region, Operation::ReceiveMessage, None, request.send()).await;
        let messages = answer.map_err(Fault::into_failure)?.messages.unwrap_or_default().into_iter();
        let read = messages.map(|message| {
            let sent = message.attributes().and_then(|attributes| attributes.get(&MessageSystemAttributeName::SentTimestamp));
            let sent = sent.and_then(|sent| Timestamp::from_millisecond(sent.parse().ok()?).ok());
            Message { sent, body: message.body.unwrap_or_default(), receipt: message.receipt_handle.unwrap_or_default() }
        });
        Ok(read.collect())
    }

    /// Deletes messages. One that cannot be deleted comes again.
    ///
    /// # Errors
    /// Any refusal, also of a single message, or no answer.
    pub async fn delete(&self, messages: &[Message]) -> Result<(), Failure> {
        let entry = |(number, message): (usize, &Message)| {
            DeleteMessageBatchRequestEntry::builder().id(number.to_string()).receipt_handle(&message.receipt).build().ok()
        };
        let entries = messages.iter().enumerate().filter_map(entry).collect();
        let request = self.client.delete_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let answer = self.aws.environment().calls.call(&self.region, Operation::DeleteMessageBatch, None, request.send()).await;
        let refused = answer.map_err(Fault::into_failure)?.failed.into_iter().next();
        refused.map_or(Ok(()), |refused| {
            Err(Fault::of_entry(Operation::DeleteMessageBatch, &refused.code, refused.sender_fault).into_failure())
        })
    }
}

/// The region in the host of the URL of a queue: `sqs.REGION.amazonaws.com`, also of FIPS, dual-stack and VPC endpoints, and
/// the older form `REGION.queue.amazonaws.com`. `None`: the host names none.
fn region(url: &str) -> Option<&str> {
    let host = url.split_once("://")?.1.split(['/', ':']).next()?;
    let parts: Vec<&str> = host.split('.').collect();
    let after = |name: &str| parts.iter().position(|part| *part == name).and_then(|at| parts.get(at.checked_add(1)?)).copied();
    let before = |name: &str| parts.iter().position(|part| *part == name).and_then(|at| parts.get(at.checked_sub(1)?)).copied();
    let found = after("sqs").or_else(|| after("sqs-fips")).or_else(|| before("queue"))?;
    found.contains('-').then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_that_of_the_host() {
        for (url, expected) in [
            ("https://sqs.eu-central-1.amazonaws.com/123456789012/changes", Some("eu-central-1")),
            ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/changes", Some("cn-north-1")),
            ("https://sqs-fips.us-gov-west-1.amazonaws.com/123456789012/changes", Some("us-gov-west-1")),
            ("https://sqs.eu-west-1.api.aws/123456789012/changes", Some("eu-west-1")),
            ("https://vpce-0a1b-2c3d.sqs.eu-west-1.vpce.amazonaws.com/123456789012/changes", Some("eu-west-1")),
            ("https://us-west-2.queue.amazonaws.com/123456789012/sqs.eu-west-1", Some("us-west-2")),
            ("https://queue.amazonaws.com/123456789012/changes", None),
            ("http://127.0.0.1:4566/123456789012/changes", None),
            ("https://sqs.internal/123456789012/changes", None),
        ] {
            assert_eq!(region(url), expected, "{url}");
        }
    }
}
