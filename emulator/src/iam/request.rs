//! What a call of Secrets Manager asks of IAM: its actions, on which resource, and the context of conditions.
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecretsmanager.html>

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::pattern::Facts;
use super::policy::{Ask, Policy};
use crate::store::arn::{ACCOUNT, partition};
use crate::store::{Caller, Secret, Store};

/// Actions that know no resource.
const UNBOUND: [&str; 3] = ["ListSecrets", "BatchGetSecretValue", "GetRandomPassword"];

/// One call, with the secret that it means.
pub(super) struct Call<'a> {
    region: &'a str,
    operation: &'a str,
    body: &'a Value,
    secret: Option<Arc<Secret>>,
    policy: Option<Policy>,
}

impl<'a> Call<'a> {
    pub(super) fn read(caller: Caller<'a>, operation: &'a str, body: &'a Value, store: &Store) -> Self {
        let secret = body.get("SecretId").and_then(Value::as_str).and_then(|id| store.peek(caller, id));
        let policy = secret.as_ref().and_then(|secret| secret.policy.as_ref()).and_then(|text| serde_json::from_str(text).ok());
        let policy = policy.and_then(|document: Value| Policy::parse("resource-policy", &document).ok());
        Self { region: caller.region, operation, body, secret, policy }
    }

    /// The policy on the secret itself.
    pub(super) fn resource_policy(&self) -> Option<&Policy> {
        self.policy.as_ref()
    }

    /// Everything that must be allowed. `facts`: what the principal brings along.
    pub(super) fn asks(&self, facts: &Facts) -> Vec<Ask> {
        let mut facts = facts.clone();
        self.add_facts(&mut facts);
        let resource = self.resource();
        let also = |name: &str| Ask { action: format!("secretsmanager:{name}"), resource: resource.clone(), facts: facts.clone() };
        let mut asks = vec![also(self.operation)];
        if self.operation == "CreateSecret" {
            if self.list("Tags").is_some() {
                asks.push(also("TagResource"));
            }
            if self.list("AddReplicaRegions").is_some() {
                asks.push(also("ReplicateSecretToRegions"));
            }
        }
        if self.operation == "RotateSecret"
            && let Some(function) = self.text("RotationLambdaARN")
        {
            asks.push(Ask { action: "lambda:InvokeFunction".to_owned(), resource: function.to_owned(), facts: facts.clone() });
        }
        asks.extend(self.key_asks(&facts));
        asks
    }

    /// The secret's ARN; for one that is not there, the ARN that it would have, whose suffix is unknown.
    fn resource(&self) -> String {
        if UNBOUND.contains(&self.operation) {
            return "*".to_owned();
        }
        match (&self.secret, self.text("SecretId").or_else(|| self.text("Name"))) {
            (Some(secret), _) => secret.arn.clone(),
            (None, Some(id)) if id.starts_with("arn:") => id.to_owned(),
            (None, name) => {
                let partition = partition(self.region);
                format!("arn:{partition}:secretsmanager:{}:{ACCOUNT}:secret:{}-000000", self.region, name.unwrap_or_default())
            }
        }
    }

