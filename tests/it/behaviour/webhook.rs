//! A value that the example receiver takes to its service: applied and verified before it becomes current and is mirrored.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{Api, PostParams};
use rotated_secrets::api::{ABANDONED_LABEL, ADOPT_BY, ALLOWED_HOSTS, Outcome};
use serde_json::{Value, json};
use testkit::receiver::{Knows, Receiver};

use super::stage::{HOUR, MINUTE, Stage};

/// The password that the user has before.
const OLD: &str = "theirs-canary-8wQ1";

/// A receiver, an object with its signing key, and an object that it rotates.
struct Scene {
    stage: Stage,
    receiver: Receiver,
}

impl Scene {
    async fn new() -> Result<Self> {
        let stage = Stage::new("webhook").await?;
        stage.settled("key", json!({"value": {"plainText": {"type": "Bytes", "length": 32}}})).await?;
        let key = stage.data("key").await?["value"].clone();
        let receiver = Receiver::start(&key, &json!({"orders": OLD}).to_string())?;
        let value = json!({"username": "orders", "password": OLD, "realm": "shop"}).to_string();
        let tags = [(ADOPT_BY.to_owned(), format!("{}/app", stage.world.namespace))].into();
        stage.external_writer().create(&stage.aws_name("app"), &value, &tags)?;
        stage.annotate_namespace(json!({ALLOWED_HOSTS: "127.0.0.1:*"})).await?;
        Ok(Self { stage, receiver })
    }

    fn spec(&self) -> Value {
        json!({
            "aws": {"adoptionPolicy": "IfTagged"},
            "value": {"data": {"username": "orders"}, "generate": {"password": {}}},
            "rotation": {"schedule": "rate(12 hours)", "webhook": {
                "url": format!("https://127.0.0.1:{}/rotate", self.receiver.port()),
                "signingKeyRef": {"name": "key"},
                "caBundle": self.receiver.ca(),
                "checkInterval": "1h",
            }},
        })
    }

    /// The same with a receiver that knows tokens of the ServiceAccount `rotator`.
    async fn with_tokens() -> Result<Self> {
        let mut scene = Self::new().await?;
        let world = &scene.stage.world;
        let accounts: Api<ServiceAccount> = Api::namespaced(world.admin.clone(), &world.namespace);
        for name in ["rotator", "other", "receiver"] {
            accounts.create(&PostParams::default(), &serde_json::from_value(json!({"metadata": {"name": name}}))?).await?;
        }
        let reviews = json!({
            "metadata": {"name": format!("{}-reviews", world.namespace)},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"},
            "subjects": [{"kind": "ServiceAccount", "name": "receiver", "namespace": world.namespace}],
        });
        let bindings: Api<ClusterRoleBinding> = Api::all(world.admin.clone());
        bindings.create(&PostParams::default(), &serde_json::from_value(reviews)?).await?;
        let cluster = world.cluster;
        let own = cluster.service_account_token(&world.namespace, "receiver", &cluster.issuer().await?.0).await?;
        let (server, ca) = (cluster.admin_config().cluster_url.to_string(), cluster.dir().join("certs/apiserver.crt"));
        let account = format!("{}/rotator", world.namespace);
        let knows = Knows::Tokens { account: &account, api: (server.trim_end_matches('/'), &ca), own: &own };
        scene.receiver = Receiver::start_with(knows, &json!({"orders": OLD}).to_string())?;
        scene.stage.ctx.policy.service_accounts = true;
        Ok(scene)
    }

    /// The spec with a token instead of a key.
    fn by_token(&self, account: &str, audience: &str) -> Value {
        let mut spec = self.spec();
        let webhook = spec["rotation"]["webhook"].as_object_mut().unwrap();
        webhook.remove("signingKeyRef");
        webhook.insert("serviceAccountToken".to_owned(), json!({"name": account, "audience": audience}));
        spec
    }

    fn origin(&self) -> String {
        format!("https://127.0.0.1:{}", self.receiver.port())
    }

    /// Whether the service of the receiver accepts a password.
    fn accepts(&self, password: &str) -> Result<bool> {
        let users: Value = serde_json::from_str(&self.receiver.users()?)?;
        Ok(users["orders"] == password)
    }

