//! A user on a server that answers.

use anyhow::{Result, ensure};
use rotated_secrets::strategy::redis::{Admin, Retired, TwoPasswords};
use rotated_secrets::strategy::{Applied, Refused, Tls, Undone, Unknown};
use testkit::redis::Redis;

use super::super::stand::credential;
use super::stand::{ADMIN, ALL, FOURTH, NEW, OLD, RIGHTS, Stand, THIRD, by, hash, reached, refused, version};

#[tokio::test]
async fn the_current_password_keeps_working_until_the_next_rotation() -> Result<()> {
    let stand = Stand::new("turns")?;
    let [old, new, third, fourth] = ALL.map(|password| stand.with(password));
    assert_eq!(stand.strategy().check(&old).await, Ok(()));
    assert_eq!(stand.strategy().check(&new).await, refused(Refused::PasswordRefused));
    assert_eq!(stand.strategy().apply(&new, &old, None, &version(1)).await, Ok(Applied::Now));
    assert_eq!(stand.accepted()?, [OLD, NEW]);
    assert_eq!(stand.strategy().verify(&new).await, Ok(()));
    assert_eq!(stand.strategy().apply(&new, &old, None, &version(1)).await, Ok(Applied::Already));
    assert_eq!(stand.accepted()?, [OLD, NEW]);
    assert_eq!(stand.strategy().apply(&third, &new, Some(&old), &version(2)).await, Ok(Applied::Now));
    assert_eq!(stand.accepted()?, [NEW, THIRD]);
    assert_eq!(stand.strategy().apply(&fourth, &third, Some(&new), &version(3)).await, Ok(Applied::Now));
    assert_eq!(stand.accepted()?, [THIRD, FOURTH]);
    // A rollback to a password that is still accepted.
    assert_eq!(stand.strategy().apply(&third, &fourth, Some(&third), &version(4)).await, Ok(Applied::Already));
    assert_eq!(stand.accepted()?, [THIRD, FOURTH]);
    // Its rights are as they were.
    let shown = stand.shown()?;
    ensure!(shown.contains("-@all +get") && shown.contains("~app:*"), "{shown}");
    ensure!(stand.redis.stored()?.contains(&hash(FOURTH)), "the users are stored");
    Ok(())
}

#[tokio::test]
async fn a_version_with_the_same_password_ends_none() -> Result<()> {
    let stand = Stand::new("same")?;
    let [old, new, third, _] = ALL.map(|password| stand.with(password));
    assert_eq!(stand.strategy().apply(&new, &old, None, &version(1)).await, Ok(Applied::Now));
    // Another field of the declaration changed.
    assert_eq!(stand.strategy().apply(&new, &new, Some(&old), &version(2)).await, Ok(Applied::Already));
    assert_eq!(stand.accepted()?, [OLD, NEW], "pods may have the previous one");
    assert_eq!(stand.strategy().apply(&third, &new, Some(&new), &version(3)).await, Ok(Applied::Now));
    assert_eq!(stand.accepted()?, [NEW, THIRD]);
    Ok(())
}

#[tokio::test]
async fn a_user_that_may_change_users_needs_no_administrator() -> Result<()> {
    let stand = Stand::new("alone")?;
    let itself = TwoPasswords { server: &stand.server, admin: None };
    let [old, new, third, _] = ALL.map(|password| stand.with(password));
    assert_eq!(itself.apply(&new, &old, None, &version(1)).await, refused(Refused::NotPermitted));
    assert_eq!(stand.accepted()?, [OLD]);
    stand.set(&RIGHTS)?;
    assert_eq!(itself.apply(&new, &old, None, &version(1)).await, Ok(Applied::Now));
    assert_eq!(itself.apply(&third, &new, Some(&old), &version(2)).await, Ok(Applied::Now));
    assert_eq!(stand.accepted()?, [NEW, THIRD]);
    assert_eq!(itself.undo(&third, &new, Some(&old), &version(2)).await, Ok(Undone::Now));
    assert_eq!(stand.accepted()?, [NEW]);
    Ok(())
}

