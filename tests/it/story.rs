//! Stories: a beginning in peace, one cause, and what must be so at the end, whatever happened between.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use emulator::function::KeepUsername;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use rotated_secrets::api::{ADOPT_BY, Cause, RETENTION_LABEL, ROLLBACK, TAG_ROTATION, TAG_UID, VERSION_ID};
use rotated_secrets::version_id::VersionIds;
use serde_json::json;

use crate::support::{World, spec};

const FUNCTION: &str = "arn:aws:lambda:eu-central-1:123456789012:function:rotate";

fn lambda_rotation() -> serde_json::Value {
    json!({"schedule": "rate(1 day)", "lambda": {"functionArn": FUNCTION}})
}

/// What somebody else puts in AWS.
pub(crate) const THEIRS: &str = r#"{"username":"admin","password":"theirs"}"#;

/// A story with a beginning in peace, one cause, and an end to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Story {
    Create,
    Rotate,
    RotateAfterOutage,
    BeginRotation,
    Overtaken,
    Request,
    RotateAgain,
    RollBack,
    Pin,
    ChangeDeclaration,
    Describe,
    EditMirror,
    DeleteMirror,
    ConfigureByAws,
    RequestByAws,
    CancelByAws,
    Delete,
    /// An AWS secret and a Secret that were there before, with a first rotation at once.
    Adopt,
    /// Settings are declared, all of them.
    Declare,
    /// The same settings are declared no longer.
    Undeclare,
    /// An object with replicas goes.
    DeleteReplicated,
    /// An object that was deleted, its AWS secret with it, is made anew.
    ComeBack,
    /// The flags change between two lives, and a rotation is asked for.
    Moved,
}

impl Story {
    pub(crate) const ALL: [Self; 23] = [
        Self::Create,
        Self::Rotate,
        Self::RotateAfterOutage,
        Self::BeginRotation,
        Self::Overtaken,
        Self::Request,
        Self::RotateAgain,
        Self::RollBack,
        Self::Pin,
        Self::ChangeDeclaration,
        Self::Describe,
        Self::EditMirror,
        Self::DeleteMirror,
        Self::ConfigureByAws,
        Self::RequestByAws,
        Self::CancelByAws,
        Self::Delete,
        Self::Adopt,
        Self::Declare,
        Self::Undeclare,
        Self::DeleteReplicated,
        Self::ComeBack,
        Self::Moved,
    ];

    /// How many versions AWS holds at the end: one for each cause, whatever happened on the way.
    pub(crate) fn versions(self) -> usize {
        match self {
            Self::Create
            | Self::Describe
            | Self::EditMirror
            | Self::DeleteMirror
            | Self::Delete
            | Self::Declare
            | Self::Undeclare
            | Self::DeleteReplicated
            | Self::ComeBack
            | Self::ConfigureByAws
            | Self::CancelByAws => 1,
            Self::Rotate
            | Self::RotateAfterOutage
            | Self::BeginRotation
            | Self::Request
            | Self::Moved
            | Self::ChangeDeclaration
            | Self::Pin
            | Self::RequestByAws
            | Self::Adopt => 2,
            // When it is overtaken: theirs, and ours unless the operator died before it was written: then theirs is young, and nothing is due.
            Self::RotateAgain | Self::RollBack | Self::Overtaken => 3,
        }
    }

