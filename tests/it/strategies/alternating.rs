//! Two users that take turns, on a real server.

use anyhow::{Result, ensure};
use jiff::Timestamp;
use rotated_secrets::strategy::postgres::{AlternatingUsers, Server};
use rotated_secrets::strategy::{Applied, Credential, Fence, Problem, Refused, Undone};
use testkit::postgres::Postgres;

use super::stand::{NEW, OLD, THIRD, credential, server};

/// A base user that logs in with [`OLD`], and an administrator who may create roles and no more.
pub(super) struct Pair {
    pub(super) postgres: &'static Postgres,
    pub(super) base: String,
    pub(super) twin: String,
    pub(super) admin: Credential,
    pub(super) server: Server,
}

pub(super) const ADMIN: &str = "canaryAdmin-8wL1;q5";

impl Pair {
    pub(super) fn new(base: &str) -> Result<Self> {
        let postgres = Postgres::shared()?;
        let (twin, admin) = (format!("{base}_clone"), format!("{base}_admin"));
        postgres.sql(
            "postgres",
            &format!("CREATE ROLE {base} LOGIN; CREATE ROLE {admin} LOGIN CREATEROLE; GRANT {base} TO {admin} WITH ADMIN OPTION"),
        )?;
        postgres.set_password(base, OLD)?;
        postgres.set_password(&admin, ADMIN)?;
        let server = server(postgres.port(), postgres.ca());
        Ok(Self { postgres, base: base.to_owned(), twin, admin: credential(&admin, ADMIN), server })
    }

    pub(super) fn strategy(&self) -> AlternatingUsers<'_> {
        AlternatingUsers { server: &self.server, admin: &self.admin, bound: true, base: &self.base, twin: &self.twin }
    }

    pub(super) fn base(&self, password: &str) -> Credential {
        credential(&self.base, password)
    }

    pub(super) fn twin(&self, password: &str) -> Credential {
        credential(&self.twin, password)
    }

    pub(super) fn sql(&self, sql: &str) -> Result<String> {
        self.postgres.sql("postgres", sql)
    }

    pub(super) fn comment(&self, role: &str) -> Result<String> {
        self.sql(&format!("SELECT shobj_description('{role}'::regrole, 'pg_authid')"))
    }

    /// Of the passwords of the base user and of the second one, those that the server accepts.
    pub(super) fn accepted(&self) -> Result<[Vec<&'static str>; 2]> {
        let of = |user: &str| -> Result<Vec<&'static str>> {
            let mut accepted = Vec::new();
            for password in [OLD, NEW, THIRD] {
                if self.postgres.accepts(user, password)? {
                    accepted.push(password);
                }
            }
            Ok(accepted)
        };
        Ok([of(&self.base)?, of(&self.twin)?])
    }
}

/// The version that was created at this second.
pub(super) fn version(second: i64) -> Fence {
    Fence { version: format!("version-{second}"), created: Timestamp::from_second(second).unwrap() }
}

pub(super) fn refused<T>(refused: Refused) -> Result<T, Problem> {
    Err(Problem::Refused(refused))
}

#[tokio::test]
async fn the_users_take_turns_and_the_password_before_keeps_working() -> Result<()> {
    let pair = Pair::new("turns")?;
    let strategy = pair.strategy();
    assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await, Ok(Applied::Now));
    assert_eq!(pair.accepted()?, [vec![OLD], vec![NEW]]);
    assert_eq!(strategy.verify(&pair.twin(NEW)).await, Ok(()));
    assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await, Ok(Applied::Already));
    assert_eq!(strategy.apply(&pair.base(THIRD), &pair.twin(NEW), &version(2)).await, Ok(Applied::Now));
    assert_eq!(pair.accepted()?, [vec![THIRD], vec![NEW]]);
    assert_eq!(strategy.verify(&pair.base(THIRD)).await, Ok(()));
    assert_eq!(strategy.apply(&pair.twin(OLD), &pair.base(THIRD), &version(3)).await, Ok(Applied::Now));
    assert_eq!(pair.accepted()?, [vec![THIRD], vec![OLD]]);
    let comments = "SELECT string_agg(shobj_description(oid, 'pg_authid'), ',' ORDER BY rolname) FROM pg_roles WHERE rolname IN ('turns', 'turns_clone')";
    assert_eq!(pair.sql(comments)?, "[rotated-secrets version version-2 of 2000],[rotated-secrets version version-3 of 3000]");
    Ok(())
}

