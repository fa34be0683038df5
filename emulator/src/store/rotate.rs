//! `RotateSecret` and `CancelRotateSecret`: how a rotation by AWS begins, goes on, fails and ends. What is told to the function, and when it
//! is called, is not the store's business: see [`crate::scheduler`].
//!
//! ```text
//! RotateSecret -> N{AWSPENDING}, without a value -> createSecret, setSecret, testSecret, finishSecret -> N{AWSCURRENT, AWSPENDING} -> N{AWSCURRENT}
//!                     a step fails: tried again from the first step, then left as it is until the next window opens
//!                     AWSPENDING goes from N: abandoned
//! ```

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::RngExt as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::fields::{Fields, NO_TOKEN, check_token};
use super::schedule::{check_rules, counts, window_after};
use super::secret::{Attempt, CURRENT, PENDING, Replication, Secret, Version};
use super::{Answer, Caller, Store};
use crate::clock::after;
use crate::error::AwsError;

/// How long AWS waits before it tries a failed rotation again. The user guide says "several times" and no more.
const PAUSES: [Duration; 4] = [Duration::from_mins(1), Duration::from_mins(2), Duration::from_mins(4), Duration::from_mins(8)];

/// One secret whose rotation goes on now.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    pub(crate) region: String,
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) function: String,
    pub(crate) attempt: Attempt,
}

/// How a rotation came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Succeeded,
    Failed,
    /// AWSPENDING was removed, or another value was put.
    Abandoned,
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
        if !self.functions.contains(&function) {
            return Err(AwsError::new(
                "AccessDeniedException",
                "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access to the principal secretsmanager.amazonaws.com.",
            ));
        }
        if secret.versions.contains_key(token) {
            return Err(AwsError::token_in_use(token, &secret.arn));
        }
        secret.rotation.enabled = Some(true);
        secret.rotation.function = Some(function);
        if let Some(rules) = fields.value("RotationRules") {
            secret.rotation.rules = Some(rules.clone());
        }
        secret.rotation.plan(caller.now);
        let mut answer = json!({"ARN": secret.arn, "Name": secret.name});
        let copy = secret.labelled(CURRENT).and_then(|id| secret.versions.get(id)?.value.clone());
        secret.begin(token, if immediately { None } else { copy }, !immediately, caller.now);
        if let (true, Some(answer)) = (immediately, answer.as_object_mut()) {
            answer.insert("VersionId".into(), token.into());
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
        secret.rotation.attempt = None;
        secret.rotation.opens = None;
        secret.rotation.next = None;
        let mut answer = json!({"ARN": secret.arn, "Name": secret.name});
        if let (Some(id), Some(answer)) = (secret.labelled(PENDING), answer.as_object_mut()) {
            answer.insert("VersionId".into(), id.into());
        }
        self.save(caller, secret);
        Ok(answer)
    }

    /// Begins the rotations whose window is open, and returns those that continue now.
    pub(crate) fn rotations_due(&mut self, now: Timestamp) -> Vec<Due> {
        let primaries = self.all().filter(|(_, secret)| secret.rotates()).map(|(region, secret)| (region.to_owned(), Arc::clone(secret)));
        let mut due = Vec::new();
        for (region, secret) in primaries.collect::<Vec<_>>() {
            let opened = secret.rotation.attempt.is_none() && secret.rotation.opens.is_some_and(|opens| opens <= now);
            let mut secret = Secret::clone(&secret);
            if opened {
                let left_over = secret.labelled(PENDING).filter(|id| secret.labelled(CURRENT) != Some(id)).map(str::to_owned);
                if let Some(token) = left_over {
                    secret.rotation.attempt = Some(Attempt { token, test_only: false, failures: 0, due: now });
                } else {
                    let token = Uuid::from_bytes(self.chance.random()).to_string();
                    secret.begin(&token, None, false, now);
                }
                // The next window, should this one pass in vain; the date that is shown stays that of this one.
                secret.rotation.opens = secret.rotation.rules.as_ref().and_then(|rules| Some(window_after(rules, now)?.opens));
                self.save(Caller { region: &region, now, age: Duration::ZERO }, secret.clone());
            }
            if let (Some(attempt), Some(function)) = (secret.rotation.attempt, secret.rotation.function)
                && attempt.due <= now
            {
                due.push(Due { region, name: secret.name, arn: secret.arn, function, attempt });
            }
        }
        due
    }

    /// Whether the rotation is still wanted: it was not cancelled, and its version is still the pending one.
    pub(crate) fn rotation_goes_on(&self, due: &Due) -> bool {
        let secret = self.shelf(&due.region, &due.name).and_then(|shelf| shelf.secret.as_ref());
        secret.is_some_and(|secret| {
            secret.rotates()
                && secret.rotation.attempt.as_ref().is_some_and(|attempt| attempt.token == due.attempt.token)
                // A test needs no version of its own where there is nothing to copy.
                && (due.attempt.test_only
                    || secret.labelled(PENDING) == Some(&due.attempt.token)
                    || secret.labelled(CURRENT) == Some(&due.attempt.token))
        })
    }

    /// Whether the function has made the version current.
    pub(crate) fn rotation_promoted(&self, due: &Due) -> bool {
        let secret = self.shelf(&due.region, &due.name).and_then(|shelf| shelf.secret.as_ref());
        secret.is_some_and(|secret| secret.labelled(CURRENT) == Some(&due.attempt.token))
    }

    /// Writes down how a rotation came out. Nothing if it was replaced or taken away meanwhile.
    pub(crate) fn end_rotation(&mut self, due: &Due, end: End, now: Timestamp) {
        let Some(there) = self.shelf(&due.region, &due.name).and_then(|shelf| shelf.secret.clone()) else { return };
        let mut secret = Secret::clone(&there);
        let Some(attempt) = secret.rotation.attempt.take_if(|attempt| attempt.token == due.attempt.token) else { return };
        let token = attempt.token.as_str();
        if attempt.test_only {
            // The temporary version goes, however the test came out.
            if secret.labelled(PENDING) == Some(token) {
                secret.labels.remove(PENDING);
            }
            secret.versions.remove(token);
        } else if end == End::Succeeded {
            if secret.labelled(PENDING) == Some(token) {
                secret.labels.remove(PENDING);
            }
            secret.rotation.last = Some(now);
            secret.rotation.plan(now);
            secret.rotation.show_days(now);
        } else {
            if let (End::Failed, Some(pause)) = (end, PAUSES.get(attempt.failures)) {
                secret.rotation.attempt = Some(Attempt { failures: attempt.failures + 1, due: after(now, *pause), ..attempt });
            }
            // That it came to nothing is no change of the secret.
            self.replace(&due.region, &due.name, Some(secret), now);
            return;
        }
        self.save(Caller { region: &due.region, now, age: Duration::ZERO }, secret);
    }
}