    pub(crate) async fn begin(self, world: &World, name: &str) -> Result<()> {
        let mut spec = spec();
        if self == Self::Delete || self == Self::Create {
            spec["aws"] = json!({"deletionPolicy": "Delete", "recoveryWindowInDays": 7});
            spec["target"] = json!({"deletionPolicy": "Retain"});
        }
        if matches!(self, Self::BeginRotation | Self::ConfigureByAws) {
            spec["rotation"] = serde_json::Value::Null;
        }
        if matches!(self, Self::ConfigureByAws | Self::RequestByAws | Self::CancelByAws) {
            world.emulator.set_rotation_function(FUNCTION, Some(KeepUsername::new()));
            world.allow_functions(FUNCTION).await?;
        }
        if matches!(self, Self::RequestByAws | Self::CancelByAws) {
            spec["rotation"] = lambda_rotation();
        }
        match self {
            Self::Adopt => return offer(world, name, spec).await,
            Self::Undeclare => spec["aws"] = settings(),
            Self::DeleteReplicated => {
                spec["aws"] = settings();
                spec["aws"]["deletionPolicy"] = json!("Delete");
            }
            Self::ComeBack => spec["aws"] = json!({"deletionPolicy": "Delete"}),
            _ => {}
        }
        world.create(name, spec).await?;
        if self == Self::Create {
            return Ok(());
        }
        let peace = world.operator(None, Arc::default()).await?;
        world.settle(&peace, name).await?;
        world.check_agreement(name).await?;
        if matches!(self, Self::RotateAgain | Self::RollBack | Self::Pin) {
            drop(world.request_rotation(name, "first").await?);
            world.settle(&peace, name).await?;
            world.check_agreement(name).await?;
        }
        // The status tells when the mirror was written, in whole seconds: a repair within the same second would be one write less.
        tokio::time::sleep(std::time::Duration::from_millis(1001)).await;
        let hours = |n: u64| std::time::Duration::from_secs(n * 3600 + 5);
        match self {
            Self::Create | Self::Adopt => {}
            Self::Rotate | Self::Overtaken => world.emulator.clock().advance(hours(1)),
            // Three quarters into the eighth hour: seven due times passed by.
            Self::RotateAfterOutage => world.emulator.clock().advance(hours(7) + std::time::Duration::from_mins(45)),
            Self::BeginRotation => {
                let rotation = json!({"schedule": "rate(1 hour)", "duration": "30m", "rotateImmediately": true});
                drop(world.patch(name, json!({"spec": {"rotation": rotation}})).await?);
            }
            Self::Moved => {
                *world.flags.lock().unwrap() = ("other".to_owned(), "eu-west-1".to_owned());
                drop(world.request_rotation(name, "please").await?);
            }
            Self::Request | Self::RequestByAws => drop(world.request_rotation(name, "please").await?),
            Self::ConfigureByAws => drop(world.patch(name, json!({"spec": {"rotation": lambda_rotation()}})).await?),
            Self::CancelByAws => drop(world.patch(name, json!({"spec": {"rotation": null}})).await?),
            // The first version has no label of ours yet, and is about to lose AWSPREVIOUS.
            Self::RotateAgain => drop(world.request_rotation(name, "second").await?),
            Self::RollBack => drop(world.annotate(name, ROLLBACK, "undo:AWSPREVIOUS").await?),
            Self::Pin => {
                let first = world.aws_secret(name).context("a secret")?.versions[0].id.clone();
                drop(world.patch(name, json!({"spec": {"target": {"versionId": first}}})).await?);
            }
            Self::ChangeDeclaration => {
                drop(world.patch(name, json!({"spec": {"value": {"data": {"host": "db"}, "generate": {"key": {}}}}})).await?);
            }
            Self::Describe => {
                drop(
                    world
                        .patch(name, json!({"spec": {"aws": {"description": "new", "kmsKeyId": "alias/shop", "tags": {"team": "shop"}}}}))
                        .await?,
                );
            }
            Self::EditMirror => {
                let edit = json!({"stringData": {"password": "edited by hand"}});
                world.secrets().patch(name, &PatchParams::default(), &Patch::Merge(edit)).await?;
            }
            Self::DeleteMirror => drop(world.secrets().delete(name, &DeleteParams::default()).await?),
            Self::Delete | Self::DeleteReplicated => drop(world.objects().delete(name, &DeleteParams::default()).await?),
            Self::Declare => drop(world.patch(name, json!({"spec": {"aws": settings()}})).await?),
            Self::Undeclare => {
                let nothing = json!({"tags": null, "kmsKeyId": null, "resourcePolicy": null, "replicaRegions": []});
                drop(world.patch(name, json!({"spec": {"aws": nothing}})).await?);
            }
            Self::ComeBack => {
                world.objects().delete(name, &DeleteParams::default()).await?;
                world.settle(&peace, name).await?;
                // As the garbage collector does in its own time, if it has not.
                drop(world.secrets().delete(name, &DeleteParams::default()).await);
                drop(world.create(name, crate::support::spec()).await?);
            }
        }
        Ok(())
    }