#[tokio::test]
async fn the_second_user_works_as_the_base_user_and_has_its_settings() -> Result<()> {
    let pair = Pair::new("works_as")?;
    pair.sql(
        "ALTER ROLE works_as CONNECTION LIMIT 7 VALID UNTIL '2099-01-01 00:00:00+00'; ALTER ROLE works_as SET search_path TO \"$user\", public, \
         \"Odd, schema\"; ALTER ROLE works_as IN DATABASE postgres SET statement_timeout TO '77s'; \
         GRANT CREATE ON SCHEMA public TO works_as",
    )?;
    let strategy = pair.strategy();
    assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await, Ok(Applied::Now));
    assert_eq!(strategy.verify(&pair.twin(NEW)).await, Ok(()));
    let settings = |role: &str| {
        pair.sql(&format!(
            "SELECT rolconnlimit, rolvaliduntil, (SELECT string_agg(coalesce(datname, 'all') || ' ' || setting, ';' ORDER BY setting) FROM \
             pg_db_role_setting CROSS JOIN unnest(setconfig) setting LEFT JOIN pg_database d ON d.oid = setdatabase WHERE setrole = r.oid AND \
             setting NOT LIKE 'role=%') FROM pg_roles r WHERE rolname = '{role}'"
        ))
    };
    let copied = settings("works_as")?;
    ensure!(copied.contains("Odd, schema") && copied.contains("77s") && copied.starts_with("7|2099"), "{copied}");
    assert_eq!(settings("works_as_clone")?, copied);
    // What is not set any more is not kept.
    pair.sql("ALTER ROLE works_as RESET ALL; ALTER ROLE works_as IN DATABASE postgres RESET ALL; ALTER ROLE works_as CONNECTION LIMIT -1")?;
    assert_eq!(strategy.apply(&pair.twin(THIRD), &pair.base(OLD), &version(2)).await, Ok(Applied::Now));
    assert_eq!(settings("works_as_clone")?, settings("works_as")?);
    // A parameter that only a superuser may set.
    pair.sql("ALTER ROLE works_as SET app.tenant TO 'it''s'")?;
    assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(3)).await, refused(Refused::SettingNotCopied));
    pair.sql("ALTER ROLE works_as RESET ALL")?;
    // What the second user makes belongs to the base user.
    pair.postgres.sql_as(&pair.twin, THIRD, "CREATE TABLE public.made_by_twin ()")?;
    assert_eq!(pair.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'made_by_twin'")?, "works_as");
    // Somebody takes the role setting away: it would work with other privileges.
    pair.sql("ALTER ROLE works_as_clone RESET role")?;
    assert_eq!(strategy.verify(&pair.twin(THIRD)).await, refused(Refused::WrongUser));
    Ok(())
}

#[tokio::test]
async fn a_replica_that_wakes_up_late_can_set_no_older_and_no_withdrawn_version() -> Result<()> {
    let pair = Pair::new("late")?;
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
    Ok(())
}