#[tokio::test]
async fn the_previous_password_serves_if_the_server_was_restored_and_a_fourth_one_is_not_guessed() -> Result<()> {
    let stand = Stand::new("restored")?;
    let [old, new, third, fourth] = ALL.map(|password| stand.with(password));
    assert_eq!(stand.strategy().apply(&third, &new, Some(&old), &version(1)).await, Ok(Applied::Now));
    assert_eq!(stand.accepted()?, [NEW, THIRD], "pods have the current one");
    stand.reset(&[FOURTH])?;
    for previous in [None, Some(&old)] {
        assert_eq!(stand.strategy().apply(&third, &new, previous, &version(2)).await, refused(Refused::NoPasswordAccepted));
    }
    assert_eq!(stand.accepted()?, [FOURTH]);
    let stranger = credential("root", FOURTH);
    assert_eq!(stand.strategy().apply(&third, &new, Some(&stranger), &version(2)).await, refused(Refused::NoPasswordAccepted));
    assert_eq!(stand.strategy().apply(&stranger, &fourth, None, &version(2)).await, refused(Refused::UserChanged));
    assert_eq!(stand.accepted()?, [FOURTH]);
    Ok(())
}

#[tokio::test]
async fn what_was_applied_can_be_undone_and_what_was_not_is_left_alone() -> Result<()> {
    let stand = Stand::new("undone")?;
    let [old, new, third, _] = ALL.map(|password| stand.with(password));
    let strategy = stand.strategy();
    stand.reset(&[OLD, THIRD])?;
    assert_eq!(strategy.undo(&new, &old, None, &version(1)).await, Ok(Undone::Nothing));
    assert_eq!(stand.accepted()?, [OLD, THIRD], "an older password stays until the next rotation");
    assert_eq!(strategy.apply(&new, &old, None, &version(1)).await, refused(Refused::Superseded));
    assert_eq!(strategy.apply(&new, &old, None, &version(2)).await, Ok(Applied::Now));
    assert_eq!(strategy.undo(&new, &old, None, &version(2)).await, Ok(Undone::Now));
    assert_eq!(strategy.undo(&new, &old, None, &version(2)).await, Ok(Undone::Nothing));
    assert_eq!(stand.accepted()?, [OLD]);
    assert_eq!(strategy.undo(&old, &old, None, &version(2)).await, refused(Refused::CannotUndo));
    stand.reset(&[THIRD])?;
    assert_eq!(strategy.undo(&new, &old, None, &version(2)).await, refused(Refused::NoPasswordAccepted));
    assert_eq!(stand.accepted()?, [THIRD], "if none logs in, nothing is touched");
    // Another writer put a value into AWS only, and the server has the one before.
    assert_eq!(strategy.undo(&new, &old, Some(&third), &version(2)).await, Ok(Undone::Nothing));
    assert_eq!(stand.accepted()?, [OLD, THIRD], "it gets the value that is current in AWS");
    Ok(())
}

#[tokio::test]
async fn a_staged_value_is_undone_also_if_the_current_one_is_of_another_user() -> Result<()> {
    let stand = Stand::new("undone_for")?;
    let [old, new, _, _] = ALL.map(|password| stand.with(password));
    let (other, strategy) = (credential("another_user", THIRD), stand.strategy());
    assert_eq!(strategy.undo(&new, &other, None, &version(1)).await, Ok(Undone::Nothing));
    assert_eq!(strategy.apply(&new, &old, None, &version(2)).await, Ok(Applied::Now));
    assert_eq!(strategy.undo(&new, &other, None, &version(2)).await, Ok(Undone::Now));
    assert_eq!(stand.accepted()?, [OLD]);
    // No user is left without a password.
    stand.reset(&[NEW])?;
    for previous in [None, Some(&new), Some(&other)] {
        assert_eq!(strategy.undo(&new, &other, previous, &version(3)).await, refused(Refused::CannotUndo));
        assert_eq!(stand.accepted()?, [NEW]);
    }
    assert_eq!(strategy.undo(&new, &other, Some(&old), &version(3)).await, Ok(Undone::Now));
    assert_eq!(stand.accepted()?, [OLD]);
    Ok(())
}

