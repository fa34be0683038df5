//! Whose the AWS secret is, by its tags. This is the decision that keeps tenants apart.

use std::collections::BTreeMap;

use crate::api::{ADOPT_BY, AwsAdoptionPolicy, TAG_CLUSTER, TAG_NAME, TAG_NAMESPACE, TAG_UID};
use crate::desired::Desired;

/// Whose an AWS secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// Ours: cluster, namespace, name and uid are those of this object.
    Ours,
    /// Cluster, namespace and name are ours and the uid is another one, and this object has had no AWS secret yet: an
    /// object of this name was deleted, and ours replaces it.
    Former,
    /// Another object's.
    Another,
    /// No object owns it.
    Nobody,
    /// No object owns it, and this object may adopt it.
    Adoptable,
}

/// Decides by the tags. `known`: the ARN of the secret that the status calls ours.
pub fn ownership(want: &Desired, tags: &BTreeMap<String, String>, known: Option<&str>) -> Ownership {
    let ours = |key: &&str| tags.get(*key).is_some() && tags.get(*key) == want.tags.get(*key);
    let place = [TAG_CLUSTER, TAG_NAMESPACE, TAG_NAME];
    if place.iter().all(ours) && tags.contains_key(TAG_UID) {
        // An object that had this secret and does not find its uid there has lost it. One that never had a secret
        // succeeds another object of its name.
        return match (ours(&TAG_UID), known) {
            (true, _) => Ownership::Ours,
            (false, None) => Ownership::Former,
            (false, Some(_)) => Ownership::Another,
        };
    }
    if tags.contains_key(TAG_UID) || place.iter().any(|key| tags.contains_key(*key)) {
        return Ownership::Another;
    }
    let may_adopt = match want.settings.adoption {
        AwsAdoptionPolicy::Never => false,
        AwsAdoptionPolicy::IfTagged => tags.get(ADOPT_BY).is_some_and(|by| *by == format!("{}/{}", want.namespace, want.name)),
        AwsAdoptionPolicy::Always => true,
    };
    if may_adopt { Ownership::Adoptable } else { Ownership::Nobody }
}
