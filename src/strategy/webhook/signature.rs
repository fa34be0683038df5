//! Signatures as the Standard Webhooks specification says: <https://www.standardwebhooks.com>.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::plaintext::{Plaintext, SecretBytes};
use crate::strategy::{Problem, Refused};

/// The key that sender and receiver share.
pub struct SigningKey(SecretBytes);

/// How a key begins that is written as text. What follows is base64.
const PREFIX: &str = "whsec_";
/// In bytes, as the specification recommends.
const SHORTEST: usize = 24;

impl SigningKey {
    /// A key as `whsec_` and base64, or else the bytes of the text themselves.
    ///
    /// # Errors
    /// [`Refused::KeyUnusable`] if it is no base64, or shorter than 24 bytes.
    pub fn parse(text: &Plaintext) -> Result<Self, Problem> {
        let text = text.expose();
        let bytes = match text.strip_prefix(PREFIX) {
            Some(base64) => BASE64_STANDARD.decode(base64.trim_end()).map_err(|_| Refused::KeyUnusable)?,
            None => text.as_bytes().to_vec(),
        };
        if bytes.len() < SHORTEST { Err(Refused::KeyUnusable.into()) } else { Ok(Self(SecretBytes::from(bytes))) }
    }

    /// The header `webhook-signature`.
    pub(super) fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.expose());
        let mut signing = hmac::Context::with_key(&key);
        for part in [id, ".", &timestamp.to_string(), ".", body] {
            signing.update(part.as_bytes());
        }
        format!("v1,{}", BASE64_STANDARD.encode(signing.sign()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Result<SigningKey, Problem> {
        SigningKey::parse(&Plaintext::from(text.to_owned()))
    }

    #[test]
    fn the_vectors_of_the_specification_are_signed_as_it_says() {
        let signature = |key: &SigningKey| key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signature(&key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").ok().unwrap()), expected);
        assert_eq!(signature(&key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").ok().unwrap()), expected);
        // Other libraries take the prefix away, and so does a user who knows it. Then the text is the key.
        assert_ne!(signature(&key("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").ok().unwrap()), expected);
    }

    #[test]
    fn a_key_that_is_short_or_not_readable_is_refused() {
        for text in ["", "short", "whsec_", "whsec_!!!!", "whsec_c2hvcnQ=", &"x".repeat(23), "whsec_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"] {
            assert_eq!(key(text).err(), Some(Problem::Refused(Refused::KeyUnusable)), "{text}");
        }
        assert!(key(&"x".repeat(24)).is_ok());
    }
}
