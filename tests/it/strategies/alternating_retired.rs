//! Two users of PostgreSQL take turns, and the one that is not in use is locked.

use anyhow::{Result, ensure};
use rotated_secrets::strategy::{Applied, Refused, Undone};

use super::alternating::{Pair, refused, version};
use super::stand::{NEW, OLD, THIRD};

#[tokio::test]
async fn the_old_user_cannot_log_in_after_it_is_retired_and_its_next_turn_unlocks_it() -> Result<()> {
    let pair = Pair::new("retired")?;
    let strategy = pair.strategy();
    assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(2)).await, Ok(Applied::Now));
    // The value that is current is not one that the server accepts.
    assert_eq!(strategy.retire(&pair.base(OLD), &pair.twin(THIRD), &version(2)).await, refused(Refused::NoPasswordAccepted));
    assert_eq!(strategy.retire(&pair.twin(NEW), &pair.twin(NEW), &version(2)).await, refused(Refused::CannotUndo));
    assert_eq!(pair.accepted()?, [vec![OLD], vec![NEW]]);
    for _ in 0..2 {
        assert_eq!(strategy.retire(&pair.base(OLD), &pair.twin(NEW), &version(2)).await, Ok(()));
        assert_eq!(pair.accepted()?, [vec![], vec![NEW]]);
    }
    ensure!(pair.comment("retired")?.contains("version-2 of 2000 retired]"), "{}", pair.comment("retired")?);
    // The second user still works as the base user.
    assert_eq!(strategy.verify(&pair.twin(NEW)).await, Ok(()));
    pair.postgres.sql_as(&pair.twin, NEW, "SELECT 1")?;
    // A replica that wakes up late cannot set the version again that was current before.
    assert_eq!(strategy.apply(&pair.base(OLD), &pair.twin(NEW), &version(1)).await, refused(Refused::Superseded));
    assert_eq!(strategy.apply(&pair.base(THIRD), &pair.twin(NEW), &version(3)).await, Ok(Applied::Now));
    assert_eq!(pair.accepted()?, [vec![THIRD], vec![NEW]]);
    // A retirement that comes late leaves the user that has a later version alone.
    assert_eq!(strategy.retire(&pair.base(THIRD), &pair.twin(NEW), &version(2)).await, refused(Refused::Superseded));
    assert_eq!(pair.accepted()?, [vec![THIRD], vec![NEW]]);
    assert_eq!(strategy.retire(&pair.twin(NEW), &pair.base(THIRD), &version(3)).await, Ok(()));
    assert_eq!(pair.accepted()?, [vec![THIRD], vec![]]);
    // A rollback to the version before has the password that the locked user has.
    assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(THIRD), &version(4)).await, Ok(Applied::Now));
    assert_eq!(pair.accepted()?, [vec![THIRD], vec![NEW]]);
    // What another person locked stays locked.
    pair.sql("ALTER ROLE retired NOLOGIN")?;
    assert_eq!(strategy.apply(&pair.base(OLD), &pair.twin(NEW), &version(5)).await, refused(Refused::BaseUserNotUsable));
    assert_eq!(pair.accepted()?, [vec![], vec![NEW]]);
    Ok(())
}

#[tokio::test]
async fn a_version_is_withdrawn_from_a_locked_user_and_the_next_one_unlocks_it() -> Result<()> {
    let pair = Pair::new("relocked")?;
    let strategy = pair.strategy();
    assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(2)).await, Ok(Applied::Now));
    assert_eq!(strategy.retire(&pair.base(OLD), &pair.twin(NEW), &version(2)).await, Ok(()));
    assert_eq!(strategy.undo(&pair.base(THIRD), &version(3), &pair.twin(NEW), None).await, Ok(Undone::Nothing));
    assert_eq!(strategy.apply(&pair.base(THIRD), &pair.twin(NEW), &version(3)).await, refused(Refused::Superseded));
    assert_eq!(pair.accepted()?, [vec![], vec![NEW]]);
    assert_eq!(strategy.apply(&pair.base(THIRD), &pair.twin(NEW), &version(4)).await, Ok(Applied::Now));
    assert_eq!(pair.accepted()?, [vec![THIRD], vec![NEW]]);
    Ok(())
}

#[tokio::test]
async fn a_user_from_which_a_later_version_was_withdrawn_is_retired_all_the_same() -> Result<()> {
    let pair = Pair::new("withdrawn_twin")?;
    let strategy = pair.strategy();
    assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(2)).await, Ok(Applied::Now));
    assert_eq!(strategy.undo(&pair.base(THIRD), &version(3), &pair.twin(NEW), None).await, Ok(Undone::Nothing));
    assert_eq!(strategy.retire(&pair.base(OLD), &pair.twin(NEW), &version(2)).await, Ok(()));
    assert_eq!(pair.accepted()?, [vec![], vec![NEW]]);
    assert_eq!(strategy.apply(&pair.base(THIRD), &pair.twin(NEW), &version(3)).await, refused(Refused::Superseded), "it stays withdrawn");
    assert_eq!(strategy.apply(&pair.base(THIRD), &pair.twin(NEW), &version(4)).await, Ok(Applied::Now));
    assert_eq!(pair.accepted()?, [vec![THIRD], vec![NEW]]);
    Ok(())
}

#[tokio::test]
async fn without_the_right_to_change_the_user_it_stays_as_it_is() -> Result<()> {
    let pair = Pair::new("kept")?;
    let strategy = pair.strategy();
    assert_eq!(strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(2)).await, Ok(Applied::Now));
    pair.sql("ALTER ROLE kept_admin NOCREATEROLE")?;
    assert_eq!(strategy.retire(&pair.base(OLD), &pair.twin(NEW), &version(2)).await, refused(Refused::AdminNotPermitted));
    assert_eq!(pair.accepted()?, [vec![OLD], vec![NEW]]);
    ensure!(!pair.comment("kept")?.contains("retired"), "the mark is of the same transaction");
    Ok(())
}
