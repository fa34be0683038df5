//! Parse, don't validate: the object as users wrote it becomes what the operator wants, or a refusal that says what to write instead.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use kube::ResourceExt;

use crate::api::condition::Reason;
use crate::api::{
    AwsDeletionPolicy, CreationPolicy, REFRESH, ROLLBACK, ROTATE, RotatedSecret, SecretAdoptionPolicy, SecretDeletionPolicy, TAG_CLUSTER,
    TAG_NAME, TAG_NAMESPACE, TAG_UID,
};
use crate::identity::Session;
use crate::version_id::VersionIds;
use crate::schedule::{Clock, Schedule, ScheduleError, Span, parse_duration};
use crate::value::{DeclaredValue, Layout, short_hash};

mod arn;
pub mod lambda_rotation;
mod generators;
pub mod key;
mod place;
pub mod resource_policy;
mod settings;
mod versions;

pub use arn::SecretArn;
pub use settings::{Setting, Settings};
pub use versions::{Pin, RollbackRequest, RollbackTo};

pub use lambda_rotation::{LambdaRotation, Rules};

pub use crate::refusal::Refusal;

/// What the administrator decides for every object.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The region of objects that name none.
    pub default_region: String,
    /// The regions that objects may name; empty: any.
    pub allowed_regions: Vec<String>,
    /// AWS names lie under `<prefix>/<namespace>/` unless the Namespace says otherwise.
    pub name_prefix: String,
    /// Which cluster owns what this operator creates.
    pub cluster: String,
    /// The least time between two due moments.
    pub minimum_interval: SignedDuration,
    /// Whether objects may name a ServiceAccount of their namespace to act for them.
    pub service_accounts: bool,
    /// The KMS keys that objects may name, as globs over what they write; empty: any.
    pub allowed_kms_keys: Vec<String>,
    /// Whether objects may say who else may use their AWS secret.
    pub allow_resource_policies: bool,
}

/// What the operator wants for one object.
#[derive(Debug, Clone)]
pub struct Desired {
    /// Derives version ids.
    pub ids: VersionIds,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// Nothing is written while true.
    pub suspended: bool,
    /// Where in AWS.
    pub region: String,
    /// The name of the AWS secret.
    pub secret_name: String,
    /// Whether that name lies under the namespace's own prefix.
    pub own_prefix: bool,
    /// For whom a session of a role is begun.
    pub session: Session,
    /// The ServiceAccount that is to act.
    pub service_account: Option<String>,
    /// Absent: never touched.
    pub description: Option<String>,
    /// Key, resource policy, replicas, adoption.
    pub settings: Settings,
    /// Ours and the user's.
    pub tags: BTreeMap<String, String>,
    /// Scheduled for deletion with this window (days) when the object goes; `None`: it stays.
    pub delete_after_days: Option<i32>,
    /// Absent: mirror only.
    pub value: Option<DeclaredValue>,
    /// When it changes.
    pub rotation: Rotation,
    /// Absent: no mirror.
    pub target: Option<Target>,
    /// How many of our versions keep a staging label, 0 to 10.
    pub keep_versions: u32,
    /// The token of a person's request to rotate.
    pub rotate_request: Option<String>,
    /// A person's request to go back to an older value.
    pub rollback_request: Option<RollbackRequest>,
    /// The token of a person's request to look now.
    pub refresh_request: Option<String>,
}

/// When the value changes.
#[derive(Debug, Clone)]
pub enum Rotation {
    /// Never.
    Never,
    /// By schedule.
    Scheduled {
        /// When.
        clock: Clock,
        /// The clock in words: the schedule as written, and what of the rest is not at its default. Another text is an edit.
        expression: String,
        /// Only looked at, not carried out.
        suspended: bool,
        /// Where rotation begins on a value that was there before: at once.
        immediately: bool,
    },
    /// By AWS, with a function.
    Lambda(LambdaRotation),
    /// The schedule cannot be carried out; everything else goes on.
    Refused(Refusal),
}

/// The mirrored Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Type and keys.
    pub layout: Layout,
    /// Labels, ours included.
    pub labels: BTreeMap<String, String>,
    /// Annotations beside ours.
    pub annotations: BTreeMap<String, String>,
    /// Which version it holds.
    pub pin: Pin,
    /// It stays when the object goes.
    pub retained: bool,
    /// A Secret that was there before may be taken over, if it carries our annotation.
    pub adopts: bool,
}

