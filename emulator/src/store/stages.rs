//! `UpdateSecretVersionStage`: the service's compare-and-swap.

use serde_json::json;

use super::fields::Fields;
use super::secret::CURRENT;
use super::{Answer, Caller, Store};
use crate::error::AwsError;

impl Store {
    /// Moves a label from the version that the caller says it is on, or takes it off. A refusal changes nothing.
    pub(super) fn move_label(&mut self, caller: Caller<'_>, fields: Fields<'_>) -> Answer {
        let id = fields.secret_id()?;
        let stage = fields.required("VersionStage", 1, 256)?;
        let to = fields.text("MoveToVersionId", 32, 64)?;
        let from = fields.text("RemoveFromVersionId", 32, 64)?;
        let mut secret = self.open(caller, id)?;
        let holder = secret.labelled(stage).map(str::to_owned);
        let answer = json!({"ARN": secret.arn, "Name": secret.name});

        if to.is_none() && from.is_none() {
            return Err(AwsError::invalid_parameter("You must provide MoveToVersionId, RemoveFromVersionId, or both."));
        }
        match (holder.as_deref(), from) {
            (Some(holder), Some(from)) if holder != from => {
                return Err(AwsError::invalid_parameter(format!(
                    "The parameter RemoveFromVersionId names version {from}, but staging label {stage} is currently attached to version {holder}."
                )));
            }
            (None, Some(from)) => {
                return Err(AwsError::invalid_parameter(format!("Staging label {stage} is not attached to version {from}.")));
            }
            (Some(holder), None) if to != Some(holder) => {
                return Err(AwsError::invalid_parameter(format!(
                    "The parameter RemoveFromVersionId can't be empty. Staging label {stage} is currently attached to version {holder}, so you must explicitly reference that version in RemoveFromVersionId."
                )));
            }
            _ => {}
        }
        let Some(to) = to else {
            if stage == CURRENT {
                return Err(AwsError::invalid_parameter(
                    "You can only move staging label AWSCURRENT to a different secret version. It can't be completely removed.",
                ));
            }
            secret.labels.remove(stage);
            self.save(caller, secret);
            return Ok(answer);
        };
        if !secret.versions.contains_key(to) {
            return Err(AwsError::no_version(to));
        }
        if holder.as_deref() == Some(to) {
            return Ok(answer);
        }
        if stage == CURRENT {
            secret.make_current(to);
        } else {
            secret.labels.insert(stage.to_owned(), to.to_owned());
        }
        secret.check_label_count()?;
        self.save(caller, secret);
        Ok(answer)
    }
}
