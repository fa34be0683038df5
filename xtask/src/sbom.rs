//! What the shipped program is made of, as a document of `CycloneDX`: every crate that is linked into it with its licence and checksum, and what comes from
//! the toolchain. The same sources with the same toolchain give the same text. <https://cyclonedx.org/docs/1.6/json/>

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// The repository that this command was compiled in.
const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const PACKAGE: &str = "rotated-secrets";
/// Between name and licence in the output of `cargo tree`; in neither of them.
const SEPARATOR: &str = " | ";

/// Makes the document for one target such as `x86_64-unknown-linux-gnu`; `None`: this machine's own. With the program, its checksum is told, too.
/// `time`, in seconds since 1970, is that of the document.
///
/// # Errors
/// When cargo is missing or does not agree with `Cargo.lock`.
pub fn sbom(target: Option<&str>, program: Option<&Path>, time: Option<u64>) -> Result<Value> {
    let toolchain = output("rustc", &["-vV"])?;
    let line = |key: &str| toolchain.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let target = target.or_else(|| line("host:")).context("rustc does not tell its host")?;
    let tree = output(
        "cargo",
        &[
            "tree",
            "--locked",
            "--package",
            PACKAGE,
            "--no-default-features",
            "--edges",
            "normal,no-proc-macro",
            "--target",
            target,
            "--prefix",
            "depth",
        ]
        .into_iter()
        .chain(["--format", &format!("{{p}}{SEPARATOR}{{l}}")])
        .collect::<Vec<_>>(),
    )?;
    let lock = std::fs::read_to_string(Path::new(REPOSITORY).join("Cargo.lock"))?;
    let mut surroundings = vec![part("Rust standard library", line("release:").unwrap_or_default(), "MIT OR Apache-2.0")];
    // Where the distribution does not tell, nothing is claimed.
    if let Ok(version) = output("getconf", &["GNU_LIBC_VERSION"]) {
        surroundings.push(part("glibc", version.trim_start_matches("glibc").trim(), "LGPL-2.1-or-later"));
    }
    if let Ok(version) = output("dpkg-query", &["--show", "--showformat", "${Version}", "ca-certificates"]) {
        surroundings.push(part("ca-certificates", version.trim(), "MPL-2.0 AND GPL-2.0-or-later"));
    }
    let program = program.map(std::fs::read).transpose().context("the program cannot be read")?;
    document(&tree, &lock, surroundings, program.as_deref(), time)
}

fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let output =
        Command::new(program).current_dir(REPOSITORY).args(arguments).output().with_context(|| format!("{program} cannot be started"))?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8(output.stdout)?)
}

/// Something that is in the image and comes from no crate.
fn part(name: &str, version: &str, licence: &str) -> Value {
    json!({
        "type": "library", "bom-ref": format!("{name}@{version}"), "name": name, "version": version,
        "licenses": [{"expression": licence}],
    })
}

/// A crate, as `cargo tree` names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
    licence: String,
}

impl Crate {
    fn purl(&self) -> String {
        // Build metadata is part of a version; its plus sign has a meaning in a URL.
        format!("pkg:cargo/{}@{}", self.name, self.version.replace('+', "%2B"))
    }

    /// `name v1.2.3 (a path) | licence`, possibly with the mark of what was shown before.
    fn parse(line: &str) -> Result<Self> {
        let (package, licence) = line.split_once(SEPARATOR).with_context(|| format!("cargo tree's `{line}` is not understood"))?;
        let mut words = package.split_whitespace();
        let (name, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let version = version.strip_prefix('v').with_context(|| format!("cargo tree's `{line}` names no version"))?;
        // Some crates still write the slash of earlier days.
        let licence = licence.trim_end_matches("(*)").replace('/', " OR ").split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(Self { name: name.to_owned(), version: version.to_owned(), licence })
    }
}

fn document(tree: &str, lock: &str, surroundings: Vec<Value>, program: Option<&[u8]>, time: Option<u64>) -> Result<Value> {
    let (root, edges) = graph(tree)?;
    let sums = checksums(lock);
    let mut components: Vec<Value> = Vec::new();
    for one in edges.keys().filter(|one| **one != root) {
        let sum = sums.get(&(one.name.as_str(), one.version.as_str()));
        let sum = sum.with_context(|| format!("Cargo.lock has no checksum of {} {}", one.name, one.version))?;
        components.push(json!({
            "type": "library", "bom-ref": one.purl(), "name": one.name, "version": one.version, "purl": one.purl(),
            "licenses": [{"expression": one.licence}], "hashes": [{"alg": "SHA-256", "content": sum}],
        }));
    }
    components.extend(surroundings);
    let dependencies: Vec<Value> =
        edges.iter().map(|(from, to)| json!({"ref": from.purl(), "dependsOn": to.iter().map(Crate::purl).collect::<Vec<_>>()})).collect();
    let subject = json!({
        "type": "application", "bom-ref": root.purl(), "name": root.name, "version": root.version, "purl": root.purl(),
        "licenses": [{"expression": root.licence}],
    });
    let hash = program.map(|program| json!([{"alg": "SHA-256", "content": hex::encode(Sha256::digest(program))}]));
    let metadata = json!({
        "component": with(subject, "hashes", hash),
        "tools": {"components": [{"type": "application", "name": "xtask sbom", "version": env!("CARGO_PKG_VERSION")}]},
    });
    let time = time.map(i64::try_from).transpose()?.map(Timestamp::from_second).transpose()?;
    let document = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "metadata": with(metadata, "timestamp", time.map(|time| time.to_string().into())),
        "components": components, "dependencies": dependencies,
    });
    // By the content, so that the same content has the same number.
    let number = format!("urn:uuid:{}", Uuid::new_v5(&Uuid::NAMESPACE_URL, document.to_string().as_bytes()));
    Ok(with(document, "serialNumber", Some(number.into())))
}

