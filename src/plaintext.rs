//! The one type that a secret value lives in. It can be exposed, which is easy to find by name, and nothing else: no `Debug`, `Display`,
//! `Serialize`, `Clone` or ordering, so that a log line, an error or a status with a value in it does not compile.

use zeroize::Zeroizing;

/// A secret value. Wiped from memory when dropped.
pub struct Plaintext(Zeroizing<String>);

impl Plaintext {
    /// The value itself. Whoever calls this answers for where the bytes go.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes at all (which AWS refuses as a value).
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Plaintext {
    fn from(value: String) -> Self {
        Self(Zeroizing::new(value))
    }
}

/// The mirrored bytes of one key. As [`Plaintext`], but any bytes.
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(value: Vec<u8>) -> Self {
        Self(Zeroizing::new(value))
    }
}
