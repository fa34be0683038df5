//! What a build fetches: actions by commit and base images by digest, because a tag can be moved to other code.

use std::fs;
use std::path::Path;

/// The references of the workflows and of the Dockerfile that are not pinned, as text.
pub(crate) fn unpinned(repository: &Path) -> (usize, Vec<String>) {
    let workflows = fs::read_dir(repository.join(".github/workflows")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<(String, String, bool)> = workflows.flat_map(|path| references(&path, action)).collect();
    found.extend(references(&repository.join("Dockerfile"), image));
    let wrong = found.iter().filter(|(_, _, pinned)| !pinned).map(|(place, reference, _)| format!("    {place}: {reference}")).collect();
    (found.len(), wrong)
}

/// The number of workflows, and those with a token that may do more by default or that act on pull requests with secrets.
pub(crate) fn careless(repository: &Path) -> (usize, Vec<String>) {
    let workflows: Vec<_> = fs::read_dir(repository.join(".github/workflows")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let wrong = workflows.iter().filter(|path| is_careless(&fs::read_to_string(path).unwrap()));
    (workflows.len(), wrong.map(|path| path.display().to_string()).collect())
}

pub(crate) fn is_careless(text: &str) -> bool {
    !text.contains("\npermissions:\n  contents: read\n\n") || text.contains("pull_request_target")
}

fn references(path: &Path, read: fn(&str) -> Option<(&str, bool)>) -> Vec<(String, String, bool)> {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let text = fs::read_to_string(path).unwrap();
    let found = text.lines().enumerate().filter_map(|(index, line)| Some((index, read(line)?)));
    found.map(|(index, (reference, pinned))| (format!("{name}:{}", index + 1), reference.to_owned(), pinned)).collect()
}

/// `uses:` with a commit, and the release of that commit as a comment for readers and for Dependabot. An action of this repository is part of
/// the commit that runs.
pub(crate) fn action(line: &str) -> Option<(&str, bool)> {
    let reference = line.trim_start().trim_start_matches("- ").strip_prefix("uses:")?.trim();
    let (used, comment) = reference.split_once(" #").unwrap_or((reference, ""));
    let commit = used.trim().rsplit_once('@').map(|(_, commit)| commit);
    let pinned = commit.is_some_and(|commit| is_hex(commit, 40)) && comment.trim().starts_with('v');
    Some((reference, pinned || used.starts_with("./")))
}

/// `FROM`, and the `ARG` that names a base image, with a digest.
pub(crate) fn image(line: &str) -> Option<(&str, bool)> {
    let reference = match (line.strip_prefix("FROM "), line.strip_prefix("ARG ").and_then(|argument| argument.split_once('='))) {
        (Some(from), _) => from.split_whitespace().next()?,
        (None, Some((_, default))) if default.contains(':') => default,
        _ => return None,
    };
    let digest = reference.rsplit_once("@sha256:").is_some_and(|(_, digest)| is_hex(digest, 64));
    // An argument is checked where it is declared.
    Some((reference, digest || reference == "scratch" || reference.starts_with("${")))
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
