//! What can be wrong.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use kube::api::DeleteParams;
use rotated_secrets::api::{AwsDeletionPolicy, RotatedSecret};
use serde_json::Value;
use testkit::emulator::{CallRecord, Fault, FaultPlan, FaultRule, When};
use testkit::{PREFIX, REGION};

use super::{Circumstance, Evidence};
use crate::stories::Case;

impl Circumstance {
    pub(super) const fn of(name: &'static str, met: fn(&Evidence<'_>) -> usize) -> Self {
        Self {
            name,
            met,
            begin: |_| {},
            first: |_| {},
            then: |_| ready(Ok(())).boxed(),
            later: |_| {},
            mend: |_| {},
            check: None,
            of_first: true,
            of_second: true,
            claims_first: &[],
            unmet: &[],
            untaken: &[],
        }
    }
}

const OLD: Duration = Duration::from_secs(20);

/// Every read of AWS shows the state of 20 seconds ago, for two processes.
pub(super) static STALE: Circumstance = Circumstance {
    // What was arranged is visible.
    begin: |case| {
        case.world.emulator.clock().advance(3 * OLD);
        case.world.emulator.counters().reset();
        let stale = || Fault::StaleRead { seconds: OLD.as_secs() };
        let plan = FaultPlan::none().with("DescribeSecret", When::Always, stale()).with("GetSecretValue", When::Always, stale());
        case.world.emulator.set_faults(plan);
    },
    mend: |case| {
        case.world.emulator.set_faults(FaultPlan::none());
        case.world.emulator.clock().advance(3 * OLD);
    },
    unmet: &["check-target", "delete", "delete-mirror", "edit-mirror", "pin", "unmirror"],
    ..Circumstance::of("stale", |seen| usize::try_from(seen.case.world.emulator.counters().outdated()).unwrap_or(usize::MAX))
};

/// Prefix and default region are others after the restart.
pub(super) static FLAGS: Circumstance = Circumstance {
    later: |ctx| {
        "other".clone_into(&mut ctx.policy.name_prefix);
        "eu-west-1".clone_into(&mut ctx.policy.default_region);
    },
    // Until AWS has something of the object, the flags say where its secret will be.
    claims_first: &["adopt", "come-back", "create"],
    untaken: &["AddFinalizer", "Create", "Restore", "RestoreCurrent"],
    of_first: false,
    ..Circumstance::of("flags", |seen| {
        let at_the_old_place = |id: &str| id.starts_with(PREFIX) || id.contains(&format!(":{REGION}:"));
        let named = |call: &&CallRecord| {
            call.region == REGION && call.request.get("SecretId").and_then(|id| id.as_str()).is_some_and(at_the_old_place)
        };
        seen.calls.iter().filter(named).count()
    })
};

/// The API server refuses the status while the first process runs.
pub(super) static NO_STATUS: Circumstance = Circumstance {
    begin: |case| case.world.refusals.status.set(true),
    then: |case| {
        case.world.refusals.status.set(false);
        ready(Ok(())).boxed()
    },
    unmet: &["delete", "delete-in-ending-namespace", "delete-replicated"],
    // Where an AWS secret becomes the object's is recorded before that. A version is reported before it is staged for a
    // target, and so before it is applied.
    untaken: &["Abandon", "Adopt", "AdoptMirror", "Apply", "Create", "RecordPlace", "Restart", "Restore", "Verify"],
    of_second: false,
    ..Circumstance::of("no-status", |seen| seen.case.world.refusals.status.met())
};

/// The API server refuses new objects, as with a quota, while the first process runs.
pub(super) static QUOTA: Circumstance = Circumstance {
    begin: |case| case.world.refusals.quota.set(true),
    then: |case| {
        case.world.refusals.quota.set(false);
        ready(Ok(())).boxed()
    },
    untaken: &["CreateMirror"],
    unmet: &["cancel-by-aws", "configure-by-aws"],
    of_second: false,
    ..Circumstance::of("quota", |seen| seen.case.world.refusals.quota.met())
};

