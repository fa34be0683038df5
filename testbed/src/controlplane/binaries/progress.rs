//! One line per long step: on a terminal it counts the seconds in place, elsewhere it is repeated now and then.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

/// Often enough for the reader of a log to see that something goes on.
const REPEAT: Duration = Duration::from_secs(15);

pub(crate) struct Progress {
    label: String,
    start: Instant,
    shown: Duration,
    step: Duration,
    terminal: bool,
}

impl Progress {
    pub(crate) fn start(label: &str) -> Self {
        let terminal = io::stderr().is_terminal();
        let step = if terminal { Duration::from_secs(1) } else { REPEAT };
        let progress = Self { label: label.to_owned(), start: Instant::now(), shown: Duration::ZERO, step, terminal };
        progress.show("");
        progress
    }

    /// To be called often; shows the seconds when it is time to.
    pub(crate) fn tick(&mut self) {
        if self.start.elapsed() >= self.shown + self.step {
            self.shown = self.start.elapsed();
            self.show(&format!(" {} s", self.shown.as_secs()));
        }
    }

    pub(crate) fn finish(self, how: &str) {
        self.show(&format!(": {how} ({} s)", self.start.elapsed().as_secs()));
    }

    fn show(&self, rest: &str) {
        if self.terminal {
            eprint!("\r{}{rest}\x1b[K", self.label);
        } else {
            eprintln!("{}{rest}", self.label);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.terminal {
            eprintln!();
        }
    }
}
