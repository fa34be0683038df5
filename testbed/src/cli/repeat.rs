//! Repeats tests that failed beside others. Tests of `it` and `e2e` share processors and control planes, so a failure may come
//! from what ran at the same time. A test that fails alone as well is a failure of the run.

use anyhow::Result;

use super::absent::hand_over;

/// More failures than this are not a matter of load.
const MOST: usize = 3;
/// Where `verify` writes the sentence about tests that failed once, if it is set. `.ci/run` has the same name.
const FILE: &str = "VERIFY_UNSTABLE";
/// How cargo ends if a test fails.
const TESTS_FAILED: u8 = 101;

/// Collects from the output of one test program which tests failed.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    names: Vec<String>,
    listed: bool,
    told: usize,
}

impl Failures {
    /// Takes one line of output, without its line break.
    pub(crate) fn read(&mut self, line: &str) {
        // The harness writes "failures:" twice: before what the tests printed, and before their names.
        if line == "failures:" {
            self.names.clear();
            self.listed = true;
        } else if let Some(result) = line.strip_prefix("test result: FAILED.") {
            self.listed = false;
            self.told = self.told.saturating_add(failed(result).unwrap_or(usize::MAX));
        } else if self.listed
            && let Some(name) = line.strip_prefix("    ")
            && !name.contains(' ')
            && !name.is_empty()
        {
            self.names.push(name.to_owned());
        }
    }

    /// The tests to repeat after cargo ended with `code`. None if something else failed than a few tests with known names.
    pub(crate) fn to_repeat(&self, code: u8) -> Option<&[String]> {
        let known = self.told == self.names.len();
        (code == TESTS_FAILED && known && (1..=MOST).contains(&self.names.len())).then_some(&self.names[..])
    }
}

/// The number in ` 811 passed; 1 failed; ...`.
fn failed(result: &str) -> Option<usize> {
    result.split(';').find_map(|part| part.trim().strip_suffix(" failed")?.parse().ok())
}

/// Says which tests failed once, and writes it for the caller who asked for it.
pub(crate) fn tell(unstable: &[String]) -> Result<()> {
    let names = unstable.join(", ");
    let text = format!("Failed once, and passed when repeated alone: {names}. The first failure is in the output.\n");
    hand_over(if unstable.is_empty() { "" } else { &text }, FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str) -> Failures {
        let mut failures = Failures::default();
        output.lines().for_each(|line| failures.read(line));
        failures
    }

    const OUTPUT: &str = "\
test a::b ... FAILED

failures:

---- a::b stdout ----
Error: cannot create the namespace

Caused by:
    unlikely
    0: ApiError

failures:
    a::b
    a::c

test result: FAILED. 810 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1185.06s
";

    #[test]
    fn tests_that_failed_are_repeated() {
        assert_eq!(read(OUTPUT).to_repeat(TESTS_FAILED), Some(&["a::b".to_owned(), "a::c".to_owned()][..]));
    }

    #[test]
    fn nothing_is_repeated_unless_tests_with_known_names_failed() {
        assert_eq!(read(OUTPUT).to_repeat(0), None);
        // The compiler, or a signal.
        assert_eq!(read(OUTPUT).to_repeat(1), None);
        assert_eq!(read("").to_repeat(TESTS_FAILED), None);
        // The program ended before its list.
        assert_eq!(read(OUTPUT.split("test result").next().unwrap()).to_repeat(TESTS_FAILED), None);
        assert_eq!(read(&OUTPUT.replace("2 failed", "3 failed")).to_repeat(TESTS_FAILED), None);
    }

    #[test]
    fn many_failures_are_not_repeated() {
        let names: Vec<String> = (0..=MOST).map(|number| format!("    a::t{number}")).collect();
        let output = format!("failures:\n{}\n\ntest result: FAILED. 0 passed; {} failed; 0 ignored\n", names.join("\n"), names.len());
        assert_eq!(read(&output).to_repeat(TESTS_FAILED), None);
    }
}
