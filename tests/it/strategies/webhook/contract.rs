//! The receiver of examples/webhook-receiver, and what a receiver gets.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use rotated_secrets::plaintext::Plaintext;
use rotated_secrets::strategy::webhook::{Failure, Proof, Webhook};
use rotated_secrets::strategy::{Applied, Problem, Refused, Undone};
use testkit::receiver::Receiver;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::stand::{KEY, NEW, OLD, THIRD, VERSION, key, of, ok, reached, receiver, saying, value, webhook};

fn start() -> Result<Receiver> {
    Receiver::start(KEY, &serde_json::json!({"orders": OLD, "another": THIRD}).to_string())
}

/// The password of the user in the service of the receiver.
fn password(receiver: &Receiver) -> Result<String> {
    let users: serde_json::Value = serde_json::from_str(&receiver.users()?)?;
    assert_eq!(users["another"], THIRD, "another user is not touched");
    users["orders"].as_str().map(str::to_owned).context("the user is gone")
}

fn by_receiver<T>(result: Result<T, Failure>) -> Option<String> {
    let failure = result.err()?;
    assert_eq!(failure.problem, Refused::ReceiverRefused.into());
    Some(failure.reason?.as_str().to_owned())
}

#[tokio::test]
async fn the_example_applies_verifies_checks_and_undoes_also_when_it_is_asked_again() -> Result<()> {
    let example = start()?;
    let (receiver, key) = (receiver(example.port(), example.ca()), key(KEY));
    let webhook = webhook(&receiver, &key);
    let [old, new, third] = [OLD, NEW, THIRD].map(value);
    assert_eq!(webhook.check(VERSION, &old).await, Ok(()));
    assert_eq!(by_receiver(webhook.verify(VERSION, &new).await).as_deref(), Some("PasswordRefused"));
    for outcome in [Applied::Now, Applied::Already, Applied::Already] {
        assert_eq!(webhook.apply(VERSION, &new, &old, None).await, Ok(outcome));
        assert_eq!(password(&example)?, NEW);
    }
    assert_eq!(webhook.verify(VERSION, &new).await, Ok(()));
    assert_eq!(by_receiver(webhook.check(VERSION, &old).await).as_deref(), Some("PasswordRefused"));
    for outcome in [Undone::Now, Undone::Nothing, Undone::Nothing] {
        assert_eq!(webhook.undo(VERSION, &new, &old, None).await, Ok(outcome));
        assert_eq!(password(&example)?, OLD);
    }
    assert_eq!(by_receiver(webhook.apply(VERSION, &new, &third, None).await).as_deref(), Some("NoPasswordAccepted"));
    assert_eq!(webhook.apply(VERSION, &new, &third, Some(&old)).await, Ok(Applied::Now));
    assert_eq!(by_receiver(webhook.apply(VERSION, &of("another", NEW), &new, None).await).as_deref(), Some("UserChanged"));
    assert_eq!(password(&example)?, NEW);
    let log = example.log()?;
    ensure!(log.contains(&format!("apply orders {VERSION} Applied")), "{log}");
    for text in [OLD, NEW, THIRD, KEY] {
        ensure!(!log.contains(&text[..8]), "a value is in the log of the example");
    }
    Ok(())
}

#[tokio::test]
async fn the_example_takes_no_request_that_is_not_signed_or_is_old() -> Result<()> {
    let example = start()?;
    let (receiver, own, other) = (receiver(example.port(), example.ca()), key(KEY), key(&"another key ".repeat(4)));
    let (old, new) = (value(OLD), value(NEW));
    let token = Plaintext::from("a-token".to_owned());
    let good = webhook(&receiver, &own);
    let at = |seconds: i64| Timestamp::from_second(Timestamp::now().as_second() + seconds).unwrap();
    for bad in [
        webhook(&receiver, &other),
        Webhook { proof: Proof::Token(&token), ..good },
        Webhook { now: at(-400), ..good },
        Webhook { now: at(400), ..good },
    ] {
        assert_eq!(bad.apply(VERSION, &new, &old, None).await, Err(Refused::ReceiverUnauthorized.into()));
        assert_eq!(password(&example)?, OLD);
    }
    assert_eq!(good.apply(VERSION, &new, &old, None).await, Ok(Applied::Now));
    Ok(())
}