#[tokio::test]
async fn an_old_password_can_be_retired_and_the_current_one_cannot() -> Result<()> {
    let stand = Stand::new("retired")?;
    let [old, new, third, _] = ALL.map(|password| stand.with(password));
    let strategy = stand.strategy();
    assert_eq!(strategy.apply(&new, &old, None, &version(1)).await, Ok(Applied::Now));
    assert_eq!(strategy.retire(&new, &new, &version(1)).await, refused(Refused::CannotUndo));
    assert_eq!(strategy.retire(&old, &third, &version(1)).await, refused(Refused::NoPasswordAccepted));
    assert_eq!(strategy.retire(&credential("root", OLD), &new, &version(1)).await, refused(Refused::UserChanged));
    assert_eq!(strategy.retire(&old, &new, &version(2)).await, refused(Refused::Superseded), "the user has another version");
    assert_eq!(stand.accepted()?, [OLD, NEW]);
    assert_eq!(strategy.retire(&old, &new, &version(1)).await, Ok(Retired::Now));
    assert_eq!(strategy.retire(&old, &new, &version(1)).await, Ok(Retired::Already));
    assert_eq!(stand.accepted()?, [NEW]);
    Ok(())
}

#[tokio::test]
async fn the_administrator_acts_only_for_those_who_know_the_password_and_only_with_its_rights() -> Result<()> {
    let stand = Stand::new("deputy")?;
    let [old, new, third, fourth] = ALL.map(|password| stand.with(password));
    assert_eq!(stand.strategy().apply(&new, &third, Some(&fourth), &version(1)).await, refused(Refused::NoPasswordAccepted));
    let unknown = credential("deputy_of_nobody", OLD);
    assert_eq!(
        stand.strategy().apply(&credential("deputy_of_nobody", NEW), &unknown, None, &version(1)).await,
        refused(Refused::NoPasswordAccepted)
    );
    ensure!(stand.redis.command(&["ACL", "GETUSER", "deputy_of_nobody"])?.trim().is_empty(), "no user is created");
    let wrong = credential("deputy_admin", "another password");
    assert_eq!(by(&stand.server, &wrong).apply(&new, &old, None, &version(1)).await, refused(Refused::AdminRefused));
    // Who has not said how the server is verified does not get its password sent there.
    stand.redis.command(&["ACL", "SETUSER", "deputy_admin", "off"])?;
    let bound = TwoPasswords { admin: Some(Admin { credential: &stand.admin, bound: true }), ..stand.strategy() };
    assert_eq!(bound.apply(&new, &old, None, &version(1)).await, refused(Refused::WeakAuthentication));
    stand.redis.command(&["ACL", "SETUSER", "deputy_admin", "on"])?;
    for missing in ["-acl|setuser", "-acl|getuser"] {
        stand.redis.command(&["ACL", "SETUSER", "deputy_admin", missing])?;
        assert_eq!(stand.strategy().apply(&new, &old, None, &version(1)).await, refused(Refused::AdminNotPermitted), "{missing}");
        stand.redis.command(&["ACL", "SETUSER", "deputy_admin", &missing.replace('-', "+")])?;
    }
    assert_eq!(stand.accepted()?, [OLD]);
    assert_eq!(stand.strategy().apply(&new, &old, None, &version(1)).await, Ok(Applied::Now));
    Ok(())
}

#[tokio::test]
async fn a_user_without_a_password_and_one_that_is_disabled_are_left_alone() -> Result<()> {
    let stand = Stand::new("special")?;
    let [old, new, third, _] = ALL.map(|password| stand.with(password));
    let itself = TwoPasswords { server: &stand.server, admin: None };
    stand.set(&["nopass"])?;
    for strategy in [stand.strategy(), itself] {
        assert_eq!(strategy.verify(&new).await, refused(Refused::PasswordNotRequired), "any password is accepted");
    }
    assert_eq!(stand.strategy().apply(&new, &old, None, &version(1)).await, refused(Refused::PasswordNotRequired));
    assert_eq!(stand.strategy().undo(&new, &old, None, &version(1)).await, refused(Refused::PasswordNotRequired));
    ensure!(stand.shown()?.contains("nopass"), "it still is");
    stand.reset(&[OLD])?;
    stand.set(&["off"])?;
    assert_eq!(stand.strategy().check(&old).await, refused(Refused::PasswordRefused));
    assert_eq!(stand.strategy().apply(&new, &old, None, &version(1)).await, refused(Refused::LoginNotPermitted));
    assert_eq!(itself.apply(&new, &old, None, &version(1)).await, refused(Refused::NoPasswordAccepted), "nobody can tell");
    // Those who do not know the password learn nothing of the user.
    assert_eq!(stand.strategy().apply(&new, &third, None, &version(1)).await, refused(Refused::NoPasswordAccepted));
    stand.set(&["on"])?;
    assert_eq!(stand.accepted()?, [OLD]);
    Ok(())
}

