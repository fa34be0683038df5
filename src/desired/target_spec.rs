//! A target as the spec names it, in the form that the status records.

use crate::api::{
    AdminRef, AlternateSpec, JobSpec, MysqlSpec, MysqlUsers, PostgresSpec, PostgresUsers, RedisSpec, ServiceAccountToken,
    StagedAlternation, StagedJob, StagedMysql, StagedPostgres, StagedRedis, StagedToken, StagedWebhook, WebhookSpec, default_suffix,
};

/// The server whose users change.
fn changed((host, port): (&String, i32), direct: (Option<&String>, Option<i32>), default: i32) -> (String, i32) {
    match direct {
        (Some(direct), port) => (direct.clone(), port.unwrap_or(default)),
        (None, _) => (host.clone(), port),
    }
}

/// The users that take turns.
fn alternation(alternate: Option<&AlternateSpec>, admin: Option<&AdminRef>, user: Option<&str>) -> StagedAlternation {
    let suffix = alternate.map_or_else(default_suffix, |alternate| alternate.suffix.clone());
    let base = user.unwrap_or_default().to_owned();
    let admin_name = admin.map(|admin| admin.name.clone()).unwrap_or_default();
    StagedAlternation { admin_name, twin: format!("{base}{suffix}"), base }
}

pub(super) fn of_postgres(spec: &PostgresSpec, user: Option<&str>) -> StagedPostgres {
    let alternates = spec.users == PostgresUsers::AlternatingUsers;
    let alternating = alternates.then(|| alternation(spec.alternate.as_ref(), spec.admin_ref.as_ref(), user));
    let (host, port) = changed((&spec.host, spec.port), (spec.direct_host.as_ref(), spec.direct_port), 5432);
    StagedPostgres {
        host,
        port,
        database: spec.database.clone(),
        tls_mode: spec.tls.mode,
        ca_bundle: spec.tls.ca_bundle.clone(),
        alternating,
    }
}

pub(super) fn of_mysql(spec: &MysqlSpec, user: Option<&str>) -> StagedMysql {
    let alternates = spec.users == MysqlUsers::AlternatingUsers;
    let alternating = alternates.then(|| alternation(spec.alternate.as_ref(), spec.admin_ref.as_ref(), user));
    let (host, port) = changed((&spec.host, spec.port), (spec.direct_host.as_ref(), spec.direct_port), 3306);
    StagedMysql {
        host,
        port,
        database: spec.database.clone(),
        users: spec.users,
        tls_mode: spec.tls.mode,
        ca_bundle: spec.tls.ca_bundle.clone(),
        alternating,
    }
}

pub(super) fn of_redis(spec: &RedisSpec) -> StagedRedis {
    StagedRedis {
        host: spec.host.clone(),
        port: spec.port,
        admin_name: spec.admin_ref.as_ref().map(|admin| admin.name.clone()),
        tls_mode: spec.tls.mode,
        ca_bundle: spec.tls.ca_bundle.clone(),
    }
}

pub(super) fn of_webhook(spec: &WebhookSpec) -> StagedWebhook {
    let token = |token: &ServiceAccountToken| StagedToken { name: token.name.clone(), audience: token.audience.clone() };
    StagedWebhook {
        url: spec.url.clone(),
        signing_key_name: spec.signing_key_ref.as_ref().map(|key| key.name.clone()),
        service_account_token: spec.service_account_token.as_ref().map(token),
        ca_bundle: spec.ca_bundle.clone(),
    }
}

pub(super) fn of_job(spec: &JobSpec) -> StagedJob {
    StagedJob { template_name: spec.template_ref.name.clone() }
}

/// The name of a Service of the namespace as it resolves in every pod: `db`, `db.shop`, `db.shop.svc` and
/// `db.shop.svc.cluster.local` are one. `None`: it is another host.
pub(super) fn own_service(host: &str, namespace: &str) -> Option<String> {
    let mut labels = host.split('.');
    let name = labels.next().filter(|name| name.starts_with(|first: char| first.is_ascii_lowercase()) && !host.contains(':'))?;
    let rest: Vec<&str> = labels.collect();
    let own = match rest.as_slice() {
        [] => true,
        [first] | [first, "svc"] | [first, "svc", "cluster", "local"] => *first == namespace,
        _ => false,
    };
    own.then(|| format!("{name}.{namespace}.svc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_of_the_namespace_is_recognized_in_every_notation_and_nothing_else_is() {
        for host in ["db", "db.shop", "db.shop.svc", "db.shop.svc.cluster.local"] {
            assert_eq!(own_service(host, "shop").as_deref(), Some("db.shop.svc"), "{host}");
        }
        for host in [
            "db.other",
            "db.other.svc",
            "db.shop.svc.example.com",
            "db.shop.example",
            "shop",
            "10.0.0.7",
            "::1",
            "1db",
            "localhost.shop.svc.evil",
            "db.shop.svc.cluster",
            "kube-system.svc",
        ] {
            let own = own_service(host, "shop");
            assert_eq!(own, (host == "shop").then(|| "shop.shop.svc".to_owned()), "{host}");
        }
    }
}
