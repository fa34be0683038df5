//! `verify`: all tests, on a machine that may have nothing yet.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;
use std::{env, fs, iter, thread};

use anyhow::{Context as _, Result, ensure};
use tempfile::NamedTempFile;
use testbed::{node, postgres};

use super::provision::provision;
use super::{absent, repeat};

/// Where tests write how long they took. `testkit::timing` has the same name.
const TIMES: &str = "TEST_TIMES";
const WORKSPACE: [&str; 2] = ["--workspace", "--no-fail-fast"];
/// The names of all integration tests except `it` and `e2e`. No other begins with one of these letters.
const OTHERS: &str = "[!ei]*";
/// The number of tests at the same time, for the test harness.
const THREADS: &str = "RUST_TEST_THREADS";
const THREADS_FOR_EACH_PROCESSOR: usize = 2;
/// At least. Two of them have the control planes that tests of `e2e` share, and another one has its own.
const THREADS_OF_E2E: usize = 3;
const CARGO: &str = "cargo cannot be started: install Rust from rustup.rs";
/// How many of the slowest tests are shown.
const SHOWN: usize = 10;

/// Provisions, then runs every test; with arguments, only what they name. Says last what could not be tested here, and which
/// tests passed only when they were repeated.
pub(crate) fn verify(arguments: &[String]) -> Result<ExitCode> {
    let absent = provision()?.absent;
    let mut unstable = Vec::new();
    let code = test(arguments, &mut unstable)?;
    absent::tell(&absent)?;
    repeat::tell(&unstable)?;
    Ok(code)
}

fn test(arguments: &[String], unstable: &mut Vec<String>) -> Result<ExitCode> {
    if node::obstacle().is_none() {
        build_for_image()?;
    }
    let times = NamedTempFile::new()?;
    let write_times = (TIMES, times.path().as_os_str());
    let code = if arguments.is_empty() { all(write_times, unstable)? } else { cargo_test(&WORKSPACE, arguments, &[write_times])? };
    print!("{}", slowest(&fs::read_to_string(times.path())?));
    if code != ExitCode::SUCCESS || !arguments.is_empty() {
        return Ok(code);
    }
    if postgres::find_release(postgres::Release::Newest)?.is_some() {
        let code = on_newest_postgres(unstable)?;
        if code != ExitCode::SUCCESS {
            return Ok(code);
        }
    }
    // The crash plans once more, against an operator that lacks a mechanism: they must notice.
    repeated(&["--features", "rotated-secrets/weakened", "--test", "it"], &["notice"], &[], unstable)
}

/// Every test. Those of `it` and `e2e` wait most of the time, so more of them run at once. A few that fail are repeated alone.
fn all(write_times: (&str, &OsStr), unstable: &mut Vec<String>) -> Result<ExitCode> {
    let others = cargo_test(&[&WORKSPACE[..], &["--lib", "--bins", "--test", OTHERS]].concat(), &[], &[write_times])?;
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let mut tests = |name: &str, threads: usize| {
        let threads = env::var_os(THREADS).unwrap_or_else(|| threads.to_string().into());
        let what = [&WORKSPACE[..], &["--test", name]].concat();
        repeated(&what, &[], &[write_times, (THREADS, &threads)], unstable)
    };
    let e2e = tests("e2e", processors.max(THREADS_OF_E2E))?;
    let ended = [others, e2e, tests("it", processors * THREADS_FOR_EACH_PROCESSOR)?];
    Ok(ended.into_iter().find(|code| *code != ExitCode::SUCCESS).unwrap_or(ExitCode::SUCCESS))
}

/// What differs between versions of PostgreSQL: statements, privileges and answers.
fn on_newest_postgres(unstable: &mut Vec<String>) -> Result<ExitCode> {
    let tests =
        ["strategies::alternating", "strategies::single_user", "strategies::troubles", "behaviour::postgres", "crash::apply_to_postgres"];
    println!("\nPostgreSQL of Debian's unstable suite:");
    let release = (postgres::VARIABLE, OsStr::new("newest"));
    repeated(&["--workspace", "--test", "it"], &tests, &[release], unstable)
}