impl Secret {
    fn rotates(&self) -> bool {
        self.rotation.enabled == Some(true) && self.deletion.is_none() && !matches!(self.replication, Replication::Replica { .. })
    }

    /// A pending version, and a rotation that fills it, or a test of it.
    fn begin(&mut self, token: &str, value: Option<crate::payload::Payload>, test_only: bool, now: Timestamp) {
        // A test of a secret that has no value has nothing to make a version of.
        if value.is_some() || !test_only {
            let serial = self.versions.values().map(|version| version.serial + 1).max().unwrap_or(0);
            self.versions.insert(token.to_owned(), Arc::new(Version { value, created: now, serial }));
            self.labels.insert(PENDING.to_owned(), token.to_owned());
        }
        self.rotation.attempt = Some(Attempt { token: token.to_owned(), test_only, failures: 0, due: now });
    }

    /// A new current value that the function did not make: it counts as a rotation where days are counted.
    pub(super) fn value_put_by_hand(&mut self, now: Timestamp) {
        if self.rotation.enabled == Some(true) && self.rotation.rules.as_ref().is_some_and(counts) {
            self.rotation.plan(now);
        }
    }
}

impl super::secret::Rotation {
    /// The next window by the rules as they are; the date that is shown is the last second of it.
    fn plan(&mut self, now: Timestamp) {
        let window = self.rules.as_ref().and_then(|rules| window_after(rules, now));
        self.opens = window.map(|window| window.opens);
        self.next = window.and_then(|window| window.closes.checked_sub(SignedDuration::from_secs(1)).ok());
    }

    /// After a rotation AWS also shows a number of days for an expression, which it computes from the expression.
    fn show_days(&mut self, now: Timestamp) {
        let Some(opens) = self.opens else { return };
        let days = (opens.duration_since(now).as_hours() + 23) / 24;
        if let Some(rules) = self.rules.as_mut().and_then(Value::as_object_mut)
            && rules.contains_key("ScheduleExpression")
        {
            rules.insert("AutomaticallyAfterDays".into(), days.max(1).into());
        }
    }
}
