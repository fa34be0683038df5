//! `spec.rotation`: when the value is rotated, and by whom.

#![allow(unreachable_pub, reason = "KubeSchema repeats each struct inside a function")]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::job::JobSpec;
use super::lambda::LambdaSpec;
use super::mysql::MysqlSpec;
use super::postgres::PostgresSpec;
use super::redis::RedisSpec;
use super::schedule;
use super::target::VerifySpec;
use super::webhook::WebhookSpec;

/// Rotation of the value.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.schedule) != has(self.automaticallyAfterDays)").message(
    "spec.rotation: set exactly one of schedule or automaticallyAfterDays"
))]
#[x_kube(validation = Rule::new("!has(self.timeZone) || (has(self.schedule) && !self.schedule.contains('('))").message(
    "spec.rotation.timeZone requires a five-field cron expression, such as schedule: 0 8 1 * *; rate( ) and automaticallyAfterDays count from the last change, and cron( ) is always in UTC, as in AWS"
))]
#[x_kube(validation = Rule::new(schedule::window_fits()).message(
    "spec.rotation.duration: the window overlaps the next one: use at most the interval of the schedule (24h for a daily one, 168h for a weekly one), or rotate less often"
))]
#[x_kube(validation = Rule::new("self.onMissedWindow != 'NextWindow' || !self.duration.matches('^[0-9hms]+$') || duration(self.duration) >= duration('5m')").message(
    "spec.rotation.onMissedWindow: NextWindow requires a duration of at least 5m, to leave time for retries within the window"
))]
#[x_kube(validation = Rule::new(r"!has(self.lambda) || !has(self.schedule) || self.schedule.startsWith('cron(') || self.schedule.matches('^rate\\((([4-9]|[1-9][0-9]{1,4}) hours?|[1-9][0-9]{0,2} days?)\\)$')").message(
    "spec.rotation.schedule: with lambda, AWS runs the schedule. Use rate( ) with 4 or more hours or 1 to 999 days, such as rate(30 days), or cron( ) with six fields; AWS supports neither five-field cron nor minutes"
))]
#[x_kube(validation = Rule::new("!has(self.lambda) || self.duration == '0s' || self.duration.matches('^([1-9]|1[0-9]|2[0-4])h$')").message(
    "spec.rotation.duration: with lambda, use whole hours from 1h to 24h, or 0s for the default window of AWS (one hour for schedules in hours, otherwise until the end of the day)"
))]
#[x_kube(validation = Rule::new("!has(self.lambda) || self.onMissedWindow == 'RotateNow'").message(
    "spec.rotation.onMissedWindow is not supported with lambda, because AWS handles missed windows: remove it"
))]
#[x_kube(validation = Rule::new("!has(self.lambda) || !has(self.excludePeriods)").message(
    "spec.rotation.excludePeriods is not supported with lambda, because AWS runs the schedule: remove it, or rotate without lambda"
))]
#[x_kube(validation = Rule::new("[has(self.lambda), has(self.postgres), has(self.mysql), has(self.redis), has(self.webhook), has(self.job)].filter(set, set).size() <= 1").message(
    "spec.rotation: set at most one of lambda, postgres, mysql, redis, webhook and job"
))]
pub struct RotationSpec {
    /// Schedule of the rotation: `rate(30 days)`, an AWS expression such as `cron(0 8 1 * ? *)` in UTC, or a five-field
    /// cron expression, evaluated in timeZone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new(r"self.matches('^rate\\([1-9][0-9]{0,8} (second|minute|hour|day)s?\\)$') || self.matches('^cron\\(( *[^ ()]+){6} *\\)$') || self.matches('^ *[^ ()]+( +[^ ()]+){4} *$')").message(
        "spec.rotation.schedule: use rate(30 days), cron(0 8 1 * ? *) with the six fields of AWS, or five-field cron such as 0 8 1 * *"
    ))]
    #[x_kube(validation = Rule::new(schedule::rate_in_range()).message(
        "spec.rotation.schedule: a rate must be more than 0 and at most 999 days, such as rate(30 days)"
    ))]
    #[x_kube(validation = Rule::new(schedule::rate_unit()).message(
        "spec.rotation.schedule: in rate( ) the unit is singular for 1 and plural for other numbers, as in AWS: rate(1 day), rate(30 days)"
    ))]
    #[x_kube(validation = Rule::new(schedule::valid_five_field()).message(
        "spec.rotation.schedule: the fields are minute (0-59), hour (0-23), day of month (1-31, or L for the last), month (1-12 or JAN-DEC) and day of week (0-7 or SUN-SAT, MON#2, FRIL), such as 0 8 1 * * or 0 9-17 * * MON-FRI; a step follows * or a range, such as */6"
    ))]
    #[x_kube(validation = Rule::new(schedule::valid_aws_cron()).message(
        "spec.rotation.schedule: in cron( ) AWS accepts minute 0, one hour (0-23, or a step such as 0/4), days of the month (1-31, L), months (1-12 or JAN-DEC), days of the week (1-7 or SUN-SAT, MON#2, FRIL) and year *, and exactly one of the two days must be ?, such as cron(0 8 1 * ? *) or cron(0 8 ? * MON *)"
    ))]
    #[x_kube(validation = Rule::new(schedule::some_day()).message(
        "spec.rotation.schedule: the schedule never occurs; use a day that exists in one of its months, or L for the last day"
    ))]
    pub schedule: Option<String>,
    /// Number of days between the last change of the value and the next rotation. Mutually exclusive with schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub automatically_after_days: Option<i32>,
    /// IANA time zone of a five-field cron expression, such as Europe/Berlin. Defaults to UTC. If a due time is skipped
    /// by a daylight saving change, the rotation is due right after the change. If a due time occurs twice, only the
    /// first occurrence counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new(schedule::known_zone()).message(
        "spec.rotation.timeZone: this is not a known time zone; use an IANA name such as Europe/Berlin or America/New_York"
    ))]
    pub time_zone: Option<String>,
    /// Length of the rotation window that opens at each due time, in hours, minutes and seconds, such as 1h or 90m.
    /// Each object rotates at a fixed offset within the window, which is derived from its uid. 0s means no window:
    /// rotate at the due time.
    #[serde(default = "no_window")]
    #[schemars(length(min = 2, max = 24))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{1,5}h([0-9]{1,5}m)?([0-9]{1,5}s)?$|^[0-9]{1,5}m([0-9]{1,5}s)?$|^[0-9]{1,5}s$')").message(
        "spec.rotation.duration: use hours, minutes and seconds in this order, such as 1h, 90m or 1h30m (a day is 24h), or 0s for no window"
    ))]
    pub duration: String,
    /// What happens to a rotation whose window passed without a rotation, for example because of an outage.
    #[serde(default)]
    pub on_missed_window: OnMissedWindow,
    /// Periods without scheduled rotations, such as a freeze at the end of the year. A rotation that would happen in a
    /// period is deferred to its end, or to the first window after it if onMissedWindow is `NextWindow`. Requests,
    /// rollbacks and changes of spec.value are carried out. An administrator can exclude periods for a whole namespace with the
    /// annotation rotated-secrets.io/exclude-periods on the Namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub exclude_periods: Vec<ExcludePeriod>,
    /// Rotates once, immediately, when rotation is first configured for an existing value. Later rotations follow the
    /// schedule.
    #[serde(default)]
    pub rotate_immediately: bool,
    /// If true, scheduled rotations are suspended. A rotate request is still carried out, except with lambda. Mirroring
    /// and all other changes continue.
    #[serde(default)]
    pub suspend: bool,
    /// Rotates with a Lambda function: AWS runs the schedule and calls the function. If unset, the operator generates
    /// the new value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lambda: Option<LambdaSpec>,
    // Most objects have none of these, and all objects are in memory.
    /// Changes the password of a user in PostgreSQL, and verifies it before it becomes current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<Box<PostgresSpec>>,
    /// Changes the password of a user in MySQL or MariaDB, and verifies it before it becomes current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mysql: Option<Box<MysqlSpec>>,
    /// Changes the password of a user in Redis or Valkey, and verifies it before it becomes current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<Box<RedisSpec>>,
    /// Has a receiver of yours take the value to its target, and verify it, before it becomes current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Box<WebhookSpec>>,
    /// Has Jobs of the namespace take the value to its target, and verify it, before it becomes current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Box<JobSpec>>,
}

