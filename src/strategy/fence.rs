//! What keeps a replica out that was stopped and wakes up late: a text at the user, in the server, names the version that it
//! has. The administrator's session alone would let an older version in. PostgreSQL has it in the comment of the role, MySQL in
//! an attribute of the account, MariaDB in the name of a role.

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
pub(super) const BEGINS: &str = "[rotated-secrets version ";

/// What is said of the version in a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The user has it, or is about to get it.
    InForce,
    /// The user is not to have it any more.
    Withdrawn,
    /// The user did not have it: when it was current, the user was locked.
    Retired,
}

impl State {
    const ALL: [Self; 3] = [Self::Withdrawn, Self::Retired, Self::InForce];

    fn word(self) -> &'static str {
        match self {
            Self::InForce => "",
            Self::Withdrawn => " withdrawn",
            Self::Retired => " retired",
        }
    }
}

/// What a comment says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    fence: Fence,
    state: State,
}

/// What the comment of a role says about a version, the stronger ones later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// The role has no version of ours.
    Unmarked,
    /// It has an older one.
    Older,
    /// It has this one.
    This,
    /// It is not to have this one (any more).
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

/// Whether the comment says that the user may be locked because of us: the next version unlocks it.
pub(super) fn may_be_locked(comment: Option<&str>) -> bool {
    comment.and_then(|comment| read(comment).1).is_some_and(|mark| mark.state != State::InForce)
}

/// Whether the comment says that the user has this version, or a later one that was not withdrawn from it.
pub(super) fn has_it_or_later(comment: Option<&str>, fence: &Fence) -> bool {
    let in_force = comment.and_then(|comment| read(comment).1).is_some_and(|mark| mark.state == State::InForce);
    in_force && matches!(fence.standing(comment), Standing::This | Standing::Later)
}

/// The text of others in a comment, before the mark.
pub(super) fn text_of_others(comment: &str) -> &str {
    read(comment).0
}

impl Fence {
    /// What the comment of the role says about this version.
    pub(super) fn standing(&self, comment: Option<&str>) -> Standing {
        match comment.and_then(|comment| read(comment).1) {
            None => Standing::Unmarked,
            Some(Mark { fence, state: State::InForce }) if fence.version == self.version => Standing::This,
            Some(Mark { fence, .. }) if fence.version == self.version => Standing::Withdrawn,
            Some(Mark { fence, .. }) if fence.created <= self.created => Standing::Older,
            Some(_) => Standing::Later,
        }
    }

    /// The comment with this version.
    pub(super) fn comment(&self, before: Option<&str>, state: State) -> String {
        let text = before.map(|comment| read(comment).0).unwrap_or_default();
        let space = if text.is_empty() { "" } else { " " };
        format!("{text}{space}{BEGINS}{} of {}{}]", self.version, self.created.as_millisecond(), state.word())
    }
}

/// The text of others, and our mark.
fn read(comment: &str) -> (&str, Option<Mark>) {
    let Some((text, mark)) = comment.rsplit_once(BEGINS) else { return (comment.trim_end(), None) };
    let mark = mark.strip_suffix(']').and_then(|mark| {
        let (state, mark) = State::ALL.into_iter().find_map(|state| Some((state, mark.strip_suffix(state.word())?)))?;
        let (version, millis) = mark.split_once(" of ")?;
        let created = Timestamp::from_millisecond(millis.parse().ok()?).ok()?;
        Some(Mark { fence: Fence { version: version.to_owned(), created }, state })
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
        let comment = one.comment(Some("of the shop"), State::InForce);
        assert_eq!(comment, "of the shop [rotated-secrets version one of 100000]");
        assert!(is_marked(Some(&comment)));
        assert_eq!(one.standing(Some(&comment)), Standing::This);
        assert_eq!(fence("two", 101).standing(Some(&comment)), Standing::Older);
        assert_eq!(fence("two", 100).standing(Some(&comment)), Standing::Older);
        assert_eq!(fence("zero", 99).standing(Some(&comment)), Standing::Later);
        let withdrawn = one.comment(Some(&comment), State::Withdrawn);
        assert_eq!(withdrawn, "of the shop [rotated-secrets version one of 100000 withdrawn]");
        assert_eq!(one.standing(Some(&withdrawn)), Standing::Withdrawn);
        assert_eq!(fence("two", 101).standing(Some(&withdrawn)), Standing::Older);
        assert!(fence("two", 101).comment(Some(&withdrawn), State::InForce).starts_with("of the shop [rotated-secrets version two"));
        let retired = one.comment(Some(&withdrawn), State::Retired);
        assert_eq!(retired, "of the shop [rotated-secrets version one of 100000 retired]");
        assert_eq!([comment, withdrawn, retired.clone()].map(|comment| may_be_locked(Some(&comment))), [false, true, true]);
        assert_eq!(one.standing(Some(&retired)), Standing::Withdrawn);
        assert_eq!(fence("zero", 99).standing(Some(&retired)), Standing::Later);
        assert_eq!(fence("two", 101).standing(Some(&retired)), Standing::Older);
        for (standing, admits) in
            [(Standing::Unmarked, true), (Standing::Older, true), (Standing::This, true), (Standing::Withdrawn, false)]
        {
            assert_eq!(standing.admits(), admits, "{standing:?}");
        }
        assert!(!Standing::Later.admits());
    }
}
