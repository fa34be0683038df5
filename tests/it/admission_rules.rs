//! For each CEL rule of the definition, an object that violates this rule only, and the words with which the operator
//! rejects it.

use serde_json::{Value, json};

type Row = (String, Value, &'static str);

const ARN: &str = "arn:aws:secretsmanager:eu-central-1:222233334444:secret:shared/db-AbCdEf";
const FUNCTION: &str = "arn:aws:lambda:eu-central-1:123456789012:function:rotate";

/// Name, spec and words.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = vec![("a".repeat(201), password(), "metadata.name")];
    for (spec, words) in [aws(), rotation(), lambda(), postgres(), other_targets(), target(), rollout(), value()].into_iter().flatten() {
        rows.push((String::from("tried"), spec, words));
    }
    for (options, words) in generators() {
        rows.push((String::from("tried"), json!({"value": {"generate": {"field": options}}}), words));
        rows.push((String::from("tried"), json!({"value": {"plainText": options}}), words));
    }
    for (options, words) in pairs() {
        rows.push((String::from("tried"), json!({"value": {"generate": {"field": options}}}), words));
    }
    rows
}

/// Rules that cannot be violated alone: the second one that rejects the same object is more general.
pub(crate) fn implied() -> Vec<Row> {
    let nothing = json!({
        "excludeNumbers": true, "excludePunctuation": true, "excludeUppercase": true, "excludeLowercase": true, "includeSpace": true,
    });
    let plain_text = pairs().into_iter().map(|(options, words)| (json!({"plainText": options}), words));
    [(json!({"generate": {"field": nothing}}), "spec.value"), (json!({"plainText": nothing}), "spec.value")]
        .into_iter()
        .chain(plain_text)
        .map(|(value, words)| (String::from("tried"), json!({"value": value}), words))
        .collect()
}

/// A stored spec, and a change of it that is rejected. What the operator does after such a change under a definition
/// without the rule is tested in behaviour/moved.rs.
pub(crate) fn transitions() -> Vec<(Value, Value)> {
    vec![
        (json!({"aws": {"region": "eu-west-1"}}), json!({"aws": {"region": "eu-west-2"}})),
        (json!({"aws": {"secretName": "a"}}), json!({"aws": {"secretName": "b"}})),
        (json!({"target": {"name": "a"}}), json!({"target": {"name": "b"}})),
    ]
}

fn password() -> Value {
    json!({"value": {"generate": {"password": {}}}})
}

/// A valid spec with another value at one place.
fn with(part: &str, value: Value) -> Value {
    let mut spec = password();
    spec[part] = value;
    spec
}

fn aws() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"aws": {"replicaRegions": []}}), "require spec.value"),
        (with("aws", json!({"secretName": ARN})), "can only be mirrored"),
        (json!({"aws": {"secretName": ARN, "region": "us-east-1"}}), "spec.aws.secretName"),
        (with("aws", json!({"region": "eu-west-1", "replicaRegions": [{"region": "eu-west-1"}]})), "spec.aws.replicaRegions"),
        (with("aws", json!({"region": "eu-central-1a"})), "availability zone"),
        (with("aws", json!({"keepVersions": 2})), "spec.aws.keepVersions"),
        (with("aws", json!({"secretName": "a b"})), "spec.aws.secretName"),
        (with("aws", json!({"tags": {"aws:x": "y"}})), "spec.aws.tags"),
        (with("aws", json!({"tags": {"AWS:x": "y"}})), "spec.aws.tags"),
        (with("aws", json!({"tags": {"rotated-secrets.io/adopt-by": "y"}})), "spec.aws.tags"),
        (with("aws", json!({"tags": {"Rotated-Secrets.IO/Adopt-By": "y"}})), "spec.aws.tags"),
        (with("aws", json!({"tags": {"x".repeat(129): "y"}})), "spec.aws.tags"),
    ]
}

