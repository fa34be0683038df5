//! The chart and the plain manifests of a release. They name the image that was released, by its digest. The chart does so in
//! annotations, not in its values, because `helm upgrade --reuse-values` keeps the values of the release before.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::manifests::{DEFAULTS, DIRECTORY, NAME, ROOT, manifests};

/// What is released.
pub struct Release<'a> {
    /// The version of chart and operator, such as `1.2.3`.
    pub version: &'a str,
    /// The image without tag and digest, such as `registry.example.com/rotated-secrets`.
    pub repository: &'a str,
    /// The digest of the image, `sha256:...`.
    pub digest: &'a str,
    /// The repository of the source at GitHub, such as `https://github.com/OWNER/rotated-secrets`.
    pub source: &'a str,
}

/// Writes `rotated-secrets-VERSION.tgz` and `install.yaml` into the directory `out`, and returns their paths. `helm` gives a
/// command that runs helm.
///
/// # Errors
/// If the digest is not one, the source is no repository at GitHub, or helm fails.
pub fn package(release: &Release<'_>, out: &Path, helm: impl Fn() -> Command) -> Result<[PathBuf; 2]> {
    let digest = release.digest.strip_prefix("sha256:").unwrap_or_default();
    ensure!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "not a digest: {}", release.digest);
    let folder = tempfile::tempdir()?;
    let chart = folder.path().join(NAME);
    copy(&Path::new(ROOT).join(DIRECTORY), &chart)?;
    let metadata = chart.join("Chart.yaml");
    let text = fs::read_to_string(&metadata).with_context(|| format!("cannot read {}", metadata.display()))?;
    fs::write(&metadata, with_release(&text, release)?)?;

    fs::create_dir_all(out)?;
    let versions = ["--version", release.version, "--app-version", release.version];
    run(helm().arg("package").arg(&chart).args(versions).arg("--destination").arg(out))?;
    let packaged = out.join(format!("{NAME}-{}.tgz", release.version));
    let rendered = run(helm().arg("template").arg(NAME).arg(&packaged).args(["--namespace", NAME]).args(DEFAULTS))?;
    let install = out.join("install.yaml");
    let head = format!("# Rotated Secrets {}, for kubectl apply: first -f rotatedsecrets.yaml, then -f install.yaml.\n", release.version);
    fs::write(&install, manifests(&head, &rendered))?;
    Ok([packaged, install])
}

/// The owner of a repository at GitHub.
fn owner(source: &str) -> Result<&str> {
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let names = source.strip_prefix("https://github.com/").and_then(|rest| rest.split_once('/'));
    let (owner, _) =
        names.filter(|(owner, name)| is_name(owner) && is_name(name)).with_context(|| format!("not a repository at GitHub: {source}"))?;
    Ok(owner)
}

/// Chart.yaml with the home, the image and the runbook of the release.
fn with_release(metadata: &str, release: &Release<'_>) -> Result<String> {
    let Release { source, version, digest, .. } = release;
    let (registry, repository) = release.repository.split_once('/').context("the repository begins with a registry")?;
    let owner = owner(source)?;
    ensure!(!metadata.contains("\nannotations:"), "Chart.yaml has annotations already");
    Ok(format!(
        "{metadata}home: {source}\nsources: [{source}]\nmaintainers:\n  - name: {owner}\n    url: https://github.com/{owner}\n\
         annotations:\n  rotated-secrets.io/image-registry: {registry}\n  rotated-secrets.io/image-repository: {repository}\n  \
         rotated-secrets.io/image-digest: {digest}\n  rotated-secrets.io/runbook-url: {source}/blob/v{version}/docs/runbook.md\n"
    ))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().context("helm cannot be started")?;
    ensure!(output.status.success(), "helm failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).context("helm printed no UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELEASE: Release<'_> = Release {
        version: "1.2.3",
        repository: "registry.example.com/rotated-secrets/operator",
        digest: "sha256:00",
        source: "https://github.com/owner/rotated-secrets",
    };

    #[test]
    fn the_chart_of_a_release_has_image_and_runbook_in_its_annotations() {
        let text = with_release("name: rotated-secrets\n", &RELEASE).unwrap();
        let chart: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        let expected = serde_json::json!({
            "rotated-secrets.io/image-registry": "registry.example.com",
            "rotated-secrets.io/image-repository": "rotated-secrets/operator",
            "rotated-secrets.io/image-digest": "sha256:00",
            "rotated-secrets.io/runbook-url": "https://github.com/owner/rotated-secrets/blob/v1.2.3/docs/runbook.md",
        });
        assert_eq!((&chart["annotations"], &chart["name"]), (&expected, &serde_json::json!("rotated-secrets")));
        assert!(with_release("name: a\nannotations:\n  a: b\n", &RELEASE).is_err());
        assert!(with_release("name: a\n", &Release { repository: "operator", ..RELEASE }).is_err());
    }

    #[test]
    fn the_maintainer_is_the_owner_of_the_repository() {
        assert_eq!(owner(RELEASE.source).unwrap(), "owner");
        for wrong in [
            "",
            "owner/rotated-secrets",
            "https://github.com/owner",
            "https://github.com/owner/a/b",
            "https://github.com//a",
            "https://github.com/a: b/c",
        ] {
            assert!(owner(wrong).is_err(), "{wrong}");
        }
    }
}
