//! `RotateSecret` and `CancelRotateSecret`, as far as they go without running a function.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::fields::{Fields, NO_TOKEN, check_token};
use super::schedule::check_rules;
use super::secret::{CURRENT, PENDING, Version};
use super::{Answer, Caller, Store};
use crate::emulator::clock::after;
use crate::emulator::error::AwsError;

/// A rotation that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationRequest {
    /// The function to invoke.
    pub function_arn: String,
    /// The secret.
    pub secret_arn: String,
    /// The id of the version to be made.
    pub token: String,
    /// Whether only `testSecret` is asked for (`RotateImmediately` is false).
    pub test_only: bool,
}

/// What `RotateSecret` invokes. The function itself answers later, with calls of its own.
pub trait RotationFunction: Send + Sync {
    /// Takes a rotation up; `false` when the function cannot be invoked.
    fn start(&self, request: &RotationRequest) -> bool;
}

impl Store {
    pub(super) fn rotate(&mut self, caller: Caller<'_>, fields: Fields<'_>) -> Answer {
        let id = fields.secret_id()?;
        // The same text as elsewhere under another code (recorded).
        let token = fields.str("ClientRequestToken")?.ok_or_else(|| AwsError::invalid_parameter(NO_TOKEN))?;
        check_token(token)?;
        let function = fields.text("RotationLambdaARN", 0, 2048)?.filter(|arn| !arn.is_empty());
        let rules = fields.structure("RotationRules")?;
        rules.map(check_rules).transpose()?;
        let immediately = fields.optional_bool("RotateImmediately")?.unwrap_or(true);
        let mut secret = self.open(caller, id)?;
        let Some(function) = function.map(str::to_owned).or_else(|| secret.rotation.function.clone()) else {
            return Err(AwsError::invalid_request("No Lambda rotation function ARN is associated with this secret."));
        };
        let pending = secret.labelled(PENDING);
        if pending.is_some() && pending != secret.labelled(CURRENT) {
            return Err(AwsError::invalid_request("A previous rotation isn't complete. That rotation will be reattempted."));
        }
        let request = RotationRequest {
            function_arn: function.clone(),
            secret_arn: secret.arn.clone(),
            token: token.to_owned(),
            test_only: !immediately,
        };
        if !self.function.as_ref().is_some_and(|function| function.start(&request)) {
            return Err(AwsError::new(
                "AccessDeniedException",
                "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access to the principal secretsmanager.amazonaws.com.",
            ));
        }
        secret.rotation.enabled = Some(true);
        secret.rotation.function = Some(function);
        if let Some(rules) = fields.value("RotationRules") {
            secret.rotation.next = rules.get("AutomaticallyAfterDays").and_then(|days| next(caller.now, days.as_u64()?));
            secret.rotation.rules = Some(rules.clone());
        }
        let mut answer = json!({"ARN": secret.arn, "Name": secret.name});
        if immediately {
            if secret.versions.contains_key(token) {
                return Err(AwsError::token_in_use(token, &secret.arn));
            }
            let version = Version {
                value: None,
                created: caller.now,
                serial: secret.versions.values().map(|version| version.serial + 1).max().unwrap_or(0),
            };
            secret.versions.insert(token.to_owned(), Arc::new(version));
            secret.labels.insert(PENDING.to_owned(), token.to_owned());
            secret.rotation.last = Some(caller.now);
            if let Some(answer) = answer.as_object_mut() {
                answer.insert("VersionId".into(), token.into());
            }
        }
        self.save(caller, secret);
        Ok(answer)
    }

    /// Turns automatic rotation off and leaves everything else, AWSPENDING too, as it is.
    pub(super) fn cancel_rotation(&mut self, caller: Caller<'_>, fields: Fields<'_>) -> Answer {
        let mut secret = self.open(caller, fields.secret_id()?)?;
        if secret.rotation.enabled.is_none() {
            return Err(AwsError::invalid_request("Rotation was never turned on for this secret."));
        }
        secret.rotation.enabled = Some(false);
        secret.rotation.next = None;
        let mut answer = json!({"ARN": secret.arn, "Name": secret.name});
        if let (Some(id), Some(answer)) = (secret.labelled(PENDING), answer.as_object_mut()) {
            answer.insert("VersionId".into(), id.into());
        }
        self.save(caller, secret);
        Ok(answer)
    }
}

fn next(now: Timestamp, days: u64) -> Option<Timestamp> {
    Some(after(now, Duration::from_secs(days.checked_mul(24 * 3600)?)))
}
