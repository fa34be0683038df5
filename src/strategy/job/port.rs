//! What a Job needs of Kubernetes. All in the namespace of the object.

use k8s_openapi::api::core::v1::Secret;
use serde_json::Value;

use super::seen::{Held, Seen};
use crate::failure::Failure;

/// What became of a request to create a Job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// It was created, and has this uid.
    Now(String),
    /// There is a Job of this name.
    Exists,
    /// The API server does not accept it.
    Invalid,
}

/// The calls. An error is a failure that may pass, or a permission that is missing.
pub trait Port {
    /// The CronJob of this name.
    fn template(&self, name: &str) -> impl Future<Output = Result<Option<Value>, Failure>> + Send;
    /// The Jobs of the object.
    fn jobs(&self) -> impl Future<Output = Result<Vec<Seen>, Failure>> + Send;
    /// The Secrets of these Jobs.
    fn secrets(&self) -> impl Future<Output = Result<Vec<Held>, Failure>> + Send;
    /// Creates a Job.
    fn create(&self, job: &Value) -> impl Future<Output = Result<Created, Failure>> + Send;
    /// Deletes exactly this Job. It exists until its pods have ended.
    fn delete(&self, job: &Seen) -> impl Future<Output = Result<(), Failure>> + Send;
    /// Creates a Secret.
    fn hold(&self, secret: &Secret) -> impl Future<Output = Result<(), Failure>> + Send;
    /// Takes the values out of exactly this Secret, and notes that the result was read.
    fn empty(&self, held: &Held) -> impl Future<Output = Result<(), Failure>> + Send;
}
