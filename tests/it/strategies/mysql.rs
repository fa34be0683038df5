//! One user with one password, on a MySQL and a MariaDB server that answer.

use std::sync::Arc;

use anyhow::Result;
use rotated_secrets::strategy::mysql::{Server, SingleUser};
use rotated_secrets::strategy::{Applied, Problem, Refused, Tls, Undone, Unknown};
use testkit::mysql::{Certificate, Kind, MySql};
use testkit::until;

use super::mysql_stand::{Stand, server};
use super::stand::{NEW, OLD, THIRD, by_address, credential};

const WRONG: Problem = Problem::Refused(Refused::PasswordRefused);

#[tokio::test]
async fn the_new_password_is_applied_once_and_the_old_one_is_refused_from_then_on() -> Result<()> {
    for stand in Stand::both("applied_once")? {
        let (old, new) = (stand.with(OLD), stand.with(NEW));
        assert_eq!(stand.single().check(&old).await, Ok(()));
        assert_eq!(stand.single().apply(&new, &old, None).await, Ok(Applied::Now));
        assert_eq!(stand.accepted()?, [NEW]);
        assert_eq!(stand.single().verify(&new).await, Ok(()));
        assert_eq!(stand.single().apply(&new, &old, None).await, Ok(Applied::Already));
        assert_eq!(stand.single().check(&old).await, Err(WRONG));
    }
    Ok(())
}

#[tokio::test]
async fn the_previous_password_serves_if_the_server_was_restored_and_a_fourth_one_is_not_guessed() -> Result<()> {
    for stand in Stand::both("restored")? {
        let (old, new, third) = (stand.with(OLD), stand.with(NEW), stand.with(THIRD));
        assert_eq!(stand.single().apply(&third, &new, Some(&old)).await, Ok(Applied::Now));
        assert_eq!(stand.accepted()?, [THIRD]);
        let refused = Err(Problem::Refused(Refused::NoPasswordAccepted));
        assert_eq!(stand.single().apply(&old, &new, None).await, refused);
        stand.reset("a password that AWS does not have")?;
        assert_eq!(stand.single().apply(&old, &new, Some(&third)).await, refused);
        assert_eq!(stand.accepted()?, Vec::<&str>::new());
        assert_eq!(stand.single().apply(&credential("other", NEW), &old, None).await, Err(Problem::Refused(Refused::UserChanged)));
    }
    Ok(())
}

#[tokio::test]
async fn what_was_applied_can_be_undone_and_what_was_not_is_left_alone() -> Result<()> {
    for stand in Stand::both("undone")? {
        let (old, new) = (stand.with(OLD), stand.with(NEW));
        assert_eq!(stand.single().undo(&new, &old, None).await, Ok(Undone::Nothing));
        assert_eq!(stand.single().apply(&new, &old, None).await, Ok(Applied::Now));
        assert_eq!(stand.single().undo(&new, &old, None).await, Ok(Undone::Now));
        assert_eq!(stand.accepted()?, [OLD]);
        stand.reset(THIRD)?;
        assert_eq!(stand.single().undo(&new, &old, None).await, Err(Problem::Refused(Refused::NoPasswordAccepted)));
        assert_eq!(stand.accepted()?, [THIRD], "if neither logs in, nothing is touched");
        assert_eq!(stand.single().undo(&old, &old, None).await, Err(Problem::Refused(Refused::CannotUndo)));
        assert_eq!(stand.single().undo(&new, &old, Some(&stand.with(THIRD))).await, Ok(Undone::Nothing));
        assert_eq!(stand.accepted()?, [OLD], "it gets the value that is current in AWS");
    }
    Ok(())
}

