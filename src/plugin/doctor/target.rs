//! The target of a rotation: whether its host exists as a Service, or is allowed, and what it answered to the operator. Only the
//! operator's pod can tell whether it can be reached from there.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::ResourceExt as _;
use kube::api::Api;

use super::report::{Finding, Report};
use crate::api::{ALLOWED_HOSTS, AdministratorState, RotatedSecret, RotationTrial, TargetOutcome};
use crate::command::Command;
use crate::desired::{Desired, Policy, Strategy, TargetServer, glob_allows};
use crate::kubernetes::service::selects_pods;
use crate::kubernetes::stored::Brief;
use crate::plugin::ages;
use crate::plugin::connect::Session;
use crate::plugin::flags::Flags;

/// Checks the target of the object, if it has one.
pub(super) async fn check(session: &Session, object: &RotatedSecret, probed: bool, report: &mut Report) {
    let parsed = Desired::parse(object, &Policy::lenient(object));
    let Some(strategy) = parsed.ok().and_then(|want| want.strategy) else { return };
    let namespace = object.namespace().unwrap_or_default();
    for server in strategy.servers() {
        let (result, message) = match server.own_service() {
            Some(service) => {
                let found = Api::<Service>::namespaced(session.client.clone(), &namespace).get_opt(service).await;
                match found {
                    Ok(Some(found)) if !selects_pods(&found) => of_namespace(session, &namespace, server).await,
                    Ok(found) => of_service(service, &namespace, server, found.as_ref()),
                    Err(_) => {
                        (Finding::Note, format!("you may not read the Service {service}, so it was not checked: ask for get on services"))
                    }
                }
            }
            None => of_namespace(session, &namespace, server).await,
        };
        report.add("target", result, message);
    }
    for (result, message) in answer(object, &strategy, probed, session.now(), &session.flags) {
        report.add("targetAnswer", result, message);
    }
}

/// What the target answered to the operator: the last answer that the status has, or that to the probe.
fn answer(object: &RotatedSecret, strategy: &Strategy, probed: bool, now: Timestamp, flags: &Flags) -> Vec<(Finding, String)> {
    let host = strategy.entrance().host_and_port();
    let status = object.status.as_ref();
    let known = status.and_then(|status| status.target.as_ref()).filter(|target| target.host == host);
    let handled = status.and_then(|status| status.requests.as_ref()?.refresh.as_ref());
    if probed && known.is_none_or(|known| known.refresh.as_ref() != handled) {
        return vec![(Finding::Note, format!("the operator did not ask {host} now: {}", unasked(object)))];
    }
    let probe = flags.plugin(&format!("doctor {} --probe", object.name_any()));
    let Some(known) = known else {
        return vec![(Finding::Note, format!("{probe} has the operator ask {host} whether it accepts the current value"))];
    };
    let user = known.user.as_ref().map_or_else(String::new, |user| format!("user {user}, "));
    let asked = format!("{user}tls {:?}, asked {} ago", strategy.entrance().tls, ages::since(known.check_time.0, now));
    let message = known.message.as_deref().unwrap_or_default();
    let (result, said) = match known.outcome {
        TargetOutcome::Accepted => (Finding::Ok, format!("{host} accepts the current value ({asked})")),
        TargetOutcome::Refused => (Finding::Problem, format!("{message} ({asked})")),
        TargetOutcome::Unanswered => (
            Finding::Problem,
            format!(
                "{message} ({asked}): check the host, the port, and the network policies between the operator's pods and it \
                 (networkPolicy.targetPorts of the chart)"
            ),
        ),
        TargetOutcome::NotAsked => (Finding::Problem, format!("{host} was not asked: {message} ({asked})")),
    };
    let server = strategy.host_and_port();
    let administrator = strategy.admin().zip(known.administrator).map(|(admin, state)| match state {
        AdministratorState::Usable => (Finding::Ok, format!("adminRef: {admin} names {server} and has a user and a password")),
        AdministratorState::Unusable => (Finding::Problem, format!("adminRef: {admin} cannot be used: {message}")),
    });
    let rotation = known.rotation.map(|trial| match trial {
        RotationTrial::Possible => {
            let who = strategy.admin().map_or_else(|| "the user".to_owned(), |admin| format!("the administrator {admin}"));
            (Finding::Ok, format!("{who} logs in at {server}, and nothing was found that keeps a rotation from it"))
        }
        RotationTrial::Impossible | RotationTrial::Unknown => (Finding::Problem, message.to_owned()),
    });
    [(result, said)].into_iter().chain(administrator).chain(rotation).collect()
}

