//! `verify`: compares AWS, the mirrored Secret and the status.

use std::time::Duration;

use serde::Serialize;

use super::args::VerifyArgs;
use super::aws::{Caller, Place};
use super::conditions::{lags, suspended_by_namespace};
use super::connect::Session;
use super::flags::Flags;
use super::objects::each_shown;
use super::output::{self, Page};
use super::table::{Cell, Table, Tone};
use super::values;
use super::{Exit, Trouble};
use crate::api::condition::Reason;
use crate::api::{RotatedSecret, TAG_NAME, TAG_NAMESPACE, TAG_UID};
use crate::command::{Command, SecretRef};
use crate::desired::{Desired, Pin, Policy, Target};
use crate::facts::AwsSecret;
use crate::kubernetes::mirror::{self, MirrorMetadata};
use crate::version_id::VersionId;

/// Delay before a difference is checked again. A rotation may be in progress during the first check.
const RECHECK_DELAY: Duration = Duration::from_secs(3);

/// Result of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Finding {
    Agree,
    Differ,
    /// The check could not be made.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    pub(super) check: &'static str,
    pub(super) result: Finding,
    pub(super) message: String,
}

/// The fields of `verify -o json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    namespace: String,
    name: String,
    /// The worst of the checks.
    result: Finding,
    /// Whether AWS, the metadata of the Secret and the values could be read.
    checked_aws: bool,
    checked_mirror: bool,
    checked_values: bool,
    checks: Vec<Line>,
}

/// What was read.
struct Reads {
    object: RotatedSecret,
    /// Why the namespace is suspended, as far as it may be read.
    suspension: Option<String>,
    /// `None`: not read.
    aws: Option<Result<Option<AwsSecret>, String>>,
    mirror: Mirror,
    /// `None`: not compared.
    values: Option<Result<bool, String>>,
}

enum Mirror {
    Unwanted,
    /// Reason why it could not be read.
    Unknown(String),
    Absent(String),
    Found(String, Box<MirrorMetadata>),
}

pub(super) async fn run(session: &Session, args: &VerifyArgs) -> Result<Exit, Trouble> {
    let caller = if args.no_aws { None } else { Some(Caller::load(&args.aws).await) };
    each_shown(session, &args.objects, &args.out, true, async |name, _| {
        let report = of_object(session, args, name, caller.as_ref()).await?;
        let exit = match report.result {
            Finding::Agree => Exit::Fine,
            Finding::Differ => Exit::Wrong,
            Finding::Unknown => Exit::Unreachable,
        };
        Ok((screen(&report, args.no_aws, output::colours()), report, exit))
    })
    .await
}

async fn of_object(session: &Session, args: &VerifyArgs, name: &str, caller: Option<&Caller>) -> Result<Report, Trouble> {
    let mut reads = read(session, args, name, caller).await?;
    let mut checks = compare(&reads, &session.flags);
    if worst(&checks) == Finding::Differ {
        tokio::time::sleep(RECHECK_DELAY).await;
        reads = read(session, args, name, caller).await?;
        checks = compare(&reads, &session.flags);
    }
    let result = worst(&checks);
    Ok(Report {
        namespace: session.namespace.clone(),
        name: name.to_owned(),
        result,
        checked_aws: matches!(reads.aws, Some(Ok(_))),
        checked_mirror: !matches!(reads.mirror, Mirror::Unknown(_)),
        checked_values: matches!(reads.values, Some(Ok(_))),
        checks,
    })
}

async fn read(session: &Session, args: &VerifyArgs, name: &str, caller: Option<&Caller>) -> Result<Reads, Trouble> {
    let object = session.object(name).await?;
    let target = target(&object);
    let arn = object.status.as_ref().and_then(|status| status.aws.as_ref()).and_then(|aws| aws.arn.clone());
    let mirror = match &target {
        Ok(None) => Mirror::Unwanted,
        Ok(Some(target)) => match mirror::read(&session.client, &object, target, arn.as_deref()).await {
            Ok(Some(found)) => Mirror::Found(target.name.clone(), Box::new(found)),
            Ok(None) => Mirror::Absent(target.name.clone()),
            Err(failure) if failure.reason == Reason::AccessDenied => {
                Mirror::Unknown(format!("you may not read the Secret {}: ask for get on secrets", target.name))
            }
            Err(_) => Mirror::Unknown("the API server does not respond: try again".to_owned()),
        },
        Err(why) => Mirror::Unknown(why.clone()),
    };
    let mut values = None;
    let aws = match caller {
        None => None,
        Some(caller) => Some(match Place::of(&object, caller.region(), &session.flags) {
            Err(why) => Err(why),
            Ok(place) => {
                let described = caller.describe(&place).await;
                let found = described.as_ref().ok().and_then(Option::as_ref);
                if let (true, Some(found), Ok(Some(target))) = (args.values, found, &target)
                    && let Some(version) = labelled(&target.pin, found)
                {
                    values = Some(values::agree(session, caller, &place, &version, name, target).await);
                }
                described
            }
        }),
    };
    if args.values && values.is_none() {
        values = Some(Err("there is nothing to compare: the other checks say why".to_owned()));
    }
    let suspension = session.suspension().await;
    Ok(Reads { object, suspension, aws, mirror, values })
}

