//! Receivers that misbehave. None gets memory, time, a second request, or a text into a message.

use std::time::Duration;

use anyhow::Result;
use rotated_secrets::strategy::webhook::ReceiverReason;
use rotated_secrets::strategy::{Addresses, Applied, Limits, Problem, Refused, Tls, Unknown};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::super::stand::by_address;
use super::stand::{KEY, NEW, OLD, VERSION, behaving, key, ok, reached, receiver, request, saying, value, webhook, without_tls};

const VIOLATION: Problem = Problem::Unknown(Unknown::ProtocolViolation);
const LOST: Problem = Problem::Unknown(Unknown::ConnectionLost);

#[tokio::test]
async fn only_the_answer_of_the_contract_is_one() -> Result<()> {
    let key = key(KEY);
    let (old, new) = (value(OLD), value(NEW));
    let applied = r#"{"outcome":"Applied"}"#;
    let raw = |text: &str| text.as_bytes().to_vec();
    let status = |status: &str| raw(&format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{applied}", applied.len()));
    let table: [(&str, Vec<u8>, Problem); 21] = [
        ("the word of another step", ok(r#"{"outcome":"Verified"}"#), VIOLATION),
        ("no JSON", ok("Applied"), VIOLATION),
        ("nothing", ok(""), VIOLATION),
        ("a long body", ok(&format!("{applied}{}", " ".repeat(5000))), VIOLATION),
        ("a body that is cut", raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"outcome\":\"Applied\"}"), LOST),
        ("a head that is cut", raw("HTTP/1.1 200 OK\r\ncontent-le"), LOST),
        ("a long head", raw(&format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(10_000))), VIOLATION),
        ("many headers", raw(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(5000))), VIOLATION),
        (
            "chunks without end",
            [raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"), raw("1\r\nx\r\n").repeat(20_000)].concat(),
            VIOLATION,
        ),
        ("two lengths", raw("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx"), VIOLATION),
        ("garbage", vec![0xff; 100], VIOLATION),
        ("HTTP/2", raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), VIOLATION),
        ("no answer", Vec::new(), LOST),
        ("created", status("201 Created"), VIOLATION),
        ("a redirection", status("302 Found\r\nlocation: /"), VIOLATION),
        ("a bad request", status("400 Bad Request"), VIOLATION),
        ("not authorized", status("401 Unauthorized"), Refused::ReceiverUnauthorized.into()),
        ("forbidden", status("403 Forbidden"), Refused::ReceiverUnauthorized.into()),
        ("not found", status("404 Not Found"), Refused::ReceiverMissing.into()),
        ("too many requests", status("429 Too Many Requests"), Unknown::ServerUnavailable.into()),
        ("an error", status("500 Internal Server Error"), Unknown::ServerUnavailable.into()),
    ];
    for (what, bytes, expected) in table {
        let (receiver, heard) = saying(bytes).await?;
        assert_eq!(webhook(&receiver, &key).apply(VERSION, &new, &old, None).await, Err(expected.into()), "{what}");
        assert_eq!(heard.lock().unwrap().len(), 1, "{what}: one request, also after a redirection");
    }
    // Longer than a step may take.
    let endless = behaving(|mut stream| async move {
        request(&mut stream).await;
        while stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_ok() && stream.flush().await.is_ok() {}
    })
    .await?;
    assert_eq!(webhook(&endless, &key).apply(VERSION, &new, &old, None).await, Err(LOST.into()));
    for (outcome, expected) in [("Applied", Applied::Now), ("AlreadyApplied", Applied::Already)] {
        let (receiver, _) = saying(ok(&format!(r#"{{"outcome":"{outcome}"}}"#))).await?;
        assert_eq!(webhook(&receiver, &key).apply(VERSION, &new, &old, None).await, Ok(expected));
    }
    Ok(())
}

#[tokio::test]
async fn a_reason_is_shown_if_it_is_a_word_and_no_part_of_a_value() -> Result<()> {
    let key = key(KEY);
    let (old, new) = (value("CurrentPassword"), value("StagedPassword"));
    for (reason, shown) in [("QuotaExceeded", true), ("StagedPassword", false), ("CurrentPassword", false), ("Two words", false)] {
        let (receiver, _) = saying(ok(&format!(r#"{{"outcome":"Refused","reason":"{reason}"}}"#))).await?;
        let failure = webhook(&receiver, &key).apply(VERSION, &new, &old, None).await.unwrap_err();
        assert_eq!(failure.problem, Refused::ReceiverRefused.into());
        assert_eq!(failure.reason.as_ref().map(ReceiverReason::as_str), shown.then_some(reason));
        assert!(!format!("{failure:?}").contains("Password"), "{failure:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_receiver_that_says_nothing_or_very_little_is_left() -> Result<()> {
    let key = key(KEY);
    let old = value(OLD);
    let short = |endpoint: &mut rotated_secrets::strategy::Endpoint| {
        let limit = Duration::from_millis(300);
        endpoint.limits = Limits { statement: limit, ..endpoint.limits };
    };
    let silent = behaving(|mut stream| async move {
        request(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await?;
    let slow = behaving(|mut stream| async move {
        request(&mut stream).await;
        for byte in ok(r#"{"outcome":"Accepted"}"#) {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if stream.write_all(&[byte]).await.is_err() || stream.flush().await.is_err() {
                break;
            }
        }
    })
    .await?;
    for receiver in [silent, slow] {
        let receiver = reached(&receiver, short);
        assert_eq!(webhook(&receiver, &key).check(VERSION, &old).await, Err(Unknown::Timeout.into()));
    }
    // It never begins TLS.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mute = reached(&receiver(listener.local_addr()?.port(), testkit::redis::Redis::shared()?.ca()), |endpoint| {
        endpoint.limits = Limits { connect: Duration::from_millis(300), ..endpoint.limits };
    });
    assert_eq!(webhook(&mute, &key).check(VERSION, &old).await, Err(Unknown::Timeout.into()));
    Ok(())
}

#[tokio::test]
async fn nothing_is_said_to_a_receiver_that_is_not_verified() -> Result<()> {
    let key = key(KEY);
    let old = value(OLD);
    let (good, heard) = saying(ok(r#"{"outcome":"Accepted"}"#)).await?;
    let other_authority = testkit::redis::Redis::shared()?.ca();
    let by_its_address = reached(&good, by_address);
    let unknown = reached(&good, |endpoint| endpoint.tls = Tls::Verify { names: true, ca: Some(other_authority) });
    let none = reached(&good, |endpoint| endpoint.tls = Tls::Verify { names: true, ca: Some("no certificate".to_owned()) });
    let remote = reached(&good, |endpoint| endpoint.addresses = Addresses::Remote);
    for (receiver, refused) in [
        (&by_its_address, Refused::CertificateRefused),
        (&unknown, Refused::CertificateRefused),
        (&none, Refused::CaUnusable),
        (&remote, Refused::AddressRefused),
        (&without_tls(&good), Refused::WeakAuthentication),
    ] {
        assert_eq!(webhook(receiver, &key).check(VERSION, &old).await, Err(refused.into()));
    }
    assert!(heard.lock().unwrap().is_empty());
    assert_eq!(webhook(&good, &key).check(VERSION, &old).await, Ok(()));
    assert_eq!(heard.lock().unwrap().len(), 1);
    Ok(())
}
