//! A short name for public data.

use sha2::{Digest as _, Sha256};

/// The first 16 hexadecimal digits of a SHA-256. Must not be used for values: the hash of a weak secret can be
/// searched.
pub fn short_hash(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().take(8).fold(String::with_capacity(16), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
