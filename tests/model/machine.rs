//! What may happen next, and what follows from it.

use jiff::{SignedDuration, Timestamp};
use kube::core::ObjectMeta;
use rotated_secrets::api::{ADOPT_BY, AWSCURRENT, AWSPENDING, AWSPREVIOUS, AwsAdoptionPolicy, RotatedSecret, RotatedSecretStatus};
use rotated_secrets::desired::Policy;
use rotated_secrets::step::Step;
use rotated_secrets::version_id::{VersionId, VersionIds};
use serde_json::json;
use stateright::{Model, Property};

use crate::aws::Secret;
use crate::rules;
use crate::server::Server;
use crate::state::{Asked, Budget, Process, Shown, Who, World};
use crate::steps::labels_have_moved;

/// After so much time no read is old and no backoff runs. The next rotation by schedule is later than all of it.
pub(crate) const HOURS: SignedDuration = SignedDuration::from_hours(2);
const UID: &str = "9e5d0c6a-6d0e-4d8a-9f0e-3c0f6f3d2b11";
const START: i64 = 1_800_000_000;
/// The version that another client puts.
pub(crate) const FOREIGN: &str = "22222222-2222-4222-8222-222222222222";

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
    /// AWS does not keep the version that was abandoned last.
    Abandoned,
    /// `AWSCURRENT` moves from whichever version has it.
    Swap,
    /// No mark keeps an older version out.
    Mark,
    /// A change does not name the password that it replaces.
    Replace,
    /// The labels that come with the value of a version are not looked at.
    Shown,
}

/// Whose password changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Users {
    /// One user with one password.
    One,
    /// One user with two passwords.
    Dual,
    /// Two that take turns.
    Two,
}

/// How a process acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Plainly,
    /// By labels that have moved.
    OnOld,
    /// The version that it stages does not work.
    Fails,
}

/// What may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// A process reads and decides. AWS may answer with an old state.
    Read {
        /// Which one.
        who: Who,
        /// It does.
        old: bool,
    },
    /// A process does what it decided.
    Act(Who),
    /// The same, but it has read the labels before they moved.
    ActOnOld(Who),
    /// It stages a version whose password does not work.
    Fail(Who),
    /// Another process becomes the leader. The one before does not know.
    Depose,
    /// The operator stops. A new process goes on.
    Crash,
    /// Another client puts a value.
    Put,
    /// Another client makes the previous version current.
    Move,
    /// A person requests a rotation.
    Request,
    /// A person requests the previous value.
    RollBack,
    /// A person deletes the object.
    Delete,
    /// Hours pass.
    Wait,
}

/// An operator with one object, and what may happen to it.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    /// Whose password changes.
    pub(crate) users: Users,
    /// How often what may happen.
    pub(crate) budget: Budget,
    /// What the operator lacks.
    pub(crate) missing: Option<Missing>,
    /// The object without a status.
    pub(crate) declared: RotatedSecret,
    pub(crate) policy: Policy,
}

impl Machine {
    pub(crate) fn new(users: Users, budget: Budget, missing: Option<Missing>) -> Self {
        let mut spec = json!({
            "aws": {"adoptionPolicy": "IfTagged"},
            "value": {"data": {"username": "app"}, "generate": {"password": {}}},
            "rotation": {"schedule": "rate(90 days)", "postgres": {"host": "db", "database": "app", "checkInterval": "0s"}},
        });
        if users == Users::Dual {
            spec["rotation"] = json!({
                "schedule": "rate(90 days)",
                "mysql": {"host": "db", "users": "DualPassword", "checkInterval": "0s"},
            });
        }
        if users == Users::Two {
            spec["rotation"]["postgres"]["users"] = json!("AlternatingUsers");
            spec["rotation"]["postgres"]["adminRef"] = json!({"name": "admin"});
        }
        let mut declared = RotatedSecret::new("app", serde_json::from_value(spec).expect("a spec"));
        declared.metadata = ObjectMeta {
            name: Some("app".to_owned()),
            namespace: Some("shop".to_owned()),
            uid: Some(UID.to_owned()),
            generation: Some(1),
            ..ObjectMeta::default()
        };
        let policy = Policy { max_adoption: AwsAdoptionPolicy::Always, ..Policy::lenient(&declared) };
        Self { users, budget, missing, declared, policy }
    }