#[tokio::test]
async fn the_session_is_one_of_the_user_also_if_the_user_may_not_ask_or_may() -> Result<()> {
    let stand = Stand::new("asked")?;
    assert_eq!(stand.strategy().verify(&stand.with(OLD)).await, Ok(()));
    stand.set(&["+acl|whoami"])?;
    assert_eq!(stand.strategy().verify(&stand.with(OLD)).await, Ok(()));
    assert_eq!(stand.strategy().verify(&stand.with(NEW)).await, refused(Refused::PasswordRefused));
    Ok(())
}

#[tokio::test]
async fn passwords_of_every_kind_log_in_with_the_hash_that_was_made_here() -> Result<()> {
    let stand = Stand::new("any_password")?;
    let mut current = OLD.to_owned();
    let kinds =
        ["line\r\nbreak\r\n", "naïve Ünicode パスワード", "*3\r\n$4\r\nAUTH", "x", &"long".repeat(1000), "back\\slash\t tab", ">#!<"];
    for (at, next) in (1..).zip(kinds) {
        let (before, after) = (stand.with(&current), stand.with(next));
        assert_eq!(stand.strategy().apply(&after, &before, None, &version(at)).await, Ok(Applied::Now), "{next}");
        assert_eq!(stand.strategy().verify(&after).await, Ok(()), "{next}");
        assert!(stand.redis.accepts(&stand.user, next)?, "{next}");
        current = next.to_owned();
    }
    Ok(())
}

#[tokio::test]
async fn no_password_and_no_hash_is_in_what_the_server_logs_or_monitors() -> Result<()> {
    let redis = Redis::start(testkit::redis::Setup::default())?;
    redis.monitor()?;
    let stand = Stand::at(&redis, "in_the_log")?;
    let plain = reached(&stand.server, |endpoint| (endpoint.port, endpoint.tls) = (redis.plain_port(), Tls::Disable));
    let strategy = by(&plain, &stand.admin);
    let [old, new, third, _] = ALL.map(|password| stand.with(password));
    assert_eq!(strategy.apply(&new, &old, None, &version(1)).await, Ok(Applied::Now));
    assert_eq!(strategy.verify(&new).await, Ok(()));
    assert_eq!(strategy.apply(&third, &old, None, &version(1)).await, Ok(Applied::Now));
    assert_eq!(strategy.undo(&third, &old, None, &version(1)).await, Ok(Undone::Now));
    assert_eq!(strategy.apply(&third, &new, None, &version(2)).await, refused(Refused::NoPasswordAccepted));
    redis.command(&["GET", "the end"])?;
    testkit::until("the monitor has seen the last command", async || Ok(redis.monitored()?.contains("the end").then_some(()))).await?;
    let logs = [redis.log()?, redis.monitored()?, redis.command(&["SLOWLOG", "GET", "1000"])?, redis.command(&["ACL", "LOG"])?];
    ensure!(logs[1].contains("the end") && logs[2].contains("SETUSER"), "the commands are there");
    for password in [OLD, NEW, THIRD, ADMIN] {
        for part in [password, &password[..8], &password[password.len() - 8..], &hash(password)] {
            ensure!(!logs.iter().any(|log| log.contains(part)), "a password is in a log");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_change_of_another_client_at_the_same_moment_is_not_lost() -> Result<()> {
    let stand = Stand::new("contended")?;
    let [old, new, third, _] = ALL.map(|password| stand.with(password));
    let strategy = stand.strategy();
    let (one, two) = (version(1), version(1));
    let both = tokio::join!(strategy.apply(&new, &old, None, &one), strategy.apply(&new, &old, None, &two));
    for answer in [both.0, both.1] {
        assert!(answer.is_ok() || answer == Err(Unknown::ConcurrentChange.into()), "{answer:?}");
    }
    assert_eq!(stand.accepted()?, [OLD, NEW]);
    assert_eq!(strategy.apply(&third, &new, None, &version(2)).await, Ok(Applied::Now));
    assert_eq!(stand.accepted()?, [NEW, THIRD]);
    Ok(())
}
