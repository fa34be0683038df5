//! Another principal of the same account: a person in the console, a pipeline, an attacker. Its acts obey the same rules; they are neither
//! counted nor logged, pass no gate and meet no faults.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::Clock;
use crate::error::AwsError;
use crate::lock::lock;
use crate::store::{Caller, Store};

/// Acts on the emulator's secrets in one Region.
#[derive(Debug, Clone)]
pub struct ExternalWriter {
    store: Arc<Mutex<Store>>,
    clock: Clock,
    region: String,
}

impl ExternalWriter {
    pub(crate) fn new(store: Arc<Mutex<Store>>, clock: Clock, region: String) -> Self {
        Self { store, clock, region }
    }

    /// The same principal in another Region.
    #[must_use]
    pub fn in_region(&self, region: &str) -> Self {
        Self { region: region.to_owned(), ..self.clone() }
    }

    /// Makes a secret; answers with its ARN.
    pub fn create(&self, name: &str, value: &str, tags: &BTreeMap<String, String>) -> Result<String, AwsError> {
        let tags: Vec<Value> = tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
        let made = self.act("CreateSecret", &json!({"Name": name, "SecretString": value, "ClientRequestToken": token(), "Tags": tags}))?;
        Ok(text(&made, "ARN"))
    }

    /// As a service of AWS: makes a secret with a name that users may not choose, such as `rds!db-1`; answers with its ARN.
    pub fn create_managed(&self, name: &str, value: &str) -> String {
        lock(&self.store).create_managed(self.caller(), name, value, &token())
    }

    /// As another account: makes a secret, or puts its next value, that this account may read by its full ARN; answers with that ARN.
    pub fn share(&self, account: &str, name: &str, value: &str) -> String {
        lock(&self.store).share(self.caller(), account, name, value, &token())
    }

    /// Puts a new current value; answers with the version's id.
    pub fn put_value(&self, name: &str, value: &str) -> Result<String, AwsError> {
        self.put(name, value, "AWSCURRENT")
    }

    /// Puts a value under AWSPENDING, as another rotator would; answers with the version's id.
    pub fn put_pending(&self, name: &str, value: &str) -> Result<String, AwsError> {
        self.put(name, value, "AWSPENDING")
    }

    fn put(&self, name: &str, value: &str, label: &str) -> Result<String, AwsError> {
        let put = self.act(
            "PutSecretValue",
            &json!({"SecretId": name, "SecretString": value, "ClientRequestToken": token(), "VersionStages": [label]}),
        )?;
        Ok(text(&put, "VersionId"))
    }

    /// Moves a label to a version, from wherever it is; to none takes it off.
    pub fn move_label(&self, name: &str, label: &str, to: Option<&str>) -> Result<(), AwsError> {
        let described = self.describe(name)?;
        let holders = described.get("VersionIdsToStages").and_then(Value::as_object).into_iter().flatten();
        let holder = holders
            .filter(|(_, labels)| labels.as_array().is_some_and(|labels| labels.iter().any(|on| on == label)))
            .map(|(id, _)| id.clone())
            .next();
        let mut body = json!({"SecretId": name, "VersionStage": label});
        if let Some(body) = body.as_object_mut() {
            body.extend(to.map(|to| ("MoveToVersionId".to_owned(), to.into())));
            body.extend(holder.map(|holder| ("RemoveFromVersionId".to_owned(), holder.into())));
        }
        self.act("UpdateSecretVersionStage", &body).map(drop)
    }

    /// Adds or changes a tag.
    pub fn set_tag(&self, name: &str, key: &str, value: &str) -> Result<(), AwsError> {
        self.act("TagResource", &json!({"SecretId": name, "Tags": [{"Key": key, "Value": value}]})).map(drop)
    }

    /// Takes a tag away.
    pub fn untag(&self, name: &str, key: &str) -> Result<(), AwsError> {
        self.act("UntagResource", &json!({"SecretId": name, "TagKeys": [key]})).map(drop)
    }

    /// Changes the description.
    pub fn set_description(&self, name: &str, description: &str) -> Result<(), AwsError> {
        let body = json!({"SecretId": name, "Description": description, "ClientRequestToken": token()});
        self.act("UpdateSecret", &body).map(drop)
    }

    /// Plans the deletion after so many days (7 to 30).
    pub fn delete(&self, name: &str, window_days: u32) -> Result<(), AwsError> {
        self.act("DeleteSecret", &json!({"SecretId": name, "RecoveryWindowInDays": window_days})).map(drop)
    }

    /// Takes a planned deletion back.
    pub fn restore(&self, name: &str) -> Result<(), AwsError> {
        self.act("RestoreSecret", &json!({"SecretId": name})).map(drop)
    }

    /// Takes the secret away at once and without a trace: its name is free. `false` if it was not there.
    pub fn purge(&self, name: &str) -> bool {
        lock(&self.store).purge(&self.region, name, self.clock.now())
    }

    /// What `DescribeSecret` answers.
    pub fn describe(&self, name: &str) -> Result<Value, AwsError> {
        self.act("DescribeSecret", &json!({"SecretId": name}))
    }

    /// The current value as text.
    pub fn value(&self, name: &str) -> Result<String, AwsError> {
        let got = self.act("GetSecretValue", &json!({"SecretId": name, "VersionStage": "AWSCURRENT"}))?;
        Ok(text(&got, "SecretString"))
    }

    /// Any operation.
    pub fn act(&self, operation: &str, body: &Value) -> Result<Value, AwsError> {
        lock(&self.store).call(self.caller(), operation, body)
    }

    fn caller(&self) -> Caller<'_> {
        Caller { region: &self.region, now: self.clock.now(), age: Duration::ZERO }
    }
}

fn token() -> String {
    Uuid::new_v4().to_string()
}

fn text(answer: &Value, member: &str) -> String {
    answer.get(member).and_then(Value::as_str).unwrap_or_default().to_owned()
}
