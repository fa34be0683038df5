//! Parses an object into the desired state, or into a refusal that says what to write instead.

use std::collections::BTreeSet;

use kube::ResourceExt;

use crate::api::condition::Reason;
use crate::api::{
    AwsDeletionPolicy, CreationPolicy, REFRESH, ROLLBACK, ROTATE, RotatedSecret, SecretAdoptionPolicy, SecretDeletionPolicy, TAG_CLUSTER,
    TAG_NAME, TAG_NAMESPACE, TAG_UID,
};
use crate::identity::Session;
use crate::refusal::Refusal;
use crate::schedule::{Clock, ExcludedDays, Schedule, ScheduleError, Span, parse_duration};
use crate::value::{Layout, Template};
use crate::version_id::VersionIds;

mod arn;
mod audience;
mod corrected;
mod generators;
mod glob;
mod job;
pub mod key;
pub mod lambda_rotation;
mod location;
mod model;
mod place;
mod policy;
mod removal;
pub mod resource_policy;
mod rollout;
mod rotation_rules;
mod schema;
mod settings;
mod strategy;
mod syntax;
mod target_spec;
mod token;
mod versions;

pub use arn::SecretArn;
pub(crate) use arn::is_default_name;
pub use audience::is_for_receiver;
pub use glob::{glob_allows, glob_allows_arn};
pub use job::jobs_not_allowed;
pub use lambda_rotation::{LambdaRotation, Rules};
pub use model::{Delivery, Desired, Rotation, Target};
pub use place::{Elsewhere, RecordedIn, RecordedPlace};
pub use policy::Policy;
pub use removal::{AwsRemoval, Owner, Removal, SecretPlace, needs_cleanup};
pub use rollout::{Rollout, annotation_key};
use schema::Violations;
pub use settings::{Setting, Settings};
pub use strategy::{Alternation, Kind, ReceiverProof, Strategy, TargetServer};
pub(crate) use syntax::is_subdomain;
pub(crate) use token::{EMERGENCY, bounded};
pub use versions::{Pin, RollbackRequest, RollbackTo};

/// Maximum number of tags of a secret in AWS, without the ownership tags and the rotation tag.
const MOST_TAGS: usize = 44;

impl Desired {
    /// Parses the object. CEL rejects most mistakes at admission; the checks here need the operator's configuration or
    /// exceed CEL.
    ///
    /// # Errors
    /// A refusal with reason and message.
    pub fn parse(object: &RotatedSecret, policy: &Policy) -> Result<Self, Refusal> {
        Self::parse_in(object, policy, None)
    }

    /// Every refusal that can be told at once, for the check of a manifest: one of each part of the spec, and of each
    /// generated field.
    pub fn refusals(object: &RotatedSecret, policy: &Policy) -> Vec<Refusal> {
        let spec = &object.spec;
        let mut found: Vec<Refusal> = syntax::all(&object.name_any(), spec);
        found.extend(spec.value.iter().flat_map(generators::refusals));
        let parsed = Self::parse(object, policy);
        let (settings, parsed_rotation) = match &parsed {
            Ok(desired) => (desired.settings.clone(), desired.rotation.clone()),
            Err(refusal) => {
                found.push(refusal.clone());
                (Settings::read(&spec.aws, &policy.default_region, policy), rotation(object, policy, &policy.default_region, None))
            }
        };
        found.extend([settings.key.rejected(), settings.policy.rejected(), settings.replicas.rejected()].into_iter().flatten().cloned());
        match parsed_rotation {
            Rotation::Refused(refusal) => found.push(refusal),
            Rotation::Lambda(lambda) => found.extend(lambda.config.err()),
            Rotation::Scheduled { .. } | Rotation::Never => {}
        }
        let mut told = BTreeSet::new();
        found.retain(|refusal| told.insert(refusal.message.clone()));
        found
    }

