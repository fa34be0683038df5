//! What the pod and the roles have beyond Pod Security `restricted`, in each set of values (docs/design/0022-hardening.md).

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::rendered::{documents, render, sets};

/// The one object of this kind.
fn only<'a>(manifests: &'a [Value], kind: &str) -> Option<&'a Value> {
    manifests.iter().find(|document| document["kind"] == kind)
}

fn check_pod(pod: &Value) -> Result<()> {
    let [container] = pod["containers"].as_array().context("containers")?.as_slice() else { anyhow::bail!("one container") };
    let own = &container["securityContext"];
    ensure!(own["readOnlyRootFilesystem"] == true, "its files can be written: {own}");
    ensure!(own["capabilities"]["drop"] == json!(["ALL"]) && own["allowPrivilegeEscalation"] == false, "{own}");
    ensure!(pod["securityContext"]["runAsNonRoot"] == true && pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault");
    // Absent: the platform chooses one.
    let user = pod["securityContext"]["runAsUser"].as_u64().unwrap_or(u64::MAX);
    ensure!(user >= 10_000 && pod["securityContext"]["fsGroup"] != 0, "a user that the node may have: {user}");
    let resources = &container["resources"];
    for bound in [&resources["requests"]["cpu"], &resources["requests"]["memory"], &resources["limits"]["memory"]] {
        ensure!(bound.is_string(), "without a bound: {resources}");
    }
    ensure!(pod["serviceAccountName"].as_str().is_some_and(|name| name != "default"), "an account that others use");
    for (probe, path) in [("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        ensure!(container[probe]["httpGet"]["path"] == path && container[probe]["httpGet"]["port"] == "health", "{}", container[probe]);
    }
    for word in ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "secretKeyRef", "secretRef", "hostPath", "hostPort"] {
        ensure!(!pod.to_string().contains(word), "{word}");
    }
    Ok(())
}

#[test]
fn the_pod_is_hardened_in_each_set_of_values() -> Result<()> {
    for (about, arguments) in sets()? {
        let manifests = documents(&render(&arguments)?)?;
        let deployment = only(&manifests, "Deployment").context("a Deployment")?;
        // The set of all values has an environment and volumes of its own.
        if about != "everything" {
            check_pod(&deployment["spec"]["template"]["spec"]).with_context(|| about.to_owned())?;
        }
        if let Some(account) = only(&manifests, "ServiceAccount") {
            ensure!(account["automountServiceAccountToken"] == false, "{about}: every pod of the account gets its token");
        }
    }
    Ok(())
}

#[test]
fn a_pod_that_is_less_hardened_is_noticed() -> Result<()> {
    let manifests = documents(&render(&[])?)?;
    let pod = only(&manifests, "Deployment").context("a Deployment")?["spec"]["template"]["spec"].clone();
    check_pod(&pod)?;
    for (pointer, value) in [
        ("/containers/0/securityContext/readOnlyRootFilesystem", json!(false)),
        ("/containers/0/resources/limits/memory", Value::Null),
        ("/securityContext/runAsUser", json!(1000)),
        ("/serviceAccountName", json!("default")),
        ("/containers/0/livenessProbe/httpGet/path", json!("/aws")),
        ("/containers/0/env/0/name", json!("AWS_SECRET_ACCESS_KEY")),
    ] {
        let mut weak = pod.clone();
        *weak.pointer_mut(pointer).with_context(|| pointer.to_owned())? = value;
        ensure!(check_pod(&weak).is_err(), "{pointer} is not noticed");
    }
    Ok(())
}

/// These roles are added to `view`, `edit` and `admin` of every namespace.
#[test]
fn people_get_no_right_by_the_chart_but_on_rotated_secrets() -> Result<()> {
    let mut found = 0;
    for (about, arguments) in sets()? {
        for role in documents(&render(&arguments)?)? {
            if role["metadata"]["labels"].to_string().contains("rbac.authorization.k8s.io/aggregate-to-") {
                found += 1;
                for rule in role["rules"].as_array().context("rules")? {
                    ensure!(
                        rule["apiGroups"] == json!(["rotated-secrets.io"]) && rule["resources"] == json!(["rotatedsecrets"]),
                        "{about}: {rule}"
                    );
                }
            }
        }
    }
    ensure!(found > 2, "the roles are found");
    Ok(())
}
