//! An operator for one namespace, installed by the administrator of this namespace with the commands of docs/install.md.

use std::os::unix::fs::symlink;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, PostParams};
use serde_json::json;
use testkit::chart;
use testkit::controlplane::{ControlPlane, Options};

const PAGE: &str = include_str!("../../../docs/install.md");
/// Who administers the namespace, and nothing else.
const PERSON: &str = "team1-admin";

/// The commands of the block after this mark.
fn commands(mark: &str) -> Result<String> {
    let block =
        PAGE.split(&format!("<!-- {mark} -->\n```console\n")).nth(1).and_then(|rest| rest.split("```").next()).context("a block")?;
    let lines: Vec<String> = block.replace("\\\n", " ").lines().filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect();
    Ok(lines.join("\n").replace("CLUSTER_ID", "test"))
}

/// What the commands print; an error if one fails.
fn type_in(plane: &ControlPlane, commands: &str) -> Result<String> {
    let bin = tempfile::tempdir()?;
    symlink(plane.kubectl(), bin.path().join("kubectl"))?;
    symlink(chart::helm()?.get_program(), bin.path().join("helm"))?;
    let path = format!("{}:/usr/bin:/bin", bin.path().display());
    let home = bin.path().join("home");
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", commands]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = shell.env_clear().env("PATH", path).env("HOME", home).env("KUBECONFIG", plane.kubeconfig()).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{commands}: {said}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_administrator_of_a_namespace_installs_what_the_administrator_of_the_cluster_has_prepared() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "team1"}}))?;
    Api::all(plane.admin()).create(&PostParams::default(), &namespace).await?;
    type_in(&plane, &format!("kubectl create rolebinding admins -n team1 --clusterrole=admin --user={PERSON}"))?;
    type_in(&plane, &commands("prepared")?)?;
    // The rules of admin are collected by a controller.
    let may = format!("kubectl auth can-i create rotatedsecrets -n team1 --as={PERSON}");
    testkit::until("the person may write objects", async || Ok(type_in(&plane, &may).ok())).await?;

    let install = commands("installed")?.replace("helm install", &format!("helm install --kube-as-user {PERSON}"));
    let alone = install.replace("--set rbac.create=false", "").replace(" team1 charts", " alone charts");
    let refused = type_in(&plane, &alone).err().context("the chart's own Role is refused")?;
    ensure!(format!("{refused:#}").contains("not currently held"), "{refused:#}");
    type_in(&plane, &format!("helm uninstall alone --namespace team1 --kube-as-user {PERSON}"))?;
    let said = type_in(&plane, &install)?;
    ensure!(said.contains("kubectl -n team1 get rsec") && !said.contains("rsec -A"), "{said}");
    let deployment = Api::<Deployment>::namespaced(plane.admin(), "team1").get("team1-rotated-secrets").await?;
    let pods = deployment.spec.and_then(|spec| spec.template.spec).context("pods")?;
    let account = pods.service_account_name.context("an account")?;
    let may = format!("kubectl auth can-i update rotatedsecrets --subresource=status -n team1 --as=system:serviceaccount:team1:{account}");
    type_in(&plane, &may).context("the Role that was prepared is that of the operator's account")?;
    type_in(&plane, &format!("helm uninstall team1 --namespace team1 --kube-as-user {PERSON}"))?;
    Ok(())
}
