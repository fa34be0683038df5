//! Asking before there is trouble.

use anyhow::Result;
use serde_json::{Value, json};
use testkit::emulator::{Fault, FaultPlan, When};

use crate::scene::Scene;
use testkit::control_plane;
use testkit::fixtures::spec;
use testkit::postgres::Postgres;

fn result<'a>(answer: &'a Value, check: &str) -> Vec<&'a str> {
    let checks = answer["checks"].as_array().expect("checks");
    checks.iter().filter(|found| found["check"] == check).filter_map(|found| found["result"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_finds_all_in_order() -> Result<()> {
    let scene = Scene::new("healthy").await?;
    scene.run("doctor").await?.ends(0).says("no object to check it by");
    scene.settled("db", spec()).await?;
    let ran = scene.run("doctor db").await?.ends(0).says("v1alpha1 is served").says("you may DescribeSecret of arn:aws:secretsmanager");
    let ran = ran.says("it is up to date with 1 object").says("you may patch rotatedsecrets");
    assert!(!ran.out.contains("Problem") && !ran.out.contains("AKIA"), "{ran:#?}");
    let answer = scene.run("doctor db -o json").await?.ends(0).json();
    for check in ["apiServer", "definition", "operator", "identity", "awsCredentials", "awsIdentity", "awsRegion", "awsSecret"] {
        assert_eq!(result(&answer, check), ["Ok"], "{check}");
    }
    assert_eq!(result(&answer, "access"), ["Ok"; 4]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_tells_who_acts_and_why_nobody_can() -> Result<()> {
    let scene = Scene::new("identity").await?;
    scene.settled("db", spec()).await?;
    scene.run("doctor db").await?.ends(0).says("the operator uses its own AWS credentials").says("AWS identifies you as arn:aws:iam::");

    let annotate = async |role: &str| {
        let patch = kube::api::Patch::Merge(json!({"metadata": {"annotations": {"rotated-secrets.io/role-arn": role}}}));
        let namespaces = kube::api::Api::<k8s_openapi::api::core::v1::Namespace>::all(scene.world.admin.clone());
        namespaces.patch(&scene.world.namespace, &kube::api::PatchParams::default(), &patch).await
    };
    annotate("arn:aws:iam::123456789012:role/shop").await?;
    scene.run("doctor db").await?.ends(0).says("the operator uses the role arn:aws:iam::123456789012:role/shop");
    annotate("shop").await?;
    scene.run("doctor db").await?.ends(1).says("is not the ARN of an IAM role").says("kubectl annotate namespace");
    annotate("arn:aws:iam::123456789012:role/shop").await?;
    // No such role: the operator finds out, and the doctor passes it on.
    scene.world.patch("db", json!({"metadata": {"annotations": {"rotated-secrets.io/refresh": "now"}}})).await?;
    let ctx = scene.world.operator(None, std::sync::Arc::default()).await?;
    rotated_secrets::reconcile::reconcile(&scene.world.objects().get("db").await?, &ctx).await;
    let answer = scene.run("doctor db -o json").await?.ends(1).json();
    assert_eq!(result(&answer, "identity"), ["Ok", "Problem"]);

    let mut own = spec();
    own["aws"] = json!({"serviceAccountRef": {"name": "nobody"}});
    scene.world.create("own", own).await?;
    scene.run("doctor own").await?.ends(1).says("the ServiceAccount nobody in spec.aws.serviceAccountRef does not exist");
    let denied = Fault::Refuse { code: "InvalidClientTokenId".to_owned(), message: "no".to_owned() };
    scene.world.emulator.set_faults(FaultPlan::none().with("GetCallerIdentity", When::Always, denied));
    scene.run("doctor").await?.says("AWS does not accept your credentials");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_notices_an_operator_that_does_not_come() -> Result<()> {
    let scene = Scene::new("abandoned").await?;
    scene.settled("db", spec()).await?;
    let _ = scene
        .world
        .objects()
        .patch_status(
            "db",
            &kube::api::PatchParams::default(),
            &kube::api::Patch::Merge(json!({"status": {"nextRotationTime": "2020-01-01T00:00:00Z"}})),
        )
        .await?;
    scene.run("doctor").await?.ends(1).says("it is behind with 1 of 1 object").says("/db: a rotation is due");
    scene.run("status").await?.ends(1).says("Overdue").says("kubectl rotatedsecret doctor");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_tells_what_aws_denies() -> Result<()> {
    let mut scene = Scene::new("denied").await?;
    scene.settled("db", spec()).await?;
    let denied = Fault::Refuse { code: "AccessDeniedException".to_owned(), message: "no".to_owned() };
    scene.world.emulator.set_faults(FaultPlan::none().with("*", When::Always, denied));
    scene.run("doctor db").await?.ends(1).says("ask for secretsmanager:DescribeSecret");
    scene.run("doctor").await?.ends(0);
    scene.credentials = false;
    scene.run("doctor").await?.ends(0).says("Note").says("aws sso login");
    // Only verify needs them: what could not be checked is said, and is no fault of the object.
    scene.run("doctor db").await?.ends(0).says("aws sso login").says("your access to the secret were not checked");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_rights_is_told_which() -> Result<()> {
    let scene = Scene::new("rights").await?;
    scene.settled("db", spec()).await?;
    let namespace = scene.world.namespace.clone();
    let cluster = control_plane().await?;
    let rights = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "viewer"}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "stranger"}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "viewer"},
            "rules": [{"apiGroups": ["rotated-secrets.io"], "resources": ["rotatedsecrets"], "verbs": ["get", "list"]}]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "viewer"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "viewer"},
            "subjects": [{"kind": "ServiceAccount", "name": "viewer", "namespace": namespace}]},
    ]});
    for item in rights["items"].as_array().expect("items") {
        cluster.apply_yaml_in(&namespace, &item.to_string()).await?;
    }
    // The viewer may not read the Namespace, and learns of its suspension from the objects.
    let suspended = async |because: Option<&str>| -> Result<()> {
        let patch = kube::api::Patch::Merge(json!({"metadata": {"annotations": {"rotated-secrets.io/suspend": because}}}));
        let namespaces = kube::api::Api::<k8s_openapi::api::core::v1::Namespace>::all(scene.world.admin.clone());
        namespaces.patch(&namespace, &kube::api::PatchParams::default(), &patch).await?;
        let ctx = scene.world.operator(None, std::sync::Arc::default()).await?;
        scene.world.settle(&ctx, "db").await?;
        Ok(())
    };
    suspended(Some("INC-9")).await?;
    let viewer = cluster.service_account_kubeconfig(&namespace, "viewer").await?;
    let answer =
        scene.run_with(&["doctor", "-o", "json", "-n", &namespace], &[("KUBECONFIG", &viewer.display().to_string())]).await?.json();
    assert_eq!(result(&answer, "namespace"), ["Note"], "{answer}");
    assert!(answer.to_string().contains("INC-9"), "{answer}");
    suspended(None).await?;
    let scene = scene.by_user(viewer);
    scene.run("status").await?.ends(0);
    scene.run("rotate db").await?.ends(3).in_one_sentence().says("you may not patch RotatedSecrets in namespace");
    scene.run("suspend db").await?.ends(3).in_one_sentence().says("you may not patch");
    scene.run("verify db").await?.ends(3).says("ask for get on secrets").says("only AWS and the status were compared");
    let answer = scene.run("doctor -o json").await?.ends(1).json();
    assert_eq!(result(&answer, "access"), ["Ok", "Ok", "Problem", "Note"]);

    let scene = scene.by_user(cluster.service_account_kubeconfig(&namespace, "stranger").await?);
    scene.run("status").await?.ends(3).in_one_sentence().says("you may not list RotatedSecrets");
    scene.run("status -A").await?.ends(3).in_one_sentence().says("you may not list RotatedSecrets in all namespaces");
    scene.run("status db").await?.ends(3).in_one_sentence().says("you may not get RotatedSecrets");
    scene.run("doctor").await?.ends(1).says("which status needs");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_repeats_what_the_operator_says_of_the_object() -> Result<()> {
    let mut scene = Scene::new("repeats").await?;
    let mut often = spec();
    often["rotation"] = json!({"schedule": "rate(1 minute)"});
    scene.settled("often", often).await?;
    scene.run("doctor often").await?.ends(1).says("often is Stalled, IntervalTooShort");
    // A Secret that belongs to another owner.
    let foreign = serde_json::from_value(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "theirs"}}))?;
    scene.world.secrets().create(&kube::api::PostParams::default(), &foreign).await?;
    scene.settled("theirs", spec()).await?;
    let answer = scene.run("doctor theirs -o json").await?.ends(1).json();
    assert_eq!((result(&answer, "object"), result(&answer, "awsSecret")), (vec!["Problem"], vec!["Note"]), "{answer}");
    scene.run("doctor theirs").await?.says("SecretNotOwned");
    for credentials in [true, false] {
        scene.credentials = credentials;
        scene.run("doctor nobody").await?.ends(1).says("there is no RotatedSecret nobody");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_proves_whether_an_operator_runs() -> Result<()> {
    let scene = Scene::new("probe").await?;
    scene.settled("db", spec()).await?;
    {
        let _operator = scene.operator().await?;
        scene.run("doctor db --probe").await?.ends(0).says("it has acknowledged a refresh of db");
    }
    // Nothing is due, and nothing was written for two minutes: whether an operator runs cannot be told.
    let patch = json!([{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]);
    let patch: kube::api::Patch<()> = kube::api::Patch::Json(serde_json::from_value(patch)?);
    scene.world.objects().patch("db", &kube::api::PatchParams::default(), &patch).await?;
    let answer = scene.run("doctor -o json").await?.ends(0).json();
    assert_eq!(result(&answer, "operator"), ["Note"], "{answer}");
    scene.run("doctor").await?.says(&scene.command("doctor db --probe"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_has_the_operator_ask_the_database() -> Result<()> {
    let scene = Scene::new("target").await?;
    let postgres = Postgres::shared()?;
    let role = "doctor_target";
    postgres.sql("postgres", &format!("DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN"))?;
    postgres.set_password(role, "theirs-canary-5hT1")?;
    let value = json!({"username": role, "password": "theirs-canary-5hT1"}).to_string();
    let tags = [("rotated-secrets.io/adopt-by".to_owned(), format!("{}/db", scene.world.namespace))].into();
    scene.world.emulator.external_writer().create(&scene.world.aws_name("db"), &value, &tags)?;
    let allowed = kube::api::Patch::Merge(json!({"metadata": {"annotations": {"rotated-secrets.io/allowed-hosts": "127.0.0.1:*"}}}));
    let namespaces = kube::api::Api::<k8s_openapi::api::core::v1::Namespace>::all(scene.world.admin.clone());
    namespaces.patch(&scene.world.namespace, &kube::api::PatchParams::default(), &allowed).await?;
    let target = json!({"host": "127.0.0.1", "port": postgres.port(), "database": "postgres", "tls": {"caBundle": postgres.ca()}});
    let spec = json!({
        "aws": {"adoptionPolicy": "IfTagged"},
        "value": {"data": {"username": role}, "generate": {"password": {}}},
        "rotation": {"schedule": "rate(30 days)", "postgres": target},
    });
    scene.settled("db", spec).await?;
    let host = format!("127.0.0.1:{}", postgres.port());

    let before = scene.world.objects().get("db").await?;
    scene.run("doctor db").await?.ends(0).says(&scene.command("doctor db --probe")).says("has the operator ask");
    assert_eq!(scene.world.objects().get("db").await?, before, "without --probe nothing is written");
    let _operator = scene.operator().await?;
    let ran = scene.run("doctor db --probe").await?.ends(0).says(&format!("{host} accepts the current value (user {role}, tls VerifyFull"));
    assert!(!ran.out.contains("canary"), "{ran:#?}");
    // The answer stays in the status.
    scene.run("doctor db").await?.ends(0).says(&format!("{host} accepts the current value"));
    postgres.set_password(role, "changed by another person")?;
    let answer = scene.run("doctor db --probe -o json").await?.ends(1).json();
    assert_eq!(result(&answer, "targetAnswer"), ["Problem"], "{answer}");
    assert!(answer.to_string().contains("PasswordRefused"), "{answer}");
    scene.world.patch("db", json!({"spec": {"rotation": {"suspend": true}}})).await?;
    scene.run("doctor db --probe").await?.says(&format!("the operator did not ask {host} now: rotation is suspended"));
    Ok(())
}
