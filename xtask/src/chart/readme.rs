//! The chart's README, made from the comments of its values.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

const HEAD: &str = "\
<!-- Generated from values.yaml by `make generate`; pinned by a test. Do not edit. -->

# Chart rotated-secrets

```console
$ helm install rotated-secrets charts/rotated-secrets --namespace rotated-secrets --create-namespace \\
    --set image.repository=REGISTRY/rotated-secrets --set operator.awsRegion=eu-central-1
```

Installation, upgrade, and what is retained on uninstall: [docs/install.md](../../docs/install.md). Unknown values are rejected.
";

/// The page for the values, given as the text of values.yaml: a section for each comment `# -- Title`, a row for each value.
///
/// # Errors
/// When a value has no comment, or the text is no YAML.
pub(super) fn readme(values: &str) -> Result<String> {
    let defaults: Value = serde_saphyr::from_str(values).context("values.yaml is no YAML")?;
    let mut page = HEAD.to_owned();
    let mut rows = String::new();
    for entry in entries(values)? {
        match entry {
            Entry::Section(title, intro) => {
                finish(&mut page, &mut rows);
                let _ = write!(page, "\n## {title}\n");
                if !intro.is_empty() {
                    let _ = write!(page, "\n{intro}\n");
                }
            }
            Entry::Value(path, description) => {
                let default = defaults.pointer(&format!("/{}", path.replace('.', "/"))).unwrap_or(&Value::Null);
                let default = if default.is_null() { String::new() } else { format!("`{default}`") };
                let _ = writeln!(rows, "| `{path}` | {default} | {} |", description.replace('|', "\\|"));
            }
        }
    }
    finish(&mut page, &mut rows);
    Ok(page)
}

fn finish(page: &mut String, rows: &mut String) {
    if !rows.is_empty() {
        let _ = write!(page, "\n| value | default | |\n|---|---|---|\n{rows}");
        rows.clear();
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Entry {
    /// Title and introduction.
    Section(String, String),
    /// Path and description.
    Value(String, String),
}

struct Line<'a> {
    indent: usize,
    key: &'a str,
    /// Of the section that begins here.
    title: Option<&'a str>,
    comment: String,
}

/// The keys in their order, each with the comment above it. Lists and flow maps are no keys.
fn lines(values: &str) -> Vec<Line<'_>> {
    let (mut lines, mut title, mut comment) = (Vec::new(), None, Vec::new());
    for line in values.lines() {
        let text = line.trim_start();
        if let Some(found) = text.strip_prefix("# -- ") {
            title = Some(found);
        } else if let Some(words) = text.strip_prefix("# ") {
            comment.push(words);
        } else if text.is_empty() {
            comment.clear();
        } else if let Some((key, _)) = text.split_once(':').filter(|(key, _)| key.chars().all(|c| c.is_ascii_alphanumeric())) {
            lines.push(Line { indent: line.len() - text.len(), key, title: title.take(), comment: comment.join(" ") });
            comment.clear();
        }
    }
    lines
}

fn entries(values: &str) -> Result<Vec<Entry>> {
    let lines = lines(values);
    let (mut entries, mut parents, mut inside): (Vec<Entry>, Vec<(usize, &str)>, Option<usize>) = (Vec::new(), Vec::new(), None);
    for (index, line) in lines.iter().enumerate() {
        // The keys of a value that is described as a whole.
        if inside.is_some_and(|indent| line.indent > indent) {
            continue;
        }
        inside = None;
        parents.retain(|(indent, _)| *indent < line.indent);
        let names: Vec<&str> = parents.iter().map(|(_, name)| *name).chain([line.key]).collect();
        let path = names.join(".");
        let described_within =
            lines.iter().skip(index + 1).take_while(|below| below.indent > line.indent).any(|below| !below.comment.is_empty());
        let mut comment = line.comment.clone();
        if let Some(title) = line.title {
            let intro = if described_within { std::mem::take(&mut comment) } else { String::new() };
            entries.push(Entry::Section(title.to_owned(), intro));
        }
        if described_within && !comment.is_empty() {
            bail!(
                "values.yaml: {path} has a comment for which the README has no place: only one that begins with `-- Title` may speak of a group"
            );
        }
        if described_within {
            parents.push((line.indent, line.key));
        } else if comment.is_empty() {
            bail!("values.yaml: {path} has no comment");
        } else {
            entries.push(Entry::Value(path, comment));
            inside = Some(line.indent);
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_of_the_key_below_it_and_a_value_described_as_a_whole_is_one_row() {
        let values = "# About the file.\n\n# -- First\n# All of it.\na:\n  # One.\n  b: \"\"\n  # Two,\n  # on two lines.\n  c:\n    d: 1\n    e: [x]\n# -- Second\n# Three.\nf: []\n";
        let value = |path: &str, text: &str| Entry::Value(path.to_owned(), text.to_owned());
        assert_eq!(
            entries(values).unwrap(),
            [
                Entry::Section("First".to_owned(), "All of it.".to_owned()),
                value("a.b", "One."),
                value("a.c", "Two, on two lines."),
                Entry::Section("Second".to_owned(), String::new()),
                value("f", "Three."),
            ]
        );
        let page = readme(values).unwrap();
        assert!(page.contains("| `a.c` | `{\"d\":1,\"e\":[\"x\"]}` | Two, on two lines. |"), "{page}");
    }

    #[test]
    fn a_value_without_a_comment_is_named() {
        assert_eq!(entries("# One.\na: 1\nb: 2\n").unwrap_err().to_string(), "values.yaml: b has no comment");
    }
}
