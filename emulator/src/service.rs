//! The emulated service: one call with everything that surrounds the store (faults, quota, IAM, barrier, counters, log).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::error::AwsError;
use crate::external_writer::ExternalWriter;
use crate::faults::{FaultInjector, FaultPlan, InjectedFault};
use crate::iam::sts::Form;
use crate::iam::{Iam, Principal};
use crate::lock::lock;
use crate::queue::Queues;
use crate::quota::{Meter, Quotas};
use crate::records::{CallRecord, Counters, Journal};
use crate::rotation::Rotations;
use crate::snapshot::SecretSnapshot;
use crate::store::{Answer, Caller, Lags, ListLie, Store, is_write};
use crate::write_barrier::{Moment, WriteBarrier};

/// How an emulator is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// What tells it the time.
    pub clock: Clock,
    /// How strictly requests are counted.
    pub quotas: Quotas,
    /// Where ARN suffixes and passwords come from.
    pub seed: u64,
    /// Whether rotations by AWS go on by themselves while the emulator is served; otherwise only when [`Emulator::run_rotations`] is called.
    pub rotates_by_itself: bool,
    /// How far `ListSecrets` lags behind (AWS: up to five minutes).
    pub list_lag: Duration,
    /// For how long a name stays taken after a forced deletion (AWS: some seconds).
    pub forced_deletion_lag: Duration,
    /// The Region in which an [`ExternalWriter`] acts unless told otherwise.
    pub region: String,
    /// How many calls the log keeps.
    pub log_room: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            clock: Clock::real(),
            quotas: Quotas::Off,
            seed: 0,
            rotates_by_itself: true,
            list_lag: Duration::ZERO,
            forced_deletion_lag: Duration::from_secs(5),
            region: "us-east-1".to_owned(),
            log_room: 100_000,
        }
    }
}

/// One emulated service with all its Regions. Clones are the same service.
#[derive(Clone)]
pub struct Emulator(Arc<Parts>);

struct Parts {
    clock: Clock,
    region: String,
    rotates_by_itself: bool,
    store: Arc<Mutex<Store>>,
    meter: Mutex<Meter>,
    faults: Arc<Mutex<FaultInjector>>,
    /// How often there was another plan. Ends the delays of the one before.
    plans: watch::Sender<u64>,
    queues: Queues,
    journal: Mutex<Journal>,
    barrier: Mutex<Option<Arc<dyn WriteBarrier>>>,
    rotations: Rotations,
    counters: Counters,
    callers: Mutex<BTreeSet<String>>,
    iam: Iam,
}

/// What a caller gets.
#[derive(Debug)]
pub(crate) enum Reply {
    /// An answer with its HTTP status.
    Answer(u16, Answer),
    /// The connection closes without one.
    Severed,
}

impl Emulator {
    /// An empty service.
    pub fn new(config: Config) -> Self {
        let lags = Lags { list: config.list_lag, forced_deletion: config.forced_deletion_lag, ..Lags::default() };
        let faults = Arc::new(Mutex::new(FaultInjector::default()));
        let queues = Queues::new(Arc::clone(&faults));
        Self(Arc::new(Parts {
            clock: config.clock,
            region: config.region,
            rotates_by_itself: config.rotates_by_itself,
            store: Arc::new(Mutex::new(Store::new(config.seed, lags, queues.clone()))),
            meter: Mutex::new(Meter::new(config.quotas)),
            faults,
            plans: watch::Sender::new(0),
            queues,
            journal: Mutex::new(Journal::new(config.log_room)),
            barrier: Mutex::new(None),
            rotations: Rotations::default(),
            counters: Counters::default(),
            callers: Mutex::default(),
            iam: Iam::default(),
        }))
    }

    /// Its clock, to read and to move.
    pub fn clock(&self) -> Clock {
        self.0.clock.clone()
    }

    /// Sets the barrier that every write passes, before it is applied and after it was applied but before its response is sent.
    pub fn set_write_barrier(&self, barrier: Option<Arc<dyn WriteBarrier>>) {
        *lock(&self.0.barrier) = barrier;
    }

    /// Sets the faults, resets the counters, and ends delays that are in progress.
    pub fn set_faults(&self, plan: FaultPlan) {
        *lock(&self.0.faults) = FaultInjector::new(plan);
        self.0.plans.send_modify(|plans| *plans = plans.wrapping_add(1));
    }

    /// Changes the quotas; all buckets are full again.
    pub fn set_quotas(&self, quotas: Quotas) {
        lock(&self.0.meter).set(quotas);
    }

    /// Changes how far `ListSecrets` lags behind.
    pub fn set_list_lag(&self, lag: Duration) {
        self.store().set_list_lag(lag);
    }

    /// Changes what `ListSecrets` shows and is not so; `None`: it tells the truth.
    pub fn set_list_lie(&self, lie: Option<ListLie>) {
        self.store().set_list_lie(lie);
    }

    /// Changes for how long a new replica says that it is being made.
    pub fn set_replication_lag(&self, lag: Duration) {
        self.store().set_replication_lag(lag);
    }

    /// As whom callers over HTTP have named themselves: their user agents, which CloudTrail shows.
    pub fn callers(&self) -> BTreeSet<String> {
        lock(&self.0.callers).clone()
    }

    pub(crate) fn called_by(&self, user_agent: &str) {
        lock(&self.0.callers).insert(user_agent.to_owned());
    }

    /// How often what was called, and how it went. The external writer's calls are not counted.
    pub fn counters(&self) -> Counters {
        self.0.counters.clone()
    }

    /// Roles, users, policies, and what they decided.
    pub fn iam(&self) -> Iam {
        self.0.iam.clone()
    }

