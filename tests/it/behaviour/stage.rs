//! A namespace, an AWS, an operator, and everything that it wrote.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aws_credential_types::provider::{self, ProvideCredentials};
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Namespace, Secret};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Resource as _, ResourceExt};
use rotated_secrets::api::{ALLOWED_NAMES, Cause, RotatedSecret, RotatedSecretStatus, VERSION_ID};
use rotated_secrets::aws::Aws;
use rotated_secrets::reconcile::{Context, ReconcileResult, reconcile};
use serde_json::{Value, json};
use testkit::emulator::{AccessKey, ExternalWriter, Fault, FaultPlan, Iam, When, is_write};
use testkit::emulator::{Moment, WriteBarrier};

use testkit::{REGION, World, control_plane};

pub(super) const MINUTE: Duration = Duration::from_mins(1);
pub(super) const HOUR: Duration = Duration::from_hours(1);

/// Kubernetes tells the time of a write in whole seconds: what AWS changes so many seconds later is younger for certain.
const OLDER: i64 = 3;

/// Field manager of another writer.
const SOMEBODY: &str = "kubectl-edit";

/// Notes every write on its way, to AWS and to Kubernetes, in one list.
#[derive(Default)]
pub(super) struct Writes(Mutex<Vec<String>>);

impl WriteBarrier for Writes {
    fn pass<'a>(&'a self, effect: &'a str, moment: Moment) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if moment == Moment::Before {
                self.0.lock().unwrap().push(effect.to_owned());
            }
        })
    }
}

impl Writes {
    /// What was written since the last time, Events apart, and forgets it.
    pub(super) fn take(&self) -> Vec<String> {
        let mut all = std::mem::take(&mut *self.0.lock().unwrap());
        all.retain(|effect| !effect.ends_with(" events"));
        all
    }
}

/// An AWS secret with every byte and date of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Frozen {
    name: String,
    labels: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
    description: Option<String>,
    versions: Vec<(String, Vec<u8>)>,
    changed: Timestamp,
    deletion: Option<Timestamp>,
}

/// The world of one test.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) ctx: Context,
    pub(super) writes: Arc<Writes>,
    /// The versions that were mirrored, in order.
    pub(super) mirrored: Arc<Mutex<Vec<String>>>,
    /// The operator's own.
    key: Option<AccessKey>,
    in_step: bool,
}

impl Deref for Stage {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Stage {
    pub(super) async fn new(prefix: &str) -> Result<Self> {
        let world = World::new(&control_plane().await?.namespace(prefix).await?).await?;
        let writes = Arc::new(Writes::default());
        let mirrored = Arc::new(Mutex::new(Vec::new()));
        world.emulator.set_write_barrier(Some(Arc::clone(&writes) as Arc<dyn WriteBarrier>));
        let ctx = operator(&world, Arc::clone(&writes) as Arc<dyn WriteBarrier>, &mirrored).await?;
        Ok(Self { world, ctx, writes, mirrored, key: Some(anybody()), in_step: false })
    }

    /// AWS's clock is the API server's, to the second. See [`Stage::advance`].
    pub(super) async fn in_step(prefix: &str) -> Result<Self> {
        let mut stage = Self::new(prefix).await?;
        stage.in_step = true;
        stage.world.emulator.clock().set(Timestamp::from_second(Timestamp::now().as_second())?);
        Ok(stage)
    }

    /// Another life of the operator, or another replica.
    pub(super) async fn operator(&self) -> Result<Context> {
        self.operator_through(Arc::clone(&self.writes) as Arc<dyn WriteBarrier>).await
    }

    /// The same, whose Kubernetes writes pass this gate.
    pub(super) async fn operator_through(&self, gate: Arc<dyn WriteBarrier>) -> Result<Context> {
        let mut ctx = operator(&self.world, gate, &self.mirrored).await?;
        ctx.policy = self.ctx.policy.clone();
        ctx.aws = aws(&ctx, &self.world, self.key.as_ref()).await;
        Ok(ctx)
    }

