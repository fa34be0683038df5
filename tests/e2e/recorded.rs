//! The whole story with everything around it, played once, and all that was seen of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use futures::StreamExt as _;
use kube::api::{Api, DynamicObject, WatchEvent, WatchParams};
use serde_json::Value;
use testkit::controlplane::AuditEvent;
use testkit::until;
use tokio::sync::OnceCell;

use crate::operator::Operator;
use crate::scan::Scanner;
use crate::stage::{NAMESPACE, Stage, USER};
use crate::{helped, rollout, story, troubles};

pub(crate) struct Recorded {
    pub(crate) namespace: String,
    /// What the operator asked of the API server.
    pub(crate) asked: Vec<AuditEvent>,
    /// Where a value could have slipped out: what it is called, and its text.
    pub(crate) texts: BTreeMap<String, String>,
    /// All values that ever were.
    pub(crate) scanner: Scanner,
    /// One of them, in which form it must be found where it is allowed.
    pub(crate) mirrors: Vec<String>,
}

/// Recorded once, by the first test that needs it.
pub(crate) async fn recorded() -> Result<&'static Recorded> {
    static RECORDED: OnceCell<Result<Recorded, String>> = OnceCell::const_new();
    let recorded = RECORDED.get_or_init(async || play().await.map_err(|error| format!("{error:#}"))).await;
    recorded.as_ref().map_err(|error| anyhow!("{error}"))
}

async fn play() -> Result<Recorded> {
    let stage = Stage::enter("recorded").await?;
    let (_, from) = stage.asked(0).await?;
    let mut texts = BTreeMap::new();
    let states = Arc::new(Mutex::new(Vec::new()));
    let watching = tokio::spawn(watch(stage.dynamic(), Arc::clone(&states)));

    let lease = |name| ["--leader-elect", "--lease-namespace", NAMESPACE, "--lease-identity", name];
    let first = Operator::start_with(&stage, &lease("first")).await?;
    story::tell(&stage).await.context("the story")?;
    troubles::policies(&stage).await.context("policies")?;
    pages(&first, "first life", &mut texts).await?;
    // As in a rollout: the next one stands by before the first one goes.
    let flags = ["--log-format", "human", "--refresh-interval", "3s"];
    let watches = lease_watches(&stage).await?;
    let second = Operator::start_with(&stage, &[flags.as_slice(), &lease("second")].concat()).await?;
    until("the second one watches the Lease", async || Ok((lease_watches(&stage).await? > watches).then_some(()))).await?;
    first.terminate().await?;
    texts.insert("what the first life said".to_owned(), first.output()?);

    troubles::mirror_only(&stage).await.context("mirror only")?;
    rollout::tell(&stage).await.context("rollout")?;
    helped::tell(&stage).await.context("another object")?;
    troubles::suffer(&stage).await.context("troubles")?;
    pages(&second, "second life", &mut texts).await?;
    let mirrors = objects(&stage, &mut texts).await?;
    ensure!(!watching.is_finished(), "the watch has gone on to the end: {:?}", watching.await);
    watching.abort();
    texts.insert("every state of every RotatedSecret".to_owned(), lock(&states).join("\n"));
    second.terminate().await?;
    texts.insert("what the second life said".to_owned(), second.output()?);
    ensure!(!first.audited()?.is_empty() && !second.audited()?.is_empty(), "both wrote audit lines, and nothing else, to standard output");
    texts.insert("the audit stream".to_owned(), first.audit_stream()? + &second.audit_stream()?);

    let audit = stage.plane().audit().await?;
    let audit = audit.get(from..).unwrap_or_default();
    // The answers of a policy that quotes what it refuses are the policy's fault.
    let lines: Vec<&str> = audit.iter().map(|event| event.raw.as_str()).filter(|line| !line.contains(troubles::POLICY)).collect();
    texts.insert("the audit log".to_owned(), lines.join("\n"));
    Ok(Recorded {
        namespace: stage.namespace.clone(),
        asked: audit.iter().filter(|event| event.user == USER).cloned().collect(),
        texts,
        scanner: Scanner::of(&stage.emulator, &["username"]),
        mirrors,
    })
}

/// How many watches on Leases are open, by the API server's own count.
async fn lease_watches(stage: &Stage) -> Result<f64> {
    let page = stage.plane().admin().request_text(http::Request::get("/metrics").body(Vec::new())?).await?;
    let open = page.lines().filter(|line| line.starts_with("apiserver_longrunning_requests{"));
    let of_leases = open.filter(|line| line.contains("resource=\"leases\"") && line.contains("verb=\"WATCH\""));
    Ok(of_leases.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum())
}

/// Keeps every state that an object ever had, as stored.
async fn watch(objects: Api<DynamicObject>, states: Arc<Mutex<Vec<String>>>) -> Result<()> {
    let mut events = objects.watch(&WatchParams::default(), "0").await?.boxed();
    while let Some(event) = events.next().await {
        if let WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object) = event? {
            lock(&states).push(serde_json::to_string(&object)?);
        }
    }
    bail!("the watch has ended")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn pages(operator: &Operator, life: &str, texts: &mut BTreeMap<String, String>) -> Result<()> {
    for page in ["/metrics", "/readyz", "/livez"] {
        texts.insert(format!("{page} of the {life}"), operator.get(page).await?.1);
    }
    Ok(())
}

/// Every object of the namespace as stored, with its managed fields, less the data of Secrets, which are given back.
async fn objects(stage: &Stage, texts: &mut BTreeMap<String, String>) -> Result<Vec<String>> {
    let kinds = stage.kubectl(&["api-resources", "--namespaced", "--verbs=list", "--output=name"]).await?;
    let mut mirrors = Vec::new();
    for kind in kinds.lines() {
        let list = stage.kubectl(&["get", kind, "--output=json", "--show-managed-fields"]).await?;
        let mut list: Value = serde_json::from_str(&list)?;
        for item in list["items"].as_array_mut().into_iter().flatten() {
            if kind == "secrets"
                && let Some(data) = item.as_object_mut().and_then(|item| item.remove("data"))
            {
                mirrors.push(data.to_string());
            }
        }
        if list["items"].as_array().is_some_and(|items| !items.is_empty()) {
            texts.insert(format!("the {kind}"), list.to_string());
        }
    }
    Ok(mirrors)
}
