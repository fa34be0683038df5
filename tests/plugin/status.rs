//! Commands that only read: status, history, help, completion, and kubectl itself.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::process::Command;

use crate::scene::{PLUGIN, Ran, Scene};
use testkit::fixtures::spec;

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_the_worst_first_and_ends_with_1_while_something_is_wrong() -> Result<()> {
    let scene = Scene::new("status").await?;
    scene.run("status").await?.ends(0).says("No RotatedSecrets");
    let fine = scene.settled("fine", spec()).await?;
    let version = fine.status.unwrap_or_default().aws.unwrap_or_default().current_version_id.context("a version")?;
    scene.run("status").await?.ends(0).says("1 object: 1 Ready; 1 rotates within 24h");

    scene.settled("refused", json!({"aws": {"secretName": "elsewhere/key"}})).await?;
    let ran = scene.run("status").await?.ends(1).says("2 objects: 1 Stalled, 1 Ready").says("mirror-names");
    let names: Vec<&str> = ran.out.lines().skip(1).take(2).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["refused", "fine"]);

    let list = scene.run("status -o json").await?.ends(1).json();
    assert_eq!(list["items"][0]["state"], "Stalled");
    assert_eq!(list["items"][0]["reason"], "NameNotAllowed");
    assert_eq!(list["items"][1]["currentVersionId"], version);
    assert_eq!(list["items"][1]["mirrorSecretName"], "fine");
    scene.run("status -o yaml").await?.ends(1).says("state: Stalled");
    scene.run("status -A").await?.says("NAMESPACE").says(&scene.world.namespace);

    scene.run("status fine").await?.ends(0).says("State:").says("Ready").says(&version).says("Secret fine, of this version");
    scene.run("status refused").await?.ends(1).says("Stalled").says("outside what namespace");
    assert_eq!(scene.run("status fine -o json").await?.ends(0).json()["ready"], "True");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_and_what_cannot_be_reached_end_differently() -> Result<()> {
    let scene = Scene::new("missing").await?;
    for command in ["status", "history", "rotate", "refresh", "suspend", "resume", "verify"] {
        scene.run(&format!("{command} nobody")).await?.ends(1).in_one_sentence().says("there is no RotatedSecret nobody");
    }
    scene.run("status --kubeconfig /nowhere/config").await?.ends(3).in_one_sentence().says("/nowhere/config");
    scene.run("status --context nowhere").await?.ends(3).in_one_sentence().says("no context nowhere");
    scene.run("rotate").await?.ends(2);
    scene.run("status -o xml").await?.ends(2);
    let away = scene.world.cluster.dir().join("away.kubeconfig");
    let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{"name": "a", "cluster": {"server": "http://127.0.0.1:1"}}],
        "contexts": [{"name": "a", "context": {"cluster": "a"}}]});
    std::fs::write(&away, kubeconfig.to_string())?;
    scene.run(&format!("status --kubeconfig {}", away.display())).await?.ends(3).in_one_sentence().says("does not respond");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_used_as_kubectl_does_and_named_when_it_does_not_respond() -> Result<()> {
    const DEAD: &str = "HTTPS_PROXY=http://user:word@127.0.0.1:9";
    let scene = Scene::new("proxy").await?;
    scene.settled("one", spec()).await?;
    let run = async |variables: &[&str], line: &str| {
        let mut command = Command::new("/usr/bin/env");
        command.args(variables).arg(PLUGIN).args(line.split_whitespace()).args(["--namespace", &scene.world.namespace]);
        scene.finish(command).await
    };
    run(&[DEAD], "status one").await?.ends(0);
    run(&[DEAD, "NO_PROXY=127.0.0.1"], "status one").await?.ends(0);
    let away = scene.world.cluster.dir().join("unreachable.kubeconfig");
    let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{"name": "a", "cluster": {"server": "https://kubernetes.example.invalid:6443"}}],
        "contexts": [{"name": "a", "context": {"cluster": "a"}}]});
    std::fs::write(&away, kubeconfig.to_string())?;
    let line = format!("status --kubeconfig {}", away.display());
    let ran = run(&[DEAD], &line).await?.ends(3).in_one_sentence().says("through the proxy http://127.0.0.1:9 (HTTPS_PROXY");
    assert!(!ran.err.contains("word"), "{ran:#?}");
    let ran = run(&[DEAD, "NO_PROXY=.example.invalid"], &line).await?.ends(3).in_one_sentence().says("does not respond");
    assert!(!ran.err.contains("proxy"), "{ran:#?}");
    run(&["HTTPS_PROXY=socks5://127.0.0.1:9"], &line).await?.ends(3).in_one_sentence().says("must begin with http:// or https://");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn history_tells_versions_and_causes() -> Result<()> {
    let scene = Scene::new("history").await?;
    scene.settled("db", spec()).await?;
    let _operator = scene.operator().await?;
    scene.run("rotate db").await?.ends(0);
    let ran = scene.run("history db").await?.ends(0);
    let causes: Vec<&str> = ran.out.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(causes, ["Requested", "Created"], "{ran:#?}");
    let items = scene.run("history db -o json").await?.ends(0).json()["items"].clone();
    assert_eq!((&items[0]["labels"], &items[0]["mirrored"]), (&json!(["AWSCURRENT"]), &json!(true)));
    assert_eq!((&items[1]["labels"], &items[1]["mirrored"]), (&json!(["AWSPREVIOUS"]), &json!(false)));
    Ok(())
}

