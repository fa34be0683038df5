//! `doctor`: checks the prerequisites of the plugin and the operator.

mod identity;
mod report;

use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::{Api, PostParams};

use self::report::{Finding, Report};
use super::args::DoctorArgs;
use super::aws::{Caller, Place};
use super::connect::Session;
use super::flags::Flags;
use super::health::unattended;
use super::output::{self, Page};
use super::table::{Cell, Table, Tone};
use super::{Exit, Trouble, status};
use crate::api::{GROUP, RotatedSecret};

const VERSION: &str = "v1alpha1";

pub(super) async fn run(session: &Session, args: &DoctorArgs) -> Result<Exit, Trouble> {
    let mut report = Report { checks: Vec::new() };
    let reached = cluster(session, args, &mut report).await;
    aws(session, args, reached, &mut report).await;
    output::emit(args.out.output, &report, || screen(&report, output::colours()))?;
    let problems = report.checks.iter().any(|check| check.result == Finding::Problem);
    Ok(if reached { Exit::fine_if(!problems) } else { Exit::Unreachable })
}

/// The checks of the cluster. `false`: it cannot be reached.
async fn cluster(session: &Session, args: &DoctorArgs, report: &mut Report) -> bool {
    match session.client.apiserver_version().await {
        Ok(version) => report.add("apiServer", Finding::Ok, format!("responds, Kubernetes {}", version.git_version)),
        Err(error) => {
            report.add("apiServer", Finding::Problem, session.trouble("get", "", &error).to_string());
            return false;
        }
    }
    let defined = session.client.list_api_group_resources(&format!("{GROUP}/{VERSION}")).await;
    match &defined {
        Ok(list) if list.resources.iter().any(|resource| resource.kind == "RotatedSecret") => {
            report.add("definition", Finding::Ok, format!("RotatedSecret {VERSION} is served, plugin {}", env!("CARGO_PKG_VERSION")));
        }
        _ => {
            let advice = format!("as administrator: {}", session.flags.cluster("apply -f crds/ -f deploy/install.yaml"));
            report.add("definition", Finding::Problem, format!("RotatedSecret {VERSION} is not served by this cluster: {advice}"));
            return true;
        }
    }
    let place = if args.all_namespaces { "" } else { session.namespace.as_str() };
    for (verb, group, resource, commands, without) in [
        ("list", GROUP, "rotatedsecrets", "status", Finding::Problem),
        ("get", GROUP, "rotatedsecrets", "every command", Finding::Problem),
        ("patch", GROUP, "rotatedsecrets", "rotate, rollback, refresh, suspend and resume", Finding::Problem),
        ("get", "", "secrets", "verify", Finding::Note),
    ] {
        let (result, message) = access(session, place, (verb, group, resource), commands, without).await;
        report.add("access", result, message);
    }
    if let Some(name) = &args.name
        && let Ok(object) = session.object(name).await
    {
        identity::of_object(session, &object, report).await;
    }
    match status::list(session, args.all_namespaces).await {
        Ok(stored) => {
            let objects: Vec<RotatedSecret> = stored.into_iter().filter_map(|stored| stored.into_readable().ok()).collect();
            let (result, message) = operator(&objects, Timestamp::now(), &session.flags);
            report.add("operator", result, message);
        }
        Err(_) => report.add("operator", Finding::Note, "the objects cannot be listed, so the operator cannot be checked"),
    }
    true
}

async fn access(session: &Session, namespace: &str, what: (&str, &str, &str), commands: &str, without: Finding) -> (Finding, String) {
    let (verb, group, resource) = what;
    let asked = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                namespace: Some(namespace.to_owned()),
                verb: Some(verb.to_owned()),
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let place = if namespace.is_empty() { "in all namespaces".to_owned() } else { format!("in namespace {namespace}") };
    let answer = Api::<SelfSubjectAccessReview>::all(session.client.clone()).create(&PostParams::default(), &asked).await;
    match answer.ok().and_then(|answer| answer.status) {
        Some(status) if status.allowed => (Finding::Ok, format!("you may {verb} {resource} {place}")),
        Some(_) => (without, format!("you may not {verb} {resource} {place}, which {commands} needs: ask for that permission")),
        None => (
            Finding::Note,
            format!(
                "whether you may {verb} {resource} is unknown: try {}",
                session.flags.kubectl(&format!("auth can-i {verb} {resource}"))
            ),
        ),
    }
}