#[tokio::test]
async fn a_change_that_waits_for_a_lock_is_ended_before_it_can_be_carried_out_after_the_undo() -> Result<()> {
    for kind in Kind::here() {
        // Nobody else waits for the lock.
        let mysql = Arc::new(MySql::start(kind)?);
        mysql.sql(&format!("CREATE USER app IDENTIFIED BY '{}'", OLD.replace('\'', "''")))?;
        let server = server(&mysql);
        let (old, new) = (credential("app", OLD), credential("app", NEW));
        let strategy = SingleUser { server: &server };
        let lock = if kind == Kind::MySql { "BEGIN; UPDATE mysql.user SET max_updates = 1" } else { "LOCK TABLES mysql.global_priv READ" };
        let locking = Arc::clone(&mysql);
        let lock = tokio::task::spawn_blocking(move || locking.sql(&format!("{lock}; SELECT SLEEP(3600)")));
        mysql.await_statement("SLEEP(3600)")?;
        // The attempt is given up while its statement waits: what was sent is with the server.
        let change = tokio::select! {
            answer = strategy.apply(&new, &old, None) => panic!("{kind:?}: the change did not wait: {answer:?}"),
            change = waits(&mysql, None) => change?,
        };
        let (undone, released) = tokio::join!(strategy.undo(&new, &old, None), async {
            // The undo has ended the change, and its own statement waits in its place.
            waits(&mysql, Some(&change)).await?;
            mysql.end_sessions("SLEEP(3600)")
        });
        released?;
        assert_eq!(undone, Ok(Undone::Nothing), "{kind:?}");
        assert!(lock.await?.is_err(), "{kind:?}: it had the lock until now");
        assert!(mysql.accepts("app", OLD)? && !mysql.accepts("app", NEW)?, "{kind:?}");
    }
    Ok(())
}

/// Until a change of a password waits, in another session than `not`. Gives the session.
async fn waits(mysql: &MySql, not: Option<&str>) -> Result<String> {
    let changes = |line: &&str| line.contains("ALTER USER") || line.contains("SET PASSWORD");
    until("a change of a password waits", async || {
        let list = mysql.sql("SHOW FULL PROCESSLIST")?;
        let mut sessions = list.lines().filter(changes).filter_map(|line| line.split('\t').next());
        Ok(sessions.find(|session| Some(*session) != not).map(str::to_owned))
    })
    .await
}

