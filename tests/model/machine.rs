//! What may happen next, and what follows from it.

use jiff::{SignedDuration, Timestamp};
use kube::core::ObjectMeta;
use rotated_secrets::api::{ADOPT_BY, AWSCURRENT, AWSPENDING, AWSPREVIOUS, AwsAdoptionPolicy, ROTATE, RotatedSecret, RotatedSecretStatus};
use rotated_secrets::compare::{Need, Observation, compare};
use rotated_secrets::desired::{Desired, Policy};
use rotated_secrets::facts::{Facts, MirrorFacts};
use rotated_secrets::journal::Journal;
use rotated_secrets::plan::{Assessment, Next, plan};
use rotated_secrets::status::{self, Attempt, Attempts, Outcome};
use rotated_secrets::step::Step;
use rotated_secrets::version_id::{VersionId, VersionIds};
use serde_json::json;
use stateright::{Model, Property};

use crate::aws::Secret;
use crate::rules;
use crate::state::{Budget, Reconcile, Shown, World};
use crate::steps::carry_out;

/// After so much time no read is old and no backoff runs. The next rotation by schedule is later than all of it.
const HOURS: SignedDuration = SignedDuration::from_hours(2);
const UID: &str = "9e5d0c6a-6d0e-4d8a-9f0e-3c0f6f3d2b11";
const START: i64 = 1_800_000_000;

/// A mechanism that the modelled operator lacks, to see that the rules notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The label `rotated-secrets/staged`.
    Label,
    /// Nothing waits until AWS shows a recorded version.
    Hold,
    /// The status does not say which version was current.
    From,
    /// Every version passes for verified.
    Verify,
    /// A version is abandoned in AWS only.
    Undo,
}

/// What may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// The operator reads and decides. AWS may answer with an old state.
    Read {
        /// It does.
        old: bool,
    },
    /// The operator does what it decided.
    Act,
    /// The same, and the new password does not work.
    Fail,
    /// The operator stops. A new process goes on.
    Crash,
    /// Another client puts a value.
    Put,
    /// Another client makes the previous version current.
    Move,
    /// A person requests a rotation.
    Request,
    /// Hours pass.
    Wait,
}

/// An operator with one object, and what may happen to it.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    /// How often what may happen.
    pub(crate) budget: Budget,
    /// What the operator lacks.
    pub(crate) missing: Option<Missing>,
}

impl Machine {
    fn object(world: &World) -> RotatedSecret {
        let spec = json!({
            "aws": {"adoptionPolicy": "IfTagged"},
            "value": {"data": {"username": "app"}, "generate": {"password": {}}},
            "rotation": {"schedule": "rate(90 days)", "postgres": {"host": "db", "database": "app", "checkInterval": "0s"}},
        });
        let mut object = RotatedSecret::new("app", serde_json::from_value(spec).expect("a spec"));
        object.metadata = ObjectMeta {
            name: Some("app".to_owned()),
            namespace: Some("shop".to_owned()),
            uid: Some(UID.to_owned()),
            generation: Some(1),
            annotations: (world.request > 0).then(|| [(ROTATE.to_owned(), world.request.to_string())].into()),
            ..ObjectMeta::default()
        };
        object.status = Some(world.status.value.clone());
        object
    }

    fn policy() -> Policy {
        Policy {
            max_adoption: AwsAdoptionPolicy::Always,
            ..Policy::lenient(&RotatedSecret::new("app", serde_json::from_value(json!({})).expect("a spec")))
        }
    }

