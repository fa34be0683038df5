//! The life of one credential from its manifest to its end, as the demo tells it.

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use rotated_secrets::api::{Cause, FINALIZER, MANAGED_BY, RotatedSecret, SECRET_ARN, VERSION_ID};
use rotated_secrets::version_id::VersionIds;
use serde_json::{Value, json};
use testkit::emulator::SecretSnapshot;
use testkit::{Agreed, data, fields, until};

use crate::operator::Operator;
use crate::stage::Stage;

const NAME: &str = "db-admin";
const EXAMPLE: &str = include_str!("../../examples/db-admin.yaml");
const PERIOD: i64 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn one_short_manifest_gives_a_credential_that_rotates_heals_and_goes_in_good_order() -> Result<()> {
    let stage = Stage::enter("story").await?;
    let operator = Operator::start(&stage).await?;
    tell(&stage).await?;
    operator.check()
}

/// The whole story.
pub(crate) async fn tell(stage: &Stage) -> Result<()> {
    let first = birth(stage).await?;
    rotation(stage, &first).await?;
    request(stage).await?;
    repair(stage).await?;
    columns(stage).await?;
    end(stage).await
}

async fn birth(stage: &Stage) -> Result<Agreed> {
    ensure!(EXAMPLE.contains("rate(30 days)"), "the example has a schedule to shorten");
    let manifest = EXAMPLE.replace("rate(30 days)", &format!("rate({PERIOD} seconds)"));
    stage.plane().apply_yaml_in(&stage.namespace, &manifest).await?;
    let born = stage.ready(NAME).await?;

    let uid = born.object.uid().context("a uid")?;
    let namespaces = kube::Api::<k8s_openapi::api::core::v1::Namespace>::all(stage.plane().admin());
    let cluster = namespaces.get("kube-system").await?.uid();
    let namespace_uid = namespaces.get(&stage.namespace).await?.uid();
    for (tag, value) in [
        ("rotated-secrets.io/cluster", cluster.as_deref()),
        ("rotated-secrets.io/namespace", Some(stage.namespace.as_str())),
        ("rotated-secrets.io/namespace-uid", namespace_uid.as_deref()),
        ("rotated-secrets.io/name", Some(NAME)),
        ("rotated-secrets.io/uid", Some(uid.as_str())),
    ] {
        ensure!(born.aws.tags.get(tag).map(String::as_str) == value, "the tag {tag} is {value:?}");
    }
    ensure!(born.aws.tags.len() == 5, "no other tag");
    let value = fields(born.aws.current());
    ensure!(value.keys().collect::<Vec<_>>() == ["password", "username"], "the two fields of the manifest");
    ensure!(value["username"] == b"admin" && value["password"].len() == 32, "as declared");

    let owner = born.mirror.owner_references().first().context("an owner")?;
    ensure!(
        owner.uid == uid && owner.name == NAME && owner.kind == "RotatedSecret" && owner.controller == Some(true),
        "our object owns it"
    );
    ensure!(born.mirror.labels().get(MANAGED_BY.0).map(String::as_str) == Some(MANAGED_BY.1), "labelled");
    ensure!(born.mirror.annotations().get(SECRET_ARN) == Some(&born.aws.arn), "annotated with the ARN");
    ensure!(born.mirror.annotations().contains_key(VERSION_ID), "annotated with the version");
    ensure!(born.mirror.type_.as_deref() == Some("Opaque"), "of type Opaque");
    Ok(born)
}

