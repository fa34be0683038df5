//! Settings of the AWS secret other than its value: tags, key, resource policy.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testkit::emulator::Fault;

use super::stage::{HOUR, MINUTE, Stage};
use testkit::fixtures::{spec, unscheduled};

/// Who may read it.
fn policy(reader: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "Readers",
            "Effect": "Allow",
            "Principal": {"AWS": [format!("arn:aws:iam::{reader}:root")]},
            "Action": ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"],
            "Resource": ["*"],
        }],
    })
}

fn anybody() -> Value {
    json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": ["*"]}, "Action": ["secretsmanager:*"], "Resource": ["*"]}]})
}

fn with(aws: Value) -> Value {
    let mut spec = spec();
    spec["aws"] = aws;
    spec
}

impl Stage {
    async fn declare(&self, aws: Value) -> Result<()> {
        self.world.patch("app", json!({"spec": {"aws": aws}})).await?;
        self.settle("app").await
    }

    fn policy(&self) -> Option<Value> {
        let text = self.world.aws_secret("app").unwrap().policy?;
        Some(serde_json::from_str(&text).unwrap())
    }

    fn put_policy(&self, policy: &Value) -> Result<()> {
        self.external_writer()
            .act("PutResourcePolicy", &json!({"SecretId": self.aws_name("app"), "ResourcePolicy": policy.to_string()}))?;
        Ok(())
    }

    fn set_key(&self, key: &str) -> Result<()> {
        let body = json!({"SecretId": self.aws_name("app"), "KmsKeyId": key, "ClientRequestToken": "0b7a4c52-57c5-4e0c-9e6f-9d2f7f1c2a11"});
        self.external_writer().act("UpdateSecret", &body)?;
        Ok(())
    }

    fn key(&self) -> Option<String> {
        self.world.aws_secret("app").unwrap().kms_key
    }