    /// What the operator sees, by its own comparison.
    fn observe(&self, world: &World, object: &RotatedSecret, want: &Desired, journal: &Journal, aws: &Secret) -> Observation {
        let mut status = status::read(object, world.now);
        if let Some(announced) = &mut status.staging.announced {
            let met = world.met.as_ref().filter(|(version, _)| *version == announced.version).map_or(world.now, |(_, met)| *met);
            status.staging.met = Some(met).filter(|_| self.missing != Some(Missing::Hold));
            if self.missing == Some(Missing::From) {
                announced.from = None;
            }
        }
        let mirror = world.mirror.as_ref().map(|mirror| MirrorFacts {
            ours: true,
            version: Some(mirror.version.clone()),
            intact: true,
            written: Some(mirror.written),
            changed: Some(mirror.changed),
            revision: Some(mirror.written.to_string()),
            ..MirrorFacts::default()
        });
        let mut facts = Facts { finalizer: world.finalizer, secret: Some(aws.described()), mirror, ..Facts::default() };
        loop {
            match compare(want, &facts, &status, journal, world.now) {
                Ok(seen) => return seen,
                Err(Need::Version(version)) => {
                    let created = world.aws.versions[&version].created;
                    facts.reads.created.insert(version.clone(), created);
                    facts.reads.matches.insert(version, true);
                }
                Err(Need::Policy) => unreachable!("no policy is declared"),
            }
        }
    }

    fn read(&self, world: &mut World, old: bool) {
        let object = Self::object(world);
        let want = Desired::parse(&object, &Self::policy()).expect("the spec is valid");
        let mut reconcile = world.reconcile.take().map_or_else(
            || Reconcile { journal: Journal::holding(status::waits(&object, world.now).steps), next: None, old: false },
            |reconcile| reconcile.value,
        );
        reconcile.old |= old;
        if let Some(announced) = &world.status.value.staged
            && world.met.as_ref().is_none_or(|(version, _)| version.as_str() != announced.version_id)
        {
            world.met = Some((VersionId::from(announced.version_id.as_str()), world.now));
        }
        let aws = if old { &world.earlier } else { &world.aws };
        let seen = self.observe(world, &object, &want, &reconcile.journal, aws);
        match plan(&want, &seen, world.now) {
            Next::Do(step) => {
                reconcile.next = Some(step);
                world.reconcile = Some(Shown::new(reconcile));
            }
            Next::Rest(assessment) => Self::report(world, &object, &want, seen, assessment, &reconcile),
        }
    }

    fn report(world: &mut World, object: &RotatedSecret, want: &Desired, seen: Observation, assessment: Assessment, reconcile: &Reconcile) {
        let journal = &reconcile.journal;
        let attempts = Attempts {
            failed: journal.failed().map(|(key, failed)| (Attempt::Step(key), failed.clone())).collect(),
            held: journal.held().cloned().map(Attempt::Step).collect(),
            ..Attempts::default()
        };
        let attempts = attempts.of_staged(seen.secret.as_ref().and_then(|secret| secret.pending.in_progress()));
        let idle = journal.entries().is_empty() && !reconcile.old && assessment.wake().is_none_or(|wake| wake > world.now + HOURS);
        let outcome = Outcome::Assessed { seen: Box::new(seen), assessment, secret_exists: None };
        let after = status::write(object, Some(want), &outcome, &attempts, world.now);
        world.at_rest = idle && after == world.status.value;
        if after != world.status.value {
            world.status = Shown::new(after);
            world.tick();
        }
        world.reconcile = None;
    }

    fn act(&self, world: &mut World, fails: bool) {
        let Some(mut reconcile) = world.reconcile.take().map(|reconcile| reconcile.value) else { return };
        let Some(step) = reconcile.next.take() else { return };
        if let (true, Step::Verify { version }) = (fails, &step) {
            world.broken = Some(version.clone());
        }
        // A conflict ends the reconcile, and the next one reads again.
        if let Some(effect) = carry_out(world, &step, self.missing) {
            reconcile.journal.record(step, effect);
            world.reconcile = Some(Shown::new(reconcile));
            world.tick();
        }
    }

    /// The object was created, and everything is settled.
    fn settled(&self) -> World {
        let now = Timestamp::from_second(START).expect("a time");
        let secret = Secret::new(now, [(ADOPT_BY.to_owned(), "shop/app".to_owned())].into());
        let mut world = World {
            now,
            aws: secret.clone(),
            earlier: secret,
            server: 0,
            mirror: None,
            finalizer: false,
            request: 0,
            status: Shown::new(RotatedSecretStatus::default()),
            reconcile: None,
            met: None,
            broken: None,
            chosen: None,
            aside: false,
            at_rest: false,
            calm: false,
            left: self.budget,
            passwords: 0,
        };
        for _ in 0..200 {
            if world.at_rest {
                world.pass_hours();
                return world;
            }
            match world.reconcile.as_ref().and_then(|reconcile| reconcile.value.next.as_ref()) {
                Some(_) => self.act(&mut world, false),
                None => self.read(&mut world, false),
            }
        }
        panic!("the object does not settle: {world:?}")
    }
}

