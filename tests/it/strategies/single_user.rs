//! One user, on a server that answers.

use anyhow::Result;
use rotated_secrets::strategy::postgres::SingleUser;
use rotated_secrets::strategy::{Applied, Problem, Refused, Tls, Undone};

use testkit::postgres::pooler::Pooler;

use super::stand::{NEW, OLD, Stand, THIRD, by_address, credential, reached};

#[tokio::test]
async fn the_new_password_is_applied_once_and_the_old_one_is_refused_from_then_on() -> Result<()> {
    let stand = Stand::new("applied_once")?;
    let (old, new) = (stand.with(OLD), stand.with(NEW));
    assert_eq!(stand.strategy().check(&old).await, Ok(()));
    assert_eq!(stand.strategy().apply(&new, &old, None).await, Ok(Applied::Now));
    assert_eq!(stand.accepted()?, [NEW]);
    assert_eq!(stand.strategy().verify(&new).await, Ok(()));
    assert_eq!(stand.strategy().apply(&new, &old, None).await, Ok(Applied::Already));
    assert_eq!(stand.strategy().check(&old).await, Err(Problem::Refused(Refused::PasswordRefused)));
    let stored = stand.sql("SELECT left(rolpassword, 19) FROM pg_authid WHERE rolname = 'applied_once'")?;
    assert_eq!(stored, "SCRAM-SHA-256$4096:");
    Ok(())
}

#[tokio::test]
async fn the_previous_password_serves_if_the_server_was_restored_and_a_fourth_one_is_not_guessed() -> Result<()> {
    let stand = Stand::new("restored")?;
    let (old, new, third) = (stand.with(OLD), stand.with(NEW), stand.with(THIRD));
    assert_eq!(stand.strategy().apply(&third, &new, Some(&old)).await, Ok(Applied::Now));
    assert_eq!(stand.accepted()?, [THIRD]);
    let refused = Err(Problem::Refused(Refused::NoPasswordAccepted));
    assert_eq!(stand.strategy().apply(&old, &new, None).await, refused);
    stand.reset("a password that AWS does not have")?;
    assert_eq!(stand.strategy().apply(&old, &new, Some(&third)).await, refused);
    assert_eq!(stand.accepted()?, Vec::<&str>::new());
    Ok(())
}

#[tokio::test]
async fn a_pooler_is_recognized_before_anything_changes_and_lets_the_check_through() -> Result<()> {
    let stand = Stand::new("pooled")?;
    let (old, new) = (stand.with(OLD), stand.with(NEW));
    let pooler = Pooler::start(stand.postgres, "pooled", OLD)?;
    let server = reached(&stand.server, |endpoint| {
        by_address(endpoint);
        (endpoint.port, endpoint.tls) = (pooler.port(), Tls::Disable);
    });
    let through = SingleUser { server: &server };
    assert_eq!(through.check(&old).await, Ok(()));
    assert_eq!(through.apply(&new, &old, None).await, Err(Problem::Refused(Refused::Pooler)));
    assert_eq!(stand.accepted()?, [OLD]);
    // What directHost is for: the server has the new password, and the pooler knows the old one only.
    assert_eq!(stand.strategy().apply(&new, &old, None).await, Ok(Applied::Now));
    assert_eq!(through.check(&new).await, Err(Problem::Refused(Refused::PasswordRefused)));
    Ok(())
}

#[tokio::test]
async fn what_was_applied_can_be_undone_and_what_was_not_is_left_alone() -> Result<()> {
    let stand = Stand::new("undone")?;
    let (old, new) = (stand.with(OLD), stand.with(NEW));
    assert_eq!(stand.strategy().undo(&new, &old, None).await, Ok(Undone::Nothing));
    assert_eq!(stand.strategy().apply(&new, &old, None).await, Ok(Applied::Now));
    assert_eq!(stand.strategy().undo(&new, &old, None).await, Ok(Undone::Now));
    assert_eq!(stand.accepted()?, [OLD]);
    stand.reset(THIRD)?;
    assert_eq!(stand.strategy().undo(&new, &old, None).await, Err(Problem::Refused(Refused::NoPasswordAccepted)));
    assert_eq!(stand.accepted()?, [THIRD], "if neither logs in, nothing is touched");
    assert_eq!(stand.strategy().undo(&old, &old, None).await, Err(Problem::Refused(Refused::CannotUndo)));
    // Another writer put a value into AWS only, and the server has the one before.
    assert_eq!(stand.strategy().undo(&new, &old, Some(&stand.with(THIRD))).await, Ok(Undone::Nothing));
    assert_eq!(stand.accepted()?, [OLD], "it gets the value that is current in AWS");
    Ok(())
}

#[tokio::test]
async fn a_staged_value_is_undone_also_if_the_current_one_is_of_another_user() -> Result<()> {
    let stand = Stand::new("undone_for")?;
    let (old, new, other) = (stand.with(OLD), stand.with(NEW), credential("another_user", THIRD));
    assert_eq!(stand.strategy().undo(&new, &other, Some(&old)).await, Ok(Undone::Nothing));
    assert_eq!(stand.strategy().apply(&new, &old, None).await, Ok(Applied::Now));
    for previous in [None, Some(&new), Some(&other)] {
        assert_eq!(stand.strategy().undo(&new, &other, previous).await, Err(Problem::Refused(Refused::CannotUndo)));
        assert_eq!(stand.accepted()?, [NEW]);
    }
    assert_eq!(stand.strategy().undo(&new, &other, Some(&old)).await, Ok(Undone::Now));
    assert_eq!(stand.accepted()?, [OLD]);
    Ok(())
}

