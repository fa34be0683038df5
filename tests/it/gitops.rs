//! Health in Argo CD and Flux, and names in kustomize.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use kube::Resource as _;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use rotated_secrets::api::RotatedSecret;
use serde_json::{Value, json};
use testkit::lua::health;
use testkit::{World, control_plane, until};

pub(crate) const LUA: &str = include_str!("../../deploy/argocd/health.lua");
const PAGE: &str = include_str!("../../docs/gitops.md");

/// What Argo CD, Flux and kstatus say of each state, as the page says.
pub(crate) fn table() -> BTreeMap<String, [String; 3]> {
    let rows = PAGE.lines().skip_while(|line| !line.starts_with("| State of the object |")).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.filter_map(|row| {
        let cells: Vec<String> = row.trim_matches(['|', ' ']).split(" | ").map(str::to_owned).collect();
        let [state, argo, flux, kstatus] = cells.try_into().ok()?;
        Some((state, [argo, flux, kstatus]))
    })
    .collect()
}

/// Whether the status speaks of another generation.
fn lags(object: &Value) -> bool {
    let observed = &object["status"]["observedGeneration"];
    observed.is_number() && *observed != object["metadata"]["generation"]
}

/// The rules of kstatus for a kind that it does not know.
pub(crate) fn kstatus(object: &Value) -> &'static str {
    if object["metadata"]["deletionTimestamp"].is_string() {
        return "Terminating";
    }
    if lags(object) {
        return "InProgress";
    }
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    for condition in &conditions {
        match (condition["type"].as_str(), condition["status"].as_str()) {
            (Some("Reconciling"), Some("True")) => return "InProgress",
            (Some("Stalled"), Some("True")) => return "Failed",
            _ => {}
        }
    }
    match conditions.iter().find(|condition| condition["type"] == "Ready") {
        Some(ready) if ready["status"] != "True" => "InProgress",
        _ => "Current",
    }
}

/// The expressions of the page, evaluated by the API server: an admission policy of this namespace answers each update
/// that is a dry run.
pub(crate) struct Flux {
    objects: Api<DynamicObject>,
}

impl Flux {
    pub(crate) async fn new(world: &World) -> Result<Self> {
        let mut blocks = PAGE.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        let block = blocks.find(|block| block.contains("healthCheckExprs")).context("expressions")?;
        let kustomization: Value = serde_saphyr::from_str(block)?;
        let check = &kustomization["spec"]["healthCheckExprs"][0];
        let (version, kind) = (RotatedSecret::api_version(&()), RotatedSecret::kind(&()));
        ensure!(check["apiVersion"] == *version && check["kind"] == *kind, "{check}");
        // Flux evaluates with the fields of the object as variables.
        let holds = |name: &str| -> Result<String> {
            let expression = check[name].as_str().context("an expression")?;
            Ok(format!("[object.status].exists(status, [object.metadata].exists(metadata, {expression}))"))
        };
        let answer = format!("{} ? 'Failed' : ({} ? 'Current' : 'InProgress')", holds("failed")?, holds("current")?);
        let name = format!("health-{}", world.namespace);
        let policy = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
            "spec": {
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": [RotatedSecret::group(&())], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": ["rotatedsecrets"],
                }]},
                "matchConditions": [{"name": "asked", "expression": "has(request.dryRun) && request.dryRun"}],
                "validations": [{"expression": "false", "message": "no answer", "messageExpression": answer}],
            },
        });
        let binding = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
            "spec": {
                "policyName": name,
                "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}}},
            },
        });
        for object in [policy, binding] {
            world.cluster.apply_yaml(&object.to_string()).await?;
        }
        Ok(Self { objects: world.dynamic() })
    }

    /// What Flux says of the object.
    pub(crate) async fn status(&self, name: &str, object: &Value) -> Result<String> {
        if lags(object) {
            return Ok("InProgress".to_owned());
        }
        let asked = PatchParams { dry_run: true, ..PatchParams::default() };
        let patch = Patch::Merge(json!({"metadata": {"annotations": {"health": "asked"}}}));
        // The policy is in force a moment after it was created.
        let answer = until("the API server evaluates the expressions", async || match self.objects.patch(name, &asked, &patch).await {
            Err(kube::Error::Api(refused)) => Ok(refused.message.rsplit_once("denied request: ").map(|(_, answer)| answer.to_owned())),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(None),
        })
        .await?;
        // An expression that cannot be evaluated has Flux wait.
        Ok(if answer == "no answer" { "InProgress".to_owned() } else { answer })
    }
}

