//! Random bytes in a text encoding, and random UUIDs.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::plaintext::Plaintext;

/// Equal to the maximum length of a password, before encoding.
const LONGEST: u32 = 4096;
/// 64 bits, as for passwords.
const SHORTEST: u32 = 8;

/// Number and encoding of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BytesRules {
    /// Number of random bytes, 8 to 4096. The encoded text is longer.
    pub length: u32,
    pub encoding: Encoding,
}

/// Text encoding of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// Two lowercase hexadecimal digits per byte.
    #[default]
    Hex,
    /// RFC 4648, section 4, with padding.
    Base64,
    /// RFC 4648, section 5, without padding: needs no escaping in a URL, a cookie or a file name.
    Base64Url,
}

/// The reason why the rules are invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BytesError {
    /// Too many bytes.
    #[error("{0} bytes are too many; set length to a number from {SHORTEST} to {LONGEST}")]
    TooLong(u32),
    /// Too few bits of entropy.
    #[error("the bytes would have {bits} bits of entropy, less than 64; set length to {SHORTEST} or more")]
    TooWeak {
        /// Bits of entropy with these rules.
        bits: u32,
    },
}

impl Default for BytesRules {
    fn default() -> Self {
        Self { length: 32, encoding: Encoding::Hex }
    }
}

impl BytesRules {
    /// Whether the rules are valid and strong enough.
    pub fn validate(&self) -> Result<(), BytesError> {
        if self.length > LONGEST {
            return Err(BytesError::TooLong(self.length));
        }
        if self.length < SHORTEST {
            return Err(BytesError::TooWeak { bits: self.length.saturating_mul(8) });
        }
        Ok(())
    }

    /// Bits of entropy of the bytes.
    pub fn entropy_bits(&self) -> f64 {
        f64::from(self.length) * 8.0
    }

    /// Generates the bytes; each bit is uniform. Only for rules that [`BytesRules::validate`] accepts.
    pub fn generate(&self, rng: &mut (impl CryptoRng + ?Sized)) -> Plaintext {
        let mut drawn = Zeroizing::new(vec![0; usize::try_from(self.length.min(LONGEST)).unwrap_or_default()]);
        rng.fill_bytes(&mut drawn);
        // Each encoder allocates its text once at full size, so that no partial copy remains in memory.
        Plaintext::from(match self.encoding {
            Encoding::Hex => hex::encode(&*drawn),
            Encoding::Base64 => STANDARD.encode(&*drawn),
            Encoding::Base64Url => URL_SAFE_NO_PAD.encode(&*drawn),
        })
    }
}

/// A random UUID (version 4) in lowercase.
pub(super) fn uuid(rng: &mut (impl CryptoRng + ?Sized)) -> Plaintext {
    let mut drawn = Zeroizing::new([0; 16]);
    rng.fill_bytes(&mut *drawn);
    Plaintext::from(uuid::Builder::from_random_bytes(*drawn).into_uuid().hyphenated().to_string())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn rng() -> StdRng {
        StdRng::seed_from_u64(42)
    }

    #[test]
    fn bytes_come_back_from_their_encoding_in_the_number_that_was_asked_for() {
        let mut rng = rng();
        for length in [8, 9, 10, 32, 33, 4096] {
            for encoding in [Encoding::Hex, Encoding::Base64, Encoding::Base64Url] {
                let rules = BytesRules { length, encoding };
                assert_eq!(rules.validate(), Ok(()));
                let text = rules.generate(&mut rng);
                let text = text.expose();
                let bytes = match encoding {
                    Encoding::Hex => hex::decode(text).unwrap(),
                    Encoding::Base64 => STANDARD.decode(text).unwrap(),
                    Encoding::Base64Url => URL_SAFE_NO_PAD.decode(text).unwrap(),
                };
                assert_eq!(bytes.len(), usize::try_from(length).unwrap(), "{rules:?}");
                let allowed = |c: char| match encoding {
                    Encoding::Hex => c.is_ascii_digit() || ('a'..='f').contains(&c),
                    Encoding::Base64 => c.is_ascii_alphanumeric() || "+/=".contains(c),
                    Encoding::Base64Url => c.is_ascii_alphanumeric() || "-_".contains(c),
                };
                assert!(text.chars().all(allowed), "{text}");
            }
        }
    }

    #[test]
    fn base64_is_padded_and_base64url_is_not() {
        let of = |encoding| BytesRules { length: 32, encoding }.generate(&mut rng()).expose().to_owned();
        assert_eq!(of(Encoding::Base64).len(), 44);
        assert!(of(Encoding::Base64).ends_with('='));
        assert_eq!(of(Encoding::Base64Url).len(), 43);
        assert_eq!(of(Encoding::Hex).len(), 64);
    }

    #[test]
    fn bytes_that_could_be_found_by_trying_and_too_many_of_them_are_refused() {
        let of = |length| BytesRules { length, ..BytesRules::default() }.validate();
        assert_eq!(of(0), Err(BytesError::TooWeak { bits: 0 }));
        assert_eq!(of(7), Err(BytesError::TooWeak { bits: 56 }));
        assert_eq!(of(8), Ok(()));
        assert_eq!(of(4096), Ok(()));
        assert_eq!(of(4097), Err(BytesError::TooLong(4097)));
        assert!(BytesRules { length: u32::MAX, encoding: Encoding::Hex }.generate(&mut rng()).len() <= 8192);
    }

    #[test]
    fn every_value_of_a_byte_is_as_likely_as_every_other() {
        let mut rng = rng();
        let mut counts = [0_u32; 256];
        for _ in 0..100 {
            let text = BytesRules { length: 4096, encoding: Encoding::Hex }.generate(&mut rng);
            for byte in hex::decode(text.expose()).unwrap() {
                counts[usize::from(byte)] += 1;
            }
        }
        let expected = f64::from(counts.iter().sum::<u32>()) / 256.0;
        let chi_square: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        // 255 degrees of freedom: more than 347 happens once in 10,000 seeds.
        assert!(chi_square < 347.0, "{chi_square}");
    }

    #[test]
    fn a_uuid_is_random_of_version_four_and_in_small_letters() {
        let mut rng = rng();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let text = uuid(&mut rng).expose().to_owned();
            let parsed = uuid::Uuid::parse_str(&text).unwrap();
            assert_eq!((parsed.get_version_num(), parsed.get_variant()), (4, uuid::Variant::RFC4122));
            assert_eq!((text.len(), text.to_lowercase()), (36, text.clone()));
            assert!(seen.insert(text));
        }
    }
}
