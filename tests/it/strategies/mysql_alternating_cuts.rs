//! Every packet to a MySQL or MariaDB server is a crash point of two users that take turns. Statements take effect one by one.

use std::future::Future;

use anyhow::{Result, ensure};
use rotated_secrets::strategy::mysql::AlternatingUsers;
use rotated_secrets::strategy::{Applied, Problem, Refused, Undone, Unknown};

use super::mysql_pair::{Pair, version};
use super::mysql_proxy::Proxy;
use super::proxy::Break;
use super::stand::{NEW, OLD, THIRD};

const LOST: Problem = Problem::Unknown(Unknown::ConnectionLost);

/// Cuts an attempt at each packet, before and after it; `reset` comes first, `look` afterwards.
async fn at_each<T, F: Future<Output = Result<()>>>(
    pair: &Pair,
    reset: impl Fn() -> Result<()>,
    act: impl AsyncFn(AlternatingUsers<'_>) -> Result<T, Problem>,
    look: impl Fn(String) -> F,
) -> Result<usize>
where
    T: std::fmt::Debug + PartialEq,
{
    let attempt = async |at: Option<(usize, Break)>| -> Result<(Result<T, Problem>, usize)> {
        reset()?;
        let proxy = Proxy::start(pair.mysql, at).await?;
        let server = proxy.through(&pair.server);
        let answer = act(AlternatingUsers { server: &server, ..pair.strategy() }).await;
        Ok((answer, proxy.seen()))
    };
    let (answer, packets) = attempt(None).await?;
    assert!(answer.is_ok(), "{answer:?}");
    for at in 0..packets {
        for moment in [Break::Before, Break::After] {
            let (answer, seen) = attempt(Some((at, moment))).await?;
            // A password that MySQL has seen before needs one packet less.
            if seen <= at {
                continue;
            }
            assert_eq!(answer, Err(LOST), "{at} {moment:?} {:?}", pair.kind);
            look(format!("{at} {moment:?} {:?}", pair.kind)).await?;
        }
    }
    Ok(2 * packets)
}

#[tokio::test]
async fn wherever_a_first_turn_ends_the_next_attempt_completes_the_second_user_and_none_is_verified_before() -> Result<()> {
    let mut plans = 0;
    for pair in Pair::both("cut_first")? {
        pair.sql("CREATE ROLE cut_role; GRANT cut_role TO cut_first; GRANT cut_role TO cut_first_admin WITH ADMIN OPTION; ALTER USER cut_first WITH MAX_USER_CONNECTIONS 30")?;
        let (pending, current) = (pair.twin(NEW), pair.base(OLD));
        let reset = || pair.sql("DROP USER IF EXISTS cut_first_clone").map(drop);
        let look = async |place: String| -> Result<()> {
            ensure!(pair.accepts(&pair.base, OLD)?, "{place}");
            let logs_in = pair.accepts(&pair.twin, NEW)?;
            // Who logs in has everything.
            if logs_in {
                assert_eq!(pair.strategy().verify(&pending).await, Ok(()), "{place}");
                assert_eq!(pair.grants("cut_first_clone")?, pair.grants("cut_first")?, "{place}");
            } else {
                ensure!(pair.strategy().verify(&pending).await.is_err(), "{place}");
            }
            let expected = Ok(if logs_in { Applied::Already } else { Applied::Now });
            assert_eq!(pair.strategy().apply(&pending, &current, &version(1)).await, expected, "{place}");
            assert_eq!(pair.strategy().verify(&pending).await, Ok(()), "{place}");
            Ok(())
        };
        plans += at_each(&pair, reset, async |strategy| strategy.apply(&pending, &current, &version(1)).await, look).await?;
    }
    println!("{plans} plans");
    ensure!(plans >= 30, "{plans}");
    Ok(())
}

#[tokio::test]
async fn wherever_a_later_turn_ends_the_current_password_works_and_the_next_attempt_finishes() -> Result<()> {
    let mut plans = 0;
    for pair in Pair::both("cut_later")? {
        let (pending, current) = (pair.base(THIRD), pair.twin(NEW));
        assert_eq!(pair.strategy().apply(&current, &pair.base(OLD), &version(1)).await, Ok(Applied::Now));
        let second = std::cell::Cell::new(1);
        let reset = || {
            second.set(second.get() + 1);
            pair.set_password("cut_later", OLD)
        };
        let look = async |place: String| -> Result<()> {
            let [base, twin] = pair.accepted()?;
            ensure!(twin == [NEW] && base.len() == 1, "{place}: {base:?} {twin:?}");
            let expected = Ok(if base == [THIRD] { Applied::Already } else { Applied::Now });
            assert_eq!(pair.strategy().apply(&pending, &current, &version(second.get())).await, expected, "{place}");
            assert_eq!(pair.accepted()?, [vec![THIRD], vec![NEW]], "{place}");
            Ok(())
        };
        plans += at_each(&pair, reset, async |strategy| strategy.apply(&pending, &current, &version(second.get())).await, look).await?;
        let marks = pair.marks("cut_later")?;
        ensure!(marks.matches("rotated-secrets version").count() <= 2, "marks do not pile up: {marks}");
    }
    println!("{plans} plans");
    Ok(())
}

#[tokio::test]
async fn wherever_an_undo_or_a_retirement_ends_the_next_one_finishes() -> Result<()> {
    let mut plans = 0;
    for pair in Pair::both("cut_undo")? {
        let (pending, current) = (pair.twin(NEW), pair.base(OLD));
        let second = std::cell::Cell::new(1);
        let forget = || {
            second.set(second.get() + 1);
            pair.sql("DROP USER IF EXISTS cut_undo_clone").map(drop)
        };
        let undo = async |strategy: AlternatingUsers<'_>| {
            pair.strategy().apply(&pending, &current, &version(second.get())).await?;
            strategy.undo(&pending, &version(second.get()), &current, None).await
        };
        let look = async |place: String| -> Result<()> {
            let answer = pair.strategy().undo(&pending, &version(second.get()), &current, None).await;
            ensure!(matches!(answer, Ok(Undone::Now | Undone::Nothing)), "{place}: {answer:?}");
            assert_eq!(pair.accepted()?, [vec![OLD], vec![]], "{place}");
            let late = pair.strategy().apply(&pending, &current, &version(second.get())).await;
            assert_eq!(late, Err(Refused::Superseded.into()), "{place}");
            Ok(())
        };
        plans += at_each(&pair, forget, undo, look).await?;
        let retire = async |strategy: AlternatingUsers<'_>| {
            pair.strategy().apply(&pending, &current, &version(second.get())).await?;
            strategy.retire(&pending, &current, &version(second.get() + 1)).await
        };
        let look = async |place: String| -> Result<()> {
            assert_eq!(pair.strategy().retire(&pending, &current, &version(second.get() + 1)).await, Ok(()), "{place}");
            assert_eq!(pair.accepted()?, [vec![OLD], vec![]], "{place}");
            Ok(())
        };
        plans += at_each(&pair, forget, retire, look).await?;
    }
    println!("{plans} plans");
    Ok(())
}
