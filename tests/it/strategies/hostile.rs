//! Servers that a tenant could put up. None gets a password, memory, or time.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use rotated_secrets::strategy::postgres::SingleUser;
use rotated_secrets::strategy::{Limits, Problem, Refused, Tls, Unknown};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::stand::{OLD, by_address, credential, reached, server};

/// A message of a server.
fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[tag], length.as_slice(), body].concat()
}

/// A message about authentication.
fn authentication(code: u32, rest: &[u8]) -> Vec<u8> {
    message(b'R', &[code.to_be_bytes().as_slice(), rest].concat())
}

/// What the client sent.
type Heard = Arc<Mutex<Vec<u8>>>;

/// The next bytes of the client, of any kind.
async fn hear(stream: &mut TcpStream, heard: &Heard) -> Vec<u8> {
    let mut buffer = vec![0; 4096];
    let read = stream.read(&mut buffer).await.unwrap_or(0);
    buffer.truncate(read);
    heard.lock().unwrap().extend_from_slice(&buffer);
    buffer
}

/// One login at a server that behaves like this, and all that it heard.
async fn meet<F, B>(tls: Tls, limit: Duration, behave: B) -> Result<(Problem, Vec<u8>)>
where
    B: FnOnce(TcpStream, Heard) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let heard = Heard::default();
    let limits = Limits { connect: limit, statement: limit, step: limit };
    let hostile = reached(&server(port, String::new()), |endpoint| {
        by_address(endpoint);
        (endpoint.tls, endpoint.limits) = (tls, limits);
    });
    let app = credential("app", OLD);
    let strategy = SingleUser { server: &hostile };
    let (answer, accepted) = tokio::join!(strategy.check(&app), async {
        let (stream, _) = listener.accept().await?;
        let behaving = tokio::spawn(behave(stream, Arc::clone(&heard)));
        anyhow::Ok(behaving)
    });
    accepted?.await?;
    let heard = heard.lock().unwrap().clone();
    let password = OLD.as_bytes();
    assert!(!heard.windows(password.len()).any(|window| window == password), "the password was sent");
    Ok((answer.expect_err("a hostile server is not believed"), heard))
}

const LONG: Duration = Duration::from_mins(1);

/// Sends this after the start of the session, and takes what comes then.
async fn say(first: Vec<u8>) -> Result<(Problem, Vec<u8>)> {
    meet(Tls::Disable, LONG, move |mut stream, heard| async move {
        hear(&mut stream, &heard).await;
        let _ = stream.write_all(&first).await;
        while !hear(&mut stream, &heard).await.is_empty() {}
    })
    .await
}