/// The version that a Secret with this pin holds.
fn labelled(pin: &Pin, found: &AwsSecret) -> Option<VersionId> {
    match pin {
        Pin::Current => found.labels.get("AWSCURRENT").cloned(),
        Pin::Stage(stage) => found.labels.get(stage).cloned(),
        Pin::Version(version) => Some(version.clone()),
    }
}

/// How the operator would lay out the Secret. What only its administrator decides plays no part in that.
fn target(object: &RotatedSecret) -> Result<Option<Target>, String> {
    Desired::parse(object, &Policy::lenient(object)).map(|desired| desired.target).map_err(|refusal| refusal.message)
}

fn worst(checks: &[Line]) -> Finding {
    let any = |finding| checks.iter().any(|check| check.result == finding);
    match () {
        () if any(Finding::Differ) => Finding::Differ,
        () if any(Finding::Unknown) => Finding::Unknown,
        () => Finding::Agree,
    }
}

fn compare(reads: &Reads, flags: &Flags) -> Vec<Line> {
    let object = &reads.object;
    let status = object.status.clone().unwrap_or_default();
    let reported = status.aws.clone().unwrap_or_default();
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let mut checks = Vec::new();
    let mut check = |check, result, message: String| checks.push(Line { check, result, message });
    let refresh = remedy(reads, flags);

    if lags(object) {
        let doctor = flags.plugin("doctor");
        check("status", Finding::Differ, format!("it is of an older spec: is the operator running? {doctor}"));
    } else {
        check("status", Finding::Agree, "it is of the current spec".to_owned());
    }

    // If AWS is not read, the version from the status.
    let pin = target(object).ok().flatten().map_or(Pin::Current, |target| target.pin);
    let mut wanted = match &pin {
        Pin::Current => reported.current_version_id.clone(),
        Pin::Stage(_) => status.mirror.as_ref().and_then(|mirror| mirror.version_id.clone()),
        Pin::Version(version) => Some(version.to_string()),
    };
    match &reads.aws {
        None => {}
        Some(Err(why)) => check("aws", Finding::Unknown, why.clone()),
        Some(Ok(None)) => check(
            "aws",
            Finding::Differ,
            format!("the secret does not exist in AWS: {refresh}; then {}", flags.plugin(&format!("status {name}"))),
        ),
        Some(Ok(Some(found))) => {
            let current = found.labels.get("AWSCURRENT").map(ToString::to_string);
            wanted = labelled(&pin, found).map(|version| version.to_string());
            let (result, message) = secret(object, reported.arn.as_ref(), found);
            check("aws", result, message);
            let said = reported.current_version_id.as_deref().unwrap_or("none");
            match &current {
                Some(current) if current == said => {
                    check("awsVersion", Finding::Agree, format!("AWSCURRENT is {current}, as the status says"));
                }
                other => {
                    let is = other.as_deref().unwrap_or("on no version");
                    check("awsVersion", Finding::Differ, format!("AWSCURRENT is {is}, the status says {said}: {refresh}"));
                }
            }
        }
    }

    match &reads.mirror {
        Mirror::Unwanted => {}
        Mirror::Unknown(why) => check("mirror", Finding::Unknown, why.clone()),
        Mirror::Absent(secret) => check("mirror", Finding::Differ, format!("there is no Secret {secret}: {refresh}")),
        Mirror::Found(secret, found) if !found.facts.ours => {
            check(
                "mirror",
                Finding::Differ,
                format!("the Secret {secret} is not owned by {name}: {} says more", flags.plugin(&format!("status {name}"))),
            );
        }
        Mirror::Found(secret, found) => {
            if found.facts.intact {
                check("mirror", Finding::Agree, format!("the Secret {secret} has the declared layout, and no other client wrote it"));
            } else {
                check("mirror", Finding::Differ, format!("the Secret {secret} was edited or does not have the declared layout: {refresh}"));
            }
            let holds = found.facts.version.as_ref().map(ToString::to_string);
            let held = holds.as_deref().unwrap_or("no version");
            let (as_pinned, should) = if pin == Pin::Current { ("", "current is") } else { (", as it is pinned", "pinned is") };
            match &wanted {
                Some(wanted) if holds.as_ref() == Some(wanted) => {
                    check("mirrorVersion", Finding::Agree, format!("the Secret {secret} holds {held}{as_pinned}"));
                }
                other => {
                    let wanted = other.as_deref().unwrap_or("none");
                    check("mirrorVersion", Finding::Differ, format!("the Secret {secret} holds {held}, {should} {wanted}: {refresh}"));
                }
            }
            let said = status.mirror.as_ref().and_then(|mirror| mirror.version_id.clone());
            if said != holds {
                let said = said.as_deref().unwrap_or("none");
                check("mirrorStatus", Finding::Differ, format!("the Secret {secret} holds {held}, the status says {said}: {refresh}"));
            }
        }
    }

    match &reads.values {
        None => {}
        Some(Ok(true)) => check("values", Finding::Agree, "agree".to_owned()),
        Some(Ok(false)) => check("values", Finding::Differ, format!("differ: {refresh}")),
        Some(Err(why)) => check("values", Finding::Unknown, why.clone()),
    }
    checks
}