    /// Ends the backoff.
    async fn again(&self, token: &str) -> Result<()> {
        self.stage.advance(MINUTE);
        self.stage.world.annotate("app", rotated_secrets::api::REFRESH, token).await?;
        self.stage.settle("app").await
    }

    async fn request(&self, token: &str) -> Result<()> {
        self.stage.advance(MINUTE);
        self.stage.world.request_rotation("app", token).await?;
        self.stage.settle("app").await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_takes_each_value_to_its_service_before_pods_get_it() -> Result<()> {
    let scene = Scene::new().await?;
    let stage = &scene.stage;
    stage.settled("app", scene.spec()).await?;
    assert_eq!(stage.data("app").await?["password"], OLD, "an adopted password stays until a rotation is due");
    scene.request("now").await?;
    let requested = stage.data("app").await?["password"].clone();
    ensure!(requested != OLD && scene.accepts(&requested)?, "{}", scene.receiver.log()?);
    assert_eq!(stage.value("app")["realm"], "shop", "what is not declared stays");
    stage.advance(12 * HOUR);
    stage.settle("app").await?;
    let scheduled = stage.data("app").await?["password"].clone();
    ensure!(scheduled != requested && scene.accepts(&scheduled)?);
    stage.world.check_agreement("app").await?;
    stage.assert_silence("app").await?;
    let log = scene.receiver.log()?;
    ensure!(![OLD, &requested, &scheduled].iter().any(|password| log.contains(*password)), "a value is in the receiver's log");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_wrong_short_or_absent_changes_nothing_and_is_told() -> Result<()> {
    let scene = Scene::new().await?;
    let stage = &scene.stage;
    stage.settled("app", scene.spec()).await?;
    stage.settled("other", json!({"value": {"plainText": {"type": "Bytes", "length": 32}}})).await?;
    stage.settled("short", json!({"value": {"plainText": {"type": "Bytes", "length": 8}}})).await?;
    let name = |name: &str| json!({"spec": {"rotation": {"webhook": {"signingKeyRef": {"name": name}}}}});
    for (token, key, word) in
        [("1", "other", "ReceiverUnauthorized"), ("2", "short", "KeyUnusable"), ("3", "absent", "does not exist in the namespace")]
    {
        stage.world.patch("app", name(key)).await?;
        scene.request(token).await?;
        stage.live("app", HOUR).await?;
        let message = stage.expect("app", "Rotated", "False", "ApplyFailed").await?;
        ensure!(message.contains(word), "{key}: {message}");
        assert_eq!(stage.data("app").await?["password"], OLD, "pods keep what works");
    }
    stage.world.patch("app", name("key")).await?;
    stage.live("app", HOUR).await?;
    let password = stage.data("app").await?["password"].clone();
    ensure!(password != OLD && scene.accepts(&password)?, "the staged version is finished with the right key");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_service_refuses_later_is_told_without_the_value() -> Result<()> {
    let scene = Scene::new().await?;
    let stage = &scene.stage;
    stage.settled("app", scene.spec()).await?;
    stage.external_writer().put_value(&stage.aws_name("app"), &json!({"username": "orders", "password": "not-theirs"}).to_string())?;
    stage.advance(HOUR);
    stage.settle("app").await?;
    stage.advance(HOUR);
    stage.settle("app").await?;
    let message = stage.expect("app", "Rotated", "False", "TargetDiverged").await?;
    ensure!(message.contains("ReceiverRefused: ") && !message.contains("not-theirs"), "{message}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_to_the_current_version_has_the_receiver_undo_what_is_staged() -> Result<()> {
    let scene = Scene::new().await?;
    let stage = &scene.stage;
    stage.settled("app", scene.spec()).await?;
    // The version is staged and cannot be applied.
    stage.world.patch("app", json!({"spec": {"rotation": {"webhook": {"signingKeyRef": {"name": "absent"}}}}})).await?;
    scene.request("now").await?;
    stage.world.patch("app", json!({"spec": {"rotation": {"webhook": {"signingKeyRef": {"name": "key"}}}}})).await?;
    let current = stage.world.aws_secret("app").unwrap().labels["AWSCURRENT"].clone();
    stage.world.annotate("app", rotated_secrets::api::ROLLBACK, &format!("back:{current}")).await?;
    stage.live("app", HOUR).await?;
    let aws = stage.world.aws_secret("app").unwrap();
    let told = stage.status("app").await?.conditions.iter().map(|condition| condition.message.clone()).collect::<Vec<_>>();
    ensure!(!aws.labels.contains_key("AWSPENDING"), "{:?}: {told:?}", aws.labels);
    let abandoned = aws.labelled(ABANDONED_LABEL).context("AWS keeps the abandoned version")?;
    let value: Value = serde_json::from_str(abandoned.value().and_then(|value| value.as_str()).context("its value")?)?;
    ensure!(!scene.accepts(value["password"].as_str().context("a password")?)? && scene.accepts(OLD)?);
    assert_eq!(stage.status("app").await?.history.first().map(|entry| entry.outcome), Some(Outcome::Abandoned));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_knows_the_operator_by_a_token_of_a_service_account_of_the_namespace() -> Result<()> {
    let scene = Scene::with_tokens().await?;
    let stage = &scene.stage;
    stage.settled("app", scene.by_token("rotator", &scene.origin())).await?;
    scene.request("now").await?;
    let password = stage.data("app").await?["password"].clone();
    ensure!(password != OLD && scene.accepts(&password)?, "{}", scene.receiver.log()?);
    stage.world.check_agreement("app").await?;
    ensure!(stage.writes.take().iter().any(|write| write == "POST serviceaccounts/token"));
    stage.live("app", 2 * HOUR).await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    ensure!(stage.writes.take().iter().all(|write| write == "POST serviceaccounts/token"), "a check writes nothing");
    ensure!(scene.receiver.log()?.contains("check app"), "the periodic check has a token, too");
    ensure!(!serde_json::to_string(&stage.object("app").await?)?.contains("eyJ"), "no token is in the object");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_permitted_or_not_for_the_receiver_is_not_made_and_no_other_is_accepted() -> Result<()> {
    let mut scene = Scene::with_tokens().await?;
    let origin = scene.origin();
    scene.stage.settled("app", scene.by_token("rotator", &origin)).await?;
    let token = |name: &str, audience: &str| json!({"spec": {"rotation": {"webhook": {"serviceAccountToken": {"name": name, "audience": audience}}}}});
    let path = format!("{origin}/rotate");
    for (number, name, audience, word, made) in [
        ("1", "other", &*origin, "ReceiverUnauthorized", true),
        // An audience that the receiver does not know.
        ("2", "rotator", &*path, "ReceiverUnauthorized", true),
        ("3", "absent", &*origin, "does not exist in namespace", false),
        ("4", "../rotator", &*origin, "does not exist in namespace", false),
    ] {
        scene.stage.world.patch("app", token(name, audience)).await?;
        scene.stage.writes.take();
        scene.request(number).await?;
        scene.stage.live("app", HOUR).await?;
        let message = scene.stage.expect("app", "Rotated", "False", "ApplyFailed").await?;
        ensure!(message.contains(word), "{name}: {message}");
        assert_eq!(scene.stage.writes.take().iter().any(|write| write == "POST serviceaccounts/token"), made, "{name}");
        assert_eq!(scene.stage.data("app").await?["password"], OLD, "pods keep what works");
    }
    scene.stage.world.patch("app", token("rotator", &origin)).await?;
    scene.stage.ctx.policy.service_accounts = false;
    scene.again("not enabled").await?;
    let message = scene.stage.expect("app", "Rotated", "False", "IdentityNotAllowed").await?;
    ensure!(message.contains("--allow-service-account-identity"), "{message}");
    scene.stage.ctx.policy.service_accounts = true;
    // Outside of a test, only a Service of the namespace gets a token.
    scene.stage.ctx.policy.local_targets = false;
    scene.again("not a Service").await?;
    let message = scene.stage.expect("app", "Rotated", "False", "ApplyFailed").await?;
    ensure!(message.contains("requires a Service of the namespace"), "{message}");
    scene.stage.ctx.policy.local_targets = true;
    scene.again("permitted").await?;
    let password = scene.stage.data("app").await?["password"].clone();
    ensure!(password != OLD && scene.accepts(&password)?, "the staged version is finished");
    Ok(())
}
