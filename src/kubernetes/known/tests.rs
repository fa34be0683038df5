use serde_json::json;

use super::*;

fn secret(namespace: &str, name: &str, revision: &str) -> WatchedSecret {
    let owner = json!({"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "name": name, "uid": "1", "controller": true});
    let metadata =
        json!({"namespace": namespace, "name": name, "resourceVersion": revision, "labels": {"a": "b"}, "ownerReferences": [owner]});
    serde_json::from_str(&json!({"metadata": metadata}).to_string()).unwrap()
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
        (Event::InitApply(secret("shop", "db", "1")), &[]),
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
    shop(&Ok(Event::Init));
    desk(&Ok(Event::Init));
    shop(&Ok(Event::InitApply(secret("shop", "db", "1"))));
    desk(&Ok(Event::InitApply(secret("desk", "db", "1"))));
    desk(&Ok(Event::InitDone));
    shop(&Ok(Event::InitDone));
    assert_eq!(revisions(&known).len(), 2);
    shop(&Ok(Event::Init));
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
fn a_secret_that_no_object_controls_is_not_kept() {
    let known = Arc::new(Known::default());
    let nobodys = serde_json::from_str(r#"{"metadata": {"namespace": "shop", "name": "db", "labels": {"a": "b"}}}"#).unwrap();
    known.sees_secrets(None)(&Ok(Event::Apply(nobodys)));
    assert_eq!(revisions(&known), owned(&[]));
}

#[test]
fn what_one_namespace_makes_known_is_bounded_and_others_are_kept() {
    let known = Arc::new(Known::default());
    let mut sees = known.sees_secrets(None);
    // Not to be compressed.
    let noise = |seed: usize| -> String {
        let mut state = u64::try_from(seed).unwrap() + 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'a' + u8::try_from((state >> 33) % 26).unwrap())
        };
        (0..30_000).map(|_| next()).collect()
    };
    let many = 400;
    for number in 0..many {
        sees(&Ok(Event::Apply(secret("shop", &format!("s{number}"), &noise(number)))));
    }
    let kept = (0..many).filter(|number| known.secret("shop", &format!("s{number}")).is_some()).count();
    assert!(kept < many && kept * 15_000 < MOST_OF_NAMESPACE, "{kept}");
    sees(&Ok(Event::Apply(secret("desk", "db", "1"))));
    assert_eq!(revisions(&known), owned(&[("desk", "1")]));
    for number in 0..many {
        sees(&Ok(Event::Delete(secret("shop", &format!("s{number}"), "1"))));
    }
    sees(&Ok(Event::Apply(secret("shop", "db", "2"))));
    assert_eq!(revisions(&known), owned(&[("desk", "1"), ("shop", "2")]), "what is gone makes room");
}

#[test]
fn a_watch_that_lists_or_was_interrupted_is_not_used() {
    let known = Arc::new(Known::default());
    let mut sees = known.sees_secrets(Some("shop"));
    sees(&Ok(Event::Apply(secret("shop", "db", "1"))));
    sees(&Ok(Event::Init));
    assert_eq!(revisions(&known), owned(&[]));
    sees(&Ok(Event::InitApply(secret("shop", "db", "2"))));
    sees(&Ok(Event::InitDone));
    assert_eq!(revisions(&known), owned(&[("shop", "2")]));
    known.secrets_interrupted(Some("desk"));
    assert_eq!(revisions(&known), owned(&[("shop", "2")]), "the watch of another namespace");
    known.secrets_interrupted(Some("shop"));
    assert_eq!(revisions(&known), owned(&[]));
    sees(&Ok(Event::Init));
    assert_eq!(revisions(&known), owned(&[]));
    sees(&Ok(Event::InitApply(secret("shop", "db", "3"))));
    sees(&Ok(Event::InitDone));
    assert_eq!(revisions(&known), owned(&[("shop", "3")]), "a whole list has come since");
    known.secrets_interrupted(Some("shop"));
    let later = Instant::now() + DISTRUST;
    assert!(known.secrets.get("shop", "db", Some("shop"), later).is_some());
    known.secrets_interrupted(None);
    assert!(known.secrets.get("shop", "db", Some("shop"), later).is_none());
}

#[test]
fn a_read_corrects_what_a_watch_has_shown_and_not_what_it_shows_since() {
    let known = Arc::new(Known::default());
    let (none, read) = (NamespacePolicy::default(), NamespacePolicy::default());
    known.correct_namespace("shop", &none, &read);
    assert_eq!(known.namespace("shop"), None, "no watch shows it");
    let show = |uid: &str| {
        let shown: Brief<Namespace> = serde_json::from_value(json!({"metadata": {"name": "shop", "uid": uid}})).unwrap();
        let policy = NamespacePolicy::read(&shown);
        known.sees_namespaces()(&Ok(Event::Apply(shown)));
        policy
    };
    let first = show("1");
    known.correct_namespace("shop", &first, &read);
    assert_eq!(known.namespace("shop"), Some(read.clone()));
    let second = show("2");
    known.correct_namespace("shop", &first, &read);
    assert_eq!(known.namespace("shop"), Some(second));
}
