//! Proofs that a client knows the password, for a nonce of the server.

use aws_lc_rs::digest::{Algorithm, Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use zeroize::Zeroizing;

/// `mysql_native_password`: `SHA1(p) XOR SHA1(nonce + SHA1(SHA1(p)))`.
/// <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_authentication_methods_native_password_authentication.html>
pub(super) fn native(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    let algorithm = &SHA1_FOR_LEGACY_USE_ONLY;
    let once = hash(algorithm, &[password]);
    let twice = hash(algorithm, &[&once]);
    xor(&once, &hash(algorithm, &[nonce, &twice]))
}

/// What a server stores of a password for `mysql_native_password`: `*` and `SHA1(SHA1(p))`. It ends no literal.
pub(super) fn native_hash(password: &[u8]) -> String {
    let algorithm = &SHA1_FOR_LEGACY_USE_ONLY;
    let twice = hash(algorithm, &[&hash(algorithm, &[password])]);
    format!("*{}", hex::encode_upper(&*twice))
}

/// `caching_sha2_password`: `SHA256(p) XOR SHA256(SHA256(SHA256(p)) + nonce)`.
/// <https://dev.mysql.com/doc/dev/mysql-server/latest/page_caching_sha2_authentication_exchanges.html>
pub(super) fn caching_sha2(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    let once = hash(&SHA256, &[password]);
    let twice = hash(&SHA256, &[&once]);
    xor(&once, &hash(&SHA256, &[&twice, nonce]))
}

/// What is hashed and what comes out can stand for the password.
fn hash(algorithm: &'static Algorithm, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut context = Context::new(algorithm);
    for part in parts {
        context.update(part);
    }
    Zeroizing::new(context.finish().as_ref().to_vec())
}

fn xor(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(one, other)| one ^ other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values computed with Python's hashlib from the formulas of the manual.
    #[test]
    fn the_proofs_are_those_of_the_manual() {
        let nonce: Vec<u8> = (1..=20).collect();
        assert_eq!(hex::encode(native(b"secret", &nonce)), NATIVE);
        // SELECT PASSWORD('secret')
        assert_eq!(native_hash(b"secret"), "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7");
        assert_eq!(hex::encode(caching_sha2(b"secret", &nonce)), CACHING_SHA2);
    }

    const NATIVE: &str = "b32bb3a583e1340c0a1108d58b1be49781ad8c2f";
    const CACHING_SHA2: &str = "746ebe205d56a0707acb3e796e834e0dd7b1d61743b26bd5202c7a623230c7c9";
}
