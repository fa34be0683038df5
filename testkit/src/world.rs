//! The world of a test: the shared control plane, an emulator of its own, a namespace of its own, and the operator in process.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use emulator::Clock;
use emulator::WriteBarrier;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Namespace, ObjectReference};
use kube::Client;
use kube::ResourceExt as _;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::runtime::watcher::Event;
use rotated_secrets::api::{ALLOWED_FUNCTIONS, AwsAdoptionPolicy, MANAGED_BY, RotatedSecret};
use rotated_secrets::audit::Audit;
use rotated_secrets::aws::Aws;
use rotated_secrets::desired::{Policy, SecretArn};
use rotated_secrets::feed::Feed;
use rotated_secrets::kubernetes::known::WatchedSecret;
use rotated_secrets::kubernetes::publisher::Events;
use rotated_secrets::kubernetes::stored::Brief;
use rotated_secrets::metrics::Metrics;
use rotated_secrets::reconcile::{Context, ReconcileResult, reconcile};
use serde_json::json;
use testbed::controlplane::ControlPlane;
use tokio::sync::OnceCell;

use crate::gated::{Gated, Refusals};
use crate::jobs::Jobs;
use crate::namespace::{PREFIX, TestNamespace};

/// The namespace of the operator in tests.
pub const HOME: &str = "default";

pub const REGION: &str = "eu-central-1";

/// How often the workloads are looked at until their controllers have seen them: ten minutes and more.
const LOOKS: u32 = 6000;
const POLL: Duration = Duration::from_millis(100);

/// After so many changes in a row the clock advances. An object without faults settles with fewer.
const CHANGES: usize = 6;
/// By so much at most.
const PAUSE: Duration = Duration::from_secs(15);

/// The shared control plane with our definition and roles.
pub async fn control_plane() -> Result<&'static ControlPlane> {
    static PREPARED: OnceCell<()> = OnceCell::const_new();
    let shared = ControlPlane::shared().await?;
    PREPARED.get_or_try_init(|| prepare(shared)).await?;
    Ok(shared)
}

/// Applies our definition and roles.
pub async fn prepare(plane: &ControlPlane) -> Result<()> {
    plane.apply_yaml(include_str!("../../crds/rotatedsecrets.yaml")).await?;
    plane.apply_yaml(include_str!("../../deploy/install.yaml")).await?;
    Ok(())
}

/// What the worlds of one test may share: to connect takes longer than to ask. Not between tests, since each has a tokio runtime of its own.
#[derive(Clone)]
pub struct Clients {
    /// With all rights on the shared control plane.
    pub admin: Client,
    pub http: SharedHttpClient,
}

impl Clients {
    pub async fn new() -> Result<Self> {
        let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https();
        Ok(Self { admin: control_plane().await?.admin(), http })
    }
}

/// A namespace of the shared control plane for an operator in process. The emulator's clock is the operator's too.
pub struct World {
    pub cluster: &'static ControlPlane,
    pub http: SharedHttpClient,
    /// What the API server refuses. Applies to operators with a gate.
    pub refusals: Refusals,
    /// What runs in Jobs, between two reconciles.
    pub jobs: Jobs,
    within: TestNamespace,
}

impl Deref for World {
    type Target = TestNamespace;

    fn deref(&self) -> &TestNamespace {
        &self.within
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut TestNamespace {
        &mut self.within
    }
}

impl World {
    /// In `namespace`, with an empty AWS whose clock stands at `now`, ahead of the API server's by more than AWS needs to settle.
    pub async fn new(namespace: &str) -> Result<Self> {
        Self::with(&Clients::new().await?, namespace).await
    }

