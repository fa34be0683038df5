//! Every message to a PostgreSQL server is a crash point of two users that take turns. What a turn changes is one transaction.

use anyhow::{Result, ensure};
use rotated_secrets::strategy::postgres::{AlternatingUsers, SingleUser};
use rotated_secrets::strategy::{Problem, Tls};

use super::alternating::{Pair, version};
use super::cutting::{Found, cut_everywhere};
use super::proxy::{MOMENTS, Proxy};
use super::stand::{NEW, OLD, THIRD, by_address, credential, reached};

/// What the server has: the passwords that log in as the base user and as the second one, and the marks of both.
#[derive(Debug, PartialEq)]
struct State {
    accepted: [Vec<&'static str>; 2],
    marks: String,
}

impl Pair {
    /// Takes the second user, its mark and that of the base user away. The base user logs in with [`OLD`].
    fn forget(&self) -> Result<()> {
        let (base, twin) = (&self.base, &self.twin);
        self.sql(&format!("DROP ROLE IF EXISTS {twin}; COMMENT ON ROLE {base} IS NULL; ALTER ROLE {base} LOGIN"))?;
        self.postgres.set_password(base, OLD)
    }

    /// Which passwords log in as this user, as our own client sees it.
    async fn checked(&self, user: &str) -> Vec<&'static str> {
        let mut accepted = Vec::new();
        for password in [OLD, NEW, THIRD] {
            if (SingleUser { server: &self.server }).check(&credential(user, password)).await.is_ok() {
                accepted.push(password);
            }
        }
        accepted
    }

    async fn look(&self) -> Result<State> {
        let accepted = [self.checked(&self.base).await, self.checked(&self.twin).await];
        // A user that is not complete does not exist, or does not log in.
        if accepted[1] == [NEW] {
            assert_eq!(self.strategy().verify(&self.twin(NEW)).await, Ok(()));
        }
        let (base, twin) = (&self.base, &self.twin);
        let marks = self.sql(&format!(
            "SELECT rolname, rolcanlogin, shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname IN ('{base}', '{twin}') ORDER BY rolname"
        ))?;
        Ok(State { accepted, marks })
    }

    /// Cuts every connection of what `act` does.
    async fn cut<T: std::fmt::Debug + PartialEq>(
        &self,
        prepare: impl AsyncFn() -> Result<()>,
        act: impl AsyncFn(AlternatingUsers<'_>) -> Result<T, Problem>,
    ) -> Result<Found<State>> {
        let attempt = async |at| -> Result<(Result<T, Problem>, usize)> {
            let proxy = Proxy::start(self.postgres.port(), at).await?;
            let server = reached(&self.server, |endpoint| {
                by_address(endpoint);
                (endpoint.port, endpoint.tls) = (proxy.port, Tls::Disable);
            });
            let answer = act(AlternatingUsers { server: &server, bound: false, ..self.strategy() }).await;
            Ok((answer, proxy.seen()))
        };
        let found = cut_everywhere(MOMENTS, prepare, attempt, async || self.look().await).await?;
        println!("{}: {} sequences of cuts, {} states", self.base, found.plans, found.states.len());
        assert_eq!(self.accepted()?, found.end.accepted, "asked by other means than ours");
        // One transaction: there is nothing between the first state and the last one.
        ensure!(!found.has_intermediate() && found.states.len() == 2, "{:?}", found.states);
        Ok(found)
    }
}

#[tokio::test]
async fn wherever_first_turns_end_the_second_user_is_complete_or_does_not_exist() -> Result<()> {
    let pair = Pair::new("cut_first")?;
    let found =
        pair.cut(async || pair.forget(), async |strategy| strategy.apply(&pair.twin(NEW), &pair.base(OLD), &version(1)).await).await?;
    assert_eq!(found.states[0].accepted, [vec![OLD], vec![]]);
    assert_eq!(found.end.accepted, [vec![OLD], vec![NEW]]);
    Ok(())
}

#[tokio::test]
async fn wherever_later_turns_undos_and_retirements_end_the_current_password_works_and_the_next_one_finishes() -> Result<()> {
    let pair = Pair::new("cut_later")?;
    let (base, twin) = (pair.base(OLD), pair.twin(NEW));
    let first_turn = async || -> Result<()> {
        pair.forget()?;
        pair.strategy().apply(&twin, &base, &version(1)).await.map(drop).map_err(|problem| anyhow::anyhow!("{problem:?}"))
    };
    let later = pair.cut(first_turn, async |strategy| strategy.apply(&pair.base(THIRD), &twin, &version(2)).await).await?;
    assert_eq!(later.end.accepted, [vec![THIRD], vec![NEW]]);
    let undo = pair.cut(first_turn, async |strategy| strategy.undo(&twin, &version(1), &base, None).await).await?;
    assert_eq!(undo.end.accepted, [vec![OLD], vec![]]);
    let retire = pair.cut(first_turn, async |strategy| strategy.retire(&base, &twin, &version(1)).await).await?;
    assert_eq!(retire.end.accepted, [vec![], vec![NEW]]);
    Ok(())
}
