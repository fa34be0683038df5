//! Certificates as an independent verifier sees them: rustls-webpki, which most clients in Rust use.

use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, UnparsedPublicKey};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rustls_pki_types::{PrivatePkcs8KeyDer, ServerName, UnixTime};
use serde_json::json;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::*;

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 24 * 60 * 60;

fn rules() -> TlsRules {
    TlsRules {
        certificate_field: "tls.crt".to_owned(),
        ca_field: "ca.crt".to_owned(),
        common_name: String::new(),
        dns_names: vec!["api.shop.svc".to_owned(), "*.example.org".to_owned()],
        validity_days: 90,
    }
}

/// Keys of tests are no secrets.
struct Pair {
    key: String,
    certificate: String,
    ca: String,
}

fn pair(rules: &TlsRules, seed: u64) -> Pair {
    let made = rules.generate(&mut StdRng::seed_from_u64(seed), Timestamp::from_second(NOW).unwrap()).ok().unwrap();
    let names: Vec<_> = made.companions.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["tls.crt", "ca.crt"]);
    let [certificate, ca] = [0, 1].map(|at: usize| made.companions[at].1.expose().to_owned());
    Pair { key: made.own.expose().to_owned(), certificate, ca }
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn verify(certificate: &str, ca: &str, at: i64, usage: KeyUsage) -> Result<(), webpki::Error> {
    let (certificate, ca) = (der(certificate), der(ca));
    let anchors = [anchor_from_trusted_cert(&ca)?];
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at.unsigned_abs()));
    EndEntityCert::try_from(&certificate)?
        .verify_for_usage(&[webpki::aws_lc_rs::ECDSA_P256_SHA256], &anchors, &[], at, usage, None, None)
        .map(|_| ())
}

#[test]
fn a_certificate_is_trusted_by_its_own_authority_from_now_until_its_last_second() {
    let pair = pair(&rules(), 1);
    let end = NOW + 90 * DAY;
    for at in [NOW - 3600, NOW, end] {
        assert_eq!(verify(&pair.certificate, &pair.ca, at, KeyUsage::server_auth()), Ok(()), "{at}");
    }
    assert_eq!(verify(&pair.certificate, &pair.ca, NOW, KeyUsage::client_auth()), Ok(()));
    for at in [NOW - 3601, end + 1] {
        assert!(verify(&pair.certificate, &pair.ca, at, KeyUsage::server_auth()).is_err(), "{at}");
    }
}

#[test]
fn no_generation_is_trusted_by_the_authority_of_another() {
    let (one, other) = (pair(&rules(), 1), pair(&rules(), 2));
    assert!(verify(&one.certificate, &other.ca, NOW, KeyUsage::server_auth()).is_err());
    // Not even when both have the same name.
    let twin = pair(&rules(), 1);
    assert!(verify(&one.certificate, &twin.ca, NOW, KeyUsage::server_auth()).is_err());
}

#[test]
fn the_certificate_is_for_the_declared_names_and_no_others() {
    let pair = pair(&rules(), 1);
    let certificate = der(&pair.certificate);
    let certificate = EndEntityCert::try_from(&certificate).unwrap();
    let named = |name: &'static str| certificate.verify_is_valid_for_subject_name(&ServerName::try_from(name).unwrap()).is_ok();
    assert!(named("api.shop.svc") && named("www.example.org"));
    assert!(!named("example.org") && !named("shop.svc") && !named("api.shop.svc.evil.org"));
}

#[test]
fn the_private_key_is_the_one_that_the_certificate_speaks_of() {
    let pair = pair(&rules(), 1);
    assert!(pair.key.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    let pkcs8 = PrivatePkcs8KeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.secret_pkcs8_der()).unwrap();
    let signature = key.sign(&SystemRandom::new(), b"words").unwrap();
    let spki = EndEntityCert::try_from(&der(&pair.certificate)).unwrap().subject_public_key_info();
    let public = &spki[spki.len() - 65..];
    assert!(UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public).verify(b"words", signature.as_ref()).is_ok());
}

#[test]
fn the_subject_is_the_given_name_or_the_first_dns_name_that_is_short_enough() {
    let long = format!("{}.example", "a".repeat(60));
    for (common_name, dns_name, subject) in
        [("robot", "a.example", "robot"), ("", "a.example", "a.example"), ("", long.as_str(), "rotated-secrets")]
    {
        let rules = TlsRules { common_name: common_name.to_owned(), dns_names: vec![dns_name.to_owned()], ..rules() };
        let certificate = der(&pair(&rules, 1).certificate);
        let found = EndEntityCert::try_from(&certificate).unwrap().subject().to_vec();
        assert!(found.ends_with(subject.as_bytes()), "{subject}");
    }
    let nobody = TlsRules { common_name: "robot".to_owned(), dns_names: Vec::new(), ..rules() };
    let pair = pair(&nobody, 1);
    assert_eq!(verify(&pair.certificate, &pair.ca, NOW, KeyUsage::client_auth()), Ok(()));
}

#[test]
fn rules_by_which_no_certificate_can_be_made_are_refused() {
    let named = |names: &[&str]| TlsRules { dns_names: names.iter().map(|name| (*name).to_owned()).collect(), ..rules() };
    assert_eq!(rules().validate(), Ok(()));
    assert_eq!(named(&[]).validate(), Err(TlsError::Nameless));
    assert_eq!(TlsRules { common_name: "é".repeat(65), ..rules() }.validate(), Err(TlsError::CommonName));
    assert_eq!(TlsRules { common_name: "é".repeat(64), ..rules() }.validate(), Ok(()));
    for days in [0, 3651] {
        assert_eq!(TlsRules { validity_days: days, ..rules() }.validate(), Err(TlsError::Validity(days)));
    }
    let long = "a".repeat(64);
    for name in ["", "A.example", "a..b", ".a", "a.", "-a", "a-", "*", "*.", "a.*.b", "a b", "é", "a_b", "a/b", long.as_str()] {
        assert_eq!(named(&[name]).validate(), Err(TlsError::DnsName), "{name}");
    }
    for name in ["a", "api.shop.svc.cluster.local", "*.example.org", "x--1.example"] {
        assert_eq!(named(&[name]).validate(), Ok(()), "{name}");
    }
}

#[test]
fn the_three_parts_are_kept_together_or_renewed_together() {
    let (one, other) = (pair(&rules(), 1), pair(&rules(), 2));
    let keeps = |object: serde_json::Value| matches!(rules().keep("tls", object.as_object().unwrap()), Kept::Whole);
    assert!(keeps(json!({"tls": one.key, "tls.crt": one.certificate, "ca.crt": one.ca})));
    for torn in [
        json!({"tls": one.key, "tls.crt": one.certificate}),
        json!({"tls": one.key, "ca.crt": one.ca}),
        json!({"tls": other.key, "tls.crt": one.certificate, "ca.crt": one.ca}),
        json!({"tls": one.key, "tls.crt": other.certificate, "ca.crt": one.ca}),
        json!({"tls": one.key, "tls.crt": one.certificate, "ca.crt": other.ca}),
        json!({"tls": one.key, "tls.crt": one.ca, "ca.crt": one.certificate}),
    ] {
        assert!(!keeps(torn));
    }
    // What we cannot read was put there by somebody else.
    assert!(keeps(json!({"tls": "foreign", "tls.crt": one.certificate, "ca.crt": one.ca})));
    assert!(keeps(json!({"tls": one.key, "tls.crt": "foreign", "ca.crt": 7})));
}
