//! Every packet to a MySQL or MariaDB server is a crash point of two users that take turns. Statements take effect one by one.

use std::cell::Cell;
use std::fmt::Debug;

use anyhow::{Result, ensure};
use rotated_secrets::strategy::mysql::AlternatingUsers;
use rotated_secrets::strategy::{Credential, Problem, Refused};
use testkit::mysql::Kind;

use super::cutting::{Found, cut_everywhere};
use super::mysql_pair::{Pair, version};
use super::mysql_proxy::Proxy;
use super::mysql_stand::identified_by;
use super::proxy::MOMENTS;
use super::stand::{NEW, OLD, THIRD};

/// What the server has: the passwords that log in as the base user and as the second one, whether the second one has what
/// the base user has, and its marks.
#[derive(Debug, PartialEq)]
struct State {
    accepted: [Vec<&'static str>; 2],
    complete: bool,
    marks: Vec<String>,
}

/// Two users whose marks grow, since each sequence of cuts begins with the versions after those of the one before.
struct Turns {
    pair: Pair,
    second: Cell<i64>,
}

impl Turns {
    fn new(pair: Pair) -> Self {
        Self { pair, second: Cell::new(1) }
    }

    /// Takes the second user away. The base user logs in with [`OLD`].
    fn forget(&self) -> Result<()> {
        self.second.set(self.second.get() + 10);
        let Pair { base, twin, kind, .. } = &self.pair;
        let old = identified_by(*kind, OLD);
        let mut sql = format!("DROP USER IF EXISTS {twin}; ALTER USER {base} {old}; ALTER USER {base} ACCOUNT UNLOCK");
        if *kind == Kind::MariaDb {
            // Its marks are roles, and each of these versions is later than all before.
            sql.extend(self.pair.marks(base)?.lines().map(|mark| format!("; DROP ROLE IF EXISTS `{mark}`")));
        }
        self.pair.sql(&sql).map(drop)
    }

    /// The first turn has ended: the second user is in use.
    async fn take_first_turn(&self) -> Result<()> {
        self.forget()?;
        let answer = self.pair.strategy().apply(&self.pair.twin(NEW), &self.pair.base(OLD), &version(self.second.get())).await;
        answer.map(drop).map_err(|problem| anyhow::anyhow!("{problem:?}"))
    }

    async fn look(&self) -> Result<State> {
        let pair = &self.pair;
        let accepted = pair.checked().await;
        let exists = !pair.sql(&format!("SELECT 1 FROM mysql.user WHERE User = '{}'", pair.twin))?.is_empty();
        let complete = exists && pair.grants(&pair.twin)? == pair.grants(&pair.base)?;
        // Who logs in has everything.
        if accepted[1] == [NEW] {
            assert_eq!(pair.strategy().verify(&pair.twin(NEW)).await, Ok(()));
            ensure!(complete, "a user that logs in has less than the other one");
        }
        let mut marks = Vec::new();
        for user in [&pair.base, &pair.twin] {
            marks.extend(pair.marks(user)?.lines().map(|mark| format!("{user}: {}", self.relative(mark))));
        }
        Ok(State { accepted, complete, marks })
    }

    /// A mark with its version relative to the first one of this sequence. In MySQL, the base user has that of an earlier one.
    fn relative(&self, mark: &str) -> String {
        let first = self.second.get();
        let later = (first..first + 2).find(|second| mark.contains(&format!("version-{second} ")));
        let state = ["withdrawn", "retired"].into_iter().find(|state| mark.contains(state)).unwrap_or("set");
        later.map_or_else(|| "of an earlier sequence".to_owned(), |second| format!("version {} {state}", second - first))
    }

