//! How long each test took, for `cargo verify`. libtest tells it only on nightly.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

/// The variable with the path of a file. Each test adds a line to it: milliseconds, a space, its name.
pub const VARIABLE: &str = "TEST_TIMES";

struct Timer {
    started: Instant,
    file: PathBuf,
}

impl Drop for Timer {
    fn drop(&mut self) {
        // libtest runs each test in a thread of its name. With one test at a time it runs them all in the main thread.
        let thread = std::thread::current();
        let Some(name) = thread.name().filter(|name| *name != "main") else { return };
        let line = format!("{} {name}\n", self.started.elapsed().as_millis());
        let file = OpenOptions::new().create(true).append(true).open(&self.file);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

thread_local! {
    static TIMER: Option<Timer> = std::env::var_os(VARIABLE).map(|file| Timer { started: Instant::now(), file: file.into() });
}

/// Starts the clock of the test in this thread, unless it runs already. It stops when the thread ends.
pub fn start() {
    TIMER.with(|_| ());
}
