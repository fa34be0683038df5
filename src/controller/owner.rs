//! The object that an event of a Secret concerns.

use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};

use crate::api::{GROUP, RotatedSecret};
use crate::kubernetes::known::WatchedSecret;
use crate::kubernetes::packed::Packed;

/// The object that controls the Secret, if there is one of this name. At most one, because users write owner references,
/// also of objects that do not exist. The uid is not compared: the successor of a deleted object waits until the Secret of
/// its predecessor is gone.
pub(super) fn owner(secret: &WatchedSecret, objects: &Store<Packed>) -> Option<ObjectRef<Packed>> {
    let controller = secret.owner_references().iter().find(|owner| owner.controller == Some(true))?;
    let ours = controller.kind == RotatedSecret::kind(&()) && controller.api_version.split('/').next() == Some(GROUP);
    let object = ObjectRef::new(&controller.name).within(&secret.namespace()?);
    (ours && objects.get(&object).is_some()).then_some(object)
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector;
    use kube::runtime::watcher::Event;
    use serde_json::{Value, json};

    use super::*;

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
