//! Who may read a Secret by RBAC. Pure.
//!
//! The rules are those of the authorizer of Kubernetes. `list` and `watch` count also with the name of the Secret, because
//! they are allowed with a field selector for that name. Rules of an aggregated ClusterRole are in the object already.
//!
//! `patch`, `delete` and `deletecollection` read too, because the API server answers with the object: to a patch that
//! changes nothing or is a dry run, to a deletion in the foreground, and with the items of a collection. The answer to
//! `create` and `update` has only what the client has sent.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::ResourceExt as _;

/// Verbs that read a Secret by its name.
const ONE: [&str; 6] = ["get", "list", "watch", "patch", "delete", "*"];
/// Verbs that read all Secrets of a namespace without a name.
const COLLECTION: [&str; 4] = ["list", "watch", "deletecollection", "*"];

/// What a rule says of Secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Grant {
    /// Every Secret may be read.
    Every,
    /// Those with these names.
    Named(Vec<String>),
}

/// Who has a role.
#[derive(Debug, Clone)]
struct Binding {
    role: RoleRef,
    subjects: Vec<String>,
}

/// Objects of one kind, or why they could not be listed.
pub(super) type Listed<K> = Result<Vec<K>, String>;

/// The RBAC objects of a cluster, as far as they concern Secrets.
#[derive(Debug, Clone, Default)]
pub(super) struct Rbac {
    cluster_roles: BTreeMap<String, Vec<Grant>>,
    /// By namespace and name.
    roles: BTreeMap<(String, String), Vec<Grant>>,
    cluster_bindings: Vec<Binding>,
    /// By namespace.
    bindings: BTreeMap<String, Vec<Binding>>,
    /// What could not be listed.
    unknown: Vec<String>,
}

impl Rbac {
    pub(super) fn new(
        cluster_roles: Listed<ClusterRole>,
        cluster_bindings: Listed<ClusterRoleBinding>,
        roles: Listed<Role>,
        bindings: Listed<RoleBinding>,
    ) -> Self {
        let mut rbac = Self::default();
        for role in rbac.known(cluster_roles) {
            rbac.cluster_roles.insert(role.name_any(), grants(role.rules));
        }
        for role in rbac.known(roles) {
            let at = (role.namespace().unwrap_or_default(), role.name_any());
            rbac.roles.insert(at, grants(role.rules));
        }
        for binding in rbac.known(cluster_bindings) {
            rbac.cluster_bindings.push(Binding::of(binding.role_ref, binding.subjects, None));
        }
        for binding in rbac.known(bindings) {
            let namespace = binding.namespace().unwrap_or_default();
            let binding = Binding::of(binding.role_ref, binding.subjects, Some(&namespace));
            rbac.bindings.entry(namespace).or_default().push(binding);
        }
        rbac
    }

    fn known<K>(&mut self, listed: Listed<K>) -> Vec<K> {
        listed.unwrap_or_else(|why| {
            self.unknown.push(why);
            Vec::new()
        })
    }

    /// Why the readers are not all known. `None`: they are.
    pub(super) fn unknown(&self) -> Option<String> {
        (!self.unknown.is_empty()).then(|| self.unknown.join(", "))
    }

    /// The subjects that may read the Secret, in order, and `unknown: ` with the reason if there can be more.
    pub(super) fn readers(&self, namespace: &str, secret: &str) -> Vec<String> {
        let everywhere = self.cluster_bindings.iter().filter(|binding| allow(self.cluster_roles.get(&binding.role.name), secret));
        let here = self.bindings.get(namespace).into_iter().flatten();
        let here = here.filter(|binding| allow(self.bound(namespace, &binding.role), secret));
        let readers: BTreeSet<&String> = everywhere.chain(here).flat_map(|binding| &binding.subjects).collect();
        let unknown = self.unknown().map(|why| format!("unknown: {why}"));
        readers.into_iter().cloned().chain(unknown).collect()
    }

    /// The role of a binding in this namespace.
    fn bound(&self, namespace: &str, role: &RoleRef) -> Option<&Vec<Grant>> {
        match role.kind.as_str() {
            "ClusterRole" => self.cluster_roles.get(&role.name),
            "Role" => self.roles.get(&(namespace.to_owned(), role.name.clone())),
            _ => None,
        }
    }
}