#[tokio::test]
async fn nothing_that_a_server_says_first_reveals_the_password_or_is_believed() -> Result<()> {
    let violation = Problem::Unknown(Unknown::ProtocolViolation);
    let table = [
        ("no question", authentication(0, b""), Refused::PasswordNotRequired.into()),
        ("the password itself", authentication(3, b""), Refused::WeakAuthentication.into()),
        ("md5", authentication(5, b"salt"), Refused::WeakAuthentication.into()),
        ("kerberos", authentication(7, b""), Refused::AuthenticationUnsupported.into()),
        ("an unknown kind", authentication(99, b""), Refused::AuthenticationUnsupported.into()),
        ("an unknown mechanism", authentication(10, b"PLAIN\0\0"), Refused::AuthenticationUnsupported.into()),
        ("only with TLS", authentication(10, b"SCRAM-SHA-256-PLUS\0\0"), Refused::AuthenticationUnsupported.into()),
        ("no mechanism", authentication(10, b""), Refused::AuthenticationUnsupported.into()),
        ("a short message", message(b'R', b"\0"), violation),
        ("an unknown message", message(b'?', b""), violation),
        ("a row", message(b'D', b"\0\0"), violation),
        ("two gigabytes", b"R\x7f\xff\xff\xff".to_vec(), violation),
        ("a negative length", b"E\xff\xff\xff\xff".to_vec(), violation),
        ("an error without a code", message(b'E', b"SFATAL\0Mno\0\0"), violation),
        ("notices without end", message(b'N', b"\0").repeat(10_000), violation),
        ("one long notice after the other", message(b'N', &vec![b'x'; 60_000]).repeat(40), violation),
        ("a wrong password", message(b'E', b"SFATAL\0C28P01\0Mno\0\0"), Refused::PasswordRefused.into()),
    ];
    for (what, first, expected) in table {
        assert_eq!(say(first).await?.0, expected, "{what}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_does_not_know_the_password_cannot_pretend_that_it_does() -> Result<()> {
    // What the server answers to the client's nonce, and then.
    let table: [(&str, &str, &[Vec<u8>]); 6] = [
        ("too many iterations", ",s=c2FsdHNhbHRzYWx0c2FsdA==,i=2000000000", &[]),
        ("no iterations", ",s=c2FsdHNhbHRzYWx0c2FsdA==,i=0", &[authentication(12, b"v=AAAA")]),
        ("a salt that is none", ",s=!!!!,i=4096", &[]),
        ("a proof that is none", "x,s=c2FsdHNhbHRzYWx0c2FsdA==,i=4096", &[authentication(12, b"v=AAAA")]),
        ("no proof", "x,s=c2FsdHNhbHRzYWx0c2FsdA==,i=4096", &[authentication(0, b"")]),
        ("a proof of an error", "x,s=c2FsdHNhbHRzYWx0c2FsdA==,i=4096", &[authentication(12, b"e=other-error")]),
    ];
    for (what, challenge, rest) in table {
        let rest = rest.concat();
        let (problem, _) = meet(Tls::Disable, LONG, move |mut stream, heard| async move {
            hear(&mut stream, &heard).await;
            let _ = stream.write_all(&authentication(10, b"SCRAM-SHA-256\0\0")).await;
            let first = String::from_utf8_lossy(&hear(&mut stream, &heard).await).into_owned();
            let nonce = first.rsplit_once("r=").map(|(_, nonce)| nonce.to_owned()).unwrap_or_default();
            let _ = stream.write_all(&authentication(11, format!("r={nonce}{challenge}").as_bytes())).await;
            if !hear(&mut stream, &heard).await.is_empty() {
                let _ = stream.write_all(&rest).await;
                while !hear(&mut stream, &heard).await.is_empty() {}
            }
        })
        .await?;
        assert_eq!(problem, Problem::Unknown(Unknown::ProtocolViolation), "{what}");
    }
    Ok(())
}

#[tokio::test]
async fn another_nonce_than_ours_is_refused() -> Result<()> {
    let (problem, _) = meet(Tls::Disable, LONG, |mut stream, heard| async move {
        hear(&mut stream, &heard).await;
        let _ = stream.write_all(&authentication(10, b"SCRAM-SHA-256\0\0")).await;
        hear(&mut stream, &heard).await;
        let _ = stream.write_all(&authentication(11, b"r=mine,s=c2FsdHNhbHQ=,i=4096")).await;
        while !hear(&mut stream, &heard).await.is_empty() {}
    })
    .await?;
    assert_eq!(problem, Problem::Unknown(Unknown::ProtocolViolation));
    Ok(())
}

#[tokio::test]
async fn without_tls_nothing_is_said_to_a_server_that_must_be_verified() -> Result<()> {
    let verified = || Tls::Verify {
        names: true,
        ca: Some(testkit::postgres::Postgres::shared().map(testkit::postgres::Postgres::ca).unwrap_or_default()),
    };
    let table: [(&[u8], Problem); 4] = [
        (b"N", Refused::TlsNotOffered.into()),
        (b"E", Unknown::ProtocolViolation.into()),
        // What was sent ahead is no TLS.
        (b"SR\0\0\0\x08\0\0\0\0Z\0\0\0\x05I", Unknown::ProtocolViolation.into()),
        (b"", Unknown::ConnectionLost.into()),
    ];
    for (answer, expected) in table {
        let (problem, heard) = meet(verified(), LONG, move |mut stream, heard| async move {
            hear(&mut stream, &heard).await;
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
            while !hear(&mut stream, &heard).await.is_empty() {}
        })
        .await?;
        assert_eq!(problem, expected, "{answer:?}");
        assert!(heard.starts_with(b"\0\0\0\x08\x04\xd2\x16\x2f"), "the request for TLS");
        assert!(!heard.windows(3).any(|window| window == b"app"), "the user was named");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_says_nothing_or_very_little_is_left() -> Result<()> {
    let short = Duration::from_millis(300);
    let (silent, _) =
        meet(Tls::Disable, short, |mut stream, heard| async move { while !hear(&mut stream, &heard).await.is_empty() {} }).await?;
    assert_eq!(silent, Problem::Unknown(Unknown::Timeout));
    let (slow, _) = meet(Tls::Disable, short, |mut stream, _| async move {
        for byte in authentication(10, b"SCRAM-SHA-256\0\0") {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if stream.write_all(&[byte]).await.is_err() {
                break;
            }
        }
    })
    .await?;
    assert_eq!(slow, Problem::Unknown(Unknown::Timeout));
    let (gone, _) = meet(Tls::Disable, LONG, |stream, _| async move { drop(stream) }).await?;
    assert_eq!(gone, Problem::Unknown(Unknown::ConnectionLost));
    Ok(())
}
