//! The emulator's state for tests.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::payload::Payload;
use crate::store::Secret;

/// A secret as it stands.
#[derive(Debug, Clone)]
pub struct SecretSnapshot {
    /// The Region it is in.
    pub region: String,
    /// Its name.
    pub name: String,
    /// Its ARN, with the suffix.
    pub arn: String,
    /// Its description.
    pub description: Option<String>,
    /// The key it is encrypted with, if not the service's own.
    pub kms_key: Option<String>,
    /// Label to version id.
    pub labels: BTreeMap<String, String>,
    /// All versions, labelled or not, oldest first.
    pub versions: Vec<VersionSnapshot>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// When it was created.
    pub created: Timestamp,
    /// When anything about it last changed.
    pub changed: Timestamp,
    /// When it will be gone, if it waits for deletion.
    pub deletion_date: Option<Timestamp>,
    /// Its resource policy.
    pub policy: Option<String>,
    /// Rotation by AWS; none if it was never set up.
    pub rotation: Option<RotationSnapshot>,
}

/// Rotation by AWS as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct RotationSnapshot {
    /// Whether it is on.
    pub enabled: bool,
    /// The function.
    pub function: Option<String>,
    /// The rules, as AWS shows them.
    pub rules: Option<serde_json::Value>,
    /// When AWS last rotated.
    pub last: Option<Timestamp>,
    /// By when it will have rotated next.
    pub next: Option<Timestamp>,
}

/// A version as it stands.
#[derive(Debug, Clone)]
pub struct VersionSnapshot {
    /// Its id, the token of the write that made it.
    pub id: String,
    /// When it was made.
    pub created: Timestamp,
    value: Option<Payload>,
}

impl VersionSnapshot {
    /// Its value. None only for the empty version that `RotateSecret` makes.
    pub fn value(&self) -> Option<&Payload> {
        self.value.as_ref()
    }
}

impl SecretSnapshot {
    pub(crate) fn of(region: &str, secret: &Secret) -> Self {
        let mut versions: Vec<_> = secret.versions.iter().collect();
        versions.sort_by_key(|(_, version)| (version.created, version.serial));
        let versions = versions
            .into_iter()
            .map(|(id, version)| VersionSnapshot { id: id.clone(), created: version.created, value: version.value.clone() })
            .collect();
        Self {
            region: region.to_owned(),
            name: secret.name.clone(),
            arn: secret.arn.clone(),
            description: secret.description.clone(),
            kms_key: secret.kms_key.clone(),
            labels: secret.labels.clone(),
            versions,
            tags: secret.tags.clone().unwrap_or_default(),
            created: secret.created,
            changed: secret.changed,
            deletion_date: secret.deletion.map(|deletion| deletion.planned),
            policy: secret.policy.clone(),
            rotation: secret.rotation.enabled.map(|enabled| RotationSnapshot {
                enabled,
                function: secret.rotation.function.clone(),
                rules: secret.rotation.rules.clone(),
                last: secret.rotation.last,
                next: secret.rotation.next,
            }),
        }
    }

    /// The version with this id.
    pub fn version(&self, id: &str) -> Option<&VersionSnapshot> {
        self.versions.iter().find(|version| version.id == id)
    }

    /// The version a label is on.
    pub fn labelled(&self, label: &str) -> Option<&VersionSnapshot> {
        self.version(self.labels.get(label)?)
    }

    /// The current value as text.
    pub fn current(&self) -> Option<&str> {
        self.labelled("AWSCURRENT")?.value()?.as_str()
    }
}