impl Binding {
    /// `namespace`: of the binding, which is the default for ServiceAccounts.
    fn of(role: RoleRef, subjects: Option<Vec<Subject>>, namespace: Option<&str>) -> Self {
        let named = |subject: Subject| {
            let of = subject.namespace.filter(|of| !of.is_empty()).or_else(|| namespace.map(str::to_owned));
            match subject.kind.as_str() {
                "ServiceAccount" => of.map(|of| format!("ServiceAccount:{of}/{}", subject.name)),
                kind => Some(format!("{kind}:{}", subject.name)),
            }
        };
        Self { role, subjects: subjects.into_iter().flatten().filter_map(named).collect() }
    }
}

fn grants(rules: Option<Vec<PolicyRule>>) -> Vec<Grant> {
    rules.into_iter().flatten().filter_map(grant).collect()
}

/// What the rule says of reading Secrets. A name is not a pattern. A request for a collection has the name "".
fn grant(rule: PolicyRule) -> Option<Grant> {
    let has = |words: &[String], wanted: &[&str]| words.iter().any(|word| wanted.contains(&word.as_str()));
    let secrets = has(&rule.api_groups.unwrap_or_default(), &["", "*"]) && has(&rule.resources.unwrap_or_default(), &["secrets", "*"]);
    let (one, collection) = (has(&rule.verbs, &ONE), has(&rule.verbs, &COLLECTION));
    let names = rule.resource_names.unwrap_or_default();
    let every = if names.is_empty() { one || collection } else { collection && names.iter().any(String::is_empty) };
    match (secrets, every, one) {
        (true, true, _) => Some(Grant::Every),
        (true, false, true) => Some(Grant::Named(names)),
        _ => None,
    }
}

