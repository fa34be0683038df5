//! The server: which password each user has, and the mark that keeps an older version out.

use jiff::Timestamp;
use rotated_secrets::api::{ABANDONED_LABEL, AWSPREVIOUS};
use rotated_secrets::version_id::VersionId;

use crate::aws::{Password, Secret};
use crate::machine::{Missing, Users};

/// The users that take turns; one user is the first.
pub(crate) const USERS: usize = 2;

/// The version that a user has or is not to have, as the comment of its role says it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Mark {
    version: VersionId,
    created: Timestamp,
    withdrawn: bool,
}

/// The server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    /// The password that each user has.
    pub(crate) accepted: [Option<Password>; USERS],
    marks: [Option<Mark>; USERS],
}

/// What a step at the server comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Refused,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self { accepted: [Some(0), None], marks: [None, None] }
    }

    /// Whether the password of this version logs in as its user.
    pub(crate) fn accepts(&self, aws: &Secret, version: &VersionId) -> bool {
        aws.versions.get(version).is_some_and(|found| self.accepted[found.user] == Some(found.password))
    }

    fn accepts_one(&self, aws: &Secret, versions: &[Option<&VersionId>]) -> bool {
        versions.iter().flatten().any(|version| self.accepts(aws, version))
    }

    /// Logs in with a password that the operator knows, and sets the new one. Of two users, the administrator does that, if the
    /// current password logs in, and no later or withdrawn version is marked.
    pub(crate) fn apply(&mut self, users: Users, aws: &Secret, version: &VersionId, from: &VersionId, missing: Option<Missing>) -> Answer {
        let Some(new) = aws.versions.get(version) else { return Answer::Refused };
        if self.accepts(aws, version) {
            return Answer::Done;
        }
        let admitted = match users {
            Users::One => self.accepts_one(aws, &[Some(from), aws.labelled(AWSPREVIOUS), aws.labelled(ABANDONED_LABEL)]),
            Users::Two => self.accepts(aws, from) && (missing == Some(Missing::Mark) || self.admits(new.user, version, new.created)),
        };
        if !admitted {
            return Answer::Refused;
        }
        self.accepted[new.user] = Some(new.password);
        if users == Users::Two {
            self.marks[new.user] = Some(Mark { version: version.clone(), created: new.created, withdrawn: false });
        }
        Answer::Done
    }

    /// Whether the user may get the version.
    fn admits(&self, user: usize, version: &VersionId, created: Timestamp) -> bool {
        let mark = self.marks[user].as_ref();
        mark.is_none_or(|mark| if mark.version == *version { !mark.withdrawn } else { mark.created <= created })
    }

    /// Sets the current password back. Of two users, the one that the staged version is for loses it, and may not get it again.
    pub(crate) fn undo(&mut self, users: Users, aws: &Secret, version: &VersionId, current: &VersionId) -> Answer {
        let (Some(staged), Some(now)) = (aws.versions.get(version), aws.versions.get(current)) else { return Answer::Refused };
        let same_user = staged.user == now.user;
        let known = [Some(version).filter(|_| same_user), Some(current), aws.labelled(AWSPREVIOUS)];
        if !self.accepts_one(aws, &known) {
            return Answer::Refused;
        }
        if users == Users::One {
            self.accepted[now.user] = Some(now.password);
            return Answer::Done;
        }
        let is_marked = self.marks[staged.user].as_ref().is_some_and(|mark| mark.version == *version && !mark.withdrawn);
        if self.admits(staged.user, version, staged.created) {
            self.marks[staged.user] = Some(Mark { version: version.clone(), created: staged.created, withdrawn: true });
            if is_marked {
                self.accepted[staged.user] = Some(now.password).filter(|_| same_user);
            }
        }
        if same_user && !self.accepts(aws, current) { Answer::Refused } else { Answer::Done }
    }
}
