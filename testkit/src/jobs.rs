//! Jobs without a node: what the job controller, a kubelet and the program of a pod would do, at the moment that a test chooses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use rotated_secrets::api::JOB_OF;
use serde_json::{Value, json};

/// Keeps the job controller of Kubernetes away from the Jobs.
const MANAGER: &str = "testkit.example.com/kubelet";

/// The files that a program has.
pub type Files = BTreeMap<String, String>;

/// How a program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    /// The deadline of the Job is over.
    TimedOut,
    /// It goes on.
    Runs,
}

type Program = Arc<dyn Fn(&Files) -> Exit + Send + Sync>;

/// Runs a program in every Job of an object.
#[derive(Clone, Default)]
pub struct Jobs {
    program: Arc<Mutex<Option<Program>>>,
    /// The steps that were run, and the names of their Jobs.
    ran: Arc<Mutex<Vec<(String, String)>>>,
}

impl Jobs {
    /// From now on, Jobs run this program.
    pub fn set(&self, program: impl Fn(&Files) -> Exit + Send + Sync + 'static) {
        *self.program.lock().unwrap() = Some(Arc::new(program));
    }

    /// The steps that were run since the last time, and the names of their Jobs.
    pub fn take(&self) -> Vec<(String, String)> {
        std::mem::take(&mut *self.ran.lock().unwrap())
    }

    /// What has happened by now: programs have ended, and what was deleted is gone.
    pub async fn pass(&self, client: &Client, namespace: &str, uid: &str) -> Result<()> {
        let Some(program) = self.program.lock().unwrap().clone() else { return Ok(()) };
        let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        for job in jobs.list(&ListParams::default().labels(&format!("{JOB_OF}={uid}"))).await? {
            let name = job.name_any();
            if job.metadata.deletion_timestamp.is_some() {
                // The garbage collector is the real one.
                for _ in 0..6000 {
                    if jobs.get_opt(&name).await?.is_none_or(|found| found.uid() != job.uid()) {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                continue;
            }
            let ended = job.status.iter().flat_map(|status| status.conditions.iter().flatten()).next().is_some();
            let secret = mounted(&job).context("a Job that mounts a Secret")?;
            // Its pod waits for the Secret.
            let Some(secret) = secrets.get_opt(&secret).await?.filter(|_| !ended) else { continue };
            let files = secret.data.unwrap_or_default().into_iter();
            let files: Files = files.map(|(key, bytes)| (key, String::from_utf8_lossy(&bytes.0).into_owned())).collect();
            let exit = program(&files);
            let Some(status) = status(&job, exit) else { continue };
            self.ran.lock().unwrap().push((files["step"].clone(), name.clone()));
            jobs.patch_status(&name, &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await?;
        }
        Ok(())
    }
}

fn mounted(job: &Job) -> Option<String> {
    let volumes = job.spec.as_ref()?.template.spec.as_ref()?.volumes.as_ref()?;
    volumes.iter().find(|volume| volume.name == "rotated-secrets")?.secret.as_ref()?.secret_name.clone()
}

/// As the job controller writes it; `None`: it goes on.
fn status(job: &Job, exit: Exit) -> Option<Value> {
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    let failed = |reason: &str, message: String| {
        let condition = |of: &str| json!({"type": of, "status": "True", "reason": reason, "message": message});
        json!({"startTime": now, "failed": 1, "conditions": [condition("FailureTarget"), condition("Failed")]})
    };
    match exit {
        Exit::Runs => None,
        Exit::Code(0) => {
            let condition = |of: &str| json!({"type": of, "status": "True", "reason": "CompletionsReached"});
            Some(
                json!({"startTime": now, "completionTime": now, "succeeded": 1, "conditions": [condition("SuccessCriteriaMet"), condition("Complete")]}),
            )
        }
        Exit::Code(code @ 1..=9) => {
            let pod = format!("{}/{}-x", job.namespace().unwrap_or_default(), job.name_any());
            let message = format!("Container main for pod {pod} failed with exit code {code} matching FailJob rule at index 0");
            Some(failed("PodFailurePolicy", message))
        }
        Exit::Code(_) => Some(failed("BackoffLimitExceeded", "Job has reached the specified backoff limit".to_owned())),
        Exit::TimedOut => Some(failed("DeadlineExceeded", "Job was active longer than specified deadline".to_owned())),
    }
}

/// A template for the objects that `names` allows.
pub async fn template(client: &Client, namespace: &str, name: &str, names: &str) -> Result<CronJob> {
    let template = serde_json::from_value(json!({
        "metadata": {"name": name, "annotations": {rotated_secrets::api::TEMPLATE_FOR: names}},
        "spec": {"schedule": "@yearly", "suspend": true, "jobTemplate": {"spec": {"managedBy": MANAGER, "template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": "shell.example.com/sh"}],
        }}}}},
    }))?;
    Ok(Api::<CronJob>::namespaced(client.clone(), namespace).create(&PostParams::default(), &template).await?)
}

/// A service that has one password, and the program that changes it.
#[derive(Clone)]
pub struct Service(Arc<Mutex<String>>);

impl Service {
    pub fn new(password: &str) -> Self {
        Self(Arc::new(Mutex::new(password.to_owned())))
    }

    pub fn accepts(&self, password: &str) -> bool {
        *self.0.lock().unwrap() == password
    }

    /// Another client changes it.
    pub fn set(&self, password: &str) {
        password.clone_into(&mut self.0.lock().unwrap());
    }

    /// What the page says that a program has to do.
    pub fn program(&self, files: &Files) -> Exit {
        let mut accepted = self.0.lock().unwrap();
        let is = |name: &str| files.get(&format!("{name}.password")).is_some_and(|password| *password == *accepted);
        let (pending, current, previous) = (is("pending"), is("current"), is("previous"));
        let done = match files["step"].as_str() {
            "apply" if pending || current || previous => {
                files["pending.password"].clone_into(&mut accepted);
                true
            }
            "undo" if pending || current || previous => {
                files["current.password"].clone_into(&mut accepted);
                true
            }
            "verify" => pending,
            "check" => current,
            _ => false,
        };
        Exit::Code(i32::from(!done))
    }
}
