//! Servers that a tenant could put up. None gets memory or time, and none is believed more than it proves.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use rotated_secrets::strategy::redis::{Server, TwoPasswords};
use rotated_secrets::strategy::{Limits, Problem, Refused, Tls, Unknown};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::super::stand::{by_address, credential};
use super::stand::{NEW, OLD, hash, reached, server, version};

const VIOLATION: Problem = Problem::Unknown(Unknown::ProtocolViolation);

/// A server that answers each command with the next of these, for any command, and then nothing. Gives what it heard.
async fn scripted(replies: Vec<Vec<u8>>) -> Result<(Server, Arc<Mutex<Vec<Vec<u8>>>>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let (replies, heard) = (Arc::new(Mutex::new(VecDeque::from(replies))), Arc::<Mutex<Vec<Vec<u8>>>>::default());
    let heard_here = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (replies, heard) = (Arc::clone(&replies), Arc::clone(&heard_here));
            tokio::spawn(async move {
                let mut buffer = vec![0; 65_536];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    heard.lock().unwrap().push(buffer[..read].to_vec());
                    let reply = replies.lock().unwrap().pop_front();
                    let Some(reply) = reply else { continue };
                    if stream.write_all(&reply).await.is_err() || reply.is_empty() {
                        break;
                    }
                }
            });
        }
    });
    let server = reached(&server(port, String::new()), |endpoint| {
        by_address(endpoint);
        endpoint.tls = Tls::Disable;
    });
    Ok((server, heard))
}

fn text(text: &str) -> Vec<u8> {
    format!("${}\r\n{text}\r\n", text.len()).into_bytes()
}

fn array(parts: &[Vec<u8>]) -> Vec<u8> {
    [format!("*{}\r\n", parts.len()).into_bytes(), parts.concat()].concat()
}

/// What a server answers that keeps to the protocol, to the commands of `apply` of a user that changes itself.
fn honest() -> [Vec<u8>; 6] {
    let hello = ["server", "redis", "mode", "standalone", "role", "master"].map(text);
    // The mark of a user that has no version yet.
    let mark = format!("{}{}", &hash("rotated-secrets")[..24], "00".repeat(20));
    let user = [text("flags"), array(&[text("on")]), text("passwords"), array(&[text(&hash(OLD)), text(&mark)])];
    let ok = b"+OK\r\n".to_vec();
    [ok.clone(), text("app"), array(&hello), array(&user), ok.clone(), ok]
}

