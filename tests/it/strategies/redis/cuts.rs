//! Every command to the server is a crash point: the connection ends before the server has it, or after it has it and before
//! its answer arrives.

use std::time::Duration;

use anyhow::Result;
use rotated_secrets::strategy::redis::Server;
use rotated_secrets::strategy::{Applied, Limits, Problem, Tls, Undone, Unknown};

use super::super::cutting::cut_everywhere;
use super::proxy::{Break, MOMENTS, Proxy};
use super::stand::{ALL, NEW, OLD, Stand, THIRD, by, reached, version};

/// The server behind a proxy, which reads what is not encrypted.
fn through(stand: &Stand, proxy: &Proxy) -> Server {
    reached(&stand.server, |endpoint| (endpoint.port, endpoint.tls) = (proxy.port, Tls::Disable))
}

/// Two logins, the question who it is, the administrator's login, what the server is, the user, its first mark, the user
/// again, the change, and the file.
const COMMANDS: usize = 10;

async fn apply(stand: &Stand<'_>, at: Option<(usize, Break)>, limits: Option<Limits>) -> Result<(Result<Applied, Problem>, usize)> {
    let proxy = Proxy::start(stand.redis.plain_port(), at).await?;
    let mut server = through(stand, &proxy);
    server.endpoint.limits = limits.unwrap_or(server.endpoint.limits);
    let third = stand.with(THIRD);
    let answer = by(&server, &stand.admin).apply(&stand.with(NEW), &stand.with(OLD), Some(&third), &version(1)).await;
    Ok((answer, proxy.seen()))
}

#[tokio::test]
async fn wherever_attempts_end_the_current_password_works_and_the_next_attempt_finishes() -> Result<()> {
    let stand = Stand::new("cut_apply")?;
    let prepare = async || stand.reset(&[OLD, THIRD]);
    prepare().await?;
    assert_eq!(apply(&stand, None, None).await?, (Ok(Applied::Now), COMMANDS));
    let attempt = async |at| apply(&stand, at, None).await;
    let found = cut_everywhere(MOMENTS, prepare, attempt, async || stand.accepted()).await?;
    println!("{} sequences of cuts", found.plans);
    // The new password takes the place of the older one, in one command.
    assert_eq!(found.states, [[OLD, THIRD], [OLD, NEW]]);
    assert_eq!(found.end, [OLD, NEW]);
    Ok(())
}

#[tokio::test]
async fn wherever_undos_end_the_next_one_finishes() -> Result<()> {
    let stand = Stand::new("cut_undo")?;
    let [old, new, ..] = ALL.map(|password| stand.with(password));
    let undo = async |at| -> Result<(Result<Undone, Problem>, usize)> {
        let proxy = Proxy::start(stand.redis.plain_port(), at).await?;
        let server = through(&stand, &proxy);
        Ok((by(&server, &stand.admin).undo(&new, &old, None, &version(1)).await, proxy.seen()))
    };
    let prepare = async || stand.reset(&[OLD, NEW]);
    let found = cut_everywhere(MOMENTS, prepare, undo, async || stand.accepted()).await?;
    println!("{} sequences of cuts", found.plans);
    assert_eq!(found.states, [vec![OLD, NEW], vec![OLD]]);
    assert_eq!(found.end, [OLD]);
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
