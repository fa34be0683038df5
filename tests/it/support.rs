//! The world of a test: the shared control plane, an emulator of its own, a namespace of its own, and the operator in process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};

use anyhow::{Context as _, Result};
use emulator::{Clock, Emulator, SecretSnapshot};
use emulator::{Moment, WriteBarrier};
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::client::{Body, ClientBuilder};
use kube::{Client, ResourceExt};
use rotated_secrets::api::{ALLOWED_FUNCTIONS, ROTATE, RotatedSecret, VERSION_ID};
use rotated_secrets::aws::Aws;
use rotated_secrets::kubernetes::events::Events;
use rotated_secrets::desired::Policy;
use rotated_secrets::metrics::Metrics;
use rotated_secrets::reconcile::{Context, Turn, turn};
use serde_json::{Value, json};
use testbed::controlplane::ControlPlane;
use tokio::sync::OnceCell;
use tower::{Layer, Service};

pub(crate) const REGION: &str = "eu-central-1";
pub(crate) const PREFIX: &str = "k8s";

/// The shared control plane with our definition and roles.
pub(crate) async fn control_plane() -> Result<&'static ControlPlane> {
    static PREPARED: OnceCell<()> = OnceCell::const_new();
    let shared = ControlPlane::shared().await?;
    PREPARED
        .get_or_try_init(|| async {
            shared.apply_yaml(include_str!("../../crds/rotatedsecrets.yaml")).await?;
            shared.apply_yaml(include_str!("../../deploy/install.yaml")).await?;
            anyhow::Ok(())
        })
        .await?;
    Ok(shared)
}

/// One object's world. The emulator's clock is the operator's too.
pub(crate) struct World {
    pub(crate) cluster: &'static ControlPlane,
    pub(crate) admin: Client,
    pub(crate) namespace: String,
    pub(crate) emulator: Emulator,
    /// The operator's prefix of names and default region, for its next lives.
    pub(crate) flags: Mutex<(String, String)>,
    server: emulator::Server,
}

impl World {
    /// In `namespace`, with an empty AWS whose clock stands at `now`, ahead of the API server's by more than AWS needs to settle.
    pub(crate) async fn new(namespace: &str) -> Result<Self> {
        let cluster = control_plane().await?;
        let now = Timestamp::from_second(Timestamp::now().as_second() + 600)?;
        let emulator = Emulator::new(emulator::Config {
            clock: Clock::fixed(now),
            region: REGION.to_owned(),
            // Between two turns, so that a plan always meets the same writes.
            rotates_by_itself: false,
            ..emulator::Config::default()
        });
        let server = emulator.serve(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        Ok(Self {
            cluster,
            admin: cluster.admin(),
            namespace: namespace.to_owned(),
            emulator,
            flags: Mutex::new((PREFIX.to_owned(), REGION.to_owned())),
            server,
        })
    }

    /// Where AWS is.
    pub(crate) fn endpoint(&self) -> String {
        self.server.endpoint_url()
    }

    /// What the operator holds in memory, made anew for each of its lives.
    pub(crate) async fn operator(&self, gate: Option<Arc<dyn WriteBarrier>>, mirrored: Arc<Mutex<Vec<String>>>) -> Result<Context> {
        let builder = ClientBuilder::try_from(self.cluster.admin_config())?;
        let client = match gate {
            Some(gate) => builder.with_layer(&Gated { gate, mirrored }).build(),
            None => builder.build(),
        };
        let credentials = aws_sdk_secretsmanager::config::Credentials::new("AKIAEXAMPLE", "example", None, None, "test");
        let config = aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12())
            .region(aws_config::Region::new(REGION))
            .endpoint_url(self.endpoint())
            .credentials_provider(credentials)
            .load()
            .await;
        let metrics = Metrics::new();
        let (name_prefix, default_region) = self.flags.lock().unwrap().clone();
        let clock = self.emulator.clock();
        let time: Arc<dyn Fn() -> Timestamp + Send + Sync> =
            Arc::new(move || Timestamp::from_second(clock.now().as_second()).unwrap_or_default());
        Ok(Context {
            events: Events::new(client.clone()),
            client,
            aws: Aws::with_clock(config, metrics.clone(), Arc::clone(&time)),
            policy: Policy {
                default_region,
                allowed_regions: Vec::new(),
                name_prefix,
                cluster: "test".to_owned(),
                minimum_interval: SignedDuration::from_mins(10),
                service_accounts: false,
                allowed_kms_keys: Vec::new(),
                allow_resource_policies: true,
            },
            clock: time,
            metrics,
            refresh_interval: SignedDuration::from_mins(5),
            #[cfg(feature = "weakened")]
            weakness: None,
        })
    }