    fn add_facts(&self, facts: &mut Facts) {
        if let Some(secret) = &self.secret {
            let none = BTreeMap::new();
            let tags = secret.tags.as_ref().unwrap_or(&none);
            facts.put_tags("aws:ResourceTag/", tags);
            facts.put_tags("secretsmanager:ResourceTag/", tags);
            if let Some(function) = &secret.rotation.function {
                facts.put("secretsmanager:resource/AllowRotationLambdaArn", function);
            }
        }
        // Of the request. The check of TagResource that belongs to CreateSecret therefore has none.
        if self.text("SecretId").is_some() {
            facts.put("secretsmanager:SecretId", self.resource());
        }
        for name in ["Name", "Description", "VersionId", "VersionStage", "RotationLambdaARN", "Type"] {
            if let Some(value) = self.text(name) {
                facts.put(&format!("secretsmanager:{name}"), value);
            }
        }
        for name in ["ForceDeleteWithoutRecovery", "BlockPublicPolicy", "RotateImmediately", "ForceOverwriteReplicaSecret"] {
            if let Some(value) = self.body.get(name).and_then(Value::as_bool) {
                facts.put(&format!("secretsmanager:{name}"), value.to_string());
            }
        }
        if let Some(days) = self.body.get("RecoveryWindowInDays").and_then(Value::as_i64) {
            facts.put("secretsmanager:RecoveryWindowInDays", days.to_string());
        }
        if let Some(key) = self.text("KmsKeyId").and_then(|key| key_arn(self.region, key)) {
            facts.put("secretsmanager:KmsKeyArn", key);
        }
        if let Some(replicas) = self.list("AddReplicaRegions") {
            let regions = replicas.iter().filter_map(|row| Some(row.get("Region")?.as_str()?.to_owned())).collect();
            facts.put_all("secretsmanager:AddReplicaRegions", regions);
        }
        let mut keys = Vec::new();
        for tag in self.list("Tags").into_iter().flatten() {
            if let (Some(key), Some(value)) = (tag.get("Key").and_then(Value::as_str), tag.get("Value").and_then(Value::as_str)) {
                facts.put(&format!("aws:RequestTag/{key}"), value);
                keys.push(key.to_owned());
            }
        }
        keys.extend(self.list("TagKeys").into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
        if !keys.is_empty() {
            facts.put_all("aws:TagKeys", keys);
        }
    }

    /// What is asked of KMS as the caller, where the key is not the service's own.
    fn key_asks(&self, facts: &Facts) -> Vec<Ask> {
        let current = self.secret.as_ref().and_then(|secret| secret.kms_key.as_deref());
        let named = self.text("KmsKeyId");
        let written = self.body.get("SecretString").is_some() || self.body.get("SecretBinary").is_some();
        let mut wanted: Vec<(&str, Option<&str>, &[&str])> = match self.operation {
            "GetSecretValue" | "ReplicateSecretToRegions" => vec![(self.region, current, &["Decrypt"])],
            "CreateSecret" => vec![(self.region, named, &["GenerateDataKey", "Decrypt"])],
            // A token that is there already is answered after a comparison.
            "PutSecretValue" => vec![(self.region, current, &["GenerateDataKey", "Decrypt"])],
            "UpdateSecret" if named.is_some() => {
                vec![(self.region, named, &["GenerateDataKey", "Encrypt", "Decrypt"]), (self.region, current, &["Decrypt"])]
            }
            "UpdateSecret" if written => vec![(self.region, current, &["GenerateDataKey", "Decrypt"])],
            _ => Vec::new(),
        };
        for row in self.list("AddReplicaRegions").into_iter().flatten() {
            if let Some(region) = row.get("Region").and_then(Value::as_str) {
                wanted.push((region, row.get("KmsKeyId").and_then(Value::as_str), &["GenerateDataKey", "Encrypt"]));
            }
        }
        let asks = wanted.into_iter().filter_map(|(region, key, actions)| Some((region, key_arn(region, key?)?, actions)));
        asks.flat_map(|(region, key, actions)| {
            let mut facts = facts.clone();
            facts.put("kms:ViaService", format!("secretsmanager.{region}.amazonaws.com"));
            actions
                .iter()
                .map(move |action| Ask { action: format!("kms:{action}"), resource: key.clone(), facts: facts.clone() })
                .collect::<Vec<_>>()
        })
        .collect()
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.body.get(name).and_then(Value::as_str)
    }

    fn list(&self, name: &str) -> Option<&'a Vec<Value>> {
        self.body.get(name).and_then(Value::as_array).filter(|list| !list.is_empty())
    }
}

/// The ARN of a key; `None` for the service's own, which everybody in the account may use through the service. An alias is taken for the
/// key of its name.
fn key_arn(region: &str, key: &str) -> Option<String> {
    if key.is_empty() || key.contains("aws/secretsmanager") {
        return None;
    }
    if key.starts_with("arn:") {
        return Some(key.to_owned());
    }
    let partition = partition(region);
    Some(format!("arn:{partition}:kms:{region}:{ACCOUNT}:key/{}", key.strip_prefix("alias/").unwrap_or(key)))
}
