//! What is made from other files is as it would be made today.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testkit::chart;

#[test]
fn what_is_made_from_the_chart_and_the_definition_is_up_to_date() -> Result<()> {
    let differing: Vec<_> = chart::differing(&chart::defaults()?)?.into_iter().map(|(path, _)| path).collect();
    ensure!(differing.is_empty(), "type `make generate`: {differing:?} are not what it would write");
    Ok(())
}

#[test]
fn a_release_names_its_image_by_digest_in_the_chart_and_in_the_plain_manifests() -> Result<()> {
    let digest = format!("sha256:{}", "0a".repeat(32));
    let version = env!("CARGO_PKG_VERSION");
    let (repository, source) = ("registry.example.com/org/operator", "https://github.com/org/operator");
    let release = chart::Release { version, repository, digest: &digest, source };
    let out = tempfile::tempdir()?;
    let image = format!("registry.example.com/org/operator@{digest}");
    let [packaged, install] = chart::package(&release, out.path(), || chart::helm().unwrap())?;
    let rendered = chart::render(&packaged, &[])?;
    ensure!(rendered.contains(&format!("image: \"{image}\"")), "{rendered}");
    // Users can replace each part of it.
    for (values, image) in [
        ("image.tag=v1", "registry.example.com/org/operator:v1"),
        // A parent chart may leave the global value empty.
        ("global.imageRegistry=", &image),
        ("global.imageRegistry=other.example.com", &format!("other.example.com/org/operator@{digest}")),
        ("image.registry=other.example.com/mirror", &format!("other.example.com/mirror/org/operator@{digest}")),
        ("image.repository=other.example.com/ours", &format!("other.example.com/ours@{digest}")),
        // The registry of the release has no other repository than that of the release.
        ("image.repository=ours/operator", &format!("ours/operator@{digest}")),
        ("image.repository=operator,image.tag=v1", "operator:v1"),
        ("image.repository=ours,image.registry=other.example.com", &format!("other.example.com/ours@{digest}")),
        ("image.repository=ours,global.imageRegistry=other.example.com", &format!("other.example.com/ours@{digest}")),
    ] {
        let other = chart::render(&packaged, &["--set", values])?;
        ensure!(other.contains(&format!("image: \"{image}\"")), "{values}: {other}");
    }
    // Each alert links to its section of the runbook of this version, and the chart to its source.
    let rules = "metrics.prometheusRule.enabled=true,metrics.prometheusRule.selector=job=\"own\"";
    let rules = chart::render(&packaged, &["--set", rules])?;
    let linked = format!("runbook_url: {source}/blob/v{version}/docs/runbook.md#rotatedsecrets");
    ensure!(rules.matches(&linked).count() == rules.matches("- alert: RotatedSecrets").count(), "{rules}");
    ensure!(!rules.contains("runbook: "), "{rules}");
    let shown = chart::run(chart::helm()?.args(["show", "chart"]).arg(&packaged))?;
    let shown: Value = serde_saphyr::from_str(&shown)?;
    ensure!(shown["home"] == source && shown["sources"] == json!([source]), "{shown}");
    ensure!(shown["maintainers"] == json!([{"name": "org", "url": "https://github.com/org"}]), "{shown}");

    let (plain, present) = (std::fs::read_to_string(install)?, include_str!("../../../deploy/install.yaml"));
    let body = |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    let (plain, present) = (body(&plain), body(present));
    let changed: Vec<_> =
        plain.iter().zip(&present).filter(|(released, here)| released != here).map(|(released, _)| released.trim()).collect();
    ensure!(plain.len() == present.len() && changed == [format!("image: \"{image}\"")], "only the image differs: {changed:?}");
    ensure!(chart::package(&chart::Release { digest: "sha256:0a", ..release }, out.path(), || chart::helm().unwrap()).is_err());
    Ok(())
}

#[test]
fn an_upgrade_that_keeps_the_values_of_the_release_before_has_image_and_runbook_of_its_own() -> Result<()> {
    let source = "https://github.com/org/operator";
    let (out, helm) = (tempfile::tempdir()?, || chart::helm().unwrap());
    let packaged = |version: &str, digest: &str| {
        let release = chart::Release { version, repository: "registry.example.com/org/operator", digest, source };
        chart::package(&release, out.path(), helm).map(|[packaged, _]| packaged)
    };
    let [first, second] = ["0a", "0b"].map(|byte| format!("sha256:{}", byte.repeat(32)));
    let (before, after) = (packaged("1.0.0", &first)?, packaged("1.1.0", &second)?);
    // What helm keeps for `--reuse-values`.
    let values = out.path().join("values.yaml");
    std::fs::write(&values, chart::run(chart::helm()?.args(["show", "values"]).arg(&before))?)?;
    let values = values.display().to_string();
    let rules = "metrics.prometheusRule.enabled=true,metrics.prometheusRule.selector=job=\"own\"";
    let rendered = chart::render(&after, &["--values", &values, "--set", rules])?;
    ensure!(rendered.contains(&format!("image: \"registry.example.com/org/operator@{second}\"")), "{rendered}");
    ensure!(rendered.contains(&format!("runbook_url: {source}/blob/v1.1.0/docs/runbook.md#rotatedsecretsoverdue")), "{rendered}");
    for old in [first.as_str(), "1.0.0", "runbook: "] {
        ensure!(!rendered.contains(old), "{old}: {rendered}");
    }
    ensure!(rendered == chart::render(&after, &["--set", rules])?, "as without the values of the release before");
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