    pub(crate) async fn check_end(self, world: &World, name: &str) -> Result<()> {
        let aws = world.aws_secret(name).context("the AWS secret is there")?;
        let fewer = usize::from(self == Self::Overtaken && aws.versions.len() == 2);
        ensure!(aws.versions.len() + fewer == self.versions(), "{} versions instead of {}", aws.versions.len(), self.versions());
        if self == Self::Overtaken {
            ensure!(aws.current() == Some(THEIRS), "what somebody else put is current again, also where the operator died after its write");
        }
        if self == Self::DeleteReplicated {
            ensure!(world.objects().get_opt(name).await?.is_none(), "the object is gone");
            ensure!(aws.deletion_date.is_some(), "the AWS secret is scheduled for deletion");
            ensure!(places(world, name) == 1, "its replicas are gone");
            return Ok(());
        }
        if self == Self::Delete {
            ensure!(world.objects().get_opt(name).await?.is_none(), "the object is gone");
            ensure!(aws.deletion_date.is_some(), "the AWS secret is scheduled for deletion");
            let secret: Secret = world.secrets().get(name).await?;
            ensure!(secret.metadata.owner_references.is_none_or(|owners| owners.is_empty()), "the Secret stays, without its owner");
            ensure!(world.emulator.log().iter().all(|call| !format!("{call:?}").contains("ForceDelete")), "never forced");
            return Ok(());
        }
        ensure!(aws.deletion_date.is_none(), "nothing is deleted");
        if self == Self::Pin {
            let secret = world.secrets().get(name).await?;
            ensure!(secret.annotations().get(VERSION_ID) == Some(&aws.versions[0].id), "the Secret holds the pinned version");
            let labelled = aws.labels.iter().any(|(label, version)| label.starts_with(RETENTION_LABEL) && *version == aws.versions[0].id);
            ensure!(labelled || aws.labels.get("AWSPREVIOUS") == Some(&aws.versions[0].id), "AWS keeps it");
            return Ok(());
        }
        world.check_agreement(name).await?;
        let value: serde_json::Value = serde_json::from_str(aws.current().context("a value")?)?;
        ensure!(value["username"] == "admin", "the user name stays");
        let old: Option<serde_json::Value> = aws.labelled("AWSPREVIOUS").and_then(|v| serde_json::from_str(v.value()?.as_str()?).ok());
        match self {
            Self::Adopt => {
                let old = old.context("the adopted value can be read")?;
                ensure!(old["password"] == "theirs" && value["password"] != "theirs" && value["extra"] == "x", "one rotation of theirs");
                let history = world.objects().get(name).await?.status.unwrap_or_default().history;
                let causes: Vec<Cause> = history.iter().map(|entry| entry.cause).collect();
                ensure!(causes == [Cause::Scheduled, Cause::Adopted], "{causes:?}");
            }
            Self::ComeBack => {
                let object = world.objects().get(name).await?;
                ensure!(aws.tags.get(TAG_UID) == object.metadata.uid.as_ref(), "it is the new object's");
            }
            Self::Declare => {
                ensure!(aws.tags["team"] == "shop" && aws.kms_key.as_deref() == Some("alias/shop"), "tag and key");
                ensure!(aws.policy.is_some() && places(world, name) == 2, "policy and replica");
            }
            Self::Undeclare => {
                ensure!(!aws.tags.contains_key("team") && aws.kms_key.is_none(), "no tag and no key");
                ensure!(aws.policy.is_none() && places(world, name) == 1, "no policy and no replica");
            }
            Self::Rotate | Self::RotateAfterOutage | Self::BeginRotation | Self::Request | Self::RequestByAws | Self::Moved => {
                ensure!(self != Self::Moved || world.emulator.secrets().len() == 1, "nothing is created at the other place");
                let old = old.context("the old value can be read")?;
                ensure!(old["password"] != value["password"], "the password is new");
            }
            Self::ChangeDeclaration => {
                let old = old.context("the old value can be read")?;
                ensure!(old["password"] == value["password"], "the password stays");
                ensure!(value["host"] == "db" && value["key"].is_string(), "the new fields are there");
            }
            Self::RotateAgain => {
                let kept = |id: &str| aws.labels.iter().filter(|(label, version)| label.starts_with(RETENTION_LABEL) && *version == id).count();
                for version in &aws.versions {
                    ensure!(kept(&version.id) == 1, "every version has one label of ours: {:?}", aws.labels);
                }
            }
            Self::RollBack => {
                ensure!(aws.current() == aws.versions[0].value().and_then(|value| value.as_str()), "the value is the first one again");
                let object = world.objects().get(name).await?;
                let status = object.status.clone().unwrap_or_default();
                let expected = VersionIds::of(&object.uid().unwrap_or_default()).rollback("undo").to_string();
                ensure!(aws.labels.get("AWSCURRENT") == Some(&expected), "under the id that follows from the token");
                ensure!(status.requests.and_then(|requests| requests.rollback).as_deref() == Some("undo"), "acknowledged");
                ensure!(status.history.first().map(|head| head.cause) == Some(Cause::RolledBack), "recorded: {:?}", status.history);
            }
            Self::Describe => {
                ensure!(aws.description.as_deref() == Some("new") && aws.kms_key.as_deref() == Some("alias/shop"), "as declared");
                ensure!(aws.tags.get("team").map(String::as_str) == Some("shop"), "tagged");
            }
            Self::ConfigureByAws | Self::CancelByAws => {
                let on = self == Self::ConfigureByAws;
                ensure!(aws.rotation.as_ref().is_some_and(|rotation| rotation.enabled == on), "rotation by AWS is on: {:?}", aws.rotation);
                ensure!(aws.tags.contains_key(TAG_ROTATION) == on, "marked: {:?}", aws.tags);
            }
            _ => {}
        }
        if self == Self::RequestByAws {
            let begun = world.emulator.rotation_events().iter().filter(|event| event.event_name == "RotationStarted").count();
            ensure!(begun == 1, "{begun} rotations for one request");
        }
        if self == Self::RotateAfterOutage {
            let status = world.objects().get(name).await?.status.unwrap_or_default();
            ensure!(status.missed_rotations == 7, "{} missed of 7", status.missed_rotations);
        }
        Ok(())
    }
}

