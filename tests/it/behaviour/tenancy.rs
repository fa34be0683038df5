//! Who may read, own and tag an AWS secret. Nothing here is left to IAM: the operator's key may do everything.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::api::Api;
use rotated_secrets::api::{ADOPT_BY, AwsAdoptionPolicy, MIRROR_NAMES, TAG_CLUSTER, TAG_NAME, TAG_NAMESPACE, TAG_NAMESPACE_UID, TAG_UID};
use serde_json::{Value, json};

use super::stage::Stage;
use testkit::fixtures::spec;

const THEIRS: &str = r#"{"username":"admin","password":"theirs-and-long"}"#;
const EARLIER: &str = "0b7a4c52-57c5-4e0c-9e6f-9d2f7f1c2a11";

fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn mirror_of(name: &str) -> Value {
    json!({"aws": {"secretName": name}})
}

impl Stage {
    /// The object says why, and the operator read no value, wrote nothing in AWS and made no Secret.
    async fn assert_kept_out(&self, object: &str, reason: &str, words: &str) -> Result<()> {
        let before = self.aws();
        self.world.emulator.counters().reset();
        self.settle(object).await?;
        let message = self.expect(object, "Provisioned", "False", reason).await?;
        ensure!(message.contains(words), "{message}");
        assert_eq!(self.world.emulator.counters().total("GetSecretValue"), 0, "{object}: the value was read");
        assert_eq!(self.aws(), before, "{object}");
        ensure!(self.no_secret(object).await?, "{object}: mirrored");
        Ok(())
    }

