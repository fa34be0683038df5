//! When the certificate in the data of a Secret expires.

use std::collections::BTreeSet;

use jiff::Timestamp;
use x509_parser::pem::parse_x509_pem;

use super::{Data, DeclaredValue, Layout};
use crate::generate::Generator;

/// Key that holds the certificate by convention.
/// <https://kubernetes.io/docs/concepts/configuration/secret/#tls-secrets>
const CERTIFICATE_KEY: &str = "tls.crt";
const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// When the first certificate in `data` expires: of the keys `tls.crt` and those with the certificate of a declared
/// `TlsKeyPair`, the earliest. Of a chain only the first certificate counts, which is the one of the server. `None`: there
/// is none that can be read.
pub fn expiry(data: &Data, layout: &Layout, declared: Option<&DeclaredValue>) -> Option<Timestamp> {
    let fields = declared.map(certificate_fields).unwrap_or_default();
    let field = |key: &String| layout.keys.get(key).unwrap_or(key).clone();
    let certificates = data.iter().filter(|(key, _)| *key == CERTIFICATE_KEY || fields.contains(field(key).as_str()));
    certificates.filter_map(|(_, bytes)| not_after(bytes.expose())).min()
}

fn certificate_fields(declared: &DeclaredValue) -> BTreeSet<&str> {
    let DeclaredValue::Fields { generate, .. } = declared else { return BTreeSet::new() };
    generate.values().filter_map(Generator::certificate_field).collect()
}

/// The end of validity of the first certificate of this PEM text. What comes before it, which may be a private key, is not
/// decoded.
fn not_after(pem: &[u8]) -> Option<Timestamp> {
    let start = pem.windows(BEGIN.len()).position(|window| window == BEGIN)?;
    let (_, block) = parse_x509_pem(pem.get(start..)?).ok()?;
    let certificate = block.parse_x509().ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::api::SecretType;
    use crate::generate::{Made, TlsRules};
    use crate::plaintext::SecretBytes;

    type Pairs<'a> = &'a [(&'a str, &'a str)];

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn rules(days: u32) -> TlsRules {
        TlsRules {
            certificate_field: "tls.crt".to_owned(),
            ca_field: "ca.crt".to_owned(),
            common_name: String::new(),
            dns_names: vec!["api.shop.svc".to_owned()],
            validity_days: days,
        }
    }

    /// A key and its certificate, valid from 2026-11-27 for so many days.
    fn pair(days: u32) -> (String, String) {
        let made: Made = Generator::TlsKeyPair(rules(days)).generate(&mut rand::rng(), at("2026-11-27T00:00:00Z")).unwrap();
        (made.own.expose().to_owned(), made.companions[0].1.expose().to_owned())
    }

    fn data(fields: &[(&str, &str)]) -> Data {
        fields.iter().map(|(key, text)| ((*key).to_owned(), SecretBytes::from(text.as_bytes().to_vec()))).collect()
    }

    fn layout(keys: &[(&str, &str)]) -> Layout {
        let keys = keys.iter().map(|(key, field)| ((*key).to_owned(), (*field).to_owned())).collect();
        Layout { kind: SecretType::Opaque, keys, ..Layout::default() }
    }

    #[test]
    fn the_first_certificate_of_the_key_or_declared_field_counts() {
        let (key, short) = pair(10);
        let (_, long) = pair(90);
        let own = TlsRules { certificate_field: "server".to_owned(), ..rules(10) };
        let generate = BTreeMap::from([("key".to_owned(), Generator::TlsKeyPair(own))]);
        let declared = DeclaredValue::Fields { data: BTreeMap::new(), generate, turns: None };
        let (both, behind_key) = (format!("{long}{short}"), format!("{key}{short}"));
        let (soon, later) = (Some(at("2026-12-07T00:00:00Z")), Some(at("2027-02-25T00:00:00Z")));
        let mapped = [("crt", "server")];
        let table: [(&str, Pairs<'_>, Pairs<'_>, Option<Timestamp>); 9] = [
            ("by its key", &[("tls.crt", &short)], &[], soon),
            ("of a chain the first", &[("tls.crt", &both)], &[], later),
            ("behind a key", &[("tls.crt", &behind_key)], &[], soon),
            ("by the declared field", &[("server", &short)], &[], soon),
            ("by the declared field under another key", &[("crt", &short)], &mapped, soon),
            ("the earliest", &[("server", &long), ("tls.crt", &short)], &[], soon),
            ("a CA", &[("ca.crt", &short)], &[], None),
            ("no certificate", &[("tls.crt", &key)], &[], None),
            ("a broken one", &[("tls.crt", &short[..short.len() / 2])], &[], None),
        ];
        for (name, fields, keys, expected) in table {
            assert_eq!(expiry(&data(fields), &layout(keys), Some(&declared)), expected, "{name}");
        }
        assert_eq!(expiry(&data(&[("server", &short)]), &layout(&[]), None), None, "nothing declares it");
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let (_, whole) = pair(10);
        for end in 0..whole.len() {
            let _ = not_after(&whole.as_bytes()[..end]);
        }
        for place in 0..whole.len() {
            let mut bytes = whole.clone().into_bytes();
            bytes[place] = bytes[place].wrapping_add(1);
            let _ = not_after(&bytes);
        }
    }
}
