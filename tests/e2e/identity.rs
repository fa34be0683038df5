//! The AWS identity of the operator as a process: IRSA and EKS Pod Identity by the token that would lie in its pod, under the documents in docs/iam;
//! and ServiceAccounts of tenants, with the rights that are bound namespace by namespace.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::REGION;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::operator::{Operator, run_to_end_with};
use crate::stage::Stage;

const ACCOUNT: &str = "operator-for-tests";
const OPERATOR: (&str, &str) = ("rotated-secrets", "rotated-secrets");
const RIGHTS: &str = include_str!("../../deploy/optional/service-accounts.yaml");

/// A document of docs/iam with its words in capitals filled in. `account`: the ServiceAccount that is trusted.
fn document(text: &str, issuer: &str, (namespace, name): (&str, &str)) -> Result<Value> {
    let words = [
        ("REGION", REGION),
        ("ACCOUNT_ID", testkit::emulator::ACCOUNT),
        ("PREFIX", "k8s"),
        ("CLUSTER", ACCOUNT),
        ("OIDC_PROVIDER", issuer.trim_start_matches("https://")),
        ("NAMESPACE", namespace),
        ("SERVICE_ACCOUNT", name),
    ];
    Ok(serde_json::from_str(&words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value)))?)
}

/// The account knows the cluster's issuer; a role for the operator with this trust policy and its document.
async fn operator_role(stage: &Stage, trust: &str) -> Result<String> {
    let (issuer, keys) = stage.plane().issuer().await?;
    let iam = stage.emulator.iam();
    iam.trust_issuer(&issuer, &keys);
    let policy = document(include_str!("../../docs/iam/operator-policy.json"), &issuer, OPERATOR)?;
    iam.role("rotated-secrets", &document(trust, &issuer, OPERATOR)?, &[("operator-policy", &policy)])
}

/// The token as the kubelet would project it.
async fn projected(stage: &Stage, audience: &str) -> Result<String> {
    let token = stage.plane().service_account_token(OPERATOR.0, OPERATOR.1, audience).await?;
    let path = stage.plane().dir().join(format!("{}-{audience}", stage.namespace));
    std::fs::write(&path, token)?;
    Ok(path.display().to_string())
}

fn spec() -> Value {
    json!({"value": {"data": {"username": "admin"}, "generate": {"password": {}}}})
}

/// One credential is created, by this role only.
async fn serves(stage: &Stage, environment: &[(&str, &str)], role: &str) -> Result<()> {
    let operator = Operator::start_as(stage, &["--cluster-id", ACCOUNT], environment).await?;
    stage.create("one", spec()).await?;
    stage.ready("one").await?;
    let decisions = stage.emulator.iam().decisions();
    ensure!(decisions.iter().all(|decision| decision.principal == role && decision.is_allowed()), "{decisions:?}");
    ensure!(decisions.iter().any(|decision| decision.action == "secretsmanager:CreateSecret"), "it acted");
    let output = operator.output()?;
    ensure!(!output.contains("eyJ"), "no token is logged");
    operator.check()
}

