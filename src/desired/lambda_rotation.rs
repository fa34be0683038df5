//! Rotation by AWS with a Lambda function: the `RotationRules` to request, and the checks that AWS would make.

use jiff::SignedDuration;

use super::policy::Policy;
use crate::api::condition::Reason;
use crate::api::{LambdaSpec, RotationSpec};
use crate::identity::AwsAccount;
use crate::refusal::Refusal;
use crate::schedule::{Schedule, Span, parse_duration};

/// Minimum interval of AWS (user guide, "Rotation schedules").
const SHORTEST: SignedDuration = SignedDuration::from_hours(4);

/// Rotation by AWS.
#[derive(Debug, Clone)]
pub struct LambdaRotation {
    /// ARN of the Lambda function.
    pub function: String,
    /// The rotation rules, or the reason why AWS would reject them.
    pub config: Result<RotationConfig, Refusal>,
    /// Whether rotation must be disabled.
    pub suspended: bool,
    /// Rotate immediately when rotation is first configured for an existing value.
    pub immediately: bool,
}

/// When AWS rotates.
#[derive(Debug, Clone)]
pub struct RotationConfig {
    /// As sent to AWS.
    pub rules: Rules,
    /// The same schedule in our form, to detect an overdue rotation while AWS reports no date.
    pub schedule: Schedule,
}

/// `RotationRules` of the AWS API.
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
    /// Whether DescribeSecret reports these rules. With an expression AWS also reports a number of days that it
    /// computes from the expression.
    pub fn are_shown_as(&self, shown: &Self) -> bool {
        self.expression == shown.expression && self.duration == shown.duration && (self.expression.is_some() || self.days == shown.days)
    }

    /// The text in `status.schedule.expression`.
    pub fn describe(&self) -> String {
        let schedule = self
            .expression
            .clone()
            .or_else(|| self.days.map(|days| format!("rate({days} day{})", if days == 1 { "" } else { "s" })))
            .unwrap_or_default();
        let duration = self.duration.as_ref().map(|duration| format!("; duration: {duration}"));
        format!("{schedule}{}; by AWS", duration.unwrap_or_default())
    }
}

/// Parses `spec.rotation` of an object with a Lambda function, in `region`.
pub(super) fn parse(spec: &RotationSpec, lambda: &LambdaSpec, region: &str, policy: &Policy) -> LambdaRotation {
    LambdaRotation {
        function: lambda.function_arn.clone(),
        config: config(spec, lambda, region, policy),
        suspended: spec.suspend,
        immediately: spec.rotate_immediately,
    }
}

fn config(spec: &RotationSpec, lambda: &LambdaSpec, region: &str, policy: &Policy) -> Result<RotationConfig, Refusal> {
    let invalid = |message: String| Refusal::new(Reason::InvalidSpec, format!("spec.rotation{message}"));
    if !is_function_arn(&lambda.function_arn) {
        return Err(invalid(
            ".lambda.functionArn: use the full ARN of a function, such as arn:aws:lambda:eu-central-1:123456789012:function:rotate"
                .to_owned(),
        ));
    }
    if lambda.function_arn.split(':').nth(3) != Some(region) {
        return Err(invalid(format!(
            ".lambda.functionArn: AWS only calls functions in the region of the secret: use a function in {region}, or create a new \
             object with another spec.aws.region"
        )));
    }
    let schedule = match (&spec.schedule, spec.automatically_after_days) {
        (Some(expression), _) => Schedule::parse(expression).map_err(|error| invalid(format!(".schedule: {error}")))?,
        (None, Some(days)) => {
            let days = u32::try_from(days).unwrap_or(0);
            Schedule::after_days(days).map_err(|error| invalid(format!(".automaticallyAfterDays: {error}")))?
        }
        (None, None) => return Err(invalid(": set exactly one of schedule or automaticallyAfterDays".to_owned())),
    };
    if matches!(schedule, Schedule::FiveField(_)) {
        return Err(invalid(
            ".schedule: AWS supports only rate( ) and cron( ) with six fields; use for example cron(0 8 1 * ? *)".to_owned(),
        ));
    }
    let unsupported = ["minute", "second"].into_iter().any(|unit| spec.schedule.as_ref().is_some_and(|text| text.contains(unit)));
    if unsupported {
        return Err(invalid(".schedule: AWS supports rate( ) in hours and days only; use for example rate(4 hours)".to_owned()));
    }
    let shortest = schedule.shortest_interval();
    if shortest < SHORTEST {
        return Err(invalid(format!(".schedule: AWS rotates at most every four hours, not every {}; rotate less often", Span(shortest))));
    }
    if shortest < policy.minimum_interval {
        return Err(Refusal::new(
            Reason::IntervalTooShort,
            format!(
                "spec.rotation.schedule: {} between two rotations is less than the minimum of {} that this operator allows; rotate less \
                 often, or ask the administrator to lower --minimum-rotation-interval",
                Span(shortest),
                Span(policy.minimum_interval)
            ),
        ));
    }
    let duration = parse_duration(&spec.duration).map_err(|error| invalid(format!(".duration: {error}")))?;
    if spec.duration != "0s" && !is_whole_hours(&spec.duration) {
        return Err(invalid(
            ".duration: AWS supports only whole hours; use for example 3h, or 0s for the default window of \
             AWS"
            .to_owned(),
        ));
    }
    let room = room(spec.schedule.as_deref());
    if duration > SignedDuration::from_hours(room) {
        return Err(invalid(format!(
            ".duration: a window of {} extends into the next window or into the next day in UTC; use at most {room}h",
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

fn is_function_arn(arn: &str) -> bool {
    let parts: Vec<&str> = arn.split(':').collect();
    let (partition, region, account, name, alias) = match parts.as_slice() {
        ["arn", partition, "lambda", region, account, "function", name] => (partition, region, account, name, "LATEST"),
        ["arn", partition, "lambda", region, account, "function", name, alias] => (partition, region, account, name, *alias),
        _ => return false,
    };
    let word = |text: &str, most: usize, more: &[u8]| {
        (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
    };
    let lower = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    AwsAccount::parse(partition, account).is_some()
        && word(region, 32, b"-")
        && lower(region)
        && word(name, 64, b"-_")
        && word(alias, 128, b"-_$")
}

/// A number of hours as AWS writes it.
fn is_whole_hours(duration: &str) -> bool {
    duration.strip_suffix('h').is_some_and(|hours| !hours.starts_with('0') && hours.bytes().all(|b| b.is_ascii_digit()))
}

/// Maximum window in hours: up to the next window for schedules in hours, and to the end of the day for schedules in
/// days.
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
        None => hours(field).map_or(24, |hour| 24_i64.saturating_sub(hour)),
    }
}

#[cfg(test)]
mod tests;
