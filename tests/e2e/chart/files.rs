//! What is made from other files is as it would be made today.

use anyhow::{Result, ensure};
use serde_json::Value;
use testkit::chart;

#[test]
fn what_is_made_from_the_chart_and_the_definition_is_up_to_date() -> Result<()> {
    let differing: Vec<_> = chart::differing(&chart::defaults()?)?.into_iter().map(|(path, _)| path).collect();
    ensure!(differing.is_empty(), "type `make generate`: {differing:?} are not what it would write");
    Ok(())
}

#[test]
fn the_chart_has_the_version_of_the_operator() -> Result<()> {
    let chart: Value = serde_saphyr::from_str(&std::fs::read_to_string(chart::dir().join("Chart.yaml"))?)?;
    for key in ["version", "appVersion"] {
        ensure!(chart[key] == env!("CARGO_PKG_VERSION"), "Chart.yaml says {key} {}, Cargo.toml {}", chart[key], env!("CARGO_PKG_VERSION"));
    }
    Ok(())
}

#[test]
fn helm_finds_nothing_to_say_against_it() -> Result<()> {
    println!("{}", chart::run(chart::helm()?.args(["lint", "--strict"]).arg(chart::dir()))?);
    Ok(())
}
