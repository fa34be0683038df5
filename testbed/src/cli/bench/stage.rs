//! Where it is measured: a control plane, an emulated AWS with secrets of another owner, and namespaces for the objects.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use emulator::{Config, Emulator, EventQueue, Server};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use testbed::controlplane::{AuditEvent, ControlPlane, Options};
use testbed::usage::Usage;

use super::operator::Operator;
use super::seen::{FIELD, Seen, kind};

/// The smallest number of objects: the values of so many are changed.
pub(super) const LEAST: u32 = 20;

/// Several, because one namespace may not use all of the operator's concurrency.
const NAMESPACES: u32 = 10;
const ACCOUNT: &str = "rotated-secrets";
const USER: &str = "system:serviceaccount:rotated-secrets:rotated-secrets";
/// The name of the replica that leads.
pub(super) const IDENTITY: &str = "bench";
pub(super) const REGION: &str = "us-east-1";
/// How old the secrets in AWS are.
const AGE: SignedDuration = SignedDuration::from_hours(2);
/// Objects that are created at the same time.
pub(super) const CLIENTS: usize = 16;

pub(super) struct Stage {
    pub(super) count: u32,
    pub(super) emulator: Emulator,
    pub(super) seen: Seen,
    plane: ControlPlane,
    admin: Client,
    server: Server,
    kubeconfig: PathBuf,
}

impl Stage {
    /// Everything but the objects and the operator.
    pub(super) async fn start(count: u32, aws: Config) -> Result<Self> {
        let plane = ControlPlane::start(Options::default()).await?;
        let admin = plane.admin();
        plane.apply_yaml(include_str!("../../../../crds/rotatedsecrets.yaml")).await?;
        plane.apply_yaml(include_str!("../../../../deploy/install.yaml")).await?;
        let kubeconfig = plane.service_account_kubeconfig(ACCOUNT, ACCOUNT).await?;
        for number in 0..NAMESPACES {
            let namespace = json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": namespace(number), "annotations": {"rotated-secrets.io/mirror-names": "shared/*"}},
            });
            Api::<Namespace>::all(admin.clone()).create(&PostParams::default(), &serde_json::from_value(namespace)?).await?;
        }
        let emulator = Emulator::new(Config { region: REGION.to_owned(), ..aws });
        let external_writer = emulator.external_writer();
        // Otherwise each list of the change feed would have all of them, as recent changes.
        emulator.clock().set(Timestamp::now().saturating_sub(AGE)?);
        for number in 0..count {
            external_writer.create(&aws_name(number), &in_aws(&value(number, 0)), &BTreeMap::new()).context("a secret in AWS")?;
        }
        emulator.clock().set(Timestamp::now());
        event_queue(&emulator);
        let server = emulator.serve(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let seen = Seen::new(&admin);
        Ok(Self { count, emulator, seen, plane, admin, server, kubeconfig })
    }

    /// The operator with the rights of its own account.
    pub(super) async fn start_operator(&self, binary: &Path, identity: &str, flags: &[String]) -> Result<Operator> {
        let aws = [
            ("AWS_ENDPOINT_URL", self.server.endpoint_url()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", "bench".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "bench".to_owned()),
        ];
        Operator::start(binary, identity, &self.kubeconfig, &aws, flags).await
    }

    /// An object for each secret in AWS.
    pub(super) async fn create_objects(&self) -> Result<()> {
        let create = async |number: u32| self.create(number, &name(number), json!({"aws": {"secretName": aws_name(number)}})).await;
        stream::iter(0..self.count).map(create).buffer_unordered(CLIENTS).try_collect().await
    }

    /// An object of this name and spec. The number decides the namespace.
    pub(super) async fn create(&self, number: u32, name: &str, spec: Value) -> Result<()> {
        let object = json!({
            "apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "metadata": {"name": name}, "spec": spec,
        });
        self.objects(number).create(&PostParams::default(), &serde_json::from_value(object)?).await?;
        Ok(())
    }

    /// Changes an object, as a user does.
    pub(super) async fn patch(&self, number: u32, name: &str, patch: Value) -> Result<()> {
        self.objects(number).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    fn objects(&self, number: u32) -> Api<DynamicObject> {
        Api::namespaced_with(self.admin.clone(), &namespace(number % NAMESPACES), &kind())
    }

    /// Changes a mirrored Secret, as a person with kubectl does.
    pub(super) async fn edit_mirror(&self, number: u32) -> Result<()> {
        let api: Api<Secret> = Api::namespaced(self.admin.clone(), &namespace(number % NAMESPACES));
        let patch = Patch::Merge(json!({"stringData": {FIELD: "edited"}}));
        api.patch(&name(number), &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Puts a new value into AWS, as another client does.
    pub(super) fn change_in_aws(&self, number: u32) -> Result<()> {
        self.emulator.external_writer().put_value(&aws_name(number), &in_aws(&value(number, 1))).context("a new value in AWS")?;
        Ok(())
    }

    /// The place of the audit log where it ends now.
    pub(super) async fn log_end(&self) -> Result<u64> {
        self.plane.audit_end().await
    }

    /// The requests of the operator from this place of the audit log on.
    pub(super) async fn asked(&self, from: u64) -> Result<Vec<AuditEvent>> {
        let (mut events, _) = self.plane.audit_since(from).await?;
        events.retain(|event| event.user == USER);
        Ok(events)
    }

    /// Processor time of etcd and the API server so far, and of this process: the emulated AWS and what counts.
    pub(super) fn processor(&self) -> Result<[Duration; 2]> {
        let of = |id: u32| Ok::<_, anyhow::Error>(Usage::of(id)?.processor);
        let plane = self.plane.process_ids().into_iter().map(of).sum::<Result<Duration>>()?;
        Ok([plane, of(std::process::id())?])
    }

    pub(super) async fn stop(self) -> Result<()> {
        drop(self.server);
        self.plane.stop().await
    }
}

/// The URL of the queue in every emulated AWS of the benchmark.
pub(super) fn queue_url() -> String {
    event_queue(&Emulator::new(Config { region: REGION.to_owned(), ..Config::default() })).url()
}

/// The queue with the events of Secrets Manager, which the operator reads if it is told to.
fn event_queue(emulator: &Emulator) -> EventQueue {
    emulator.create_event_queue("changes", &["AWSCURRENT"])
}

/// A name in the namespace of this number.
pub(super) fn within(number: u32, name: &str) -> String {
    format!("{}/{name}", namespace(number % NAMESPACES))
}

/// Namespace and name of an object and its Secret.
pub(super) fn key(number: u32) -> String {
    within(number, &name(number))
}

/// The value of an object before any change (0), and after one.
pub(super) fn value(number: u32, change: u32) -> String {
    format!("value-{change}-of-object-{number}")
}

pub(super) fn in_aws(value: &str) -> String {
    json!({FIELD: value}).to_string()
}

fn namespace(number: u32) -> String {
    format!("bench-{number}")
}

fn name(number: u32) -> String {
    format!("object-{number:05}")
}

fn aws_name(number: u32) -> String {
    format!("shared/{}", name(number))
}
