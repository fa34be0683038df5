//! Flags that select the objects of an operator and configure leader election among its replicas.

use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Client, Config};

use super::fatal::Fatal;
use crate::controller::Scope;
use crate::election::decide::Timing;
use crate::election::lease::Leases;
use crate::election::{Election, Leadership};
use crate::flags::duration;
use crate::metrics::Metrics;

/// Scope and leader election.
#[derive(Debug, clap::Args)]
pub(super) struct AvailabilityArgs {
    /// Watch only these namespaces. Requires a Role in each; no cluster-wide role needed. Default: all.
    /// Requires --cluster-id, unless the operator may read the Namespace kube-system.
    #[arg(long, env = "ROTATED_SECRETS_NAMESPACES", value_name = "NAMESPACE,...", value_delimiter = ',', value_parser = namespace)]
    namespaces: Vec<String>,
    /// Label selector of the RotatedSecrets to manage, such as `shard=blue` or `shard!=blue`. Another operator may
    /// manage the remaining objects.
    #[arg(long, env = "ROTATED_SECRETS_OBJECT_SELECTOR", value_name = "SELECTOR")]
    object_selector: Option<String>,
    /// Enable leader election: only the replica that holds the Lease reconciles, the other replicas are standbys.
    #[arg(long, env = "ROTATED_SECRETS_LEADER_ELECT")]
    leader_elect: bool,
    /// Name of the Lease. Use one Lease for each group of replicas that manage the same objects.
    #[arg(long, env = "ROTATED_SECRETS_LEASE_NAME", value_name = "NAME", default_value = "rotated-secrets", value_parser = name)]
    lease_name: String,
    /// Namespace of the Lease. Default: the namespace of the pod or of the kubeconfig.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE", value_parser = namespace)]
    lease_namespace: Option<String>,
    /// Identity of this replica in the Lease. Must be unique. Default: a random name.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    lease_identity: Option<String>,
    /// Duration after which a Lease that was not renewed may be acquired by another replica.
    #[arg(long, env = "ROTATED_SECRETS_LEASE_DURATION", value_name = "DURATION", default_value = "15s", value_parser = duration)]
    lease_duration: SignedDuration,
    /// Duration after which a leader that could not renew the Lease starts no new reconciles.
    #[arg(long, env = "ROTATED_SECRETS_LEASE_RENEW_DEADLINE", value_name = "DURATION", default_value = "10s", value_parser = duration)]
    lease_renew_deadline: SignedDuration,
    /// Interval at which the leader renews the Lease.
    #[arg(long, env = "ROTATED_SECRETS_LEASE_RETRY_PERIOD", value_name = "DURATION", default_value = "2s", value_parser = duration)]
    lease_retry_period: SignedDuration,
}

impl AvailabilityArgs {
    /// The objects that this operator manages.
    pub(super) fn scope(&self) -> Scope {
        Scope::new(self.namespaces.clone(), self.object_selector.clone())
    }

    /// Validates the flags before anything is started.
    pub(super) fn check(&self) -> Result<(), Fatal> {
        match self.timing().fault() {
            Some(fault) if self.leader_elect => Err(Fatal(fault.to_owned())),
            _ => Ok(()),
        }
    }

    /// The election, if it is enabled, and the handle that the controller queries. `config` supplies the default
    /// namespace of the Lease.
    pub(super) fn election(&self, client: &Client, config: &Config, metrics: &Metrics) -> (Option<Election>, Leadership) {
        if !self.leader_elect {
            metrics.leads(true);
            return (None, Leadership::always());
        }
        let namespace = self.lease_namespace.as_deref().unwrap_or(&config.default_namespace);
        let leases = Leases::new(client.clone(), namespace, &self.lease_name);
        let me = self.lease_identity.clone().unwrap_or_else(|| format!("rotated-secrets-{}", uuid::Uuid::new_v4()));
        let (election, leadership) = Election::new(leases, me, self.timing(), metrics.clone());
        (Some(election), leadership)
    }

    /// The operator itself, in its own namespace: its pod, or the Namespace if it does not run in a pod.
    pub(super) fn home(&self, config: &Config) -> ObjectReference {
        let namespace = self.lease_namespace.as_ref().unwrap_or(&config.default_namespace);
        let (kind, name) = match &self.lease_identity {
            Some(pod) => ("Pod", pod),
            None => ("Namespace", namespace),
        };
        ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some(kind.to_owned()),
            name: Some(name.clone()),
            namespace: Some(namespace.clone()),
            ..ObjectReference::default()
        }
    }

    fn timing(&self) -> Timing {
        let of = |duration: SignedDuration| Duration::try_from(duration).unwrap_or_default();
        Timing {
            duration: of(self.lease_duration),
            renew_deadline: of(self.lease_renew_deadline),
            retry_period: of(self.lease_retry_period),
        }
    }
}

/// RFC 1123 label, as required for namespaces.
fn namespace(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() || text.len() > 63 || !text.chars().all(fine) || text.starts_with('-') || text.ends_with('-') {
        return Err("use 1 to 63 lowercase letters, digits and -, without - at either end".to_owned());
    }
    Ok(text.to_owned())
}

fn name(text: &str) -> Result<String, String> {
    if text.len() > 253 || !text.split('.').all(|part| namespace(part).is_ok()) {
        return Err("use a valid name of a Kubernetes object: lowercase letters, digits, - and .".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_kubernetes_takes() {
        for good in ["shop", "a", "team-1"] {
            assert!(namespace(good).is_ok(), "{good}");
            assert!(name(good).is_ok(), "{good}");
        }
        for bad in ["", "Shop", "-a", "a-", "a_b", "a/b", &"a".repeat(64)] {
            assert!(namespace(bad).is_err(), "{bad}");
            assert!(name(bad).is_err(), "{bad}");
        }
        assert!(name("rotated-secrets.blue").is_ok() && namespace("rotated-secrets.blue").is_err());
    }
}
