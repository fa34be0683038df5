//! What the plugin takes for the operator, in a cluster where a tenant has created a Deployment and a Lease with the names
//! of the operator. The test plays the API server, because the real one is shared with the other tests.

use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::scene::{Ran, Scene};
use crate::skew::kubeconfig;

const LABEL: &str = "labelSelector=app.kubernetes.io%2Fname%3Drotated-secrets";

/// The part of a cluster in which the operator is in `rs` and a tenant imitates it in `shop`.
#[derive(Clone, Copy)]
struct Cluster {
    /// Whether the user may list ClusterRoleBindings; `None`: there are none.
    bindings: Option<bool>,
    /// Whether the user may list the Deployments of all namespaces.
    everywhere: bool,
}

fn deployment(namespace: &str, tag: &str) -> Value {
    json!({"metadata": {"namespace": namespace, "name": "rotated-secrets"}, "spec": {"selector": {}, "template": {"spec": {
        "serviceAccountName": "rotated-secrets", "containers": [{"name": "operator", "image": format!("rotated-secrets:{tag}")}]}}}})
}

fn lease(holder: &str, renewed: &str) -> Value {
    json!({"metadata": {"name": "rotated-secrets"}, "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed}})
}

fn refused(code: StatusCode) -> Response {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "", "message": "no", "code": code.as_u16()});
    (code, [(CONTENT_TYPE, "application/json")], status.to_string()).into_response()
}

async fn respond(State(cluster): State<Arc<Cluster>>, uri: Uri) -> Response {
    let list = |items: &[Value]| json!({"metadata": {"resourceVersion": "1"}, "items": items});
    let labelled = uri.query().is_some_and(|query| query.contains(LABEL));
    let now = jiff::Timestamp::now().to_string();
    let subject = json!({"kind": "ServiceAccount", "name": "rotated-secrets", "namespace": "rs"});
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "rotated-secrets"});
    let body = match uri.path() {
        "/version" => json!({"major": "1", "minor": "36", "gitVersion": "v1.36.2", "gitCommit": "", "gitTreeState": "", "buildDate": "",
            "goVersion": "", "compiler": "", "platform": ""}),
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings" if labelled => match cluster.bindings {
            Some(true) => list(&[json!({"metadata": {"name": "rotated-secrets"}, "roleRef": role, "subjects": [subject]})]),
            None => list(&[]),
            Some(false) => return refused(StatusCode::FORBIDDEN),
        },
        "/apis/apps/v1/deployments" if labelled && cluster.everywhere => list(&[deployment("rs", "0.0.1"), deployment("shop", "99.0.0")]),
        "/apis/apps/v1/namespaces/rs/deployments" if labelled => list(&[deployment("rs", "0.0.1")]),
        "/apis/coordination.k8s.io/v1/namespaces/rs/leases/rotated-secrets" => lease("pod-1", "2026-01-01T00:00:00.000000Z"),
        "/apis/coordination.k8s.io/v1/namespaces/shop/leases/rotated-secrets" => lease("imitation", &now),
        _ => return refused(StatusCode::FORBIDDEN),
    };
    ([(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

async fn run(scene: &Scene, cluster: Cluster, words: &str) -> Result<Ran> {
    let router = Router::new().fallback(respond).with_state(Arc::new(cluster));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let file = kubeconfig(&format!("http://{}", listener.local_addr()?))?;
    let serves = tokio::spawn(async move { axum::serve(listener, router).await });
    let config = file.path().display().to_string();
    let ran = scene.run_with(&words.split(' ').chain(["--kubeconfig", &config]).collect::<Vec<_>>(), &[]).await;
    serves.abort();
    ran
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_is_the_deployment_whose_account_a_cluster_role_binding_names() -> Result<()> {
    let scene = Scene::new("imitated").await?;
    for everywhere in [true, false] {
        let cluster = Cluster { bindings: Some(true), everywhere };
        let ran =
            run(&scene, cluster, "version").await?.ends(0).says("Operator: 0.0.1 (rs/rotated-secrets)").says("is older than this plugin");
        assert!(!ran.out.contains("(99.0.0) is newer"), "{ran:#?}");
        assert_eq!(ran.out.contains("Operator: 99.0.0 (shop/rotated-secrets, by its label only)"), everywhere, "{ran:#?}");
        let answer = run(&scene, cluster, "version -o json").await?.ends(0).json();
        assert_eq!(answer["operators"][0]["foundBy"], "ClusterRoleBinding", "{answer}");
        let ran = run(&scene, cluster, "doctor -o json").await?;
        let operator: Vec<Value> = checks(&ran);
        assert!(operator[0]["result"] == "Problem" && operator[0]["message"].to_string().contains("pod-1 has not renewed"), "{operator:?}");
        assert!(!ran.out.contains("imitation"), "{ran:#?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_has_the_label_of_the_operator_proves_nothing() -> Result<()> {
    let scene = Scene::new("labelled").await?;
    for (bindings, why) in [(Some(false), "you may not list ClusterRoleBindings"), (None, "no ClusterRoleBinding of the operator names")] {
        let cluster = Cluster { bindings, everywhere: true };
        let ran = run(&scene, cluster, "version").await?.ends(0).says("Operator: 99.0.0 (shop/rotated-secrets, by its label only)");
        ran.says(why).says("kubectl get clusterrolebindings -o wide -l app.kubernetes.io/name=rotated-secrets");
        let ran = run(&scene, cluster, "doctor -o json").await?;
        let leases: Vec<Value> = checks(&ran).into_iter().filter(|check| check["message"].to_string().contains("Lease")).collect();
        assert_eq!(leases.len(), 2, "{ran:#?}");
        for lease in leases {
            assert!(lease["result"] == "Note" && lease["message"].to_string().contains("by its label only"), "{lease}");
        }
    }
    let none = Cluster { bindings: Some(false), everywhere: false };
    run(&scene, none, "version").await?.ends(0).says("you may not list Deployments");
    Ok(())
}

fn checks(ran: &Ran) -> Vec<Value> {
    let answer = ran.json();
    answer["checks"].as_array().into_iter().flatten().filter(|check| check["check"] == "operator").cloned().collect()
}
