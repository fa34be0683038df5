//! Many sets of values: what comes out is taken by the API server, by Pod Security `restricted` and by the operator's own command line.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use clap::Parser as _;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use kube::core::DynamicObject;
use rotated_secrets::cli::Cli;
use serde_json::{Value, json};
use testkit::chart;
use testkit::controlplane::ControlPlane;

use super::installed::copy;
use super::values;
use crate::stage::Stage;

/// The namespace of the release; in that of the shared control plane there are an account and a Deployment already.
pub(super) const PLACE: &str = "rendered";

/// What each set is about, and the arguments of helm.
pub(super) fn sets() -> Result<Vec<(&'static str, Vec<String>)>> {
    let set = |arguments: &[&str]| arguments.iter().flat_map(|argument| ["--set".to_owned(), (*argument).to_owned()]).collect();
    let everything = values("everything.yaml").to_str().context("a path in UTF-8")?.to_owned();
    Ok(vec![
        ("defaults", Vec::new()),
        ("everything", vec!["--values".to_owned(), everything]),
        ("two namespaces", set(&["namespaces={default,kube-public}"])),
        ("two namespaces and a name for the cluster", set(&["namespaces={default,kube-public}", "operator.clusterId=production"])),
        ("two namespaces and nothing else", set(&["namespaces={default,kube-public}", "rbac.clusterWideFinalizers=false"])),
        (
            "the policies for a namespace",
            set(&["namespaces={default}", "rbac.clusterWideFinalizers=false", "admissionPolicy.enabled=true"]),
        ),
        ("no policies", set(&["admissionPolicy.enabled=false"])),
        ("accounts of two namespaces", set(&["serviceAccountIdentity.namespaces={default,kube-public}"])),
        ("jobs of two namespaces", set(&["rotationJobs.namespaces={default,kube-public}"])),
        (
            "a service monitor",
            set(&[
                "metrics.monitor.enabled=true",
                "metrics.monitor.kind=ServiceMonitor",
                "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.team=monitoring",
            ]),
        ),
        ("an open network", set(&["networkPolicy.enabled=false"])),
        ("a network without anything outside", set(&["networkPolicy.egressPorts=null", "networkPolicy.podIdentityAgent=false"])),
        ("the platform's user", set(&["podSecurityContext.runAsUser=null", "podSecurityContext.runAsGroup=null"])),
        ("a budget of available pods", set(&["replicas=3", "podDisruptionBudget.minAvailable=2"])),
        ("one replica", set(&["replicas=1"])),
        ("one replica with a Lease", set(&["replicas=1", "leaderElection.enabled=true"])),
        ("replicas without a Lease", set(&["leaderElection.enabled=false"])),
        ("none", set(&["replicas=0"])),
        ("a shard by labels", set(&["fullnameOverride=blue", "operator.objectSelector=shard=blue"])),
        ("by digest", set(&["image.digest=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"])),
        (
            "rights made by others",
            set(&["crds.install=false", "rbac.create=false", "serviceAccount.create=false", "serviceAccount.name=theirs"]),
        ),
        ("a long name", set(&["fullnameOverride=a-name-that-is-longer-than-a-kubernetes-name-of-a-label-may-ever-be-in-all-the-world"])),
        ("another name", set(&["nameOverride=secrets"])),
    ])
}

pub(super) fn render(arguments: &[String]) -> Result<String> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(["--namespace", PLACE]).collect();
    chart::render(&chart::dir(), &arguments)
}

