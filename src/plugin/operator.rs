//! What the cluster says of the operator itself: its version and its Lease. Tenants may often not read either.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::{Api, ListParams};

/// Label of the operator's objects in the chart and in deploy/install.yaml.
const OURS: &str = "app.kubernetes.io/name=rotated-secrets";

/// A Deployment of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Installed {
    /// `namespace/name`.
    pub(super) deployment: String,
    /// By the tag of its image; `None` if the image has none.
    pub(super) version: Option<String>,
}

/// The Deployments of the operator. `None`: they may not be listed.
pub(super) async fn installed(client: &Client) -> Option<Vec<Installed>> {
    let found = Api::<Deployment>::all(client.clone()).list(&ListParams::default().labels(OURS)).await.ok()?;
    let one = |deployment: Deployment| {
        let metadata = deployment.metadata;
        let pod = deployment.spec.and_then(|spec| spec.template.spec);
        let image = pod.and_then(|pod| pod.containers.into_iter().next()).and_then(|container| container.image);
        Installed {
            deployment: format!("{}/{}", metadata.namespace.unwrap_or_default(), metadata.name.unwrap_or_default()),
            version: image.as_deref().and_then(tag),
        }
    };
    Some(found.items.into_iter().map(one).collect())
}

/// The tag of an image, without its digest and without a leading `v`.
fn tag(image: &str) -> Option<String> {
    let (name, _) = image.split_once('@').unwrap_or((image, ""));
    let (_, tag) = name.rsplit('/').next()?.split_once(':')?;
    let bounded: String = tag.trim_start_matches('v').chars().take(128).collect();
    (!bounded.is_empty()).then_some(bounded)
}

/// The Leases of the operator, as sentences. `None`: they may not be read, or leader election is off.
pub(super) async fn leases(client: &Client, now: Timestamp) -> Option<Vec<(bool, String)>> {
    let names = installed(client).await?;
    let mut told = Vec::new();
    for Installed { deployment, .. } in names {
        let (namespace, name) = deployment.split_once('/')?;
        // The chart gives the Lease the name of the Deployment.
        if let Ok(Some(lease)) = Api::<Lease>::namespaced(client.clone(), namespace).get_opt(name).await {
            told.push(lease_of(&lease, &deployment, now));
        }
    }
    (!told.is_empty()).then_some(told)
}

/// Whether the Lease is held, and by whom.
fn lease_of(lease: &Lease, name: &str, now: Timestamp) -> (bool, String) {
    let spec = lease.spec.clone().unwrap_or_default();
    let holder = spec.holder_identity.filter(|holder| !holder.is_empty());
    let lasts = SignedDuration::from_secs(i64::from(spec.lease_duration_seconds.unwrap_or(15)));
    let renewed = spec.renew_time.map(|time| time.0);
    match (holder, renewed) {
        // Twice its duration: the clocks of the cluster differ by a little.
        (Some(holder), Some(renewed)) if now.duration_since(renewed) <= lasts.saturating_mul(2) => {
            (true, format!("{holder} leads (Lease {name})"))
        }
        (Some(holder), Some(renewed)) => {
            (false, format!("{holder} has not renewed the Lease {name} for {}", super::ages::since(renewed, now)))
        }
        _ => (false, format!("no replica holds the Lease {name}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_version_is_the_tag_of_the_image() {
        for (image, expected) in [
            ("rotated-secrets:0.1.0", Some("0.1.0")),
            ("ghcr.io:443/org/rotated-secrets:v1.2.3@sha256:0123", Some("1.2.3")),
            ("ghcr.io:443/org/rotated-secrets", None),
            ("rotated-secrets@sha256:0123", None),
        ] {
            assert_eq!(tag(image).as_deref(), expected, "{image}");
        }
    }

    #[test]
    fn a_lease_that_is_not_renewed_is_an_absent_operator() {
        let now = "2026-06-01T12:00:00Z".parse().unwrap();
        let lease = |holder: Option<&str>, renewed: &str| -> Lease {
            serde_json::from_value(json!({"spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed}})).unwrap()
        };
        for (holder, renewed, held, words) in [
            (Some("pod-1"), "2026-06-01T11:59:50.000000Z", true, "pod-1 leads"),
            (Some("pod-1"), "2026-06-01T11:50:00.000000Z", false, "pod-1 has not renewed the Lease a/b for 10m"),
            (None, "2026-06-01T11:59:50.000000Z", false, "no replica holds"),
        ] {
            let (found, said) = lease_of(&lease(holder, renewed), "a/b", now);
            assert!(found == held && said.contains(words), "{said}");
        }
    }
}
