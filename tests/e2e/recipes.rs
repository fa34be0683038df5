//! The pages with recipes are followed to the letter, as in `pages.rs`, and do what they promise.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};
use serde_json::json;
use testkit::{PREFIX, data, fields, until};

use crate::pages::Reader;

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_renamed_without_a_new_password_and_without_a_moment_without_its_secret() -> Result<()> {
    let page = include_str!("../../docs/moving.md");
    let reader = Reader::of(page, "shop").await?;
    let (stage, aws) = (&reader.stage, reader.aws());
    let manifest = json!({
        "apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "metadata": {"name": "db", "namespace": "shop"},
        "spec": {"value": {"data": {"username": "app"}, "generate": {"password": {}}}, "rotation": {"schedule": "rate(30 days)"}},
    });
    stage.plane().apply_yaml(&manifest.to_string()).await?;
    let before = stage.ready_in("db", "k8s/shop/db").await?;
    let secret = stage.secrets().get("db").await?;

    reader.follow("1. Keep everything when the old object is deleted").await?;
    // The command of the page, which calls AWS.
    let marker = "Key=rotated-secrets.io/adopt-by,Value=shop/orders-db";
    ensure!(page.contains(&format!("--secret-id k8s/shop/db --tags {marker}\n")), "the page says so");
    aws.act(
        "TagResource",
        &json!({"SecretId": "k8s/shop/db", "Tags": [{"Key": "rotated-secrets.io/adopt-by", "Value": "shop/orders-db"}]}),
    )?;
    reader.follow("2. Allow the adoption").await?;
    reader.follow("3. Delete the old object").await?;
    let kept = stage.secrets().get("db").await?;
    ensure!(kept.metadata.uid == secret.metadata.uid && data(&kept) == data(&secret), "the Secret stays as it is");

    let told = reader.follow("4. Create the new object").await?;
    ensure!(told.contains("Adopted"), "{told}");
    let after = stage.ready_in("orders-db", "k8s/shop/db").await?;
    ensure!(after.arn == before.arn && fields(after.current()) == fields(before.current()), "the same secret with the same value");
    ensure!(after.versions.len() == before.versions.len(), "and no other version");
    let adopted = stage.secrets().get("db").await?;
    ensure!(adopted.metadata.uid == secret.metadata.uid && data(&adopted) == data(&secret), "the same Secret with the same data");
    let owner = adopted.metadata.owner_references.unwrap_or_default();
    ensure!(owner.iter().any(|owner| owner.name == "orders-db" && owner.controller == Some(true)), "{owner:?}");

    stage.objects().delete("orders-db", &DeleteParams::default()).await?;
    until("the Secret is gone", async || Ok(stage.secrets().get_opt("db").await?.is_none().then_some(()))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_value_reaches_each_namespace_and_follows_its_changes() -> Result<()> {
    let reader = Reader::of(include_str!("../../docs/given-values.md"), "shop").await?;
    let (stage, aws) = (&reader.stage, reader.aws());
    let namespaces: Api<Namespace> = Api::all(stage.plane().admin());
    if namespaces.get_opt("store").await?.is_none() {
        let metadata = ObjectMeta { name: Some("store".to_owned()), ..ObjectMeta::default() };
        namespaces.create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() }).await?;
    }
    let token = |number: u8| format!("00000000-0000-4000-8000-{number:012}");
    // The commands of the page that call AWS.
    aws.act("CreateSecret", &json!({"Name": "shared/partner-key", "SecretString": "given", "ClientRequestToken": token(1)}))?;
    reader.follow("2. Allow the name in each namespace").await?;
    reader.follow("3. Create one object for each namespace").await?;
    let mirrors = [stage.secrets(), Api::<Secret>::namespaced(stage.plane().admin(), "store")];
    for secrets in &mirrors {
        let mirror = data(&secrets.get("partner-key").await?);
        ensure!(mirror.len() == 1 && mirror["API_KEY"] == b"given", "under the key of the target");
    }
    aws.act("PutSecretValue", &json!({"SecretId": "shared/partner-key", "SecretString": "given later", "ClientRequestToken": token(2)}))?;
    reader.follow("4. Change the value later").await?;
    for secrets in &mirrors {
        ensure!(data(&secrets.get("partner-key").await?)["API_KEY"] == b"given later", "the change is mirrored");
    }
    let tags = aws.describe("shared/partner-key")?;
    ensure!(tags.get("Tags").is_none_or(|tags| tags == &json!([])), "nothing was written in AWS: {tags}");

    // A name of the namespace needs neither an annotation nor a name in the object.
    aws.act("CreateSecret", &json!({"Name": "k8s/shop/own-key", "SecretString": "given", "ClientRequestToken": token(3)}))?;
    let manifest = json!({
        "apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "metadata": {"name": "own-key", "namespace": "shop"}, "spec": {},
    });
    stage.plane().apply_yaml(&manifest.to_string()).await?;
    until("the value is mirrored", async || {
        let mirror = stage.secrets().get_opt("own-key").await?;
        Ok(mirror.filter(|mirror| data(mirror)["value"] == b"given").map(drop))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ca_bundle_trusts_the_certificate_that_a_webhook_serves_over_rotations() -> Result<()> {
    let reader = Reader::of(include_str!("../../docs/webhook-certificates.md"), "shop").await?;
    let stage = &reader.stage;
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "orders"},
        "webhooks": [{
            "name": "orders.shop.svc", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"service": {"name": "webhook", "namespace": "shop"}},
            "rules": [{"apiGroups": ["shop.example.com"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["orders"]}],
        }],
    });
    stage.plane().apply_yaml(&configuration.to_string()).await?;
    stage.plane().apply_yaml_in("shop", &include_str!("../../examples/webhook-tls.yaml").replace("k8s/CLUSTER_ID", PREFIX)).await?;
    reader.shell("the objects", "kubectl wait -n shop --for=condition=Ready rsec/webhook-tls rsec/webhook-ca --timeout=2m").await?;

    let job: CronJob = Api::namespaced(stage.plane().admin(), "shop").get("webhook-ca-bundle").await?;
    let pod = job.spec.and_then(|spec| spec.job_template.spec?.template.spec).context("a pod")?;
    let script = pod.containers[0].args.clone().context("a script")?.remove(0);
    // With the permissions of the job's ServiceAccount and no others.
    let account = stage.plane().service_account_kubeconfig("shop", pod.service_account_name.as_deref().context("an account")?).await?;
    let run = format!("export KUBECONFIG={}\n{script}", account.display());

    let served = async || -> Result<String> { Ok(String::from_utf8(data(&stage.secrets().get("webhook-tls").await?)["ca.crt"].clone())?) };
    let bundle = async || -> Result<String> {
        let configuration: ValidatingWebhookConfiguration = Api::all(stage.plane().admin()).get("orders").await?;
        let bundle = configuration.webhooks.and_then(|mut webhooks| webhooks.remove(0).client_config.ca_bundle).context("a bundle")?;
        Ok(String::from_utf8(bundle.0)?)
    };
    reader.shell("the job", &run).await?;
    let mut seen = vec![served().await?];
    for round in 0..3 {
        let trusted = bundle().await?;
        stage.mirrors_have_aged().await?;
        reader
            .shell("a rotation", "kubectl rotatedsecret rotate webhook-tls -n shop\nkubectl rotatedsecret refresh webhook-ca -n shop")
            .await?;
        let now = served().await?;
        ensure!(trusted.contains(now.trim()), "round {round}: the bundle from before the rotation trusts what is served after it");
        reader.shell("the job", &run).await?;
        ensure!(bundle().await?.contains(now.trim()), "round {round}: and so does the bundle after the job");
        seen.push(now);
    }
    seen.dedup();
    ensure!(seen.len() == 3, "the first rotation does not change what is served, the others do: {}", seen.len());

    for kind in ["validatingwebhookconfiguration/orders", "clusterrole/webhook-ca-bundle", "clusterrolebinding/webhook-ca-bundle"] {
        reader.shell("the end", &format!("kubectl delete {kind}")).await?;
    }
    Ok(())
}