    fn tag(&self, key: &str) -> Option<String> {
        self.world.aws_secret("app").unwrap().tags.get(key).cloned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn default_tags_of_the_operator_are_applied_kept_and_taken_back_as_declared_ones() -> Result<()> {
    let mut stage = Stage::new("settings").await?;
    let tags = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    stage.ctx.policy.default_tags = tags(&[("team", "platform"), ("cost-centre", "7")]);
    stage.settled("app", with(json!({"tags": {"team": "shop"}}))).await?;
    let shown = |stage: &Stage| ["team", "cost-centre", "stage"].map(|key| stage.tag(key));
    let expected = |values: [Option<&str>; 3]| values.map(|value| value.map(str::to_owned));
    assert_eq!(shown(&stage), expected([Some("shop"), Some("7"), None]), "those of the object win");
    stage.external_writer().set_tag(&stage.aws_name("app"), "cost-centre", "8")?;
    stage.settle("app").await?;
    assert_eq!(shown(&stage), expected([Some("shop"), Some("7"), None]), "drift is corrected");
    let told = format!(
        "the tags of the AWS secret {} differed from the declaration, and the operator corrected that (Tag)",
        stage.aws_name("app")
    );
    assert_eq!(stage.messages("app", "SettingsRepaired").await?, [told]);
    stage.assert_silence("app").await?;
    // Other flags, after a restart of the operator.
    stage.ctx.policy.default_tags = tags(&[("stage", "prod")]);
    stage.settle("app").await?;
    assert_eq!(shown(&stage), expected([Some("shop"), None, Some("prod")]));
    stage.assert_silence("app").await?;
    // A secret that is only mirrored gets none.
    stage.external_writer().create(&stage.aws_name("other"), "{}", &std::collections::BTreeMap::new())?;
    stage.settled("mirror", json!({"aws": {"secretName": stage.aws_name("other")}})).await?;
    let other = stage.world.emulator.secrets().into_iter().find(|secret| secret.name == stage.aws_name("other")).unwrap();
    assert!(other.tags.is_empty(), "{:?}", other.tags);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_declared_no_longer_goes_and_foreign_tags_stay() -> Result<()> {
    let stage = Stage::new("settings").await?;
    stage.settled("app", with(json!({"tags": {"team": "shop", "stage": "prod"}}))).await?;
    stage.external_writer().set_tag(&stage.aws_name("app"), "cost-centre", "7")?;
    stage.writes.take();
    stage.declare(json!({"tags": {"team": "billing", "stage": null, "tier": "1"}})).await?;
    assert_eq!(stage.writes.take(), ["TagResource", "UntagResource", "PUT rotatedsecrets/status"]);
    let tags = ["team", "stage", "tier", "cost-centre"].map(|key| stage.tag(key));
    assert_eq!(tags, [Some("billing"), None, Some("1"), Some("7")].map(|value| value.map(str::to_owned)));
    stage.assert_silence("app").await?;
    // A tag that another writer set and the spec never mentioned is not removed.
    stage.declare(json!({"tags": null})).await?;
    let tags = ["team", "tier", "cost-centre"].map(|key| stage.tag(key));
    assert_eq!(tags, [None, None, Some("7")].map(|value| value.map(str::to_owned)));
    assert_eq!(stage.world.aws_secret("app").unwrap().tags.len(), 6, "ours stay");
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_lost_status_no_tag_key_or_policy_is_taken_away() -> Result<()> {
    let stage = Stage::new("settings").await?;
    stage
        .settled("app", with(json!({"tags": {"team": "shop"}, "kmsKeyId": "alias/shop", "resourcePolicy": policy("210987654321")})))
        .await?;
    stage.lose_status("app").await?;
    stage.declare(json!({"tags": null, "kmsKeyId": null, "resourcePolicy": null})).await?;
    assert_eq!((stage.tag("team").as_deref(), stage.key().as_deref()), (Some("shop"), Some("alias/shop")));
    ensure!(stage.policy().is_some(), "the policy may be somebody else's");
    stage.world.check_agreement("app").await?;
    stage.assert_silence("app").await?;
    // The other way round: a lost status with all declared is no change at all.
    stage.declare(json!({"tags": {"team": "shop"}, "kmsKeyId": "alias/shop", "resourcePolicy": policy("210987654321")})).await?;
    stage.lose_status("app").await?;
    stage.writes.take();
    stage.settle("app").await?;
    assert_eq!(stage.writes.take(), ["PUT rotatedsecrets/status"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_somebody_changes_is_set_again_and_one_that_is_declared_no_longer_goes_back_to_the_default() -> Result<()> {
    let stage = Stage::new("settings").await?;
    stage.settled("app", with(json!({"kmsKeyId": "alias/shop"}))).await?;
    for theirs in ["alias/other", "1234abcd-12ab-34cd-56ef-1234567890ab", ""] {
        stage.set_key(theirs)?;
        stage.settle("app").await?;
        assert_eq!(stage.key().as_deref(), Some("alias/shop"), "after {theirs}");
    }
    // The same key by another name is no other key.
    stage.set_key("arn:aws:kms:eu-central-1:123456789012:alias/shop")?;
    stage.writes.take();
    stage.settle("app").await?;
    assert_eq!(stage.writes.take(), ["PUT rotatedsecrets/status"], "only the name is reported");
    stage.declare(json!({"kmsKeyId": null})).await?;
    assert_eq!(stage.key(), None, "back to the default key");
    stage.assert_silence("app").await?;
    // A key that another writer sets and the spec does not declare stays.
    stage.set_key("alias/other")?;
    stage.settle("app").await?;
    assert_eq!(stage.key().as_deref(), Some("alias/other"));
    assert_eq!(stage.versions("app"), 1);
    stage.world.check_agreement("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_policy_is_put_kept_and_taken_away_when_it_is_declared_no_longer() -> Result<()> {
    let stage = Stage::new("settings").await?;
    stage.settled("app", with(json!({"resourcePolicy": policy("210987654321")}))).await?;
    assert_eq!(stage.policy(), Some(policy("210987654321")));
    stage.world.check_agreement("app").await?;

    stage.advance(MINUTE);
    stage.put_policy(&policy("666666666666"))?;
    stage.settle("app").await?;
    assert_eq!(stage.policy(), Some(policy("210987654321")), "repaired");

    stage.advance(MINUTE);
    stage.external_writer().act("DeleteResourcePolicy", &json!({"SecretId": stage.aws_name("app")}))?;
    stage.settle("app").await?;
    assert_eq!(stage.policy(), Some(policy("210987654321")), "put again");

    stage.advance(MINUTE);
    stage.writes.take();
    stage.declare(json!({"resourcePolicy": policy("123456789012")})).await?;
    assert_eq!(stage.writes.take(), ["PutResourcePolicy", "PUT rotatedsecrets/status"]);
    assert_eq!(stage.policy(), Some(policy("123456789012")));

    stage.advance(MINUTE);
    stage.declare(json!({"resourcePolicy": null})).await?;
    assert_eq!(stage.policy(), None);
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_policy_that_means_the_same_is_the_same() -> Result<()> {
    let stage = Stage::new("settings").await?;
    stage.settled("app", with(json!({"resourcePolicy": policy("210987654321")}))).await?;
    stage.advance(MINUTE);
    let same = json!({
        "Statement": {
            "Resource": ["*"],
            "Action": ["SecretsManager:DescribeSecret", "secretsmanager:getsecretvalue"],
            "Principal": {"AWS": ["210987654321"]},
            "Effect": "Allow",
            "Sid": "Readers",
        },
        "Version": "2012-10-17",
    });
    stage.put_policy(&same)?;
    stage.writes.take();
    stage.settle("app").await?;
    assert_eq!(stage.writes.take(), ["PUT rotatedsecrets/status"], "only that AWS saw a modification");
    assert_eq!(stage.policy(), Some(same));
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_resource_policy_is_never_touched_nor_looked_at() -> Result<()> {
    let stage = Stage::new("settings").await?;
    stage.settled("app", spec()).await?;
    stage.put_policy(&policy("666666666666"))?;
    stage.declare(json!({"description": "ours", "tags": {"team": "shop"}})).await?;
    stage.advance(HOUR);
    stage.settle("app").await?;
    assert_eq!(stage.policy(), Some(policy("666666666666")));
    assert_eq!(stage.world.emulator.counters().total("GetResourcePolicy"), 0);
    // The declared policy replaced it, and another writer replaced that. It is theirs once the spec declares none.
    stage.declare(json!({"resourcePolicy": policy("210987654321")})).await?;
    stage.world.patch("app", json!({"spec": {"suspend": true}})).await?;
    stage.settle("app").await?;
    stage.advance(MINUTE);
    stage.put_policy(&policy("666666666666"))?;
    stage.world.patch("app", json!({"spec": {"suspend": false, "aws": {"resourcePolicy": null}}})).await?;
    stage.settle("app").await?;
    assert_eq!(stage.policy(), Some(policy("666666666666")));
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_policy_is_looked_at_when_something_changed_and_not_otherwise() -> Result<()> {
    let stage = Stage::new("settings").await?;
    stage.settled("app", with(json!({"resourcePolicy": policy("210987654321")}))).await?;
    let looks = || stage.world.emulator.counters().total("GetResourcePolicy");
    stage.world.emulator.counters().reset();
    stage.live("app", 50 * MINUTE).await?;
    assert_eq!(looks(), 0, "in quiet minutes");
    assert_eq!(stage.aws_write_calls(), 0);
    // A rotation is a modification.
    stage.live("app", 20 * MINUTE).await?;
    assert_eq!(stage.versions("app"), 2);
    assert_eq!(looks(), 1, "once for one rotation");
    stage.external_writer().set_tag(&stage.aws_name("app"), "cost-centre", "7")?;
    stage.settle("app").await?;
    assert_eq!(looks(), 2);
    let refresh = json!({"metadata": {"annotations": {"rotated-secrets.io/refresh": "now"}}});
    stage.world.patch("app", refresh).await?;
    stage.settle("app").await?;
    assert_eq!(looks(), 3, "a person asks");
    stage.assert_silence("app").await?;
    assert_eq!(looks(), 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_aws_refuses_is_said_and_everything_else_goes_on() -> Result<()> {
    for (broken, code) in [
        (anybody(), "PublicPolicyException"),
        (json!({"Statement": [{"Effect": "Allow", "Action": ["*"]}]}), "MalformedPolicyDocumentException"),
    ] {
        let stage = Stage::new("settings").await?;
        stage.settled("app", with(json!({"resourcePolicy": policy("210987654321")}))).await?;
        stage.advance(MINUTE);
        stage.declare(json!({"resourcePolicy": null})).await?;
        stage.declare(json!({"resourcePolicy": broken, "description": "later"})).await?;
        let message = stage.expect("app", "Provisioned", "False", "PolicyRefused").await?;
        ensure!(message.contains(code) && message.contains("spec.aws.resourcePolicy"), "{message}");
        stage.expect("app", "Ready", "False", "PolicyRefused").await?;
        stage.expect("app", "Stalled", "True", "PolicyRefused").await?;
        assert_eq!(stage.told("app", "Warning", "PolicyRefused").await?, 1);
        assert_eq!(stage.policy(), None);
        assert_eq!(stage.world.aws_secret("app").unwrap().description.as_deref(), Some("later"));
        // Neither the rotation nor a change of the value waits for it.
        stage.advance(HOUR);
        stage.settle("app").await?;
        stage.world.patch("app", json!({"spec": {"value": {"data": {"host": "db"}}}})).await?;
        stage.settle("app").await?;
        assert_eq!(stage.versions("app"), 3);
        assert_eq!(stage.data("app").await?["host"], "db");
        stage.expect("app", "Mirrored", "True", "Succeeded").await?;
        stage.expect("app", "Rotated", "True", "Succeeded").await?;
        stage.expect("app", "Ready", "False", "PolicyRefused").await?;
        stage.declare(json!({"resourcePolicy": null})).await?;
        stage.declare(json!({"resourcePolicy": policy("210987654321")})).await?;
        assert_eq!(stage.policy(), Some(policy("210987654321")));
        stage.world.check_agreement("app").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_for_anybody_is_put_when_the_check_is_off_and_refused_again_when_it_is_on() -> Result<()> {
    let stage = Stage::new("settings").await?;
    stage.settled("app", with(json!({"resourcePolicy": anybody(), "blockPublicPolicy": false}))).await?;
    assert_eq!(stage.policy(), Some(anybody()));
    stage.world.check_agreement("app").await?;
    stage.advance(MINUTE);
    stage.declare(json!({"blockPublicPolicy": true})).await?;
    stage.expect("app", "Provisioned", "False", "PolicyRefused").await?;
    stage.advance(MINUTE);
    stage.declare(json!({"blockPublicPolicy": false})).await?;
    stage.world.check_agreement("app").await?;
    // With one that passes, the check is made once.
    stage.declare(json!({"resourcePolicy": null})).await?;
    stage.declare(json!({"resourcePolicy": policy("210987654321")})).await?;
    stage.advance(MINUTE);
    stage.writes.take();
    stage.declare(json!({"blockPublicPolicy": true})).await?;
    assert_eq!(stage.writes.take(), ["PutResourcePolicy", "PUT rotatedsecrets/status"]);
    stage.assert_silence("app").await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_administrators_leave_no_policy_is_set_and_a_key_only_from_the_list() -> Result<()> {
    let mut stage = Stage::new("settings").await?;
    stage.ctx.policy.allow_resource_policies = false;
    stage.ctx.policy.allowed_kms_keys = vec!["alias/shop/*".to_owned(), "aws/secretsmanager".to_owned()];
    stage.settled("app", with(json!({"resourcePolicy": policy("210987654321")}))).await?;
    let message = stage.expect("app", "Provisioned", "False", "PolicyNotAllowed").await?;
    ensure!(message.contains("--allow-resource-policies"), "{message}");
    stage.expect("app", "Mirrored", "True", "Succeeded").await?;
    let counters = stage.world.emulator.counters();
    assert_eq!((counters.total("PutResourcePolicy"), counters.total("GetResourcePolicy")), (0, 0));
    stage.advance(HOUR);
    stage.settle("app").await?;
    assert_eq!(stage.versions("app"), 2, "the rotation goes on");
    stage.declare(json!({"resourcePolicy": null})).await?;
    stage.world.check_agreement("app").await?;

    stage.declare(json!({"kmsKeyId": "alias/other"})).await?;
    let message = stage.expect("app", "Provisioned", "False", "KeyNotAllowed").await?;
    ensure!(message.contains("alias/other") && message.contains("--allowed-kms-keys"), "{message}");
    assert_eq!(stage.key(), None);
    stage.declare(json!({"kmsKeyId": "alias/shop/db"})).await?;
    assert_eq!(stage.key().as_deref(), Some("alias/shop/db"));
    stage.world.check_agreement("app").await?;

    let mut other = unscheduled();
    other["aws"] = json!({"kmsKeyId": "alias/other"});
    stage.settled("new", other).await?;
    stage.expect("new", "Provisioned", "False", "KeyNotAllowed").await?;
    ensure!(stage.world.aws_secret("new").is_none() && stage.no_secret("new").await?, "nothing is made with another key than asked for");

    // Without a key AWS would use the default key.
    stage.ctx.policy.allowed_kms_keys = vec!["alias/shop/*".to_owned()];
    stage.settled("keyless", unscheduled()).await?;
    stage.expect("keyless", "Provisioned", "False", "KeyNotAllowed").await?;
    ensure!(stage.world.aws_secret("keyless").is_none() && stage.no_secret("keyless").await?, "nothing is made with the default key");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_iam_denies_is_said_and_does_not_hold_up_the_rotation() -> Result<()> {
    let declared =
        json!({"tags": {"team": null}, "kmsKeyId": "alias/shop", "resourcePolicy": policy("210987654321"), "description": "new"});
    for operation in ["UntagResource", "UpdateSecret", "PutResourcePolicy", "GetResourcePolicy"] {
        let stage = Stage::new("settings").await?;
        stage.settled("app", with(json!({"tags": {"team": "shop"}}))).await?;
        stage.break_aws(operation, Fault::Refuse { code: "AccessDeniedException".to_owned(), message: "no".to_owned() });
        stage.declare(declared.clone()).await?;
        let message = stage.expect("app", "Provisioned", "False", "AccessDenied").await?;
        ensure!(message.contains(operation), "{operation}: {message}");
        stage.advance(HOUR);
        stage.settle("app").await?;
        assert_eq!(stage.versions("app"), 2, "{operation}");
        stage.expect("app", "Mirrored", "True", "Succeeded").await?;
        stage.expect("app", "Rotated", "True", "Succeeded").await?;
        stage.mend_aws();
        stage.advance(5 * MINUTE);
        stage.settle("app").await?;
        stage.world.check_agreement("app").await?;
        assert_eq!((stage.tag("team"), stage.key().as_deref(), stage.policy()), (None, Some("alias/shop"), Some(policy("210987654321"))));
        assert_eq!(stage.told("app", "Warning", "SettingsRepaired").await?, 0, "{operation}: the spec changed, and nobody else");
        assert!(stage.told("app", "Normal", "SettingsChanged").await? > 0, "{operation}");
        stage.assert_silence("app").await?;
    }
    Ok(())
}
