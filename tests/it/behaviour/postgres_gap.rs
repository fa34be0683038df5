//! How long the server refuses the password in the Secret during a rotation: from the change in the server to the write of
//! the Secret. A test of a few rotations; for figures:
//! `ROTATIONS=200 cargo test --test it -- behaviour::postgres_gap --nocapture`.

use anyhow::{Context as _, Result, ensure};

use super::postgres::Scene;
use super::stage::HOUR;

#[tokio::test(flavor = "multi_thread")]
async fn the_gap_of_each_rotation_is_measured_and_no_rotation_leaves_pods_without_a_login() -> Result<()> {
    let rotations: usize = std::env::var("ROTATIONS").map_or(Ok(3), |rotations| rotations.parse())?;
    let scene = Scene::settled("gap_role").await?;
    let (mut gaps, mut sum) = (Vec::new(), 0.0);
    for rotation in 1..=rotations {
        let before = scene.mirrored().await?;
        scene.stage.advance(HOUR);
        scene.stage.settle("app").await?;
        let after = scene.mirrored().await?;
        ensure!(after != before && scene.postgres.accepts(scene.role, &after)?, "rotation {rotation}");
        assert_eq!(measured(&scene, "count")?, rotation.to_string(), "each rotation is measured once");
        let total: f64 = measured(&scene, "sum")?.parse()?;
        gaps.push((total - sum) * 1000.0);
        sum = total;
    }
    gaps.sort_by(f64::total_cmp);
    let percentile = |percent: usize| gaps.get((gaps.len() - 1) * percent / 100).context("a rotation");
    println!(
        "{rotations} rotations, gap from the change in the server to the write of the Secret: p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
        percentile(50)?,
        percentile(99)?,
        percentile(100)?
    );
    Ok(())
}

/// What the operator's metric says.
fn measured(scene: &Scene, what: &str) -> Result<String> {
    let page = scene.stage.ctx.metrics.render()?;
    let name = format!("rotated_secrets_target_gap_seconds_{what}{{");
    let line = page.lines().find(|line| line.starts_with(&name)).context("the metric")?;
    Ok(line.split_whitespace().nth(1).context("its value")?.to_owned())
}
