//! `status.staged`: the version that a target does not accept yet, and why versions are abandoned.

#![allow(unreachable_pub, reason = "KubeSchema repeats each struct inside a function")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::mysql::MysqlUsers;
use super::target::TlsMode;

/// Version that becomes current only after the target of the rotation accepts it. The operator records it before it
/// stages the version, so that it can abandon the version also if the spec no longer names the target.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StagedStatus {
    /// ID of the version.
    #[schemars(length(max = 64))]
    pub version_id: String,
    /// Step that comes next.
    pub step: StagedStep,
    /// Time at which the operator recorded the version.
    pub since: Time,
    /// ID of the version that was current when the operator recorded this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub from: Option<String>,
    /// Due time of the scheduled rotation, if one was due when the operator recorded the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_time: Option<Time>,
    /// PostgreSQL server that may accept the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<StagedPostgres>,
    /// MySQL or MariaDB server that may accept the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mysql: Option<StagedMysql>,
    /// Redis or Valkey server that may accept the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<StagedRedis>,
    /// Receiver that may have made its target accept the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<StagedWebhook>,
    /// Jobs that may have made their target accept the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<StagedJob>,
}

/// The target of a staged version: one of the fields of [`StagedStatus`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StagedTarget {
    /// The field `postgres`.
    Postgres(StagedPostgres),
    /// The field `mysql`.
    Mysql(StagedMysql),
    /// The field `redis`.
    Redis(StagedRedis),
    /// The field `webhook`.
    Webhook(StagedWebhook),
    /// The field `job`.
    Job(StagedJob),
}

impl StagedStatus {
    /// The target that may accept the version.
    pub fn target(&self) -> Option<StagedTarget> {
        let postgres = self.postgres.clone().map(StagedTarget::Postgres);
        let mysql = || self.mysql.clone().map(StagedTarget::Mysql);
        let redis = || self.redis.clone().map(StagedTarget::Redis);
        let webhook = || self.webhook.clone().map(StagedTarget::Webhook);
        postgres.or_else(mysql).or_else(redis).or_else(webhook).or_else(|| self.job.clone().map(StagedTarget::Job))
    }

    /// The same version with this target.
    #[must_use]
    pub fn with_target(self, target: Option<StagedTarget>) -> Self {
        let without = Self { postgres: None, mysql: None, redis: None, webhook: None, job: None, ..self };
        match target {
            None => without,
            Some(StagedTarget::Postgres(postgres)) => Self { postgres: Some(postgres), ..without },
            Some(StagedTarget::Mysql(mysql)) => Self { mysql: Some(mysql), ..without },
            Some(StagedTarget::Redis(redis)) => Self { redis: Some(redis), ..without },
            Some(StagedTarget::Webhook(webhook)) => Self { webhook: Some(webhook), ..without },
            Some(StagedTarget::Job(job)) => Self { job: Some(job), ..without },
        }
    }
}

/// Step of a version on its way to the target.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
pub enum StagedStep {
    /// The version is written to AWS with the label AWSPENDING.
    Stage,
    /// The password is changed in the target.
    Apply,
    /// A new session with the new password is opened.
    Verify,
    /// The previous password is set in the target again, and the label AWSPENDING is removed.
    Abandon,
}

/// PostgreSQL server to which a version was staged, as the spec named it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct StagedPostgres {
    /// Name or address of the server.
    #[schemars(length(max = 253))]
    pub host: String,
    /// Port of the server.
    pub port: i32,
    /// Database to log in to.
    #[schemars(length(max = 63))]
    pub database: String,
    /// How the server is verified.
    #[serde(default)]
    pub tls_mode: TlsMode,
    /// Certificates of the authorities that the server's certificate may be issued by, as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub ca_bundle: Option<String>,
    /// Users that take turns. Not present with one user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alternating: Option<StagedAlternation>,
}

/// MySQL or MariaDB server to which a version was staged, as the spec named it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct StagedMysql {
    /// Name or address of the server.
    #[schemars(length(max = 253))]
    pub host: String,
    /// Port of the server.
    pub port: i32,
    /// Database to log in to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub database: Option<String>,
    /// Users whose password changes.
    #[serde(default)]
    pub users: MysqlUsers,
    /// How the server is verified.
    #[serde(default)]
    pub tls_mode: TlsMode,
    /// Certificates of the authorities that the server's certificate may be issued by, as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub ca_bundle: Option<String>,
    /// Users that take turns. Not present with one user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alternating: Option<StagedAlternation>,
}

/// Redis or Valkey server to which a version was staged, as the spec named it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct StagedRedis {
    /// Name or address of the server.
    #[schemars(length(max = 253))]
    pub host: String,
    /// Port of the server.
    pub port: i32,
    /// RotatedSecret with the user and password of the administrator. Not present if the user changes itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub admin_name: Option<String>,
    /// How the server is verified.
    #[serde(default)]
    pub tls_mode: TlsMode,
    /// Certificates of the authorities that the server's certificate may be issued by, as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub ca_bundle: Option<String>,
}

/// Receiver to which a version was sent, as the spec named it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct StagedWebhook {
    /// URL of the receiver.
    #[schemars(length(max = 2048))]
    pub url: String,
    /// RotatedSecret with the key that requests are signed with. Not present if requests carry a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub signing_key_name: Option<String>,
    /// Token that requests carry instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_token: Option<StagedToken>,
    /// Certificates of the authorities that the receiver's certificate may be issued by, as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub ca_bundle: Option<String>,
}

/// Token of a ServiceAccount, as the spec named it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct StagedToken {
    /// Name of the ServiceAccount.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Audience of the token.
    #[schemars(length(max = 2048))]
    pub audience: String,
}

/// Jobs that got a version, as the spec named their template.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct StagedJob {
    /// Name of the CronJob.
    #[schemars(length(max = 253))]
    pub template_name: String,
}

/// Users that take turns, as the spec named them.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct StagedAlternation {
    /// RotatedSecret with the user and password of the administrator.
    #[schemars(length(max = 253))]
    pub admin_name: String,
    /// User that the spec names.
    #[schemars(length(max = 63))]
    pub base: String,
    /// The second user.
    #[schemars(length(max = 63))]
    pub twin: String,
}

/// Why a staged version is abandoned: the reason in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
pub enum Abandonment {
    /// The login or the query that verifies the version failed.
    VerifyFailed,
    /// The spec no longer names a target, or no longer the users that take turns.
    TargetRemoved,
    /// A rollback was requested: to the version that is current, or to any version while the target does not take this one.
    Withdrawn,
    /// Another writer made another version current.
    Overtaken,
    /// The Secret is pinned to the version that is current.
    Pinned,
    /// It was not made: AWS has a version with this ID, which was made for the same cause before.
    AlreadyExists,
}

impl Abandonment {
    /// The word in the history.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
