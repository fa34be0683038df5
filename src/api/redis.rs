//! `spec.rotation.redis`: the passwords of a user in Redis or Valkey.

#![allow(unreachable_pub, reason = "KubeSchema repeats each struct inside a function")]

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::target::{AdminRef, TlsSpec, check_interval_rule, default_check_interval, host_rule};

/// Rotation of the password of a user in Redis or Valkey. The user has two passwords: the previous one keeps working until
/// the next rotation. The user is the field username of the value, the password is the field password.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RedisSpec {
    /// Name of the server: a Service of the namespace (cache, cache.shop.svc), or a name or address that the annotation
    /// rotated-secrets.io/allowed-hosts on the Namespace allows.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = host_rule())]
    pub host: String,
    /// Port of the server. Defaults to 6379.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// RotatedSecret of the namespace whose user may change the passwords of users (ACL SETUSER). It must name the same
    /// server (host, port, tls) in spec.rotation.redis. Defaults to the user itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_ref: Option<AdminRef>,
    /// Encryption of the connection and verification of the server.
    #[serde(default)]
    pub tls: TlsSpec,
    /// How often the operator logs in with the current value, to see whether the server still accepts it: 5m to 168h, in
    /// hours, minutes and seconds such as 1h or 90m. If it does not, Rotated and Ready are False with the reason
    /// `TargetDiverged`, and nothing is changed. 0s means never.
    #[serde(default = "default_check_interval")]
    #[schemars(length(min = 2, max = 24))]
    #[x_kube(validation = check_interval_rule())]
    pub check_interval: String,
}

fn default_port() -> i32 {
    6379
}
