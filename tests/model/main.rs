//! Model checking of a rotation with a target: every order of reads, writes, crashes, old reads and other writers, up to a
//! bound.
//!
//! The decisions are those of the operator: the status is read and written, facts are compared and steps are planned by its
//! own code. Modelled are AWS (labels of versions), the server (which password it accepts) and the effect of each step.
//!
//! A process reads, decides, and acts later; anything may happen in between. When nothing is left to do, it writes the
//! status. A crash forgets what the process did in this reconcile. A leader can be replaced while it is about to act: it goes
//! on beside the new one with the object that it has read, until its reconcile ends.
//!
//! `MODEL_STATES=10000000 cargo test --release --workspace --test model -- --ignored --nocapture` searches much more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that panics has failed")]

mod aws;
mod machine;
mod operator;
mod rules;
mod server;
mod state;
mod steps;

use stateright::{Checker, CheckerBuilder, HasDiscoveries, Model};

use self::machine::{Machine, Missing, Users};
use self::rules::ENDS;
use self::state::Budget;

/// One rotation, and hours after it.
const ONE: Budget =
    Budget { crashes: 0, old_reads: 0, others: 0, requests: 1, rollbacks: 0, broken: 0, waits: 1, replicas: 0, stops: 0, deletions: 0 };

fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// Searches all that can happen within these budgets.
fn search(users: Users, budgets: &[Budget]) {
    for budget in budgets {
        let checker = Machine::new(users, *budget, None).checker().threads(threads());
        let checker = checker.finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        println!("{users:?} {budget:?}: {} states, depth {}", checker.unique_state_count(), checker.max_depth());
        checker.assert_properties();
    }
}

#[test]
fn in_every_order_of_events_the_server_accepts_a_version_that_aws_keeps() {
    let budgets = [
        Budget { crashes: 2, ..ONE },
        Budget { crashes: 1, others: 1, ..ONE },
        Budget { crashes: 1, broken: 1, ..ONE },
        Budget { crashes: 1, old_reads: 1, ..ONE },
        Budget { requests: 2, others: 1, ..ONE },
    ];
    search(Users::One, &budgets);
}

#[test]
fn a_late_process_beside_the_leader_breaks_no_rule() {
    search(Users::One, &[Budget { replicas: 1, ..ONE }, Budget { replicas: 1, broken: 1, stops: 1, ..ONE }]);
}

#[test]
fn of_two_users_the_one_that_pods_have_logs_in_at_every_moment() {
    // No other client: a value that it puts is not set for the user in use, so that a person has to act.
    let budgets = [
        Budget { crashes: 1, requests: 2, ..ONE },
        Budget { crashes: 1, broken: 1, ..ONE },
        Budget { replicas: 1, ..ONE },
        Budget { replicas: 1, broken: 1, ..ONE },
    ];
    search(Users::Two, &budgets);
}

#[test]
fn of_two_passwords_of_one_user_the_one_that_pods_have_logs_in_at_every_moment() {
    let budgets = [
        Budget { crashes: 1, requests: 2, ..ONE },
        Budget { crashes: 1, broken: 1, ..ONE },
        Budget { crashes: 1, others: 1, ..ONE },
        Budget { requests: 2, others: 1, ..ONE },
        Budget { replicas: 1, ..ONE },
        Budget { replicas: 1, broken: 1, ..ONE },
    ];
    search(Users::Dual, &budgets);
}

#[test]
fn a_rollback_meanwhile_breaks_no_rule() {
    for users in [Users::One, Users::Dual, Users::Two] {
        search(users, &[Budget { crashes: 1, rollbacks: 1, ..ONE }, Budget { broken: 1, rollbacks: 1, ..ONE }]);
    }
}

#[test]
fn an_object_that_is_deleted_leaves_the_current_version_in_the_server() {
    // No late process: it can promote a version while the leader abandons it (docs/design/0021-strategies.md).
    for users in [Users::One, Users::Dual, Users::Two] {
        let budgets = [Budget { crashes: 1, ..ONE }, Budget { broken: 1, ..ONE }, Budget { old_reads: 1, ..ONE }];
        // Of two users, a value that another client puts is not set for the user in use.
        let others = (users != Users::Two).then_some(Budget { others: 1, ..ONE });
        for budget in budgets.into_iter().chain(others) {
            search(users, &[Budget { deletions: 1, ..budget }]);
        }
        search(users, &[Budget { deletions: 1, rollbacks: 1, ..ONE }]);
    }
}

