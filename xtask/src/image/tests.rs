use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::*;

/// Type, flags, offset and length of a program header.
type Part = (u32, u32, u64, u64);
const STACK: Part = (0x6474_e551, 6, 0, 0);
const RELRO: Part = (0x6474_e552, 4, 0, 0);

/// A program for `machine` with this type and these program headers, and with `rest` behind them.
fn with_parts(machine: u8, kind: u8, parts: &[Part], rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    (bytes[16], bytes[18], bytes[32], bytes[54], bytes[56]) = (kind, machine, 64, 56, u8::try_from(parts.len()).unwrap());
    for (kind, flags, offset, length) in parts {
        let mut part = [kind.to_le_bytes(), flags.to_le_bytes()].concat();
        part.extend(offset.to_le_bytes());
        part.resize(32, 0);
        part.extend(length.to_le_bytes());
        part.resize(56, 0);
        bytes.extend(part);
    }
    bytes.extend(rest);
    bytes
}

/// The least that says of itself to be a static and protected program for `machine`, optionally with a loader.
fn program(dir: &Path, name: &str, machine: u8, loader: Option<&str>) -> PathBuf {
    let loader = loader.unwrap_or_default();
    let mut parts = vec![STACK, RELRO];
    parts.extend((!loader.is_empty()).then_some((3, 4, 64 + 3 * 56, loader.len() as u64)));
    let path = dir.join(name);
    fs::write(&path, with_parts(machine, 3, &parts, loader.as_bytes())).unwrap();
    path
}

/// The files of an archive, or of a layer.
fn files(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(tar);
    archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().to_str().unwrap().to_owned(), bytes)
        })
        .collect()
}

fn blob<'a>(files: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'a [u8] {
    let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let bytes = &files[&format!("blobs/sha256/{digest}")];
    assert_eq!(hex::encode(Sha256::digest(bytes)), digest, "a blob is what its name says");
    assert_eq!(descriptor["size"].as_u64().unwrap(), bytes.len() as u64);
    bytes
}

#[test]
fn the_same_program_gives_the_same_archive_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let made = |name: &str, program: &Path| {
        let file = dir.path().join(name);
        let written = operator(program, Needs::Nothing, 1_700_000_000).unwrap().write(&["example.com/rotated-secrets:1"], &file).unwrap();
        (fs::read(file).unwrap(), written)
    };
    let first = made("first", &program(dir.path(), "a", 62, None));
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let second = made("second", &program(dir.path(), "b", 62, None));
    assert!(first == second, "made at another time from a file with another name");
    assert_ne!(first.1.digest, made("third", &program(dir.path(), "c", 183, None)).1.digest, "another program is another image");
}

#[test]
fn the_archive_is_a_layout_whose_parts_are_what_their_digests_say() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("image.tar");
    let image = operator(&program(dir.path(), "operator", 183, None), Needs::Nothing, 86_400).unwrap();
    let written = image.write(&["example.com/rotated-secrets:1", "example.com/rotated-secrets:latest"], &file).unwrap();
    let files_of_archive = files(&fs::read(&file).unwrap());

    let index: Value = serde_json::from_slice(&files_of_archive["index.json"]).unwrap();
    let [first, second] = index["manifests"].as_array().unwrap().as_slice() else { panic!("one for each name") };
    assert_eq!(first["digest"], second["digest"]);
    assert_eq!(first["digest"], written.digest);
    assert_eq!(first["annotations"]["io.containerd.image.name"], "example.com/rotated-secrets:1");
    assert_eq!(second["annotations"]["org.opencontainers.image.ref.name"], "latest");

    let manifest: Value = serde_json::from_slice(blob(&files_of_archive, first)).unwrap();
    let config: Value = serde_json::from_slice(blob(&files_of_archive, &manifest["config"])).unwrap();
    assert_eq!((&config["architecture"], &config["created"]), (&"arm64".into(), &"1970-01-02T00:00:00Z".into()));
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["/rotated-secrets"]));
    assert_eq!(config["config"]["Labels"]["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));

    let mut tar = Vec::new();
    GzDecoder::new(blob(&files_of_archive, &manifest["layers"][0])).read_to_end(&mut tar).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", hex::encode(Sha256::digest(&tar))));
    let docker: Value = serde_json::from_slice(&files_of_archive["manifest.json"]).unwrap();
    for path in [&docker[0]["Config"], &docker[0]["Layers"][0]] {
        assert!(files_of_archive.contains_key(path.as_str().unwrap()), "{path} is there for older tools");
    }
}

#[test]
fn the_image_holds_the_program_the_authorities_and_who_it_runs_as_and_nothing_to_run_besides() {
    let dir = tempfile::tempdir().unwrap();
    let image = operator(&program(dir.path(), "operator", 62, None), Needs::Nothing, 0).unwrap();
    let mut paths: Vec<_> = image.entries.iter().map(|entry| entry.path.as_str()).collect();
    paths.sort_unstable();
    let expected = [
        "LICENSE",
        "etc",
        "etc/group",
        "etc/nsswitch.conf",
        "etc/passwd",
        "etc/ssl",
        "etc/ssl/certs",
        "etc/ssl/certs/ca-certificates.crt",
        "rotated-secrets",
    ];
    assert_eq!(paths, expected);
    let executable: Vec<_> =
        image.entries.iter().filter(|entry| matches!(entry.kind, Kind::File { executable: true, .. })).map(|entry| &entry.path).collect();
    assert_eq!(executable, ["rotated-secrets"]);
    let Kind::File { bytes, .. } = &image.entries.iter().find(|entry| entry.path.ends_with("ca-certificates.crt")).unwrap().kind else {
        panic!("a file")
    };
    assert!(String::from_utf8_lossy(bytes).matches("BEGIN CERTIFICATE").count() > 100, "the authorities of a distribution");

    // Nothing in it may be written by who runs it, or by anybody.
    let mut layer = tar::Archive::new(std::io::Cursor::new(layer::tar(&image.entries, 0).unwrap()));
    for entry in layer.entries().unwrap() {
        let header = entry.unwrap().header().clone();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mode().unwrap() & 0o022), (0, 0, 0));
        assert_eq!(header.mtime().unwrap(), 0);
    }
}