#[test]
fn the_health_check_of_argo_cd_names_nothing_but_the_object() -> Result<()> {
    let code: String = LUA.lines().map(|line| line.split("--").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    // Without what is in quotes.
    let code: String = code.split('"').step_by(2).collect::<Vec<_>>().join("''");
    let words: Vec<&str> = code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
    let keywords = ["and", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil", "not", "or", "repeat"];
    let keywords: BTreeSet<&str> = keywords.into_iter().chain(["return", "then", "true", "until", "while"]).collect();
    let mut declared: BTreeSet<&str> =
        words.windows(2).filter(|pair| ["local", "function", "for"].contains(&pair[0])).map(|pair| pair[1]).collect();
    let parameters = code.split("local function").skip(1).filter_map(|rest| rest.split_once('(')?.1.split_once(')'));
    declared.extend(parameters.flat_map(|(parameters, _)| parameters.split(',').map(str::trim)));
    let mut unknown = BTreeSet::new();
    let mut rest = code.as_str();
    for word in words {
        let (before, after) = rest.split_once(word).context("a word")?;
        let follows = after.trim_start();
        let is_field = before.ends_with('.') || before.trim_end().ends_with([',', '{']) && follows.starts_with('=');
        rest = after;
        if !is_field && !keywords.contains(word) && !declared.contains(word) && !word.starts_with(|c: char| c.is_ascii_digit()) {
            unknown.insert(word);
        }
    }
    assert_eq!(unknown, BTreeSet::from(["obj"]));
    Ok(())
}

#[test]
fn the_health_check_runs_where_lua_has_no_library() -> Result<()> {
    let script = "return {status = obj.status.phase, message = obj.list[2] .. #obj.list}";
    let said = health(script, &json!({"status": {"phase": "Healthy"}, "list": ["a", "b"], "none": null}))?;
    assert_eq!((said.status.as_str(), said.message.as_str()), ("Healthy", "b2"));
    for name in ["ipairs", "pairs", "tostring", "type", "string", "table", "os", "print", "_G", "require", "obj.none"] {
        ensure!(health(&format!("return {{status = {name}.x, message = ''}}"), &json!({})).is_err(), "{name}");
    }
    ensure!(health("return {status = ('x'):upper(), message = ''}", &json!({})).is_err(), "strings have no methods");
    let bare = health(LUA, &json!({"metadata": {}}))?;
    assert_eq!(bare.status, "Progressing");
    Ok(())
}

#[test]
fn the_page_names_the_key_of_the_health_check() {
    let key = format!("resource.customizations.health.{}_{}", RotatedSecret::group(&()), RotatedSecret::kind(&()));
    assert_eq!(PAGE.matches(&format!("{key}=")).count(), 2, "{key}");
    let escaped = key.replace('.', "\\.");
    assert_eq!(PAGE.matches(&format!("configs.cm.{escaped}=")).count(), 1, "{escaped}");
}

/// Tools compare lists as a whole: a default within one would be a difference for ever.
#[test]
fn no_default_is_within_a_list_of_the_spec() -> Result<()> {
    fn defaults(schema: &Value, path: &str, in_list: bool, found: &mut Vec<String>) {
        if in_list && schema.get("default").is_some() {
            found.push(path.to_owned());
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            defaults(field, &format!("{path}.{name}"), in_list, found);
        }
        for (part, is_list) in [("items", true), ("additionalProperties", in_list)] {
            if schema[part].is_object() {
                defaults(&schema[part], &format!("{path}[]"), is_list, found);
            }
        }
    }
    let definition: Value = serde_saphyr::from_str(include_str!("../../crds/rotatedsecrets.yaml"))?;
    let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").context("the spec")?;
    let mut found = Vec::new();
    defaults(schema, "spec", false, &mut found);
    ensure!(found.is_empty(), "{found:?}");
    Ok(())
}

const RESOURCES: &str = r#"
{apiVersion: rotated-secrets.io/v1alpha1, kind: RotatedSecret, metadata: {name: admin}, spec: {value: {generate: {password: {}}}}}
---
apiVersion: rotated-secrets.io/v1alpha1
kind: RotatedSecret
metadata: {name: db}
spec:
  aws: {adoptionPolicy: IfTagged, serviceAccountRef: {name: signer}}
  value: {data: {username: app}, generate: {password: {}}}
  target: {name: db}
  rotation: {schedule: rate(1 day), postgres: {host: db.shop.svc, database: shop, users: AlternatingUsers, adminRef: {name: admin}}}
  rollout: {workloads: [{kind: Deployment, name: api}]}
---
apiVersion: rotated-secrets.io/v1alpha1
kind: RotatedSecret
metadata: {name: by-job}
spec:
  value: {generate: {password: {}}}
  target: {name: other}
  rotation: {schedule: rate(1 day), job: {templateRef: {name: rotate}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      containers:
        - name: api
          image: api
          env: [{name: PASSWORD, valueFrom: {secretKeyRef: {name: db, key: password}}}]
          envFrom: [{secretRef: {name: admin}}]
      volumes:
        - {name: plain, secret: {secretName: db}}
        - {name: projected, projected: {sources: [{secret: {name: db}}]}}
        - {name: another, secret: {secretName: elsewhere}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: signer}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: rotate, annotations: {rotated-secrets.io/template-for: by-job}}
spec:
  schedule: "@yearly"
  suspend: true
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: a, envFrom: [{secretRef: {name: db}}]}]}}}}
"#;

