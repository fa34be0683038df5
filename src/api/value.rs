//! `spec.value`. The doc comments are the texts of `kubectl explain`; the rules are CEL.
//!
//! The options of a password have defaults in the schema. A rule therefore cannot distinguish `passwordLength: 32` with
//! `type: Uuid` from an unset option, and accepts it; any other value is rejected. The options of all other types have
//! their defaults in the operator instead. They are rejected with another type regardless of their value, and a
//! password does not show the options of other types.

#![allow(unreachable_pub, reason = "KubeSchema repeats each struct inside a function")]

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{bounds, strength};

/// Value of the secret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.plainText) ? (!has(self.data) || size(self.data) == 0) && (!has(self.generate) || size(self.generate) == 0) : (has(self.data) && size(self.data) > 0) || (has(self.generate) && size(self.generate) > 0)").message(
    "spec.value: set either plainText alone, or at least one field in data or generate"
))]
#[x_kube(validation = Rule::new("!has(self.data) || !has(self.generate) || self.generate.all(k, !(k in self.data))").message(
    "spec.value: a field must not be in both data (fixed) and generate (generated)"
))]
#[x_kube(validation = Rule::new("!has(self.plainText) || !(self.plainText.type in ['SshKeyPair', 'TlsKeyPair'])").message(
    "spec.value.plainText is a single string and does not support key pairs: declare SshKeyPair and TlsKeyPair as a field in spec.value.generate"
))]
#[x_kube(validation = Rule::new("!has(self.generate) || [self.generate.map(k, self.generate[k].type == 'SshKeyPair', has(self.generate[k].publicKeyField) ? self.generate[k].publicKeyField : 'ssh.pub') + self.generate.map(k, self.generate[k].type == 'TlsKeyPair', has(self.generate[k].certificateField) ? self.generate[k].certificateField : 'tls.crt') + self.generate.map(k, self.generate[k].type == 'TlsKeyPair', has(self.generate[k].caField) ? self.generate[k].caField : 'ca.crt')].all(names, names.all(n, names.exists_one(m, m == n) && !(n in self.generate) && (!has(self.data) || !(n in self.data))))").message(
    "spec.value: the fields that a key pair adds (publicKeyField, default ssh.pub; certificateField, default tls.crt; caField, default ca.crt) must differ from every other field in data and generate: set unique names"
))]
pub struct ValueSpec {
    /// Fixed fields. Not confidential: they are readable by everyone who can read this object.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::fields")]
    #[x_kube(validation = Rule::new("self.all(k, size(k) <= 253 && k.matches('^[-._a-zA-Z0-9]+$'))").message(
        "spec.value.data: field names may contain only letters, digits, dots, dashes and underscores, at most 253 characters, so that they are valid keys of a Secret"
    ))]
    #[x_kube(validation = Rule::new("self.map(k, size(k) + size(self[k])).sum() <= 65536").message(
        "spec.value.data: at most 65,536 characters in total, the maximum size of a value in AWS"
    ))]
    pub data: BTreeMap<String, String>,
    /// Generated fields, regenerated at every rotation. A key pair also fills its companion fields, such as the public
    /// key or the certificate.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(validation = Rule::new("self.all(k, size(k) <= 253 && k.matches('^[-._a-zA-Z0-9]+$'))").message(
        "spec.value.generate: field names may contain only letters, digits, dots, dashes and underscores, at most 253 characters, so that they are valid keys of a Secret"
    ))]
    pub generate: BTreeMap<String, GeneratorSpec>,
    /// Generates the whole value as one string instead of a JSON object. Mutually exclusive with data and generate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain_text: Option<GeneratorSpec>,
}

