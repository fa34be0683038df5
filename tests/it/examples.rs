//! Every example is applied as it is, is in the table of examples/README.md, and is Ready on its own if the table says that it needs nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use testkit::{World, control_plane};

const TABLE: &str = include_str!("../../examples/README.md");

fn files() -> Result<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    ensure!(files.len() > 10, "examples are found: {}", files.len());
    Ok(files)
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// The row of a file: its purpose, and what it needs.
fn row(file: &str) -> Option<Vec<&'static str>> {
    let row = TABLE.lines().find(|line| line.starts_with(&format!("| [{file}]({file}) | ")))?;
    Some(row.trim_matches(['|', ' ']).split(" | ").skip(1).collect())
}

#[test]
fn every_example_says_its_purpose_in_the_table_and_in_its_first_lines() -> Result<()> {
    for path in files()? {
        let file = name(&path);
        let row = row(file).with_context(|| format!("examples/README.md has no row for {file}"))?;
        ensure!(row.first().is_some_and(|purpose| purpose.len() > 20), "{file}: {row:?}");
        let text = std::fs::read_to_string(&path)?;
        ensure!(text.starts_with("# "), "{file} begins with its purpose");
        let stem = file.trim_end_matches(".yaml");
        let named = text.contains(&format!("kind: RotatedSecret\nmetadata:\n  name: {stem}\n"));
        ensure!(named || !text.contains("\nkind: RotatedSecret\n"), "the object in {file} is named {stem}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_example_that_needs_nothing_is_ready_on_the_first_day() -> Result<()> {
    let cluster = control_plane().await?;
    let mut ready = Vec::new();
    for path in files()? {
        let world = World::new(&cluster.namespace("example").await?).await?;
        let applied = cluster.apply_yaml_in(&world.namespace, &std::fs::read_to_string(&path)?).await?;
        ensure!(applied.warnings.is_empty(), "{}: {:?}", path.display(), applied.warnings);
        let needs_nothing = row(name(&path)).and_then(|row| Some(row.get(1)?.starts_with("nothing"))).unwrap_or_default();
        if !needs_nothing {
            continue;
        }
        let operator = world.operator(None, Arc::default()).await?;
        for object in world.objects().list(&kube::api::ListParams::default()).await? {
            let object = object.metadata.name.context("a name")?;
            let settled = world.settle(&operator, &object).await?.and_then(|object| object.status).context("a status")?;
            let condition = settled.conditions.iter().find(|condition| condition.type_ == "Ready").context("Ready")?;
            ensure!(condition.status == "True", "{}: {}: {}", path.display(), condition.reason, condition.message);
            ready.push(object);
        }
    }
    assert_eq!(ready, ["api-key", "connection-string", "db-admin", "office-hours", "pinned", "signing-key", "ssh-deploy-key"]);
    Ok(())
}