/// The objects that kustomize makes, by kind and name.
async fn rendered(folder: &Path, kustomization: &str) -> Result<(String, BTreeMap<String, Value>)> {
    std::fs::write(folder.join("kustomization.yaml"), kustomization)?;
    let made = Command::new(control_plane().await?.kubectl()).arg("kustomize").arg(folder).output()?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let text = String::from_utf8(made.stdout)?;
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text)?;
    let name = |object: &Value| {
        format!("{} {}", object["kind"].as_str().unwrap_or_default(), object["metadata"]["name"].as_str().unwrap_or_default())
    };
    Ok((text, objects.into_iter().map(|object| (name(&object), object)).collect()))
}

#[tokio::test(flavor = "multi_thread")]
async fn kustomize_renames_objects_with_all_that_refers_to_them() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("all.yaml"), RESOURCES)?;
    std::fs::write(folder.path().join("kustomizeconfig.yaml"), include_str!("../../deploy/kustomize/kustomizeconfig.yaml"))?;
    let plain = "namePrefix: staging-\nresources: [all.yaml]\n";
    let volume = "/spec/template/spec/volumes/0/secret/secretName";
    let (_, without) = rendered(folder.path(), plain).await?;
    assert_eq!(without["Deployment staging-api"].pointer(volume), Some(&json!("db")), "kustomize does not know it by itself");

    let (text, with) = rendered(folder.path(), &format!("{plain}configurations: [kustomizeconfig.yaml]\n")).await?;
    let expected = [
        ("Deployment staging-api", volume, "staging-db"),
        ("Deployment staging-api", "/spec/template/spec/volumes/1/projected/sources/0/secret/name", "staging-db"),
        ("Deployment staging-api", "/spec/template/spec/volumes/2/secret/secretName", "elsewhere"),
        ("Deployment staging-api", "/spec/template/spec/containers/0/env/0/valueFrom/secretKeyRef/name", "staging-db"),
        ("Deployment staging-api", "/spec/template/spec/containers/0/envFrom/0/secretRef/name", "staging-admin"),
        ("CronJob staging-rotate", "/spec/jobTemplate/spec/template/spec/containers/0/envFrom/0/secretRef/name", "staging-db"),
        ("CronJob staging-rotate", "/metadata/annotations/rotated-secrets.io~1template-for", "staging-by-job"),
        ("RotatedSecret staging-db", "/spec/target/name", "staging-db"),
        ("RotatedSecret staging-db", "/spec/aws/serviceAccountRef/name", "staging-signer"),
        ("RotatedSecret staging-db", "/spec/rotation/postgres/adminRef/name", "staging-admin"),
        ("RotatedSecret staging-db", "/spec/rotation/postgres/host", "db.shop.svc"),
        ("RotatedSecret staging-db", "/spec/rollout/workloads/0/name", "staging-api"),
        ("RotatedSecret staging-by-job", "/spec/rotation/job/templateRef/name", "staging-rotate"),
        ("RotatedSecret staging-by-job", "/spec/target/name", "other"),
    ];
    for (object, path, name) in expected {
        assert_eq!(with.get(object).and_then(|object| object.pointer(path)), Some(&json!(name)), "{object} {path}: {text}");
    }
    let cluster = control_plane().await?;
    let applied = cluster.try_yaml_in(&cluster.namespace("kustomize").await?, &text).await?;
    ensure!(applied.warnings.is_empty() && applied.objects.len() == 6, "{:?}", applied.warnings);
    Ok(())
}
