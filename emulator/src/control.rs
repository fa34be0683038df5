//! Endpoints for tests in another process. They are not part of AWS and not counted.

use std::collections::BTreeMap;
use std::time::Duration;

use ::http::{Method, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::AwsError;
use crate::faults::FaultPlan;
use crate::response::HttpResponse;
use crate::service::Emulator;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Advance {
    advance_seconds: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewQueue {
    name: String,
    /// None: every label.
    #[serde(default)]
    labels: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Post {
    queue: String,
    body: String,
}

/// A call of the external writer, named by `act`.
#[derive(Deserialize)]
#[serde(tag = "act", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
enum Act {
    Create {
        name: String,
        value: String,
        #[serde(default)]
        tags: BTreeMap<String, String>,
    },
    PutValue {
        name: String,
        value: String,
    },
    PutPending {
        name: String,
        value: String,
    },
    MoveLabel {
        name: String,
        label: String,
        to: Option<String>,
    },
    SetTag {
        name: String,
        key: String,
        value: String,
    },
    Untag {
        name: String,
        key: String,
    },
    Delete {
        name: String,
        window_days: u32,
    },
    Restore {
        name: String,
    },
    Purge {
        name: String,
    },
    Describe {
        name: String,
    },
}

/// Answers a request below `/_emulator/`.
pub(crate) fn handle(emulator: &Emulator, method: &Method, path: &str, body: &[u8]) -> HttpResponse {
    let outcome = match (method.as_str(), path.trim_start_matches("/_emulator/")) {
        ("GET", "counters") => Ok(counters(emulator)),
        ("GET", "log") => Ok(json!(emulator.log())),
        ("POST", "reset") => {
            emulator.counters().reset();
            emulator.clear_log();
            Ok(json!({}))
        }
        ("POST", "clock") => parse::<Advance>(body).map(|advance| {
            emulator.clock().advance(Duration::from_secs(advance.advance_seconds));
            json!({"now": emulator.clock().now()})
        }),
        ("POST", "faults") => parse::<FaultPlan>(body).map(|plan| {
            emulator.set_faults(plan);
            json!({})
        }),
        ("POST", "queues") => parse::<NewQueue>(body).map(|queue| {
            let labels: Vec<&str> = queue.labels.iter().map(String::as_str).collect();
            json!({"url": emulator.create_event_queue(&queue.name, &labels).url()})
        }),
        ("POST", "messages") => parse::<Post>(body).and_then(|post| {
            let queue = emulator.event_queue(&post.queue).ok_or("there is no such queue")?;
            queue.post(&post.body);
            Ok(json!({}))
        }),
        ("POST", "external-writer") => parse::<Act>(body).and_then(|act| perform(emulator, act).map_err(|error| error.to_string())),
        _ => {
            return send(StatusCode::NOT_FOUND, &json!({"error": "there is no such endpoint"}));
        }
    };
    match outcome {
        Ok(value) => send(StatusCode::OK, &value),
        Err(error) => send(StatusCode::BAD_REQUEST, &json!({"error": error})),
    }
}

fn perform(emulator: &Emulator, act: Act) -> Result<Value, AwsError> {
    let external_writer = emulator.external_writer();
    let version = |id: String| json!({"versionId": id});
    let done = |()| json!({});
    match act {
        Act::Create { name, value, tags } => external_writer.create(&name, &value, &tags).map(|arn| json!({"arn": arn})),
        Act::PutValue { name, value } => external_writer.put_value(&name, &value).map(version),
        Act::PutPending { name, value } => external_writer.put_pending(&name, &value).map(version),
        Act::MoveLabel { name, label, to } => external_writer.move_label(&name, &label, to.as_deref()).map(done),
        Act::SetTag { name, key, value } => external_writer.set_tag(&name, &key, &value).map(done),
        Act::Untag { name, key } => external_writer.untag(&name, &key).map(done),
        Act::Delete { name, window_days } => external_writer.delete(&name, window_days).map(done),
        Act::Restore { name } => external_writer.restore(&name).map(done),
        Act::Purge { name } => Ok(json!({"purged": external_writer.purge(&name)})),
        Act::Describe { name } => external_writer.describe(&name),
    }
}

fn counters(emulator: &Emulator) -> Value {
    let counters = emulator.counters();
    let calls: Vec<Value> = counters
        .all()
        .into_iter()
        .map(|((operation, outcome), count)| json!({"operation": operation, "outcome": outcome, "count": count}))
        .collect();
    json!({"calls": calls, "total": counters.calls(), "writes": counters.writes()})
}

/// What does not fit is told by place only: a body may hold a value, and serde quotes what it could not read.
fn parse<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("the request cannot be read, line {} column {}", error.line(), error.column()))
}

fn send(status: StatusCode, body: &Value) -> HttpResponse {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response
}
