//! The pages keep their word: what they tell to apply is accepted, what they tell to type is understood, where they point there is something,
//! and the fields that they name exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Parser as _;
use serde_json::{Value, json};
use testkit::reference::anchor;

use testkit::control_plane;

mod shells;

/// Where pages are: their text by their path from the root of the repository.
fn pages() -> Result<BTreeMap<PathBuf, String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = BTreeMap::new();
    for entry in std::fs::read_dir(root)? {
        take(root, &entry?.path(), &mut pages)?;
    }
    for folder in ["docs", "charts", "examples", ".github"] {
        walk(root, &root.join(folder), &mut pages)?;
    }
    ensure!(pages.contains_key(Path::new("README.md")) && pages.len() > 10, "the pages are found");
    Ok(pages)
}

fn walk(root: &Path, folder: &Path, pages: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            walk(root, &path, pages)?;
        } else {
            take(root, &path, pages)?;
        }
    }
    Ok(())
}

fn take(root: &Path, path: &Path, pages: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    if path.extension().is_some_and(|extension| extension == "md") {
        pages.insert(path.strip_prefix(root)?.to_owned(), std::fs::read_to_string(path)?);
    }
    Ok(())
}

/// The fenced blocks of a page: language and text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in page.lines() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(language)) => open = Some((language.trim().to_owned(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// What is not in a fence.
fn prose(page: &str) -> String {
    let mut fenced = false;
    let kept = page.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fence && !fenced
    });
    kept.collect::<Vec<_>>().join("\n")
}

/// What stands in backquotes, in one line.
fn code(page: &str) -> Vec<String> {
    prose(page).lines().flat_map(|line| line.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// `# heading` -> its anchors, numbered where one repeats; and `<a id="name"></a>`.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut seen = BTreeMap::<String, usize>::new();
    let text = prose(page);
    let marked = text.split("<a id=\"").skip(1).filter_map(|rest| rest.split_once('"')).map(|(name, _)| name.to_owned());
    prose(page)
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let anchor = anchor(line.trim_start_matches('#').trim());
            let before = seen.entry(anchor.clone()).or_default();
            *before += 1;
            if *before == 1 { anchor } else { format!("{anchor}-{}", *before - 1) }
        })
        .chain(marked)
        .collect()
}

/// The targets of `[text](target)`.
fn links(page: &str) -> Vec<String> {
    let text = prose(page);
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.trim().to_owned());
    targets.collect()
}

#[test]
fn every_link_within_the_repository_leads_somewhere() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = pages()?;
    let mut broken = Vec::new();
    for (page, text) in &pages {
        for link in links(text).into_iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            let (file, fragment) = link.split_once('#').map_or((link.as_str(), None), |(file, fragment)| (file, Some(fragment)));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap_or(Path::new("")).join(file) };
            let found = root.join(&target).exists();
            let headed = fragment
                .is_none_or(|fragment| std::fs::read_to_string(root.join(&target)).is_ok_and(|text| anchors(&text).contains(fragment)));
            if !found || !headed {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    ensure!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
    Ok(())
}

#[test]
fn the_index_names_every_page() -> Result<()> {
    let pages = pages()?;
    let index = pages.get(Path::new("docs/README.md")).context("docs/README.md")?;
    let linked: BTreeSet<String> = links(index).into_iter().collect();
    for page in pages.keys().filter_map(|page| page.strip_prefix("docs").ok()).filter(|page| *page != Path::new("README.md")) {
        let name = page.display().to_string();
        ensure!(linked.contains(&name), "docs/README.md does not link {name}");
    }
    Ok(())
}

/// Lines that begin with `$ ` in console blocks, with their continuations, and code that begins like a command.
fn commands(page: &str) -> Vec<String> {
    let mut commands = Vec::new();
    for (_, text) in blocks(page).iter().filter(|(language, _)| matches!(language.as_str(), "console" | "sh" | "bash")) {
        let joined = text.replace("\\\n", " ");
        commands.extend(joined.lines().filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned));
    }
    commands.extend(code(page));
    commands
}

/// The words of our program's part of a command line: what is before (variables) and after (comment, pipe, redirection) is the shell's.
fn ours(command: &str, program: &[&str]) -> Option<Vec<String>> {
    let command = command.split(" #").next().unwrap_or_default();
    let command = command.split([';', '|', '<', '>', '&']).next().unwrap_or_default();
    // What is in single quotes is one word.
    let words = command.split('\'').enumerate().flat_map(|(number, part)| match number % 2 {
        0 => part.split_whitespace().collect(),
        _ => vec![part],
    });
    let words: Vec<String> = words.map(|word| word.trim_matches('"').to_owned()).collect();
    let start = words.iter().position(|word| !word.contains('=') || word.starts_with('-'))?;
    let rest = &words[start..];
    (rest.len() >= program.len() && rest.iter().zip(program).all(|(word, part)| word == part)).then(|| rest[program.len()..].to_vec())
}