fn rotation() -> Vec<(Value, &'static str)> {
    let tls = |days: i32| json!({"value": {"generate": {"tls": {"type": "TlsKeyPair", "commonName": "a", "validityDays": days}}}});
    let mut short_certificate = tls(30);
    short_certificate["rotation"] = json!({"automaticallyAfterDays": 30});
    let mut by_rate = tls(30);
    by_rate["rotation"] = json!({"schedule": "rate(720 hours)"});
    vec![
        (by_rate, "validityDays"),
        (json!({"rotation": {"schedule": "rate(30 days)"}}), "requires spec.value"),
        (json!({"value": {"data": {"a": "b"}}, "rotation": {"schedule": "rate(30 days)"}}), "requires a generated field"),
        (short_certificate, "validityDays"),
        (with("rotation", json!({"schedule": "rate(30 days)", "automaticallyAfterDays": 30})), "exactly one of"),
        (with("rotation", json!({})), "exactly one of"),
        (with("rotation", json!({"schedule": "rate(30 days)", "timeZone": "Europe/Berlin"})), "spec.rotation.timeZone"),
        (with("rotation", json!({"schedule": "rate(30 days)", "onMissedWindow": "NextWindow"})), "5m"),
        (with("rotation", json!({"schedule": "rate(30 days)", "duration": "1d"})), "spec.rotation.duration"),
        (with("rotation", json!({"schedule": "rate(30 days)", "duration": "100000s"})), "spec.rotation.duration"),
        (with("rotation", json!({"schedule": "soon"})), "spec.rotation.schedule"),
        (with("rotation", json!({"schedule": "rate(1000 days)"})), "at most 999 days"),
        (with("rotation", json!({"schedule": "rate(30 day)"})), "use rate(30 days)"),
        (with("rotation", json!({"schedule": "rate(1 days)"})), "use rate(1 day)"),
        (with("rotation", json!({"schedule": "0 8 32 * *"})), "use days from 1 to 31"),
        (with("rotation", json!({"schedule": "cron(0 8 1 * * *)"})), "exactly one of day of month and day of week must be ?"),
        (with("rotation", json!({"schedule": "0 8 31 2 *"})), "never occurs"),
        (with("rotation", json!({"schedule": "rate(1 day)", "duration": "25h"})), "overlaps the next one"),
        (with("rotation", json!({"schedule": "0 8 1 * *", "timeZone": "+02:00"})), "spec.rotation.timeZone"),
        (with("rotation", json!({"schedule": "0 8 1 * *", "timeZone": "Europe/Berlinn"})), "spec.rotation.timeZone"),
        (
            with("rotation", json!({"schedule": "rate(30 days)", "excludePeriods": [{"from": "2027-01-06", "to": "2026-12-20"}]})),
            "spec.rotation.excludePeriods",
        ),
    ]
}

fn lambda() -> Vec<(Value, &'static str)> {
    let by_aws = |more: Value| {
        let mut rotation = json!({"schedule": "rate(30 days)", "lambda": {"functionArn": FUNCTION}});
        rotation.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"rotation": rotation})
    };
    vec![
        (by_aws(json!({"schedule": "rate(300 minutes)"})), "spec.rotation.schedule"),
        (by_aws(json!({"schedule": "rate(3 hours)"})), "spec.rotation.schedule"),
        (by_aws(json!({"schedule": "0 8 1 * *"})), "spec.rotation.schedule"),
        (by_aws(json!({"timeZone": "Europe/Berlin"})), "spec.rotation.timeZone"),
        (by_aws(json!({"duration": "60m"})), "spec.rotation.duration"),
        (by_aws(json!({"duration": "0h"})), "spec.rotation.duration"),
        (by_aws(json!({"onMissedWindow": "NextWindow", "duration": "2h"})), "spec.rotation.onMissedWindow"),
        (by_aws(json!({"excludePeriods": [{"from": "2026-12-20", "to": "2026-12-24"}]})), "spec.rotation.excludePeriods"),
        (by_aws(json!({"lambda": {"functionArn": "arn:aws:lambda:eu-central-1:123456789012:layer:rotate"}})), "functionArn"),
        (by_aws(json!({"lambda": {"functionArn": "arn:aws:lambda:eu-central-1:12345678901:function:rotate"}})), "functionArn"),
    ]
}

