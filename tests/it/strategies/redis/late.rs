//! A replica of the operator that is stopped before the command that changes the user, and goes on later.

use std::ops::RangeInclusive;

use anyhow::Result;
use rotated_secrets::strategy::redis::TwoPasswords;
use rotated_secrets::strategy::{Applied, Problem, Refused, Tls, Undone};

use super::proxy::{Break, Proxy};
use super::stand::{ALL, FOURTH, NEW, OLD, Stand, THIRD, by, reached, refused, version};

/// The commands of the administrator, of a user that has no mark yet, if the staged password is refused first: the login,
/// what the server is, the user, the mark, the user again, and the change.
const APPLY: RangeInclusive<usize> = 3..=8;
/// The same of a user that has a mark, if the first password is accepted.
const UNDO: RangeInclusive<usize> = 2..=5;

#[tokio::test]
async fn a_late_change_does_not_bring_an_old_password_back() -> Result<()> {
    let stand = Stand::new("late_apply")?;
    let [old, new, third, fourth] = ALL.map(|password| stand.with(password));
    let strategy = stand.strategy();
    for (at, rotations) in APPLY.flat_map(|at| [(at, 1), (at, 2), (at, 3)]) {
        stand.reset(&[OLD])?;
        let step = async |late: TwoPasswords<'_>| late.apply(&new, &old, None, &version(1)).await;
        let (answer, others) = late(&stand, at, step, async || {
            assert_eq!(strategy.apply(&new, &old, None, &version(1)).await, Ok(Applied::Now));
            if rotations > 1 {
                assert_eq!(strategy.apply(&third, &new, Some(&old), &version(2)).await, Ok(Applied::Now));
            }
            if rotations > 2 {
                assert_eq!(strategy.apply(&fourth, &third, Some(&new), &version(3)).await, Ok(Applied::Now));
            }
            stand.accepted()
        })
        .await?;
        assert_eq!(answer, if rotations == 1 { Ok(Applied::Already) } else { refused(Refused::Superseded) }, "{at} {rotations}");
        assert_eq!(stand.accepted()?, others, "{at} {rotations}");
    }
    Ok(())
}

#[tokio::test]
async fn a_late_change_does_not_take_a_password_away_that_is_current_again() -> Result<()> {
    let stand = Stand::new("late_rollback")?;
    let [old, new, third, fourth] = ALL.map(|password| stand.with(password));
    let strategy = stand.strategy();
    for at in APPLY {
        stand.reset(&[OLD, FOURTH])?;
        let step = async |late: TwoPasswords<'_>| late.apply(&new, &old, None, &version(1)).await;
        // It would remove the fourth one, which a rollback makes current.
        let (answer, others) = late(&stand, at, step, async || {
            assert_eq!(strategy.apply(&new, &old, None, &version(1)).await, Ok(Applied::Now));
            assert_eq!(strategy.apply(&fourth, &new, Some(&old), &version(2)).await, Ok(Applied::Now));
            assert_eq!(strategy.apply(&old, &fourth, Some(&new), &version(3)).await, Ok(Applied::Now));
            stand.accepted()
        })
        .await?;
        assert_eq!((answer, others.as_slice()), (refused(Refused::Superseded), [OLD, FOURTH].as_slice()), "{at}");
        assert_eq!(stand.accepted()?, [OLD, FOURTH], "{at}");
        assert_eq!(strategy.apply(&third, &old, Some(&fourth), &version(4)).await, Ok(Applied::Now), "{at}");
        assert_eq!(stand.accepted()?, [OLD, THIRD], "{at}");
    }
    Ok(())
}

#[tokio::test]
async fn a_late_change_does_not_bring_an_abandoned_password_back() -> Result<()> {
    let stand = Stand::new("late_abandoned")?;
    let [old, new, third, _] = ALL.map(|password| stand.with(password));
    let strategy = stand.strategy();
    for (at, then) in APPLY.flat_map(|at| [(at, false), (at, true)]) {
        stand.reset(&[OLD])?;
        let step = async |late: TwoPasswords<'_>| late.apply(&new, &old, None, &version(1)).await;
        let (answer, others) = late(&stand, at, step, async || {
            assert_eq!(strategy.undo(&new, &old, None, &version(1)).await, Ok(Undone::Nothing));
            if then {
                assert_eq!(strategy.apply(&third, &old, None, &version(2)).await, Ok(Applied::Now));
            }
            stand.accepted()
        })
        .await?;
        assert_eq!(answer, refused(Refused::Superseded), "{at} {then}");
        assert_eq!(stand.accepted()?, others, "{at} {then}");
        assert!(!others.contains(&NEW), "{at} {then}");
    }
    Ok(())
}

#[tokio::test]
async fn a_late_undo_takes_nothing_of_a_later_version_away() -> Result<()> {
    let stand = Stand::new("late_undo")?;
    let [old, new, third, _] = ALL.map(|password| stand.with(password));
    let strategy = stand.strategy();
    for at in UNDO {
        stand.reset(&[OLD])?;
        assert_eq!(strategy.apply(&new, &old, None, &version(1)).await, Ok(Applied::Now));
        let step = async |late: TwoPasswords<'_>| late.undo(&new, &old, None, &version(1)).await;
        let (answer, _) = late(&stand, at, step, async || {
            assert_eq!(strategy.undo(&new, &old, None, &version(1)).await, Ok(Undone::Now));
            assert_eq!(strategy.apply(&third, &old, None, &version(2)).await, Ok(Applied::Now));
            // A rollback to the value that was abandoned.
            assert_eq!(strategy.apply(&new, &third, Some(&old), &version(3)).await, Ok(Applied::Now));
            stand.accepted()
        })
        .await?;
        assert_eq!(answer, refused(Refused::CannotUndo), "{at}");
        assert_eq!(stand.accepted()?, [NEW, THIRD], "{at}");
    }
    Ok(())
}

/// What a replica answers that is stopped at this command and goes on after the others are done.
async fn late<T, O>(
    stand: &Stand<'_>,
    at: usize,
    step: impl AsyncFnOnce(TwoPasswords<'_>) -> Result<T, Problem>,
    others: impl AsyncFnOnce() -> Result<O>,
) -> Result<(Result<T, Problem>, O)> {
    let proxy = Proxy::start(stand.redis.plain_port(), Some((at, Break::Late))).await?;
    let server = reached(&stand.server, |endpoint| (endpoint.port, endpoint.tls) = (proxy.port, Tls::Disable));
    let (late, others) = tokio::join!(step(by(&server, &stand.admin)), async {
        proxy.held.notified().await;
        let done = others().await;
        proxy.release.notify_one();
        done
    });
    Ok((late, others?))
}
