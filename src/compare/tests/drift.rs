//! Tags, description and KMS key.

use super::*;
use std::collections::BTreeSet;

use crate::api::{ADOPT_BY, AppliedStatus, TAG_NAMESPACE_UID, TAG_UID};
use crate::desired::key::DEFAULT;
use crate::failure::Failed;

const KEY: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
const OTHER_KEY: &str = "1234abcd-12ab-34cd-56ef-1234567890ac";

fn tagged(tags: &[(&str, &str)]) -> Desired {
    generated(&json!({"tags": strings(tags)}))
}

#[test]
fn nothing_differs_in_the_beginning() {
    for want in [generated(&json!({})), tagged(&[("team", "shop")]), generated(&json!({"description": "a password"})), mirror_only()] {
        assert_eq!(Scene::new(want).drift(), Drift::default());
    }
}

#[test]
fn declared_tags_are_missing_if_they_are_absent_or_differ_from_what_the_operator_set() {
    // The keys that the operator set; the tags that AWS shows; those to set; those that another writer set.
    for (applied, shown, missing, foreign) in [
        (&[] as &[_], &[("team", "shop"), ("tier", "1")] as &[_], &[] as &[_], &[] as &[_]),
        (&[], &[("team", "shop"), ("tier", "1"), ("foreign", "x")], &[], &[]),
        (&[], &[("team", "shop")], &[("tier", "1")], &[]),
        (&["tier"], &[("team", "shop"), ("tier", "2")], &[("tier", "1")], &[]),
        (&["team"], &[("team", "shop"), ("tier", "2")], &[], &["tier"]),
        (&[], &[("team", ""), ("tier", "2")], &[], &["team", "tier"]),
        (&["team"], &[("team", ""), ("Tier", "1")], &[("team", "shop"), ("tier", "1")], &[]),
        (&["team", "tier"], &[], &[("team", "shop"), ("tier", "1")], &[]),
    ] {
        let scene = Scene::new(tagged(&[("team", "shop"), ("tier", "1")])).with(|scene| {
            let secret = scene.aws();
            secret.tags.retain(|key, _| key.starts_with("rotated-secrets.io/"));
            secret.tags.extend(strings(shown));
            scene.status.applied.tag_keys = applied.iter().map(|key: &&str| (*key).to_owned()).collect();
        });
        let foreign_tags = foreign.iter().map(|key: &&str| (*key).to_owned()).collect();
        assert_eq!(scene.drift(), Drift { missing_tags: strings(missing), foreign_tags, ..Drift::default() }, "{shown:?}");
    }
}

#[test]
fn the_tags_of_the_owner_are_missing_on_what_may_be_adopted() {
    let want = generated(&json!({"adoptionPolicy": "Always", "tags": {"team": "shop"}}));
    let scene = Scene::new(want.clone()).with(|scene| {
        scene.aws().tags = strings(&[("foreign", "x")]);
        scene.read("current", 5);
    });
    assert_eq!(scene.drift(), Drift { missing_tags: want.tags, ..Drift::default() });
}

#[test]
fn an_adoption_overwrites_the_tags_of_the_owner_and_no_other() {
    let want = generated(&json!({"adoptionPolicy": "IfTagged", "tags": {"team": "shop", "tier": "1"}}));
    let theirs = want.tags.keys().map(|key| (key.clone(), "theirs".to_owned()));
    let scene = Scene::new(want.clone()).with(|scene| {
        scene.aws().tags = theirs.filter(|(key, _)| key != "tier").collect();
        let by = format!("shop/db-admin@{}", want.tags.get(TAG_UID).unwrap());
        scene.aws().tags.insert(ADOPT_BY.to_owned(), by);
        scene.status = StatusFacts {
            applied: AppliedStatus { tag_keys: vec!["team".to_owned()], ..AppliedStatus::default() },
            ..StatusFacts::default()
        };
        scene.read("current", 5);
        scene.matched(&id("current"), true);
    });
    let mut missing = want.tags;
    missing.remove("team");
    let foreign_tags = BTreeSet::from(["team".to_owned()]);
    assert_eq!(scene.secret().ownership, Ownership::Adoptable);
    assert_eq!(scene.drift(), Drift { missing_tags: missing, foreign_tags, ..Drift::default() });
}

#[test]
fn a_consent_that_was_used_is_removed_and_one_for_another_object_stays() {
    let want = generated(&json!({}));
    let uid = format!("shop/db-admin@{}", want.tags.get(TAG_UID).unwrap());
    for (by, removed) in [("shop/db-admin", true), (uid.as_str(), true), ("shop/orders-db", false), ("shop/db-admin@other", false)] {
        let scene = Scene::new(want.clone()).with(|scene| drop(scene.aws().tags.insert(ADOPT_BY.to_owned(), by.to_owned())));
        let surplus_tags = if removed { BTreeSet::from([ADOPT_BY.to_owned()]) } else { BTreeSet::new() };
        assert_eq!(scene.drift(), Drift { surplus_tags, ..Drift::default() }, "{by}");
    }
}

