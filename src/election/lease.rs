//! The Lease that replicas of the operator share. Every write carries the resourceVersion that was seen, so that of two candidates one wins.

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};
use kube::runtime::{WatchStreamExt, watcher};

use std::time::Duration;

use super::stored::Brief;
use crate::api::FIELD_MANAGER;

/// One Lease, by namespace and name.
#[derive(Clone)]
pub struct Leases {
    client: Client,
    namespace: String,
    name: String,
}

/// Why a Lease was not read or written. No text of the API server: the code says enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else wrote it since it was seen.
    #[error("somebody else wrote it")]
    Conflict,
    /// The API server answered with this code.
    #[error("HTTP {0}")]
    Refused(u16),
    /// It did not answer.
    #[error("no answer")]
    Unreachable,
}

impl From<kube::Error> for LeaseError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 409 => Self::Conflict,
            kube::Error::Api(status) => Self::Refused(status.code),
            _ => Self::Unreachable,
        }
    }
}

impl Leases {
    /// The Lease of this name.
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self { client, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    fn api(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Rings when the Lease may have changed. What it is then, [`Leases::read`] says: a watch can lag behind.
    pub fn bell(&self) -> impl Stream<Item = ()> + Send + use<> {
        let api: Api<Brief<Lease>> = Api::namespaced(self.client.clone(), &self.namespace);
        watcher::watch_object(api, &self.name).default_backoff().map(drop)
    }

    /// The Lease, or `None` when there is none.
    ///
    /// # Errors
    /// When the API server refuses or does not answer.
    pub async fn read(&self) -> Result<Option<Lease>, LeaseError> {
        Ok(self.api().get_opt(&self.name).await?)
    }

    /// Writes our name and the time into the Lease as seen (`None`: creates it). Gives it as it is then.
    ///
    /// # Errors
    /// [`LeaseError::Conflict`] when somebody else was faster.
    pub async fn hold(&self, seen: Option<&Lease>, holder: &str, lasting: Duration, now: Timestamp) -> Result<Lease, LeaseError> {
        let before = seen.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let same = before.holder_identity.as_deref() == Some(holder);
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(i32::try_from(lasting.as_secs()).unwrap_or(i32::MAX)),
            acquire_time: before.acquire_time.filter(|_| same).or(Some(MicroTime(now))),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(match before.lease_transitions {
                Some(so_far) if !same => so_far.saturating_add(1),
                so_far => so_far.unwrap_or(0),
            }),
            ..before
        };
        self.write(seen, spec).await
    }

    /// Takes our name off the Lease, so that the next candidate need not wait.
    ///
    /// # Errors
    /// [`LeaseError::Conflict`] when it is not ours any more.
    pub async fn release(&self, seen: &Lease, now: Timestamp) -> Result<(), LeaseError> {
        let before = seen.spec.clone().unwrap_or_default();
        // As client-go leaves it: the shortest duration that is valid.
        let spec = LeaseSpec {
            holder_identity: None,
            lease_duration_seconds: Some(1),
            acquire_time: Some(MicroTime(now)),
            renew_time: Some(MicroTime(now)),
            ..before
        };
        self.write(Some(seen), spec).await.map(drop)
    }

    async fn write(&self, seen: Option<&Lease>, spec: LeaseSpec) -> Result<Lease, LeaseError> {
        let mut metadata = seen.map(|lease| lease.metadata.clone()).unwrap_or_default();
        metadata.managed_fields = None;
        let lease = Lease { metadata: ObjectMeta { name: Some(self.name.clone()), ..metadata }, spec: Some(spec) };
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        Ok(match seen {
            None => self.api().create(&params, &lease).await?,
            Some(_) => self.api().replace(&self.name, &params, &lease).await?,
        })
    }
}
