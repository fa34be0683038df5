//! Parses `spec.value` into generators, or into a refusal. CEL rejects most of this at admission, but the
//! CustomResourceDefinition in a cluster may be older than the operator.

use std::collections::BTreeSet;

use super::model::Rotation;
use super::syntax::is_subdomain;
use crate::api::condition::Reason;
use crate::api::{AMBIGUOUS, BytesEncoding, GeneratorSpec, GeneratorType, InitialRef, SshKeyAlgorithm, URL_UNSAFE, ValueSpec};
use crate::generate::{BytesRules, Encoding, Generator, PasswordRules, SshAlgorithm, SshRules, TlsRules};
use crate::refusal::Refusal;
use crate::schedule::Span;
use crate::value::{DeclaredValue, Turns, is_secret_key};

#[cfg(test)]
mod tests;

/// Maximum size of a value in AWS.
const LARGEST: usize = 65_536;

pub(super) fn declared(spec: &ValueSpec, turns: Option<Turns>) -> Result<DeclaredValue, Refusal> {
    if let Some(message) = misplaced(spec) {
        return Err(invalid(message));
    }
    if let Some(plain) = &spec.plain_text {
        let generator = generator("spec.value.plainText", plain)?;
        if !generator.companions().is_empty() {
            return Err(invalid(
                "plainText is a single string and does not support key pairs: declare it as a field in \
                 spec.value.generate",
            ));
        }
        return Ok(DeclaredValue::PlainText(generator));
    }
    let generate = spec
        .generate
        .iter()
        .map(|(field, spec)| Ok((field.clone(), generator(&format!("spec.value.generate.{field}"), spec)?)))
        .collect::<Result<std::collections::BTreeMap<_, _>, _>>()?;
    let companions = generate.values().flat_map(Generator::companions);
    let mut names: BTreeSet<&str> = spec.data.keys().chain(generate.keys()).map(String::as_str).collect();
    for companion in companions {
        if !names.insert(companion) {
            return Err(invalid(&format!(
                "the field {companion} is declared twice: set unique names for the fields that a key pair adds (publicKeyField, \
                 certificateField, caField)"
            )));
        }
    }
    Ok(DeclaredValue::Fields { data: spec.data.clone(), generate, turns })
}

/// The refusal of each generated field, and of the fields together.
pub(super) fn refusals(spec: &ValueSpec) -> Vec<Refusal> {
    let fields = spec.generate.iter().filter_map(|(field, spec)| generator(&format!("spec.value.generate.{field}"), spec).err());
    declared(spec, None).err().into_iter().chain(fields).collect()
}

/// What is wrong with the fields, apart from their generators.
fn misplaced(spec: &ValueSpec) -> Option<&'static str> {
    let ValueSpec { data, generate, plain_text, initial_ref } = spec;
    let fields = !data.is_empty() || !generate.is_empty();
    if plain_text.is_some() == fields {
        return Some("set either plainText alone, or at least one field in data or generate");
    }
    if !data.keys().chain(generate.keys()).all(|name| is_field_name(name)) {
        return Some(
            "field names in data and generate may contain only letters, digits, dots, dashes and underscores, at most 253 characters",
        );
    }
    if generate.keys().any(|name| data.contains_key(name)) {
        return Some("a field must not be in both data (fixed) and generate (generated): remove one of the two");
    }
    let size = data.iter().map(|(name, value)| name.chars().count().saturating_add(value.chars().count()));
    if size.fold(0, usize::saturating_add) > LARGEST {
        return Some("data has at most 65,536 characters in total: use fewer or shorter fields");
    }
    misplaced_first(initial_ref.as_ref()?, spec)
}

/// What is wrong with the place of the first value.
fn misplaced_first(initial: &InitialRef, spec: &ValueSpec) -> Option<&'static str> {
    let key_pair = |field: &GeneratorSpec| matches!(field.kind, GeneratorType::SshKeyPair | GeneratorType::TlsKeyPair);
    let one_field = spec.generate.len() == 1 && !spec.generate.values().any(key_pair);
    if spec.plain_text.is_none() && !one_field {
        return Some(
            "initialRef has the first content of one generated field: declare exactly one field in spec.value.generate, or plainText, \
             and no key pair",
        );
    }
    if !is_subdomain(&initial.secret_name) {
        return Some("initialRef.secretName: use the name of a Secret of the namespace");
    }
    (!is_secret_key(&initial.key)).then_some(
        "initialRef.key: use a key of the Secret (letters, digits, dots, dashes and underscores; not . and not beginning with ..)",
    )
}

