//! Events of Namespaces that concern the objects in them.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::runtime::watcher::{self, Event};

use crate::kubernetes::namespace::NamespacePolicy;
use crate::kubernetes::stored::Brief;

/// Says of each event whether it requests the reconciles of the objects in the Namespace: if what the operator reads of it
/// is another than the event before showed. Other programs may write labels and annotations of their own every minute.
/// What a reconcile has read meanwhile does not count, because the other objects have not seen it. `begun`: whether reconciles
/// have begun. What a list shows before requests nothing, since every object is reconciled then.
pub(super) fn changes(begun: impl Fn() -> bool + Send) -> impl FnMut(&watcher::Result<Event<Brief<Namespace>>>) -> bool + Send {
    let hashes = RandomState::new();
    let (mut shown, mut before) = (HashMap::<String, u64>::new(), HashMap::new());
    move |event| match event {
        Ok(event @ (Event::Apply(namespace) | Event::InitApply(namespace))) => {
            let (name, says) = (namespace.name_any(), hashes.hash_one(NamespacePolicy::read(namespace)));
            let earlier = before.remove(&name);
            let changed = shown.insert(name, says).or(earlier) != Some(says);
            changed && (begun() || matches!(event, Event::Apply(_)))
        }
        Ok(Event::Delete(namespace)) => {
            shown.remove(&namespace.name_any());
            true
        }
        Ok(Event::Init) => {
            before.extend(shown.drain());
            true
        }
        Ok(Event::InitDone) => {
            before.clear();
            true
        }
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use serde_json::{Value, json};

    use super::*;

    fn namespace(name: &str, metadata: &Value) -> Brief<Namespace> {
        let mut metadata = metadata.clone();
        metadata["name"] = json!(name);
        serde_json::from_str(&json!({"metadata": metadata}).to_string()).unwrap()
    }

    #[test]
    fn only_what_the_operator_reads_of_a_namespace_concerns_its_objects() {
        let mut changes = changes(|| true);
        let role = |role: &str| json!({"uid": "1", "annotations": {"rotated-secrets.io/role-arn": role}});
        let ending = json!({"uid": "1", "deletionTimestamp": "2026-01-01T00:00:00Z"});
        for (metadata, concerns) in [
            (json!({"uid": "1"}), true),
            (json!({"uid": "1", "resourceVersion": "2", "labels": {"checked": "now"}}), false),
            (json!({"uid": "1", "annotations": {"example.com/checked": "now"}, "managedFields": []}), false),
            (role("a"), true),
            (role("a"), false),
            (role("b"), true),
            (json!({"uid": "1"}), true),
            (ending.clone(), true),
            (ending, false),
            (json!({"uid": "2"}), true),
        ] {
            assert_eq!(changes(&Ok(Event::Apply(namespace("shop", &metadata)))), concerns, "{metadata}");
        }
        assert!(changes(&Ok(Event::Apply(namespace("desk", &json!({"uid": "2"}))))), "another one");
        assert!(changes(&Ok(Event::Delete(namespace("shop", &json!({"uid": "2"}))))));
        assert!(changes(&Ok(Event::Apply(namespace("shop", &json!({"uid": "2"}))))), "it is there again");
    }

    #[test]
    fn the_first_list_requests_nothing_before_reconciles_begin() {
        let begun = AtomicBool::new(false);
        let mut changes = changes(|| begun.load(Ordering::Relaxed));
        let (one, other) = (json!({"uid": "1"}), json!({"uid": "2"}));
        assert!(!changes(&Ok(Event::InitApply(namespace("shop", &one)))));
        begun.store(true, Ordering::Relaxed);
        assert!(changes(&Ok(Event::InitApply(namespace("desk", &one)))), "the list came late");
        assert!(!changes(&Ok(Event::Apply(namespace("shop", &one)))), "it is known");
        assert!(changes(&Ok(Event::Apply(namespace("shop", &other)))));
    }

    #[test]
    fn a_list_names_what_changed_while_there_was_no_watch() {
        let mut changes = changes(|| true);
        let mut list = |namespaces: &[(&str, &str)], complete: bool| -> Vec<String> {
            assert!(changes(&Ok(Event::Init)));
            let mut concerned = Vec::new();
            for (name, uid) in namespaces {
                if changes(&Ok(Event::InitApply(namespace(name, &json!({"uid": uid}))))) {
                    concerned.push((*name).to_owned());
                }
            }
            assert!(!complete || changes(&Ok(Event::InitDone)));
            concerned
        };
        assert_eq!(list(&[("a", "1"), ("b", "1"), ("c", "1")], true), ["a", "b", "c"]);
        assert_eq!(list(&[("a", "1"), ("b", "2")], false), ["b"], "a list that is interrupted");
        assert_eq!(list(&[("a", "1"), ("b", "2"), ("d", "1")], true), ["d"]);
        assert_eq!(list(&[("a", "1"), ("c", "1")], true), ["c"], "it was gone");
    }
}