    /// `recorded`: location of the AWS secret, for the fields that the spec does not set. `None`: the flags set them.
    fn parse_in(object: &RotatedSecret, policy: &Policy, recorded: Option<&RecordedPlace>) -> Result<Self, Refusal> {
        let invalid = |message: &str| Refusal::new(Reason::InvalidSpec, message);
        let uid = object.uid().ok_or_else(|| invalid("the object has no uid, so it was not read from the API server"))?;
        let namespace = object.namespace().ok_or_else(|| invalid("the object has no namespace"))?;
        let name = object.name_any();
        let aws = &object.spec.aws;
        // The names of an object that is being deleted are not used any more, or it has used them before.
        if object.metadata.deletion_timestamp.is_none() {
            syntax::check(&name, &object.spec)?;
        }
        let mut violations = Violations::of(&object.spec);
        if let Some(refusal) = violations.object.take().filter(|_| object.metadata.deletion_timestamp.is_none()) {
            return Err(refusal);
        }

        let by_arn = aws.secret_name.as_deref().and_then(SecretArn::parse);
        let elsewhere = by_arn.as_ref().map(|arn| &arn.region).or(recorded.map(|recorded| &recorded.region));
        let region = aws.region.clone().unwrap_or_else(|| elsewhere.unwrap_or(&policy.default_region).clone());
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
        if let Some(recorded) = recorded.filter(|_| aws.secret_name.is_none() && secret_name != configured) {
            if !is_default_name(&secret_name, &namespace, &name) {
                return Err(Refusal::new(Reason::Moved, "that name cannot be an earlier default name of this object"));
            }
            // The ownership tags must confirm it. A mirror-only object has no ownership tags; its namespace must be allowed
            // to use the name. So must that of an object whose Secret alone names the ARN: otherwise its users would learn
            // which secrets exist outside their prefix.
            own_prefix |= object.spec.value.is_some() && recorded.by != RecordedIn::Secret;
        }
        if secret_name.len() > 512 {
            return Err(invalid("the name of the AWS secret would exceed 512 characters: set a shorter spec.aws.secretName"));
        }

        let strategy = Strategy::declared(&object.spec, &namespace);
        if strategy.as_ref().and_then(Strategy::helper) == Some(name.as_str()) {
            return Err(invalid(
                "adminRef.name or signingKeyRef.name names this object itself: name the RotatedSecret of the administrator, or of the key",
            ));
        }
        let value = match &object.spec.value {
            None => None,
            Some(spec) => {
                let turns = strategy.as_ref().and_then(|strategy| Some(strategy.alternation()?.turns.clone()));
                Some(generators::declared(spec, turns)?)
            }
        };

        let mut tags = policy.default_tags.clone();
        tags.extend(aws.tags.clone());
        if value.is_some() && tags.len() > MOST_TAGS {
            return Err(Refusal::new(
                Reason::InvalidSpec,
                format!(
                    "spec.aws.tags: {} tags with those of --default-tags, and AWS allows 50, of which the operator needs 6: remove tags",
                    tags.len()
                ),
            ));
        }
        for (key, value) in [(TAG_CLUSTER, &policy.cluster), (TAG_NAMESPACE, &namespace), (TAG_NAME, &name), (TAG_UID, &uid)] {
            tags.insert(key.to_owned(), value.clone());
        }

        let annotation = |key: &str| object.annotations().get(key).filter(|token| !token.is_empty()).map(|token| bounded(token));
        Ok(Self {
            ids: VersionIds::of(&uid),
            suspended: object.spec.suspend,
            suspended_by_namespace: None,
            settings: Settings::read(aws, &region, policy).without(&violations),
            own_prefix,
            session: Session { cluster: policy.cluster.clone(), namespace: namespace.clone() },
            service_account: aws.service_account_ref.as_ref().map(|account| account.name.clone()),
            description: aws.description.clone(),
            tags,
            delete_after_days: (aws.deletion_policy == AwsDeletionPolicy::Delete).then(|| aws.recovery_window_in_days.clamp(7, 30)),
            rotation: generators::outliving(rotation(object, policy, &region, violations.rotation), value.as_ref()),
            region,
            value,
            initial: object.spec.value.as_ref().and_then(|value| value.initial_ref.clone()),
            delivery: if strategy.is_some() { Delivery::Staged } else { Delivery::Direct },
            strategy,
            mirror_name: object.spec.target.name.clone().unwrap_or_else(|| name.clone()),
            target: target(object, &name),
            keep_versions: u32::try_from(aws.keep_versions).unwrap_or(0).min(10),
            rollout: Rollout::declared(&object.spec),
            emergency: annotation(ROTATE).is_some_and(|token| token.ends_with(EMERGENCY)),
            rotate_request: annotation(ROTATE),
            rollback_request: object.annotations().get(ROLLBACK).and_then(|text| RollbackRequest::parse(text)),
            refresh_request: annotation(REFRESH),
            request_interval: policy.request_interval,
            uid,
            namespace,
            name,
            secret_name,
        })
    }
}

