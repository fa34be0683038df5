//! Model checking of a rotation with a target: every order of reads, writes, crashes, old reads and other writers, up to a
//! bound.
//!
//! The decisions are those of the operator: the status is read and written, facts are compared and steps are planned by its
//! own code. Modelled are AWS (labels of versions), the server (which password it accepts) and the effect of each step.
//!
//! A process reads, decides, and acts later; anything may happen in between. When nothing is left to do, it writes the
//! status. A crash forgets what the process did in this reconcile.
//!
//! `MODEL_STATES=10000000 cargo test --test model -- --ignored --nocapture` searches much more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that panics has failed")]

mod aws;
mod machine;
mod rules;
mod state;
mod steps;

use stateright::{Checker, HasDiscoveries, Model};

use self::machine::{Machine, Missing};
use self::rules::ENDS;
use self::state::Budget;

/// One rotation, and hours after it.
const ONE: Budget = Budget { crashes: 0, old_reads: 0, others: 0, requests: 1, broken: 0, waits: 1 };

fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

#[test]
fn in_every_order_of_events_the_server_accepts_a_version_that_aws_keeps() {
    for budget in [
        Budget { crashes: 2, ..ONE },
        Budget { crashes: 1, others: 1, ..ONE },
        Budget { crashes: 1, broken: 1, ..ONE },
        Budget { crashes: 1, old_reads: 1, ..ONE },
        Budget { requests: 2, others: 1, ..ONE },
    ] {
        let checker = Machine { budget, missing: None }.checker().threads(threads()).spawn_bfs().join();
        println!("{budget:?}: {} states, depth {}", checker.unique_state_count(), checker.max_depth());
        checker.assert_properties();
    }
}

#[test]
#[ignore = "takes minutes"]
fn in_so_many_states_as_the_variable_says_the_rules_hold() {
    let states = std::env::var("MODEL_STATES").map_or(1_000_000, |states| states.parse().unwrap());
    let budget = Budget { crashes: 2, old_reads: 2, others: 1, requests: 2, broken: 1, waits: 2 };
    let checker = Machine { budget, missing: None }.checker().threads(threads()).target_state_count(states).spawn_dfs().join();
    println!("{} states, {} of them different, depth {}", checker.state_count(), checker.unique_state_count(), checker.max_depth());
    for (rule, path) in checker.discoveries() {
        assert_eq!(rule, ENDS, "{path}");
    }
}

#[test]
fn without_one_of_its_mechanisms_the_protocol_fails() {
    for (missing, budget) in [
        (Missing::Label, Budget { others: 1, ..ONE }),
        (Missing::Hold, Budget { crashes: 1, old_reads: 2, requests: 2, ..ONE }),
        (Missing::From, Budget { others: 1, requests: 2, waits: 2, ..ONE }),
        (Missing::Verify, Budget { broken: 1, ..ONE }),
        (Missing::Undo, Budget { broken: 1, ..ONE }),
    ] {
        let checker = Machine { budget, missing: Some(missing) }.checker().threads(threads());
        let found = checker.finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        let broken: Vec<&str> = found.discoveries().into_keys().filter(|rule| *rule != ENDS).collect();
        println!("without {missing:?}: {broken:?} in {} states", found.unique_state_count());
        assert!(!broken.is_empty(), "no rule notices an operator without {missing:?}");
    }
}