#[tokio::test(flavor = "multi_thread")]
async fn by_irsa_the_operator_is_the_role_that_trusts_its_service_account() -> Result<()> {
    let stage = Stage::enter("irsa").await?;
    let role = operator_role(&stage, include_str!("../../docs/iam/irsa-trust.json")).await?;
    let token = projected(&stage, "sts.amazonaws.com").await?;
    let endpoint = stage.endpoint();
    let environment = [("AWS_ROLE_ARN", role.as_str()), ("AWS_WEB_IDENTITY_TOKEN_FILE", &token), ("AWS_ENDPOINT_URL_STS", &endpoint)];
    serves(&stage, &environment, &role).await?;
    ensure!(stage.emulator.counters().count("AssumeRoleWithWebIdentity", "ok") == 1, "one session");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn by_pod_identity_the_operator_is_the_role_that_is_associated_with_its_service_account() -> Result<()> {
    let stage = Stage::enter("pod-identity").await?;
    let role = operator_role(&stage, include_str!("../../docs/iam/pod-identity-trust.json")).await?;
    stage.emulator.iam().associate(OPERATOR.0, OPERATOR.1, &role);
    let token = projected(&stage, "pods.eks.amazonaws.com").await?;
    let agent = format!("{}/v1/credentials", stage.endpoint());
    let environment = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.as_str()), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token)];
    serves(&stage, &environment, &role).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_another_audience_is_no_identity_and_the_object_says_so() -> Result<()> {
    let stage = Stage::enter("audience").await?;
    let role = operator_role(&stage, include_str!("../../docs/iam/irsa-trust.json")).await?;
    let token = projected(&stage, "somebody-else").await?;
    let endpoint = stage.endpoint();
    let environment = [("AWS_ROLE_ARN", role.as_str()), ("AWS_WEB_IDENTITY_TOKEN_FILE", &token), ("AWS_ENDPOINT_URL_STS", &endpoint)];
    let operator = Operator::start_as(&stage, &[], &environment).await?;
    stage.create("one", spec()).await?;
    stage.refused("one", "IdentityRefused").await?;
    ensure!(stage.aws_secret("one").is_none(), "nothing was made");
    operator.check()
}

/// The instance metadata service of a node with a role and a Region. Records the request lines.
async fn node() -> Result<(String, Arc<Mutex<Vec<String>>>)> {
    let (listener, asked) = (TcpListener::bind("127.0.0.1:0").await?, Arc::<Mutex<Vec<String>>>::default());
    let (endpoint, record) = (format!("http://{}", listener.local_addr()?), Arc::clone(&asked));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut buffer).await {
                    Ok(read @ 1..) => request.extend_from_slice(&buffer[..read]),
                    _ => break,
                }
            }
            let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
            record.lock().unwrap().push(line.clone());
            let body = match line.split(' ').nth(1).unwrap_or_default() {
                "/latest/api/token" => "token".to_owned(),
                "/latest/meta-data/placement/region" => REGION.to_owned(),
                path if path.ends_with("/security-credentials/") => "node-role".to_owned(),
                path if path.ends_with("/security-credentials/node-role") => json!({
                    "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z", "Expiration": "2099-01-01T00:00:00Z",
                    "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "not-checked-by-the-emulator", "Token": "token",
                })
                .to_string(),
                _ => String::new(),
            };
            let status = if body.is_empty() { "404 Not Found" } else { "200 OK" };
            let head = format!("x-aws-ec2-metadata-token-ttl-seconds: 21600\r\nContent-Length: {}\r\nConnection: close", body.len());
            let _ = stream.write_all(format!("HTTP/1.1 {status}\r\n{head}\r\n\r\n{body}").as_bytes()).await;
        }
    });
    Ok((endpoint, asked))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_the_node_is_used_only_where_the_administrator_allows_it() -> Result<()> {
    let stage = Stage::enter("node").await?;
    let (service, asked) = node().await?;
    let profile = stage.plane().dir().join(format!("{}-profile", stage.namespace));
    let role = "arn:aws:iam::111122223333:role/operator";
    std::fs::write(&profile, format!("[default]\nrole_arn = {role}\ncredential_source = Ec2InstanceMetadata\n"))?;
    let profile = profile.display().to_string();
    let bare = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.as_str()), ("AWS_CONFIG_FILE", "/dev/null")];
    let named = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.as_str()), ("AWS_CONFIG_FILE", &profile)];

    for (name, environment) in [("bare", bare), ("named", named)] {
        let operator = Operator::start_as(&stage, &[], &environment).await?;
        stage.create(name, spec()).await?;
        stage.refused(name, "IdentityRefused").await?;
        let status = stage.objects().get(name).await?.status.unwrap_or_default();
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").context("Ready")?;
        for word in ["IRSA", "EKS Pod Identity", "--allow-instance-identity"] {
            ensure!(ready.message.contains(word), "{}", ready.message);
        }
        operator.check()?;
    }
    let flags = ["run", "--health-address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"];
    let ended = run_to_end_with(&stage.kubeconfig, &flags, &bare).await?;
    ensure!(!ended.status.success() && String::from_utf8_lossy(&ended.stderr).contains("no AWS region"), "{ended:?}");
    ensure!(asked.lock().unwrap().is_empty(), "{:?}", asked.lock().unwrap());

    let operator = Operator::start_as(&stage, &["--allow-instance-identity"], &bare).await?;
    stage.refresh("bare", "allowed").await?;
    stage.ready("bare").await?;
    ensure!(asked.lock().unwrap().iter().any(|line| line.contains("/security-credentials/node-role")), "{:?}", asked.lock().unwrap());
    operator.check()
}

