//! `spec.rotation.postgres`: the password of a user in PostgreSQL.

#![allow(unreachable_pub, reason = "KubeSchema repeats each struct inside a function")]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rotation of the password of a user in PostgreSQL. The new password is changed in the server and verified by a login
/// before it becomes current. The user is the field username of the value, the password is the field password.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.users == 'AlternatingUsers' ? has(self.adminRef) : !has(self.adminRef) && !has(self.alternate)").message(
    "spec.rotation.postgres: AlternatingUsers requires adminRef, and adminRef and alternate require AlternatingUsers"
))]
pub struct PostgresSpec {
    /// Name of the server: a Service of the namespace (db, db.shop.svc), or a name or address that the annotation
    /// rotated-secrets.io/allowed-hosts on the Namespace allows. Name the server itself, not a connection pooler.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*$') || self.matches('^[0-9a-f:.]*:[0-9a-f:.]*:[0-9a-f:.]*$')").message(
        "spec.rotation.postgres.host: use a name in lower case such as db.shop.svc, or an IP address, without a scheme and a port"
    ))]
    pub host: String,
    /// Port of the server. Defaults to 5432.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Database to log in to.
    #[schemars(length(min = 1, max = 63))]
    pub database: String,
    /// Users whose password changes.
    #[serde(default)]
    pub users: PostgresUsers,
    /// RotatedSecret of the namespace whose user may create roles and change their passwords. It must name the same server
    /// (host, port, tls) in spec.rotation.postgres, or allow it in the annotation rotated-secrets.io/allowed-hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_ref: Option<PostgresAdminRef>,
    /// The second of two users that take turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alternate: Option<PostgresAlternateSpec>,
    /// Encryption of the connection and verification of the server.
    #[serde(default)]
    pub tls: PostgresTlsSpec,
    /// What a user with the new password must be able to do, beside the login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<PostgresVerifySpec>,
    /// How often the operator logs in with the current value, to see whether the server still accepts it: 5m to 168h, in
    /// hours, minutes and seconds such as 1h or 90m. If it does not, Rotated and Ready are False with the reason
    /// `TargetDiverged`, and nothing is changed. 0s means never.
    #[serde(default = "default_check_interval")]
    #[schemars(length(min = 2, max = 24))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{1,5}h([0-9]{1,5}m)?([0-9]{1,5}s)?$|^[0-9]{1,5}m([0-9]{1,5}s)?$|^[0-9]{1,5}s$') && (duration(self) == duration('0s') || (duration(self) >= duration('5m') && duration(self) <= duration('168h')))").message(
        "spec.rotation.postgres.checkInterval: use hours, minutes and seconds in this order, from 5m to 168h, such as 1h or 90m, or 0s for no checks"
    ))]
    pub check_interval: String,
}

/// An hour.
pub fn default_check_interval() -> String {
    "1h".to_owned()
}

fn default_port() -> i32 {
    5432
}

/// Users whose password changes.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PostgresUsers {
    /// One user. Between the change in the server and the update of the mirrored Secret, new logins with the mirrored
    /// password fail.
    #[default]
    SingleUser,
    /// The user and a second one with the same privileges take turns. A rotation changes the password of the one that is
    /// not in use, so the current password keeps working until the rotation after the next update of the mirrored Secret.
    AlternatingUsers,
}

/// RotatedSecret of the namespace with the user and password of an administrator of the server.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PostgresAdminRef {
    /// Name of the RotatedSecret. The operator reads the fields username and password of its current value in AWS.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// The second of two users that take turns.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PostgresAlternateSpec {
    /// What is appended to the name of the user. AWS's rotation functions use the same suffix.
    #[serde(default = "default_suffix")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_-]+$')").message(
        "spec.rotation.postgres.alternate.suffix: use letters, digits, _ and -"
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
    "spec.rotation.postgres.tls.caBundle has no effect with mode Disable: remove one of them"
))]
pub struct PostgresTlsSpec {
    /// How the server is verified.
    #[serde(default)]
    pub mode: PostgresTlsMode,
    /// Certificates of the authorities that the server's certificate may be issued by, as PEM. Defaults to the
    /// authorities of the operator's image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    #[x_kube(validation = Rule::new("self.contains('-----BEGIN CERTIFICATE-----')").message(
        "spec.rotation.postgres.tls.caBundle: paste certificates as PEM, beginning with -----BEGIN CERTIFICATE-----"
    ))]
    pub ca_bundle: Option<String>,
}

/// How the server is verified.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PostgresTlsMode {
    /// The certificate must be valid and issued for the host.
    #[default]
    VerifyFull,
    /// The certificate must be valid. Its name is not compared with the host.
    VerifyCa,
    /// The connection is not encrypted, and the server is not verified. A server that asks for the password in another
    /// form than SCRAM-SHA-256 is refused.
    Disable,
}

/// What a user with the new password must be able to do.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PostgresVerifySpec {
    /// Query that is run in a read-only transaction, with the old password before the change and with the new one after it.
    #[schemars(length(min = 1, max = 1024))]
    pub sql: String,
}
