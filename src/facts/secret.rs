//! The AWS secret as `DescribeSecret` shows it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Replica;
use crate::desired::Rules;
use crate::version_id::VersionId;

/// What `DescribeSecret` shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AwsSecret {
    /// The full ARN.
    pub arn: String,
    /// The name.
    pub name: String,
    /// The description, if any.
    pub description: Option<String>,
    /// The KMS key, unless it is the default one.
    pub kms_key_id: Option<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// Scheduled for deletion.
    pub deleted: bool,
    /// Rotation by AWS.
    pub rotation: RotationFacts,
    /// The AWS service that manages it.
    pub owning_service: Option<String>,
    /// Staging label to version.
    pub labels: BTreeMap<String, VersionId>,
    /// When anything about it was last modified.
    pub last_changed: Option<Timestamp>,
    /// Its replicas.
    pub replicas: Vec<Replica>,
    /// The primary region, if the secret is replicated or a replica.
    pub primary_region: Option<String>,
}

impl AwsSecret {
    /// The version that carries a staging label.
    pub fn labelled(&self, label: &str) -> Option<&VersionId> {
        self.labels.get(label)
    }

    /// The region of the primary, if this is a replica in `region`.
    pub fn replica_of(&self, region: &str) -> Option<&str> {
        self.primary_region.as_deref().filter(|primary| *primary != region)
    }
}

/// An entry of a list of secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The full ARN.
    pub arn: String,
    /// When anything about it was last modified.
    pub changed: Timestamp,
}

/// What `DescribeSecret` shows of rotation by AWS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RotationFacts {
    /// Rotation is on.
    pub enabled: bool,
    /// The function. AWS keeps it when rotation is turned off.
    pub function: Option<String>,
    /// The rules. AWS keeps them too.
    pub rules: Rules,
    /// When AWS last rotated.
    pub last: Option<Timestamp>,
    /// By when AWS rotates next. In the past if rotation fails.
    pub next: Option<Timestamp>,
}