    /// The same, with clients that other worlds of this test use as well.
    pub async fn with(clients: &Clients, namespace: &str) -> Result<Self> {
        let cluster = control_plane().await?;
        let now = Timestamp::from_second(Timestamp::now().as_second() + 600)?;
        let config = emulator::Config {
            clock: Clock::fixed(now),
            region: REGION.to_owned(),
            // Between two reconciles, so that a plan always meets the same writes.
            rotates_by_itself: false,
            ..emulator::Config::default()
        };
        let within = TestNamespace::new(clients.admin.clone(), namespace, config).await?;
        Ok(Self { cluster, http: clients.http.clone(), refusals: Refusals::default(), jobs: Jobs::default(), within })
    }

    /// What one process of the operator holds in memory.
    pub async fn operator(&self, gate: Option<Arc<dyn WriteBarrier>>, mirrored: Arc<Mutex<Vec<String>>>) -> Result<Context> {
        let client = self.admin.clone();
        let client = match gate {
            Some(gate) => {
                let (refusals, namespace) = (self.refusals.clone(), self.namespace.clone());
                Gated { client, gate, mirrored, refusals, namespace }.into_client()
            }
            None => client,
        };
        let credentials = aws_sdk_secretsmanager::config::Credentials::new("AKIAEXAMPLE", "example", None, None, "test");
        let config = aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12())
            .region(aws_config::Region::new(REGION))
            .endpoint_url(self.endpoint())
            .http_client(self.http.clone())
            .credentials_provider(credentials)
            .load()
            .await;
        let metrics = Metrics::new();
        let clock = self.emulator.clock();
        let time: Arc<dyn Fn() -> Timestamp + Send + Sync> =
            Arc::new(move || Timestamp::from_second(clock.now().as_second()).unwrap_or_default());
        Ok(Context {
            memory: Arc::default(),
            known: Arc::default(),
            events: Events::new(client.clone(), metrics.clone()).at_home(home()),
            client,
            aws: Aws::with_clock(config, metrics.clone(), Arc::clone(&time)),
            policy: Policy {
                default_region: REGION.to_owned(),
                allowed_regions: Vec::new(),
                name_prefix: PREFIX.to_owned(),
                cluster: "test".to_owned(),
                minimum_interval: SignedDuration::from_mins(10),
                // Tests of other topics make many requests in a row.
                request_interval: SignedDuration::ZERO,
                service_accounts: false,
                rotation_jobs: true,
                allowed_kms_keys: Vec::new(),
                allow_resource_policies: true,
                default_tags: std::collections::BTreeMap::new(),
                allow_public_policies: true,
                max_adoption: AwsAdoptionPolicy::Always,
                local_targets: true,
            },
            clock: time,
            metrics,
            audit: Audit::off(),
            refresh_interval: SignedDuration::from_mins(5),
            feed: None,
            event_index: None,
            sweep_interval: SignedDuration::from_hours(1),
            deletion_timeout: SignedDuration::from_hours(1),
            #[cfg(feature = "weakened")]
            weakness: None,
        })
    }

