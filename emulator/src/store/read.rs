//! `GetSecretValue` and `DescribeSecret`.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::fields::Fields;
use super::secret::{CURRENT, Secret, epoch};
use super::{Answer, Caller, Store};
use crate::clock::before;
use crate::error::AwsError;

impl Store {
    pub(super) fn get_value(&mut self, caller: Caller<'_>, fields: Fields<'_>) -> Answer {
        let version = fields.text("VersionId", 32, 64)?;
        let stage = fields.text("VersionStage", 1, 256)?;
        let secret = self.find_readable(caller, fields)?;
        let answer = secret.read(version, stage)?;
        if !self.is_foreign(&secret) {
            self.note_access(caller, &secret);
        }
        Ok(answer)
    }

    pub(super) fn describe(&mut self, caller: Caller<'_>, fields: Fields<'_>) -> Answer {
        let secret = self.find_readable(caller, fields)?;
        let accessed = self.shelf(caller.region, &secret.name).and_then(|shelf| shelf.accessed);
        let mut answer = secret.details(caller.region, "VersionIdsToStages", accessed, caller.now);
        if let Some(deletion) = secret.deletion {
            answer.insert("DeletedDate".into(), epoch(deletion.planned));
        }
        Ok(answer.into())
    }

    /// `LastAccessedDate` has the resolution of a day (recorded).
    pub(super) fn note_access(&mut self, caller: Caller<'_>, secret: &Arc<Secret>) {
        const DAY: i64 = 24 * 3600;
        let into = caller.now.as_second().rem_euclid(DAY);
        let today = before(caller.now, Duration::from_secs(into.unsigned_abs()));
        let today = Timestamp::from_second(today.as_second()).unwrap_or(today);
        self.shelf_mut(caller.region, &secret.name).accessed = Some(today);
    }
}

impl Secret {
    /// The value that a selector means. None selects AWSCURRENT; an id and a label together must agree.
    pub(super) fn read(&self, version: Option<&str>, stage: Option<&str>) -> Answer {
        if self.deletion.is_some() {
            return Err(AwsError::marked_for_deletion());
        }
        let id = match (version, stage) {
            (Some(id), stage) => {
                if !self.versions.contains_key(id) {
                    return Err(AwsError::no_version(id));
                }
                if stage.is_some_and(|stage| self.labelled(stage) != Some(id)) {
                    return Err(AwsError::invalid_request("You provided a VersionStage that is not associated to the provided VersionId."));
                }
                id
            }
            (None, stage) => {
                let stage = stage.unwrap_or(CURRENT);
                self.labelled(stage).ok_or_else(|| AwsError::no_label(stage))?
            }
        };
        let unknown = || version.map_or_else(|| AwsError::no_label(stage.unwrap_or(CURRENT)), AwsError::no_version);
        let version = self.versions.get(id).ok_or_else(unknown)?;
        let (member, value) = version.value.as_ref().ok_or_else(unknown)?.render();
        let labels = self.labels_of(id);
        let mut answer = Map::new();
        answer.insert("ARN".into(), self.arn.clone().into());
        answer.insert("Name".into(), self.name.clone().into());
        answer.insert("VersionId".into(), id.into());
        answer.insert(member.into(), value.into());
        if !labels.is_empty() {
            answer.insert("VersionStages".into(), labels.into());
        }
        answer.insert("CreatedDate".into(), epoch(version.created));
        Ok(Value::Object(answer))
    }
}
