//! What could not be obtained on this machine, as one sentence each: for the end of `provision` and `verify`, and for the summary
//! of `.ci/run`.

use std::fmt;
use std::path::Path;
use std::{env, fs};

use anyhow::{Context as _, Result};

/// Where `verify` writes the sentences, if it is set. `.ci/run` has the same name.
const FILE: &str = "VERIFY_ABSENT";
/// How much of a cause is told, in characters. Programs that fail say more.
const LONGEST: usize = 300;

/// What becomes of the tests that need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It is expected on every machine.
    Fail,
    /// It is only in Debian's unstable suite, or needs rights that not everybody has.
    LeftOut,
}

/// What is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Absent {
    /// Which tests need it.
    pub(crate) tests: &'static str,
    pub(crate) effect: Effect,
    pub(crate) why: String,
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effect = match self.effect {
            Effect::Fail => "fail",
            Effect::LeftOut => "are left out",
        };
        let words: Vec<&str> = self.why.split_whitespace().collect();
        let why: String = words.join(" ").chars().take(LONGEST).collect();
        write!(f, "The tests {} {effect}: {}.", self.tests, why.trim_end_matches('.'))
    }
}

/// Notes what could not be obtained, and why.
pub(crate) fn note<T>(absent: &mut Vec<Absent>, tests: &'static str, effect: Effect, obtained: Result<T>) {
    if let Err(error) = obtained {
        absent.push(Absent { tests, effect, why: format!("{error:#}") });
    }
}

/// One sentence on each line.
pub(crate) fn sentences(absent: &[Absent]) -> String {
    let mut lines: Vec<String> = absent.iter().map(Absent::to_string).collect();
    // Each line ends with a line break.
    lines.push(String::new());
    lines.join("\n")
}

/// Says it, and writes it for the caller who asked for it.
pub(crate) fn tell(absent: &[Absent]) -> Result<()> {
    hand_over(&sentences(absent), FILE)
}

/// Prints a text, unless it is empty, and writes it to the file that the variable names, if it is set.
pub(super) fn hand_over(text: &str, variable: &str) -> Result<()> {
    if !text.is_empty() {
        print!("\n{text}");
    }
    match env::var_os(variable) {
        Some(file) => fs::write(Path::new(&file), text).with_context(|| format!("cannot write the file of {variable}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use anyhow::{anyhow, ensure};

    use super::*;

    #[test]
    fn what_is_missing_is_one_sentence_with_what_becomes_of_its_tests_and_the_cause() {
        let mut absent = Vec::new();
        note(&mut absent, "of Redis", Effect::Fail, Ok(()));
        assert_eq!(sentences(&absent), "");
        let cause = anyhow!("curl: (6)\n  Could not resolve host.").context("MySQL is missing");
        note(&mut absent, "of MySQL", Effect::LeftOut, Err::<(), _>(cause));
        note(&mut absent, "of MariaDB", Effect::Fail, Err::<(), _>(anyhow!("{}", "x".repeat(1000))));
        let told = sentences(&absent);
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines[0], "The tests of MySQL are left out: MySQL is missing: curl: (6) Could not resolve host.");
        assert_eq!(lines[1], format!("The tests of MariaDB fail: {}.", "x".repeat(LONGEST)));
        assert_eq!(lines.len(), 2);
    }

    /// With a cargo that runs no tests.
    #[test]
    fn the_summary_of_all_checks_says_which_tests_did_not_run() -> Result<()> {
        let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/run");
        for (file, told, summary) in [
            (FILE, "The tests of MySQL are left out: no network.", "in part  Tests (cargo verify)"),
            (FILE, "", "passed   Tests (cargo verify)"),
            ("VERIFY_UNSTABLE", "Failed once, and passed when repeated alone: a.", "passed   Tests (cargo verify)"),
        ] {
            let programs = tempfile::tempdir()?;
            let cargo = programs.path().join("cargo");
            fs::write(&cargo, format!("#!/bin/sh\n[ \"$1\" = verify ] && printf '%s\\n' '{told}' > \"${file}\"\n"))?;
            Command::new("chmod").arg("+x").arg(&cargo).status()?;
            let mut path = vec![programs.path().to_owned()];
            path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
            let output = Command::new("bash").arg(&run).arg("tests").env("PATH", env::join_paths(path)?).output()?;
            let said = String::from_utf8(output.stdout)?;
            let line = said.lines().find(|line| line.starts_with(summary)).with_context(|| said.clone())?;
            ensure!(output.status.success() && line.ends_with(if told.is_empty() { "s)" } else { told }), "{said}");
        }
        Ok(())
    }
}
