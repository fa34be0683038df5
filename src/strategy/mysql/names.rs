//! The names of two users that take turns, and what is derived from them.

use aws_lc_rs::digest::{SHA256, digest};

use super::accounts::Account;
use crate::strategy::fence::text_of_others;

/// The names of the two users.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) base: &'a str,
    pub(super) twin: &'a str,
}

impl Names<'_> {
    /// What stands before each mark of this pair: a mark alone could be that of another one.
    pub(super) fn tag(self) -> String {
        hex::encode(self.digest().get(..4).unwrap_or_default())
    }

    /// What MariaDB has in place of a hash if there is no password: no password is known that has this hash, and an account
    /// that has it is ours.
    pub(super) fn no_password(self) -> String {
        format!("*{}", hex::encode_upper(self.digest().get(4..24).unwrap_or_default()))
    }

    /// Of a lock that each pair with this base user takes.
    pub(super) fn lock(self) -> String {
        format!("rotated-secrets {}", hex::encode(digest(&SHA256, self.base.as_bytes()).as_ref().get(..16).unwrap_or_default()))
    }

    fn digest(self) -> Vec<u8> {
        digest(&SHA256, format!("rotated-secrets\0{}\0{}", self.base, self.twin).as_bytes()).as_ref().to_vec()
    }

    /// Whether the operator made this account for the base user.
    pub(super) fn made(self, twin: &Account) -> bool {
        twin.marks.iter().any(|mark| text_of_others(mark) == self.tag()) || twin.stored == self.no_password().as_bytes()
    }
}
