//! The admission policies of the chart: when they are rendered, and what they compare with.

use anyhow::{Context as _, Result, ensure};
use kube::core::CustomResourceExt as _;
use rotated_secrets::api::RotatedSecret;
use serde_json::{Value, json};

use super::rendered::{PLACE, documents, render, sets};

#[test]
fn the_policies_are_about_the_operators_account_and_come_with_a_cluster_role() -> Result<()> {
    for (about, arguments) in sets()? {
        let manifests = documents(&render(&arguments)?)?;
        let of = |kind: &str| manifests.iter().filter(|document| document["kind"] == kind).collect::<Vec<_>>();
        let (policies, bindings) = (of("ValidatingAdmissionPolicy"), of("ValidatingAdmissionPolicyBinding"));
        let expected = match about {
            "two namespaces and nothing else" | "rights made by others" | "no policies" => 0,
            "the policies for a namespace" => 5,
            _ => {
                ensure!(!of("ClusterRoleBinding").is_empty(), "{about}: a ClusterRole");
                5
            }
        };
        ensure!(policies.len() == expected && bindings.len() == expected, "{about}: {} policies", policies.len());
        let deployment = of("Deployment").first().copied().context("a Deployment")?;
        let account = deployment["spec"]["template"]["spec"]["serviceAccountName"].as_str().context("an account")?;
        for (policy, binding) in policies.iter().zip(&bindings) {
            let condition = format!("request.userInfo.username == 'system:serviceaccount:{PLACE}:{account}'");
            ensure!(policy["spec"]["matchConditions"][0]["expression"] == json!(condition), "{about}: {policy}");
            ensure!(binding["spec"]["policyName"] == policy["metadata"]["name"], "{about}: {binding}");
            ensure!(binding["spec"]["validationActions"] == json!(["Deny"]), "{about}: {binding}");
        }
    }
    Ok(())
}

#[test]
fn the_policy_knows_the_types_of_the_definition() -> Result<()> {
    let definition = serde_json::to_value(RotatedSecret::crd())?;
    let types = definition
        .pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/target/properties/type/enum")
        .and_then(Value::as_array)
        .context("the types")?;
    let manifests = documents(&render(&[])?)?;
    let policy = manifests
        .iter()
        .find(|document| document["kind"] == "ValidatingAdmissionPolicy" && document["metadata"]["name"] == "rotated-secrets-secrets")
        .context("the policy for Secrets")?;
    let expression = policy["spec"]["validations"][0]["expression"].as_str().context("an expression")?;
    let list = expression.split_once(" in [").and_then(|(_, rest)| rest.strip_suffix(']')).context("a list")?;
    let mut allowed: Vec<&str> = list.split(',').map(|word| word.trim().trim_matches('\'')).collect();
    let mut declared: Vec<&str> = types.iter().filter_map(Value::as_str).collect();
    allowed.sort_unstable();
    declared.sort_unstable();
    ensure!(allowed == declared, "{allowed:?} instead of {declared:?}");
    Ok(())
}
