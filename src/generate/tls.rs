//! TLS key pairs: a private key on P-256, its certificate, and a CA that signs only this certificate and whose private
//! key is then discarded.
//!
//! The private key of the CA never leaves this file, so no second certificate can be issued that consumers of `ca.crt`
//! would trust.

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

/// Maximum validity in days.
const LONGEST: u32 = 3650;
/// `ub-common-name` of RFC 5280.
const LONGEST_COMMON_NAME: usize = 64;
/// The clock of a consumer may be behind.
const BACKDATED: SignedDuration = SignedDuration::from_hours(1);

/// Contents of the certificate, and fields for the public parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsRules {
    /// Field for the certificate.
    pub certificate_field: String,
    /// Field for the CA certificate.
    pub ca_field: String,
    /// Common name of the subject. Empty: the first DNS name, if it is short enough.
    pub common_name: String,
    /// DNS names of the server.
    pub dns_names: Vec<String>,
    /// Validity in days.
    pub validity_days: u32,
}

/// The reason why the rules are invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// No name.
    #[error("a certificate requires a name; set dnsNames or commonName")]
    Nameless,
    /// Exceeds the maximum length of X.509.
    #[error("commonName has more than {LONGEST_COMMON_NAME} characters; use a shorter one and put DNS names into dnsNames")]
    CommonName,
    /// Not a DNS name.
    #[error("a name in dnsNames is not a DNS name; set names such as api.shop.svc")]
    DnsName,
    /// Validity out of range.
    #[error("a certificate cannot be valid for {0} days; set validityDays to a number from 1 to {LONGEST}")]
    Validity(u32),
}

impl TlsRules {
    /// Whether the rules are valid.
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

    /// Validity of a certificate from its generation.
    pub fn validity(&self) -> SignedDuration {
        SignedDuration::from_hours(i64::from(self.validity_days).saturating_mul(24))
    }

    /// Generates the pair. Keys and signatures use the random numbers of aws-lc, which is seeded by the operating
    /// system: neither rcgen nor aws-lc accepts another source. `rng` determines only the name of the CA.
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

    /// Keeps all three parts or none: without the private key of the CA, no part can be regenerated separately. Parts
    /// that cannot be parsed were stored by another writer and are kept. Parts that demonstrably do not belong together
    /// are regenerated.
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
        // Both sides of mutual TLS. The CA signs no other certificate, so this grants access to nobody else.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        Ok(params)
    }

    /// The subject. It is never empty: otherwise the alternative names would be critical, which some verifiers do not
    /// support.
    fn subject(&self) -> DistinguishedName {
        let given = Some(&self.common_name).filter(|name| !name.is_empty());
        let first = self.dns_names.first().filter(|name| name.len() <= LONGEST_COMMON_NAME);
        common_name(given.or(first).map_or("rotated-secrets", String::as_str))
    }
}

/// Validity is in whole seconds.
fn offset(at: Timestamp) -> Result<OffsetDateTime, NotMade> {
    OffsetDateTime::from_unix_timestamp(at.as_second()).map_err(|_| NotMade)
}

/// Zeroized when dropped; aws-lc zeroizes its own copy.
fn new_key() -> Result<Zeroizing<KeyPair>, NotMade> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(Zeroizing::new).map_err(|_| NotMade)
}

/// Each CA has its own name, so that a verifier with the CA certificates of two versions does not confuse them.
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

/// Whether the parts do not belong together. `None`: they cannot be parsed.
fn torn(key: &str, certificate: &str, ca: &str) -> Option<bool> {
    let key = Zeroizing::new(KeyPair::from_pem(key).ok()?);
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).ok()?;
    let ca = CertificateDer::from_pem_slice(ca.as_bytes()).ok()?;
    let certificate = webpki::EndEntityCert::try_from(&certificate).ok()?;
    let ca = webpki::anchor_from_trusted_cert(&ca).ok()?;
    // The key is the last part of the SubjectPublicKeyInfo structure.
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
