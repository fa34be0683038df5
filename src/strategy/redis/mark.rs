//! What keeps a replica out that was stopped and wakes up late. A user of Redis has no comment, but it can have hashes of
//! passwords that nobody knows: one of them is the mark of the version that the user has. A change of the user removes the
//! mark that was read and adds another one in the same command, which fails as a whole if that mark is no longer there.

use aws_lc_rs::digest;

use crate::strategy::Fence;

/// How the 32 bytes of a mark begin: a hash of our name. No password is known whose hash begins like this and then has what we
/// put there.
const BEGINS: usize = 12;

/// What a user has of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    /// Milliseconds.
    created: i64,
    version: [u8; 11],
    /// The user is not to have this version any more.
    withdrawn: bool,
}

/// What the mark of a user says about a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The user has no version of ours, or an older one.
    Older,
    /// It has this one.
    This,
    /// It is not to have this one any more.
    Withdrawn,
    /// It has a later one.
    Later,
}

impl Mark {
    /// That of a version.
    pub(super) fn of(fence: &Fence, withdrawn: bool) -> Self {
        Self { created: fence.created.as_millisecond(), version: first(&sha256(fence.version.as_bytes())), withdrawn }
    }

    /// That of a user that has no version yet. Each is another one: what a user had when it was read is never there again.
    pub(super) fn first() -> Self {
        Self { created: i64::MIN, version: first(&sha256(uuid::Uuid::new_v4().as_bytes())), withdrawn: false }
    }

    /// `None`: the hash is that of a password.
    pub(super) fn read(hash: &str) -> Option<Self> {
        let bytes: [u8; 32] = hex::decode(hash).ok()?.try_into().ok()?;
        let (begins, rest) = bytes.split_first_chunk::<BEGINS>()?;
        let (created, rest) = rest.split_first_chunk::<8>()?;
        let (withdrawn, version) = rest.split_first()?;
        let version = version.try_into().ok()?;
        (*begins == ours() && *withdrawn <= 1).then(|| Self { created: i64::from_be_bytes(*created), version, withdrawn: *withdrawn == 1 })
    }

    /// As the hash of a password.
    pub(super) fn hash(self) -> String {
        let Self { created, version, withdrawn } = self;
        hex::encode([ours().as_slice(), &created.to_be_bytes(), &[u8::from(withdrawn)], &version].concat())
    }

    /// What this mark says about a version.
    pub(super) fn standing(self, fence: &Fence) -> Standing {
        let other = Self::of(fence, false);
        match (self.version == other.version, self.withdrawn) {
            (true, true) => Standing::Withdrawn,
            (true, false) => Standing::This,
            (false, _) if self.created > other.created => Standing::Later,
            (false, _) => Standing::Older,
        }
    }
}

fn ours() -> [u8; BEGINS] {
    first(&sha256(b"rotated-secrets"))
}

fn first<const N: usize>(bytes: &[u8; 32]) -> [u8; N] {
    std::array::from_fn(|at| bytes.get(at).copied().unwrap_or_default())
}

fn sha256(text: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, text);
    std::array::from_fn(|at| digest.as_ref().get(at).copied().unwrap_or_default())
}

/// The hash of a password, as Redis stores it.
pub(super) fn hash(password: &str) -> String {
    hex::encode(sha256(password.as_bytes()))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn fence(version: &str, second: i64) -> Fence {
        Fence { version: version.to_owned(), created: Timestamp::from_second(second).unwrap() }
    }

    #[test]
    fn a_mark_is_read_as_it_was_written_and_no_hash_of_a_password_is_one() {
        for (version, second, withdrawn) in [("one", 1, false), ("two", 1_800_000_000, true), ("", -1, false)] {
            let mark = Mark::of(&fence(version, second), withdrawn);
            assert_eq!(mark.hash().len(), 64);
            assert_eq!(Mark::read(&mark.hash()), Some(mark));
        }
        let withdrawn_twice = Mark::of(&fence("one", 1), true).hash().replace("e801", "e802");
        for other in [hash("password"), hash(""), "00".repeat(32), "ab".to_owned(), "x".repeat(64), withdrawn_twice] {
            assert_eq!(Mark::read(&other), None, "{other}");
        }
        assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_later_or_a_withdrawn_version_keeps_this_one_out() {
        let one = fence("one", 100);
        let standing = |fence: &Fence, withdrawn| Mark::of(fence, withdrawn).standing(&one);
        assert_eq!(standing(&one, false), Standing::This);
        assert_eq!(standing(&one, true), Standing::Withdrawn);
        assert_eq!(Mark::first().standing(&one), Standing::Older);
        assert_ne!(Mark::first(), Mark::first());
        assert_eq!(standing(&fence("zero", 99), false), Standing::Older);
        assert_eq!(standing(&fence("zero", 99), true), Standing::Older);
        assert_eq!(standing(&fence("other", 100), false), Standing::Older);
        assert_eq!(standing(&fence("two", 101), false), Standing::Later);
        assert_eq!(standing(&fence("two", 101), true), Standing::Later);
    }
}
