//! Key pairs for TLS: a private key on P-256, its certificate, and an authority that signs this one certificate and is then forgotten.
//!
//! The authority's private key never leaves this file, so that nobody can issue a second certificate that consumers of `ca.crt` would trust.

use jiff::{SignedDuration, Timestamp};
use rand::CryptoRng;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SanType,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::{Fields, Kept, Made, NotMade};
use crate::plaintext::Plaintext;

#[cfg(test)]
mod tests;

/// The most days that a certificate is valid.
const LONGEST: u32 = 3650;
/// `ub-common-name` of RFC 5280.
const LONGEST_COMMON_NAME: usize = 64;
/// A consumer's clock may be behind.
const BACKDATED: SignedDuration = SignedDuration::from_hours(1);

/// What a certificate says, and where the public parts go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsRules {
    /// The field of the certificate.
    pub certificate_field: String,
    /// The field of the authority's certificate.
    pub ca_field: String,
    /// The subject; empty: the first DNS name, where it is short enough.
    pub common_name: String,
    /// The names that clients may call the server by.
    pub dns_names: Vec<String>,
    /// How long it is valid.
    pub validity_days: u32,
}

/// Why no certificate can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// Of nobody.
    #[error("a certificate needs a name; set dnsNames or commonName")]
    Nameless,
    /// More characters than X.509 allows.
    #[error("commonName has more than {LONGEST_COMMON_NAME} characters; set a shorter one and put DNS names into dnsNames")]
    CommonName,
    /// Not one that a certificate can hold.
    #[error("a name in dnsNames is no DNS name; set names such as api.shop.svc")]
    DnsName,
    /// Nothing or too much.
    #[error("a certificate cannot be valid for {0} days; set validityDays from 1 to {LONGEST}")]
    Validity(u32),
}

impl TlsRules {
    /// Whether a certificate can be made by these rules.
    pub fn validate(&self) -> Result<(), TlsError> {
        if self.common_name.is_empty() && self.dns_names.is_empty() {
            return Err(TlsError::Nameless);
        }
        if self.common_name.chars().count() > LONGEST_COMMON_NAME {
            return Err(TlsError::CommonName);
        }
        if !self.dns_names.iter().all(|name| is_dns_name(name)) {
            return Err(TlsError::DnsName);
        }
        if !(1..=LONGEST).contains(&self.validity_days) {
            return Err(TlsError::Validity(self.validity_days));
        }
        Ok(())
    }

    /// How long a certificate is valid after it was made.
    pub fn validity(&self) -> SignedDuration {
        SignedDuration::from_hours(i64::from(self.validity_days) * 24)
    }

    /// The keys and signatures use aws-lc's own random numbers, seeded by the operating system: neither rcgen nor aws-lc takes others. `rng`
    /// only names the authority.
    pub(super) fn generate(&self, rng: &mut (impl CryptoRng + ?Sized), now: Timestamp) -> Result<Made, NotMade> {
        let begin = now.checked_sub(BACKDATED).map_err(|_| NotMade)?;
        let end = now.checked_add(self.validity()).map_err(|_| NotMade)?;
        let valid = (offset(begin)?, offset(end)?);

        let ca = authority(rng.next_u64(), valid);
        let ca_key = new_key()?;
        let ca_certificate = ca.self_signed(&*ca_key).map_err(|_| NotMade)?;

        let key = new_key()?;
        let certificate = self.certificate(valid)?.signed_by(&*key, &Issuer::from_params(&ca, &*ca_key)).map_err(|_| NotMade)?;
        Ok(Made {
            own: Plaintext::from(key.serialize_pem()),
            companions: vec![
                (self.certificate_field.clone(), Plaintext::from(certificate.pem())),
                (self.ca_field.clone(), Plaintext::from(ca_certificate.pem())),
            ],
        })
    }

    /// All three stay, or none does: without the authority's key no part of them can be made again. Parts that we cannot read were put there by
    /// somebody else; parts that are seen not to belong together are no pair.
    pub(super) fn keep(&self, name: &str, object: &dyn Fields) -> Kept {
        if !object.has(&self.certificate_field) || !object.has(&self.ca_field) {
            return Kept::Nothing;
        }
        let parts = [name, &self.certificate_field, &self.ca_field].map(|field| object.text(field));
        match &parts {
            [Some(key), Some(certificate), Some(ca)] if torn(key.expose(), certificate.expose(), ca.expose()) == Some(true) => {
                Kept::Nothing
            }
            _ => Kept::Whole,
        }
    }

    fn certificate(&self, valid: (OffsetDateTime, OffsetDateTime)) -> Result<CertificateParams, NotMade> {
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = valid;
        params.distinguished_name = self.subject();
        params.subject_alt_names = self
            .dns_names
            .iter()
            .map(|name| Ia5String::try_from(name.as_str()).map(SanType::DnsName))
            .collect::<Result<_, _>>()
            .map_err(|_| NotMade)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Both sides of mutual TLS; the authority signs nothing else, so this lets nobody else in.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }

    /// Without any, the alternative names would be critical, which some verifiers do not know.
    fn subject(&self) -> DistinguishedName {
        let given = Some(&self.common_name).filter(|name| !name.is_empty());
        let first = self.dns_names.first().filter(|name| name.len() <= LONGEST_COMMON_NAME);
        common_name(given.or(first).map_or("rotated-secrets", String::as_str))
    }
}

/// A certificate's beginning and end are whole seconds.
fn offset(at: Timestamp) -> Result<OffsetDateTime, NotMade> {
    OffsetDateTime::from_unix_timestamp(at.as_second()).map_err(|_| NotMade)
}

/// Wiped when it goes; the copy that aws-lc holds is wiped by aws-lc.
fn new_key() -> Result<Zeroizing<KeyPair>, NotMade> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(Zeroizing::new).map_err(|_| NotMade)
}

/// Each has a name of its own, so that a verifier with the authorities of two versions does not confuse them.
fn authority(number: u64, valid: (OffsetDateTime, OffsetDateTime)) -> CertificateParams {
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = valid;
    params.distinguished_name = common_name(&format!("rotated-secrets CA {number:016x}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

/// Whether the parts do not belong together; `None`: they cannot be read.
fn torn(key: &str, certificate: &str, ca: &str) -> Option<bool> {
    let key = Zeroizing::new(KeyPair::from_pem(key).ok()?);
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).ok()?;
    let ca = CertificateDer::from_pem_slice(ca.as_bytes()).ok()?;
    let certificate = webpki::EndEntityCert::try_from(&certificate).ok()?;
    let ca = webpki::anchor_from_trusted_cert(&ca).ok()?;
    // The key is the last part of the structure that describes it.
    let of_key = certificate.subject_public_key_info().ends_with(key.der_bytes());
    Some(!of_key || certificate.issuer() != &*ca.subject)
}

fn is_dns_name(name: &str) -> bool {
    let host = name.strip_prefix("*.").unwrap_or(name);
    name.len() <= 253
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
}
