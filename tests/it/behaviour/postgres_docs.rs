//! What docs/rotation-postgres.md says, tried.

use anyhow::{Context as _, Result, ensure};
use strum::VariantArray as _;
use testkit::postgres::Postgres;

use super::postgres::{OLD, Scene};

const PAGE: &str = include_str!("../../../docs/rotation-postgres.md");

#[tokio::test(flavor = "multi_thread")]
async fn the_privileges_of_the_page_are_enough() -> Result<()> {
    let sql = PAGE.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next()).context("a block of SQL")?;
    Postgres::shared()?.sql("postgres", "DROP OWNED BY orders; DROP ROLE orders").ok();
    Postgres::shared()?.sql("postgres", &sql.replace("DATABASE orders", "DATABASE postgres"))?;
    let scene = Scene::of("orders").await?;
    scene.stage.settled("app", scene.spec()).await?;
    scene.request("now").await?;
    let password = scene.check(2).await?;
    ensure!(password != OLD && !scene.postgres.accepts("orders", OLD)?);
    Ok(())
}

#[test]
fn every_word_of_a_failure_is_on_the_page() {
    use rotated_secrets::strategy::{Problem, Refused, Unknown};
    let refused = Refused::VARIANTS.iter().map(|refused| Problem::Refused(*refused));
    let unknown = Unknown::VARIANTS.iter().map(|unknown| Problem::Unknown(*unknown));
    for problem in refused.chain(unknown) {
        let word = problem.word();
        assert!(PAGE.lines().any(|line| line.starts_with("| `") && line.contains(&format!("`{word}`"))), "{word}");
    }
}
