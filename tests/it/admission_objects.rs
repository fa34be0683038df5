//! Objects that the definition takes, with which its bounds are tried.

use serde_json::{Value, json};

/// Objects that together have every field. The options of key pairs are not valid in `plainText`; their bounds are
/// reported before the rule that says so.
pub(crate) fn valid() -> Vec<Value> {
    let texts = json!(["a"]);
    let names = json!({"AWS": texts, "CanonicalUser": texts, "Federated": texts, "Service": texts});
    let statement = json!({
        "Sid": "a", "Effect": "Allow", "Principal": names, "NotPrincipal": names, "Action": texts, "NotAction": texts,
        "Resource": texts, "NotResource": texts, "Condition": {"Bool": {"k": texts}},
    });
    let mut objects = vec![
        json!({
            "aws": {
                "region": "eu-central-1", "secretName": "k8s/shop/a", "description": "a", "kmsKeyId": "alias/a", "tags": {"k": "v"},
                "serviceAccountRef": {"name": "a"}, "adoptionPolicy": "Never", "deletionPolicy": "Retain",
                "replicaRegions": [{"region": "eu-west-1", "kmsKeyId": "alias/a"}],
                "resourcePolicy": {"Id": "a", "Version": "2012-10-17", "Statement": [statement]},
            },
            "value": {
                "data": {"k": "v"},
                "generate": {
                    "password": {"type": "Password", "excludeCharacters": "a"},
                    "bytes": {"type": "Bytes", "length": 32, "encoding": "Hex"},
                    "ssh": {"type": "SshKeyPair", "algorithm": "Ed25519", "publicKeyField": "ssh.pub"},
                    "tls": {"type": "TlsKeyPair", "certificateField": "tls.crt", "caField": "ca.crt", "commonName": "a",
                            "dnsNames": ["a.example"], "validityDays": 90},
                },
            },
            "rotation": {
                "schedule": "0 8 1 * *", "timeZone": "Europe/Berlin", "duration": "60m", "onMissedWindow": "RotateNow",
                "excludePeriods": [{"from": "2026-12-20", "to": "2026-12-24"}],
            },
            "target": {
                "name": "a", "type": "Opaque", "creationPolicy": "Owner", "deletionPolicy": "Delete", "adoptionPolicy": "Never",
                "labels": {"k": "v"}, "annotations": {"k": "v"}, "keys": {"k": "password"},
                "versionId": "3e0c7d7e-9d2f-5f1c-8a11-57c54e0c9e6f", "versionStage": "AWSCURRENT",
            },
            "rollout": {
                "workloads": [{"kind": "Deployment", "name": "api"}], "timeout": "10m", "onFailure": "RollBack", "requireHealthy": true,
                "retireAfter": "30m",
            },
        }),
        json!({
            "value": {
                "plainText": {"type": "Password", "excludeCharacters": "a", "passwordLength": 32},
                "initialRef": {"secretName": "orders", "key": "password"},
            },
            "rotation": {"automaticallyAfterDays": 30},
            "target": {
                "includePrevious": true,
                "wholeValueKey": "a",
                "template": {
                    "url": "postgres://{{ username }}:{{ password|urlencode }}@db/{{ fields['a-b'].c[0] | default(\"d\") }}?a={b}",
                    "file.ini": "{{\n document | replace( 'a' , '' ) | indent(4) | b64encode | tojson | trim | upper | lower\n}}\n{",
                    "braces": "{{ '{{' }} } { a }}",
                },
            },
        }),
        json!({"value": {"plainText": {"type": "Bytes", "length": 32, "encoding": "Hex"}}}),
        json!({"rotation": {
            "schedule": "rate(1 day)", "lambda": {"functionArn": "arn:aws:lambda:eu-central-1:123456789012:function:rotate"},
        }}),
    ];
    objects.extend(with_targets());
    objects
}

