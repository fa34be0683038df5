//! What the targets of a rotation have in common: host, encryption, administrator, checks.

#![allow(unreachable_pub, reason = "KubeSchema repeats each struct inside a function")]

use kube::KubeSchema;
use kube::core::{Message, Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// RotatedSecret of the namespace with the user and password of an administrator of the server.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AdminRef {
    /// Name of the RotatedSecret. The operator reads the fields username and password of its current value in AWS.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// The second of two users that take turns.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AlternateSpec {
    /// What is appended to the name of the user. AWS's rotation functions use the same suffix.
    #[serde(default = "default_suffix")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_-]+$')").message(
        "alternate.suffix: use letters, digits, _ and -"
    ))]
    pub suffix: String,
}

/// The suffix of AWS's rotation functions.
pub fn default_suffix() -> String {
    "_clone".to_owned()
}

/// Encryption of the connection and verification of the server.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.mode != 'Disable' || !has(self.caBundle)").message(
    "tls.caBundle has no effect with mode Disable: remove one of them"
))]
pub struct TlsSpec {
    /// How the server is verified.
    #[serde(default)]
    pub mode: TlsMode,
    /// Certificates of the authorities that the server's certificate may be issued by, as PEM. Defaults to the
    /// authorities of the operator's image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    #[x_kube(validation = Rule::new("self.contains('-----BEGIN CERTIFICATE-----')").message(
        "tls.caBundle: paste certificates as PEM, beginning with -----BEGIN CERTIFICATE-----"
    ))]
    pub ca_bundle: Option<String>,
}

/// How the server is verified.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum TlsMode {
    /// The certificate must be valid and issued for the host.
    #[default]
    VerifyFull,
    /// The certificate must be valid. Its name is not compared with the host.
    VerifyCa,
    /// The connection is not encrypted, and the server is not verified. PostgreSQL: a server that asks for the password in
    /// another form than SCRAM-SHA-256 is refused. MySQL and Redis: those who read the network traffic learn the password.
    Disable,
}

/// What a user with the new password must be able to do.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct VerifySpec {
    /// One query (SELECT, WITH, VALUES, TABLE or SHOW) that is run in a read-only transaction, with the old password before the
    /// change and with the new one after it.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("self.matches('(?i)^[[:space:]]*(select|with|values|table|show)([^[:word:]]|$)')").message(
        "verify.sql: use one query that begins with SELECT, WITH, VALUES, TABLE or SHOW"
    ))]
    pub sql: String,
}

/// An hour.
pub fn default_check_interval() -> String {
    "1h".to_owned()
}

/// A DNS name in lower case, or an IP address.
const IS_HOST: &str = "self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*$') || \
     self.matches('^[0-9a-f:.]*:[0-9a-f:.]*:[0-9a-f:.]*$')";

/// What `host` may be.
pub(super) fn host_rule() -> Rule {
    Rule::new(IS_HOST).message("host: use a name in lower case such as db.shop.svc, or an IP address, without a scheme and a port")
}

/// What `directHost` may be.
pub(super) fn direct_host_rule() -> Rule {
    Rule::new(IS_HOST).message("directHost: use a name in lower case such as db.shop.svc, or an IP address, without a scheme and a port")
}

/// How long the name of the second of two users may be, with a target in this field.
pub(super) fn second_user_rule(field: &str) -> Rule {
    let target = format!("self.rotation.{field}");
    Rule::new(format!(
        "!has(self.rotation) || !has({target}) || {target}.users != 'AlternatingUsers' || !has(self.value) || !has(self.value.data) || !('username' in \
         self.value.data) || size(self.value.data.username) + (has({target}.alternate) ? size({target}.alternate.suffix) : 6) <= 63"
    ))
    .message(Message::Message(format!(
        "spec.rotation.{field}.alternate.suffix: the name of the second user (spec.value.data.username and the suffix) must have at most 63 \
         characters"
    )))
}

/// An interval between two checks, or 0s.
pub(super) fn check_interval_rule() -> Rule {
    Rule::new(
        "self.matches('^[0-9]{1,5}h([0-9]{1,5}m)?([0-9]{1,5}s)?$|^[0-9]{1,5}m([0-9]{1,5}s)?$|^[0-9]{1,5}s$') && (duration(self) == \
         duration('0s') || (duration(self) >= duration('5m') && duration(self) <= duration('168h')))",
    )
    .message("checkInterval: use hours, minutes and seconds in this order, from 5m to 168h, such as 1h or 90m, or 0s for no checks")
}
