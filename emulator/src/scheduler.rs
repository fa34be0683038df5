//! The service's side of a rotation: calls the function for each step, retries, and ends. Driven by the emulator's clock, or called by a test.

use std::sync::Arc;
use std::time::Duration;

use crate::lock::lock;
use crate::rotation::{Invocation, RotationEvent, RotationFunction, RotationStep};
use crate::service::Emulator;
use crate::store::rotate::{Due, End};

/// Interval at which a served emulator checks for due rotations. Its clock can be moved at any time, so it cannot sleep
/// until a due time.
const LOOK: Duration = Duration::from_millis(50);

impl Emulator {
    /// Registers a rotation function, or takes it away: AWS can invoke it from then on, or no longer.
    pub fn set_rotation_function(&self, arn: &str, function: Option<Arc<dyn RotationFunction>>) {
        self.store().allow_function(arn, function.is_some());
        let mut functions = lock(&self.rotations().functions);
        match function {
            Some(function) => drop(functions.insert(arn.to_owned(), function)),
            None => drop(functions.remove(arn)),
        }
    }

    /// What the service told of rotations so far.
    pub fn rotation_events(&self) -> Vec<RotationEvent> {
        lock(&self.rotations().events).clone()
    }

    /// Does what is due by the clock: begins rotations whose window is open, and calls functions until each has ended or waits for its next try.
    pub async fn run_rotations(&self) {
        if lock(&self.rotations().functions).is_empty() {
            return;
        }
        let _running = self.rotations().running.lock().await;
        let due = self.store().rotations_due(self.clock().now());
        for due in due {
            let prefix = if due.attempt.test_only { "TestRotation" } else { "Rotation" };
            if due.attempt.failures == 0 {
                self.tell_rotation(prefix, "Started", &due, None);
            }
            let (end, why) = self.carry_out(&due).await;
            self.store().end_rotation(&due, end, self.clock().now());
            let end = match end {
                End::Succeeded => "Succeeded",
                End::Failed => "Failed",
                End::Abandoned => "Abandoned",
            };
            self.tell_rotation(prefix, end, &due, why);
        }
    }

    /// Goes on as long as it is not dropped: rotations of a served emulator happen by themselves.
    pub(crate) async fn rotate_by_the_clock(self) {
        loop {
            self.run_rotations().await;
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn carry_out(&self, due: &Due) -> (End, Option<String>) {
        let steps: &[RotationStep] = if due.attempt.test_only { &[RotationStep::TestSecret] } else { &RotationStep::ALL };
        let account = self.external_writer().in_region(&due.region);
        for step in steps {
            if !self.store().rotation_goes_on(due) {
                return (End::Abandoned, None);
            }
            let failed = |why: String| {
                (End::Failed, Some(format!("Error when executing lambda {} during {} step: {why}", due.function, step.as_str())))
            };
            let function = lock(&self.rotations().functions).get(&due.function).cloned();
            let Some(function) = function else { return failed("it cannot be invoked".to_owned()) };
            let call = Invocation {
                function_arn: due.function.clone(),
                secret_arn: due.arn.clone(),
                region: due.region.clone(),
                token: due.attempt.token.clone(),
                step: *step,
            };
            if let Err(why) = function.invoke(&account, &call).await {
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
        lock(&self.rotations().events).push(RotationEvent {
            at: self.clock().now(),
            event_name,
            secret_arn: due.arn.clone(),
            version_id: due.attempt.token.clone(),
            error_message,
        });
    }
}
