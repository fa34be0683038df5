//! The administrator of two users that take turns acts for nobody who could not do the same without it. Whoever writes the
//! object chooses the names of both users and the values.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use rotated_secrets::strategy::postgres::AlternatingUsers;
use rotated_secrets::strategy::{Applied, Credential, Refused, Undone};
use testkit::postgres::Postgres;

use super::alternating::{ADMIN, Pair, refused, version};
use super::stand::{NEW, OLD, THIRD, credential, server};

/// Every role of the server that begins like this, with what it may do and whether its password is one that it was given.
fn roles(pair: &Pair) -> Result<String> {
    let sql = format!(
        "SELECT string_agg(concat_ws(' ', rolname, rolsuper, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, \
         rolconnlimit, md5(rolpassword), shobj_description(oid, 'pg_authid'), (SELECT string_agg(roleid::regrole::text, ',' ORDER BY roleid) FROM \
         pg_auth_members WHERE member = oid)), E'\\n' ORDER BY rolname) FROM pg_authid WHERE starts_with(rolname, '{}')",
        pair.base
    );
    pair.sql(&sql)
}

#[tokio::test]
async fn a_user_is_only_changed_for_those_who_have_its_password() -> Result<()> {
    let pair = Pair::new("proven")?;
    let strategy = pair.strategy();
    let before = roles(&pair)?;
    assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(THIRD), &version(1)).await, refused(Refused::NoPasswordAccepted));
    assert_eq!(strategy.apply(&pair.base(NEW), &pair.twin(THIRD), &version(1)).await, refused(Refused::NoPasswordAccepted));
    assert_eq!(strategy.undo(&pair.twin(NEW), &version(1), &pair.base(THIRD), None).await, refused(Refused::NoPasswordAccepted));
    assert_eq!(strategy.undo(&pair.base(NEW), &version(1), &pair.base(THIRD), None).await, refused(Refused::NoPasswordAccepted));
    assert_eq!(strategy.undo(&pair.base(NEW), &version(1), &pair.twin(THIRD), None).await, refused(Refused::NoPasswordAccepted));
    assert_eq!(roles(&pair)?, before, "nothing is changed");
    // A version that was not applied: the password that the user has is not taken away.
    assert_eq!(strategy.undo(&pair.base(NEW), &version(1), &pair.base(OLD), None).await, Ok(Undone::Nothing));
    assert_eq!(pair.accepted()?, [vec![OLD], vec![]]);
    Ok(())
}

#[tokio::test]
async fn users_with_privileges_of_an_administrator_do_not_take_turns() -> Result<()> {
    let pair = Pair::new("boss")?;
    // An administrator who may do everything.
    pair.sql("ALTER ROLE boss_admin SUPERUSER")?;
    for right in ["SUPERUSER", "CREATEROLE", "REPLICATION", "BYPASSRLS"] {
        pair.sql(&format!("ALTER ROLE boss NOSUPERUSER NOCREATEROLE NOREPLICATION NOBYPASSRLS; ALTER ROLE boss {right}"))?;
        let before = roles(&pair)?;
        let answer = pair.strategy().apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await;
        assert_eq!(answer, refused(Refused::BaseUserNotUsable), "{right}");
        let answer = pair.strategy().undo(&pair.base(NEW), &version(1), &pair.base(OLD), None).await;
        assert_eq!(answer, refused(Refused::BaseUserNotUsable), "{right}");
        assert_eq!(roles(&pair)?, before, "{right}");
    }
    // The administrator itself, and a role that the server reserves and into which nobody logs in.
    for (base, password, word) in [("boss_admin", ADMIN, Refused::BaseUserNotUsable), ("pg_monitor", OLD, Refused::NoPasswordAccepted)] {
        let twin = format!("{base}_clone");
        let strategy = AlternatingUsers { base, twin: &twin, ..pair.strategy() };
        let answer = strategy.apply(&credential(&twin, NEW), &credential(base, password), &version(1)).await;
        assert_eq!(answer, refused(word), "{base}");
    }
    // A group whose members work as it, each with a user of its own.
    pair.sql(
        "CREATE ROLE boss_group NOLOGIN; CREATE ROLE boss_group_clone LOGIN; GRANT boss_group TO boss_group_clone; ALTER ROLE \
         boss_group_clone SET role TO boss_group",
    )?;
    pair.postgres.set_password("boss_group_clone", OLD)?;
    let (base, twin) = ("boss_group", "boss_group_clone");
    let strategy = AlternatingUsers { base, twin, ..pair.strategy() };
    let answer = strategy.apply(&credential(base, NEW), &credential(twin, OLD), &version(1)).await;
    assert_eq!(answer, refused(Refused::BaseUserNotUsable));
    ensure!(!pair.postgres.accepts(base, NEW)? && pair.postgres.accepts(twin, OLD)?);
    Ok(())
}

