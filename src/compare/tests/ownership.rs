//! Whose the AWS secret is.

use super::*;
use crate::api::{ADOPT_BY, TAG_CLUSTER, TAG_NAME, TAG_NAMESPACE, TAG_NAMESPACE_UID, TAG_UID};
use crate::compare::ownership::{Difference, Ownership, ownership};

const TAGS: [&str; 5] = [TAG_CLUSTER, TAG_NAMESPACE, TAG_NAMESPACE_UID, TAG_NAME, TAG_UID];

/// Tags of an AWS secret: for each of [`TAGS`] `o` ours, `x` another value, `-` absent.
fn tags(want: &Desired, states: &str) -> BTreeMap<String, String> {
    let values = TAGS.iter().zip(states.chars()).filter_map(|(key, state)| match state {
        'o' => Some(((*key).to_owned(), want.tags.get(*key).unwrap().clone())),
        'x' => Some(((*key).to_owned(), "other".to_owned())),
        _ => None,
    });
    values.collect()
}

fn all_states() -> Vec<String> {
    let mut all = vec![String::new()];
    for _ in TAGS {
        all = all.iter().flat_map(|before| ['o', 'x', '-'].map(|state| format!("{before}{state}"))).collect();
    }
    all
}

fn adopting(policy: &str) -> Desired {
    generated(&json!({"adoptionPolicy": policy}))
}

/// What the tags alone say. The first pattern that fits decides; `?`: any state. `None`: no owner.
fn expected(states: &str) -> Option<Ownership> {
    use Difference::{Cluster, Incomplete, Namespace, NamespaceUid, NamespaceUidUnknown, Object, Uid};
    let another = |difference| Some(Ownership::Another(difference));
    let patterns = [
        ("-----", None),
        ("x????", another(Cluster)),
        ("?x???", another(Namespace)),
        ("??x??", another(NamespaceUid)),
        ("-????", another(Incomplete)),
        ("?-???", another(Incomplete)),
        ("???-?", another(Incomplete)),
        ("????-", another(Incomplete)),
        // Of an earlier version of the operator, or complete.
        ("oo-oo", Some(Ownership::Ours)),
        ("ooooo", Some(Ownership::Ours)),
        ("oo-??", another(NamespaceUidUnknown)),
        ("ooox?", another(Object)),
        ("oooox", another(Uid)),
    ];
    let fits = |pattern: &str| pattern.chars().zip(states.chars()).all(|(wanted, state)| wanted == '?' || wanted == state);
    patterns.into_iter().find(|(pattern, _)| fits(pattern)).unwrap_or_else(|| panic!("{states}")).1
}

#[test]
fn the_tags_say_whose_the_secret_is_and_only_their_tag_hands_it_over() {
    let mut rows = 0;
    for policy in ["Never", "IfTagged", "Always"] {
        let want = adopting(policy);
        for states in all_states() {
            for known in [None, Some(ARN), Some(OTHER_ARN)] {
                let uid = format!("shop/db-admin@{}", want.tags.get(TAG_UID).unwrap());
                for adopt_by in [None, Some("shop/db-admin"), Some("shop/other"), Some(uid.as_str()), Some("shop/db-admin@other")] {
                    let mut tags = tags(&want, &states);
                    tags.extend(adopt_by.map(|by| (ADOPT_BY.to_owned(), by.to_owned())));
                    let enabled = policy != "Never";
                    let of_name = enabled && adopt_by == Some("shop/db-admin");
                    let of_uid = enabled && adopt_by == Some(&uid);
                    let expected = match expected(&states) {
                        None if of_name || of_uid || policy == "Always" => Ownership::Adoptable,
                        None => Ownership::Nobody,
                        // An object that never had a secret succeeds another one of its name.
                        Some(Ownership::Another(Difference::Uid)) if known.is_none() => Ownership::Former,
                        Some(Ownership::Another(Difference::Namespace | Difference::Object)) if known.is_none() && of_name => {
                            Ownership::Adoptable
                        }
                        // One of the same name may have adopted it by its name.
                        Some(Ownership::Another(
                            Difference::Cluster | Difference::NamespaceUid | Difference::NamespaceUidUnknown | Difference::Incomplete,
                        )) if known.is_none() && of_uid => Ownership::Adoptable,
                        Some(owner) => owner,
                    };
                    assert_eq!(ownership(&want, &tags, known), expected, "{policy} {states} {known:?} {adopt_by:?}");
                    rows += 1;
                }
            }
        }
    }
    assert_eq!(rows, 3 * 243 * 3 * 5);
}

