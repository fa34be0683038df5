//! The state of the modelled world.

use std::fmt::{self, Debug};
use std::hash::{Hash, Hasher};

use jiff::Timestamp;
use rotated_secrets::api::RotatedSecretStatus;
use rotated_secrets::journal::Journal;
use rotated_secrets::step::Step;
use rotated_secrets::version_id::VersionId;

use crate::aws::{Password, Secret};

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// The operator stops, and a new process goes on.
    pub(crate) crashes: u8,
    /// AWS answers with the state of up to two minutes ago.
    pub(crate) old_reads: u8,
    /// Another client puts a value, or moves `AWSCURRENT` to the previous version.
    pub(crate) others: u8,
    /// A person requests a rotation.
    pub(crate) requests: u8,
    /// A new password does not work.
    pub(crate) broken: u8,
    /// Hours pass.
    pub(crate) waits: u8,
}

/// A value that is compared and hashed by its `Debug` text.
#[derive(Clone)]
pub(crate) struct Shown<T> {
    pub(crate) value: T,
    text: String,
}

impl<T: Debug> Shown<T> {
    pub(crate) fn new(value: T) -> Self {
        let text = format!("{value:?}");
        Self { value, text }
    }
}

impl<T> PartialEq for Shown<T> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<T> Eq for Shown<T> {}

impl<T> Hash for Shown<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl<T> Debug for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The Secret that pods mount.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Mirror {
    pub(crate) version: VersionId,
    pub(crate) written: Timestamp,
    pub(crate) changed: Timestamp,
}

/// What a process has done in this reconcile, and what it does next.
#[derive(Debug, Clone)]
pub(crate) struct Reconcile {
    pub(crate) journal: Journal,
    pub(crate) next: Option<Step>,
    /// A read of this reconcile was old.
    pub(crate) old: bool,
}

/// The world.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) aws: Secret,
    /// What an old read shows.
    pub(crate) earlier: Secret,
    /// The password that the server accepts.
    pub(crate) server: Password,
    pub(crate) mirror: Option<Mirror>,
    pub(crate) finalizer: bool,
    pub(crate) request: u8,
    pub(crate) status: Shown<RotatedSecretStatus>,
    pub(crate) reconcile: Option<Shown<Reconcile>>,
    /// When this process met the record of a version, or last tried to stage it.
    pub(crate) met: Option<(VersionId, Timestamp)>,
    /// A version whose password does not work in the server.
    pub(crate) broken: Option<VersionId>,
    /// The version that another client chose while one was on its way.
    pub(crate) chosen: Option<VersionId>,
    /// Another client changed AWS while nothing was on its way: the server does not have that value.
    pub(crate) aside: bool,
    /// Nothing is left to do, and nothing happened since hours passed.
    pub(crate) at_rest: bool,
    /// Hours have passed since anything but the operator acted.
    pub(crate) calm: bool,
    pub(crate) left: Budget,
    pub(crate) passwords: Password,
}
