//! Location of the AWS secret: its region and its name. The spec or the operator's flags set them. A flag can change, and
//! so can an immutable field of the spec if a client gets around the API server's validation, but the AWS secret of an
//! object cannot move. What an object has recorded therefore comes first, if the ownership tags of the AWS secret there
//! confirm it.

use jiff::Timestamp;
use kube::ResourceExt;

use super::arn::{SecretArn, is_aws_name, is_default_name, is_region};
use super::{Desired, Policy, Refusal};
use crate::api::{PlaceStatus, RotatedSecret};

/// A location that was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedPlace {
    /// AWS region.
    pub region: String,
    /// Name of the AWS secret.
    pub name: String,
    /// The ARN of the secret there, if it is known.
    pub arn: Option<String>,
    /// Where it was recorded.
    pub by: RecordedIn,
}

/// Where a location was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordedIn {
    /// In the status, which only the operator and administrators write.
    Status,
    /// On the mirrored Secret. Anyone who may write Secrets in the namespace can write it.
    Secret,
    /// In the status at this time, before the AWS secret was created, restored or adopted there.
    Attempt(Timestamp),
}

/// Why the recorded location is not the one of today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elsewhere {
    /// A flag of the operator has changed.
    ByFlags,
    /// An immutable field of the spec has changed.
    BySpec,
}

impl RecordedPlace {
    /// The location that an ARN names.
    pub fn of_arn(arn: SecretArn, by: RecordedIn) -> Self {
        Self { region: arn.region, name: arn.name, arn: Some(arn.text), by }
    }

    /// The location in the status; `None` if there can be no such location.
    pub fn of_attempt(place: &PlaceStatus) -> Option<Self> {
        let possible = is_region(&place.region) && is_aws_name(&place.secret_name);
        let by = RecordedIn::Attempt(place.time.0);
        possible.then(|| Self { region: place.region.clone(), name: place.secret_name.clone(), arn: None, by })
    }

    /// For messages.
    pub fn text(&self) -> String {
        self.arn.clone().unwrap_or_else(|| format!("{} in {}", self.name, self.region))
    }
}

impl Desired {
    /// Whether the AWS secret of this desired state is at that location.
    pub fn is_at(&self, region: &str, name: &str) -> bool {
        self.region == region && self.secret_name == name
    }

    /// Whether `recorded` is at another location than this desired state, and why.
    pub fn elsewhere(&self, object: &RotatedSecret, recorded: &RecordedPlace) -> Option<Elsewhere> {
        let aws = &object.spec.aws;
        let contradicts = aws.region.as_ref().is_some_and(|region| *region != recorded.region)
            || aws.secret_name.as_ref().is_some_and(|name| *name != recorded.name)
            || (aws.secret_name.is_none() && !self.is_default_name(&recorded.name) && self.secret_name != recorded.name);
        match (self.is_at(&recorded.region, &recorded.name), contradicts) {
            (true, _) => None,
            (false, false) => Some(Elsewhere::ByFlags),
            // Nothing is created for an object that only mirrors, and its spec may name any secret that its namespace may read.
            (false, true) => self.value.is_some().then_some(Elsewhere::BySpec),
        }
    }

    fn is_default_name(&self, name: &str) -> bool {
        is_default_name(name, &self.namespace, &self.name)
    }

    /// Desired state of the object with its AWS secret at `recorded`. Needed if [`Desired::elsewhere`] is.
    ///
    /// # Errors
    /// If that location cannot belong to this object, or is no longer allowed.
    pub fn parse_at(object: &RotatedSecret, policy: &Policy, recorded: &RecordedPlace, why: Elsewhere) -> Result<Self, Refusal> {
        match why {
            Elsewhere::ByFlags => Self::parse_in(object, policy, Some(recorded)),
            Elsewhere::BySpec => {
                let mut before = object.clone();
                before.spec.aws.region = Some(recorded.region.clone());
                let default = is_default_name(&recorded.name, &object.namespace().unwrap_or_default(), &object.name_any());
                before.spec.aws.secret_name = (!default).then(|| recorded.name.clone());
                Self::parse_in(&before, policy, Some(recorded))
            }
        }
    }
}

#[cfg(test)]
mod tests;
