//! Two users that take turns, on a MySQL and a MariaDB server.

use anyhow::{Result, ensure};
use rotated_secrets::strategy::mysql::AlternatingUsers;
use rotated_secrets::strategy::{Applied, Credential, Problem, Refused, Undone, Unknown};
use testkit::mysql::{Kind, MySql};

use super::alternating::refused;
use super::mysql_pair::{ADMIN, Pair, version};
use super::stand::{NEW, OLD, THIRD, credential};

#[tokio::test]
async fn the_users_take_turns_and_the_password_before_keeps_working() -> Result<()> {
    for pair in Pair::both("turns")? {
        let strategy = pair.strategy();
        assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await, Ok(Applied::Now), "{:?}", pair.kind);
        assert_eq!(pair.accepted()?, [vec![OLD], vec![NEW]]);
        assert_eq!(strategy.verify(&pair.twin(NEW)).await, Ok(()));
        assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await, Ok(Applied::Already), "a lost answer");
        assert_eq!(strategy.apply(&pair.base(THIRD), &pair.twin(NEW), &version(2)).await, Ok(Applied::Now));
        assert_eq!(pair.accepted()?, [vec![THIRD], vec![NEW]]);
        assert_eq!(strategy.verify(&pair.base(THIRD)).await, Ok(()));
        assert_eq!(strategy.apply(&pair.twin(OLD), &pair.base(THIRD), &version(3)).await, Ok(Applied::Now));
        assert_eq!(pair.accepted()?, [vec![THIRD], vec![OLD]]);
        for (user, mark) in [("turns", "version-2 of 2000]"), ("turns_clone", "version-3 of 3000]")] {
            let marks = pair.marks(user)?;
            ensure!(marks.contains(mark) && marks.matches("rotated-secrets version").count() == 1, "{marks}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_replica_that_wakes_up_late_can_set_no_older_and_no_withdrawn_version() -> Result<()> {
    for pair in Pair::both("late")? {
        let strategy = pair.strategy();
        assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(5)).await, Ok(Applied::Now));
        assert_eq!(strategy.apply(&pair.twin(THIRD), &pair.base(OLD), &version(4)).await, refused(Refused::Superseded));
        assert_eq!(pair.accepted()?, [vec![OLD], vec![NEW]]);
        assert_eq!(strategy.undo(&pair.twin(NEW), &version(5), &pair.base(OLD), None).await, Ok(Undone::Now));
        assert_eq!(pair.accepted()?, [vec![OLD], vec![]]);
        assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(5)).await, refused(Refused::Superseded));
        assert_eq!(strategy.undo(&pair.twin(NEW), &version(5), &pair.base(OLD), None).await, Ok(Undone::Nothing));
        assert_eq!(strategy.apply(&pair.twin(THIRD), &pair.base(OLD), &version(6)).await, Ok(Applied::Now));
        assert_eq!(pair.accepted()?, [vec![OLD], vec![THIRD]]);
        // A rollback to an older version of the user that is in use.
        assert_eq!(strategy.apply(&pair.base(NEW), &pair.base(OLD), &version(7)).await, Ok(Applied::Now));
        assert_eq!(strategy.undo(&pair.base(NEW), &version(7), &pair.base(OLD), None).await, Ok(Undone::Now));
        assert_eq!(pair.accepted()?, [vec![OLD], vec![THIRD]]);
    }
    Ok(())
}

#[tokio::test]
async fn a_version_that_reaches_the_server_after_it_was_abandoned_is_refused() -> Result<()> {
    for pair in Pair::both("reached_late")? {
        let strategy = pair.strategy();
        // The user exists; the version was never applied. What the user had before keeps working.
        assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await, Ok(Applied::Now));
        for _ in 0..2 {
            assert_eq!(strategy.undo(&pair.twin(THIRD), &version(2), &pair.base(OLD), None).await, Ok(Undone::Nothing));
        }
        assert_eq!(strategy.apply(&pair.twin(THIRD), &pair.base(OLD), &version(2)).await, refused(Refused::Superseded));
        assert_eq!(pair.accepted()?, [vec![OLD], vec![NEW]]);
        // A version with the password that the user has: a rollback. It is abandoned, and the password stays that of the other one.
        assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(3)).await, Ok(Applied::Already));
        assert_eq!(strategy.undo(&pair.twin(NEW), &version(3), &pair.base(OLD), None).await, Ok(Undone::Nothing));
        assert_eq!(pair.accepted()?, [vec![OLD], vec![NEW]]);
        // Another writer put a value into AWS only, and the server has the one before.
        assert_eq!(strategy.apply(&pair.twin(THIRD), &pair.base(OLD), &version(4)).await, Ok(Applied::Now));
        assert_eq!(strategy.undo(&pair.twin(THIRD), &version(4), &pair.base(NEW), None).await, refused(Refused::NoPasswordAccepted));
        let (theirs, previous) = (pair.base(NEW), pair.base(OLD));
        assert_eq!(strategy.undo(&pair.twin(THIRD), &version(4), &theirs, Some(&previous)).await, Ok(Undone::Now));
        assert_eq!(pair.accepted()?, [vec![OLD], vec![]]);
        // A current password that the server refuses is not hidden.
        pair.set_password(&pair.base, "set by another person")?;
        assert_eq!(strategy.undo(&pair.twin(THIRD), &version(2), &pair.base(OLD), None).await, refused(Refused::NoPasswordAccepted));
    }
    Ok(())
}

