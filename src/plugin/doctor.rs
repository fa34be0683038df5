//! `doctor`: checks the prerequisites of the plugin and the operator, and repeats what the operator says of the object.

mod access;
mod identity;
mod namespace;
mod operator;
mod report;
mod target;

use jiff::SignedDuration;
use kube::ResourceExt as _;

use self::report::{Finding, Report};
use super::args::DoctorArgs;
use super::aws::{Caller, Place};
use super::connect::Session;
use super::health::{Health, State};
use super::output::{self, Page};
use super::table::{Cell, Table, Tone};
use super::{Exit, Trouble, ages, status};
use crate::api::{GROUP, RotatedSecret};
use crate::command::Command;

const VERSION: &str = "v1alpha1";

pub(super) async fn run(session: &Session, args: &DoctorArgs) -> Result<Exit, Trouble> {
    let mut report = Report { checks: Vec::new() };
    let mut object = None;
    let reached = cluster(session, args, &mut report).await;
    if reached && let Some(name) = &args.name {
        if args.probe {
            Box::pin(operator::probe_named(session, name, &mut report)).await;
        }
        object = named(session, name, args.probe, &mut report).await;
    }
    if reached && !(args.probe && object.is_some()) {
        operator::check(session, args, &mut report).await;
    }
    aws(session, args, object.as_ref(), &mut report).await;
    output::emit(&args.out, &report, || screen(&report, output::colours()))?;
    let problems = report.checks.iter().any(|check| check.result == Finding::Problem);
    Ok(if reached { Exit::fine_if(!problems) } else { Exit::Unreachable })
}

/// The checks of the cluster. `false`: it cannot be reached, or does not serve the API.
async fn cluster(session: &Session, args: &DoctorArgs, report: &mut Report) -> bool {
    match session.client.apiserver_version().await {
        Ok(version) => report.add("apiServer", Finding::Ok, format!("responds, Kubernetes {}", version.git_version)),
        Err(error) => {
            report.add("apiServer", Finding::Problem, session.trouble("get", "", &error).to_string());
            return false;
        }
    }
    clock(session.clock.ahead(), report);
    let defined = session.client.list_api_group_resources(&format!("{GROUP}/{VERSION}")).await;
    match &defined {
        Ok(list) if list.resources.iter().any(|resource| resource.kind == "RotatedSecret") => {
            report.add("definition", Finding::Ok, format!("RotatedSecret {VERSION} is served, plugin {}", env!("CARGO_PKG_VERSION")));
        }
        _ => {
            let message =
                format!("RotatedSecret {VERSION} is not served by this cluster: is it the right --context? If it is, install the operator");
            report.add("definition", Finding::Problem, message);
            return true;
        }
    }
    access::check(session, args.all_namespaces, report).await;
    namespace::check(session, args.all_namespaces, report).await;
    true
}

/// Ages are shown by the clock of the API server. AWS refuses requests if the clock here is five minutes wrong.
fn clock(ahead: SignedDuration, report: &mut Report) {
    if ahead.is_zero() {
        return;
    }
    let is = if ahead.is_positive() { "behind" } else { "ahead of" };
    let message = format!("the clock of this machine is {} {is} the API server's, whose clock is used: set it", ages::human(ahead.abs()));
    report.add("clock", Finding::Note, message);
}

/// The object: its health, each condition that is not met, and its identity in AWS.
async fn named(session: &Session, name: &str, probed: bool, report: &mut Report) -> Option<RotatedSecret> {
    let seen = match session.seen(name).await {
        Ok(seen) => seen,
        Err(trouble) => {
            report.add("object", Finding::Problem, trouble.to_string());
            return None;
        }
    };
    of_object(&status::health(session, &seen), report);
    let object = session.readable(seen).ok()?;
    let told: Vec<String> = report.checks.iter().map(|check| check.message.clone()).collect();
    for condition in object.status.iter().flat_map(|status| &status.conditions) {
        let unmet = condition.status == "False" && !told.iter().any(|told| told.contains(&condition.message));
        if unmet && condition.type_ != "Stalled" && condition.type_ != "Reconciling" {
            report.add("condition", Finding::Problem, format!("{} is False, {}: {}", condition.type_, condition.reason, condition.message));
        }
    }
    identity::of_object(session, &object, report).await;
    target::check(session, &object, probed, report).await;
    Some(object)
}

fn of_object(health: &Health, report: &mut Report) {
    let reason = health.reason.as_deref().unwrap_or("not reconciled yet");
    let result = match health.state {
        State::Ready | State::Due => Finding::Ok,
        State::Suspended | State::Progressing => Finding::Note,
        _ => Finding::Problem,
    };
    let message = health.message.as_ref().map_or_else(String::new, |message| format!(": {message}"));
    report.add("object", result, format!("{} is {:?}, {reason}{message}", health.name, health.state));
    if !health.unknown_fields.is_empty() {
        let fields = health.unknown_fields.join(", ");
        report.add("object", Finding::Note, format!("this plugin does not know {fields}: update the plugin"));
    }
}