/// As a user types it. kubectl looks for the plugin on PATH, which is the directory of the binary.
async fn kubectl(scene: &Scene, line: &str) -> Result<Ran> {
    let mut command = Command::new(scene.world.cluster.kubectl());
    command.arg("rotatedsecret").args(line.split_whitespace());
    scene.finish(command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_finds_the_plugin_and_passes_its_flags_and_its_exit_code() -> Result<()> {
    let scene = Scene::new("kubectl").await?;
    scene.settled("db", spec()).await?;
    assert!(Path::new(PLUGIN).ends_with("kubectl-rotatedsecret"));
    let namespace = &scene.world.namespace;
    kubectl(&scene, "--help").await?.ends(0).says("kubectl rotatedsecret").says("Exit codes").says("rotate");
    kubectl(&scene, &format!("status db -n {namespace}")).await?.ends(0).says("Ready");
    kubectl(&scene, &format!("-n {namespace} status nobody")).await?.ends(1).says("there is no RotatedSecret nobody");
    kubectl(&scene, "status --bogus").await?.ends(2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_search_for_values_would_find_one() -> Result<()> {
    let scene = Scene::new("search").await?;
    scene.settled("db", spec()).await?;
    let mut command = Command::new(scene.world.cluster.kubectl());
    command.args(["get", "secret", "db", "-o", "yaml", "-n", &scene.world.namespace]);
    let found = scene.finish(command).await;
    assert!(found.unwrap_err().to_string().starts_with("a value was printed"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_control_character_of_an_object_reaches_the_terminal() -> Result<()> {
    let scene = Scene::new("escapes").await?;
    let hostile = "x\u{1b}[2J\u{1b}[H\n\n9 objects: 9 Ready\n\u{1b}[8m\u{9b}8m\u{202e}";
    scene.settled("db", json!({"value": {"generate": {"password": {}}}})).await?;
    scene.world.patch("db", json!({"spec": {"target": {"keys": {"PW": hostile}}}})).await?;
    let _operator = scene.operator().await?;
    for line in [
        "refresh db",
        "rotate db",
        "status db",
        "status -A",
        "status",
        "history db",
        "status -o json",
        "status -o yaml",
        "rotate db -o yaml",
    ] {
        let ran = scene.run(line).await?;
        let raw = |text: &str| text.chars().any(|c| c != '\n' && (c.is_control() || c == '\u{202e}'));
        assert!(!raw(&ran.out) && !raw(&ran.err), "{line}: {ran:?}");
        let forged = |text: &str| text.lines().any(|line| line.starts_with("9 objects"));
        assert!(!forged(&ran.out) && !forged(&ran.err), "{line}: {ran:?}");
        assert!(line.starts_with("history") || ran.out.contains("9 objects") || ran.err.contains("9 objects"), "{line}: {ran:?}");
    }
    Ok(())
}
