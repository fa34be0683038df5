//! The namespaces of a tenant and of a victim, and a listener that counts connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::{Api, ListParams, PostParams};
use rotated_secrets::api::{ADOPT_BY, REFRESH};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::super::stage::{MINUTE, Stage};

pub(super) const OLD: &str = "theirs-canary-3kF7";

/// What the tenant wants the operator to connect to: a port of this machine that counts connections.
pub(super) struct Counter {
    pub(super) port: u16,
    connections: Arc<AtomicUsize>,
}

impl Counter {
    pub(super) async fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        // Not every machine has IPv6.
        let second = TcpListener::bind(("::1", port)).await.ok();
        let connections = Arc::new(AtomicUsize::default());
        for listener in [Some(listener), second].into_iter().flatten() {
            let connections = Arc::clone(&connections);
            tokio::spawn(async move {
                while listener.accept().await.is_ok() {
                    connections.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        Ok(Self { port, connections })
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// The tenant's namespace, the victim's with what the tenant names, and the listener.
pub(super) struct Scene {
    pub(super) stage: Stage,
    pub(super) victim: Stage,
    pub(super) counter: Counter,
}

impl Scene {
    pub(super) async fn set() -> Result<Self> {
        let (stage, victim) = (Stage::new("tenant").await?, Stage::new("victim").await?);
        let scene = Self { stage, victim, counter: Counter::open().await? };
        let pods = json!({"selector": {"app": "db"}, "ports": [{"port": 5432}]});
        for (stage, name, spec) in [
            (&scene.stage, "db", pods.clone()),
            (&scene.victim, "db", pods),
            (&scene.stage, "outside", json!({"type": "ExternalName", "externalName": "localhost"})),
            (&scene.stage, "by-hand", json!({"ports": [{"port": 5432}]})),
        ] {
            let service: Service = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec}))?;
            Api::<Service>::namespaced(stage.world.admin.clone(), &stage.world.namespace).create(&PostParams::default(), &service).await?;
        }
        Ok(scene)
    }

    /// An object that has adopted a value with a user and a password.
    pub(super) async fn object(&self, name: &str) -> Result<()> {
        let value = json!({"username": "app", "password": OLD}).to_string();
        let tags = [(ADOPT_BY.to_owned(), format!("{}/{name}", self.stage.world.namespace))].into();
        self.stage.external_writer().create(&self.stage.aws_name(name), &value, &tags)?;
        let spec = json!({
            "aws": {"adoptionPolicy": "IfTagged"},
            "value": {"data": {"username": "app"}, "generate": {"password": {}}},
        });
        self.stage.settled(name, spec).await?;
        assert_eq!(self.stage.data(name).await?["password"], OLD);
        Ok(())
    }

    /// The object gets this target, and a rotation is requested.
    pub(super) async fn attempt(&self, object: &str, target: &Value, token: &str) -> Result<()> {
        let mut rotation =
            json!({"schedule": "rate(12 hours)", "postgres": null, "mysql": null, "redis": null, "webhook": null, "job": null});
        rotation.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
        self.stage.world.patch(object, json!({"spec": {"rotation": rotation}})).await.with_context(|| format!("{target}"))?;
        self.stage.advance(MINUTE);
        self.stage.world.request_rotation(object, token).await?;
        self.look(object).await
    }

    /// A few reconciles. What does not answer is tried again and again, so that nothing settles.
    pub(super) async fn look(&self, object: &str) -> Result<()> {
        for _ in 0..3 {
            self.stage.reconcile(object).await?;
        }
        Ok(())
    }

    /// Ends the backoff.
    pub(super) async fn again(&self, object: &str, token: &str) -> Result<()> {
        self.stage.world.annotate(object, REFRESH, token).await?;
        self.look(object).await
    }

    /// Refused with this reason and these words; pods keep what they have, and no connection was made.
    pub(super) async fn refused(&self, object: &str, reason: &str, words: &str) -> Result<String> {
        let message = self.stage.expect(object, "Rotated", "False", reason).await?;
        ensure!(message.contains(words) && !message.contains(OLD), "{words}: {message}");
        assert_eq!(self.stage.data(object).await?["password"], OLD, "{message}");
        assert_eq!(self.counter.connections(), 0, "a connection was made: {message}");
        Ok(message)
    }

    pub(super) fn is_staged(&self, object: &str) -> bool {
        self.stage.world.aws_secret(object).is_some_and(|secret| secret.labels.contains_key("AWSPENDING"))
    }

    /// The operator wrote nothing but the status and the finalizer of the object.
    pub(super) fn wrote_nothing(&self, why: &str) -> Result<()> {
        let own = ["PUT rotatedsecrets/status", "PATCH rotatedsecrets"];
        let writes: Vec<String> = self.stage.writes.take().into_iter().filter(|write| !own.contains(&write.as_str())).collect();
        ensure!(writes.is_empty(), "{why}: {writes:?}");
        Ok(())
    }

    pub(super) async fn theirs(&self) -> Result<Vec<String>> {
        let (client, namespace) = (self.victim.world.admin.clone(), &self.victim.world.namespace);
        let all = ListParams::default();
        let mut found: Vec<String> = Api::<Secret>::namespaced(client.clone(), namespace)
            .list(&all)
            .await?
            .into_iter()
            .map(|secret| format!("{:?} {:?}", secret.metadata.resource_version, secret.metadata.name))
            .collect();
        let objects = self.victim.world.objects().list(&all).await?;
        found.extend(objects.into_iter().map(|object| format!("{:?} {:?}", object.metadata.resource_version, object.metadata.name)));
        let jobs = Api::<Job>::namespaced(client, namespace).list(&all).await?;
        found.extend(jobs.into_iter().map(|job| format!("{:?}", job.metadata.name)));
        Ok(found)
    }
}