#[tokio::test]
async fn the_old_user_is_locked_when_it_is_retired_and_its_next_turn_unlocks_it() -> Result<()> {
    for pair in Pair::both("retired")? {
        let strategy = pair.strategy();
        assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(2)).await, Ok(Applied::Now));
        // The value that is current is not one that the server accepts.
        assert_eq!(strategy.retire(&pair.base(OLD), &pair.twin(THIRD), &version(2)).await, refused(Refused::NoPasswordAccepted));
        assert_eq!(strategy.retire(&pair.twin(NEW), &pair.twin(NEW), &version(2)).await, refused(Refused::CannotUndo));
        assert_eq!(pair.accepted()?, [vec![OLD], vec![NEW]]);
        for _ in 0..2 {
            assert_eq!(strategy.retire(&pair.base(OLD), &pair.twin(NEW), &version(2)).await, Ok(()), "{:?}", pair.kind);
            assert_eq!(pair.accepted()?, [vec![], vec![NEW]]);
        }
        ensure!(pair.marks("retired")?.contains("version-2 of 2000 retired]"), "{}", pair.marks("retired")?);
        assert_eq!(strategy.verify(&pair.twin(NEW)).await, Ok(()));
        // A replica that wakes up late cannot set the version again that was current before.
        assert_eq!(strategy.apply(&pair.base(OLD), &pair.twin(NEW), &version(1)).await, refused(Refused::Superseded));
        assert_eq!(strategy.apply(&pair.base(THIRD), &pair.twin(NEW), &version(3)).await, Ok(Applied::Now));
        assert_eq!(pair.accepted()?, [vec![THIRD], vec![NEW]]);
        // A retirement that comes late leaves the user that has a later version alone.
        assert_eq!(strategy.retire(&pair.base(THIRD), &pair.twin(NEW), &version(2)).await, refused(Refused::Superseded));
        assert_eq!(pair.accepted()?, [vec![THIRD], vec![NEW]]);
        assert_eq!(strategy.retire(&pair.twin(NEW), &pair.base(THIRD), &version(3)).await, Ok(()));
        // A rollback to the version before has the password that the locked user has.
        assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(THIRD), &version(4)).await, Ok(Applied::Now));
        assert_eq!(pair.accepted()?, [vec![THIRD], vec![NEW]]);
        // What another person locked stays locked.
        pair.sql("ALTER USER retired ACCOUNT LOCK")?;
        assert_eq!(strategy.apply(&pair.base(OLD), &pair.twin(NEW), &version(5)).await, refused(Refused::BaseUserNotUsable));
        assert_eq!(pair.accepted()?, [vec![], vec![NEW]]);
    }
    Ok(())
}

#[tokio::test]
async fn a_version_is_withdrawn_from_a_locked_user_and_the_next_one_unlocks_it() -> Result<()> {
    for pair in Pair::both("relocked")? {
        let strategy = pair.strategy();
        assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(2)).await, Ok(Applied::Now));
        assert_eq!(strategy.retire(&pair.base(OLD), &pair.twin(NEW), &version(2)).await, Ok(()));
        assert_eq!(strategy.undo(&pair.base(THIRD), &version(3), &pair.twin(NEW), None).await, Ok(Undone::Nothing));
        assert_eq!(strategy.apply(&pair.base(THIRD), &pair.twin(NEW), &version(3)).await, refused(Refused::Superseded));
        assert_eq!(pair.accepted()?, [vec![], vec![NEW]]);
        assert_eq!(strategy.apply(&pair.base(THIRD), &pair.twin(NEW), &version(4)).await, Ok(Applied::Now));
        assert_eq!(pair.accepted()?, [vec![THIRD], vec![NEW]]);
    }
    Ok(())
}