#[tokio::test]
async fn a_version_that_reaches_the_server_after_it_was_abandoned_is_refused() -> Result<()> {
    let pair = Pair::new("before")?;
    let strategy = pair.strategy();
    // The user exists; the version was never applied. What the user had before keeps working.
    assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await, Ok(Applied::Now));
    assert_eq!(strategy.undo(&pair.twin(THIRD), &version(2), &pair.base(OLD), None).await, Ok(Undone::Nothing));
    assert_eq!(strategy.undo(&pair.twin(THIRD), &version(2), &pair.base(OLD), None).await, Ok(Undone::Nothing));
    assert_eq!(strategy.apply(&pair.twin(THIRD), &pair.base(OLD), &version(2)).await, refused(Refused::Superseded));
    assert_eq!(pair.accepted()?, [vec![OLD], vec![NEW]]);
    // A version with the password that the user has: a rollback. It is abandoned, and the password stays that of the other version.
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
    pair.postgres.set_password(&pair.base, "set by another person")?;
    assert_eq!(strategy.undo(&pair.twin(THIRD), &version(2), &pair.base(OLD), None).await, refused(Refused::NoPasswordAccepted));
    Ok(())
}

#[tokio::test]
async fn a_clone_that_a_rotation_function_made_is_taken_over_if_it_has_nothing_of_its_own() -> Result<()> {
    let pair = Pair::new("taken")?;
    let strategy = pair.strategy();
    pair.sql("CREATE ROLE taken_clone LOGIN; GRANT taken TO taken_clone; COMMENT ON ROLE taken_clone IS 'of the shop'; CREATE TABLE own (); ALTER TABLE own OWNER TO taken_clone")?;
    pair.postgres.set_password(&pair.twin, THIRD)?;
    assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await, refused(Refused::TwinNotUsable));
    assert_eq!(pair.accepted()?, [vec![OLD], vec![THIRD]], "nothing is changed");
    pair.sql("REASSIGN OWNED BY taken_clone TO taken")?;
    if pair.postgres.major()? >= 16 {
        assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await, refused(Refused::AdminNotPermitted));
        assert_eq!(pair.accepted()?, [vec![OLD], vec![THIRD]], "nothing is changed");
    }
    pair.postgres.let_administer("taken_admin", "taken_clone")?;
    assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await, Ok(Applied::Now));
    assert_eq!(strategy.verify(&pair.twin(NEW)).await, Ok(()));
    assert_eq!(pair.comment("taken_clone")?, "of the shop [rotated-secrets version version-1 of 1000]");
    Ok(())
}

#[tokio::test]
async fn no_user_is_touched_that_is_more_than_the_base_user() -> Result<()> {
    let pair = Pair::new("less")?;
    let strategy = pair.strategy();
    for right in ["SUPERUSER", "CREATEROLE", "CREATEDB", "REPLICATION", "BYPASSRLS"] {
        pair.sql(&format!("DROP ROLE IF EXISTS less_clone; CREATE ROLE less_clone LOGIN {right}; GRANT less TO less_clone"))?;
        // For a superuser, the administrator of this test may not even change the role.
        let answer = strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await;
        assert_eq!(answer, refused(Refused::TwinNotUsable), "{right}");
    }
    assert_eq!(pair.accepted()?, [vec![OLD], vec![]]);
    let stranger = credential("postgres", NEW);
    assert_eq!(strategy.apply(&stranger, &pair.base(OLD), &version(1)).await, refused(Refused::UserChanged));
    assert_eq!(strategy.apply(&pair.twin(NEW), &stranger, &version(1)).await, refused(Refused::UserChanged));
    // The server would take the name of a second user that is too long for another one.
    let (base, twin) = ("u".repeat(63), format!("{}_clone", "u".repeat(63)));
    let long = AlternatingUsers { base: &base, twin: &twin, ..strategy };
    assert_eq!(long.apply(&credential(&twin, NEW), &credential(&base, OLD), &version(1)).await, refused(Refused::UserChanged));
    assert_eq!(long.undo(&credential(&twin, NEW), &version(1), &credential(&base, OLD), None).await, refused(Refused::UserChanged));
    Ok(())
}