/// The command that lets the operator correct a difference.
fn remedy(reads: &Reads, flags: &Flags) -> String {
    let object = &reads.object;
    let name = object.metadata.name.as_deref().unwrap_or_default();
    if object.spec.suspend {
        return format!("nothing is written while {name} is suspended; {}", flags.plugin(&format!("resume {name}")));
    }
    if reads.suspension.is_some() || suspended_by_namespace(object).is_some() {
        return format!("nothing is written while the namespace is suspended; {}", flags.plugin("resume --namespace-wide"));
    }
    flags.plugin(&format!("refresh {name}"))
}

/// Whether the secret in AWS is the one in the status and belongs to this object.
fn secret(object: &RotatedSecret, arn: Option<&String>, found: &AwsSecret) -> (Finding, String) {
    let is = |key: &str, value: Option<&String>| value.is_some() && found.tags.get(key) == value;
    let metadata = &object.metadata;
    let ours = is(TAG_NAMESPACE, metadata.namespace.as_ref()) && is(TAG_NAME, metadata.name.as_ref()) && is(TAG_UID, metadata.uid.as_ref());
    match () {
        () if found.deleted => {
            let restore = Command::RestoreSecret(SecretRef::of_arn(&found.arn));
            (Finding::Differ, format!("the secret is scheduled for deletion: {restore}"))
        }
        () if arn != Some(&found.arn) => {
            (Finding::Differ, format!("the secret is {}, the status says {}", found.arn, arn.map_or("none", String::as_str)))
        }
        () if object.spec.value.is_some() && !ours => {
            (Finding::Differ, "the secret does not carry the tags of this object: docs/runbook.md#notowned".to_owned())
        }
        () if object.spec.value.is_some() => (Finding::Agree, format!("{} exists, with the tags of this object", found.arn)),
        () => (Finding::Agree, format!("{} exists", found.arn)),
    }
}

fn screen(report: &Report, no_aws: bool, colours: bool) -> Page {
    let mut table = Table::new(&["CHECK", "RESULT", "WHAT"]).within(output::columns());
    for check in &report.checks {
        let tone = match check.result {
            Finding::Agree => Tone::Good,
            Finding::Differ => Tone::Bad,
            Finding::Unknown => Tone::Caution,
        };
        table.row(vec![check.check.into(), Cell(format!("{:?}", check.result), tone), check.message.as_str().into()]);
    }
    let half = match (report.checked_aws, report.checked_mirror) {
        (true, true) => "",
        (false, true) if no_aws => " (the mirror and the status; AWS was not read)",
        (false, true) => " (only the mirror and the status were compared; AWS could not be read)",
        (true, false) => " (only AWS and the status were compared; the mirror could not be read)",
        (false, false) => " (neither AWS nor the mirror could be read)",
    };
    let verdict = match report.result {
        Finding::Agree => "all agree",
        Finding::Differ => "not all agree",
        Finding::Unknown => "not all could be checked",
    };
    let mut page = Page::default();
    page.table(&table, colours);
    page.gap();
    page.line(&format!("{}: {verdict}{half}", report.name));
    page
}

#[cfg(test)]
mod tests;
