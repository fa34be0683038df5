//! Generators: from declared rules, random numbers and the time to a new value. Pure: no clock and no AWS.
//!
//! A key pair is one generation with several fields: the private key under the field's own name, the public parts under
//! companion fields. They are generated together. When the declaration changes, they are kept or regenerated together.

use jiff::Timestamp;
use rand::CryptoRng;

mod bytes;
mod made;
mod password;
mod ssh;
#[cfg(test)]
mod tests;
mod tls;

pub use bytes::{BytesError, BytesRules, Encoding};
pub use made::{Fields, Kept, Made, NotMade};
pub use password::{Advice, CharacterClass, GenerateError, PasswordRules};
pub use ssh::{SshAlgorithm, SshRules};
pub use tls::{TlsError, TlsRules};

/// Generator of one field and its companions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Generator {
    /// Random characters.
    Password(PasswordRules),
    /// A random UUID.
    Uuid,
    /// Random bytes in a text encoding.
    Bytes(BytesRules),
    /// An SSH key pair.
    SshKeyPair(SshRules),
    /// A TLS key, its certificate and the CA certificate.
    TlsKeyPair(TlsRules),
}

/// The reason why the rules of a generator are invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    #[error(transparent)]
    Password(#[from] GenerateError),
    #[error(transparent)]
    Bytes(#[from] BytesError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Default for Generator {
    fn default() -> Self {
        Self::Password(PasswordRules::default())
    }
}

impl Generator {
    /// Names of the companion fields.
    pub fn companions(&self) -> Vec<&str> {
        match self {
            Self::Password(_) | Self::Uuid | Self::Bytes(_) => Vec::new(),
            Self::SshKeyPair(rules) => vec![&rules.public_key_field],
            Self::TlsKeyPair(rules) => vec![&rules.certificate_field, &rules.ca_field],
        }
    }

    /// Name of the companion field that has the certificate.
    pub fn certificate_field(&self) -> Option<&str> {
        if let Self::TlsKeyPair(rules) = self { Some(&rules.certificate_field) } else { None }
    }

    /// Minimum number of bits of work needed to guess the generated value.
    pub fn entropy_bits(&self) -> f64 {
        match self {
            Self::Password(rules) => rules.entropy_bits(),
            // Version and variant are fixed: <https://www.rfc-editor.org/rfc/rfc9562#section-5.4>
            Self::Uuid => 122.0,
            Self::Bytes(rules) => rules.entropy_bits(),
            // Security strength of both curves: <https://doi.org/10.6028/NIST.SP.800-57pt1r5>, table 2.
            Self::SshKeyPair(_) | Self::TlsKeyPair(_) => 128.0,
        }
    }

    /// Whether the rules are valid and strong enough.
    pub fn validate(&self) -> Result<(), RulesError> {
        match self {
            Self::Password(rules) => Ok(rules.validate()?),
            Self::Bytes(rules) => Ok(rules.validate()?),
            Self::TlsKeyPair(rules) => Ok(rules.validate()?),
            Self::Uuid | Self::SshKeyPair(_) => Ok(()),
        }
    }

    /// Generates a new value. `now` is the start of a certificate's validity.
    pub fn generate(&self, rng: &mut (impl CryptoRng + ?Sized), now: Timestamp) -> Result<Made, NotMade> {
        match self {
            Self::Password(rules) => Ok(rules.generate(rng).into()),
            Self::Uuid => Ok(bytes::uuid(rng).into()),
            Self::Bytes(rules) => Ok(rules.generate(rng).into()),
            Self::SshKeyPair(rules) => rules.generate(rng),
            Self::TlsKeyPair(rules) => rules.generate(rng, now),
        }
    }

    /// What a changed declaration keeps of the value under `name` in `object`.
    pub fn keep(&self, name: &str, object: &dyn Fields) -> Kept {
        if !object.has(name) {
            return Kept::Nothing;
        }
        match self {
            Self::Password(_) | Self::Uuid | Self::Bytes(_) => Kept::Whole,
            Self::SshKeyPair(rules) => rules.keep(name, object),
            Self::TlsKeyPair(rules) => rules.keep(name, object),
        }
    }
}
