//! Every message to the server is a crash point: the connection ends before the server has it, or after it has it and
//! before its answer arrives.

use std::time::Duration;

use anyhow::Result;
use rotated_secrets::strategy::postgres::{Server, SingleUser};
use rotated_secrets::strategy::{Applied, Limits, Problem, Tls, Undone, Unknown};
use testkit::until;

use super::cutting::cut_everywhere;
use super::proxy::{Break, MOMENTS, Proxy};
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

async fn undo(stand: &Stand, at: Option<(usize, Break)>) -> Result<(Result<Undone, Problem>, usize)> {
    let proxy = Proxy::start(stand.postgres.port(), at).await?;
    let server = through(stand, &proxy);
    let answer = SingleUser { server: &server }.undo(&stand.with(NEW), &stand.with(OLD), None).await;
    Ok((answer, proxy.seen()))
}

/// Whether the old and the new password log in, as our own client sees it. A statement that the server got before the
/// connection was cut can be carried out between the two logins, so an answer that cannot be is asked for again.
async fn decided(stand: &Stand) -> [bool; 2] {
    let accepts = async || {
        let old = stand.strategy().check(&stand.with(OLD)).await;
        let new = stand.strategy().check(&stand.with(NEW)).await;
        [old.is_ok(), new.is_ok()]
    };
    let accepted = accepts().await;
    if accepted[0] == accepted[1] { accepts().await } else { accepted }
}

#[tokio::test]
async fn a_process_that_is_stopped_between_login_and_change_changes_nothing_when_it_goes_on() -> Result<()> {
    let stand = Stand::new("cut_late")?;
    let (_, messages) = apply(&stand, None).await?;
    stand.reset(OLD)?;
    let (answer, _) = apply(&stand, Some((messages - 1, Break::Late))).await?;
    assert_eq!(answer, Err(Unknown::ConnectionLost.into()), "the server has ended the session");
    assert_eq!(stand.accepted()?, [OLD]);
    Ok(())
}

#[tokio::test]
async fn wherever_attempts_end_the_server_accepts_one_of_the_two_and_the_next_attempt_finishes() -> Result<()> {
    let stand = Stand::new("cut_apply")?;
    // Two logins of three messages; the first is refused. Two settings, the question whether it is a pooler, and the statement.
    assert_eq!(apply(&stand, None).await?, (Ok(Applied::Now), 3 + 3 + 4));
    let prepare = async || stand.reset(OLD);
    let found = cut_everywhere(MOMENTS, prepare, async |at| apply(&stand, at).await, async || Ok(decided(&stand).await)).await?;
    assert_eq!(found.states, [[true, false], [false, true]]);
    assert_eq!(found.end, [false, true]);
    // 10 messages from the first state, a login of 5 from the second, and nothing at all from each.
    assert_eq!(found.plans, (1 + 10) + (1 + 5));
    assert_eq!(stand.accepted()?, [NEW]);
    Ok(())
}

#[tokio::test]
async fn wherever_undos_end_the_server_accepts_one_of_the_two_and_the_next_undo_finishes() -> Result<()> {
    let stand = Stand::new("cut_undo")?;
    let prepare = async || stand.reset(NEW);
    let found = cut_everywhere(MOMENTS, prepare, async |at| undo(&stand, at).await, async || Ok(decided(&stand).await)).await?;
    assert_eq!(found.states, [[false, true], [true, false]]);
    assert_eq!(found.end, [true, false]);
    assert_eq!(stand.accepted()?, [OLD]);
    Ok(())
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
    let (_, messages) = apply(&stand, None).await?;
    stand.reset(OLD)?;
    let lock = format!("BEGIN; SELECT 1 FROM pg_authid WHERE rolname = '{}' FOR UPDATE; SELECT pg_sleep(3600); COMMIT", stand.role);
    let postgres = stand.postgres;
    let locked = tokio::task::spawn_blocking(move || postgres.sql("postgres", &lock));
    let holds = format!("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%{}%'", stand.role);
    while stand.sql(&holds)? == "0" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // At the statement that changes the password.
    let (answer, _) = apply(&stand, Some((messages - 1, Break::AskForData))).await?;
    assert_eq!(answer, Err(Problem::Unknown(Unknown::ProtocolViolation)));
    let waits =
        format!("SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE usename = '{}' AND wait_event_type = 'Lock'", stand.role);
    let change = until("the change waits", async || Ok(Some(stand.sql(&waits)?).filter(|pids| !pids.is_empty()))).await?;
    let (new, old) = (stand.with(NEW), stand.with(OLD));
    let strategy = stand.strategy();
    let (undone, released) = tokio::join!(strategy.undo(&new, &old, None), async {
        // The undo has ended the change, and its own statement waits in its place.
        until("the undo waits", async || Ok(Some(stand.sql(&waits)?).filter(|pids| !pids.is_empty() && *pids != change))).await?;
        postgres.end_sessions(&format!("rolname = ''{}'' FOR UPDATE", stand.role))
    });
    released?;
    assert_eq!(undone, Ok(Undone::Nothing));
    assert!(locked.await?.is_err(), "it had the lock until now");
    assert_eq!(stand.accepted()?, [OLD]);
    Ok(())
}
