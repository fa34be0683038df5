//! Installed by the chart on a real node: the image of the release build, its pods under Pod Security `restricted` with their own tokens, probes and
//! Lease; an application that mounts the mirrored Secret; rotations all the while, through an upgrade, a SIGKILL and the uninstall.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use testkit::chart;
use testkit::image::{Image, Needs, operator};
use testkit::node::{self, APPLICATION, Node, fingerprint};
use testkit::{PREFIX, REGION, fields, until};

use super::installed::{Helm, definition, make_namespace, previous_chart};
use crate::stage::Stage;
use crate::story::check_chain;

const OBJECT: &str = "db-admin";
const PERIOD: i64 = 4;
const PROGRAM: &str = "rotated-secrets";
const REPOSITORY: &str = "rotated-secrets.test/operator";
const PREVIOUS: &str = "0.0.9";
const CURRENT: &str = env!("CARGO_PKG_VERSION");

/// Two ways to trust the emulator: by name, and in the image's own trust store.
const AUTHORITY_BY_NAME: &str = r#"extraVolumeMounts=[{"name":"emulator","mountPath":"/emulator","readOnly":true}]"#;
const AUTHORITY_IN_PLACE: &str =
    r#"extraVolumeMounts=[{"name":"emulator","mountPath":"/etc/ssl/certs/ca-certificates.crt","subPath":"ca.crt","readOnly":true}]"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_chart_runs_the_image_through_rotations_an_upgrade_a_kill_and_the_uninstall() -> Result<()> {
    if let Some(obstacle) = node::obstacle() {
        println!("no real node here: {obstacle}; chart::installed does the same with the operator as a process outside the cluster");
        return Ok(());
    }
    let image = image()?;
    let start = Instant::now();
    let stage = Stage::on_node(Node::start().await?, "shop").await?;
    println!("on_node: the node is ready after {:.1} s", start.elapsed().as_secs_f64());
    let scene = Scene::set(&stage, &image).await?;

    scene.install().await?;
    scene.application_follows().await?;
    scene.upgrade().await?;
    scene.kill_the_leader().await?;
    scene.change_the_log().await?;
    scene.uninstall().await
}

/// The operator's image. Nothing happens when its program has been built before.
fn image() -> Result<Image> {
    let Some(build) = node::Build::selected() else {
        return operator(Path::new(env!("CARGO_BIN_EXE_rotated-secrets")), Needs::Libraries, 0);
    };
    let output = build.command().output()?;
    ensure!(output.status.success(), "image/build: {}", String::from_utf8_lossy(&output.stderr));
    let needs = if build == node::Build::Release { Needs::Nothing } else { Needs::Space };
    operator(Path::new(String::from_utf8(output.stdout)?.trim()), needs, 0)
}

struct Scene<'a> {
    stage: &'a Stage,
    node: &'a Node,
    helm: Helm<'a>,
    values: PathBuf,
    /// What the operator's pods have printed; a pod's log goes with the pod.
    logs: std::sync::Mutex<String>,
}

impl<'a> Scene<'a> {
    /// The namespaces, where nothing but `restricted` is let in; the images under an older and today's name; the emulator's certificate.
    async fn set(stage: &'a Stage, image: &Image) -> Result<Self> {
        let node = stage.node().context("a node")?;
        let plane = stage.plane();
        make_namespace(plane).await?;
        let enforce = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
        Api::<Namespace>::all(plane.admin()).patch(&stage.namespace, &PatchParams::default(), &Patch::Merge(enforce)).await?;

        // There is no earlier release yet: the same program, in an image and a chart with an earlier version.
        let mut previous = image.clone();
        previous.labels.insert("org.opencontainers.image.version".to_owned(), PREVIOUS.to_owned());
        let old = node.import(&previous, &format!("{REPOSITORY}:{PREVIOUS}")).await?;
        let new = node.import(image, &format!("{REPOSITORY}:{CURRENT}")).await?;
        ensure!(old.digest != new.digest, "two images");
        println!("on_node: the image has {} bytes to fetch, {} on the node", new.compressed, new.uncompressed);

        let data = BTreeMap::from([("ca.crt".to_owned(), node.authority())]);
        let metadata = ObjectMeta { name: Some("emulator".to_owned()), ..ObjectMeta::default() };
        let maps: Api<ConfigMap> = Api::namespaced(plane.admin(), chart::NAME);
        maps.create(&PostParams::default(), &ConfigMap { metadata, data: Some(data), ..ConfigMap::default() }).await?;
        let values = plane.dir().join("values.json");
        std::fs::write(&values, values_of(&node.serve_to_pods(stage.address())?).to_string())?;
        Ok(Self { stage, node, helm: Helm(plane), values, logs: std::sync::Mutex::default() })
    }