async fn rotation(stage: &Stage, first: &Agreed) -> Result<()> {
    until("it has rotated twice", async || Ok((stage.versions(NAME) >= 3).then_some(()))).await?;
    stage.patch(NAME, json!({"spec": {"rotation": {"suspend": true}}})).await?;
    let agreed = calm(stage).await?;
    check_chain(&agreed.object, &agreed.aws, PERIOD)?;
    for pair in agreed.aws.versions.windows(2) {
        let [before, after] = [&pair[0], &pair[1]].map(|version| fields(version.value().and_then(|value| value.as_str())));
        ensure!(before["username"] == b"admin" && after["username"] == b"admin", "the user name stays");
        ensure!(before["password"] != after["password"], "the password is new");
    }
    ensure!(fields(first.aws.current()) == fields(agreed.aws.versions[0].value().and_then(|v| v.as_str())), "the first value was mirrored");
    let status = agreed.object.status.clone().context("a status")?;
    let causes: Vec<Cause> = status.history.iter().map(|entry| entry.cause).collect();
    ensure!(causes.split_last() == Some((&Cause::Created, vec![Cause::Scheduled; causes.len() - 1].as_slice())), "{causes:?}");
    let missed = u64::try_from(status.missed_rotations)?;
    ensure!(missed <= late(&agreed.aws, PERIOD)?, "no more was missed than a slow machine was late: {missed}");

    let count = stage.versions(NAME);
    let due = agreed.aws.versions.last().context("a version")?.created + SignedDuration::from_secs(PERIOD);
    until("a rotation is due", async || Ok((Timestamp::now() > due).then_some(()))).await?;
    stage.reads(2).await?;
    ensure!(stage.versions(NAME) == count, "suspended: no rotation, although one is due");
    Ok(())
}

/// Every version follows from its predecessor and the schedule: no due time twice, none left out, none made up.
pub(crate) fn check_chain(object: &RotatedSecret, aws: &SecretSnapshot, period: i64) -> Result<()> {
    let tokens = VersionIds::of(&object.uid().context("a uid")?);
    let versions = &aws.versions;
    ensure!(versions[0].id == tokens.creation().as_str(), "the first version is the creation's");
    for pair in versions.windows(2) {
        let due = Timestamp::from_second(pair[0].created.as_second() + period)?;
        ensure!(pair[1].id == tokens.slot(due).as_str(), "{} is the version of the time due at {due}", pair[1].id);
        ensure!(pair[1].created >= due, "not before it is due");
    }
    let [.., previous, current] = versions.as_slice() else { return Ok(()) };
    ensure!(aws.labels.get("AWSCURRENT") == Some(&current.id), "the newest is current");
    ensure!(aws.labels.get("AWSPREVIOUS") == Some(&previous.id), "its predecessor is the previous one");
    Ok(())
}

/// How many due times passed between that of each version and its creation.
fn late(aws: &SecretSnapshot, period: i64) -> Result<u64> {
    let seconds = aws.versions.windows(2).map(|pair| pair[1].created.as_second() - pair[0].created.as_second() - period);
    Ok(u64::try_from(seconds.map(|late| late / period).sum::<i64>())?)
}

/// Agreement without a word on Ready: a rotation that is due and suspended is told there.
async fn calm(stage: &Stage) -> Result<Agreed> {
    until("everything agrees", async || stage.agreed(NAME).await).await
}

async fn request(stage: &Stage) -> Result<()> {
    let before = stage.versions(NAME);
    stage.kubectl(&["annotate", "rsec", NAME, "rotated-secrets.io/rotate=please"]).await?;
    let agreed = stage.acknowledged(NAME, "please").await?;
    ensure!(agreed.aws.versions.len() == before + 1, "one version for one request");
    let tokens = VersionIds::of(&agreed.object.uid().context("a uid")?);
    ensure!(agreed.aws.labels.get("AWSCURRENT").map(String::as_str) == Some(tokens.request("please").as_str()), "it is the request's");
    let head = agreed.object.status.as_ref().and_then(|status| status.history.first()).context("history")?;
    ensure!(head.cause == Cause::Requested, "and the history says so");

    stage.refresh(NAME, "look").await?;
    until("the operator has looked again", async || {
        let status = stage.objects().get(NAME).await?.status.unwrap_or_default();
        Ok((status.requests.and_then(|requests| requests.refresh).as_deref() == Some("look")).then_some(()))
    })
    .await?;
    ensure!(stage.versions(NAME) == before + 1, "once");
    Ok(())
}

