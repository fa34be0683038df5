//! Version ids and how they follow from their cause. The id of a version that we write is its `ClientRequestToken`, so two processes, or one
//! before and after a crash, that mean the same change name the same version, and AWS refuses the second.

use std::fmt;

use jiff::Timestamp;
use uuid::Uuid;

/// The id of one immutable version of an AWS secret. Not secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VersionId(String);

impl VersionId {
    /// Whether it can be one of ours: others' tokens are random (UUID version 4), ours follow from a cause (version 5).
    pub fn is_derived(&self) -> bool {
        Uuid::parse_str(&self.0).is_ok_and(|id| id.get_version_num() == 5)
    }

    /// The id as AWS writes it.
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

/// Derives the version ids of one object from its uid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionIds(Uuid);

impl VersionIds {
    /// `uid` is `metadata.uid`. One that is no UUID (it always is) is hashed into one.
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

    /// The rotation with which rotation begins on an object that had a value before. Of the uid alone: whatever is edited while it is under
    /// way, it is one.
    pub fn first(&self) -> VersionId {
        self.derive("first")
    }

    /// A rotation that a person asked for with this token.
    pub fn request(&self, token: &str) -> VersionId {
        self.derive(&format!("rotate:{token}"))
    }

    /// The copy of an older value that a person asked for with this token.
    pub fn rollback(&self, token: &str) -> VersionId {
        self.derive(&format!("rollback:{token}"))
    }

    /// A change of the declared fields, made from this predecessor. `declared` is the hash of the new declaration.
    pub fn declaration(&self, predecessor: &VersionId, declared: &str) -> VersionId {
        self.derive(&format!("declare:{predecessor}:{declared}"))
    }

    fn derive(self, cause: &str) -> VersionId {
        VersionId(Uuid::new_v5(&self.0, cause.as_bytes()).to_string())
    }

    /// The object's own place among the numbers below `count`, each as likely as any other. A fraction that is stretched, not a remainder, so
    /// that a longer window keeps the order of the objects.
    pub fn place(&self, count: u64) -> u64 {
        // Hashed, since not everything about a uid is random; the upper 48 bits, since UUIDs fix some of the lower ones.
        let fraction = Uuid::new_v5(&self.0, b"place").as_u128() >> 80;
        u64::try_from((fraction * u128::from(count)) >> 48).unwrap_or_default()
    }

    /// A number for spreading work that is the same for the same object.
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

    /// Another derivation in a newer version would rotate everything once more.
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
