//! Values that cannot be meant are refused, in a sentence.

use anyhow::{Result, ensure};
use testkit::chart;

/// What is set, and what helm must say.
const REFUSED: [(&str, &str); 31] = [
    ("replica=2", "additional properties 'replica' not allowed"),
    ("replicas=two", "at '/replicas': got string, want integer"),
    ("replicas=11", "at '/replicas': maximum: got 11, want 10"),
    ("operator.awsregion=eu-central-1", "at '/operator': additional properties 'awsregion' not allowed"),
    ("operator.allowedRegions=eu-central-1", "at '/operator/allowedRegions': got string, want array"),
    ("operator.concurrency=0", "at '/operator/concurrency': minimum: got 0, want 1"),
    ("operator.logFormat=xml", "at '/operator/logFormat': value must be one of '', 'json', 'human'"),
    ("operator.development=yes", "at '/operator/development': got string, want boolean"),
    ("operator.minimumRotationInterval=2d", "operator.minimumRotationInterval is \"2d\": use a duration such as 90m or 36h"),
    ("operator.refreshInterval=soon", "operator.refreshInterval is \"soon\": use a duration such as 90m or 36h"),
    ("leaderElection.leaseDuration=2x", "leaderElection.leaseDuration is \"2x\": use a duration such as 90m or 36h"),
    ("leaderElection.enabled=often", "at '/leaderElection/enabled': got string, want null or boolean"),
    (
        "operator.awsEndpointUrl=http://example.com",
        "operator.awsEndpointUrl is \"http://example.com\": it must be https, or http on loopback, because secret values are sent there",
    ),
    ("operator.awsEndpointUrl=http://127.0.0.1.example.com", "it must be https, or http on loopback"),
    ("namespaces=shop", "at '/namespaces': got string, want array"),
    ("namespaces={shop,shop}", "at '/namespaces': items at 0 and 1 are equal"),
    ("namespaces={shop-*}", "namespaces: \"shop-*\" is not a valid name of a namespace: list the names, without patterns"),
    (
        "namespaces={shop},serviceAccountIdentity.namespaces={bank}",
        "serviceAccountIdentity.namespaces: \"bank\" is not in namespaces, so the operator does not manage it",
    ),
    (
        "namespaces={shop},rotationJobs.namespaces={bank}",
        "rotationJobs.namespaces: \"bank\" is not in namespaces, so the operator does not manage it",
    ),
    ("image.pullPolicy=always", "at '/image/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'"),
    ("image.digest=latest", "image.digest is \"latest\": use sha256: and 64 hexadecimal digits"),
    ("image.repository=a/b:1.0", "image.repository is \"a/b:1.0\": put the tag into image.tag or the digest into image.digest"),
    ("serviceAccount.create=false", "serviceAccount.create is false: set serviceAccount.name to an existing ServiceAccount"),
    ("serviceAccount.annotations.a=1", "at '/serviceAccount/annotations/a': got number, want string"),
    ("metrics.monitor.kind=Probe", "at '/metrics/monitor/kind': value must be one of 'PodMonitor', 'ServiceMonitor'"),
    ("ports.health=80", "at '/ports/health': minimum: got 80, want 1,024"),
    ("ports.metrics=8081", "ports.metrics and ports.health must differ"),
    ("enabled=maybe", "at '/enabled': got string, want boolean"),
    ("metrics.monitor.enabled=true", "the NetworkPolicy lets nobody scrape: set networkPolicy.metricsFrom"),
    ("networkPolicy.egressPorts={https}", "at '/networkPolicy/egressPorts/0': got string, want integer"),
    ("imagePullSecrets={registry}", "at '/imagePullSecrets/0': got string, want object"),
];

#[test]
fn wrong_values_are_refused_in_a_sentence() -> Result<()> {
    for (set, sentence) in REFUSED {
        let Err(refusal) = chart::render(&chart::dir(), &["--set", set]) else { anyhow::bail!("{set} is taken") };
        ensure!(refusal.to_string().contains(sentence), "{set}: {refusal}");
    }
    Ok(())
}

#[test]
fn what_looks_odd_and_is_right_is_taken() -> Result<()> {
    for set in [
        "image.repository=localhost:5000/rotated-secrets",
        "operator.awsEndpointUrl=http://[::1]:4566",
        "operator.minimumRotationInterval=1h30m",
        "podSecurityContext.runAsUser=null",
        "namespaces={a}",
        "global.anything=1",
        "enabled=true",
        "enabled=false",
    ] {
        chart::render(&chart::dir(), &["--set", set])?;
    }
    Ok(())
}
