//! A secret as the store keeps it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Number, Value, json};

use super::arn::{ACCOUNT, partition};
use crate::error::AwsError;
use crate::payload::Payload;

pub(crate) const CURRENT: &str = "AWSCURRENT";
pub(crate) const PREVIOUS: &str = "AWSPREVIOUS";
pub(crate) const PENDING: &str = "AWSPENDING";

/// A version. Once it has a value it never changes.
#[derive(Debug)]
pub(crate) struct Version {
    /// None only for the empty AWSPENDING version that `RotateSecret` makes.
    pub(crate) value: Option<Payload>,
    pub(crate) created: Timestamp,
    /// Tells versions of one moment apart.
    pub(crate) serial: u64,
}

/// A planned deletion.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deletion {
    pub(crate) requested: Timestamp,
    pub(crate) planned: Timestamp,
}

/// Whether and where a secret is replicated.
#[derive(Debug, Clone)]
pub(crate) enum Replication {
    Alone,
    Primary(Vec<ReplicaRow>),
    Replica { primary: String },
}

/// One Region a secret is replicated to.
#[derive(Debug, Clone)]
pub(crate) struct ReplicaRow {
    pub(crate) region: String,
    pub(crate) kms_key: Option<String>,
    /// Why the replica could not be made; none is in sync, or will be.
    pub(crate) failure: Option<String>,
    /// Until when it says that it is being made.
    pub(crate) made_at: Timestamp,
}

impl ReplicaRow {
    /// AWS's word for how it stands.
    pub(crate) fn status(&self, now: Timestamp) -> &'static str {
        match &self.failure {
            _ if now < self.made_at => "InProgress",
            Some(_) => "Failed",
            None => "InSync",
        }
    }
}

/// A rotation under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// The version that will become current; for a test a copy of the current one.
    pub(crate) token: String,
    /// Only `testSecret` is asked for (`RotateImmediately` is false).
    pub(crate) test_only: bool,
    /// How often it failed.
    pub(crate) failures: usize,
    /// When it goes on.
    pub(crate) due: Timestamp,
}

/// AWS-driven rotation, as far as it is set up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rotation {
    pub(crate) enabled: Option<bool>,
    pub(crate) function: Option<String>,
    pub(crate) rules: Option<Value>,
    pub(crate) last: Option<Timestamp>,
    /// When the next window opens.
    pub(crate) opens: Option<Timestamp>,
    /// By when the next rotation will have happened, as AWS shows it.
    pub(crate) next: Option<Timestamp>,
    pub(crate) attempt: Option<Attempt>,
}

/// A secret.
#[derive(Debug, Clone)]
pub(crate) struct Secret {
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) description: Option<String>,
    pub(crate) kms_key: Option<String>,
    /// None if it never had one; emptied it stays an empty list (recorded).
    pub(crate) tags: Option<BTreeMap<String, String>>,
    pub(crate) versions: BTreeMap<String, Arc<Version>>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) created: Timestamp,
    pub(crate) changed: Timestamp,
    pub(crate) deletion: Option<Deletion>,
    pub(crate) policy: Option<String>,
    pub(crate) replication: Replication,
    pub(crate) rotation: Rotation,
    pub(crate) kind: Option<String>,
}

