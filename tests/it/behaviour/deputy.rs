//! The confused deputy: a tenant may write RotatedSecrets, ServiceAccounts and Secrets of one namespace, even the status of its objects, and tries
//! to make the operator act for it on what belongs to others. Each attempt is refused with its reason, and nothing is written anywhere but on its
//! own object.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use rotated_secrets::api::{ALLOWED_NAMES, EXTERNAL_ID, ROLE_ARN, RotatedSecret, SERVICE_ACCOUNT_ROLE_ARN};
use serde_json::{Value, json};

use super::stage::Stage;
use testkit::fixtures::spec;
use testkit::{PREFIX, REGION, control_plane};

const OPERATOR: &str = "arn:aws:iam::123456789012:user/operator";
const ID: &str = "the-victims-external-id";

/// Two namespaces: the victim's, with a role, a ServiceAccount and a credential; and the tenant's, in which the stage stands.
struct Scene {
    stage: Stage,
    victim: String,
    /// The victim's credential: its AWS name, its ARN, its value.
    name: String,
    arn: String,
    value: String,
    /// The role of the victim's namespace, and that of its ServiceAccount.
    role: String,
    account_role: String,
}

fn document(statement: &Value) -> Value {
    json!({"Version": "2012-10-17", "Statement": [statement]})
}

impl Scene {
    async fn set() -> Result<Self> {
        let mut stage = Stage::new("tenant").await?;
        let everything = document(&json!({"Effect": "Allow", "Action": ["secretsmanager:*", "sts:*"], "Resource": "*"}));
        // The operator itself may do everything: nothing here is left to IAM but what a role's trust policy decides.
        let key = stage.iam().user("operator", &[("all", &everything)])?;
        stage.act_with(Some(&key)).await;
        stage.ctx.policy.service_accounts = true;
        stage.ctx.policy.allowed_regions = vec![REGION.to_owned()];
        let tenant = stage.world.namespace.clone();
        let victim = control_plane().await?.namespace("victim").await?;

        stage.world.namespace.clone_from(&victim);
        let trust = document(&json!({
            "Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Principal": {"AWS": OPERATOR},
            "Condition": {"StringEquals": {"sts:ExternalId": ID, "aws:RequestTag/rotated-secrets.io/namespace": victim}},
        }));
        let role = stage.iam().role("victim", &trust, &[("all", &everything)])?;
        stage.annotate_namespace(json!({ROLE_ARN: role, EXTERNAL_ID: ID})).await?;
        let (issuer, keys) = stage.world.cluster.issuer().await?;
        let provider = stage.iam().trust_issuer(&issuer, &keys);
        let host = issuer.trim_start_matches("https://");
        let trust = document(&json!({
            "Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity", "Principal": {"Federated": provider},
            "Condition": {"StringEquals": {format!("{host}:sub"): format!("system:serviceaccount:{victim}:app"), format!("{host}:aud"): "sts.amazonaws.com"}},
        }));
        let account_role = stage.iam().role("victims-account", &trust, &[("all", &everything)])?;
        make_account(&stage, "app", &account_role).await?;
        stage.settled("app", spec()).await?;
        let aws = stage.world.aws_secret("app").context("the victim's AWS secret")?;
        let name = stage.aws_name("app");
        let value = aws.current().context("its value")?.to_owned();
        stage.world.namespace = tenant;
        stage.world.emulator.counters().reset();
        stage.writes.take();
        Ok(Self { stage, victim, name, arn: aws.arn, value, role, account_role })
    }

    /// The attempt is made, and refused; the operator has written nothing but the status.
    async fn refused(&self, object: &str, spec: Value, of: &str, reason: &str) -> Result<()> {
        let before = self.everything().await?;
        self.stage.world.create(object, spec).await?;
        self.check(object, of, reason, &before).await
    }

    async fn check(&self, object: &str, of: &str, reason: &str, before: &Everything) -> Result<()> {
        self.stage.settle(object).await?;
        let message = self.stage.expect(object, of, "False", reason).await.context("the reason")?;
        self.stage.expect(object, "Ready", "False", reason).await?;
        ensure!(message.contains(": "), "{object}: it says what to type: {message}");
        let status = format!("{:?}", self.stage.status(object).await?);
        for field in serde_json::from_str::<BTreeMap<String, String>>(&self.value)?.into_values().filter(|field| field != "admin") {
            ensure!(!status.contains(&field), "{object}: the status tells the victim's value");
        }
        // Its own object's status and finalizer, and a token of its own account, are what a tenant may have.
        let writes: Vec<String> = self
            .stage
            .writes
            .take()
            .into_iter()
            .filter(|write| !["PUT rotatedsecrets/status", "PATCH rotatedsecrets", "POST serviceaccounts/token"].contains(&write.as_str()))
            .collect();
        ensure!(writes.is_empty(), "{object}: {writes:?}");
        assert_eq!(self.stage.world.emulator.counters().writes(), 0, "{object}: AWS was written");
        assert_eq!(&self.everything().await?, before, "{object}: something changed");
        Ok(())
    }

