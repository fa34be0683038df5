//! What docs/rotation-redis.md says, tried.

use anyhow::{Result, ensure};
use rotated_secrets::strategy::Applied;
use rotated_secrets::strategy::redis::TwoPasswords;
use testkit::redis::{Redis, Setup};

use super::super::stand::credential;
use super::stand::{NEW, OLD, THIRD, by, server, version};

const PAGE: &str = include_str!("../../../../docs/rotation-redis.md");

#[tokio::test]
async fn the_rights_on_the_page_are_enough_for_both_objects_and_the_mark_begins_as_it_says() -> Result<()> {
    let redis = Redis::start(Setup::default())?;
    let commands: Vec<&str> = PAGE.lines().filter(|line| line.starts_with("ACL SETUSER")).collect();
    assert_eq!(commands.len(), 2);
    for command in commands {
        redis.command(&command.split(' ').collect::<Vec<_>>())?;
    }
    let server = server(redis.port(), redis.ca());
    let itself = TwoPasswords { server: &server, admin: None };
    let [first, admin] = ["changed-by-the-first-rotation", THIRD].map(|password| credential("redis-admin", password));
    assert_eq!(itself.apply(&admin, &first, None, &version(1)).await, Ok(Applied::Now));
    assert_eq!(itself.verify(&admin).await, Ok(()));
    let [first, new] = ["changed-by-the-first-rotation", NEW].map(|password| credential("orders", password));
    let strategy = by(&server, &admin);
    assert_eq!(strategy.apply(&new, &first, None, &version(1)).await, Ok(Applied::Now));
    assert_eq!(strategy.verify(&new).await, Ok(()));
    assert_eq!(strategy.apply(&credential("orders", OLD), &new, Some(&first), &version(2)).await, Ok(Applied::Now));
    assert!(!redis.accepts("orders", "changed-by-the-first-rotation")?);
    let shown = redis.command(&["ACL", "GETUSER", "orders"])?;
    let mark = shown.lines().find(|line| line.starts_with("0f44c0793a7b5b1a"));
    ensure!(mark.is_some() && PAGE.contains("`0f44c0793a7b5b1a`"), "{shown}");
    Ok(())
}
