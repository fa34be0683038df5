//! The structure of every workspace member: files do not import each other in a circle, the operator's imports go downwards only, and files
//! are short. In the operator's core, functions and structs are small too.
//!
//! An import is any path in the code that names an item of another file of the same member. `mod` declarations, method calls and test code are
//! no imports; a path through a re-export counts as an import of the file that defines the item.

// A test may panic.
#![allow(clippy::unwrap_used, clippy::panic)]

mod commands;
mod dependencies;
mod hardening;
mod imports;
mod layers;
mod modules;
mod pinned;
mod sizes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use imports::{Imports, Member};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Read once for all tests. The operator is the first.
static MEMBERS: LazyLock<[Member; 5]> = LazyLock::new(|| {
    [
        ("src", "rotated_secrets"),
        ("emulator/src", "emulator"),
        ("testbed/src", "testbed"),
        ("testkit/src", "testkit"),
        ("xtask/src", "xtask"),
    ]
    .map(|(source, name)| Member::read(repository(), source, name))
});

#[test]
fn files_do_not_import_each_other_in_a_circle() {
    let wrong: Vec<String> = MEMBERS.iter().flat_map(|member| circles(&member.imports())).collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn commands_of_messages_are_made_in_one_place() {
    let [operator, ..] = &*MEMBERS;
    let strays = commands::strays(repository(), operator.files().iter().map(String::as_str));
    assert!(strays.is_empty(), "use rotated_secrets::command:\n{}\n", strays.join("\n"));
}

#[test]
fn imports_of_the_operator_go_downwards() {
    let [operator, ..] = &*MEMBERS;
    let mut wrong: Vec<String> = operator
        .files()
        .iter()
        .filter(|file| layers::layer(file).is_none())
        .map(|file| format!("{file} is in no layer: add it to LAYERS"))
        .collect();
    for ((from, to), (line, used)) in &operator.imports() {
        if let (Some(of), Some(under)) = (layers::layer(from), layers::layer(to))
            && of > under
        {
            wrong.push(format!("{from}:{line} imports {used} from {to}, which is in a layer above"));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn each_layer_names_only_modules_that_exist() {
    let [operator, ..] = &*MEMBERS;
    let files = operator.files();
    let wrong: Vec<&str> = layers::entries().filter(|entry| !files.iter().any(|file| layers::fits(entry, file))).collect();
    assert!(wrong.is_empty(), "in LAYERS, but there is no such module: {wrong:?}");
}

/// Files of the operator that compute with bounded numbers only.
const UNCHECKED_ARITHMETIC: [&str; 5] =
    ["src/election/mod.rs", "src/schedule/aws_cron.rs", "src/schedule/calendar.rs", "src/schedule/field.rs", "src/schedule/zone.rs"];

#[test]
fn arithmetic_of_the_operator_is_checked_or_saturates() {
    let [operator, ..] = &*MEMBERS;
    let lint = "clippy::arithmetic_side_effects";
    let text = |file: &str| std::fs::read_to_string(repository().join(file)).unwrap();
    assert!(text("src/lib.rs").contains(&format!("#![cfg_attr(not(test), warn({lint}))]")), "src/lib.rs enables the lint");
    let files = operator.files().into_iter().filter(|file| *file != "src/lib.rs" && text(file).contains(lint));
    assert_eq!(files.collect::<BTreeSet<_>>(), UNCHECKED_ARITHMETIC.map(str::to_owned).into(), "exceptions from the lint");
}

#[test]
fn no_file_is_too_long() {
    let wrong: Vec<String> = MEMBERS.iter().flat_map(|member| sizes::long_files(repository(), member)).collect();
    assert!(wrong.is_empty(), "split:\n{}\n", wrong.join("\n"));
}

#[test]
fn functions_of_the_plan_are_short_and_structs_of_its_facts_are_small() {
    let [operator, ..] = &*MEMBERS;
    let functions = sizes::functions(repository(), operator, &["src/plan"]);
    let structs = sizes::structs(repository(), operator, &["src/facts", "src/compare"]);
    assert!(
        functions.len() > 50 && structs.len() > 10,
        "the directories have moved: {} functions, {} structs",
        functions.len(),
        structs.len()
    );
    let wrong: Vec<String> =
        sizes::over(&functions, sizes::FUNCTION, "lines").chain(sizes::over(&structs, sizes::STRUCT, "fields")).collect();
    assert!(wrong.is_empty(), "split:\n{}\n", wrong.join("\n"));
}

#[test]
fn actions_and_base_images_are_pinned() {
    let (found, wrong) = pinned::unpinned(repository());
    assert!(found > 20, "only {found} references were found");
    assert!(wrong.is_empty(), "pin actions to a commit (with the release as a comment) and images to a digest:\n{}\n", wrong.join("\n"));
}

#[test]
fn workflows_have_a_token_that_reads_and_none_runs_code_of_a_pull_request_with_secrets() {
    let (found, wrong) = pinned::careless(repository());
    assert!(found > 1, "only {found} workflows were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for text in [
        "on: push\n",
        "permissions: write-all\n",
        "permissions:\n  contents: write\n",
        "permissions:\n  contents: read\non: pull_request_target\n",
    ] {
        assert!(pinned::is_careless(text), "{text}");
    }
}

#[test]
fn the_lock_has_no_more_crates_than_today_and_no_old_tls() {
    let lock = std::fs::read_to_string(repository().join("Cargo.lock")).unwrap();
    let locked = dependencies::locked(&lock);
    assert!(locked.len() > 300, "only {} crates were found", locked.len());
    assert_eq!(dependencies::wrong(&locked), [""; 0]);
    let mut more = locked;
    more.insert("rustls", vec!["0.21.12", "0.23.46"]);
    more.insert("added", vec!["1.0.0"]);
    assert_eq!(dependencies::wrong(&more).len(), 2, "{:?}", dependencies::wrong(&more));
}

#[test]
fn each_item_of_the_hardening_list_has_a_row_and_the_tests_in_it_exist() {
    assert_eq!(hardening::wrong(repository()), [""; 0]);
    let wrong = hardening::missing("| 1 | a | `there_is_no_such_test`, `.ci/run` |", "fn there_is_such_a_test() {");
    assert_eq!(wrong.len(), 58, "57 rows and a test: {wrong:?}");
}

#[test]
fn the_verification_of_certificates_is_replaced_in_one_place() {
    let [operator, ..] = &*MEMBERS;
    let careless = |file: &String| {
        let text = std::fs::read_to_string(repository().join(file)).unwrap();
        ["dangerous()", "accept_invalid_certs", "danger_accept"].iter().any(|word| text.contains(word))
    };
    let found: Vec<String> = operator.files().into_iter().filter(careless).collect();
    assert_eq!(found, ["src/strategy/tls.rs"], "tests/it/strategies shows what that verifier refuses");
}

#[test]
fn a_tag_or_a_branch_is_no_pin() {
    let commit = "d23441a48e516b6c34aea4fa41551a30e30af803";
    for (line, pinned) in [
        (format!("      - uses: actions/checkout@{commit} # v6.1.0"), true),
        (format!("        uses: actions/checkout@{commit} # v6.1.0"), true),
        ("      - uses: ./.github/actions/setup".to_owned(), true),
        (format!("      - uses: actions/checkout@{commit}"), false),
        ("      - uses: actions/checkout@v6".to_owned(), false),
        ("      - uses: actions/checkout@main # v6".to_owned(), false),
        ("      - uses: docker://alpine:3".to_owned(), false),
    ] {
        assert_eq!(pinned::action(&line).map(|(_, pinned)| pinned), Some(pinned), "{line}");
    }
    assert_eq!(pinned::action("      - run: make ci"), None);
    let digest = "d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082";
    for (line, pinned) in [
        (format!("ARG RUST=rust:1.95.0@sha256:{digest}"), true),
        (format!("FROM rust:1.95.0@sha256:{digest} AS build"), true),
        ("FROM ${RUST} AS build".to_owned(), true),
        ("FROM scratch".to_owned(), true),
        ("ARG RUST=rust:1.95.0".to_owned(), false),
        ("FROM rust:1.95.0".to_owned(), false),
    ] {
        assert_eq!(pinned::image(&line).map(|(_, pinned)| pinned), Some(pinned), "{line}");
    }
    assert_eq!(pinned::image("ARG VERSION=0.0.0"), None);
}

/// One line for each circle: the shortest through a file, without those that share a file with an earlier one.
fn circles(imports: &Imports) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    let mut all: Vec<Vec<String>> =
        imports.keys().filter_map(|(from, to)| Some([vec![from.clone()], path(imports, to, from)?].concat())).collect();
    all.sort_by_key(Vec::len);
    for circle in all {
        let mut files: Vec<_> = circle.iter().skip(1).cloned().collect();
        files.sort();
        if seen.insert(files) {
            let steps: Vec<String> = circle
                .windows(2)
                .map(|pair| {
                    let [from, to] = pair else { panic!("windows of two") };
                    let (line, used) = &imports[&(from.clone(), to.clone())];
                    format!("    {from}:{line} uses {used} of {to}")
                })
                .collect();
            found.push(format!("circle of {} files:\n{}", steps.len(), steps.join("\n")));
        }
    }
    found
}

/// The shortest way from a file to another by imports, both included.
fn path(imports: &Imports, from: &str, to: &str) -> Option<Vec<String>> {
    let mut targets: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (source, target) in imports.keys() {
        targets.entry(source).or_default().push(target);
    }
    let mut before: BTreeMap<&str, &str> = BTreeMap::from([(from, from)]);
    let mut next = vec![from];
    while !next.is_empty() && !before.contains_key(to) {
        let mut further = Vec::new();
        for file in next {
            for target in targets.get(file).into_iter().flatten() {
                if !before.contains_key(target) {
                    before.insert(target, file);
                    further.push(*target);
                }
            }
        }
        next = further;
    }
    let mut at = *before.get_key_value(to)?.0;
    let mut way = vec![at.to_owned()];
    while at != from {
        at = before.get(at)?;
        way.push(at.to_owned());
    }
    way.reverse();
    Some(way)
}