    /// Cuts every connection of what `act` does.
    async fn cut<T: Debug + PartialEq>(
        &self,
        prepare: impl AsyncFn() -> Result<()>,
        act: impl AsyncFn(AlternatingUsers<'_>, i64) -> Result<T, Problem>,
    ) -> Result<Found<State>> {
        let pair = &self.pair;
        let attempt = async |at| -> Result<(Result<T, Problem>, usize)> {
            let proxy = Proxy::start(pair.mysql, at).await?;
            let server = proxy.through(&pair.server);
            let answer = act(AlternatingUsers { server: &server, ..pair.strategy() }, self.second.get()).await;
            Ok((answer, proxy.seen()))
        };
        let found = cut_everywhere(MOMENTS, prepare, attempt, async || self.look().await).await?;
        assert_eq!(pair.accepted()?, found.end.accepted, "asked by other means than ours");
        println!("{:?} {}: {} sequences of cuts, {} states", pair.kind, pair.base, found.plans, found.states.len());
        Ok(found)
    }

    fn credentials(&self) -> (Credential, Credential) {
        (self.pair.base(OLD), self.pair.twin(NEW))
    }
}

#[tokio::test]
async fn wherever_first_turns_end_the_next_attempt_completes_the_second_user_and_none_is_verified_before() -> Result<()> {
    for pair in Pair::both("cut_first")? {
        pair.sql("CREATE ROLE cut_role; GRANT cut_role TO cut_first; GRANT cut_role TO cut_first_admin WITH ADMIN OPTION; ALTER USER cut_first WITH MAX_USER_CONNECTIONS 30")?;
        let turns = Turns::new(pair);
        let (base, twin) = turns.credentials();
        let found =
            turns.cut(async || turns.forget(), async |strategy, second| strategy.apply(&twin, &base, &version(second)).await).await?;
        ensure!(found.has_intermediate(), "statements take effect one by one");
        ensure!(found.states.iter().all(|state| state.accepted[0] == [OLD]), "{:?}", found.states);
        assert_eq!(found.end.accepted, [vec![OLD], vec![NEW]]);
    }
    Ok(())
}

#[tokio::test]
async fn wherever_later_turns_end_the_current_password_works_and_the_next_attempt_finishes() -> Result<()> {
    for turns in Pair::both("cut_later")?.into_iter().map(Turns::new) {
        let (_, twin) = turns.credentials();
        let pending = turns.pair.base(THIRD);
        let found = turns
            .cut(
                async || turns.take_first_turn().await,
                async |strategy, second| strategy.apply(&pending, &twin, &version(second + 1)).await,
            )
            .await?;
        ensure!(found.states.iter().all(|state| state.accepted[1] == [NEW] && state.accepted[0].len() == 1), "{:?}", found.states);
        assert_eq!(found.end.accepted, [vec![THIRD], vec![NEW]]);
        let marks = turns.pair.marks("cut_later")?;
        ensure!(marks.matches("rotated-secrets version").count() <= 2, "marks do not pile up: {marks}");
    }
    Ok(())
}

#[tokio::test]
async fn wherever_undos_and_retirements_end_the_next_one_finishes() -> Result<()> {
    for turns in Pair::both("cut_undo")?.into_iter().map(Turns::new) {
        let (base, twin) = turns.credentials();
        let prepare = async || turns.take_first_turn().await;
        let undone = turns.cut(prepare, async |strategy, second| strategy.undo(&twin, &version(second), &base, None).await).await?;
        ensure!(undone.states.iter().all(|state| state.accepted[0] == [OLD]), "{:?}", undone.states);
        assert_eq!(undone.end.accepted, [vec![OLD], vec![]]);
        let late = turns.pair.strategy().apply(&twin, &base, &version(turns.second.get())).await;
        assert_eq!(late, Err(Refused::Superseded.into()));
        let retired = turns.cut(prepare, async |strategy, second| strategy.retire(&base, &twin, &version(second)).await).await?;
        ensure!(retired.states.iter().all(|state| state.accepted[1] == [NEW]), "{:?}", retired.states);
        assert_eq!(retired.end.accepted, [vec![], vec![NEW]]);
    }
    Ok(())
}
