//! The event bus and the queue: which changes are told, in which shape, and how messages are received.

use std::time::Duration;

use emulator::{EVENT, Emulator, EventQueue, Fault, FaultPlan, When};
use serde_json::{Value, json};

use super::wire::{Raw, Wire, name, text, token};
use super::{Broken, Rule, must, same, timed};

fn call(w: &Wire, operation: &str, body: &Value) -> Result<Raw, Broken> {
    let authorization = w.authorization().replace("/secretsmanager/", "/sqs/");
    w.send(&[("x-amz-target", &format!("AmazonSQS.{operation}")), ("authorization", &authorization)], &body.to_string())
}

fn ok(w: &Wire, operation: &str, body: &Value) -> Result<Value, Broken> {
    let raw = call(w, operation, body)?;
    must(raw.status == 200, format!("{operation} was refused: {}", raw.text))?;
    Ok(raw.body)
}

/// Expects a refusal with this code of the query protocol.
fn refused(w: &Wire, operation: &str, body: &Value, code: &str) -> Result<Raw, Broken> {
    let raw = call(w, operation, body)?;
    same(raw.status, 400)?;
    same(raw.headers.get("x-amzn-query-error").cloned(), Some(format!("{code};Sender")))?;
    Ok(raw)
}

fn receive(w: &Wire, queue: &EventQueue, more: &Value) -> Result<Vec<Value>, Broken> {
    let mut body = json!({"QueueUrl": queue.url(), "MaxNumberOfMessages": 10});
    if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
        body.extend(more.clone());
    }
    Ok(ok(w, "ReceiveMessage", &body)?["Messages"].as_array().cloned().unwrap_or_default())
}

/// The only message.
fn one(w: &Wire, queue: &EventQueue, more: &Value) -> Result<Value, Broken> {
    let mut messages = receive(w, queue, more)?;
    same(messages.len(), 1)?;
    messages.pop().ok_or_else(|| "there is no message".to_owned())
}

fn events(queue: &EventQueue) -> Vec<Value> {
    queue.bodies().iter().map(|body| serde_json::from_str(body).unwrap()).collect()
}

/// The labels of the events, in their order.
fn labels(queue: &EventQueue) -> Vec<String> {
    events(queue).iter().map(|event| text(&event["detail"], "labelUpdated")).collect()
}

fn put(w: &Wire, secret: &str, stages: &[&str]) -> Result<String, Broken> {
    let id = token();
    w.ok("PutSecretValue", json!({"SecretId": secret, "SecretString": id, "ClientRequestToken": id, "VersionStages": stages}))?;
    Ok(id)
}

fn shipped(e: &Emulator) -> EventQueue {
    e.create_event_queue("changes", &["AWSCURRENT"])
}