    pub(super) fn iam(&self) -> Iam {
        self.world.emulator.iam()
    }

    /// From now on the operator's own credentials are these; `None`: it has none.
    pub(super) async fn act_with(&mut self, key: Option<&AccessKey>) {
        self.key = key.cloned();
        self.ctx.aws = aws(&self.ctx, &self.world, key).await;
    }

    /// Secrets Manager with the operator's own credentials, for calls that the operator never makes.
    pub(super) async fn client(&self) -> aws_sdk_secretsmanager::Client {
        aws_sdk_secretsmanager::Client::new(&config(&self.world, self.key.as_ref()).await)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.world.emulator.clock().now()
    }

    /// If AWS's clock began in step with the API server's, it does not fall behind that, however slow the machine is: what AWS changes from now on
    /// is younger than every mirrored Secret.
    pub(super) fn advance(&self, by: Duration) {
        let clock = self.world.emulator.clock();
        clock.advance(by);
        let least = Timestamp::from_second(Timestamp::now().as_second() + OLDER).unwrap();
        if self.in_step && clock.now() < least {
            clock.set(least);
        }
    }

    pub(super) fn external_writer(&self) -> ExternalWriter {
        self.world.emulator.external_writer()
    }

    /// From now on every call of `operation` meets this.
    pub(super) fn break_aws(&self, operation: &str, fault: Fault) {
        self.world.emulator.set_faults(FaultPlan::none().with(operation, When::Always, fault));
    }

    pub(super) fn mend_aws(&self) {
        self.world.emulator.set_faults(FaultPlan::none());
    }

    pub(super) async fn object(&self, name: &str) -> Result<RotatedSecret> {
        Ok(self.world.objects().get(name).await?)
    }

    pub(super) async fn status(&self, name: &str) -> Result<RotatedSecretStatus> {
        Ok(self.object(name).await?.status.unwrap_or_default())
    }

    /// One reconcile of this operator with a new read of the object.
    pub(super) async fn reconcile(&self, name: &str) -> Result<ReconcileResult> {
        let object = self.object(name).await?;
        self.world.run_jobs(&object).await?;
        self.world.show(&self.ctx, name).await?;
        Ok(reconcile(&object, &self.ctx).await)
    }

    pub(super) async fn settle(&self, name: &str) -> Result<()> {
        self.world.settle(&self.ctx, name).await.map(drop)
    }

    /// Advances the time, with a reconcile whenever the operator asked for one, and at the end.
    pub(super) async fn live(&self, name: &str, time: Duration) -> Result<()> {
        let end = self.now() + time;
        while self.now() < end {
            let again = self.reconcile(name).await?.again.unwrap_or(time);
            self.advance(again.min(end.duration_since(self.now()).try_into()?));
        }
        self.reconcile(name).await.map(drop)
    }

    /// Creates an object and runs the operator until nothing is left to do.
    pub(super) async fn settled(&self, name: &str, spec: Value) -> Result<RotatedSecret> {
        let object = self.world.create(name, spec).await?;
        self.settle(name).await?;
        Ok(object)
    }

    /// Another life of the operator finds nothing to write and nothing to tell.
    pub(super) async fn assert_silence(&self, name: &str) -> Result<()> {
        self.writes.take();
        let events = self.events(name).await?;
        let before = self.aws();
        self.world.settle(&self.operator().await?, name).await?;
        let written = self.writes.take();
        ensure!(written.is_empty(), "{name}: something was written though nothing was wrong: {written:?}");
        ensure!(self.aws() == before, "{name}: AWS changed");
        ensure!(self.events(name).await? == events, "{name}: an Event though nothing happened");
        Ok(())
    }

