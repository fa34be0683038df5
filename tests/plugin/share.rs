//! One credential in several namespaces.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use rotated_secrets::api::{MIRROR_NAMES, RotatedSecret, VERSION_ID};
use serde_json::{Value, json};

use crate::scene::{Scene, Working};
use testkit::fixtures::spec;
use testkit::{control_plane, until};

/// An owner, namespaces that may get its credential, and an operator for all of them.
struct Sharing {
    scene: Scene,
    targets: Vec<String>,
    _operator: Working,
}

impl Sharing {
    async fn new(name: &str, count: usize) -> Result<Self> {
        Self::of(name, count, spec()).await
    }

    async fn of(name: &str, count: usize, spec: Value) -> Result<Self> {
        let scene = Scene::new(name).await?;
        scene.settled("db", spec).await?;
        let mut targets = Vec::new();
        for _ in 0..count {
            targets.push(control_plane().await?.namespace(&format!("{name}-to")).await?);
        }
        let operator = scene.operator_in(&targets, |_| {}).await?;
        Ok(Self { scene, targets, _operator: operator })
    }

    fn objects(&self, namespace: &str) -> Api<RotatedSecret> {
        Api::namespaced(self.scene.world.admin.clone(), namespace)
    }

    async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Secret>> {
        Ok(Api::<Secret>::namespaced(self.scene.world.admin.clone(), namespace).get_opt(name).await?)
    }

    /// The version that the Secret of that namespace holds.
    async fn holds(&self, namespace: &str) -> Result<Option<String>> {
        let secret = self.secret(namespace, "db").await?;
        Ok(secret.and_then(|secret| secret.metadata.annotations?.remove(VERSION_ID)))
    }

    fn current(&self) -> Option<String> {
        self.scene.world.aws_secret("db")?.labels.get("AWSCURRENT").cloned()
    }

    async fn listed(&self, namespace: &str) -> Result<Option<String>> {
        let found = Api::<Namespace>::all(self.scene.world.admin.clone()).get(namespace).await?;
        Ok(found.metadata.annotations.unwrap_or_default().remove(MIRROR_NAMES))
    }

