//! Parses an object into the desired state, or into a refusal that says what to write instead.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use kube::ResourceExt;

use crate::api::condition::Reason;
use crate::api::{
    AwsDeletionPolicy, CreationPolicy, REFRESH, ROLLBACK, ROTATE, RotatedSecret, SecretAdoptionPolicy, SecretDeletionPolicy, TAG_CLUSTER,
    TAG_NAME, TAG_NAMESPACE, TAG_UID,
};
use crate::identity::Session;
use crate::refusal::Refusal;
use crate::schedule::{Clock, Schedule, ScheduleError, Span, parse_duration};
use crate::value::{DeclaredValue, Layout, short_hash};
use crate::version_id::VersionIds;

mod arn;
mod generators;
pub mod key;
pub mod lambda_rotation;
mod place;
pub mod resource_policy;
mod settings;
mod versions;

pub use arn::SecretArn;
pub use settings::{Setting, Settings};
pub use versions::{Pin, RollbackRequest, RollbackTo};

pub use lambda_rotation::{LambdaRotation, Rules};

/// Settings of the administrator that apply to every object.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Region of objects that do not set one.
    pub default_region: String,
    /// Regions that objects may use. Empty: any.
    pub allowed_regions: Vec<String>,
    /// Prefix of AWS names: `<prefix>/<namespace>/<name>`, unless the Namespace allows other names.
    pub name_prefix: String,
    /// Cluster ID of the owner in the ownership tags.
    pub cluster: String,
    /// Minimum interval between two due times.
    pub minimum_interval: SignedDuration,
    /// Whether objects may use the identity of a ServiceAccount in their namespace.
    pub service_accounts: bool,
    /// KMS keys that objects may use, as globs over the key as written. Empty: any.
    pub allowed_kms_keys: Vec<String>,
    /// Whether objects may set a resource policy.
    pub allow_resource_policies: bool,
}

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
    pub rotation: Rotation,
    /// How a new version becomes current.
    pub delivery: Delivery,
    /// `None`: no mirror.
    pub target: Option<Target>,
    /// Number of versions with a retention label, 0 to 10.
    pub keep_versions: u32,
    /// Token of the rotate request.
    pub rotate_request: Option<String>,
    /// The rollback request.
    pub rollback_request: Option<RollbackRequest>,
    /// Token of the refresh request.
    pub refresh_request: Option<String>,
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
        let shape = serde_json::json!([self.layout.kind.as_str(), self.layout.keys, names, self.labels, self.annotations]);
        short_hash(shape.to_string().as_bytes())
    }
}

