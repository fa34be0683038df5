//! Servers that a tenant could put up and call MySQL. None gets a password, a file, memory, or time.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use rotated_secrets::strategy::mysql::{Server, SingleUser};
use rotated_secrets::strategy::{Limits, Problem, Refused, Tls, Unknown};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::stand::{OLD, by_address, credential, endpoint};

const VIOLATION: Problem = Problem::Unknown(Unknown::ProtocolViolation);
const LONG: Duration = Duration::from_mins(1);
const NONCE: &[u8] = b"abcdefghijklmnopqrst\0";

/// What every server has: `PROTOCOL_41`, `SECURE_CONNECTION`, `PLUGIN_AUTH`.
const USUAL: u32 = 0x0008_8200;
const SSL: u32 = 0x0800;

/// A packet of a server.
fn packet(number: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_le_bytes();
    [&length[..3], &[number], body].concat()
}

/// What a server says first.
fn greeting(capabilities: u32, plugin: &str) -> Vec<u8> {
    let [a, b, c, d] = capabilities.to_le_bytes();
    let (first, second) = NONCE.split_at(8);
    let body: [&[u8]; 10] = [
        b"\x0a9.7.0\0\x01\0\0\0",
        first,
        b"\0",
        &[a, b],
        b"\x2d\x02\0",
        &[c, d],
        b"\x15\0\0\0\0\0\0\0\0\0\0",
        second,
        plugin.as_bytes(),
        b"\0",
    ];
    packet(0, &body.concat())
}

/// An error of this code.
fn error(number: u8, code: u16) -> Vec<u8> {
    packet(number, &[b"\xff".as_slice(), &code.to_le_bytes(), b"#HY000canary text of a server"].concat())
}

/// That another plugin is to be used.
fn switch(number: u8, plugin: &str) -> Vec<u8> {
    packet(number, &[b"\xfe", plugin.as_bytes(), b"\0", NONCE].concat())
}

/// What the client sent.
type Heard = Arc<Mutex<Vec<u8>>>;

async fn hear(stream: &mut TcpStream, heard: &Heard) -> usize {
    let mut buffer = vec![0; 4096];
    let read = stream.read(&mut buffer).await.unwrap_or(0);
    heard.lock().unwrap().extend_from_slice(&buffer[..read]);
    read
}

/// One check at a server that behaves like this, and all that it heard.
async fn meet<F, B>(tls: Tls, limit: Duration, behave: B) -> Result<(Problem, Vec<u8>)>
where
    B: FnOnce(TcpStream, Heard) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut endpoint = endpoint(listener.local_addr()?.port(), String::new());
    by_address(&mut endpoint);
    (endpoint.tls, endpoint.limits) = (tls, Limits { connect: limit, statement: limit, step: limit });
    let server = Server { endpoint, database: None, query: None };
    let (app, heard) = (credential("app", OLD), Heard::default());
    let strategy = SingleUser { server: &server };
    let (answer, behaving) = tokio::join!(strategy.check(&app), async {
        let (stream, _) = listener.accept().await?;
        anyhow::Ok(tokio::spawn(behave(stream, Arc::clone(&heard))))
    });
    behaving?.await?;
    let heard = heard.lock().unwrap().clone();
    assert!(!heard.windows(OLD.len()).any(|window| window == OLD.as_bytes()), "the password was sent");
    Ok((answer.expect_err("a hostile server is not believed"), heard))
}

/// Says these one after the other, each after the client has said something, and then only listens.
async fn say(answers: Vec<Vec<u8>>) -> Result<(Problem, Vec<u8>)> {
    meet(Tls::Disable, LONG, move |mut stream, heard| async move {
        for (number, answer) in answers.into_iter().enumerate() {
            if number > 0 && hear(&mut stream, &heard).await == 0 {
                return;
            }
            let _ = stream.write_all(&answer).await;
        }
        while hear(&mut stream, &heard).await > 0 {}
    })
    .await
}

