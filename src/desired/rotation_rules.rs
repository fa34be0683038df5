//! Combinations in `spec.rotation` that the CEL rules of the definition reject. An older definition may lack a rule.

use super::audience::is_for_receiver;
use super::job::job_timeout;
use super::location::Location;
use super::strategy::check_interval;
use super::syntax::is_subdomain;
use crate::api::condition::Reason;
use crate::api::{
    AlternateSpec, JobSpec, MysqlSpec, MysqlUsers, OnMissedWindow, PostgresSpec, PostgresUsers, RedisSpec, RotatedSecretSpec, RotationSpec,
    TlsMode, TlsSpec, WebhookSpec, default_suffix,
};
use crate::refusal::Refusal;

/// Why this rotation cannot be carried out.
pub(super) fn refusal(spec: &RotatedSecretSpec, rotation: &RotationSpec) -> Option<Refusal> {
    of_rotation(spec, rotation).map(str::to_owned).or_else(|| of_target(spec, rotation)).map(|message| {
        // The message begins with the rest of the path.
        Refusal::new(Reason::InvalidSpec, format!("spec.rotation{message}"))
    })
}

fn of_rotation(spec: &RotatedSecretSpec, rotation: &RotationSpec) -> Option<&'static str> {
    let by_aws = rotation.lambda.is_some();
    let generated = spec.value.as_ref().is_some_and(|value| value.plain_text.is_some() || !value.generate.is_empty());
    let RotationSpec { postgres, mysql, redis, webhook, job, .. } = rotation;
    let targets = [by_aws, postgres.is_some(), mysql.is_some(), redis.is_some(), webhook.is_some(), job.is_some()];
    let rules = [
        (targets.into_iter().filter(|set| *set).count() > 1, ": set at most one of lambda, postgres, mysql, redis, webhook and job"),
        (
            rotation.schedule.is_some() && rotation.automatically_after_days.is_some(),
            ": set exactly one of schedule or automaticallyAfterDays",
        ),
        (
            spec.value.is_none() && !by_aws,
            " requires spec.value or spec.rotation.lambda: without spec.value the value is only mirrored; set spec.value, or remove \
             spec.rotation",
        ),
        (
            spec.value.is_some() && !generated && !by_aws,
            " requires a generated field: add spec.value.generate or spec.value.plainText, or remove spec.rotation",
        ),
        (by_aws && rotation.time_zone.is_some(), ".timeZone is not supported with lambda, because cron( ) is in UTC in AWS: remove it"),
        (
            by_aws && rotation.on_missed_window != OnMissedWindow::RotateNow,
            ".onMissedWindow is not supported with lambda, because AWS handles missed windows: remove it",
        ),
        (
            by_aws && !rotation.exclude_periods.is_empty(),
            ".excludePeriods is not supported with lambda, because AWS runs the schedule: remove it, or rotate without lambda",
        ),
    ];
    rules.into_iter().find_map(|(violated, message)| violated.then_some(message))
}

/// What the targets have in common.
struct Common<'a> {
    host: &'a str,
    /// Host and port of the server behind it.
    direct: (Option<&'a str>, Option<i32>),
    tls: &'a TlsSpec,
    check_interval: &'a str,
}

fn common(rotation: &RotationSpec) -> Option<Common<'_>> {
    let RotationSpec { postgres, mysql, redis, .. } = rotation;
    let postgres = postgres.as_deref().map(|PostgresSpec { host, direct_host, direct_port, tls, check_interval, .. }| Common {
        host,
        direct: (direct_host.as_deref(), *direct_port),
        tls,
        check_interval,
    });
    let mysql = mysql.as_deref().map(|MysqlSpec { host, direct_host, direct_port, tls, check_interval, .. }| Common {
        host,
        direct: (direct_host.as_deref(), *direct_port),
        tls,
        check_interval,
    });
    let redis =
        redis.as_deref().map(|RedisSpec { host, tls, check_interval, .. }| Common { host, direct: (None, None), tls, check_interval });
    postgres.or(mysql).or(redis)
}

