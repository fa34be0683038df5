//! Installed, upgraded, uninstalled and installed again by helm, with the operator at work all the while: as a process outside the cluster, with
//! the rights of the account that the chart has made. Its pod, on a node, is [`super::on_node`]'s.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;
use kube::api::{Api, PostParams};
use serde_json::json;
use testkit::chart;
use testkit::controlplane::{ControlPlane, Options};

use crate::operator::Operator;
use crate::stage::Stage;

const DEFINITION: &str = "rotatedsecrets.rotated-secrets.io";
/// The parts of a definition that tell an older one from today's.
const COLUMN: &str = "    - jsonPath: .status.aws.arn\n      name: ARN\n      priority: 1\n      type: string\n";

/// helm against one control plane; its own files go with it.
pub(super) struct Helm<'a>(pub(super) &'a ControlPlane);

impl Helm<'_> {
    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = chart::helm()?;
        command.arg("--kubeconfig").arg(self.0.kubeconfig()).args(arguments);
        for (name, dir) in [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")] {
            command.env(name, self.0.dir().join("helm").join(dir));
        }
        Ok(command)
    }

    /// Succeeds, and has nothing to warn of.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments)?.output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && !errors.to_lowercase().contains("warn"), "helm {}: {errors}", arguments.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What it says when it refuses, which it must.
    fn refusal(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments)?.output()?;
        ensure!(!output.status.success(), "helm {} succeeds", arguments.join(" "));
        Ok(String::from_utf8(output.stderr)?)
    }
}

/// The chart as it may have been one version ago: an older definition, an older version, values less, and one permission less that is not needed yet.
pub(super) fn previous_chart(dir: &Path) -> Result<PathBuf> {
    let chart = dir.join("previous");
    copy(&chart::dir(), &chart)?;
    let edit = |file: &str, from: &str, to: &str| -> Result<()> {
        let path = chart.join(file);
        let text = fs::read_to_string(&path)?;
        ensure!(text.contains(from), "{file} has {from:?}");
        Ok(fs::write(path, text.replace(from, to))?)
    };
    edit("Chart.yaml", &format!("ersion: {}", env!("CARGO_PKG_VERSION")), "ersion: 0.0.9")?;
    edit("files/crds/rotatedsecrets.yaml", COLUMN, "")?;
    let path = chart.join("values.yaml");
    fs::write(&path, without(&fs::read_to_string(&path)?, &["rollout:", "rotationJobs:", "global:", "commonAnnotations:"])?)?;
    edit("templates/rbac.yaml", "verbs: [create, update, patch, delete, deletecollection]", "verbs: [create, update, patch, delete]")?;
    Ok(chart)
}

/// The text of values.yaml without these blocks.
fn without(values: &str, blocks: &[&str]) -> Result<String> {
    let (mut kept, mut left) = (String::new(), Vec::new());
    let mut leaves = false;
    for line in values.lines() {
        if !line.starts_with([' ', '#']) {
            let block = line.split_inclusive(':').next().unwrap_or_default();
            leaves = blocks.contains(&block);
            left.extend(leaves.then_some(block));
        }
        if !leaves {
            kept.extend([line, "\n"]);
        }
    }
    ensure!(left.len() == blocks.len(), "values.yaml has only {left:?}");
    Ok(kept)
}

pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// The release's namespace, where nothing but `restricted` is let in and all else is told.
pub(super) async fn make_namespace(plane: &ControlPlane) -> Result<()> {
    let restricted = |mode: &str| (format!("pod-security.kubernetes.io/{mode}"), "restricted".to_owned());
    let namespace = Namespace {
        metadata: kube::api::ObjectMeta {
            name: Some(chart::NAME.to_owned()),
            labels: Some(["enforce", "warn"].map(restricted).into_iter().collect()),
            ..kube::api::ObjectMeta::default()
        },
        ..Namespace::default()
    };
    Api::all(plane.admin()).create(&PostParams::default(), &namespace).await?;
    Ok(())
}