    /// `install` or `upgrade`, until helm finds every pod ready. `flags` are more arguments.
    fn helm(&self, verb: &str, chart: &Path, version: &str, flags: &[&str]) -> Result<()> {
        let (chart, values, tag) = (chart.display().to_string(), self.values.display().to_string(), format!("image.tag={version}"));
        let fixed =
            [verb, chart::NAME, &chart, "--namespace", chart::NAME, "--values", &values, "--set", &tag, "--wait", "--timeout", "10m"];
        let helm = Helm(self.helm.0);
        tokio::task::block_in_place(|| helm.run(&[fixed.as_slice(), flags].concat()))?;
        Ok(())
    }

    async fn install(&self) -> Result<()> {
        let start = Instant::now();
        let previous = previous_chart(self.stage.plane().dir())?;
        self.helm(
            "install",
            &previous,
            PREVIOUS,
            &["--set-json", AUTHORITY_BY_NAME, "--set", "extraEnv[3].name=SSL_CERT_FILE", "--set", "extraEnv[3].value=/emulator/ca.crt"],
        )?;
        println!("on_node: installed and ready after {:.1} s", start.elapsed().as_secs_f64());
        let pods = self.operators(PREVIOUS).await?;
        ensure!(pods.len() == 2, "one acts, one stands by");
        for pod in &pods {
            println!("on_node: {} was ready {} s after its container had started", pod.name_any(), start_to_ready(pod)?);
            self.is_confined(pod)?;
        }
        self.leader(&pods).await?;
        Ok(())
    }

    /// As the kernel sees it: no root, no capability, no way to either, and system calls filtered.
    fn is_confined(&self, pod: &Pod) -> Result<()> {
        let processes = self.node.processes(&pod.uid().context("a uid")?, PROGRAM)?;
        let [process] = processes.as_slice() else { bail!("one process in a pod: {processes:?}") };
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        for line in ["Uid:\t65532\t65532", "Gid:\t65532\t65532", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
            ensure!(status.contains(line), "the process has {line}: {status}");
        }
        Ok(())
    }

    /// The pods of the operator, when all are ready and of this version.
    async fn operators(&self, version: &str) -> Result<Vec<Pod>> {
        let pods: Api<Pod> = Api::namespaced(self.stage.plane().admin(), chart::NAME);
        until(&format!("the pods of {version} are ready"), async || {
            let found = pods.list(&ListParams::default().labels("app.kubernetes.io/name=rotated-secrets")).await?.items;
            let image = format!("{REPOSITORY}:{version}");
            let fine = |pod: &Pod| is_ready(pod) && pod.spec.iter().flat_map(|s| &s.containers).all(|c| c.image.as_deref() == Some(&image));
            Ok((!found.is_empty() && found.iter().all(fine)).then_some(found))
        })
        .await
    }