impl RotationSpec {
    /// What a user with the new password must be able to do.
    pub fn verify(&self) -> Option<&VerifySpec> {
        let postgres = self.postgres.as_ref().and_then(|spec| spec.verify.as_ref());
        postgres.or_else(|| self.mysql.as_ref()?.verify.as_ref())
    }

    /// The field that declares the target that has to accept a value, such as `postgres`; `None`: there is none.
    pub fn target_field(&self) -> Option<&'static str> {
        let declared = [
            ("postgres", self.postgres.is_some()),
            ("mysql", self.mysql.is_some()),
            ("redis", self.redis.is_some()),
            ("webhook", self.webhook.is_some()),
            ("job", self.job.is_some()),
        ];
        declared.into_iter().find_map(|(name, set)| set.then_some(name))
    }
}

impl Default for RotationSpec {
    fn default() -> Self {
        Self {
            schedule: None,
            automatically_after_days: None,
            time_zone: None,
            duration: no_window(),
            on_missed_window: OnMissedWindow::default(),
            exclude_periods: Vec::new(),
            rotate_immediately: false,
            suspend: false,
            lambda: None,
            postgres: None,
            mysql: None,
            redis: None,
            webhook: None,
            job: None,
        }
    }
}

fn no_window() -> String {
    "0s".to_owned()
}

/// Period of whole days without scheduled rotations.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.from <= self.to && self.to - self.from <= duration('8760h')").message(
    "spec.rotation.excludePeriods: from is the first and to the last day of the period, at most 366 days; to stop scheduled rotations without an end, set spec.rotation.suspend"
))]
pub struct ExcludePeriod {
    /// First day, such as 2026-12-20, in spec.rotation.timeZone (UTC if unset).
    #[schemars(length(max = 10), extend("format" = "date"))]
    pub from: String,
    /// Last day, such as 2027-01-06. It belongs to the period.
    #[schemars(length(max = 10), extend("format" = "date"))]
    pub to: String,
}

/// What happens to a rotation whose window passed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnMissedWindow {
    /// Rotate immediately, outside the window.
    #[default]
    RotateNow,
    /// Wait for the next window.
    NextWindow,
}
