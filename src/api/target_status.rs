//! `status.target`: what the target of a rotation answered when it was asked.

#![allow(unreachable_pub, reason = "KubeSchema repeats each struct inside a function")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

/// Answer of the target to a check: one that a refresh requested, a refusal, or the first acceptance after another answer.
/// Checks that change nothing are not recorded.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// Server or receiver that was asked, as host:port.
    #[serde(default)]
    #[schemars(length(max = 320))]
    pub host: String,
    /// Time of the check.
    pub check_time: Time,
    /// What the target answered.
    pub outcome: TargetOutcome,
    /// Why the target did not accept the current value: a word that the page of the target explains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
    /// User who logged in, if the spec names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub user: Option<String>,
    /// Whether the RotatedSecret in adminRef can be used. Present after a refresh only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub administrator: Option<AdministratorState>,
    /// Whether a rotation can change the password, tried without effect. Present after a refresh only, if the target accepts the
    /// current value and is a server with users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationTrial>,
    /// Token of the refresh that asked for the check, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub refresh: Option<String>,
    /// What is wrong. Not present if nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub message: Option<String>,
}

/// What a target answered.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
pub enum TargetOutcome {
    /// It accepts the current value.
    Accepted,
    /// It refuses it.
    Refused,
    /// It did not answer, or its answer was not understood.
    Unanswered,
    /// It was not asked, because the key or token for it cannot be used.
    NotAsked,
}

/// Whether an administrator can be used.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
pub enum AdministratorState {
    /// Its object names the server and has a current value with a user and a password.
    Usable,
    /// The message says why not.
    Unusable,
}

/// What a rotation could do, as far as that can be tried without effect.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
pub enum RotationTrial {
    /// It can change the password: the user, or the administrator, logs in and has the privileges.
    Possible,
    /// It cannot. The message says why.
    Impossible,
    /// It is not known, because the server did not answer.
    Unknown,
}