    /// The condition is there with this truth and reason. Gives its message.
    pub(super) async fn expect(&self, name: &str, of: &str, truth: &str, reason: &str) -> Result<String> {
        let status = self.status(name).await?;
        let found = status.conditions.iter().find(|c| c.type_ == of).with_context(|| format!("{name} has no {of}: {status:?}"))?;
        ensure!(
            (found.status.as_str(), found.reason.as_str()) == (truth, reason),
            "{name}: {of}={} {} ({}) instead of {truth} {reason}",
            found.status,
            found.reason,
            found.message
        );
        // Every command of every message that a test expects.
        testkit::commands::check(&found.message)?;
        Ok(found.message.clone())
    }

    pub(super) async fn has(&self, name: &str, of: &str) -> Result<bool> {
        Ok(self.status(name).await?.conditions.iter().any(|c| c.type_ == of))
    }

    /// The causes in the history, newest first.
    pub(super) async fn causes(&self, name: &str) -> Result<Vec<Cause>> {
        Ok(self.status(name).await?.history.iter().map(|entry| entry.cause).collect())
    }

    pub(super) async fn next_rotation(&self, name: &str) -> Result<Option<Timestamp>> {
        Ok(self.status(name).await?.next_rotation_time.map(|at| at.0))
    }

    /// Type, reason and how often, sorted.
    pub(super) async fn events(&self, name: &str) -> Result<Vec<(String, String, i32)>> {
        let all = Api::<Event>::namespaced(self.world.admin.clone(), &self.world.namespace).list(&ListParams::default()).await?;
        for event in &all {
            testkit::commands::check(event.message.as_deref().unwrap_or_default())?;
        }
        let mut events: Vec<_> = all
            .into_iter()
            .filter(|event| event.involved_object.name.as_deref() == Some(name))
            .map(|event| {
                let count = event.series.and_then(|series| series.count).unwrap_or(1);
                (event.type_.unwrap_or_default(), event.reason.unwrap_or_default(), count)
            })
            .collect();
        events.sort();
        Ok(events)
    }

    /// The messages of the Events with this reason.
    pub(super) async fn messages(&self, name: &str, reason: &str) -> Result<Vec<String>> {
        let all = Api::<Event>::namespaced(self.world.admin.clone(), &self.world.namespace).list(&ListParams::default()).await?;
        let about = |event: &Event| event.involved_object.name.as_deref() == Some(name) && event.reason.as_deref() == Some(reason);
        Ok(all.into_iter().filter(about).filter_map(|event| event.message).collect())
    }

    /// How often an Event of this type and reason was published.
    pub(super) async fn told(&self, name: &str, of: &str, reason: &str) -> Result<i32> {
        Ok(self.events(name).await?.iter().filter(|event| event.0 == of && event.1 == reason).map(|event| event.2).sum())
    }

    /// Everything in AWS.
    pub(super) fn aws(&self) -> Vec<Frozen> {
        let freeze = |secret: testkit::emulator::SecretSnapshot| Frozen {
            versions: secret
                .versions
                .iter()
                .map(|version| (version.id.clone(), version.value().map_or_else(Vec::new, |value| value.as_bytes().to_vec())))
                .collect(),
            name: secret.name,
            labels: secret.labels,
            tags: secret.tags,
            description: secret.description,
            changed: secret.changed,
            deletion: secret.deletion_date,
        };
        self.world.emulator.secrets().into_iter().map(freeze).collect()
    }

    /// Calls of AWS that change something, whatever came of them, since the counters were last reset.
    pub(super) fn aws_write_calls(&self) -> u64 {
        self.world.emulator.counters().all().iter().filter(|((operation, _), _)| is_write(operation)).map(|(_, count)| count).sum()
    }

    /// The current value, which is JSON.
    pub(super) fn value(&self, name: &str) -> Value {
        serde_json::from_str(&self.external_writer().value(&self.aws_name(name)).unwrap()).unwrap()
    }

    pub(super) async fn secret(&self, name: &str) -> Result<Secret> {
        Ok(self.world.secrets().get(name).await?)
    }

    pub(super) async fn no_secret(&self, name: &str) -> Result<bool> {
        Ok(self.world.secrets().get_opt(name).await?.is_none())
    }

