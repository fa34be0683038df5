//! The chart as plain manifests for `kubectl apply`.

/// The name of the chart, of the release in the documents, and of the release's namespace.
pub const NAME: &str = "rotated-secrets";
/// The chart's directory in the repository.
pub const DIRECTORY: &str = "charts/rotated-secrets";
/// The arguments of `helm template` for `deploy/install.yaml`, after the name, the chart and the namespace.
pub const DEFAULTS: [&str; 2] = ["--set", "crds.install=false"];

/// The repository that this was compiled in.
pub(super) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The manifests that helm printed, after a head and the Namespace.
pub(super) fn manifests(head: &str, rendered: &str) -> String {
    // The manifests belong to no Helm release.
    let of_helm = |line: &str| {
        let text = line.trim_start();
        text.starts_with("# Source: ") || text.starts_with("helm.sh/chart: ") || text == "app.kubernetes.io/managed-by: Helm"
    };
    let kept: Vec<&str> = rendered.lines().filter(|line| !of_helm(line)).collect();
    let kept = kept.join("\n");
    let documents = kept.split("---\n").map(str::trim).filter(|document| !document.is_empty());
    documents.fold(format!("{head}{NAMESPACE}"), |all, document| format!("{all}---\n{document}\n"))
}

const NAMESPACE: &str = "\
apiVersion: v1
kind: Namespace
metadata:
  name: rotated-secrets
  labels:
    pod-security.kubernetes.io/enforce: restricted
";