    async fn lists(&self, namespace: &str, names: &str) -> Result<()> {
        let patch = json!({"metadata": {"annotations": {MIRROR_NAMES: names}}});
        Api::<Namespace>::all(self.scene.world.admin.clone()).patch(namespace, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    fn aws_name(&self) -> String {
        self.scene.world.aws_name("db")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_shared_with_two_namespaces_and_its_rotation_reaches_both() -> Result<()> {
    let sharing = Sharing::new("share", 2).await?;
    let scene = &sharing.scene;
    let [one, two] = sharing.targets.as_slice() else { panic!("two namespaces") };
    for namespace in [one, two] {
        sharing.lists(namespace, &format!("other, k8s/{}/*", scene.world.namespace)).await?;
    }
    let line = format!("share db --to {one} --to {two}");
    let ran = scene.run(&line).await?.ends(0);
    assert_eq!(ran.out.lines().count(), 2, "a line for each namespace: {ran:#?}");
    ran.says(&format!("{one}/db mirrors {} in the Secret db", sharing.aws_name()));
    let of_owner = sharing.secret(&scene.world.namespace, "db").await?.context("a Secret")?;
    for namespace in [one, two] {
        let secret = sharing.secret(namespace, "db").await?.context("a Secret")?;
        assert_eq!((secret.data, secret.type_), (of_owner.data.clone(), of_owner.type_.clone()));
    }

    // Twice changes nothing, not even an annotation.
    let before = sharing.objects(one).get("db").await?;
    let answer = scene.run(&format!("{line} -o json")).await?.ends(0).json();
    let item = &answer["items"][0];
    assert_eq!((&item["outcome"], &item["changed"], &item["consent"]), (&json!("Shared"), &json!(false), &json!("Present")), "{answer}");
    let after = sharing.objects(one).get("db").await?;
    assert_eq!((after.metadata.generation, after.metadata.annotations), (before.metadata.generation, before.metadata.annotations));

    // A read of AWS that is not newer would not replace the value at once.
    scene.world.emulator.clock().advance(std::time::Duration::from_mins(1));
    scene.run("rotate db").await?.ends(0);
    let current = sharing.current();
    assert!(current.is_some());
    for namespace in [one, two] {
        // The operator looks at AWS for a mirror, as it does at each resync.
        scene.run_with(&["refresh", "db", "-n", namespace], &[]).await?.ends(0);
        assert_eq!(sharing.holds(namespace).await?, current, "{namespace}");
    }

    // The end of a mirror is not the end of the credential.
    sharing.objects(one).delete("db", &DeleteParams::default()).await?;
    until("the mirror is gone", async || Ok(sharing.objects(one).get_opt("db").await?.is_none().then_some(()))).await?;
    assert_eq!((sharing.current(), sharing.holds(two).await?), (current.clone(), current));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_consent_the_command_for_the_administrator_is_printed_and_works() -> Result<()> {
    let sharing = Sharing::new("consent", 2).await?;
    let scene = &sharing.scene;
    let [one, two] = sharing.targets.as_slice() else { panic!("two namespaces") };
    sharing.lists(two, "shared/*, it's").await?;
    for (namespace, listed) in [(one, None), (two, Some("shared/*, it's"))] {
        let ran = scene.run(&format!("share db --to {namespace}")).await?.ends(1).in_one_sentence();
        assert_eq!(sharing.listed(namespace).await?.as_deref(), listed, "the command consents to nothing");
        assert_eq!(sharing.secret(namespace, "db").await?, None);
        let answer = scene.run(&format!("share db --to {namespace} -o json")).await?.ends(1).json();
        assert_eq!((&answer["outcome"], &answer["changed"]), (&json!("ConsentMissing"), &json!(false)), "{answer}");
        let command = answer["command"].as_str().context("a command")?;
        ran.says(command);
        scene.typed(command).await?;
        scene.run(&format!("share db --to {namespace}")).await?.ends(0);
        assert_eq!(sharing.holds(namespace).await?, sharing.current());
        // What is out of date is refused: nothing that was revoked meanwhile comes back.
        assert!(scene.typed(command).await.is_err() || listed.is_none(), "{command}");
    }
    assert_eq!(sharing.listed(two).await?, Some(format!("shared/*,it's,{}", sharing.aws_name())));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_consents_and_shares_at_once_and_keeps_what_is_listed() -> Result<()> {
    let sharing = Sharing::new("both", 2).await?;
    let scene = &sharing.scene;
    let [one, two] = sharing.targets.as_slice() else { panic!("two namespaces") };
    sharing.lists(two, "shared/*,other").await?;
    let answer = scene.run(&format!("share db --to {one} --to {two} --consent --rollout -o json")).await?.ends(0).json();
    for item in answer["items"].as_array().context("items")? {
        assert_eq!((&item["outcome"], &item["consent"]), (&json!("Shared"), &json!("Given")), "{answer}");
    }
    assert_eq!(sharing.listed(one).await?, Some(sharing.aws_name()));
    assert_eq!(sharing.listed(two).await?, Some(format!("shared/*,other,{}", sharing.aws_name())));
    assert!(sharing.objects(one).get("db").await?.spec.rollout.is_some());
    let answer = scene.run(&format!("share db --to {one} --consent -o json")).await?.ends(0).json();
    assert_eq!((&answer["consent"], &answer["changed"]), (&json!("Present"), &json!(true)), "without --rollout: {answer}");
    assert!(sharing.objects(one).get("db").await?.spec.rollout.is_none());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_with_another_purpose_is_not_touched_and_gets_no_consent() -> Result<()> {
    let sharing = Sharing::new("taken", 1).await?;
    let scene = &sharing.scene;
    let [target] = sharing.targets.as_slice() else { panic!("a namespace") };
    let object: RotatedSecret = serde_json::from_value(json!({"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret",
        "metadata": {"name": "db"}, "spec": spec()}))?;
    sharing.objects(target).create(&PostParams::default(), &object).await?;
    let before = sharing.objects(target).get("db").await?.spec;
    for flags in ["", " --consent", " --dry-run"] {
        let ran = scene.run(&format!("share db --to {target}{flags}")).await?.ends(1);
        ran.says("has an AWS secret of its own").says("--name");
    }
    assert_eq!(sharing.objects(target).get("db").await?.spec, before);
    assert_eq!(sharing.listed(target).await?, None);
    scene.run(&format!("share db --to {target} --name db-of-shop --consent")).await?.ends(1).says("Secret db");
    scene.run(&format!("share db --to {target} --name theirs --secret-name theirs")).await?.ends(0).says("in the Secret theirs");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_writes_nothing_and_prints_what_kubectl_applies_to_the_same_effect() -> Result<()> {
    let mut owner = spec();
    owner["target"] = json!({"type": "kubernetes.io/basic-auth", "template": {"url": "u://{{ password | urlencode }}@h"}});
    owner["target"]["keys"] = json!({"username": "username", "password": "password"});
    let sharing = Sharing::of("dry", 2, owner).await?;
    let scene = &sharing.scene;
    let [one, two] = sharing.targets.as_slice() else { panic!("two namespaces") };
    let ran = scene.run(&format!("share db --to {one} --to {two} --dry-run=client")).await?.ends(0);
    assert!(ran.err.contains("annotate namespace"), "what is missing is told beside: {ran:#?}");
    for namespace in [one, two] {
        assert!(sharing.objects(namespace).get_opt("db").await?.is_none());
        assert_eq!(sharing.listed(namespace).await?, None);
    }
    let printed: Value = serde_saphyr::from_str(&ran.out)?;
    let manifests = printed["items"].as_array().context("a list")?.clone();
    assert_eq!(manifests.len(), 2, "{ran:#?}");
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), manifests.first().context("a manifest")?.to_string())?;
    scene.typed(&format!("kubectl apply -f {}", file.path().display())).await?;
    sharing.lists(one, &sharing.aws_name()).await?;
    scene.run(&format!("share db --to {two} --consent")).await?.ends(0);
    let ran = scene.run(&format!("share db --to {one}")).await?.ends(0);
    ran.says("another client manages the object, which stays as it is");
    assert_eq!(sharing.objects(one).get("db").await?.spec, sharing.objects(two).get("db").await?.spec);
    let secrets = (sharing.secret(one, "db").await?.context("one")?, sharing.secret(two, "db").await?.context("two")?);
    assert_eq!((secrets.0.data, secrets.0.type_), (secrets.1.data, secrets.1.type_));
    let list = scene.run(&format!("share db --to {one} --to {two} --dry-run -o json")).await?.ends(0).json();
    assert_eq!((&list["kind"], &list["items"][0]), (&json!("List"), &manifests[0]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_shared_is_refused_and_a_caller_gains_no_right() -> Result<()> {
    let sharing = Sharing::new("cannot", 1).await?;
    let scene = &sharing.scene;
    let [target] = sharing.targets.as_slice() else { panic!("a namespace") };
    let own = scene.world.namespace.clone();
    scene.run(&format!("share db --to {own}")).await?.ends(2).in_one_sentence();
    scene.run("share db --to typo").await?.ends(1).in_one_sentence().says("there is no namespace typo");
    scene.run(&format!("share nobody --to {target}")).await?.ends(1).in_one_sentence().says("there is no RotatedSecret nobody");
    scene.world.create("mirror", json!({"aws": {"secretName": "shared/key"}})).await?;
    scene.run(&format!("share mirror --to {target} --consent")).await?.ends(1).in_one_sentence().says("share the object that owns it");
    // One who may only read where the owner is.
    let cluster = control_plane().await?;
    let account = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "viewer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "viewer", "namespace": own}]});
    let viewer = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "viewer"}});
    for item in [viewer, account] {
        cluster.apply_yaml_in(&own, &item.to_string()).await?;
    }
    let kubeconfig = cluster.service_account_kubeconfig(&own, "viewer").await?.display().to_string();
    let words = ["share", "db", "--to", target, "-n", &own, "--consent"];
    let ran = scene.run_with(&words, &[("KUBECONFIG", &kubeconfig)]).await?.ends(3).in_one_sentence();
    ran.says(&format!("in namespace {target}"));
    assert!(sharing.objects(target).get_opt("db").await?.is_none());
    assert_eq!(sharing.listed(target).await?, None);
    Ok(())
}
