//! The control plane tests itself: what the others build on must hold.

use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::core::DynamicObject;
use testbed::controlplane::{ControlPlane, Options};

const STORY: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: parrots.testbed.example.com
spec:
  group: testbed.example.com
  scope: Namespaced
  names: {plural: parrots, singular: parrot, kind: Parrot}
  versions:
    - name: v1
      served: true
      storage: true
      deprecated: true
      deprecationWarning: this parrot is no more
      schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {colour: {type: string}}}}}}
---
apiVersion: testbed.example.com/v1
kind: Parrot
metadata: {name: polly}
spec: {colour: blue}
";

#[tokio::test]
async fn a_namespace_is_fresh_and_its_name_is_its_own() -> Result<()> {
    let cp = ControlPlane::shared().await?;
    let first = cp.namespace("fresh").await?;
    let second = cp.namespace("fresh").await?;
    assert_ne!(first, second);
    assert!(first.starts_with("fresh-") && first.len() == "fresh-".len() + 10, "{first}");
    let secrets: Api<Secret> = Api::namespaced(cp.admin(), &first);
    assert_eq!(secrets.list(&ListParams::default()).await?.items.len(), 0);
    Ok(())
}

#[tokio::test]
async fn a_definition_and_an_object_of_it_are_applied_in_one_go_and_the_warning_is_told() -> Result<()> {
    let cp = ControlPlane::shared().await?;
    let namespace = cp.namespace("parrots").await?;
    let applied = cp.apply_yaml_in(&namespace, STORY).await?;
    let names: Vec<_> = applied.objects.iter().filter_map(|object| object.metadata.name.as_deref()).collect();
    assert_eq!(names, ["parrots.testbed.example.com", "polly"]);
    assert_eq!(applied.warnings, ["this parrot is no more"]);
    assert_eq!(applied.objects[1].metadata.namespace.as_deref(), Some(namespace.as_str()));

    let again = cp.apply_yaml_in(&namespace, STORY).await?;
    let versions = |objects: &[DynamicObject]| objects.iter().map(|object| object.metadata.resource_version.clone()).collect::<Vec<_>>();
    assert_eq!(versions(&again.objects[1..]), versions(&applied.objects[1..]), "the second apply changes nothing");
    Ok(())
}

#[tokio::test]
async fn an_unknown_field_is_refused_and_the_error_names_it() -> Result<()> {
    let cp = ControlPlane::shared().await?;
    let yaml = "{apiVersion: v1, kind: ConfigMap, metadata: {name: typo}, dada: {a: b}}";
    let error = cp.apply_yaml(yaml).await.expect_err("an unknown field");
    assert!(format!("{error:#}").contains("dada"), "{error:#}");
    Ok(())
}

#[tokio::test]
async fn a_service_account_may_do_nothing_until_rbac_says_so() -> Result<()> {
    let cp = ControlPlane::shared().await?;
    let namespace = cp.namespace("rights").await?;
    cp.apply_yaml_in(&namespace, "{apiVersion: v1, kind: ServiceAccount, metadata: {name: worker}}").await?;
    let client = Client::try_from(cp.service_account_config(&namespace, "worker").await?)?;
    let secrets: Api<Secret> = Api::default_namespaced(client);
    let error = secrets.list(&ListParams::default()).await.expect_err("no right to list");
    assert!(matches!(&error, kube::Error::Api(status) if status.is_forbidden()), "{error}");

    cp.apply_yaml_in(
        &namespace,
        "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [''], resources: [secrets], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: worker}]
",
    )
    .await?;
    // The authorizer learns of a binding by a watch, a moment after the write.
    eventually("the binding takes effect", async || Ok(secrets.list(&ListParams::default()).await.is_ok())).await?;
    Ok(())
}

#[tokio::test]
async fn the_audit_log_tells_who_wrote_what_and_not_what_was_in_it() -> Result<()> {
    let cp = ControlPlane::shared().await?;
    let namespace = cp.namespace("audit").await?;
    let secrets: Api<Secret> = Api::namespaced(cp.admin(), &namespace);
    let metadata = ObjectMeta { name: Some("told".to_owned()), ..ObjectMeta::default() };
    let string_data = [("password".to_owned(), "canary-4711".to_owned())].into();
    secrets.create(&PostParams::default(), &Secret { metadata, string_data: Some(string_data), ..Secret::default() }).await?;
    secrets.delete("told", &DeleteParams::default()).await?;
    secrets.get_opt("told").await?;

    let events = cp.audit().await?;
    let seen: Vec<_> = events
        .iter()
        .filter(|event| event.namespace == namespace && event.resource == "secrets" && event.user == "admin")
        .map(|event| (event.verb.as_str(), event.code, event.is_write()))
        .collect();
    assert_eq!(seen, [("create", 201, true), ("delete", 200, true), ("get", 404, false)]);
    assert!(events.iter().all(|event| !event.raw.contains("canary-4711")));
    Ok(())
}

