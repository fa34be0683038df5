//! What the cluster says of the operator itself: its version and its Lease. Tenants may often not read either.
//!
//! A tenant can create a Deployment with the operator's label and name, but not a ClusterRoleBinding. The ServiceAccount
//! that the ClusterRoleBinding of the chart names is the operator's, and so are the Deployments that use it.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::Client;
use kube::api::{Api, ListParams};

use super::flags::Flags;

/// Label of the operator's objects in the chart and in deploy/install.yaml.
const OURS: &str = "app.kubernetes.io/name=rotated-secrets";
/// How many objects with the label are read: tenants decide how many there are.
const PAGE: u32 = 100;
/// How many Deployments are shown that only have the label.
const MOST_LABELLED: usize = 5;

/// A Deployment of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Installed {
    namespace: String,
    name: String,
    /// By the tag of its image; `None` if the image has none.
    pub(super) version: Option<String>,
    /// Whether a ClusterRoleBinding names its ServiceAccount. Otherwise it only has the label.
    pub(super) bound: bool,
}

impl Installed {
    /// `namespace/name`.
    pub(super) fn deployment(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// The Deployments of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Operators {
    /// Those that are bound come first.
    pub(super) found: Vec<Installed>,
    bindings_readable: bool,
}

impl Operators {
    /// Those that are the operator: the bound ones, or all if none is bound.
    pub(super) fn trusted(&self) -> impl Iterator<Item = &Installed> {
        let bound = self.any_bound();
        self.found.iter().filter(move |installed| installed.bound || !bound)
    }

    pub(super) fn any_bound(&self) -> bool {
        self.found.iter().any(|installed| installed.bound)
    }

    /// Why a Deployment that is not bound may not be the operator's.
    pub(super) fn doubt(&self, flags: &Flags) -> String {
        let why = if self.bindings_readable {
            "no ClusterRoleBinding of the operator names its ServiceAccount"
        } else {
            "you may not list ClusterRoleBindings, which name the operator's ServiceAccount"
        };
        let show = flags.cluster(&format!("get clusterrolebindings -o wide -l {OURS}"));
        format!("found by its label only, which anyone who may create Deployments can set ({why}: {show})")
    }
}

/// The Deployments of the operator. `None`: they may not be listed.
pub(super) async fn installed(client: &Client) -> Option<Operators> {
    let params = ListParams::default().labels(OURS).limit(PAGE);
    let bindings = Api::<ClusterRoleBinding>::all(client.clone()).list(&params).await.ok();
    let accounts = accounts(bindings.iter().flatten());
    let mut deployments = Vec::new();
    let mut listed = false;
    let namespaces: BTreeSet<&str> = accounts.iter().map(|(namespace, _)| namespace.as_str()).collect();
    for namespace in namespaces {
        if let Ok(found) = Api::<Deployment>::namespaced(client.clone(), namespace).list(&params).await {
            listed = true;
            deployments.extend(found.items);
        }
    }
    if let Ok(found) = Api::<Deployment>::all(client.clone()).list(&params).await {
        listed = true;
        deployments.extend(found.items);
    }
    listed.then(|| Operators { found: sorted(deployments, &accounts), bindings_readable: bindings.is_some() })
}

/// Namespace and name of the ServiceAccounts that the bindings name.
fn accounts<'a>(bindings: impl IntoIterator<Item = &'a ClusterRoleBinding>) -> BTreeSet<(String, String)> {
    let subjects = bindings.into_iter().flat_map(|binding| binding.subjects.iter().flatten());
    let accounts = subjects.filter(|subject| subject.kind == "ServiceAccount");
    accounts.filter_map(|account| Some((account.namespace.clone()?, account.name.clone()))).collect()
}