/// Generator of a field. Each type has its own options. The options of Password are those of AWS's GetRandomPassword.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(self.excludeNumbers && self.excludePunctuation && self.excludeUppercase && self.excludeLowercase)").message(
    "a password requires characters: at least one of excludeNumbers, excludePunctuation, excludeUppercase and excludeLowercase must be false"
))]
#[x_kube(validation = Rule::new("self.type == 'Password' || (self.passwordLength == 32 && self.excludeCharacters == '' && !self.excludeAmbiguous && !self.excludeUrlUnsafe && !self.excludeNumbers && !self.excludePunctuation && !self.excludeUppercase && !self.excludeLowercase && !self.includeSpace && self.requireEachIncludedType)").message(
    "passwordLength, the exclude options, includeSpace and requireEachIncludedType are valid only with type: Password; remove them or change the type"
))]
#[x_kube(validation = Rule::new("self.type == 'Bytes' || (!has(self.length) && !has(self.encoding))").message(
    "length and encoding are valid only with type: Bytes; remove them or change the type (the length of a password is passwordLength)"
))]
#[x_kube(validation = Rule::new("self.type == 'SshKeyPair' || (!has(self.algorithm) && !has(self.publicKeyField))").message(
    "algorithm and publicKeyField are valid only with type: SshKeyPair; remove them or change the type"
))]
#[x_kube(validation = Rule::new("self.type == 'TlsKeyPair' || (!has(self.certificateField) && !has(self.caField) && !has(self.commonName) && !has(self.dnsNames) && !has(self.validityDays))").message(
    "certificateField, caField, commonName, dnsNames and validityDays are valid only with type: TlsKeyPair; remove them or change the type"
))]
#[x_kube(validation = Rule::new("self.type != 'TlsKeyPair' || has(self.commonName) || has(self.dnsNames)").message(
    "a certificate requires a name: set dnsNames (the DNS names of the server) or commonName"
))]
#[x_kube(validation = Rule::new("!has(self.length) || self.length >= 8").message(
    "a value of fewer than 8 bytes (64 bits) can be guessed: set length to 8 or more"
))]
#[x_kube(validation = Rule::new(strength::enough()).message(
    "a password with less than 64 bits of entropy can be guessed: increase passwordLength (12 is sufficient with all characters, 20 with digits only), or exclude fewer characters"
))]
#[x_kube(validation = Rule::new(strength::every_kind()).message(
    "requireEachIncludedType requires one character of each type, and excludeCharacters excludes all characters of one type: set excludeUppercase, excludeLowercase, excludeNumbers or excludePunctuation for that type, or requireEachIncludedType: false"
))]
pub struct GeneratorSpec {
    /// Type of the generated value.
    #[serde(default, rename = "type")]
    pub kind: GeneratorType,
    /// Password: number of characters.
    #[serde(default = "password_length")]
    #[schemars(range(min = 8, max = 4096))]
    pub password_length: i32,
    /// Password: characters that are excluded.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub exclude_characters: String,
    /// Password: exclude characters that look alike: `0 O o 1 I l | '` and the backtick.
    #[serde(default)]
    pub exclude_ambiguous: bool,
    /// Password: exclude characters that must be encoded in a URL. Of the punctuation, `- . _ ~` remain.
    #[serde(default)]
    pub exclude_url_unsafe: bool,
    /// Password: exclude digits.
    #[serde(default)]
    pub exclude_numbers: bool,
    /// Password: exclude punctuation.
    #[serde(default)]
    pub exclude_punctuation: bool,
    /// Password: exclude uppercase letters.
    #[serde(default)]
    pub exclude_uppercase: bool,
    /// Password: exclude lowercase letters.
    #[serde(default)]
    pub exclude_lowercase: bool,
    /// Password: include the space character.
    #[serde(default)]
    pub include_space: bool,
    /// Password: include at least one character of every type that is not excluded.
    #[serde(default = "yes")]
    pub require_each_included_type: bool,
    /// Bytes: number of random bytes before encoding, at least 8. Defaults to 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub length: Option<i32>,
    /// Bytes: encoding of the bytes. Defaults to Hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<BytesEncoding>,
    /// SshKeyPair: algorithm of the key. Defaults to Ed25519.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<SshKeyAlgorithm>,
    /// SshKeyPair: field for the public key. Defaults to ssh.pub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+$')").message(
        "publicKeyField may contain only letters, digits, dots, dashes and underscores, so that it is a valid key of a Secret"
    ))]
    pub public_key_field: Option<String>,
    /// TlsKeyPair: field for the certificate. Defaults to tls.crt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+$')").message(
        "certificateField may contain only letters, digits, dots, dashes and underscores, so that it is a valid key of a Secret"
    ))]
    pub certificate_field: Option<String>,
    /// TlsKeyPair: field for the CA certificate. Defaults to ca.crt. A new CA is created at every rotation, so it
    /// verifies the certificate of the same version only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+$')").message(
        "caField may contain only letters, digits, dots, dashes and underscores, so that it is a valid key of a Secret"
    ))]
    pub ca_field: Option<String>,
    /// TlsKeyPair: common name of the certificate's subject. Defaults to the first of dnsNames. Clients verify
    /// dnsNames, not the common name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub common_name: Option<String>,
    /// TlsKeyPair: DNS names of the server, such as api.shop.svc or *.example.org.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::dns_names")]
    pub dns_names: Option<Vec<String>>,
    /// TlsKeyPair: validity of the certificate in days. Defaults to 90. Must exceed the interval between rotations;
    /// twice the interval leaves time to recover from an outage. Without spec.rotation the certificate is not renewed.
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
            exclude_ambiguous: false,
            exclude_url_unsafe: false,
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

/// Type of a generated value.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum GeneratorType {
    /// Random characters.
    #[default]
    Password,
    /// A random UUID (version 4) in lowercase.
    Uuid,
    /// Random bytes in a text encoding.
    Bytes,
    /// A private key in OpenSSH format. The public key is stored in publicKeyField.
    SshKeyPair,
    /// A private key on curve P-256 (PKCS#8). The certificate is stored in certificateField, the CA certificate in
    /// caField.
    TlsKeyPair,
}

/// Bytes: encoding of the bytes. Defaults to Hex.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum BytesEncoding {
    /// Two lowercase hexadecimal digits per byte.
    #[default]
    Hex,
    /// Standard alphabet (+ and /) with padding.
    Base64,
    /// URL-safe alphabet (- and _) without padding.
    Base64Url,
}

/// SshKeyPair: algorithm of the key. Defaults to Ed25519.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SshKeyAlgorithm {
    /// Ed25519.
    #[default]
    Ed25519,
}