/// It would log in with the old password, which the rollback brought back.
const LATE: Budget = Budget { replicas: 1, rollbacks: 1, ..ONE };

#[test]
#[ignore = "takes minutes"]
fn a_late_process_after_a_rollback_breaks_no_rule() {
    for users in [Users::One, Users::Dual, Users::Two] {
        search(users, &[LATE]);
    }
}

#[test]
#[ignore = "takes minutes"]
fn without_a_look_at_the_labels_a_late_process_sets_a_password_that_was_rolled_back() {
    // Depth first: the way to it is long.
    assert_noticed(&checker(Users::One, LATE, Missing::Shown).spawn_dfs().join(), Missing::Shown);
}

/// Searches so many states as the variable says.
fn search_many(users: Users, budget: Budget) {
    let states = std::env::var("MODEL_STATES").map_or(1_000_000, |states| states.parse().unwrap());
    let checker = Machine::new(users, budget, None).checker().threads(threads()).target_state_count(states).spawn_dfs().join();
    let (all, different) = (checker.state_count(), checker.unique_state_count());
    println!("{users:?}: {all} states, {different} of them different, depth {}", checker.max_depth());
    for (rule, path) in checker.discoveries() {
        assert_eq!(rule, ENDS, "{path}");
    }
}

#[test]
#[ignore = "takes minutes"]
fn in_so_many_states_as_the_variable_says_the_rules_hold() {
    search_many(
        Users::One,
        Budget { crashes: 2, old_reads: 2, others: 1, requests: 2, rollbacks: 1, broken: 1, waits: 2, replicas: 1, stops: 1, deletions: 0 },
    );
}

#[test]
#[ignore = "takes minutes"]
fn of_two_users_the_rules_hold_in_so_many_states_too() {
    search_many(
        Users::Two,
        Budget { crashes: 2, old_reads: 2, others: 0, requests: 2, rollbacks: 1, broken: 1, waits: 2, replicas: 1, stops: 1, deletions: 0 },
    );
}

#[test]
#[ignore = "takes minutes"]
fn of_two_passwords_the_rules_hold_in_so_many_states_too() {
    search_many(
        Users::Dual,
        Budget { crashes: 2, old_reads: 2, others: 1, requests: 2, rollbacks: 1, broken: 1, waits: 2, replicas: 1, stops: 1, deletions: 0 },
    );
}

#[test]
fn without_one_of_its_mechanisms_the_protocol_fails() {
    let one = |missing, budget| (Users::One, missing, budget);
    for (users, missing, budget) in [
        (Users::Two, Missing::Mark, Budget { replicas: 1, broken: 1, requests: 2, waits: 0, stops: 1, ..ONE }),
        (Users::Two, Missing::Verify, Budget { broken: 1, ..ONE }),
        (Users::Two, Missing::Undo, Budget { broken: 1, ..ONE }),
        (Users::Dual, Missing::Replace, Budget { crashes: 1, ..ONE }),
        (Users::Dual, Missing::Label, Budget { others: 1, ..ONE }),
        (Users::Dual, Missing::Verify, Budget { broken: 1, ..ONE }),
        (Users::Dual, Missing::Undo, Budget { broken: 1, ..ONE }),
        one(Missing::Label, Budget { others: 1, ..ONE }),
        one(Missing::Hold, Budget { crashes: 1, old_reads: 2, requests: 2, ..ONE }),
        one(Missing::From, Budget { others: 1, requests: 2, waits: 2, ..ONE }),
        one(Missing::Verify, Budget { broken: 1, ..ONE }),
        one(Missing::Undo, Budget { broken: 1, ..ONE }),
        one(Missing::Abandoned, Budget { replicas: 1, broken: 1, stops: 1, ..ONE }),
        one(Missing::Swap, Budget { replicas: 1, others: 1, ..ONE }),
    ] {
        assert_noticed(&checker(users, budget, missing).spawn_bfs().join(), missing);
    }
}

fn checker(users: Users, budget: Budget, missing: Missing) -> CheckerBuilder<Machine> {
    Machine::new(users, budget, Some(missing)).checker().threads(threads()).finish_when(HasDiscoveries::AnyFailures)
}

fn assert_noticed(found: &impl Checker<Machine>, missing: Missing) {
    let broken: Vec<&str> = found.discoveries().into_keys().filter(|rule| *rule != ENDS).collect();
    println!("without {missing:?}: {broken:?} in {} states", found.unique_state_count());
    assert!(!broken.is_empty(), "no rule notices an operator without {missing:?}");
}
