//! Secrets Manager as a person sees it: through aws-cli where it is installed, else with the same calls over HTTP.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::screen::{Screen, typed};
use super::stage::{KEY, REGION, Stage, isolated, run};
use super::tools::{Http, http, on_path};

pub(super) const CURRENT: &str = "AWSCURRENT";
pub(super) const PREVIOUS: &str = "AWSPREVIOUS";

/// aws-cli starts slowly; when it takes this long, it is not a help.
const PATIENCE: Duration = Duration::from_secs(30);

/// One AWS secret.
pub(super) struct Aws<'a> {
    stage: &'a Stage,
    http: Http,
    cli: Option<PathBuf>,
    /// Its name.
    pub(super) name: &'static str,
}

/// A version with its value, which stays in here: it is compared, and never shown.
#[derive(PartialEq, Eq)]
pub(super) struct Version {
    pub(super) id: String,
    fields: BTreeMap<String, Vec<u8>>,
}

impl Version {
    pub(super) fn new(id: &str, fields: BTreeMap<String, Vec<u8>>) -> Self {
        Self { id: id.to_owned(), fields }
    }

    pub(super) fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields.get(name).map(Vec::as_slice)
    }

    /// `username (5 characters) and password (32 characters)`.
    pub(super) fn shape(&self) -> String {
        let fields =
            self.fields.iter().map(|(name, value)| format!("{name} ({} characters)", String::from_utf8_lossy(value).chars().count()));
        fields.collect::<Vec<_>>().join(", ")
    }
}

impl<'a> Aws<'a> {
    /// Finds out whether aws-cli is there and reaches the emulator.
    pub(super) async fn new(stage: &'a Stage, name: &'static str) -> Self {
        let mut aws = Self { stage, http: http(), cli: on_path("aws"), name };
        if aws.cli.is_some() {
            let before = stage.emulator.counters().calls();
            let listed = tokio::time::timeout(PATIENCE, aws.by_cli("list-secrets", &[])).await;
            if !matches!(listed, Ok(Ok(_))) || stage.emulator.counters().calls() == before {
                aws.cli = None;
            }
        }
        aws
    }

    pub(super) fn has_cli(&self) -> bool {
        self.cli.is_some()
    }

    /// Another secret of the same account.
    pub(super) fn named(&self, name: &'static str) -> Self {
        Self { stage: self.stage, http: self.http.clone(), cli: self.cli.clone(), name }
    }

    /// Whether there is no secret at all.
    pub(super) async fn is_empty(&self) -> Result<bool> {
        let listed = self.call("ListSecrets", &json!({})).await?;
        Ok(listed.get("SecretList").and_then(Value::as_array).is_some_and(Vec::is_empty))
    }

    /// Carries out a command of aws-cli about the secret, in front of the user's eyes.
    pub(super) async fn show(&self, screen: &Screen, command: &str) -> Result<Value> {
        let arguments = ["--secret-id", self.name];
        if self.cli.is_some() {
            let all: Vec<&str> = ["secretsmanager", command].into_iter().chain(arguments).collect();
            screen.command(&typed("aws", &all))?;
            screen.during("aws", self.by_cli(command, &arguments)).await.with_context(|| typed("aws", &all))
        } else {
            let operation = pascal(command);
            let body = json!({"SecretId": self.name});
            screen.say(&format!("> POST {} secretsmanager.{operation} {body}", self.stage.server.endpoint_url()))?;
            self.call(&operation, &body).await
        }
    }

    async fn by_cli(&self, command: &str, arguments: &[&str]) -> Result<Value> {
        let mut aws = isolated(self.cli.as_deref().context("aws-cli is not here")?);
        aws.current_dir(self.stage.group.dir()).args(["secretsmanager", command]).args(arguments).args(["--output", "json"]);
        aws.envs(self.stage.aws()).envs([("AWS_PAGER", ""), ("AWS_CLI_AUTO_PROMPT", "off")]);
        let text = run(aws, None).await?;
        serde_json::from_str(&text).context("aws-cli printed no JSON")
    }

