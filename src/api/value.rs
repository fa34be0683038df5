//! `spec.value`: what the value is made of. Doc comments here are the texts of `kubectl explain`; the rules are CEL.
//!
//! The options of a password have defaults in the schema, so a rule cannot tell `passwordLength: 32` under `type: Uuid` from nothing, and lets
//! it pass; any other value is refused. The options of all other types have their defaults in the operator instead, so that they are refused
//! under another type whatever they say, and a password does not show options that are not its own.

#![allow(unreachable_pub, reason = "KubeSchema repeats each struct inside a function")]

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{bounds, strength};

/// What the value is.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.plainText) ? (!has(self.data) || size(self.data) == 0) && (!has(self.generate) || size(self.generate) == 0) : (has(self.data) && size(self.data) > 0) || (has(self.generate) && size(self.generate) > 0)").message(
    "spec.value: either plainText alone, or at least one field in data or generate"
))]
#[x_kube(validation = Rule::new("!has(self.data) || !has(self.generate) || self.generate.all(k, !(k in self.data))").message(
    "spec.value: a field is either fixed (data) or generated (generate), never both"
))]
#[x_kube(validation = Rule::new("!has(self.plainText) || !(self.plainText.type in ['SshKeyPair', 'TlsKeyPair'])").message(
    "spec.value.plainText is one string, and a pair has several: put SshKeyPair and TlsKeyPair under a name in spec.value.generate"
))]
#[x_kube(validation = Rule::new("!has(self.generate) || [self.generate.map(k, k) + self.generate.map(k, self.generate[k].type == 'SshKeyPair', has(self.generate[k].publicKeyField) ? self.generate[k].publicKeyField : 'ssh.pub') + self.generate.map(k, self.generate[k].type == 'TlsKeyPair', has(self.generate[k].certificateField) ? self.generate[k].certificateField : 'tls.crt') + self.generate.map(k, self.generate[k].type == 'TlsKeyPair', has(self.generate[k].caField) ? self.generate[k].caField : 'ca.crt')].all(names, names.all(n, names.exists_one(m, m == n) && (!has(self.data) || !(n in self.data))))").message(
    "spec.value: the fields that a pair adds (publicKeyField, default ssh.pub; certificateField, default tls.crt; caField, default ca.crt) must differ from every other field in data and generate: name them"
))]
pub struct ValueSpec {
    /// Fixed fields. Not secret: everybody who can read this object can read them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::fields")]
    #[x_kube(validation = Rule::new("self.all(k, size(k) <= 253 && k.matches('^[-._a-zA-Z0-9]+$'))").message(
        "spec.value.data: field names have at most 253 letters, digits, dots, dashes and underscores, so that they can be keys of a Secret"
    ))]
    #[x_kube(validation = Rule::new("self.map(k, size(k) + size(self[k])).sum() <= 65536").message(
        "spec.value.data: at most 65,536 characters in all, since AWS holds no more in one value"
    ))]
    pub data: BTreeMap<String, String>,
    /// Generated fields, new at every rotation. A pair fills further fields beside its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(validation = Rule::new("self.all(k, size(k) <= 253 && k.matches('^[-._a-zA-Z0-9]+$'))").message(
        "spec.value.generate: field names have at most 253 letters, digits, dots, dashes and underscores, so that they can be keys of a Secret"
    ))]
    pub generate: BTreeMap<String, GeneratorSpec>,
    /// Instead of data and generate: the whole value is one generated string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain_text: Option<GeneratorSpec>,
}

