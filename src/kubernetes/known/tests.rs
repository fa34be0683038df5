use serde_json::json;

use super::*;

fn secret(namespace: &str, name: &str, revision: &str) -> WatchedSecret {
    let text = json!({"metadata": {"namespace": namespace, "name": name, "resourceVersion": revision, "labels": {"a": "b"}}}).to_string();
    serde_json::from_str(&text).unwrap()
}

/// Which revision is known of the Secret `db` of each namespace.
fn revisions(known: &Known) -> Vec<(&'static str, String)> {
    let revision = |namespace| {
        let text: serde_json::Value = serde_json::from_str(&known.secret(namespace, "db")?).unwrap();
        assert_eq!(text["metadata"]["labels"]["a"], "b", "all of it is kept");
        Some((namespace, text["metadata"]["resourceVersion"].as_str().unwrap().to_owned()))
    };
    ["desk", "shop"].into_iter().filter_map(revision).collect()
}

fn owned(pairs: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    pairs.iter().map(|(namespace, revision)| (*namespace, (*revision).to_owned())).collect()
}

#[test]
fn the_last_event_of_a_secret_is_known_until_it_is_gone() {
    let known = Arc::new(Known::default());
    let mut sees = known.sees_secrets(None);
    for (event, expected) in [
        (Event::Init, &[][..]),
        (Event::InitApply(secret("shop", "db", "1")), &[("shop", "1")]),
        (Event::InitDone, &[("shop", "1")]),
        (Event::Apply(secret("shop", "db", "2")), &[("shop", "2")]),
        (Event::Apply(secret("desk", "db", "3")), &[("desk", "3"), ("shop", "2")]),
        (Event::Delete(secret("shop", "db", "2")), &[("desk", "3")]),
    ] {
        sees(&Ok(event));
        assert_eq!(revisions(&known), owned(expected));
    }
}

#[test]
fn what_a_new_list_does_not_show_is_gone_in_the_namespaces_of_this_watch() {
    let known = Arc::new(Known::default());
    let (mut shop, mut desk) = (known.sees_secrets(Some("shop")), known.sees_secrets(Some("desk")));
    for sees in [&mut shop as &mut dyn FnMut(&watcher::Result<Event<WatchedSecret>>), &mut desk] {
        sees(&Ok(Event::Init));
        sees(&Ok(Event::InitApply(secret("shop", "db", "1"))));
        sees(&Ok(Event::InitApply(secret("desk", "db", "1"))));
    }
    desk(&Ok(Event::InitDone));
    shop(&Ok(Event::Init));
    assert_eq!(revisions(&known).len(), 2, "a list that is not complete says nothing of what is gone");
    shop(&Ok(Event::InitDone));
    assert_eq!(revisions(&known), owned(&[("desk", "1")]));
}

#[test]
fn what_is_too_large_is_not_kept_nor_what_was_shown_before_it() {
    let known = Arc::new(Known::default());
    let mut sees = known.sees_secrets(None);
    sees(&Ok(Event::Apply(secret("shop", "db", "1"))));
    sees(&Ok(Event::Apply(secret("shop", "db", &"2".repeat(LARGEST)))));
    assert_eq!(revisions(&known), owned(&[]));
    let namespace = |annotation: &str| -> Brief<Namespace> {
        serde_json::from_value(json!({"metadata": {"name": "shop", "annotations": {"rotated-secrets.io/role-arn": annotation}}})).unwrap()
    };
    let mut sees = known.sees_namespaces();
    sees(&Ok(Event::Apply(namespace("small"))));
    assert_eq!(known.namespace("shop").unwrap().get("rotated-secrets.io/role-arn"), Some("small"));
    sees(&Ok(Event::Apply(namespace(&"x".repeat(LARGEST_POLICY)))));
    assert_eq!(known.namespace("shop"), None);
}

#[test]
fn a_read_corrects_what_is_known_of_a_namespace_and_nothing_else() {
    let known = Arc::new(Known::default());
    known.correct_namespace("shop", &NamespacePolicy::default());
    assert_eq!(known.namespace("shop"), None, "no watch shows it");
    let shown = serde_json::from_value(json!({"metadata": {"name": "shop", "uid": "1"}})).unwrap();
    known.sees_namespaces()(&Ok(Event::Apply(shown)));
    known.correct_namespace("shop", &NamespacePolicy::default());
    assert_eq!(known.namespace("shop"), Some(NamespacePolicy::default()));
}
