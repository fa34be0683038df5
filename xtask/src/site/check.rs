//! Checks a built site without a browser: every link and anchor of every page leads somewhere, and the search index has
//! every page.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// What was found.
#[derive(Debug)]
pub struct Checked {
    /// Pages.
    pub pages: usize,
    /// Links within the site.
    pub links: usize,
}

/// Checks the site in this folder.
///
/// # Errors
/// When a link or an anchor leads nowhere, or a page is not in the search index.
pub fn check(site: &Path) -> Result<Checked> {
    let pages = pages(site)?;
    ensure!(pages.len() > 20, "there are pages: {}", pages.len());
    let ids: BTreeMap<&PathBuf, BTreeSet<&str>> = pages.iter().map(|(path, text)| (path, values(text, " id=\"").collect())).collect();
    let mut broken = Vec::new();
    let mut links: usize = 0;
    for (page, text) in &pages {
        for link in values(text, "<a href=\"").chain(values(text, "<img src=\"")) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            links = links.saturating_add(1);
            let (file, fragment) = link.split_once('#').map_or((link, None), |(file, fragment)| (file, Some(fragment)));
            let target = if file.is_empty() { page.clone() } else { resolved(page, file) };
            let headed = fragment.is_none_or(|fragment| ids.get(&target).is_some_and(|ids| ids.contains(fragment)));
            if !site.join(&target).is_file() || !headed {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    ensure!(broken.is_empty(), "links of the site that lead nowhere:\n{}", broken.join("\n"));
    searchable(site, &pages)?;
    Ok(Checked { pages: pages.len(), links })
}

/// The pages of the site by their path. The page that prints everything and the page for a wrong address are no chapters.
fn pages(site: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut pages = BTreeMap::new();
    let mut folders = vec![site.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("{} is built by make site", folder.display()))? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "html")
                && !matches!(name.as_str(), "print.html" | "404.html" | "toc.html")
            {
                pages.insert(path.strip_prefix(site)?.to_owned(), std::fs::read_to_string(&path)?);
            }
        }
    }
    Ok(pages)
}

/// What stands between `start` and the next quotation mark.
fn values<'a>(text: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).filter_map(|rest| rest.split('"').next())
}

fn resolved(page: &Path, link: &str) -> PathBuf {
    let mut path = page.parent().unwrap_or(Path::new("")).to_owned();
    for part in link.split('/') {
        match part {
            ".." => {
                path.pop();
            }
            "." | "" => {}
            name => path.push(name),
        }
    }
    path
}

fn searchable(site: &Path, pages: &BTreeMap<PathBuf, String>) -> Result<()> {
    let index = std::fs::read_dir(site)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            let named = path.file_stem().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("searchindex"));
            named && path.extension().is_some_and(|extension| extension == "js")
        })
        .context("there is a search index")?;
    let index = std::fs::read_to_string(index)?;
    for page in pages.keys() {
        let name = page.display().to_string();
        ensure!(index.contains(&format!("\"{name}#")) || index.contains(&format!("\"{name}\"")), "the search index does not have {name}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_resolved_from_the_page_that_has_them() {
        assert_eq!(resolved(Path::new("docs/design/a.html"), "../concepts.html"), Path::new("docs/concepts.html"));
        assert_eq!(resolved(Path::new("index.html"), "./docs/index.html"), Path::new("docs/index.html"));
    }

    #[test]
    fn values_end_with_the_attribute() {
        assert_eq!(values("<a href=\"b#c\">d</a><a href=\"e\">", "<a href=\"").collect::<Vec<_>>(), ["b#c", "e"]);
    }
}
