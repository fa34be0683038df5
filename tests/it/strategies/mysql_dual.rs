//! One user with two passwords, on a real MySQL.

use anyhow::Result;
use rotated_secrets::strategy::mysql::DualPassword;
use rotated_secrets::strategy::{Applied, Problem, Refused, Undone};
use testkit::mysql::Kind;

use super::mysql_stand::Stand;
use super::stand::{NEW, OLD, THIRD, credential};

/// `None`: there is no MySQL here.
fn stand(user: &str) -> Result<Option<Stand>> {
    if !Kind::here().contains(&Kind::MySql) {
        return Ok(None);
    }
    let stand = Stand::new(Kind::MySql, user)?;
    stand.sql(&format!("GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO {user}"))?;
    Ok(Some(stand))
}

#[tokio::test]
async fn the_password_before_works_until_the_next_rotation() -> Result<()> {
    let Some(stand) = stand("dual_once")? else { return Ok(()) };
    let (old, new, third) = (stand.with(OLD), stand.with(NEW), stand.with(THIRD));
    assert_eq!(stand.dual().apply(&new, &old, None).await, Ok(Applied::Now));
    assert_eq!(stand.accepted()?, [OLD, NEW]);
    assert_eq!(stand.dual().verify(&new).await, Ok(()));
    assert_eq!(stand.dual().apply(&new, &old, None).await, Ok(Applied::Already), "a lost answer");
    assert_eq!(stand.accepted()?, [OLD, NEW], "and the current one keeps working");
    assert_eq!(stand.dual().apply(&third, &new, Some(&old)).await, Ok(Applied::Now));
    assert_eq!(stand.accepted()?, [NEW, THIRD]);
    assert_eq!(stand.dual().retire(&new, &third).await, Ok(()));
    assert_eq!(stand.accepted()?, [THIRD]);
    Ok(())
}

#[tokio::test]
async fn a_version_with_the_same_password_ends_none() -> Result<()> {
    let Some(stand) = stand("dual_same")? else { return Ok(()) };
    let (old, new, third) = (stand.with(OLD), stand.with(NEW), stand.with(THIRD));
    assert_eq!(stand.dual().apply(&new, &old, None).await, Ok(Applied::Now));
    // Another field of the declaration changed.
    assert_eq!(stand.dual().apply(&new, &new, Some(&old)).await, Ok(Applied::Already));
    assert_eq!(stand.accepted()?, [OLD, NEW], "pods may have the previous one");
    assert_eq!(stand.dual().apply(&third, &new, Some(&new)).await, Ok(Applied::Now));
    assert_eq!(stand.accepted()?, [NEW, THIRD]);
    Ok(())
}

#[tokio::test]
async fn a_rollback_to_the_password_before_keeps_both_in_the_rotation_after_it_too() -> Result<()> {
    let Some(stand) = stand("dual_back")? else { return Ok(()) };
    let (old, new, third) = (stand.with(OLD), stand.with(NEW), stand.with(THIRD));
    assert_eq!(stand.dual().apply(&new, &old, None).await, Ok(Applied::Now));
    // The staged value is the secondary password of the server.
    assert_eq!(stand.dual().apply(&old, &new, None).await, Ok(Applied::Already));
    assert_eq!(stand.accepted()?, [OLD, NEW]);
    assert_eq!(stand.dual().apply(&third, &old, Some(&new)).await, Ok(Applied::Now));
    assert_eq!(stand.accepted()?, [OLD, THIRD], "pods have the current one");
    Ok(())
}