/// Whether an operator reconciles the objects, by what it should have written to them by now.
fn operator(objects: &[RotatedSecret], now: Timestamp, flags: &Flags) -> (Finding, String) {
    if objects.is_empty() {
        return (Finding::Note, "there is no object to check it by: try -A".to_owned());
    }
    let behind: Vec<(&RotatedSecret, String)> =
        objects.iter().filter_map(|object| Some((object, unattended(object, now, flags)?))).collect();
    match behind.first() {
        None => (Finding::Ok, format!("it is up to date with {}", count(objects.len()))),
        Some((object, why)) => {
            let why = why.split(": ").next().unwrap_or_default();
            let name = object.metadata.name.as_deref().unwrap_or_default();
            let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
            (
                Finding::Problem,
                format!(
                    "it is behind with {} of {} ({namespace}/{name}: {why}): run {} | grep rotated-secrets, then read its logs",
                    behind.len(),
                    count(objects.len()),
                    flags.cluster("get pods -A")
                ),
            )
        }
    }
}

fn count(objects: usize) -> String {
    if objects == 1 { "1 object".to_owned() } else { format!("{objects} objects") }
}

/// The checks of AWS. Only `verify` needs them, unless an object was named.
async fn aws(session: &Session, args: &DoctorArgs, reached: bool, report: &mut Report) {
    let caller = Caller::load(&args.aws).await;
    let without = if args.name.is_some() { Finding::Problem } else { Finding::Note };
    match caller.region() {
        Some(region) => report.add("awsRegion", Finding::Ok, format!("{region} (the region of an object takes precedence)")),
        None => report.add("awsRegion", Finding::Note, "not set, so the regions of the objects are used: set AWS_REGION to have a default"),
    }
    if !caller.has_credentials().await {
        report.add("awsCredentials", without, "not found, and verify needs them: run aws sso login, or set AWS_PROFILE");
        return;
    }
    report.add("awsCredentials", Finding::Ok, "found");
    identity::of_caller(&caller, without, report).await;
    let Some(name) = args.name.as_deref().filter(|_| reached) else { return };
    let place = match session.object(name).await {
        Ok(object) => Place::of(&object, caller.region(), &session.flags),
        Err(trouble) => Err(trouble.to_string()),
    };
    let described = match place {
        Ok(place) => caller.describe(&place).await.map(|found| (place, found)),
        Err(why) => Err(why),
    };
    match described {
        Ok((place, Some(_))) => report.add("awsSecret", Finding::Ok, format!("you may DescribeSecret of {}", place.id)),
        Ok((place, None)) => {
            report.add(
                "awsSecret",
                Finding::Problem,
                format!("{} does not exist in {}: {}", place.id, place.region, session.flags.plugin(&format!("status {name}"))),
            );
        }
        Err(why) => report.add("awsSecret", Finding::Problem, why),
    }
}

fn screen(report: &Report, colours: bool) -> Page {
    let mut table = Table::new(&["CHECK", "RESULT", "WHAT"]);
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

    fn object(name: &str, observed: i64) -> RotatedSecret {
        serde_json::from_value(json!({
            "apiVersion": "rotated-secrets.io/v1alpha1",
            "kind": "RotatedSecret",
            "metadata": {"name": name, "namespace": "shop", "generation": 2, "creationTimestamp": "2026-06-01T11:00:00Z"},
            "spec": {},
            "status": {"observedGeneration": observed},
        }))
        .unwrap()
    }

    #[test]
    fn an_operator_is_judged_by_what_it_has_not_reconciled() {
        let now = "2026-06-01T12:00:00Z".parse().unwrap();
        let flags = Flags::default();
        assert_eq!(operator(&[], now, &flags).0, Finding::Note);
        assert_eq!(operator(&[object("a", 2)], now, &flags), (Finding::Ok, "it is up to date with 1 object".to_owned()));
        let (result, message) = operator(&[object("a", 2), object("b", 1)], now, &flags);
        assert_eq!(result, Finding::Problem);
        assert!(message.starts_with("it is behind with 1 of 2 objects (shop/b: the operator has not reconciled the spec"), "{message}");
    }

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
}
