//! AWS's side of a rotation: calls the function for each step, tries again, and ends. By the emulator's clock; a test may also ask for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::store::{Due, End};
use super::{Emulator, lock};

/// How often a served emulator looks whether a rotation is due. Its clock may be moved at any moment, so it cannot just sleep until then.
const LOOK: Duration = Duration::from_millis(50);

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
    /// Carries out one step; says why it failed. Never holds a value: the sentence is logged.
    fn invoke<'a>(&'a self, emulator: &'a Emulator, call: &'a Invocation) -> BoxFuture<'a, Result<(), String>>;
}

/// The functions there are.
pub(super) type Functions = BTreeMap<String, Arc<dyn RotationFunction>>;

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

/// What is kept about rotations beside the store.
#[derive(Default)]
pub(super) struct Rotations {
    functions: Mutex<Functions>,
    events: Mutex<Vec<RotationEvent>>,
    /// One round at a time: a function is not called twice for one step.
    turn: tokio::sync::Mutex<()>,
}

impl Emulator {
    /// Registers a rotation function, or takes it away: AWS can invoke it from then on, or no longer.
    pub fn set_rotation_function(&self, arn: &str, function: Option<Arc<dyn RotationFunction>>) {
        self.store().allow_function(arn, function.is_some());
        let mut functions = lock(&self.0.rotations.functions);
        match function {
            Some(function) => drop(functions.insert(arn.to_owned(), function)),
            None => drop(functions.remove(arn)),
        }
    }

    /// What the service told of rotations so far.
    pub fn rotation_events(&self) -> Vec<RotationEvent> {
        lock(&self.0.rotations.events).clone()
    }

    /// Does what is due by the clock: begins rotations whose window is open, and calls functions until each has ended or waits for its next try.
    pub async fn run_rotations(&self) {
        if lock(&self.0.rotations.functions).is_empty() {
            return;
        }
        let _turn = self.0.rotations.turn.lock().await;
        let due = self.store().rotations_due(self.0.clock.now());
        for due in due {
            let prefix = if due.attempt.test_only { "TestRotation" } else { "Rotation" };
            if due.attempt.failures == 0 {
                self.tell_rotation(prefix, "Started", &due, None);
            }
            let (end, why) = self.carry_out(&due).await;
            self.store().end_rotation(&due, end, self.0.clock.now());
            let end = match end {
                End::Succeeded => "Succeeded",
                End::Failed => "Failed",
                End::Abandoned => "Abandoned",
            };
            self.tell_rotation(prefix, end, &due, why);
        }
    }

    pub(super) fn rotates_by_itself(&self) -> bool {
        self.0.rotates_by_itself
    }

    /// Goes on as long as it is not dropped: rotations of a served emulator happen by themselves.
    pub(super) async fn rotate_by_the_clock(self) {
        loop {
            self.run_rotations().await;
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn carry_out(&self, due: &Due) -> (End, Option<String>) {
        let steps: &[RotationStep] = if due.attempt.test_only { &[RotationStep::TestSecret] } else { &RotationStep::ALL };
        for step in steps {
            if !self.store().rotation_goes_on(due) {
                return (End::Abandoned, None);
            }
            let failed = |why: String| {
                (End::Failed, Some(format!("Error when executing lambda {} during {} step: {why}", due.function, step.as_str())))
            };
            let function = lock(&self.0.rotations.functions).get(&due.function).cloned();
            let Some(function) = function else { return failed("it cannot be invoked".to_owned()) };
            let call = Invocation {
                function_arn: due.function.clone(),
                secret_arn: due.arn.clone(),
                region: due.region.clone(),
                token: due.attempt.token.clone(),
                step: *step,
            };
            if let Err(why) = function.invoke(self, &call).await {
                return failed(why);
            }
        }
        if due.attempt.test_only || self.store().rotation_promoted(due) {
            (End::Succeeded, None)
        } else if self.store().rotation_goes_on(due) {
            (End::Failed, Some("the function ended and the version is not current".to_owned()))
        } else {
            (End::Abandoned, None)
        }
    }

    fn tell_rotation(&self, prefix: &str, end: &str, due: &Due, error_message: Option<String>) {
        const NAMES: [&str; 8] = [
            "RotationStarted",
            "RotationSucceeded",
            "RotationFailed",
            "RotationAbandoned",
            "TestRotationStarted",
            "TestRotationSucceeded",
            "TestRotationFailed",
            "TestRotationAbandoned",
        ];
        let name = format!("{prefix}{end}");
        let event_name = NAMES.into_iter().find(|known| *known == name).unwrap_or("RotationFailed");
        tracing::debug!(event_name, secret = due.arn, version = due.attempt.token, why = error_message.as_deref(), "rotation");
        lock(&self.0.rotations.events).push(RotationEvent {
            at: self.0.clock.now(),
            event_name,
            secret_arn: due.arn.clone(),
            version_id: due.attempt.token.clone(),
            error_message,
        });
    }
}
