//! Who owns a credential: the API has no field for it, so labels and annotations name the owner.

use std::collections::BTreeMap;

use super::record::Marks;

/// Most characters of a name. An annotation can have 256 KiB.
const LONGEST: usize = 256;

/// The value of the first key that is there: on the object (label, annotation, tag in AWS), or else on its Namespace.
pub(super) fn owner(keys: &[String], object: &Marks, tags: Option<&BTreeMap<String, String>>, namespace: Option<&Marks>) -> Option<String> {
    let find = |key: &String| {
        let own = object.get(key).or_else(|| tags?.get(key));
        own.or_else(|| namespace?.get(key)).filter(|name| !name.trim().is_empty())
    };
    keys.iter().find_map(find).map(|name| name.chars().take(LONGEST).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn marks(labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> Marks {
        Marks { labels: Some(map(labels)), annotations: Some(map(annotations)) }
    }

    #[test]
    fn the_first_key_that_is_there_names_the_owner_on_the_object_before_the_namespace() {
        let keys = ["team".to_owned(), "part-of".to_owned()];
        let none = marks(&[], &[]);
        let namespace = marks(&[("team", "platform")], &[]);
        for (object, tags, namespace, expected) in [
            (marks(&[("team", "a")], &[("team", "b")]), &[("team", "c")][..], Some(&namespace), Some("a")),
            (marks(&[], &[("team", "b")]), &[("team", "c")], Some(&namespace), Some("b")),
            (none.clone(), &[("team", "c")], Some(&namespace), Some("c")),
            (none.clone(), &[], Some(&namespace), Some("platform")),
            // An earlier key of the Namespace is before a later one of the object.
            (marks(&[("part-of", "shop")], &[]), &[], Some(&namespace), Some("platform")),
            (marks(&[("part-of", "shop")], &[]), &[], Some(&none), Some("shop")),
            (marks(&[("team", "")], &[("part-of", "shop")]), &[], None, Some("shop")),
            (none.clone(), &[("other", "c")], None, None),
        ] {
            assert_eq!(owner(&keys, &object, Some(&map(tags)), namespace).as_deref(), expected, "{object:?} {tags:?}");
        }
        let long = marks(&[], &[("team", &"ä".repeat(9999))]);
        assert_eq!(owner(&keys, &long, None, None).map(|name| name.chars().count()), Some(LONGEST));
    }
}
