//! Version IDs, derived from the cause of a version. The ID of a version is the `ClientRequestToken` of the write. Two
//! processes, or the same process before and after a crash, therefore use the same ID for the same change, and AWS
//! accepts it only once.

use std::fmt;

use jiff::Timestamp;
use uuid::Uuid;

use crate::api::Cause;

/// ID of an immutable version of an AWS secret. Not confidential.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VersionId(String);

/// The maximum length of an ID in bytes.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html>
const MAX_LENGTH: usize = 64;

impl VersionId {
    /// An ID in text that any user may have written; `None` if AWS gives no such ID.
    pub fn parse(text: &str) -> Option<Self> {
        let possible = (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        possible.then(|| Self(text.to_owned()))
    }

    /// Whether the operator may have derived this ID: its IDs are UUIDs of version 5, those of other writers are
    /// usually random (version 4).
    pub fn is_derived(&self) -> bool {
        Uuid::parse_str(&self.0).is_ok_and(|id| id.get_version_num() == 5)
    }

    /// The ID as used by AWS.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<T: Into<String>> From<T> for VersionId {
    fn from(id: T) -> Self {
        Self(id.into())
    }
}

/// How many times the same change of the declared fields can follow the same predecessor.
const MAX_REPEATS: u32 = 64;

/// Causes that the id of a version may follow from, beside the creation of the secret and the first rotation.
#[derive(Debug, Clone, Default)]
pub struct Candidates<'a> {
    /// The token of the rollback request.
    pub rollback: Option<&'a str>,
    /// The token of the rotate request.
    pub rotate: Option<&'a str>,
    /// Versions whose rollout may have failed.
    pub rolled_out: Vec<&'a VersionId>,
    /// Versions that a change of the declaration may have followed, and the hash of the declaration.
    pub declared: Option<(Vec<&'a VersionId>, &'a str)>,
    /// Due times.
    pub due: Vec<Timestamp>,
}

/// Derives the version IDs of one object from its uid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionIds(Uuid);

