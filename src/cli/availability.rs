//! Flags about which objects an operator looks after, and which of its replicas does.

use std::time::Duration;

use jiff::SignedDuration;
use kube::{Client, Config};

use super::{Fatal, duration};
use crate::election::lease::Leases;
use crate::controller::Scope;
use crate::election::{Election, Leadership};
use crate::election::decide::Timing;
use crate::metrics::Metrics;

/// Several replicas, several operators.
#[derive(Debug, clap::Args)]
pub(super) struct AvailabilityArgs {
    /// Watch only these namespaces, with Roles in them and no cluster-wide right; default: all. Needs --cluster-id, unless the operator may read the
    /// Namespace kube-system.
    #[arg(long, env = "ROTATED_SECRETS_NAMESPACES", value_name = "NAMESPACE,...", value_delimiter = ',', value_parser = namespace)]
    namespaces: Vec<String>,
    /// Look only after RotatedSecrets with these labels, as in `shard=blue` or `shard!=blue`; another operator may look after the others.
    #[arg(long, env = "ROTATED_SECRETS_OBJECT_SELECTOR", value_name = "SELECTOR")]
    object_selector: Option<String>,
    /// Act only while holding the Lease, so that of several replicas one acts and the others stand by.
    #[arg(long, env = "ROTATED_SECRETS_LEADER_ELECT")]
    leader_elect: bool,
    /// The Lease's name: one for each group of replicas that look after the same objects.
    #[arg(long, env = "ROTATED_SECRETS_LEASE_NAME", value_name = "NAME", default_value = "rotated-secrets", value_parser = name)]
    lease_name: String,
    /// The Lease's namespace; default: the pod's, or the kubeconfig's.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE", value_parser = namespace)]
    lease_namespace: Option<String>,
    /// This replica's name in the Lease, which no other may have; default: a random one.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    lease_identity: Option<String>,
    /// A Lease that was not renewed for so long is anybody's.
    #[arg(long, env = "ROTATED_SECRETS_LEASE_DURATION", value_name = "DURATION", default_value = "15s", value_parser = duration)]
    lease_duration: SignedDuration,
    /// A leader that could not renew for so long begins nothing new.
    #[arg(long, env = "ROTATED_SECRETS_LEASE_RENEW_DEADLINE", value_name = "DURATION", default_value = "10s", value_parser = duration)]
    lease_renew_deadline: SignedDuration,
    /// How often a leader renews the Lease.
    #[arg(long, env = "ROTATED_SECRETS_LEASE_RETRY_PERIOD", value_name = "DURATION", default_value = "2s", value_parser = duration)]
    lease_retry_period: SignedDuration,
}

impl AvailabilityArgs {
    /// Which objects.
    pub(super) fn scope(&self) -> Scope {
        Scope::new(self.namespaces.clone(), self.object_selector.clone())
    }

    /// What is wrong with the flags, before anything is started.
    pub(super) fn check(&self) -> Result<(), Fatal> {
        match self.timing().fault() {
            Some(fault) if self.leader_elect => Err(Fatal(fault.to_owned())),
            _ => Ok(()),
        }
    }

    /// A candidate, if there is an election, and what its controller asks. `config`: where the Lease is when nothing else is said.
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

    fn timing(&self) -> Timing {
        let of = |duration: SignedDuration| Duration::try_from(duration).unwrap_or_default();
        Timing {
            duration: of(self.lease_duration),
            renew_deadline: of(self.lease_renew_deadline),
            retry_period: of(self.lease_retry_period),
        }
    }
}

/// RFC 1123, as the API server asks it of namespaces.
fn namespace(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() || text.len() > 63 || !text.chars().all(fine) || text.starts_with('-') || text.ends_with('-') {
        return Err("1 to 63 small letters, digits and -, with no - at either end".to_owned());
    }
    Ok(text.to_owned())
}

fn name(text: &str) -> Result<String, String> {
    if text.len() > 253 || !text.split('.').all(|part| namespace(part).is_ok()) {
        return Err("the name of a Kubernetes object: small letters, digits, - and .".to_owned());
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