fn sorted(deployments: Vec<Deployment>, accounts: &BTreeSet<(String, String)>) -> Vec<Installed> {
    let (mut bound, mut labelled) = (Vec::new(), Vec::new());
    for deployment in deployments {
        let metadata = deployment.metadata;
        let (namespace, name) = (metadata.namespace.unwrap_or_default(), metadata.name.unwrap_or_default());
        let pod = deployment.spec.and_then(|spec| spec.template.spec).unwrap_or_default();
        let account = pod.service_account_name.unwrap_or_else(|| "default".to_owned());
        let image = pod.containers.into_iter().next().and_then(|container| container.image);
        let is_bound = accounts.contains(&(namespace.clone(), account));
        let list = if is_bound { &mut bound } else { &mut labelled };
        let found = Installed { namespace, name, version: image.as_deref().and_then(tag), bound: is_bound };
        if !list.contains(&found) {
            list.push(found);
        }
    }
    labelled.truncate(MOST_LABELLED);
    bound.into_iter().chain(labelled).collect()
}

/// The tag of an image, without its digest and without a leading `v`.
fn tag(image: &str) -> Option<String> {
    let (name, _) = image.split_once('@').unwrap_or((image, ""));
    let (_, tag) = name.rsplit('/').next()?.split_once(':')?;
    let bounded: String = tag.trim_start_matches('v').chars().take(128).collect();
    (!bounded.is_empty()).then_some(bounded)
}

/// A Lease of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leader {
    pub(super) held: bool,
    /// Whether the Deployment is bound. Otherwise the Lease may be a tenant's.
    pub(super) bound: bool,
    /// As a sentence.
    pub(super) message: String,
}

/// The Leases of the operator. Empty: they may not be read, or leader election is off.
pub(super) async fn leases(client: &Client, now: Timestamp, flags: &Flags) -> Vec<Leader> {
    let Some(operators) = installed(client).await else { return Vec::new() };
    let mut told = Vec::new();
    for installed in operators.trusted() {
        // The chart gives the Lease the name of the Deployment.
        let api = Api::<Lease>::namespaced(client.clone(), &installed.namespace);
        if let Ok(Some(lease)) = api.get_opt(&installed.name).await {
            let (held, mut message) = lease_of(&lease, &installed.deployment(), now);
            if !installed.bound {
                message = format!("{message}, {}", operators.doubt(flags));
            }
            told.push(Leader { held, bound: installed.bound, message });
        }
    }
    told
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
    fn an_operator_is_known_by_the_account_that_a_cluster_role_binding_names() {
        let subject = |kind: &str, name: &str, namespace: Option<&str>| json!({"kind": kind, "name": name, "namespace": namespace});
        let subjects = [
            subject("ServiceAccount", "operator", Some("rs")),
            subject("User", "operator", Some("shop")),
            subject("ServiceAccount", "operator", None),
        ];
        let binding = json!({"roleRef": {"apiGroup": "", "kind": "ClusterRole", "name": "x"}, "subjects": subjects});
        let accounts = accounts([&serde_json::from_value(binding).unwrap()]);
        let deployment = |namespace: &str, name: &str, account: Option<&str>| -> Deployment {
            serde_json::from_value(json!({"metadata": {"namespace": namespace, "name": name}, "spec": {"selector": {}, "template": {
                "spec": {"serviceAccountName": account, "containers": [{"name": "a", "image": "rotated-secrets:1.2.3"}]}}}}))
            .unwrap()
        };
        let mut all = vec![
            deployment("shop", "rotated-secrets", Some("operator")),
            deployment("rs", "beside", None),
            deployment("rs", "rotated-secrets", Some("operator")),
            deployment("rs", "rotated-secrets", Some("operator")),
        ];
        all.extend((0..50).map(|number| deployment("tenant", &number.to_string(), Some("operator"))));
        let found = Operators { found: sorted(all, &accounts), bindings_readable: true };
        let trusted: Vec<String> = found.trusted().map(Installed::deployment).collect();
        assert_eq!(trusted, ["rs/rotated-secrets"]);
        let others: Vec<String> = found.found.iter().skip(1).map(Installed::deployment).collect();
        assert_eq!(others, ["shop/rotated-secrets", "rs/beside", "tenant/0", "tenant/1", "tenant/2"], "not all fifty");
    }

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