fn of_target(spec: &RotatedSecretSpec, rotation: &RotationSpec) -> Option<String> {
    let field = rotation.target_field()?;
    if let Some(webhook) = &rotation.webhook {
        return of_webhook(webhook).map(|message| format!(".{field}{message}"));
    }
    if let Some(job) = &rotation.job {
        return of_job(job).map(|message| format!(".{field}{message}"));
    }
    let Common { host, direct, tls, check_interval: interval } = common(rotation)?;
    let query = rotation.verify().map(|verify| verify.sql.as_str());
    let user = spec.value.as_ref().is_some_and(|value| value.data.contains_key("username") && value.generate.contains_key("password"));
    let rules = [
        (!user, " requires the user in spec.value.data.username and a generated spec.value.generate.password"),
        (!is_host(host), ".host: use a name in lower case such as db.shop.svc, or an IP address, without a scheme and a port"),
        (
            direct.0.is_some_and(|host| !is_host(host)),
            ".directHost: use a name in lower case such as db.shop.svc, or an IP address, without a scheme and a port",
        ),
        (direct.0.is_none() && direct.1.is_some(), ".directPort requires directHost"),
        (query.is_some_and(|sql| !is_query(sql)), ".verify.sql: use one query that begins with SELECT, WITH, VALUES, TABLE or SHOW"),
        (
            check_interval(interval).is_err(),
            ".checkInterval: use hours, minutes and seconds in this order, from 5m to 168h, such as 1h or 90m, or 0s for no checks",
        ),
        (tls.mode == TlsMode::Disable && tls.ca_bundle.is_some(), ".tls.caBundle has no effect with mode Disable: remove one of them"),
        (
            tls.ca_bundle.as_deref().is_some_and(|ca| !ca.contains("-----BEGIN CERTIFICATE-----")),
            ".tls.caBundle: paste certificates as PEM, beginning with -----BEGIN CERTIFICATE-----",
        ),
    ];
    let found = rules.into_iter().find_map(|(violated, message)| violated.then_some(message));
    let found = found.or_else(|| of_users(spec, &users(rotation)?));
    found.map(|message| format!(".{field}{message}"))
}

/// Whether a statement begins as a query does. Another one could end the read-only transaction, or change the password.
fn is_query(sql: &str) -> bool {
    let sql = sql.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\u{b}');
    let word: String = sql.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    ["select", "with", "values", "table", "show"].contains(&word.to_ascii_lowercase().as_str())
}

fn of_webhook(webhook: &WebhookSpec) -> Option<&'static str> {
    let token = webhook.service_account_token.as_ref();
    let rules = [
        (webhook.signing_key_ref.is_some() == token.is_some(), ": set exactly one of signingKeyRef and serviceAccountToken"),
        (
            token.is_some_and(|token| !is_for_receiver(&token.audience, &webhook.url)),
            ".serviceAccountToken.audience: use the url, or its beginning up to a slash, such as https://rotate.shop.svc:8443; an audience \
             of the API server or of AWS is refused",
        ),
        (
            Location::parse(&webhook.url).is_none_or(|location| !is_host(&location.host)),
            ".url: use https, a host in lower case, and no user name or fragment, such as https://rotate.shop.svc:8443/orders",
        ),
        (
            check_interval(&webhook.check_interval).is_err(),
            ".checkInterval: use hours, minutes and seconds in this order, from 5m to 168h, such as 1h or 90m, or 0s for no checks",
        ),
        (
            webhook.ca_bundle.as_deref().is_some_and(|ca| !ca.contains("-----BEGIN CERTIFICATE-----")),
            ".caBundle: paste certificates as PEM, beginning with -----BEGIN CERTIFICATE-----",
        ),
    ];
    rules.into_iter().find_map(|(violated, message)| violated.then_some(message))
}

