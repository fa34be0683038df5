//! Tables of facts, and what each row means. A [`Scene`] begins in a state in which everything is as declared; each row
//! changes what it is about.

mod current;
mod drift;
mod explain;
mod needs;
mod outdated;
mod ownership;
mod pending;
mod policy;
mod replicas;
mod rotation;
mod state;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::api::{AWSCURRENT, AWSPREVIOUS, Cause, RotatedSecret, RotatedSecretSpec};
use crate::desired::tests::policy;
use crate::desired::{Policy, Rotation};
use crate::facts::{DeclaredFacts, HistoryFact, MirrorFacts, ReportedSchedule};
use crate::journal::Effect;
use crate::step::{Source, Stage, Step};
use crate::value::DeclaredValue;
use crate::version_id::VersionId;

const NOW: i64 = 1_800_000_000;
const HOUR: i64 = 3600;
const ARN: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:k8s/shop/db-admin-AbCdEf";
const OTHER_ARN: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:k8s/shop/db-admin-GhIjKl";

fn now() -> Timestamp {
    ago(0)
}

fn ago(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW - seconds).unwrap()
}

fn id(name: &str) -> VersionId {
    VersionId::from(name)
}

fn strings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn want(spec: Value) -> Desired {
    let spec: RotatedSecretSpec = serde_json::from_value(spec).unwrap();
    let mut object = RotatedSecret::new("db-admin", spec);
    object.metadata.namespace = Some("shop".to_owned());
    object.metadata.uid = Some("0b7a4c52-57c5-4e0c-9e6f-9d2f7f1c2a11".to_owned());
    let policy = Policy { allowed_kms_keys: vec!["alias/*,1234*".to_owned()], ..policy() };
    Desired::parse(&object, &policy).unwrap().within(Some("8e1f0c0d-3f2c-4c1b-9a55-0d1f5b7c2e10".to_owned()))
}

/// A generated password without rotation; `aws`: `spec.aws`.
fn generated(aws: &Value) -> Desired {
    want(json!({"value": {"generate": {"password": {}}}, "aws": aws}))
}

fn scheduled(schedule: &str) -> Desired {
    want(json!({"value": {"generate": {"password": {}}}, "rotation": {"schedule": schedule}}))
}

const FUNCTION: &str = "arn:aws:lambda:eu-central-1:123456789012:function:rotate";

fn lambda() -> Desired {
    let rotation = json!({"schedule": "rate(30 days)", "lambda": {"functionArn": FUNCTION}});
    want(json!({"value": {"generate": {"password": {}}}, "rotation": rotation}))
}

fn mirror_only() -> Desired {
    want(json!({}))
}

fn hash(want: &Desired) -> String {
    want.value.as_ref().map(DeclaredValue::hash).unwrap()
}

/// What makes a row differ from the scene in which everything is as declared.
type Change = fn(&mut Scene);

/// Everything that is compared.
#[derive(Clone)]
struct Scene {
    want: Desired,
    facts: Facts,
    status: StatusFacts,
    journal: Journal,
}

impl Scene {
    /// Version `current` is an hour old, ours, reported and mirrored, and all settings are as declared.
    fn new(want: Desired) -> Self {
        let secret = AwsSecret {
            arn: ARN.to_owned(),
            name: want.secret_name.clone(),
            description: want.description.clone(),
            tags: want.tags.clone(),
            labels: BTreeMap::from([(AWSCURRENT.to_owned(), id("current")), (AWSPREVIOUS.to_owned(), id("previous"))]),
            last_changed: Some(ago(HOUR)),
            ..AwsSecret::default()
        };
        let mirror = MirrorFacts {
            ours: true,
            version: Some(id("current")),
            intact: true,
            written: Some(ago(HOUR)),
            changed: Some(ago(2 * HOUR)),
            revision: Some("7".to_owned()),
            ..MirrorFacts::default()
        };
        let schedule = match &want.rotation {
            Rotation::Scheduled { expression, .. } => Some(ReportedSchedule { expression: expression.clone(), since: None }),
            _ => None,
        };
        let status = StatusFacts {
            arn: Some(ARN.to_owned()),
            declared: DeclaredFacts { hash: want.value.as_ref().map(DeclaredValue::hash), ..DeclaredFacts::default() },
            history: vec![entry("current", HOUR, Cause::Scheduled), entry("previous", 2 * HOUR, Cause::Created)],
            last_rotation: Some(ago(HOUR)),
            current_generation: true,
            schedule,
            ..StatusFacts::default()
        };
        let facts = Facts { secret: Some(secret), mirror: Some(mirror), ..Facts::default() };
        Self { want, facts, status, journal: Journal::default() }
    }

    /// The same scene after a change.
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn aws(&mut self) -> &mut AwsSecret {
        self.facts.secret.as_mut().unwrap()
    }

    fn mirror(&mut self) -> &mut MirrorFacts {
        self.facts.mirror.as_mut().unwrap()
    }

    fn label(&mut self, label: &str, version: &VersionId) {
        self.aws().labels.insert(label.to_owned(), version.clone());
    }

    fn read(&mut self, version: &str, age: i64) {
        self.read_at(&id(version), ago(age));
    }

    fn read_at(&mut self, version: &VersionId, created: Timestamp) {
        self.facts.reads.created.insert(version.clone(), created);
    }

    fn matched(&mut self, version: &VersionId, matches: bool) {
        self.facts.reads.matches.insert(version.clone(), matches);
    }

    /// This reconcile put `version` after `predecessor`.
    fn put(&mut self, version: &str, predecessor: &str, effect: Effect) {
        let (version, predecessor) = (id(version), Some(id(predecessor)));
        let (source, cause, stage, label) = (Source::Compose, Cause::Scheduled, Stage::Current, None);
        self.journal.record(Step::Put { version, source, predecessor, cause, stage, label }, effect);
    }

    fn compare(&self) -> Result<Observation, Need> {
        compare(&self.want, &self.facts, &self.status, &self.journal, now())
    }

    fn secret(&self) -> SecretState {
        self.compare().unwrap().secret.unwrap()
    }

    fn current(&self) -> Result<Current, Need> {
        self.compare().map(|seen| seen.secret.unwrap().current.unwrap())
    }

    fn drift(&self) -> Drift {
        self.secret().drift
    }
}

fn entry(version: &str, age: i64, cause: Cause) -> HistoryFact {
    HistoryFact { version: id(version), time: ago(age), cause }
}

fn needs(version: &str) -> Need {
    Need::Version(id(version))
}