impl Secret {
    /// A secret without versions.
    pub(crate) fn empty(name: &str, region: &str, suffix: &str, now: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            arn: format!("arn:{}:secretsmanager:{region}:{ACCOUNT}:secret:{name}-{suffix}", partition(region)),
            description: None,
            kms_key: None,
            tags: None,
            versions: BTreeMap::new(),
            labels: BTreeMap::new(),
            created: now,
            changed: now,
            deletion: None,
            policy: None,
            replication: Replication::Alone,
            rotation: Rotation::default(),
            kind: None,
        }
    }

    /// The id of the version a label is on.
    pub(crate) fn labelled(&self, label: &str) -> Option<&str> {
        self.labels.get(label).map(String::as_str)
    }

    /// The labels of a version.
    pub(crate) fn labels_of(&self, id: &str) -> Vec<&str> {
        self.labels.iter().filter(|(_, on)| *on == id).map(|(label, _)| label.as_str()).collect()
    }

    /// The ids of versions that have a label.
    pub(crate) fn labelled_ids(&self) -> BTreeSet<&str> {
        self.labels.values().map(String::as_str).collect()
    }

    /// Writes to a replica are refused; only its primary can be changed.
    pub(crate) fn refuse_if_replica(&self) -> Result<(), AwsError> {
        match self.replication {
            Replication::Replica { .. } => {
                Err(AwsError::invalid_request("Operation not permitted on a replica secret. Call must be made in primary secret's region."))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn is_replica(&self) -> bool {
        matches!(self.replication, Replication::Replica { .. })
    }

    /// Where its replicas in sync are.
    pub(crate) fn replica_regions(&self) -> Vec<String> {
        match &self.replication {
            Replication::Primary(rows) => rows.iter().filter(|row| row.failure.is_none()).map(|row| row.region.clone()).collect(),
            _ => Vec::new(),
        }
    }

    /// What stands in another Region: the same secret with that Region in its ARN.
    pub(crate) fn likeness(&self, from: &str, to: &str) -> Self {
        let own_key = match &self.replication {
            Replication::Primary(rows) => rows.iter().find(|row| row.region == to).and_then(|row| row.kms_key.clone()),
            _ => None,
        };
        Self {
            arn: self.arn.replacen(&format!(":{from}:"), &format!(":{to}:"), 1),
            kms_key: own_key,
            replication: Replication::Replica { primary: from.to_owned() },
            rotation: Rotation::default(),
            ..self.clone()
        }
    }

    /// The `ReplicationStatus` list; none if it was never replicated.
    pub(crate) fn replication_status(&self, now: Timestamp) -> Option<Value> {
        let Replication::Primary(rows) = &self.replication else {
            return None;
        };
        let render = |row: &ReplicaRow| {
            let mut entry = json!({
                "Region": row.region,
                "KmsKeyId": row.kms_key.as_deref().unwrap_or("alias/aws/secretsmanager"),
                "Status": row.status(now),
            });
            if let ("Failed", Some(failure), Some(entry)) = (row.status(now), &row.failure, entry.as_object_mut()) {
                entry.insert("StatusMessage".into(), failure.clone().into());
            }
            entry
        };
        Some(rows.iter().map(render).collect())
    }

    /// The members that `DescribeSecret` and an entry of `ListSecrets` share. They call the map of labels by different names.
    pub(crate) fn details(&self, own_region: &str, map_name: &str, accessed: Option<Timestamp>, now: Timestamp) -> Map<String, Value> {
        let mut out = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                out.insert(key.to_owned(), value);
            }
        };
        put("ARN", Some(self.arn.clone().into()));
        put("Name", Some(self.name.clone().into()));
        put("Type", self.kind.clone().map(Value::from));
        put("Description", self.description.clone().map(Value::from));
        put("KmsKeyId", self.kms_key.clone().map(Value::from));
        put("RotationEnabled", self.rotation.enabled.map(Value::from));
        put("RotationLambdaARN", self.rotation.function.clone().map(Value::from));
        put("RotationRules", self.rotation.rules.clone());
        put("LastRotatedDate", self.rotation.last.map(epoch));
        put("NextRotationDate", self.rotation.next.map(epoch));
        put("LastChangedDate", Some(epoch(self.changed)));
        put("LastAccessedDate", accessed.map(epoch));
        put("CreatedDate", Some(epoch(self.created)));
        put("Tags", self.tags.as_ref().map(render_tags));
        let mut map = Map::new();
        for id in self.labelled_ids() {
            map.insert(id.to_owned(), self.labels_of(id).into());
        }
        put(map_name, (!map.is_empty()).then(|| map.into()));
        let primary = match &self.replication {
            Replication::Alone => None,
            Replication::Primary(_) => Some(own_region.to_owned()),
            Replication::Replica { primary } => Some(primary.clone()),
        };
        put("PrimaryRegion", primary.map(Value::from));
        put("ReplicationStatus", self.replication_status(now));
        out
    }
}

/// A list of tags on the wire.
fn render_tags(tags: &BTreeMap<String, String>) -> Value {
    tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect()
}

/// A moment on the wire: seconds since 1970 with milliseconds.
pub(crate) fn epoch(at: Timestamp) -> Value {
    #[allow(clippy::cast_precision_loss)] // milliseconds stay exact for 285 000 years
    let seconds = at.as_millisecond() as f64 / 1000.0;
    Number::from_f64(seconds).map_or(Value::Null, Value::Number)
}