#[tokio::test]
async fn an_answer_that_is_none_is_no_answer_at_every_command() -> Result<()> {
    let garbage: [(&str, Vec<u8>); 10] = [
        ("a huge text", b"$2147483647\r\n".to_vec()),
        ("a huge array", b"*2147483647\r\n".to_vec()),
        ("an endless array", [b"*4096\r\n".to_vec(), b"*0\r\n".repeat(5000)].concat()),
        ("deep nesting", b"*1\r\n".repeat(100_000)),
        ("an endless line", vec![b'-'; 100_000]),
        ("HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("a number", b":1\r\n".to_vec()),
        ("a map", b"%1\r\n+a\r\n+b\r\n".to_vec()),
        ("bytes", vec![0xff, 0, b'\r', b'\n']),
        ("many texts", [b"*100\r\n".to_vec(), text(&"x".repeat(60_000)).repeat(30)].concat()),
    ];
    for at in 0..honest().len() {
        for (what, reply) in &garbage {
            let mut replies = honest().to_vec();
            replies[at].clone_from(reply);
            let (server, _) = scripted(replies).await?;
            let strategy = TwoPasswords { server: &server, admin: None };
            let answer = strategy.apply(&credential("app", NEW), &credential("app", OLD), None, &version(1)).await;
            // What is answered to the last command, apart from an error, says that it was done.
            let stored = at == 5 && *what == "a number";
            assert_eq!(answer.err(), (!stored).then_some(VIOLATION), "{what} at {at}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_knows_another_user_or_accepts_everything_is_not_believed() -> Result<()> {
    let ok = b"+OK\r\n".to_vec();
    let app = credential("app", OLD);
    let (server, _) = scripted(vec![ok.clone(), text("another")]).await?;
    let strategy = TwoPasswords { server: &server, admin: None };
    assert_eq!(strategy.verify(&app).await, Err(Refused::WrongUser.into()));
    let (server, _) = scripted(vec![ok.clone(), text("app"), ok.clone()]).await?;
    let strategy = TwoPasswords { server: &server, admin: None };
    assert_eq!(strategy.verify(&app).await, Err(Refused::PasswordNotRequired.into()));
    // It says that it has removed the staged password, and still accepts it.
    let mut replies = honest().to_vec();
    replies.push(ok);
    let (server, _) = scripted(replies).await?;
    let strategy = TwoPasswords { server: &server, admin: None };
    assert_eq!(strategy.undo(&credential("app", NEW), &app, None, &version(1)).await, Err(Refused::CannotUndo.into()));
    Ok(())
}

#[tokio::test]
async fn errors_of_every_kind_are_words_at_the_login() -> Result<()> {
    let table: [(&str, Problem); 9] = [
        ("WRONGPASS no", Refused::PasswordRefused.into()),
        ("DENIED protected mode", Refused::LoginNotPermitted.into()),
        ("ERR wrong number of arguments for 'auth' command", Refused::AuthenticationUnsupported.into()),
        ("ERR unknown command", Refused::AuthenticationUnsupported.into()),
        ("ERR max number of clients reached", Unknown::ConnectionLimit.into()),
        ("LOADING the dataset", Unknown::ServerUnavailable.into()),
        ("MASTERDOWN", Unknown::ServerUnavailable.into()),
        ("BUSY running a script", Unknown::ServerUnavailable.into()),
        ("", Refused::AuthenticationUnsupported.into()),
    ];
    for (error, expected) in table {
        let (server, _) = scripted(vec![format!("-{error}\r\n").into_bytes()]).await?;
        assert_eq!(TwoPasswords { server: &server, admin: None }.check(&credential("app", OLD)).await, Err(expected), "{error}");
    }
    let (server, _) = scripted(vec![Vec::new()]).await?;
    let gone = TwoPasswords { server: &server, admin: None }.check(&credential("app", OLD)).await;
    assert_eq!(gone, Err(Unknown::ConnectionLost.into()));
    Ok(())
}

#[tokio::test]
async fn a_server_that_says_nothing_or_very_little_is_left() -> Result<()> {
    let short = Duration::from_millis(300);
    for replies in [Vec::new(), vec![b"+O".to_vec()], vec![b"$5\r\nab".to_vec()]] {
        let (mut server, _) = scripted(replies).await?;
        server.endpoint.limits = Limits { connect: short, statement: short, step: short };
        let answer = TwoPasswords { server: &server, admin: None }.check(&credential("app", OLD)).await;
        assert_eq!(answer, Err(Unknown::Timeout.into()));
    }
    Ok(())
}

#[tokio::test]
async fn only_the_login_has_the_password_and_none_is_said_to_a_server_that_is_not_verified() -> Result<()> {
    let said = |heard: &[Vec<u8>], password: &str| {
        let has = |command: &&Vec<u8>| command.windows(password.len()).any(|window| window == password.as_bytes());
        heard.iter().filter(has).map(|command| command.starts_with(b"*3\r\n$4\r\nAUTH\r\n")).collect::<Vec<bool>>()
    };
    let (server, heard) = scripted(honest().to_vec()).await?;
    let strategy = TwoPasswords { server: &server, admin: None };
    assert!(strategy.apply(&credential("app", NEW), &credential("app", OLD), None, &version(1)).await.is_ok());
    assert_eq!(said(&heard.lock().unwrap(), NEW), [true]);
    assert_eq!(heard.lock().unwrap().len(), 6);
    let ca = testkit::redis::Redis::shared()?.ca();
    let (server, heard) = scripted(vec![b"+OK\r\n".to_vec()]).await?;
    let verified = reached(&server, |endpoint| endpoint.tls = Tls::Verify { names: true, ca: Some(ca) });
    let answer = TwoPasswords { server: &verified, admin: None }.check(&credential("app", OLD)).await;
    assert_eq!(answer, Err(VIOLATION));
    assert_eq!(said(&heard.lock().unwrap(), OLD), Vec::<bool>::new());
    Ok(())
}
