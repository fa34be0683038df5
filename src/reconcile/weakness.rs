//! Mechanisms that a test takes away to show that the crash plans notice. Never compiled into a release.

use std::borrow::Cow;

use crate::api::RotatedSecret;
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
    /// Text between two braces is a program, as in a template engine.
    Templates,
    /// AWS is called before it is decided whether the name may be used.
    ReadsFirst,
    /// The Secret is looked for in this namespace, not in the object's.
    SecretsOf(&'static str),
    /// A staged version becomes current without a login.
    Unverified,
    /// A version is abandoned in AWS only.
    LeavesTarget,
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

    pub(super) fn reads_first(&self) -> bool {
        false
    }

    pub(super) fn verifies(&self) -> bool {
        true
    }

    pub(super) fn undoes(&self) -> bool {
        true
    }

    pub(super) fn owner<'a>(&self, object: &'a RotatedSecret) -> Cow<'a, RotatedSecret> {
        Cow::Borrowed(object)
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
            _ if self.weakness == Some(Weakness::Templates) => Version { value: evaluated(&read.value), ..read },
            _ => read,
        }
    }

    pub(super) fn reads_first(&self) -> bool {
        self.weakness == Some(Weakness::ReadsFirst)
    }

    pub(super) fn verifies(&self) -> bool {
        self.weakness != Some(Weakness::Unverified)
    }

    pub(super) fn undoes(&self) -> bool {
        self.weakness != Some(Weakness::LeavesTarget)
    }

    pub(super) fn owner<'a>(&self, object: &'a RotatedSecret) -> Cow<'a, RotatedSecret> {
        let Some(Weakness::SecretsOf(namespace)) = self.weakness else { return Cow::Borrowed(object) };
        let mut elsewhere = object.clone();
        elsewhere.metadata.namespace = Some(namespace.to_owned());
        Cow::Owned(elsewhere)
    }
}

/// What a template engine would make of the value: its programs are gone.
#[cfg(feature = "weakened")]
fn evaluated(value: &crate::value::Payload) -> crate::value::Payload {
    let crate::value::Payload::Text(text) = value else { return crate::value::Payload::Text(Plaintext::from(String::new())) };
    let (mut evaluated, mut rest) = (String::new(), text.expose());
    while let Some((before, program)) = rest.split_once("{{") {
        evaluated.push_str(before);
        rest = program.split_once("}}").map_or("", |(_, after)| after);
    }
    evaluated.push_str(rest);
    crate::value::Payload::Text(Plaintext::from(evaluated))
}