    async fn namespace_uid(&self) -> Result<String> {
        let namespaces: Api<Namespace> = Api::all(self.world.admin.clone());
        namespaces.get(&self.world.namespace).await?.uid().context("no uid")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_created_again_gets_nothing_of_the_earlier_one_without_consent() -> Result<()> {
    let stage = Stage::new("tenancy").await?;
    let name = stage.aws_name("payroll");
    // What an object of the earlier namespace left behind.
    let owner = [(TAG_CLUSTER, "test"), (TAG_NAMESPACE, stage.world.namespace.as_str()), (TAG_NAME, "payroll"), (TAG_UID, EARLIER)];
    let mut left = tags(&owner);
    left.insert(TAG_NAMESPACE_UID.to_owned(), EARLIER.to_owned());
    stage.external_writer().create(&name, THEIRS, &left)?;

    stage.world.create("reads", mirror_of(&name)).await?;
    stage.assert_kept_out("reads", "NotOwned", "an earlier namespace").await?;
    stage.world.create("payroll", spec()).await?;
    stage.assert_kept_out("payroll", "NotOwned", "an earlier namespace").await?;
    // Nor if the tags do not tell.
    stage.external_writer().untag(&name, TAG_NAMESPACE_UID)?;
    for object in ["reads", "payroll"] {
        stage.assert_kept_out(object, "NotOwned", "it has no tag rotated-secrets.io/namespace-uid").await?;
    }

    // The administrator lets the namespace read it.
    stage.annotate_namespace(json!({MIRROR_NAMES: name})).await?;
    stage.settle("reads").await?;
    stage.expect("reads", "Ready", "True", "Succeeded").await?;
    assert_eq!(stage.data("reads").await?["password"], "theirs-and-long");
    stage.assert_kept_out("payroll", "NotOwned", "adopt-by").await?;

    // The earlier object may have been adopted by its name: this tag is no consent for the new one.
    let by_name = format!("{}/payroll", stage.world.namespace);
    stage.external_writer().set_tag(&name, ADOPT_BY, &by_name)?;
    stage.world.patch("payroll", json!({"spec": {"aws": {"adoptionPolicy": "IfTagged"}}})).await?;
    stage.assert_kept_out("payroll", "NotOwned", "adopt-by").await?;

    // Its owner in AWS hands it over.
    let uid = stage.object("payroll").await?.uid().context("no uid")?;
    stage.assert_kept_out("payroll", "NotOwned", &format!("{by_name}@{uid}")).await?;
    stage.external_writer().set_tag(&name, ADOPT_BY, &format!("{by_name}@{uid}"))?;
    stage.settle("payroll").await?;
    stage.world.check_agreement("payroll").await?;
    let tags = stage.world.aws_secret("payroll").unwrap().tags;
    assert_eq!(tags.get(TAG_NAMESPACE_UID), Some(&stage.namespace_uid().await?));
    ensure!(!tags.contains_key(ADOPT_BY), "the consent is used");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_that_an_earlier_version_left_on_an_own_secret_is_removed() -> Result<()> {
    let stage = Stage::new("tenancy").await?;
    stage.settled("app", spec()).await?;
    for (by, removed) in [("app", true), ("orders", false)] {
        let by = format!("{}/{by}", stage.world.namespace);
        stage.external_writer().set_tag(&stage.aws_name("app"), ADOPT_BY, &by)?;
        stage.settle("app").await?;
        assert_eq!(stage.world.aws_secret("app").unwrap().tags.contains_key(ADOPT_BY), !removed, "{by}");
        stage.expect("app", "Ready", "True", "Succeeded").await?;
    }
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_cluster_or_namespace_owns_is_mirrored_only_if_the_administrator_lists_it() -> Result<()> {
    let stage = Stage::new("tenancy").await?;
    let own = stage.world.namespace.clone();
    for (object, cluster, namespace, words) in
        [("cluster", "another", own.as_str(), "another cluster"), ("namespace", "test", "another", "another namespace")]
    {
        let name = stage.aws_name(&format!("{object}-secret"));
        let owner = [(TAG_CLUSTER, cluster), (TAG_NAMESPACE, namespace), (TAG_NAME, "db"), (TAG_UID, EARLIER)];
        stage.external_writer().create(&name, THEIRS, &tags(&owner))?;
        stage.annotate_namespace(json!({MIRROR_NAMES: "shared/*"})).await?;
        stage.world.create(object, mirror_of(&name)).await?;
        stage.assert_kept_out(object, "NotOwned", words).await?;
        stage.annotate_namespace(json!({MIRROR_NAMES: format!("shared/*, {name}")})).await?;
        stage.settle(object).await?;
        stage.expect(object, "Ready", "True", "Succeeded").await?;
        // Taken back: what pods mount stays, and nothing more is read.
        let mirror = stage.secret(object).await?;
        stage.annotate_namespace(json!({MIRROR_NAMES: null})).await?;
        stage.settle(object).await?;
        stage.expect(object, "Provisioned", "False", "NotOwned").await?;
        assert_eq!(stage.secret(object).await?, mirror);
    }
    assert_eq!(stage.aws_write_calls(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_may_be_mirrored_may_not_be_owned_tagged_or_rotated() -> Result<()> {
    let stage = Stage::new("tenancy").await?;
    stage.external_writer().create("shared/api-key", THEIRS, &tags(&[("team", "platform")]))?;
    stage.annotate_namespace(json!({MIRROR_NAMES: "shared/*"})).await?;
    stage.settled("reads", mirror_of("shared/api-key")).await?;
    stage.expect("reads", "Ready", "True", "Succeeded").await?;

    let mut owning = spec();
    owning["aws"] = json!({"secretName": "shared/api-key", "adoptionPolicy": "Always", "deletionPolicy": "Delete"});
    stage.world.create("owns", owning).await?;
    stage.assert_kept_out("owns", "NameNotAllowed", "rotated-secrets.io/allowed-names").await?;
    let mut rotating = mirror_of("shared/api-key");
    let function = "arn:aws:lambda:eu-central-1:123456789012:function:rotate";
    rotating["rotation"] = json!({"schedule": "rate(1 day)", "lambda": {"functionArn": function}});
    stage.world.allow_functions("*").await?;
    stage.world.create("rotates", rotating).await?;
    stage.assert_kept_out("rotates", "NameNotAllowed", "rotated-secrets.io/allowed-names").await?;
    assert_eq!(stage.aws_write_calls(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_an_earlier_version_gets_the_uid_of_its_namespace_and_nothing_else_changes() -> Result<()> {
    let stage = Stage::new("tenancy").await?;
    stage.settled("app", spec()).await?;
    let uid = stage.namespace_uid().await?;
    assert_eq!(stage.world.aws_secret("app").unwrap().tags.get(TAG_NAMESPACE_UID), Some(&uid), "with the first write");
    stage.external_writer().untag(&stage.aws_name("app"), TAG_NAMESPACE_UID)?;
    let (value, mirror) = (stage.value("app"), stage.secret("app").await?);
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.world.aws_secret("app").unwrap().tags.get(TAG_NAMESPACE_UID), Some(&uid));
    assert_eq!((stage.value("app"), stage.secret("app").await?, stage.versions("app")), (value, mirror, 1));

    // Another one is a contradiction, so the operator writes nothing.
    stage.external_writer().set_tag(&stage.aws_name("app"), TAG_NAMESPACE_UID, EARLIER)?;
    let before = stage.aws();
    stage.settle("app").await?;
    stage.expect("app", "Provisioned", "False", "NotOwned").await?;
    assert_eq!(stage.aws(), before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_another_writer_set_is_reported_and_not_overwritten() -> Result<()> {
    let stage = Stage::new("tenancy").await?;
    let by = format!("{}/app", stage.world.namespace);
    stage.external_writer().create(&stage.aws_name("app"), THEIRS, &tags(&[("team", "platform"), (ADOPT_BY, by.as_str())]))?;
    let mut adopting = spec();
    adopting["aws"] = json!({"adoptionPolicy": "IfTagged", "tags": {"team": "tenant", "tier": "1"}});
    stage.settled("app", adopting).await?;
    let message = stage.expect("app", "Provisioned", "False", "TagNotOwned").await?;
    ensure!(message.contains("--tag-keys team"), "{message}");
    let shown = |key: &str| stage.world.aws_secret("app").unwrap().tags.get(key).cloned();
    assert_eq!((shown("team").as_deref(), shown("tier").as_deref()), (Some("platform"), Some("1")));
    ensure!(stage.secret("app").await.is_ok(), "the credential does not wait");
    // A tag that the operator set is corrected.
    stage.external_writer().set_tag(&stage.aws_name("app"), "tier", "2")?;
    stage.settle("app").await?;
    assert_eq!((shown("team").as_deref(), shown("tier").as_deref()), (Some("platform"), Some("1")));
    // No longer declared: the tag of the other writer stays.
    stage.world.patch("app", json!({"spec": {"aws": {"tags": {"team": null}}}})).await?;
    stage.settle("app").await?;
    assert_eq!(shown("team").as_deref(), Some("platform"));
    stage.world.check_agreement("app").await?;

    stage.world.patch("app", json!({"spec": {"aws": {"tags": {"team": "tenant"}}}})).await?;
    stage.external_writer().untag(&stage.aws_name("app"), "team")?;
    stage.settle("app").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(shown("team").as_deref(), Some("tenant"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_administrator_bounds_adoption() -> Result<()> {
    let mut stage = Stage::new("tenancy").await?;
    let by = |name: &str| format!("{}/{name}", stage.world.namespace);
    let offers = [("untagged", None), ("offered", Some(by("offered")))];
    for (name, by) in offers {
        stage.external_writer().create(&stage.aws_name(name), THEIRS, &by.map(|by| (ADOPT_BY.to_owned(), by)).into_iter().collect())?;
        let mut adopting = spec();
        adopting["aws"] = json!({"adoptionPolicy": "Always"});
        stage.world.create(name, adopting).await?;
    }
    stage.ctx.policy.max_adoption = AwsAdoptionPolicy::Never;
    for name in ["untagged", "offered"] {
        stage.assert_kept_out(name, "AlreadyExists", "--max-adoption-policy").await?;
    }
    stage.ctx.policy.max_adoption = AwsAdoptionPolicy::IfTagged;
    stage.assert_kept_out("untagged", "AlreadyExists", "--max-adoption-policy").await?;
    stage.settle("offered").await?;
    stage.world.check_agreement("offered").await?;
    stage.ctx.policy.max_adoption = AwsAdoptionPolicy::Always;
    stage.settle("untagged").await?;
    stage.world.check_agreement("untagged").await
}
