//! What binds the administrator's session to the server at which the object's password works.

use anyhow::{Result, ensure};
use rotated_secrets::strategy::postgres::AlternatingUsers;
use rotated_secrets::strategy::{Applied, Refused};
use testkit::postgres::Postgres;
use tokio::net::{TcpListener, TcpStream};

use super::alternating::{ADMIN, Pair, refused, version};
use super::stand::{NEW, OLD, credential, server};

/// A name that leads to another server for each connection.
async fn leads_to(ports: [u16; 3]) -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        for to in ports {
            let (Ok((mut from, _)), Ok(mut to)) = (listener.accept().await, TcpStream::connect(("127.0.0.1", to)).await) else { return };
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut from, &mut to).await });
        }
    });
    Ok(port)
}

#[tokio::test]
async fn the_administrator_acts_only_at_the_server_that_accepted_the_password_of_the_object() -> Result<()> {
    // A server of those who write the object accepts any user with a password that they chose.
    let (theirs, real) = (Postgres::start()?, Postgres::start()?);
    theirs.sql("postgres", "CREATE ROLE app LOGIN")?;
    theirs.set_password("app", OLD)?;
    real.sql("postgres", "CREATE ROLE app LOGIN; CREATE ROLE boss LOGIN CREATEROLE; GRANT app TO boss WITH ADMIN OPTION")?;
    real.set_password("app", "not known to them")?;
    real.set_password("boss", ADMIN)?;
    let authorities = format!("{}\n{}", theirs.ca(), real.ca());
    // The login with the staged password, the one with the current password, then that of the administrator.
    let port = leads_to([theirs.port(), theirs.port(), real.port()]).await?;
    let (verified, admin) = (server(port, authorities), credential("boss", ADMIN));
    let strategy = AlternatingUsers { server: &verified, admin: &admin, bound: true, base: "app", twin: "app_clone" };
    let answer = strategy.apply(&credential("app_clone", NEW), &credential("app", OLD), &version(1)).await;
    assert_eq!(answer, refused(Refused::AnotherServer));
    assert_eq!(real.sql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname = 'app_clone'")?, "0");
    Ok(())
}

#[tokio::test]
async fn a_transaction_of_a_process_that_was_stopped_is_ended_by_the_server() -> Result<()> {
    let mut pair = Pair::new("stopped")?;
    pair.server.query = Some("SELECT 1 / (current_setting('idle_in_transaction_session_timeout') = '5s')::int".to_owned());
    let strategy = pair.strategy();
    assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await, Ok(Applied::Now));
    ensure!(strategy.verify(&pair.twin(NEW)).await == Ok(()), "the query runs within a transaction");
    Ok(())
}
