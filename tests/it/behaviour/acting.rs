//! AWS identities of objects, and that no object uses the permissions of another.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use rotated_secrets::api::{EXTERNAL_ID, REFRESH, ROLE_ARN, SERVICE_ACCOUNT_ROLE_ARN};
use serde_json::{Value, json};
use testkit::emulator::Fault;

use super::stage::{HOUR, MINUTE, Stage};
use testkit::fixtures::{spec, unscheduled};
use testkit::{PREFIX, REGION, control_plane};

const ID: &str = "5f0c3a52-external";

fn document(statements: &Value) -> Value {
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// All of Secrets Manager below `k8s/<namespace of the session>/`, by the session's tag.
fn own_secrets() -> Value {
    let resource = format!("arn:aws:secretsmanager:{REGION}:*:secret:{PREFIX}/${{aws:PrincipalTag/rotated-secrets.io/namespace}}/*");
    document(&json!([{"Sid": "Own", "Effect": "Allow", "Action": "secretsmanager:*", "Resource": resource}]))
}

/// Everything of Secrets Manager.
fn all_secrets() -> Value {
    document(&json!([{"Sid": "All", "Effect": "Allow", "Action": "secretsmanager:*", "Resource": "*"}]))
}

/// The operator may assume roles, and nothing else.
fn may_assume() -> Value {
    document(
        &json!([{"Sid": "Roles", "Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": "arn:aws:iam::*:role/*"}]),
    )
}

/// As docs/security.md has it for a namespace.
fn trust(stage: &Stage, external_id: &str) -> Value {
    document(&json!([{
        "Effect": "Allow",
        "Action": ["sts:AssumeRole", "sts:TagSession"],
        "Principal": {"AWS": "arn:aws:iam::123456789012:user/operator"},
        "Condition": {"StringEquals": {
            "sts:ExternalId": external_id,
            "aws:RequestTag/rotated-secrets.io/cluster": "test",
            "aws:RequestTag/rotated-secrets.io/namespace": stage.world.namespace,
        }},
    }]))
}

/// An operator that may do nothing but assume roles.
async fn bare(prefix: &str) -> Result<Stage> {
    let mut stage = Stage::new(prefix).await?;
    let key = stage.iam().user("operator", &[("operator", &may_assume())])?;
    stage.act_with(Some(&key)).await;
    Ok(stage)
}

/// The same, and a role for the namespace.
async fn with_role(prefix: &str) -> Result<(Stage, String)> {
    let stage = bare(prefix).await?;
    let role = stage.iam().role("shop-secrets", &trust(&stage, ID), &[("own", &own_secrets())])?;
    stage.annotate_namespace(json!({ROLE_ARN: role, EXTERNAL_ID: ID})).await?;
    Ok((stage, role))
}

/// Who made the calls of Secrets Manager so far.
fn actors(stage: &Stage) -> Vec<String> {
    let decisions = stage.iam().decisions();
    let mut who: Vec<String> = decisions
        .into_iter()
        .filter(|decision| decision.action.starts_with("secretsmanager:"))
        .map(|decision| decision.principal)
        .collect();
    who.sort();
    who.dedup();
    who
}

fn calls(stage: &Stage, operation: &str) -> u64 {
    stage.world.emulator.counters().total(operation)
}

async fn refresh(stage: &Stage, name: &str, token: &str) -> Result<()> {
    stage.world.patch(name, json!({"metadata": {"annotations": {REFRESH: token}}})).await?;
    stage.settle(name).await
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_a_namespace_with_a_role_are_served_by_that_role_in_one_session_and_by_nobody_else() -> Result<()> {
    let (stage, role) = with_role("acting").await?;
    for name in ["app", "db"] {
        stage.settled(name, spec()).await?;
        stage.world.check_agreement(name).await?;
    }
    assert_eq!(actors(&stage), std::slice::from_ref(&role));
    assert_eq!(calls(&stage, "AssumeRole"), 1, "one session for all objects of the namespace");
    let sessions = stage.iam().sessions();
    let namespace = stage.world.namespace.clone();
    assert_eq!((sessions[0].role.clone(), sessions[0].name.clone()), (role, format!("{namespace}@test")));
    let tags = [("rotated-secrets.io/cluster".to_owned(), "test".to_owned()), ("rotated-secrets.io/namespace".to_owned(), namespace)];
    assert_eq!(sessions[0].tags, BTreeMap::from(tags));
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_renewed_before_it_expires_and_an_sts_that_is_away_is_borne_while_it_lasts() -> Result<()> {
    let (stage, _) = with_role("acting").await?;
    stage.settled("app", unscheduled()).await?;
    stage.advance(45 * MINUTE);
    stage.settle("app").await?;
    assert_eq!(calls(&stage, "AssumeRole"), 1, "a quarter of an hour is left");
    stage.advance(6 * MINUTE);
    stage.settle("app").await?;
    assert_eq!(calls(&stage, "AssumeRole"), 2, "nine minutes are not enough");

    stage.break_aws("AssumeRole", Fault::Refuse { code: "ServiceUnavailable".to_owned(), message: "no".to_owned() });
    stage.advance(55 * MINUTE);
    stage.settle("app").await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    assert_eq!(calls(&stage, "AssumeRole"), 3, "asked in vain");
    stage.advance(5 * MINUTE);
    stage.reconcile("app").await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    stage.advance(MINUTE);
    stage.reconcile("app").await?;
    stage.expect("app", "Ready", "False", "AwsUnavailable").await?;
    assert_eq!(stage.world.emulator.counters().count("DescribeSecret", "ExpiredTokenException"), 0, "no session was used after its end");

    stage.mend_aws();
    stage.advance(HOUR);
    stage.settle("app").await?;
    stage.expect("app", "Ready", "True", "Succeeded").await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_does_not_trust_the_operator_is_said_and_nothing_is_tried_with_other_rights() -> Result<()> {
    let mut stage = Stage::new("acting").await?;
    // The operator itself could do everything.
    let policies = [("roles", &may_assume()), ("all", &all_secrets())];
    let key = stage.iam().user("operator", &policies)?;
    stage.act_with(Some(&key)).await;
    let trusted = stage.iam().role("trusted", &trust(&stage, ID), &[("own", &own_secrets())])?;
    let other = format!("{trusted}-that-is-not-there");
    stage.annotate_namespace(json!({ROLE_ARN: trusted, EXTERNAL_ID: "another-id"})).await?;
    stage.world.create("app", spec()).await?;
    for (number, annotations) in [
        json!({}),
        json!({EXTERNAL_ID: null}),
        json!({ROLE_ARN: other, EXTERNAL_ID: ID}),
        json!({ROLE_ARN: "shop"}),
        json!({ROLE_ARN: ""}),
        json!({ROLE_ARN: null}),
    ]
    .into_iter()
    .enumerate()
    {
        stage.annotate_namespace(annotations.clone()).await?;
        refresh(&stage, "app", &number.to_string()).await?;
        let message = stage.expect("app", "Provisioned", "False", "IdentityRefused").await?;
        ensure!(message.contains("aws iam get-role") || message.contains("kubectl annotate namespace"), "{message}");
        ensure!(!message.contains(ID) && !message.contains("another-id"), "an external id is not told: {message}");
        stage.expect("app", "Stalled", "True", "IdentityRefused").await?;
    }
    ensure!(stage.aws().is_empty() && actors(&stage).is_empty(), "Secrets Manager was not asked");
    ensure!(stage.no_secret("app").await?, "nothing is mirrored");
    ensure!(stage.writes.take().iter().all(|write| write == "PUT rotatedsecrets/status"), "nothing but the status was written");

    stage.annotate_namespace(json!({ROLE_ARN: trusted, EXTERNAL_ID: ID})).await?;
    refresh(&stage, "app", "mended").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(actors(&stage), [trusted]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_role_on_the_namespace_is_another_session_from_the_next_turn_on() -> Result<()> {
    let (stage, first) = with_role("acting").await?;
    stage.settled("app", unscheduled()).await?;
    let second = stage.iam().role("second", &trust(&stage, ID), &[("own", &own_secrets())])?;
    stage.annotate_namespace(json!({ROLE_ARN: second})).await?;
    // What the first role may do is taken away: a call by it would be seen.
    stage.iam().set_policies(&first, &[])?;
    stage.settle("app").await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    let roles: Vec<String> = stage.iam().sessions().into_iter().map(|session| session.role).collect();
    assert_eq!(roles, [first, second]);
    // Back again: a Namespace has one session, so that nobody displaces the sessions of others by changing roles.
    let before = calls(&stage, "AssumeRole");
    stage.annotate_namespace(json!({ROLE_ARN: roles[0]})).await?;
    stage.reconcile("app").await?;
    let message = stage.expect("app", "Provisioned", "False", "AccessDenied").await?;
    ensure!(message.contains(&format!("check the IAM policy of the role {}", roles[0])), "{message}");
    assert_eq!(calls(&stage, "AssumeRole"), before + 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_namespaces_with_one_role_have_two_sessions_and_neither_reaches_the_others_secrets() -> Result<()> {
    let mut stage = bare("acting").await?;
    let anyone = document(&json!([{
        "Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Principal": {"AWS": "arn:aws:iam::123456789012:user/operator"},
    }]));
    let role = stage.iam().role("shared", &anyone, &[("own", &own_secrets())])?;
    let first = stage.world.namespace.clone();
    let second = control_plane().await?.namespace("acting").await?;
    for namespace in [&first, &second] {
        stage.world.namespace.clone_from(namespace);
        stage.annotate_namespace(json!({ROLE_ARN: role})).await?;
        stage.settled("app", spec()).await?;
        stage.world.check_agreement("app").await?;
    }
    // The administrator lets the second one name the first one's secrets; the role does not.
    stage.allow_names(Some("*")).await?;
    stage.settled("thief", json!({"aws": {"secretName": format!("{PREFIX}/{first}/app")}})).await?;
    stage.expect("thief", "Provisioned", "False", "AccessDenied").await?;
    ensure!(stage.no_secret("thief").await?, "not mirrored");
    let tags: Vec<_> = stage.iam().sessions().into_iter().map(|session| session.tags["rotated-secrets.io/namespace"].clone()).collect();
    assert_eq!(tags, [first, second]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_session_is_replaced_without_user_action() -> Result<()> {
    let (stage, role) = with_role("acting").await?;
    stage.settled("app", unscheduled()).await?;
    stage.iam().revoke_sessions(&role);
    let ended = stage.reconcile("app").await?;
    ensure!(ended.failed && !ended.changed, "a single failure that passes by itself is not reported");
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    stage.advance(2 * MINUTE);
    stage.settle("app").await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    assert_eq!(calls(&stage, "AssumeRole"), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_call_replaces_the_session_at_most_once_in_two_minutes() -> Result<()> {
    let (stage, _) = with_role("acting").await?;
    stage.settled("app", unscheduled()).await?;
    stage.break_aws("DescribeSecret", Fault::Refuse { code: "InvalidClientTokenId".to_owned(), message: "no".to_owned() });
    refresh(&stage, "app", "young").await?;
    stage.expect("app", "Provisioned", "False", "AccessDenied").await?;
    refresh(&stage, "app", "younger than two minutes").await?;
    assert_eq!(calls(&stage, "AssumeRole"), 1);

    stage.advance(2 * MINUTE);
    refresh(&stage, "app", "denied again").await?;
    stage.mend_aws();
    refresh(&stage, "app", "a new session").await?;
    stage.settle("app").await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    assert_eq!(calls(&stage, "AssumeRole"), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_without_credentials_says_so() -> Result<()> {
    let mut stage = Stage::new("acting").await?;
    stage.act_with(None).await;
    for annotations in [json!({}), json!({ROLE_ARN: "arn:aws:iam::123456789012:role/shop"})] {
        stage.annotate_namespace(annotations).await?;
        let name = format!("app{}", stage.world.emulator.counters().calls() + stage.writes.take().len() as u64);
        stage.world.create(&name, spec()).await?;
        stage.reconcile(&name).await?;
        let message = stage.expect(&name, "Provisioned", "False", "IdentityRefused").await?;
        ensure!(message.contains("the operator has no AWS credentials"), "{message}");
    }
    assert_eq!(stage.world.emulator.counters().calls(), 0);
    Ok(())
}

/// The account knows this cluster's issuer; the provider's ARN.
async fn issuer(stage: &Stage) -> Result<String> {
    let (issuer, keys) = stage.world.cluster.issuer().await?;
    Ok(stage.iam().trust_issuer(&issuer, &keys))
}

/// As docs/security.md has it for a ServiceAccount.
fn trust_account(provider: &str, namespace: &str, account: &str) -> Value {
    let host = provider.split_once("oidc-provider/").map_or("", |(_, host)| host);
    document(&json!([{
        "Effect": "Allow",
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Principal": {"Federated": provider},
        "Condition": {"StringEquals": {
            format!("{host}:aud"): "sts.amazonaws.com",
            format!("{host}:sub"): format!("system:serviceaccount:{namespace}:{account}"),
        }},
    }]))
}

async fn make_account(stage: &Stage, name: &str, role: Option<&str>) -> Result<()> {
    let account: ServiceAccount = serde_json::from_value(json!({
        "metadata": {"name": name, "annotations": role.map(|role| json!({SERVICE_ACCOUNT_ROLE_ARN: role}))},
    }))?;
    accounts(stage).create(&PostParams::default(), &account).await?;
    Ok(())
}

fn accounts(stage: &Stage) -> Api<ServiceAccount> {
    Api::namespaced(stage.world.admin.clone(), &stage.world.namespace)
}

fn as_account(name: &str) -> Value {
    let mut spec = spec();
    spec["aws"] = json!({"serviceAccountRef": {"name": name}});
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_acts_only_where_the_administrator_enabled_it() -> Result<()> {
    let stage = Stage::new("acting").await?;
    let provider = issuer(&stage).await?;
    let role = stage.iam().role("app", &trust_account(&provider, &stage.world.namespace, "app"), &[("all", &all_secrets())])?;
    make_account(&stage, "app", Some(&role)).await?;
    stage.settled("app", as_account("app")).await?;
    let message = stage.expect("app", "Provisioned", "False", "IdentityNotAllowed").await?;
    ensure!(message.contains("--allow-service-account-identity"), "{message}");
    stage.expect("app", "Stalled", "True", "IdentityNotAllowed").await?;
    assert_eq!(stage.world.emulator.counters().calls(), 0, "neither STS nor Secrets Manager was asked");
    ensure!(stage.writes.take().iter().all(|write| write == "PUT rotatedsecrets/status"), "no token was asked for");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_of_the_namespace_acts_by_its_own_token_and_the_operators_rights_play_no_part() -> Result<()> {
    let mut stage = bare("acting").await?;
    stage.ctx.policy.service_accounts = true;
    let provider = issuer(&stage).await?;
    let role = stage.iam().role("app", &trust_account(&provider, &stage.world.namespace, "app"), &[("all", &all_secrets())])?;
    make_account(&stage, "app", Some(&role)).await?;
    // It goes before the role of the namespace.
    stage.annotate_namespace(json!({ROLE_ARN: "arn:aws:iam::123456789012:role/of-the-namespace"})).await?;
    stage.settled("app", as_account("app")).await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(actors(&stage), std::slice::from_ref(&role));
    assert_eq!((calls(&stage, "AssumeRoleWithWebIdentity"), calls(&stage, "AssumeRole")), (1, 0));
    assert_eq!(stage.iam().sessions()[0].name, format!("{}@test", stage.world.namespace));
    // Another life asks for a token, which the API server keeps no trace of, and writes nothing.
    stage.writes.take();
    stage.world.settle(&stage.operator().await?, "app").await?;
    assert_eq!(stage.writes.take(), ["POST serviceaccounts/token"]);

    // Renewed by a new token.
    stage.advance(Duration::from_mins(55));
    stage.settle("app").await?;
    assert_eq!(calls(&stage, "AssumeRoleWithWebIdentity"), 3, "this life's two, and the other's");

    // Another role in the annotation applies from the next reconcile. This one trusts another account.
    let other = stage.iam().role("other", &trust_account(&provider, &stage.world.namespace, "other"), &[("all", &all_secrets())])?;
    let patch = json!({"metadata": {"annotations": {SERVICE_ACCOUNT_ROLE_ARN: other}}});
    accounts(&stage).patch("app", &PatchParams::default(), &Patch::Merge(patch)).await?;
    stage.reconcile("app").await?;
    let message = stage.expect("app", "Provisioned", "False", "IdentityRefused").await?;
    ensure!(message.contains(&format!("system:serviceaccount:{}:app", stage.world.namespace)), "{message}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_that_cannot_act_is_refused_with_what_to_type() -> Result<()> {
    let mut stage = bare("acting").await?;
    stage.ctx.policy.service_accounts = true;
    let role = "arn:aws:iam::123456789012:role/app";
    make_account(&stage, "without", None).await?;
    make_account(&stage, "misspelt", Some("app")).await?;
    make_account(&stage, "untrusted", Some(role)).await?;
    for (account, words) in [
        ("absent", "create it, or correct the name"),
        ("without", "kubectl annotate serviceaccount without"),
        ("misspelt", "--overwrite"),
        ("untrusted", "aws iam list-open-id-connect-providers"),
    ] {
        stage.settled(account, as_account(account)).await?;
        let message = stage.expect(account, "Provisioned", "False", "IdentityRefused").await?;
        ensure!(message.contains(words), "{account}: {message}");
    }
    ensure!(actors(&stage).is_empty() && stage.aws().is_empty(), "Secrets Manager was not asked");

    // A correction of the account counts at the next look, and no request is needed.
    let provider = issuer(&stage).await?;
    stage.iam().role("app", &trust_account(&provider, &stage.world.namespace, "untrusted"), &[("all", &all_secrets())])?;
    for account in ["untrusted", "absent"] {
        let asked = calls(&stage, "AssumeRoleWithWebIdentity");
        let again = stage.reconcile(account).await?.again.context("another look")?;
        ensure!(again <= Duration::from_mins(1), "{account}: {again:?}");
        assert_eq!(calls(&stage, "AssumeRoleWithWebIdentity"), asked, "{account}: STS is asked rarely");
    }
    let patch = json!({"metadata": {"annotations": {SERVICE_ACCOUNT_ROLE_ARN: format!("{role}-2")}}});
    stage.iam().role("app-2", &trust_account(&provider, &stage.world.namespace, "untrusted"), &[("all", &all_secrets())])?;
    accounts(&stage).patch("untrusted", &PatchParams::default(), &Patch::Merge(patch)).await?;
    stage.settle("untrusted").await?;
    stage.expect("untrusted", "Ready", "True", "Succeeded").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_whose_service_account_is_gone_goes_and_leaves_the_aws_secret_and_a_retained_secret() -> Result<()> {
    let mut stage = bare("acting").await?;
    stage.ctx.policy.service_accounts = true;
    let provider = issuer(&stage).await?;
    let role = stage.iam().role("app", &trust_account(&provider, &stage.world.namespace, "app"), &[("all", &all_secrets())])?;
    make_account(&stage, "app", Some(&role)).await?;
    let mut spec = as_account("app");
    spec["aws"]["deletionPolicy"] = json!("Delete");
    spec["target"] = json!({"deletionPolicy": "Retain"});
    stage.settled("app", spec).await?;
    let before = stage.aws();

    // A namespace that is deleted takes its ServiceAccounts along, before or after the objects.
    accounts(&stage).delete("app", &DeleteParams::default()).await?;
    stage.delete_object("app").await?;
    stage.settle("app").await?;
    ensure!(stage.world.objects().get_opt("app").await?.is_none(), "it is not held up");
    assert_eq!(stage.aws(), before, "the AWS secret stays");
    let left = stage.secret("app").await.context("the Secret is retained")?;
    ensure!(left.metadata.owner_references.unwrap_or_default().is_empty(), "and has no owner that would take it along");
    assert_eq!(stage.told("app", "Warning", "AwsSecretKept").await?, 1);
    Ok(())
}
