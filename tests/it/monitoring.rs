//! What watches the operator: the alert rules and the dashboard of the chart, by promtool and against the page of metrics, which is held to the program.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::promtool;

/// How the names of our metrics begin. Those of the process have the names that every exporter has for them.
const PREFIXES: [&str; 2] = ["rotated_secrets_", "process_"];
const RULES: &str = "charts/rotated-secrets/files/alerts.yaml";
const CASES: &str = "tests/alerts/alerts.yaml";
const DASHBOARD: &str = "charts/rotated-secrets/files/dashboard.json";

fn path(file: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file).display().to_string()
}

fn yaml(file: &str) -> Result<Value> {
    let text = std::fs::read_to_string(path(file))?;
    serde_saphyr::from_str(&text).with_context(|| format!("{file} is YAML"))
}

fn list<'a>(value: &'a Value, what: &str) -> Result<&'a Vec<Value>> {
    value[what].as_array().with_context(|| format!("{what} is a list"))
}

fn text<'a>(value: &'a Value, what: &str) -> Result<&'a str> {
    value[what].as_str().filter(|text| !text.is_empty()).with_context(|| format!("{what} is there: {value}"))
}

fn rules() -> Result<Vec<Value>> {
    let file = yaml(RULES)?;
    let mut rules = Vec::new();
    for group in list(&file, "groups")? {
        rules.extend(list(group, "rules")?.clone());
    }
    ensure!(rules.len() > 5, "there are rules");
    Ok(rules)
}