#[tokio::test]
async fn no_other_role_becomes_the_second_user_by_its_name() -> Result<()> {
    let pair = Pair::new("name")?;
    pair.sql("ALTER ROLE name_admin SUPERUSER")?;
    pair.sql("CREATE ROLE name_rights NOLOGIN; CREATE ROLE name_other LOGIN; ALTER ROLE name_other PASSWORD 'of another'")?;
    let attempt = async |twin: &str| {
        let strategy = AlternatingUsers { twin, ..pair.strategy() };
        strategy.apply(&credential(twin, NEW), &pair.base(OLD), &version(9)).await
    };
    let marked = "COMMENT ON ROLE name_other IS '[rotated-secrets version one of 1000]'";
    for (what, sql) in [
        ("no member", "SELECT 1"),
        ("a member, but not made by the operator", "GRANT name TO name_other"),
        ("with a mark, as the base user of another object", marked),
        ("that works as the base user, without a mark", "COMMENT ON ROLE name_other IS NULL; ALTER ROLE name_other SET role TO name"),
        ("of another group, too", &format!("GRANT name_rights TO name_other; {marked}")),
        ("that administers the base user", "REVOKE name_rights FROM name_other; GRANT name TO name_other WITH ADMIN OPTION"),
    ] {
        pair.sql(sql)?;
        let before = roles(&pair)?;
        assert_eq!(attempt("name_other").await, refused(Refused::TwinNotUsable), "{what}");
        assert_eq!(roles(&pair)?, before, "{what}");
    }
    // Also with the suffix of AWS's functions.
    pair.sql("CREATE ROLE name_clone LOGIN; GRANT name, name_rights TO name_clone")?;
    assert_eq!(attempt("name_clone").await, refused(Refused::TwinNotUsable));
    pair.sql("REVOKE name_rights FROM name_clone")?;
    assert_eq!(attempt("name_clone").await, Ok(Applied::Now));
    // One that the operator made, with any suffix, goes on.
    for second in [1, 2] {
        let strategy = AlternatingUsers { twin: "name_2", ..pair.strategy() };
        let password = if second == 1 { NEW } else { THIRD };
        let answer = strategy.apply(&credential("name_2", password), &pair.base(OLD), &version(second)).await;
        assert_eq!(answer, Ok(Applied::Now), "{second}");
    }
    Ok(())
}

