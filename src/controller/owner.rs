//! The objects that an event of a Secret concerns.

use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};

use crate::fairness::Key;
use crate::kubernetes::known::WatchedSecret;
use crate::kubernetes::packed::Packed;

/// The name of an object in the queue.
pub(super) fn key(object: &Packed) -> Key {
    Key::new(object.namespace().unwrap_or_default(), object.name_any())
}

/// The object that controls the Secret, if there is one of this name. At most one, because users write owner references,
/// also of objects that do not exist. The uid is not compared: the successor of a deleted object waits until the Secret of
/// its predecessor is gone.
pub(super) fn owner(secret: &WatchedSecret, objects: &Store<Packed>) -> Option<ObjectRef<Packed>> {
    existing(secret, secret.controller(), objects)
}

/// The objects that an event of the Secret concerns: the one that controls it, and the one that did so until then.
pub(super) fn owners(secret: &WatchedSecret, objects: &Store<Packed>) -> impl Iterator<Item = ObjectRef<Packed>> + use<> {
    [owner(secret, objects), existing(secret, secret.former_controller(), objects)].into_iter().flatten()
}

fn existing(secret: &WatchedSecret, name: Option<&str>, objects: &Store<Packed>) -> Option<ObjectRef<Packed>> {
    let object = ObjectRef::new(name?).within(&secret.namespace()?);
    objects.get(&object).is_some().then_some(object)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kube::runtime::reflector;
    use kube::runtime::watcher::Event;
    use serde_json::{Value, json};

    use super::*;
    use crate::kubernetes::known::Known;

    fn reference(name: &str, uid: &str, controller: bool) -> Value {
        json!({"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "name": name, "uid": uid, "controller": controller})
    }

    /// The objects `db` and `n7` in the namespace `shop`.
    fn store() -> Store<Packed> {
        let (store, mut writer) = reflector::store();
        for name in ["db", "n7"] {
            let object = json!({"metadata": {"namespace": "shop", "name": name, "uid": "1"}, "spec": {}});
            writer.apply_watcher_event(&Event::Apply(serde_json::from_value(object).unwrap()));
        }
        store
    }

    /// Through the text, as a watch does it.
    fn requests(namespace: &str, owners: &[Value]) -> Vec<String> {
        let text = json!({"metadata": {"namespace": namespace, "name": "s", "ownerReferences": owners}}).to_string();
        owner(&serde_json::from_str(&text).unwrap(), &store()).into_iter().map(|object| object.name).collect()
    }

    #[test]
    fn a_secret_requests_its_controller_and_no_other_owner() {
        let invented: Vec<Value> = (0..12_000).map(|n| reference(&format!("n{n}"), "1", false)).collect();
        assert_eq!(requests("shop", &invented), Vec::<String>::new());
        let with_controller: Vec<Value> = invented.iter().cloned().chain([reference("db", "1", true)]).collect();
        assert_eq!(requests("shop", &with_controller), ["db"]);
        let all_control: Vec<Value> = (0..12_000).map(|n| reference(&format!("n{n}"), "1", true)).collect();
        assert!(requests("shop", &all_control).len() <= 1);
    }

    #[test]
    fn a_secret_that_loses_its_controller_requests_that_one_once() {
        let (known, store) = (Arc::new(Known::default()), store());
        let mut sees = known.sees_secrets(None);
        let mut shows = |owners: &[Value]| -> Vec<String> {
            let metadata = json!({"namespace": "shop", "name": "s", "ownerReferences": owners});
            let mut secret: WatchedSecret = serde_json::from_str(&json!({"metadata": metadata}).to_string()).unwrap();
            known.note_former_controller(&mut secret);
            let requested = owners_of(&secret, &store);
            sees(&Ok(Event::Apply(secret)));
            requested
        };
        assert_eq!(shows(&[reference("db", "1", true)]), ["db"]);
        assert_eq!(shows(&[reference("db", "1", true)]), ["db"]);
        assert_eq!(shows(&[]), ["db"], "the reference was removed");
        assert_eq!(shows(&[]), Vec::<String>::new());
        assert_eq!(shows(&[reference("db", "1", true)]), ["db"]);
        assert_eq!(shows(&[reference("n7", "1", true)]), ["n7", "db"], "another object controls it");
        assert_eq!(shows(&[reference("n7", "1", true)]), ["n7"]);
    }

    fn owners_of(secret: &WatchedSecret, store: &Store<Packed>) -> Vec<String> {
        owners(secret, store).map(|object| object.name).collect()
    }

    #[test]
    fn only_an_object_that_exists_in_the_same_namespace_is_requested() {
        assert_eq!(requests("shop", &[reference("db", "1", true)]), ["db"]);
        assert_eq!(requests("shop", &[reference("db", "of-its-predecessor", true)]), ["db"]);
        assert_eq!(requests("desk", &[reference("db", "1", true)]), Vec::<String>::new());
        assert_eq!(requests("shop", &[reference("invented", "1", true)]), Vec::<String>::new());
        for (field, value) in [("kind", "Deployment"), ("apiVersion", "apps/v1"), ("apiVersion", "v1")] {
            let mut other = reference("db", "1", true);
            other[field] = json!(value);
            assert_eq!(requests("shop", &[other]), Vec::<String>::new(), "{field}");
        }
    }
}
