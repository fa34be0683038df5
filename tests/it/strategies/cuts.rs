//! Every message to the server is a crash point: the connection ends before the server has it, or after it has it and
//! before its answer arrives.

use std::time::Duration;

use anyhow::Result;
use rotated_secrets::strategy::postgres::{Server, SingleUser};
use rotated_secrets::strategy::{Applied, Limits, Problem, Tls, Undone, Unknown};

use super::proxy::{Break, Proxy};
use super::stand::{NEW, OLD, Stand, by_address, reached};

/// The server behind a proxy, which reads what is not encrypted.
fn through(stand: &Stand, proxy: &Proxy) -> Server {
    reached(&stand.server, |endpoint| {
        by_address(endpoint);
        (endpoint.port, endpoint.tls) = (proxy.port, Tls::Disable);
    })
}

async fn apply(stand: &Stand, at: Option<(usize, Break)>) -> Result<(Result<Applied, Problem>, usize)> {
    let proxy = Proxy::start(stand.postgres.port(), at).await?;
    let server = through(stand, &proxy);
    let answer = SingleUser { server: &server }.apply(&stand.with(NEW), &stand.with(OLD), None).await;
    Ok((answer, proxy.seen()))
}

/// What the server accepts now, as our own client sees it: old or new.
async fn accepts(stand: &Stand) -> [bool; 2] {
    let old = stand.strategy().check(&stand.with(OLD)).await;
    let new = stand.strategy().check(&stand.with(NEW)).await;
    [old.is_ok(), new.is_ok()]
}

#[tokio::test]
async fn wherever_an_attempt_ends_the_server_accepts_one_of_the_two_and_the_next_attempt_finishes() -> Result<()> {
    let stand = Stand::new("cut_once")?;
    let (answer, messages) = apply(&stand, None).await?;
    assert_eq!(answer, Ok(Applied::Now));
    // Two logins of three messages; the first is refused. Two settings, the question whether it is a pooler, and the statement.
    assert_eq!(messages, 3 + 3 + 4);
    let (mut lost, mut done) = (0, 0);
    for at in 0..messages {
        for moment in [Break::Before, Break::After] {
            stand.reset(OLD)?;
            let (answer, _) = apply(&stand, Some((at, moment))).await?;
            assert_eq!(answer, Err(Problem::Unknown(Unknown::ConnectionLost)), "{at} {moment:?}");
            let accepted = decided(&stand).await;
            assert_eq!(accepted.iter().filter(|accepted| **accepted).count(), 1, "{at} {moment:?}");
            let changed = at == messages - 1 && moment == Break::After;
            assert_eq!(accepted, [!changed, changed], "{at} {moment:?}");
            let (next, _) = apply(&stand, None).await?;
            assert_eq!(next, Ok(if changed { Applied::Already } else { Applied::Now }), "{at} {moment:?}");
            assert_eq!(stand.accepted()?, [NEW], "{at} {moment:?}");
            if changed { done += 1 } else { lost += 1 }
        }
    }
    assert_eq!((lost, done), (19, 1));
    Ok(())
}

#[tokio::test]
async fn two_attempts_that_end_anywhere_leave_nothing_that_a_third_one_does_not_finish() -> Result<()> {
    let stand = Stand::new("cut_twice")?;
    let messages = 10;
    let mut plans = 0;
    for first in 0..messages {
        for second in 0..messages {
            for moments in [[Break::Before, Break::After], [Break::After, Break::After], [Break::After, Break::Before]] {
                stand.reset(OLD)?;
                for (at, moment) in [first, second].into_iter().zip(moments) {
                    let _ = apply(&stand, Some((at, moment))).await?;
                    let accepted = decided(&stand).await;
                    assert_ne!(accepted[0], accepted[1], "{first} {second} {moments:?}");
                }
                assert!(apply(&stand, None).await?.0.is_ok(), "{first} {second} {moments:?}");
                assert_eq!(accepts(&stand).await, [false, true], "{first} {second} {moments:?}");
                plans += 1;
            }
        }
    }
    assert_eq!(plans, 300);
    Ok(())
}