/// Why the operator does not log in now.
fn unasked(object: &RotatedSecret) -> &'static str {
    let status = object.status.as_ref();
    let holds = |of: &str| status.iter().flat_map(|status| &status.conditions).any(|found| found.type_ == of && found.status == "True");
    if status.is_some_and(|status| status.staged.is_some()) {
        "a version is on its way to it, and the conditions say how far it is"
    } else if object.spec.rotation.as_ref().is_some_and(|rotation| rotation.suspend) {
        "rotation is suspended (spec.rotation.suspend)"
    } else if !holds("Mirrored") {
        "the Secret does not hold the current version"
    } else {
        "the conditions say what keeps it from that"
    }
}

/// A host that needs the administrator's permission: also a Service that may lead out of the namespace.
async fn of_namespace(session: &Session, namespace: &str, server: &TargetServer) -> (Finding, String) {
    match Api::<Brief<Namespace>>::all(session.client.clone()).get_opt(namespace).await {
        Ok(found) => of_host(namespace, server, &found.map(|found| found.annotations().clone()).unwrap_or_default()),
        Err(_) => (Finding::Note, format!("you may not read the Namespace {namespace}: ask for get on namespaces")),
    }
}

fn of_service(name: &str, namespace: &str, server: &TargetServer, found: Option<&Service>) -> (Finding, String) {
    let Some(spec) = found.map(|found| found.spec.clone().unwrap_or_default()) else {
        let host = &server.host;
        return (
            Finding::Problem,
            format!("there is no Service {name} in {namespace}, which spec.rotation names as the host {host}: correct it"),
        );
    };
    let ports: Vec<i32> = spec.ports.iter().flatten().map(|port| port.port).collect();
    if !ports.is_empty() && !ports.contains(&i32::from(server.port)) {
        let ports = ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return (Finding::Problem, format!("the Service {name} has the ports {ports} and not {}", server.port));
    }
    (Finding::Ok, format!("{} is the Service {name}; the conditions say whether the operator reaches it", server.host_and_port()))
}

fn of_host(namespace: &str, server: &TargetServer, annotations: &BTreeMap<String, String>) -> (Finding, String) {
    let host = server.host_and_port();
    if glob_allows(annotations.get(ALLOWED_HOSTS).map(String::as_str).unwrap_or_default(), &host) {
        return (Finding::Ok, format!("namespace {namespace} may use {host}; the conditions say whether the operator reaches it"));
    }
    let allow = Command::AllowHost { namespace, host: &host };
    (Finding::Problem, format!("namespace {namespace} may not use {host}; as administrator: {allow}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::desired::fixture;

    #[test]
    fn a_service_that_is_missing_or_has_another_port_is_told() {
        let service = |port: i32| serde_json::from_value(json!({"spec": {"ports": [{"port": port}]}})).unwrap();
        let of = |found: Option<&Service>| of_service("db", "shop", &fixture::strategy().server, found);
        assert_eq!(of(Some(&service(5432))).0, Finding::Ok);
        for (found, words) in [(None, "no Service db"), (Some(service(6432)), "ports 6432 and not 5432")] {
            let (result, message) = of(found.as_ref());
            assert!(result == Finding::Problem && message.contains(words), "{message}");
        }
    }

    #[test]
    fn a_host_that_is_not_allowed_is_told_with_the_command() {
        let of =
            |allowed: &str| of_host("shop", &fixture::strategy().server, &BTreeMap::from([(ALLOWED_HOSTS.to_owned(), allowed.to_owned())]));
        assert_eq!(of("db.shop.svc:*").0, Finding::Ok);
        let (result, message) = of("elsewhere:5432");
        assert!(result == Finding::Problem && message.contains("rotated-secrets.io/allowed-hosts=db.shop.svc:5432"), "{message}");
    }
}
