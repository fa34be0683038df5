//! The state of the modelled world.

use std::fmt::{self, Debug};
use std::hash::{Hash, Hasher};

use jiff::Timestamp;
use rotated_secrets::api::RotatedSecretStatus;
use rotated_secrets::facts::SecretLeft;
use rotated_secrets::journal::Journal;
use rotated_secrets::step::Step;
use rotated_secrets::version_id::VersionId;

use crate::aws::{Password, Secret};
use crate::server::Server;

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
    /// A person requests the previous value.
    pub(crate) rollbacks: u8,
    /// A new password does not work.
    pub(crate) broken: u8,
    /// Hours pass.
    pub(crate) waits: u8,
    /// Another process becomes the leader, and the one before goes on with its reconcile.
    pub(crate) replicas: u8,
    /// A process is stopped between the answer of AWS that shows the labels and the call of the server.
    pub(crate) stops: u8,
    /// A person deletes the object.
    pub(crate) deletions: u8,
}

/// A process of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// The leader.
    Leader,
    /// The leader before, which ends with its reconcile.
    Late,
}

/// What a process of the operator has in memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Process {
    pub(crate) reconcile: Option<Shown<Reconcile>>,
    /// When it met the record of a version, or last tried to stage it.
    pub(crate) met: Option<(VersionId, Timestamp)>,
}

/// The object as a process read it, if it changed since then.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) status: RotatedSecretStatus,
    pub(crate) asked: Asked,
}

/// How often a person has requested something: the tokens of the annotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Asked {
    /// A rotation.
    pub(crate) rotation: u8,
    /// The previous value.
    pub(crate) rollback: u8,
    /// That the object is deleted, at this time.
    pub(crate) deletion: Option<Timestamp>,
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
    pub(crate) revision: u8,
}

/// What a process has done in this reconcile, and what it does next.
#[derive(Debug, Clone)]
pub(crate) struct Reconcile {
    pub(crate) journal: Journal,
    pub(crate) next: Option<Step>,
    /// A read of this reconcile was old.
    pub(crate) old: bool,
    /// The revision of the mirror that it read last.
    pub(crate) mirror: Option<u8>,
    /// The object that it read, if that one is no longer in the API server.
    pub(crate) before: Option<Read>,
    /// What it found of an object that is being deleted.
    pub(crate) left: Option<SecretLeft>,
}

/// The world.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) aws: Secret,
    /// What an old read shows.
    pub(crate) earlier: Secret,
    pub(crate) server: Server,
    pub(crate) mirror: Option<Mirror>,
    pub(crate) finalizer: bool,
    pub(crate) asked: Asked,
    pub(crate) status: Shown<RotatedSecretStatus>,
    pub(crate) leader: Process,
    pub(crate) late: Option<Process>,
    /// A version whose password does not work in the server.
    pub(crate) broken: Option<VersionId>,
    /// The version that another client chose while one was on its way.
    pub(crate) chosen: Option<VersionId>,
    /// A process that was stopped may have made the server accept a version that was no longer staged.
    pub(crate) applied_late: bool,
    /// Another client changed AWS while nothing was on its way: the server does not have that value.
    pub(crate) aside: bool,
    /// The object is gone; inside, whether a staged version was left.
    pub(crate) gone: Option<bool>,
    /// Nothing is left to do, and nothing happened since hours passed.
    pub(crate) at_rest: bool,
    /// Hours have passed since anything but the operator acted.
    pub(crate) calm: bool,
    pub(crate) left: Budget,
    pub(crate) passwords: Password,
}

impl World {
    /// This process; a late one that has ended has nothing in memory.
    pub(crate) fn process(&mut self, who: Who) -> &mut Process {
        match who {
            Who::Leader => &mut self.leader,
            Who::Late => self.late.get_or_insert_default(),
        }
    }

    /// The step that a process does next.
    pub(crate) fn next_step(&self, who: Who) -> Option<&Step> {
        let process = match who {
            Who::Leader => Some(&self.leader),
            Who::Late => self.late.as_ref(),
        };
        process.and_then(|process| process.reconcile.as_ref()?.value.next.as_ref())
    }

    /// The object is about to change: processes that have read it go on with what they read.
    pub(crate) fn object_changes(&mut self) {
        let read = Read { status: self.status.value.clone(), asked: self.asked };
        for reconcile in [Some(&mut self.leader), self.late.as_mut()].into_iter().flatten().filter_map(|process| process.reconcile.as_mut())
        {
            if reconcile.value.before.is_none() {
                *reconcile = Shown::new(Reconcile { before: Some(read.clone()), ..reconcile.value.clone() });
            }
        }
    }
}