    /// What pods see.
    pub(super) async fn data(&self, name: &str) -> Result<BTreeMap<String, String>> {
        let data = self.secret(name).await?.data.unwrap_or_default();
        data.into_iter().map(|(key, bytes)| Ok((key, String::from_utf8(bytes.0)?))).collect()
    }

    /// The version that the mirror says to hold.
    pub(super) async fn mirrored_version(&self, name: &str) -> Result<Option<String>> {
        Ok(self.secret(name).await?.annotations().get(VERSION_ID).cloned())
    }

    /// Another writer creates a Secret.
    pub(super) async fn make_secret(&self, secret: Value) -> Result<Secret> {
        let params = PostParams { field_manager: Some(SOMEBODY.to_owned()), ..PostParams::default() };
        Ok(self.world.secrets().create(&params, &serde_json::from_value(secret)?).await?)
    }

    /// Another writer edits a Secret.
    pub(super) async fn edit_secret(&self, name: &str, patch: Value) -> Result<Secret> {
        let params = PatchParams { field_manager: Some(SOMEBODY.to_owned()), ..PatchParams::default() };
        Ok(self.world.secrets().patch(name, &params, &Patch::Merge(patch)).await?)
    }

    pub(super) async fn delete_secret(&self, name: &str) -> Result<()> {
        self.world.secrets().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    pub(super) async fn delete_object(&self, name: &str) -> Result<()> {
        self.world.objects().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// As a backup that was restored without status.
    pub(super) async fn lose_status(&self, name: &str) -> Result<()> {
        let mut object = self.object(name).await?;
        object.meta_mut().managed_fields = None;
        object.status = Some(RotatedSecretStatus::default());
        self.world.objects().replace_status(name, &PostParams::default(), &object).await?;
        Ok(())
    }

    /// The administrator's leave for further names; `None` takes it back.
    pub(super) async fn allow_names(&self, globs: Option<&str>) -> Result<()> {
        self.annotate_namespace(json!({ALLOWED_NAMES: globs})).await
    }

    /// The administrator writes on the Namespace; null takes away.
    pub(super) async fn annotate_namespace(&self, annotations: Value) -> Result<()> {
        let patch = json!({"metadata": {"annotations": annotations}});
        let namespaces: Api<Namespace> = Api::all(self.world.admin.clone());
        namespaces.patch(&self.world.namespace, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }
}

/// As [`World::operator`], but the SDK does not retry, because its delays are real time.
async fn operator(world: &World, gate: Arc<dyn WriteBarrier>, mirrored: &Arc<Mutex<Vec<String>>>) -> Result<Context> {
    let mut ctx = world.operator(Some(gate), Arc::clone(mirrored)).await?;
    ctx.aws = aws(&ctx, world, Some(&anybody())).await;
    Ok(ctx)
}

/// An access key that is not registered. It may do everything.
fn anybody() -> AccessKey {
    AccessKey { id: "AKIAEXAMPLE".to_owned(), secret: "example".to_owned() }
}

/// As the default chain where there are no credentials.
#[derive(Debug)]
struct Nobody;

impl ProvideCredentials for Nobody {
    fn provide_credentials<'a>(&'a self) -> provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        provider::future::ProvideCredentials::ready(Err(provider::error::CredentialsError::not_loaded("nobody gave any")))
    }
}

async fn aws(ctx: &Context, world: &World, key: Option<&AccessKey>) -> Aws {
    Aws::with_clock(config(world, key).await, ctx.metrics.clone(), Arc::clone(&ctx.clock))
}

async fn config(world: &World, key: Option<&AccessKey>) -> aws_config::SdkConfig {
    let mut config = aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12())
        .region(aws_config::Region::new(REGION))
        .endpoint_url(world.endpoint())
        .http_client(world.http.clone())
        .retry_config(aws_config::retry::RetryConfig::disabled());
    config = match key {
        Some(key) => {
            config.credentials_provider(aws_sdk_secretsmanager::config::Credentials::new(&key.id, &key.secret, None, None, "test"))
        }
        None => config.credentials_provider(Nobody),
    };
    config.load().await
}
