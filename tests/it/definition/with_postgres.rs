//! Mistakes in `spec.rotation.postgres`.

use serde_json::{Value, json};

const CHECKS: &str = "from 5m to 168h";

/// Specs and the sentences that refuse them.
pub(super) fn mistakes() -> Vec<(&'static str, Value, &'static str)> {
    let postgres = |more: Value| {
        let mut target = json!({"host": "db.shop.svc", "database": "app"});
        target.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({
            "value": {"data": {"username": "app"}, "generate": {"password": {}}},
            "rotation": {"schedule": "rate(30 days)", "postgres": target},
        })
    };
    let mut without_user = postgres(json!({}));
    without_user["value"]["data"] = json!({"user": "app"});
    let mut without_password = postgres(json!({}));
    without_password["value"]["generate"] = json!({"secret": {}});
    let mut with_lambda = postgres(json!({}));
    with_lambda["rotation"]["lambda"] = json!({"functionArn": "arn:aws:lambda:eu-central-1:123456789012:function:rotate"});
    let host = "use a name in lower case such as db.shop.svc";
    vec![
        ("a target without a user", without_user, "the user in spec.value.data.username"),
        ("a target without a generated password", without_password, "the user in spec.value.data.username"),
        ("a target and a function", with_lambda, "set at most one of lambda, postgres, mysql, redis, webhook and job"),
        ("a target that is a URL", postgres(json!({"host": "postgres://db"})), host),
        ("a target with its port in the host", postgres(json!({"host": "db:5432/app"})), host),
        ("a target with spaces", postgres(json!({"host": "db shop"})), host),
        ("a target in capitals", postgres(json!({"host": "DB"})), host),
        ("a port that is none", postgres(json!({"port": 70_000})), "less than or equal to 65535"),
        ("a target without a database", postgres(json!({"database": ""})), "at least 1"),
        ("certificates that are none", postgres(json!({"tls": {"caBundle": "ca.crt"}})), "paste certificates as PEM"),
        (
            "certificates without TLS",
            postgres(json!({"tls": {"mode": "Disable", "caBundle": "-----BEGIN CERTIFICATE-----"}})),
            "has no effect with mode Disable",
        ),
        ("two users without an administrator", postgres(json!({"users": "AlternatingUsers"})), "AlternatingUsers requires adminRef"),
        (
            "an administrator of one user",
            postgres(json!({"adminRef": {"name": "db-super"}})),
            "adminRef and alternate require AlternatingUsers",
        ),
        (
            "a suffix with spaces",
            postgres(json!({"users": "AlternatingUsers", "adminRef": {"name": "db-super"}, "alternate": {"suffix": " 2"}})),
            "use letters, digits, _ and -",
        ),
        ("checks each minute", postgres(json!({"checkInterval": "1m"})), CHECKS),
        ("checks each month", postgres(json!({"checkInterval": "720h"})), CHECKS),
        ("checks each day as one says it", postgres(json!({"checkInterval": "1d"})), CHECKS),
        ("TLS without verification", postgres(json!({"tls": {"mode": "Require"}})), "supported values"),
    ]
}
