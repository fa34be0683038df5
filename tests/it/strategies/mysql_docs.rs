//! What docs/rotation-mysql.md says, tried.

use anyhow::{Context as _, Result};
use rotated_secrets::strategy::mysql::{DualPassword, SingleUser};
use rotated_secrets::strategy::{Applied, Problem, Refused, Undone};
use testkit::mysql::{Kind, MySql};

use super::mysql_stand::server;
use super::stand::{NEW, credential};

const PAGE: &str = include_str!("../../../docs/rotation-mysql.md");

#[tokio::test]
async fn the_privileges_of_the_page_are_enough_and_each_is_needed() -> Result<()> {
    let sql = PAGE.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next()).context("a block of SQL")?;
    let (user, privilege) = sql.trim().split_once('\n').context("two statements")?;
    let (old, new) = (credential("orders", "changed-by-the-first-rotation"), credential("orders", NEW));
    for kind in Kind::here() {
        let mysql = MySql::shared(kind)?;
        mysql.sql("DROP USER IF EXISTS orders")?;
        mysql.sql(user)?;
        let server = server(mysql);
        let single = SingleUser { server: &server };
        assert_eq!(single.apply(&new, &old, None).await, Ok(Applied::Now), "{kind:?}");
        assert_eq!(single.verify(&new).await, Ok(()), "{kind:?}");
        assert_eq!(single.undo(&new, &old, None).await, Ok(Undone::Now), "{kind:?}");
        let dual = DualPassword { server: &server, previous_is_later: false };
        let without = if kind == Kind::MySql { Refused::NotPermitted } else { Refused::DualPasswordUnsupported };
        assert_eq!(dual.apply(&new, &old, None).await, Err(Problem::Refused(without)));
        if kind == Kind::MySql {
            mysql.sql(privilege)?;
            assert_eq!(dual.apply(&new, &old, None).await, Ok(Applied::Now));
            assert_eq!(dual.verify(&new).await, Ok(()));
            assert_eq!(dual.retire(&old, &new).await, Ok(()));
        }
        assert!(mysql.accepts("orders", if kind == Kind::MySql { NEW } else { "changed-by-the-first-rotation" })?);
    }
    Ok(())
}
