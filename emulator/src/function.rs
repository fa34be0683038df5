//! Rotation functions: over HTTP in the form in which Lambda is invoked, as a local command, and one in this process that does what the common
//! tutorials show (keep the user name, take a new password).

use std::path::PathBuf;
use std::process::Stdio;
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::external_writer::ExternalWriter;
use crate::lock::lock;
use crate::rotation::{Invocation, RotationFunction, RotationStep};
use crate::service::Emulator;

/// A function behind an endpoint that speaks Lambda's `Invoke` (such as AWS's own runtime interface emulator).
#[derive(Debug, Clone)]
pub struct HttpFunction {
    /// `http://host:port`, without the path.
    pub endpoint: String,
}

impl HttpFunction {
    async fn call(&self, call: &Invocation) -> Result<(), String> {
        // The form of Lambda's Invoke; the colons of an ARN are escaped in a path segment as the SDKs do it.
        let path = format!("/2015-03-31/functions/{}/invocations", call.function_arn.replace(':', "%3A"));
        let request = Request::post(format!("{}{path}", self.endpoint.trim_end_matches('/')))
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-amz-invocation-type", "RequestResponse")
            .body(Full::new(Bytes::from(call.event().to_string())))
            .map_err(|_| "its endpoint is no URL".to_owned())?;
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let answer = client.request(request).await.map_err(|_| "its endpoint does not answer".to_owned())?;
        // Lambda answers 200 also when the function failed, and says so in a header.
        let failed = answer.headers().contains_key("x-amz-function-error");
        let status = answer.status();
        let body = answer.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        if !status.is_success() {
            return Err(format!("its endpoint answered {status}"));
        }
        if failed {
            // The kind of the error, never its text.
            let error: Value = serde_json::from_slice(&body).unwrap_or_default();
            let kind = error.get("errorType").and_then(Value::as_str).unwrap_or("an error");
            return Err(format!("the function raised {}", kind.chars().filter(char::is_ascii_alphanumeric).take(64).collect::<String>()));
        }
        Ok(())
    }
}

impl RotationFunction for HttpFunction {
    fn invoke<'a>(&'a self, _: &'a ExternalWriter, call: &'a Invocation) -> BoxFuture<'a, Result<(), String>> {
        self.call(call).boxed()
    }
}

/// A function that is a program: the event is its standard input, and it fails by its exit code.
#[derive(Debug, Clone)]
pub struct CommandFunction {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables in addition to those of its parent, such as `AWS_ENDPOINT_URL`.
    pub environment: Vec<(String, String)>,
}

impl CommandFunction {
    async fn run(&self, call: &Invocation) -> Result<(), String> {
        let unstartable = |_| "the program cannot be started".to_owned();
        let mut child = tokio::process::Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("AWS_REGION", &call.region)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .map_err(unstartable)?;
        if let Some(mut input) = child.stdin.take() {
            // A program that does not read it ends all the same.
            let _ = input.write_all(call.event().to_string().as_bytes()).await;
        }
        let status = child.wait().await.map_err(unstartable)?;
        if status.success() { Ok(()) } else { Err(format!("the program ended with {status}")) }
    }
}

impl RotationFunction for CommandFunction {
    fn invoke<'a>(&'a self, _: &'a ExternalWriter, call: &'a Invocation) -> BoxFuture<'a, Result<(), String>> {
        self.run(call).boxed()
    }
}

/// The steps of a correct function, done in this process by the external writer, so that they are neither counted nor stopped by a barrier.
#[derive(Debug, Default)]
pub struct KeepUsername {
    fails_at: Mutex<Option<RotationStep>>,
    calls: Mutex<Vec<RotationStep>>,
}

impl KeepUsername {
    /// One that works.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// From now on this step fails, or none.
    pub fn fail_at(&self, step: Option<RotationStep>) {
        *lock(&self.fails_at) = step;
    }

    /// The steps that it was called for, in order; forgets them.
    pub fn take_calls(&self) -> Vec<RotationStep> {
        std::mem::take(&mut *lock(&self.calls))
    }