    /// Another principal of the same account.
    pub fn external_writer(&self) -> ExternalWriter {
        ExternalWriter::new(Arc::clone(&self.0.store), self.0.clock.clone(), self.0.region.clone())
    }

    /// Everything there is, for invariants.
    pub fn secrets(&self) -> Vec<SecretSnapshot> {
        self.store().all().map(|(region, secret)| SecretSnapshot::of(region, secret)).collect()
    }

    /// The calls so far in the order in which they took effect.
    pub fn log(&self) -> Vec<CallRecord> {
        lock(&self.0.journal).all()
    }

    /// Forgets the calls so far; the numbering goes on.
    pub fn clear_log(&self) {
        lock(&self.0.journal).clear();
    }

    pub(crate) fn queues(&self) -> &Queues {
        &self.0.queues
    }

    pub(crate) fn region(&self) -> &str {
        &self.0.region
    }

    /// What happens to the next call of this operation.
    pub(crate) fn draw(&self, operation: &str, region: &str) -> InjectedFault {
        lock(&self.0.faults).next(operation, region)
    }

    /// How many calls wait because of a delay.
    pub fn delayed(&self) -> usize {
        self.0.plans.receiver_count()
    }

    /// Draws, and waits as the plan says, until there is another plan.
    async fn draw_and_wait(&self, operation: &str, region: &str) -> InjectedFault {
        let mut plans = self.0.plans.subscribe();
        let injected = self.draw(operation, region);
        if !injected.delay.is_zero() {
            let _ = tokio::time::timeout(injected.delay, plans.changed()).await;
        }
        injected
    }

    pub(crate) fn rotations(&self) -> &Rotations {
        &self.0.rotations
    }

    pub(crate) fn rotates_by_itself(&self) -> bool {
        self.0.rotates_by_itself
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.0.store)
    }

    /// One call, with all that surrounds the store: faults, quota, gate, count, log.
    pub(crate) async fn answer(&self, who: &Principal, region: &str, operation: &str, body: &Value) -> Reply {
        let injected = self.draw_and_wait(operation, region).await;
        if let Some((status, error)) = self.refusal(&injected, region, operation) {
            self.note(region, operation, body, &Err(error.clone()), true);
            return Reply::Answer(status, Err(error));
        }
        let refused = {
            let store = self.store();
            let caller = Caller { region, now: self.0.clock.now(), age: Duration::ZERO };
            self.0.iam.authorise(who, caller, operation, body, &store).err()
        };
        if let Some(error) = refused {
            self.note(region, operation, body, &Err(error.clone()), true);
            return Reply::Answer(400, Err(error));
        }
        self.pass(operation, Moment::Before).await;
        let age = if is_write(operation) { Duration::ZERO } else { injected.age };
        let answer = {
            // Applied and logged under one lock, so that the log's order is the order of effect.
            let mut store = self.store();
            let caller = Caller { region, now: self.0.clock.now(), age };
            let answer = store.call(caller, operation, body);
            if !age.is_zero() && store.call(Caller { age: Duration::ZERO, ..caller }, operation, body) != answer {
                self.0.counters.note_outdated();
            }
            self.note(region, operation, body, &answer, !injected.lose_answer);
            answer
        };
        self.pass(operation, Moment::After).await;
        if injected.lose_answer {
            return Reply::Severed;
        }
        Reply::Answer(if answer.is_ok() { 200 } else { 400 }, answer)
    }

    /// One call of STS: the operation, and its result as XML. `None`: the connection closes without an answer.
    pub(crate) async fn answer_sts(&self, who: Option<&Principal>, region: &str, form: &Form) -> Option<(u16, Result<String, AwsError>)> {
        let operation = form.get("Action").unwrap_or("none").to_owned();
        let injected = self.draw_and_wait(&operation, region).await;
        let (status, answer) = match self.refusal(&injected, region, &operation) {
            Some((status, error)) => (status, Err(error)),
            None => match self.0.iam.sts(who, region, form, self.0.clock.now()) {
                Ok(result) => (200, Ok(result)),
                Err(error) if error.code.starts_with("AccessDenied") => (403, Err(error)),
                Err(error) => (400, Err(error)),
            },
        };
        let noted = answer.as_ref().map(|_| Value::Null).map_err(Clone::clone);
        self.note(region, &operation, &form.shown(), &noted, !injected.lose_answer);
        (!injected.lose_answer).then_some((status, answer))
    }

    fn refusal(&self, injected: &InjectedFault, region: &str, operation: &str) -> Option<(u16, AwsError)> {
        if let Some(refusal) = &injected.refusal {
            return Some(refusal.clone());
        }
        let admitted = lock(&self.0.meter).admit(region, operation, self.0.clock.now());
        (!admitted).then(|| (400, AwsError::throttled()))
    }

    async fn pass(&self, operation: &str, moment: Moment) {
        if is_write(operation) {
            let barrier = lock(&self.0.barrier).clone();
            if let Some(barrier) = barrier {
                barrier.pass(operation, moment).await;
            }
        }
    }

    pub(crate) fn note(&self, region: &str, operation: &str, body: &Value, answer: &Answer, answered: bool) {
        let outcome = answer.as_ref().map_or_else(|error| error.code.as_ref(), |_| "ok");
        self.0.counters.note(operation, outcome);
        lock(&self.0.journal).note(self.0.clock.now(), region, operation, body, outcome, answered);
        tracing::trace!(region, operation, outcome, "call");
    }
}

impl std::fmt::Debug for Emulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Emulator").finish_non_exhaustive()
    }
}

impl Default for Emulator {
    fn default() -> Self {
        Self::new(Config::default())
    }
}
