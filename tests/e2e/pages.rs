//! The pages that tell a story are followed to the letter: what stands after `<!-- tried -->` is applied or typed, in order, in a namespace of
//! the page's own name, with kubectl, our plugin and nothing else on the PATH.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};
use serde_json::json;
use testkit::emulator::ExternalWriter;
use testkit::{REGION, data, fields, until};

use crate::operator::Operator;
use crate::stage::Stage;

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

pub(crate) struct Reader {
    /// It ends before another test gets the control plane.
    _operator: Operator,
    pub(crate) stage: Stage,
    deeds: Vec<(String, Deed)>,
    pub(crate) bin: tempfile::TempDir,
}

impl Reader {
    /// With the page open, an operator running, and the namespace there.
    pub(crate) async fn of(page: &str, namespace: &str) -> Result<Self> {
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
    pub(crate) async fn follow(&self, heading: &str) -> Result<String> {
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
            // A reader is slower than that.
            self.stage.mirrors_have_aged().await?;
        }
        Ok(printed)
    }

    pub(crate) async fn shell(&self, heading: &str, commands: &str) -> Result<String> {
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

    pub(crate) fn aws(&self) -> ExternalWriter {
        self.stage.emulator.external_writer()
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

    let told = reader.follow("Read the value").await?;
    let password = String::from_utf8_lossy(&first["password"]).into_owned();
    ensure!(told.starts_with(&format!("{password}\nDB_PASSWORD={password}\nDB_USER=app\n")), "one value, then all of them");
    ensure!(told.contains("DB_PASSWORD:  32 bytes") && told.matches(&password).count() == 2, "and then the names only");

    let told = reader.follow("A rotation").await?;
    ensure!(told.contains("is rotated") && told.contains("all agree"), "{told}");
    ensure!(!told.contains(&password), "the plugin prints no value");
    ensure!(told.contains("Requested") && told.contains("Created"), "{told}");
    let second: serde_json::Value = serde_json::from_str(&reader.aws().value("k8s/shop/db")?)?;
    ensure!(second["username"] == "app" && second["password"].as_str().map(str::as_bytes) != Some(&first["password"]), "a new password");

    reader.follow("Take it away").await?;
    until("the Secret is gone", async || Ok(stage.secrets().get_opt("db").await?.is_none().then_some(()))).await?;
    ensure!(reader.aws().describe("k8s/shop/db")?.get("DeletedDate").is_none(), "the AWS secret stays");
    Ok(())
}

/// What the provider sends for the secret and its version, in its order; answers with the ARN and the version.
fn terraform_applies(aws: &ExternalWriter) -> Result<(String, String)> {
    let token = |number: u8| format!("terraform-20261126041500000000000{number:03}");
    let created = aws.act(
        "CreateSecret",
        &json!({
            "ClientRequestToken": token(1), "Name": TERRAFORMED, "Description": "The shop's database",
            "ForceOverwriteReplicaSecret": false, "Tags": [{"Key": "team", "Value": "shop"}],
        }),
    )?;
    let arn = created["ARN"].as_str().context("an ARN")?.to_owned();
    let value = json!({"username": "admin", "password": "made-by-random_password"}).to_string();
    let put = aws.act("PutSecretValue", &json!({"ClientRequestToken": token(2), "SecretId": arn, "SecretString": value}))?;
    Ok((arn, put["VersionId"].as_str().context("a version")?.to_owned()))
}

/// What it sends when the tag comes. The secret is as after `CancelRotateSecret`; while AWS rotates it the operator refuses (`ForeignRotation`).
fn terraform_gives_leave(aws: &ExternalWriter, arn: &str) -> Result<()> {
    aws.act("TagResource", &json!({"SecretId": arn, "Tags": [{"Key": "rotated-secrets.io/adopt-by", "Value": "shop/db-admin"}]}))?;
    Ok(())
}

const TERRAFORMED: &str = "prod/shop/db-admin";

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_terraforms_is_handed_over_as_the_page_says() -> Result<()> {
    let reader = Reader::of(include_str!("../../docs/migrating-from-terraform.md"), "shop").await?;
    let (stage, aws) = (&reader.stage, reader.aws());
    let (arn, version) = terraform_applies(&aws)?;
    terraform_gives_leave(&aws, &arn)?;
    let before = aws.describe(&arn)?;

    reader.follow("2. Allow the name").await?;
    reader.follow("3. Compare").await?;
    let mirror = data(&stage.secrets().get("db-admin-mirror").await?);
    ensure!(mirror["username"] == b"admin" && mirror["password"] == b"made-by-random_password", "the mirror holds what Terraform made");
    let compared = aws.describe(&arn)?;
    ensure!(compared["Tags"] == before["Tags"] && compared["VersionIdsToStages"] == before["VersionIdsToStages"], "nothing was written");

    let told = reader.follow("4. Adopt").await?;
    ensure!(told.contains("is rotated"), "{told}");
    let agreed = stage.ready_in("db-admin", TERRAFORMED).await?;
    ensure!(agreed.arn == arn && agreed.description.as_deref() == Some("The shop's database"), "the same secret: {}", agreed.arn);
    let tag = |key: &str| agreed.tags.get(key).map(String::as_str);
    ensure!(tag("team") == Some("shop") && tag("rotated-secrets.io/name") == Some("db-admin"), "its own tags and ours: {:?}", agreed.tags);
    ensure!(agreed.versions.len() == 2 && agreed.versions[0].id == version, "one rotation and no other version");
    ensure!(agreed.labels.get("AWSPREVIOUS") == Some(&version), "Terraform's is the one before");
    let rotated = fields(agreed.current());
    ensure!(rotated["username"] == b"admin" && rotated["password"] != b"made-by-random_password", "the password alone is new");
    let status = stage.objects().get("db-admin").await?.status.context("a status")?;
    let causes: Vec<&str> = status.history.iter().map(|entry| entry.cause.as_str()).collect();
    ensure!(causes == ["Requested", "Adopted"], "{causes:?}");
    until("the mirror for comparison is gone", async || Ok(stage.secrets().get_opt("db-admin-mirror").await?.is_none().then_some(())))
        .await?;

    // And back: the object goes, the secret stays as it is.
    stage.objects().delete("db-admin", &DeleteParams::default()).await?;
    until("the object and its Secret are gone", async || {
        let gone = stage.objects().get_opt("db-admin").await?.is_none() && stage.secrets().get_opt("db-admin").await?.is_none();
        Ok(gone.then_some(()))
    })
    .await?;
    let left = aws.describe(&arn)?;
    ensure!(left.get("DeletedDate").is_none() && fields(Some(&aws.value(&arn)?)) == rotated, "with its value");
    Ok(())
}

/// Every argument of the four resources has its row.
#[test]
fn the_page_names_every_argument_of_terraforms() {
    let page = include_str!("../../docs/migrating-from-terraform.md");
    for (resource, arguments) in [
        (
            "aws_secretsmanager_secret",
            "region description kms_key_id name_prefix name policy recovery_window_in_days replica.region replica.kms_key_id \
             force_overwrite_replica_secret type tags",
        ),
        (
            "aws_secretsmanager_secret_version",
            "secret_id secret_string secret_string_wo secret_string_wo_version secret_binary version_stages",
        ),
        ("aws_secretsmanager_secret_policy", "region policy secret_arn block_public_policy"),
        (
            "aws_secretsmanager_secret_rotation",
            "region secret_id rotate_immediately rotation_lambda_arn external_secret_rotation_metadata external_secret_rotation_role_arn \
             rotation_rules.automatically_after_days rotation_rules.duration rotation_rules.schedule_expression",
        ),
    ] {
        let (_, section) = page.split_once(&format!("\n### {resource}\n")).expect("a section");
        let section = section.split("\n### ").next().unwrap_or_default();
        for argument in arguments.split_whitespace() {
            let row = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
            assert!(row.into_iter().any(|cell| cell.contains(&format!("`{argument}`"))), "{resource} has no row for {argument}");
        }
    }
}
