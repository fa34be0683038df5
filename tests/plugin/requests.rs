//! Asking: rotate, refresh, suspend, resume.

use anyhow::{Context as _, Result};
use jiff::SignedDuration;
use rotated_secrets::api::{REFRESH, ROTATE, RotatedSecretStatus, TAG_UID};
use serde_json::json;

use crate::scene::Scene;
use testkit::control_plane;
use testkit::fixtures::spec;

#[tokio::test(flavor = "multi_thread")]
async fn rotate_waits_until_the_new_version_is_current_mirrored_and_ready() -> Result<()> {
    let scene = Scene::new("rotate").await?;
    scene.settled("db", spec()).await?;
    let before = scene.world.aws_secret("db").context("a secret")?.versions.len();
    let _operator = scene.operator().await?;
    let ran = scene.run("rotate db").await?.ends(0);
    let steps: Vec<&str> = ran.out.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(steps, ["requested", "current", "mirrored", "ready"], "{ran:#?}");
    scene.world.check_agreement("db").await?;

    let answer = scene.run("rotate db -o json").await?.ends(0).json();
    assert_eq!(answer["outcome"], "Done");
    assert_eq!(answer["steps"], json!({"requested": true, "current": true, "mirrored": true, "ready": true}));
    let aws = scene.world.aws_secret("db").context("a secret")?;
    assert_eq!(Some(&answer["versionId"]), aws.labels.get("AWSCURRENT").map(|version| json!(version)).as_ref());
    assert_eq!(aws.versions.len(), before + 2, "each request made one version");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rotate_says_until_when_the_operator_holds_the_request_back() -> Result<()> {
    let scene = Scene::new("held").await?;
    scene.settled("db", spec()).await?;
    let _operator = scene.operator_with(|policy| policy.request_interval = SignedDuration::from_mins(10)).await?;
    for _ in 0..3 {
        scene.run("rotate db").await?.ends(0);
    }
    let began = std::time::Instant::now();
    let ran = scene.run("rotate db --timeout 5m").await?.ends(1);
    assert!(began.elapsed() < std::time::Duration::from_mins(5), "it does not wait for what cannot come");
    assert!(ran.out.contains("   waits   ") && ran.out.contains("carries it out at "), "{ran:#?}");
    ran.says("not done within 5m: the operator carries it out at ").says(&scene.command("rotate db --cancel"));
    assert_eq!(scene.world.aws_secret("db").context("a secret")?.versions.len(), 4);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rotate_that_is_not_waited_on_leaves_a_request() -> Result<()> {
    let scene = Scene::new("nowait").await?;
    scene.settled("db", spec()).await?;
    let answer = scene.run("rotate db --no-wait -o json").await?.ends(0).json();
    assert_eq!(answer["outcome"], "Requested");
    let annotations = scene.world.objects().get("db").await?.metadata.annotations.unwrap_or_default();
    assert_eq!(Some(&answer["token"]), annotations.get(ROTATE).map(|token| json!(token)).as_ref());
    scene.run("status db").await?.says("rotate, refresh");
    assert_eq!(scene.world.aws_secret("db").context("a secret")?.versions.len(), 1);
    let again = scene.run("rotate db --no-wait").await?.ends(0).says(&scene.command("status db"));
    again.says(answer["token"].as_str().context("a token")?).says("still pending").says(&scene.command("rotate db --cancel"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rotate_and_refresh_say_when_nobody_carries_them_out() -> Result<()> {
    let scene = Scene::new("nobody").await?;
    scene.settled("db", spec()).await?;
    let ran = scene.run("rotate db --timeout 2s").await?.ends(1).in_one_sentence().says("the operator has not acknowledged");
    let (doctor, cancel) = (scene.command("doctor"), scene.command("rotate db --cancel"));
    ran.says(&doctor).says(&format!("(the request stays; to withdraw it: {cancel})"));
    let answer = scene.run("refresh db --timeout 1s -o json").await?.ends(1).json();
    assert_eq!((&answer["outcome"], &answer["withdraw"]), (&json!("TimedOut"), &json!(scene.command("refresh db --cancel"))));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rotate_gives_the_sentence_of_the_condition_when_it_is_refused() -> Result<()> {
    let scene = Scene::new("refused").await?;
    scene.settled("db", spec()).await?;
    let name = scene.world.aws_secret("db").context("a secret")?.name;
    scene.world.emulator.external_writer().set_tag(&name, TAG_UID, "somebody-else").map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let _operator = scene.operator().await?;
    let ran = scene.run("rotate db").await?.ends(1).in_one_sentence();
    let object = scene.world.objects().get("db").await?;
    let conditions = object.status.unwrap_or_default().conditions;
    let stalled = conditions.iter().find(|condition| condition.type_ == "Stalled").context("it is stalled")?;
    assert!(ran.err.contains(&stalled.message), "{ran:#?}");
    let answer = scene.run("rotate db -o json").await?.ends(1).json();
    assert_eq!((&answer["outcome"], &answer["steps"]["current"]), (&json!("Refused"), &json!(false)));
    scene.run("refresh db").await?.ends(1).in_one_sentence().says(&stalled.message);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_rotate_is_not_asked_to() -> Result<()> {
    let scene = Scene::new("cannot").await?;
    scene.world.create("mirror", json!({"aws": {"secretName": "shared/key"}})).await?;
    scene.world.create("fixed", json!({"value": {"data": {"username": "admin"}}})).await?;
    scene.world.create("paused", json!({"suspend": true, "value": {"generate": {"password": {}}}})).await?;
    scene.run("rotate mirror").await?.ends(1).in_one_sentence().says("managed outside this operator");
    scene.run("rotate fixed").await?.ends(1).in_one_sentence().says("only fixed fields");
    scene.run("rotate paused").await?.ends(1).in_one_sentence().says("kubectl rotatedsecret resume paused");
    scene.run("refresh paused").await?.ends(1).in_one_sentence().says("resume paused");
    for object in scene.world.objects().list(&kube::api::ListParams::default()).await? {
        let annotations = object.metadata.annotations.unwrap_or_default();
        assert!(!annotations.contains_key(ROTATE) && !annotations.contains_key(REFRESH), "{annotations:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_has_the_operator_look_and_mends_the_mirror() -> Result<()> {
    let scene = Scene::new("refresh").await?;
    scene.settled("db", spec()).await?;
    scene.world.secrets().delete("db", &kube::api::DeleteParams::default()).await?;
    let _operator = scene.operator().await?;
    scene.run("refresh db").await?.ends(0).says("ready");
    scene.world.check_agreement("db").await?;
    assert_eq!(scene.run("refresh db -o json").await?.ends(0).json()["outcome"], "Done");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn suspend_and_resume_write_two_fields_and_nothing_else() -> Result<()> {
    let scene = Scene::new("suspend").await?;
    let before = scene.settled("db", spec()).await?.spec;
    let _operator = scene.operator().await?;
    scene.run("suspend db").await?.ends(0).says("resume db");
    assert!(scene.world.objects().get("db").await?.spec.suspend);
    assert_eq!(scene.run("suspend db -o json").await?.ends(0).json()["changed"], false);
    let answer = scene.run("suspend db --rotation-only -o json").await?.ends(0).json();
    assert_eq!((&answer["suspended"], &answer["rotationSuspended"]), (&json!(true), &json!(true)));
    scene.run("resume db").await?.ends(0).says("is resumed");
    assert_eq!(scene.world.objects().get("db").await?.spec, before);

    scene.settled("still", json!({"value": {"plainText": {}}})).await?;
    scene.run("suspend still --rotation-only").await?.ends(1).in_one_sentence().says("no spec.rotation");
    scene.run("suspend still").await?.ends(0);
    scene.run("resume still").await?.ends(0);
    assert_eq!(scene.world.objects().get("still").await?.spec.rotation, None);
    Ok(())
}

/// Each fault leaves the object Stalled, and the operator rotates all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_took_effect_is_done_whatever_else_is_wrong_with_the_object() -> Result<()> {
    let scene = Scene::new("unready").await?;
    let never = "00000000-0000-0000-0000-000000000000";
    let faults = [
        (
            "policy",
            "PolicyNotAllowed",
            json!({"aws": {"resourcePolicy": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
            "Principal": {"AWS": ["arn:aws:iam::123456789012:root"]}, "Action": ["secretsmanager:GetSecretValue"], "Resource": ["*"]}]}}}),
        ),
        ("key", "KeyNotAllowed", json!({"aws": {"kmsKeyId": "alias/theirs"}})),
        ("interval", "IntervalTooShort", json!({"rotation": {"schedule": "rate(1 minute)"}})),
        ("schedule", "InvalidSpec", json!({"rotation": {"schedule": "0 8 31 2-6/2 *"}})),
        ("replica", "InvalidSpec", json!({"aws": {"replicaRegions": [{"region": testkit::REGION}]}})),
        ("pin", "VersionNotFound", json!({"target": {"versionId": never}})),
    ];
    for (name, _, _) in &faults {
        scene.settled(name, spec()).await?;
    }
    let _operator = scene
        .operator_with(|policy| {
            policy.allow_resource_policies = false;
            policy.allowed_kms_keys = vec!["alias/ours".to_owned(), "aws/secretsmanager".to_owned()];
        })
        .await?;
    for (name, reason, fault) in &faults {
        scene.world.patch(name, json!({"spec": fault})).await?;
        scene.run(&format!("refresh {name}")).await?.ends(1);
        scene.run(&format!("status {name}")).await?.ends(1).says("Stalled").says(reason);
        let before = scene.world.aws_secret(name).context("a secret")?.versions.len();

        let ran = scene.run(&format!("rotate {name}")).await?.ends(0).says("is rotated; the object is not Ready for another reason: ");
        assert!(ran.err.is_empty(), "{reason}: {ran:#?}");
        let answer = scene.run(&format!("rotate {name} -o json")).await?.ends(0).json();
        assert_eq!(answer["outcome"], "Done", "{reason}");
        assert_eq!(answer["steps"], json!({"requested": true, "current": true, "mirrored": true, "ready": false}), "{reason}");
        let ran = scene.run(&format!("rollback {name}")).await?.ends(0).says("again; the object is not Ready for another reason: ");
        assert!(ran.err.is_empty(), "{reason}: {ran:#?}");
        // As a person would who believed that it failed.
        scene.run(&format!("rollback {name}")).await?.ends(1).in_one_sentence().says("already has the value of version");
        assert_eq!(scene.world.aws_secret(name).context("a secret")?.versions.len(), before + 3, "{reason}: one version each");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_repeated_while_it_waits_is_one_request() -> Result<()> {
    let scene = Scene::new("repeated").await?;
    scene.settled("db", spec()).await?;
    // A Secret that cannot be written: nothing is rotated, and what is asked for stays.
    scene.world.secrets().delete("db", &kube::api::DeleteParams::default()).await?;
    let foreign = serde_json::from_value(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}}))?;
    scene.world.secrets().create(&kube::api::PostParams::default(), &foreign).await?;
    let before = scene.world.aws_secret("db").context("a secret")?.versions.len();
    let operator = scene.operator().await?;
    for _ in 0..2 {
        let answer = scene.run("rotate db -o json").await?.ends(1).json();
        assert_eq!((&answer["outcome"], &answer["steps"]["current"]), (&json!("Refused"), &json!(false)));
        assert_eq!(answer["withdraw"], json!(scene.command("rotate db --cancel")));
    }
    assert_eq!(scene.world.aws_secret("db").context("a secret")?.versions.len(), before);
    drop(operator);
    scene.world.secrets().delete("db", &kube::api::DeleteParams::default()).await?;
    scene.run("rotate db --no-wait").await?.ends(0).says("still pending");
    // All three were one request, and it is carried out once.
    let _operator = scene.operator().await?;
    scene.run("refresh db").await?.ends(0);
    assert_eq!(scene.world.aws_secret("db").context("a secret")?.versions.len(), before + 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_withdrawn_is_not_carried_out() -> Result<()> {
    let scene = Scene::new("withdrawn").await?;
    scene.settled("db", spec()).await?;
    for (verb, annotation) in [("refresh", REFRESH), ("rotate", ROTATE)] {
        scene.run(&format!("{verb} db --cancel")).await?.ends(0).says("no ").says("nothing was written");
        scene.run(&format!("{verb} db --no-wait")).await?.ends(0);
        let answer = scene.run(&format!("{verb} db --cancel -o json")).await?.ends(0).json();
        assert_eq!(answer["outcome"], "Withdrawn");
        assert!(!scene.world.objects().get("db").await?.metadata.annotations.unwrap_or_default().contains_key(annotation));
    }
    let first = scene.world.aws_secret("db").context("a secret")?.versions[0].id.clone();
    {
        let _operator = scene.operator().await?;
        scene.run("refresh db").await?.ends(0);
        assert_eq!(scene.world.aws_secret("db").context("a secret")?.versions.len(), 1);
        scene.run("rotate db").await?.ends(0);
        assert_eq!(scene.run("rotate db --cancel -o json").await?.ends(0).json()["outcome"], "NothingToWithdraw");
    }
    scene.run(&format!("rollback db --to {first} --no-wait")).await?.ends(0).says(&scene.command("rollback db --cancel"));
    scene.run("rollback db --cancel").await?.ends(0).says("is withdrawn");
    let _operator = scene.operator().await?;
    scene.run("refresh db").await?.ends(0);
    assert_eq!(scene.world.aws_secret("db").context("a secret")?.versions.len(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_wait_says_that_the_request_stays() -> Result<()> {
    let scene = Scene::new("interrupted").await?;
    scene.settled("db", spec()).await?;
    let interrupt = async {
        while !scene.world.objects().get("db").await?.metadata.annotations.unwrap_or_default().contains_key(ROTATE) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        // Asked for is a moment before waited on.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        anyhow::Ok(())
    };
    let ran = scene.run_until("rotate db -o json", interrupt).await?.ends(1);
    let answer = ran.json();
    assert_eq!((&answer["outcome"], &answer["withdraw"]), (&json!("Interrupted"), &json!(scene.command("rotate db --cancel"))));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rotate_says_that_workloads_do_not_run_with_the_version() -> Result<()> {
    let scene = Scene::new("unrolled").await?;
    let mut spec = spec();
    // It does not exist, and is created while the request waits. No pod of it starts.
    spec["rollout"] = json!({"workloads": [{"kind": "Deployment", "name": "api"}]});
    let (labels, container) =
        (json!({"app": "api"}), json!({"name": "api", "image": "example", "envFrom": [{"secretRef": {"name": "db"}}]}));
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api"}, "spec": {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
    }});
    scene.settled("db", spec).await?;
    control_plane().await?.apply_yaml_in(&scene.world.namespace, &deployment.to_string()).await?;
    let _operator = scene.operator().await?;
    let until = async |so: fn(&RotatedSecretStatus) -> bool| {
        while !so(&scene.world.objects().get("db").await?.status.unwrap_or_default()) {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    let time_passes = async || {
        let clock = scene.world.emulator.clock();
        until(|status| status.history.len() > 1).await?;
        clock.advance(std::time::Duration::from_secs(5));
        until(|status| status.rollout.iter().flat_map(|rollout| &rollout.workloads).any(|workload| workload.restarts > 0)).await?;
        clock.advance(std::time::Duration::from_mins(11));
        anyhow::Ok(())
    };
    let (ran, passed) = tokio::join!(scene.run("rotate db --timeout 3m -o json"), time_passes());
    passed?;
    let answer = ran?.ends(1).json();
    let steps = [&answer["steps"]["mirrored"], &answer["steps"]["rolledOut"]];
    assert_eq!((&answer["outcome"], steps), (&json!("NotRolledOut"), [&json!(true), &json!(false)]), "{answer}");
    // The next one is not complete either, because the clock that the operator uses is ahead.
    let ran = scene.run("rotate db --timeout 20s").await?.ends(1).in_one_sentence().says("so do not repeat the request");
    ran.says("the workloads do not run with it: ").says("Deployment api (");
    Ok(())
}