impl VersionIds {
    /// `uid` is `metadata.uid`. A uid that is not a UUID, which does not occur, is hashed into one.
    pub fn of(uid: &str) -> Self {
        Self(Uuid::parse_str(uid).unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, uid.as_bytes())))
    }

    /// The first version of the secret.
    pub fn creation(&self) -> VersionId {
        self.derive("create")
    }

    /// The rotation of one due time.
    pub fn slot(&self, due: Timestamp) -> VersionId {
        self.derive(&format!("slot:{}", due.as_second()))
    }

    /// The first rotation of an existing value. Derived from the uid only, so that edits during the rotation do not
    /// cause a second one.
    pub fn first(&self) -> VersionId {
        self.derive("first")
    }

    /// The rotation requested with this token.
    pub fn request(&self, token: &str) -> VersionId {
        self.derive(&format!("rotate:{token}"))
    }

    /// The rollback requested with this token.
    pub fn rollback(&self, token: &str) -> VersionId {
        self.derive(&format!("rollback:{token}"))
    }

    /// The version that restores the value from before this version, whose rollout failed.
    pub fn recovery(&self, failed: &VersionId) -> VersionId {
        self.derive(&format!("recover:{failed}"))
    }

    /// A change of the declared fields, based on this predecessor. `declared` is the hash of the new declaration.
    pub fn declaration(&self, predecessor: &VersionId, declared: &str) -> VersionId {
        self.derive(&format!("declare:{predecessor}:{declared}"))
    }

    /// The ids of such a change, in the order of their use. The same change follows the same predecessor again if another
    /// client has moved `AWSCURRENT` back to it.
    pub fn declarations<'a>(&self, predecessor: &'a VersionId, declared: &'a str) -> impl Iterator<Item = VersionId> + use<'a> {
        let ids = *self;
        let repeated = move |n: u32| ids.derive(&format!("declare:{predecessor}:{declared}:{n}"));
        std::iter::once(ids.declaration(predecessor, declared)).chain((1..MAX_REPEATS).map(repeated))
    }

    /// Whether the id is that of such a change.
    pub fn is_declaration(&self, version: &VersionId, predecessor: &VersionId, declared: &str) -> bool {
        version.is_derived() && self.declarations(predecessor, declared).any(|id| id == *version)
    }

    /// Why a version has this id: the only place that maps an id to its cause. `None`: it follows from none of the
    /// `candidates`.
    pub fn explain(&self, version: &VersionId, candidates: &Candidates<'_>) -> Option<Cause> {
        let is = |id: VersionId| id == *version;
        if is(self.creation()) {
            return Some(Cause::Created);
        }
        if candidates.rollback.is_some_and(|token| is(self.rollback(token))) {
            return Some(Cause::RolledBack);
        }
        if candidates.rolled_out.iter().any(|failed| is(self.recovery(failed))) {
            return Some(Cause::RolledBack);
        }
        if candidates.rotate.is_some_and(|token| is(self.request(token))) {
            return Some(Cause::Requested);
        }
        if let Some((predecessors, hash)) = &candidates.declared
            && predecessors.iter().any(|predecessor| self.is_declaration(version, predecessor, hash))
        {
            return Some(Cause::SpecChanged);
        }
        let scheduled = is(self.first()) || candidates.due.iter().any(|due| is(self.slot(*due)));
        scheduled.then_some(Cause::Scheduled)
    }

    fn derive(self, cause: &str) -> VersionId {
        VersionId(Uuid::new_v5(&self.0, cause.as_bytes()).to_string())
    }

    /// The object's offset below `count`, uniformly distributed. A scaled fraction, not a remainder, so that a longer
    /// window preserves the order of the objects.
    pub fn place(&self, count: u64) -> u64 {
        // Hashed, because not all bits of a uid are random. Uses the upper 48 bits, because UUIDs fix some of the lower
        // ones.
        let fraction = Uuid::new_v5(&self.0, b"place").as_u128() >> 80;
        u64::try_from(fraction.saturating_mul(u128::from(count)) >> 48).unwrap_or_default()
    }

    /// A number for spreading work over time. Constant for the same object.
    pub fn seed(&self) -> u128 {
        self.0.as_u128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0b7a4c52-57c5-4e0c-9e6f-9d2f7f1c2a11";

    #[test]
    fn the_same_cause_of_the_same_object_names_the_same_version() {
        let due = Timestamp::from_second(1_800_000_000).unwrap();
        assert_eq!(VersionIds::of(UID).slot(due), VersionIds::of(UID).slot(due));
        assert_eq!(VersionIds::of(UID).creation().as_str().len(), 36, "AWS wants 32 to 64 characters");
    }

    #[test]
    fn different_causes_and_different_objects_never_share_a_version() {
        let due = Timestamp::from_second(1_800_000_000).unwrap();
        let (one, other) = (VersionIds::of(UID), VersionIds::of("7d0d1fd1-6e0b-4a43-8e5c-0f3f0cbe1c9b"));
        let ids = [
            one.creation(),
            one.first(),
            one.slot(due),
            one.request("1800000000"),
            one.request("now"),
            one.rollback("now"),
            one.declaration(&one.creation(), "abc"),
            one.declaration(&one.slot(due), "abc"),
            one.declaration(&one.creation(), "abd"),
            other.creation(),
            other.slot(due),
            other.request("now"),
        ];
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }

    /// A different derivation in a newer version would cause an additional rotation of every secret.
    #[test]
    fn ids_and_places_are_what_they_were_in_every_version_before() {
        let tokens = VersionIds::of(UID);
        for (id, was) in [
            (tokens.creation(), "d63d7504-0eef-5209-97f4-422353ddc6cb"),
            (tokens.slot(Timestamp::from_second(1_800_000_000).unwrap()), "26913685-739d-5659-a163-79d4e95d5af6"),
            (tokens.first(), "c9cb0038-2e70-54d4-a591-c948eff0768c"),
            (tokens.request("now"), "02c8aff8-573a-588e-af99-b828982b4703"),
            (tokens.declaration(&tokens.creation(), "abc"), "52806b4c-40fc-5f43-94d5-5518f40f2742"),
        ] {
            assert_eq!(id.as_str(), was);
        }
        assert_eq!(tokens.place(3600), 186);
    }

    #[test]
    fn an_id_is_explained_by_the_cause_that_it_follows_from_and_by_no_other() {
        let (ids, due) = (VersionIds::of(UID), Timestamp::from_second(1_800_000_000).unwrap());
        let (one, other) = (VersionId::from("one"), VersionId::from("other"));
        let all = Candidates {
            rolled_out: vec![&one],
            rollback: Some("token"),
            rotate: Some("token"),
            declared: Some((vec![&one, &other], "abc")),
            due: vec![due, due + jiff::SignedDuration::from_hours(1)],
        };
        // The cause with all candidates, and with none.
        for (version, with_all, with_none) in [
            (ids.creation(), Some(Cause::Created), Some(Cause::Created)),
            (ids.first(), Some(Cause::Scheduled), Some(Cause::Scheduled)),
            (ids.rollback("token"), Some(Cause::RolledBack), None),
            (ids.recovery(&one), Some(Cause::RolledBack), None),
            (ids.recovery(&other), None, None),
            (ids.request("token"), Some(Cause::Requested), None),
            (ids.declaration(&one, "abc"), Some(Cause::SpecChanged), None),
            (ids.declaration(&other, "abc"), Some(Cause::SpecChanged), None),
            (ids.declarations(&other, "abc").nth(1).unwrap(), Some(Cause::SpecChanged), None),
            (ids.declarations(&other, "abc").last().unwrap(), Some(Cause::SpecChanged), None),
            (ids.declarations(&other, "abd").nth(1).unwrap(), None, None),
            (ids.slot(due), Some(Cause::Scheduled), None),
            (ids.slot(due + jiff::SignedDuration::from_hours(1)), Some(Cause::Scheduled), None),
            (ids.rollback("another"), None, None),
            (ids.request("another"), None, None),
            (ids.declaration(&one, "abd"), None, None),
            (ids.declaration(&ids.creation(), "abc"), None, None),
            (ids.slot(due + jiff::SignedDuration::from_secs(1)), None, None),
            (VersionIds::of("another uid").creation(), None, None),
            (VersionId::from("8f8a3c52-57c5-4e0c-9e6f-9d2f7f1c2a11"), None, None),
        ] {
            assert_eq!(ids.explain(&version, &all), with_all, "{version}");
            assert_eq!(ids.explain(&version, &Candidates::default()), with_none, "{version}");
        }
    }

    #[test]
    fn a_change_that_is_repeated_has_an_id_of_its_own_each_time_and_the_first_is_as_before() {
        let (ids, one) = (VersionIds::of(UID), VersionId::from("one"));
        let all: Vec<VersionId> = ids.declarations(&one, "abc").collect();
        assert_eq!(all[0], ids.declaration(&one, "abc"));
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len());
        assert!(all.iter().all(|id| ids.is_declaration(id, &one, "abc") && !ids.is_declaration(id, &one, "abd")));
    }

    #[test]
    fn places_are_uniform_over_all_seconds_and_keep_their_order_when_the_window_grows() {
        let mut seconds = [0_u32; 60];
        let objects: Vec<VersionIds> = (0..60_000).map(|n| VersionIds::of(&format!("object {n}"))).collect();
        for tokens in &objects {
            assert_eq!((tokens.place(0), tokens.place(1)), (0, 0));
            seconds[usize::try_from(tokens.place(60)).unwrap()] += 1;
            assert!((2 * tokens.place(1800)..2 * tokens.place(1800) + 2).contains(&tokens.place(3600)));
        }
        assert!(seconds.iter().all(|count| (850..1150).contains(count)), "{seconds:?}");
    }
}