impl Desired {
    /// Strategy of the rotation, as named in metrics: `Generate`, `Lambda`, or `None` if the value is not managed.
    pub fn strategy(&self) -> &'static str {
        match (&self.rotation, &self.value) {
            (Rotation::Lambda(_), _) => "Lambda",
            (_, Some(_)) => "Generate",
            (_, None) => "None",
        }
    }

    /// Parses the object. CEL rejects most mistakes at admission; the checks here need the operator's configuration or
    /// exceed CEL.
    ///
    /// # Errors
    /// A refusal with reason and message.
    pub fn parse(object: &RotatedSecret, policy: &Policy) -> Result<Self, Refusal> {
        Self::parse_in(object, policy, None)
    }

    /// `recorded`: location of the AWS secret, for the fields that the spec does not set. `None`: the flags set them.
    fn parse_in(object: &RotatedSecret, policy: &Policy, recorded: Option<&SecretArn>) -> Result<Self, Refusal> {
        let invalid = |message: &str| Refusal::new(Reason::InvalidSpec, message);
        let uid = object.uid().ok_or_else(|| invalid("the object has no uid, so it was not read from the API server"))?;
        let namespace = object.namespace().ok_or_else(|| invalid("the object has no namespace"))?;
        let name = object.name_any();
        let aws = &object.spec.aws;

        let region = aws.region.clone().unwrap_or_else(|| recorded.map_or(&policy.default_region, |recorded| &recorded.region).clone());
        if !policy.allowed_regions.is_empty() && !policy.allowed_regions.contains(&region) {
            return Err(Refusal::new(
                Reason::RegionNotAllowed,
                format!(
                    "the region {region} is not among the regions that the operator allows ({}): create a new object with one of them in \
                     spec.aws.region, or ask the administrator to extend --allowed-regions",
                    policy.allowed_regions.join(", ")
                ),
            ));
        }

        let own = format!("{}/{namespace}/", policy.name_prefix);
        let configured = format!("{own}{name}");
        let secret_name = aws.secret_name.clone().unwrap_or_else(|| recorded.map_or(&configured, |recorded| &recorded.name).clone());
        let mut own_prefix = secret_name.len() > own.len() && secret_name.starts_with(&own);
        if recorded.is_some() && aws.secret_name.is_none() && secret_name != configured {
            if !arn::is_default_name(&secret_name, &namespace, &name) {
                return Err(Refusal::new(Reason::Moved, "that name cannot be an earlier default name of this object"));
            }
            // The ownership tags must confirm it. A mirror-only object has no ownership tags; its namespace must be allowed
            // to use the name.
            own_prefix |= object.spec.value.is_some();
        }
        if secret_name.len() > 512 {
            return Err(invalid("the name of the AWS secret would exceed 512 characters: set a shorter spec.aws.secretName"));
        }

        let value = match &object.spec.value {
            None => None,
            // Nothing is generated any more, so an invalid generator must not block the deletion.
            Some(_) if object.metadata.deletion_timestamp.is_some() => {
                Some(DeclaredValue::Fields { data: BTreeMap::new(), generate: BTreeMap::new() })
            }
            Some(spec) => Some(generators::declared(spec)?),
        };

        let mut tags = aws.tags.clone();
        for (key, value) in [(TAG_CLUSTER, &policy.cluster), (TAG_NAMESPACE, &namespace), (TAG_NAME, &name), (TAG_UID, &uid)] {
            tags.insert(key.to_owned(), value.clone());
        }

        let annotation = |key: &str| object.annotations().get(key).filter(|token| !token.is_empty()).map(|token| bounded(token));
        Ok(Self {
            ids: VersionIds::of(&uid),
            suspended: object.spec.suspend,
            settings: Settings::read(aws, &region, policy),
            own_prefix,
            session: Session { cluster: policy.cluster.clone(), namespace: namespace.clone() },
            service_account: aws.service_account_ref.as_ref().map(|account| account.name.clone()),
            description: aws.description.clone(),
            tags,
            delete_after_days: (aws.deletion_policy == AwsDeletionPolicy::Delete).then(|| aws.recovery_window_in_days.clamp(7, 30)),
            rotation: generators::outliving(rotation(object, policy, &region, VersionIds::of(&uid)), value.as_ref()),
            region,
            value,
            delivery: Delivery::Direct,
            target: target(object, &name),
            keep_versions: u32::try_from(aws.keep_versions).unwrap_or(0).min(10),
            rotate_request: annotation(ROTATE),
            rollback_request: object.annotations().get(ROLLBACK).and_then(|text| RollbackRequest::parse(text)),
            refresh_request: annotation(REFRESH),
            uid,
            namespace,
            name,
            secret_name,
        })
    }

    /// Whether deletion of the object requires cleanup.
    pub fn needs_finalizer(&self) -> bool {
        (self.value.is_some() && self.delete_after_days.is_some()) || self.target.as_ref().is_some_and(|target| target.retained)
    }
}

/// Token as stored in the status. A long token is replaced by its hash, to limit the size of the status.
pub(crate) fn bounded(token: &str) -> String {
    if token.chars().count() <= 128 { token.to_owned() } else { short_hash(token.as_bytes()) }
}