#[test]
fn every_command_of_ours_is_understood() -> Result<()> {
    let mut seen = 0;
    let mut strange = Vec::new();
    for (page, text) in pages()? {
        for command in commands(&text) {
            for program in [&["kubectl", "rotatedsecret"][..], &["kubectl-rotatedsecret"]] {
                let Some(mut words) = ours(&command, program).filter(|words| !words.is_empty()) else { continue };
                seen += 1;
                // Pages write NAME for the name of an object.
                words.iter_mut().filter(|word| *word == "NAME").for_each(|word| "db".clone_into(word));
                words.iter_mut().filter(|word| *word == "NAMESPACE").for_each(|word| "shop".clone_into(word));
                let told = rotated_secrets::plugin::Cli::try_parse_from(std::iter::once("kubectl-rotatedsecret".to_owned()).chain(words));
                strange.extend(told.err().filter(clap::Error::use_stderr).map(|error| format!("{}: {command}: {error}", page.display())));
            }
            if let Some(words) = ours(&command, &["rotated-secrets"]).filter(|words| !words.is_empty()) {
                seen += 1;
                let told = rotated_secrets::cli::Cli::try_parse_from(std::iter::once("rotated-secrets".to_owned()).chain(words));
                strange.extend(told.err().filter(clap::Error::use_stderr).map(|error| format!("{}: {command}: {error}", page.display())));
            }
        }
    }
    ensure!(seen > 12, "commands are found: {seen}");
    ensure!(strange.is_empty(), "commands that are not understood:\n{}", strange.join("\n"));
    Ok(())
}

/// These pages are read when something is broken: nothing is left out of their commands, and what the reader fills in is in capitals.
#[test]
fn every_command_of_the_runbook_and_of_the_page_for_on_call_is_complete() -> Result<()> {
    let pages = [include_str!("../../docs/runbook.md"), include_str!("../../docs/oncall.md")];
    let lines: Vec<String> = pages.iter().flat_map(|page| commands(page)).collect();
    let lines: Vec<&String> = lines.iter().filter(|line| line.starts_with("kubectl ") || line.starts_with("aws ")).collect();
    ensure!(lines.len() > 60, "commands are found: {}", lines.len());
    for line in lines {
        // A name of the plugin's commands has to be possible, and a placeholder is.
        let line = if line.contains(" rotatedsecret ") { &line.replace("NAMESPACE", "shop").replace("NAME", "db") } else { line };
        testkit::commands::check_line(line).with_context(|| line.clone())?;
    }
    Ok(())
}

#[test]
fn every_recipe_that_is_named_exists() -> Result<()> {
    let makefile = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Makefile"))?;
    let workflows = [include_str!("../../.github/workflows/ci.yml"), include_str!("../../.github/workflows/release.yml")];
    let run = workflows.iter().flat_map(|text| text.lines()).filter_map(|line| line.trim().strip_prefix("- run: ")).map(str::to_owned);
    let mut seen = 0;
    for command in run.chain(pages()?.values().flat_map(|page| commands(page))) {
        let Some(recipes) = ours(&command, &["make"]) else { continue };
        for recipe in recipes.iter().filter(|word| !word.contains('=')) {
            seen += 1;
            ensure!(makefile.lines().any(|line| line.starts_with(&format!("{recipe}:"))), "there is no recipe for {command}");
        }
    }
    ensure!(seen > 3, "recipes are found: {seen}");
    Ok(())
}

#[test]
fn every_file_to_apply_is_there() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for (page, text) in pages()? {
        for command in commands(&text) {
            let Some(words) = ours(&command, &["kubectl"]) else { continue };
            for file in words.windows(2).filter(|pair| matches!(pair[0].as_str(), "-f" | "--filename")).map(|pair| &pair[1]) {
                // A name alone is a file that the reader has just written.
                if file.contains('/') && !file.contains("://") {
                    seen += 1;
                    ensure!(root.join(file).exists(), "{}: {command}: there is no {file}", page.display());
                }
            }
        }
    }
    ensure!(seen > 3, "files are found: {seen}");
    Ok(())
}

/// zsh reads `$NAME:role` as the variable with the modifier `:r`; `${NAME}:role` means the same in every shell.
fn has_modifier_of_zsh(script: &str) -> bool {
    script.match_indices('$').any(|(at, _)| {
        let rest = &script[at + 1..];
        let after = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
        after.len() < rest.len() && after.strip_prefix(':').is_some_and(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()))
    })
}

#[test]
fn no_command_changes_its_meaning_in_zsh() -> Result<()> {
    ensure!(
        has_modifier_of_zsh("iam::$ACCOUNT:role") && !has_modifier_of_zsh("iam::${ACCOUNT}:role $(date):AWSPREVIOUS"),
        "modifiers are found"
    );
    for (page, text) in pages()? {
        for (language, script) in blocks(&text).iter().filter(|(language, _)| matches!(language.as_str(), "console" | "sh" | "bash")) {
            ensure!(!has_modifier_of_zsh(script), "{}: write ${{NAME}}: for zsh in this block of {language}:\n{script}", page.display());
        }
    }
    Ok(())
}

