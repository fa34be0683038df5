//! No flag of the operator moves, re-creates or orphans a credential: it stays where it was created.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use kube::api::{Patch, PatchParams};
use rotated_secrets::api::{Cause, ROLE_ARN, SECRET_ARN, TAG_UID};
use serde_json::{Value, json};
use testkit::emulator::Fault;

use super::stage::{HOUR, MINUTE, Stage};
use testkit::fixtures::spec;
use testkit::{PREFIX, REGION};

const OTHER: &str = "us-east-1";

impl Stage {
    /// Another life of the operator with these flags.
    pub(super) async fn with_flags(&mut self, prefix: &str, region: &str) -> Result<()> {
        prefix.clone_into(&mut self.ctx.policy.name_prefix);
        region.clone_into(&mut self.ctx.policy.default_region);
        self.ctx = self.operator().await?;
        Ok(())
    }

    async fn forge_arn(&self, name: &str, arn: &str) -> Result<()> {
        let status = json!({"status": {"aws": {"arn": arn}}});
        self.world.objects().patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await?;
        Ok(())
    }

    pub(super) async fn arn(&self, name: &str) -> Result<String> {
        Ok(self.status(name).await?.aws.and_then(|aws| aws.arn).unwrap_or_default())
    }

    /// Nothing was created, the Secret is as before, and the object says where its secret is.
    async fn assert_held(&self, name: &str, arn: &str, before: &Before) -> Result<String> {
        let message = self.expect(name, "Provisioned", "False", "Moved").await?;
        ensure!(message.contains(arn), "{message}");
        self.expect(name, "Ready", "False", "Moved").await?;
        self.expect(name, "Stalled", "True", "Moved").await?;
        assert_eq!(self.told(name, "Warning", "Moved").await?, 1);
        assert_eq!(self.arn(name).await?, arn, "the record stays");
        ensure!((&self.aws(), &self.secret(name).await?) == (&before.aws, &before.secret), "something was written");
        self.assert_silence(name).await?;
        Ok(message)
    }

    async fn before(&self, name: &str) -> Result<Before> {
        Ok(Before { aws: self.aws(), secret: self.secret(name).await? })
    }
}

struct Before {
    aws: Vec<super::stage::Frozen>,
    secret: k8s_openapi::api::core::v1::Secret,
}

