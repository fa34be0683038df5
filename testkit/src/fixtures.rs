//! Specs that many tests use.

use serde_json::{Value, json};

/// A user name, a generated password, and a rotation every hour.
pub fn spec() -> Value {
    scheduled("rate(1 hour)")
}

/// The same value with this schedule.
pub fn scheduled(schedule: &str) -> Value {
    let mut spec = unscheduled();
    spec["rotation"] = json!({"schedule": schedule});
    spec
}

/// The same value without a schedule.
pub fn unscheduled() -> Value {
    json!({"value": {"data": {"username": "admin"}, "generate": {"password": {}}}})
}
