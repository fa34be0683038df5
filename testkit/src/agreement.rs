//! Whether AWS, the mirrored Secret and the status describe the same version.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow, ensure};
use emulator::SecretSnapshot;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use rotated_secrets::api::{RotatedSecret, VERSION_ID};
use serde_json::Value;

use crate::TestNamespace;

/// One credential in all places where it is, at a moment when they agree.
pub struct Agreed {
    pub object: RotatedSecret,
    pub mirror: Secret,
    pub aws: SecretSnapshot,
}

impl Agreed {
    pub fn is_ready(&self) -> bool {
        ready_reason(&self.object).is_some_and(|(status, _)| status == "True")
    }

    /// Whether the status acknowledges this rotation request.
    pub fn acknowledges(&self, token: &str) -> bool {
        let requests = self.object.status.as_ref().and_then(|status| status.requests.as_ref());
        requests.and_then(|requests| requests.rotate.as_deref()) == Some(token)
    }
}

impl TestNamespace {
    /// AWS's current version, the Secret and the status are of one version, and the Secret holds its fields. `Ok(Err(..))`: why not (yet).
    pub async fn agreement(&self, name: &str) -> Result<Result<Agreed>> {
        let (object, mirror) = (self.objects().get_opt(name).await?, self.secrets().get_opt(name).await?);
        Ok(agreement(object, mirror, self.aws_secret(name)))
    }

    /// The same, without a reason.
    pub async fn agreed(&self, name: &str) -> Result<Option<Agreed>> {
        Ok(self.agreement(name).await?.ok())
    }

    /// Everything that must hold when nothing is left to do: all agree, the object is Ready, and no failure is recorded.
    pub async fn check_agreement(&self, name: &str) -> Result<()> {
        let agreed = self.agreement(name).await??;
        let status = agreed.object.status.clone().unwrap_or_default();
        let ready = status.conditions.iter().find(|c| c.type_ == "Ready").context("it has a Ready condition")?;
        ensure!(ready.status == "True", "it is Ready, not {}: {}", ready.reason, ready.message);
        ensure!(status.failures.is_none(), "no failure is left over");
        Ok(())
    }
}

fn agreement(object: Option<RotatedSecret>, mirror: Option<Secret>, aws: Option<SecretSnapshot>) -> Result<Agreed> {
    let object = object.context("the object is there")?;
    let mirror = mirror.context("the Secret is there")?;
    let aws = aws.context("the AWS secret is there")?;
    let current = aws.labels.get("AWSCURRENT").context("it has a current version")?;
    ensure!(mirror.annotations().get(VERSION_ID) == Some(current), "the mirror is annotated with the current version");
    ensure!(fields(aws.current()) == data(&mirror), "the mirror holds the current value");
    let status = object.status.as_ref().ok_or_else(|| anyhow!("the object has a status"))?;
    ensure!(status.observed_generation == object.metadata.generation, "the status is of this generation");
    let in_aws = status.aws.as_ref().and_then(|aws| aws.current_version_id.as_ref());
    let mirrored = status.mirror.as_ref().and_then(|mirror| mirror.version_id.as_ref());
    ensure!(in_aws == Some(current) && mirrored == Some(current), "the status names the version");
    Ok(Agreed { object, mirror, aws })
}

/// Status and reason of the condition Ready.
pub fn ready_reason(object: &RotatedSecret) -> Option<(String, String)> {
    let conditions = &object.status.as_ref()?.conditions;
    conditions.iter().find(|condition| condition.type_ == "Ready").map(|ready| (ready.status.clone(), ready.reason.clone()))
}

/// The fields of a value, numbers as they are written; a plain string is one under `value`.
pub fn fields(value: Option<&str>) -> BTreeMap<String, Vec<u8>> {
    let Some(value) = value else { return BTreeMap::new() };
    let text = |field: Value| field.as_str().map_or_else(|| field.to_string(), str::to_owned);
    match serde_json::from_str::<BTreeMap<String, Value>>(value) {
        Ok(fields) => fields.into_iter().map(|(name, field)| (name, text(field).into_bytes())).collect(),
        Err(_) => BTreeMap::from([("value".to_owned(), value.as_bytes().to_vec())]),
    }
}

/// What pods see.
pub fn data(secret: &Secret) -> BTreeMap<String, Vec<u8>> {
    secret.data.iter().flatten().map(|(key, bytes)| (key.clone(), bytes.0.clone())).collect()
}