fn rotation(object: &RotatedSecret, policy: &Policy, region: &str, ids: VersionIds) -> Rotation {
    let Some(spec) = &object.spec.rotation else { return Rotation::Never };
    if let Some(lambda) = &spec.lambda {
        return lambda_rotation::parse(spec, lambda, region, policy);
    }
    let refused = |reason, message: String| Rotation::Refused(Refusal::new(reason, message));
    let invalid = |field: &str, error: ScheduleError| refused(Reason::InvalidSpec, format!("spec.rotation.{field}: {error}"));
    let zone = spec.time_zone.as_deref();
    let (parsed, expression) = match (&spec.schedule, spec.automatically_after_days) {
        (Some(expression), _) => (Schedule::parse_in(expression, zone), expression.clone()),
        (None, Some(_)) if zone.is_some() => (Err(ScheduleError::ZoneWithoutCron), String::new()),
        (None, Some(days)) => (Schedule::after_days(u32::try_from(days).unwrap_or(0)), format!("rate({days} days)")),
        (None, None) => {
            return refused(Reason::InvalidSpec, "spec.rotation: set exactly one of schedule and automaticallyAfterDays".to_owned());
        }
    };
    let schedule = match parsed {
        Ok(schedule) => schedule,
        Err(error @ (ScheduleError::TimeZone(_) | ScheduleError::ZoneWithoutCron)) => return invalid("timeZone", error),
        Err(error) => return invalid("schedule", error),
    };
    let shortest = schedule.shortest_interval();
    if shortest < policy.minimum_interval {
        let leap = if schedule.time_zone().is_some() { " (at least when daylight saving time begins)" } else { "" };
        return refused(
            Reason::IntervalTooShort,
            format!(
                "spec.rotation.schedule: {}{leap} between two rotations is less than the minimum of {} that this operator allows; rotate \
                 less often, or ask the administrator to lower --minimum-rotation-interval",
                Span(shortest),
                Span(policy.minimum_interval)
            ),
        );
    }
    let clock = parse_duration(&spec.duration).and_then(|duration| Clock::new(schedule, duration, spec.on_missed_window, ids));
    match clock {
        Ok(clock) => Rotation::Scheduled {
            expression: clock.describe(&expression),
            clock,
            suspended: spec.suspend,
            immediately: spec.rotate_immediately,
        },
        Err(error) => invalid("duration", error),
    }
}

fn target(object: &RotatedSecret, name: &str) -> Option<Target> {
    let spec = &object.spec.target;
    if spec.creation_policy == CreationPolicy::None {
        return None;
    }
    let mut labels = spec.labels.clone();
    labels.insert(crate::api::MANAGED_BY.0.to_owned(), crate::api::MANAGED_BY.1.to_owned());
    Some(Target {
        name: spec.name.clone().unwrap_or_else(|| name.to_owned()),
        layout: Layout { kind: spec.kind, keys: spec.keys.clone() },
        labels,
        annotations: spec.annotations.clone(),
        pin: Pin::of(spec),
        retained: spec.deletion_policy == SecretDeletionPolicy::Retain,
        adopts: spec.adoption_policy == SecretAdoptionPolicy::IfAnnotated,
    })
}

/// Whether one of the administrator's globs (`*` any characters, `?` one character) matches `name`.
pub fn glob_allows(globs: &str, name: &str) -> bool {
    globs.split([',', '\n', ' ']).map(str::trim).filter(|glob| !glob.is_empty()).any(|glob| matches(glob.as_bytes(), name.as_bytes()))
}

/// Glob match with a single backtracking point, so that a tenant's name cannot make it slow.
fn matches(glob: &[u8], name: &[u8]) -> bool {
    let (mut g, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match glob.get(g) {
            Some(b'*') => {
                retry = Some((g, n));
                g += 1;
            }
            Some(&c) if c == b'?' || name.get(n) == Some(&c) => {
                g += 1;
                n += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    g = star + 1;
                    n = from + 1;
                    retry = Some((star, from + 1));
                }
                None => return false,
            },
        }
    }
    glob.get(g..).is_none_or(|rest| rest.iter().all(|&c| c == b'*'))
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