    /// The object was created, and everything is settled.
    fn settled(&self) -> World {
        let now = Timestamp::from_second(START).expect("a time");
        let secret = Secret::new(now, [(ADOPT_BY.to_owned(), "shop/app".to_owned())].into());
        let mut world = World {
            now,
            aws: secret.clone(),
            earlier: secret,
            server: Server::new(self.users),
            mirror: None,
            finalizer: false,
            asked: Asked::default(),
            status: Shown::new(RotatedSecretStatus::default()),
            leader: Process::default(),
            late: None,
            broken: None,
            chosen: None,
            applied_late: false,
            aside: false,
            gone: None,
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
            match world.next_step(Who::Leader) {
                Some(_) => self.act(&mut world, Who::Leader, How::Plainly),
                None => self.read(&mut world, Who::Leader, false),
            }
        }
        panic!("the object does not settle: {world:?}")
    }
}

impl World {
    /// Only a new version takes time, so that the order of other events makes no other state.
    pub(crate) fn tick(&mut self) {
        self.now += SignedDuration::from_secs(1);
    }

    fn pass_hours(&mut self) {
        self.now += HOURS;
        self.earlier = self.aws.clone();
        self.calm = true;
        self.at_rest = false;
        // A reconcile has three minutes.
        self.late = None;
    }

    /// Something else than the leader acts.
    pub(crate) fn disturb(&mut self) {
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
        let processes = [Some(Who::Leader), world.late.as_ref().map(|_| Who::Late)];
        for who in processes.into_iter().flatten() {
            match world.next_step(who) {
                Some(step) => {
                    actions.push(Action::Act(who));
                    if left.broken > 0 && matches!(step, Step::Put { version, .. } if !world.aws.versions.contains_key(version)) {
                        actions.push(Action::Fail(who));
                    }
                    if left.stops > 0 && labels_have_moved(world, step) {
                        actions.push(Action::ActOnOld(who));
                    }
                    continue;
                }
                None if (world.at_rest || world.gone.is_some()) && who == Who::Leader => {}
                None => actions.push(Action::Read { who, old: false }),
            }
            if left.old_reads > 0 && world.aws != world.earlier && world.gone.is_none() {
                actions.push(Action::Read { who, old: true });
            }
        }
        let (leader, lives) = (&world.leader, world.asked.deletion.is_none());
        let may = [
            (left.crashes > 0 && (leader.reconcile.is_some() || leader.met.is_some()), Action::Crash),
            (left.replicas > 0 && world.late.is_none() && world.next_step(Who::Leader).is_some(), Action::Depose),
            (left.others > 0, Action::Put),
            (left.others > 0 && world.aws.labelled(AWSPREVIOUS).is_some(), Action::Move),
            (left.requests > 0 && lives, Action::Request),
            (left.deletions > 0 && lives, Action::Delete),
            (left.rollbacks > 0 && lives && world.aws.labelled(AWSPREVIOUS).is_some(), Action::RollBack),
            (left.waits > 0 && leader.reconcile.is_none() && !world.calm, Action::Wait),
        ];
        actions.extend(may.into_iter().filter(|(may, _)| *may).map(|(_, action)| action));
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::Read { who, old } => {
                world.left.old_reads -= u8::from(old);
                self.read(&mut world, who, old);
            }
            Action::Act(who) => self.act(&mut world, who, How::Plainly),
            Action::ActOnOld(who) => {
                world.left.stops -= 1;
                self.act(&mut world, who, How::OnOld);
            }
            Action::Fail(who) => {
                world.left.broken -= 1;
                self.act(&mut world, who, How::Fails);
            }
            Action::Crash => {
                world.left.crashes -= 1;
                world.disturb();
                world.leader = Process::default();
            }
            Action::Depose => {
                world.left.replicas -= 1;
                world.disturb();
                world.late = Some(std::mem::take(&mut world.leader));
            }
            Action::Put => {
                world.left.others -= 1;
                world.choose();
                let version = VersionId::from(FOREIGN);
                world.passwords += 1;
                world.tick();
                world.aws.put(&version, (0, world.passwords), &[AWSCURRENT], world.now);
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
                world.object_changes();
                world.asked.rotation += 1;
                world.chosen = None;
                world.disturb();
            }
            Action::RollBack => {
                world.left.rollbacks -= 1;
                world.object_changes();
                world.asked.rollback += 1;
                world.chosen = None;
                world.disturb();
            }
            Action::Delete => {
                world.left.deletions -= 1;
                world.object_changes();
                world.asked.deletion = Some(world.now);
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
            let (ids, Asked { rotation, rollback, .. }) = (VersionIds::of(UID), self.asked);
            let last = [(rotation, ids.request(&rotation.to_string())), (rollback, ids.rollback(&rollback.to_string()))];
            let open = last.iter().any(|(asked, version)| *asked > 0 && !self.aws.versions.contains_key(version));
            self.chosen = self.aws.current().filter(|_| !open).cloned();
        } else {
            self.aside = true;
        }
    }
}
