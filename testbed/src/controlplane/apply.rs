//! `kubectl apply --server-side`, with the warnings that the API server gives.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use http_body_util::BodyExt as _;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, Patch, PatchParams, Request};
use kube::client::Body;
use kube::core::GroupVersionKind;
use kube::core::Status;
use kube::discovery::{ApiCapabilities, ApiResource, Scope, pinned_kind};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, Resource as _};
use serde::Deserialize as _;
use tokio::time::{Instant, sleep, timeout};

use super::plane::ControlPlane;

const MANAGER: &str = "testbed";
/// A definition is served a moment after it was accepted.
const DEADLINE: Duration = Duration::from_mins(3);
const POLL: Duration = Duration::from_millis(50);

/// What an apply has done.
#[derive(Debug, Default)]
pub struct Applied {
    /// The objects as the API server answered them, in the order of the documents.
    pub objects: Vec<DynamicObject>,
    /// The API server's warnings, word for word.
    pub warnings: Vec<String>,
}

impl ControlPlane {
    /// Applies every document as admin; unknown fields are refused, as kubectl does. Objects without a namespace go to `default`. Returns when
    /// the definitions among them are served.
    pub async fn apply_yaml(&self, yaml: &str) -> Result<Applied> {
        self.apply_yaml_in("default", yaml).await
    }

    /// The same, with another namespace for objects that name none.
    pub async fn apply_yaml_in(&self, namespace: &str, yaml: &str) -> Result<Applied> {
        self.apply_all(namespace, yaml, PatchParams::apply(MANAGER)).await
    }

    /// The same without a trace: the API server checks and answers, and stores nothing. A custom resource needs its definition, and an object
    /// its namespace.
    pub async fn try_yaml_in(&self, namespace: &str, yaml: &str) -> Result<Applied> {
        self.apply_all(namespace, yaml, PatchParams::apply(MANAGER).dry_run()).await
    }

    async fn apply_all(&self, namespace: &str, yaml: &str, params: PatchParams) -> Result<Applied> {
        let params = params.force().validation_strict();
        let client = self.admin();
        let mut applied = Applied::default();
        for object in parse(yaml)? {
            let what = describe(&object);
            let (answer, warnings) = apply(&client, namespace, object, &params).await.with_context(|| format!("cannot apply {what}"))?;
            applied.warnings.extend(warnings);
            applied.objects.push(answer);
        }
        Ok(applied)
    }
}

fn parse(yaml: &str) -> Result<Vec<DynamicObject>> {
    let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(yaml).context("this is no YAML")?;
    documents
        .into_iter()
        .filter(|document| !document.is_null())
        .map(|document| {
            DynamicObject::deserialize(document).context("a document is no Kubernetes object: it needs apiVersion, kind and metadata")
        })
        .collect()
}

fn describe(object: &DynamicObject) -> String {
    let kind = object.types.as_ref().map_or("an object without a kind", |types| types.kind.as_str());
    format!("{kind} {}", object.metadata.name.as_deref().unwrap_or("without a name"))
}

async fn apply(client: &Client, namespace: &str, mut object: DynamicObject, params: &PatchParams) -> Result<(DynamicObject, Vec<String>)> {
    let types = object.types.clone().context("it has no kind")?;
    let name = object.metadata.name.clone().context("it has no name")?;
    let (resource, capabilities) = discover(client, &GroupVersionKind::try_from(&types)?).await?;
    if capabilities.scope == Scope::Namespaced && object.metadata.namespace.is_none() {
        object.metadata.namespace = Some(namespace.to_owned());
    }
    let path = DynamicObject::url_path(&resource, object.metadata.namespace.as_deref());
    let start = Instant::now();
    loop {
        let request = Request::new(&path).patch(&name, params, &Patch::Apply(&object))?;
        let (status, warnings, body) = send(client, request).await?;
        if status.is_success() {
            if resource.kind == "CustomResourceDefinition" && !params.dry_run {
                await_established(client, &name).await?;
            }
            return Ok((serde_json::from_slice(&body)?, warnings));
        }
        // The path of a definition that is being taken up answers like one that never was.
        if status == http::StatusCode::NOT_FOUND && is_custom(&resource) && start.elapsed() < DEADLINE {
            sleep(POLL).await;
            continue;
        }
        match serde_json::from_slice::<Status>(&body) {
            Ok(answer) => bail!("{}", answer.message),
            Err(_) => bail!("the API server answered {status}: {}", String::from_utf8_lossy(&body)),
        }
    }
}

/// Groups of Kubernetes itself have no dot or end in `.k8s.io`; their paths are there from the start.
fn is_custom(resource: &ApiResource) -> bool {
    resource.group.contains('.') && !resource.group.ends_with(".k8s.io")
}

async fn discover(client: &Client, kind: &GroupVersionKind) -> Result<(ApiResource, ApiCapabilities)> {
    let start = Instant::now();
    loop {
        match pinned_kind(client, kind).await {
            Ok(found) => return Ok(found),
            Err(_) if start.elapsed() < DEADLINE && kind.group.contains('.') && !kind.group.ends_with(".k8s.io") => {
                sleep(POLL).await;
            }
            Err(error) => {
                return Err(error).with_context(|| format!("the API server knows no {} of {}", kind.kind, kind.api_version()));
            }
        }
    }
}

async fn await_established(client: &Client, name: &str) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    timeout(DEADLINE, await_condition(definitions, name, conditions::is_crd_established()))
        .await
        .with_context(|| format!("the definition {name} was accepted and is not served"))??;
    Ok(())
}

/// The request as it is: kube's own calls hide the headers of the answer.
async fn send(client: &Client, request: http::Request<Vec<u8>>) -> Result<(http::StatusCode, Vec<String>, Vec<u8>)> {
    let answer = client.send(request.map(Body::from)).await?;
    let warnings =
        answer.headers().get_all(http::header::WARNING).iter().filter_map(|value| value.to_str().ok()).map(warning_text).collect();
    let status = answer.status();
    Ok((status, warnings, answer.into_body().collect().await?.to_bytes().to_vec()))
}

/// The words of `299 - "words"`, where quotes and backslashes are escaped.
fn warning_text(header: &str) -> String {
    let Some((_, quoted)) = header.split_once('"') else {
        return header.to_owned();
    };
    let mut text = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => text.extend(characters.next()),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_header_is_read_without_its_quotes() {
        assert_eq!(warning_text(r#"299 - "unknown field \"spec.x\"""#), r#"unknown field "spec.x""#);
        assert_eq!(warning_text("nonsense"), "nonsense");
    }

    #[test]
    fn empty_documents_are_no_objects() {
        let yaml = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n# nothing\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n";
        assert_eq!(parse(yaml).unwrap().len(), 2);
    }
}
