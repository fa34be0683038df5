//! Commands on many objects, and suspensions that say why.

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::scene::Scene;
use testkit::fixtures::spec;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_several_objects_waits_for_each() -> Result<()> {
    let scene = Scene::new("several").await?;
    for name in ["a", "b", "c"] {
        scene.settled(name, spec()).await?;
    }
    scene.world.create("mirror", json!({"aws": {"secretName": "shared/key"}})).await?;
    scene.world.patch("c", json!({"metadata": {"labels": {"team": "payments"}}})).await?;
    let _operator = scene.operator().await?;
    let ran = scene.run("rotate a rsec/b").await?.ends(0);
    for name in ["a", "b"] {
        let done =
            ran.out.lines().any(|line| line.contains(&format!("   {name}   ready")) && line.ends_with(&format!("{name} is rotated")));
        assert!(done, "{ran:#?}");
    }
    let answer = scene.run("rotate -l team=payments -o json").await?.ends(0).json();
    let item = &answer["items"][0];
    assert_eq!((&item["name"], &item["outcome"]), (&json!("c"), &json!("Done")), "what a selector selects is a list: {answer}");
    // What cannot rotate is named, and the others are not kept from it.
    let ran = scene.run("rotate --all -o json").await?.ends(1).says("error: mirror: ");
    let answers = ran.json();
    let outcomes: Vec<_> = answers["items"].as_array().context("items")?.iter().map(|item| (&item["name"], &item["outcome"])).collect();
    assert_eq!(outcomes.len(), 3, "{answers}");
    assert!(outcomes.iter().all(|(_, outcome)| **outcome == json!("Done")), "{answers}");
    for (name, versions) in [("a", 3), ("b", 3), ("c", 3)] {
        assert_eq!(scene.world.aws_secret(name).context("a secret")?.versions.len(), versions, "{name}");
    }
    scene.run("refresh -l team=nobody").await?.ends(1).in_one_sentence().says("no RotatedSecret with the labels team=nobody");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_says_why_and_a_resumption_what_follows() -> Result<()> {
    let scene = Scene::new("because").await?;
    for name in ["a", "b"] {
        scene.settled(name, spec()).await?;
    }
    scene.run("suspend a --message INC-1").await?.ends(0);
    // What is suspended already keeps its reason.
    let answers = scene.run("suspend --all --message INC-2 -o json").await?.ends(0).json();
    assert_eq!((&answers["items"][0]["changed"], &answers["items"][1]["changed"]), (&json!(false), &json!(true)), "{answers}");
    {
        let _operator = scene.operator().await?;
        for name in ["a", "b"] {
            while scene.world.objects().get(name).await?.status.unwrap_or_default().conditions.iter().all(|c| c.reason != "Suspended") {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
    scene.run("status").await?.ends(0).says("2 Suspended").says("INC-1, by ").says("INC-2, by ").says(", since 2");
    assert_eq!(
        scene.run("status a -o json").await?.json()["suspendMessage"].as_str().map(|text| text.starts_with("INC-1, by ")),
        Some(true)
    );
    scene.run("rotate a").await?.ends(1).in_one_sentence().says("a is suspended");

    // What follows is said, and the reason goes.
    scene.world.patch("b", json!({"metadata": {"annotations": {"rotated-secrets.io/rotate": "later"}}})).await?;
    scene.run("resume b").await?.ends(0).says("the pending rotate request is carried out now");
    assert_eq!(scene.run("status b -o json").await?.json()["suspendMessage"], json!(null));
    scene.run("resume --all").await?.ends(0).says("a is resumed").says("b is already in this state");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_rotation_rotates_only_on_purpose() -> Result<()> {
    let scene = Scene::new("onpurpose").await?;
    scene.settled("db", spec()).await?;
    scene.run("suspend db --rotation-only -m INC-1").await?.ends(0);
    let _operator = scene.operator().await?;
    let ran = scene.run("rotate db").await?.ends(1).in_one_sentence().says("rotation of db is suspended (INC-1, by ");
    ran.says("--force").says(&scene.command("resume db"));
    assert_eq!(scene.world.aws_secret("db").context("a secret")?.versions.len(), 1);
    scene.run("rotate db --force").await?.ends(0);
    assert_eq!(scene.world.aws_secret("db").context("a secret")?.versions.len(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_suspended_as_a_whole_and_its_objects_stay_as_they_are() -> Result<()> {
    let scene = Scene::new("whole").await?;
    scene.settled("db", spec()).await?;
    scene.run("resume --namespace-wide").await?.ends(0).says("is not suspended");
    scene.run("suspend --namespace-wide -m INC-1").await?.ends(0).says("is suspended (INC-1, by ");
    scene.run("suspend --namespace-wide -m INC-2").await?.ends(0).says("is suspended already (INC-1, by ");
    // The operator has not said it yet.
    scene.run("rotate db").await?.ends(1).in_one_sentence().says("the namespace of db is suspended (INC-1, by ");
    let ran = scene.run("doctor db --probe").await?.ends(0).says("not probed").says("is suspended (INC-1, by ");
    ran.says(&scene.command("resume --namespace-wide"));
    scene.run("doctor -A").await?.says(&format!("{} is suspended (INC-1, by ", scene.world.namespace));
    let _operator = scene.operator().await?;
    while scene.world.objects().get("db").await?.status.unwrap_or_default().conditions.iter().all(|c| c.reason != "Suspended") {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let resume = scene.command("resume --namespace-wide");
    scene.run("status").await?.ends(0).says("1 Suspended").says("INC-1, by ").says(&resume);
    scene.run("rotate db").await?.ends(1).in_one_sentence().says("the namespace of db is suspended").says("INC-1").says(&resume);
    scene.run("resume db").await?.ends(1).in_one_sentence().says("its namespace is").says("resume --namespace-wide");
    assert!(!scene.world.objects().get("db").await?.spec.suspend);
    scene.run("suspend --namespace-wide --as jane").await?.ends(3).in_one_sentence().says("the Namespace").says("--all");
    scene.run("resume --namespace-wide").await?.ends(0).says("is resumed");
    while scene.world.objects().get("db").await?.status.unwrap_or_default().conditions.iter().any(|c| c.reason == "Suspended") {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    scene.run("rotate db").await?.ends(0);
    Ok(())
}