impl World {
    pub(crate) fn tick(&mut self) {
        self.now += SignedDuration::from_secs(1);
    }

    fn pass_hours(&mut self) {
        self.now += HOURS;
        self.earlier = self.aws.clone();
        self.calm = true;
        self.at_rest = false;
    }

    /// Something else than the operator acts.
    fn disturb(&mut self) {
        self.tick();
        self.calm = false;
        self.at_rest = false;
    }

    /// A version is staged, so the server gets the password of the version that is current at the end.
    fn on_its_way(&self) -> bool {
        let pending = self.aws.labelled(AWSPENDING);
        pending.is_some() && pending != self.aws.current()
    }
}

impl Model for Machine {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.settled()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let left = &world.left;
        match world.reconcile.as_ref().and_then(|reconcile| reconcile.value.next.as_ref()) {
            Some(step) => {
                actions.push(Action::Act);
                if left.broken > 0 && matches!(step, Step::Verify { .. }) {
                    actions.push(Action::Fail);
                }
            }
            None if world.at_rest => {}
            None => actions.push(Action::Read { old: false }),
        }
        let reads = world.reconcile.as_ref().is_none_or(|reconcile| reconcile.value.next.is_none());
        let may = [
            (reads && left.old_reads > 0 && world.aws != world.earlier, Action::Read { old: true }),
            (left.crashes > 0 && (world.reconcile.is_some() || world.met.is_some()), Action::Crash),
            (left.others > 0, Action::Put),
            (left.others > 0 && world.aws.labelled(AWSPREVIOUS).is_some(), Action::Move),
            (left.requests > 0, Action::Request),
            (left.waits > 0 && world.reconcile.is_none() && !world.calm, Action::Wait),
        ];
        actions.extend(may.into_iter().filter(|(may, _)| *may).map(|(_, action)| action));
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::Read { old } => {
                world.left.old_reads -= u8::from(old);
                self.read(&mut world, old);
            }
            Action::Act => self.act(&mut world, false),
            Action::Fail => {
                world.left.broken -= 1;
                self.act(&mut world, true);
            }
            Action::Crash => {
                world.left.crashes -= 1;
                world.disturb();
                (world.reconcile, world.met) = (None, None);
            }
            Action::Put => {
                world.left.others -= 1;
                world.choose();
                let version = VersionId::from("22222222-2222-4222-8222-222222222222");
                world.passwords += 1;
                world.aws.put(&version, world.passwords, &[AWSCURRENT], world.now);
                world.chosen = world.chosen.take().map(|_| version);
            }
            Action::Move => {
                world.left.others -= 1;
                world.choose();
                let [from, to] = [AWSCURRENT, AWSPREVIOUS].map(|label| world.aws.labelled(label).cloned());
                world.aws.move_label(AWSCURRENT, from.as_ref(), to.as_ref(), world.now);
                world.chosen = world.chosen.take().and(to);
            }
            Action::Request => {
                world.left.requests -= 1;
                world.request += 1;
                world.chosen = None;
                world.disturb();
            }
            Action::Wait => {
                world.left.waits -= 1;
                world.pass_hours();
            }
        }
        Some(world).filter(|world| world != before)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        rules::all()
    }
}

impl World {
    /// Another client is about to change which version is current.
    fn choose(&mut self) {
        self.disturb();
        if self.on_its_way() {
            // A request that is open replaces it later.
            let last = VersionIds::of(UID).request(&self.request.to_string());
            let open = self.aws.labelled(AWSPENDING) != Some(&last);
            self.chosen = self.aws.current().filter(|_| !open).cloned();
        } else {
            self.aside = true;
        }
    }
}
