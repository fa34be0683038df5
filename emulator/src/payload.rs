//! A secret value in the emulator: it can be read, and does not print.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The immutable value of a version. Its `Debug` form holds neither the value nor its length.
#[derive(Clone, PartialEq, Eq)]
pub enum Payload {
    /// A `SecretString`.
    String(Arc<str>),
    /// A `SecretBinary`.
    Binary(Arc<[u8]>),
}

impl Payload {
    /// The text of a `SecretString`; a `SecretBinary` has none.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// The bytes of either kind.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::String(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// The member of an answer that carries it, and its form on the wire.
    pub(crate) fn render(&self) -> (&'static str, String) {
        match self {
            Self::String(text) => ("SecretString", text.to_string()),
            Self::Binary(bytes) => ("SecretBinary", STANDARD.encode(bytes)),
        }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Payload(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_prints_nothing_of_itself() {
        let printed = format!("{:?}", Payload::String("hunter2".into()));
        assert_eq!(printed, "Payload(redacted)");
    }
}