/// The object with one more field, if there is a value for it.
fn with(mut object: Value, name: &str, value: Option<Value>) -> Value {
    if let (Some(fields), Some(value)) = (object.as_object_mut(), value) {
        fields.insert(name.to_owned(), value);
    }
    object
}

/// The root, and for each crate those that it depends on. Each line begins with its depth.
fn graph(tree: &str) -> Result<(Crate, BTreeMap<Crate, BTreeSet<Crate>>)> {
    let mut edges: BTreeMap<Crate, BTreeSet<Crate>> = BTreeMap::new();
    let mut path: Vec<Crate> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let digits = line.chars().take_while(char::is_ascii_digit).count();
        let (depth, rest) = line.split_at(digits);
        let (depth, one) = (depth.parse::<usize>().with_context(|| format!("cargo tree's `{line}` has no depth"))?, Crate::parse(rest)?);
        path.truncate(depth);
        if let Some(parent) = path.last() {
            edges.entry(parent.clone()).or_default().insert(one.clone());
        }
        edges.entry(one.clone()).or_default();
        path.push(one);
    }
    Ok((path.into_iter().next().context("cargo tree has shown nothing")?, edges))
}

/// What Cargo.lock says of each name and version.
fn checksums(lock: &str) -> BTreeMap<(&str, &str), &str> {
    let mut sums = BTreeMap::new();
    for block in lock.split("[[package]]") {
        let find = |key: &str| block.lines().find(|line| line.starts_with(key)).and_then(|line| line.split('"').nth(1));
        if let (Some(name), Some(version), Some(sum)) = (find("name = "), find("version = "), find("checksum = ")) {
            sums.insert((name, version), sum);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "0app v0.1.0 (/somewhere) | Apache-2.0\n1left v1.0.0 | MIT/Apache-2.0\n2deep v2.0.0+5 | ISC\n1right v3.0.0 | MIT\n2left v1.0.0 | MIT/Apache-2.0 (*)\n";
    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"deep\"\nversion = \"2.0.0+5\"\nchecksum = \"dd\"\n\n\
         [[package]]\nname = \"left\"\nversion = \"1.0.0\"\nchecksum = \"11\"\n\n[[package]]\nname = \"right\"\nversion = \"3.0.0\"\nchecksum = \"33\"\n";

    #[test]
    fn crates_their_checksums_and_who_needs_whom_are_told() {
        let document = document(TREE, LOCK, vec![part("glibc", "2.36", "LGPL-2.1-or-later")], Some(b"program"), Some(0)).unwrap();
        let names: Vec<_> = document["components"].as_array().unwrap().iter().map(|one| one["bom-ref"].as_str().unwrap()).collect();
        assert_eq!(names, ["pkg:cargo/deep@2.0.0%2B5", "pkg:cargo/left@1.0.0", "pkg:cargo/right@3.0.0", "glibc@2.36"]);
        assert_eq!(document["components"][1]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(document["components"][1]["hashes"][0]["content"], "11");
        let needs = |name: &str| {
            let all = document["dependencies"].as_array().unwrap();
            all.iter().find(|one| one["ref"] == format!("pkg:cargo/{name}")).unwrap()["dependsOn"].clone()
        };
        assert_eq!(needs("app@0.1.0"), json!(["pkg:cargo/left@1.0.0", "pkg:cargo/right@3.0.0"]));
        assert_eq!(needs("right@3.0.0"), json!(["pkg:cargo/left@1.0.0"]));
        assert_eq!(document["metadata"]["timestamp"], "1970-01-01T00:00:00Z");
        assert_eq!(document["metadata"]["component"]["hashes"][0]["content"], hex::encode(Sha256::digest("program")));
    }

    #[test]
    fn a_crate_without_a_checksum_is_an_error_and_no_gap() {
        let error = document(TREE, &LOCK.replace("\"right\"", "\"other\""), Vec::new(), None, None).unwrap_err().to_string();
        assert!(error.contains("right 3.0.0"), "{error}");
    }

    #[test]
    fn the_operators_own_document_is_the_same_twice_and_tells_of_tls_and_not_of_the_testbed() {
        let (first, second) = (sbom(None, None, None).unwrap(), sbom(None, None, None).unwrap());
        assert_eq!(first, second);
        let names: BTreeSet<_> = first["components"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
        for linked in ["aws-lc-rs", "rustls", "kube", "aws-sdk-secretsmanager"] {
            assert!(names.contains(linked), "{linked}");
        }
        for absent in ["testbed", "tar", "ring", "openssl", "aws-sdk-sso", "aws-sdk-ssooidc"] {
            assert!(!names.contains(absent), "{absent}");
        }
    }
}