    async fn everything(&self) -> Result<Everything> {
        let mut secrets = Vec::new();
        for namespace in [&self.victim, &self.stage.world.namespace] {
            let api: Api<k8s_openapi::api::core::v1::Secret> = Api::namespaced(self.stage.world.admin.clone(), namespace);
            secrets.extend(
                api.list(&kube::api::ListParams::default())
                    .await?
                    .items
                    .into_iter()
                    .map(|secret| (secret.metadata.uid, format!("{:?}", secret.data))),
            );
        }
        Ok(Everything { aws: format!("{:?}", self.stage.aws()), secrets })
    }

    /// The API server does not even take it.
    async fn not_taken(&self, object: &str, spec: Value) -> Result<()> {
        ensure!(self.stage.world.create(object, spec.clone()).await.is_err(), "{object} was taken: {spec}");
        Ok(())
    }
}

#[derive(Debug, PartialEq)]
struct Everything {
    aws: String,
    secrets: Vec<(Option<String>, String)>,
}

async fn make_account(stage: &Stage, name: &str, role: &str) -> Result<()> {
    let account: ServiceAccount =
        serde_json::from_value(json!({"metadata": {"name": name, "annotations": {SERVICE_ACCOUNT_ROLE_ARN: role}}}))?;
    let api: Api<ServiceAccount> = Api::namespaced(stage.world.admin.clone(), &stage.world.namespace);
    api.create(&PostParams::default(), &account).await?;
    Ok(())
}

/// With fields that our types do not know.
async fn create_as_written(stage: &Stage, name: &str, spec: Value) -> Result<DynamicObject> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(stage.world.admin.clone(), &stage.world.namespace, &ApiResource::erase::<RotatedSecret>(&()));
    let object = serde_json::from_value(json!({
        "apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "metadata": {"name": name}, "spec": spec,
    }))?;
    Ok(api.create(&PostParams::default(), &object).await?)
}

