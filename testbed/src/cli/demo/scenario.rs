//! What every step needs: the person's kubectl, AWS, and how things stand on both sides.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use serde_json::Value;

use super::aws::{Aws, CURRENT, PREVIOUS, Version, text};
use super::kubelet::{Kubelet, read};
use super::recorder::Recorder;
use super::screen::{Screen, typed};
use super::stage::Stage;

pub(super) const NAMESPACE: &str = "shop";
/// Of the `RotatedSecret` in `examples/db-admin.yaml`, and of its Secret.
pub(super) const NAME: &str = "db-admin";
pub(super) const AWS_NAME: &str = "k8s/demo/shop/db-admin";

/// For what takes a second on a machine that has time.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(100);

/// The steps' common ground.
pub(super) struct Scenario<'a> {
    pub(super) screen: &'a Screen,
    pub(super) stage: &'a Stage,
    pub(super) aws: Aws<'a>,
    pub(super) client: Client,
    pub(super) kubelet: Kubelet,
    pub(super) recorder: Recorder,
    /// What is no new version, for the table: when, what, and how it went on.
    pub(super) incidents: Vec<Incident>,
}

/// Something that happened without a new version.
pub(super) struct Incident {
    pub(super) at: Timestamp,
    pub(super) what: String,
    pub(super) then: String,
}

/// Both sides, when they agree.
pub(super) struct State {
    pub(super) object: Value,
    pub(super) secret: Secret,
    pub(super) current: String,
    pub(super) previous: Option<String>,
    /// As in the Secret, and the same in AWS.
    pub(super) version: Version,
}

impl<'a> Scenario<'a> {
    pub(super) async fn new(screen: &'a Screen, stage: &'a Stage) -> Self {
        let client = stage.control_plane.admin();
        Self {
            screen,
            stage,
            aws: screen.during("looking for aws-cli", Aws::new(stage, AWS_NAME)).await,
            kubelet: Kubelet::start(client.clone(), NAMESPACE),
            recorder: Recorder::start(stage.emulator.clone(), client.clone(), NAMESPACE, NAME),
            client,
            incidents: Vec::new(),
        }
    }

    /// Shows a kubectl command and what it prints.
    pub(super) async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl_with(arguments, None).await
    }

    /// The same, with something on its standard input.
    pub(super) async fn kubectl_with(&self, arguments: &[&str], input: Option<&str>) -> Result<String> {
        self.screen.command(&typed("kubectl", arguments))?;
        let printed = self.screen.during("kubectl", self.stage.kubectl(self.stage.kubeconfig(), arguments, input)).await?;
        self.screen.output(&printed)?;
        Ok(printed)
    }

    pub(super) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    pub(super) async fn object(&self) -> Result<Option<Value>> {
        object(&self.client, NAME).await
    }

    /// Waits until something is there. Fails with `expected` when it does not come, or when the operator has ended.
    pub(super) async fn until<T>(&self, expected: &str, patience: Duration, look: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
        let start = Instant::now();
        let mut progress = self.screen.progress(&format!("until {expected}"));
        loop {
            let reason = match look().await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => None,
                Err(error) => Some(error),
            };
            self.stage.expect_operator()?;
            if start.elapsed() > patience {
                let expected = format!("expected: {expected}; it did not come within {} s", patience.as_secs());
                return Err(match reason {
                    Some(reason) => reason.context(expected),
                    None => anyhow::anyhow!(expected),
                });
            }
            progress.tick("");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until both sides agree with each other, the status with both, and all of it with `accept`.
    pub(super) async fn settled(&self, expected: &str, patience: Duration, accept: impl Fn(&State) -> bool) -> Result<State> {
        self.until(expected, patience, async || Ok(self.look().await?.filter(|state| accept(state)))).await
    }

    /// How things stand, if they agree.
    async fn look(&self) -> Result<Option<State>> {
        let Some(secret) = self.secrets().get_opt(NAME).await? else { return Ok(None) };
        let Some(object) = self.object().await? else { return Ok(None) };
        let labels = self.aws.labels().await?;
        let Some(current) = labels.get(CURRENT).cloned() else { return Ok(None) };
        let version = read(&secret);
        let state = State { object, secret, current, previous: labels.get(PREVIOUS).cloned(), version };
        // What the mirror holds is compared with what AWS holds under that id, byte by byte.
        let agree =
            state.version.id == state.current && state.reports_of_now() && state.version == self.aws.version(&state.current).await?;
        Ok(agree.then_some(state))
    }
}

impl State {
    fn reports_of_now(&self) -> bool {
        let at = |path: &str| self.object.pointer(path).and_then(Value::as_str);
        self.object.pointer("/status/observedGeneration") == self.object.pointer("/metadata/generation")
            && conditions(&self.object).get("Ready").is_some_and(|(status, _)| status == "True")
            && at("/status/aws/currentVersionId") == Some(self.current.as_str())
            && at("/status/mirror/versionId") == Some(self.current.as_str())
    }

    /// When the operator says that it will rotate next.
    pub(super) fn next_rotation(&self) -> Result<Timestamp> {
        let next = self.object.pointer("/status/nextRotationTime").and_then(Value::as_str);
        next.and_then(|next| next.parse().ok()).context("expected that the status names the time of the next rotation; it does not")
    }

    /// What the operator says of its versions, newest first: version and cause.
    pub(super) fn history(&self) -> Vec<(String, String)> {
        history(&self.object)
    }

    /// Fails unless the operator names this cause for the current version.
    pub(super) fn expect_cause(&self, cause: &str) -> Result<()> {
        match self.history().first() {
            Some((version, named)) if *version == self.current && named == cause => Ok(()),
            Some((_, named)) => bail!("expected that the status names the cause {cause} of the current version; it names {named}"),
            None => bail!("expected that the status has a history; it has none"),
        }
    }
}

/// The versions in the status of the object, newest first: version and cause.
pub(super) fn history(object: &Value) -> Vec<(String, String)> {
    let entries = object.pointer("/status/history").and_then(Value::as_array).into_iter().flatten();
    entries.map(|entry| (text(entry, "versionId").to_owned(), text(entry, "cause").to_owned())).collect()
}

/// Type -> status, and reason with message.
pub(super) fn conditions(object: &Value) -> BTreeMap<String, (String, String)> {
    let found = object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let one = |condition: &Value| {
        let why = format!("{}: {}", text(condition, "reason"), text(condition, "message"));
        (text(condition, "type").to_owned(), (text(condition, "status").to_owned(), why))
    };
    found.map(one).collect()
}

/// The `RotatedSecret` of this name; `None` when there is none.
pub(super) async fn object(client: &Client, name: &str) -> Result<Option<Value>> {
    let kind =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("rotated-secrets.io", "v1alpha1", "RotatedSecret"), "rotatedsecrets");
    let objects: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &kind);
    objects.get_opt(name).await?.map(|object| serde_json::to_value(object).context("the object is no JSON")).transpose()
}

/// Hours, minutes and seconds, UTC.
pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}