#[tokio::test]
async fn wherever_the_answer_of_the_example_is_cut_the_next_delivery_finishes() -> Result<()> {
    let example = start()?;
    let (direct, key) = (receiver(example.port(), example.ca()), key(KEY));
    let (old, new) = (value(OLD), value(NEW));
    let (mut before, mut after, mut whole) = (0, 0, 0);
    for length in (0..4000).step_by(200) {
        assert!(webhook(&direct, &key).undo(VERSION, &new, &old, None).await.is_ok());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let through = reached(&direct, |endpoint| endpoint.port = listener.local_addr().map_or(0, |address| address.port()));
        let cutting = tokio::spawn(cut(listener, example.port(), length));
        let answer = webhook(&through, &key).apply(VERSION, &new, &old, None).await;
        cutting.abort();
        // The receiver can still be at it when its answer is lost.
        let mut found = password(&example)?;
        for _ in 0..50 {
            if found == NEW {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            found = password(&example)?;
        }
        match answer {
            Ok(_) => whole += 1,
            Err(failure) => {
                assert!(matches!(failure.problem, Problem::Unknown(_)), "{length}: {failure:?}");
                if found == OLD { before += 1 } else { after += 1 }
            }
        }
        let next = webhook(&direct, &key).apply(VERSION, &new, &old, None).await;
        assert!(next.is_ok(), "{length}: {next:?}");
        assert_eq!(webhook(&direct, &key).verify(VERSION, &new).await, Ok(()), "{length}");
    }
    println!("{before} cut before the change, {after} after it, {whole} not cut");
    assert!(before > 0 && after > 0 && whole > 0, "{before} {after} {whole}");
    Ok(())
}

/// Forwards so many bytes of the receiver to one client.
async fn cut(listener: TcpListener, port: u16, length: u64) -> Result<()> {
    let (client, _) = listener.accept().await?;
    let server = TcpStream::connect(("127.0.0.1", port)).await?;
    let ((mut from_client, mut to_client), (from_server, mut to_server)) = (client.into_split(), server.into_split());
    let forward = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    tokio::io::copy(&mut from_server.take(length), &mut to_client).await?;
    to_client.shutdown().await?;
    forward.abort();
    Ok(())
}

#[tokio::test]
async fn a_request_has_what_the_page_says_and_the_same_id_when_it_is_repeated() -> Result<()> {
    let (receiver, heard) = saying(ok(r#"{"outcome":"Applied"}"#)).await?;
    let key = key(KEY);
    let (old, new) = (value(OLD), value(NEW));
    let webhook = Webhook { now: Timestamp::from_second(1_614_265_330)?, ..webhook(&receiver, &key) };
    for _ in 0..2 {
        assert_eq!(webhook.apply(VERSION, &new, &old, None).await, Ok(Applied::Now));
    }
    let token = Plaintext::from("header.payload.signature".to_owned());
    let by_token = Webhook { proof: Proof::Token(&token), ..webhook };
    assert_eq!(by_token.apply(VERSION, &new, &old, None).await, Ok(Applied::Now));
    let heard = heard.lock().unwrap().clone();
    assert_eq!(heard.len(), 3);
    assert_eq!(heard[0], heard[1]);
    let port = receiver.endpoint.port;
    for line in [
        "POST /rotate?of=orders HTTP/1.1\r\n",
        &format!("host: localhost:{port}\r\n"),
        "content-type: application/json\r\n",
        &format!("webhook-id: {VERSION}-apply\r\n"),
        "webhook-timestamp: 1614265330\r\n",
    ] {
        ensure!(heard[0].contains(line) && heard[2].contains(line), "{line}");
    }
    ensure!(heard[0].contains("webhook-signature: v1,") && !heard[0].contains("authorization"));
    ensure!(heard[2].contains("authorization: Bearer header.payload.signature\r\n") && !heard[2].contains("webhook-signature"));
    let body = heard[0].split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    let expected = serde_json::json!({
        "step": "apply",
        "object": {"namespace": "shop", "name": "orders", "uid": "0b8f1c5e"},
        "versionId": VERSION,
        "pending": {"username": "orders", "password": NEW},
        "current": {"username": "orders", "password": OLD},
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(body)?, expected);
    let odd = Plaintext::from("two\r\nlines".to_owned());
    let answer = Webhook { proof: Proof::Token(&odd), ..webhook }.check(VERSION, &old).await;
    assert_eq!(answer, Err(Refused::KeyUnusable.into()));
    Ok(())
}
