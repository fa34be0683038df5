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

/// Whether this is what a server stores of a password for `caching_sha2_password`: `$A$`, thousands of rounds in hex, `$`, a
/// salt of 20 bytes, and the digest of SHA-crypt.
/// <https://www.akkadia.org/drepper/SHA-crypt.txt>
pub(super) fn is_of_caching_sha2(stored: &[u8], password: &[u8]) -> bool {
    let parsed = || {
        let (rounds, rest) = stored.strip_prefix(b"$A$")?.split_at_checked(3)?;
        let (salt, digest) = rest.strip_prefix(b"$")?.split_at_checked(20)?;
        let rounds = usize::from_str_radix(std::str::from_utf8(rounds).ok()?, 16).ok()?.checked_mul(1000)?;
        (password.len() <= LONGEST && (1000..=MOST_ROUNDS).contains(&rounds)).then_some((rounds, salt, digest))
    };
    parsed().is_some_and(|(rounds, salt, digest)| sha_crypt(password, salt, rounds).as_bytes() == digest)
}

/// Of a password, in bytes: MySQL takes no longer one.
const LONGEST: usize = 256;
/// The server says how many, so they are bounded.
const MOST_ROUNDS: usize = 100_000;

/// SHA-crypt with SHA-256, in its own base 64.
fn sha_crypt(password: &[u8], salt: &[u8], rounds: usize) -> String {
    let sha = |parts: &[&[u8]]| hash(&SHA256, parts);
    let repeated = |digest: &[u8], length: usize| Zeroizing::new(digest.iter().copied().cycle().take(length).collect::<Vec<u8>>());
    let second = sha(&[password, salt, password]);
    let mut parts = vec![password, salt];
    let filling = repeated(&second, password.len());
    parts.push(&filling);
    let mut bits = password.len();
    while bits > 0 {
        parts.push(if bits & 1 == 1 { &second } else { password });
        bits >>= 1;
    }
    let mut digest = sha(&parts);
    let p = repeated(&sha(&vec![password; password.len()]), password.len());
    let times = digest.first().copied().map_or(16, usize::from).saturating_add(16);
    let s = repeated(&sha(&vec![salt; times]), salt.len());
    for round in 0..rounds {
        let odd = round % 2 == 1;
        let (first, last): (&[u8], &[u8]) = if odd { (&p, &digest) } else { (&digest, &p) };
        let middle: [&[u8]; 2] = [if round % 3 == 0 { &[] } else { &s }, if round % 7 == 0 { &[] } else { &p }];
        let next = sha(&[first, middle[0], middle[1], last]);
        digest = next;
    }
    base_64(&digest)
}

/// The order in which SHA-crypt writes the bytes of a digest: three at a time, and the last two with a zero before them.
fn base_64(digest: &[u8]) -> String {
    const DIGITS: &[u8] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let byte = |at: usize| digest.get(at).copied().map(u32::from).unwrap_or_default();
    let mut text = String::new();
    let mut write = |mut word: u32, digits: usize| {
        for _ in 0..digits {
            text.extend(usize::try_from(word & 63).ok().and_then(|digit| DIGITS.get(digit)).copied().map(char::from));
            word >>= 6;
        }
    };
    let mut at = [0, 10, 20];
    for _ in 0..10 {
        let [a, b, c] = at;
        write(byte(a) << 16 | byte(b) << 8 | byte(c), 4);
        // Each comes 21 places later, modulo 30.
        at = at.map(|place: usize| place.wrapping_add(21) % 30);
    }
    write(byte(31) << 8 | byte(30), 3);
    text
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

    /// What MySQL 9.7.4 stored of two passwords.
    #[test]
    fn what_a_server_stores_is_told_from_what_it_stores_of_another_password() {
        let stored = hex::decode(STORED).unwrap();
        assert!(is_of_caching_sha2(&stored, b"OldPw1!x"));
        let endless = [b"$A$FFF$".as_slice(), &stored[7..]].concat();
        let invalid = b"$A$005$THISISACOMBINATIONOFINVALIDSALTANDPASSWORDTHATMUSTNEVERBRBEUSED";
        for (stored, password) in [
            (stored.as_slice(), b"OldPw1!y".as_slice()),
            (&stored, b""),
            (&stored, &[b'x'; 300]),
            (&stored[..69], b"OldPw1!x"),
            (&endless, b"OldPw1!x"),
            (invalid, b"OldPw1!x"),
            (b"", b""),
            (b"$A$", b""),
            (b"$A$\xff\xff\xff$", b""),
            (b"*14E65567ABDB5135D0CFD9A70B3032C179A49EE7", b"secret"),
        ] {
            assert!(!is_of_caching_sha2(stored, password));
        }
    }

    const STORED: &str = "24412430304124206E2A7F0E37447D3C1174266B7C643166096E26674136682E39347A696D4C3659324A3848434632334371647468457A397332696A436D536F7A6162776B2E";

    const NATIVE: &str = "b32bb3a583e1340c0a1108d58b1be49781ad8c2f";
    const CACHING_SHA2: &str = "746ebe205d56a0707acb3e796e834e0dd7b1d61743b26bd5202c7a623230c7c9";
}
