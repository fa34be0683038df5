//! What the second user of MySQL and MariaDB may do, and that the administrator acts for nobody who could not do the same
//! without it. The author of the object chooses the names of both users and the values.

use anyhow::{Context as _, Result, ensure};
use rotated_secrets::strategy::mysql::AlternatingUsers;
use rotated_secrets::strategy::{Applied, Refused, Undone};
use testkit::mysql::{Kind, MySql};

use super::alternating::refused;
use super::mysql_pair::{Pair, version};
use super::stand::{NEW, OLD, THIRD, credential};

/// What the users of a pair have in the tables of the server.
fn users(pair: &Pair) -> Result<String> {
    let (table, base) = (if pair.kind == Kind::MySql { "mysql.user" } else { "mysql.global_priv" }, &pair.base);
    let users = pair.sql(&format!("SELECT * FROM {table} WHERE User LIKE '{base}%' ORDER BY User, Host"))?;
    let mut grants = pair.grants(base)?;
    if users.contains(&pair.twin) {
        grants.extend(pair.grants(&pair.twin).unwrap_or_default());
    }
    Ok(format!("{users}\n{grants:?}"))
}

#[tokio::test]
async fn the_second_user_has_the_privileges_and_the_settings_of_the_base_user_at_each_of_its_turns() -> Result<()> {
    for pair in Pair::both("copied")? {
        pair.sql(
            "CREATE ROLE copied_role, copied_other; GRANT copied_role TO copied_admin WITH ADMIN OPTION; GRANT copied_other TO copied_admin WITH ADMIN OPTION; GRANT copied_role TO copied; \
             GRANT copied_other TO copied WITH ADMIN OPTION; CREATE PROCEDURE copied.p() SELECT 1; REVOKE INSERT ON copied.* FROM copied; \
             GRANT SELECT (a), INSERT (a, b) ON copied.t TO copied; GRANT EXECUTE ON PROCEDURE copied.p TO copied WITH GRANT OPTION; \
             GRANT ALL PRIVILEGES ON `copied\\_\\%`.* TO copied; GRANT ALL PRIVILEGES ON `copied\\_\\%`.* TO copied_admin WITH GRANT OPTION; \
             GRANT PROCESS ON *.* TO copied; GRANT PROCESS ON *.* TO copied_admin WITH GRANT OPTION; \
             ALTER USER copied REQUIRE SSL WITH MAX_USER_CONNECTIONS 7 MAX_QUERIES_PER_HOUR 90000",
        )?;
        pair.sql(match pair.kind {
            Kind::MySql => "ALTER USER copied DEFAULT ROLE copied_role; GRANT XA_RECOVER_ADMIN ON *.* TO copied; GRANT XA_RECOVER_ADMIN ON *.* TO copied_admin WITH GRANT OPTION",
            Kind::MariaDb => "SET DEFAULT ROLE copied_role FOR copied; GRANT UPDATE ON mysql.* TO copied_admin; ALTER USER copied WITH MAX_STATEMENT_TIME 77",
        })?;
        let strategy = pair.strategy();
        assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await, Ok(Applied::Now), "{:?}", pair.kind);
        let settings =
            |user: &str| pair.sql(&format!("SELECT ssl_type, max_questions, max_user_connections FROM mysql.user WHERE User = '{user}'"));
        assert_eq!((pair.grants("copied_clone")?, settings("copied_clone")?), (pair.grants("copied")?, "ANY\t90000\t7".to_owned()));
        assert_eq!(strategy.verify(&pair.twin(NEW)).await, Ok(()));
        // What the default role gives.
        let current = pair.mysql.sql_as("copied_clone", NEW, "SELECT CURRENT_ROLE()")?;
        ensure!(current.contains("copied_role") && !current.contains("copied_other"), "{current}");
        // Between two turns, privileges and settings of the base user change.
        assert_eq!(strategy.apply(&pair.base(THIRD), &pair.twin(NEW), &version(2)).await, Ok(Applied::Now));
        pair.sql(
            "REVOKE SELECT (a) ON copied.t FROM copied; REVOKE copied_other FROM copied; GRANT copied_other TO copied; REVOKE ALL PRIVILEGES ON \
             `copied\\_\\%`.* FROM copied; GRANT SELECT ON `copied\\_\\%`.* TO copied WITH GRANT OPTION; GRANT UPDATE ON copied.* TO copied; \
             ALTER USER copied REQUIRE NONE WITH MAX_QUERIES_PER_HOUR 0; GRANT DELETE ON copied.* TO copied_clone",
        )?;
        assert_eq!(strategy.apply(&pair.twin(OLD), &pair.base(THIRD), &version(3)).await, Ok(Applied::Now), "{:?}", pair.kind);
        assert_eq!((pair.grants("copied_clone")?, settings("copied_clone")?), (pair.grants("copied")?, "\t0\t7".to_owned()));
        assert_eq!(strategy.verify(&pair.twin(OLD)).await, Ok(()));
    }
    Ok(())
}