/// The ten tests that took longest, from lines of milliseconds and a name, as the member `testkit` writes them.
fn slowest(times: &str) -> String {
    let mut tests: Vec<(u64, &str)> = times.lines().filter_map(|line| line.split_once(' ')).filter_map(parsed).collect();
    tests.sort_by(|a, b| b.cmp(a));
    if tests.is_empty() {
        return String::new();
    }
    let lines = tests
        .iter()
        .take(SHOWN)
        .map(|(milliseconds, name)| format!("{:>7.1} s  {name}\n", Duration::from_millis(*milliseconds).as_secs_f64()));
    iter::once("\nThe slowest tests, of those with a control plane:\n".to_owned()).chain(lines).collect()
}

fn parsed<'a>((milliseconds, name): (&str, &'a str)) -> Option<(u64, &'a str)> {
    Some((milliseconds.parse().ok()?, name))
}

/// The program in the image of the test on a node. That test would build it as well, but without showing it.
fn build_for_image() -> Result<()> {
    let Some(build) = node::Build::selected() else { return Ok(()) };
    let status = build.command().stdout(Stdio::null()).status().context("image/build cannot be started")?;
    ensure!(status.success(), "image/build failed");
    Ok(())
}

/// Runs the tests of one program whose names contain one of `names`, or all. If a few of them fail, runs these once more, one
/// after the other; adds those that then pass to `unstable`.
fn repeated(what: &[&str], names: &[&str], variables: &[(&str, &OsStr)], unstable: &mut Vec<String>) -> Result<ExitCode> {
    let selected: Vec<String> = iter::once("--").chain(names.iter().copied()).map(str::to_owned).collect();
    let mut child = cargo(what, &selected, variables).stdout(Stdio::piped()).spawn().context(CARGO)?;
    let mut failures = repeat::Failures::default();
    let output = child.stdout.take().context("the output of cargo is not connected")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        failures.read(&line);
    }
    let code = ended(child.wait()?);
    let Some(failed) = failures.to_repeat(code) else { return Ok(code.into()) };
    println!("\nRepeated, one after the other: {}", failed.join(", "));
    let arguments = [&["--".to_owned(), "--exact".to_owned()], failed].concat();
    let again = cargo_test(what, &arguments, &[variables, &[(THREADS, OsStr::new("1"))]].concat())?;
    if again == ExitCode::SUCCESS {
        unstable.extend_from_slice(failed);
    }
    Ok(again)
}

/// Streams its output and ends as it ends.
fn cargo_test(what: &[&str], arguments: &[String], variables: &[(&str, &OsStr)]) -> Result<ExitCode> {
    Ok(ended(cargo(what, arguments, variables).status().context(CARGO)?).into())
}

fn ended(status: ExitStatus) -> u8 {
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

fn cargo(what: &[&str], arguments: &[String], variables: &[(&str, &OsStr)]) -> Command {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["test", "--locked"])
        .args(what)
        .args(arguments)
        // A failed test tells its error. The backtrace would be of the harness. That of a panic is left as it is.
        .env("RUST_LIB_BACKTRACE", "0")
        .envs(variables.iter().copied());
    command
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_slowest_tests_come_first_and_no_more_than_ten() {
        let times: Vec<String> = (1..=12).map(|number| format!("{number}000 test{number}")).collect();
        let shown = slowest(&times.join("\n"));
        let names: Vec<&str> = shown.lines().skip(2).filter_map(|line| line.split_whitespace().last()).collect();
        assert_eq!(names, ["test12", "test11", "test10", "test9", "test8", "test7", "test6", "test5", "test4", "test3"]);
        assert!(shown.contains("   12.0 s  test12\n"), "{shown}");
    }

    #[test]
    fn no_other_integration_test_begins_as_they_do() {
        let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let members = ["", "emulator", "testbed", "testkit", "xtask"].map(|member| workspace.join(member).join("tests"));
        let entries = members.iter().filter_map(|tests| fs::read_dir(tests).ok()).flatten();
        let names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let own: BTreeSet<&str> = names.iter().filter(|name| name.starts_with(['e', 'i'])).map(String::as_str).collect();
        assert_eq!(own.into_iter().collect::<Vec<_>>(), ["e2e", "it"]);
    }

    #[test]
    fn without_times_nothing_is_said() {
        assert_eq!(slowest(""), "");
        assert_eq!(slowest("no number\n"), "");
    }
}
