//! Which objects the operator watches.

use kube::api::Api;
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};

use crate::api::MANAGED_BY;

/// Which objects the operator reconciles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The objects in these namespaces; empty: in all.
    namespaces: Vec<String>,
    /// Label selector of the objects; `None`: all.
    pub(super) selector: Option<String>,
}

impl Scope {
    /// The objects in `namespaces` (empty: all) that match the label selector.
    pub fn new(mut namespaces: Vec<String>, selector: Option<String>) -> Self {
        // Two watches of one namespace would allow two concurrent reconciles of one object.
        namespaces.sort_unstable();
        namespaces.dedup();
        Self { namespaces, selector: selector.filter(|selector| !selector.trim().is_empty()) }
    }

    /// Whether the objects of all namespaces are watched, and the namespaces with them.
    pub fn is_cluster(&self) -> bool {
        self.namespaces.is_empty()
    }

    /// One part for each watch: a namespace, or `None` for all namespaces.
    pub(super) fn parts(&self) -> Vec<Option<&str>> {
        if self.namespaces.is_empty() { vec![None] } else { self.namespaces.iter().map(|namespace| Some(namespace.as_str())).collect() }
    }
}

pub(super) fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Label selector of the mirrored Secrets.
pub(super) fn ours() -> String {
    format!("{}={}", MANAGED_BY.0, MANAGED_BY.1)
}
