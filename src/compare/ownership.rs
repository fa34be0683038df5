//! Whose the AWS secret is, by its tags. This is the decision that keeps tenants apart.

use std::collections::BTreeMap;

use crate::api::{ADOPT_BY, AwsAdoptionPolicy, TAG_CLUSTER, TAG_NAME, TAG_NAMESPACE, TAG_NAMESPACE_UID, TAG_UID};
use crate::desired::Desired;

/// Whose an AWS secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// Ours: cluster, namespace, name and uid are those of this object.
    Ours,
    /// Cluster, namespace, uid of the namespace and name are ours, the uid is another one, and this object has had no AWS
    /// secret yet: an object of this name was deleted, and ours replaces it.
    Former,
    /// Its tags name another owner.
    Another(Difference),
    /// No object owns it.
    Nobody,
    /// This object may adopt it.
    Adoptable,
}

/// What distinguishes the owner of the tags from this object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// Another cluster.
    Cluster,
    /// Another namespace.
    Namespace,
    /// An earlier namespace of the same name.
    NamespaceUid,
    /// The tags do not say whether it is this namespace or an earlier one of the same name.
    NamespaceUidUnknown,
    /// Another object of this namespace.
    Object,
    /// Another object of the same name. This object had an AWS secret, and its uid is not on this one.
    Uid,
    /// A part of the ownership tags is missing.
    Incomplete,
}

impl Difference {
    /// Whether the owner may have the namespace and the name of this object. The tag may have been set for that one, so it
    /// counts for this one only with its uid.
    fn may_have_the_same_name(self) -> bool {
        match self {
            Self::Cluster | Self::NamespaceUid | Self::NamespaceUidUnknown | Self::Incomplete => true,
            Self::Namespace | Self::Object | Self::Uid => false,
        }
    }

    /// Whether the owner is in this namespace of this cluster, which may therefore read the value.
    pub fn is_within_namespace(self) -> bool {
        match self {
            Self::Object | Self::Uid => true,
            Self::Cluster | Self::Namespace | Self::NamespaceUid | Self::NamespaceUidUnknown | Self::Incomplete => false,
        }
    }
}

impl Ownership {
    /// Whether it belongs to another owner.
    pub fn is_another(self) -> bool {
        matches!(self, Self::Another(_))
    }

    /// Whether an object that only mirrors may read the value. `listed`: the administrator's annotation lists the name.
    pub fn may_be_mirrored(self, listed: bool) -> bool {
        match self {
            Self::Another(difference) => listed || difference.is_within_namespace(),
            Self::Ours | Self::Former | Self::Nobody | Self::Adoptable => true,
        }
    }
}

/// Decides by the tags. `known`: the ARN of the secret that the status calls ours.
pub fn ownership(want: &Desired, tags: &BTreeMap<String, String>, known: Option<&str>) -> Ownership {
    let adoptable = may_adopt(want, tags);
    let owner = [TAG_CLUSTER, TAG_NAMESPACE, TAG_NAMESPACE_UID, TAG_NAME, TAG_UID];
    if !owner.iter().any(|key| tags.contains_key(*key)) {
        return if adoptable { Ownership::Adoptable } else { Ownership::Nobody };
    }
    let Some(difference) = difference(want, tags) else { return Ownership::Ours };
    match (difference, known) {
        // An object that had this secret and does not find its uid there has lost it. One that never had a secret
        // succeeds another object of its name.
        (Difference::Uid, None) => Ownership::Former,
        // The tag of the present owner consents. Without it no policy adopts a secret that has an owner. An object that
        // had a secret does not take it back, because two objects could do so in turn.
        (_, None) if adoptable && tags.get(ADOPT_BY) == consent(want, Some(difference)).as_ref() => Ownership::Adoptable,
        _ => Ownership::Another(difference),
    }
}

/// The first difference; `None`: the secret is ours. The uid of the namespace is not needed if the uid of the object is there,
/// so that secrets of earlier versions stay ours. A different one is a contradiction.
fn difference(want: &Desired, tags: &BTreeMap<String, String>) -> Option<Difference> {
    let differs = |key: &str| tags.get(key).is_some_and(|value| want.tags.get(key).is_some_and(|ours| ours != value));
    if differs(TAG_CLUSTER) {
        return Some(Difference::Cluster);
    }
    if differs(TAG_NAMESPACE) {
        return Some(Difference::Namespace);
    }
    if differs(TAG_NAMESPACE_UID) {
        return Some(Difference::NamespaceUid);
    }
    if [TAG_CLUSTER, TAG_NAMESPACE, TAG_NAME, TAG_UID].iter().any(|key| !tags.contains_key(*key)) {
        return Some(Difference::Incomplete);
    }
    let ours = !differs(TAG_NAME) && !differs(TAG_UID);
    if ours {
        return None;
    }
    // Our own uid of the namespace is not known if the Namespace could not be read.
    if !tags.contains_key(TAG_NAMESPACE_UID) || !want.tags.contains_key(TAG_NAMESPACE_UID) {
        return Some(Difference::NamespaceUidUnknown);
    }
    Some(if differs(TAG_NAME) { Difference::Object } else { Difference::Uid })
}

fn may_adopt(want: &Desired, tags: &BTreeMap<String, String>) -> bool {
    match want.settings.adoption {
        AwsAdoptionPolicy::Never => false,
        AwsAdoptionPolicy::IfTagged => consents(want, tags),
        AwsAdoptionPolicy::Always => true,
    }
}

/// Whether the tag names this object: by its name, or by its name and uid.
pub(super) fn consents(want: &Desired, tags: &BTreeMap<String, String>) -> bool {
    tags.get(ADOPT_BY).is_some_and(|by| *by == by_name(want) || Some(by) == by_uid(want).as_ref())
}

/// The value of the tag [`ADOPT_BY`] with which this object adopts a secret. `difference`: of its owner, if it has one.
pub fn consent(want: &Desired, difference: Option<Difference>) -> Option<String> {
    if difference.is_some_and(Difference::may_have_the_same_name) { by_uid(want) } else { Some(by_name(want)) }
}

fn by_name(want: &Desired) -> String {
    format!("{}/{}", want.namespace, want.name)
}

fn by_uid(want: &Desired) -> Option<String> {
    want.tags.get(TAG_UID).map(|uid| format!("{}@{uid}", by_name(want)))
}
