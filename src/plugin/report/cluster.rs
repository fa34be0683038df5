//! What a report reads of one cluster. Never a Secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::{Api, ListParams};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::orphans::{self, Judged, Object, Secret};
use super::owner::owner;
use super::rbac::{Listed, Rbac};
use super::record::{Marks, Record};
use super::row::{People, Row};
use crate::kubernetes::watch::PAGE;
use crate::plugin::args::ReportArgs;
use crate::plugin::connect::{Session, pages};
use crate::plugin::seen::Seen;
use crate::plugin::{Exit, Trouble, output, status};

/// Objects in one page of a list of small objects.
const SMALL_PAGE: u32 = 500;
/// The Namespace whose UID is the default ID of a cluster.
const KUBE_SYSTEM: &str = "kube-system";

/// The credentials of one cluster.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    /// Whether everything that was asked for is known.
    pub(super) exit: Exit,
}

/// One row for each object, by namespace and name.
pub(super) async fn rows(session: &Session, cluster: &str, args: &ReportArgs) -> Result<Rows, Trouble> {
    let records = records(session, args.all_namespaces).await?;
    let namespaces = namespaces(session, args.all_namespaces).await;
    if let (true, Ok(namespaces)) = (records.is_empty() && !args.all_namespaces, &namespaces)
        && namespaces.is_empty()
    {
        let all = session.flags.cluster("get namespaces");
        return Err(Trouble::unreachable(format!("there is no namespace {}: {all} shows all", session.namespace)));
    }
    let mut exit = Exit::Fine;
    let rbac = if args.readers { Some(rbac(session, args.all_namespaces).await) } else { None };
    if let Some(why) = rbac.as_ref().and_then(Rbac::unknown) {
        let try_it = session.flags.cluster("auth can-i --list");
        output::note(&format!("error: {cluster}: who can read the Secrets is not fully known: {why} ({try_it} shows what you may)"));
        exit = Exit::Unreachable;
    }
    let (mut owners_known, mut people_known) = (true, true);
    let mut rows: Vec<Row> = records
        .into_iter()
        .map(|record| {
            let namespace = record.namespace().unwrap_or_default();
            let of_namespace = namespaces.as_ref().ok().and_then(|namespaces| namespaces.get(&namespace));
            let object = if let Seen::Readable { object, .. } = &record.seen { Some(&**object) } else { None };
            let tags = object.map(|object| &object.spec.aws.tags);
            let unknown = || namespaces.as_ref().err().map(|why| format!("unknown: {why}"));
            let named = |keys: &[String]| owner(keys, &record.marks, tags, of_namespace).or_else(unknown);
            let [owner, contact, classification] =
                [&args.owner_labels, &args.contact_labels, &args.classification_labels].map(|keys| named(keys));
            let known = |found: &Option<String>| namespaces.is_ok() || *found != unknown();
            owners_known &= known(&owner);
            people_known &= known(&contact) && known(&classification);
            let people = People { owner, contact, classification };
            let row = Row::of(cluster, status::health(session, &record.seen), object, people, session.now());
            let row = if let Some(days) = args.max_age_days { row.older_than(days) } else { row };
            match &rbac {
                Some(rbac) => read_by(row, object.is_some(), rbac),
                None => row,
            }
        })
        .collect();
    if let Err(why) = &namespaces {
        if !owners_known {
            output::note(&format!("error: {cluster}: owners that only a Namespace names are unknown: {why}"));
            exit = Exit::Unreachable;
        }
        if !people_known {
            output::note(&format!("note: {cluster}: contacts and classifications that only a Namespace names are unknown: {why}"));
        }
    }
    rows.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    Ok(Rows { rows, exit })
}

fn read_by(row: Row, readable: bool, rbac: &Rbac) -> Row {
    let readers = match &row.mirror_secret_name {
        Some(secret) => rbac.readers(&row.namespace, secret),
        None if readable => Vec::new(),
        None => vec!["unknown: the object cannot be read".to_owned()],
    };
    row.read_by(readers)
}