    /// One call over HTTP.
    pub(super) async fn call(&self, operation: &str, body: &Value) -> Result<Value> {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={KEY}/20260101/{REGION}/secretsmanager/aws4_request, SignedHeaders=host, Signature={}",
            "0".repeat(64)
        );
        let request = Request::post(self.stage.server.endpoint_url())
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("secretsmanager.{operation}"))
            .header("authorization", authorization)
            .body(Full::new(Bytes::from(body.to_string())))?;
        let answer = self.http.request(request).await?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await?.to_bytes();
        // Not quoted when it cannot be read: it may hold a value.
        let answer: Value = serde_json::from_slice(&bytes).map_err(|_| anyhow::anyhow!("{operation}: the answer is no JSON"))?;
        if !status.is_success() {
            bail!("{operation}: {}: {}", text(&answer, "__type"), text(&answer, "Message"));
        }
        Ok(answer)
    }

    /// Label -> version.
    pub(super) async fn labels(&self) -> Result<BTreeMap<String, String>> {
        Ok(labels(&self.call("DescribeSecret", &json!({"SecretId": self.name})).await?))
    }

    /// The value of a version.
    pub(super) async fn version(&self, id: &str) -> Result<Version> {
        let answer = self.call("GetSecretValue", &json!({"SecretId": self.name, "VersionId": id})).await?;
        let value: Map<String, Value> = serde_json::from_str(text(&answer, "SecretString"))
            .map_err(|_| anyhow::anyhow!("expected that the value is a JSON object with the declared fields; it is not"))?;
        let fields = value.into_iter().map(|(name, value)| (name, value.as_str().unwrap_or_default().as_bytes().to_vec()));
        let fields: BTreeMap<_, _> = fields.collect();
        ensure!(fields.values().all(|value| !value.is_empty()), "expected that every field of the value is a text; one is not");
        Ok(Version { id: text(&answer, "VersionId").to_owned(), fields })
    }
}

/// Label -> version, out of an answer of `DescribeSecret`.
pub(super) fn labels(described: &Value) -> BTreeMap<String, String> {
    let versions = described.get("VersionIdsToStages").and_then(Value::as_object).into_iter().flatten();
    let pairs = versions.flat_map(|(id, labels)| {
        let labels = labels.as_array().into_iter().flatten().filter_map(Value::as_str);
        labels.map(move |label| (label.to_owned(), id.clone()))
    });
    pairs.collect()
}

/// Key -> value, out of the same.
pub(super) fn tags(described: &Value) -> BTreeMap<String, String> {
    let tags = described.get("Tags").and_then(Value::as_array).into_iter().flatten();
    tags.map(|tag| (text(tag, "Key").to_owned(), text(tag, "Value").to_owned())).collect()
}

/// A time in an answer: a number over HTTP, a text or a number from aws-cli, by its version.
pub(super) fn time(answer: &Value, member: &str) -> Option<Timestamp> {
    match answer.get(member)? {
        Value::String(text) => text.parse().ok(),
        #[expect(clippy::cast_possible_truncation, reason = "whole seconds are enough")]
        number => Timestamp::from_second(number.as_f64()? as i64).ok(),
    }
}

pub(super) fn text<'a>(answer: &'a Value, member: &str) -> &'a str {
    answer.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// `DescribeSecret` for `describe-secret`.
fn pascal(command: &str) -> String {
    let words = command.split('-').map(|word| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_both_kinds_are_read() {
        let answer = json!({
            "VersionIdsToStages": {"a": ["AWSCURRENT", "AWSPENDING"], "b": ["AWSPREVIOUS"]},
            "Tags": [{"Key": "k", "Value": "v"}],
            "Seconds": 1_800_000_000.5,
            "Text": "2027-01-15T09:00:00.500000+01:00",
        });
        assert_eq!(labels(&answer).get(PREVIOUS).map(String::as_str), Some("b"));
        assert_eq!(tags(&answer).get("k").map(String::as_str), Some("v"));
        assert_eq!(time(&answer, "Seconds").unwrap().as_second(), 1_800_000_000);
        assert_eq!(time(&answer, "Text").unwrap().as_second(), 1_800_000_000);
        assert_eq!(pascal("describe-secret"), "DescribeSecret");
    }
}
