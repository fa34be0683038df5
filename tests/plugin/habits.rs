//! Habits of kubectl: names, kubeconfigs, logins, formats, completion.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::scene::{PLUGIN, Scene};
use testkit::fixtures::spec;
use testkit::{control_plane, until};

#[tokio::test(flavor = "multi_thread")]
async fn names_are_understood_or_refused_before_the_cluster_is_blamed() -> Result<()> {
    let scene = Scene::new("names").await?;
    scene.settled("db", spec()).await?;
    for name in ["db", "rsec/db", "rotatedsecret/db", "rotatedsecrets.rotated-secrets.io/db"] {
        scene.run(&format!("status {name}")).await?.ends(0).says("State:");
    }
    let namespace = scene.world.namespace.as_str();
    for words in [
        &["status", "../db", "-n", namespace][..],
        &["status", "secret/db", "-n", namespace],
        &["status", "db admin", "-n", namespace],
        &["status", "", "-n", namespace],
        &["status", "db", "-n", "shop "],
        &["rotate", "db", "-n", "a/b"],
    ] {
        let ran = scene.run_with(words, &[]).await?.ends(2);
        for blamed in ["crds", "does not serve", "network"] {
            assert!(!ran.err.contains(blamed), "{ran:#?}");
        }
    }
    // As kubectl: empty is the namespace of the context, and never all namespaces.
    let ran = scene.run_with(&["status", "db", "-n", ""], &[]).await?.ends(1);
    ran.says("there is no RotatedSecret db in namespace default");
    scene.run_with(&["status", "-n", "typo"], &[]).await?.ends(1).in_one_sentence().says("there is no namespace typo");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kubeconfigs_are_merged_and_missing_ones_skipped() -> Result<()> {
    let scene = Scene::new("merged").await?;
    scene.settled("db", spec()).await?;
    let namespace = scene.world.namespace.as_str();
    let merged = format!("/missing/config:{}", scene.kubeconfig().display());
    scene.run_with(&["status", "db", "-n", namespace], &[("KUBECONFIG", &merged)]).await?.ends(0);
    scene.run_with(&["status"], &[("KUBECONFIG", "/missing/config")]).await?.ends(3).in_one_sentence().says("/missing/config");
    scene.run("status --user nobody").await?.ends(3).in_one_sentence().says("no user nobody");
    scene.run("status --cluster nowhere").await?.ends(3).in_one_sentence().says("no cluster nowhere");
    Ok(())
}

fn config(dir: &Path, name: &str, cluster: &Value, user: &Value) -> Result<String> {
    let path = dir.join(name);
    let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "current-context": "a", "clusters": [{"name": "a", "cluster": cluster}],
        "users": [{"name": "u", "user": user}], "contexts": [{"name": "a", "context": {"cluster": "a", "user": "u"}}]});
    std::fs::write(&path, kubeconfig.to_string())?;
    Ok(path.display().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_fails_and_a_server_that_does_not_answer_say_why() -> Result<()> {
    let scene = Scene::new("login").await?;
    let dir = tempfile::tempdir()?;
    let real: Value = serde_saphyr::from_str(&std::fs::read_to_string(scene.kubeconfig())?)?;
    let server = real["clusters"][0]["cluster"]["server"].as_str().context("a server")?.to_owned();
    let exec = |command: &str, args: &[&str]| json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": command, "args": args, "interactiveMode": "Never"}});
    let insecure = json!({"server": server, "insecure-skip-tls-verify": true});
    let failing = exec("/bin/sh", &["-c", "echo Error loading SSO Token >&2; exit 255"]);
    let failing = config(dir.path(), "failing", &insecure, &failing)?;
    let ran = scene.run(&format!("status --kubeconfig {failing}")).await?.ends(3).in_one_sentence();
    ran.says("the login command /bin/sh").says("Error loading SSO Token");
    let missing = config(dir.path(), "missing", &insecure, &exec("aws-that-is-not-there", &[]))?;
    let ran = scene.run(&format!("status --kubeconfig {missing}")).await?.ends(3).in_one_sentence();
    ran.says("aws-that-is-not-there of the kubeconfig is not installed");

    if server.starts_with("https") {
        let unknown = config(dir.path(), "unknown", &json!({"server": server}), &json!({}))?;
        scene.run(&format!("status --kubeconfig {unknown}")).await?.ends(3).in_one_sentence().says("x509");
    }
    let refused = config(dir.path(), "refused", &json!({"server": "http://127.0.0.1:1"}), &json!({}))?;
    scene.run(&format!("status --kubeconfig {refused}")).await?.ends(3).in_one_sentence().says("the connection was refused");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_can_be_impersonated() -> Result<()> {
    let scene = Scene::new("impersonated").await?;
    scene.settled("db", spec()).await?;
    let namespace = scene.world.namespace.clone();
    let cluster = control_plane().await?;
    for item in [
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "viewer"},
            "rules": [{"apiGroups": ["rotated-secrets.io"], "resources": ["rotatedsecrets"], "verbs": ["get", "list"]}]}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "viewer"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "viewer"},
            "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "viewers"}]}),
    ] {
        cluster.apply_yaml_in(&namespace, &item.to_string()).await?;
    }
    scene.run("status db --as jane").await?.ends(3).in_one_sentence().says("you may not get");
    scene.run("status db --as jane --as-group viewers").await?.ends(0);
    let ran = scene.run("rotate db --as jane --as-group viewers").await?.ends(3).in_one_sentence().says("you may not patch");
    ran.says("--as jane --as-group viewers");
    scene.run("status --as-group viewers").await?.ends(2).in_one_sentence().says("--as-group needs --as");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn formats_are_those_of_kubectl() -> Result<()> {
    let scene = Scene::new("formats").await?;
    for name in ["a", "b"] {
        scene.settled(name, spec()).await?;
    }
    scene.world.patch("a", json!({"metadata": {"labels": {"team": "payments"}}})).await?;
    let ran = scene.run("status -o name").await?.ends(0);
    assert_eq!(ran.out, "rotatedsecret.rotated-secrets.io/a\nrotatedsecret.rotated-secrets.io/b\n");
    assert_eq!(scene.run("status -o jsonpath={.items[*].name}").await?.ends(0).out, "a b");
    assert_eq!(scene.run("status a -o jsonpath={.state}").await?.ends(0).out, "Ready");
    assert_eq!(scene.run("status -l team=payments -o jsonpath={.items[*].name}").await?.ends(0).out, "a");
    assert_eq!(scene.run("status b a -o jsonpath={.items[*].name}").await?.ends(0).out, "a b");
    scene.run("status a nobody").await?.ends(1).says("there is no RotatedSecret nobody").says("1 object: 1 Ready");
    scene.run("status -o wide").await?.ends(0).says("VERSION").says("SECRET");
    let ran = scene.run("status --no-headers").await?.ends(0);
    assert_eq!(ran.out.lines().count(), 2, "{ran:#?}");
    let ran = scene.run("status --problems").await?.ends(0).says("2 objects without a problem not shown");
    assert!(!ran.out.contains("NAME"), "{ran:#?}");
    scene.run("status -l team=nobody").await?.ends(0).says("No RotatedSecrets with the labels team=nobody");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_shows_what_changes() -> Result<()> {
    let scene = Scene::new("watch").await?;
    scene.settled("db", spec()).await?;
    let file = tempfile::NamedTempFile::new()?;
    let written = || std::fs::read_to_string(file.path()).unwrap_or_default();
    let shows = async |text: &str| until(text, async || Ok(written().contains(text).then_some(()))).await;
    let change = async {
        shows("1 object: 1 Ready").await?;
        scene.world.patch("db", json!({"metadata": {"labels": {"team": "shop"}}})).await?;
        scene.world.patch("db", json!({"spec": {"suspend": true}})).await?;
        shows("Suspended").await
    };
    scene.run_until(&format!("status -w >{}", file.path().display()), change).await?.ends(0);
    let lines = written().lines().filter(|line| line.starts_with("db ")).count();
    assert_eq!(lines, 2, "a change that shows nothing new has no line: {}", written());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_completes_commands_and_names() -> Result<()> {
    let scene = Scene::new("tab").await?;
    for name in ["db", "api"] {
        scene.settled(name, spec()).await?;
    }
    let namespace = scene.world.namespace.as_str();
    let words = |ran: crate::scene::Ran| ran.out.lines().map(str::to_owned).collect::<Vec<_>>();
    let ran = scene.run_with(&["__complete", "status", "-n", namespace, ""], &[]).await?.ends(0);
    assert_eq!(words(ran), ["api", "db", ":4"]);
    let ran = scene.run_with(&["__complete", "rotate", "-n", namespace, "api", ""], &[]).await?.ends(0);
    assert_eq!(words(ran), ["db", ":4"]);
    let ran = scene.run_with(&["__complete", "ro"], &[]).await?.ends(0);
    assert_eq!(words(ran), ["rotate", "rollback", ":4"]);
    // A cluster that is away has no names, and no error.
    let ran = scene.run_with(&["__complete", "status", ""], &[("KUBECONFIG", "/missing")]).await?.ends(0);
    assert_eq!(words(ran), [":4"]);

    // kubectl itself, with the program that `completion kubectl` prints.
    let dir = tempfile::tempdir()?;
    let script = scene.run("completion kubectl").await?.ends(0).out;
    let file = dir.path().join("kubectl_complete-rotatedsecret");
    std::fs::write(&file, script)?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))?;
    let path = format!("{}:{}:/usr/bin:/bin", dir.path().display(), Path::new(PLUGIN).parent().context("a directory")?.display());
    let mut command = Command::new("/usr/bin/env");
    command.arg(format!("PATH={path}")).arg(scene.world.cluster.kubectl());
    command.args(["__complete", "rotatedsecret", "status", "-n", namespace, "d"]);
    let ran = scene.finish(command).await?.ends(0);
    assert!(ran.out.lines().any(|line| line == "db") && !ran.out.contains("api"), "{ran:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_versions_are_told_as_far_as_they_can_be_seen() -> Result<()> {
    let scene = Scene::new("version").await?;
    scene.run_with(&["version", "--client"], &[("KUBECONFIG", "/missing")]).await?.ends(0).says(env!("CARGO_PKG_VERSION"));
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "operator", "labels": {"app.kubernetes.io/name": "rotated-secrets"}},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "operator", "image": "registry.example/rotated-secrets:v99.0.0@sha256:".to_owned() + &"0".repeat(64)}]}}}});
    scene.world.cluster.apply_yaml_in(&scene.world.namespace, &deployment.to_string()).await?;
    // What a tenant has created is not the operator, which the installed ClusterRoleBinding names.
    let own = format!("Operator: {} (rotated-secrets/rotated-secrets)", env!("CARGO_PKG_VERSION"));
    let ran = scene
        .run("version")
        .await?
        .ends(0)
        .says(&own)
        .says(&format!("Operator: 99.0.0 ({}/operator, by its label only)", scene.world.namespace));
    assert!(!ran.out.contains("is newer than this plugin"), "{ran:#?}");
    let deployments =
        kube::api::Api::<k8s_openapi::api::apps::v1::Deployment>::namespaced(scene.world.admin.clone(), &scene.world.namespace);
    deployments.delete("operator", &kube::api::DeleteParams::default()).await?;
    scene.run("version --as jane").await?.ends(0).says("the version of the operator is unknown: you may not list Deployments");
    Ok(())
}
