//! A trial of a rotation changes nothing, and says what the rotation after it does.

use anyhow::{Result, ensure};
use jiff::Timestamp;
use rotated_secrets::strategy::{Applied, Fence, Problem, Refused};
use testkit::mysql::Kind;
use testkit::postgres::Postgres;

use super::alternating::{self, Pair as PostgresPair};
use super::mysql_pair::{self, Pair as MySqlPair};
use super::mysql_stand;
use super::stand::{NEW, OLD, Stand, server};

const NOW: i64 = 1_900_000_000;

/// A version that is later than the ones of the tests.
fn now() -> Fence {
    Fence { version: String::new(), created: Timestamp::from_second(NOW).unwrap() }
}

const fn refused(refused: Refused) -> Problem {
    Problem::Refused(refused)
}

#[tokio::test]
async fn a_role_that_may_change_its_password_is_told_from_one_at_a_standby_or_with_another_password() -> Result<()> {
    let stand = Stand::new("tried")?;
    let (old, new) = (stand.with(OLD), stand.with(NEW));
    let stored = "SELECT rolpassword FROM pg_authid WHERE rolname = 'tried'";
    let before = stand.sql(stored)?;
    assert_eq!(stand.strategy().try_rotation(&old).await, Ok(()));
    assert_eq!(stand.sql(stored)?, before, "the present password was set in a transaction that was rolled back");
    assert_eq!(stand.strategy().try_rotation(&new).await, Err(refused(Refused::PasswordRefused)));
    let own = Postgres::start()?;
    own.sql("postgres", "CREATE ROLE tried LOGIN")?;
    own.set_password("tried", OLD)?;
    own.sql("postgres", "ALTER ROLE tried SET default_transaction_read_only TO on")?;
    let server = server(own.port(), own.ca());
    let single = rotated_secrets::strategy::postgres::SingleUser { server: &server };
    let tried = single.try_rotation(&old).await;
    assert_eq!(tried, single.apply(&new, &old, None).await.map(drop));
    Ok(())
}

/// The roles, their passwords and marks.
fn roles(pair: &PostgresPair) -> Result<String> {
    let base = &pair.base;
    pair.sql(&format!(
        "SELECT string_agg(rolname || coalesce(rolpassword, '') || rolcanlogin || coalesce(shobj_description(oid, 'pg_authid'), ''), ',' ORDER \
         BY rolname) FROM pg_authid WHERE rolname LIKE '{base}%'"
    ))
}