fn postgres() -> Vec<(Value, &'static str)> {
    let of = |target: Value| {
        let mut spec =
            json!({"value": {"data": {"username": "app"}, "generate": {"password": {}}}, "rotation": {"schedule": "rate(30 days)"}});
        spec["rotation"]["postgres"] = json!({"host": "db", "database": "app"});
        spec["rotation"]["postgres"].as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
        spec
    };
    let mut without_user = of(json!({}));
    without_user["value"]["data"] = json!({"user": "app"});
    let mut with_function = of(json!({}));
    with_function["rotation"]["lambda"] = json!({"functionArn": FUNCTION});
    let mut with_a_long_name = of(json!({"users": "AlternatingUsers", "adminRef": {"name": "a"}}));
    with_a_long_name["value"]["data"]["username"] = json!("u".repeat(58));
    let disabled = json!({"mode": "Disable", "caBundle": "-----BEGIN CERTIFICATE-----"});
    vec![
        (without_user, "spec.value.data.username"),
        (with_function, "at most one of lambda, postgres"),
        (of(json!({"host": "db:5432"})), "spec.rotation.postgres.host"),
        (of(json!({"directHost": "db:5432"})), "spec.rotation.postgres.directHost"),
        (of(json!({"verify": {"sql": "COMMIT; SELECT 1"}})), "verify.sql"),
        (of(json!({"verify": {"sql": "selected()"}})), "verify.sql"),
        (of(json!({"directPort": 5432})), "requires directHost"),
        (of(json!({"tls": disabled})), "remove one of them"),
        (of(json!({"tls": {"caBundle": "ca.crt"}})), "spec.rotation.postgres.tls.caBundle"),
        (of(json!({"users": "AlternatingUsers"})), "AlternatingUsers requires adminRef"),
        (of(json!({"alternate": {}})), "AlternatingUsers requires adminRef"),
        (of(json!({"users": "AlternatingUsers", "adminRef": {"name": "a"}, "alternate": {"suffix": "a b"}})), "alternate.suffix"),
        (of(json!({"users": "AlternatingUsers", "adminRef": {"name": "tried"}})), "names this object itself"),
        (with_a_long_name, "at most 63 characters"),
        (of(json!({"checkInterval": "4m59s"})), "spec.rotation.postgres.checkInterval"),
        (of(json!({"checkInterval": "168h0m1s"})), "spec.rotation.postgres.checkInterval"),
        (of(json!({"checkInterval": "1m1h"})), "spec.rotation.postgres.checkInterval"),
    ]
}

