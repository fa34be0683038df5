//! Values that cannot be meant are refused, in a sentence.

use anyhow::{Result, ensure};
use testkit::chart;

/// What is set, and what helm must say.
const REFUSED: [(&str, &str); 101] = [
    ("replica=2", "additional properties 'replica' not allowed"),
    ("replicas=two", "at '/replicas': got string, want integer"),
    ("replicas=11", "at '/replicas': maximum: got 11, want 10"),
    ("operator.awsregion=eu-central-1", "at '/operator': additional properties 'awsregion' not allowed"),
    ("operator.allowedRegions=eu-central-1", "at '/operator/allowedRegions': got string, want array"),
    ("operator.concurrency=0", "at '/operator/concurrency': minimum: got 0, want 1"),
    ("operator.logFormat=xml", "at '/operator/logFormat': value must be one of '', 'json', 'human'"),
    ("operator.auditLog=stderr", "at '/operator/auditLog': value must be one of '', 'stdout', 'off'"),
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
    ("metrics.prometheusRule.enabled=true", "set metrics.prometheusRule.selector to the labels that your Prometheus gives"),
    ("metrics.prometheusRule.selector={job=own}", "at '/metrics/prometheusRule/selector': got array, want string"),
    ("metrics.prometheusRule.selector=job=own", "at '/metrics/prometheusRule/selector': 'job=own' does not match pattern"),
    ("metrics.prometheusRule.selector=job=\"own\"\\,", "at '/metrics/prometheusRule/selector': 'job=\"own\",' does not match pattern"),
    ("metrics.prometheusRule.alerts.RotatedSecretsOverdue.for=soon", "'soon' does not match pattern"),
    ("networkPolicy.egressPorts={https}", "at '/networkPolicy/egressPorts/0': got string, want integer"),
    ("imagePullSecrets={registry}", "at '/imagePullSecrets/0': got string, want object"),
    ("image.registry=https://registry.example.com", "use a host such as registry.example.com:5000, without https:// and without a slash"),
    ("global.imageRegistry=mirror.example.com/", "global.imageRegistry is \"mirror.example.com/\": use a host such as"),
    ("global.imageRegistry=1", "at '/global/imageRegistry': got number, want string"),
    ("global.imagePullSecrets=registry", "at '/global/imagePullSecrets': got string, want array"),
    (
        "image.registry=mirror.example.com,image.repository=registry.example.com/a",
        "image.registry and image.repository (\"registry.example.com/a\") both name a registry: remove it from image.repository",
    ),
    ("image.repository=https://registry.example.com/a", "without https:// and without a slash at either end"),
    ("image.tag=sha256:0", "image.tag is \"sha256:0\": use up to 128 letters, digits and . _ -; a digest belongs into image.digest"),
    (
        "podDisruptionBudget.minAvailable=1,podDisruptionBudget.maxUnavailable=1",
        "has both minAvailable and maxUnavailable: set one of them to null",
    ),
    (
        "podDisruptionBudget.minAvailable=2",
        "minAvailable is 2 with 2 replicas: no pod could be evicted, and no node drained; use at most 1",
    ),
    ("podDisruptionBudget.minAvailable=100%", "minAvailable is 100% with 2 replicas: no pod could be evicted"),
    ("podDisruptionBudget.minAvailable=1,replicas=0", "minAvailable is set, but replicas is 0: use at least 2 replicas, or set"),
    ("podDisruptionBudget.minAvailable=half", "podDisruptionBudget.minAvailable is \"half\": use a number, or a percentage such as 50%"),
    (
        "podDisruptionBudget.maxUnavailable=0",
        "podDisruptionBudget.maxUnavailable is 0: no pod could be evicted, and no node drained; use at least 1",
    ),
    ("podDisruptionBudget.maxUnavailable=-1", "at '/podDisruptionBudget/maxUnavailable': minimum: got -1, want 0"),
    ("revisionHistoryLimit=-1", "at '/revisionHistoryLimit': minimum: got -1, want 0"),
    ("updateStrategy.type=OnDelete", "at '/updateStrategy/type': value must be one of 'RollingUpdate', 'Recreate'"),
    ("resources.limit.memory=1Gi", "at '/resources': additional properties 'limit' not allowed"),
    ("commonAnnotations.a=1", "at '/commonAnnotations/a': got number, want string"),
    ("deploymentAnnotations.a=true", "at '/deploymentAnnotations/a': got boolean, want string"),
    ("dnsPolicy=none", "at '/dnsPolicy': value must be one of '', 'ClusterFirst', 'Default', 'None'"),
    ("dnsPolicy=None", "dnsPolicy is None: set dnsConfig.nameservers, otherwise the pods resolve no name"),
    ("dnsConfig.ndots=1", "at '/dnsConfig': additional properties 'ndots' not allowed"),
    ("hostAliases[0].ip=10.0.0.5", "at '/hostAliases/0': missing property 'hostnames'"),
    ("hostUsers=maybe", "at '/hostUsers': got string, want null or boolean"),
    ("lifecycle.preStart.sleep.seconds=1", "at '/lifecycle': additional properties 'preStart' not allowed"),
    ("initContainers[0].name=a", "at '/initContainers/0': missing property 'image'"),
    (
        "extraContainers[0].name=operator,extraContainers[0].image=a",
        "extraContainers: another container of the pod has the name \"operator\"",
    ),
    ("extraObjects[0].kind=ConfigMap", "at '/extraObjects/0': missing property 'apiVersion'"),
    ("extraObjects[0]=7", "at '/extraObjects/0': got number, want string or object"),
    ("extraEnv[0].value=a", "at '/extraEnv/0': missing property 'name'"),
    ("extraEnv[0].name=POD_NAME", "extraEnv: the chart sets POD_NAME: remove it"),
    ("extraEnv[0].name=A,extraEnv[1].name=A", "extraEnv: A is there twice: remove one"),
    ("extraVolumes[0].name=operator-pod", "extraVolumes: the chart sets operator-pod: remove it"),
    ("extraVolumes[0].name=a,extraVolumes[1].name=a", "extraVolumes: a is there twice: remove one"),
    (
        "extraVolumeMounts[0].name=a,extraVolumeMounts[0].mountPath=/a,extraVolumeMounts[1].name=b,extraVolumeMounts[1].mountPath=/a",
        "extraVolumeMounts: /a is there twice: remove one",
    ),
    ("extraArgs={log=debug}", "extraArgs: \"log=debug\" is not a flag: use the form --flag=value"),
    ("extraArgs={--log=debug},operator.log=info", "extraArgs: the chart sets --log from another value: change that value instead"),
    ("extraArgs={--namespaces=shop},namespaces={bank}", "extraArgs: the chart sets --namespaces from another value"),
    ("extraArgs={--leader-elect}", "extraArgs: the chart sets --leader-elect from another value"),
    ("extraArgs={--lease-duration=20s},leaderElection.leaseDuration=30s", "extraArgs: the chart sets --lease-duration from another value"),
    ("commonLabels.app\\.kubernetes\\.io/name=a", "commonLabels: the chart sets the label app.kubernetes.io/name: use nameOverride"),
    ("podLabels.app\\.kubernetes\\.io/instance=a", "podLabels: the chart sets the label app.kubernetes.io/instance"),
    ("fullnameOverride=UPPER", "fullnameOverride is \"UPPER\": use lowercase letters, digits, - and ."),
    (
        "fullnameOverride=a..b",
        "fullnameOverride is \"a..b\": use lowercase letters, digits, - and ., with a letter or digit at both ends and",
    ),
    ("nameOverride=a.-b", "nameOverride is \"a.-b\": use lowercase letters"),
    ("nameOverride=a_b", "nameOverride is \"a_b\": use lowercase letters, digits, - and ."),
    ("namespaceOverride=Shop", "namespaceOverride is \"Shop\": use the name of a namespace, such as monitoring"),
    ("metrics.monitor.namespace=a.b", "metrics.monitor.namespace is \"a.b\": use the name of a namespace, such as monitoring"),
    (
        "metrics.monitor.interval=10s,metrics.monitor.scrapeTimeout=1m",
        "metrics.monitor.scrapeTimeout is \"1m\": it must not be longer than metrics.monitor.interval, \"10s\"",
    ),
    ("metrics.monitor.interval=often", "metrics.monitor.interval is \"often\": use a duration of Prometheus such as 30s or 1m30s"),
    ("metrics.monitor.relabelings=a", "at '/metrics/monitor/relabelings': got string, want array"),
    ("leaderElection.leaseDuration=5s", "leaderElection.leaseDuration (5s) must be longer than leaderElection.renewDeadline (10s)"),
    ("leaderElection.retryPeriod=6s", "leaderElection.renewDeadline (10s) must be at least twice leaderElection.retryPeriod (6s)"),
    ("leaderElection.retryPeriod=100ms", "leaderElection.retryPeriod is \"100ms\": it must be at least 1s"),
    ("operator.deletionTimeout=1d", "operator.deletionTimeout is \"1d\": use a duration such as 90m or 36h"),
    ("operator.minimumRotationInterval=9m59s", "it must be at least 10m, because AWS recommends at most one write per secret every 10m"),
    ("operator.objectSelector=a in (b", "operator.objectSelector is \"a in (b\": use a label selector such as shard=blue"),
    ("operator.namePrefix=/a", "operator.namePrefix is \"/a\": use 1 to 128 letters"),
    ("operator.clusterId=a!", "operator.clusterId is \"a!\": use 1 to 128 letters"),
    ("operator.defaultTags.aws:a=b", "operator.defaultTags: \"aws:a\" is reserved"),
    ("operator.defaultTags.a=b!", "operator.defaultTags: \"a\"=\"b!\": use a key of 1 to 128 and a value of up to 256 letters"),
    ("operator.log=debgu", "operator.log: \"debgu\": a level is off, error, warn, info, debug or trace"),
    ("operator.log=info\\,warning", "operator.log: \"warning\": a level is off, error, warn, info, debug or trace"),
    ("operator.log=rotated_secrets=loud", "operator.log: \"rotated_secrets=loud\": a level is off, error, warn, info, debug or trace"),
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
        "global.imagePullSecrets[0].name=registry",
        "image.registry=localhost:5000/mirror",
        "global.imageRegistry=mirror.example.com,image.repository=registry.example.com/a",
        "podDisruptionBudget.minAvailable=0",
        "podDisruptionBudget.minAvailable=99%",
        "podDisruptionBudget.enabled=false,podDisruptionBudget.minAvailable=2",
        "leaderElection.leaseDuration=10001ms",
        "leaderElection.retryPeriod=5s",
        "leaderElection.enabled=false,leaderElection.leaseDuration=5s",
        "operator.minimumRotationInterval=10m",
        "operator.minimumRotationInterval=1m,operator.development=true",
        "operator.minimumRequestInterval=0s",
        "operator.objectSelector=!shard",
        "operator.objectSelector=shard notin (blue\\, green)\\,example.com/tier == a\\,b",
        "operator.defaultTags.größe=a=b",
        "operator.log=info\\,rotated_secrets=debug",
        "operator.log=rotated_secrets[reconcile{object=a}]=debug",
        "extraArgs={--log,info}",
        "metrics.monitor.interval=1m30s",
        "enabled=true",
        "enabled=false",
    ] {
        chart::render(&chart::dir(), &["--set", set])?;
    }
    Ok(())
}
