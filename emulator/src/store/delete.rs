//! `DeleteSecret` and `RestoreSecret`.

use std::time::Duration;

use serde_json::json;

use super::fields::{Fields, parse_secret_id};
use super::secret::{Deletion, Replication, Secret, epoch};
use super::{Answer, Caller, Store};
use crate::clock::after;
use crate::error::AwsError;

impl Store {
    /// Plans a deletion, or deletes at once. A forced deletion of a secret that is not there succeeds (API model; recorded).
    pub(super) fn delete(&mut self, caller: Caller<'_>, fields: Fields<'_>) -> Answer {
        let id = fields.secret_id()?;
        let window = fields.integer("RecoveryWindowInDays")?;
        let force = fields.bool("ForceDeleteWithoutRecovery")?;
        if force && window.is_some() {
            return Err(AwsError::invalid_parameter("You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays."));
        }
        let days = window.unwrap_or(30);
        let Some(days) = u64::try_from(days).ok().filter(|days| (7..=30).contains(days)) else {
            return Err(AwsError::invalid_parameter("The RecoveryWindowInDays value must be between 7 and 30 days (inclusive)."));
        };
        let found = self.find(Caller { age: Duration::ZERO, ..caller }, id);
        let secret = match found {
            Err(error) if force && error == AwsError::no_secret() => {
                return self.delete_nothing(caller, id);
            }
            found => found?,
        };
        secret.refuse_if_replica()?;
        if let Replication::Primary(rows) = &secret.replication
            && !rows.is_empty()
        {
            let regions: Vec<&str> = rows.iter().map(|row| row.region.as_str()).collect();
            return Err(AwsError::invalid_parameter(format!(
                "You can't delete secret {id} that still has replica regions [{}]",
                regions.join(", ")
            )));
        }
        if force {
            let held = after(caller.now, self.lags.forced_deletion);
            self.replace(caller.region, &secret.name, None, caller.now);
            self.shelf_mut(caller.region, &secret.name).held = Some(held);
            return Ok(json!({"ARN": secret.arn, "Name": secret.name, "DeletionDate": epoch(caller.now)}));
        }
        if secret.deletion.is_some() {
            return Err(AwsError::marked_for_deletion());
        }
        let mut secret = Secret::clone(&secret);
        let planned = after(caller.now, Duration::from_secs(days * 24 * 3600));
        secret.deletion = Some(Deletion { requested: caller.now, planned });
        let answer = json!({"ARN": secret.arn, "Name": secret.name, "DeletionDate": epoch(planned)});
        self.save(caller, secret);
        Ok(answer)
    }

    /// AWS answers with an ARN that it makes up.
    fn delete_nothing(&mut self, caller: Caller<'_>, id: &str) -> Answer {
        let name = parse_secret_id(id, caller.region)?.names().first().copied().unwrap_or(id).to_owned();
        let arn = if id.starts_with("arn:") {
            id.to_owned()
        } else {
            let suffix = self.draw_suffix();
            Secret::empty(&name, caller.region, &suffix, caller.now).arn
        };
        Ok(json!({"ARN": arn, "Name": name, "DeletionDate": epoch(caller.now)}))
    }

    /// Takes a planned deletion back; versions and labels are as before.
    pub(super) fn restore(&mut self, caller: Caller<'_>, fields: Fields<'_>) -> Answer {
        let secret = self.find(Caller { age: Duration::ZERO, ..caller }, fields.secret_id()?)?;
        secret.refuse_if_replica()?;
        let answer = json!({"ARN": secret.arn, "Name": secret.name});
        if secret.deletion.is_some() {
            let mut secret = Secret::clone(&secret);
            secret.deletion = None;
            self.save(caller, secret);
        }
        Ok(answer)
    }
}