fn of_job(job: &JobSpec) -> Option<&'static str> {
    let rules = [
        (!is_subdomain(&job.template_ref.name), ".templateRef.name: use the name of a CronJob of the namespace"),
        (job_timeout(&job.timeout).is_err(), ".timeout: use hours, minutes and seconds in this order, from 30s to 1h, such as 5m or 90s"),
        (
            check_interval(&job.check_interval).is_err(),
            ".checkInterval: use hours, minutes and seconds in this order, from 5m to 168h, such as 1h or 90m, or 0s for no checks",
        ),
    ];
    rules.into_iter().find_map(|(violated, message)| violated.then_some(message))
}

/// Who takes turns.
struct Users<'a> {
    alternate: bool,
    has_admin: bool,
    second: Option<&'a AlternateSpec>,
}

fn users(rotation: &RotationSpec) -> Option<Users<'_>> {
    let RotationSpec { postgres, mysql, .. } = rotation;
    let postgres = postgres.as_deref().map(|PostgresSpec { users, admin_ref, alternate, .. }| Users {
        alternate: *users == PostgresUsers::AlternatingUsers,
        has_admin: admin_ref.is_some(),
        second: alternate.as_ref(),
    });
    let mysql = mysql.as_deref().map(|MysqlSpec { users, admin_ref, alternate, .. }| Users {
        alternate: *users == MysqlUsers::AlternatingUsers,
        has_admin: admin_ref.is_some(),
        second: alternate.as_ref(),
    });
    postgres.or(mysql)
}

fn of_users(spec: &RotatedSecretSpec, users: &Users<'_>) -> Option<&'static str> {
    let rules = [
        (
            users.alternate != users.has_admin || (!users.alternate && users.second.is_some()),
            ": AlternatingUsers requires adminRef, and adminRef and alternate require AlternatingUsers",
        ),
        (users.second.is_some_and(|second| !is_suffix(&second.suffix)), ".alternate.suffix: use letters, digits, _ and -"),
        (
            twin_length(spec, users) > LONGEST_ROLE,
            ".alternate.suffix: the name of the second user (spec.value.data.username and the suffix) must have at most 63 characters",
        ),
    ];
    rules.into_iter().find_map(|(violated, message)| violated.then_some(message))
}

/// PostgreSQL truncates longer names. Whether a server is MySQL, where 32 are the most, or MariaDB is not known here.
/// <https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>
const LONGEST_ROLE: usize = 63;

/// Bytes of the name of the second user; 0 if there is none.
fn twin_length(spec: &RotatedSecretSpec, users: &Users<'_>) -> usize {
    let user = spec.value.as_ref().and_then(|value| value.data.get("username"));
    let suffix = users.second.map_or_else(default_suffix, |second| second.suffix.clone());
    user.filter(|_| users.alternate).map_or(0, |user| user.len().saturating_add(suffix.len()))
}

fn is_suffix(suffix: &str) -> bool {
    !suffix.is_empty() && suffix.len() <= 32 && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// A DNS name in lower case, or an IP address.
fn is_host(host: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let label = |label: &str| {
        let bytes = label.as_bytes();
        let ends = bytes.first().zip(bytes.last()).is_some_and(|(first, last)| inner(*first) && inner(*last));
        ends && bytes.iter().all(|byte| inner(*byte) || *byte == b'-')
    };
    // With one colon it is a name and a port.
    let address = || {
        host.matches(':').count() > 1
            && host.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte) || b":.".contains(&byte))
    };
    host.split('.').all(label) || address()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_no_url() {
        for host in ["db", "db.shop.svc", "10.0.0.7", "fd00::1", "::ffff:10.0.0.7", "a-b.c"] {
            assert!(is_host(host), "{host}");
        }
        for host in ["", "DB", "db:5432", "db.", ".db", "-db", "db-", "db_1", "postgres://db", "db shop", "db/app"] {
            assert!(!is_host(host), "{host}");
        }
    }
}
