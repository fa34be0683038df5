//! Every packet to a MySQL or MariaDB server is a crash point of one user, with one password or with two.

use std::fmt::Debug;

use anyhow::Result;
use rotated_secrets::strategy::mysql::{DualPassword, Server, SingleUser};
use rotated_secrets::strategy::{Applied, Problem, Unknown};
use testkit::mysql::Kind;

use super::cutting::{Found, cut_everywhere};
use super::mysql_proxy::Proxy;
use super::mysql_stand::{Stand, checked};
use super::proxy::{Break, MOMENTS};
use super::stand::{NEW, OLD, THIRD};

/// The passwords that log in, and which of them is the primary one.
type State = (Vec<&'static str>, Option<&'static str>);

/// Cuts every connection of what `act` does.
async fn cut<T: Debug + PartialEq>(
    stand: &Stand,
    prepare: impl AsyncFn() -> Result<()>,
    act: impl AsyncFn(&Server) -> Result<T, Problem>,
) -> Result<Found<State>> {
    let attempt = async |at| -> Result<(Result<T, Problem>, usize)> {
        let proxy = Proxy::start(stand.mysql, at).await?;
        let answer = act(&proxy.through(&stand.server)).await;
        Ok((answer, proxy.seen()))
    };
    let found = cut_everywhere(MOMENTS, prepare, attempt, async || look(stand).await).await?;
    assert_eq!(stand.accepted()?, found.end.0, "asked by other means than ours");
    println!("{:?} {}: {} sequences of cuts, {:?}", stand.mysql.kind(), stand.user, found.plans, found.states);
    Ok(found)
}

async fn look(stand: &Stand) -> Result<State> {
    Ok((checked(&stand.server, &stand.user).await, stand.primary()?))
}

/// The passwords that log in, of each state.
fn accepted(found: &Found<State>) -> Vec<Vec<&'static str>> {
    let mut all: Vec<_> = found.states.iter().map(|(accepted, _)| accepted.clone()).collect();
    all.dedup();
    all
}

#[tokio::test]
async fn a_process_that_is_stopped_between_login_and_change_changes_nothing_when_it_goes_on() -> Result<()> {
    for stand in Stand::both("cut_late")? {
        let apply = async |at| -> Result<(Result<Applied, Problem>, usize)> {
            let proxy = Proxy::start(stand.mysql, at).await?;
            let server = proxy.through(&stand.server);
            let answer = SingleUser { server: &server }.apply(&stand.with(NEW), &stand.with(OLD), None).await;
            Ok((answer, proxy.seen()))
        };
        let (_, packets) = apply(None).await?;
        stand.reset(OLD)?;
        let (answer, _) = apply(Some((packets - 1, Break::Late))).await?;
        assert_eq!(answer, Err(Unknown::ConnectionLost.into()), "the server has ended the session");
        assert_eq!(stand.accepted()?, [OLD]);
    }
    Ok(())
}

#[tokio::test]
async fn wherever_attempts_and_undos_of_one_user_end_the_server_accepts_one_of_the_two_and_the_next_one_finishes() -> Result<()> {
    for stand in Stand::both("cut_single")? {
        let (old, new) = (stand.with(OLD), stand.with(NEW));
        let apply = async |server: &Server| SingleUser { server }.apply(&new, &old, None).await;
        let applied = cut(&stand, async || stand.reset(OLD), apply).await?;
        assert_eq!(accepted(&applied), [[OLD], [NEW]]);
        assert_eq!(applied.end.0, [NEW]);
        let undo = async |server: &Server| SingleUser { server }.undo(&new, &old, None).await;
        let undone = cut(&stand, async || stand.reset(NEW), undo).await?;
        assert_eq!(accepted(&undone), [[NEW], [OLD]]);
        assert_eq!(undone.end.0, [OLD]);
    }
    Ok(())
}

#[tokio::test]
async fn wherever_attempts_undos_and_retirements_of_a_user_with_two_passwords_end_the_current_one_works() -> Result<()> {
    if !Kind::here().contains(&Kind::MySql) {
        return Ok(());
    }
    let stand = Stand::new(Kind::MySql, "cut_dual")?;
    let (old, new, third) = (stand.with(OLD), stand.with(NEW), stand.with(THIRD));
    let begin = || stand.reset_and(OLD, "; GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO cut_dual");
    let first =
        cut(&stand, async || begin(), async |server| DualPassword { server, previous_is_later: false }.apply(&new, &old, None).await)
            .await?;
    assert_eq!(accepted(&first), [vec![OLD], vec![OLD, NEW]]);
    assert_eq!(first.end, (vec![OLD, NEW], Some(NEW)));
    // The rotation after it: the oldest password goes, and the current one stays.
    let rotated = async || -> Result<()> {
        begin()?;
        stand.dual().apply(&new, &old, None).await.map(drop).map_err(|problem| anyhow::anyhow!("{problem:?}"))
    };
    let second =
        cut(&stand, rotated, async |server| DualPassword { server, previous_is_later: false }.apply(&third, &new, Some(&old)).await)
            .await?;
    assert_eq!(accepted(&second), [[OLD, NEW], [NEW, THIRD]]);
    assert_eq!(second.end, (vec![NEW, THIRD], Some(THIRD)));
    // The old version is current in AWS again.
    let moved =
        cut(&stand, rotated, async |server| DualPassword { server, previous_is_later: true }.apply(&third, &old, Some(&new)).await).await?;
    assert_eq!(accepted(&moved), [vec![OLD, NEW], vec![OLD], vec![OLD, THIRD]]);
    assert_eq!(moved.end, (vec![OLD, THIRD], Some(THIRD)));
    let undone =
        cut(&stand, rotated, async |server| DualPassword { server, previous_is_later: false }.undo(&new, &old, None).await).await?;
    assert!(accepted(&undone).iter().all(|accepted| accepted.contains(&OLD)), "{:?}", undone.states);
    assert_eq!(undone.end, (vec![OLD], Some(OLD)));
    let retired = cut(&stand, rotated, async |server| DualPassword { server, previous_is_later: false }.retire(&old, &new).await).await?;
    assert_eq!(accepted(&retired), [vec![OLD, NEW], vec![NEW]]);
    assert_eq!(retired.end, (vec![NEW], Some(NEW)));
    Ok(())
}