#[tokio::test]
async fn only_the_user_of_the_current_value_is_changed() -> Result<()> {
    let stand = Stand::new("one_user")?;
    let other = credential("postgres", NEW);
    assert_eq!(stand.strategy().apply(&other, &stand.with(OLD), None).await, Err(Problem::Refused(Refused::UserChanged)));
    // Names that would end a statement or an identifier are only names.
    let odd = credential("x\"; DROP ROLE one_user; --", NEW);
    assert_eq!(stand.strategy().check(&odd).await, Err(Problem::Refused(Refused::PasswordRefused)));
    assert_eq!(stand.accepted()?, [OLD]);
    Ok(())
}

#[tokio::test]
async fn settings_of_the_role_do_not_lead_the_statement_to_another_role() -> Result<()> {
    let stand = Stand::new("with_settings")?;
    stand.sql(
        "DROP ROLE IF EXISTS its_default; CREATE ROLE its_default; GRANT its_default TO with_settings; \
         ALTER ROLE with_settings SET role TO its_default; ALTER ROLE with_settings SET default_transaction_read_only TO on; \
         ALTER ROLE with_settings SET standard_conforming_strings TO off; ALTER ROLE with_settings SET search_path TO public",
    )?;
    let (old, new) = (stand.with(OLD), stand.with(NEW));
    assert_eq!(stand.strategy().apply(&new, &old, None).await, Ok(Applied::Now));
    assert_eq!(stand.strategy().verify(&new).await, Ok(()));
    assert_eq!(stand.accepted()?, [NEW]);
    assert_eq!(stand.sql("SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'its_default'")?, "t");
    Ok(())
}

#[tokio::test]
async fn a_declared_query_must_work_before_the_password_is_changed_and_can_write_nothing() -> Result<()> {
    let mut stand = Stand::new("with_query")?;
    stand.sql("CREATE TABLE IF NOT EXISTS orders (id int); GRANT ALL ON orders TO with_query")?;
    let (old, new) = (stand.with(OLD), stand.with(NEW));
    let failing = Err(Problem::Refused(Refused::QueryFailed));
    for query in [
        "SELECT 1 FROM nothing_here",
        "INSERT INTO orders VALUES (1)",
        "COMMIT; INSERT INTO orders VALUES (1)",
        "SELECT 1; COMMIT; ALTER ROLE SESSION_USER PASSWORD 'theirs'; BEGIN",
        "DO $$ BEGIN COMMIT; INSERT INTO orders VALUES (1); END $$",
        "WITH written AS (INSERT INTO orders VALUES (1) RETURNING id) SELECT id FROM written",
        "SELECT pg_read_file('/etc/passwd')",
        "not SQL",
    ] {
        stand.server.query = Some(query.to_owned());
        assert_eq!(stand.strategy().apply(&new, &old, None).await, failing.map(|()| Applied::Now), "{query}");
        assert_eq!(stand.accepted()?, [OLD], "{query}");
        assert_eq!(stand.strategy().verify(&old).await, failing, "{query}");
    }
    stand.server.query = Some("SELECT generate_series(1, 100000)".to_owned());
    assert_eq!(stand.strategy().verify(&old).await, Ok(()), "a long answer is not read to its end");
    stand.server.query = Some("SELECT id FROM orders LIMIT 1".to_owned());
    assert_eq!(stand.strategy().apply(&new, &old, None).await, Ok(Applied::Now));
    assert_eq!(stand.strategy().verify(&new).await, Ok(()));
    assert_eq!(stand.sql("SELECT count(*) FROM orders")?, "0");
    Ok(())
}

#[tokio::test]
async fn no_password_is_in_what_the_server_logs_although_it_logs_every_statement() -> Result<()> {
    let stand = Stand::new("in_the_log")?;
    let (old, new) = (stand.with(OLD), stand.with(NEW));
    let plain = reached(&stand.server, |endpoint| endpoint.tls = Tls::Disable);
    assert_eq!(SingleUser { server: &plain }.apply(&new, &old, None).await, Ok(Applied::Now));
    assert_eq!(stand.strategy().undo(&new, &old, None).await, Ok(Undone::Now));
    assert_eq!(stand.strategy().apply(&new, &old, None).await, Ok(Applied::Now));
    let log = stand.postgres.log()?;
    assert!(log.contains("ALTER ROLE SESSION_USER PASSWORD 'SCRAM-SHA-256$"), "the statements are there");
    for password in [OLD, NEW, THIRD] {
        for part in [password, &password[..8], &password[password.len() - 8..]] {
            assert!(!log.contains(part), "a password is in the log");
        }
    }
    Ok(())
}

#[tokio::test]
async fn passwords_of_every_kind_log_in_with_the_verifier_that_was_made_here() -> Result<()> {
    let stand = Stand::new("any_password")?;
    let mut current = OLD.to_owned();
    for next in ["'; DROP ROLE x; --", "naïve Ünicode パスワード", "\u{a0}soft\u{ad}hyphen", "x", &"long".repeat(60), "back\\slash\t tab"]
    {
        let (before, after) = (stand.with(&current), stand.with(next));
        assert_eq!(stand.strategy().apply(&after, &before, None).await, Ok(Applied::Now), "{next}");
        assert!(stand.postgres.accepts(&stand.role, next)?, "{next}");
        current = next.to_owned();
    }
    Ok(())
}
