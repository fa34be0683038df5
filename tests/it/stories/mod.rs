//! Stories for the crash plans and the interleavings: an object is brought into a state, one cause follows, and at the end the same must
//! hold, whatever happened to the operator in between. How to add one: docs/testing.md.

use std::future::{Ready, ready};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use kube::api::DeleteParams;
use rotated_secrets::api::RotatedSecret;
use rotated_secrets::reconcile::Context;
use serde_json::{Value, json};
use testkit::emulator::{ExternalWriter, ListLie, SecretSnapshot};
use testkit::fixtures::spec;
use testkit::{Clients, World};
use tokio::sync::OnceCell;

pub(crate) mod abandon;
pub(crate) mod adopt;
pub(crate) mod alternate_in_mysql;
pub(crate) mod alternate_in_postgres;
pub(crate) mod apply_by_job;
pub(crate) mod apply_by_webhook;
pub(crate) mod apply_to_mysql;
pub(crate) mod apply_to_postgres;
pub(crate) mod begin_rotation;
pub(crate) mod cancel_by_aws;
pub(crate) mod change_declaration;
pub(crate) mod check_target;
pub(crate) mod come_back;
pub(crate) mod configure_by_aws;
pub(crate) mod create;
pub(crate) mod declare;
pub(crate) mod delete;
pub(crate) mod delete_in_ending_namespace;
pub(crate) mod delete_mirror;
pub(crate) mod delete_replicated;
pub(crate) mod describe;
pub(crate) mod edit_mirror;
pub(crate) mod finish_staged;
pub(crate) mod lost_update;
pub(crate) mod move_flags;
pub(crate) mod overtake_in_postgres;
pub(crate) mod pin;
pub(crate) mod rekey_replica;
pub(crate) mod request;
pub(crate) mod request_by_aws;
pub(crate) mod retire_in_redis;
pub(crate) mod roll_back;
pub(crate) mod roll_out;
pub(crate) mod rotate;
pub(crate) mod rotate_after_outage;
pub(crate) mod rotate_again;
pub(crate) mod two_passwords_in_mysql;
pub(crate) mod two_passwords_in_redis;
pub(crate) mod undeclare;
pub(crate) mod unmirror;

/// One part of a story.
pub(crate) type Part = for<'a> fn(&'a Case) -> BoxFuture<'a, Result<()>>;

/// A state, a cause, and what must hold at the end. Files give the fields that differ from [`Story::of`].
pub(crate) struct Story {
    /// Lower-case letters and hyphens: a part of the namespace's name.
    pub(crate) name: &'static str,
    /// Brings the object into the state before the cause, with an operator that nothing happens to.
    pub(crate) arrange: Part,
    /// What the operator then has to react to, whatever happens to it.
    pub(crate) cause: Part,
    /// Something else that happens while the operator reacts.
    pub(crate) interference: Option<Interference>,
    /// How the operator differs after the cause, for example in a flag.
    pub(crate) configure: fn(&mut Context),
    /// The kinds of steps that the operator takes after the cause, sorted.
    pub(crate) steps: &'static [&'static str],
    /// The writes that it makes with them, sorted: AWS operations and Kubernetes requests.
    pub(crate) writes: &'static [&'static str],
    /// How many versions AWS may hold at the end: one for each cause, whatever happened in between.
    pub(crate) versions: &'static [usize],
    /// What else must hold at the end.
    pub(crate) check: Part,
    /// Whether the number of writes depends on when a controller of Kubernetes acts, so that a process may make fewer than
    /// expected.
    pub(crate) has_controller: bool,
    /// Why the story cannot be told on this machine; `None`: it can.
    pub(crate) obstacle: fn() -> Option<String>,
}

/// Happens once, before the operator's first write of this kind after the cause.
pub(crate) struct Interference {
    /// As the gate names it: `PutSecretValue`.
    pub(crate) before: &'static str,
    /// With the name of the AWS secret.
    pub(crate) act: fn(&ExternalWriter, &str) -> Result<()>,
}

impl Story {
    /// An object with a rotation every hour; nothing happens to it, and at the end it is in use.
    pub(crate) const fn of(name: &'static str) -> Self {
        Self {
            name,
            arrange: |case| case.settled(spec()).boxed(),
            cause: |_| ready(Ok(())).boxed(),
            interference: None,
            configure: |_| {},
            steps: &[],
            writes: &[],
            versions: &[1],
            check: |case| case.in_use().map(|end| end.map(drop)).boxed(),
            has_controller: false,
            obstacle: || None,
        }
    }

