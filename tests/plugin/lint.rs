//! `lint`: files, directories, standard input, formats and exit codes, without a cluster.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::scene::PLUGIN;

const GOOD: &str =
    "apiVersion: rotated-secrets.io/v1alpha1\nkind: RotatedSecret\nmetadata: {name: db}\nspec:\n  value: {generate: {password: {}}}\n";

async fn lint(dir: &Path, words: &[&str], input: &str) -> Result<(Option<i32>, String, String)> {
    let stdin = dir.join("stdin");
    std::fs::write(&stdin, input)?;
    let mut command = Command::new(PLUGIN);
    command.env_clear().current_dir(dir).arg("lint").args(words).stdin(std::fs::File::open(&stdin)?);
    let ended = command.output().await?;
    Ok((ended.status.code(), String::from_utf8(ended.stdout)?, String::from_utf8(ended.stderr)?))
}

#[tokio::test]
async fn files_directories_and_standard_input_are_checked_without_a_cluster() -> Result<()> {
    let dir = tempfile::tempdir()?;
    std::fs::create_dir_all(dir.path().join("a/b"))?;
    let wrong = format!("{GOOD}  rotation:\n    schedule: 0 8 31 2 *\n");
    let warned = format!("{GOOD}  rotation:\n    schedule: 0 9 8-14 * MON\n");
    for (name, text) in [("a/good.yaml", GOOD), ("a/note.txt", "{{"), ("a/b/wrong.yml", wrong.as_str()), ("a/b/warned.yaml", &warned)] {
        std::fs::write(dir.path().join(name), text)?;
    }
    std::fs::write(dir.path().join("chart.json"), json!({"kind": "Service", "apiVersion": "v1"}).to_string())?;
    for (words, code, expected) in [
        (&["a"][..], 0, "1 RotatedSecret in 1 file: 0 errors, 0 warnings"),
        (&["a", "-R"], 1, "a/b/wrong.yml:7:5: error: spec.rotation.schedule: the schedule never occurs"),
        (&["a", "-R"], 1, "3 RotatedSecrets in 3 files: 1 error, 1 warning"),
        (&["a/b/warned.yaml"], 0, "a/b/warned.yaml:7:5: warning: spec.rotation.schedule: day of month and day of week"),
        (&["a/b/warned.yaml", "--fail-on", "warning"], 1, "[suspicious]"),
        (&["chart.json"], 0, "0 RotatedSecrets in 1 file"),
        (&["-"], 1, "-:2:2: error: not valid YAML"),
    ] {
        let (ended, out, err) = lint(dir.path(), words, "a:\n\tb: 2\n").await?;
        assert!(ended == Some(code) && out.contains(expected), "{words:?}: {ended:?} {out} {err}");
    }
    for words in [&[][..], &["nothing.yaml"], &["a", "--fail-on", "nothing"], &["a", "-o", "xml"]] {
        assert_eq!(lint(dir.path(), words, "").await?.0, Some(2), "{words:?}");
    }
    Ok(())
}

#[tokio::test]
async fn sarif_names_the_rule_the_file_and_the_line() -> Result<()> {
    let dir = tempfile::tempdir()?;
    std::fs::write(dir.path().join("my db.yaml"), format!("{GOOD}  rotations: {{}}\n"))?;
    let (code, out, _) = lint(dir.path(), &["-o", "sarif", "./my db.yaml"], "").await?;
    let document: Value = serde_json::from_str(&out)?;
    let run = &document["runs"][0];
    assert_eq!((code, &document["version"]), (Some(1), &json!("2.1.0")));
    let result = &run["results"][0];
    assert_eq!((&result["ruleId"], &result["level"]), (&json!("unknown-field"), &json!("error")));
    let index = usize::try_from(result["ruleIndex"].as_u64().unwrap_or_default())?;
    assert_eq!(run["tool"]["driver"]["rules"][index]["id"], "unknown-field");
    assert!(result["message"]["text"].as_str().is_some_and(|text| text.contains("did you mean rotation?")), "{result}");
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "my%20db.yaml");
    assert_eq!(place["region"], json!({"startLine": 6, "startColumn": 3}));
    let (_, out, _) = lint(dir.path(), &["-o", "json", "my db.yaml"], "").await?;
    let document: Value = serde_json::from_str(&out)?;
    assert_eq!(document["findings"][0]["field"], "spec.rotations", "{document}");
    Ok(())
}

#[tokio::test]
async fn every_example_is_without_a_finding() -> Result<()> {
    let (code, out, err) =
        lint(Path::new(env!("CARGO_TARGET_TMPDIR")), &["--fail-on", "warning", concat!(env!("CARGO_MANIFEST_DIR"), "/examples")], "")
            .await?;
    assert_eq!(code, Some(0), "{out}{err}");
    Ok(())
}
