//! The Lease that replicas of the operator share. Every write carries the resourceVersion of the last read, so that only
//! one of two candidates succeeds.

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};
use kube::runtime::{WatchStreamExt, watcher};

use std::time::Duration;

use crate::api::FIELD_MANAGER;
use crate::kubernetes::stored::Brief;

/// One Lease, by namespace and name.
#[derive(Clone)]
pub struct Leases {
    client: Client,
    namespace: String,
    name: String,
}

/// Reason why a Lease was not read or written. It has no text of the API server; the code is sufficient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Another client wrote it since it was read.
    #[error("another client wrote it")]
    Conflict,
    /// The API server responded with this code.
    #[error("HTTP {0}")]
    Refused(u16),
    /// The API server did not respond.
    #[error("no response")]
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

    /// Yields when the Lease may have changed. Read it again with [`Leases::read`], because a watch can lag behind.
    pub fn changes(&self) -> impl Stream<Item = ()> + Send + use<> {
        let api: Api<Brief<Lease>> = Api::namespaced(self.client.clone(), &self.namespace);
        watcher::watch_object(api, &self.name).default_backoff().map(drop)
    }

    /// The Lease; `None` if it does not exist.
    ///
    /// # Errors
    /// If the API server rejects the request or does not respond.
    pub async fn read(&self) -> Result<Option<Lease>, LeaseError> {
        Ok(self.api().get_opt(&self.name).await?)
    }

    /// Writes the holder and the time into the Lease `seen` (`None`: creates it). Returns the Lease as written.
    ///
    /// # Errors
    /// [`LeaseError::Conflict`] if another client wrote it since it was read.
    pub async fn hold(&self, seen: Option<&Lease>, holder: &str, lasting: Duration, now: Timestamp) -> Result<Lease, LeaseError> {
        let before = seen.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let same = before.holder_identity.as_deref() == Some(holder);
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(whole_seconds(lasting)),
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

    /// Removes the holder from the Lease, so that the next candidate does not have to wait.
    ///
    /// # Errors
    /// [`LeaseError::Conflict`] if another client wrote it since it was read.
    pub async fn release(&self, seen: &Lease, now: Timestamp) -> Result<(), LeaseError> {
        let before = seen.spec.clone().unwrap_or_default();
        // As client-go does: the shortest valid duration.
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

/// The duration as a Lease has it. Rounded up: the holder leads for all of it, and the next one must not begin before.
fn whole_seconds(duration: Duration) -> i32 {
    let fraction = u64::from(duration.subsec_nanos() > 0);
    i32::try_from(duration.as_secs().saturating_add(fraction)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_of_a_second_is_rounded_up_since_the_holder_leads_for_all_of_it() {
        for (millis, seconds) in [(1000, 1), (1001, 2), (1500, 2), (14_999, 15), (15_000, 15)] {
            let (lasting, written) = (Duration::from_millis(millis), whole_seconds(Duration::from_millis(millis)));
            assert_eq!(written, seconds, "{lasting:?}");
            assert!(Duration::from_secs(written.try_into().unwrap()) >= lasting, "{lasting:?}");
        }
        assert_eq!(whole_seconds(Duration::MAX), i32::MAX);
    }
}
