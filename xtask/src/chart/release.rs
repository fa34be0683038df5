//! The chart and the plain manifests of a release. They name the image that was released, by its digest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

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
/// If the digest is not one, the source is no repository at GitHub, the values do not have the expected lines, or helm fails.
pub fn package(release: &Release<'_>, out: &Path, helm: impl Fn() -> Command) -> Result<[PathBuf; 2]> {
    let digest = release.digest.strip_prefix("sha256:").unwrap_or_default();
    ensure!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "not a digest: {}", release.digest);
    let owner = owner(release.source)?;
    let folder = tempfile::tempdir()?;
    let chart = folder.path().join(NAME);
    copy(&Path::new(ROOT).join(DIRECTORY), &chart)?;
    let values = chart.join("values.yaml");
    let text = fs::read_to_string(&values).with_context(|| format!("cannot read {}", values.display()))?;
    let source = release.source;
    let runbook = format!("{source}/blob/v{}/docs/runbook.md", release.version);
    fs::write(&values, with_runbook(&with_image(&text, release)?, &runbook)?)?;
    let metadata = chart.join("Chart.yaml");
    let text = fs::read_to_string(&metadata).with_context(|| format!("cannot read {}", metadata.display()))?;
    let (registry, _) = release.repository.split_once('/').context("the repository begins with a registry")?;
    fs::write(
        &metadata,
        format!(
            "{text}home: {source}\nsources: [{source}]\nmaintainers:\n  - name: {owner}\n    url: https://github.com/{owner}\n\
             annotations:\n  rotated-secrets.io/image-registry: {registry}\n"
        ),
    )?;

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

/// The values with this address of the runbook as the default.
fn with_runbook(values: &str, url: &str) -> Result<String> {
    const LINE: &str = "    runbookUrl: \"\"\n";
    ensure!(values.matches(LINE).count() == 1, "values.yaml does not have one line {LINE:?}");
    Ok(values.replace(LINE, &format!("    runbookUrl: {url}\n")))
}

/// The values with this image as the default. Comments stay. The registry is in Chart.yaml, so that an empty global value of
/// a parent chart does not remove it.
fn with_image(values: &str, release: &Release<'_>) -> Result<String> {
    let (before, image) = values.split_once("\nimage:\n").context("values.yaml has no image")?;
    let mut image = image.to_owned();
    let (_, repository) = release.repository.split_once('/').context("the repository begins with a registry")?;
    let lines = [("  repository: rotated-secrets\n", repository), ("  digest: \"\"\n", release.digest)];
    for (line, value) in lines {
        if image.matches(line).count() != 1 {
            bail!("values.yaml does not have one line {line:?} for the image");
        }
        let key = line.split_once(':').map_or(line, |(key, _)| key);
        image = image.replace(line, &format!("{key}: {value}\n"));
    }
    Ok(format!("{before}\nimage:\n{image}"))
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
    fn the_values_of_the_chart_get_image_and_runbook_and_nothing_else_changes() {
        let values = fs::read_to_string(Path::new(ROOT).join(DIRECTORY).join("values.yaml")).unwrap();
        let released = with_runbook(&with_image(&values, &RELEASE).unwrap(), "https://docs.example/runbook").unwrap();
        let changed: Vec<_> =
            values.lines().zip(released.lines()).filter(|(before, after)| before != after).map(|(_, after)| after).collect();
        assert_eq!(
            changed,
            ["  repository: rotated-secrets/operator", "  digest: sha256:00", "    runbookUrl: https://docs.example/runbook"]
        );
        assert_eq!(values.lines().count(), released.lines().count());
    }

    #[test]
    fn values_without_the_expected_lines_are_refused() {
        for values in ["", "a: b\nimage:\n  repository: rotated-secrets\n", "a: b\nimage:\n  repository: other\n  digest: \"\"\n"] {
            assert!(with_image(values, &RELEASE).is_err(), "{values}");
        }
        assert!(with_runbook("a: b\n", "https://docs.example/runbook").is_err());
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