#[tokio::test]
async fn a_user_from_which_a_later_version_was_withdrawn_is_retired_all_the_same() -> Result<()> {
    for pair in Pair::both("withdrawn")? {
        let strategy = pair.strategy();
        assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(2)).await, Ok(Applied::Now));
        assert_eq!(strategy.undo(&pair.base(THIRD), &version(3), &pair.twin(NEW), None).await, Ok(Undone::Nothing));
        assert_eq!(strategy.retire(&pair.base(OLD), &pair.twin(NEW), &version(2)).await, Ok(()), "{:?}", pair.kind);
        assert_eq!(pair.accepted()?, [vec![], vec![NEW]]);
        assert_eq!(strategy.apply(&pair.base(THIRD), &pair.twin(NEW), &version(3)).await, refused(Refused::Superseded));
        assert_eq!(strategy.apply(&pair.base(THIRD), &pair.twin(NEW), &version(4)).await, Ok(Applied::Now));
        assert_eq!(pair.accepted()?, [vec![THIRD], vec![NEW]]);
    }
    Ok(())
}

#[tokio::test]
async fn the_server_and_the_administrator_are_told_apart() -> Result<()> {
    for pair in Pair::both("told")? {
        let apply = async |admin: &Credential, base: &str, bound: bool| {
            let twin = format!("{base}_clone");
            let strategy = AlternatingUsers { server: &pair.server, admin, bound, base, twin: &twin };
            strategy.apply(&credential(&twin, NEW), &credential(base, OLD), &version(1)).await
        };
        let wrong = credential("told_admin", "another password");
        assert_eq!(apply(&wrong, "told", false).await, refused(Refused::AdminRefused));
        assert_eq!(apply(&pair.admin, "told", true).await, refused(Refused::WeakAuthentication), "its password is not sent");
        // MySQL asks for the password of a user that does not exist in a way that it chooses at random.
        ensure!(matches!(apply(&pair.admin, "nobody_here", false).await, Err(Problem::Refused(_))));
        for right in ["CREATE USER ON *.*", "SELECT ON mysql.*", "INSERT ON told.*"] {
            pair.sql(&format!("REVOKE {right} FROM told_admin"))?;
            let answer = apply(&pair.admin, "told", false).await;
            assert_eq!(answer, refused(Refused::AdminNotPermitted), "{right} {:?}", pair.kind);
            let option = if right.contains("told") { " WITH GRANT OPTION" } else { "" };
            pair.sql(&format!("GRANT {right} TO told_admin{option}"))?;
            assert_eq!(pair.accepted()?, [vec![OLD], vec![]], "{right}");
        }
        assert_eq!(apply(&pair.admin, "told", false).await, Ok(Applied::Now));
        pair.sql("DROP USER told")?;
        let answer = pair.strategy().apply(&pair.base(THIRD), &pair.twin(NEW), &version(2)).await;
        assert_eq!(answer, refused(Refused::BaseUserMissing));
    }
    Ok(())
}

