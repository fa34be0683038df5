//! `schedule`: the next due times, with and without a cluster.

use anyhow::Result;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::scene::Scene;
use testkit::fixtures::spec;

const MANIFEST: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: other}
---
apiVersion: rotated-secrets.io/v1alpha1
kind: RotatedSecret
metadata: {name: db, namespace: shop}
spec:
  value: {generate: {password: {}}}
  rotation:
    schedule: 0 8 * * MON
    timeZone: Europe/Berlin
    duration: 2h
    excludePeriods: [{from: 2026-12-20, to: 2027-01-06}]
";

#[tokio::test(flavor = "multi_thread")]
async fn due_times_of_files_and_expressions_need_no_cluster() -> Result<()> {
    let scene = Scene::new("offline").await?;
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("db.yaml");
    std::fs::write(&file, MANIFEST)?;
    let file = file.display().to_string();
    let nothing = [("KUBECONFIG", "/missing/config")];
    let after = ["--after", "2026-12-08T00:00:00Z"];
    let words = ["schedule", "-f", &file, after[0], after[1], "--count", "6"];
    let ran = scene.run_with(&words, &nothing).await?.ends(0);
    for line in [
        "0 8 * * MON; timeZone: Europe/Berlin; duration: 2h",
        "DUE (Europe/Berlin)",
        "Mon 2026-12-14 08:00:00 +01:00   2026-12-14T07:00:00Z   Mon 2026-12-14 08:00:00 +01:00, or up to 2h later",
        "Mon 2026-12-21 08:00:00 +01:00   2026-12-21T07:00:00Z   Thu 2027-01-07 00:00:00 +01:00, or up to 2h later (excluded until Thu 2027-01-07 00:00:00 +01:00)",
        "excluded: the deferred rotation serves this due time too",
        "each object rotates at its own offset",
    ] {
        assert!(ran.out.contains(line), "{line}: {ran:#?}");
    }
    let document = scene.run_with(&[&words[..], &["-o", "json"]].concat(), &nothing).await?.ends(0).json();
    let effects: Vec<&Value> = document["items"].as_array().into_iter().flatten().map(|item| &item["effect"]).collect();
    assert_eq!(effects, ["Rotates", "Deferred", "Covered", "Covered", "Rotates", "Rotates"], "{document}");
    assert_eq!(document["items"][1]["rotationTime"], "2027-01-06T23:00:00Z");
    assert_eq!(document["items"][1]["excludedUntil"], "2027-01-06T23:00:00Z");
    let name = scene.run_with(&[&words[..], &["-o", "name"]].concat(), &nothing).await?.ends(0);
    assert_eq!(name.out, "rotatedsecret.rotated-secrets.io/db\n");

    let expression = |words: &[&'static str]| [&["schedule", "--after", "2026-11-24T00:00:00Z", "--count", "3", "-e"], words].concat();
    let ran = scene.run_with(&expression(&["0 9 8-14 * MON"]), &nothing).await?.ends(0);
    let ran = ran.says("every day that matches one of them is due").says("MON#2");
    assert!(ran.out.contains("Mon 2026-11-30") && ran.out.contains("Tue 2026-12-08"), "{ran:#?}");
    let words = expression(&["0 9 * * MON#1", "--time-zone", "Europe/Berlin", "--exclude-periods", "2026-12-01/2026-12-31"]);
    scene.run_with(&words, &nothing).await?.ends(0).says("Fri 2027-01-01 00:00:00 +01:00 (excluded until");
    scene.run_with(&expression(&["rate(30 days)"]), &nothing).await?.ends(0).says("here it counts from now");
    for (words, told) in [
        (&["0 8 31 2 *"][..], "never occurs"),
        (&["0 8 1 * *", "--time-zone", "Europe/Berlinn"], "`Europe/Berlinn` is not a known time zone"),
        (&["soon"], "use rate(30 days)"),
    ] {
        scene.run_with(&expression(words), &nothing).await?.ends(1).in_one_sentence().says(told);
    }
    scene.run_with(&["schedule"], &nothing).await?.ends(2);
    scene.run_with(&["schedule", "-f", "/missing.yaml"], &nothing).await?.ends(2).says("there is no file /missing.yaml");
    scene.run_with(&expression(&["0 8 1 * *", "--exclude-periods", "christmas"]), &nothing).await?.ends(2).says("is not a date");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn due_times_of_an_object_are_those_of_the_operator_with_the_periods_of_its_namespace() -> Result<()> {
    let scene = Scene::new("schedule").await?;
    let object = scene.settled("db", spec()).await?;
    let next = object.status.and_then(|status| status.next_rotation_time).map(|time| time.0.to_string());
    let ran = scene.run("schedule db -o json --count 2").await?.ends(0).json();
    assert_eq!(ran["items"][0]["rotationTime"].as_str(), next.as_deref(), "{ran}");
    assert_eq!(ran["notes"], json!([]), "{ran}");

    let namespace = scene.world.namespace.as_str();
    let annotate = async |periods: &str| {
        let patch = json!({"metadata": {"annotations": {"rotated-secrets.io/exclude-periods": periods}}});
        Api::<Namespace>::all(scene.world.admin.clone()).patch(namespace, &PatchParams::default(), &Patch::Merge(patch)).await
    };
    let day = ran["items"][0]["rotationTime"].as_str().and_then(|time| time.get(..10)).unwrap_or_default().to_owned();
    annotate(&day).await?;
    let ran = scene.run("schedule db").await?.ends(0);
    assert!(ran.out.contains("(excluded until"), "{ran:#?}");
    annotate("soon").await?;
    scene.run("schedule db").await?.ends(0).says("stops all rotations");
    scene.world.patch("db", json!({"spec": {"rotation": {"suspend": true}}})).await?;
    scene.run("schedule rsec/db").await?.ends(0).says("spec.rotation.suspend is true");
    scene.world.patch("db", json!({"spec": {"rotation": null}})).await?;
    scene.run("schedule db").await?.ends(0).says("spec.rotation is not set");
    scene.run("schedule nobody").await?.ends(1).in_one_sentence().says("there is no RotatedSecret nobody");
    Ok(())
}