#[tokio::test]
async fn nothing_that_a_server_says_first_is_believed() -> Result<()> {
    let mut old = greeting(USUAL, "mysql_native_password");
    old[4] = 9;
    let mut late = greeting(USUAL, "mysql_native_password");
    late[3] = 1;
    let cut = greeting(USUAL, "mysql_native_password")[4..40].to_vec();
    let table: [(&str, Vec<u8>, Problem); 12] = [
        ("all connections taken", error(0, 1040), Unknown::ConnectionLimit.into()),
        ("a blocked address", error(0, 1129), Refused::LoginNotPermitted.into()),
        ("an error without a code", packet(0, b"\xff"), VIOLATION),
        ("an old protocol", old, VIOLATION),
        ("another number", late, VIOLATION),
        ("a part of a greeting", packet(0, &cut), VIOLATION),
        ("nothing in a packet", packet(0, b""), VIOLATION),
        ("no plugins", greeting(0x8200, ""), VIOLATION),
        ("16 MiB", b"\xff\xff\xff\0".to_vec(), VIOLATION),
        ("64 KiB and one", b"\x01\0\x01\0".to_vec(), VIOLATION),
        ("HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), VIOLATION),
        ("PostgreSQL", b"N".repeat(100), VIOLATION),
    ];
    for (what, first, expected) in table {
        let (problem, heard) = say(vec![first]).await?;
        assert_eq!((problem, heard), (expected, Vec::new()), "{what}");
    }
    Ok(())
}

#[tokio::test]
async fn no_way_to_ask_for_the_password_reveals_it() -> Result<()> {
    let weak = Problem::Refused(Refused::WeakAuthentication);
    let other = Problem::Refused(Refused::AuthenticationUnsupported);
    let key = [b"\x01-----BEGIN PUBLIC KEY-----\n".as_slice(), &[b'A'; 300], b"\n-----END PUBLIC KEY-----\n"].concat();
    let table: [(&str, Vec<u8>, Problem); 18] = [
        ("the password itself", switch(2, "mysql_clear_password"), weak),
        ("a dialog", switch(2, "dialog"), weak),
        ("the password, or encrypted with a key of the server", switch(2, "sha256_password"), weak),
        ("eight bytes", packet(2, b"\xfe"), other),
        ("the oldest hash", switch(2, "mysql_old_password"), weak),
        ("ed25519", switch(2, "client_ed25519"), other),
        ("Kerberos", switch(2, "auth_gssapi_client"), other),
        ("no plugin", switch(2, ""), other),
        ("a name that is no text", packet(2, b"\xfe\xff\xff\0abcdefghijklmnopqrst\0"), other),
        ("a plugin without a nonce", packet(2, b"\xfecaching_sha2_password\0"), other),
        ("no proof in the cache", packet(2, b"\x01\x04"), weak),
        ("a key of the server", packet(2, &key), VIOLATION),
        ("more without end", (2..12).flat_map(|number| packet(number, b"\x01\x03")).collect(), VIOLATION),
        ("a switch and a switch", [switch(2, "mysql_native_password"), switch(4, "mysql_native_password")].concat(), VIOLATION),
        ("a file", packet(2, b"\xfb/etc/passwd"), VIOLATION),
        ("nothing in a packet", packet(2, b""), VIOLATION),
        ("two gigabytes", b"\xff\xff\xff\x02".to_vec(), VIOLATION),
        ("a wrong password", error(2, 1045), Refused::PasswordRefused.into()),
    ];
    for (what, answer, expected) in table {
        for plugin in ["caching_sha2_password", "mysql_native_password"] {
            let (problem, _) = say(vec![greeting(USUAL, plugin), answer.clone()]).await?;
            assert_eq!(problem, expected, "{what} {plugin}");
        }
    }
    // It lets everybody in who names a user.
    let open = say(vec![greeting(USUAL, "unknown_plugin"), packet(2, b"\0\0\0\x02\0\0\0")]).await?.0;
    assert_eq!(open, Problem::Refused(Refused::PasswordNotRequired));
    Ok(())
}

/// The answer to the first statement: four columns, and this.
fn rows(after: &[Vec<u8>]) -> Vec<u8> {
    let columns = (2..6).flat_map(|number| packet(number, b"\x03def\0\0\0\x01a\x01a\x0c\x2d\0\0\0\0\0\xfd\0\0\0\0\0"));
    let end = packet(6, b"\xfe\0\0\x02\0");
    [packet(1, b"\x04"), columns.collect(), end, after.concat()].concat()
}

#[tokio::test]
async fn no_answer_to_a_statement_gets_a_file_or_memory_or_is_believed() -> Result<()> {
    let row = b"\x059.7.0\x01\x31\x05app@%\xfb";
    let endless: Vec<u8> = (7..=255).chain(0..=255).cycle().take(60_000).flat_map(|number| packet(number, row)).collect();
    let large: Vec<u8> = (7..40).flat_map(|number| packet(number, &[b"\xfd\xf0\xff\0".as_slice(), &vec![b'x'; 65_520]].concat())).collect();
    let table: [(&str, Vec<u8>, Problem); 13] = [
        ("a file of the operator", packet(1, b"\xfb/var/run/secrets/kubernetes.io/serviceaccount/token"), VIOLATION),
        ("no rows", packet(1, b"\0\0\0\x02\0\0\0"), VIOLATION),
        ("nothing in a packet", packet(1, b""), VIOLATION),
        ("many columns", packet(1, b"\xfc\xff\xff"), VIOLATION),
        ("no columns", packet(1, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff"), VIOLATION),
        ("an error without a code", packet(1, b"\xff"), VIOLATION),
        ("rows without end", rows(&[endless]), VIOLATION),
        ("large values", rows(&[large]), VIOLATION),
        ("a value that is longer than its packet", rows(&[packet(7, b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f")]), VIOLATION),
        ("three values", rows(&[packet(7, b"\x01a\x01b\x01c"), packet(8, b"\xfe\0\0\x02\0")]), VIOLATION),
        ("another number", rows(&[packet(9, row)]), VIOLATION),
        (
            "a number of a session that is a statement",
            rows(&[packet(7, b"\x011\x031 2\x05app@%\xfb"), packet(8, b"\xfe\0\0\x02\0")]),
            VIOLATION,
        ),
        ("another user", rows(&[packet(7, b"\x011\x011\x06root@%\xfb"), packet(8, b"\xfe\0\0\x02\0")]), Refused::WrongUser.into()),
    ];
    for (what, answer, expected) in table {
        let (problem, heard) = say(vec![greeting(USUAL, "mysql_native_password"), packet(2, b"\0\0\0\x02\0\0\0"), answer]).await?;
        assert_eq!(problem, expected, "{what}");
        let after: Vec<u8> = heard.windows(6).position(|window| window == b"SELECT").map(|at| heard[at..].to_vec()).unwrap_or_default();
        assert!(after.ends_with(b"@@proxy_user"), "{what}: more was sent: {}", String::from_utf8_lossy(&after));
    }
    Ok(())
}

#[tokio::test]
async fn without_tls_nothing_is_said_to_a_server_that_must_be_verified() -> Result<()> {
    let verified = || Tls::Verify {
        names: true,
        ca: Some(testkit::postgres::Postgres::shared().map(testkit::postgres::Postgres::ca).unwrap_or_default()),
    };
    let table: [(u32, &[u8], Problem); 4] = [
        (USUAL, b"", Refused::TlsNotOffered.into()),
        (USUAL | SSL, b"N", VIOLATION),
        // What was sent ahead is no TLS.
        (USUAL | SSL, b"\x07\0\0\x02\0\0\0\x02\0\0\0", VIOLATION),
        (USUAL | SSL, b"", Unknown::ConnectionLost.into()),
    ];
    for (capabilities, answer, expected) in table {
        let (problem, heard) = meet(verified(), LONG, move |mut stream, heard| async move {
            let _ = stream.write_all(&greeting(capabilities, "mysql_native_password")).await;
            if hear(&mut stream, &heard).await > 0 {
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            }
            while hear(&mut stream, &heard).await > 0 {}
        })
        .await?;
        assert_eq!(problem, expected, "{answer:?}");
        assert_eq!(heard.is_empty(), capabilities & SSL == 0, "only the request for TLS");
        assert!(!heard.windows(3).any(|window| window == b"app"), "the user was named");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_says_nothing_or_very_little_is_left() -> Result<()> {
    let short = Duration::from_millis(300);
    let listen = |mut stream: TcpStream, heard: Heard| async move { while hear(&mut stream, &heard).await > 0 {} };
    assert_eq!(meet(Tls::Disable, short, listen).await?.0, Problem::Unknown(Unknown::Timeout));
    let (slow, _) = meet(Tls::Disable, short, |mut stream, _| async move {
        for byte in greeting(USUAL, "mysql_native_password") {
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
