//! What docs/rotation-postgres.md says, tried.

use anyhow::{Context as _, Result, ensure};
use strum::VariantArray as _;
use testkit::postgres::Postgres;

use super::postgres::{OLD, Scene};
use super::postgres_alternating::Pair;

const PAGE: &str = include_str!("../../../docs/rotation-postgres.md");

/// A block of SQL of the page.
fn sql(nth: usize) -> Result<&'static str> {
    PAGE.split("```sql\n").nth(nth).and_then(|rest| rest.split("```").next()).context("a block of SQL")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_privileges_of_the_page_are_enough() -> Result<()> {
    Postgres::shared()?.sql("postgres", "DROP OWNED BY orders; DROP ROLE orders").ok();
    Postgres::shared()?.sql("postgres", &sql(1)?.replace("DATABASE orders", "DATABASE postgres"))?;
    let scene = Scene::of("orders").await?;
    scene.stage.settled("app", scene.spec()).await?;
    scene.request("now").await?;
    let password = scene.check(2).await?;
    ensure!(password != OLD && !scene.postgres.accepts("orders", OLD)?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_privileges_of_the_administrator_on_the_page_are_enough() -> Result<()> {
    let newer = if Postgres::shared()?.major()? >= 16 { sql(3)?.replace("orders", "orders_two") } else { String::new() };
    let pair = Pair::with_admin("orders_two", "postgres_admin", &format!("{}{newer}", sql(2)?)).await?;
    pair.scene.stage.settled("app", pair.spec()).await?;
    for (versions, user) in [(2, pair.twin()), (3, "orders_two".to_owned())] {
        pair.scene.request(&format!("{versions}")).await?;
        assert_eq!(pair.check(versions).await?.0, user);
    }
    Ok(())
}

#[test]
fn every_word_of_a_failure_is_on_a_page() {
    use rotated_secrets::strategy::{Problem, Refused, Unknown};
    let refused = Refused::VARIANTS.iter().map(|refused| Problem::Refused(*refused));
    let unknown = Unknown::VARIANTS.iter().map(|unknown| Problem::Unknown(*unknown));
    for problem in refused.chain(unknown) {
        let word = problem.word();
        let [mysql, redis] = [include_str!("../../../docs/rotation-mysql.md"), include_str!("../../../docs/rotation-redis.md")];
        let webhook = include_str!("../../../docs/rotation-webhook.md");
        let pages = [PAGE, mysql, redis, webhook, include_str!("../../../docs/rotation-job.md")];
        assert!(
            pages.iter().flat_map(|page| page.lines()).any(|line| line.starts_with("| `") && line.contains(&format!("`{word}`"))),
            "{word}"
        );
    }
}