    /// The one of these pods whose name is in the Lease.
    async fn leader<'p>(&self, pods: &'p [Pod]) -> Result<&'p Pod> {
        let leases: Api<Lease> = Api::namespaced(self.stage.plane().admin(), chart::NAME);
        until("the Lease names one of the pods", async || {
            let holder = leases.get(chart::NAME).await?.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
            Ok(pods.iter().find(|pod| pod.name_any() == holder))
        })
        .await
    }

    /// An object, an application that mounts its Secret, and a rotation that reaches the application.
    async fn application_follows(&self) -> Result<()> {
        let value = json!({"data": {"username": "admin"}, "generate": {"password": {}}});
        let rotation = json!({"schedule": format!("rate({PERIOD} seconds)")});
        self.stage.create(OBJECT, json!({"value": value, "rotation": rotation})).await?;
        self.stage.plane().apply_yaml_in(&self.stage.namespace, APPLICATION).await?;
        let first = self.application().await?;
        until("the application has seen three values", async || {
            let log = self.node.pod_log(&self.stage.namespace, &first.name_any())?;
            Ok((log.lines().count() >= 3).then_some(()))
        })
        .await
    }

    /// The application's pod, when it is ready.
    async fn application(&self) -> Result<Pod> {
        let pods: Api<Pod> = Api::namespaced(self.stage.plane().admin(), &self.stage.namespace);
        until("the application is ready", async || {
            Ok(pods.list(&ListParams::default().labels("app=shop")).await?.items.into_iter().find(is_ready))
        })
        .await
    }

    /// The new pods take over between two rotations or in the middle of one; the count of versions tells that none was lost or doubled.
    async fn upgrade(&self) -> Result<()> {
        self.keep_logs(PREVIOUS).await?;
        let before = self.stage.versions(OBJECT);
        let start = Timestamp::now();
        self.helm("upgrade", &chart::dir(), CURRENT, &["--set-json", AUTHORITY_IN_PLACE])?;
        let end = Timestamp::now();
        let pods = self.operators(CURRENT).await?;
        self.leader(&pods).await?;
        self.more_rotations("after the upgrade").await?;
        let gap = self.longest_delay(start)?;
        println!(
            "on_node: the upgrade took {} s; {} versions meanwhile and since; a rotation came at most {gap} s late",
            end.duration_since(start).as_secs(),
            self.stage.versions(OBJECT) - before
        );
        Ok(())
    }

    /// As docs/observability.md says.
    async fn change_the_log(&self) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.stage.plane().admin(), chart::NAME);
        let filter = json!({"metadata": {"annotations": {"rotated-secrets.io/log": "info,rotated_secrets=debug"}}});
        for pod in self.operators(CURRENT).await? {
            pods.patch(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&filter)).await?;
            until("the pod has another log filter", async || {
                let log = self.node.pod_log(chart::NAME, &pod.name_any())?;
                Ok(log.lines().any(|line| line.contains("the log filter was changed") && line.contains("=debug")).then_some(()))
            })
            .await?;
        }
        Ok(())
    }

    async fn more_rotations(&self, when: &str) -> Result<()> {
        let count = self.stage.versions(OBJECT);
        until(&format!("it has rotated twice {when}"), async || Ok((self.stage.versions(OBJECT) >= count + 2).then_some(()))).await
    }

    /// How late, in seconds, the latest rotation was of those made since `from`; counted from its due time.
    fn longest_delay(&self, from: Timestamp) -> Result<i64> {
        let aws = self.stage.aws_secret(OBJECT).context("the AWS secret")?;
        let delays = aws.versions.windows(2).filter(|pair| pair[1].created >= from);
        Ok(delays.map(|pair| pair[1].created.as_second() - pair[0].created.as_second() - PERIOD).max().unwrap_or_default())
    }

    async fn kill_the_leader(&self) -> Result<()> {
        self.keep_logs(CURRENT).await?;
        let pods = self.operators(CURRENT).await?;
        let leader = self.leader(&pods).await?;
        ensure!(self.node.kill(&leader.uid().context("a uid")?, PROGRAM)? == 1, "one process is killed");
        let pods: Api<Pod> = Api::namespaced(self.stage.plane().admin(), chart::NAME);
        until("the killed one is back", async || {
            let pod = pods.get(&leader.name_any()).await?;
            let restarts: i32 = pod.status.iter().flat_map(|s| s.container_statuses.iter().flatten()).map(|one| one.restart_count).sum();
            Ok((restarts >= 1 && is_ready(&pod)).then_some(()))
        })
        .await?;
        self.more_rotations("after the kill").await
    }

    /// With the release go its pods, account and rights, and nothing that holds a credential.
    async fn uninstall(&self) -> Result<()> {
        // So that everything can be compared at rest.
        self.stage.patch(OBJECT, json!({"spec": {"rotation": {"suspend": true}}})).await?;
        let before = until("everything agrees", async || self.stage.agreed(OBJECT).await).await?;
        check_chain(&before.object, &before.aws, PERIOD)?;
        let missed = before.object.status.as_ref().map(|status| status.missed_rotations).unwrap_or_default();
        println!(
            "on_node: {} versions, each of its own due time; {missed} more due times passed while a new leader was awaited",
            before.aws.versions.len()
        );
        let application = self.application().await?;
        self.has_followed(&application, before.aws.current()).await?;
        self.keep_logs(CURRENT).await?;

        let args = ["uninstall", chart::NAME, "--namespace", chart::NAME, "--wait", "--timeout", "10m"];
        tokio::task::block_in_place(|| self.helm.run(&args))?;
        let pods: Api<Pod> = Api::namespaced(self.stage.plane().admin(), chart::NAME);
        until("the operator's pods are gone", async || Ok(pods.list(&ListParams::default()).await?.items.is_empty().then_some(()))).await?;
        definition(self.stage.plane()).await.context("the definition stays")?;
        let after = self.stage.agreed(OBJECT).await?.context("object, Secret and AWS secret are there, and agree")?;
        ensure!(after.object.uid() == before.object.uid() && after.mirror.uid() == before.mirror.uid(), "the same object and Secret");
        ensure!(after.aws.deletion_date.is_none() && after.aws.versions.len() == before.aws.versions.len(), "AWS was not touched");
        ensure!(self.stage.emulator.counters().total("DeleteSecret") == 0, "nothing was deleted");
        self.has_followed(&application, after.aws.current()).await?;
        self.logs_hold_no_value(&after.aws)
    }

    /// The application has seen nothing but values of AWS, each after its predecessor, and holds the current one.
    async fn has_followed(&self, application: &Pod, current: Option<&str>) -> Result<()> {
        let now = fingerprint(&fields(current)["password"]);
        let address = application.status.as_ref().and_then(|status| status.pod_ip.clone()).context("an address")?;
        let address: SocketAddr = format!("{address}:8080").parse()?;
        until("the application holds the current value", async || Ok((ask(self.node, address)? == now).then_some(()))).await?;
        let aws = self.stage.aws_secret(OBJECT).context("the AWS secret")?;
        let made: Vec<String> =
            aws.versions.iter().map(|version| fingerprint(&fields(version.value().and_then(|value| value.as_str()))["password"])).collect();
        let mut at = 0;
        for seen in self.node.pod_log(&self.stage.namespace, &application.name_any())?.lines() {
            let found = made.iter().skip(at).position(|one| one == seen);
            at += found.with_context(|| format!("{seen} is no value of AWS, or an older one than before"))? + 1;
        }
        Ok(())
    }

    async fn keep_logs(&self, version: &str) -> Result<()> {
        for pod in self.operators(version).await? {
            let log = self.node.pod_log(chart::NAME, &pod.name_any())?;
            ensure!(log.contains("starting"), "the pod has a log");
            self.logs.lock().unwrap().push_str(&log);
        }
        Ok(())
    }

    fn logs_hold_no_value(&self, aws: &testkit::emulator::SecretSnapshot) -> Result<()> {
        let logs = self.logs.lock().unwrap();
        for version in &aws.versions {
            let password = fields(version.value().and_then(|value| value.as_str()))["password"].clone();
            ensure!(!logs.contains(std::str::from_utf8(&password)?), "a password is in the operator's log");
        }
        Ok(())
    }
}

