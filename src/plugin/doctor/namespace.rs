//! Namespaces whose annotation suspends every object in them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};

use super::report::{Finding, Report};
use crate::kubernetes::namespace::NamespacePolicy;
use crate::kubernetes::stored::Brief;
use crate::plugin::conditions::suspended_by_namespace;
use crate::plugin::connect::Session;
use crate::plugin::seen::Seen;

/// Names the suspended namespaces.
pub(super) async fn check(session: &Session, everywhere: bool, report: &mut Report) {
    for (namespace, because) in suspended(session, everywhere).await {
        let resume = session.flags.within(&namespace).plugin("resume --namespace-wide");
        let message = format!("{namespace} is suspended ({because}): nothing is written for its objects; to resume: {resume}");
        report.add("namespace", Finding::Note, message);
    }
}

/// The suspended namespaces, and why. Tenants may often not read Namespaces: then as far as the operator says it.
async fn suspended(session: &Session, everywhere: bool) -> BTreeMap<String, String> {
    let read = if everywhere {
        let all = Api::<Brief<Namespace>>::all(session.client.clone()).list(&ListParams::default()).await;
        all.ok()
            .map(|all| all.items.iter().filter_map(|found| Some((found.name_any(), NamespacePolicy::read(found).suspension()?))).collect())
    } else {
        let policy = NamespacePolicy::of(&session.client, &session.namespace).await.ok();
        policy.map(|policy| policy.suspension().map(|because| (session.namespace.clone(), because)).into_iter().collect())
    };
    if let Some(read) = read {
        return read;
    }
    let objects = session.list(everywhere, None).await.unwrap_or_default().into_iter().filter_map(|seen| Seen::into_readable(seen).ok());
    objects.filter_map(|object| Some((object.namespace()?, suspended_by_namespace(&object)?.to_owned()))).collect()
}
