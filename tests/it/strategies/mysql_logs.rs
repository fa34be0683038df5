//! A MySQL and a MariaDB that log all they can: no password is in a log, in the tables of statements, or in another file of the
//! server, whatever becomes of the statement.

use anyhow::{Result, ensure};
use rotated_secrets::strategy::mysql::{DualPassword, Server, SingleUser};
use rotated_secrets::strategy::{Applied, Credential, Problem, Refused, Undone};
use testkit::mysql::{Kind, MySql};

use super::mysql_pair::{ADMIN, Pair, version};
use super::mysql_stand::{identified_by, server};
use super::stand::{NEW, OLD, THIRD, credential};

const USER: &str = "logged_dual";
/// Every log with all that it can have.
const VERBOSE: [&str; 10] = [
    "--slow-query-log=ON",
    "--long-query-time=0",
    "--log-slow-admin-statements=ON",
    "--log-queries-not-using-indexes=ON",
    "--log-bin=binary",
    "--performance-schema=ON",
    "--performance-schema-instrument=statement/%=ON",
    "--performance-schema-consumer-events-statements-current=ON",
    "--performance-schema-consumer-events-statements-history=ON",
    "--performance-schema-consumer-events-statements-history-long=ON",
];

fn options(kind: Kind) -> Vec<&'static str> {
    let own = match kind {
        Kind::MySql => ["--log-error-verbosity=3", "--log-slow-extra=ON"],
        Kind::MariaDb => ["--log-warnings=9", "--log-slow-verbosity=full"],
    };
    [&VERBOSE[..], &own].concat()
}

/// No file of the server and no table of its statements has a password. `shown`: what is in the slow log and in the tables of
/// each of the two servers.
fn nothing_is_told(mysql: &MySql, shown: &str) -> Result<()> {
    let slow = mysql.files_with(shown)?;
    ensure!(slow.iter().any(|name| name.ends_with("slow.log")), "{shown} is not in the slow log, but in {slow:?}");
    let tables = ["events_statements_history_long", "events_statements_history", "events_statements_current"];
    let tables = tables.map(|table| format!("SELECT sql_text FROM performance_schema.{table}"));
    let tables = tables.iter().map(|table| mysql.sql(table)).collect::<Result<Vec<_>>>()?.join("\n");
    ensure!(tables.contains(shown), "{shown} is not in the tables: {tables}");
    for (password, part) in [(OLD, "canaryOld"), (NEW, "canaryNew"), (THIRD, "canaryThird"), (ADMIN, "canaryAdmin")] {
        ensure!(password.starts_with(part) && !tables.contains(part), "{part} is in a table");
        let found = mysql.files_with(part)?;
        ensure!(found.is_empty(), "{part} is in {found:?}");
    }
    // What is searched for would be found.
    mysql.sql("SELECT 'canaryControl'")?;
    ensure!(!mysql.files_with("canaryControl")?.is_empty());
    Ok(())
}

struct Logged {
    mysql: MySql,
    server: Server,
}

impl Logged {
    fn start() -> Result<Self> {
        let mysql = MySql::start_with(Kind::MySql, &options(Kind::MySql))?;
        let server = server(&mysql);
        Ok(Self { mysql, server })
    }

    /// Makes the user again, with this password only.
    fn reset(&self) -> Result<()> {
        let password = identified_by(Kind::MySql, OLD);
        self.mysql.sql(&format!(
            "DROP USER IF EXISTS {USER}; CREATE USER {USER} {password}; GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO {USER}"
        ))?;
        Ok(())
    }

    fn dual(&self, previous_is_later: bool) -> DualPassword<'_> {
        DualPassword { server: &self.server, previous_is_later }
    }

    /// How often the general log has this statement, with the passwords left out.
    fn count(&self, statement: &str) -> Result<usize> {
        Ok(self.mysql.log()?.matches(statement).count())
    }
}

fn of(password: &str) -> Credential {
    credential(USER, password)
}