impl Target {
    /// A hash of everything about the Secret but its values: it tells whether the Secret was laid out as asked, given the keys it has.
    pub fn rendering<'a>(&self, keys: impl IntoIterator<Item = &'a str>) -> String {
        let mut names: Vec<&str> = keys.into_iter().collect();
        names.sort_unstable();
        let shape = serde_json::json!([self.layout.kind.as_str(), self.layout.keys, names, self.labels, self.annotations]);
        short_hash(shape.to_string().as_bytes())
    }
}

impl Desired {
    /// How the value comes to be, as metrics name it: `Generate`, `Lambda`, or `None` where somebody else makes it.
    pub fn strategy(&self) -> &'static str {
        match (&self.rotation, &self.value) {
            (Rotation::Lambda(_), _) => "Lambda",
            (_, Some(_)) => "Generate",
            (_, None) => "None",
        }
    }

    /// Reads the object. CEL has refused most mistakes at apply; what is found here is what only the operator can know.
    ///
    /// # Errors
    /// A refusal with reason and sentence.
    pub fn parse(object: &RotatedSecret, policy: &Policy) -> Result<Self, Refusal> {
        Self::parse_in(object, policy, None)
    }

    /// `recorded`: where the secret is, for what the spec does not say; `None`: where the flags put it.
    fn parse_in(object: &RotatedSecret, policy: &Policy, recorded: Option<&SecretArn>) -> Result<Self, Refusal> {
        let invalid = |message: &str| Refusal::new(Reason::InvalidSpec, message);
        let uid = object.uid().ok_or_else(|| invalid("the object has no uid; it was never stored"))?;
        let namespace = object.namespace().ok_or_else(|| invalid("the object has no namespace"))?;
        let name = object.name_any();
        let aws = &object.spec.aws;

        let region = aws.region.clone().unwrap_or_else(|| recorded.map_or(&policy.default_region, |recorded| &recorded.region).clone());
        if !policy.allowed_regions.is_empty() && !policy.allowed_regions.contains(&region) {
            return Err(Refusal::new(
                Reason::RegionNotAllowed,
                format!(
                    "the region {region} is none of those that the operator may use ({}): write one of them in spec.aws.region of a new \
                     object, or ask the administrator for --allowed-regions",
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
                return Err(Refusal::new(Reason::Moved, "that name is not one that this object can have had"));
            }
            // Its tags must prove it. Where nothing of this object's is in the tags, the name must be one that the namespace may use today.
            own_prefix |= object.spec.value.is_some();
        }
        if secret_name.len() > 512 {
            return Err(invalid("the name of the AWS secret would have more than 512 characters: set a shorter spec.aws.secretName"));
        }

        let value = match &object.spec.value {
            None => None,
            // Nothing is generated any more, so a generator that could not work must not keep the object from going.
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

    /// Whether something must be cleaned up when the object goes.
    pub fn needs_finalizer(&self) -> bool {
        (self.value.is_some() && self.delete_after_days.is_some()) || self.target.as_ref().is_some_and(|target| target.retained)
    }
}

/// A request's token as it is kept in status: annotations can be long, the status must not be.
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
            return refused(Reason::InvalidSpec, "spec.rotation: exactly one of schedule and automaticallyAfterDays".to_owned());
        }
    };
    let schedule = match parsed {
        Ok(schedule) => schedule,
        Err(error @ (ScheduleError::TimeZone(_) | ScheduleError::ZoneWithoutCron)) => return invalid("timeZone", error),
        Err(error) => return invalid("schedule", error),
    };
    let shortest = schedule.shortest_interval();
    if shortest < policy.minimum_interval {
        let leap = if schedule.time_zone().is_some() { " (in the night when the clocks leap forward, if not always)" } else { "" };
        return refused(
            Reason::IntervalTooShort,
            format!(
                "spec.rotation.schedule: {}{leap} between two rotations is less than the {} that this operator allows; write a rarer schedule, \
                 or ask the administrator for --minimum-rotation-interval",
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

/// Whether one of the administrator's globs (`*` any run of characters, `?` one) allows `name`.
pub fn glob_allows(globs: &str, name: &str) -> bool {
    globs.split([',', '\n', ' ']).map(str::trim).filter(|glob| !glob.is_empty()).any(|glob| matches(glob.as_bytes(), name.as_bytes()))
}

/// Linear-time glob match with one point of return, so that a tenant's name cannot make it slow.
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
mod tests;
