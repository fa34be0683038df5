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
}

/// Writes `rotated-secrets-VERSION.tgz` and `install.yaml` into the directory `out`, and returns their paths. `helm` gives a
/// command that runs helm.
///
/// # Errors
/// If the digest is not one, the values do not have the expected lines, or helm fails.
pub fn package(release: &Release<'_>, out: &Path, helm: impl Fn() -> Command) -> Result<[PathBuf; 2]> {
    let digest = release.digest.strip_prefix("sha256:").unwrap_or_default();
    ensure!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "not a digest: {}", release.digest);
    let folder = tempfile::tempdir()?;
    let chart = folder.path().join(NAME);
    copy(&Path::new(ROOT).join(DIRECTORY), &chart)?;
    let values = chart.join("values.yaml");
    let text = fs::read_to_string(&values).with_context(|| format!("cannot read {}", values.display()))?;
    fs::write(&values, with_image(&text, release)?)?;

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

/// The values with this image as the default. Comments stay. The registry is the global one, which `image.registry` and the
/// global value of a parent chart replace.
fn with_image(values: &str, release: &Release<'_>) -> Result<String> {
    let (before, image) = values.split_once("\nimage:\n").context("values.yaml has no image")?;
    let mut image = image.to_owned();
    let (registry, repository) = release.repository.split_once('/').context("the repository begins with a registry")?;
    let lines =
        [("  repository: rotated-secrets\n", repository), ("  digest: \"\"\n", release.digest), ("  imageRegistry: \"\"\n", registry)];
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

    const RELEASE: Release<'_> =
        Release { version: "1.2.3", repository: "registry.example.com/rotated-secrets/operator", digest: "sha256:00" };

    #[test]
    fn the_values_of_the_chart_get_the_image_and_nothing_else_changes() {
        let values = fs::read_to_string(Path::new(ROOT).join(DIRECTORY).join("values.yaml")).unwrap();
        let released = with_image(&values, &RELEASE).unwrap();
        let changed: Vec<_> =
            values.lines().zip(released.lines()).filter(|(before, after)| before != after).map(|(_, after)| after).collect();
        assert_eq!(changed, ["  repository: rotated-secrets/operator", "  digest: sha256:00", "  imageRegistry: registry.example.com"]);
        assert_eq!(values.lines().count(), released.lines().count());
    }

    #[test]
    fn values_without_the_expected_lines_are_refused() {
        for values in ["", "a: b\nimage:\n  repository: rotated-secrets\n", "a: b\nimage:\n  repository: other\n  digest: \"\"\n"] {
            assert!(with_image(values, &RELEASE).is_err(), "{values}");
        }
    }
}