fn allow(grants: Option<&Vec<Grant>>, secret: &str) -> bool {
    grants.into_iter().flatten().any(|grant| match grant {
        Grant::Every => true,
        Grant::Named(names) => names.iter().any(|name| name == secret),
    })
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "the result of a list that was allowed")]
    fn objects<K: DeserializeOwned>(objects: &[Value]) -> Listed<K> {
        Ok(objects.iter().map(|object| serde_json::from_value(object.clone()).unwrap()).collect())
    }

    fn rule(groups: &[&str], resources: &[&str], verbs: &[&str], names: &[&str]) -> Value {
        json!({"apiGroups": groups, "resources": resources, "verbs": verbs, "resourceNames": names})
    }

    fn role(namespace: Option<&str>, name: &str, rules: &[Value]) -> Value {
        json!({"metadata": {"namespace": namespace, "name": name}, "rules": rules})
    }

    fn binding(namespace: Option<&str>, (kind, role): (&str, &str), subjects: &[Value]) -> Value {
        json!({"metadata": {"namespace": namespace, "name": "b"}, "subjects": subjects,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}})
    }

    fn user(name: &str) -> Value {
        json!({"kind": "User", "name": name})
    }

    #[test]
    fn a_rule_reads_a_secret_by_verb_group_resource_and_name() {
        for (rule, db, other) in [
            (rule(&[""], &["secrets"], &["get"], &[]), true, true),
            (rule(&[""], &["secrets"], &["list"], &[]), true, true),
            (rule(&[""], &["pods", "secrets"], &["create", "watch"], &[]), true, true),
            (rule(&["*"], &["*"], &["*"], &[]), true, true),
            (rule(&[""], &["secrets"], &["get"], &["db"]), true, false),
            (rule(&[""], &["secrets"], &["list"], &["db"]), true, false),
            (rule(&[""], &["secrets"], &["get"], &["*"]), false, false),
            (rule(&[""], &["secrets"], &["get"], &["db*"]), false, false),
            (rule(&[""], &["secrets"], &["create", "update"], &[]), false, false),
            (rule(&[""], &["secrets"], &["patch"], &[]), true, true),
            (rule(&[""], &["secrets"], &["delete"], &[]), true, true),
            (rule(&[""], &["secrets"], &["deletecollection"], &[]), true, true),
            (rule(&[""], &["secrets"], &["patch"], &["db"]), true, false),
            (rule(&[""], &["secrets"], &["delete"], &["db"]), true, false),
            // A collection has no name, and no field selector gives it one.
            (rule(&[""], &["secrets"], &["deletecollection"], &["db"]), false, false),
            (rule(&[""], &["secrets"], &["deletecollection"], &[""]), true, true),
            (rule(&[""], &["secrets"], &["list"], &["db", ""]), true, true),
            (rule(&[""], &["secrets"], &["watch"], &[""]), true, true),
            (rule(&[""], &["secrets"], &["*"], &[""]), true, true),
            (rule(&[""], &["secrets"], &["get", "patch", "delete", "update"], &[""]), false, false),
            (rule(&["apps"], &["secrets"], &["get"], &[]), false, false),
            (rule(&[""], &["secrets/status", "*/status", "configmaps"], &["get"], &[]), false, false),
            (json!({"nonResourceURLs": ["*"], "verbs": ["*"]}), false, false),
        ] {
            let roles = objects(&[role(Some("shop"), "r", std::slice::from_ref(&rule))]);
            let bindings = objects(&[binding(Some("shop"), ("Role", "r"), &[user("jane")])]);
            let rbac = Rbac::new(Ok(Vec::new()), Ok(Vec::new()), roles, bindings);
            let reads = |secret: &str| !rbac.readers("shop", secret).is_empty();
            assert_eq!((reads("db"), reads("other")), (db, other), "{rule}");
            assert!(rbac.readers("elsewhere", "db").is_empty(), "{rule}");
        }
    }

    #[test]
    fn bindings_lead_from_roles_to_subjects() {
        let read = rule(&[""], &["secrets"], &["get"], &[]);
        let account = |name: &str, namespace: Option<&str>| json!({"kind": "ServiceAccount", "name": name, "namespace": namespace});
        let group = json!({"kind": "Group", "name": "oncall"});
        let rbac = Rbac::new(
            objects(&[role(None, "edit", std::slice::from_ref(&read)), role(None, "view", &[])]),
            objects(&[
                binding(None, ("ClusterRole", "edit"), &[account("operator", Some("rs")), account("nowhere", None)]),
                binding(None, ("ClusterRole", "view"), &[user("viewer")]),
                binding(None, ("ClusterRole", "missing"), &[user("nobody")]),
            ]),
            objects(&[role(Some("shop"), "edit", &[]), role(Some("billing"), "reader", &[read])]),
            objects(&[
                binding(Some("shop"), ("ClusterRole", "edit"), &[user("jane"), group, account("ci", None), user("jane")]),
                // The Role of that name reads nothing.
                binding(Some("shop"), ("Role", "edit"), &[user("joe")]),
                // A Role of another namespace is not meant.
                binding(Some("shop"), ("Role", "reader"), &[user("max")]),
                binding(Some("billing"), ("Role", "reader"), &[account("app", Some("shop"))]),
            ]),
        );
        assert_eq!(rbac.readers("shop", "db"), ["Group:oncall", "ServiceAccount:rs/operator", "ServiceAccount:shop/ci", "User:jane"]);
        assert_eq!(rbac.readers("billing", "db"), ["ServiceAccount:rs/operator", "ServiceAccount:shop/app"]);
        assert_eq!(rbac.readers("empty", "db"), ["ServiceAccount:rs/operator"]);
        assert_eq!(rbac.unknown(), None);
    }

    #[test]
    fn what_may_not_be_listed_is_named_beside_what_is_known() {
        let refused = |kind: &str| format!("you may not list {kind}");
        let rbac = Rbac::new(
            Err(refused("clusterroles")),
            Err(refused("clusterrolebindings")),
            objects(&[role(Some("shop"), "r", &[rule(&[""], &["secrets"], &["get"], &[])])]),
            objects(&[
                binding(Some("shop"), ("Role", "r"), &[user("jane")]),
                binding(Some("shop"), ("ClusterRole", "edit"), &[user("joe")]),
            ]),
        );
        let unknown = "unknown: you may not list clusterroles, you may not list clusterrolebindings";
        assert_eq!(rbac.readers("shop", "db"), ["User:jane", unknown]);
        assert_eq!(rbac.readers("billing", "db"), [unknown]);
    }
}
