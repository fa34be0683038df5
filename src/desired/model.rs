//! The desired state of one object.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::lambda_rotation::LambdaRotation;
use super::rollout::Rollout;
use super::settings::Settings;
use super::strategy::Strategy;
use super::token::EMERGENCY;
use super::versions::{Pin, RollbackRequest};
use crate::api::{InitialRef, TAG_CLUSTER, TAG_NAMESPACE_UID};
use crate::command::{ObjectRef, SecretRef};
use crate::identity::Session;
use crate::refusal::Refusal;
use crate::schedule::Clock;
use crate::value::{DeclaredValue, Layout, short_hash};
use crate::version_id::{VersionId, VersionIds};

/// Maximum length of a tag value.
const LONGEST_TAG: usize = 256;

/// How a new version becomes current.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// At once: there is no target that has to accept it.
    #[default]
    Direct,
    /// It is staged, applied to a target and verified first.
    Staged,
}

/// Desired state of one object.
#[derive(Debug, Clone)]
pub struct Desired {
    /// Derives version IDs.
    pub ids: VersionIds,
    pub uid: String,
    pub namespace: String,
    pub name: String,
    /// Nothing is written while true.
    pub suspended: bool,
    /// What the annotation of the Namespace says that suspends the object. Bounded; untrusted.
    pub suspended_by_namespace: Option<String>,
    /// AWS region.
    pub region: String,
    /// Name of the AWS secret.
    pub secret_name: String,
    /// Whether that name is under the namespace's own prefix.
    pub own_prefix: bool,
    /// Cluster and namespace for role sessions.
    pub session: Session,
    /// ServiceAccount whose identity is used.
    pub service_account: Option<String>,
    /// `None`: the description is not changed.
    pub description: Option<String>,
    /// KMS key, resource policy, replicas, adoption.
    pub settings: Settings,
    /// Ownership tags and the tags from the spec.
    pub tags: BTreeMap<String, String>,
    /// Recovery window in days with which deletion is scheduled. `None`: the AWS secret is retained.
    pub delete_after_days: Option<i32>,
    /// `None`: mirror only.
    pub value: Option<DeclaredValue>,
    /// The Secret that has the first value; `None`: it is generated.
    pub initial: Option<InitialRef>,
    pub rotation: Rotation,
    /// How a new version becomes current.
    pub delivery: Delivery,
    /// The target that has to accept a value before it becomes current.
    pub strategy: Option<Strategy>,
    /// Name of the mirrored Secret, whether or not one is declared.
    pub mirror_name: String,
    /// `None`: no mirror.
    pub target: Option<Target>,
    /// How workloads take up a new version; `None`: no workload is restarted.
    pub rollout: Option<Rollout>,
    /// Number of versions with a retention label, 0 to 10.
    pub keep_versions: u32,
    /// Token of the rotate request.
    pub rotate_request: Option<String>,
    /// That request retires the previous credential at once.
    pub emergency: bool,
    /// The rollback request.
    pub rollback_request: Option<RollbackRequest>,
    /// Token of the refresh request.
    pub refresh_request: Option<String>,
    /// Minimum interval between the versions that requests create, after the first three.
    pub request_interval: SignedDuration,
}

/// Rotation of the value.
#[derive(Debug, Clone)]
pub enum Rotation {
    /// No rotation.
    Never,
    /// Rotation by the operator on a schedule.
    Scheduled {
        clock: Clock,
        /// The schedule as written, and the other settings that differ from their defaults. A different text is an edit
        /// of the schedule.
        expression: String,
        /// The next due time is shown, but nothing is rotated.
        suspended: bool,
        /// Rotate immediately when rotation is first configured for an existing value.
        immediately: bool,
    },
    /// Rotation by AWS with a Lambda function.
    Lambda(LambdaRotation),
    /// The schedule is rejected. Everything else is reconciled.
    Refused(Refusal),
}

/// The mirrored Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub name: String,
    pub layout: Layout,
    /// Labels, including ours.
    pub labels: BTreeMap<String, String>,
    /// Annotations, without ours.
    pub annotations: BTreeMap<String, String>,
    /// The version that the Secret holds.
    pub pin: Pin,
    /// Whether it also holds the version before that one.
    pub with_previous: bool,
    /// Whether the Secret is retained when the object is deleted.
    pub retained: bool,
    /// Whether an existing Secret may be adopted if it has our annotation.
    pub adopts: bool,
}

