//! The rules of AWS Secrets Manager, without network, time or chance of its own: a call and a moment go in, an answer or a refusal comes out.
//!
//! A version never changes once it has a value, and a label is an entry in a map from label to version, so a label on two versions, or a
//! version that changed, cannot be written down. Every write works on a copy and puts it back whole, so a refusal changes nothing.

pub(crate) mod arn;
mod batch;
mod create;
mod delete;
mod event;
mod fields;
mod filter;
mod foreign;
mod lie;
mod list;
mod password;
mod policy;
mod read;
mod replicate;
pub(crate) mod rotate;
mod schedule;
mod secret;
mod stages;
mod tags;
mod values;
mod versions;
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rand::SeedableRng as _;
use rand_chacha::ChaCha12Rng;
use serde_json::Value;

use crate::clock::{after, before};
use crate::error::AwsError;
use crate::queue::Queues;
use fields::Fields;
pub use lie::ListLie;
pub(crate) use secret::Secret;

/// How far back a stale read can see. Older states are forgotten.
pub(crate) const MEMORY: Duration = Duration::from_hours(1);

/// An answer's JSON, or a refusal.
pub(crate) type Answer = Result<Value, AwsError>;

/// Operations that can change something.
const WRITES: &[&str] = &[
    "CreateSecret",
    "PutSecretValue",
    "UpdateSecret",
    "UpdateSecretVersionStage",
    "DeleteSecret",
    "RestoreSecret",
    "TagResource",
    "UntagResource",
    "PutResourcePolicy",
    "DeleteResourcePolicy",
    "ReplicateSecretToRegions",
    "RemoveRegionsFromReplication",
    "StopReplicationToReplica",
    "RotateSecret",
    "CancelRotateSecret",
];

/// Whether an operation can change something.
pub fn is_write(operation: &str) -> bool {
    WRITES.contains(&operation)
}

/// Who calls, when, and how old the state is that a read of theirs sees.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    /// The Region the request is signed for.
    pub region: &'a str,
    /// The time.
    pub now: Timestamp,
    /// How stale a read is.
    pub age: Duration,
}

impl Caller<'_> {
    /// The moment whose state a read sees; none is the newest.
    fn sees(self) -> Option<Timestamp> {
        (!self.age.is_zero()).then(|| before(self.now, self.age))
    }
}

/// How the service lags behind itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lags {
    /// How far `ListSecrets` lags behind; AWS says up to five minutes.
    pub list: Duration,
    /// What `ListSecrets` shows and is not so.
    pub lie: Option<ListLie>,
    /// For how long a name cannot be used again after a forced deletion; at AWS some seconds.
    pub forced_deletion: Duration,
    /// For how long a new replica says that it is being made.
    pub replication: Duration,
}

/// All secrets of all Regions.
pub(crate) struct Store {
    shelves: BTreeMap<String, BTreeMap<String, Shelf>>,
    /// When each name has to be processed: a recovery window ends, or old states can be dropped.
    due: BTreeSet<(Timestamp, String, String)>,
    lags: Lags,
    chance: ChaCha12Rng,
    /// The functions that AWS may invoke.
    functions: BTreeSet<String>,
    /// Secrets of other accounts that this one may read, by ARN.
    shared: BTreeMap<String, Arc<Secret>>,
    /// Where events go.
    queues: Queues,
}

/// State of one name.
#[derive(Debug, Default)]
struct Shelf {
    secret: Option<Arc<Secret>>,
    /// What was there until when, oldest first.
    past: VecDeque<(Timestamp, Option<Arc<Secret>>)>,
    accessed: Option<Timestamp>,
    /// Until when the name is held after a forced deletion.
    held: Option<Timestamp>,
}

impl Shelf {
    fn at(&self, moment: Option<Timestamp>) -> Option<&Arc<Secret>> {
        let then = moment.and_then(|moment| self.past.iter().find(|(until, _)| *until > moment));
        match then {
            Some((_, past)) => past.as_ref(),
            None => self.secret.as_ref(),
        }
    }
}

