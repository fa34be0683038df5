//! Servers that answer with less than a login. Each has a server of its own, since it changes how that server behaves.

use std::time::Duration;

use anyhow::Result;
use rotated_secrets::strategy::postgres::{Server, SingleUser};
use rotated_secrets::strategy::{Addresses, Applied, Limits, Problem, Refused, Tls, Unknown};
use testkit::postgres::{Certificate, Postgres};
use tokio::net::TcpListener;

use super::stand::{NEW, OLD, Stand, by_address, credential, reached, server};

#[tokio::test]
async fn only_a_certificate_that_is_valid_gets_a_login() -> Result<()> {
    let postgres = Postgres::start()?;
    postgres.sql("postgres", "CREATE ROLE app LOGIN")?;
    postgres.set_password("app", OLD)?;
    let app = credential("app", OLD);
    let full = server(postgres.port(), postgres.ca());
    let by_address = reached(&full, by_address);
    let any_name = reached(&full, |endpoint| endpoint.tls = Tls::Verify { names: false, ca: Some(postgres.ca()) });
    let of_the_system = reached(&full, |endpoint| endpoint.tls = Tls::Verify { names: true, ca: None });
    let refused = Err(Problem::Refused(Refused::CertificateRefused));
    let table = [
        (Certificate::Good, Ok(()), Ok(())),
        (Certificate::Expired, refused, refused),
        (Certificate::OtherName, refused, Ok(())),
        (Certificate::OtherAuthority, refused, refused),
    ];
    for (certificate, by_name, by_authority) in table {
        postgres.set_certificate(certificate)?;
        let before = postgres.log()?.matches("connection authenticated").count();
        assert_eq!(SingleUser { server: &full }.check(&app).await, by_name, "{certificate:?}");
        assert_eq!(SingleUser { server: &by_address }.check(&app).await, by_name, "{certificate:?}");
        assert_eq!(SingleUser { server: &any_name }.check(&app).await, by_authority, "{certificate:?}");
        let system = SingleUser { server: &of_the_system }.check(&app).await;
        assert!(matches!(system, Err(Problem::Refused(Refused::CertificateRefused | Refused::CaUnusable))), "{system:?}");
        let logins = postgres.log()?.matches("connection authenticated").count() - before;
        assert_eq!(logins, 2 * usize::from(by_name.is_ok()) + usize::from(by_authority.is_ok()), "{certificate:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_login_counts_only_if_the_server_made_sure_of_the_password() -> Result<()> {
    let postgres = Postgres::start()?;
    postgres.sql("postgres", "CREATE ROLE app LOGIN; SET password_encryption TO md5; ALTER ROLE app PASSWORD 'md5-stored'")?;
    let verified = server(postgres.port(), postgres.ca());
    let plain = reached(&verified, |endpoint| endpoint.tls = Tls::Disable);
    let (stored, wrong, new) = (credential("app", "md5-stored"), credential("app", "wrong"), credential("app", NEW));
    postgres.set_authentication("host all all 127.0.0.1/32 trust")?;
    let trust = Err(Problem::Refused(Refused::PasswordNotRequired));
    for password in [&stored, &wrong] {
        assert_eq!(SingleUser { server: &verified }.check(password).await, trust);
        assert_eq!(SingleUser { server: &verified }.apply(&new, password, None).await, trust.map(|()| Applied::Now));
    }
    for method in ["password", "md5"] {
        postgres.set_authentication(&format!("host all all 127.0.0.1/32 {method}"))?;
        assert_eq!(SingleUser { server: &verified }.check(&stored).await, Ok(()), "{method}");
        assert_eq!(SingleUser { server: &verified }.check(&wrong).await, Err(Problem::Refused(Refused::PasswordRefused)), "{method}");
        assert_eq!(SingleUser { server: &plain }.check(&stored).await, Err(Problem::Refused(Refused::WeakAuthentication)), "{method}");
    }
    // What was stored as MD5 is SCRAM after the first rotation, which also a server without TLS may ask for.
    assert_eq!(SingleUser { server: &verified }.apply(&new, &stored, None).await, Ok(Applied::Now));
    assert_eq!(SingleUser { server: &plain }.check(&new).await, Ok(()));
    postgres.set_authentication("host all all 127.0.0.1/32 reject")?;
    assert_eq!(SingleUser { server: &verified }.check(&new).await, Err(Problem::Refused(Refused::LoginNotPermitted)));
    Ok(())
}

#[tokio::test]
async fn a_role_that_may_not_log_in_is_told_from_a_wrong_password_and_from_a_limit() -> Result<()> {
    let stand = Stand::new("may_not")?;
    let (old, new) = (stand.with(OLD), stand.with(NEW));
    let table: [(&str, &str, Problem); 4] = [
        ("NOLOGIN", "LOGIN", Refused::LoginNotPermitted.into()),
        ("CONNECTION LIMIT 0", "CONNECTION LIMIT -1", Unknown::ConnectionLimit.into()),
        ("VALID UNTIL '2020-01-01'", "VALID UNTIL 'infinity'", Refused::PasswordRefused.into()),
        ("PASSWORD NULL", "VALID UNTIL 'infinity'", Refused::PasswordRefused.into()),
    ];
    for (locked, unlocked, expected) in table {
        stand.sql(&format!("ALTER ROLE may_not {locked}"))?;
        assert_eq!(stand.strategy().check(&old).await, Err(expected), "{locked}");
        let applied = stand.strategy().apply(&new, &old, None).await;
        let none = if expected == Problem::Refused(Refused::PasswordRefused) { Refused::NoPasswordAccepted.into() } else { expected };
        // The limit and NOLOGIN are found only after the password: a wrong one is refused first, the right one is not.
        assert_eq!(applied, Err(none), "{locked}");
        stand.sql(&format!("ALTER ROLE may_not {unlocked}"))?;
    }
    stand.reset(OLD)?;
    let elsewhere = Server { database: "nowhere".to_owned(), ..stand.server.clone() };
    assert_eq!(SingleUser { server: &elsewhere }.check(&old).await, Err(Problem::Refused(Refused::DatabaseNotFound)));
    stand.sql("DROP DATABASE IF EXISTS closed")?;
    stand.sql("CREATE DATABASE closed")?;
    stand.sql("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")?;
    let closed = Server { database: "closed".to_owned(), ..stand.server.clone() };
    assert_eq!(SingleUser { server: &closed }.check(&old).await, Err(Problem::Refused(Refused::LoginNotPermitted)));
    Ok(())
}

#[tokio::test]
async fn a_standby_and_a_server_that_was_killed_change_nothing_and_a_server_that_returns_goes_on() -> Result<()> {
    let postgres = Postgres::start()?;
    postgres.sql("postgres", "CREATE ROLE app LOGIN")?;
    postgres.set_password("app", OLD)?;
    let (old, new) = (credential("app", OLD), credential("app", NEW));
    let verified = server(postgres.port(), postgres.ca());
    let strategy = SingleUser { server: &verified };
    postgres.kill()?;
    assert_eq!(strategy.apply(&new, &old, None).await, Err(Problem::Unknown(Unknown::Unreachable)));
    assert!(verified.endpoint.tried.last().is_some_and(|address| address.is_loopback()), "{:?}", verified.endpoint.tried);
    postgres.revive()?;
    assert_eq!(strategy.apply(&new, &old, None).await, Ok(Applied::Now));
    postgres.kill()?;
    assert_eq!(strategy.verify(&new).await, Err(Problem::Unknown(Unknown::Unreachable)));
    postgres.revive()?;
    assert_eq!(strategy.verify(&new).await, Ok(()));
    assert!(postgres.accepts("app", NEW)? && !postgres.accepts("app", OLD)?);
    postgres.become_standby()?;
    assert_eq!(strategy.apply(&old, &new, None).await, Err(Problem::Refused(Refused::ReadOnly)));
    assert_eq!(strategy.check(&new).await, Ok(()), "a standby lets in");
    Ok(())
}

#[tokio::test]
async fn addresses_of_this_machine_are_never_connected_to_unless_a_test_says_so() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    for host in ["localhost", "127.0.0.1", "::ffff:127.0.0.1"] {
        let remote = reached(&server(listener.local_addr()?.port(), String::new()), |endpoint| {
            (endpoint.host, endpoint.address) = (host.to_owned(), host.to_owned());
            (endpoint.addresses, endpoint.tls) = (Addresses::Remote, Tls::Disable);
        });
        let answer = SingleUser { server: &remote }.check(&credential("app", OLD)).await;
        assert_eq!(answer, Err(Problem::Refused(Refused::AddressRefused)), "{host}");
    }
    let nobody = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
    assert!(nobody.is_err(), "a connection was made");
    let unresolved = reached(&server(5432, String::new()), |endpoint| {
        (endpoint.address, endpoint.tls) = ("no-such-host.invalid".to_owned(), Tls::Disable);
    });
    let answer = SingleUser { server: &unresolved }.check(&credential("app", OLD)).await;
    assert_eq!((answer, unresolved.endpoint.tried.last()), (Err(Problem::Unknown(Unknown::NameNotResolved)), None));
    Ok(())
}

#[test]
fn the_times_are_those_of_the_documentation() {
    let Limits { connect, statement, step } = Limits::default();
    assert_eq!((connect.as_secs(), statement.as_secs(), step.as_secs()), (5, 10, 30));
}