#[tokio::test]
async fn an_older_password_that_is_current_in_aws_again_is_kept_by_the_rotation_after_it() -> Result<()> {
    let Some(stand) = stand("dual_moved")? else { return Ok(()) };
    let (old, new, third) = (stand.with(OLD), stand.with(NEW), stand.with(THIRD));
    assert_eq!(stand.dual().apply(&new, &old, None).await, Ok(Applied::Now));
    // Another client moved AWSCURRENT back to the old version, or a late replica applied the new one after it was abandoned.
    let superseded = Err(Problem::Refused(Refused::Superseded));
    assert_eq!(stand.dual().apply(&third, &old, None).await, superseded, "the primary password is none that AWS has");
    assert_eq!(stand.accepted()?, [OLD, NEW]);
    let later = DualPassword { previous_is_later: true, ..stand.dual() };
    assert_eq!(later.apply(&third, &old, Some(&new)).await, Ok(Applied::Now));
    assert_eq!(stand.accepted()?, [OLD, THIRD], "pods have the old one");
    Ok(())
}

#[tokio::test]
async fn a_late_replica_takes_no_password_back_that_a_rollback_brought_into_use_again() -> Result<()> {
    let Some(stand) = stand("dual_woken")? else { return Ok(()) };
    let (old, new, third) = (stand.with(OLD), stand.with(NEW), stand.with(THIRD));
    assert_eq!(stand.dual().apply(&new, &old, None).await, Ok(Applied::Now));
    // It has read this: the current version is the new one, and the version before is the old one. Then a rollback made the old one
    // current.
    assert_eq!(stand.dual().apply(&old, &new, None).await, Ok(Applied::Already));
    let superseded = Problem::Refused(Refused::Superseded);
    assert_eq!(stand.dual().apply(&third, &new, Some(&old)).await, Err(superseded));
    assert_eq!(stand.accepted()?, [OLD, NEW]);
    assert_eq!(stand.dual().undo(&third, &new, Some(&old)).await, Err(superseded));
    assert_eq!(stand.accepted()?, [OLD, NEW], "pods have the old one");
    Ok(())
}

#[tokio::test]
async fn an_undo_works_too_if_the_current_password_is_the_secondary_one() -> Result<()> {
    let Some(stand) = stand("dual_behind")? else { return Ok(()) };
    let (old, new, third) = (stand.with(OLD), stand.with(NEW), stand.with(THIRD));
    assert_eq!(stand.dual().apply(&new, &old, None).await, Ok(Applied::Now));
    assert_eq!(stand.dual().undo(&third, &old, None).await.map(drop), Err(Problem::Refused(Refused::Superseded)));
    let later = DualPassword { previous_is_later: true, ..stand.dual() };
    assert_eq!(later.undo(&third, &old, Some(&new)).await, Ok(Undone::Nothing));
    assert_eq!(stand.accepted()?, [OLD]);
    Ok(())
}

#[tokio::test]
async fn an_undo_leaves_the_current_password_only_wherever_the_attempt_ended() -> Result<()> {
    let Some(stand) = stand("dual_undo")? else { return Ok(()) };
    let (old, new) = (stand.with(OLD), stand.with(NEW));
    assert_eq!(stand.dual().undo(&new, &old, None).await, Ok(Undone::Nothing));
    assert_eq!(stand.dual().apply(&new, &old, None).await, Ok(Applied::Now));
    assert_eq!(stand.dual().undo(&new, &old, None).await, Ok(Undone::Now));
    assert_eq!(stand.accepted()?, [OLD]);
    // The staged one is the secondary password: a repeated attempt ended between its two statements.
    stand.sql(&format!("ALTER USER dual_undo IDENTIFIED BY '{NEW}'").replace('\\', "\\\\"))?;
    stand.sql(&format!("ALTER USER dual_undo IDENTIFIED BY '{}' RETAIN CURRENT PASSWORD", OLD.replace('\'', "\\'")))?;
    assert_eq!(stand.accepted()?, [OLD, NEW]);
    assert_eq!(stand.dual().undo(&new, &old, None).await, Ok(Undone::Now));
    assert_eq!(stand.accepted()?, [OLD]);
    Ok(())
}

#[tokio::test]
async fn a_missing_privilege_and_a_server_without_two_passwords_are_told() -> Result<()> {
    for kind in Kind::here() {
        let stand = Stand::new(kind, "dual_denied")?;
        let (old, new) = (stand.with(OLD), stand.with(NEW));
        let refused = if kind == Kind::MySql { Refused::NotPermitted } else { Refused::DualPasswordUnsupported };
        assert_eq!(stand.dual().apply(&new, &old, None).await, Err(Problem::Refused(refused)));
        assert_eq!(stand.accepted()?, [OLD]);
    }
    Ok(())
}