/// Everything that can be said of an AWS secret beside its value.
fn settings() -> serde_json::Value {
    let readers = json!([{
        "Effect": "Allow",
        "Principal": {"AWS": ["arn:aws:iam::210987654321:root"]},
        "Action": ["secretsmanager:GetSecretValue"],
        "Resource": ["*"],
    }]);
    json!({
        "tags": {"team": "shop"},
        "kmsKeyId": "alias/shop",
        "resourcePolicy": {"Version": "2012-10-17", "Statement": readers},
        "replicaRegions": [{"region": "eu-west-1"}],
    })
}

/// In how many regions the AWS secret lives.
fn places(world: &World, name: &str) -> usize {
    let name = world.aws_name(name);
    world.emulator.secrets().iter().filter(|secret| secret.name == name).count()
}

/// Somebody else's AWS secret and Secret, and an object that may adopt both.
async fn offer(world: &World, name: &str, mut spec: serde_json::Value) -> Result<()> {
    let tags = [(ADOPT_BY.to_owned(), format!("{}/{name}", world.namespace))].into();
    world.emulator.external_writer().create(&world.aws_name(name), r#"{"username":"admin","password":"theirs","extra":"x"}"#, &tags)?;
    let secret = json!({"metadata": {"name": name, "annotations": {ADOPT_BY: name}}, "stringData": {"password": "older"}});
    world.secrets().create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
    spec["aws"] = json!({"adoptionPolicy": "IfTagged"});
    spec["target"] = json!({"adoptionPolicy": "IfAnnotated"});
    spec["rotation"]["rotateImmediately"] = json!(true);
    world.create(name, spec).await.map(drop)
}

/// Silence: a new life writes nothing. And what was mirrored was current once, and never went backwards.
pub(crate) fn check_history(world: &World, name: &str, mirrored: &[String], late: &[String]) -> Result<()> {
    ensure!(late.is_empty(), "writes after the end: {late:?}");
    let aws = world.aws_secret(name).context("the AWS secret is there")?;
    let order: Vec<usize> = mirrored.iter().filter_map(|id| aws.versions.iter().position(|version| version.id == *id)).collect();
    ensure!(order.len() == mirrored.len(), "a mirrored version that AWS does not have");
    ensure!(order.is_sorted(), "the mirror went backwards: {order:?}");
    Ok(())
}