/// MySQL and Redis.
fn other_targets() -> Vec<(Value, &'static str)> {
    let of = |field: &str, target: Value| {
        let mut spec =
            json!({"value": {"data": {"username": "app"}, "generate": {"password": {}}}, "rotation": {"schedule": "rate(30 days)"}});
        spec["rotation"][field] = json!({"host": "db"});
        spec["rotation"][field].as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
        spec
    };
    let disabled = json!({"mode": "Disable", "caBundle": "-----BEGIN CERTIFICATE-----"});
    let webhook = |more: Value| {
        let mut spec = of("webhook", json!({"url": "https://rotate.shop.svc/a", "signingKeyRef": {"name": "key"}}));
        spec["rotation"]["webhook"].as_object_mut().unwrap().remove("host");
        spec["rotation"]["webhook"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let by_token = |audience: &str| {
        let mut spec = webhook(json!({"serviceAccountToken": {"name": "rotator", "audience": audience}}));
        spec["rotation"]["webhook"].as_object_mut().unwrap().remove("signingKeyRef");
        spec
    };
    let mut to_api_server = by_token("https://kubernetes.default.svc");
    to_api_server["rotation"]["webhook"]["url"] = json!("https://kubernetes.default.svc/a");
    let job = |more: Value| {
        let mut spec = of("job", json!({"templateRef": {"name": "rotate-app"}}));
        spec["rotation"]["job"].as_object_mut().unwrap().remove("host");
        spec["rotation"]["job"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let mut with_a_long_name = of("mysql", json!({"users": "AlternatingUsers", "adminRef": {"name": "a"}}));
    with_a_long_name["value"]["data"]["username"] = json!("u".repeat(58));
    let mut rows = vec![
        (of("mysql", json!({"verify": {"sql": "SET PASSWORD = 'x'"}})), "verify.sql"),
        (job(json!({"templateRef": {"name": "Rotate_app"}})), "spec.rotation.job.templateRef.name"),
        (job(json!({"timeout": "29s"})), "spec.rotation.job.timeout"),
        (job(json!({"timeout": "61m"})), "spec.rotation.job.timeout"),
        (job(json!({"checkInterval": "4m59s"})), "spec.rotation.job.checkInterval"),
        (webhook(json!({"signingKeyRef": {"name": "tried"}})), "names this object itself"),
        (webhook(json!({"url": "http://rotate.shop.svc/a"})), "spec.rotation.webhook.url"),
        (webhook(json!({"serviceAccountToken": {"name": "a", "audience": "https://rotate.shop.svc"}})), "set exactly one of signingKeyRef"),
        (by_token("https://rotate.shop.svc/b"), "spec.rotation.webhook.serviceAccountToken.audience"),
        (by_token("https://rotate.shop.svc:8443"), "spec.rotation.webhook.serviceAccountToken.audience"),
        (by_token("https://rotate.shop.sv"), "spec.rotation.webhook.serviceAccountToken.audience"),
        (by_token("sts.amazonaws.com"), "spec.rotation.webhook.serviceAccountToken.audience"),
        (to_api_server, "spec.rotation.webhook.serviceAccountToken.audience"),
        (webhook(json!({"caBundle": "ca.crt"})), "spec.rotation.webhook.caBundle"),
        (webhook(json!({"checkInterval": "4m59s"})), "spec.rotation.webhook.checkInterval"),
        (of("redis", json!({"adminRef": {"name": "tried"}})), "names this object itself"),
        (of("mysql", json!({"directHost": "DB"})), "spec.rotation.mysql.directHost"),
        (of("mysql", json!({"directPort": 3306})), "requires directHost"),
        (of("mysql", json!({"users": "AlternatingUsers"})), "AlternatingUsers requires adminRef"),
        (of("mysql", json!({"users": "DualPassword", "adminRef": {"name": "a"}})), "AlternatingUsers requires adminRef"),
        (of("mysql", json!({"alternate": {}})), "AlternatingUsers requires adminRef"),
        (of("mysql", json!({"users": "AlternatingUsers", "adminRef": {"name": "a"}, "alternate": {"suffix": "a b"}})), "alternate.suffix"),
        (of("mysql", json!({"users": "AlternatingUsers", "adminRef": {"name": "tried"}})), "names this object itself"),
        (with_a_long_name, "at most 63 characters"),
    ];
    for (field, other, paths) in [
        ("mysql", "redis", ["spec.rotation.mysql.host", "spec.rotation.mysql.tls.caBundle", "spec.rotation.mysql.checkInterval"]),
        ("redis", "mysql", ["spec.rotation.redis.host", "spec.rotation.redis.tls.caBundle", "spec.rotation.redis.checkInterval"]),
    ] {
        let mut without_user = of(field, json!({}));
        without_user["value"]["data"] = json!({"user": "app"});
        let mut two = of(field, json!({}));
        two["rotation"][other] = json!({"host": "db"});
        let [host, ca, interval] = paths;
        rows.extend([
            (without_user, "spec.value.data.username"),
            (two, "at most one of lambda, postgres"),
            (of(field, json!({"host": "db:5432"})), host),
            (of(field, json!({"tls": disabled})), "remove one of them"),
            (of(field, json!({"tls": {"caBundle": "ca.crt"}})), ca),
            (of(field, json!({"checkInterval": "4m59s"})), interval),
        ]);
    }
    rows
}

fn target() -> Vec<(Value, &'static str)> {
    let version = "3e0c7d7e-9d2f-5f1c-8a11-57c54e0c9e6f";
    let of = |target: Value| with("target", target);
    vec![
        (of(json!({"versionId": version, "versionStage": "AWSPREVIOUS"})), "remove one of the two"),
        (of(json!({"wholeValueKey": "a", "keys": {"b": "password"}})), "spec.target"),
        (of(json!({"annotations": {"rotated-secrets.io/x": "y"}})), "spec.target.annotations"),
        (of(json!({"annotations": {"a b": "y"}})), "spec.target.annotations"),
        (of(json!({"labels": {"kubernetes.io/x": "y"}})), "spec.target.labels"),
        (of(json!({"labels": {"a": "b c"}})), "spec.target.labels"),
        (of(json!({"keys": {"a b": "password"}})), "spec.target.keys"),
        (of(json!({"keys": {"..": "password"}})), "spec.target.keys"),
        (of(json!({"name": "Admin"})), "spec.target.name"),
        (of(json!({"versionId": format!("{version} x")})), "spec.target.versionId"),
        (of(json!({"versionId": "AWSPREVIOUS"})), "spec.target.versionId"),
        (of(json!({"versionStage": "awsprevious"})), "did you mean AWSPREVIOUS"),
        (of(json!({"versionStage": "AWSPENDING"})), "spec.target.versionStage"),
        (of(json!({"versionStage": "rotated-secrets/2"})), "spec.target.versionStage"),
        (of(json!({"wholeValueKey": "a b"})), "wholeValueKey"),
        (of(json!({"template": {"a b": "x"}})), "spec.target.template"),
        (of(json!({"template": {"a": "{% if b %}"}})), "spec.target.template"),
        (of(json!({"template": {"a": "{{ b + c }}"}})), "spec.target.template"),
        (of(json!({"template": {"a": "{{ b | safe }}"}})), "spec.target.template"),
        (of(json!({"template": {"a": "{{ b"}})), "spec.target.template"),
        (of(json!({"template": {"a": "b"}, "keys": {"a": "password"}})), "declared twice"),
        (of(json!({"template": {"a": "b"}, "wholeValueKey": "a"})), "declared twice"),
    ]
}

fn rollout() -> Vec<(Value, &'static str)> {
    let of = |rollout: Value| with("rollout", rollout);
    let unmirrored = json!({"value": {"generate": {"password": {}}}, "target": {"creationPolicy": "None"}, "rollout": {}});
    let by_aws = json!({
        "value": {"generate": {"password": {}}}, "rotation": {"schedule": "rate(30 days)", "lambda": {"functionArn": FUNCTION}},
        "rollout": {"onFailure": "RollBack"},
    });
    vec![
        (of(json!({"timeout": "59s"})), "spec.rollout.timeout"),
        (of(json!({"timeout": "1d"})), "spec.rollout.timeout"),
        (of(json!({"retireAfter": "721h"})), "spec.rollout.retireAfter"),
        (json!({"rollout": {"onFailure": "RollBack"}}), "onFailure RollBack"),
        (by_aws, "onFailure RollBack"),
        (unmirrored, "requires a mirrored Secret"),
    ]
}

fn value() -> Vec<(Value, &'static str)> {
    let many: serde_json::Map<_, _> = (0..10).map(|field| (format!("field-{field}"), json!("x".repeat(8000)))).collect();
    [
        (json!({}), "at least one field"),
        (json!({"plainText": {}, "data": {"a": "b"}}), "plainText alone"),
        (json!({"plainText": {}, "generate": {"a": {}}}), "plainText alone"),
        (json!({"plainText": {"type": "SshKeyPair"}}), "plainText"),
        (json!({"generate": {"a": {}, "b": {}}, "initialRef": {"secretName": "a"}}), "exactly one field"),
        (json!({"data": {"a": "b"}, "initialRef": {"secretName": "a"}}), "exactly one field"),
        (json!({"generate": {"a": {"type": "SshKeyPair"}}, "initialRef": {"secretName": "a"}}), "no key pair"),
        (json!({"plainText": {}, "initialRef": {"secretName": "A"}}), "initialRef.secretName"),
        (json!({"plainText": {}, "initialRef": {"secretName": "a", "key": "a/b"}}), "initialRef.key"),
        (json!({"data": {"a": "b"}, "generate": {"a": {}}}), "both data (fixed) and generate"),
        (json!({"data": {"ssh.pub": "x"}, "generate": {"a": {"type": "SshKeyPair"}}}), "ssh.pub"),
        (json!({"data": {"a b": "x"}}), "field names"),
        (json!({"data": many}), "65,536"),
        (json!({"generate": {"a b": {}}}), "field names"),
    ]
    .into_iter()
    .map(|(value, words)| (json!({"value": value}), words))
    .collect()
}

/// Options that are wrong in a field and in plain text.
fn generators() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"type": "Uuid", "passwordLength": 20}), "type: Password"),
        (json!({"type": "Uuid", "excludeAmbiguous": true}), "type: Password"),
        (json!({"encoding": "Hex"}), "type: Bytes"),
        (json!({"algorithm": "Ed25519"}), "type: SshKeyPair"),
        (json!({"validityDays": 30}), "type: TlsKeyPair"),
        (json!({"type": "Bytes", "length": 7}), "8 or more"),
        (json!({"passwordLength": 8}), "64"),
        (json!({"excludeCharacters": "0123456789"}), "requireEachIncludedType"),
    ]
}

/// Options of key pairs, which plain text does not have.
fn pairs() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"type": "TlsKeyPair"}), "requires a name"),
        (json!({"type": "SshKeyPair", "publicKeyField": "a b"}), "publicKeyField"),
        (json!({"type": "TlsKeyPair", "commonName": "a", "certificateField": "a b"}), "certificateField"),
        (json!({"type": "TlsKeyPair", "commonName": "a", "caField": "a b"}), "caField"),
    ]
}
