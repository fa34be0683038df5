//! Queues of SQS on the wire: AWS JSON 1.0, with error codes of the older query protocol in a header.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-json-api-responses.html>

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::error::AwsError;
use crate::iam::Principal;
use crate::queue::{EventQueue, Messages, Queues, Receipt, arn};
use crate::service::{Emulator, Reply};
use crate::store::Answer;

/// For how long a received message is invisible, unless the call says otherwise.
const VISIBILITY: u64 = 30;
const LONGEST_VISIBILITY: u64 = 43_200;
/// The longest long poll.
const LONGEST_WAIT: u64 = 20;
const MOST_MESSAGES: u64 = 10;

impl Emulator {
    /// A queue in the emulator's own Region, and the rule that selects events for it: those of these staging labels; none: of every label.
    pub fn create_event_queue(&self, name: &str, labels: &[&str]) -> EventQueue {
        self.queues().create(self.region(), name, labels);
        EventQueue::new(self.queues(), self.clock(), self.region(), name)
    }

    /// The queue of this name in the emulator's own Region.
    pub fn event_queue(&self, name: &str) -> Option<EventQueue> {
        let exists = self.queues().with(self.region(), name, |_| ());
        exists.map(|()| EventQueue::new(self.queues(), self.clock(), self.region(), name))
    }

    /// One call of SQS with its faults, IAM, count and log. A call for messages is counted when it is answered.
    pub(crate) async fn answer_sqs(&self, who: &Principal, region: &str, operation: &str, body: &Value) -> Reply {
        let injected = self.draw(operation, region);
        if !injected.delay.is_zero() {
            tokio::time::sleep(injected.delay).await;
        }
        let (status, answer) = match injected.refusal {
            Some((status, error)) if error.code == "ThrottlingException" => (status, Err(AwsError::new("RequestThrottled", error.message))),
            Some((status, error)) => (status, Err(error)),
            None => match self.call_sqs(who, region, operation, body).await {
                Ok(value) => (200, Ok(value)),
                Err(error) if error.code == "AccessDenied" => (403, Err(error)),
                Err(error) => (400, Err(error)),
            },
        };
        self.note(region, operation, body, &answer, !injected.lose_answer);
        if injected.lose_answer { Reply::Severed } else { Reply::Answer(status, answer) }
    }

    async fn call_sqs(&self, who: &Principal, region: &str, operation: &str, body: &Value) -> Answer {
        // DeleteMessageBatch needs the permission for DeleteMessage.
        let action = operation.strip_suffix("Batch").unwrap_or(operation);
        let url = body.get("QueueUrl").and_then(Value::as_str).ok_or_else(|| missing("QueueUrl"))?;
        let name = url.rsplit('/').next().unwrap_or_default();
        self.iam().authorise_sqs(who, region, action, &arn(region, name))?;
        let exists = self.queues().with(region, name, |_| ()).is_some();
        if !exists {
            return Err(no_queue());
        }
        match operation {
            "ReceiveMessage" => self.receive(region, name, body).await,
            "DeleteMessage" => {
                let receipt = receipt(body)?;
                self.queues().with(region, name, |messages| messages.delete(receipt)).ok_or_else(no_queue)?;
                Ok(json!({}))
            }
            "DeleteMessageBatch" => delete_batch(self.queues(), region, name, body),
            "ChangeMessageVisibility" => {
                let receipt = receipt(body)?;
                let hidden = number(body, "VisibilityTimeout", 0, LONGEST_VISIBILITY)?.ok_or_else(|| missing("VisibilityTimeout"))?;
                let now = self.clock().now();
                let hide = |messages: &mut Messages| messages.hide(receipt, Duration::from_secs(hidden), now);
                match self.queues().with(region, name, hide) {
                    Some(true) => Ok(json!({})),
                    Some(false) => Err(AwsError::new(
                        "AWS.SimpleQueueService.MessageNotInflight",
                        "The specified message does not exist or is not available for visibility timeout change.",
                    )),
                    None => Err(no_queue()),
                }
            }
            _ => Err(AwsError::new("UnknownOperationException", "The operation is not known.")),
        }
    }

    /// Waits for the first message, then takes what there is.
    async fn receive(&self, region: &str, name: &str, body: &Value) -> Answer {
        let most = number(body, "MaxNumberOfMessages", 1, MOST_MESSAGES)?.unwrap_or(1);
        let wait = number(body, "WaitTimeSeconds", 0, LONGEST_WAIT)?.unwrap_or(0);
        let hidden = Duration::from_secs(number(body, "VisibilityTimeout", 0, LONGEST_VISIBILITY)?.unwrap_or(VISIBILITY));
        let names = |member: &str| body.get(member).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let attributes: Vec<&str> = names("MessageSystemAttributeNames").chain(names("AttributeNames")).collect();
        let until = Instant::now() + Duration::from_secs(wait);
        loop {
            let now = self.clock().now();
            let most = usize::try_from(most).unwrap_or(1);
            let take = |messages: &mut Messages| messages.receive(most, hidden, &attributes, now);
            let taken = self.queues().with(region, name, take).ok_or_else(no_queue)?;
            if !taken.is_empty() {
                return Ok(json!({"Messages": taken}));
            }
            if Instant::now() >= until {
                return Ok(json!({}));
            }
            self.queues().arrival().await;
        }
    }
}

fn delete_batch(queues: &Queues, region: &str, name: &str, body: &Value) -> Answer {
    let entries = body.get("Entries").and_then(Value::as_array).ok_or_else(|| missing("Entries"))?;
    let id = |entry: &Value| entry.get("Id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let refusal = |code: &'static str, message: &str| Err(AwsError::new(format!("AWS.SimpleQueueService.{code}"), message));
    if entries.is_empty() {
        return refusal("EmptyBatchRequest", "There should be at least one DeleteMessageBatchRequestEntry in the request.");
    }
    if entries.len() > 10 {
        return refusal("TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10.");
    }
    let ids: BTreeSet<String> = entries.iter().map(id).collect();
    if ids.len() < entries.len() {
        return refusal("BatchEntryIdsNotDistinct", "An Id of a batch entry is repeated.");
    }
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for entry in entries {
        match receipt(entry) {
            Ok(receipt) => {
                queues.with(region, name, |messages| messages.delete(receipt)).ok_or_else(no_queue)?;
                successful.push(json!({"Id": id(entry)}));
            }
            Err(error) => failed.push(json!({"Id": id(entry), "SenderFault": true, "Code": error.code, "Message": error.message})),
        }
    }
    Ok(json!({"Successful": successful, "Failed": failed}))
}

fn receipt(body: &Value) -> Result<Receipt, AwsError> {
    let handle = body.get("ReceiptHandle").and_then(Value::as_str).ok_or_else(|| missing("ReceiptHandle"))?;
    Receipt::parse(handle).ok_or_else(|| AwsError::new("ReceiptHandleIsInvalid", "The input receipt handle is invalid."))
}

fn number(body: &Value, name: &str, least: u64, most: u64) -> Result<Option<u64>, AwsError> {
    let Some(given) = body.get(name) else { return Ok(None) };
    let fits = given.as_u64().filter(|number| (least..=most).contains(number));
    let reason = || format!("Value {given} for parameter {name} is invalid. Reason: Must be between {least} and {most}, if provided.");
    fits.map(Some).ok_or_else(|| AwsError::new("InvalidParameterValue", reason()))
}

fn missing(name: &str) -> AwsError {
    AwsError::new("MissingParameter", format!("The request must contain the parameter {name}."))
}

fn no_queue() -> AwsError {
    AwsError::new("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
}
