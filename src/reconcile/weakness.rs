//! Mechanisms that a test takes away to show that the crash plans notice. Never compiled into a release.

#[cfg(feature = "weakened")]
use crate::aws::Version;
use crate::plaintext::Plaintext;
use crate::step::Step;

/// A mechanism to take away.
#[cfg(feature = "weakened")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakness {
    /// The id of a version does not follow from its cause.
    RandomVersions,
    /// The mirror gets the value that was made here, not the one that AWS holds.
    NoReadBack,
}

/// The weaknesses of one reconcile. Without the feature, every function returns what it gets.
#[derive(Default)]
pub(super) struct Weaknesses {
    #[cfg(feature = "weakened")]
    weakness: Option<Weakness>,
    #[cfg(feature = "weakened")]
    in_memory: Option<crate::value::Payload>,
}

#[cfg(not(feature = "weakened"))]
#[expect(clippy::unused_self, reason = "the feature uses it")]
impl Weaknesses {
    pub(super) fn step(&self, step: Step) -> Step {
        step
    }

    pub(super) fn composed(&mut self, _: &Plaintext) {}

    pub(super) fn read(&mut self, read: crate::aws::Version) -> crate::aws::Version {
        read
    }
}

#[cfg(feature = "weakened")]
impl Weaknesses {
    pub(super) fn of(weakness: Option<Weakness>) -> Self {
        Self { weakness, in_memory: None }
    }

    pub(super) fn step(&self, step: Step) -> Step {
        match (self.weakness, step) {
            (Some(Weakness::RandomVersions), Step::Put { source, predecessor, cause, stage, label, .. }) => {
                let version = uuid::Uuid::new_v4().to_string().into();
                Step::Put { version, source, predecessor, cause, stage, label }
            }
            (_, step) => step,
        }
    }

    pub(super) fn composed(&mut self, value: &Plaintext) {
        self.in_memory = Some(crate::value::Payload::Text(Plaintext::from(value.expose().to_owned())));
    }

    pub(super) fn read(&mut self, read: Version) -> Version {
        match self.in_memory.take() {
            Some(value) if self.weakness == Some(Weakness::NoReadBack) => Version { value, ..read },
            _ => read,
        }
    }
}
