//! Desired state of an object that is being deleted. It is parsed from the object without a possible refusal: the
//! object must be released, also if an administrator has forbidden its settings since.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::ResourceExt;

use super::arn::{SecretArn, is_default_name};
use super::place::RecordedPlace;
use super::policy::Policy;
use super::strategy::Strategy;
use crate::api::{
    AwsDeletionPolicy, Cause, CreationPolicy, RotatedSecret, SecretDeletionPolicy, TAG_CLUSTER, TAG_NAME, TAG_NAMESPACE, TAG_NAMESPACE_UID,
    TAG_UID,
};
use crate::command::ObjectRef;
use crate::identity::Session;
use crate::version_id::{VersionId, VersionIds};

/// What has to be done before the object may go.
#[derive(Debug, Clone)]
pub struct Removal {
    pub namespace: String,
    pub name: String,
    /// The seed of the backoff.
    pub ids: VersionIds,
    /// Nothing is written to AWS.
    pub suspended: bool,
    /// When the deletion was requested.
    pub requested: Timestamp,
    /// Name of the mirrored Secret, if one is declared.
    pub target: Option<String>,
    /// Name of the Secret that is retained.
    pub mirror: Option<String>,
    /// `None`: there is nothing to do in AWS.
    pub aws: Option<AwsRemoval>,
    /// The target whose staged version is abandoned: the declared one, or the recorded one.
    pub strategy: Option<Strategy>,
    /// The version that the status says is staged.
    pub staged: Option<VersionId>,
}

/// The AWS secret that is deleted with the object, or in which a staged version is abandoned.
#[derive(Debug, Clone)]
pub struct AwsRemoval {
    /// Recovery window in days; `None`: the secret is retained.
    pub window: Option<i32>,
    /// Whether the object still declares a value. If not, it does not delete the secret that it managed before.
    pub managed: bool,
    /// Whether the status says that the object is adopting a secret, whose tags may still name the object before it.
    pub adopting: bool,
    /// Cluster and namespace for role sessions.
    pub session: Session,
    /// ServiceAccount whose identity is used.
    pub service_account: Option<String>,
    /// The ARN that the status reports. A user who can write the status can write any ARN there, so it only says where to
    /// look.
    pub recorded: Option<SecretArn>,
    /// Where the operator last began to create, restore or adopt the secret, as the status reports it.
    attempt: Option<RecordedPlace>,
    /// The four ownership tags. They prove that a secret is this object's.
    tags: BTreeMap<String, String>,
    /// The region and the name in the spec.
    spec: (Option<String>, Option<String>),
    /// The region and the prefix `<prefix>/<namespace>/` that the flags set.
    flags: (String, String),
    namespace: String,
    name: String,
}

/// Whose a secret is, by its tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// This object.
    This,
    /// An earlier object of the same name in the same namespace.
    Former,
    /// Another one, or none.
    Another,
}

/// Whether the deletion of such an object requires work. It follows from the object alone, so that it is known before
/// anything else is. An object that has lost `spec.value` reports the AWS secret that it leaves behind. One that has lost
/// its target abandons the version that the status says is staged.
pub fn needs_cleanup(object: &RotatedSecret) -> bool {
    let spec = &object.spec;
    let retains = spec.target.creation_policy == CreationPolicy::Owner && spec.target.deletion_policy == SecretDeletionPolicy::Retain;
    // A version that is staged then is abandoned.
    let staged = spec.rotation.as_ref().is_some_and(|rotation| rotation.target_field().is_some())
        || object.status.as_ref().is_some_and(|status| status.staged.is_some());
    spec.aws.deletion_policy == AwsDeletionPolicy::Delete || retains || staged
}

/// A place where the AWS secret may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretPlace {
    pub region: String,
    pub name: String,
    /// Whether the name needs no permission: it is below the prefix of the namespace, or an earlier default name.
    pub own_name: bool,
}

impl Removal {
    /// Parses the object.
    pub fn of(object: &RotatedSecret, policy: &Policy) -> Self {
        let uid = object.uid().unwrap_or_default();
        let spec = &object.spec;
        let requested = object.metadata.deletion_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        let target = spec.target.name.clone().unwrap_or_else(|| object.name_any());
        let retained = spec.target.deletion_policy == SecretDeletionPolicy::Retain;
        let managed_before = object.status.as_ref().is_some_and(|status| status.declared.is_some());
        let manages = spec.value.is_some() || managed_before;
        let deletes = manages && spec.aws.deletion_policy == AwsDeletionPolicy::Delete;
        let namespace = object.namespace().unwrap_or_default();
        let staged = object.status.as_ref().and_then(|status| status.staged.as_ref());
        let recorded = staged.and_then(|staged| Some(Strategy::recorded(&staged.target()?, &namespace)));
        let strategy = match (recorded, Strategy::declared(spec, &namespace)) {
            (Some(recorded), Some(declared)) => Some(recorded.corrected(&declared)),
            (recorded, declared) => recorded.or(declared),
        };
        let matters = (deletes || strategy.is_some()) && !uid.is_empty();
        Self {
            staged: staged.map(|staged| staged.version_id.as_str().into()),
            namespace: namespace.clone(),
            name: object.name_any(),
            ids: VersionIds::of(&uid),
            suspended: spec.suspend,
            requested,
            mirror: retained.then(|| target.clone()),
            target: (spec.target.creation_policy == CreationPolicy::Owner).then_some(target),
            aws: matters.then(|| AwsRemoval::of(object, policy, uid, deletes)),
            strategy,
        }
    }
}

