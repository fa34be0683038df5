//! The pages as a site. mdBook needs all pages in one folder and a list of chapters. This module copies the pages with
//! the files that they link to, writes `SUMMARY.md` from `docs/README.md`, runs mdBook, and checks the result.

mod browser;
mod check;
mod links;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

pub use browser::open;
pub use check::{Checked, check};

const INDEX: &str = "docs/README.md";

/// Builds the site in `out` with this mdBook. `root` is the repository.
///
/// # Errors
/// When a link of a page leads nowhere, or mdBook fails.
pub fn build(root: &Path, mdbook: &Path, out: &Path) -> Result<()> {
    let book = out.join("book");
    for old in [book.clone(), out.join("site")] {
        if old.exists() {
            std::fs::remove_dir_all(&old)?;
        }
    }
    let src = book.join("src");
    let pages = collect(root)?;
    for (path, text) in &pages {
        write(&src.join(renamed(path)), &adapted(root, path, text)?)?;
    }
    for file in files(root, &pages)? {
        let to = src.join(&file);
        std::fs::create_dir_all(to.parent().context("a folder")?)?;
        std::fs::copy(root.join(&file), to).with_context(|| format!("{} is linked", file.display()))?;
    }
    write(&src.join("SUMMARY.md"), &summary(&pages)?)?;
    std::fs::copy(root.join("docs/book.toml"), book.join("book.toml"))?;
    let ended = Command::new(mdbook).arg("build").arg(&book).status().with_context(|| format!("{} cannot be run", mdbook.display()))?;
    ensure!(ended.success(), "mdBook failed");
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::create_dir_all(path.parent().context("a folder")?)?;
    std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// Every page that the front page leads to, directly or through others.
fn collect(root: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut pages = BTreeMap::new();
    let mut left = vec![PathBuf::from("README.md"), PathBuf::from(INDEX)];
    while let Some(path) = left.pop() {
        if pages.contains_key(&path) {
            continue;
        }
        let text = std::fs::read_to_string(root.join(&path)).with_context(|| format!("{} is linked", path.display()))?;
        for link in links::of(&text) {
            let target = target(root, &path, &link)?;
            if target.extension().is_some_and(|extension| extension == "md") {
                left.push(target);
            }
        }
        pages.insert(path, text);
    }
    Ok(pages)
}

/// The files that are no pages and that pages link to.
fn files(root: &Path, pages: &BTreeMap<PathBuf, String>) -> Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    for (page, text) in pages {
        for link in links::of(text) {
            let target = target(root, page, &link)?;
            if target.extension().is_none_or(|extension| extension != "md") {
                files.insert(target);
            }
        }
    }
    Ok(files)
}

/// What a link of a page leads to, from the root. A folder is its `README.md`.
fn target(root: &Path, page: &Path, link: &str) -> Result<PathBuf> {
    let mut path = page.parent().unwrap_or(Path::new("")).to_owned();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => ensure!(path.pop(), "{}: {link} leads out of the repository", page.display()),
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    if root.join(&path).is_dir() {
        path.push("README.md");
    }
    ensure!(root.join(&path).is_file(), "{}: {link} leads nowhere; a folder needs a README.md", page.display());
    Ok(path)
}

/// `README.md` of a folder is its index.
fn renamed(path: &Path) -> PathBuf {
    if path.file_name().is_some_and(|name| name == "README.md") { path.with_file_name("index.md") } else { path.to_owned() }
}

/// A page with links that mdBook follows.
fn adapted(root: &Path, page: &Path, text: &str) -> Result<String> {
    let depth = page.components().count().saturating_sub(1);
    let mut wrong = None;
    let adapted = links::rewrite(text, |link| {
        let (file, fragment) = link.split_once('#').map_or((link, None), |(file, fragment)| (file, Some(fragment)));
        match target(root, page, file) {
            Ok(target) => {
                let path = format!("{}{}", "../".repeat(depth), renamed(&target).display());
                fragment.map_or(path.clone(), |fragment| format!("{path}#{fragment}"))
            }
            Err(error) => {
                wrong = Some(error);
                link.to_owned()
            }
        }
    });
    wrong.map_or(Ok(adapted), Err)
}

/// The chapters: as in the index of the documentation, then the pages that it does not name.
fn summary(pages: &BTreeMap<PathBuf, String>) -> Result<String> {
    let mut text = "# Summary\n\n[Rotated Secrets](index.md)\n[All pages](docs/index.md)\n".to_owned();
    let mut named: BTreeSet<PathBuf> = ["README.md", INDEX].map(PathBuf::from).into();
    let index = pages.get(Path::new(INDEX)).context("an index")?;
    for section in index.split("\n## ").skip(1) {
        let (heading, body) = section.split_once('\n').context("a section")?;
        write!(text, "\n# {heading}\n\n")?;
        for link in links::of(body) {
            let path: PathBuf = match link.strip_prefix("../") {
                Some(above) => PathBuf::from(above),
                None => Path::new("docs").join(&link),
            };
            let path = if pages.contains_key(&path) { path } else { path.join("README.md") };
            if let Some(page) = pages.get(&path)
                && named.insert(path.clone())
            {
                writeln!(text, "- {}", chapter(&path, page)?)?;
            }
        }
    }
    text.push_str("\n# Project\n\n");
    for (path, page) in pages.iter().filter(|(path, _)| !named.contains(*path)) {
        writeln!(text, "- {}", chapter(path, page)?)?;
    }
    Ok(text)
}

fn chapter(path: &Path, page: &str) -> Result<String> {
    let title = links::title(page).with_context(|| format!("{} has no title", path.display()))?;
    Ok(format!("[{}]({})", title.replace(['[', ']'], ""), renamed(path).display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    #[test]
    fn every_page_of_the_documentation_is_a_chapter_once() {
        let pages = collect(&root()).unwrap();
        let summary = summary(&pages).unwrap();
        for path in pages.keys() {
            assert_eq!(summary.matches(&format!("]({})", renamed(path).display())).count(), 1, "{}\n{summary}", path.display());
        }
        assert!(pages.contains_key(Path::new("docs/concepts.md")) && pages.len() > 40, "{}", pages.len());
    }

    #[test]
    fn a_link_to_a_folder_leads_to_its_index() {
        let page = Path::new("docs/security.md");
        assert_eq!(
            adapted(&root(), page, "[a](../examples) [b](concepts.md#windows)").unwrap(),
            "[a](../examples/index.md) [b](../docs/concepts.md#windows)"
        );
        assert!(adapted(&root(), page, "[a](nowhere.md)").is_err());
        assert!(adapted(&root(), page, "[a](../../etc/passwd)").is_err());
    }
}