    fn step(&self, account: &ExternalWriter, call: &Invocation) -> Result<(), String> {
        lock(&self.calls).push(call.step);
        if *lock(&self.fails_at) == Some(call.step) {
            return Err("it was told to fail".to_owned());
        }
        let act = |operation: &str, body: &Value| account.act(operation, body).map_err(|error| error.code.into_owned());
        let read = |version: &Value| {
            let mut body = json!({"SecretId": call.secret_arn});
            if let (Some(body), Some(version)) = (body.as_object_mut(), version.as_object()) {
                body.extend(version.clone());
            }
            act("GetSecretValue", &body)
        };
        match call.step {
            RotationStep::CreateSecret => {
                if read(&json!({"VersionId": call.token, "VersionStage": "AWSPENDING"})).is_ok() {
                    return Ok(());
                }
                let current = read(&json!({"VersionStage": "AWSCURRENT"}))?;
                let text = current.get("SecretString").and_then(Value::as_str).ok_or("no text")?;
                let mut value: Value = serde_json::from_str(text).map_err(|_| "no JSON".to_owned())?;
                let password = act("GetRandomPassword", &json!({"ExcludeCharacters": "/@\"'\\"}))?;
                let password = password.get("RandomPassword").cloned().ok_or("no password")?;
                value.as_object_mut().ok_or("no fields")?.insert("password".to_owned(), password);
                let body = json!({
                    "SecretId": call.secret_arn,
                    "ClientRequestToken": call.token,
                    "SecretString": value.to_string(),
                    "VersionStages": ["AWSPENDING"],
                });
                act("PutSecretValue", &body).map(drop)
            }
            RotationStep::SetSecret | RotationStep::TestSecret => {
                read(&json!({"VersionId": call.token, "VersionStage": "AWSPENDING"})).map(drop)
            }
            RotationStep::FinishSecret => {
                let secret = act("DescribeSecret", &json!({"SecretId": call.secret_arn}))?;
                let stages = secret.get("VersionIdsToStages").and_then(Value::as_object).ok_or("no versions")?;
                let current = |stages: &Value| stages.as_array().is_some_and(|stages| stages.iter().any(|stage| stage == "AWSCURRENT"));
                let holder = stages.iter().find(|(_, stages)| current(stages)).map(|(id, _)| id).ok_or("no current version")?;
                if *holder == call.token {
                    return Ok(());
                }
                let body = json!({
                    "SecretId": call.secret_arn,
                    "VersionStage": "AWSCURRENT",
                    "MoveToVersionId": call.token,
                    "RemoveFromVersionId": holder,
                });
                act("UpdateSecretVersionStage", &body).map(drop)
            }
        }
    }
}

impl RotationFunction for KeepUsername {
    fn invoke<'a>(&'a self, account: &'a ExternalWriter, call: &'a Invocation) -> BoxFuture<'a, Result<(), String>> {
        std::future::ready(self.step(account, call)).boxed()
    }
}

/// A function as it is registered on a command line: `ARN=http://...`, `ARN=builtin`, or `ARN=PROGRAM ARGUMENTS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    arn: String,
    target: String,
}

impl FromStr for Registration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((arn, target)) if arn.starts_with("arn:") && !target.trim().is_empty() => {
                Ok(Self { arn: arn.to_owned(), target: target.trim().to_owned() })
            }
            _ => Err("write ARN=builtin, ARN=http://127.0.0.1:9000, or ARN=PROGRAM ARGUMENTS".to_owned()),
        }
    }
}

impl Registration {
    /// Registers it with an emulator that is served at `endpoint`.
    pub fn register(&self, emulator: &Emulator, endpoint: &str) {
        let function: Arc<dyn RotationFunction> = if self.target == "builtin" {
            KeepUsername::new()
        } else if self.target.starts_with("http://") {
            Arc::new(HttpFunction { endpoint: self.target.clone() })
        } else {
            let mut words = self.target.split_ascii_whitespace().map(str::to_owned);
            let environment = [("AWS_ENDPOINT_URL", endpoint), ("AWS_ACCESS_KEY_ID", "function"), ("AWS_SECRET_ACCESS_KEY", "function")];
            Arc::new(CommandFunction {
                program: words.next().unwrap_or_default().into(),
                arguments: words.collect(),
                environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            })
        };
        emulator.set_rotation_function(&self.arn, Some(function));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_registered_by_its_arn() {
        let arn = "arn:aws:lambda:us-east-1:123456789012:function:rotate";
        for target in ["builtin", "http://127.0.0.1:9000", "python3 run.py rotate_password"] {
            assert_eq!(format!("{arn}={target}").parse(), Ok(Registration { arn: arn.to_owned(), target: target.to_owned() }));
        }
        for text in ["rotate=builtin", arn, "arn:aws:lambda="] {
            assert!(text.parse::<Registration>().is_err(), "{text}");
        }
    }
}