impl Target {
    /// Hash of everything in the Secret except its values. It shows whether the Secret, with these keys, was rendered
    /// as declared.
    pub fn rendering<'a>(&self, keys: impl IntoIterator<Item = &'a str>) -> String {
        let mut names: Vec<&str> = keys.into_iter().collect();
        names.sort_unstable();
        let mut shape = vec![
            serde_json::json!(self.layout.kind.as_str()),
            serde_json::json!(self.layout.keys),
            serde_json::json!(names),
            serde_json::json!(self.labels),
            serde_json::json!(self.annotations),
        ];
        // Only if it is set, so that the hash of other Secrets does not change.
        shape.extend(self.layout.whole.as_ref().map(|key| serde_json::json!({"whole": key})));
        let templates: BTreeMap<&str, &str> = self.layout.templates.iter().map(|(key, template)| (key.as_str(), template.text())).collect();
        shape.extend((!templates.is_empty()).then(|| serde_json::json!({"templates": templates})));
        short_hash(serde_json::Value::from(shape).to_string().as_bytes())
    }
}

impl Desired {
    /// Whether a person requested this version because the credential before it must not be used any longer. `handled`: the
    /// last request that the status tells of. The annotation may be removed after that, or ask for the next version.
    pub fn is_emergency(&self, handled: Option<&str>, version: &VersionId) -> bool {
        let asked = self.rotate_request.as_deref().filter(|_| self.emergency);
        let handled = handled.filter(|token| token.ends_with(EMERGENCY));
        asked.into_iter().chain(handled).any(|token| self.ids.request(token) == *version)
    }

    /// The object, for commands in messages.
    pub fn object_ref(&self) -> ObjectRef<'_> {
        ObjectRef { namespace: &self.namespace, name: &self.name }
    }

    /// The mirrored Secret, for commands in messages.
    pub fn mirror_ref(&self) -> ObjectRef<'_> {
        ObjectRef { namespace: &self.namespace, name: self.target.as_ref().map_or(&self.mirror_name, |target| &target.name) }
    }

    /// The AWS secret by its name, for commands in messages.
    pub fn secret_ref(&self) -> SecretRef<'_> {
        SecretRef { region: &self.region, id: &self.secret_name }
    }

    /// Strategy of the rotation, as named in metrics: `Generate`, `Lambda`, the strategy, or `None` if the value is not managed.
    pub fn strategy(&self) -> &'static str {
        if let Some(strategy) = &self.strategy {
            return strategy.name();
        }
        match (&self.rotation, &self.value) {
            (Rotation::Lambda(_), _) => "Lambda",
            (_, Some(_)) => "Generate",
            (_, None) => "None",
        }
    }

    /// Region and name of the AWS secret, which tell it from others.
    pub fn secret_key(&self) -> String {
        format!("{}/{}", self.region, self.secret_name)
    }

    /// The same, in the namespace with this uid. The uid is not part of the object, so it is not known when the object is
    /// parsed.
    #[must_use]
    pub fn within(mut self, namespace_uid: Option<String>) -> Self {
        self.tags.extend(namespace_uid.map(|uid| (TAG_NAMESPACE_UID.to_owned(), uid)));
        self
    }

    /// Whether the object changes anything in AWS: the value, or the rotation of a value that is managed elsewhere.
    pub fn manages(&self) -> bool {
        self.value.is_some() || matches!(self.rotation, Rotation::Lambda(_))
    }

    /// Whether deletion of the object requires cleanup: as `needs_cleanup`, except for a version that is staged already.
    pub fn needs_finalizer(&self) -> bool {
        let retained = self.target.as_ref().is_some_and(|target| target.retained);
        // A version that is staged then is abandoned.
        self.delete_after_days.is_some() || self.strategy.is_some() || retained
    }

    /// Value of the rotation tag. Derived from the name, so that a recreated object continues the rotation of its
    /// predecessor.
    pub fn rotation_claim(&self) -> String {
        let cluster = self.tags.get(TAG_CLUSTER).map_or("", String::as_str);
        let mark = format!("{cluster}/{}/{}", self.namespace, self.name);
        if mark.chars().count() <= LONGEST_TAG { mark } else { short_hash(mark.as_bytes()) }
    }
}