#[tokio::test]
async fn a_user_that_may_do_less_than_the_other_one_is_not_verified() -> Result<()> {
    for pair in Pair::both("less")? {
        let strategy = pair.strategy();
        assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await, Ok(Applied::Now));
        for (changed, restored) in [
            ("REVOKE INSERT ON less.* FROM less_clone", "GRANT INSERT ON less.* TO less_clone"),
            ("GRANT DELETE ON less.* TO less_clone", "REVOKE DELETE ON less.* FROM less_clone"),
            ("ALTER USER less_clone WITH MAX_USER_CONNECTIONS 20", "ALTER USER less_clone WITH MAX_USER_CONNECTIONS 0"),
        ] {
            pair.sql(changed)?;
            assert_eq!(strategy.verify(&pair.twin(NEW)).await, refused(Refused::PrivilegesDiffer), "{changed} {:?}", pair.kind);
            // An attempt that is repeated completes it.
            assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await, Ok(Applied::Now), "{changed}");
            assert_eq!(strategy.verify(&pair.twin(NEW)).await, Ok(()), "{changed}");
            let _ = pair.sql(restored);
        }
        // The base user is not changed after the second one, but pods must not miss anything.
        assert_eq!(strategy.apply(&pair.base(THIRD), &pair.twin(NEW), &version(2)).await, Ok(Applied::Now));
        pair.sql("GRANT DELETE ON less.* TO less_clone; GRANT UPDATE ON less.* TO less")?;
        assert_eq!(strategy.verify(&pair.base(THIRD)).await, refused(Refused::PrivilegesDiffer));
        pair.sql("REVOKE DELETE ON less.* FROM less_clone")?;
        assert_eq!(strategy.verify(&pair.base(THIRD)).await, Ok(()), "it may do more");
    }
    Ok(())
}

#[tokio::test]
async fn each_host_of_the_user_has_an_account_of_the_second_one_if_the_password_works_there() -> Result<()> {
    for pair in Pair::both("hosts")? {
        pair.sql("CREATE USER hosts@'10.9.%' IDENTIFIED BY 'elsewhere', hosts@'10.8.0.1' IDENTIFIED BY 'x'; GRANT DELETE ON hosts.* TO hosts@'10.9.%', hosts@'10.8.0.1'")?;
        pair.set_password("hosts@'10.9.%'", OLD)?;
        let (strategy, query) = (pair.strategy(), "SELECT Host FROM mysql.user WHERE User = 'hosts_clone' ORDER BY Host");
        assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await, Ok(Applied::Now), "{:?}", pair.kind);
        assert_eq!(pair.sql(query)?, "%\n10.9.%", "the password of the third account is another one");
        ensure!(pair.sql("SHOW GRANTS FOR hosts_clone@'10.9.%'")?.contains("DELETE"), "each account has its own privileges");
        assert_eq!(strategy.verify(&pair.twin(NEW)).await, Ok(()));
        let hash = "SELECT SHA2(authentication_string, 256) FROM mysql.user WHERE User = 'hosts' AND Host = '10.8.0.1'";
        let before = pair.sql(hash)?;
        assert_eq!(strategy.apply(&pair.base(THIRD), &pair.twin(NEW), &version(2)).await, Ok(Applied::Now));
        assert_eq!(pair.sql(hash)?, before, "an account with another password is not changed");
        // Both accounts have the same password now: one of them is set back as by a crash of the server in between.
        pair.set_password("hosts@'10.9.%'", NEW)?;
        let answer = strategy.apply(&pair.base(THIRD), &pair.twin(NEW), &version(2)).await;
        assert_eq!(answer, Ok(Applied::Now), "it is completed, although the login succeeds");
        assert_eq!(strategy.apply(&pair.base(THIRD), &pair.twin(NEW), &version(2)).await, Ok(Applied::Already));
        // An account of the second user for a host that the first one does not have.
        pair.sql("CREATE USER hosts_clone@'10.7.%' IDENTIFIED BY 'x'")?;
        assert_eq!(strategy.apply(&pair.twin(OLD), &pair.base(THIRD), &version(3)).await, refused(Refused::TwinNotUsable));
        assert_eq!(pair.accepted()?, [vec![THIRD], vec![NEW]]);
    }
    Ok(())
}

