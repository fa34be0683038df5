//! Every command to the server is a crash point: the connection ends before the server has it, or after it has it and before
//! its answer arrives.

use std::time::Duration;

use anyhow::Result;
use rotated_secrets::strategy::redis::Server;
use rotated_secrets::strategy::{Applied, Limits, Problem, Tls, Undone, Unknown};

use super::proxy::{Break, Proxy};
use super::stand::{ALL, NEW, OLD, Stand, THIRD, by, reached, version};

/// The server behind a proxy, which reads what is not encrypted.
fn through(stand: &Stand, proxy: &Proxy) -> Server {
    reached(&stand.server, |endpoint| (endpoint.port, endpoint.tls) = (proxy.port, Tls::Disable))
}

/// Two logins, the question who it is, the administrator's login, what the server is, the user, its first mark, the user
/// again, the change, and the file.
const COMMANDS: usize = 10;
const CHANGE: usize = 8;

async fn apply(stand: &Stand<'_>, at: Option<(usize, Break)>, limits: Option<Limits>) -> Result<(Result<Applied, Problem>, usize)> {
    let proxy = Proxy::start(stand.redis.plain_port(), at).await?;
    let mut server = through(stand, &proxy);
    server.endpoint.limits = limits.unwrap_or(server.endpoint.limits);
    let third = stand.with(THIRD);
    let answer = by(&server, &stand.admin).apply(&stand.with(NEW), &stand.with(OLD), Some(&third), &version(1)).await;
    Ok((answer, proxy.seen()))
}

/// The current password works; the new one does from the change on, in place of the older one.
fn expected(changed: bool) -> [&'static str; 2] {
    if changed { [OLD, NEW] } else { [OLD, THIRD] }
}

#[tokio::test]
async fn wherever_an_attempt_ends_the_current_password_works_and_the_next_attempt_finishes() -> Result<()> {
    let stand = Stand::new("cut_once")?;
    stand.reset(&[OLD, THIRD])?;
    assert_eq!(apply(&stand, None, None).await?, (Ok(Applied::Now), COMMANDS));
    let mut done = 0;
    for at in 0..COMMANDS {
        for moment in [Break::Before, Break::After] {
            stand.reset(&[OLD, THIRD])?;
            let (answer, _) = apply(&stand, Some((at, moment)), None).await?;
            assert_eq!(answer, Err(Problem::Unknown(Unknown::ConnectionLost)), "{at} {moment:?}");
            let changed = at > CHANGE || (at, moment) == (CHANGE, Break::After);
            assert_eq!(stand.accepted()?, expected(changed), "{at} {moment:?}");
            let (next, _) = apply(&stand, None, None).await?;
            assert_eq!(next, Ok(if changed { Applied::Already } else { Applied::Now }), "{at} {moment:?}");
            assert_eq!(stand.accepted()?, [OLD, NEW], "{at} {moment:?}");
            done += 1;
        }
    }
    assert_eq!(done, 20);
    Ok(())
}

#[tokio::test]
async fn two_attempts_that_end_anywhere_leave_nothing_that_a_third_one_does_not_finish() -> Result<()> {
    let stand = Stand::new("cut_twice")?;
    let mut plans = 0;
    for first in 0..COMMANDS {
        for second in 0..COMMANDS {
            for moments in [[Break::Before, Break::After], [Break::After, Break::After], [Break::After, Break::Before]] {
                stand.reset(&[OLD, THIRD])?;
                for (at, moment) in [first, second].into_iter().zip(moments) {
                    let _ = apply(&stand, Some((at, moment)), None).await?;
                    assert_eq!(stand.strategy().check(&stand.with(OLD)).await, Ok(()), "{first} {second} {moments:?}");
                }
                assert!(apply(&stand, None, None).await?.0.is_ok(), "{first} {second} {moments:?}");
                assert_eq!(stand.accepted()?, [OLD, NEW], "{first} {second} {moments:?}");
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
    let [old, new, ..] = ALL.map(|password| stand.with(password));
    let undo = async |at| -> Result<(Result<Undone, Problem>, usize)> {
        let proxy = Proxy::start(stand.redis.plain_port(), at).await?;
        let server = through(&stand, &proxy);
        Ok((by(&server, &stand.admin).undo(&new, &old, None, &version(1)).await, proxy.seen()))
    };
    stand.reset(&[OLD, NEW])?;
    let (answer, commands) = undo(None).await?;
    assert_eq!((answer, commands), (Ok(Undone::Now), 11));
    for at in 0..commands {
        for moment in [Break::Before, Break::After] {
            stand.reset(&[OLD, NEW])?;
            let (answer, _) = undo(Some((at, moment))).await?;
            assert_eq!(answer, Err(Problem::Unknown(Unknown::ConnectionLost)), "{at} {moment:?}");
            let accepted = stand.accepted()?;
            assert!(accepted == [OLD] || accepted == [OLD, NEW], "{at} {moment:?}");
            let again = undo(None).await?.0;
            assert_eq!(again, Ok(if accepted == [OLD] { Undone::Nothing } else { Undone::Now }), "{at} {moment:?}");
            assert_eq!(stand.accepted()?, [OLD], "{at} {moment:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_hangs_or_floods_at_any_command_is_left() -> Result<()> {
    let stand = Stand::new("misbehaves")?;
    let short = Duration::from_millis(300);
    for at in 0..COMMANDS {
        for (kind, limits, expected) in [
            (Break::Hang, Some(Limits { connect: short, statement: short, step: short }), Unknown::Timeout),
            (Break::Flood, None, Unknown::ProtocolViolation),
        ] {
            stand.reset(&[OLD])?;
            assert_eq!(apply(&stand, Some((at, kind)), limits).await?.0, Err(Problem::Unknown(expected)), "{at} {kind:?}");
            assert_eq!(stand.strategy().check(&stand.with(OLD)).await, Ok(()), "{at} {kind:?}");
            assert!(apply(&stand, None, None).await?.0.is_ok(), "{at} {kind:?}");
            assert_eq!(stand.accepted()?, [OLD, NEW], "{at} {kind:?}");
        }
    }
    Ok(())
}