fn with_aws(aws: Value) -> Value {
    let mut spec = spec();
    spec["aws"] = aws;
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_others_are_refused_whether_owned_mirrored_or_let_slip() -> Result<()> {
    let scene = Scene::set().await?;
    let named = json!({"secretName": scene.name, "deletionPolicy": "Delete"});
    scene.refused("owns", with_aws(named.clone()), "Provisioned", "NameNotAllowed").await?;
    scene.refused("mirrors", json!({"aws": named}), "Provisioned", "NameNotAllowed").await?;
    let longer = format!("{PREFIX}/{}x/app", scene.stage.world.namespace);
    scene.refused("longer", with_aws(json!({"secretName": longer})), "Provisioned", "NameNotAllowed").await?;
    assert_eq!(scene.stage.world.emulator.counters().calls(), 0, "AWS was not even asked");
    scene.not_taken("arn", with_aws(json!({"secretName": scene.arn}))).await?;

    // The administrator lets the name slip: it can be mirrored by leave, and is still not owned.
    scene.stage.annotate_namespace(json!({ALLOWED_NAMES: format!("{PREFIX}/*")})).await?;
    // An offer that names another object is no offer, and a policy for adoption is no leave.
    let other = format!("{PREFIX}/{}/legacy", scene.victim);
    let tags = BTreeMap::from([("rotated-secrets.io/adopt-by".to_owned(), format!("{}/legacy", scene.victim))]);
    scene.stage.external_writer().create(&other, "the victim's legacy", &tags)?;
    scene.stage.writes.take();
    let adopting = with_aws(json!({"secretName": other, "adoptionPolicy": "IfTagged"}));
    scene.refused("adopts", adopting, "Provisioned", "AlreadyExists").await?;
    let always = with_aws(json!({"secretName": scene.name, "adoptionPolicy": "Always"}));
    scene.refused("adopts-always", always, "Provisioned", "NotOwned").await?;
    scene.refused("slipped", with_aws(json!({"secretName": scene.name, "deletionPolicy": "Delete"})), "Provisioned", "NotOwned").await
}

#[tokio::test(flavor = "multi_thread")]
async fn regions_kinds_of_tags_and_secrets_of_others_are_refused() -> Result<()> {
    let scene = Scene::set().await?;
    scene.refused("region", with_aws(json!({"region": "us-east-1"})), "Provisioned", "RegionNotAllowed").await?;
    for tag in ["rotated-secrets.io/uid", "rotated-secrets.io/namespace", "aws:x"] {
        scene.not_taken("tags", with_aws(json!({"tags": {tag: scene.victim}}))).await?;
    }
    scene.stage.make_secret(json!({"metadata": {"name": "of-another-team"}, "stringData": {"password": "theirs"}})).await?;
    let mut target = spec();
    target["target"] = json!({"name": "of-another-team"});
    scene.refused("target", target, "Mirrored", "SecretNotOwned").await?;
    let mut token = spec();
    token["target"] =
        json!({"type": "kubernetes.io/service-account-token", "annotations": {"kubernetes.io/service-account.name": "default"}});
    scene.not_taken("token", token).await
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_and_service_accounts_of_others_are_refused() -> Result<()> {
    let scene = Scene::set().await?;
    let account = |name: &str| with_aws(json!({"serviceAccountRef": {"name": name}}));
    // Its own account with the victim's roles: what counts is who the token is of.
    make_account(&scene.stage, "mine", &scene.account_role).await?;
    scene.refused("by-mine", account("mine"), "Provisioned", "IdentityRefused").await?;
    make_account(&scene.stage, "mine-too", &scene.role).await?;
    scene.refused("by-mine-too", account("mine-too"), "Provisioned", "IdentityRefused").await?;
    // The same name in its own namespace is another subject.
    make_account(&scene.stage, "app", &scene.account_role).await?;
    scene.refused("by-name", account("app"), "Provisioned", "IdentityRefused").await?;
    // The operator's own account is in another namespace.
    scene.refused("by-operator", account("rotated-secrets"), "Provisioned", "IdentityRefused").await?;
    for name in [format!("{}/app", scene.victim), format!("../{}/app", scene.victim), format!("system:serviceaccount:{}:app", scene.victim)]
    {
        scene.not_taken("path", account(&name)).await?;
    }

    // The administrator copies the victim's annotations: the session says for whom it is, and the role does not take it.
    scene.stage.annotate_namespace(json!({ROLE_ARN: scene.role, EXTERNAL_ID: ID})).await?;
    scene.refused("copied", spec(), "Provisioned", "IdentityRefused").await?;
    assert_eq!(scene.stage.iam().sessions().len(), 1, "the victim's own session is the only one");
    let mut stage = scene.stage;
    stage.ctx.policy.service_accounts = false;
    stage.settled("disabled", account("mine")).await?;
    stage.expect("disabled", "Ready", "False", "IdentityNotAllowed").await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_field_or_annotation_of_an_object_chooses_a_role() -> Result<()> {
    let scene = Scene::set().await?;
    let before = scene.stage.iam().sessions().len();
    for field in ["roleArn", "role", "externalId", "endpoint", "profile", "credentials"] {
        // Unknown fields are dropped by the API server: what is not in the definition does not reach the operator.
        let object = format!("field-{}", field.to_lowercase());
        let made = create_as_written(&scene.stage, &object, with_aws(json!({field: scene.role}))).await?;
        ensure!(made.data.pointer(&format!("/spec/aws/{field}")).is_none(), "{field} was kept");
    }
    let annotated = scene.stage.world.create("annotated", spec()).await?;
    ensure!(annotated.metadata.annotations.is_none(), "nothing yet");
    let patch = json!({"metadata": {
        "annotations": {ROLE_ARN: scene.role, EXTERNAL_ID: ID, ALLOWED_NAMES: "*", SERVICE_ACCOUNT_ROLE_ARN: scene.account_role},
        "labels": {"rotated-secrets.io/namespace": scene.victim},
    }});
    scene.stage.world.patch("annotated", patch).await?;
    scene.stage.settle("annotated").await?;
    scene.stage.world.check_agreement("annotated").await?;
    assert_eq!(scene.stage.iam().sessions().len(), before, "nobody assumed anything");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_status_does_not_lead_to_the_secret_of_another() -> Result<()> {
    let scene = Scene::set().await?;
    let before = scene.everything().await?;
    // Mirror only: nothing asks whose the secret is, so the name must be what counts.
    scene.stage.world.create("forged", json!({"aws": {"secretName": scene.stage.aws_name("forged")}})).await?;
    let status = json!({"status": {"aws": {"arn": scene.arn, "region": REGION}, "observedGeneration": 1}});
    scene.stage.world.objects().patch_status("forged", &PatchParams::default(), &Patch::Merge(status)).await?;
    scene.check("forged", "Provisioned", "SecretNotFound", &before).await
}
