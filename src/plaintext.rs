//! The type of secret values. The value can only be exposed explicitly, which is easy to search for. There is no
//! `Debug`, `Display`, `Serialize`, `Clone` or ordering, so that a log line, an error or a status that contains a value
//! does not compile.

use zeroize::Zeroizing;

/// A secret value. Zeroized when dropped.
pub struct Plaintext(Zeroizing<String>);

impl Plaintext {
    /// The value itself. The caller is responsible for where the bytes go.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the value is empty, which AWS rejects.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Plaintext {
    fn from(value: String) -> Self {
        Self(Zeroizing::new(value))
    }
}

/// The mirrored bytes of one key. As [`Plaintext`], but not necessarily UTF-8.
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

#[cfg(test)]
mod tests {
    use std::fmt::{Debug, Display};

    use super::*;

    /// Does not compile if the type implements the trait, because both impls below would apply then.
    macro_rules! does_not_implement {
        ($type:ty: $($trait:path),+) => {$({
            trait Ambiguous<Of> {
                fn chosen() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            #[allow(dead_code, reason = "only for the compiler")]
            struct Implemented;
            impl<T: ?Sized + $trait> Ambiguous<Implemented> for T {}
            <$type as Ambiguous<_>>::chosen();
        })+};
    }

    #[test]
    fn a_value_can_be_neither_shown_nor_copied_nor_compared() {
        does_not_implement!(Plaintext: Debug, Display, Clone, Copy, Default, PartialEq, PartialOrd, serde::Serialize, ToString, AsRef<str>);
        does_not_implement!(SecretBytes: Debug, Display, Clone, Copy, Default, PartialEq, PartialOrd, serde::Serialize, AsRef<[u8]>);
    }
}
