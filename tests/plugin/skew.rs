//! An operator of another version, and a machine with another clock: an API server that the test plays.

use std::sync::{Arc, Mutex};

use anyhow::Result;
use axum::Router;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, DATE};
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::{Value, json};

use crate::scene::Scene;

const API: &str = "/apis/rotated-secrets.io/v1alpha1";

/// An object of a newer operator, which was rotated an hour before the server's time.
fn object() -> Value {
    let at = "2031-06-01T11:00:00Z";
    let condition = |of: &str| json!({"type": of, "status": "True", "reason": "Perfect", "message": "m", "lastTransitionTime": at});
    let entry = |version: &str, cause: &str| json!({"versionId": version, "time": at, "cause": cause, "outcome": "Succeeded"});
    json!({"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret",
        "metadata": {"name": "db", "namespace": "shop", "uid": "3e0c7d7e-9d2f-4f1c-8a11-57c54e0c9e6f", "generation": 1, "creationTimestamp": at},
        "spec": {"value": {"generate": {"password": {}}}, "invented": true},
        "status": {"observedGeneration": 1, "conditions": [condition("Ready"), condition("Provisioned")],
            "aws": {"currentVersionId": "v2", "invented": 1}, "lastRotationTime": at, "invented": {"a": []},
            "history": [entry("v2", "Invented"), entry("v1", "Created")]}})
}

struct Server {
    date: String,
    patches: Mutex<Vec<String>>,
}

async fn server(date: &str) -> Result<(String, Arc<Server>)> {
    let state = Arc::new(Server { date: date.to_owned(), patches: Mutex::default() });
    let answer = |state: &Server, body: &Value| {
        ([(DATE, state.date.clone()), (CONTENT_TYPE, "application/json".to_owned())], body.to_string()).into_response()
    };
    let list = json!({"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecretList", "metadata": {"resourceVersion": "1"}, "items": [object()]});
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    let router = Router::new()
        .route("/api/v1/namespaces/shop", get(async move |State(state): State<Arc<Server>>| answer(&state, &namespace)))
        .route(&format!("{API}/namespaces/shop/rotatedsecrets"), get(async move |State(state): State<Arc<Server>>| answer(&state, &list)))
        .route(
            &format!("{API}/namespaces/shop/rotatedsecrets/db"),
            get(async move |State(state): State<Arc<Server>>| answer(&state, &object())).patch(
                async move |State(state): State<Arc<Server>>, body: String| {
                    state.patches.lock().unwrap().push(body);
                    answer(&state, &object())
                },
            ),
        )
        .with_state(Arc::clone(&state));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok((format!("http://{address}"), state))
}

pub(crate) fn kubeconfig(server: &str) -> Result<tempfile::NamedTempFile> {
    let file = tempfile::NamedTempFile::new()?;
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{"name": "a", "cluster": {"server": server}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "namespace": "shop"}}]});
    std::fs::write(file.path(), config.to_string())?;
    Ok(file)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_operator_writes_fails_no_command() -> Result<()> {
    let scene = Scene::new("skew").await?;
    let (address, server) = server("Sun, 01 Jun 2031 12:00:00 GMT").await?;
    let file = kubeconfig(&address)?;
    let config = file.path().display().to_string();
    let run = async |words: &str| scene.run_with(&words.split(' ').chain(["--kubeconfig", &config]).collect::<Vec<_>>(), &[]).await;
    run("status").await?.ends(0).says("1 object: 1 Ready").says("status.history[0].cause").says("update the plugin");
    let answer = run("status db -o json").await?.ends(0).json();
    assert_eq!((&answer["state"], &answer["reason"]), (&json!("Ready"), &json!("Perfect")));
    assert_eq!(answer["unknownFields"], json!(["status.history[0].cause", "status.history[0]"]));
    run("status db").await?.ends(0).says("Not known:");
    run("history db").await?.ends(0).says("Created").says("entries that this plugin does not know");
    run("suspend db -m INC-1").await?.ends(0).says("db is suspended");
    run("rotate db --no-wait").await?.ends(0);
    assert_eq!(server.patches.lock().unwrap().len(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_told_by_the_clock_of_the_api_server() -> Result<()> {
    let scene = Scene::new("clock").await?;
    let (address, server) = server("Sun, 01 Jun 2031 12:00:00 GMT").await?;
    let file = kubeconfig(&address)?;
    let config = file.path().display().to_string();
    scene.run_with(&["status", "db", "--kubeconfig", &config], &[]).await?.ends(0).says("60m ago (2031-06-01T11:00:00Z)");
    scene.run_with(&["refresh", "db", "--no-wait", "--kubeconfig", &config], &[]).await?.ends(0);
    let patch = server.patches.lock().unwrap().join("");
    assert!(patch.contains("20310601T120"), "the token has the time of the server: {patch}");
    Ok(())
}
