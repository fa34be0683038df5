//! The pages that tell a story are followed to the letter: what stands after `<!-- tried -->` is applied or typed, in order, in a namespace of
//! the page's own name, with kubectl, our plugin and nothing else on the PATH.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ObjectMeta, PostParams};
use testbed::emulator::Outsider;

use crate::operator::Operator;
use crate::stage::{REGION, Stage, data, fields, pause, until};

enum Deed {
    Apply(String),
    Type(String),
}

/// The deeds of a page by the heading they stand under.
fn deeds(page: &str) -> Vec<(String, Deed)> {
    let mut deeds = Vec::new();
    let mut heading = String::new();
    let mut tried = false;
    let mut block: Option<(String, String)> = None;
    for line in page.lines() {
        if let Some((language, text)) = &mut block {
            if line.trim_start() == "```" {
                match (language.as_str(), std::mem::take(text)) {
                    ("yaml", text) if tried => deeds.push((heading.clone(), Deed::Apply(text))),
                    ("console", text) if tried => {
                        let joined = text.replace("\\\n", " ");
                        let lines = joined.lines().filter_map(|line| line.strip_prefix("$ "));
                        deeds.push((heading.clone(), Deed::Type(lines.collect::<Vec<_>>().join("\n"))));
                    }
                    (other, _) => assert!(!tried, "a block of {other} cannot be tried"),
                }
                (tried, block) = (false, None);
            } else {
                text.push_str(line);
                text.push('\n');
            }
        } else if let Some(language) = line.trim_start().strip_prefix("```") {
            block = Some((language.to_owned(), String::new()));
        } else if let Some(text) = line.strip_prefix('#') {
            text.trim_start_matches('#').trim().clone_into(&mut heading);
        } else if line == "<!-- tried -->" {
            tried = true;
        }
    }
    deeds
}

struct Reader {
    stage: Stage,
    _operator: Operator,
    deeds: Vec<(String, Deed)>,
    bin: tempfile::TempDir,
}

impl Reader {
    /// With the page open, an operator running, and the namespace there.
    async fn of(page: &str, namespace: &str) -> Result<Self> {
        let mut stage = Stage::enter("pages").await?;
        let metadata = ObjectMeta { name: Some(namespace.to_owned()), ..ObjectMeta::default() };
        let namespaces: Api<Namespace> = Api::all(stage.plane().admin());
        if namespaces.get_opt(namespace).await?.is_none() {
            namespaces.create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() }).await?;
        }
        namespace.clone_into(&mut stage.namespace);
        let operator = Operator::start_with(&stage, &["--log", "info"]).await?;
        let bin = tempfile::tempdir()?;
        for program in [stage.plane().kubectl(), Path::new(env!("CARGO_BIN_EXE_kubectl-rotatedsecret"))] {
            std::os::unix::fs::symlink(program, bin.path().join(program.file_name().context("a name")?))?;
        }
        Ok(Self { stage, _operator: operator, deeds: deeds(page), bin })
    }

    /// Does what stands under this heading; what was typed and what it printed.
    async fn follow(&self, heading: &str) -> Result<String> {
        let deeds: Vec<&Deed> = self.deeds.iter().filter(|(under, _)| under == heading).map(|(_, deed)| deed).collect();
        ensure!(!deeds.is_empty(), "there is nothing to do under {heading}");
        let mut printed = String::new();
        for deed in deeds {
            match deed {
                Deed::Apply(manifest) => {
                    let applied = self.stage.plane().apply_yaml(manifest).await.with_context(|| format!("{heading}: {manifest}"))?;
                    ensure!(applied.warnings.is_empty(), "{heading}: {:?}", applied.warnings);
                }
                Deed::Type(commands) => printed.push_str(&self.shell(heading, commands).await?),
            }
            // A reader is slower than the whole seconds in which Kubernetes tells when the Secret was last written.
            pause(3).await;
        }
        Ok(printed)
    }

    async fn shell(&self, heading: &str, commands: &str) -> Result<String> {
        let path: PathBuf = self.bin.path().to_owned();
        let output = tokio::process::Command::new("/bin/sh")
            .args(["-e", "-c", commands])
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", path.display()))
            .env("HOME", self.bin.path())
            .env("KUBECONFIG", self.stage.plane().kubeconfig())
            .env("AWS_ENDPOINT_URL", self.stage.endpoint())
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "not-checked-by-the-emulator")
            .stdin(Stdio::null())
            .output()
            .await?;
        let (out, errors) = (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned());
        ensure!(output.status.success(), "{heading}:\n{commands}\n{out}{errors}");
        Ok(out)
    }

    fn aws(&self) -> Outsider {
        self.stage.emulator.outsider()
    }
}

#[test]
fn only_what_is_marked_is_tried() {
    let page = "# One\n```console\n$ no\n```\n<!-- tried -->\n```console\n$ yes \\\n    really\nits answer\n```\n## Two\n<!-- tried -->\n```yaml\na: b\n```\n";
    let found = deeds(page);
    assert!(matches!(&found[0], (heading, Deed::Type(commands)) if heading == "One" && commands == "yes      really"));
    assert!(matches!(&found[1], (heading, Deed::Apply(text)) if heading == "Two" && text == "a: b\n"));
    assert_eq!(found.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tutorial_does_what_it_says() -> Result<()> {
    let reader = Reader::of(include_str!("../../docs/tutorial.md"), "shop").await?;
    let stage = &reader.stage;

    reader.follow("The object").await?;
    let born = stage.ready_in("db", "k8s/shop/db").await?;
    let first = fields(born.current());
    ensure!(first["username"] == b"app" && first["password"].len() == 32, "as declared");
    ensure!(!first["password"].iter().any(|byte| b"/@\"'\\".contains(byte)), "without the characters that are excluded");
    let mirror = data(&stage.secrets().get("db").await?);
    ensure!(
        mirror["DB_USER"] == b"app" && mirror["DB_PASSWORD"] == first["password"] && mirror.len() == 2,
        "under the names of the target"
    );

    let told = reader.follow("A rotation").await?;
    ensure!(told.contains("is rotated") && told.contains("all agree"), "{told}");
    ensure!(told.contains("Requested") && told.contains("Created"), "{told}");
    let second: serde_json::Value = serde_json::from_str(&reader.aws().value("k8s/shop/db")?)?;
    ensure!(second["username"] == "app" && second["password"].as_str().map(str::as_bytes) != Some(&first["password"]), "a new password");

    reader.follow("Take it away").await?;
    until("the Secret is gone", async || Ok(stage.secrets().get_opt("db").await?.is_none().then_some(()))).await?;
    ensure!(reader.aws().describe("k8s/shop/db")?.get("DeletedDate").is_none(), "the AWS secret stays");
    Ok(())
}
