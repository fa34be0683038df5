//! Replication to other Regions. A replica has its primary's state at once; for how long it says that it is being made can be set.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::fields::{Fields, missing};
use super::secret::{ReplicaRow, Replication, Secret};
use super::{Answer, Caller, Store};
use crate::clock::after;
use crate::error::AwsError;

impl Store {
    pub(super) fn replicate(&mut self, caller: Caller<'_>, fields: Fields<'_>) -> Answer {
        let id = fields.secret_id()?;
        let rows = self.parse_regions(caller, fields)?;
        if rows.is_empty() {
            return Err(missing("AddReplicaRegions"));
        }
        let force = fields.bool("ForceOverwriteReplicaSecret")?;
        refuse_own_region(caller.region, &rows)?;
        let mut secret = self.open(caller, id)?;
        self.add_replicas(caller, &mut secret, rows, force);
        let answer = json!({"ARN": secret.arn, "ReplicationStatus": secret.replication_status(caller.now)});
        self.save(caller, secret);
        Ok(answer)
    }

    /// A name that is taken in the other Region makes that replica fail, unless it may be overwritten.
    pub(super) fn add_replicas(&self, caller: Caller<'_>, secret: &mut Secret, added: Vec<ReplicaRow>, force: bool) {
        let mut rows = match &secret.replication {
            Replication::Primary(rows) => rows.clone(),
            _ => Vec::new(),
        };
        for mut row in added {
            let taken = self.shelf(&row.region, &secret.name).and_then(|shelf| shelf.secret.as_ref());
            let ours = |there: &Secret| matches!(&there.replication, Replication::Replica { primary } if primary == caller.region);
            if taken.is_some_and(|there| !ours(there)) && !force {
                row.failure = Some(format!("Replication failed: Secret name {} already exists in region {}.", secret.name, row.region));
            }
            rows.retain(|there| there.region != row.region);
            rows.push(row);
        }
        secret.replication = Replication::Primary(rows);
    }

    pub(super) fn unreplicate(&mut self, caller: Caller<'_>, fields: Fields<'_>) -> Answer {
        let id = fields.secret_id()?;
        let regions = fields.texts("RemoveReplicaRegions", 1, 100)?.ok_or_else(|| missing("RemoveReplicaRegions"))?;
        let mut secret = self.open(caller, id)?;
        let Replication::Primary(mut rows) = secret.replication.clone() else {
            return Err(AwsError::invalid_parameter("The secret has no replica in these Regions."));
        };
        if !regions.iter().all(|region| rows.iter().any(|row| row.region == *region)) {
            return Err(AwsError::invalid_parameter("The secret has no replica in these Regions."));
        }
        for row in rows.extract_if(.., |row| regions.contains(&row.region.as_str())) {
            if row.failure.is_none() {
                self.replace(&row.region, &secret.name, None, caller.now);
            }
        }
        let status = json!(rows.iter().map(|row| json!({"Region": row.region, "Status": row.status(caller.now)})).collect::<Vec<_>>());
        secret.replication = if rows.is_empty() { Replication::Alone } else { Replication::Primary(rows) };
        let answer = json!({"ARN": secret.arn, "ReplicationStatus": status});
        self.save(caller, secret);
        Ok(answer)
    }

    /// Makes a replica a secret of its own. Called in the replica's Region.
    pub(super) fn promote_replica(&mut self, caller: Caller<'_>, fields: Fields<'_>) -> Answer {
        let found = self.find(Caller { age: Duration::ZERO, ..caller }, fields.secret_id()?)?;
        if found.deletion.is_some() {
            return Err(AwsError::marked_for_deletion());
        }
        let Replication::Replica { primary } = found.replication.clone() else {
            return Err(AwsError::invalid_request("The secret is not a replica."));
        };
        let mut secret = Secret::clone(&found);
        secret.replication = Replication::Alone;
        let answer = json!({"ARN": secret.arn});
        let there = self.shelf(&primary, &secret.name).and_then(|shelf| shelf.secret.clone());
        if let Some(there) = there {
            let mut original = Secret::clone(&there);
            if let Replication::Primary(mut rows) = original.replication.clone() {
                rows.retain(|row| row.region != caller.region);
                original.replication = if rows.is_empty() { Replication::Alone } else { Replication::Primary(rows) };
                self.save(Caller { region: &primary, ..caller }, original);
            }
        }
        self.save(caller, secret);
        Ok(answer)
    }

    /// Sets the key of a replica, which is the one thing of it that can be changed by itself (user guide). Called in its own Region.
    pub(super) fn rekey_replica(&mut self, caller: Caller<'_>, replica: &Secret, key: &str) -> Answer {
        let Replication::Replica { primary } = &replica.replication else {
            return Err(AwsError::invalid_request("The secret is not a replica."));
        };
        let there = self.shelf(primary, &replica.name).and_then(|shelf| shelf.secret.clone()).ok_or_else(AwsError::no_secret)?;
        let mut original = Secret::clone(&there);
        if let Replication::Primary(rows) = &mut original.replication {
            for row in rows.iter_mut().filter(|row| row.region == caller.region) {
                row.kms_key = super::values::own_key(key);
            }
        }
        self.save(Caller { region: primary, ..caller }, original);
        Ok(json!({"ARN": replica.arn, "Name": replica.name}))
    }

    /// The Regions of a request.
    pub(super) fn parse_regions(&self, caller: Caller<'_>, fields: Fields<'_>) -> Result<Vec<ReplicaRow>, AwsError> {
        parse_regions(fields, after(caller.now, self.lags.replication))
    }
}

fn parse_regions(fields: Fields<'_>, made_at: Timestamp) -> Result<Vec<ReplicaRow>, AwsError> {
    let mut rows = Vec::new();
    for item in fields.structures("AddReplicaRegions", 1, 100)?.into_iter().flatten() {
        let region = item.required("Region", 1, 128)?;
        let number = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
        let word = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase());
        let mut parts = region.split('-').rev();
        if !parts.next().is_some_and(number) || !parts.all(word) || !region.contains('-') {
            return Err(AwsError::invalid_parameter("Invalid replica region."));
        }
        rows.push(ReplicaRow {
            region: region.to_owned(),
            kms_key: item.text("KmsKeyId", 0, 2048)?.and_then(super::values::own_key),
            failure: None,
            made_at,
        });
    }
    Ok(rows)
}

pub(super) fn refuse_own_region(own: &str, rows: &[ReplicaRow]) -> Result<(), AwsError> {
    if rows.iter().any(|row| row.region == own) {
        return Err(AwsError::invalid_parameter("Invalid replica region."));
    }
    Ok(())
}
