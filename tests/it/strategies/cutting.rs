//! Connections that are cut at every message: each state that repetitions of one action can leave a server in is found, and
//! from each of them the next one has to finish. What a repetition does follows from the state alone, if `look` tells everything
//! that matters, so this covers repetitions that end one after the other, in any number.
//!
//! A server that has no further message is in the state that it was in after the one before. So a connection is cut before
//! its first message, and after each one.

use std::collections::VecDeque;
use std::fmt::Debug;

use anyhow::{Result, bail, ensure};
use rotated_secrets::strategy::{Problem, Unknown};

/// What a client says that never got an answer.
pub(super) const LOST: Problem = Problem::Unknown(Unknown::ConnectionLost);

/// More states than any strategy has. A state that is never the same twice would go on without end.
const TOO_MANY: usize = 24;

/// How often a sequence of cuts is tried.
const TRIES: usize = 3;

/// What was found.
pub(super) struct Found<S> {
    /// The states that the server was in, the first one included, in the order in which they were found.
    pub(super) states: Vec<S>,
    /// The state in which every attempt ended that was not cut.
    pub(super) end: S,
    /// How many sequences of cuts were tried.
    pub(super) plans: usize,
}

impl<S: PartialEq> Found<S> {
    /// Whether a state was found in which attempts do not end.
    pub(super) fn has_intermediate(&self) -> bool {
        self.states[1..].iter().any(|state| *state != self.end)
    }
}

/// Tries every sequence of cuts. `moments`: before the server has a message, and after it has it. `prepare` brings the server to
/// its first state. `attempt` is cut at the message of this number, counted from 0, or not at all, and tells how many messages it
/// sent. `look` is the state of the server.
///
/// # Errors
/// A cut that the client does not notice, an attempt that is not cut and fails, or one that ends in another state than others.
pub(super) async fn cut_everywhere<B, T, S>(
    moments: [B; 2],
    prepare: impl AsyncFn() -> Result<()>,
    attempt: impl AsyncFn(Option<(usize, B)>) -> Result<(Result<T, Problem>, usize)>,
    look: impl AsyncFn() -> Result<S>,
) -> Result<Found<S>>
where
    B: Copy + Debug,
    T: Debug + PartialEq,
    S: Debug + PartialEq,
{
    // A look can change how many messages the next login needs, so there is one after each cut, as when the state was found.
    let replay = async |cuts: &[(usize, B)]| -> Result<Option<S>> {
        prepare().await?;
        let mut reached = None;
        for cut in cuts {
            let _ = attempt(Some(*cut)).await?;
            reached = Some(look().await?);
        }
        Ok(reached)
    };
    // Another test can change what the server has in its memory, so a sequence that leads elsewhere is tried again.
    let bring_to = async |cuts: &[(usize, B)], state: &S| -> Result<()> {
        for _ in 0..TRIES {
            if replay(cuts).await?.is_none_or(|reached| reached == *state) {
                return Ok(());
            }
        }
        bail!("{cuts:?} does not lead to {state:?} again")
    };
    let finish = async |cuts: &[(usize, B)]| -> Result<(S, usize)> {
        let (answer, messages) = attempt(None).await?;
        ensure!(answer.is_ok(), "after {cuts:?}: {answer:?}");
        Ok((look().await?, messages))
    };
    let [before_it, after_it] = moments;
    replay(&[]).await?;
    let mut states = vec![look().await?];
    let (end, _) = finish(&[]).await?;
    let mut left = VecDeque::from([(Vec::new(), 0)]);
    let mut plans = 0;
    while let Some((before, number)) = left.pop_front() {
        bring_to(&before, &states[number]).await?;
        let (reached, messages) = finish(&before).await?;
        ensure!(reached == end, "after {before:?}: {reached:?}, and not {end:?}");
        for cut in [(0, before_it)].into_iter().chain((0..messages).map(|at| (at, after_it))) {
            let cuts = [before.as_slice(), &[cut]].concat();
            bring_to(&before, &states[number]).await?;
            let (answer, seen) = attempt(Some(cut)).await?;
            if seen <= cut.0 {
                // A password that MySQL has seen before needs one packet less.
                continue;
            }
            ensure!(answer == Err(LOST), "{cuts:?}: {answer:?}");
            plans += 1;
            let state = look().await?;
            if !states.contains(&state) {
                left.push_back((cuts, states.len()));
                states.push(state);
                ensure!(states.len() <= TOO_MANY, "{states:?}");
            }
        }
    }
    Ok(Found { states, end, plans })
}
