//! What the Dockerfile says of the finished image. Read, and not written down a second time, so that the archive is the image that an engine
//! would make.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};

/// The last stage of a Dockerfile.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Recipe {
    pub(super) user: String,
    pub(super) entrypoint: Vec<String>,
    pub(super) labels: BTreeMap<String, String>,
}

/// Knows what our Dockerfile uses and refuses everything else: an instruction that is passed over would make another image.
pub(super) fn parse(dockerfile: &str, version: &str) -> Result<Recipe> {
    let lines: Vec<&str> = dockerfile.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let last = lines.iter().rposition(|line| line.starts_with("FROM ")).context("the Dockerfile has no FROM")?;
    let mut recipe = Recipe::default();
    for line in lines.into_iter().skip(last) {
        let (instruction, rest) = line.split_once(' ').with_context(|| format!("the Dockerfile's `{line}` is not understood"))?;
        match (instruction, rest) {
            ("FROM", "scratch") | ("COPY", "--from=build /image/ /") => {}
            ("ARG", rest) if rest.starts_with("VERSION=") => {}
            ("USER", user) => user.clone_into(&mut recipe.user),
            ("ENTRYPOINT", words) => recipe.entrypoint = serde_json::from_str(words)?,
            ("LABEL", label) => {
                let (name, value) = label.split_once('=').with_context(|| format!("the label {label} has no value"))?;
                let value: String = serde_json::from_str(value)?;
                recipe.labels.insert(name.to_owned(), value.replace("${VERSION}", version));
            }
            _ => bail!("the Dockerfile's last stage has `{line}`, which `xtask image` does not support"),
        }
    }
    Ok(recipe)
}