fn is_field_name(name: &str) -> bool {
    (1..=253).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

/// Options of another type than the declared one.
fn misplaced_options(spec: &GeneratorSpec) -> Option<&'static str> {
    let declared_password = GeneratorSpec {
        kind: GeneratorType::Password,
        length: None,
        encoding: None,
        algorithm: None,
        public_key_field: None,
        certificate_field: None,
        ca_field: None,
        common_name: None,
        dns_names: None,
        validity_days: None,
        ..spec.clone()
    };
    let of_tls = spec.certificate_field.is_some()
        || spec.ca_field.is_some()
        || spec.common_name.is_some()
        || spec.dns_names.is_some()
        || spec.validity_days.is_some();
    let rules = [
        (
            GeneratorType::Password,
            declared_password != GeneratorSpec::default(),
            "passwordLength, the exclude options, includeSpace and requireEachIncludedType are valid only with type: Password; remove them \
             or change the type",
        ),
        (
            GeneratorType::Bytes,
            spec.length.is_some() || spec.encoding.is_some(),
            "length and encoding are valid only with type: Bytes; remove them or change the type (the length of a password is \
             passwordLength)",
        ),
        (
            GeneratorType::SshKeyPair,
            spec.algorithm.is_some() || spec.public_key_field.is_some(),
            "algorithm and publicKeyField are valid only with type: SshKeyPair; remove them or change the type",
        ),
        (
            GeneratorType::TlsKeyPair,
            of_tls,
            "certificateField, caField, commonName, dnsNames and validityDays are valid only with type: TlsKeyPair; remove them or change \
             the type",
        ),
    ];
    rules.into_iter().find(|(kind, set, _)| *set && *kind != spec.kind).map(|(_, _, message)| message)
}

/// Rejects the schedule if a certificate would expire before its successor is generated. Everything else is reconciled.
pub(super) fn outliving(rotation: Rotation, declared: Option<&DeclaredValue>) -> Rotation {
    let (Rotation::Scheduled { clock, .. }, Some(DeclaredValue::Fields { generate, .. })) = (&rotation, declared) else { return rotation };
    let certificates = generate.iter().filter_map(|(field, generator)| match generator {
        Generator::TlsKeyPair(rules) => Some((field, rules.validity())),
        _ => None,
    });
    let Some((field, validity)) = certificates.min_by_key(|(_, validity)| *validity) else { return rotation };
    let longest = clock.longest_interval();
    if validity > longest {
        return rotation;
    }
    // In whole days, greater than the interval.
    let days = (longest.as_secs() / (24 * 60 * 60)).saturating_add(1);
    Rotation::Refused(Refusal::new(
        Reason::InvalidSpec,
        format!(
            "spec.rotation: the interval between two rotations is up to {}, but the certificate of the field {field} is valid for only \
             {}; set validityDays to {days} or more (twice the interval leaves time to recover from an outage), or rotate more often",
            Span(longest),
            Span(validity)
        ),
    ))
}

/// `path`: the field of the spec, for messages.
fn generator(path: &str, spec: &GeneratorSpec) -> Result<Generator, Refusal> {
    let invalid = |sentence: &str| Refusal::new(Reason::InvalidSpec, format!("{path}: {sentence}"));
    if let Some(message) = misplaced_options(spec) {
        return Err(invalid(message));
    }
    let companions = [&spec.public_key_field, &spec.certificate_field, &spec.ca_field];
    if !companions.into_iter().flatten().all(|name| is_field_name(name)) {
        return Err(invalid(
            "publicKeyField, certificateField and caField may contain only letters, digits, dots, dashes and underscores, at most 253 \
             characters",
        ));
    }
    let field = |name: &Option<String>, default: &str| name.clone().unwrap_or_else(|| default.to_owned());
    // A negative number is outside every range.
    let number = |number: i32| u32::try_from(number).unwrap_or(0);
    let generator = match spec.kind {
        GeneratorType::Password => Generator::Password(PasswordRules {
            length: number(spec.password_length),
            exclude_characters: excluded_characters(spec),
            exclude_numbers: spec.exclude_numbers,
            exclude_punctuation: spec.exclude_punctuation,
            exclude_uppercase: spec.exclude_uppercase,
            exclude_lowercase: spec.exclude_lowercase,
            include_space: spec.include_space,
            require_each_included_type: spec.require_each_included_type,
        }),
        GeneratorType::Uuid => Generator::Uuid,
        GeneratorType::Bytes => Generator::Bytes(BytesRules {
            length: number(spec.length.unwrap_or(32)),
            encoding: match spec.encoding.unwrap_or_default() {
                BytesEncoding::Hex => Encoding::Hex,
                BytesEncoding::Base64 => Encoding::Base64,
                BytesEncoding::Base64Url => Encoding::Base64Url,
            },
        }),
        GeneratorType::SshKeyPair => Generator::SshKeyPair(SshRules {
            algorithm: match spec.algorithm.unwrap_or_default() {
                SshKeyAlgorithm::Ed25519 => SshAlgorithm::Ed25519,
            },
            public_key_field: field(&spec.public_key_field, "ssh.pub"),
        }),
        GeneratorType::TlsKeyPair => Generator::TlsKeyPair(TlsRules {
            certificate_field: field(&spec.certificate_field, "tls.crt"),
            ca_field: field(&spec.ca_field, "ca.crt"),
            common_name: spec.common_name.clone().unwrap_or_default(),
            dns_names: spec.dns_names.clone().unwrap_or_default(),
            validity_days: number(spec.validity_days.unwrap_or(90)),
        }),
    };
    generator.validate().map_err(|error| invalid(&error.to_string()))?;
    Ok(generator)
}

fn excluded_characters(spec: &GeneratorSpec) -> String {
    let ambiguous = spec.exclude_ambiguous.then_some(AMBIGUOUS);
    let url_unsafe = spec.exclude_url_unsafe.then_some(URL_UNSAFE);
    [Some(spec.exclude_characters.as_str()), ambiguous, url_unsafe].into_iter().flatten().collect()
}

fn invalid(sentence: &str) -> Refusal {
    Refusal::new(Reason::InvalidSpec, format!("spec.value: {sentence}"))
}
