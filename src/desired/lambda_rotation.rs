//! What AWS is asked for when it rotates with a function, and what it would refuse.

use jiff::SignedDuration;

use super::{Desired, Policy, Refusal, Rotation};
use crate::api::condition::Reason;
use crate::api::{LambdaSpec, RotationSpec, TAG_CLUSTER};
use crate::schedule::{Schedule, Span, parse_duration};
use crate::value::short_hash;

/// AWS rotates no more often (user guide, "Rotation schedules").
const SHORTEST: SignedDuration = SignedDuration::from_hours(4);
/// The longest value of a tag.
const LONGEST_TAG: usize = 256;

/// Rotation by AWS.
#[derive(Debug, Clone)]
pub struct LambdaRotation {
    /// The ARN of the function.
    pub function: String,
    /// When, in AWS's words; or why AWS cannot be asked for that.
    pub terms: Result<RotationConfig, Refusal>,
    /// Rotation is to be off.
    pub suspended: bool,
    /// Where rotation begins on a value that was there before: at once.
    pub immediately: bool,
}

/// When AWS rotates.
#[derive(Debug, Clone)]
pub struct RotationConfig {
    /// As AWS is told.
    pub rules: Rules,
    /// The same for us, to know what is late while AWS has no date.
    pub schedule: Schedule,
}

/// `RotationRules`, as AWS has them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// `AutomaticallyAfterDays`.
    pub days: Option<i64>,
    /// `ScheduleExpression`.
    pub expression: Option<String>,
    /// `Duration`.
    pub duration: Option<String>,
}

impl Rules {
    /// Whether what DescribeSecret shows is what was asked for. Beside an expression AWS shows a number of days that it computes from it.
    pub fn are_shown_as(&self, shown: &Self) -> bool {
        self.expression == shown.expression && self.duration == shown.duration && (self.expression.is_some() || self.days == shown.days)
    }

    /// In words, as `status.schedule.expression` has them.
    pub fn describe(&self) -> String {
        let schedule = self.expression.clone().or_else(|| self.days.map(|days| format!("rate({days} days)"))).unwrap_or_default();
        let duration = self.duration.as_ref().map(|duration| format!("; duration: {duration}"));
        format!("{schedule}{}; by AWS", duration.unwrap_or_default())
    }
}

/// The value of the tag that says whose rotation it is: of the name, so that an object that was deleted and made anew goes on.
pub fn mark(want: &Desired) -> String {
    let cluster = want.tags.get(TAG_CLUSTER).map_or("", String::as_str);
    let mark = format!("{cluster}/{}/{}", want.namespace, want.name);
    if mark.chars().count() <= LONGEST_TAG { mark } else { short_hash(mark.as_bytes()) }
}

/// Reads `spec.rotation` of an object whose rotation AWS is to do, in `region`.
pub(super) fn parse(spec: &RotationSpec, lambda: &LambdaSpec, region: &str, policy: &Policy) -> Rotation {
    Rotation::Lambda(LambdaRotation {
        function: lambda.function_arn.clone(),
        terms: terms(spec, lambda, region, policy),
        suspended: spec.suspend,
        immediately: spec.rotate_immediately,
    })
}

fn terms(spec: &RotationSpec, lambda: &LambdaSpec, region: &str, policy: &Policy) -> Result<RotationConfig, Refusal> {
    let invalid = |message: String| Refusal::new(Reason::InvalidSpec, format!("spec.rotation{message}"));
    if lambda.function_arn.split(':').nth(3) != Some(region) {
        return Err(invalid(format!(
            ".lambda.functionArn: AWS calls functions in the secret's own region only: name a function in {region}, or make a new object with \
             another spec.aws.region"
        )));
    }
    let schedule = match (&spec.schedule, spec.automatically_after_days) {
        (Some(expression), _) => Schedule::parse(expression).map_err(|error| invalid(format!(".schedule: {error}")))?,
        (None, Some(days)) => {
            let days = u32::try_from(days).unwrap_or(0);
            Schedule::after_days(days).map_err(|error| invalid(format!(".automaticallyAfterDays: {error}")))?
        }
        (None, None) => return Err(invalid(": exactly one of schedule and automaticallyAfterDays".to_owned())),
    };
    if matches!(schedule, Schedule::FiveField(_)) {
        return Err(invalid(
            ".schedule: AWS knows rate( ) and cron( ) with six fields only; write for example cron(0 8 1 * ? *)".to_owned(),
        ));
    }
    let shortest = schedule.shortest_interval();
    if shortest < SHORTEST {
        return Err(invalid(format!(
            ".schedule: AWS rotates every four hours at most, not after {}; write a rarer schedule",
            Span(shortest)
        )));
    }
    if shortest < policy.minimum_interval {
        return Err(Refusal::new(
            Reason::IntervalTooShort,
            format!(
                "spec.rotation.schedule: {} between two rotations is less than the {} that this operator allows; write a rarer schedule, or ask \
                 the administrator for --minimum-rotation-interval",
                Span(shortest),
                Span(policy.minimum_interval)
            ),
        ));
    }
    let duration = parse_duration(&spec.duration).map_err(|error| invalid(format!(".duration: {error}")))?;
    if duration.as_secs() % 3600 != 0 {
        return Err(invalid(".duration: AWS knows whole hours only; write for example 3h, or 0s for AWS's own window".to_owned()));
    }
    let room = room(spec.schedule.as_deref());
    if duration > SignedDuration::from_hours(room) {
        return Err(invalid(format!(
            ".duration: a window of {} reaches into the next one or into the next day in UTC; write at most {room}h",
            Span(duration)
        )));
    }
    let rules = Rules {
        days: spec.automatically_after_days.filter(|_| spec.schedule.is_none()).map(i64::from),
        expression: spec.schedule.clone(),
        duration: (!duration.is_zero()).then(|| format!("{}h", duration.as_hours())),
    };
    Ok(RotationConfig { rules, schedule })
}

/// How long a window may be, in hours: up to the next one where hours are counted, and to the end of the day where days are.
fn room(expression: Option<&str>) -> i64 {
    let hours = |text: &str| text.parse::<i64>().ok();
    let Some(expression) = expression else { return 24 };
    if let Some(inside) = expression.strip_prefix("rate(") {
        let (number, unit) = inside.split_once(' ').unwrap_or_default();
        return if unit.starts_with("hour") { hours(number).unwrap_or(24) } else { 24 };
    }
    let field = expression.trim_start_matches("cron(").split(' ').filter(|field| !field.is_empty()).nth(1).unwrap_or_default();
    match field.split_once('/') {
        Some((_, step)) => hours(step).unwrap_or(24),
        None => 24 - hours(field).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests;
