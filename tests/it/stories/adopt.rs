//! An AWS secret and a Secret that were there before, both offered for adoption; the first rotation is due at once.

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use kube::api::PostParams;
use rotated_secrets::api::{ADOPT_BY, Cause};
use serde_json::json;
use testkit::fixtures::spec;

use super::{Case, Story};

pub(crate) static STORY: Story = Story {
    arrange: |case| offer(case).boxed(),
    versions: &[2],
    check: |case| check(case).boxed(),
    steps: &["Adopt", "AdoptMirror", "Put", "RecordPlace", "ReplaceMirror", "Untag"],
    writes: &["POST events", "PUT rotatedsecrets/status", "PUT secrets", "PutSecretValue", "TagResource", "UntagResource"],
    ..Story::of("adopt")
};

async fn offer(case: &Case) -> Result<()> {
    let (world, name) = (&case.world, &case.name);
    let tags = [(ADOPT_BY.to_owned(), format!("{}/{name}", world.namespace))].into();
    world.emulator.external_writer().create(&world.aws_name(name), r#"{"username":"admin","password":"theirs","extra":"x"}"#, &tags)?;
    let secret = json!({"metadata": {"name": name, "annotations": {ADOPT_BY: name}}, "stringData": {"password": "older"}});
    world.secrets().create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
    let mut spec = spec();
    spec["aws"] = json!({"adoptionPolicy": "IfTagged"});
    spec["target"] = json!({"adoptionPolicy": "IfAnnotated"});
    spec["rotation"]["rotateImmediately"] = json!(true);
    case.create(spec).await
}

async fn check(case: &Case) -> Result<()> {
    let end = case.in_use().await?;
    let previous = end.previous.context("the adopted value can be read")?;
    ensure!(previous["password"] == "theirs" && end.value["password"] != "theirs", "one rotation of theirs");
    ensure!(end.value["extra"] == "x", "what is not declared stays");
    let tags = case.world.aws_secret(&case.name).context("the AWS secret")?.tags;
    ensure!(!tags.contains_key(ADOPT_BY), "the consent is used");
    let history = case.object().await?.status.unwrap_or_default().history;
    let causes: Vec<Cause> = history.iter().map(|entry| entry.cause).collect();
    ensure!(causes == [Cause::Scheduled, Cause::Adopted], "{causes:?}");
    Ok(())
}
