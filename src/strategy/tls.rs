//! TLS to the server: verified with the declared certificates or those of the system, by name or without it.

use std::sync::Arc;

use aws_lc_rs::digest;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::aws_lc_rs as provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme};

use super::{Problem, Refused, Unknown};

/// How the server is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Not at all: the connection is not encrypted.
    Disable,
    /// By its certificate; `names`: also by its name.
    Verify {
        /// The certificate must be for the host.
        names: bool,
        /// Certificates of the authorities, as PEM; `None`: those of the system.
        ca: Option<String>,
    },
}

/// A configuration for one connection.
pub(super) fn connector(names: bool, ca: Option<&str>) -> Result<TlsConnector, Problem> {
    let provider = Arc::new(provider::default_provider());
    let roots = Arc::new(roots(ca)?);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build().map_err(|_| Refused::CaUnusable)?;
    let verifier: Arc<dyn ServerCertVerifier> = if names { verifier } else { Arc::new(AnyName(verifier)) };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| Refused::CaUnusable)?
        // The verifier of rustls, and for VerifyCa the same without the name.
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots(ca: Option<&str>) -> Result<RootCertStore, Problem> {
    let mut roots = RootCertStore::empty();
    let certificates: Vec<CertificateDer<'static>> = match ca {
        Some(pem) => CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(|_| Refused::CaUnusable)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() { Err(Refused::CaUnusable.into()) } else { Ok(roots) }
}

/// The connection, encrypted.
pub(super) async fn encrypt<S>(connector: &TlsConnector, host: &str, stream: S) -> Result<TlsStream<S>, Problem>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from(host.to_owned()).map_err(|_| Refused::CertificateRefused)?;
    connector.connect(name, stream).await.map_err(|error| match error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        Some(TlsError::InvalidCertificate(_) | TlsError::NoCertificatesPresented) => Refused::CertificateRefused.into(),
        Some(_) => Unknown::ProtocolViolation.into(),
        None => Unknown::ConnectionLost.into(),
    })
}

/// A hash of a server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate(Vec<u8>);

/// The certificate of the server.
pub(super) fn certificate<S>(stream: &TlsStream<S>) -> Option<Certificate> {
    let (_, session) = stream.get_ref();
    let certificate = session.peer_certificates()?.first()?;
    Some(Certificate(digest::digest(&digest::SHA256, certificate).as_ref().to_vec()))
}

/// What binds the login to this TLS connection (`tls-server-end-point`, RFC 5929): a hash of the server's certificate with
/// the hash function of its signature. `None`: none is defined for it.
pub(super) fn end_point<S>(stream: &TlsStream<S>) -> Option<Vec<u8>> {
    let (_, session) = stream.get_ref();
    let certificate = session.peer_certificates()?.first()?;
    let algorithm = match signature_hash(certificate)? {
        // MD5 and SHA-1 count as SHA-256.
        Hash::Sha256 => &digest::SHA256,
        Hash::Sha384 => &digest::SHA384,
        Hash::Sha512 => &digest::SHA512,
    };
    Some(digest::digest(algorithm, certificate).as_ref().to_vec())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// The hash function of a certificate's signature. `Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, ... }`
fn signature_hash(certificate: &[u8]) -> Option<Hash> {
    let (_, inside, _) = element(certificate)?;
    let (_, _, after) = element(inside)?;
    let (_, algorithm, _) = element(after)?;
    let (tag, oid, _) = element(algorithm)?;
    match (tag, oid) {
        // PKCS #1: 1.2.840.113549.1.1.{4,5,11,12,13}
        (6, [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last]) => match last {
            4 | 5 | 11 => Some(Hash::Sha256),
            12 => Some(Hash::Sha384),
            13 => Some(Hash::Sha512),
            _ => None,
        },
        // ECDSA: 1.2.840.10045.4.1 with SHA-1, 1.2.840.10045.4.3.{2,3,4} with SHA-2
        (6, [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01] | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]) => Some(Hash::Sha256),
        (6, [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03]) => Some(Hash::Sha384),
        (6, [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04]) => Some(Hash::Sha512),
        _ => None,
    }
}

/// The first element of DER: its tag, its contents, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(*first & 0x7f)).filter(|(bytes, _)| bytes.len() <= 4)?;
        (bytes.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    let (contents, after) = rest.split_at_checked(length)?;
    Some((*tag, contents, after))
}

/// Verifies everything except the name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        match self.0.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            // The name is checked last.
            Err(TlsError::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })) => {
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_certificate_follows_its_signature_and_malformed_ones_have_none() {
        for (algorithm, expected) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, Some(Hash::Sha256)),
            (&rcgen::PKCS_ECDSA_P384_SHA384, Some(Hash::Sha384)),
            (&rcgen::PKCS_ED25519, None),
        ] {
            let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
            let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
            assert_eq!(signature_hash(certificate.der()), expected);
            for cut in 0..40 {
                assert_eq!(signature_hash(&certificate.der()[..cut]), None);
            }
        }
        assert_eq!(signature_hash(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(signature_hash(&[0x30, 0xff]), None);
    }

    #[test]
    fn certificates_that_cannot_be_read_are_refused_before_a_connection_is_made() {
        for pem in ["", "text", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert_eq!(connector(true, Some(pem)).err(), Some(Problem::Refused(Refused::CaUnusable)), "{pem}");
        }
    }
}