#[test]
fn what_could_not_run_in_the_image_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |path: &Path| format!("{:#}", operator(path, Needs::Nothing, 0).unwrap_err());
    let dynamic = program(dir.path(), "dynamic", 62, Some("/lib64/ld-linux-x86-64.so.2"));
    assert!(refused(&dynamic).contains("image/build"), "{}", refused(&dynamic));
    assert!(refused(&program(dir.path(), "other", 243, None)).contains("machine 243"));
    let text = dir.path().join("text");
    fs::write(&text, "#!/bin/sh\n").unwrap();
    assert!(refused(&text).contains("no 64-bit Linux program"));
    assert!(refused(&dir.path().join("absent")).contains("image/build"));
    fs::write(dir.path().join("cut"), b"\x7fELF\x02\x01").unwrap();
    assert!(refused(&dir.path().join("cut")).contains("cut off"));
}

#[test]
fn a_program_without_a_protection_or_over_the_budget_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |bytes: &[u8]| {
        let path = dir.path().join("program");
        fs::write(&path, bytes).unwrap();
        operator(&path, Needs::Nothing, 0).err().map(|error| format!("{error:#}")).unwrap_or_default()
    };
    let executable = (STACK.0, 7, 0, 0);
    for (kind, parts, lacks) in [
        (2, &[STACK, RELRO][..], "position-independent"),
        (3, &[STACK], "relocations"),
        (3, &[RELRO], "stack"),
        (3, &[executable, RELRO], "stack"),
    ] {
        assert!(refused(&with_parts(62, kind, parts, &[])).contains(lacks), "{lacks}");
    }
    assert_eq!(refused(&with_parts(62, 3, &[STACK, RELRO], &[])), "");
    assert!(refused(&with_parts(62, 3, &[STACK, RELRO], &vec![0; 40_000_000])).contains("budget"));
}

#[test]
fn a_debug_build_gets_the_libraries_that_it_asks_for() {
    let image = operator(&std::env::current_exe().unwrap(), Needs::Libraries, 0).unwrap();
    assert!(image.entries.iter().any(|entry| entry.path.contains("libc.so") && matches!(entry.kind, Kind::File { .. })));
}

#[test]
fn an_instruction_that_the_tool_does_not_know_is_refused_and_not_passed_over() {
    let known = "FROM x AS build\nRUN anything\nFROM scratch\nLABEL a=\"b ${VERSION}\"\nUSER 1:2\nENTRYPOINT [\"/x\"]\n";
    let recipe = recipe::parse(known, "7").unwrap();
    assert_eq!((recipe.user.as_str(), recipe.labels["a"].as_str()), ("1:2", "b 7"));
    let error = recipe::parse(&format!("{known}EXPOSE 8080\n"), "7").unwrap_err().to_string();
    assert!(error.contains("EXPOSE 8080"), "{error}");
}