#[tokio::test]
async fn the_server_and_the_administrator_are_told_apart() -> Result<()> {
    let pair = Pair::new("told")?;
    let wrong = credential("told_admin", "another password");
    let apply = async |admin: &Credential, base: &str| {
        let twin = format!("{base}_clone");
        let strategy = AlternatingUsers { server: &pair.server, admin, bound: true, base, twin: &twin };
        strategy.apply(&credential(&twin, NEW), &credential(base, OLD), &version(1)).await
    };
    assert_eq!(apply(&wrong, "told").await, refused(Refused::AdminRefused));
    assert_eq!(apply(&pair.admin, "nobody_here").await, refused(Refused::NoPasswordAccepted));
    pair.sql("CREATE ROLE told_weak LOGIN")?;
    pair.postgres.set_password("told_weak", ADMIN)?;
    assert_eq!(apply(&credential("told_weak", ADMIN), "told").await, refused(Refused::AdminNotPermitted));
    assert_eq!(apply(&pair.admin, "told").await, Ok(Applied::Now));
    pair.sql("DROP ROLE told")?;
    let answer = pair.strategy().apply(&pair.base(THIRD), &pair.twin(NEW), &version(2)).await;
    assert_eq!(answer, refused(Refused::BaseUserMissing));
    Ok(())
}

#[tokio::test]
async fn names_and_passwords_that_would_end_a_statement_are_only_text() -> Result<()> {
    let pair = Pair::new("odd_names")?;
    let (base, twin) = ("odd\"; DROP ROLE odd_names; --'", "odd\"; DROP ROLE odd_names; --'_clone");
    pair.sql("CREATE ROLE \"odd\"\"; DROP ROLE odd_names; --'\" LOGIN")?;
    pair.postgres.set_password("\"odd\"\"; DROP ROLE odd_names; --'\"", OLD)?;
    pair.postgres.let_administer("odd_names_admin", "\"odd\"\"; DROP ROLE odd_names; --'\"")?;
    let strategy = AlternatingUsers { server: &pair.server, admin: &pair.admin, bound: true, base, twin };
    let pending = credential(twin, "'; DROP ROLE odd_names; --");
    assert_eq!(strategy.apply(&pending, &credential(base, OLD), &version(1)).await, Ok(Applied::Now));
    assert_eq!(strategy.verify(&pending).await, Ok(()));
    assert_eq!(pair.accepted()?[0], [OLD]);
    Ok(())
}

#[tokio::test]
async fn no_password_of_three_users_is_in_what_the_server_logs() -> Result<()> {
    let pair = Pair::new("pair_log")?;
    let strategy = pair.strategy();
    assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await, Ok(Applied::Now));
    assert_eq!(strategy.verify(&pair.twin(NEW)).await, Ok(()));
    assert_eq!(strategy.undo(&pair.twin(NEW), &version(1), &pair.base(OLD), None).await, Ok(Undone::Now));
    let log = pair.postgres.log()?;
    ensure!(log.contains("ALTER ROLE \"pair_log_clone\" LOGIN PASSWORD 'SCRAM-SHA-256$"), "the statements are there");
    for password in [OLD, NEW, ADMIN] {
        for part in [password, &password[..8], &password[password.len() - 8..]] {
            ensure!(!log.contains(part), "a password is in the log");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_check_is_one_login_of_the_user_in_use_without_the_administrator() -> Result<()> {
    let pair = Pair::new("checked")?;
    let users = [pair.base.as_str(), pair.twin.as_str()];
    let check = async |current: &Credential| AlternatingUsers::check(&pair.server, users, current).await;
    pair.sql("ALTER ROLE checked_admin NOLOGIN")?;
    assert_eq!(check(&pair.base(OLD)).await, Ok(()));
    assert_eq!(check(&pair.base(NEW)).await, Err(Problem::Refused(Refused::PasswordRefused)));
    assert_eq!(check(&pair.twin(OLD)).await, Err(Problem::Refused(Refused::PasswordRefused)), "there is none");
    assert_eq!(check(&credential("postgres", OLD)).await, Err(Problem::Refused(Refused::UserChanged)));
    let log = pair.postgres.log()?;
    assert_eq!(log.matches("connection authorized: user=checked ").count(), 1);
    ensure!(!log.contains("user=postgres database=postgres application_name=rotated-secrets"), "another user is not asked");
    Ok(())
}