    /// An object with a target, whose rotation is requested: the new version is staged, applied, verified and promoted.
    pub(crate) const fn of_target(name: &'static str) -> Self {
        Self {
            cause: |case| case.request("now").boxed(),
            steps: &["Apply", "MoveLabel", "Promote", "Put", "ReplaceMirror", "Settle", "Verify"],
            writes: &["POST events", "PUT rotatedsecrets/status", "PUT secrets", "PutSecretValue", "UpdateSecretVersionStage"],
            versions: &[2],
            ..Self::of(name)
        }
    }

    /// Whether all that happens in the story are writes that pass the barrier. Statements in the credential's server do not, nor
    /// do a function of AWS and an interference. A Job does, since it is created.
    pub(crate) fn passes_barrier(&self) -> bool {
        const BESIDE: [&str; 7] = ["Abandon", "Apply", "Check", "ConfigureRotation", "Retire", "RotateNow", "Verify"];
        self.interference.is_none() && (self.writes.contains(&"POST jobs") || !self.steps.iter().any(|step| BESIDE.contains(step)))
    }

    /// That AWS holds as many versions as it may, and what the story itself says.
    pub(crate) async fn check_end(&self, case: &Case) -> Result<()> {
        let found = case.aws()?.versions.len();
        ensure!(self.versions.contains(&found), "{found} versions instead of {}", self.versions[0]);
        (self.check)(case).await
    }
}

/// What lists of secrets show.
enum Lists {
    True,
    /// The state of some time ago.
    Late,
    False(ListLie),
}

/// How old the state in a list is that is late.
const LATE: Duration = Duration::from_secs(30);

/// One run of a story: one object in a namespace, with an AWS and a clock of its own.
pub(crate) struct Case {
    pub(crate) world: World,
    pub(crate) name: String,
    /// The operator that nothing happens to.
    undisturbed: OnceCell<Context>,
}

/// What is there at the end.
pub(crate) struct End {
    pub(crate) aws: SecretSnapshot,
    /// The current value.
    pub(crate) value: Value,
    /// The value under AWSPREVIOUS.
    pub(crate) previous: Option<Value>,
}

impl Case {
    pub(crate) async fn new(clients: &Clients, namespace: &str, name: &str) -> Result<Self> {
        Ok(Self { world: World::with(clients, namespace).await?, name: name.to_owned(), undisturbed: OnceCell::new() })
    }

    pub(crate) async fn create(&self, spec: Value) -> Result<()> {
        self.world.create(&self.name, spec).await.map(drop)
    }

    /// Every second run has a change feed: what a list shows of the secret comes before what is read.
    pub(crate) async fn feed(&self, ctx: &mut Context) -> Result<()> {
        if self.lists().is_some() { self.world.feed(ctx, &self.name).await } else { Ok(()) }
    }

    /// What the lists of this run show; `None`: it has no feed.
    fn lists(&self) -> Option<Lists> {
        let number: usize = self.name.trim_start_matches('o').parse().unwrap_or_default();
        let (odd, nth) = (number % 2 == 1, number / 2);
        odd.then(|| match nth % 3 {
            0 => Lists::True,
            1 => Lists::Late,
            _ => Lists::False([ListLie::Nothing, ListLie::Strangers, ListLie::Future][nth / 3 % 3]),
        })
    }

    /// From now on, lists show what they show in this run. What was arranged is in them.
    pub(crate) fn begin_lists(&self) {
        let emulator = &self.world.emulator;
        match self.lists() {
            Some(Lists::Late) => {
                emulator.clock().advance(2 * LATE);
                emulator.set_list_lag(LATE);
            }
            Some(Lists::False(lie)) => emulator.set_list_lie(Some(lie)),
            Some(Lists::True) | None => {}
        }
    }

    /// From now on, lists show what is so. Returns whether they did not before.
    pub(crate) fn end_lists(&self) -> bool {
        self.world.emulator.set_list_lag(Duration::ZERO);
        self.world.emulator.set_list_lie(None);
        matches!(self.lists(), Some(Lists::Late | Lists::False(_)))
    }

    /// Runs the operator without interference until nothing is left to do.
    pub(crate) async fn settle(&self) -> Result<()> {
        self.settle_object(&self.name).await
    }

    /// The same for another object of the namespace.
    pub(crate) async fn settle_object(&self, name: &str) -> Result<()> {
        let operator = self.undisturbed.get_or_try_init(|| self.world.operator(None, std::sync::Arc::default())).await?;
        self.world.settle(operator, name).await.map(drop)
    }

