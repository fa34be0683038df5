//! Servers that answer with less than a login, or that do not store what they change. Each is a server of its own.

use anyhow::{Result, ensure};
use rotated_secrets::strategy::redis::{Retired, TwoPasswords};
use rotated_secrets::strategy::{Addresses, Applied, Limits, Problem, Refused, Tls, Undone, Unknown};
use testkit::redis::{Certificate, Redis, Setup, Users};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::super::stand::{by_address, credential};
use super::stand::{ALL, FOURTH, NEW, OLD, Stand, THIRD, by, hash, reached, refused, server, version};

fn with(users: Users, more: &[&str]) -> Result<Redis> {
    Redis::start(Setup { users, more: more.iter().map(|line| (*line).to_owned()).collect() })
}

#[tokio::test]
async fn only_a_certificate_that_is_valid_gets_a_login() -> Result<()> {
    let redis = with(Users::InAclFile, &[])?;
    let stand = Stand::at(&redis, "app")?;
    let app = stand.with(OLD);
    let full = &stand.server;
    let by_its_address = reached(full, by_address);
    let any_name = reached(full, |endpoint| endpoint.tls = Tls::Verify { names: false, ca: Some(redis.ca()) });
    let of_the_system = reached(full, |endpoint| endpoint.tls = Tls::Verify { names: true, ca: None });
    let bad = refused(Refused::CertificateRefused);
    let table = [
        (Certificate::Good, Ok(()), Ok(())),
        (Certificate::Expired, bad, bad),
        (Certificate::OtherName, bad, Ok(())),
        (Certificate::OtherAuthority, bad, bad),
    ];
    for (certificate, by_name, by_authority) in table {
        redis.set_certificate(certificate)?;
        let check = async |server| TwoPasswords { server, admin: None }.check(&app).await;
        assert_eq!(check(full).await, by_name, "{certificate:?}");
        assert_eq!(check(&by_its_address).await, by_name, "{certificate:?}");
        assert_eq!(check(&any_name).await, by_authority, "{certificate:?}");
        let system = check(&of_the_system).await;
        assert!(matches!(system, Err(Problem::Refused(Refused::CertificateRefused | Refused::CaUnusable))), "{system:?}");
        let changed = stand.strategy().apply(&stand.with(NEW), &app, None, &version(1)).await;
        assert_eq!(changed.map(drop), by_name, "{certificate:?}");
        stand.reset(&[OLD])?;
    }
    Ok(())
}