    pub(crate) fn objects(&self) -> Api<RotatedSecret> {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    pub(crate) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    pub(crate) async fn create(&self, name: &str, spec: Value) -> Result<RotatedSecret> {
        let object = serde_json::from_value(json!({
            "apiVersion": "rotated-secrets.io/v1alpha1",
            "kind": "RotatedSecret",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        }))?;
        Ok(self.objects().create(&PostParams::default(), &object).await?)
    }

    pub(crate) async fn patch(&self, name: &str, patch: Value) -> Result<RotatedSecret> {
        Ok(self.objects().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?)
    }

    pub(crate) async fn request_rotation(&self, name: &str, token: &str) -> Result<RotatedSecret> {
        self.annotate(name, ROTATE, token).await
    }

    pub(crate) async fn annotate(&self, name: &str, annotation: &str, text: &str) -> Result<RotatedSecret> {
        self.patch(name, json!({"metadata": {"annotations": {annotation: text}}})).await
    }

    /// The administrator's leave for rotation functions.
    pub(crate) async fn allow_functions(&self, globs: &str) -> Result<()> {
        let patch = json!({"metadata": {"annotations": {ALLOWED_FUNCTIONS: globs}}});
        Api::<Namespace>::all(self.admin.clone()).patch(&self.namespace, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    pub(crate) fn aws_name(&self, name: &str) -> String {
        format!("{PREFIX}/{}/{name}", self.namespace)
    }

    /// The AWS secret `<prefix>/<namespace>/<name>`.
    pub(crate) fn aws_secret(&self, name: &str) -> Option<SecretSnapshot> {
        let full = self.aws_name(name);
        self.emulator.secrets().into_iter().find(|secret| secret.name == full)
    }

    /// Turns until one changes nothing and nothing is due soon; the clock goes on where the operator asks for a pause. `None`: the object is gone.
    pub(crate) async fn settle(&self, ctx: &Context, name: &str) -> Result<Option<RotatedSecret>> {
        for _ in 0..40 {
            let Some(object) = self.objects().get_opt(name).await? else { return Ok(None) };
            self.emulator.run_rotations().await;
            let Turn { again, changed, .. } = turn(&object, ctx).await;
            match again {
                Some(wait) if wait.as_secs() < 60 && !changed => self.emulator.clock().advance(wait),
                _ if !changed => return Ok(Some(object)),
                _ => {}
            }
        }
        anyhow::bail!("{name} does not settle: {:?}", self.objects().get_opt(name).await?.and_then(|object| object.status))
    }

    /// Everything that must hold when nothing is left to do: the mirror is AWS's current value, and the object says so.
    pub(crate) async fn check_agreement(&self, name: &str) -> Result<()> {
        let aws = self.aws_secret(name).context("the AWS secret is there")?;
        let current = aws.labels.get("AWSCURRENT").context("it has a current version")?;
        let value: BTreeMap<String, String> = serde_json::from_str(aws.current().context("with a value")?)?;
        let secret = self.secrets().get(name).await?;
        let data = secret.data.clone().unwrap_or_default();
        anyhow::ensure!(secret.annotations().get(VERSION_ID) == Some(current), "the mirror is annotated with the current version");
        anyhow::ensure!(
            data.len() == value.len() && value.iter().all(|(key, text)| data.get(key).is_some_and(|bytes| bytes.0 == text.as_bytes())),
            "the mirror holds the current value"
        );
        let object = self.objects().get(name).await?;
        let status = object.status.clone().unwrap_or_default();
        let ready = status.conditions.iter().find(|c| c.type_ == "Ready").context("it has a Ready condition")?;
        anyhow::ensure!(ready.status == "True", "it is Ready, not {}: {}", ready.reason, ready.message);
        anyhow::ensure!(status.observed_generation == object.metadata.generation, "the status is of this generation");
        anyhow::ensure!(
            status.aws.as_ref().and_then(|aws| aws.current_version_id.as_ref()) == Some(current),
            "the status names the version"
        );
        anyhow::ensure!(status.failures.is_none(), "no failure is left over");
        Ok(())
    }
}

/// Takes every Kubernetes write past a gate, and notes which versions were mirrored.
#[derive(Clone)]
pub(crate) struct Gated {
    gate: Arc<dyn WriteBarrier>,
    mirrored: Arc<Mutex<Vec<String>>>,
}

impl<S> Layer<S> for Gated {
    type Service = GatedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GatedService { inner: Arc::new(tokio::sync::Mutex::new(inner)), gated: self.clone() }
    }
}

/// kube's stack below cannot be cloned, and a request waits at the gate before it goes there: hence the lock.
pub(crate) struct GatedService<S> {
    inner: Arc<tokio::sync::Mutex<S>>,
    gated: Gated,
}

impl<S, B> Service<Request<Body>> for GatedService<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        let gated = self.gated.clone();
        Box::pin(async move {
            if request.method() == Method::GET {
                return forward(&inner, request).await;
            }
            let effect = effect(&request);
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await.expect("a request's own body");
            if effect.ends_with(" secrets") {
                let sent: Value = serde_json::from_slice(&body).expect("JSON");
                if let Some(version) = sent.pointer("/metadata/annotations/rotated-secrets.io~1version-id").and_then(Value::as_str) {
                    gated.mirrored.lock().unwrap().push(version.to_owned());
                }
            }
            gated.gate.pass(&effect, Moment::Before).await;
            let answer = forward(&inner, Request::from_parts(parts, Body::from(body.to_vec()))).await;
            gated.gate.pass(&effect, Moment::After).await;
            answer
        })
    }
}

async fn forward<S: Service<Request<Body>>>(inner: &tokio::sync::Mutex<S>, request: Request<Body>) -> Result<S::Response, S::Error> {
    let answer = {
        let mut inner = inner.lock().await;
        std::future::poll_fn(|cx| inner.poll_ready(cx)).await?;
        inner.call(request)
    };
    answer.await
}

/// `PUT rotatedsecrets/status`, `POST secrets`, ...
fn effect(request: &Request<Body>) -> String {
    let parts: Vec<&str> = request.uri().path().split('/').filter(|part| !part.is_empty()).collect();
    let after = parts.iter().position(|part| *part == "namespaces").map_or(0, |at| at + 2);
    let resource = parts.get(after).copied().unwrap_or("?");
    match parts.get(after + 2) {
        Some(subresource) => format!("{} {resource}/{subresource}", request.method()),
        None => format!("{} {resource}", request.method()),
    }
}

pub(crate) fn spec() -> Value {
    json!({
        "value": {"data": {"username": "admin"}, "generate": {"password": {}}},
        "rotation": {"schedule": "rate(1 hour)"},
    })
}