#[tokio::test]
async fn a_clone_that_a_rotation_function_made_is_taken_over_if_it_has_nothing_more() -> Result<()> {
    for pair in Pair::both("taken")? {
        let strategy = pair.strategy();
        pair.sql("CREATE USER taken_clone IDENTIFIED BY 'x'; GRANT SELECT, INSERT, DELETE ON taken.* TO taken_clone")?;
        pair.set_password("taken_clone", THIRD)?;
        let before = users(&pair)?;
        assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await, refused(Refused::TwinNotUsable));
        assert_eq!(users(&pair)?, before, "nothing is changed");
        pair.sql("REVOKE DELETE, INSERT ON taken.* FROM taken_clone")?;
        // Also while it is in use.
        assert_eq!(strategy.apply(&pair.base(NEW), &pair.twin(THIRD), &version(1)).await, Ok(Applied::Now));
        assert_eq!(strategy.apply(&pair.twin(OLD), &pair.base(NEW), &version(2)).await, Ok(Applied::Now), "{:?}", pair.kind);
        assert_eq!(strategy.verify(&pair.twin(OLD)).await, Ok(()));
        assert_eq!(pair.grants("taken_clone")?, pair.grants("taken")?);
    }
    Ok(())
}

#[tokio::test]
async fn no_other_user_becomes_the_second_one_by_its_name() -> Result<()> {
    for pair in Pair::both("named")? {
        pair.sql("CREATE USER named_other IDENTIFIED BY 'of another'; GRANT SELECT ON named.* TO named_other")?;
        let before = users(&pair)?;
        let strategy = AlternatingUsers { twin: "named_other", ..pair.strategy() };
        let pending = credential("named_other", NEW);
        assert_eq!(strategy.apply(&pending, &pair.base(OLD), &version(1)).await, refused(Refused::TwinNotUsable), "{:?}", pair.kind);
        assert_eq!(strategy.undo(&pending, &version(1), &pair.base(OLD), None).await, refused(Refused::TwinNotUsable));
        assert_eq!(users(&pair)?, before, "nothing is changed");
        // The second user of another pair has a mark, but not of this one.
        let other = AlternatingUsers { twin: "named_third", ..pair.strategy() };
        assert_eq!(other.apply(&credential("named_third", NEW), &pair.base(OLD), &version(2)).await, Ok(Applied::Now));
        let (base, twin) = ("named_third", "named_other");
        let crossed = AlternatingUsers { base, twin, ..pair.strategy() };
        assert_eq!(crossed.apply(&credential(twin, NEW), &credential(base, NEW), &version(3)).await, refused(Refused::TwinNotUsable));
        let stranger = credential("root", NEW);
        assert_eq!(strategy.apply(&stranger, &pair.base(OLD), &version(1)).await, refused(Refused::UserChanged));
        assert_eq!(strategy.apply(&pending, &stranger, &version(1)).await, refused(Refused::UserChanged));
        assert_eq!(strategy.verify(&stranger).await, refused(Refused::UserChanged));
    }
    Ok(())
}

#[tokio::test]
async fn a_user_is_only_changed_for_those_who_have_its_password() -> Result<()> {
    for pair in Pair::both("proven")? {
        let strategy = pair.strategy();
        let before = users(&pair)?;
        let no = || refused(Refused::NoPasswordAccepted);
        assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(THIRD), &version(1)).await, no());
        assert_eq!(strategy.apply(&pair.base(NEW), &pair.base(THIRD), &version(1)).await, no());
        for (pending, current) in [(pair.twin(NEW), pair.base(THIRD)), (pair.base(NEW), pair.base(THIRD))] {
            let answer = strategy.undo(&pending, &version(1), &current, None).await;
            assert_eq!(answer, refused(Refused::NoPasswordAccepted));
        }
        assert_eq!(users(&pair)?, before, "nothing is changed");
        // A version that was not applied: the password that the user has is not taken away.
        assert_eq!(strategy.undo(&pair.base(NEW), &version(1), &pair.base(OLD), None).await, Ok(Undone::Nothing));
        assert_eq!(strategy.undo(&pair.twin(NEW), &version(1), &pair.base(OLD), None).await, Ok(Undone::Nothing), "it does not exist");
        assert_eq!(pair.accepted()?, [vec![OLD], vec![]]);
    }
    Ok(())
}