#[tokio::test]
async fn the_controllers_collect_what_a_deleted_owner_leaves() -> Result<()> {
    let cp = ControlPlane::shared().await?;
    let namespace = cp.namespace("garbage").await?;
    let maps: Api<ConfigMap> = Api::namespaced(cp.admin(), &namespace);
    let named =
        |name: &str| ConfigMap { metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }, ..ConfigMap::default() };
    let owner = maps.create(&PostParams::default(), &named("owner")).await?;
    let mut heir = named("owned");
    heir.metadata.owner_references = Some(vec![kube::Resource::owner_ref(&owner, &()).context("an owner has a uid")?]);
    maps.create(&PostParams::default(), &heir).await?;
    maps.delete("owner", &DeleteParams::default()).await?;
    eventually("the garbage collector deletes it", async || Ok(maps.get_opt("owned").await?.is_none())).await?;
    Ok(())
}

#[tokio::test]
async fn a_paused_api_server_answers_nothing_until_it_goes_on() -> Result<()> {
    let cp = ControlPlane::start(Options { controllers: false, ..Options::default() }).await?;
    let namespaces: Api<Namespace> = Api::all(cp.admin());
    cp.pause_apiserver()?;
    let answer = tokio::time::timeout(Duration::from_secs(2), namespaces.get("default")).await;
    assert!(answer.is_err(), "a paused server has answered");
    cp.resume_apiserver()?;
    namespaces.get("default").await?;
    Ok(())
}

#[tokio::test]
async fn kubectl_of_the_same_version_works_with_the_kubeconfig() -> Result<()> {
    let cp = ControlPlane::shared().await?;
    let output = Command::new(cp.kubectl()).arg("--kubeconfig").arg(cp.kubeconfig()).args(["version", "--output=json"]).output()?;
    let versions: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let expected = format!("v{}", testbed::controlplane::binaries::KUBERNETES);
    assert_eq!(versions["clientVersion"]["gitVersion"], expected.as_str());
    assert_eq!(versions["serverVersion"]["gitVersion"], expected.as_str());
    Ok(())
}

#[tokio::test]
async fn nothing_is_left_after_a_stop_and_after_a_drop() -> Result<()> {
    for orderly in [true, false] {
        let cp = ControlPlane::start(Options { controllers: false, ..Options::default() }).await?;
        let (dir, ids) = (cp.dir().to_owned(), cp.process_ids());
        assert_eq!(ids.len(), 2);
        assert!(ids.iter().all(|id| is_alive(*id)) && dir.exists());
        if orderly {
            cp.stop().await?;
        } else {
            drop(cp);
        }
        assert!(ids.iter().all(|id| !is_alive(*id)), "processes are left (orderly: {orderly})");
        assert!(!dir.exists(), "files are left (orderly: {orderly})");
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_left_after_the_parent_was_killed() -> Result<()> {
    let mut parent = Command::new(env!("CARGO_BIN_EXE_testbed")).arg("up").stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let kubeconfig = read_kubeconfig(parent.stdout.take().context("a pipe")?)?;
    let dir = kubeconfig.parent().context("a file is in a directory")?;
    let ids = processes_of(dir)?;
    assert_eq!(ids.len(), 4, "etcd, the API server, the controllers, and who watches over them");
    parent.kill()?;
    parent.wait()?;
    eventually("all is gone", async || Ok(!dir.exists() && ids.iter().all(|id| !is_alive(*id)))).await
}

/// Waits for what must come; the limit is only there so that a broken world does not hang the run.
async fn eventually(what: &str, done: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !done().await? {
        ensure!(start.elapsed() < Duration::from_mins(2), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Reads where `testbed up` says that its kubeconfig is.
fn read_kubeconfig(output: impl Read) -> Result<PathBuf> {
    for line in BufReader::new(output).lines() {
        if let Some(path) = line?.strip_prefix("export KUBECONFIG=") {
            return Ok(PathBuf::from(path));
        }
    }
    bail!("testbed up has ended")
}

/// The processes that work in a directory: it is in their arguments.
fn processes_of(dir: &Path) -> Result<Vec<u32>> {
    let name = dir.to_str().context("the directory has an odd name")?;
    let mut ids = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if let Ok(id) = entry.file_name().to_string_lossy().parse()
            && String::from_utf8_lossy(&arguments).contains(name)
        {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// A killed process whose new parent does not care stays as a zombie: dead enough.
fn is_alive(id: u32) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(id.to_string()).join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