pub(super) async fn definition(plane: &ControlPlane) -> Result<CustomResourceDefinition> {
    Ok(Api::all(plane.admin()).get(DEFINITION).await?)
}

fn has_column(definition: &CustomResourceDefinition) -> bool {
    let columns = definition.spec.versions.iter().filter_map(|version| version.additional_printer_columns.as_ref()).flatten();
    columns.into_iter().any(|column| column.name == "ARN")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_brings_the_definition_and_no_uninstall_takes_a_credential() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    make_namespace(&plane).await?;
    let current = chart::dir();
    let (current, previous) = (current.to_str().context("UTF-8")?, previous_chart(plane.dir())?);
    let previous = previous.to_str().context("UTF-8")?;
    let base = ["--namespace", chart::NAME];
    let install = |helm: &Helm, chart: &str| helm.run(&[&["install", chart::NAME, chart], base.as_slice()].concat());

    // helm stores a null, too.
    let removed = "networkPolicy.egressPorts=null,topologySpreadConstraints=null,resources.limits=null,podSecurityContext.runAsUser=null";
    Helm(&plane).run(&[&["install", chart::NAME, previous, "--set", removed], base.as_slice()].concat())?;
    ensure!(!has_column(&definition(&plane).await?), "the definition of the previous chart");
    let stage = Stage::prepared(plane, "installed").await?;
    let plane = stage.plane();
    let helm = Helm(plane);
    let lease = ["--leader-elect", "--lease-namespace", chart::NAME, "--lease-identity", "outside"];
    let operator = Operator::start_with(&stage, &lease).await?;
    let spec = json!({"value": {"generate": {"password": {}}}, "rotation": {"schedule": "rate(30 days)"}});
    stage.create("kept", spec.clone()).await?;
    let before = stage.ready("kept").await?;

    // While a rotation is asked for.
    stage.ask_rotation("kept", "during-the-upgrade").await?;
    helm.run(&[&["upgrade", chart::NAME, current], base.as_slice()].concat())?;
    let upgraded = stage.acknowledged("kept", "during-the-upgrade").await?;
    ensure!(upgraded.object.uid() == before.object.uid() && upgraded.mirror.uid() == before.mirror.uid(), "the same object and Secret");
    ensure!(upgraded.aws.versions.len() == 2, "created and rotated once: {:?}", upgraded.aws.labels);
    let definition_now = definition(plane).await?;
    ensure!(has_column(&definition_now), "the upgrade brought the definition");
    ensure!(definition_now.labels()["app.kubernetes.io/version"] == env!("CARGO_PKG_VERSION"), "and says so");
    let edit: ClusterRole = Api::all(plane.admin()).get("rotated-secrets-edit").await?;
    let verbs = edit.rules.into_iter().flatten().flat_map(|rule| rule.verbs).collect::<Vec<_>>();
    ensure!(verbs.contains(&"deletecollection".to_owned()), "the upgrade brought a right: {verbs:?}");

    // Back, and up again with the stored values: the definition goes with the release, the object stays.
    helm.run(&[&["rollback", chart::NAME, "1"], base.as_slice()].concat())?;
    ensure!(!has_column(&definition(plane).await?), "the definition of the previous chart is back");
    stage.refresh("kept", "rolled-back").await?;
    ensure!(stage.ready("kept").await?.object.uid() == before.object.uid(), "the object stays");
    helm.run(&[&["upgrade", chart::NAME, current, "--reuse-values"], base.as_slice()].concat())?;
    ensure!(has_column(&definition(plane).await?), "and up again");
    let rights: ClusterRole = Api::all(plane.admin()).get(chart::NAME).await?;
    let resources = rights.rules.into_iter().flatten().filter_map(|rule| rule.resources).flatten().collect::<Vec<_>>();
    ensure!(resources.contains(&"deployments".to_owned()), "a switch that the stored values lack has its default: {resources:?}");
    let pods = Api::<Deployment>::namespaced(plane.admin(), chart::NAME).get(chart::NAME).await?.spec.and_then(|spec| spec.template.spec);
    ensure!(pods.is_some_and(|pods| pods.topology_spread_constraints.is_none()), "a list that was removed stays removed");

    // Another field manager takes over the definition.
    helm.run(&[&["upgrade", chart::NAME, current, "--set", "crds.install=false"], base.as_slice()].concat())?;
    ensure!(definition(plane).await?.uid() == definition_now.uid(), "the definition stays when the chart no longer has it");
    helm.run(&[&["upgrade", chart::NAME, current, "--set", "crds.install=true"], base.as_slice()].concat())?;

    let said = helm.run(&[&["uninstall", chart::NAME], base.as_slice()].concat())?;
    ensure!(said.contains(DEFINITION), "helm says what it keeps: {said}");
    operator.terminate().await?;
    ensure!(Api::<Deployment>::namespaced(plane.admin(), chart::NAME).get_opt(chart::NAME).await?.is_none(), "the operator is gone");
    ensure!(Api::<ServiceAccount>::namespaced(plane.admin(), chart::NAME).get_opt(chart::NAME).await?.is_none(), "so is its account");
    ensure!(Api::<ClusterRole>::all(plane.admin()).get_opt(chart::NAME).await?.is_none(), "so are its rights");
    ensure!(definition(plane).await?.uid() == definition_now.uid(), "the definition stays");
    let left = stage.agreed("kept").await?.context("everything that was there is there, and agrees")?;
    ensure!(left.object.uid() == before.object.uid() && left.mirror.uid() == before.mirror.uid(), "the same object and Secret");
    ensure!(left.aws.deletion_date.is_none() && left.aws.versions.len() == 2, "AWS was not touched");

    // The same release takes up what it left; the operator finds everything in order.
    install(&helm, current)?;
    let kubeconfig = plane.service_account_kubeconfig(chart::NAME, chart::NAME).await?;
    ensure!(kubeconfig == stage.kubeconfig, "the new account's token is where the old one's was");
    let again = Operator::start_with(&stage, &lease).await?;
    stage.refresh("kept", "look").await?;
    stage.create("new", spec).await?;
    stage.ready("new").await?;
    let same = stage.ready("kept").await?;
    ensure!(same.object.uid() == before.object.uid() && same.aws.versions.len() == 2, "nothing was rotated");
    ensure!(stage.emulator.counters().total("DeleteSecret") == 0, "nothing was deleted");
    again.terminate().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_release_leaves_the_definition_to_the_first_or_takes_it_over_when_told_to() -> Result<()> {
    let plane = ControlPlane::start(Options::default()).await?;
    make_namespace(&plane).await?;
    let helm = Helm(&plane);
    let chart = chart::dir();
    let chart = chart.to_str().context("UTF-8")?;
    // As one who began with the plain manifests.
    plane.apply_yaml(include_str!("../../../crds/rotatedsecrets.yaml")).await?;
    let uid = definition(&plane).await?.uid();
    for release in ["blue", "green"] {
        let install = ["install", release, chart, "--namespace", chart::NAME];
        let refusal = helm.refusal(&install)?;
        ensure!(refusal.contains(DEFINITION) && refusal.contains("invalid ownership metadata"), "{refusal}");
        helm.run(&[install.as_slice(), &["--set", "crds.install=false", "--set", "namespaces={default}"]].concat())?;
    }
    helm.run(&["upgrade", "blue", chart, "--namespace", chart::NAME, "--set", "crds.install=true", "--take-ownership"])?;
    let taken = definition(&plane).await?;
    ensure!(taken.uid() == uid && taken.annotations()["meta.helm.sh/release-name"] == "blue", "blue has the definition now");
    helm.run(&["uninstall", "blue", "--namespace", chart::NAME])?;
    ensure!(definition(&plane).await?.uid() == uid, "and leaves it");
    plane.stop().await
}