#[tokio::test(flavor = "multi_thread")]
async fn another_prefix_or_default_region_moves_no_credential_and_back_again_neither() -> Result<()> {
    for (prefix, region) in [("prod", REGION), (PREFIX, OTHER), ("prod", OTHER)] {
        let mut stage = Stage::new("moved").await?;
        stage.settled("app", spec()).await?;
        let before = stage.before("app").await?;
        stage.writes.take();
        stage.with_flags(prefix, region).await?;
        stage.settle("app").await?;
        assert_eq!(stage.writes.take(), ["PUT rotatedsecrets/status"], "{prefix} {region}");
        ensure!((stage.aws(), stage.secret("app").await?) == (before.aws, before.secret), "{prefix} {region}: something was written");
        let message = stage.expect("app", "Provisioned", "True", "Moved").await?;
        let there = format!("{prefix}/{}/app", stage.world.namespace);
        ensure!(message.contains(&there) && message.contains(region) && message.contains(&stage.aws_name("app")), "{message}");
        stage.expect("app", "Ready", "True", "Succeeded").await?;
        stage.world.check_agreement("app").await?;
        stage.assert_silence("app").await?;

        // Everything goes on there: rotation, settings, requests.
        stage.world.patch("app", json!({"spec": {"aws": {"tags": {"team": "shop"}, "replicaRegions": [{"region": "eu-west-1"}]}}})).await?;
        stage.advance(HOUR);
        stage.settle("app").await?;
        stage.world.check_agreement("app").await?;
        assert_eq!(stage.versions("app"), 2);
        let secrets: Vec<_> = stage.world.emulator.secrets().into_iter().map(|secret| (secret.region, secret.name)).collect();
        let name = stage.aws_name("app");
        assert_eq!(secrets, [(REGION.to_owned(), name.clone()), ("eu-west-1".to_owned(), name)]);
        assert_eq!(stage.world.aws_secret("app").unwrap().tags["team"], "shop");

        stage.with_flags(PREFIX, REGION).await?;
        let before = stage.before("app").await?;
        stage.settle("app").await?;
        stage.expect("app", "Provisioned", "True", "Succeeded").await?;
        ensure!((stage.aws(), stage.secret("app").await?) == (before.aws, before.secret), "back again: something was written");
        assert_eq!(stage.causes("app").await?, [Cause::Scheduled, Cause::Created]);
        stage.assert_silence("app").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_goes_after_the_flags_changed_takes_its_own_secret_along() -> Result<()> {
    let mut stage = Stage::new("moved").await?;
    let mut spec = spec();
    spec["aws"] = json!({"deletionPolicy": "Delete"});
    stage.settled("app", spec).await?;
    stage.with_flags("prod", OTHER).await?;
    stage.delete_object("app").await?;
    stage.settle("app").await?;
    ensure!(stage.world.objects().get_opt("app").await?.is_none(), "the object is held back");
    ensure!(stage.world.aws_secret("app").unwrap().deletion_date.is_some(), "orphaned");
    assert_eq!(stage.world.emulator.secrets().len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_spec_says_itself_is_not_the_flags_business() -> Result<()> {
    let mut stage = Stage::new("moved").await?;
    stage.allow_names(Some("shared/*")).await?;
    let mut named = spec();
    named["aws"] = json!({"secretName": "shared/app", "region": REGION});
    stage.settled("named", named).await?;
    let mut here = spec();
    here["aws"] = json!({"region": REGION});
    stage.settled("here", here).await?;
    stage.with_flags("prod", OTHER).await?;
    let before = stage.aws();
    stage.settle("named").await?;
    stage.expect("named", "Provisioned", "True", "Succeeded").await?;
    stage.settle("here").await?;
    stage.expect("here", "Provisioned", "True", "Moved").await?;
    assert_eq!(stage.aws(), before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_secret_that_is_not_proved_ours_is_not_replaced_at_the_new_place() -> Result<()> {
    for case in ["gone", "tags", "region", "denied"] {
        let mut stage = Stage::new("moved").await?;
        stage.settled("app", spec()).await?;
        let arn = stage.arn("app").await?;
        match case {
            "gone" => ensure!(stage.external_writer().purge(&stage.aws_name("app"))),
            "tags" => stage.external_writer().untag(&stage.aws_name("app"), TAG_UID)?,
            "region" => stage.ctx.policy.allowed_regions = vec![OTHER.to_owned()],
            _ => stage.break_aws("DescribeSecret", Fault::Refuse { code: "AccessDeniedException".to_owned(), message: "no".to_owned() }),
        }
        let before = stage.before("app").await?;
        stage.with_flags("prod", OTHER).await?;
        stage.advance(HOUR);
        stage.settle("app").await?;
        let message = stage.assert_held("app", &arn, &before).await?;
        ensure!(message.contains(&format!("prod/{}/app", stage.world.namespace)) && message.contains("--name-prefix"), "{case}: {message}");
        stage.expect("app", "Mirrored", "True", "Succeeded").await?;

        stage.mend_aws();
        stage.ctx.policy.allowed_regions.clear();
        stage.with_flags(PREFIX, REGION).await?;
        stage.settle("app").await?;
        if case == "tags" {
            stage.expect("app", "Provisioned", "False", "NotOwned").await?;
        } else {
            // What is gone at its own place is created again there, as ever.
            stage.world.check_agreement("app").await?;
        }
        assert_eq!(stage.world.emulator.secrets().len(), 1, "{case}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_whose_recorded_secret_cannot_be_proved_goes_and_says_what_stays() -> Result<()> {
    let mut stage = Stage::new("moved").await?;
    let mut spec = spec();
    spec["aws"] = json!({"deletionPolicy": "Delete"});
    stage.settled("app", spec).await?;
    stage.external_writer().untag(&stage.aws_name("app"), TAG_UID)?;
    let before = stage.aws();
    stage.with_flags("prod", REGION).await?;
    stage.delete_object("app").await?;
    stage.settle("app").await?;
    ensure!(stage.world.objects().get_opt("app").await?.is_none(), "the object is held back");
    assert_eq!(stage.told("app", "Warning", "AwsSecretKept").await?, 1);
    assert_eq!(stage.aws(), before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_was_lost_with_the_flags_is_made_up_for_by_the_secret() -> Result<()> {
    let mut stage = Stage::new("moved").await?;
    stage.settled("app", spec()).await?;
    let before = stage.before("app").await?;
    stage.lose_status("app").await?;
    stage.with_flags("prod", OTHER).await?;
    stage.settle("app").await?;
    // Anyone who may write the Secret can write another ARN there.
    let message = stage.expect("app", "Provisioned", "False", "Moved").await?;
    ensure!(message.contains("rotated-secrets.io/allowed-names"), "{message}");
    assert_eq!(stage.arn("app").await?, "", "not yet proved");
    stage.allow_names(Some(&format!("{PREFIX}/{}/*", stage.world.namespace))).await?;
    stage.settle("app").await?;
    stage.expect("app", "Provisioned", "True", "Moved").await?;
    stage.world.check_agreement("app").await?;
    ensure!((stage.aws(), stage.secret("app").await?) == (before.aws, before.secret), "something was written");
    // From now on the status says it.
    stage.allow_names(None).await?;
    stage.settle("app").await?;
    stage.expect("app", "Provisioned", "True", "Moved").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_arn_on_the_secret_does_not_tell_which_secrets_exist() -> Result<()> {
    let stage = Stage::new("moved").await?;
    let name = format!("prod/{}/app", stage.world.namespace);
    let theirs = stage.external_writer().create(&name, r#"{"password":"theirs"}"#, &BTreeMap::new())?;
    stage.settled("app", spec()).await?;
    ensure!(stage.external_writer().purge(&stage.aws_name("app")));
    stage.lose_status("app").await?;
    stage.edit_secret("app", json!({"metadata": {"annotations": {SECRET_ARN: theirs}}})).await?;
    let told = async || -> Result<(String, u64)> {
        stage.advance(HOUR);
        stage.world.emulator.counters().reset();
        stage.settle("app").await?;
        let message = stage.expect("app", "Provisioned", "False", "Moved").await?;
        Ok((message, stage.world.emulator.counters().total("DescribeSecret")))
    };
    let mut answers = Vec::new();
    for exists in [true, false] {
        ensure!(exists || stage.external_writer().purge(&name));
        stage.allow_names(None).await?;
        // The second answer is counted: the first one may write a status.
        told().await?;
        let (kept_out, looks) = told().await?;
        ensure!(kept_out.contains("rotated-secrets.io/allowed-names"), "{kept_out}");
        stage.allow_names(Some("prod/*")).await?;
        told().await?;
        let (allowed, more) = told().await?;
        ensure!(more > looks, "only a name that is allowed is looked at: {looks}, {more}");
        answers.push((kept_out, looks, allowed));
    }
    assert_eq!(answers[0], answers[1]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_in_between_does_not_forget_where_the_secret_is() -> Result<()> {
    let mut stage = Stage::new("moved").await?;
    stage.settled("app", spec()).await?;
    let before = stage.before("app").await?;
    stage.annotate_namespace(json!({ROLE_ARN: "no role"})).await?;
    stage.settle("app").await?;
    stage.expect("app", "Provisioned", "False", "IdentityRefused").await?;
    stage.delete_secret("app").await?;
    stage.with_flags("prod", OTHER).await?;
    stage.annotate_namespace(json!({ROLE_ARN: Value::Null})).await?;
    stage.settle("app").await?;
    stage.expect("app", "Provisioned", "True", "Moved").await?;
    stage.world.check_agreement("app").await?;
    assert_eq!(stage.aws(), before.aws);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_of_a_default_name_is_not_pointed_at_another_secret() -> Result<()> {
    let mut stage = Stage::new("moved").await?;
    let own = stage.aws_name("app");
    stage.external_writer().create(&own, r#"{"user":"a"}"#, &BTreeMap::new())?;
    stage.settled("app", json!({})).await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    let arn = stage.arn("app").await?;
    // Another region: the namespace may name that secret in any spec, so it is followed.
    stage.with_flags(PREFIX, OTHER).await?;
    stage.settle("app").await?;
    stage.expect("app", "Provisioned", "True", "Moved").await?;

    // Another prefix: the old name is not the namespace's any more, and the new one is another secret.
    let new = format!("prod/{}/app", stage.world.namespace);
    stage.external_writer().create(&new, r#"{"user":"another"}"#, &BTreeMap::new())?;
    stage.with_flags("prod", REGION).await?;
    let before = stage.before("app").await?;
    stage.settle("app").await?;
    let message = stage.assert_held("app", &arn, &before).await?;
    ensure!(message.contains("rotated-secrets.io/mirror-names"), "{message}");

    stage.allow_names(Some("k8s/*")).await?;
    stage.external_writer().put_value(&own, r#"{"user":"b"}"#)?;
    stage.advance(MINUTE);
    stage.settle("app").await?;
    stage.expect("app", "Provisioned", "True", "Moved").await?;
    assert_eq!(stage.data("app").await?["user"], "b");
    assert_eq!(stage.world.emulator.counters().writes(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_arn_is_neither_followed_nor_does_it_keep_an_object_from_its_own_secret() -> Result<()> {
    let mut stage = Stage::new("moved").await?;
    let theirs = stage.external_writer().create("k8s/victim/app", r#"{"password":"theirs"}"#, &BTreeMap::new())?;
    let namesake =
        stage.external_writer().create(&format!("old/{}/app", stage.world.namespace), r#"{"password":"theirs"}"#, &BTreeMap::new())?;
    stage.settled("app", spec()).await?;
    let own = stage.arn("app").await?;
    for (prefix, forged) in [(PREFIX, &theirs), (PREFIX, &namesake)] {
        stage.with_flags(prefix, REGION).await?;
        let before = stage.before("app").await?;
        stage.forge_arn("app", forged).await?;
        stage.settle("app").await?;
        stage.world.check_agreement("app").await?;
        assert_eq!(stage.arn("app").await?, own);
        ensure!((stage.aws(), stage.secret("app").await?) == (before.aws, before.secret), "something was written");
    }
    // Before the object has an AWS secret: nothing is created either, and no value is read.
    stage.world.create("new", spec()).await?;
    stage.forge_arn("new", &theirs).await?;
    let before = stage.aws();
    stage.world.emulator.counters().reset();
    stage.settle("new").await?;
    stage.expect("new", "Provisioned", "False", "Moved").await?;
    assert_eq!((stage.aws(), stage.world.emulator.counters().total("GetSecretValue")), (before, 0));
    ensure!(stage.no_secret("new").await?, "mirrored");
    Ok(())
}

/// The ARN in another account, as before the identity of the object changed.
fn of_another_account(arn: &str) -> String {
    arn.replacen(":123456789012:", ":210987654321:", 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_of_another_account_creates_nothing_there() -> Result<()> {
    let mut stage = Stage::new("moved").await?;
    let allow = |actions: Value, more: Value| {
        let mut statement = json!({"Effect": "Allow", "Action": actions});
        statement.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"Version": "2012-10-17", "Statement": [statement]})
    };
    let everything = allow(json!(["secretsmanager:*", "sts:*"]), json!({"Resource": "*"}));
    let key = stage.iam().user("operator", &[("all", &everything)])?;
    stage.act_with(Some(&key)).await;
    let operator = json!({"Principal": {"AWS": "arn:aws:iam::123456789012:user/operator"}});
    let role = stage.iam().role("moved", &allow(json!(["sts:AssumeRole", "sts:TagSession"]), operator), &[("all", &everything)])?;
    stage.settled("app", spec()).await?;
    let arn = of_another_account(&stage.arn("app").await?);
    stage.forge_arn("app", &arn).await?;
    ensure!(stage.external_writer().purge(&stage.aws_name("app")));
    let before = stage.before("app").await?;
    stage.annotate_namespace(json!({ROLE_ARN: role})).await?;
    stage.settle("app").await?;
    let message = stage.assert_held("app", &arn, &before).await?;
    ensure!(message.contains("account 210987654321") && message.contains("account 123456789012"), "{message}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_the_same_name_in_another_account_is_not_adopted_instead() -> Result<()> {
    let stage = Stage::new("moved").await?;
    let mut spec = spec();
    spec["aws"] = json!({"adoptionPolicy": "Always"});
    stage.settled("app", spec).await?;
    let arn = of_another_account(&stage.arn("app").await?);
    stage.forge_arn("app", &arn).await?;
    ensure!(stage.external_writer().purge(&stage.aws_name("app")));
    stage.external_writer().create(&stage.aws_name("app"), r#"{"username":"admin","password":"theirs"}"#, &BTreeMap::new())?;
    let before = stage.before("app").await?;
    stage.settle("app").await?;
    stage.assert_held("app", &arn, &before).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_is_not_pointed_at_a_secret_of_the_same_name_in_another_account() -> Result<()> {
    let stage = Stage::new("moved").await?;
    let own = stage.aws_name("app");
    stage.external_writer().create(&own, r#"{"user":"a"}"#, &BTreeMap::new())?;
    stage.settled("app", json!({})).await?;
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    let arn = of_another_account(&stage.arn("app").await?);
    stage.forge_arn("app", &arn).await?;
    ensure!(stage.external_writer().purge(&own));
    stage.external_writer().create(&own, r#"{"user":"another"}"#, &BTreeMap::new())?;
    let before = stage.before("app").await?;
    stage.settle("app").await?;
    stage.assert_held("app", &arn, &before).await?;
    assert_eq!(stage.data("app").await?["user"], "a");
    Ok(())
}