#[tokio::test]
async fn a_replica_that_wakes_up_late_takes_no_password_back() -> Result<()> {
    let Some(stand) = stand("dual_late")? else { return Ok(()) };
    let (old, new, third) = (stand.with(OLD), stand.with(NEW), stand.with(THIRD));
    assert_eq!(stand.dual().apply(&new, &old, None).await, Ok(Applied::Now));
    assert_eq!(stand.dual().apply(&third, &new, Some(&old)).await, Ok(Applied::Now));
    // It has read the values of the rotation before, and its password still logs in.
    assert_eq!(stand.dual().apply(&new, &old, None).await, Ok(Applied::Already));
    assert_eq!(stand.accepted()?, [NEW, THIRD]);
    let superseded = Problem::Refused(Refused::Superseded);
    assert_eq!(stand.dual().undo(&new, &old, None).await, Err(superseded));
    assert_eq!(stand.accepted()?, [NEW, THIRD]);
    assert_eq!(stand.dual().retire(&old, &new).await, Err(superseded));
    assert_eq!(stand.accepted()?, [NEW, THIRD], "the secondary password is the one that it holds for the current one");
    // Another person has set a password that AWS does not have.
    stand.sql("ALTER USER dual_late IDENTIFIED BY 'of another person' RETAIN CURRENT PASSWORD")?;
    assert_eq!(stand.dual().apply(&new, &third, None).await, Err(superseded));
    assert_eq!(stand.accepted()?, [THIRD]);
    Ok(())
}

#[tokio::test]
async fn a_staged_value_is_withdrawn_also_if_the_current_one_is_of_another_user() -> Result<()> {
    let Some(stand) = stand("dual_other")? else { return Ok(()) };
    let (old, new, other) = (stand.with(OLD), stand.with(NEW), credential("another_user", THIRD));
    assert_eq!(stand.dual().undo(&new, &other, Some(&old)).await, Ok(Undone::Nothing));
    assert_eq!(stand.dual().apply(&new, &old, None).await, Ok(Applied::Now));
    for previous in [None, Some(&new), Some(&other)] {
        assert_eq!(stand.dual().undo(&new, &other, previous).await, Err(Problem::Refused(Refused::CannotUndo)));
        assert_eq!(stand.accepted()?, [OLD, NEW]);
    }
    assert_eq!(stand.dual().undo(&new, &other, Some(&old)).await, Ok(Undone::Now));
    assert_eq!(stand.accepted()?, [OLD]);
    Ok(())
}

#[tokio::test]
async fn a_policy_that_forbids_to_set_a_password_again_takes_none_away() -> Result<()> {
    let Some(stand) = stand("dual_policy")? else { return Ok(()) };
    stand.sql("ALTER USER dual_policy PASSWORD HISTORY 5")?;
    let (old, new, third) = (stand.with(OLD), stand.with(NEW), stand.with(THIRD));
    assert_eq!(stand.dual().apply(&new, &old, None).await, Ok(Applied::Now));
    assert_eq!(stand.dual().apply(&new, &old, None).await, Ok(Applied::Already), "a lost answer");
    assert_eq!(stand.dual().apply(&third, &new, None).await, Ok(Applied::Now));
    assert_eq!(stand.dual().undo(&third, &new, None).await, Err(Problem::Refused(Refused::Rejected)));
    assert_eq!(stand.accepted()?, [NEW, THIRD]);
    // The version before is current in AWS again. The policy forbids to make its password the primary one, and says nothing of
    // the new one.
    let later = DualPassword { previous_is_later: true, ..stand.dual() };
    assert_eq!(later.apply(&old, &new, Some(&third)).await, Err(Problem::Refused(Refused::Superseded)));
    assert_eq!(stand.accepted()?, [NEW, THIRD]);
    Ok(())
}