#[tokio::test]
async fn nothing_that_the_base_user_can_choose_runs_with_the_administrators_privileges() -> Result<()> {
    let pair = Pair::new("trap")?;
    pair.sql("ALTER ROLE trap_admin SUPERUSER; CREATE SCHEMA trap AUTHORIZATION trap")?;
    // Functions, casts by assignment and tables that a statement of an administrator could find first.
    let body = "BEGIN EXECUTE 'ALTER ROLE trap SUPERUSER'; RETURN $1; END";
    let mut traps = String::new();
    for (name, arguments) in [
        ("set_config", "text, text, boolean"),
        ("current_setting", "text, boolean"),
        ("current_setting", "text"),
        ("hashtext", "text"),
        ("shobj_description", "oid, name"),
    ] {
        let result = if name == "shobj_description" { "oid" } else { "text" };
        write!(traps, "CREATE FUNCTION trap.{name}({arguments}) RETURNS {result} LANGUAGE plpgsql AS $f$ {body} $f$;")?;
    }
    traps += "CREATE VIEW trap.pg_roles AS SELECT * FROM pg_catalog.pg_roles WHERE false;";
    traps +=
        "ALTER ROLE trap SET search_path TO trap, pg_catalog; ALTER ROLE trap IN DATABASE postgres SET search_path TO trap, pg_catalog;";
    traps += "ALTER ROLE trap SET default_transaction_read_only TO on; ALTER ROLE trap SET standard_conforming_strings TO off;";
    traps +=
        "ALTER ROLE trap SET \"DateStyle\" TO 'SQL, DMY'; ALTER ROLE trap SET application_name TO '\\''; ALTER ROLE trap SUPERUSER; --'";
    pair.postgres.sql_as("trap", OLD, &traps)?;
    pair.sql("COMMENT ON ROLE trap IS '''; ALTER ROLE trap SUPERUSER; --'")?;
    let strategy = pair.strategy();
    assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await, Ok(Applied::Now));
    assert_eq!(strategy.verify(&pair.twin(NEW)).await, Ok(()));
    assert_eq!(strategy.apply(&pair.base(THIRD), &pair.twin(NEW), &version(2)).await, Ok(Applied::Now));
    assert_eq!(strategy.apply(&pair.twin(OLD), &pair.base(THIRD), &version(3)).await, Ok(Applied::Now));
    assert_eq!(pair.sql("SELECT count(*) FROM pg_roles WHERE rolname IN ('trap', 'trap_clone') AND rolsuper")?, "0");
    ensure!(pair.comment("trap")?.starts_with("'; ALTER ROLE trap SUPERUSER; -- [rotated-secrets"), "{}", pair.comment("trap")?);
    Ok(())
}

#[tokio::test]
async fn the_password_of_the_administrator_is_shown_to_no_server() -> Result<()> {
    let postgres = Postgres::start()?;
    postgres.sql("postgres", "CREATE ROLE app LOGIN; CREATE ROLE boss LOGIN CREATEROLE; GRANT app TO boss WITH ADMIN OPTION")?;
    postgres.set_password("app", OLD)?;
    postgres.set_password("boss", ADMIN)?;
    let (verified, admin): (_, Credential) = (server(postgres.port(), postgres.ca()), credential("boss", ADMIN));
    let strategy = AlternatingUsers { server: &verified, admin: &admin, bound: false, base: "app", twin: "app_clone" };
    // The user itself sends its password to a server that was verified; the administrator trusts another person's choice.
    for method in ["password", "md5"] {
        postgres.sql(
            "postgres",
            &format!(
                "SET password_encryption TO {}; ALTER ROLE boss PASSWORD '{ADMIN}'",
                if method == "md5" { "md5" } else { "'scram-sha-256'" }
            ),
        )?;
        postgres.set_authentication(&format!("host all boss 127.0.0.1/32 {method}\nhost all all 127.0.0.1/32 scram-sha-256"))?;
        let answer = strategy.apply(&credential("app_clone", NEW), &credential("app", OLD), &version(1)).await;
        assert_eq!(answer, refused(Refused::WeakAuthentication), "{method}");
    }
    Ok(())
}

#[tokio::test]
async fn a_user_with_a_default_role_does_not_take_turns_and_another_database_has_no_say() -> Result<()> {
    let pair = Pair::new("defaulting")?;
    pair.sql("CREATE ROLE defaulting_role; GRANT defaulting_role TO defaulting")?;
    let before = roles(&pair)?;
    for (set, reset) in [
        ("ALTER ROLE defaulting SET role TO defaulting_role", "ALTER ROLE defaulting RESET role"),
        (
            "ALTER ROLE defaulting IN DATABASE template1 SET role TO defaulting_role",
            "ALTER ROLE defaulting IN DATABASE template1 RESET role",
        ),
    ] {
        pair.sql(set)?;
        let answer = pair.strategy().apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await;
        assert_eq!(answer, refused(Refused::DefaultRole), "{set}");
        assert_eq!(roles(&pair)?, before, "{set}: nothing is changed");
        pair.sql(reset)?;
    }
    pair.sql("ALTER DATABASE template1 SET role TO defaulting_role")?;
    let applied = pair.strategy().apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await;
    pair.sql("ALTER DATABASE template1 RESET role")?;
    assert_eq!(applied, Ok(Applied::Now), "nobody logs in there for this object");
    Ok(())
}
