//! Flags of kubectl that select the server and the credentials, and Ctrl-C around a request.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::scene::Scene;
use testkit::control_plane;
use testkit::fixtures::spec;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_and_a_token_need_no_kubeconfig() -> Result<()> {
    let scene = Scene::new("flags").await?;
    scene.settled("db", spec()).await?;
    let namespace = scene.world.namespace.clone();
    let cluster = control_plane().await?;
    for item in [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader"}}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reader"},
            "rules": [{"apiGroups": ["rotated-secrets.io"], "resources": ["rotatedsecrets"], "verbs": ["get", "list"]}]}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "reader"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": namespace}]}),
    ] {
        cluster.apply_yaml_in(&namespace, &item.to_string()).await?;
    }
    let accounts = kube::api::Api::<k8s_openapi::api::core::v1::ServiceAccount>::namespaced(scene.world.admin.clone(), &namespace);
    let issued = accounts
        .create_token_request("reader", &kube::api::PostParams::default(), &serde_json::from_value(json!({"spec": {"audiences": []}}))?)
        .await?;
    let token = issued.status.context("a token")?.token;

    let config: Value = serde_saphyr::from_str(&std::fs::read_to_string(scene.kubeconfig())?)?;
    let server = config["clusters"][0]["cluster"]["server"].as_str().context("a server")?.to_owned();
    let missing = [("KUBECONFIG", "/missing/config")];
    let flags = ["--server", &server, "--insecure-skip-tls-verify", "-n", &namespace];
    let with = |words: &[&'static str], token: &str| -> Vec<String> {
        words.iter().map(ToString::to_string).chain(flags.map(str::to_owned)).chain(["--token".to_owned(), token.to_owned()]).collect()
    };
    let run = async |words: Vec<String>| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        scene.run_with(&words, &missing).await
    };
    run(with(&["status", "db"], &token)).await?.ends(0).says("State:");
    let ran = run(with(&["rotate", "db"], &token)).await?.ends(3).in_one_sentence().says("you may not patch").says("--token TOKEN");
    assert!(!ran.err.contains(&token), "{ran:#?}");
    run(with(&["status", "db"], "wrong")).await?.ends(3).in_one_sentence().says("does not accept your credentials");
    // The token comes before the login of the kubeconfig.
    scene.run("status db --token wrong").await?.ends(3).in_one_sentence().says("does not accept your credentials");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_shown_if_asked_for_and_flags_that_mean_nothing_here_are_refused() -> Result<()> {
    let scene = Scene::new("verbose").await?;
    scene.settled("db", spec()).await?;
    let ran = scene.run("status db -v 6").await?.ends(0);
    let line = ran.err.lines().find(|line| line.starts_with("GET http")).context("a request")?;
    assert!(line.contains("/rotatedsecrets/db 200 OK in ") && line.ends_with(" milliseconds"), "{ran:#?}");
    assert_eq!(scene.run("status db -v=5").await?.ends(0).err, "");
    for flag in ["--cache-dir=/tmp", "--warnings-as-errors", "--match-server-version"] {
        scene.run(&format!("status {flag}")).await?.ends(2).in_one_sentence().says("does not support the flag --").says("of kubectl: ");
    }
    scene.run("status --server prod").await?.ends(2).says("https://HOST:6443");
    scene.run("status --as-uid 7").await?.ends(2).in_one_sentence().says("--as-uid needs --as");
    scene.run("status db --as admin --as-group system:masters --as-uid 7 --as-user-extra team=shop").await?.ends(0);
    Ok(())
}

/// An API server that knows one object and does not respond to a change of it.
struct Stuck {
    url: String,
    /// Sent when a change arrives.
    asked: oneshot::Receiver<()>,
}

async fn stuck(object: Value) -> Result<Stuck> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let (tell, asked) = oneshot::channel();
    tokio::spawn(async move {
        let mut tell = Some(tell);
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            while let Ok(Some(method)) = method(&mut stream).await {
                if method == "PATCH" {
                    if let Some(tell) = tell.take() {
                        let _ = tell.send(());
                    }
                    break;
                }
                let body = object.to_string();
                let preamble = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
                let _ = stream.write_all(format!("{preamble}{body}").as_bytes()).await;
            }
            held.push(stream);
        }
    });
    Ok(Stuck { url, asked })
}

/// The method of the next request.
async fn method(stream: &mut TcpStream) -> Result<Option<String>> {
    let (mut read, mut part) = (Vec::new(), [0; 4096]);
    while !read.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut part).await? {
            0 => return Ok(None),
            count => read.extend_from_slice(&part[..count]),
        }
    }
    Ok(String::from_utf8_lossy(&read).split(' ').next().map(str::to_owned))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_before_the_wait_says_what_remains() -> Result<()> {
    let scene = Scene::new("halfway").await?;
    let object = json!({"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret",
        "metadata": {"name": "db", "namespace": "shop", "uid": "00000000-0000-0000-0000-000000000001"}, "spec": spec()});
    for (format, words) in
        [("-o json", "rotate db"), ("", "rotate db"), ("", "rotate db --no-wait"), ("", "rollback db"), ("", "refresh db")]
    {
        let Stuck { url, asked } = stuck(object.clone()).await?;
        let line = format!("{words} {format} --server {url} --kubeconfig /dev/null");
        let ran = scene.run_until(&line, async { Ok(asked.await?) }).await?.ends(1);
        let verb = words.split(' ').next().context("a verb")?;
        if verb == "rollback" {
            ran.says("no rollback was requested");
            continue;
        }
        let sentence = "interrupted while the request was sent, so that it may be on the object";
        let withdraw = format!("kubectl rotatedsecret {verb} db --cancel -n {}", scene.world.namespace);
        if format.is_empty() {
            ran.in_one_sentence().says(sentence).says(&withdraw);
        } else {
            let answer = ran.json();
            assert_eq!((&answer["outcome"], &answer["message"]), (&json!("Interrupted"), &json!(sentence)));
            assert!(answer["withdraw"].as_str().is_some_and(|command| command.starts_with(&withdraw)), "{answer}");
        }
    }
    Ok(())
}
