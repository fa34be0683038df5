//! A user in a real MySQL gets a second password on request; the one before keeps working.

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use serde_json::json;
use testkit::mysql::{Kind, MySql};

use super::apply_to_mysql::{arrange_target, current, user};
use super::apply_to_postgres::OLD;
use super::{Case, Story};

pub(crate) static STORY: Story = Story {
    arrange: |case| arrange(case).boxed(),
    check: |case| check(case).boxed(),
    obstacle: || Kind::MySql.obstacle(),
    ..Story::of_target("two-passwords-in-mysql")
};

async fn arrange(case: &Case) -> Result<()> {
    let (mysql, user) = (MySql::shared(Kind::MySql)?, user(case));
    mysql.sql(&format!("CREATE USER {user} IDENTIFIED BY '{OLD}'; GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO {user}"))?;
    let target =
        json!({"host": "127.0.0.1", "port": mysql.port(), "users": "DualPassword", "tls": {"caBundle": mysql.ca()}, "checkInterval": "0s"});
    arrange_target(case, &user, json!({"mysql": target})).await
}

async fn check(case: &Case) -> Result<()> {
    let (mysql, user, password) = (MySql::shared(Kind::MySql)?, user(case), current(case).await?);
    ensure!(mysql.accepts(&user, &password)?, "the mirrored password logs in");
    ensure!(mysql.accepts(&user, OLD)?, "and so does the one before, wherever the operator ended");
    Ok(())
}
