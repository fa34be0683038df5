//! What an administrator says on the Namespace.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::Api;

use super::failed;
use super::stored::Brief;
use crate::api::condition::ConditionType;
use crate::failure::Failure;

/// The annotations of a Namespace. A Namespace that is not there says nothing.
#[derive(Debug, Clone, Default)]
pub struct NamespacePolicy(BTreeMap<String, String>);

impl NamespacePolicy {
    /// Asks the API server, not a cache: what was taken back must not be given any more.
    ///
    /// # Errors
    /// When the Namespace cannot be read.
    pub async fn of(client: &Client, namespace: &str) -> Result<Self, Failure> {
        let found = Api::<Brief<Namespace>>::all(client.clone())
            .get_opt(namespace)
            .await
            .map_err(|error| failed(ConditionType::Provisioned, "reading the Namespace", &error))?;
        Ok(Self(found.and_then(|namespace| namespace.metadata.annotations).unwrap_or_default()))
    }

    /// What one annotation says.
    pub fn get(&self, annotation: &str) -> Option<&str> {
        self.0.get(annotation).map(String::as_str)
    }
}
