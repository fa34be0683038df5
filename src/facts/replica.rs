//! Replicas of an AWS secret in other regions.

use strum::{EnumString, IntoStaticStr};

/// One replica, as `DescribeSecret` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Its region.
    pub region: String,
    /// Its KMS key; `None`: the default key of the region.
    pub key: Option<String>,
    /// Its replication status.
    pub state: ReplicaState,
    /// Why it failed, in one word of ours.
    pub why: Option<&'static str>,
}

/// The replication status.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ReplicationStatusType.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr)]
pub enum ReplicaState {
    /// It holds what the primary secret holds.
    InSync,
    /// AWS is creating or updating it.
    InProgress,
    /// AWS has not started.
    Pending,
    /// It could not be created.
    Failed,
    /// It no longer follows the primary secret.
    Detached,
    /// A status that this version of the operator does not know.
    Unknown,
}

impl ReplicaState {
    /// The word for status and messages.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