pub(super) fn documents(yaml: &str) -> Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml)?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// The release's namespace, where nothing but `restricted` is let in and everything else is told.
async fn restricted(plane: &ControlPlane) -> Result<()> {
    let labels: Value = ["enforce", "warn", "audit"]
        .map(|mode| (format!("pod-security.kubernetes.io/{mode}"), json!("restricted")))
        .into_iter()
        .collect::<serde_json::Map<_, _>>()
        .into();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE, "labels": labels}});
    plane.apply_yaml(&namespace.to_string()).await?;
    plane.apply_yaml(&std::fs::read_to_string(values("monitoring.yaml"))?).await?;
    // Admission of a pod asks for its runtime class.
    let class = json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "sandboxed"}, "handler": "sandboxed"});
    plane.apply_yaml(&class.to_string()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_set_of_values_is_taken_without_a_warning_where_pod_security_is_restricted() -> Result<()> {
    let stage = Stage::enter("rendered").await?;
    restricted(stage.plane()).await?;
    let mut kinds = BTreeSet::new();
    for (about, arguments) in sets()? {
        let yaml = render(&arguments).with_context(|| about.to_owned())?;
        let applied = stage.plane().try_yaml_in(PLACE, &yaml).await.with_context(|| about.to_owned())?;
        ensure!(applied.warnings.is_empty(), "{about}: {:?}", applied.warnings);
        for object in &applied.objects {
            let kind = object.types.as_ref().context("a kind")?.kind.clone();
            if kind == "Deployment" {
                admitted(&stage, object).await.with_context(|| about.to_owned())?;
            }
            kinds.insert(kind);
        }
    }
    println!("chart: {} sets of values, kinds {kinds:?}", sets()?.len());
    for kind in [
        "NetworkPolicy",
        "PodDisruptionBudget",
        "PodMonitor",
        "ServiceMonitor",
        "Role",
        "ClusterRole",
        "CustomResourceDefinition",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ] {
        ensure!(kinds.contains(kind), "no set makes a {kind}");
    }
    ensure!(!kinds.contains("Secret"), "the chart holds no secret");
    Ok(())
}

/// A Deployment is warned about; only its pods are refused.
async fn admitted(stage: &Stage, deployment: &DynamicObject) -> Result<()> {
    let template = &deployment.data["spec"]["template"];
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "try"}, "spec": template["spec"]});
    // Admission of a pod asks for its account and its priority class, too.
    let account = template["spec"]["serviceAccountName"].as_str().context("an account")?;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}});
    stage.plane().apply_yaml_in(PLACE, &account.to_string()).await?;
    let applied = stage.plane().try_yaml_in(PLACE, &pod.to_string()).await?;
    ensure!(applied.warnings.is_empty(), "{:?}", applied.warnings);

    // And the same API server would refuse it otherwise.
    let pods: Api<DynamicObject> =
        Api::namespaced_with(stage.plane().admin(), PLACE, &kube::api::ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&()));
    let mut open = pod;
    open["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
    let refused = pods.patch("try", &PatchParams::apply("test").dry_run(), &Patch::Apply(&open)).await;
    ensure!(refused.is_err_and(|error| error.to_string().contains("restricted")), "Pod Security is awake");
    Ok(())
}