    /// Creates the object, settles it, and checks that all is well.
    pub(crate) async fn settled(&self, spec: Value) -> Result<()> {
        self.create(spec).await?;
        self.settle().await?;
        self.world.check_agreement(&self.name).await
    }

    /// The same, and one rotation on request.
    pub(crate) async fn rotated_once(&self, spec: Value) -> Result<()> {
        self.settled(spec).await?;
        self.request("first").await?;
        self.settle().await?;
        self.world.check_agreement(&self.name).await
    }

    pub(crate) fn advance(&self, by: Duration) -> Ready<Result<()>> {
        self.world.emulator.clock().advance(by);
        ready(Ok(()))
    }

    pub(crate) async fn patch_spec(&self, spec: Value) -> Result<()> {
        self.world.patch(&self.name, json!({"spec": spec})).await.map(drop)
    }

    pub(crate) async fn request(&self, token: &str) -> Result<()> {
        self.world.request_rotation(&self.name, token).await.map(drop)
    }

    pub(crate) async fn delete(&self) -> Result<()> {
        self.world.objects().delete(&self.name, &DeleteParams::default()).await?;
        Ok(())
    }

    pub(crate) async fn object(&self) -> Result<RotatedSecret> {
        Ok(self.world.objects().get(&self.name).await?)
    }

    pub(crate) fn aws(&self) -> Result<SecretSnapshot> {
        self.world.aws_secret(&self.name).context("the AWS secret is there")
    }

    /// In how many regions the AWS secret is.
    pub(crate) fn regions(&self) -> usize {
        let name = self.world.aws_name(&self.name);
        self.world.emulator.secrets().iter().filter(|secret| secret.name == name).count()
    }

    /// The object is there and all agree; the user name is the declared one.
    pub(crate) async fn in_use(&self) -> Result<End> {
        let aws = self.aws()?;
        ensure!(aws.deletion_date.is_none(), "nothing is deleted");
        self.world.check_agreement(&self.name).await?;
        let value: Value = serde_json::from_str(aws.current().context("a value")?)?;
        ensure!(value["username"] == "admin", "the user name stays");
        let previous = aws.labelled("AWSPREVIOUS").and_then(|version| serde_json::from_str(version.value()?.as_str()?).ok());
        Ok(End { aws, value, previous })
    }

    /// As `in_use`, and the password differs from the previous one.
    pub(crate) async fn has_new_password(&self) -> Result<()> {
        let end = self.in_use().await?;
        let previous = end.previous.context("the previous value can be read")?;
        ensure!(previous["password"] != end.value["password"], "the password is new");
        Ok(())
    }

    /// The object is gone, and the AWS secret waits for its deletion.
    pub(crate) async fn is_deleted(&self) -> Result<()> {
        ensure!(self.world.objects().get_opt(&self.name).await?.is_none(), "the object is gone");
        ensure!(self.aws()?.deletion_date.is_some(), "the AWS secret is scheduled for deletion");
        Ok(())
    }

    /// After the end a new operator wrote nothing. What was mirrored had been current once, and never went backwards.
    pub(crate) fn check_history(&self, mirrored: &[String], late: &[String]) -> Result<()> {
        ensure!(late.is_empty(), "writes after the end: {late:?}");
        let versions = self.world.aws_secret(&self.name).map(|aws| aws.versions).unwrap_or_default();
        let order: Vec<usize> = mirrored.iter().filter_map(|id| versions.iter().position(|version| version.id == *id)).collect();
        ensure!(order.len() == mirrored.len(), "a mirrored version that AWS does not have");
        ensure!(order.is_sorted(), "the mirror went backwards: {order:?}");
        Ok(())
    }
}

/// Every setting of an AWS secret.
pub(crate) fn settings() -> Value {
    let readers = json!([{
        "Effect": "Allow",
        "Principal": {"AWS": ["arn:aws:iam::210987654321:root"]},
        "Action": ["secretsmanager:GetSecretValue"],
        "Resource": ["*"],
    }]);
    json!({
        "tags": {"team": "shop"},
        "kmsKeyId": "alias/shop",
        "resourcePolicy": {"Version": "2012-10-17", "Statement": readers},
        "replicaRegions": [{"region": "eu-west-1"}],
    })
}

/// The usual spec with these fields under `aws`.
pub(crate) fn spec_with_aws(aws: &Value) -> Value {
    let mut spec = spec();
    spec["aws"] = aws.clone();
    spec
}
