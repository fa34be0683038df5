//! The Namespace: its uid, and the annotations of the administrator.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::Api;

use super::failed;
use super::stored::Brief;
use crate::api::SUSPEND;
use crate::failure::Failure;

/// Most characters of a text that are quoted in a condition.
const LONGEST: usize = 256;

/// What a Namespace says. Empty if the Namespace does not exist.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct NamespacePolicy {
    /// Its uid.
    pub uid: Option<String>,
    annotations: BTreeMap<String, String>,
    ending: bool,
}

impl NamespacePolicy {
    /// Reads from the API server, not from a cache, so that a revoked permission is not used any more. Before anything is done.
    ///
    /// # Errors
    /// If the Namespace cannot be read.
    pub async fn of(client: &Client, namespace: &str) -> Result<Self, Failure> {
        let found = Api::<Brief<Namespace>>::all(client.clone())
            .get_opt(namespace)
            .await
            .map_err(|error| failed("reading the Namespace", &error))?;
        Ok(found.map_or_else(|| Self { ending: true, ..Self::default() }, |found| Self::read(&found)))
    }

    /// What this Namespace says.
    pub fn read(found: &Brief<Namespace>) -> Self {
        let metadata = &found.metadata;
        let annotations = metadata.annotations.clone().unwrap_or_default();
        Self { uid: metadata.uid.clone(), annotations, ending: metadata.deletion_timestamp.is_some() }
    }

    /// The value of an annotation.
    pub fn get(&self, annotation: &str) -> Option<&str> {
        self.annotations.get(annotation).map(String::as_str)
    }

    /// The text of the annotation that suspends every object of the Namespace, bounded and on one line.
    pub fn suspension(&self) -> Option<String> {
        let text = self.get(SUSPEND)?;
        Some(text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect())
    }

    /// Number of bytes of its annotations.
    pub(super) fn len(&self) -> usize {
        self.annotations.iter().map(|(key, value)| key.len().saturating_add(value.len())).sum()
    }

    /// Whether the Namespace is being deleted or does not exist.
    pub fn is_ending(&self) -> bool {
        self.ending
    }
}