/// Rules for Prometheus, with the templates that Prometheus, not helm, fills in.
const RULES: &str = "# Alerts.
groups:
  - name: rotated-secrets
    rules:
      - alert: RotatedSecretsDown
        expr: absent(up{job=\"rotated-secrets\"})
        for: 10m
        labels: {severity: warning}
        annotations:
          summary: \"{{ $labels.job }} is down, {{ $value | humanize }}\"
";
const DASHBOARD: &str = "{\n  \"title\": \"Rotated Secrets\",\n  \"panels\": [{\"legendFormat\": \"{{outcome}}\"}]\n}\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_alert_rules_and_the_dashboard_reach_the_cluster_word_for_word() -> Result<()> {
    let stage = Stage::enter("observed").await?;
    restricted(stage.plane()).await?;
    let chart = stage.plane().dir().join("chart-with-rules");
    copy(&chart::dir(), &chart)?;
    for (name, text) in [("alerts.yaml", RULES), ("dashboard.json", DASHBOARD)] {
        std::fs::write(chart.join("files").join(name), text)?;
    }
    let rules = "metrics.prometheusRule.enabled=true,metrics.prometheusRule.labels.release=prometheus";
    let set = format!("{rules},metrics.prometheusRule.selector=job=\"own\",metrics.dashboard.enabled=true");
    let yaml = chart::render(&chart, &["--namespace", PLACE, "--set", &set])?;
    let applied = stage.plane().try_yaml_in(PLACE, &yaml).await?;
    ensure!(applied.warnings.is_empty(), "{:?}", applied.warnings);

    let of = |kind: &str| applied.objects.iter().find(|object| object.types.as_ref().is_some_and(|types| types.kind == kind));
    let rule = of("PrometheusRule").context("a PrometheusRule")?;
    // Without an address of the runbook there is no link that opens nowhere.
    let unlinked = RULES.replace("runbook_url: ", "runbook: ").replace("job=\"rotated-secrets\"", "job=\"own\"");
    ensure!(rule.data["spec"] == serde_saphyr::from_str::<Value>(&unlinked)?, "{}", rule.data["spec"]);
    let linked = format!("{set},metrics.prometheusRule.runbookUrl=https://docs.example/runbook.html");
    let linked = chart::render(&chart::dir(), &["--namespace", PLACE, "--set", &linked])?;
    ensure!(linked.contains("runbook_url: https://docs.example/runbook.html#rotatedsecretsoverdue\n"), "{linked}");
    ensure!(!linked.contains("docs/runbook.md#rotatedsecrets"), "{linked}");
    ensure!(rule.labels()["release"] == "prometheus" && rule.labels()["app.kubernetes.io/instance"] == chart::NAME, "labelled");
    let map = of("ConfigMap").context("a ConfigMap")?;
    ensure!(map.data["data"]["rotated-secrets.json"] == DASHBOARD, "{}", map.data);
    ensure!(map.labels()["grafana_dashboard"] == "1", "labelled for Grafana's sidecar");
    Ok(())
}

/// The rendered rules of the release.
fn rules(sets: &str) -> Result<Vec<Value>> {
    let sets = format!("metrics.prometheusRule.enabled=true,networkPolicy.enabled=false,metrics.monitor.enabled=true{sets}");
    let rendered = documents(&chart::render(&chart::dir(), &["--namespace", PLACE, "--set", &sets])?)?;
    let rule = rendered.into_iter().find(|document| document["kind"] == "PrometheusRule").context("a PrometheusRule")?;
    Ok(rule["spec"]["groups"][0]["rules"].as_array().context("rules")?.clone())
}

#[test]
fn alerts_are_of_one_release_and_single_ones_can_be_changed() -> Result<()> {
    let selector = format!("namespace=\"{PLACE}\",job=\"{}\"", chart::NAME);
    for rule in rules("")? {
        let expr = rule["expr"].as_str().context("an expression")?;
        let metrics = expr.matches("rotated_secrets_").count() + expr.matches("process_").count();
        ensure!(metrics > 0 && expr.matches(&selector).count() == metrics, "{}: of this release only: {expr}", rule["alert"]);
    }
    let of = "metrics.prometheusRule.alerts.RotatedSecrets";
    let changed = rules(&format!(
        ",metrics.prometheusRule.alertLabels.team=platform,{of}Stalled.enabled=false,{of}Overdue.severity=critical,{of}Overdue.for=30m,\
         {of}Overdue.labels.team=shop"
    ))?;
    let one = |name: &str| changed.iter().find(|rule| rule["alert"] == format!("RotatedSecrets{name}"));
    ensure!(one("Stalled").is_none(), "an alert is left out");
    let overdue = one("Overdue").context("the alert")?;
    ensure!(overdue["for"] == "30m" && overdue["labels"] == json!({"severity": "critical", "team": "shop"}), "{overdue}");
    let failing = one("Failing").context("the alert")?;
    ensure!(failing["labels"] == json!({"severity": "warning", "team": "platform"}), "{failing}");
    let unknown = rules(&format!(",{of}Overdu.enabled=false")).err().context("there is no such alert")?;
    ensure!(format!("{unknown:#}").contains("there is no alert RotatedSecretsOverdu; the alerts are"), "{unknown:#}");
    Ok(())
}

#[test]
fn the_operator_takes_every_command_line_that_the_chart_gives_it() -> Result<()> {
    for (about, arguments) in sets()? {
        let manifests = documents(&render(&arguments)?)?;
        let deployment = manifests.iter().find(|document| document["kind"] == "Deployment").context("a Deployment")?;
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let words = container["args"].as_array().context("args")?.iter().filter_map(Value::as_str);
        let line: Vec<&str> = ["rotated-secrets"].into_iter().chain(words).collect();
        Cli::try_parse_from(&line).with_context(|| format!("{about}: {line:?}"))?;
    }
    Ok(())
}

#[test]
fn a_list_of_namespaces_reaches_no_further_except_to_release_objects() -> Result<()> {
    for (about, arguments) in sets()?.into_iter().filter(|(about, _)| about.starts_with("two namespaces")) {
        let manifests = documents(&render(&arguments)?)?;
        let of = |kind: &str| manifests.iter().filter(|document| document["kind"] == kind).collect::<Vec<_>>();
        let released = json!([
            {"apiGroups": ["rotated-secrets.io"], "resources": ["rotatedsecrets"], "verbs": ["patch"]},
            {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["default", "kube-public"], "verbs": ["get"]},
        ]);
        let rules: Vec<&Value> = of("ClusterRole").iter().map(|role| &role["rules"]).collect();
        let expected = if about.ends_with("nothing else") { Vec::new() } else { vec![&released] };
        ensure!(rules == expected && of("ClusterRoleBinding").len() == expected.len(), "{about}: {rules:?}");
        let events = json!([{"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]}]);
        let at_home: Vec<&Value> =
            of("Role").iter().filter(|role| role["metadata"]["name"] == "rotated-secrets-events").map(|role| &role["rules"]).collect();
        ensure!(at_home == [&events], "{about}: {at_home:?}");
        let rights =
            |role: &&&Value| !matches!(role["metadata"]["name"].as_str(), Some("rotated-secrets-leader" | "rotated-secrets-events"));
        let places: BTreeSet<&str> = of("Role").iter().filter(rights).filter_map(|role| role["metadata"]["namespace"].as_str()).collect();
        let mut expected = BTreeSet::from(["default", "kube-public"]);
        if !about.ends_with("cluster") {
            expected.insert("kube-system");
        }
        ensure!(places == expected, "{about}: {places:?}");
        // In kube-system nothing but the uid of that very namespace may be read.
        for role in of("Role").iter().filter(|role| role["metadata"]["namespace"] == "kube-system") {
            let rules = json!([{"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]}]);
            ensure!(role["rules"] == rules, "{}", role["rules"]);
        }
        for binding in of("RoleBinding") {
            ensure!(binding["roleRef"]["kind"] == "Role", "{binding}");
        }
    }
    Ok(())
}

#[test]
fn jobs_are_made_only_where_that_is_allowed_and_by_the_rules_that_are_tested() -> Result<()> {
    let tested = documents(include_str!("../../../deploy/optional/rotation-jobs.yaml"))?;
    for (about, arguments) in sets()? {
        let manifests = documents(&render(&arguments)?)?;
        let roles: Vec<&Value> = manifests.iter().filter(|document| document["rules"].to_string().contains("\"jobs\"")).collect();
        let places: Vec<&str> = roles.iter().filter_map(|role| role["metadata"]["namespace"].as_str()).collect();
        let expected: &[&str] = match about {
            "jobs of two namespaces" => &["default", "kube-public"],
            "everything" => &["default"],
            _ => &[],
        };
        ensure!(places == expected && roles.len() == expected.len(), "{about}: {places:?}");
        for role in roles {
            ensure!(role["kind"] == "Role" && role["rules"] == tested[0]["rules"], "{about}: {role}");
        }
        let told = render(&arguments)?.contains("--allow-rotation-jobs");
        ensure!(told != expected.is_empty(), "{about}: the flag goes with the Role");
    }
    Ok(())
}

#[test]
fn tokens_of_accounts_are_made_only_where_that_is_allowed_and_by_the_rules_that_are_tested() -> Result<()> {
    let tested = documents(include_str!("../../../deploy/optional/service-accounts.yaml"))?;
    for (about, arguments) in sets()? {
        let manifests = documents(&render(&arguments)?)?;
        let roles: Vec<&Value> = manifests.iter().filter(|document| document["rules"].to_string().contains("serviceaccounts")).collect();
        let places: Vec<&str> = roles.iter().filter_map(|role| role["metadata"]["namespace"].as_str()).collect();
        let expected: &[&str] = match about {
            "accounts of two namespaces" => &["default", "kube-public"],
            "everything" => &["default"],
            _ => &[],
        };
        ensure!(places == expected && roles.len() == expected.len(), "{about}: {places:?}");
        for role in roles {
            ensure!(role["kind"] == "Role" && role["rules"] == tested[0]["rules"], "{about}: {role}");
        }
    }
    Ok(())
}

#[test]
fn replicas_share_a_lease_of_the_releases_name_and_one_alone_has_no_right_to_any() -> Result<()> {
    for (about, arguments) in sets()? {
        let manifests = documents(&render(&arguments)?)?;
        let deployment = manifests.iter().find(|document| document["kind"] == "Deployment").context("a Deployment")?;
        let name = deployment["metadata"]["name"].as_str().context("a name")?;
        let words = deployment["spec"]["template"]["spec"]["containers"][0]["args"].to_string();
        let elects = !matches!(about, "one replica" | "none" | "replicas without a Lease");
        ensure!(words.contains("\"--leader-elect\"") == elects, "{about}: {words}");
        ensure!(words.contains(&format!("\"--lease-name={name}\"")) == elects, "{about}: {words}");
        let roles: Vec<&Value> = manifests.iter().filter(|document| document["rules"].to_string().contains("leases")).collect();
        ensure!(roles.len() == usize::from(elects && about != "rights made by others"), "{about}");
        for role in roles {
            ensure!(role["kind"] == "Role" && role["metadata"]["namespace"] == PLACE, "{about}: in the release's namespace");
            ensure!(role["rules"][1]["resourceNames"] == json!([name]), "{about}: by name");
        }
    }
    Ok(())
}

#[test]
fn the_network_lets_in_nobody_but_prometheus_and_out_what_the_operator_needs() -> Result<()> {
    for (about, arguments) in sets()? {
        let manifests = documents(&render(&arguments)?)?;
        let Some(policy) = manifests.iter().find(|document| document["kind"] == "NetworkPolicy") else {
            ensure!(about == "an open network", "{about}: no NetworkPolicy");
            continue;
        };
        let spec = &policy["spec"];
        ensure!(spec["policyTypes"] == json!(["Ingress", "Egress"]), "{about}");
        let peers = match about {
            "everything" => json!([{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]),
            "a service monitor" => json!([{"namespaceSelector": {"matchLabels": {"team": "monitoring"}}}]),
            _ => Value::Null,
        };
        let metrics = json!([{"port": "metrics", "protocol": "TCP"}]);
        let ingress = if peers.is_null() { json!([]) } else { json!([{"from": peers, "ports": metrics}]) };
        ensure!(spec["ingress"] == ingress, "{about}: {}", spec["ingress"]);
        if about == "defaults" {
            let tcp = |port: u16| json!({"port": port, "protocol": "TCP"});
            let udp = |port: u16| json!({"port": port, "protocol": "UDP"});
            let agent = json!([{"ipBlock": {"cidr": "169.254.170.23/32"}}, {"ipBlock": {"cidr": "fd00:ec2::23/128"}}]);
            let egress = json!([
                {"ports": [udp(53), tcp(53), udp(5353), tcp(5353)]},
                {"ports": [tcp(443), tcp(6443)]},
                {"to": agent, "ports": [tcp(80)]},
            ]);
            ensure!(spec["egress"] == egress, "{}", spec["egress"]);
        }
        // The ports that the policy and the probes name are those of the container.
        let deployment = manifests.iter().find(|document| document["kind"] == "Deployment").context("a Deployment")?;
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let ports: Vec<&str> = container["ports"].as_array().context("ports")?.iter().filter_map(|port| port["name"].as_str()).collect();
        ensure!(ports == ["metrics", "health"], "{about}: {ports:?}");
        for probe in ["livenessProbe", "readinessProbe"] {
            ensure!(container[probe]["httpGet"]["port"] == "health", "{about}: {probe}");
        }
    }
    Ok(())
}

#[test]
fn no_rule_has_a_wildcard_or_reaches_what_makes_rights() -> Result<()> {
    for (about, arguments) in sets()? {
        for role in
            documents(&render(&arguments)?)?.iter().filter(|document| document["kind"].as_str().is_some_and(|kind| kind.ends_with("Role")))
        {
            let rules = role["rules"].to_string();
            for word in [
                "\"*\"",
                "escalate",
                "bind",
                "impersonate",
                "pods/exec",
                "nodes",
                "rbac.authorization.k8s.io",
                "webhookconfigurations",
                "customresourcedefinitions",
            ] {
                ensure!(!rules.contains(word), "{about}: {word} in {rules}");
            }
        }
    }
    Ok(())
}

#[test]
fn everything_carries_the_releases_labels_and_the_pods_those_of_the_selector() -> Result<()> {
    for (about, arguments) in sets()? {
        for document in documents(&render(&arguments)?)? {
            let labels = &document["metadata"]["labels"];
            ensure!(labels["app.kubernetes.io/instance"] == chart::NAME, "{about}: {} has {labels}", document["kind"]);
            if document["kind"] == "Deployment" {
                let (selector, labels) =
                    (&document["spec"]["selector"]["matchLabels"], &document["spec"]["template"]["metadata"]["labels"]);
                for (name, value) in selector.as_object().context("a selector")? {
                    ensure!(&labels[name] == value, "{about}: {name}");
                }
            }
        }
    }
    Ok(())
}

/// The plugin finds the operator so (`src/plugin/operator.rs`).
#[test]
fn a_cluster_role_binding_names_the_account_of_the_operator() -> Result<()> {
    for (about, arguments) in sets()? {
        let manifests = documents(&render(&arguments)?)?;
        let of = |kind: &str| manifests.iter().filter(|document| document["kind"] == kind).collect::<Vec<_>>();
        let none = about.ends_with("nothing else") || ["the policies for a namespace", "rights made by others"].contains(&about);
        ensure!(of("ClusterRoleBinding").is_empty() == none, "{about}");
        let deployment = of("Deployment").into_iter().next().context("a Deployment")?;
        for binding in of("ClusterRoleBinding") {
            let account = &deployment["spec"]["template"]["spec"]["serviceAccountName"];
            let expected = json!([{"kind": "ServiceAccount", "name": account, "namespace": deployment["metadata"]["namespace"]}]);
            let label = |object: &Value| object["metadata"]["labels"]["app.kubernetes.io/name"].clone();
            ensure!(binding["subjects"] == expected && label(binding) == label(deployment), "{about}: {binding}");
        }
    }
    Ok(())
}
