//! The panels of the chart's dashboard, as queries that the engine of Prometheus evaluates.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

const DASHBOARD: &str = include_str!("../../../../charts/rotated-secrets/files/dashboard.json");

/// What a query of a panel shows.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shows {
    /// This value, as the sum of all series.
    Exactly(u32),
    /// A value above this one, in some series.
    Above(f64),
    /// No series, so Grafana shows "No data" or the text of the panel for that.
    Nothing,
}

/// In this minute, the query of a panel, by its title and reference such as `Not Ready A`, shows this.
pub(super) type Sight = (usize, &'static str, Shows);

/// The queries of all panels.
pub(super) struct Dashboard(Vec<Query>);

struct Query {
    /// Title of the panel and reference of the query.
    name: String,
    expression: String,
}

impl Dashboard {
    pub(super) fn read() -> Result<Self> {
        let file: Value = serde_json::from_str(DASHBOARD)?;
        let mut queries = Vec::new();
        for panel in file["panels"].as_array().context("panels")? {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let text = |value: &Value| value.as_str().map(str::to_owned).context("a text");
                let name = format!("{} {}", text(&panel["title"])?, text(&target["refId"])?);
                let expression = text(&target["expr"])?;
                let expression = expression.replace("$__rate_interval", "5m").replace("$job", ".+");
                let expression = expression.replace("$namespace", ".*").replace("$cluster", ".*");
                ensure!(!expression.contains('$'), "{name}: {expression}");
                queries.push(Query { name, expression });
            }
        }
        ensure!(queries.len() > 50, "{} queries", queries.len());
        Ok(Self(queries))
    }

    /// Whether a query uses the metric.
    pub(super) fn uses(&self, metric: &str) -> bool {
        self.0.iter().any(|query| query.expression.contains(&format!("{metric}{{")))
    }

    /// Rules that evaluate all queries in every fifth minute. promtool fails if one of them ends with an error.
    pub(super) fn rules(&self) -> Value {
        let rule = |(number, query): (usize, &Query)| json!({"record": format!("panel:query{number}"), "expr": query.expression});
        json!({"groups": [{"name": "dashboard", "interval": "5m", "rules": self.0.iter().enumerate().map(rule).collect::<Vec<_>>()}]})
    }

    /// The check for promtool that the query with this name shows this, `time` minutes after the first sample.
    pub(super) fn check(&self, name: &str, shows: Shows, time: usize) -> Result<Value> {
        let query = self.0.iter().find(|query| query.name == name).with_context(|| format!("no panel has the query: {name}"))?;
        Ok(check(&query.expression, shows, time))
    }

    /// The same for all queries.
    pub(super) fn check_all(&self, shows: Shows, time: usize) -> impl Iterator<Item = Value> {
        self.0.iter().map(move |query| check(&query.expression, shows, time))
    }
}

fn check(query: &str, shows: Shows, time: usize) -> Value {
    let (query, expected) = match shows {
        Shows::Exactly(value) => (format!("sum({query})"), Some(value)),
        Shows::Above(least) => (format!("max({query}) > bool {least}"), Some(1)),
        Shows::Nothing => (query.to_owned(), None),
    };
    let samples: Vec<Value> = expected.iter().map(|value| json!({"labels": "{}", "value": value})).collect();
    json!({"expr": query, "eval_time": format!("{time}m"), "exp_samples": samples})
}
