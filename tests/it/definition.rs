//! The definition: pinned, accepted by the real API server without a warning, and its rules with their sentences.

use anyhow::Result;
use kube::api::PostParams;
use rotated_secrets::api::RotatedSecret;
use serde_json::{Value, json};

use testkit::fixtures::spec;
use testkit::{World, control_plane};

mod manifests;
mod mistakes;
mod with_postgres;

use mistakes::{mistakes, mistakes_by_aws, mistakes_in_periods, wrong_names, wrong_settings};

#[test]
fn the_shipped_definition_is_the_one_that_the_types_say() {
    let generated = rotated_secrets::cli::crd().unwrap();
    assert!(
        generated == include_str!("../../crds/rotatedsecrets.yaml"),
        "type: cargo run --bin rotated-secrets -- crd > crds/rotatedsecrets.yaml"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_takes_what_we_ship_without_a_warning() -> Result<()> {
    let cluster = control_plane().await?;
    let namespace = cluster.namespace("shipped").await?;
    for yaml in [
        include_str!("../../crds/rotatedsecrets.yaml"),
        include_str!("../../deploy/install.yaml"),
        include_str!("../../examples/signing-key.yaml"),
        include_str!("../../examples/db-admin.yaml"),
        include_str!("../../examples/api-key.yaml"),
        include_str!("../../examples/mirror-only.yaml"),
        include_str!("../../examples/rotated-by-lambda.yaml"),
        include_str!("../../examples/office-hours.yaml"),
        include_str!("../../examples/pinned.yaml"),
        include_str!("../../examples/deployment.yaml"),
        include_str!("../../examples/ssh-deploy-key.yaml"),
        include_str!("../../examples/webhook-tls.yaml"),
        include_str!("../../examples/two-regions.yaml"),
        include_str!("../../examples/adopted.yaml"),
        include_str!("../../examples/pull-secret.yaml"),
        include_str!("../../examples/managed-by-rds.yaml"),
        include_str!("../../examples/quota.yaml"),
        include_str!("../../examples/connection-string.yaml"),
        include_str!("../../examples/namespace-annotations-policy.yaml"),
        include_str!("../../examples/rotation-policy.yaml"),
        include_str!("../../examples/owner-policy.yaml"),
    ] {
        let applied = cluster.apply_yaml_in(&namespace, yaml).await?;
        assert!(!applied.objects.is_empty());
        assert_eq!(applied.warnings, Vec::<String>::new());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_defaults_are_shown() -> Result<()> {
    let cluster = control_plane().await?;
    let world = World::new(&cluster.namespace("defaults").await?).await?;
    let spec = json!({"value": {"generate": {"password": {}}}, "rotation": {"automaticallyAfterDays": 30}});
    let object = serde_json::to_value(world.create("plain", spec).await?)?;
    for (path, expected) in [
        ("/spec/suspend", json!(false)),
        ("/spec/aws/deletionPolicy", json!("Retain")),
        ("/spec/aws/recoveryWindowInDays", json!(30)),
        ("/spec/aws/keepVersions", json!(5)),
        ("/spec/target/versionStage", json!("AWSCURRENT")),
        ("/spec/aws/adoptionPolicy", json!("Never")),
        ("/spec/aws/blockPublicPolicy", json!(true)),
        ("/spec/target/adoptionPolicy", json!("Never")),
        ("/spec/target/creationPolicy", json!("Owner")),
        ("/spec/target/type", json!("Opaque")),
        ("/spec/target/deletionPolicy", json!("Delete")),
        ("/spec/rotation/duration", json!("0s")),
        ("/spec/rotation/onMissedWindow", json!("RotateNow")),
        ("/spec/rotation/rotateImmediately", json!(false)),
        ("/spec/rotation/suspend", json!(false)),
        ("/spec/value/generate/password/type", json!("Password")),
        ("/spec/value/generate/password/passwordLength", json!(32)),
        ("/spec/value/generate/password/requireEachIncludedType", json!(true)),
    ] {
        assert_eq!(object.pointer(path), Some(&expected), "{path}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_is_refused_at_apply_with_what_to_write_instead() -> Result<()> {
    let cluster = control_plane().await?;
    let namespace = cluster.namespace("mistakes").await?;
    let lists = [mistakes(), mistakes_in_periods(), wrong_names(), mistakes_by_aws(), with_postgres::mistakes(), wrong_settings()];
    for (number, (what, spec, words)) in lists.into_iter().flatten().enumerate() {
        let object = json!({
            "apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret",
            "metadata": {"name": format!("mistake-{number}")}, "spec": spec,
        });
        let refusal = cluster.apply_yaml_in(&namespace, &object.to_string()).await.map(|_| ()).expect_err(what);
        let text = format!("{refusal:#}");
        assert!(text.contains(words), "{what}: {text}");
    }
    Ok(())
}

/// The findings of `kubectl rotatedsecret lint` for manifests, one a line.
fn linted(manifests: &[Value]) -> Result<Vec<Value>> {
    let file = tempfile::NamedTempFile::new()?;
    let text: Vec<String> = manifests.iter().map(Value::to_string).collect();
    std::fs::write(file.path(), text.join("\n---\n"))?;
    let mut lint = std::process::Command::new(env!("CARGO_BIN_EXE_kubectl-rotatedsecret"));
    let answer: Value = serde_json::from_slice(&lint.args(["lint", "-o", "json"]).arg(file.path()).output()?.stdout)?;
    Ok(answer["findings"].as_array().cloned().unwrap_or_default())
}

#[test]
fn every_mistake_that_the_api_server_refuses_is_found_by_lint() -> Result<()> {
    let object = |spec: Value| json!({"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "metadata": {"name": "x"}, "spec": spec});
    let mistakes: Vec<_> =
        [mistakes(), mistakes_in_periods(), wrong_names(), mistakes_by_aws(), wrong_settings()].into_iter().flatten().collect();
    let manifests: Vec<Value> = mistakes.iter().map(|(_, spec, _)| object(spec.clone())).collect();
    let findings = linted(&manifests)?;
    for (number, (what, ..)) in mistakes.iter().enumerate() {
        let line = json!(2 * number + 1);
        assert!(
            findings.iter().any(|found| found["line"] == line && found["level"] == "error"),
            "{what} is not found: {}",
            manifests[number]
        );
    }
    assert_eq!(linted(&[object(spec())])?, Vec::<Value>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_a_clock_is_taken() -> Result<()> {
    let cluster = control_plane().await?;
    let world = World::new(&cluster.namespace("clocks").await?).await?;
    for (number, rotation) in [
        json!({"schedule": "0 8 1 * *", "timeZone": "America/Argentina/Buenos_Aires"}),
        json!({"schedule": "0 8 1 * *", "timeZone": "Etc/GMT+5", "duration": "1h30m"}),
        json!({"schedule": "rate(30 days)", "duration": "36h", "onMissedWindow": "NextWindow"}),
        json!({"automaticallyAfterDays": 30, "duration": "90m", "onMissedWindow": "RotateNow", "rotateImmediately": true}),
        json!({"schedule": "cron(0 8 1 * ? *)", "duration": "5m", "onMissedWindow": "NextWindow"}),
        json!({"schedule": "cron(0 8 1 * ? *)", "duration": "5m0s"}),
    ]
    .into_iter()
    .enumerate()
    {
        world.create(&format!("clock-{number}"), json!({"value": {"generate": {"password": {}}}, "rotation": rotation})).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_that_aws_takes_is_taken_with_a_function_and_needs_no_value() -> Result<()> {
    let cluster = control_plane().await?;
    let world = World::new(&cluster.namespace("lambda").await?).await?;
    let function = "arn:aws-cn:lambda:cn-north-1:123456789012:function:rotate-it_2:live";
    for (number, mut rotation) in [
        json!({"schedule": "rate(4 hours)", "duration": "4h"}),
        json!({"schedule": "rate(1 day)"}),
        json!({"schedule": "rate(999 days)", "duration": "24h"}),
        json!({"schedule": "cron(0 8 1 * ? *)", "rotateImmediately": true}),
        json!({"schedule": "cron(0 17 L * ? *)", "suspend": true}),
        json!({"automaticallyAfterDays": 1000, "duration": "3h"}),
    ]
    .into_iter()
    .enumerate()
    {
        rotation["lambda"] = json!({"functionArn": function});
        world.create(&format!("by-aws-{number}"), json!({"rotation": rotation})).await?;
        world.create(&format!("with-value-{number}"), json!({"value": {"data": {"a": "b"}}, "rotation": rotation})).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_immutable_is_refused_with_how_to_get_there_instead() -> Result<()> {
    let cluster = control_plane().await?;
    let world = World::new(&cluster.namespace("immutable").await?).await?;
    world
        .create(
            "set",
            json!({"aws": {"region": "eu-west-1", "secretName": "k8s/a/b"}, "target": {"name": "a"}, "value": {"data": {"a": "b"}}}),
        )
        .await?;
    world.create("unset", json!({"value": {"data": {"a": "b"}}})).await?;
    for (name, patch, words) in [
        ("set", json!({"spec": {"aws": {"region": "eu-west-2"}}}), "spec.aws.region is immutable"),
        ("set", json!({"spec": {"aws": {"secretName": "k8s/a/c"}}}), "spec.aws.secretName is immutable"),
        ("set", json!({"spec": {"target": {"name": "b"}}}), "spec.target.name is immutable"),
        ("set", json!({"spec": {"aws": {"region": null}}}), "spec.aws.region is immutable"),
        ("unset", json!({"spec": {"aws": {"region": "eu-west-2"}}}), "spec.aws.region is immutable"),
        ("unset", json!({"spec": {"aws": {"secretName": "k8s/a/c"}}}), "spec.aws.secretName is immutable"),
        ("unset", json!({"spec": {"target": {"name": "b"}}}), "spec.target.name is immutable"),
    ] {
        let refusal = world.patch(name, patch.clone()).await.expect_err("an immutable field").to_string();
        assert!(
            refusal.contains(words) && refusal.contains("new RotatedSecret") || refusal.contains("second RotatedSecret"),
            "{patch}: {refusal}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn names_ending_in_a_hyphen_and_six_characters_are_ordinary() -> Result<()> {
    let cluster = control_plane().await?;
    let world = World::new(&cluster.namespace("names").await?).await?;
    let object: RotatedSecret = serde_json::from_value(json!({
        "apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret",
        "metadata": {"name": "app-secret"}, "spec": spec(),
    }))?;
    world.objects().create(&PostParams::default(), &object).await?;
    Ok(())
}
