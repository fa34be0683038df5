//! The values and the operator's flags are of one mind.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use clap::CommandFactory as _;
use rotated_secrets::cli::Cli;
use serde_json::Value;
use testkit::chart;

use super::values;

/// Flags with a value of their own, outside `operator`: others of the chart's objects need it, too. Two have their environment's name.
const ELSEWHERE: [&str; 13] = [
    "health-address",
    "log-filter-file",
    "metrics-address",
    "allow-service-account-identity",
    "allow-rotation-jobs",
    "namespaces",
    "leader-elect",
    "lease-name",
    "lease-namespace",
    "lease-identity",
    "lease-duration",
    "lease-renew-deadline",
    "lease-retry-period",
];

fn flags() -> Result<clap::Command> {
    Cli::command().find_subcommand("run").cloned().context("the operator has a subcommand run")
}

fn kebab(key: &str) -> String {
    key.chars().flat_map(|c| if c.is_ascii_uppercase() { vec!['-', c.to_ascii_lowercase()] } else { vec![c] }).collect()
}

#[test]
fn every_flag_of_the_operator_has_its_value_and_no_value_is_without_its_flag() -> Result<()> {
    let command = flags()?;
    let taken: BTreeSet<String> = command.get_arguments().filter_map(|flag| flag.get_long()).map(str::to_owned).collect();
    let defaults: Value = serde_saphyr::from_str(&std::fs::read_to_string(chart::dir().join("values.yaml"))?)?;
    let operator = defaults["operator"].as_object().context("operator")?.keys().map(|key| kebab(key));
    let given: BTreeSet<String> = operator.chain(ELSEWHERE.map(str::to_owned)).collect();
    let (missing, unknown) = (taken.difference(&given).collect::<Vec<_>>(), given.difference(&taken).collect::<Vec<_>>());
    ensure!(missing.is_empty(), "flags without a value: {missing:?}; add a key to `operator` in values.yaml and values.schema.json");
    ensure!(unknown.is_empty(), "values without a flag: {unknown:?}");

    let everything = values("everything.yaml");
    let arguments =
        ["--values", everything.to_str().context("UTF-8")?, "--set", "namespaces={default}", "--show-only", "templates/deployment.yaml"];
    let deployment = chart::render(&chart::dir(), &arguments)?;
    for flag in command.get_arguments() {
        let name = flag.get_long().context("a flag")?;
        let environment = flag.get_env().map(|name| format!("- name: {}\n", name.display()));
        let there = [format!("--{name}="), format!("--{name}\n")].iter().chain(&environment).any(|text| deployment.contains(text.as_str()));
        ensure!(there, "with all values set, the operator is not given --{name}");
    }
    Ok(())
}

#[test]
fn defaults_in_the_comments_are_the_operators() -> Result<()> {
    let text = std::fs::read_to_string(chart::dir().join("README.md"))?;
    let mut compared = 0;
    for flag in flags()?.get_arguments() {
        let name = flag.get_long().context("a flag")?;
        let [default] = flag.get_default_values() else { continue };
        let keys =
            [format!("operator.{name}"), format!("leader-election.{name}"), format!("leader-election.{}", name.replace("lease-", ""))];
        let of_flag = |line: &&str| keys.iter().any(|key| kebab(line).starts_with(&format!("| `{key}` ")));
        let Some(row) = text.lines().find(of_flag) else { continue };
        let default = default.to_str().context("a default in UTF-8")?;
        ensure!(row.contains(&format!("Default: `{default}`")), "--{name} is {default} by default; the chart says: {row}");
        compared += 1;
    }
    ensure!(compared >= 9, "only {compared} were compared");
    Ok(())
}