#[tokio::test]
async fn names_and_passwords_that_would_end_a_statement_are_only_text() -> Result<()> {
    let (base, twin) = (r"o'd`d\%; --", r"o'd`d\%; --_clone");
    for kind in Kind::here() {
        // Sessions set what they need themselves.
        let mysql =
            MySql::start_with(kind, &["--sql-mode=ANSI_QUOTES,NO_BACKSLASH_ESCAPES", "--init-connect=SET sql_quote_show_create = 0"])?;
        mysql.sql(&format!(
            "CREATE SCHEMA \"s`c'h\"; CREATE TABLE \"s`c'h\".\"t`\\\" (\"a`b\" INT); CREATE USER 'o''d`d\\%; --' IDENTIFIED BY '{}', boss IDENTIFIED BY \
             '{ADMIN}'; GRANT SELECT (\"a`b\"), UPDATE ON \"s`c'h\".\"t`\\\" TO 'o''d`d\\%; --'; GRANT CREATE USER ON *.* TO boss; GRANT SELECT ON \
             mysql.* TO boss; GRANT ALL PRIVILEGES ON \"s`c'h\".* TO boss WITH GRANT OPTION",
            OLD.replace('\'', "''")
        ))?;
        let (server, admin) = (super::mysql_stand::server(&mysql), credential("boss", ADMIN));
        let strategy = AlternatingUsers { server: &server, admin: &admin, bound: false, base, twin };
        let mut current = credential(base, OLD);
        for (user, password, second) in [(twin, r"'; DROP USER boss; --\", 1), (base, NEW, 2), (twin, "na\u{ef}ve \\'", 3)] {
            let pending = credential(user, password);
            assert_eq!(strategy.apply(&pending, &current, &version(second)).await, Ok(Applied::Now), "{kind:?} {password}");
            assert_eq!(strategy.verify(&pending).await, Ok(()), "{kind:?} {password}");
            ensure!(mysql.accepts(user, password)?, "{kind:?} {password}");
            current = pending;
        }
        let grants = mysql.sql("SHOW GRANTS FOR 'o''d`d\\%; --_clone'")?;
        ensure!(grants.contains("SELECT") && grants.contains("a`b"), "{grants}");
        ensure!(mysql.accepts("boss", ADMIN)?);
    }
    Ok(())
}

#[tokio::test]
async fn an_attempt_waits_for_another_one_and_for_a_client_that_holds_its_lock() -> Result<()> {
    for mut pair in Pair::both("waiting")? {
        let strategy = pair.strategy();
        assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await, Ok(Applied::Now));
        let log = pair.mysql.log()?;
        // Other tests use the server, too.
        let session = |line: &str| line.split(" Query").next().and_then(|before| before.split_whitespace().last()).map(str::to_owned);
        let ours = log.lines().find(|line| line.contains("CREATE USER 'waiting_clone'")).and_then(session);
        let mut locks = log.lines().filter(|line| session(line) == ours).filter_map(|line| line.split_once("GET_LOCK('"));
        let lock = locks.next().and_then(|(_, rest)| rest.split('\'').next()).unwrap_or_default().to_owned();
        ensure!(lock.starts_with("rotated-secrets "), "{lock}");
        let mysql = pair.mysql;
        let holding = tokio::task::spawn_blocking(move || mysql.sql(&format!("SELECT GET_LOCK('{lock}', 0), SLEEP(3601)")));
        mysql.await_statement("SLEEP(3601)")?;
        pair.server.endpoint.limits.statement = std::time::Duration::from_secs(2);
        let answer = pair.strategy().apply(&pair.base(THIRD), &pair.twin(NEW), &version(2)).await;
        assert_eq!(answer, Err(Problem::Unknown(Unknown::Timeout)), "{:?}", pair.kind);
        assert_eq!(pair.accepted()?, [vec![OLD], vec![NEW]]);
        mysql.end_sessions("SLEEP(3601)")?;
        ensure!(holding.await?.is_err(), "it had the lock until now");
        pair.server.endpoint.limits.statement = std::time::Duration::from_mins(1);
        assert_eq!(pair.strategy().apply(&pair.base(THIRD), &pair.twin(NEW), &version(2)).await, Ok(Applied::Now));
    }
    Ok(())
}

#[tokio::test]
async fn no_password_of_three_users_is_in_what_the_server_logs() -> Result<()> {
    for pair in Pair::both("pair_log")? {
        let strategy = pair.strategy();
        assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await, Ok(Applied::Now));
        assert_eq!(strategy.verify(&pair.twin(NEW)).await, Ok(()));
        assert_eq!(strategy.undo(&pair.twin(NEW), &version(1), &pair.base(OLD), None).await, Ok(Undone::Now));
        let log = pair.mysql.log()?;
        let statement = if pair.kind == Kind::MySql {
            "'pair_log_clone'@'%' IDENTIFIED WITH 'caching_sha2_password' BY <secret>"
        } else {
            "'pair_log_clone'@'%' IDENTIFIED VIA mysql_native_password USING '*"
        };
        ensure!(
            log.contains(statement),
            "the statements are there: {:?}",
            log.lines().find(|line| line.contains("ALTER USER 'pair_log_clone'"))
        );
        for canary in ["canaryOld", "canaryNew", "canaryAdmin"] {
            ensure!(!log.contains(canary), "a password is in the log: {:?}", log.lines().find(|line| line.contains(canary)));
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_check_is_one_login_of_the_user_in_use_without_the_administrator() -> Result<()> {
    for pair in Pair::both("checked")? {
        let users = [pair.base.as_str(), pair.twin.as_str()];
        let check = async |current: &Credential| AlternatingUsers::check(&pair.server, users, current).await;
        pair.sql("ALTER USER checked_admin ACCOUNT LOCK")?;
        assert_eq!(check(&pair.base(OLD)).await, Ok(()));
        assert_eq!(check(&pair.base(NEW)).await, refused(Refused::PasswordRefused));
        // MySQL asks for the password of a user that does not exist in a way that it chooses at random.
        ensure!(matches!(check(&pair.twin(OLD)).await, Err(Problem::Refused(_))), "there is none");
        assert_eq!(check(&credential("root", OLD)).await, refused(Refused::UserChanged));
    }
    Ok(())
}