/// Every metric that docs/metrics.md tells of, and of each histogram its parts.
fn metrics() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for row in
        include_str!("../../docs/metrics.md").lines().filter(|line| PREFIXES.iter().any(|prefix| line.starts_with(&format!("| `{prefix}"))))
    {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`');
        match cells[2] {
            "histogram" => names.extend(["bucket", "count", "sum"].map(|part| format!("{name}_{part}"))),
            _ => drop(names.insert(name.to_owned())),
        }
    }
    names
}

/// The metrics of ours in a query.
fn named(query: &str) -> BTreeSet<String> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| PREFIXES.iter().any(|prefix| word.starts_with(prefix))).map(str::to_owned).collect()
}

/// How often a metric of ours is named.
fn named_times(query: &str) -> usize {
    PREFIXES.iter().map(|prefix| query.matches(prefix).count()).sum()
}

fn all_known(query: &str) -> Result<()> {
    let (named, metrics) = (named(query), metrics());
    ensure!(!named.is_empty(), "a query about the operator: {query}");
    let unknown: Vec<_> = named.difference(&metrics).collect();
    ensure!(unknown.is_empty(), "metrics that are not in docs/metrics.md: {unknown:?} in {query}");
    Ok(())
}

#[test]
fn the_alert_rules_are_right_and_their_cases_come_true() -> Result<()> {
    promtool::run(&["check", "rules", &path(RULES)])?;
    println!("{}", promtool::run(&["test", "rules", &path(CASES)])?);
    Ok(())
}

#[test]
fn promtool_notices_a_rule_that_does_not_fire() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let weakened = std::fs::read_to_string(path(RULES))?.replace(
        "object_namespace) (rotated_secrets_namespace_overdue_max_seconds{job=\"rotated-secrets\"}) > 900",
        "object_namespace) \
         (rotated_secrets_namespace_overdue_max_seconds{job=\"rotated-secrets\"}) > 1800",
    );
    std::fs::write(folder.path().join("alerts.yaml"), weakened)?;
    let cases = std::fs::read_to_string(path(CASES))?.replace("../../charts/rotated-secrets/files/alerts.yaml", "alerts.yaml");
    let file = folder.path().join("cases.yaml");
    std::fs::write(&file, cases)?;
    let refused = promtool::run(&["test", "rules", &file.display().to_string()]).err().context("it notices")?;
    ensure!(refused.to_string().contains("RotatedSecretsOverdue"), "{refused}");
    Ok(())
}

#[test]
fn every_alert_has_a_firing_and_a_quiet_case_and_a_place_in_the_runbook() -> Result<()> {
    let cases = yaml(CASES)?;
    let mut seen: BTreeMap<&str, (bool, bool)> = BTreeMap::new();
    for case in list(&cases, "tests")? {
        let mut fires: BTreeMap<&str, bool> = BTreeMap::new();
        for check in list(case, "alert_rule_test")? {
            *fires.entry(text(check, "alertname")?).or_default() |= !list(check, "exp_alerts")?.is_empty();
        }
        for (alert, fires) in fires {
            let seen = seen.entry(alert).or_default();
            if fires { seen.0 = true } else { seen.1 = true }
        }
    }
    let runbook = include_str!("../../docs/runbook.md");
    let rules = rules()?;
    for rule in &rules {
        let alert = text(rule, "alert")?;
        ensure!(seen.get(alert) == Some(&(true, true)), "{alert} has a case in which it fires, and one in which it never does");
        ensure!(["warning", "critical"].contains(&text(&rule["labels"], "severity")?), "{alert}");
        text(&rule["annotations"], "summary")?;
        let description = text(&rule["annotations"], "description")?;
        ensure!(!description.contains("{{ $value }} "), "{alert}: a number may be 1, so no word in the plural follows it: {description}");
        ensure!(text(&rule["annotations"], "runbook_url")? == format!("docs/runbook.md#{}", alert.to_lowercase()), "{alert}");
        ensure!(runbook.lines().any(|line| line == format!("### {alert}")), "docs/runbook.md has a section {alert}");
        let expr = text(rule, "expr")?;
        all_known(expr)?;
        ensure!(expr.matches("job=\"rotated-secrets\"").count() == named_times(expr), "{alert}: of one release only");
    }
    let known: BTreeSet<&str> = rules.iter().filter_map(|rule| rule["alert"].as_str()).collect();
    let told = runbook.lines().filter_map(|line| line.strip_prefix("### RotatedSecrets")).map(|rest| format!("RotatedSecrets{rest}"));
    for alert in told {
        ensure!(known.contains(alert.as_str()), "docs/runbook.md tells of {alert}, which is no alert");
    }
    Ok(())
}

/// A dashboard's query as Prometheus gets it.
fn expanded(query: &str) -> String {
    query.replace("$__rate_interval", "5m").replace("$job", ".+").replace("$namespace", ".*").replace("$cluster", ".*")
}

#[test]
fn the_dashboard_asks_for_what_there_is_and_every_panel_can_be_read() -> Result<()> {
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(path(DASHBOARD))?)?;
    let variables: BTreeSet<&str> =
        list(&dashboard["templating"], "list")?.iter().filter_map(|variable| variable["name"].as_str()).collect();
    ensure!(variables == BTreeSet::from(["cluster", "datasource", "job", "namespace"]), "{variables:?}");
    let (mut ids, mut places, mut queries) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
    for panel in list(&dashboard, "panels")? {
        let title = text(panel, "title")?;
        ensure!(ids.insert(panel["id"].as_u64().context("an id")?), "{title}: an id of its own");
        let at = |what: &str| panel["gridPos"][what].as_u64().with_context(|| format!("{title}: {what}"));
        let (x, y, w, h) = (at("x")?, at("y")?, at("w")?, at("h")?);
        ensure!(w > 0 && h > 0 && x + w <= 24, "{title}: within the width");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            if let Some(other) = places.insert(cell, title) {
                anyhow::bail!("{title} lies on {other}");
            }
        }
        if text(panel, "type")? == "row" {
            continue;
        }
        ensure!(["stat", "table", "timeseries"].contains(&text(panel, "type")?), "{title}: a kind of panel that Grafana has built in");
        text(panel, "description").with_context(|| title.to_owned())?;
        text(&panel["fieldConfig"]["defaults"], "unit").with_context(|| title.to_owned())?;
        ensure!(panel["datasource"]["uid"] == "${datasource}", "{title}: the data source of one's choice");
        let targets = list(panel, "targets")?;
        ensure!(!targets.is_empty(), "{title}");
        for target in targets {
            let query = text(target, "expr")?;
            all_known(query).with_context(|| title.to_owned())?;
            ensure!(
                query.matches("{cluster=~\"$cluster\",namespace=~\"$namespace\",job=~\"$job\"").count() == named_times(query),
                "{title}: of the chosen operators only: {query}"
            );
            ensure!(target["datasource"]["uid"] == "${datasource}", "{title}");
            if panel["type"] == "timeseries" {
                text(target, "legendFormat").with_context(|| title.to_owned())?;
            }
            queries.push(expanded(query));
        }
    }
    ensure!(queries.iter().all(|query| !query.contains('$')), "every variable is known: {queries:?}");
    // promtool knows rules, not queries; so each query is made a rule.
    let rules: Vec<Value> =
        queries.iter().enumerate().map(|(number, query)| json!({"record": format!("panel:query{number}"), "expr": query})).collect();
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("queries.yaml");
    std::fs::write(&file, json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string())?;
    println!("{}", promtool::run(&["check", "rules", &file.display().to_string()])?);

    let shown: BTreeSet<String> = queries.iter().flat_map(|query| named(query)).collect();
    let hidden: Vec<String> = metrics()
        .into_iter()
        .filter(|name| !name.starts_with("rotated_secrets_object_") && !name.ends_with("_sum") && !name.ends_with("_count"))
        .filter(|name| !shown.contains(name))
        .collect();
    ensure!(hidden.is_empty(), "metrics that the dashboard leaves out: {hidden:?}");
    Ok(())
}

/// Sources and targets of each rule of the inhibition in docs/alerts.md.
const INHIBITION: [(&[&str], &[&str]); 7] = [
    (
        &["OperatorDown"],
        &[
            "Contested",
            "Defect",
            "DeletionStuck",
            "EventQueueUnreadable",
            "Failing",
            "MostObjectsFail",
            "NoLeader",
            "NotRetired",
            "ObjectsUnknown",
            "OutOfStep",
            "OverAge",
            "Overdue",
            "OverdueForADay",
            "ReconcilesWait",
            "RolloutFailed",
            "RolloutWaiting",
            "Stalled",
            "StatusNotWritten",
            "TargetRefuses",
            "Throttled",
            "UnreadableObjects",
            "WatchesInterrupted",
        ],
    ),
    (&["NoLeader"], &["DeletionStuck", "Failing", "MostObjectsFail", "OutOfStep", "Overdue", "Stalled"]),
    (&["MostObjectsFail"], &["DeletionStuck", "Failing", "OutOfStep", "Overdue", "Throttled"]),
    (&["OverdueForADay", "Stalled"], &["Overdue"]),
    (&["Contested"], &["OutOfStep", "Stalled"]),
    (&["TargetRefuses"], &["Stalled"]),
    (&["NotRetired"], &["Stalled"]),
];

/// The labels of an alert of one release, beside its name: those that its expression keeps, or those of the selector.
fn labels(rule: &Value) -> Result<BTreeSet<String>> {
    let kept = text(rule, "expr")?.split_once("by (").and_then(|(_, rest)| rest.split_once(')')).map(|(labels, _)| labels);
    Ok(kept.unwrap_or("cluster, namespace, job").split(", ").map(str::to_owned).collect())
}

#[test]
fn the_inhibition_in_the_documents_meets_the_alerts_that_are_meant_and_labels_that_they_have() -> Result<()> {
    let (_, block) = include_str!("../../docs/alerts.md").split_once("```yaml\ninhibit_rules:\n").context("the inhibition")?;
    let block: Value = serde_saphyr::from_str(block.split_once("```").context("its end")?.0)?;
    let inhibition = block.as_array().context("a list")?;
    assert_eq!(inhibition.len(), INHIBITION.len());
    let rules = rules()?;
    let name = |rule: &Value| rule["alert"].as_str().unwrap_or_default().to_owned();
    // Alertmanager has the matchers of Prometheus.
    let series: Vec<Value> =
        rules.iter().map(|rule| json!({"series": format!("alert{{alertname={:?}}}", name(rule)), "values": "1"})).collect();
    let mut checks = Vec::new();
    for (rule, (sources, targets)) in inhibition.iter().zip(INHIBITION) {
        for (matchers, alerts) in [("source_matchers", sources), ("target_matchers", targets)] {
            let matchers: Vec<&str> = list(rule, matchers)?.iter().filter_map(Value::as_str).collect();
            let alerts: Vec<String> = alerts.iter().map(|alert| format!("RotatedSecrets{alert}")).collect();
            let samples: Vec<Value> =
                alerts.iter().map(|alert| json!({"labels": format!("alert{{alertname={alert:?}}}"), "value": 1})).collect();
            checks.push(json!({"expr": format!("alert{{{}}}", matchers.join(",")), "eval_time": "0m", "exp_samples": samples}));
            for alert in alerts {
                let found = rules.iter().find(|rule| name(rule) == alert).with_context(|| format!("there is no alert {alert}"))?;
                let missing: Vec<_> = list(rule, "equal")?
                    .iter()
                    .filter_map(Value::as_str)
                    .filter(|label| !labels(found).is_ok_and(|all| all.contains(*label)))
                    .collect();
                ensure!(missing.is_empty(), "{alert} does not have the labels {missing:?}, which have to be equal: {rule}");
            }
        }
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("inhibition.yaml");
    std::fs::write(&file, json!({"tests": [{"interval": "1m", "input_series": series, "promql_expr_test": checks}]}).to_string())?;
    println!("{}", promtool::run(&["test", "rules", &file.display().to_string()])?);
    Ok(())
}