#[tokio::test]
async fn users_with_privileges_of_an_administrator_or_that_cannot_be_copied_do_not_take_turns() -> Result<()> {
    for pair in Pair::both("boss")? {
        let strategy = pair.strategy();
        for (right, word) in [
            ("CREATE USER ON *.*", Refused::BaseUserNotUsable),
            ("SUPER ON *.*", Refused::BaseUserNotUsable),
            ("UPDATE ON mysql.*", Refused::BaseUserNotUsable),
            ("PROXY ON boss_admin", Refused::GrantNotCopied),
        ] {
            pair.sql(&format!("GRANT {right} TO boss"))?;
            let before = users(&pair)?;
            let answer = strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await;
            assert_eq!(answer, refused(word), "{right} {:?}", pair.kind);
            assert_eq!(strategy.undo(&pair.base(NEW), &version(1), &pair.base(OLD), None).await, refused(word), "{right}");
            assert_eq!(users(&pair)?, before, "{right}");
            pair.sql(&format!("REVOKE {right} FROM boss"))?;
        }
        assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await, Ok(Applied::Now));
        // The operator's mark does not make it one: another client gave it more.
        pair.sql("GRANT CREATE USER ON *.* TO boss_clone")?;
        assert_eq!(strategy.apply(&pair.base(THIRD), &pair.twin(NEW), &version(2)).await, Ok(Applied::Now));
        assert_eq!(strategy.verify(&pair.base(THIRD)).await, refused(Refused::PrivilegesDiffer));
        let answer = strategy.apply(&pair.twin(OLD), &pair.base(THIRD), &version(3)).await;
        assert_eq!(answer, refused(Refused::AdminNotPermitted), "the administrator may not take that away");
    }
    Ok(())
}

#[tokio::test]
async fn a_revoke_within_a_privilege_is_not_lost() -> Result<()> {
    if !Kind::here().contains(&Kind::MySql) {
        return Ok(());
    }
    let mysql = MySql::start_with(Kind::MySql, &["--partial-revokes=ON"])?;
    mysql.sql(
        "CREATE USER app IDENTIFIED BY 'right', boss IDENTIFIED BY 'boss'; GRANT SELECT ON *.* TO app; REVOKE SELECT ON mysql.* FROM app; GRANT CREATE \
         USER ON *.* TO boss; GRANT SELECT ON *.* TO boss WITH GRANT OPTION",
    )?;
    let (server, admin) = (super::mysql_stand::server(&mysql), credential("boss", "boss"));
    let strategy = AlternatingUsers { server: &server, admin: &admin, bound: false, base: "app", twin: "app_clone" };
    let answer = strategy.apply(&credential("app_clone", NEW), &credential("app", "right"), &version(1)).await;
    assert_eq!(answer, refused(Refused::GrantNotCopied));
    ensure!(mysql.sql("SELECT COUNT(*) FROM mysql.user WHERE User = 'app_clone'")? == "0");
    Ok(())
}

#[tokio::test]
async fn the_privileges_of_the_administrator_on_the_page_are_enough() -> Result<()> {
    const PAGE: &str = include_str!("../../../docs/rotation-mysql.md");
    let sql = PAGE.split("```sql\n").nth(2).and_then(|rest| rest.split("```").next()).context("a block of SQL")?;
    for kind in Kind::here() {
        let mysql = MySql::shared(kind)?;
        mysql.sql("CREATE SCHEMA IF NOT EXISTS shop; DROP USER IF EXISTS shop, shop_clone, mysql_admin; CREATE USER shop IDENTIFIED BY 'first'; GRANT SELECT, UPDATE ON shop.* TO shop")?;
        mysql.sql(sql)?;
        let (server, admin) = (super::mysql_stand::server(mysql), credential("mysql_admin", "changed-by-the-first-rotation"));
        let strategy = AlternatingUsers { server: &server, admin: &admin, bound: false, base: "shop", twin: "shop_clone" };
        let (first, second, third) = (credential("shop", "first"), credential("shop_clone", NEW), credential("shop", THIRD));
        assert_eq!(strategy.apply(&second, &first, &version(1)).await, Ok(Applied::Now), "{kind:?}");
        assert_eq!(strategy.verify(&second).await, Ok(()));
        assert_eq!(strategy.apply(&third, &second, &version(2)).await, Ok(Applied::Now));
        assert_eq!(strategy.undo(&third, &version(2), &second, None).await, Ok(Undone::Now));
        assert_eq!(strategy.retire(&first, &second, &version(1)).await, Ok(()));
    }
    Ok(())
}