#[tokio::test]
async fn wherever_an_undo_ends_the_next_one_finishes() -> Result<()> {
    let stand = Stand::new("cut_undo")?;
    stand.reset(NEW)?;
    let proxy = Proxy::start(stand.postgres.port(), None).await?;
    let server = through(&stand, &proxy);
    assert_eq!(SingleUser { server: &server }.undo(&stand.with(NEW), &stand.with(OLD), None).await, Ok(Undone::Now));
    for at in 0..proxy.seen() {
        for moment in [Break::Before, Break::After] {
            stand.reset(NEW)?;
            let proxy = Proxy::start(stand.postgres.port(), Some((at, moment))).await?;
            let server = through(&stand, &proxy);
            let _ = SingleUser { server: &server }.undo(&stand.with(NEW), &stand.with(OLD), None).await;
            let accepted = decided(&stand).await;
            assert_ne!(accepted[0], accepted[1], "{at} {moment:?}");
            let undone = stand.strategy().undo(&stand.with(NEW), &stand.with(OLD), None).await;
            assert_eq!(undone, Ok(if accepted[0] { Undone::Nothing } else { Undone::Now }), "{at} {moment:?}");
            assert_eq!(stand.accepted()?, [OLD], "{at} {moment:?}");
        }
    }
    Ok(())
}

/// Which of the two passwords log in. A statement that the server got before the connection was cut can be carried out
/// between the two logins, so an answer that cannot be is asked for again.
async fn decided(stand: &Stand) -> [bool; 2] {
    let accepted = accepts(stand).await;
    if accepted[0] == accepted[1] { accepts(stand).await } else { accepted }
}

#[tokio::test]
async fn a_server_that_hangs_floods_or_asks_for_data_at_any_message_is_left() -> Result<()> {
    let mut stand = Stand::new("misbehaves")?;
    for at in 0..10 {
        for (kind, limit) in [
            (Break::Hang, Duration::from_millis(400)),
            (Break::Flood, stand.server.endpoint.limits.step),
            (Break::AskForData, stand.server.endpoint.limits.step),
        ] {
            stand.reset(OLD)?;
            stand.server.endpoint.limits = Limits { connect: limit, statement: limit, step: limit };
            let (answer, _) = apply(&stand, Some((at, kind))).await?;
            stand.server.endpoint.limits =
                Limits { connect: Duration::from_mins(1), statement: Duration::from_mins(1), step: Duration::from_mins(3) };
            let expected = if kind == Break::Hang { Unknown::Timeout } else { Unknown::ProtocolViolation };
            assert_eq!(answer, Err(Problem::Unknown(expected)), "{at} {kind:?}");
            let accepted = decided(&stand).await;
            assert_ne!(accepted[0], accepted[1], "{at} {kind:?}");
        }
    }
    Ok(())
}

/// The server carries a statement out although the connection has ended, here when a lock is released.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_waits_for_a_lock_does_not_outlive_the_undo() -> Result<()> {
    let stand = Stand::new("cut_locked")?;
    let lock = format!("BEGIN; SELECT 1 FROM pg_authid WHERE rolname = '{}' FOR UPDATE; SELECT pg_sleep(5); COMMIT", stand.role);
    let postgres = stand.postgres;
    let locked = tokio::task::spawn_blocking(move || postgres.sql("postgres", &lock));
    let holds = format!("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%{}%'", stand.role);
    while stand.sql(&holds)? == "0" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (answer, _) = apply(&stand, Some((8, Break::AskForData))).await?;
    assert_eq!(answer, Err(Problem::Unknown(Unknown::ProtocolViolation)));
    let undone = stand.strategy().undo(&stand.with(NEW), &stand.with(OLD), None).await;
    assert_eq!(undone, Ok(Undone::Nothing));
    locked.await??;
    assert_eq!(stand.accepted()?, [OLD]);
    Ok(())
}