    /// Allows these rotation functions in the namespace, as an administrator does.
    pub async fn allow_functions(&self, globs: &str) -> Result<()> {
        let patch = json!({"metadata": {"annotations": {ALLOWED_FUNCTIONS: globs}}});
        Api::<Namespace>::all(self.admin.clone()).patch(&self.namespace, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// The Jobs of the object go on, as far as they can.
    pub async fn run_jobs(&self, object: &RotatedSecret) -> Result<()> {
        self.jobs.pass(&self.admin, &self.namespace, object.metadata.uid.as_deref().unwrap_or_default()).await
    }

    /// The watches of the operator show the Secret of this name and the Namespace as they are now. If the API server refuses all,
    /// they are interrupted.
    pub async fn show(&self, ctx: &Context, name: &str) -> Result<()> {
        if self.refusals.permissions.is_on() || self.refusals.everything.is_on() {
            ctx.known.secrets_interrupted(Some(&self.namespace));
            ctx.known.namespaces_interrupted();
            return Ok(());
        }
        let secret = self.secrets().get_metadata_opt(name).await?;
        let ours = secret.filter(|secret| secret.labels().get(MANAGED_BY.0).is_some_and(|by| by == MANAGED_BY.1));
        let event: Event<WatchedSecret> = match ours {
            Some(secret) => Event::Apply(serde_json::from_str(&serde_json::to_string(&secret)?)?),
            None => Event::Delete(serde_json::from_str(&json!({"metadata": {"name": name, "namespace": self.namespace}}).to_string())?),
        };
        ctx.known.sees_secrets(Some(&self.namespace))(&Ok(event));
        if let Some(namespace) = Api::<Brief<Namespace>>::all(self.admin.clone()).get_opt(&self.namespace).await? {
            ctx.known.sees_namespaces()(&Ok(Event::Apply(namespace)));
        }
        Ok(())
    }

    /// Gives the operator a change feed, and the object its first reconcile: what a list shows is enough if it is at rest.
    pub async fn feed(&self, ctx: &mut Context, name: &str) -> Result<()> {
        let feed = Feed::new(ctx.refresh_interval);
        let arn = self.objects().get_opt(name).await?.and_then(|object| SecretArn::parse(object.status?.aws?.arn.as_deref()?));
        // As many as make a list worth its calls.
        feed.expect(arn.into_iter().flat_map(|arn| std::iter::repeat_n(arn, 100)), (ctx.clock)());
        ctx.feed = Some(feed);
        Ok(())
    }

    /// Waits until the controllers of workloads have seen the newest spec of each one. They work in real time, and the clock of a test must not
    /// run ahead of them.
    pub async fn controllers_have_seen_workloads(&self) -> Result<()> {
        for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", kind));
            let workloads: Api<DynamicObject> = Api::namespaced_with(self.admin.clone(), &self.namespace, &resource);
            // Not `until`: this future must be `Send`.
            for attempt in 0.. {
                let found = workloads.list(&ListParams::default()).await?.items;
                if found.iter().all(|one| one.data["status"]["observedGeneration"].as_i64() == one.metadata.generation) {
                    break;
                }
                anyhow::ensure!(attempt < LOOKS, "the controller has not seen each {kind}");
                tokio::time::sleep(POLL).await;
            }
        }
        // What they do then takes them a moment.
        tokio::time::sleep(POLL).await;
        Ok(())
    }

    /// Reconciles until nothing changes and nothing is due within a minute; where the operator asks for a pause, the clock advances by it. A
    /// change triggers a reconcile at once. If each of several in a row changes something, as while AWS shows an old state, the clock advances
    /// as well. The watches show what happened before, and not what the operator does meanwhile. `None`: the object is gone.
    pub async fn settle(&self, ctx: &Context, name: &str) -> Result<Option<RotatedSecret>> {
        let mut changes = 0;
        self.show(ctx, name).await?;
        for _ in 0..60 {
            let Some(object) = self.objects().get_opt(name).await? else { return Ok(None) };
            self.emulator.run_rotations().await;
            self.run_jobs(&object).await?;
            let ReconcileResult { again, changed, .. } = Box::pin(reconcile(&object, ctx)).await;
            changes = if changed { changes + 1 } else { 0 };
            let waits = object.status.iter().flat_map(|status| &status.conditions).any(|c| c.type_ == "RolledOut" && c.reason == "Waiting");
            if waits && !changed {
                self.controllers_have_seen_workloads().await?;
            }
            match again {
                Some(wait) if wait.as_secs() < 60 && !changed => self.emulator.clock().advance(wait),
                _ if !changed => return Ok(Some(object)),
                wait if changes % CHANGES == 0 => self.emulator.clock().advance(wait.unwrap_or_default().min(PAUSE)),
                _ => {}
            }
        }
        anyhow::bail!("{name} does not settle: {:?}", self.objects().get_opt(name).await?.and_then(|object| object.status))
    }
}

/// Stands for the operator's pod. Nothing in the namespace default is deleted.
fn home() -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        name: Some("rotated-secrets".to_owned()),
        namespace: Some(HOME.to_owned()),
        ..ObjectReference::default()
    }
}