/// The checks of AWS. Only `verify` needs them.
async fn aws(session: &Session, args: &DoctorArgs, object: Option<&RotatedSecret>, report: &mut Report) {
    let caller = Caller::load(&args.aws).await;
    match caller.region() {
        Some(region) => report.add("awsRegion", Finding::Ok, format!("{region} (the region of an object takes precedence)")),
        None => report.add("awsRegion", Finding::Note, "not set, so the regions of the objects are used: set AWS_REGION to have a default"),
    }
    if !caller.has_credentials().await {
        let unchecked = if args.name.is_some() { "your AWS identity and your access to the secret" } else { "your AWS identity" };
        let message =
            format!("not found, so {unchecked} were not checked; verify needs them: run {}, or set AWS_PROFILE", Command::SsoLogin);
        report.add("awsCredentials", Finding::Note, message);
        return;
    }
    report.add("awsCredentials", Finding::Ok, "found");
    let without = if args.name.is_some() { Finding::Problem } else { Finding::Note };
    let place = object.map(|object| (object.name_any(), Place::of(object, caller.region(), &session.flags)));
    let region = place.as_ref().and_then(|(_, place)| place.as_ref().ok()).map(|place| place.region.clone());
    identity::of_caller(&caller, region.as_deref(), without, report).await;
    match place {
        None => {}
        // The checks of the object say why.
        Some((_, Err(why))) => report.add("awsSecret", Finding::Note, format!("not checked: {why}")),
        Some((name, Ok(place))) => match caller.describe(&place).await {
            Ok(Some(found)) if found.deleted => {
                let restore = Command::RestoreSecret(place.secret_ref());
                let message = format!("{} is scheduled for deletion, which the operator notices with the next resync: {restore}", place.id);
                report.add("awsSecret", Finding::Problem, message);
            }
            Ok(Some(_)) => report.add("awsSecret", Finding::Ok, format!("you may DescribeSecret of {}", place.id)),
            Ok(None) => {
                let status = session.flags.plugin(&format!("status {name}"));
                report.add("awsSecret", Finding::Problem, format!("{} does not exist in {}: {status}", place.id, place.region));
            }
            Err(why) => report.add("awsSecret", Finding::Problem, why),
        },
    }
}

fn screen(report: &Report, colours: bool) -> Page {
    let mut table = Table::new(&["CHECK", "RESULT", "WHAT"]).within(output::columns());
    for check in &report.checks {
        let tone = match check.result {
            Finding::Ok => Tone::Good,
            Finding::Note => Tone::Caution,
            Finding::Problem => Tone::Bad,
        };
        table.row(vec![check.check.into(), Cell(format!("{:?}", check.result), tone), check.message.as_str().into()]);
    }
    let mut page = Page::default();
    page.table(&table, colours);
    page
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugin::flags::Flags;
    use crate::plugin::health::judge;

    #[test]
    fn machines_get_stable_fields() {
        let mut report = Report { checks: Vec::new() };
        report.add("apiServer", Finding::Ok, "responds");
        assert_eq!(
            serde_json::to_value(&report).unwrap(),
            json!({"checks": [{"check": "apiServer", "result": "Ok", "message": "responds"}]})
        );
        assert_eq!(screen(&report, false).text(), "CHECK       RESULT   WHAT\napiServer   Ok       responds\n");
    }

    #[test]
    fn the_object_has_its_say() {
        let object: RotatedSecret = serde_json::from_value(json!({
            "apiVersion": "rotated-secrets.io/v1alpha1",
            "kind": "RotatedSecret",
            "metadata": {"name": "db", "namespace": "shop"},
            "spec": {},
            "status": {"conditions": [
                {"type": "Ready", "status": "False", "reason": "IntervalTooShort", "message": "use a longer one", "lastTransitionTime": "2026-06-01T11:00:00Z"},
                {"type": "Stalled", "status": "True", "reason": "IntervalTooShort", "message": "use a longer one", "lastTransitionTime": "2026-06-01T11:00:00Z"},
            ]},
        }))
        .unwrap();
        let mut report = Report { checks: Vec::new() };
        of_object(&judge(&object, "2026-06-01T12:00:00Z".parse().unwrap(), &Flags::default()), &mut report);
        assert_eq!(report.checks[0].result, Finding::Problem);
        assert_eq!(report.checks[0].message, "db is Stalled, IntervalTooShort: use a longer one");
    }

    #[test]
    fn a_clock_that_is_wrong_is_told() {
        let mut report = Report { checks: Vec::new() };
        clock(SignedDuration::ZERO, &mut report);
        assert!(report.checks.is_empty());
        clock(SignedDuration::from_hours(1), &mut report);
        clock(SignedDuration::from_hours(-744), &mut report);
        let told: Vec<&str> = report.checks.iter().map(|check| check.message.as_str()).collect();
        assert!(told[0].contains("60m behind the API server's") && told[1].contains("31d ahead of"), "{told:?}");
    }
}
