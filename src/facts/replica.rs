//! Replicas of an AWS secret.

/// One replica, as DescribeSecret reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// The region.
    pub region: String,
    /// The KMS key. `None`: the default key of the region.
    pub key: Option<String>,
    /// The state of the replication.
    pub state: ReplicaState,
    /// The cause of a failure, as one word of a closed set.
    pub why: Option<&'static str>,
}

/// The state of a replica, in AWS's words.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ReplicationStatusType.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString, strum::IntoStaticStr)]
pub enum ReplicaState {
    /// It has the value of the primary.
    InSync,
    /// AWS creates or updates it.
    InProgress,
    /// AWS has not started yet.
    Pending,
    /// AWS could not create it.
    Failed,
    /// It no longer follows the primary.
    Detached,
    /// A state that this version does not know.
    Unknown,
}

impl ReplicaState {
    /// The word, as in the status.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
