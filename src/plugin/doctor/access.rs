//! The permissions of the user.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::{Api, PostParams};

use super::report::{Finding, Report};
use crate::api::GROUP;
use crate::plugin::connect::Session;

/// Checks each permission that a command needs.
pub(super) async fn check(session: &Session, everywhere: bool, report: &mut Report) {
    let place = if everywhere { "" } else { session.namespace.as_str() };
    for (verb, group, resource, commands, without) in [
        ("list", GROUP, "rotatedsecrets", "status", Finding::Problem),
        ("get", GROUP, "rotatedsecrets", "every command", Finding::Problem),
        ("patch", GROUP, "rotatedsecrets", "rotate, rollback, refresh, suspend and resume", Finding::Problem),
        ("get", "", "secrets", "verify", Finding::Note),
    ] {
        let (result, message) = access(session, place, (verb, group, resource), commands, without).await;
        report.add("access", result, message);
    }
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
