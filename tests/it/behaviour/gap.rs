//! How long the server refuses the password in the Secret during a rotation with one user: from the change in the server to
//! the write of the Secret. A test of a few rotations; for figures:
//! `ROTATIONS=200 cargo test --test it -- behaviour::gap --nocapture --test-threads=1`.

use anyhow::{Context as _, Result, ensure};
use rotated_secrets::api::{ADOPT_BY, ALLOWED_HOSTS};
use serde_json::json;
use testkit::mysql::{Kind, MySql};

use super::postgres::Scene;
use super::stage::{HOUR, Stage};

const OLD: &str = "theirs-canary-5rD2";

#[tokio::test(flavor = "multi_thread")]
async fn the_gap_of_each_rotation_in_postgresql_is_measured_and_no_rotation_leaves_pods_without_a_login() -> Result<()> {
    let scene = Scene::settled("gap_role").await?;
    rotate("PostgreSQL", &scene.stage, |password| scene.postgres.accepts(scene.role, password)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gap_of_each_rotation_in_mysql_is_measured_and_no_rotation_leaves_pods_without_a_login() -> Result<()> {
    for kind in Kind::here() {
        let (stage, mysql) = (Stage::new("mysql-gap").await?, MySql::shared(kind)?);
        mysql.sql(&format!("CREATE USER gap_user IDENTIFIED BY '{OLD}'"))?;
        let tags = [(ADOPT_BY.to_owned(), format!("{}/app", stage.world.namespace))].into();
        let value = json!({"username": "gap_user", "password": OLD}).to_string();
        stage.external_writer().create(&stage.aws_name("app"), &value, &tags)?;
        stage.annotate_namespace(json!({ALLOWED_HOSTS: "127.0.0.1:*"})).await?;
        let target = json!({
            "host": "127.0.0.1", "port": mysql.port(), "tls": {"caBundle": mysql.ca()}, "verify": {"sql": "SELECT 1"}, "checkInterval": "0s",
        });
        let spec = json!({
            "aws": {"adoptionPolicy": "IfTagged"},
            "value": {"data": {"username": "gap_user"}, "generate": {"password": {}}},
            "rotation": {"schedule": "rate(1 hour)", "mysql": target},
        });
        stage.settled("app", spec).await?;
        rotate(&format!("{kind:?}"), &stage, |password| mysql.accepts("gap_user", password)).await?;
    }
    Ok(())
}

/// Rotates the object `app` again and again, and prints what the operator's metric says.
async fn rotate(server: &str, stage: &Stage, accepts: impl Fn(&str) -> Result<bool>) -> Result<()> {
    let rotations: usize = std::env::var("ROTATIONS").map_or(Ok(3), |rotations| rotations.parse())?;
    let mirrored = async || anyhow::Ok(stage.data("app").await?["password"].clone());
    let (mut gaps, mut sum) = (Vec::new(), 0.0);
    for rotation in 1..=rotations {
        let before = mirrored().await?;
        stage.advance(HOUR);
        stage.settle("app").await?;
        let after = mirrored().await?;
        ensure!(after != before && accepts(&after)?, "{server}: rotation {rotation}");
        assert_eq!(measured(stage, "count")?, rotation.to_string(), "each rotation is measured once");
        let total: f64 = measured(stage, "sum")?.parse()?;
        gaps.push((total - sum) * 1000.0);
        sum = total;
    }
    gaps.sort_by(f64::total_cmp);
    let percentile = |percent: usize| gaps.get((gaps.len() - 1) * percent / 100).context("a rotation");
    println!(
        "{server}: {rotations} rotations, gap from the change in the server to the write of the Secret: p50 {:.1} ms, p99 {:.1} ms, longest \
         {:.1} ms",
        percentile(50)?,
        percentile(99)?,
        percentile(100)?
    );
    Ok(())
}

/// What the operator's metric says.
fn measured(stage: &Stage, what: &str) -> Result<String> {
    let page = stage.ctx.metrics.render()?;
    let name = format!("rotated_secrets_target_gap_seconds_{what}{{");
    let line = page.lines().find(|line| line.starts_with(&name)).context("the metric")?;
    Ok(line.split_whitespace().nth(1).context("its value")?.to_owned())
}