impl Removal {
    /// The object, for commands in messages.
    pub fn object_ref(&self) -> ObjectRef<'_> {
        ObjectRef { namespace: &self.namespace, name: &self.name }
    }
}

impl AwsRemoval {
    fn of(object: &RotatedSecret, policy: &Policy, uid: String, deletes: bool) -> Self {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let aws = &object.spec.aws;
        let tags = [(TAG_CLUSTER, policy.cluster.clone()), (TAG_NAMESPACE, namespace.clone()), (TAG_NAME, name.clone()), (TAG_UID, uid)];
        let reported = object.status.as_ref().and_then(|status| status.aws.as_ref()?.arn.as_deref());
        let newest = object.status.as_ref().and_then(|status| status.history.first());
        Self {
            managed: object.spec.value.is_some(),
            adopting: reported.is_none() && newest.is_some_and(|newest| newest.cause == Cause::Adopted),
            window: deletes.then(|| aws.recovery_window_in_days.clamp(7, 30)),
            session: Session { cluster: policy.cluster.clone(), namespace: namespace.clone() },
            service_account: aws.service_account_ref.as_ref().map(|account| account.name.clone()),
            recorded: reported.and_then(SecretArn::parse).filter(|arn| plain(&arn.name)),
            attempt: object.status.as_ref().and_then(|status| RecordedPlace::of_attempt(status.aws.as_ref()?.place.as_ref()?)),
            tags: tags.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            spec: (aws.region.clone(), aws.secret_name.clone()),
            flags: (policy.default_region.clone(), format!("{}/{namespace}/", policy.name_prefix)),
            namespace,
            name,
        }
    }

    /// Whether these tags prove that the secret is this object's.
    pub fn owns(&self, tags: &BTreeMap<String, String>) -> bool {
        self.tags.iter().all(|(key, value)| tags.get(key) == Some(value))
    }

    /// Whose the secret is. `namespace_uid`: of the object's namespace.
    pub fn owner(&self, tags: &BTreeMap<String, String>, namespace_uid: Option<&str>) -> Owner {
        let succeeds = || self.tags.iter().all(|(key, value)| key == TAG_UID || tags.get(key) == Some(value));
        let same_namespace = || namespace_uid.is_some() && tags.get(TAG_NAMESPACE_UID).map(String::as_str) == namespace_uid;
        match self.owns(tags) {
            true => Owner::This,
            false if succeeds() && same_namespace() => Owner::Former,
            false => Owner::Another,
        }
    }

    /// Where to look, best first: where the recorded ARN says, or where the last attempt was, and where the flags put the
    /// secret today. A record that contradicts the spec comes last: the tags decide whether it is this object's.
    /// `recorded`: the ARN in the status, or on the mirrored Secret.
    pub fn places(&self, recorded: Option<&SecretArn>) -> Vec<SecretPlace> {
        let (default_region, own) = &self.flags;
        let below = |name: &str| name.len() > own.len() && name.starts_with(own.as_str());
        let (spec_region, spec_name) = (self.spec.0.as_ref(), self.spec.1.as_ref());
        let (mut places, mut contradicting) = (Vec::new(), Vec::new());
        let configured = format!("{own}{}", self.name);
        let of_arn = recorded.map(|arn| (&arn.region, &arn.name, self.recorded.as_ref() == Some(arn)));
        let of_attempt = self.attempt.as_ref().map(|place| (&place.region, &place.name, true));
        for (region, name, in_status) in of_arn.into_iter().chain(of_attempt) {
            let earlier = is_default_name(name, &self.namespace, &self.name);
            let contradicts =
                spec_region.is_some_and(|spec| spec != region) || spec_name.map_or(!earlier && *name != configured, |spec| spec != name);
            // Anyone who may write Secrets in the namespace can write an ARN that is not in the status.
            let own_name = below(name) || (earlier && in_status);
            let place = SecretPlace { region: region.clone(), name: name.clone(), own_name };
            if contradicts { &mut contradicting } else { &mut places }.push(place);
        }
        let name = spec_name.unwrap_or(&configured);
        // AWS has no longer names.
        if name.len() <= 512 {
            places.push(SecretPlace { region: spec_region.unwrap_or(default_region).clone(), name: name.clone(), own_name: below(name) });
        }
        // Only what the tags prove is deleted, and only under a name that this namespace may use.
        places.extend(contradicting);
        let mut known = BTreeSet::new();
        places.retain(|place| known.insert((place.region.clone(), place.name.clone())));
        places
    }
}

/// Whether the name has only characters that AWS allows in names.
fn plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_+=.@!-".contains(&byte))
}

#[cfg(test)]
mod tests;