/// Each statement of the strategy, and each end of it: carried out, refused by the comparison, refused by a policy.
async fn every_statement(logged: &Logged) -> Result<()> {
    let (old, new, third) = (of(OLD), of(NEW), of(THIRD));
    let (dual, later) = (logged.dual(false), logged.dual(true));
    let superseded = Problem::Refused(Refused::Superseded);
    logged.reset()?;
    assert_eq!(dual.apply(&new, &old, None).await, Ok(Applied::Now));
    assert_eq!(dual.verify(&new).await, Ok(()));
    assert_eq!(dual.apply(&new, &old, None).await, Ok(Applied::Already), "the comparison fails");
    // The current one is the secondary one, and then it is made the primary one.
    assert_eq!(dual.apply(&third, &old, None).await, Err(superseded));
    assert_eq!(later.apply(&third, &old, Some(&new)).await, Ok(Applied::Now));
    assert_eq!(dual.undo(&third, &old, None).await, Ok(Undone::Now));
    // The one to keep is the secondary one.
    assert_eq!(dual.apply(&new, &old, None).await, Ok(Applied::Now));
    assert_eq!(later.undo(&third, &old, Some(&new)).await, Ok(Undone::Nothing));
    assert_eq!(dual.apply(&new, &old, None).await, Ok(Applied::Now));
    assert_eq!(dual.retire(&new, &old).await, Err(superseded));
    assert_eq!(dual.retire(&old, &new).await, Ok(()));
    // A policy refuses the statement.
    logged.mysql.sql(&format!("ALTER USER {USER} PASSWORD HISTORY 5"))?;
    assert_eq!(dual.apply(&third, &new, None).await, Ok(Applied::Now));
    assert_eq!(dual.apply(&new, &third, None).await, Ok(Applied::Already));
    assert_eq!(dual.undo(&third, &new, None).await, Err(Problem::Refused(Refused::Rejected)));
    // So does a missing privilege, after the server has read it.
    logged.reset()?;
    logged.mysql.sql(&format!("REVOKE APPLICATION_PASSWORD_ADMIN ON *.* FROM {USER}"))?;
    assert_eq!(dual.apply(&new, &old, None).await, Err(Problem::Refused(Refused::NotPermitted)));
    assert_eq!(dual.check(&new).await, Err(Problem::Refused(Refused::PasswordRefused)));
    Ok(())
}

#[tokio::test]
async fn no_password_of_a_user_with_two_is_in_a_file_or_a_table_of_a_server_that_logs_everything() -> Result<()> {
    if let Some(obstacle) = Kind::MySql.obstacle() {
        println!("{obstacle}");
        return Ok(());
    }
    let logged = Logged::start()?;
    every_statement(&logged).await?;
    // Each statement is in the logs that are searched.
    for statement in [
        "ALTER USER 'logged_dual'@'%' IDENTIFIED BY <secret> REPLACE <secret> RETAIN CURRENT PASSWORD",
        "ALTER USER 'logged_dual'@'%' IDENTIFIED BY <secret> REPLACE <secret>\n",
        "DISCARD OLD PASSWORD",
    ] {
        ensure!(logged.count(statement)? > 0, "{statement} is not logged");
    }
    nothing_is_told(&logged.mysql, "ALTER USER 'logged_dual'@'%' IDENTIFIED BY <secret> REPLACE <secret>")
}

/// Statements of one user, and of two that take turns.
async fn of_users(mysql: &'static MySql) -> Result<()> {
    let pair = Pair::on(mysql, "logged_pair")?;
    let single = SingleUser { server: &pair.server };
    assert_eq!(single.apply(&pair.base(NEW), &pair.base(OLD), None).await, Ok(Applied::Now));
    assert_eq!(single.verify(&pair.base(NEW)).await, Ok(()));
    assert_eq!(single.undo(&pair.base(NEW), &pair.base(OLD), None).await, Ok(Undone::Now));
    let strategy = pair.strategy();
    assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await, Ok(Applied::Now));
    assert_eq!(strategy.verify(&pair.twin(NEW)).await, Ok(()));
    assert_eq!(strategy.undo(&pair.twin(NEW), &version(1), &pair.base(OLD), None).await, Ok(Undone::Now));
    assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(2)).await, Ok(Applied::Now));
    assert_eq!(strategy.retire(&pair.base(OLD), &pair.twin(NEW), &version(2)).await, Ok(()));
    assert_eq!(strategy.apply(&pair.base(THIRD), &pair.twin(NEW), &version(3)).await, Ok(Applied::Now));
    let superseded = Err(Problem::Refused(Refused::Superseded));
    assert_eq!(strategy.apply(&pair.base(OLD), &pair.twin(NEW), &version(2)).await, superseded);
    Ok(())
}

#[tokio::test]
async fn no_password_of_one_user_or_two_is_in_a_file_or_a_table_of_a_server_that_logs_everything() -> Result<()> {
    for kind in Kind::here() {
        // Its own server, for as long as this program.
        let mysql: &'static MySql = Box::leak(Box::new(MySql::start_with(kind, &options(kind))?));
        of_users(mysql).await?;
        nothing_is_told(mysql, if kind == Kind::MySql { "BY <secret>" } else { "IDENTIFIED VIA mysql_native_password USING '*" })?;
    }
    Ok(())
}
