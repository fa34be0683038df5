//! What keeps a replica out that was stopped and wakes up late: the comment of the role names the version that it has. The
//! administrator's session alone would let an older version in.

use jiff::Timestamp;

/// A version that a role has, or is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// ID of the version.
    pub version: String,
    /// When AWS created it.
    pub created: Timestamp,
}

/// How the mark begins. It is at the end of the comment, and what stands before it belongs to others.
const BEGINS: &str = "[rotated-secrets version ";
const WITHDRAWN: &str = " withdrawn";

/// What a comment says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    fence: Fence,
    /// The role is not to have this version any more.
    withdrawn: bool,
}

/// What the comment of a role says about a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The role has no version of ours.
    Unmarked,
    /// It has an older one.
    Older,
    /// It has this one.
    This,
    /// It is not to have this one any more.
    Withdrawn,
    /// It has a later one.
    Later,
}

impl Standing {
    /// Whether the role may get the version.
    pub(super) fn admits(self) -> bool {
        matches!(self, Self::Unmarked | Self::Older | Self::This)
    }
}

/// Whether the comment has a mark of ours.
pub(super) fn is_marked(comment: Option<&str>) -> bool {
    comment.is_some_and(|comment| read(comment).1.is_some())
}

impl Fence {
    /// What the comment of the role says about this version.
    pub(super) fn standing(&self, comment: Option<&str>) -> Standing {
        match comment.and_then(|comment| read(comment).1) {
            None => Standing::Unmarked,
            Some(Mark { fence, withdrawn: true }) if fence.version == self.version => Standing::Withdrawn,
            Some(Mark { fence, .. }) if fence.version == self.version => Standing::This,
            Some(Mark { fence, .. }) if fence.created <= self.created => Standing::Older,
            Some(_) => Standing::Later,
        }
    }

    /// The comment with this version. `withdrawn`: the role is not to have it any more.
    pub(super) fn comment(&self, before: Option<&str>, withdrawn: bool) -> String {
        let text = before.map(|comment| read(comment).0).unwrap_or_default();
        let space = if text.is_empty() { "" } else { " " };
        let word = if withdrawn { WITHDRAWN } else { "" };
        format!("{text}{space}{BEGINS}{} of {}{word}]", self.version, self.created.as_millisecond())
    }
}

/// The text of others, and our mark.
fn read(comment: &str) -> (&str, Option<Mark>) {
    let Some((text, mark)) = comment.rsplit_once(BEGINS) else { return (comment.trim_end(), None) };
    let mark = mark.strip_suffix(']').and_then(|mark| {
        let withdrawn = mark.strip_suffix(WITHDRAWN);
        let (version, millis) = withdrawn.unwrap_or(mark).split_once(" of ")?;
        let created = Timestamp::from_millisecond(millis.parse().ok()?).ok()?;
        Some(Mark { fence: Fence { version: version.to_owned(), created }, withdrawn: withdrawn.is_some() })
    });
    (text.trim_end(), mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fence(version: &str, second: i64) -> Fence {
        Fence { version: version.to_owned(), created: Timestamp::from_second(second).unwrap() }
    }

    #[test]
    fn a_later_or_a_withdrawn_version_keeps_this_one_out_and_the_text_of_others_stays() {
        let one = fence("one", 100);
        for comment in [None, Some("of the shop"), Some("[rotated-secrets version ]")] {
            assert_eq!((one.standing(comment), is_marked(comment)), (Standing::Unmarked, false));
        }
        let comment = one.comment(Some("of the shop"), false);
        assert_eq!(comment, "of the shop [rotated-secrets version one of 100000]");
        assert!(is_marked(Some(&comment)));
        assert_eq!(one.standing(Some(&comment)), Standing::This);
        assert_eq!(fence("two", 101).standing(Some(&comment)), Standing::Older);
        assert_eq!(fence("two", 100).standing(Some(&comment)), Standing::Older);
        assert_eq!(fence("zero", 99).standing(Some(&comment)), Standing::Later);
        let withdrawn = one.comment(Some(&comment), true);
        assert_eq!(withdrawn, "of the shop [rotated-secrets version one of 100000 withdrawn]");
        assert_eq!(one.standing(Some(&withdrawn)), Standing::Withdrawn);
        assert_eq!(fence("two", 101).standing(Some(&withdrawn)), Standing::Older);
        assert!(fence("two", 101).comment(Some(&withdrawn), false).starts_with("of the shop [rotated-secrets version two"));
        for (standing, admits) in
            [(Standing::Unmarked, true), (Standing::Older, true), (Standing::This, true), (Standing::Withdrawn, false)]
        {
            assert_eq!(standing.admits(), admits, "{standing:?}");
        }
        assert!(!Standing::Later.admits());
    }
}
