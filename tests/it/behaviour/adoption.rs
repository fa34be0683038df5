//! What was there before becomes ours: when it may, and what that means for value, tags, schedule and Secret.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use kube::ResourceExt;
use rotated_secrets::api::{ADOPT_BY, Cause, TAG_CLUSTER, TAG_NAME, TAG_NAMESPACE, TAG_UID};
use serde_json::{Value, json};

use super::stage::{HOUR, MINUTE, Stage};
use testkit::fixtures::{spec, unscheduled};

const THEIRS: &str = r#"{"username":"root","password":"theirs","extra":"x"}"#;

fn adopting(mut spec: Value) -> Value {
    spec["aws"] = json!({"adoptionPolicy": "IfTagged"});
    spec
}

impl Stage {
    /// An AWS secret that exists before the object and may be adopted by the object of that name.
    fn offer(&self, name: &str, tags: &[(&str, &str)]) -> Result<()> {
        let by = format!("{}/{name}", self.world.namespace);
        let tags = tags.iter().copied().chain([(ADOPT_BY, by.as_str())]).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        self.external_writer().create(&self.aws_name(name), THEIRS, &tags)?;
        Ok(())
    }

    fn is_tagged_as_ours(&self, name: &str, uid: &str) -> bool {
        let tags = self.world.aws_secret(name).unwrap().tags;
        let expected = [(TAG_CLUSTER, "test"), (TAG_NAMESPACE, self.world.namespace.as_str()), (TAG_NAME, name), (TAG_UID, uid)];
        expected.iter().all(|(key, value)| tags.get(*key).map(String::as_str) == Some(*value))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_aws_secret_keeps_its_value_and_its_tags_and_is_mirrored_and_rotated_from_then_on() -> Result<()> {
    let stage = Stage::new("adoption").await?;
    stage.offer("app", &[("cost-centre", "7")])?;
    stage.advance(10 * MINUTE);
    let object = stage.settled("app", adopting(spec())).await?;
    ensure!(stage.is_tagged_as_ours("app", &object.uid().unwrap_or_default()));
    ensure!(!stage.world.aws_secret("app").unwrap().tags.contains_key(ADOPT_BY), "the consent would count again for a later object");
    let aws = stage.world.aws_secret("app").unwrap();
    assert_eq!((aws.versions.len(), aws.current(), aws.tags["cost-centre"].as_str()), (1, Some(THEIRS), "7"));
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.causes("app").await?, [Cause::Adopted]);
    assert_eq!(stage.told("app", "Normal", "Adopted").await?, 1);
    assert_eq!(stage.data("app").await?["extra"], "x");
    let message = stage.expect("app", "Provisioned", "True", "Succeeded").await?;
    ensure!(message.contains("was adopted") && !message.contains("as declared"), "{message}");
    // The schedule counts from when the value was made.
    assert_eq!(stage.next_rotation("app").await?, Some(aws.versions[0].created + HOUR));
    stage.assert_silence("app").await?;

    // The first rotation of ours takes the declared fields up and carries all others.
    stage.advance(HOUR);
    stage.settle("app").await?;
    let value = stage.value("app");
    assert_eq!((value["username"].as_str(), value["extra"].as_str()), (Some("admin"), Some("x")));
    ensure!(value["password"] != "theirs", "the password is new");
    let message = stage.expect("app", "Provisioned", "True", "Succeeded").await?;
    ensure!(message.contains("as declared"), "{message}");
    assert_eq!(stage.causes("app").await?, [Cause::Scheduled, Cause::Adopted]);
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aws_secret_is_adopted_only_as_the_policy_says() -> Result<()> {
    let stage = Stage::new("adoption").await?;
    let other = format!("{}/other", stage.world.namespace);
    let cases = [
        ("never", "Never", Some("never"), false),
        ("untagged", "IfTagged", None, false),
        ("for-other", "IfTagged", Some("other"), false),
        ("tagged", "IfTagged", Some("tagged"), true),
        ("always", "Always", None, true),
        ("always-other", "Always", Some("other"), true),
    ];
    for (name, policy, by, adopted) in cases {
        let by = by.map(|by| if by == "other" { other.clone() } else { format!("{}/{by}", stage.world.namespace) });
        let tags = by.map(|by| (ADOPT_BY.to_owned(), by)).into_iter().collect();
        stage.external_writer().create(&stage.aws_name(name), THEIRS, &tags)?;
        let before = stage.aws();
        let mut spec = unscheduled();
        spec["aws"] = json!({"adoptionPolicy": policy});
        stage.world.emulator.counters().reset();
        stage.settled(name, spec).await?;
        if adopted {
            stage.world.check_agreement(name).await?;
            assert_eq!(stage.told(name, "Warning", "SettingsRepaired").await?, 0, "{name}: the used consent is no drift");
            continue;
        }
        let message = stage.expect(name, "Provisioned", "False", "AlreadyExists").await?;
        ensure!(message.contains(ADOPT_BY), "{message}");
        assert_eq!(stage.aws(), before, "{name}");
        assert_eq!(stage.world.emulator.counters().total("GetSecretValue"), 0, "{name}: its value is nobody's business");
        ensure!(stage.no_secret(name).await?, "{name}: mirrored");
    }
    // The tag is enough: nothing else need happen.
    stage.external_writer().set_tag(&stage.aws_name("untagged"), ADOPT_BY, &format!("{}/untagged", stage.world.namespace))?;
    stage.settle("untagged").await?;
    stage.world.check_agreement("untagged").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aws_secret_of_another_object_or_cluster_is_adopted_only_with_its_tag() -> Result<()> {
    let stage = Stage::new("adoption").await?;
    let uid = "0b7a4c52-57c5-4e0c-9e6f-9d2f7f1c2a11";
    for (name, tags) in [
        ("cluster", vec![(TAG_CLUSTER, "another"), (TAG_NAMESPACE, stage.world.namespace.as_str()), (TAG_NAME, "cluster"), (TAG_UID, uid)]),
        ("object", vec![(TAG_CLUSTER, "test"), (TAG_NAMESPACE, stage.world.namespace.as_str()), (TAG_NAME, "another"), (TAG_UID, uid)]),
        ("half", vec![(TAG_UID, uid)]),
        ("no-uid", vec![(TAG_CLUSTER, "test"), (TAG_NAMESPACE, stage.world.namespace.as_str()), (TAG_NAME, "no-uid")]),
    ] {
        let tags: std::collections::BTreeMap<String, String> =
            tags.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        stage.external_writer().create(&stage.aws_name(name), THEIRS, &tags)?;
        let before = stage.aws();
        for policy in ["IfTagged", "Always"] {
            let mut spec = spec();
            spec["aws"] = json!({"adoptionPolicy": policy});
            if policy == "IfTagged" {
                stage.world.create(name, spec).await?;
            } else {
                stage.world.patch(name, json!({"spec": spec})).await?;
            }
            stage.settle(name).await?;
            stage.expect(name, "Provisioned", "False", "NotOwned").await?;
            assert_eq!(stage.aws(), before, "{name} {policy}");
        }
        // The name alone may be left from an earlier object of that name: none of these owners is known to be another one.
        let by_name = format!("{}/{name}", stage.world.namespace);
        stage.external_writer().set_tag(&stage.aws_name(name), ADOPT_BY, &by_name)?;
        stage.settle(name).await?;
        let message = stage.expect(name, "Provisioned", "False", "NotOwned").await?;
        let value = format!("{by_name}@{}", stage.object(name).await?.uid().unwrap_or_default());
        ensure!(message.contains(&format!("Value={value},")), "{message}");
        stage.external_writer().set_tag(&stage.aws_name(name), ADOPT_BY, &value)?;
        stage.settle(name).await?;
        stage.world.check_agreement(name).await?;
        ensure!(!stage.world.aws_secret(name).unwrap().tags.contains_key(ADOPT_BY), "{name}: used");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_value_is_rotated_after_it_was_announced_and_cron_moments_before_the_adoption_do_not_count() -> Result<()> {
    let stage = Stage::new("adoption").await?;
    stage.offer("rate", &[])?;
    stage.offer("cron", &[])?;
    stage.advance(3 * HOUR);
    stage.world.create("rate", adopting(spec())).await?;
    // Until the status says what is due, nothing is written but the tags.
    let mut announced = false;
    for _ in 0..6 {
        stage.reconcile("rate").await?;
        announced |= stage.next_rotation("rate").await?.is_some();
        ensure!(announced || stage.versions("rate") == 1, "rotated before it was announced");
    }
    stage.settle("rate").await?;
    assert_eq!(stage.causes("rate").await?, [Cause::Scheduled, Cause::Adopted]);

    // The value is of today, and a moment of the schedule lies between then and the adoption.
    let mut daily = adopting(spec());
    let now = stage.now().to_zoned(jiff::tz::TimeZone::UTC);
    let an_hour_ago = now.checked_sub(jiff::SignedDuration::from_hours(1))?;
    daily["rotation"] = json!({"schedule": format!("{} {} * * *", an_hour_ago.minute(), an_hour_ago.hour())});
    stage.settled("cron", daily).await?;
    assert_eq!(stage.causes("cron").await?, [Cause::Adopted], "a schedule that is new does not reach back");
    ensure!(stage.next_rotation("cron").await? > Some(stage.now()));
    stage.assert_silence("cron").await
}

#[tokio::test(flavor = "multi_thread")]
async fn rotate_immediately_rotates_once_on_adoption() -> Result<()> {
    let stage = Stage::new("adoption").await?;
    stage.offer("app", &[])?;
    let mut spec = adopting(spec());
    spec["rotation"] = json!({"schedule": "rate(1 hour)", "rotateImmediately": true});
    stage.settled("app", spec).await?;
    assert_eq!(stage.causes("app").await?, [Cause::Scheduled, Cause::Adopted]);
    assert_eq!(stage.value("app")["username"], "admin");
    assert_eq!(
        stage.external_writer().act("GetSecretValue", &json!({"SecretId": stage.aws_name("app"), "VersionStage": "AWSPREVIOUS"}))?["SecretString"],
        THEIRS
    );
    stage.assert_silence("app").await?;
    stage.lose_status("app").await?;
    stage.settle("app").await?;
    assert_eq!(stage.versions("app"), 2, "once in a life");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aws_secret_without_a_value_is_adopted_and_given_its_first_one() -> Result<()> {
    let stage = Stage::new("adoption").await?;
    let body = json!({
        "Name": stage.aws_name("app"), "ClientRequestToken": "0b7a4c52-57c5-4e0c-9e6f-9d2f7f1c2a11",
        "Tags": [{"Key": ADOPT_BY, "Value": format!("{}/app", stage.world.namespace)}],
    });
    stage.external_writer().act("CreateSecret", &body)?;
    stage.settled("app", adopting(spec())).await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.causes("app").await?, [Cause::Created]);
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_aws_rotates_and_what_waits_for_deletion_is_not_adopted() -> Result<()> {
    let stage = Stage::new("adoption").await?;
    stage.offer("deleted", &[])?;
    stage.external_writer().delete(&stage.aws_name("deleted"), 7)?;
    let before = stage.aws();
    stage.settled("deleted", adopting(spec())).await?;
    stage.expect("deleted", "Provisioned", "False", "ScheduledForDeletion").await?;
    assert_eq!(stage.aws(), before);
    stage.external_writer().restore(&stage.aws_name("deleted"))?;
    stage.settle("deleted").await?;
    stage.world.check_agreement("deleted").await?;

    // A replica is written where its primary is.
    let there = stage.external_writer().in_region("eu-west-1");
    let by = BTreeMap::from([(ADOPT_BY.to_owned(), format!("{}/replica", stage.world.namespace))]);
    there.create(&stage.aws_name("replica"), THEIRS, &by)?;
    let body = json!({"SecretId": stage.aws_name("replica"), "AddReplicaRegions": [{"Region": "eu-central-1"}]});
    there.act("ReplicateSecretToRegions", &body)?;
    let before = stage.aws();
    stage.settled("replica", adopting(spec())).await?;
    let message = stage.expect("replica", "Provisioned", "False", "NotOwned").await?;
    ensure!(message.contains("replica of the one in eu-west-1"), "{message}");
    assert_eq!(stage.aws(), before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_changes_in_the_middle_of_an_adoption_is_the_truth() -> Result<()> {
    let stage = Stage::new("adoption").await?;
    stage.offer("app", &[])?;
    stage.world.create("app", adopting(spec())).await?;
    stage.reconcile("app").await?;
    assert_eq!(stage.causes("app").await?, [Cause::Adopted]);
    ensure!(!stage.world.aws_secret("app").unwrap().tags.contains_key(TAG_UID), "the status comes first");
    stage.advance(MINUTE);
    stage.external_writer().put_value(&stage.aws_name("app"), r#"{"username":"root","password":"later"}"#)?;
    stage.settle("app").await?;
    assert_eq!(stage.data("app").await?["password"], "later");
    assert_eq!(stage.causes("app").await?, [Cause::Adopted, Cause::Adopted]);
    stage.world.check_agreement("app").await?;
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_adopted_if_it_is_annotated_and_then_holds_the_value_in_aws() -> Result<()> {
    let stage = Stage::new("adoption").await?;
    let made = |name: &str, by: &str| {
        json!({
            "metadata": {"name": name, "annotations": {ADOPT_BY: by, "team": "shop"}, "labels": {"app": "api"}},
            "stringData": {"password": "theirs", "old": "x"},
        })
    };
    for (name, policy, by, adopted) in
        [("never", "Never", "never", false), ("other", "IfAnnotated", "never", false), ("app", "IfAnnotated", "app", true)]
    {
        let before = stage.make_secret(made(name, by)).await?;
        let mut spec = spec();
        spec["target"] = json!({"adoptionPolicy": policy});
        let object = stage.settled(name, spec).await?;
        let secret = stage.secret(name).await?;
        if !adopted {
            let message = stage.expect(name, "Mirrored", "False", "SecretNotOwned").await?;
            ensure!(message.contains(ADOPT_BY), "{message}");
            assert_eq!(secret, before);
            continue;
        }
        stage.world.check_agreement(name).await?;
        assert_eq!((secret.annotations()["team"].as_str(), secret.labels()["app"].as_str()), ("shop", "api"), "what is not ours stays");
        ensure!(!secret.annotations().contains_key(ADOPT_BY), "the consent would count again for a later object");
        let owners = secret.metadata.owner_references.clone().unwrap_or_default();
        assert_eq!(
            owners.iter().map(|owner| (owner.uid.clone(), owner.controller)).collect::<Vec<_>>(),
            [(object.uid().unwrap_or_default(), Some(true))]
        );
        stage.assert_silence(name).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_another_controller_is_not_adopted_whatever_its_annotation_says() -> Result<()> {
    let stage = Stage::new("adoption").await?;
    let other = stage.world.create("other", json!({"suspend": true, "value": {"data": {"a": "b"}}})).await?;
    let owner = json!([{
        "apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "name": "other", "uid": other.uid(), "controller": true,
    }]);
    let before = stage
        .make_secret(
            json!({"metadata": {"name": "app", "annotations": {ADOPT_BY: "app"}, "ownerReferences": owner}, "stringData": {"a": "b"}}),
        )
        .await?;
    let mut spec = spec();
    spec["target"] = json!({"adoptionPolicy": "IfAnnotated"});
    stage.settled("app", spec).await?;
    stage.expect("app", "Mirrored", "False", "SecretNotOwned").await?;
    assert_eq!(stage.secret("app").await?, before);
    Ok(())
}
