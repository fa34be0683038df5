//! SIGKILL in the middle of a write: before AWS applied it, or after, before its answer came.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use futures::future::BoxFuture;
use kube::api::DeleteParams;
use serde_json::json;
use testkit::emulator::{Moment, WriteBarrier};
use testkit::until;

use crate::operator::Operator;
use crate::stage::Stage;

/// Lets the first write of each kind hang for ever at this moment.
struct Hang {
    moment: Moment,
    hanging: Mutex<BTreeSet<String>>,
}

impl Hang {
    fn hanging(&self) -> Vec<String> {
        self.hanging.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl WriteBarrier for Hang {
    fn pass<'a>(&'a self, effect: &'a str, moment: Moment) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if moment == self.moment {
                self.hanging.lock().unwrap_or_else(PoisonError::into_inner).insert(effect.to_owned());
                std::future::pending::<()>().await;
            }
        })
    }
}

async fn killed_at(moment: Moment) -> Result<()> {
    let stage = Stage::enter("killed").await?;
    let spec = || {
        json!({
            "aws": {"deletionPolicy": "Delete", "recoveryWindowInDays": 7},
            "value": {"data": {"username": "admin"}, "generate": {"password": {}}},
            "rotation": {"schedule": "rate(30 days)"},
        })
    };
    let first = Operator::start(&stage).await?;
    for name in ["rotated", "deleted"] {
        stage.create(name, spec()).await?;
        stage.ready(name).await?;
    }

    // Three objects, each with one write under way, one death.
    let hang = Arc::new(Hang { moment, hanging: Mutex::default() });
    stage.emulator.set_write_barrier(Some(Arc::clone(&hang) as Arc<dyn WriteBarrier>));
    stage.ask_rotation("rotated", "please").await?;
    stage.create("created", spec()).await?;
    stage.objects().delete("deleted", &DeleteParams::default()).await?;
    let all = ["CreateSecret", "DeleteSecret", "PutSecretValue"];
    until("three writes hang", async || {
        first.check()?;
        Ok((hang.hanging() == all).then_some(()))
    })
    .await?;
    first.kill().await?;
    stage.emulator.set_write_barrier(None);
    let applied = moment == Moment::After;
    ensure!(stage.aws_secret("created").is_some() == applied, "CreateSecret was applied: {applied}");
    ensure!((stage.versions("rotated") == 2) == applied, "PutSecretValue was applied: {applied}");
    ensure!(stage.aws_secret("deleted").is_some_and(|aws| aws.deletion_date.is_some()) == applied, "DeleteSecret was applied: {applied}");

    let second = Operator::start(&stage).await?;
    ensure!(stage.ready("created").await?.aws.versions.len() == 1, "one version for the creation");
    ensure!(stage.acknowledged("rotated", "please").await?.aws.versions.len() == 2, "one more for the request");
    ensure!(stage.ready("rotated").await?.aws.versions.len() == 2, "and Ready");
    until("the deleted object is gone", async || {
        let gone = stage.objects().get_opt("deleted").await?.is_none() && stage.secrets().get_opt("deleted").await?.is_none();
        Ok(gone.then_some(()))
    })
    .await?;
    let deleted = stage.aws_secret("deleted").context("its AWS secret waits for deletion")?;
    ensure!(deleted.deletion_date.is_some() && deleted.versions.len() == 1, "once");
    ensure!(stage.emulator.secrets().len() == 3, "no other AWS secret");
    second.check()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_killed_before_its_writes_were_applied_makes_them_in_its_next_life() -> Result<()> {
    killed_at(Moment::Before).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_killed_after_its_writes_were_applied_does_not_repeat_them() -> Result<()> {
    killed_at(Moment::After).await
}