#[tokio::test(flavor = "multi_thread")]
async fn service_accounts_act_where_the_right_is_bound_and_every_right_is_used() -> Result<()> {
    let stage = Stage::enter("accounts").await?;
    let (issuer, keys) = stage.plane().issuer().await?;
    let iam = stage.emulator.iam();
    iam.trust_issuer(&issuer, &keys);
    let trust = document(include_str!("../../docs/iam/irsa-trust.json"), &issuer, (&stage.namespace, "app"))?;
    let policy = json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "secretsmanager:*", "Resource": "*"}});
    let role = iam.role("app", &trust, &[("all", &policy)])?;
    stage.kubectl(&["create", "serviceaccount", "app"]).await?;
    stage.kubectl(&["annotate", "serviceaccount", "app", &format!("eks.amazonaws.com/role-arn={role}")]).await?;
    let applied = stage.plane().apply_yaml(RIGHTS).await?;
    let (_, from) = stage.asked(0).await?;

    let operator = Operator::start_with(&stage, &["--allow-service-account-identity"]).await?;
    let mut by_account = spec();
    by_account["aws"] = json!({"serviceAccountRef": {"name": "app"}});
    stage.create("one", by_account).await?;
    stage.refused("one", "IdentityRefused").await?;
    let status = stage.objects().get("one").await?.status.unwrap_or_default();
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").context("Ready")?;
    ensure!(ready.message.contains("kubectl create rolebinding rotated-secrets-service-accounts"), "{}", ready.message);

    // As the message says.
    stage
        .kubectl(&[
            "create",
            "rolebinding",
            "rotated-secrets-service-accounts",
            "--clusterrole=rotated-secrets-service-accounts",
            "--serviceaccount=rotated-secrets:rotated-secrets",
        ])
        .await?;
    stage.refresh("one", "bound").await?;
    stage.ready("one").await?;
    ensure!(iam.decisions().iter().all(|decision| decision.principal == role), "by the account's role only");

    let (asked, _) = stage.asked(from).await?;
    let allowed: BTreeSet<(String, String)> = asked
        .iter()
        .filter(|event| event.resource == "serviceaccounts" && (200..300).contains(&event.code))
        .map(|event| {
            let sub = if event.subresource.is_empty() { String::new() } else { format!("/{}", event.subresource) };
            (event.verb.clone(), format!("{}{sub}", event.resource))
        })
        .collect();
    let mut granted = BTreeSet::new();
    for rule in applied.objects.first().and_then(|role| role.data["rules"].as_array()).context("rules")? {
        for resource in rule["resources"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            granted.extend(
                rule["verbs"].as_array().into_iter().flatten().filter_map(Value::as_str).map(|verb| (verb.to_owned(), resource.to_owned())),
            );
        }
    }
    assert_eq!(allowed, granted);
    ensure!(!operator.output()?.contains("eyJ"), "no token is logged");
    operator.check()
}
