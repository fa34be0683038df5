//! Rotation functions, and what the service records about rotations.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::external_writer::ExternalWriter;

/// What the function is asked to do, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RotationStep {
    /// Make the pending version's value.
    CreateSecret,
    /// Set it where the credential is used.
    SetSecret,
    /// See whether it works there.
    TestSecret,
    /// Make the version current.
    FinishSecret,
}

impl RotationStep {
    /// All four, in order.
    pub const ALL: [Self; 4] = [Self::CreateSecret, Self::SetSecret, Self::TestSecret, Self::FinishSecret];

    /// As AWS writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateSecret => "createSecret",
            Self::SetSecret => "setSecret",
            Self::TestSecret => "testSecret",
            Self::FinishSecret => "finishSecret",
        }
    }
}

/// One call of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The function.
    pub function_arn: String,
    /// The secret.
    pub secret_arn: String,
    /// The Region of both.
    pub region: String,
    /// The version that is rotated to.
    pub token: String,
    /// What to do.
    pub step: RotationStep,
}

impl Invocation {
    /// The event that the function gets.
    pub fn event(&self) -> Value {
        json!({"Step": self.step.as_str(), "SecretId": self.secret_arn, "ClientRequestToken": self.token})
    }
}

/// A rotation function.
pub trait RotationFunction: Send + Sync {
    /// Carries out one step. `account` acts in the Region of the secret. The error says why the step failed; it is logged, so it contains no value.
    fn invoke<'a>(&'a self, account: &'a ExternalWriter, call: &'a Invocation) -> BoxFuture<'a, Result<(), String>>;
}

/// The functions there are.
pub(crate) type Functions = BTreeMap<String, Arc<dyn RotationFunction>>;

/// What the service tells of a rotation, as CloudTrail shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RotationEvent {
    /// When.
    pub at: Timestamp,
    /// `RotationStarted`, `RotationSucceeded`, `RotationFailed`, `RotationAbandoned`, and the like with `Test` before them.
    pub event_name: &'static str,
    /// The secret.
    pub secret_arn: String,
    /// The version.
    pub version_id: String,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
}

/// State of rotations outside of the store.
#[derive(Default)]
pub(crate) struct Rotations {
    pub(crate) functions: Mutex<Functions>,
    pub(crate) events: Mutex<Vec<RotationEvent>>,
    /// One run at a time, so that a function is not called twice for one step.
    pub(crate) running: tokio::sync::Mutex<()>,
}