async fn repair(stage: &Stage) -> Result<()> {
    let count = stage.versions(NAME);
    let value = fields(stage.aws_secret(NAME).context("the AWS secret")?.current());
    let healed = async |what: &str| {
        until(what, async || {
            let Some(mirror) = stage.secrets().get_opt(NAME).await? else { return Ok(None) };
            let foreign = mirror.managed_fields().iter().any(|entry| {
                let data = entry.fields_v1.as_ref().and_then(|fields| fields.0.get("f:data"));
                entry.manager.as_deref() != Some("rotated-secrets") && data.is_some()
            });
            Ok((data(&mirror) == value && !foreign && mirror.labels().contains_key(MANAGED_BY.0)).then_some(mirror))
        })
        .await
    };
    stage.kubectl(&["patch", "secret", NAME, "--patch", r#"{"stringData":{"password":"edited by hand"}}"#]).await?;
    healed("the patched password is AWS's again").await?;

    let editor = r"sed -i -e 's/^  password: .*/  password: aGFja2Vk/' -e '/^  username: /d'";
    stage.kubectl_with(&["edit", "secret", NAME], &[("KUBE_EDITOR", editor)]).await?;
    let edited = healed("the edited Secret is as it should be").await?;

    stage.kubectl(&["delete", "secret", NAME, "--wait=false"]).await?;
    let remade = healed("the deleted Secret is made again").await?;
    ensure!(remade.uid() != edited.uid(), "it is a new one");
    ensure!(!remade.owner_references().is_empty(), "with its owner");
    ensure!(stage.versions(NAME) == count, "a repair makes no version");
    calm(stage).await?;
    Ok(())
}

async fn columns(stage: &Stage) -> Result<()> {
    stage.patch(NAME, json!({"spec": {"rotation": {"suspend": false, "schedule": "rate(30 days)"}}})).await?;
    stage.ready(NAME).await?;
    stage.kubectl(&["wait", "--for=condition=Ready", &format!("rsec/{NAME}"), "--timeout=5m"]).await?;
    let narrow = stage.kubectl(&["get", "rsec"]).await?;
    ensure!(header(&narrow) == ["NAME", "READY", "LAST ROTATED", "NEXT ROTATION", "AGE"], "{narrow}");
    ensure!(narrow.lines().nth(1).is_some_and(|line| line.split_whitespace().nth(1) == Some("True")), "{narrow}");
    let wide = stage.kubectl(&["get", "rsec", "--output", "wide"]).await?;
    let expected = ["NAME", "READY", "LAST ROTATED", "NEXT ROTATION", "AGE", "REASON", "SECRET", "VERSION", "ARN"];
    ensure!(header(&wide) == expected, "{wide}");
    let aws = stage.aws_secret(NAME).context("the AWS secret")?;
    ensure!(wide.contains(&aws.arn) && wide.contains(&aws.labels["AWSCURRENT"]), "{wide}");

    for reason in ["Created", "Rotated", "MirrorRepaired"] {
        until(&format!("an Event tells that it was {reason}"), async || {
            let events: Value = serde_json::from_str(&stage.kubectl(&["get", "events.events.k8s.io", "--output", "json"]).await?)?;
            let mut reasons = events["items"].as_array().into_iter().flatten().filter_map(|event| event["reason"].as_str());
            Ok(reasons.any(|found| found == reason).then_some(()))
        })
        .await?;
    }
    Ok(())
}

fn header(table: &str) -> Vec<&str> {
    let first = table.lines().next().unwrap_or_default();
    first.split("  ").map(str::trim).filter(|column| !column.is_empty()).collect()
}

async fn end(stage: &Stage) -> Result<()> {
    stage.patch(NAME, json!({"spec": {"aws": {"deletionPolicy": "Delete", "recoveryWindowInDays": 7}}})).await?;
    until("the finalizer is on", async || {
        let object = stage.objects().get(NAME).await?;
        Ok(object.finalizers().iter().any(|name| name == FINALIZER).then_some(()))
    })
    .await?;
    let count = stage.versions(NAME);
    stage.kubectl(&["delete", "rsec", NAME, "--timeout=5m"]).await?;
    let aws = stage.aws_secret(NAME).context("the AWS secret is still there")?;
    let window = aws.deletion_date.context("it waits for deletion")?.duration_since(Timestamp::now()).as_hours();
    ensure!((7 * 24 - 1..=7 * 24).contains(&window), "for the window of 7 days, not {window} hours");
    ensure!(aws.versions.len() == count, "with all its versions");
    until("the Secret is garbage-collected", async || Ok(stage.secrets().get_opt(NAME).await?.is_none().then_some(()))).await
}
