//! Going back by the plugin, and what it says of a pinned Secret.

use anyhow::{Context as _, Result};
use kube::api::{Patch, PatchParams};
use rotated_secrets::api::ROLLBACK;
use serde_json::json;

use crate::scene::Scene;
use testkit::fixtures::spec;

fn values(scene: &Scene) -> Vec<String> {
    let secret = scene.world.aws_secret("db").unwrap();
    secret.versions.iter().map(|version| version.value().unwrap().as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rollback_waits_until_the_older_value_is_current_mirrored_and_ready() -> Result<()> {
    let scene = Scene::new("rollback").await?;
    scene.settled("db", spec()).await?;
    let _operator = scene.operator().await?;
    for _ in 0..2 {
        scene.run("rotate db").await?.ends(0);
    }
    let ran = scene.run("rollback db").await?.ends(0);
    let steps: Vec<&str> = ran.out.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(steps, ["refreshed", "requested", "current", "mirrored", "ready"], "{ran:#?}");
    let second = scene.world.aws_secret("db").context("a secret")?.versions[1].id.clone();
    let ran = ran.says(&format!("the value of version {second}, from ")).says(" ago (Requested), with token");
    drop(ran);
    scene.world.check_agreement("db").await?;
    let made = values(&scene);
    assert_eq!((made.len(), made.last()), (4, made.get(1)), "the value before");

    // The first version, by the beginning of its id.
    let first = scene.world.aws_secret("db").context("a secret")?.versions[0].id.clone();
    let answer = scene.run(&format!("rollback db --to {} -o json", &first[..8])).await?.ends(0).json();
    assert_eq!((&answer["outcome"], &answer["steps"]["mirrored"]), (&json!("Done"), &json!(true)));
    let aws = scene.world.aws_secret("db").context("a secret")?;
    assert_eq!(Some(&answer["versionId"]), aws.labels.get("AWSCURRENT").map(|version| json!(version)).as_ref());
    let made = values(&scene);
    assert_eq!((made.len(), made.last()), (5, made.first()));

    let history = scene.run("history db -o json").await?.ends(0).json();
    assert_eq!((&history["items"][0]["cause"], &history["items"][0]["copyOf"]), (&json!("RolledBack"), &json!(first)));
    let back: Vec<&str> = history["items"].as_array().context("items")?.iter().filter_map(|item| item["canGoBack"].as_str()).collect();
    assert_eq!(back, ["Current", "Yes", "Yes", "Yes", "Yes"]);
    scene.run("history db").await?.ends(0).says(&format!("value of {}", &first[..8]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rollback_says_what_cannot_be_and_asks_for_nothing_then() -> Result<()> {
    let scene = Scene::new("noback").await?;
    scene.settled("db", spec()).await?;
    {
        let _operator = scene.operator().await?;
        scene.run("rollback db").await?.ends(1).says("no previous version yet");
    }
    let current = scene.world.aws_secret("db").context("a secret")?.versions[0].id.clone();
    scene.run(&format!("rollback db --to {current}")).await?.ends(1).in_one_sentence().says("is already current");
    scene.run("rollback db --to zzz").await?.ends(1).in_one_sentence().says("history db");
    scene.world.create("mirror", json!({"aws": {"secretName": "shared/key"}})).await?;
    scene.run("rollback mirror").await?.ends(1).in_one_sentence().says("spec.target.versionId");
    for name in ["db", "mirror"] {
        assert!(!scene.world.objects().get(name).await?.metadata.annotations.unwrap_or_default().contains_key(ROLLBACK));
    }
    // What only AWS can know is asked for, and answered by the operator.
    let _operator = scene.operator().await?;
    let unknown = "00000000-0000-0000-0000-000000000000";
    scene.run(&format!("rollback db --to {unknown}")).await?.ends(1).in_one_sentence().says("the version does not exist");
    assert_eq!(scene.run(&format!("rollback db --to {unknown} -o json")).await?.ends(1).json()["outcome"], "Refused");
    assert_eq!(scene.world.aws_secret("db").context("a secret")?.versions.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rollback_that_is_not_waited_on_leaves_a_request() -> Result<()> {
    let scene = Scene::new("nowaitback").await?;
    scene.settled("db", spec()).await?;
    let previous = scene.world.aws_secret("db").context("a secret")?.versions[0].id.clone();
    {
        let _operator = scene.operator().await?;
        scene.run("rotate db").await?.ends(0);
    }
    let answer = scene.run(&format!("rollback db --to {} --no-wait -o json", &previous[..8])).await?.ends(0).json();
    let annotations = scene.world.objects().get("db").await?.metadata.annotations.unwrap_or_default();
    let asked = annotations.get(ROLLBACK).context("the request")?;
    assert_eq!(asked, &format!("{}:{previous}", answer["token"].as_str().context("a token")?), "the version, whatever comes in between");
    scene.run("status db").await?.says("rollback, refresh");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_secret_is_in_order_and_rotation_does_not_wait_for_it() -> Result<()> {
    let scene = Scene::new("pinned").await?;
    scene.settled("db", spec()).await?;
    let first = scene.world.aws_secret("db").context("a secret")?.versions[0].id.clone();
    let _operator = scene.operator().await?;
    scene.world.patch("db", json!({"spec": {"target": {"versionId": first}}})).await?;
    scene.run("refresh db").await?.ends(0);
    scene.run("rotate db").await?.ends(0).says("is pinned and does not change");
    let verified = scene.run("verify db --values").await?.ends(0);
    assert!(verified.out.contains(&format!("holds {first}, as it is pinned")), "{verified:#?}");
    let ran = scene.run("status db").await?.ends(0).says("State:           Pinned").says(&format!("of version {first}"));
    ran.says(&format!("to remove the pin: {}", scene.command("unpin db")));
    scene.run("status").await?.ends(0).says("1 Pinned");
    scene.run("verify db --no-aws").await?.ends(0);
    scene.world.patch("db", json!({"spec": {"target": {"versionId": null, "versionStage": "AWSPREVIOUS"}}})).await?;
    scene.run("refresh db").await?.ends(0);
    scene.run("verify db --values").await?.ends(0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_twice_does_not_bring_the_bad_value_back() -> Result<()> {
    let scene = Scene::new("twice").await?;
    scene.settled("db", spec()).await?;
    let _operator = scene.operator().await?;
    scene.run("rotate db").await?.ends(0);
    scene.run("rollback db").await?.ends(0);
    let aws = scene.world.aws_secret("db").context("a secret")?;
    let (good, bad) = (aws.versions[0].id.clone(), aws.versions[1].id.clone());
    let ran = scene.run("rollback db").await?.ends(1);
    let ran = ran.says(&format!("already has the value of version {good}, rolled back ")).says("no rollback was requested");
    ran.says(&scene.command(&format!("rollback db --to {bad}")));
    assert_eq!(scene.world.aws_secret("db").context("a secret")?.versions.len(), 3);
    assert_eq!(values(&scene)[2], values(&scene)[0]);
    // By its id it is meant.
    scene.run(&format!("rollback db --to {bad}")).await?.ends(0);
    assert_eq!(values(&scene)[3], values(&scene)[1]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_was_put_in_aws_just_before_is_what_is_gone_back_from() -> Result<()> {
    let scene = Scene::new("justbefore").await?;
    scene.settled("db", spec()).await?;
    {
        let _operator = scene.operator().await?;
        scene.run("rotate db").await?.ends(0);
    }
    // No reconcile has happened since.
    let name = scene.world.aws_secret("db").context("a secret")?.name;
    let bad = json!({"username": "admin", "password": "typed in the console"}).to_string();
    // AWS dates each change differently.
    scene.world.emulator.clock().advance(std::time::Duration::from_secs(1));
    scene.world.emulator.external_writer().put_value(&name, &bad).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let good = scene.world.aws_secret("db").context("a secret")?.versions[1].id.clone();
    let status = scene.world.objects().get("db").await?.status.unwrap_or_default().aws.unwrap_or_default();
    assert_eq!(status.current_version_id.as_ref(), Some(&good), "the status is behind");

    let _operator = scene.operator().await?;
    let answer = scene.run("rollback db -o json").await?.ends(0).json();
    assert_eq!((&answer["restores"]["versionId"], &answer["restores"]["cause"]), (&json!(good), &json!("Requested")));
    let made = values(&scene);
    assert_eq!((made.len(), &made[2], made.last()), (4, &bad, made.get(1)), "the good value, which is the one before the bad one");
    scene.world.check_agreement("db").await?;
    let history = scene.run("history db -o json").await?.ends(0).json();
    let causes: Vec<&str> = history["items"].as_array().context("items")?.iter().filter_map(|item| item["cause"].as_str()).collect();
    assert_eq!(causes, ["RolledBack", "External", "Requested", "Created"]);
    assert_eq!(history["items"][0]["copyOf"], json!(good));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_look_at_aws_nothing_is_gone_back_to() -> Result<()> {
    let scene = Scene::new("nolook").await?;
    scene.settled("db", spec()).await?;
    {
        let _operator = scene.operator().await?;
        scene.run("rotate db").await?.ends(0);
    }
    let answer = scene.run("rollback db --timeout 1s -o json").await?.ends(1).json();
    assert_eq!((&answer["outcome"], answer.get("token")), (&json!("TimedOut"), None));
    scene.run("rollback db --no-wait --timeout 1s").await?.ends(1).in_one_sentence().says("no rollback was requested").says("doctor");
    assert!(!scene.world.objects().get("db").await?.metadata.annotations.unwrap_or_default().contains_key(ROLLBACK));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_whose_value_would_come_back_and_writes_nothing() -> Result<()> {
    let scene = Scene::new("dryrun").await?;
    scene.settled("db", spec()).await?;
    {
        let _operator = scene.operator().await?;
        scene.run("rotate db").await?.ends(0);
    }
    let first = scene.world.aws_secret("db").context("a secret")?.versions[0].id.clone();
    let before = scene.world.objects().get("db").await?;
    for line in ["rollback db --dry-run".to_owned(), format!("rollback db --dry-run --to {}", &first[..8])] {
        scene.run(&line).await?.ends(0).says(&format!("the value of version {first}, from ")).says("(Created)").says("nothing was written");
    }
    let answer = scene.run("rollback db --dry-run -o json").await?.ends(0).json();
    assert_eq!((&answer["outcome"], &answer["restores"]["versionId"]), (&json!("DryRun"), &json!(first)));
    assert_eq!(scene.world.objects().get("db").await?.metadata.resource_version, before.metadata.resource_version);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_rollback_is_replaced_only_on_purpose() -> Result<()> {
    let scene = Scene::new("replaced").await?;
    scene.settled("db", spec()).await?;
    {
        let _operator = scene.operator().await?;
        scene.run("rotate db").await?.ends(0);
        scene.run("rotate db").await?.ends(0);
    }
    let versions: Vec<String> =
        scene.world.aws_secret("db").context("a secret")?.versions.iter().map(|version| version.id.clone()).collect();
    let (first, second) = (&versions[0], &versions[1]);
    let target = async || -> Result<String> {
        let annotations = scene.world.objects().get("db").await?.metadata.annotations.unwrap_or_default();
        let request = annotations.get(ROLLBACK).context("a request")?.clone();
        Ok(request.split_once(':').context("a version")?.1.to_owned())
    };
    scene.run(&format!("rollback db --to {first} --no-wait")).await?.ends(0);
    let ran = scene.run(&format!("rollback db --to {second} --no-wait")).await?.ends(1).in_one_sentence();
    let ran = ran.says(&format!("a rollback of db to {first} is pending")).says(&scene.command("rollback db --cancel"));
    ran.says(&scene.command(&format!("rollback db --to {second} --yes")));
    assert_eq!(&target().await?, first);
    // The same one again is one request.
    scene.run(&format!("rollback db --to {first} --no-wait")).await?.ends(0).says("of a request that is still pending");
    scene
        .run(&format!("rollback db --to {second} --no-wait --yes"))
        .await?
        .ends(0)
        .says(&format!("instead of the pending rollback to {first}"));
    assert_eq!(&target().await?, second);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_pinned_and_released() -> Result<()> {
    let scene = Scene::new("pin").await?;
    scene.settled("db", spec()).await?;
    let first = scene.world.aws_secret("db").context("a secret")?.versions[0].id.clone();
    let _operator = scene.operator().await?;
    let ran = scene.run(&format!("pin db --to {}", &first[..8])).await?.ends(0).says(&format!("pinned to version {first}"));
    ran.says(&scene.command("unpin db"));
    scene.run("refresh db").await?.ends(0);
    scene.run("rotate db").await?.ends(0).says("is pinned and does not change");
    scene.run(&format!("pin db --to {first}")).await?.ends(0).says("already in this state");
    let answer = scene.run("pin db --label AWSPREVIOUS -o json").await?.ends(0).json();
    assert_eq!((&answer["versionStage"], answer.get("versionId"), &answer["changed"]), (&json!("AWSPREVIOUS"), None, &json!(true)));
    // The API server checks the label.
    scene.run("pin db --label awsprevious").await?.ends(1).in_one_sentence().says("AWSPREVIOUS");
    scene.run("pin db --to zzz").await?.ends(1).in_one_sentence().says("history db");
    scene.run("pin db").await?.ends(2);
    scene.run("pin db --to a --label b").await?.ends(2);
    // Another writer of the field may set it again.
    let theirs = PatchParams { field_manager: Some("argocd-controller".to_owned()), ..PatchParams::default() };
    let label = json!({"spec": {"target": {"versionStage": "AWSCURRENT"}}});
    scene.world.objects().patch("db", &theirs, &Patch::Merge(label)).await?;
    let label = json!({"spec": {"target": {"versionStage": "AWSPREVIOUS"}}});
    scene.world.objects().patch("db", &theirs, &Patch::Merge(label)).await?;
    scene.run("unpin --all").await?.ends(0).says("not pinned any more").says("the field manager argocd-controller sets the pin as well");
    scene.run("refresh db").await?.ends(0);
    scene.run("status db").await?.ends(0).says("State:           Ready");
    scene.run("verify db --values").await?.ends(0);
    Ok(())
}