impl Store {
    /// An empty store. ARN suffixes and passwords follow from the seed.
    pub(crate) fn new(seed: u64, lags: Lags, queues: Queues) -> Self {
        Self {
            shelves: BTreeMap::new(),
            due: BTreeSet::new(),
            lags,
            chance: ChaCha12Rng::seed_from_u64(seed),
            functions: BTreeSet::new(),
            shared: BTreeMap::new(),
            queues,
        }
    }

    /// Changes how far `ListSecrets` lags behind.
    pub(crate) fn set_list_lag(&mut self, lag: Duration) {
        self.lags.list = lag;
    }

    /// Changes what `ListSecrets` shows and is not so.
    pub(crate) fn set_list_lie(&mut self, lie: Option<ListLie>) {
        self.lags.lie = lie;
    }

    /// Changes for how long a new replica says that it is being made.
    pub(crate) fn set_replication_lag(&mut self, lag: Duration) {
        self.lags.replication = lag;
    }

    /// Says whether AWS may invoke the function of this ARN.
    pub(crate) fn allow_function(&mut self, arn: &str, allowed: bool) {
        if allowed {
            self.functions.insert(arn.to_owned());
        } else {
            self.functions.remove(arn);
        }
    }

    /// Answers one call.
    pub(crate) fn call(&mut self, caller: Caller<'_>, operation: &str, body: &Value) -> Answer {
        self.settle(caller.now);
        let fields = Fields::of(body)?;
        match operation {
            "CreateSecret" => self.create(caller, fields),
            "PutSecretValue" => self.put_value(caller, fields),
            "UpdateSecret" => self.update(caller, fields),
            "UpdateSecretVersionStage" => self.move_label(caller, fields),
            "GetSecretValue" => self.get_value(caller, fields),
            "BatchGetSecretValue" => self.get_values(caller, fields),
            "DescribeSecret" => self.describe(caller, fields),
            "ListSecretVersionIds" => self.list_versions(caller, fields),
            "ListSecrets" => self.list(caller, fields),
            "DeleteSecret" => self.delete(caller, fields),
            "RestoreSecret" => self.restore(caller, fields),
            "TagResource" => self.tag(caller, fields),
            "UntagResource" => self.untag(caller, fields),
            "GetRandomPassword" => self.password(fields),
            "PutResourcePolicy" => self.put_policy(caller, fields),
            "GetResourcePolicy" => self.get_policy(caller, fields),
            "DeleteResourcePolicy" => self.delete_policy(caller, fields),
            "ValidateResourcePolicy" => self.validate_policy(caller, fields),
            "ReplicateSecretToRegions" => self.replicate(caller, fields),
            "RemoveRegionsFromReplication" => self.unreplicate(caller, fields),
            "StopReplicationToReplica" => self.promote_replica(caller, fields),
            "RotateSecret" => self.rotate(caller, fields),
            "CancelRotateSecret" => self.cancel_rotation(caller, fields),
            _ => Err(AwsError::new("UnknownOperationException", "The operation is not known.")),
        }
    }