#[tokio::test]
async fn only_a_certificate_that_is_valid_gets_a_login() -> Result<()> {
    for kind in Kind::here() {
        let mysql = MySql::start(kind)?;
        mysql.sql("CREATE USER app IDENTIFIED BY 'right'")?;
        let app = credential("app", "right");
        let full = server(&mysql);
        let reached = |change: &dyn Fn(&mut rotated_secrets::strategy::Endpoint)| {
            let mut changed = full.clone();
            change(&mut changed.endpoint);
            changed
        };
        let by_address = reached(&by_address);
        let any_name = reached(&|endpoint| endpoint.tls = Tls::Verify { names: false, ca: Some(mysql.ca()) });
        let refused = Err(Problem::Refused(Refused::CertificateRefused));
        for (certificate, by_name, by_authority) in [
            (Certificate::Good, Ok(()), Ok(())),
            (Certificate::Expired, refused, refused),
            (Certificate::OtherName, refused, Ok(())),
            (Certificate::OtherAuthority, refused, refused),
        ] {
            mysql.set_certificate(certificate)?;
            assert_eq!(SingleUser { server: &full }.check(&app).await, by_name, "{kind:?} {certificate:?}");
            assert_eq!(SingleUser { server: &by_address }.check(&app).await, by_name, "{kind:?} {certificate:?}");
            assert_eq!(SingleUser { server: &any_name }.check(&app).await, by_authority, "{kind:?} {certificate:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_user_that_may_not_log_in_is_told_from_a_wrong_password_and_from_a_limit() -> Result<()> {
    for stand in Stand::both("may_not")? {
        let old = stand.with(OLD);
        let table: [(&str, &str, Problem); 2] = [
            ("ACCOUNT LOCK", "ACCOUNT UNLOCK", Refused::LoginNotPermitted.into()),
            ("PASSWORD EXPIRE", "PASSWORD EXPIRE NEVER", Refused::LoginNotPermitted.into()),
        ];
        for (locked, unlocked, expected) in table {
            stand.sql(&format!("ALTER USER may_not {locked}"))?;
            assert_eq!(stand.single().check(&old).await, Err(expected), "{locked}");
            stand.sql(&format!("ALTER USER may_not {unlocked}"))?;
            stand.reset(OLD)?;
        }
        let elsewhere = Server { database: Some("nowhere".to_owned()), ..stand.server.clone() };
        let answer = SingleUser { server: &elsewhere }.check(&old).await;
        assert!(matches!(answer, Err(Problem::Refused(Refused::LoginNotPermitted | Refused::DatabaseNotFound))), "{answer:?}");
        let failing = Server { query: Some("SELECT 1 FROM mysql.user".to_owned()), ..stand.server.clone() };
        let failing = SingleUser { server: &failing };
        assert_eq!(failing.apply(&stand.with(NEW), &old, None).await, Err(Problem::Refused(Refused::QueryFailed)));
        assert_eq!(stand.accepted()?, [OLD], "what fails with the old password changes nothing");
        assert_eq!(failing.verify(&old).await, Err(Problem::Refused(Refused::QueryFailed)));
        let writing = Server { query: Some("CREATE TEMPORARY TABLE t (a INT)".to_owned()), ..stand.server.clone() };
        assert_eq!(SingleUser { server: &writing }.verify(&old).await, Err(Problem::Refused(Refused::QueryFailed)));
    }
    Ok(())
}

#[tokio::test]
async fn all_connections_taken_a_read_only_server_and_one_that_was_killed_change_nothing() -> Result<()> {
    for kind in Kind::here() {
        let mysql = Arc::new(MySql::start(kind)?);
        mysql.sql("CREATE USER app IDENTIFIED BY 'right'; CREATE USER narrow IDENTIFIED BY 'right' WITH MAX_USER_CONNECTIONS 1")?;
        let server = server(&mysql);
        let strategy = SingleUser { server: &server };
        let (old, new) = (credential("app", "right"), credential("app", NEW));
        let holding = Arc::clone(&mysql);
        let holder = tokio::task::spawn_blocking(move || holding.sleep_as("narrow", "right", 3600));
        mysql.await_statement("SLEEP(3600)")?;
        assert_eq!(strategy.check(&credential("narrow", "right")).await, Err(Problem::Unknown(Unknown::ConnectionLimit)), "{kind:?}");
        mysql.end_sessions("SLEEP(3600)")?;
        assert!(holder.await?.is_err(), "{kind:?}: it was connected until now");
        mysql.sql("SET GLOBAL read_only = ON")?;
        assert_eq!(strategy.apply(&new, &old, None).await, Err(Problem::Refused(Refused::ReadOnly)), "{kind:?}");
        assert_eq!(strategy.check(&old).await, Ok(()), "a standby lets in");
        mysql.sql("SET GLOBAL read_only = OFF")?;
        mysql.kill()?;
        assert_eq!(strategy.apply(&new, &old, None).await, Err(Problem::Unknown(Unknown::Unreachable)), "{kind:?}");
        mysql.revive()?;
        assert_eq!(strategy.apply(&new, &old, None).await, Ok(Applied::Now), "{kind:?}");
        mysql.kill()?;
        mysql.revive()?;
        assert_eq!(strategy.verify(&new).await, Ok(()), "{kind:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_asks_for_no_password_proves_nothing() -> Result<()> {
    // MySQL does not listen then.
    let mysql = MySql::start_with(Kind::MariaDb, &["--skip-grant-tables", "--skip-networking=OFF"])?;
    let server = server(&mysql);
    let strategy = SingleUser { server: &server };
    let answer = strategy.check(&credential("app", NEW)).await;
    assert_eq!(answer, Err(Problem::Refused(Refused::WrongUser)), "it accepts everything, as nobody");
    let answer = strategy.verify(&credential("app", NEW)).await;
    let expected = [Refused::PasswordNotRequired, Refused::WrongUser].map(|refused| Err(refused.into()));
    assert!(expected.contains(&answer), "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn an_account_of_another_name_is_never_changed() -> Result<()> {
    for kind in Kind::here() {
        let mysql = MySql::start(kind)?;
        // The more exact host comes first, so the login leads to the anonymous account.
        mysql.sql("CREATE USER app IDENTIFIED BY 'right'; CREATE USER ''@'127.0.0.1' IDENTIFIED BY 'anonymous'")?;
        let server = server(&mysql);
        let strategy = SingleUser { server: &server };
        let (anonymous, new) = (credential("app", "anonymous"), credential("app", NEW));
        let wrong_user = Problem::Refused(Refused::WrongUser);
        assert_eq!(strategy.check(&anonymous).await, Err(wrong_user), "{kind:?}");
        assert_eq!(strategy.apply(&new, &anonymous, None).await, Err(wrong_user), "{kind:?}");
        assert!(mysql.accepts("app", "anonymous")? && !mysql.accepts("app", NEW)?, "{kind:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_declared_query_cannot_change_how_the_next_password_is_read() -> Result<()> {
    for mut stand in Stand::both("with_query")? {
        let (old, new) = (stand.with(OLD), stand.with(NEW));
        // The new password has a backslash.
        stand.server.query = Some("SET SESSION sql_mode = '', SESSION character_set_client = 'latin1'".to_owned());
        assert_eq!(stand.single().apply(&new, &old, None).await, Ok(Applied::Now));
        assert_eq!(stand.accepted()?, [NEW]);
        stand.server.query = Some("SELECT UNHEX('ff00')".to_owned());
        assert_eq!(stand.single().verify(&new).await, Ok(()), "bytes that are no text");
    }
    Ok(())
}

#[tokio::test]
async fn passwords_of_every_kind_are_set_as_they_are() -> Result<()> {
    for stand in Stand::both("any_password")? {
        let mut current = OLD.to_owned();
        for next in ["'; DROP USER x; --", "na\u{ef}ve \u{30d1}\u{30b9}", "x", &"long".repeat(60), "back\\slash\t tab \"", "%_\\%\\'"] {
            let (before, after) = (stand.with(&current), stand.with(next));
            assert_eq!(stand.single().apply(&after, &before, None).await, Ok(Applied::Now), "{next}");
            assert!(stand.mysql.accepts(&stand.user, next)?, "{next}");
            current = next.to_owned();
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_undo_passes_over_statements_of_the_application_of_any_length() -> Result<()> {
    for stand in Stand::both("long_statement")? {
        let (mysql, long) = (stand.mysql, format!("SELECT SLEEP(3600), '{}'", "x".repeat(100_000)));
        let running = tokio::task::spawn_blocking(move || mysql.sql_as("long_statement", OLD, &long));
        mysql.await_statement("SELECT SLEEP(3600), 'xxx")?;
        assert_eq!(stand.single().undo(&stand.with(NEW), &stand.with(OLD), None).await, Ok(Undone::Nothing));
        mysql.end_sessions("SELECT SLEEP(3600), 'xxx")?;
        assert!(running.await?.is_err(), "it ran until now");
    }
    Ok(())
}

#[tokio::test]
async fn no_password_is_in_a_log_of_the_server() -> Result<()> {
    for stand in Stand::both("logged")? {
        let (old, new) = (stand.with(OLD), stand.with(NEW));
        assert_eq!(stand.single().apply(&new, &old, None).await, Ok(Applied::Now));
        assert_eq!(stand.single().verify(&new).await, Ok(()));
        assert_eq!(stand.single().undo(&new, &old, None).await, Ok(Undone::Now));
        let log = stand.mysql.log()?;
        assert!(log.contains("CURRENT_USER()"), "statements are logged");
        for canary in ["canaryOld", "canaryNew"] {
            assert!(!log.contains(canary), "{:?}: {canary}", log.lines().find(|line| line.contains(canary)));
        }
    }
    Ok(())
}
