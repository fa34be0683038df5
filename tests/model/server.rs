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
    users: Users,
    /// The password that each user has. One user with two passwords: the primary and the secondary one.
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
    pub(crate) fn new(users: Users) -> Self {
        Self { users, accepted: [Some(0), None], marks: [None, None] }
    }

    /// Whether the password of this version logs in as its user.
    pub(crate) fn accepts(&self, aws: &Secret, version: &VersionId) -> bool {
        aws.versions.get(version).is_some_and(|found| match self.users {
            Users::Dual => self.has(found.password),
            Users::One | Users::Two => self.accepted[found.user] == Some(found.password),
        })
    }

    fn has(&self, password: Password) -> bool {
        self.accepted.contains(&Some(password))
    }

    fn accepts_one(&self, aws: &Secret, versions: &[Option<&VersionId>]) -> bool {
        versions.iter().flatten().any(|version| self.accepts(aws, version))
    }

    /// Logs in with a password that the operator knows, and sets the new one. Of two users, the administrator does that, if the
    /// current password logs in, and no later or withdrawn version is marked.
    pub(crate) fn apply(&mut self, aws: &Secret, version: &VersionId, from: &VersionId, missing: Option<Missing>) -> Answer {
        let Some(new) = aws.versions.get(version) else { return Answer::Refused };
        let admitted = match self.users {
            Users::Dual => return self.make_primary(aws, version, from, missing),
            _ if self.accepts(aws, version) => return Answer::Done,
            Users::One => self.accepts_one(aws, &[Some(from), aws.labelled(AWSPREVIOUS), aws.labelled(ABANDONED_LABEL)]),
            Users::Two => self.accepts(aws, from) && (missing == Some(Missing::Mark) || self.admits(new.user, version, new.created)),
        };
        if !admitted {
            return Answer::Refused;
        }
        self.accepted[new.user] = Some(new.password);
        if self.users == Users::Two {
            self.marks[new.user] = Some(Mark { version: version.clone(), created: new.created, withdrawn: false });
        }
        Answer::Done
    }

    /// Whether the user may get the version.
    fn admits(&self, user: usize, version: &VersionId, created: Timestamp) -> bool {
        let mark = self.marks[user].as_ref();
        mark.is_none_or(|mark| if mark.version == *version { !mark.withdrawn } else { mark.created <= created })
    }

    /// Makes a password the primary one, if `from` is that. The secondary one stays, or the primary one becomes it.
    fn replace(&mut self, from: Password, to: Password, retain: bool, missing: Option<Missing>) -> bool {
        let [primary, secondary] = &mut self.accepted;
        if *primary != Some(from) && missing != Some(Missing::Replace) {
            return false;
        }
        if retain {
            *secondary = *primary;
        }
        *primary = Some(to);
        true
    }

    /// The passwords of the current version and of the one that was abandoned last, or else was current before.
    fn older(aws: &Secret, version: &VersionId, current: &VersionId) -> (Option<Password>, Option<Password>) {
        let password = |version: &VersionId| aws.versions.get(version).map(|version| version.password);
        let previous = aws.labelled(ABANDONED_LABEL).or_else(|| aws.labelled(AWSPREVIOUS));
        (password(current), previous.filter(|previous| ![version, current].contains(previous)).and_then(password))
    }

    /// One user with two passwords: the new one becomes the primary one, and the current one the secondary one.
    fn make_primary(&mut self, aws: &Secret, version: &VersionId, from: &VersionId, missing: Option<Missing>) -> Answer {
        let (Some(current), previous) = Self::older(aws, version, from) else { return Answer::Refused };
        let new = aws.versions[version].password;
        if self.has(new) {
            self.replace(current, new, true, missing);
            return Answer::Done;
        }
        let Some(login) = [Some(current), previous].into_iter().flatten().find(|password| self.has(*password)) else {
            return Answer::Refused;
        };
        let restores = previous.filter(|_| login == current);
        let done = self.replace(login, new, true, missing)
            || restores.is_some_and(|previous| self.replace(previous, current, false, missing))
                && self.replace(current, new, true, missing);
        if done { Answer::Done } else { Answer::Refused }
    }

    /// Sets the current password back. Of two users, the one that the staged version is for loses it, and may not get it again.
    pub(crate) fn undo(&mut self, aws: &Secret, version: &VersionId, current: &VersionId) -> Answer {
        let (Some(staged), Some(now)) = (aws.versions.get(version), aws.versions.get(current)) else { return Answer::Refused };
        if self.users == Users::Dual {
            return self.withdraw(aws, version, current);
        }
        let same_user = staged.user == now.user;
        let known = [Some(version).filter(|_| same_user), Some(current), aws.labelled(AWSPREVIOUS).filter(|previous| *previous != version)];
        if !self.accepts_one(aws, &known) {
            return Answer::Refused;
        }
        if self.users == Users::One {
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

    /// One user with two passwords: the current one becomes the primary one.
    fn withdraw(&mut self, aws: &Secret, version: &VersionId, current: &VersionId) -> Answer {
        let (Some(kept), _) = Self::older(aws, version, current) else { return Answer::Refused };
        let previous = aws.labelled(AWSPREVIOUS).filter(|previous| ![version, current].contains(previous));
        let previous = previous.and_then(|previous| aws.versions.get(previous)).map(|previous| previous.password);
        let staged = aws.versions[version].password;
        let Some(login) = [Some(staged), Some(kept), previous].into_iter().flatten().find(|password| self.has(*password)) else {
            return Answer::Refused;
        };
        if !self.replace(login, kept, false, None) {
            let restores = previous.filter(|_| login == kept);
            if !self.replace(kept, kept, false, None) && !restores.is_some_and(|previous| self.replace(previous, kept, false, None)) {
                return Answer::Refused;
            }
            self.accepted[1] = None;
        }
        if self.has(kept) && (staged == kept || !self.has(staged)) { Answer::Done } else { Answer::Refused }
    }
}