#[tokio::test]
async fn what_keeps_a_postgresql_administrator_from_a_rotation_is_said_by_a_trial() -> Result<()> {
    let version = Postgres::shared()?.sql("postgres", "SHOW server_version_num")?;
    let needs_admin_option = version.trim().parse::<u32>()? >= 160_000;
    for (name, spoil, word) in [
        ("tried_fit", "", None),
        ("tried_plain", "ALTER ROLE tried_plain_admin NOCREATEROLE", Some(Refused::AdminNotPermitted)),
        // From PostgreSQL 16 on, CREATEROLE alone is not enough.
        ("tried_grant", "REVOKE tried_grant FROM tried_grant_admin", Some(Refused::AdminNotPermitted).filter(|_| needs_admin_option)),
        ("tried_login", "ALTER ROLE tried_login_admin PASSWORD NULL", Some(Refused::AdminRefused)),
        ("tried_twin", "CREATE ROLE tried_twin_clone LOGIN CREATEDB", Some(Refused::TwinNotUsable)),
        ("tried_super", "ALTER ROLE tried_super SUPERUSER", Some(Refused::BaseUserNotUsable)),
        ("tried_role", "ALTER ROLE tried_role SET role TO pg_monitor", Some(Refused::DefaultRole)),
    ] {
        let pair = PostgresPair::new(name)?;
        pair.sql(spoil)?;
        let before = roles(&pair)?;
        let tried = pair.strategy().try_rotation(&pair.base(OLD), &now()).await;
        assert_eq!(roles(&pair)?, before, "{name}");
        assert_eq!(tried.err(), word.map(refused), "{name}");
        let applied = pair.strategy().apply(&pair.twin(NEW), &pair.base(OLD), &alternating::version(1)).await;
        assert_eq!(applied.err(), tried.err(), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn a_trial_between_two_turns_keeps_no_later_version_out() -> Result<()> {
    let pair = PostgresPair::new("tried_turns")?;
    let strategy = pair.strategy();
    strategy.apply(&pair.twin(NEW), &pair.base(OLD), &alternating::version(1)).await.map_err(|problem| anyhow::anyhow!("{problem:?}"))?;
    // The next version was abandoned, so the mark of its user is later than the current one.
    let abandoned = strategy.undo(&pair.base(NEW), &alternating::version(2), &pair.twin(NEW), Some(&pair.base(OLD))).await;
    ensure!(abandoned.is_ok(), "{abandoned:?}");
    let before = roles(&pair)?;
    assert_eq!(strategy.try_rotation(&pair.twin(NEW), &now()).await, Ok(()));
    assert_eq!(roles(&pair)?, before);
    assert_eq!(strategy.apply(&pair.base(NEW), &pair.twin(NEW), &alternating::version(3)).await, Ok(Applied::Now));
    Ok(())
}

#[tokio::test]
async fn one_user_of_mysql_is_tried_without_a_change() -> Result<()> {
    for stand in mysql_stand::Stand::both("tried_one")? {
        let kind = stand.mysql.kind();
        let old = stand.with(OLD);
        assert_eq!(stand.single().try_rotation(&old).await, Ok(()), "{kind:?}");
        assert_eq!(stand.single().try_rotation(&stand.with(NEW)).await, Err(refused(Refused::PasswordRefused)), "{kind:?}");
        let without = if kind == Kind::MySql { Refused::NotPermitted } else { Refused::DualPasswordUnsupported };
        assert_eq!(stand.dual().try_rotation(&old).await, Err(refused(without)), "{kind:?}");
        if kind == Kind::MySql {
            stand.sql("GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO tried_one")?;
            assert_eq!(stand.dual().try_rotation(&old).await, Ok(()));
            stand.sql(
                "REVOKE APPLICATION_PASSWORD_ADMIN ON *.* FROM tried_one; CREATE ROLE tried_role; GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO \
                 tried_role; GRANT tried_role TO tried_one; SET DEFAULT ROLE tried_role TO tried_one",
            )?;
            let tried = stand.dual().try_rotation(&old).await;
            assert_eq!(stand.dual().apply(&stand.with(NEW), &old, None).await.map(drop), tried, "by a role");
            assert_eq!(tried, Ok(()));
            stand.reset(OLD)?;
        }
        assert_eq!(stand.accepted()?, [OLD], "{kind:?}");
    }
    Ok(())
}

/// All accounts of the pair, as the server stores them, and what they may do.
fn accounts(pair: &MySqlPair) -> Result<String> {
    let base = &pair.base;
    let stored = pair.sql(&format!("SELECT * FROM mysql.user WHERE User LIKE '{base}%' OR User LIKE 'rs-%'"))?;
    Ok(stored + &pair.grants(base)?.join("\n") + &pair.marks(base)?)
}

#[tokio::test]
async fn what_keeps_a_mysql_administrator_from_a_rotation_is_said_by_a_trial() -> Result<()> {
    for (name, spoil, word) in [
        ("mtfit", "", None),
        ("mtcreate", "REVOKE CREATE USER ON *.* FROM mtcreate_admin", Some(Refused::AdminNotPermitted)),
        ("mtgrant", "REVOKE GRANT OPTION ON mtgrant.* FROM mtgrant_admin", Some(Refused::AdminNotPermitted)),
        ("mtother", "GRANT DELETE ON testkit.* TO mtother", Some(Refused::AdminNotPermitted)),
        ("mtwide", "GRANT DELETE ON testkit.* TO mtwide; GRANT DELETE ON *.* TO mtwide_admin WITH GRANT OPTION", None),
        ("mtall", "GRANT ALL PRIVILEGES ON mtall.* TO mtall; GRANT ALL PRIVILEGES ON *.* TO mtall_admin WITH GRANT OPTION", None),
        ("mtcolumn", "GRANT UPDATE (a) ON mtcolumn.t TO mtcolumn", None),
        ("mttwin", "CREATE USER mttwin_clone; GRANT DELETE ON mttwin.* TO mttwin_clone", Some(Refused::TwinNotUsable)),
        ("mtsuper", "GRANT CREATE USER ON *.* TO mtsuper", Some(Refused::BaseUserNotUsable)),
    ] {
        for pair in MySqlPair::both(name)? {
            let kind = pair.kind;
            pair.sql("CREATE SCHEMA IF NOT EXISTS testkit")?;
            pair.sql(spoil)?;
            let before = accounts(&pair)?;
            let tried = pair.strategy().try_rotation(&pair.base(OLD)).await;
            assert_eq!(accounts(&pair)?, before, "{kind:?} {name}");
            assert_eq!(tried.err(), word.map(refused), "{kind:?} {name}");
            let applied = pair.strategy().apply(&pair.twin(NEW), &pair.base(OLD), &mysql_pair::version(1)).await;
            assert_eq!(applied.err(), tried.err(), "{kind:?} {name}");
            if tried.is_ok() {
                // Nothing has to be granted for the next turns.
                pair.sql(&format!("REVOKE GRANT OPTION ON {name}.* FROM {name}_admin"))?;
                assert_eq!(pair.strategy().try_rotation(&pair.twin(NEW)).await, Ok(()), "{kind:?} {name}");
                // The turn of the base user, which has to have what the other one has.
                pair.sql(&format!("GRANT INDEX ON testkit.* TO {name}_clone"))?;
                let differ = Err(refused(Refused::PrivilegesDiffer));
                assert_eq!(pair.strategy().try_rotation(&pair.twin(NEW)).await, differ, "{kind:?} {name}");
            }
        }
    }
    Ok(())
}