#[test]
fn a_secret_of_an_earlier_version_gets_the_uid_of_the_namespace() {
    let want = generated(&json!({}));
    let scene = Scene::new(want.clone()).with(|scene| drop(scene.aws().tags.remove(TAG_NAMESPACE_UID)));
    let uid = want.tags.get(TAG_NAMESPACE_UID).unwrap();
    assert_eq!(scene.secret().ownership, Ownership::Ours);
    assert_eq!(scene.drift(), Drift { missing_tags: strings(&[(TAG_NAMESPACE_UID, uid)]), ..Drift::default() });
}

#[test]
fn tags_are_surplus_if_the_operator_applied_them_to_this_secret_and_they_are_no_longer_declared() {
    for (name, arn, applied, shown, declared, surplus) in [
        ("applied and shown", ARN, &["old"] as &[&str], &[("old", "x")] as &[_], &[] as &[_], &["old"] as &[&str]),
        ("value changed by another writer", ARN, &["old"], &[("old", "changed")], &[], &["old"]),
        ("removed already", ARN, &["old"], &[], &[], &[]),
        ("still declared", ARN, &["old"], &[("old", "x")], &[("old", "x")], &[]),
        ("never applied", ARN, &[], &[("old", "x")], &[], &[]),
        ("applied to another secret", OTHER_ARN, &["old"], &[("old", "x")], &[], &[]),
        ("some", ARN, &["old", "gone", "team"], &[("old", "x"), ("team", "shop")], &[("team", "shop")], &["old"]),
    ] {
        let scene = Scene::new(tagged(declared)).with(|scene| {
            scene.aws().tags.extend(strings(shown));
            scene.read("current", HOUR);
            scene.status.arn = Some(arn.to_owned());
            scene.status.applied.tag_keys = applied.iter().map(|key| (*key).to_owned()).collect();
        });
        let surplus = surplus.iter().map(|key| (*key).to_owned()).collect();
        assert_eq!(scene.drift(), Drift { surplus_tags: surplus, ..Drift::default() }, "{name}");
    }
}

#[test]
fn the_description_is_compared_only_if_one_is_declared() {
    for (declared, shown, differs) in [
        (None, None, false),
        (None, Some("theirs"), false),
        (Some("ours"), Some("ours"), false),
        (Some("ours"), Some("theirs"), true),
        (Some("ours"), None, true),
        (Some(""), None, false),
        (Some(""), Some(""), false),
        (Some(""), Some("theirs"), true),
    ] {
        let scene =
            Scene::new(generated(&json!({"description": declared}))).with(|scene| scene.aws().description = shown.map(str::to_owned));
        assert_eq!(scene.drift(), Drift { description: differs, ..Drift::default() }, "{declared:?} {shown:?}");
    }
}

/// `declared`: `spec.aws.kmsKeyId`; `shown`: what AWS shows; `applied`: the declared key and what AWS showed for it.
fn keyed(declared: Option<&str>, shown: Option<&str>, applied: Option<(&str, Option<&str>)>) -> Scene {
    Scene::new(generated(&json!({"kmsKeyId": declared}))).with(|scene| {
        scene.aws().kms_key_id = shown.map(str::to_owned);
        let (key, shown) = applied.unzip();
        scene.status.applied.kms_key_id = key.map(str::to_owned);
        scene.status.applied.kms_key_shown = shown.flatten().map(str::to_owned);
    })
}

#[test]
fn a_key_that_can_be_compared_is_set_if_it_differs_whatever_was_applied() {
    for (declared, shown, differs) in [
        (KEY, Some(KEY), false),
        (KEY, Some(OTHER_KEY), true),
        (KEY, None, true),
        ("alias/shop", Some("alias/shop"), false),
        ("alias/shop", Some("alias/other"), true),
        ("alias/shop", None, true),
        (DEFAULT, None, false),
        (DEFAULT, Some(KEY), true),
    ] {
        for applied in [None, Some((declared, shown)), Some(("alias/before", Some(OTHER_KEY)))] {
            let drift = keyed(Some(declared), shown, applied).drift();
            let key = differs.then(|| declared.to_owned());
            let expected = Drift { key, key_shown: shown.map(str::to_owned), ..Drift::default() };
            assert_eq!(drift, expected, "{declared} {shown:?} {applied:?}");
        }
    }
}