/// The secrets that belong to no object of the cluster.
pub(super) async fn orphans(session: &Session, cluster: &str, args: &ReportArgs, listed: &[Secret]) -> Result<Judged, Trouble> {
    let records = records(session, args.all_namespaces).await?;
    let objects: Vec<Object> = records
        .iter()
        .map(|record| Object {
            namespace: record.namespace().unwrap_or_default(),
            name: record.name_any(),
            uid: record.uid().unwrap_or_default(),
            arn: match &record.seen {
                Seen::Readable { object, .. } => object.status.as_ref().and_then(|status| status.aws.as_ref()?.arn.clone()),
                Seen::Unreadable(unreadable) => unreadable.arn.clone(),
            },
        })
        .collect();
    let ids = match &args.cluster_id {
        Some(id) => BTreeSet::from([id.clone()]),
        None => orphans::ids(listed, &objects, kube_system(session).await.as_deref()),
    };
    let ours = listed.iter().any(|secret| secret.cluster().is_some_and(|id| ids.contains(id)));
    let unknown = (!ours && !listed.is_empty()).then(|| {
        format!("{cluster}: none of the secrets has the ID of this cluster: if the operator has another one, give it with --cluster-id")
    });
    let namespace = (!args.all_namespaces).then_some(session.namespace.as_str());
    let orphans = orphans::orphans(cluster, (listed, &ids), &objects, namespace, &args.owner_labels);
    Ok(Judged { ids, orphans, unknown })
}

async fn records(session: &Session, everywhere: bool) -> Result<Vec<Record>, Trouble> {
    let api: Api<Record> = in_scope(session, everywhere);
    let listed = pages(ListParams::default().limit(PAGE), async |params| api.list(params).await).await;
    listed.map_err(|error| session.trouble_of_all("list", everywhere, &error))
}

/// The labels and annotations of the Namespaces by name, or why they are not known.
async fn namespaces(session: &Session, everywhere: bool) -> Result<BTreeMap<String, Marks>, String> {
    let api = Api::<Namespace>::all(session.client.clone());
    let found = if everywhere {
        let listed = pages(ListParams::default().limit(SMALL_PAGE), async |params| api.list_metadata(params).await).await;
        listed.map_err(|error| refused("list", "namespaces", &error))?
    } else {
        let found = api.get_metadata_opt(&session.namespace).await;
        found.map_err(|error| refused("get", "namespaces", &error))?.into_iter().collect()
    };
    Ok(found.into_iter().map(|namespace| (namespace.name_any(), Marks::of(namespace.metadata))).collect())
}

async fn kube_system(session: &Session) -> Option<String> {
    let api = Api::<Namespace>::all(session.client.clone());
    api.get_metadata_opt(KUBE_SYSTEM).await.ok()??.metadata.uid
}

async fn rbac(session: &Session, everywhere: bool) -> Rbac {
    let client = &session.client;
    Rbac::new(
        listed::<ClusterRole>(Api::all(client.clone())).await,
        listed::<ClusterRoleBinding>(Api::all(client.clone())).await,
        listed::<Role>(in_scope(session, everywhere)).await,
        listed::<RoleBinding>(in_scope(session, everywhere)).await,
    )
}

fn in_scope<K>(session: &Session, everywhere: bool) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let client = session.client.clone();
    if everywhere { Api::all(client) } else { Api::namespaced(client, &session.namespace) }
}

async fn listed<K>(api: Api<K>) -> Listed<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let listed = pages(ListParams::default().limit(SMALL_PAGE), async |params| api.list(params).await).await;
    listed.map_err(|error| refused("list", &K::plural(&()), &error))
}

fn refused(verb: &str, resource: &str, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => format!("you may not {verb} {resource}"),
        _ => format!("the API server does not {verb} {resource}"),
    }
}
