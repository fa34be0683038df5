//! The blocks of the quick start, executed by bash and zsh with programs that record how they are called. The test uses
//! zsh if it is installed.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::blocks;

const PAGE: &str = include_str!("../../../docs/quickstart-eks.md");

/// The programs of the page: each records its arguments, and prints what the page reads from it.
const PROGRAMS: &str = r#"record() { { printf '%s' "$1"; shift; printf ' [%s]' "$@"; echo; } >>calls; }
aws() {
  record aws "$@"
  case "$*" in
    *get-caller-identity*) echo 123456789012 ;;
    *cluster.identity.oidc.issuer*) echo https://oidc.eks.eu-central-1.amazonaws.com/id/ABCD ;;
  esac
}
kubectl() { record kubectl "$@"; case "$*" in *metadata.uid*) echo 00000000-0000-0000-0000-000000000001 ;; esac; }
helm() { record helm "$@"; }
docker() {
  # The program before it in the pipeline has recorded its call when its output ends.
  case "$*" in *--password-stdin*) cat >/dev/null ;; esac
  record docker "$@"
}
set -eu
"#;

/// What the shell called and wrote.
fn transcript(shell: &Path) -> Result<String> {
    let dir = tempfile::tempdir()?;
    std::fs::create_dir_all(dir.path().join("docs/iam"))?;
    let policy = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/iam/operator-policy.json");
    std::fs::copy(policy, dir.path().join("docs/iam/operator-policy.json"))?;
    let mut script = PROGRAMS.to_owned();
    for (_, block) in blocks(PAGE).iter().filter(|(language, _)| language == "console") {
        for line in block.lines() {
            script.push_str(line.strip_prefix("$ ").unwrap_or(line));
            script.push('\n');
        }
        script.push_str("if [ -f trust.json ]; then cat trust.json >>calls; mv trust.json last.json; fi\n");
        // The next block reads it.
        script.push_str("if [ -f last.json ]; then cp last.json trust.json; fi\n");
    }
    let ended = Command::new(shell).arg("-c").arg(&script).current_dir(dir.path()).env_clear().env("PATH", "/usr/bin:/bin").output()?;
    ensure!(ended.status.success(), "{}: {}", shell.display(), String::from_utf8_lossy(&ended.stderr));
    ensure!(ended.stderr.is_empty(), "{}: {}", shell.display(), String::from_utf8_lossy(&ended.stderr));
    let trust: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(dir.path().join("trust.json"))?)?;
    ensure!(trust["Statement"].is_array(), "{trust}");
    let calls = std::fs::read_to_string(dir.path().join("calls"))?;
    Ok(calls + &std::fs::read_to_string(dir.path().join("policy.json"))?)
}

#[test]
fn the_quick_start_does_the_same_in_bash_and_zsh() -> Result<()> {
    let bash = transcript(Path::new("/bin/bash")).context("bash")?;
    for words in [
        "[--role-arn] [arn:aws:iam::123456789012:role/rotated-secrets]",
        "\"oidc.eks.eu-central-1.amazonaws.com/id/ABCD:sub\": \"system:serviceaccount:rotated-secrets:rotated-secrets\"",
        "[image.repository=123456789012.dkr.ecr.eu-central-1.amazonaws.com/rotated-secrets]",
        "arn:aws:secretsmanager:eu-central-1:123456789012:secret:k8s/",
    ] {
        ensure!(bash.contains(words), "{words}: {bash}");
    }
    let zsh = Path::new("/usr/bin/zsh");
    if zsh.exists() {
        assert_eq!(transcript(zsh).context("zsh")?, bash);
    }
    Ok(())
}
