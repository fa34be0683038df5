//! The AWS secret: versions, their passwords and their labels.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rotated_secrets::api::{AWSCURRENT, AWSPENDING, AWSPREVIOUS};
use rotated_secrets::facts::AwsSecret;
use rotated_secrets::version_id::VersionId;

pub(crate) const NAME: &str = "k8s/shop/app";
pub(crate) const ARN: &str = "arn:aws:secretsmanager:eu-central-1:000000000000:secret:k8s/shop/app-AbCdEf";

/// A password. Each version has another one.
pub(crate) type Password = u8;

/// A version.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Version {
    /// Which of the users it is for.
    pub(crate) user: usize,
    pub(crate) password: Password,
    pub(crate) created: Timestamp,
}

/// The secret. Versions without a label stay: AWS deletes them much later.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Secret {
    pub(crate) versions: BTreeMap<VersionId, Version>,
    pub(crate) labels: BTreeMap<String, VersionId>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) changed: Timestamp,
}

impl Secret {
    pub(crate) fn new(now: Timestamp, tags: BTreeMap<String, String>) -> Self {
        let first = VersionId::from("11111111-1111-4111-8111-111111111111");
        let version = Version { user: 0, password: 0, created: now };
        Self {
            versions: BTreeMap::from([(first.clone(), version)]),
            labels: BTreeMap::from([(AWSCURRENT.to_owned(), first)]),
            tags,
            changed: now,
        }
    }

    pub(crate) fn labelled(&self, label: &str) -> Option<&VersionId> {
        self.labels.get(label)
    }

    pub(crate) fn current(&self) -> Option<&VersionId> {
        self.labelled(AWSCURRENT)
    }

    /// `PutSecretValue`. `false`: AWS has the version. A label moves from any other version; that of a version which another
    /// rotation staged goes away with a new current version.
    pub(crate) fn put(&mut self, version: &VersionId, (user, password): (usize, Password), labels: &[&str], now: Timestamp) -> bool {
        if self.versions.contains_key(version) {
            return false;
        }
        self.versions.insert(version.clone(), Version { user, password, created: now });
        for label in labels {
            if *label == AWSCURRENT {
                self.make_current(version);
                self.labels.remove(AWSPENDING);
            } else {
                self.labels.insert((*label).to_owned(), version.clone());
            }
        }
        self.changed = now;
        true
    }

    /// `UpdateSecretVersionStage`. `false`: `from` does not have the label.
    pub(crate) fn move_label(&mut self, label: &str, from: Option<&VersionId>, to: Option<&VersionId>, now: Timestamp) -> bool {
        if self.labelled(label) != from {
            return false;
        }
        match to {
            Some(to) if label == AWSCURRENT => self.make_current(to),
            Some(to) => drop(self.labels.insert(label.to_owned(), to.clone())),
            None => drop(self.labels.remove(label)),
        }
        self.changed = now;
        true
    }

    fn make_current(&mut self, version: &VersionId) {
        if let Some(before) = self.labels.insert(AWSCURRENT.to_owned(), version.clone()) {
            self.labels.insert(AWSPREVIOUS.to_owned(), before);
        }
    }

    /// What `DescribeSecret` answers.
    pub(crate) fn described(&self) -> AwsSecret {
        AwsSecret {
            arn: ARN.to_owned(),
            name: NAME.to_owned(),
            tags: self.tags.clone(),
            labels: self.labels.clone(),
            last_changed: Some(self.changed),
            ..AwsSecret::default()
        }
    }
}