/// How a field is generated. Each type has its own options; those of Password are those of AWS's GetRandomPassword.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(self.excludeNumbers && self.excludePunctuation && self.excludeUppercase && self.excludeLowercase)").message(
    "a password needs characters: at least one of excludeNumbers, excludePunctuation, excludeUppercase and excludeLowercase must be false"
))]
#[x_kube(validation = Rule::new("self.type == 'Password' || (self.passwordLength == 32 && self.excludeCharacters == '' && !self.excludeNumbers && !self.excludePunctuation && !self.excludeUppercase && !self.excludeLowercase && !self.includeSpace && self.requireEachIncludedType)").message(
    "passwordLength, the options that begin with exclude, includeSpace and requireEachIncludedType belong to type: Password; remove them or change the type"
))]
#[x_kube(validation = Rule::new("self.type == 'Bytes' || (!has(self.length) && !has(self.encoding))").message(
    "length and encoding belong to type: Bytes; remove them or change the type (the length of a password is passwordLength)"
))]
#[x_kube(validation = Rule::new("self.type == 'SshKeyPair' || (!has(self.algorithm) && !has(self.publicKeyField))").message(
    "algorithm and publicKeyField belong to type: SshKeyPair; remove them or change the type"
))]
#[x_kube(validation = Rule::new("self.type == 'TlsKeyPair' || (!has(self.certificateField) && !has(self.caField) && !has(self.commonName) && !has(self.dnsNames) && !has(self.validityDays))").message(
    "certificateField, caField, commonName, dnsNames and validityDays belong to type: TlsKeyPair; remove them or change the type"
))]
#[x_kube(validation = Rule::new("self.type != 'TlsKeyPair' || has(self.commonName) || has(self.dnsNames)").message(
    "a certificate needs a name: set dnsNames (what clients call the server by) or commonName"
))]
#[x_kube(validation = Rule::new("!has(self.length) || self.length >= 8").message(
    "fewer than 8 bytes (64 bits) could be found by trying: set length to 8 or more"
))]
#[x_kube(validation = Rule::new(strength::enough()).message(
    "a password of fewer than 64 bits could be found by trying: raise passwordLength (12 is enough for all characters, 20 for digits alone), or exclude less"
))]
#[x_kube(validation = Rule::new(strength::every_kind()).message(
    "requireEachIncludedType asks for one of each kind, and excludeCharacters leaves none of one: set excludeUppercase, excludeLowercase, excludeNumbers or excludePunctuation for that kind, or requireEachIncludedType: false"
))]
pub struct GeneratorSpec {
    /// The kind of value.
    #[serde(default, rename = "type")]
    pub kind: GeneratorType,
    /// Password: how many characters.
    #[serde(default = "password_length")]
    #[schemars(range(min = 8, max = 4096))]
    pub password_length: i32,
    /// Password: characters that never occur.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub exclude_characters: String,
    /// Password: no digits.
    #[serde(default)]
    pub exclude_numbers: bool,
    /// Password: no punctuation.
    #[serde(default)]
    pub exclude_punctuation: bool,
    /// Password: no capital letters.
    #[serde(default)]
    pub exclude_uppercase: bool,
    /// Password: no small letters.
    #[serde(default)]
    pub exclude_lowercase: bool,
    /// Password: the space may occur.
    #[serde(default)]
    pub include_space: bool,
    /// Password: every kind of character that is not excluded occurs at least once.
    #[serde(default = "yes")]
    pub require_each_included_type: bool,
    /// Bytes: how many, before they are encoded; default 32, at least 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub length: Option<i32>,
    /// Bytes: how they become text; default Hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<BytesEncoding>,
    /// SshKeyPair: the kind of key; default Ed25519.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<SshKeyAlgorithm>,
    /// SshKeyPair: the field that the public key goes to; default ssh.pub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+$')").message(
        "publicKeyField: field names have letters, digits, dots, dashes and underscores, so that they can be keys of a Secret"
    ))]
    pub public_key_field: Option<String>,
    /// TlsKeyPair: the field that the certificate goes to; default tls.crt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+$')").message(
        "certificateField: field names have letters, digits, dots, dashes and underscores, so that they can be keys of a Secret"
    ))]
    pub certificate_field: Option<String>,
    /// TlsKeyPair: the field that the certificate of the signing authority goes to; default ca.crt. Each generation has an authority of its own,
    /// so it vouches for the certificate of the same version only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+$')").message(
        "caField: field names have letters, digits, dots, dashes and underscores, so that they can be keys of a Secret"
    ))]
    pub ca_field: Option<String>,
    /// TlsKeyPair: the subject of the certificate; default: the first of dnsNames. Clients look at dnsNames, not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub common_name: Option<String>,
    /// TlsKeyPair: the DNS names that clients may call the server by, such as api.shop.svc or *.example.org.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::dns_names")]
    pub dns_names: Option<Vec<String>>,
    /// TlsKeyPair: for how many days the certificate is valid after it was made; default 90. Must be longer than the time between two
    /// rotations; twice as long leaves room for an outage. Without spec.rotation nobody renews it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3650))]
    pub validity_days: Option<i32>,
}

impl Default for GeneratorSpec {
    fn default() -> Self {
        Self {
            kind: GeneratorType::Password,
            password_length: password_length(),
            exclude_characters: String::new(),
            exclude_numbers: false,
            exclude_punctuation: false,
            exclude_uppercase: false,
            exclude_lowercase: false,
            include_space: false,
            require_each_included_type: true,
            length: None,
            encoding: None,
            algorithm: None,
            public_key_field: None,
            certificate_field: None,
            ca_field: None,
            common_name: None,
            dns_names: None,
            validity_days: None,
        }
    }
}

fn password_length() -> i32 {
    32
}

fn yes() -> bool {
    true
}

/// The kind of a generated value.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum GeneratorType {
    /// Random characters.
    #[default]
    Password,
    /// A random UUID (version 4) in small letters.
    Uuid,
    /// Random bytes in an encoding.
    Bytes,
    /// A private key as OpenSSH writes it; its public key goes to publicKeyField.
    SshKeyPair,
    /// A private key on P-256 (PKCS#8); its certificate goes to certificateField, the authority's to caField.
    TlsKeyPair,
}

/// How bytes become text.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum BytesEncoding {
    /// Two small hexadecimal digits for each byte.
    #[default]
    Hex,
    /// With + and /, padded with =.
    Base64,
    /// With - and _, without padding.
    Base64Url,
}

/// The kind of an SSH key.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SshKeyAlgorithm {
    /// Edwards curve 25519.
    #[default]
    Ed25519,
}