#[test]
fn without_the_uid_of_the_own_namespace_only_the_uid_of_the_object_proves_anything() {
    let mut want = adopting("Always");
    let complete = want.clone();
    want.tags.remove(TAG_NAMESPACE_UID);
    for (states, expected) in [
        ("ooooo", Ownership::Ours),
        ("oo-oo", Ownership::Ours),
        ("ooxoo", Ownership::Ours),
        ("oooox", Ownership::Another(Difference::NamespaceUidUnknown)),
        ("oo-ox", Ownership::Another(Difference::NamespaceUidUnknown)),
        ("oooxo", Ownership::Another(Difference::NamespaceUidUnknown)),
        ("xoooo", Ownership::Another(Difference::Cluster)),
    ] {
        assert_eq!(ownership(&want, &tags(&complete, states), None), expected, "{states}");
    }
}

#[test]
fn a_value_is_mirrored_within_the_namespace_and_otherwise_only_if_the_administrator_lists_the_name() {
    for states in all_states() {
        let found = ownership(&adopting("Never"), &tags(&adopting("Never"), &states), None);
        let readable = matches!(found, Ownership::Nobody) || (states.starts_with("ooo") && !states.contains('-')) || states == "oo-oo";
        assert_eq!(found.may_be_mirrored(false), readable, "{states}");
        assert!(found.may_be_mirrored(true), "{states}");
    }
}

#[test]
fn the_adoption_tag_counts_only_with_the_full_name_of_this_object_and_only_if_the_spec_says_so() {
    for (policy, adopt_by, expected) in [
        ("IfTagged", "shop/db-admin", Ownership::Adoptable),
        ("IfTagged", "shop/db-admin@", Ownership::Nobody),
        ("IfTagged", "shop/db-admin@other", Ownership::Nobody),
        ("IfTagged", "db-admin", Ownership::Nobody),
        ("IfTagged", "shop/", Ownership::Nobody),
        ("IfTagged", "", Ownership::Nobody),
        ("IfTagged", "*", Ownership::Nobody),
        ("IfTagged", "other/db-admin", Ownership::Nobody),
        ("IfTagged", "shop/db-admin2", Ownership::Nobody),
        ("IfTagged", "Shop/db-admin", Ownership::Nobody),
        ("Never", "shop/db-admin", Ownership::Nobody),
        ("Always", "other/db-admin", Ownership::Adoptable),
    ] {
        let tags = strings(&[(ADOPT_BY, adopt_by), ("team", "shop")]);
        assert_eq!(ownership(&adopting(policy), &tags, None), expected, "{policy} {adopt_by}");
    }
}

#[test]
fn a_consent_without_a_uid_is_none() {
    let mut want = adopting("IfTagged");
    let theirs = tags(&want, "xoooo");
    want.tags.remove(TAG_UID);
    let tags: BTreeMap<String, String> = theirs.into_iter().chain(strings(&[(ADOPT_BY, "shop/db-admin@")])).collect();
    assert_eq!(ownership(&want, &tags, None), Ownership::Another(Difference::Cluster));
}

#[test]
fn empty_and_foreign_tags_prove_nothing() {
    let want = adopting("Never");
    let empty: BTreeMap<String, String> = TAGS.iter().map(|key| ((*key).to_owned(), String::new())).collect();
    let upper: BTreeMap<String, String> = tags(&want, "ooooo").into_iter().map(|(key, value)| (key.to_uppercase(), value)).collect();
    for (name, tags, expected) in [
        ("empty values", empty, Ownership::Another(Difference::Cluster)),
        ("other keys", upper, Ownership::Nobody),
        ("user tags", strings(&[("team", "shop")]), Ownership::Nobody),
        ("no tags", BTreeMap::new(), Ownership::Nobody),
    ] {
        for known in [None, Some(ARN)] {
            assert_eq!(ownership(&want, &tags, known), expected, "{name} {known:?}");
        }
    }
}

#[test]
fn declared_tags_cannot_replace_those_of_the_owner() {
    // A spec with such tags is refused, and these are the tags that the operator compares with.
    let forged = generated(&json!({"tags": {"team": "other"}}));
    let theirs: BTreeMap<String, String> = TAGS.iter().map(|key| ((*key).to_owned(), "other".to_owned())).collect();
    assert_eq!(ownership(&forged, &theirs, None), Ownership::Another(Difference::Cluster));
    assert_eq!(ownership(&forged, &tags(&generated(&json!({})), "ooooo"), None), Ownership::Ours);
}

#[test]
fn a_forged_arn_in_the_status_makes_nothing_ours() {
    for states in all_states().into_iter().filter(|states| states != "ooooo" && states != "oo-oo") {
        let scene = Scene::new(adopting("Never")).with(|scene| {
            let tags = tags(&scene.want, &states);
            scene.aws().tags = tags;
        });
        let secret = scene.secret();
        assert!(matches!(secret.ownership, Ownership::Another(_) | Ownership::Nobody), "{states}");
        assert_eq!(secret.drift.surplus_tags.len(), 0, "{states}");
    }
}
