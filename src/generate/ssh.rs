//! SSH key pairs: the private key in OpenSSH's PEM format, the public key as a line of `authorized_keys`.
//!
//! `ssh-key` implements the formats and aws-lc-rs the operation on the curve, so that there is no second implementation
//! of it. RSA is not supported: no library in use exposes the numbers that OpenSSH's format requires, and every server
//! since OpenSSH 6.5 supports Ed25519.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use rand::CryptoRng;
use ssh_key::private::{Ed25519Keypair, Ed25519PrivateKey};
use ssh_key::public::Ed25519PublicKey;
use ssh_key::{LineEnding, PrivateKey, PublicKey};
use zeroize::Zeroizing;

use super::{Fields, Kept, Made, NotMade};
use crate::plaintext::Plaintext;

/// Rules of a key pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshRules {
    pub algorithm: SshAlgorithm,
    /// Field for the public key.
    pub public_key_field: String,
}

/// Algorithm of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SshAlgorithm {
    /// Ed25519.
    #[default]
    Ed25519,
}

impl SshRules {
    pub(super) fn generate(&self, rng: &mut (impl CryptoRng + ?Sized)) -> Result<Made, NotMade> {
        let SshAlgorithm::Ed25519 = self.algorithm;
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *seed);
        let key = private_key(&seed)?;
        let mut pem = key.to_openssh(LineEnding::LF).map_err(|_| NotMade)?;
        Ok(Made { own: Plaintext::from(std::mem::take(&mut *pem)), companions: vec![self.public_half(key.public_key())?] })
    }

    /// Keeps the private key and the public key. A public key that is missing or belongs to another key is derived from
    /// the private key. A private key that cannot be parsed was stored by another writer; it is kept together with its
    /// public key.
    pub(super) fn keep(&self, name: &str, object: &dyn Fields) -> Kept {
        let Some(key) = object.text(name).and_then(|pem| PrivateKey::from_openssh(pem.expose()).ok()) else {
            return if object.has(&self.public_key_field) { Kept::Whole } else { Kept::Nothing };
        };
        let found = object.text(&self.public_key_field).and_then(|line| PublicKey::from_openssh(line.expose()).ok());
        if found.is_some_and(|found| found.key_data() == key.public_key().key_data()) {
            return Kept::Whole;
        }
        self.public_half(key.public_key()).map_or(Kept::Nothing, |half| Kept::Completed(vec![half]))
    }

    fn public_half(&self, key: &PublicKey) -> Result<(String, Plaintext), NotMade> {
        let mut line = key.to_openssh().map_err(|_| NotMade)?;
        // As ssh-keygen writes it, so that it can be appended to authorized_keys.
        line.push('\n');
        Ok((self.public_key_field.clone(), Plaintext::from(line)))
    }
}

fn private_key(seed: &[u8; 32]) -> Result<PrivateKey, NotMade> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NotMade)?;
    let public = Ed25519PublicKey::try_from(pair.public_key().as_ref()).map_err(|_| NotMade)?;
    Ok(PrivateKey::from(Ed25519Keypair { public, private: Ed25519PrivateKey::from_bytes(seed) }))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use serde_json::json;

    use super::*;

    fn rules(public_key_field: &str) -> SshRules {
        SshRules { algorithm: SshAlgorithm::Ed25519, public_key_field: public_key_field.to_owned() }
    }

    /// The private and the public key. Test keys are not confidential.
    fn pair(seed: u64) -> (String, String) {
        let made = rules("ssh.pub").generate(&mut StdRng::seed_from_u64(seed)).ok().unwrap();
        assert_eq!(made.companions.len(), 1);
        (made.own.expose().to_owned(), made.companions[0].1.expose().to_owned())
    }

    #[test]
    fn both_halves_are_what_openssh_reads_and_belong_together() {
        let (private, public) = pair(1);
        assert!(private.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----\n") && private.ends_with("-----END OPENSSH PRIVATE KEY-----\n"));
        assert!(public.starts_with("ssh-ed25519 AAAA") && public.ends_with('\n') && public.lines().count() == 1);
        let private = PrivateKey::from_openssh(private).unwrap();
        assert!(!private.is_encrypted());
        assert_eq!(private.public_key().key_data(), PublicKey::from_openssh(&public).unwrap().key_data());
        // An independent check: aws-lc rejects a private and a public key that do not belong together.
        let halves = private.key_data().ed25519().unwrap();
        assert!(Ed25519KeyPair::from_seed_and_public_key(&halves.private.to_bytes(), halves.public.as_ref()).is_ok());
    }

    #[test]
    fn the_public_key_of_a_known_seed_is_the_known_one() {
        // RFC 8032, section 7.1, test 1.
        let seed = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let key = private_key(&seed.try_into().unwrap()).ok().unwrap();
        let public = key.public_key().key_data().ed25519().unwrap();
        assert_eq!(hex::encode(public.0), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    }

    #[test]
    fn each_pair_is_another_one() {
        assert_ne!(pair(1), pair(2));
    }

    #[test]
    fn a_pair_is_kept_and_a_public_half_that_is_missing_or_another_keys_is_derived() {
        let ((private, public), (other, _)) = (pair(1), pair(2));
        let with_comment = format!("{} someone@example", public.trim_end());
        let derived = |field: &str, object: serde_json::Value| match rules(field).keep("ssh", object.as_object().unwrap()) {
            Kept::Whole => "kept".to_owned(),
            Kept::Nothing => "renewed".to_owned(),
            Kept::Completed(halves) => {
                assert_eq!(halves[0].0, field);
                halves[0].1.expose().to_owned()
            }
        };
        assert_eq!(derived("ssh.pub", json!({"ssh": private, "ssh.pub": public})), "kept");
        assert_eq!(derived("ssh.pub", json!({"ssh": private, "ssh.pub": with_comment})), "kept");
        for object in [
            json!({"ssh": private}),
            json!({"ssh": private, "ssh.pub": pair(3).1}),
            json!({"ssh": private, "ssh.pub": "foreign"}),
            json!({"ssh": private, "ssh.pub": 7}),
        ] {
            assert_eq!(derived("ssh.pub", object), public);
        }
        assert_eq!(derived("other.pub", json!({"ssh": private, "ssh.pub": public})), public, "the field has another name now");
        assert_ne!(derived("ssh.pub", json!({"ssh": other, "ssh.pub": public})), public);
        // A key that cannot be parsed is kept, because another writer stored it.
        assert_eq!(derived("ssh.pub", json!({"ssh": "-----BEGIN RSA PRIVATE KEY-----", "ssh.pub": "ssh-rsa x"})), "kept");
        assert_eq!(derived("ssh.pub", json!({"ssh": "a password of before"})), "renewed");
    }
}
