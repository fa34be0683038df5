//! Services that the target of a rotation may be.

use k8s_openapi::api::core::v1::Service;
use kube::Client;
use kube::api::Api;

use super::failed;
use crate::backoff::Class;
use crate::failure::Failure;

/// Whether this Service leads to pods of its namespace. An `ExternalName`, and a Service without selector, may lead anywhere. A
/// Service that the operator may not read is treated like these.
///
/// # Errors
/// If it cannot be read now.
pub async fn leads_to_pods(client: &Client, namespace: &str, name: &str) -> Result<bool, Failure> {
    match Api::<Service>::namespaced(client.clone(), namespace).get_opt(name).await {
        Ok(found) => Ok(found.is_some_and(|service| selects_pods(&service))),
        Err(error) => match failed("reading the Service", &error) {
            failure if failure.class == Class::Denied => Ok(false),
            failure => Err(failure),
        },
    }
}

/// Whether the addresses of the Service are those of pods that it selects.
pub(crate) fn selects_pods(service: &Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| {
        let selects = spec.selector.as_ref().is_some_and(|selector| !selector.is_empty());
        selects && spec.type_.as_deref() != Some("ExternalName") && spec.external_name.is_none()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_service_with_a_selector_leads_to_pods() {
        for (spec, expected) in [
            (json!({"selector": {"app": "db"}}), true),
            (json!({"type": "ClusterIP", "clusterIP": "None", "selector": {"app": "db"}}), true),
            (json!({"selector": {}}), false),
            (json!({"clusterIP": "10.0.0.7"}), false),
            (json!({"type": "ExternalName", "externalName": "db.example.com", "selector": {"app": "db"}}), false),
        ] {
            let service: Service = serde_json::from_value(json!({"spec": spec})).unwrap();
            assert_eq!(selects_pods(&service), expected, "{spec}");
        }
        assert!(!selects_pods(&Service::default()));
    }
}