/// As an administrator would set them who has an endpoint and a certificate authority of his own.
fn values_of(endpoint: &str) -> Value {
    json!({
        "image": {"repository": REPOSITORY, "pullPolicy": "Never"},
        "operator": {
            "awsRegion": REGION, "awsEndpointUrl": endpoint, "development": true, "minimumRotationInterval": "1s", "refreshInterval": "10s",
            "log": "info,rotated_secrets=trace", "namePrefix": PREFIX,
        },
        "extraEnv": [
            {"name": "AWS_ACCESS_KEY_ID", "value": "AKIAIOSFODNN7EXAMPLE"},
            {"name": "AWS_SECRET_ACCESS_KEY", "value": "not-checked-by-the-emulator"},
            {"name": "AWS_EC2_METADATA_DISABLED", "value": "true"},
        ],
        "extraVolumes": [{"name": "emulator", "configMap": {"name": "emulator"}}],
    })
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// In whole seconds, as Kubernetes keeps times.
fn start_to_ready(pod: &Pod) -> Result<i64> {
    let status = pod.status.as_ref().context("a status")?;
    let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
    let ready = ready.and_then(|condition| condition.last_transition_time.as_ref()).context("when it became ready")?;
    let running = status.container_statuses.iter().flatten().filter_map(|one| one.state.as_ref()?.running.as_ref()?.started_at.as_ref());
    let started = running.map(|time| time.0).next().context("when it started")?;
    Ok(ready.0.as_second() - started.as_second())
}

/// What the application answers: the fingerprint of what it reads.
fn ask(node: &Node, address: SocketAddr) -> Result<String> {
    use std::io::{Read as _, Write as _};
    let mut stream = node.connect(address)?;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.rsplit("\r\n").next().unwrap_or_default().to_owned())
}