/// `violation`: of a bound of the schema.
fn rotation(object: &RotatedSecret, policy: &Policy, region: &str, violation: Option<Refusal>) -> Rotation {
    let Some(spec) = &object.spec.rotation else { return Rotation::Never };
    let ids = VersionIds::of(&object.uid().unwrap_or_default());
    let violation = violation.or_else(|| rotation_rules::refusal(&object.spec, spec));
    if let Some(lambda) = &spec.lambda {
        let mut parsed = lambda_rotation::parse(spec, lambda, region, policy);
        if let Some(refusal) = violation {
            parsed.config = Err(refusal);
        }
        return Rotation::Lambda(parsed);
    }
    if let Some(refusal) = violation {
        return Rotation::Refused(refusal);
    }
    let refused = |reason, message: String| Rotation::Refused(Refusal::new(reason, message));
    let invalid = |field: &str, error: ScheduleError| refused(Reason::InvalidSpec, format!("spec.rotation.{field}: {error}"));
    let zone = spec.time_zone.as_deref();
    let (parsed, expression) = match (&spec.schedule, spec.automatically_after_days) {
        (Some(expression), _) => (Schedule::parse_in(expression, zone), expression.clone()),
        (None, Some(_)) if zone.is_some() => (Err(ScheduleError::ZoneWithoutCron), String::new()),
        (None, Some(days)) => (Schedule::after_days(u32::try_from(days).unwrap_or(0)), format!("rate({days} days)")),
        (None, None) => {
            return refused(Reason::InvalidSpec, "spec.rotation: set exactly one of schedule or automaticallyAfterDays".to_owned());
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
    let excluded: Result<Vec<_>, _> = spec.exclude_periods.iter().map(|period| ExcludedDays::new(&period.from, &period.to)).collect();
    let excluded = match excluded {
        Ok(excluded) => excluded,
        Err(error) => return invalid("excludePeriods", error),
    };
    let clock = parse_duration(&spec.duration).and_then(|duration| Clock::new(schedule, duration, spec.on_missed_window, ids));
    match clock.map(|clock| clock.excluding(&excluded)) {
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
    // Others were refused.
    let templates = spec.template.iter().filter_map(|(key, text)| Some((key.clone(), Template::parse(text).ok()?))).collect();
    labels.insert(crate::api::MANAGED_BY.0.to_owned(), crate::api::MANAGED_BY.1.to_owned());
    Some(Target {
        name: spec.name.clone().unwrap_or_else(|| name.to_owned()),
        layout: Layout { kind: spec.kind, keys: spec.keys.clone(), whole: spec.whole_value_key.clone(), templates },
        labels,
        annotations: spec.annotations.clone(),
        pin: Pin::of(spec),
        with_previous: spec.include_previous,
        retained: spec.deletion_policy == SecretDeletionPolicy::Retain,
        adopts: spec.adoption_policy == SecretAdoptionPolicy::IfAnnotated,
    })
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
pub(crate) mod tests;
