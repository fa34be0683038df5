//! The AWS identity for an object, by the operator's rules, and the AWS identity of the caller.

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::ResourceExt;
use kube::api::Api;

use super::report::{Finding, Report};
use crate::api::{EXTERNAL_ID, ROLE_ARN, RotatedSecret, SERVICE_ACCOUNT_ROLE_ARN};
use crate::identity::{Account, Identity, NamespaceSays, Session, of_account, of_namespace};
use crate::kubernetes::stored::Brief;
use crate::plugin::aws::Caller;
use crate::plugin::connect::Session as Cluster;

/// The identity that the operator will use for this object, and the failures of that identity that it reports.
pub(super) async fn of_object(cluster: &Cluster, object: &RotatedSecret, report: &mut Report) {
    let (result, message) = decide(cluster, object).await;
    report.add("identity", result, message);
    let conditions = object.status.iter().flat_map(|status| &status.conditions);
    for condition in conditions.filter(|condition| condition.type_ == "Ready" && condition.reason.starts_with("Identity")) {
        report.add("identity", Finding::Problem, format!("the operator reports {}: {}", condition.reason, condition.message));
    }
}

async fn decide(cluster: &Cluster, object: &RotatedSecret) -> (Finding, String) {
    let namespace = object.namespace().unwrap_or_default();
    let session = Session { cluster: String::new(), namespace: namespace.clone() };
    let decided = if let Some(account) = &object.spec.aws.service_account_ref {
        let name = &account.name;
        let found = Api::<Brief<ServiceAccount>>::namespaced(cluster.client.clone(), &namespace).get_opt(name).await;
        let Ok(found) = found else {
            return (
                Finding::Note,
                format!("you may not read the ServiceAccount {name}, so its role is unknown: ask for get on serviceaccounts"),
            );
        };
        let account = found.map(|found| Account {
            uid: found.uid().unwrap_or_default(),
            role_arn: found.annotations().get(SERVICE_ACCOUNT_ROLE_ARN).cloned(),
        });
        of_account(session, name, account)
    } else {
        let found = Api::<Brief<Namespace>>::all(cluster.client.clone()).get_opt(&namespace).await;
        let Ok(found) = found else {
            return (
                Finding::Note,
                format!("you may not read the Namespace {namespace}, so its role is unknown: ask for get on namespaces"),
            );
        };
        let annotations = found.map(|found| found.annotations().clone()).unwrap_or_default();
        let says = |key: &str| annotations.get(key).map(String::as_str);
        of_namespace(session, NamespaceSays { role_arn: says(ROLE_ARN), external_id: says(EXTERNAL_ID) })
    };
    match decided {
        Ok(Identity::Operator) => (Finding::Ok, format!("for namespace {namespace} the operator uses its own AWS credentials")),
        Ok(Identity::Role { role, .. }) => (Finding::Ok, format!("for namespace {namespace} the operator uses the role {role}")),
        Ok(Identity::ServiceAccount { role, name, .. }) => {
            (Finding::Ok, format!("the operator uses the role {role} of the ServiceAccount {name}"))
        }
        Err(refusal) => (Finding::Problem, refusal.message),
    }
}

/// The caller's identity in AWS, and whether STS can be reached.
pub(super) async fn of_caller(caller: &Caller, region: Option<&str>, without: Finding, report: &mut Report) {
    match caller.who_am_i(region).await {
        Ok(arn) => report.add("awsIdentity", Finding::Ok, format!("AWS identifies you as {arn}")),
        Err(why) => report.add("awsIdentity", without, why),
    }
}