#[test]
fn an_alias_against_an_id_is_set_unless_that_id_is_what_aws_showed_after_it_was_applied() {
    for (name, applied, set) in [
        ("never applied", None, true),
        ("applied, and AWS shows the same", Some(("alias/shop", Some(KEY))), false),
        ("applied, and AWS shows another", Some(("alias/shop", Some(OTHER_KEY))), true),
        ("applied, and AWS showed none", Some(("alias/shop", None)), true),
        ("another alias was applied", Some(("alias/other", Some(KEY))), true),
    ] {
        let scene = keyed(Some("alias/shop"), Some(KEY), applied);
        assert_eq!(scene.drift().key, set.then(|| "alias/shop".to_owned()), "{name}");
        let elsewhere = scene.clone().with(|scene| {
            scene.status.arn = Some(OTHER_ARN.to_owned());
            scene.read("current", HOUR);
        });
        assert_eq!(elsewhere.drift().key, Some("alias/shop".to_owned()), "{name}: to another secret");
        for (effect, done) in [(Effect::Applied { at: now() }, true), (Effect::Failed(Failed::denied(&refusal())), false)] {
            let just_set = scene.clone().with(|scene| scene.journal.record(Step::SetKey { key: "alias/shop".to_owned() }, effect));
            assert_eq!(just_set.drift().key.is_none(), done || !set, "{name}: set in this reconcile, {done}");
        }
    }
    let another = keyed(Some(KEY), Some(OTHER_KEY), None);
    let just_set = another.with(|scene| scene.journal.record(Step::SetKey { key: KEY.to_owned() }, Effect::Applied { at: now() }));
    assert_eq!(just_set.drift().key, Some(KEY.to_owned()), "what can be compared is compared");
}

fn refusal() -> crate::refusal::Refusal {
    crate::refusal::Refusal::new(crate::api::condition::Reason::AccessDenied, "no")
}

#[test]
fn a_key_that_is_no_longer_declared_is_taken_back_while_it_is_the_one_that_was_applied() {
    for (name, shown, applied, back) in [
        ("applied and shown", Some(KEY), Some(("alias/shop", Some(KEY))), true),
        ("another writer set a key", Some(OTHER_KEY), Some(("alias/shop", Some(KEY))), false),
        ("the default key already", None, Some(("alias/shop", Some(KEY))), false),
        ("the default key, and no record of it", None, Some((DEFAULT, None)), false),
        ("never applied", Some(KEY), None, false),
    ] {
        let scene = keyed(None, shown, applied);
        assert_eq!(scene.drift().key, back.then(String::new), "{name}");
        let elsewhere = scene.with(|scene| {
            scene.status.arn = Some(OTHER_ARN.to_owned());
            scene.read("current", HOUR);
        });
        assert_eq!(elsewhere.drift().key, None, "{name}: to another secret");
    }
}

#[test]
fn a_rejected_key_changes_nothing() {
    for shown in [None, Some(KEY), Some(OTHER_KEY)] {
        let scene = keyed(Some("5678-not-allowed"), shown, Some(("alias/shop", Some(KEY))));
        assert!(scene.want.settings.key.rejected().is_some());
        assert_eq!(scene.drift().key, None, "{shown:?}");
    }
}

#[test]
fn settings_are_compared_only_for_a_secret_that_is_ours_and_stays() {
    let want = || {
        generated(&json!({"kmsKeyId": KEY, "description": "ours", "tags": {"team": "shop"}, "replicaRegions": [{"region": "eu-west-1"}]}))
    };
    let differs = |scene: &mut Scene| {
        scene.aws().tags.remove("team");
        scene.aws().tags.insert("old".to_owned(), "x".to_owned());
        scene.aws().description = None;
        scene.status.applied = AppliedStatus { tag_keys: vec!["old".to_owned()], ..AppliedStatus::default() };
    };
    let all = Scene::new(want()).with(differs).drift();
    assert_eq!((all.key, all.surplus_tags.len(), all.add_replicas.len()), (Some(KEY.to_owned()), 1, 1));
    let former: Change = |scene| {
        scene.aws().tags.insert(TAG_UID.to_owned(), "other".to_owned());
        scene.status.arn = None;
        scene.read("current", 5);
    };
    let another: Change = |scene| drop(scene.aws().tags.insert(TAG_UID.to_owned(), "other".to_owned()));
    let deleted: Change = |scene| scene.aws().deleted = true;
    for (name, change, uid) in [("former", former, true), ("another's", another, true), ("deleted", deleted, false)] {
        let drift = Scene::new(want()).with(differs).with(change).drift();
        let mut missing_tags = strings(&[("team", "shop")]);
        missing_tags.extend(uid.then(|| (TAG_UID.to_owned(), want().uid)));
        assert_eq!(drift, Drift { missing_tags, description: true, ..Drift::default() }, "{name}");
    }
}
