//! Which AWS names a namespace may use.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::json;

use super::stage::{HOUR, Stage};
use testkit::fixtures::spec;

fn named(name: &str) -> serde_json::Value {
    let mut spec = spec();
    spec["aws"] = json!({"secretName": name, "deletionPolicy": "Delete"});
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_outside_the_namespaces_own_prefix_is_not_even_looked_at() -> Result<()> {
    let stage = Stage::new("names").await?;
    let own = stage.world.namespace.clone();
    let names = [
        "shared/api-key".to_owned(),
        "k8s/other/x".to_owned(),
        format!("k8s/{own}-evil/x"),
        format!("k8s/{own}x"),
        format!("k8s/{own}"),
        format!("k8s/{own}/"),
        format!("K8S/{own}/x"),
        format!("/k8s/{own}/x"),
        format!("k8s//{own}/x"),
        format!("x/k8s/{own}/x"),
    ];
    for (number, name) in names.iter().enumerate() {
        stage.external_writer().create(name, "mine", &BTreeMap::new())?;
        let kinds = [
            ("owned", named(name), "rotated-secrets.io/allowed-names"),
            ("mirrored", json!({"aws": {"secretName": name}}), "rotated-secrets.io/mirror-names"),
        ];
        for (kind, spec, annotation) in kinds {
            let object = format!("{kind}-{number}");
            let before = stage.aws();
            stage.settled(&object, spec).await?;
            let message = stage.expect(&object, "Provisioned", "False", "NameNotAllowed").await?;
            ensure!(message.contains(annotation), "{message}");
            stage.expect(&object, "Ready", "False", "NameNotAllowed").await?;
            stage.expect(&object, "Stalled", "True", "NameNotAllowed").await?;
            assert_eq!(stage.told(&object, "Warning", "NameNotAllowed").await?, 1);
            assert_eq!(stage.world.emulator.counters().calls(), 0, "{name}: whether it exists is nobody's business");
            ensure!(stage.no_secret(&object).await?, "{name}: mirrored");
            assert_eq!(stage.aws(), before);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_administrators_leave_on_the_namespace_makes_a_name_usable_until_it_is_taken_back() -> Result<()> {
    let stage = Stage::new("names").await?;
    stage.settled("app", named("shared/app")).await?;
    stage.expect("app", "Provisioned", "False", "NameNotAllowed").await?;
    stage.allow_names(Some("other/*, shared/*")).await?;
    stage.settle("app").await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    let value: serde_json::Value = serde_json::from_str(&stage.external_writer().value("shared/app")?)?;
    assert_eq!(stage.data("app").await?.get("password").map(String::as_str), value["password"].as_str());

    stage.allow_names(None).await?;
    let (aws, mirror) = (stage.aws(), stage.secret("app").await?);
    stage.advance(HOUR);
    stage.settle("app").await?;
    stage.expect("app", "Provisioned", "False", "NameNotAllowed").await?;
    assert_eq!(stage.aws(), aws, "no rotation without leave");
    assert_eq!(stage.secret("app").await?, mirror, "what pods mount stays");

    stage.delete_object("app").await?;
    stage.settle("app").await?;
    ensure!(stage.world.objects().get_opt("app").await?.is_none(), "the object is held back");
    assert_eq!(stage.aws(), aws, "no deletion without leave");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deeper_name_under_the_own_prefix_needs_no_leave() -> Result<()> {
    let stage = Stage::new("names").await?;
    let name = stage.aws_name("team/db/admin");
    stage.settled("app", named(&name)).await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    assert_eq!(stage.aws().len(), 1);
    stage.external_writer().value(&name)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_end_as_if_with_an_arns_suffix_live_side_by_side() -> Result<()> {
    let stage = Stage::new("names").await?;
    // AWS takes a partial ARN of `app` for one of `app-secret` and the other way round.
    for order in [["app", "app-secret"], ["db-secret", "db"]] {
        for name in order {
            stage.settled(name, spec()).await?;
        }
        for name in order {
            let [other] = order.into_iter().filter(|other| *other != name).collect::<Vec<_>>()[..] else { unreachable!() };
            let (before, mirror) = (stage.value(other), stage.secret(other).await?);
            stage.world.request_rotation(name, "now").await?;
            stage.settle(name).await?;
            stage.settle(other).await?;
            stage.world.check_agreement(name).await?;
            assert_eq!(stage.value(other), before);
            assert_eq!(stage.secret(other).await?, mirror);
        }
        assert_eq!(order.map(|name| stage.versions(name)), [2, 2]);
    }
    Ok(())
}