    /// Every secret there is, with its Region.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &Arc<Secret>)> {
        self.shelves
            .iter()
            .flat_map(|(region, names)| names.values().filter_map(move |shelf| Some((region.as_str(), shelf.secret.as_ref()?))))
    }

    /// Takes a secret away at once and without a trace, as if it had been purged long ago. `false` if it was not there.
    pub(crate) fn purge(&mut self, region: &str, name: &str, now: Timestamp) -> bool {
        let there = self.shelf(region, name).is_some_and(|shelf| shelf.secret.is_some());
        if there {
            self.replace(region, name, None, now);
        }
        there
    }

    /// The secret that a `SecretId` means, in any state.
    pub(crate) fn peek(&self, caller: Caller<'_>, id: &str) -> Option<Arc<Secret>> {
        self.find(caller, id).ok()
    }

    fn shelf(&self, region: &str, name: &str) -> Option<&Shelf> {
        self.shelves.get(region)?.get(name)
    }

    fn shelf_mut(&mut self, region: &str, name: &str) -> &mut Shelf {
        self.shelves.entry(region.to_owned()).or_default().entry(name.to_owned()).or_default()
    }

    /// The secret that a `SecretId` means, as the caller sees it.
    fn find(&self, caller: Caller<'_>, id: &str) -> Result<Arc<Secret>, AwsError> {
        let wanted = fields::parse_secret_id(id, caller.region)?;
        let found = self.shelves.get(caller.region).and_then(|names| {
            let candidates = wanted.names();
            candidates.into_iter().filter_map(|name| names.get(name)?.at(caller.sees())).find(|secret| wanted.means(secret))
        });
        found.cloned().ok_or_else(AwsError::no_secret)
    }

    /// A copy of the newest state, to change and [`Self::save`]. Refuses a secret that waits for deletion, and a replica.
    fn open(&self, caller: Caller<'_>, id: &str) -> Result<Secret, AwsError> {
        let secret = self.find(Caller { age: Duration::ZERO, ..caller }, id)?;
        if secret.deletion.is_some() {
            return Err(AwsError::marked_for_deletion());
        }
        secret.refuse_if_replica()?;
        Ok(Secret::clone(&secret))
    }

    /// Puts a changed secret back, and its likeness into every Region it is replicated to.
    fn save(&mut self, caller: Caller<'_>, mut secret: Secret) {
        secret.changed = caller.now;
        for region in secret.replica_regions() {
            let likeness = secret.likeness(caller.region, &region);
            let name = likeness.name.clone();
            self.replace(&region, &name, Some(likeness), caller.now);
        }
        let name = secret.name.clone();
        self.replace(caller.region, &name, Some(secret), caller.now);
    }

    /// Changes the state of a name and records the state before.
    fn replace(&mut self, region: &str, name: &str, secret: Option<Secret>, now: Timestamp) {
        let forget = after(now, MEMORY);
        self.due.insert((forget, region.to_owned(), name.to_owned()));
        if let Some(deletion) = secret.as_ref().and_then(|secret| secret.deletion) {
            self.due.insert((deletion.planned, region.to_owned(), name.to_owned()));
        }
        if let Some(secret) = secret.as_ref().filter(|secret| !matches!(secret.replication, secret::Replication::Replica { .. })) {
            // Whether the Region of a replica has events of its own is not documented.
            let before = self.shelf(region, name).and_then(|shelf| shelf.secret.as_deref());
            for (label, event) in event::moved(before, secret, region, now) {
                self.queues.send(region, &label, &event, now);
            }
        }
        let place = self.shelf_mut(region, name);
        let past = std::mem::replace(&mut place.secret, secret.map(Arc::new));
        if place.secret.is_none() {
            place.accessed = None;
        }
        place.past.push_back((now, past));
    }

    /// Lets time do its work: secrets whose window is over go, and so does the memory of what was there too long ago.
    fn settle(&mut self, now: Timestamp) {
        while self.due.first().is_some_and(|(moment, ..)| *moment <= now) {
            let Some((_, region, name)) = self.due.pop_first() else {
                return;
            };
            let over = self
                .shelf(&region, &name)
                .and_then(|shelf| shelf.secret.as_ref()?.deletion)
                .is_some_and(|deletion| deletion.planned <= now);
            if over {
                self.replace(&region, &name, None, now);
            }
            let horizon = before(now, MEMORY);
            let Some(names) = self.shelves.get_mut(&region) else {
                continue;
            };
            let Some(place) = names.get_mut(&name) else {
                continue;
            };
            while place.past.front().is_some_and(|(until, _)| *until <= horizon) {
                place.past.pop_front();
            }
            if place.secret.is_none() && place.past.is_empty() {
                names.remove(&name);
            }
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