/// One for each target of a rotation.
fn with_targets() -> Vec<Value> {
    vec![
        json!({
            "value": {"data": {"username": "app"}, "generate": {"password": {}}},
            "rotation": {"schedule": "rate(1 day)", "postgres": {
                "host": "db", "database": "app", "users": "AlternatingUsers", "adminRef": {"name": "db-super"}, "alternate": {"suffix": "_2"},
                "checkInterval": "0s",
            }},
        }),
        json!({
            "value": {"data": {"username": "app"}, "generate": {"password": {}}},
            "rotation": {"schedule": "rate(1 day)", "postgres": {
                "host": "db", "port": 5432, "database": "app", "users": "SingleUser",
                "tls": {"mode": "VerifyCa", "caBundle": "-----BEGIN CERTIFICATE-----"}, "verify": {"sql": "SELECT 1"}, "checkInterval": "168h",
            }},
        }),
        json!({
            "value": {"data": {"username": "app"}, "generate": {"password": {}}},
            "rotation": {"schedule": "rate(1 day)", "postgres": {"host": "pool", "directHost": "db", "directPort": 5432, "database": "app"}},
        }),
        json!({
            "value": {"data": {"username": "app"}, "generate": {"password": {}}},
            "rotation": {"schedule": "rate(1 day)", "mysql": {
                "host": "db", "users": "AlternatingUsers", "adminRef": {"name": "db-super"}, "alternate": {"suffix": "_2"}, "checkInterval": "0s",
            }},
        }),
        json!({
            "value": {"data": {"username": "app"}, "generate": {"password": {}}},
            "rotation": {"schedule": "rate(1 day)", "mysql": {
                "host": "pool", "port": 6033, "directHost": "db", "directPort": 3306, "database": "app", "users": "DualPassword",
                "tls": {"mode": "VerifyCa", "caBundle": "-----BEGIN CERTIFICATE-----"}, "verify": {"sql": "SELECT 1"}, "checkInterval": "168h",
            }},
        }),
        json!({
            "value": {"data": {"username": "app"}, "generate": {"password": {}}},
            "rotation": {"schedule": "rate(1 day)", "redis": {
                "host": "cache", "port": 6379, "adminRef": {"name": "cache-admin"},
                "tls": {"mode": "VerifyCa", "caBundle": "-----BEGIN CERTIFICATE-----"}, "checkInterval": "0s",
            }},
        }),
        json!({
            "value": {"generate": {"token": {}}},
            "rotation": {"schedule": "rate(1 day)", "webhook": {
                "url": "https://rotate.shop.svc:8443/orders?of=app", "signingKeyRef": {"name": "key"},
                "caBundle": "-----BEGIN CERTIFICATE-----", "checkInterval": "1h",
            }},
        }),
        json!({
            "value": {"generate": {"token": {}}},
            "rotation": {"schedule": "rate(1 day)", "webhook": {
                "url": "https://rotate.shop.svc:8443/orders?of=app",
                "serviceAccountToken": {"name": "rotator", "audience": "https://rotate.shop.svc:8443"},
            }},
        }),
        json!({
            "value": {"generate": {"token": {}}},
            "rotation": {"schedule": "rate(1 day)", "job": {
                "templateRef": {"kind": "CronJob", "name": "rotate-app"}, "timeout": "1h", "checkInterval": "0s",
            }},
        }),
    ]
}

/// For the options of key pairs in `plainText`, and for numbers that [`valid`] leaves out.
pub(crate) fn nearly_valid() -> Vec<Value> {
    vec![
        json!({"value": {"plainText": {"type": "SshKeyPair", "algorithm": "Ed25519", "publicKeyField": "ssh.pub"}}}),
        json!({"value": {"plainText": {
            "type": "TlsKeyPair", "certificateField": "tls.crt", "caField": "ca.crt", "commonName": "a", "dnsNames": ["a.example"],
            "validityDays": 90,
        }}}),
        json!({"aws": {"keepVersions": 5, "recoveryWindowInDays": 30}, "value": {"generate": {"k": {"passwordLength": 32}}}}),
    ]
}
