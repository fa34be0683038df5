//! `spec.rotation.mysql`: the password of a user in MySQL or MariaDB.

#![allow(unreachable_pub, reason = "KubeSchema repeats each struct inside a function")]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::target::{
    AdminRef, AlternateSpec, TlsSpec, VerifySpec, check_interval_rule, default_check_interval, direct_host_rule, host_rule,
};

/// Rotation of the password of a user in MySQL or MariaDB. The new password is changed in the server and verified by a
/// login before it becomes current. The user is the field username of the value, the password is the field password.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.users == 'AlternatingUsers' ? has(self.adminRef) : !has(self.adminRef) && !has(self.alternate)").message(
    "spec.rotation.mysql: AlternatingUsers requires adminRef, and adminRef and alternate require AlternatingUsers"
))]
#[x_kube(validation = Rule::new("!has(self.directPort) || has(self.directHost)").message(
    "spec.rotation.mysql.directPort requires directHost"
))]
pub struct MysqlSpec {
    /// Name of the server: a Service of the namespace (db, db.shop.svc), or a name or address that the annotation
    /// rotated-secrets.io/allowed-hosts on the Namespace allows. If it is a proxy, name the server in directHost.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = host_rule())]
    pub host: String,
    /// Port of the server. Defaults to 3306.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Name of the server behind host, if host is a connection pooler or a proxy (ProxySQL, RDS Proxy), which has passwords
    /// of its own. The operator changes and verifies the password there, and checks it through host. The same rules as for
    /// host apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = direct_host_rule())]
    pub direct_host: Option<String>,
    /// Port of the server behind host. Defaults to 3306.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub direct_port: Option<i32>,
    /// Database to log in to. Defaults to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub database: Option<String>,
    /// Users whose password changes.
    #[serde(default)]
    pub users: MysqlUsers,
    /// RotatedSecret of the namespace whose user may create users, change their passwords, read the tables of `mysql`, and
    /// grant what the user has. It must name the same server (host, port, tls) in spec.rotation.mysql.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_ref: Option<AdminRef>,
    /// The second of two users that take turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alternate: Option<AlternateSpec>,
    /// Encryption of the connection and verification of the server.
    #[serde(default)]
    pub tls: TlsSpec,
    /// What a user with the new password must be able to do, beside the login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<VerifySpec>,
    /// How often the operator logs in with the current value, to see whether the server still accepts it: 5m to 168h, in
    /// hours, minutes and seconds such as 1h or 90m. If it does not, Rotated and Ready are False with the reason
    /// `TargetDiverged`, and nothing is changed. 0s means never.
    #[serde(default = "default_check_interval")]
    #[schemars(length(min = 2, max = 24))]
    #[x_kube(validation = check_interval_rule())]
    pub check_interval: String,
}

fn default_port() -> i32 {
    3306
}

/// Users whose password changes.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum MysqlUsers {
    /// One user with one password. Between the change in the server and the update of the mirrored Secret, new logins with
    /// the mirrored password fail.
    #[default]
    SingleUser,
    /// One user with two passwords, which MySQL has since 8.0.14 and MariaDB has not. The previous password keeps working
    /// until the next rotation. The user needs the privilege APPLICATION_PASSWORD_ADMIN.
    DualPassword,
    /// The user and a second one with the same privileges take turns. A rotation changes the password of the one that is
    /// not in use, so the current password keeps working until the rotation after the next update of the mirrored Secret.
    AlternatingUsers,
}