pub(crate) const RULES: &[Rule] = &[
    timed("an event of a moved label has the form that the user guide shows", "UG event-detail-secret-label-updated", |w, e| {
        let queue = shipped(e);
        let made = w.make()?;
        let version = put(w, &made.name, &["AWSCURRENT"])?;
        let mut event = events(&queue).pop().ok_or("there is no event")?;
        must(text(&event, "id").len() == 36, "the id is no UUID")?;
        event.as_object_mut().unwrap().remove("id");
        let wanted = json!({
            "version": "0", "detail-type": "Secret Label Updated", "source": "aws.secretsmanager", "account": "123456789012",
            "time": "2026-05-05T12:00:00Z", "region": "us-east-1", "resources": [made.arn],
            "detail": {"name": made.name, "labelUpdated": "AWSCURRENT", "versionId": version},
        });
        same(event, wanted)
    }),
    timed("each label that moves has an event, but not AWSPENDING and AWSPREVIOUS", "UG secret-event-notifications", |w, e| {
        let queue = e.create_event_queue("all", &[]);
        let made = w.make()?;
        let second = put(w, &made.name, &["AWSPENDING"])?;
        w.shift(&made.name, "mine", None, Some(&second))?;
        w.shift(&made.name, "AWSCURRENT", Some(&made.first), Some(&second))?;
        w.ok("TagResource", json!({"SecretId": made.name, "Tags": [{"Key": "a", "Value": "b"}]}))?;
        w.ok("UpdateSecret", json!({"SecretId": made.name, "Description": "x", "ClientRequestToken": token()}))?;
        same(labels(&queue), ["AWSCURRENT", "mine", "AWSCURRENT"].map(str::to_owned).to_vec())
    }),
    timed("a label that is removed moves to no version, and has no event", "INF moves to another version", |w, e| {
        let queue = e.create_event_queue("all", &["mine"]);
        let made = w.make()?;
        w.shift(&made.name, "mine", None, Some(&made.first))?;
        w.shift(&made.name, "mine", Some(&made.first), None)?;
        same(events(&queue).len(), 1)
    }),
    timed("a rule selects events by their label, and a queue has those of its Region", "UG event patterns", |w, e| {
        let queue = shipped(e);
        let made = w.make()?;
        w.shift(&made.name, "mine", None, Some(&made.first))?;
        w.in_region("eu-west-1").make()?;
        same(labels(&queue), vec!["AWSCURRENT".to_owned()])
    }),
    timed("a received message is hidden, and comes back after the visibility timeout", "UG SQS visibility timeout", |w, e| {
        let queue = shipped(e);
        queue.post("one");
        let first = one(w, &queue, &json!({"VisibilityTimeout": 30}))?;
        same(receive(w, &queue, &json!({}))?.len(), 0)?;
        e.clock().advance(Duration::from_secs(31));
        let again = one(w, &queue, &json!({"MessageSystemAttributeNames": ["All"]}))?;
        same(text(&again["Attributes"], "ApproximateReceiveCount"), "2".to_owned())?;
        same(text(&again["Attributes"], "SentTimestamp"), "1777982400000".to_owned())?;
        must(again["ReceiptHandle"] != first["ReceiptHandle"], "the receipt handle is the same")
    }),
    timed("a message is deleted by its last receipt handle", "M DeleteMessage", |w, e| {
        let queue = shipped(e);
        queue.post("one");
        let old = one(w, &queue, &json!({"VisibilityTimeout": 0}))?;
        let last = one(w, &queue, &json!({}))?;
        let delete = |message: &Value| json!({"QueueUrl": queue.url(), "ReceiptHandle": message["ReceiptHandle"]});
        ok(w, "DeleteMessage", &delete(&old))?;
        same(queue.bodies().len(), 1)?;
        ok(w, "DeleteMessage", &delete(&last))?;
        same(queue.bodies().len(), 0)?;
        ok(w, "DeleteMessage", &delete(&last)).map(drop)
    }),
    timed("a batch deletes up to ten, and says which receipt handle is invalid", "M DeleteMessageBatch", |w, e| {
        let queue = shipped(e);
        queue.post("one");
        let message = one(w, &queue, &json!({}))?;
        let entries = json!([{"Id": "a", "ReceiptHandle": message["ReceiptHandle"]}, {"Id": "b", "ReceiptHandle": "no"}]);
        let answer = ok(w, "DeleteMessageBatch", &json!({"QueueUrl": queue.url(), "Entries": entries}))?;
        same(&answer["Successful"], &json!([{"Id": "a"}]))?;
        same(text(&answer["Failed"][0], "Code"), "ReceiptHandleIsInvalid".to_owned())?;
        same(queue.bodies().len(), 0)?;
        let many: Vec<Value> = (0..11).map(|id| json!({"Id": id.to_string(), "ReceiptHandle": "x"})).collect();
        for (entries, code) in [(json!([]), "EmptyBatchRequest"), (json!(many), "TooManyEntriesInBatchRequest")] {
            let body = json!({"QueueUrl": queue.url(), "Entries": entries});
            refused(w, "DeleteMessageBatch", &body, &format!("AWS.SimpleQueueService.{code}"))?;
        }
        Ok(())
    }),
    timed("a message that is not hidden has no visibility to change", "M ChangeMessageVisibility", |w, e| {
        let queue = shipped(e);
        queue.post("one");
        let message = one(w, &queue, &json!({}))?;
        let change = json!({"QueueUrl": queue.url(), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0});
        ok(w, "ChangeMessageVisibility", &change)?;
        refused(w, "ChangeMessageVisibility", &change, "AWS.SimpleQueueService.MessageNotInflight")?;
        same(receive(w, &queue, &json!({}))?.len(), 1)
    }),
    timed("a long poll is answered when a message arrives", "M WaitTimeSeconds", |w, e| {
        let queue = shipped(e);
        let (poster, wire, url) = (queue.clone(), w.clone(), queue.url());
        let waiting = std::thread::spawn(move || {
            ok(&wire, "ReceiveMessage", &json!({"QueueUrl": url, "WaitTimeSeconds": 20})).map(|a| a["Messages"].clone())
        });
        while !waiting.is_finished() && queue.bodies().is_empty() {
            std::thread::sleep(Duration::from_millis(50));
            poster.post("late");
        }
        let answer = waiting.join().map_err(|_| "the call panicked")??;
        same(text(&answer[0], "Body"), "late".to_owned())
    }),
    timed("a queue that does not exist has its code in a header and its type in the body", "UG SQS JSON responses", |w, e| {
        let queue = shipped(e);
        queue.delete();
        let body = json!({"QueueUrl": queue.url()});
        let raw = refused(w, "ReceiveMessage", &body, "AWS.SimpleQueueService.NonExistentQueue")?;
        same(raw.text_of("__type"), "com.amazonaws.sqs#QueueDoesNotExist".to_owned())?;
        same(raw.text_of("message"), "The specified queue does not exist.".to_owned())?;
        same(raw.headers.get("content-type").map(String::as_str), Some("application/x-amz-json-1.0"))
    }),
    timed("a call asks for up to ten messages and waits up to twenty seconds", "M ReceiveMessage", |w, e| {
        let queue = shipped(e);
        for (member, value) in [("MaxNumberOfMessages", 11), ("MaxNumberOfMessages", 0), ("WaitTimeSeconds", 21)] {
            refused(w, "ReceiveMessage", &json!({"QueueUrl": queue.url(), member: value}), "InvalidParameterValue")?;
        }
        for number in 0..12 {
            queue.post(&number.to_string());
        }
        same(receive(w, &queue, &json!({}))?.len(), 10)
    }),
    timed("faults lose, repeat and delay events", "INF at least once, in any order", |w, e| {
        let queue = shipped(e);
        let secrets = [w.make_as(&name(), json!({}))?, w.make()?, w.make()?];
        let plan = FaultPlan::none()
            .with(EVENT, When::Nth(1), Fault::LoseEvent)
            .with(EVENT, When::Nth(2), Fault::Delay { millis: 5000 })
            .with(EVENT, When::Nth(3), Fault::RepeatEvent { times: 1 });
        e.set_faults(plan);
        receive(w, &queue, &json!({}))?;
        for secret in &secrets {
            put(w, &secret.name, &["AWSCURRENT"])?;
        }
        let named = |messages: Vec<Value>| -> Vec<String> {
            let of = |message: &Value| serde_json::from_str::<Value>(message["Body"].as_str().unwrap()).unwrap();
            messages.iter().map(|message| text(&of(message)["detail"], "name")).collect()
        };
        same(named(receive(w, &queue, &json!({}))?), vec![secrets[2].name.clone(); 2])?;
        e.clock().advance(Duration::from_secs(6));
        same(named(receive(w, &queue, &json!({}))?), vec![secrets[1].name.clone()])
    }),
];