#[tokio::test]
async fn a_restart_of_the_server_brings_no_earlier_password_back() -> Result<()> {
    for users in [Users::InAclFile, Users::InConfigFile] {
        let redis = with(users, &[])?;
        let stand = Stand::at(&redis, "app")?;
        let [old, new, third, _] = ALL.map(|password| stand.with(password));
        assert_eq!(stand.strategy().apply(&new, &old, None, &version(1)).await, Ok(Applied::Now), "{users:?}");
        redis.kill()?;
        assert_eq!(stand.strategy().verify(&new).await, Err(Problem::Unknown(Unknown::Unreachable)));
        redis.revive()?;
        assert_eq!(stand.accepted()?, [OLD, NEW], "{users:?}");
        assert_eq!(stand.strategy().retire(&old, &new, &version(1)).await, Ok(Retired::Now), "{users:?}");
        assert_eq!(stand.strategy().apply(&third, &new, None, &version(2)).await, Ok(Applied::Now));
        assert_eq!(stand.strategy().undo(&third, &new, None, &version(2)).await, Ok(Undone::Now));
        redis.kill()?;
        redis.revive()?;
        assert_eq!(stand.accepted()?, [NEW], "{users:?}");
        assert_eq!(stand.strategy().apply(&third, &new, None, &version(2)).await, refused(Refused::Superseded), "the mark is stored too");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_cannot_store_its_users_says_so_and_one_that_stores_nothing_is_used() -> Result<()> {
    for (users, right) in [(Users::InAclFile, "-acl|save"), (Users::InConfigFile, "-config|rewrite")] {
        let redis = with(users, &[])?;
        let stand = Stand::at(&redis, "app")?;
        let (old, new) = (stand.with(OLD), stand.with(NEW));
        redis.command(&["ACL", "SETUSER", "app_admin", right])?;
        for _ in 0..2 {
            assert_eq!(stand.strategy().apply(&new, &old, None, &version(1)).await, refused(Refused::NotPersisted), "{right}");
            assert_eq!(stand.accepted()?, [OLD, NEW], "the current one keeps working");
        }
        ensure!(!redis.stored()?.contains(&hash(NEW)), "{right}");
        redis.command(&["ACL", "SETUSER", "app_admin", &right.replace('-', "+")])?;
        assert_eq!(stand.strategy().apply(&new, &old, None, &version(1)).await, Ok(Applied::Already), "{right}");
        ensure!(redis.stored()?.contains(&hash(NEW)), "stored by the attempt that finds it applied");
    }
    let redis = with(Users::InMemory, &[])?;
    let stand = Stand::at(&redis, "app")?;
    assert_eq!(stand.strategy().apply(&stand.with(NEW), &stand.with(OLD), None, &version(1)).await, Ok(Applied::Now));
    Ok(())
}

#[tokio::test]
async fn a_replica_and_a_node_of_a_cluster_are_not_changed() -> Result<()> {
    let redis = with(Users::InAclFile, &[])?;
    let stand = Stand::at(&redis, "app")?;
    let (old, new) = (stand.with(OLD), stand.with(NEW));
    redis.command(&["REPLICAOF", "127.0.0.1", "1"])?;
    assert_eq!(stand.strategy().apply(&new, &old, None, &version(1)).await, refused(Refused::ReadOnly));
    assert_eq!(stand.strategy().check(&old).await, Ok(()), "a replica lets in");
    redis.command(&["REPLICAOF", "NO", "ONE"])?;
    assert_eq!(stand.accepted()?, [OLD]);
    assert_eq!(stand.strategy().apply(&new, &old, None, &version(1)).await, Ok(Applied::Now));
    let node = with(Users::InAclFile, &["cluster-enabled yes"])?;
    let stand = Stand::at(&node, "app")?;
    assert_eq!(stand.strategy().apply(&stand.with(NEW), &stand.with(OLD), None, &version(1)).await, refused(Refused::ClusterUnsupported));
    assert_eq!(stand.accepted()?, [OLD]);
    Ok(())
}

/// A connection that the server has accepted. It may have to end the one of an earlier command first.
async fn held(redis: &Redis) -> Result<TcpStream> {
    loop {
        let mut connection = TcpStream::connect(("127.0.0.1", redis.plain_port())).await?;
        connection.write_all(b"PING\r\n").await?;
        let mut answer = [0; 64];
        let length = connection.read(&mut answer).await.unwrap_or(0);
        // A server that accepts it asks for a login.
        if answer[..length].starts_with(b"-NOAUTH") {
            return Ok(connection);
        }
    }
}

#[tokio::test]
async fn a_server_with_no_free_connection_is_asked_again_and_commands_that_are_renamed_are_a_refusal() -> Result<()> {
    let redis = with(Users::InAclFile, &[])?;
    let stand = Stand::at(&redis, "app")?;
    let (old, new) = (stand.with(OLD), stand.with(NEW));
    let plain = reached(&stand.server, |endpoint| (endpoint.port, endpoint.tls) = (redis.plain_port(), Tls::Disable));
    redis.command(&["CONFIG", "SET", "maxclients", "1"])?;
    let held = held(&redis).await?;
    let limited = [TwoPasswords { server: &plain, admin: None }.check(&old).await, stand.strategy().check(&old).await];
    assert_eq!(limited[0], Err(Problem::Unknown(Unknown::ConnectionLimit)));
    // The server says nothing before TLS has begun.
    assert!(matches!(limited[1], Err(Problem::Unknown(_))), "{:?}", limited[1]);
    drop(held);
    let renamed = with(Users::InAclFile, &["rename-command HELLO \"\""])?;
    let stand = Stand::at(&renamed, "app")?;
    assert_eq!(stand.strategy().apply(&new, &old, None, &version(1)).await, refused(Refused::Rejected));
    assert_eq!(stand.accepted()?, [OLD]);
    Ok(())
}

#[tokio::test]
async fn a_server_without_tls_and_a_port_that_speaks_only_tls_are_not_logged_in_to() -> Result<()> {
    let stand = Stand::new("ports")?;
    let short = std::time::Duration::from_millis(500);
    let limits = Limits { connect: short, statement: short, step: short };
    for (port, tls) in [(stand.redis.plain_port(), stand.server.endpoint.tls.clone()), (stand.redis.port(), Tls::Disable)] {
        let other = reached(&stand.server, |endpoint| (endpoint.port, endpoint.tls, endpoint.limits) = (port, tls, limits));
        let answer = TwoPasswords { server: &other, admin: None }.check(&stand.with(OLD)).await;
        assert!(matches!(answer, Err(Problem::Unknown(_))), "{answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_of_the_client_changes_nothing() -> Result<()> {
    let redis = with(Users::InAclFile, &["tls-auth-clients yes"])?;
    let stand = Stand::at(&redis, "app")?;
    let answer = stand.strategy().apply(&stand.with(NEW), &stand.with(OLD), None, &version(1)).await;
    assert!(matches!(answer, Err(Problem::Unknown(Unknown::ConnectionLost | Unknown::ProtocolViolation))), "{answer:?}");
    assert_eq!(stand.accepted()?, [OLD]);
    redis.command(&["CONFIG", "SET", "tls-auth-clients", "optional"])?;
    assert_eq!(stand.strategy().apply(&stand.with(NEW), &stand.with(OLD), None, &version(1)).await, Ok(Applied::Now));
    Ok(())
}

#[tokio::test]
async fn addresses_of_this_machine_are_never_connected_to_unless_a_test_says_so() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let local = reached(&server(listener.local_addr()?.port(), String::new()), |endpoint| {
        (endpoint.tls, endpoint.addresses) = (Tls::Disable, Addresses::Remote);
    });
    let strategy = TwoPasswords { server: &local, admin: None };
    assert_eq!(strategy.check(&credential("app", OLD)).await, refused(Refused::AddressRefused));
    let nobody = tokio::time::timeout(std::time::Duration::from_millis(100), listener.accept()).await;
    assert!(nobody.is_err(), "a connection was made");
    Ok(())
}

#[tokio::test]
async fn the_administrator_does_not_log_in_to_another_server_than_the_one_that_accepted_the_user() -> Result<()> {
    // A name that leads to two servers of one authority, one after the other.
    let redis = with(Users::InAclFile, &[])?;
    let stand = Stand::at(&redis, "app")?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let target = redis.port();
    let mut accepted = 0;
    let forwarding = async {
        loop {
            let (mut client, _) = listener.accept().await?;
            accepted += 1;
            // The logins with the staged and the current password came before.
            if accepted == 3 {
                redis.set_certificate(Certificate::Good)?;
            }
            let mut upstream = tokio::net::TcpStream::connect(("127.0.0.1", target)).await?;
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut upstream).await });
        }
        #[allow(unreachable_code, reason = "the type of the block")]
        anyhow::Ok(())
    };
    let through = reached(&stand.server, |endpoint| endpoint.port = port);
    let (new, old) = (stand.with(NEW), stand.with(OLD));
    let strategy = by(&through, &stand.admin);
    let fence = version(1);
    let answer = tokio::select! {
        answer = strategy.apply(&new, &old, None, &fence) => answer,
        ended = forwarding => { ended?; return Ok(()) }
    };
    assert_eq!(answer, refused(Refused::AnotherServer));
    assert_eq!(stand.accepted()?, [OLD]);
    stand.reset(&[OLD, THIRD, FOURTH])?;
    assert_eq!(stand.strategy().apply(&new, &old, None, &version(1)).await, Ok(Applied::Now));
    assert_eq!(stand.accepted()?, [OLD, NEW]);
    Ok(())
}
