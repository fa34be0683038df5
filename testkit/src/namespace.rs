//! A namespace of a control plane, and an AWS of its own.

use std::net::SocketAddr;

use anyhow::Result;
use emulator::{Emulator, SecretSnapshot};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use rotated_secrets::api::{ROTATE, RotatedSecret};
use serde_json::{Value, json};

/// The prefix of the names of AWS secrets.
pub const PREFIX: &str = "k8s";

pub struct TestNamespace {
    /// Has all rights.
    pub admin: Client,
    pub namespace: String,
    pub emulator: Emulator,
    server: emulator::Server,
}

impl TestNamespace {
    /// `namespace` exists; its AWS is empty.
    pub async fn new(admin: Client, namespace: &str, config: emulator::Config) -> Result<Self> {
        crate::timing::start();
        let emulator = Emulator::new(config);
        let server = emulator.serve(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        Ok(Self { admin, namespace: namespace.to_owned(), emulator, server })
    }

    /// Where AWS is.
    pub fn endpoint(&self) -> String {
        self.server.endpoint_url()
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub fn objects(&self) -> Api<RotatedSecret> {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    /// The same as stored, with fields that the operator does not know.
    pub fn dynamic(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.admin.clone(), &self.namespace, &ApiResource::erase::<RotatedSecret>(&()))
    }

    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    pub async fn create(&self, name: &str, spec: Value) -> Result<RotatedSecret> {
        let object = serde_json::from_value(json!({
            "apiVersion": "rotated-secrets.io/v1alpha1",
            "kind": "RotatedSecret",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        }))?;
        Ok(self.objects().create(&PostParams::default(), &object).await?)
    }

    pub async fn patch(&self, name: &str, patch: Value) -> Result<RotatedSecret> {
        Ok(self.objects().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?)
    }

    pub async fn annotate(&self, name: &str, annotation: &str, text: &str) -> Result<RotatedSecret> {
        self.patch(name, json!({"metadata": {"annotations": {annotation: text}}})).await
    }

    pub async fn request_rotation(&self, name: &str, token: &str) -> Result<RotatedSecret> {
        self.annotate(name, ROTATE, token).await
    }

    pub fn aws_name(&self, name: &str) -> String {
        format!("{PREFIX}/{}/{name}", self.namespace)
    }

    /// The AWS secret `<prefix>/<namespace>/<name>`.
    pub fn aws_secret(&self, name: &str) -> Option<SecretSnapshot> {
        let full = self.aws_name(name);
        self.emulator.secrets().into_iter().find(|secret| secret.name == full)
    }

    /// How many versions it has.
    pub fn versions(&self, name: &str) -> usize {
        self.aws_secret(name).map_or(0, |secret| secret.versions.len())
    }
}