/// The schema at `spec.aws.tags` and the like: fields, values of maps, items of lists. `*` and `[]` may be written or left out.
fn schema_at<'a>(root: &'a Value, path: &str) -> Option<&'a Value> {
    let mut at = root;
    for part in path.split('.').map(|part| part.trim_end_matches("[]")) {
        if let Some(items) = at.get("items") {
            at = items;
        }
        // A map of anything, or a field that keeps whatever it is given.
        if at.pointer("/x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true)) {
            return Some(at);
        }
        at = match (at.pointer(&format!("/properties/{part}")), at.get("additionalProperties")) {
            (Some(field), _) => field,
            (None, Some(values)) if values.is_object() => values,
            _ => return None,
        };
    }
    Some(at)
}

#[test]
fn every_field_that_a_page_names_is_in_the_definition() -> Result<()> {
    let definition: Value = serde_saphyr::from_str(include_str!("../../crds/rotatedsecrets.yaml"))?;
    let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema").context("a schema")?;
    let blocks: Vec<String> = ["spec", "status"]
        .iter()
        .flat_map(|half| {
            schema
                .pointer(&format!("/properties/{half}/properties"))
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .map(move |(name, _)| format!("{half}.{name}"))
        })
        .collect();
    let mut missing = Vec::new();
    let mut seen = 0;
    for (page, text) in pages()? {
        // Design notes tell of what was and what may be.
        if page.starts_with("docs/design") || page == Path::new("CHANGELOG.md") {
            continue;
        }
        for word in code(&text) {
            let path: String = word.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '[' | ']' | '*')).collect();
            let path = path.trim_end_matches('.');
            // `spec.replicas` of a Deployment is not checked here.
            if !blocks.iter().any(|block| path == block || path.starts_with(&format!("{block}."))) {
                continue;
            }
            seen += 1;
            if schema_at(schema, path).is_none() {
                missing.push(format!("{}: {word}", page.display()));
            }
        }
    }
    ensure!(seen > 40, "fields are found: {seen}");
    ensure!(missing.is_empty(), "fields that there are not:\n{}", missing.join("\n"));
    Ok(())
}

#[test]
fn the_page_of_annotations_names_every_name() -> Result<()> {
    let page = include_str!("../../docs/annotations.md");
    let source = include_str!("../../src/api/mod.rs");
    let mut seen = 0;
    for name in
        source.split('"').skip(1).step_by(2).filter(|text| text.starts_with("rotated-secrets.io/") || text.contains(".rotated-secrets.io/"))
    {
        seen += 1;
        ensure!(page.contains(&format!("`{name}")), "docs/annotations.md does not name {name}");
    }
    ensure!(seen >= 8, "the names are found: {seen}");
    Ok(())
}

/// Manifests of a page that an empty cluster with our definition takes: ours, and those of Kubernetes itself. A block that begins with `spec:`
/// is the spec of one of ours.
fn manifests(page: &str) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    for (_, text) in blocks(page).into_iter().filter(|(language, _)| language == "yaml") {
        if text.trim_start().starts_with("spec:") {
            let spec: Value = serde_saphyr::from_str(&text).with_context(|| text.clone())?;
            found.push(json!({"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "metadata": {"name": "snippet"}, "spec": spec["spec"]}));
        } else if text.lines().any(|line| line == "kind: RotatedSecret") {
            let documents: Vec<Value> = serde_saphyr::from_multiple(&text).with_context(|| text.clone())?;
            found.extend(documents);
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_takes_every_manifest_of_the_pages() -> Result<()> {
    let cluster = control_plane().await?;
    let mut seen = 0;
    for (page, text) in pages()? {
        // Each page plays in namespaces of its own: two pages may tell of the same object.
        let namespace = cluster.namespace("pages").await?;
        for mut manifest in manifests(&text).with_context(|| page.display().to_string())? {
            manifest["metadata"].as_object_mut().context("metadata")?.remove("namespace");
            let kind = manifest["kind"].clone();
            let applied = cluster
                .apply_yaml_in(&namespace, &manifest.to_string())
                .await
                .with_context(|| format!("{}: {manifest}", page.display()))?;
            ensure!(applied.warnings.is_empty(), "{}: {:?}", page.display(), applied.warnings);
            seen += usize::from(kind == "RotatedSecret");
            // The next one may have the same name and say what cannot be changed.
            if kind == "RotatedSecret" {
                let name = manifest["metadata"]["name"].as_str().context("a name")?;
                let objects: kube::Api<rotated_secrets::api::RotatedSecret> = kube::Api::namespaced(cluster.admin(), &namespace);
                objects.delete(name, &kube::api::DeleteParams::default()).await?;
            }
        }
    }
    ensure!(seen >= 1, "manifests are found: {seen}");
    Ok(())
}
