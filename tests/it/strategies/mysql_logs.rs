//! One user with two passwords, on a MySQL that logs all it can: no password is in a log, in the tables of statements, or in
//! another file of the server, whatever becomes of the statement.

use anyhow::{Result, ensure};
use rotated_secrets::strategy::mysql::{DualPassword, Server};
use rotated_secrets::strategy::{Applied, Credential, Problem, Refused, Undone};
use testkit::mysql::{Kind, MySql};

use super::mysql_stand::{identified_by, server};
use super::stand::{NEW, OLD, THIRD, credential};

const USER: &str = "logged_dual";
/// Every log of MySQL with all that it can have.
const VERBOSE: [&str; 9] = [
    "--log-error-verbosity=3",
    "--slow-query-log=ON",
    "--long-query-time=0",
    "--log-slow-extra=ON",
    "--log-slow-admin-statements=ON",
    "--log-queries-not-using-indexes=ON",
    "--log-bin=binary",
    "--performance-schema=ON",
    "--performance-schema-consumer-events-statements-history-long=ON",
];

struct Logged {
    mysql: MySql,
    server: Server,
}

impl Logged {
    fn start() -> Result<Self> {
        let mysql = MySql::start_with(Kind::MySql, &VERBOSE)?;
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
    let slow = logged.mysql.files_with("Query_time: ")?;
    ensure!(slow.iter().any(|name| name.ends_with("slow.log")), "there is a slow log: {slow:?}");
    let statements = "SELECT COUNT(*) FROM performance_schema.events_statements_history_long WHERE sql_text LIKE 'ALTER USER%<secret>%'";
    ensure!(logged.mysql.sql(statements)?.parse::<usize>()? > 0, "the tables have the statements");
    for (password, part) in [(OLD, "canaryOld"), (NEW, "canaryNew"), (THIRD, "canaryThird")] {
        ensure!(password.starts_with(part));
        let found = logged.mysql.files_with(part)?;
        ensure!(found.is_empty(), "{part} is in {found:?}");
        let tables = ["events_statements_history_long", "events_statements_history", "events_statements_current"];
        for table in tables {
            let told = logged.mysql.sql(&format!("SELECT sql_text FROM performance_schema.{table}"))?;
            ensure!(!told.contains(part), "{part} is in {table}");
        }
    }
    // What is searched for would be found.
    let parts = [["canary", "Cont"].concat(), "rol".to_owned()].concat();
    logged.mysql.sql(&format!("SELECT '{parts}'"))?;
    ensure!(!logged.mysql.files_with(&parts)?.is_empty());
    Ok(())
}
