//! Whose the AWS secret is.

use super::*;
use crate::api::{ADOPT_BY, TAG_CLUSTER, TAG_NAME, TAG_NAMESPACE, TAG_UID};
use crate::compare::ownership::ownership;

const TAGS: [&str; 4] = [TAG_CLUSTER, TAG_NAMESPACE, TAG_NAME, TAG_UID];

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

#[test]
fn four_matching_tags_make_it_ours_and_any_other_owner_tag_makes_it_anothers() {
    let mut rows = 0;
    for policy in ["Never", "IfTagged", "Always"] {
        let want = adopting(policy);
        for states in all_states() {
            for known in [None, Some(ARN), Some(OTHER_ARN)] {
                for adopt_by in [None, Some("shop/db-admin")] {
                    let mut tags = tags(&want, &states);
                    tags.extend(adopt_by.map(|by| (ADOPT_BY.to_owned(), by.to_owned())));
                    let expected = match (states.as_str(), known) {
                        ("oooo", _) => Ownership::Ours,
                        // An object that never had a secret succeeds another one of its name.
                        ("ooox", None) => Ownership::Former,
                        ("----", _) => match (policy, adopt_by) {
                            ("Always", _) | ("IfTagged", Some(_)) => Ownership::Adoptable,
                            _ => Ownership::Nobody,
                        },
                        _ => Ownership::Another,
                    };
                    assert_eq!(ownership(&want, &tags, known), expected, "{policy} {states} {known:?} {adopt_by:?}");
                    rows += 1;
                }
            }
        }
    }
    assert_eq!(rows, 3 * 81 * 3 * 2);
}

#[test]
fn one_wrong_tag_is_enough_whichever_it_is() {
    let want = adopting("Always");
    for (states, expected) in [
        ("xooo", Ownership::Another),
        ("oxoo", Ownership::Another),
        ("ooxo", Ownership::Another),
        ("ooox", Ownership::Former),
        ("-ooo", Ownership::Another),
        ("o-oo", Ownership::Another),
        ("oo-o", Ownership::Another),
        ("ooo-", Ownership::Another),
        ("o---", Ownership::Another),
        ("-o--", Ownership::Another),
        ("--o-", Ownership::Another),
        ("---o", Ownership::Another),
        ("---x", Ownership::Another),
    ] {
        assert_eq!(ownership(&want, &tags(&want, states), None), expected, "{states}");
    }
}

#[test]
fn the_adoption_tag_counts_only_with_the_full_name_of_this_object_and_only_if_the_spec_says_so() {
    for (policy, adopt_by, expected) in [
        ("IfTagged", "shop/db-admin", Ownership::Adoptable),
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
fn empty_and_foreign_tags_prove_nothing() {
    let want = adopting("Never");
    let empty: BTreeMap<String, String> = TAGS.iter().map(|key| ((*key).to_owned(), String::new())).collect();
    let upper: BTreeMap<String, String> = tags(&want, "oooo").into_iter().map(|(key, value)| (key.to_uppercase(), value)).collect();
    for (name, tags, expected) in [
        ("empty values", empty, Ownership::Another),
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
    assert_eq!(ownership(&forged, &theirs, None), Ownership::Another);
    assert_eq!(ownership(&forged, &tags(&generated(&json!({})), "oooo"), None), Ownership::Ours);
}

#[test]
fn a_forged_arn_in_the_status_makes_nothing_ours() {
    for states in all_states().into_iter().filter(|states| states != "oooo") {
        let scene = Scene::new(adopting("Never")).with(|scene| {
            let tags = tags(&scene.want, &states);
            scene.aws().tags = tags;
        });
        let secret = scene.secret();
        assert!(matches!(secret.ownership, Ownership::Another | Ownership::Nobody), "{states}");
        assert_eq!(secret.drift.surplus_tags.len(), 0, "{states}");
    }
}
