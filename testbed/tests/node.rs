//! The node tests itself: what the test of the installation builds on must hold. Where no node can be had, these tests say so and end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that panics has failed")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;
use testbed::node::{self, Node, fingerprint};

const WORLD: &str = "
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {pod-security.kubernetes.io/enforce: restricted}
---
apiVersion: v1
kind: Secret
metadata: {name: db-admin, namespace: shop}
stringData: {password: the first}
";

/// Whether there can be a node; says why not.
fn possible() -> bool {
    if let Some(obstacle) = node::obstacle() {
        println!("no real node here: {obstacle}");
        return false;
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_runs_is_probed_sees_a_changed_secret_and_comes_back_when_it_is_killed() -> Result<()> {
    if !possible() {
        return Ok(());
    }
    let start = Instant::now();
    let node = Node::start().await?;
    println!("node: ready after {:.1} s", start.elapsed().as_secs_f64());
    let plane = node.plane();
    plane.apply_yaml(WORLD).await?;
    plane.apply_yaml_in("shop", node::APPLICATION).await?;
    let pods: Api<Pod> = Api::namespaced(plane.admin(), "shop");
    let secrets: Api<Secret> = Api::namespaced(plane.admin(), "shop");

    let ready = async || -> Result<Option<Pod>> {
        let pods = pods.list(&ListParams::default().labels("app=shop")).await?.items;
        Ok(pods.into_iter().find(|pod| {
            let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            conditions.filter(|condition| condition.type_ == "Ready").any(|condition| condition.status == "True")
        }))
    };
    let pod = eventually("the pod is ready", &ready).await?;
    println!("node: a pod is ready after {:.1} s", start.elapsed().as_secs_f64());
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).context("a ready pod has an address")?;
    let address: SocketAddr = format!("{address}:8080").parse()?;
    ensure!(ask(&node, address)? == fingerprint(b"the first"), "the pod serves what it has mounted");

    let change = json!({"stringData": {"password": "the second"}});
    secrets.patch("db-admin", &PatchParams::default(), &Patch::Merge(change)).await?;
    eventually("the pod sees the change", async || Ok((ask(&node, address)? == fingerprint(b"the second")).then_some(()))).await?;
    let seen = format!("{}\n{}\n", fingerprint(b"the first"), fingerprint(b"the second"));
    ensure!(node.pod_log("shop", &pod.name_any())? == seen, "its log is on the machine");
    let logs =
        Command::new(plane.kubectl()).arg("--kubeconfig").arg(plane.kubeconfig()).args(["logs", "-n", "shop", "deploy/shop"]).output()?;
    ensure!(String::from_utf8_lossy(&logs.stdout) == seen, "and kubectl shows it: {logs:?}");

    ensure!(node.kill(&pod.uid().context("a uid")?, "pod")? == 1, "one process");
    eventually("the pod is back", async || {
        let Some(pod) = ready().await? else { return Ok(None) };
        let restarts: i32 = pod.status.iter().flat_map(|s| s.container_statuses.iter().flatten()).map(|one| one.restart_count).sum();
        Ok((restarts == 1).then_some(()))
    })
    .await?;

    let dir = plane.dir().to_owned();
    let groups = cgroups_of(&dir)?;
    ensure!(!groups.is_empty(), "the node has cgroups");
    node.stop().await?;
    ensure!(!dir.exists() && !groups.iter().any(|group| group.exists()), "nothing is left after a stop");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_node_whose_starter_was_killed() -> Result<()> {
    if !possible() {
        return Ok(());
    }
    let mut starter =
        Command::new(env!("CARGO_BIN_EXE_testbed")).args(["up", "--node"]).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
    // Held until the end, because a starter that cannot write would exit.
    let mut output = BufReader::new(starter.stdout.take().context("a pipe")?).lines().map_while(Result::ok);
    let kubeconfig = output.find_map(|line| line.strip_prefix("export KUBECONFIG=").map(PathBuf::from));
    let kubeconfig = kubeconfig.context("testbed up has ended")?;
    let dir = kubeconfig.parent().context("a file is in a directory")?;
    let groups = cgroups_of(dir)?;
    output.find(|line| line.starts_with("# for pods:")).context("what pods need comes last")?;
    let processes: Vec<String> = groups.iter().flat_map(|group| members(group)).collect();
    ensure!(processes.len() > 5, "the node's processes are in its cgroups");
    starter.kill()?;
    starter.wait()?;
    eventually("all is gone", async || {
        let alive = processes.iter().any(|process| is_alive(process));
        Ok((!dir.exists() && !alive && !groups.iter().any(|group| group.exists())).then_some(()))
    })
    .await
}

/// What the pod's program answers.
fn ask(node: &Node, address: SocketAddr) -> Result<String> {
    let mut stream = node.connect(address)?;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.rsplit("\r\n").next().unwrap_or_default().to_owned())
}

/// The cgroups of the node whose files are in a directory. Another test may have one of its own.
fn cgroups_of(dir: &Path) -> Result<Vec<PathBuf>> {
    let name = dir.to_str().context("the directory has an odd name")?;
    let works_in = |process: &String| {
        let arguments = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&arguments).contains(name)
    };
    let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    let groups = hierarchies.flat_map(|hierarchy| std::fs::read_dir(hierarchy.path()).into_iter().flatten().flatten());
    let nodes = groups.filter(|group| group.file_name().to_string_lossy().starts_with("rotated-secrets-")).map(|group| group.path());
    Ok(nodes.filter(|group| members(group).iter().any(works_in)).collect())
}

fn members(group: &Path) -> Vec<String> {
    let list = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    list.lines().map(str::to_owned).collect()
}

/// A killed process whose new parent does not care stays as a zombie: dead enough.
fn is_alive(process: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Waits for what must come; the limit is only there so that a broken world does not hang the run.
async fn eventually<T>(what: &str, probe: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = probe().await? {
            return Ok(found);
        }
        ensure!(start.elapsed() < Duration::from_mins(2), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