/// The API server refuses new objects from then on, and the namespace controller deletes the object after the first
/// process.
pub(super) static ENDING: Circumstance = Circumstance {
    begin: |case| {
        case.world.emulator.counters().reset();
        case.world.refusals.ending.set(true);
    },
    then: |case| delete(case).boxed(),
    check: Some(|case, object| released(case, object).boxed()),
    untaken: &["CreateMirror"],
    ..Circumstance::of("ending", |seen| seen.case.world.refusals.ending.met() + usize::from(seen.object.is_some()))
};

async fn delete(case: &Case) -> Result<()> {
    match case.world.objects().delete(&case.name, &DeleteParams::default()).await {
        Err(kube::Error::Api(error)) if error.code == 404 => Ok(()),
        deleted => Ok(deleted.map(drop)?),
    }
}

/// The object is gone, and its AWS secret is what its deletion policy says. `object` is the one after the first process.
async fn released(case: &Case, object: Option<&RotatedSecret>) -> Result<()> {
    ensure!(case.world.objects().get_opt(&case.name).await?.is_none(), "the object is gone");
    let Some(aws) = case.world.aws_secret(&case.name) else { return Ok(()) };
    ensure!(aws.current().is_some(), "it has a current value");
    // Where the object is gone already, its story deletes it and the AWS secret.
    let deletes = object.is_none_or(|object| object.spec.aws.deletion_policy == AwsDeletionPolicy::Delete);
    ensure!(!deletes || aws.deletion_date.is_some(), "the AWS secret is left over");
    ensure!(deletes || case.world.emulator.counters().total("DeleteSecret") == 0, "the AWS secret is deleted");
    Ok(())
}

/// The clock of the first process is a year ahead. AWS refuses what it signs.
pub(super) static AHEAD: Circumstance = Circumstance {
    begin: |case| {
        let message = "Signature not yet current: 20280101T000000Z is still later than 20270101T000000Z";
        let refused = Fault::Refuse { code: "InvalidSignatureException".to_owned(), message: message.to_owned() };
        let rule = FaultRule { operation: None, region: None, when: When::Always, fault: refused };
        case.world.emulator.set_faults(FaultPlan { rules: vec![rule], ..FaultPlan::none() });
    },
    first: |ctx| {
        let clock = Arc::clone(&ctx.clock);
        ctx.clock = Arc::new(move || clock().saturating_add(YEAR).unwrap_or(Timestamp::MAX));
    },
    then: |case| {
        case.world.emulator.set_faults(FaultPlan::none());
        ready(Ok(())).boxed()
    },
    of_second: false,
    // AWS is read before nearly every step.
    untaken: &[
        "Abandon",
        "Adopt",
        "AdoptMirror",
        "Apply",
        "CancelRotation",
        "Check",
        "ClaimRotation",
        "ConfigureRotation",
        "Create",
        "CreateMirror",
        "Delete",
        "DeletePolicy",
        "FindWorkloads",
        "MoveLabel",
        "Promote",
        "Put",
        "PutPolicy",
        "RecordPlace",
        "ReleaseRotation",
        "RemoveFinalizer",
        "ReplaceMirror",
        "Replicate",
        "Restart",
        "Restore",
        "RestoreCurrent",
        "Retire",
        "RotateNow",
        "SetDescription",
        "SetKey",
        "SetReplicaKey",
        "Settle",
        "StopReplicating",
        "Tag",
        "Untag",
        "Verify",
    ],
    ..Circumstance::of("ahead", |seen| {
        let Some(status) = seen.object.as_ref().and_then(|object| object.status.as_ref()) else { return 0 };
        let now = seen.case.world.emulator.clock().now();
        let text = serde_json::to_value(status).unwrap_or_default();
        times(&text).filter(|time| time.duration_since(now) > YEAR / 2).count()
    })
};

const YEAR: SignedDuration = SignedDuration::from_hours(24 * 365);

/// All times in a status.
fn times(value: &Value) -> Box<dyn Iterator<Item = Timestamp> + '_> {
    match value {
        Value::String(text) => Box::new(text.parse().into_iter()),
        Value::Array(items) => Box::new(items.iter().flat_map(times)),
        Value::Object(fields) => Box::new(fields.values().flat_map(times)),
        _ => Box::new(std::iter::empty()),
    }
}
