//! What the demo shows: numbered headlines, commands and their output, what was checked; and one line of progress on long steps.

use std::cell::Cell;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const CYAN: &str = "36";

/// How often a line of progress is repeated where it cannot be changed in place.
const REPEAT: Duration = Duration::from_secs(15);
/// A step that is shorter needs none.
const SHORT: Duration = Duration::from_millis(500);

/// Standard output for what stays, standard error for what passes.
pub(super) struct Screen {
    out: io::Stdout,
    colours: bool,
    live: bool,
    headlines: Cell<u32>,
}

impl Screen {
    pub(super) fn new() -> Self {
        let unset = |name: &str| std::env::var_os(name).is_none_or(|value| value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            out: io::stdout(),
            colours: io::stdout().is_terminal() && unset("NO_COLOR") && !dumb,
            live: io::stderr().is_terminal() && !dumb,
            headlines: Cell::new(0),
        }
    }

    /// `N  TEXT`, where N counts.
    pub(super) fn headline(&self, text: &str) -> Result<()> {
        let number = self.headlines.get() + 1;
        self.headlines.set(number);
        self.line(&format!("\n{}", self.paint(BOLD, &format!("{number:>2}  {text}"))))
    }

    /// A headline without a number.
    pub(super) fn title(&self, text: &str) -> Result<()> {
        self.line(&self.paint(BOLD, text))
    }

    /// An explanation.
    pub(super) fn say(&self, text: &str) -> Result<()> {
        text.lines().try_for_each(|line| self.line(format!("    {line}").trim_end()))
    }

    /// Something that has just been checked.
    pub(super) fn ok(&self, text: &str) -> Result<()> {
        self.line(&format!("    {}  {text}", self.paint(GREEN, "ok")))
    }

    /// Something that is not as it should be.
    pub(super) fn failed(&self, text: &str) -> Result<()> {
        self.line(&format!("\n    {}  {text}", self.paint(RED, "FAILED")))
    }

    /// A command, as one would type it.
    pub(super) fn command(&self, text: &str) -> Result<()> {
        self.line(&format!("    {}", self.paint(CYAN, &format!("$ {text}"))))
    }

    /// Output of a command, or other details.
    pub(super) fn output(&self, text: &str) -> Result<()> {
        text.lines().try_for_each(|line| self.line(format!("      {line}").trim_end()))
    }

    /// A line that goes.
    pub(super) fn removed(&self, line: &str) -> Result<()> {
        self.line(&self.paint(RED, &format!("    - {line}")))
    }

    /// A line that comes instead.
    pub(super) fn added(&self, line: &str) -> Result<()> {
        self.line(&self.paint(GREEN, &format!("    + {line}")))
    }

    /// Columns as wide as their widest cell; the first row is the head.
    pub(super) fn table(&self, rows: &[Vec<String>]) -> Result<()> {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (number, row) in rows.iter().enumerate() {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            let line = cells.join("  ");
            let line = line.trim_end();
            self.output(&if number == 0 { self.paint(DIM, line) } else { line.to_owned() })?;
        }
        Ok(())
    }

    /// As it is, to be copied.
    pub(super) fn line(&self, text: &str) -> Result<()> {
        let mut out = self.out.lock();
        writeln!(out, "{text}").and_then(|()| out.flush()).context("standard output is closed")
    }

    /// A line of progress, gone when the value is.
    pub(super) fn progress(&self, label: &str) -> Progress {
        Progress { label: label.to_owned(), live: self.live, start: Instant::now(), shown: None }
    }

    /// Shows progress while something is done.
    pub(super) async fn during<T>(&self, label: &str, work: impl Future<Output = T>) -> T {
        let mut progress = self.progress(label);
        let mut work = std::pin::pin!(work);
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = ticks.tick() => progress.tick(""),
            }
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// On a terminal one line that counts the seconds in place; elsewhere nothing for a while, then a line now and then.
pub(super) struct Progress {
    label: String,
    live: bool,
    start: Instant,
    shown: Option<Duration>,
}

impl Progress {
    /// To be called often.
    pub(super) fn tick(&mut self, detail: &str) {
        let elapsed = self.start.elapsed();
        let pause = if self.live { SHORT } else { REPEAT };
        if elapsed < self.shown.unwrap_or_default() + pause {
            return;
        }
        self.shown = Some(elapsed);
        let text = format!("... {}{detail}, {} s", self.label, elapsed.as_secs());
        let mut err = io::stderr().lock();
        // A closed output is not an error.
        let _ = if self.live { write!(err, "\r    {text}\x1b[K") } else { writeln!(err, "    {text}") };
        let _ = err.flush();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.live && self.shown.is_some() {
            let mut err = io::stderr().lock();
            let _ = write!(err, "\r\x1b[K");
            let _ = err.flush();
        }
    }
}

/// The first eight characters of a version's id, which tell versions apart well enough.
pub(super) fn short(id: &str) -> String {
    id.chars().take(8).collect()
}

/// Seconds with one digit; less than one in milliseconds.
pub(super) fn seconds(duration: Duration) -> String {
    if duration < Duration::from_secs(1) { format!("{} ms", duration.as_millis()) } else { format!("{:.1} s", duration.as_secs_f64()) }
}

/// A command as one would type it in a shell.
pub(super) fn typed(program: &str, arguments: &[&str]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./:,@%".contains(c);
    let quoted = arguments
        .iter()
        .map(|argument| if !argument.is_empty() && argument.chars().all(plain) { (*argument).to_owned() } else { format!("'{argument}'") });
    std::iter::once(program.to_owned()).chain(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_quoted_where_a_shell_needs_it() {
        let json = r#"{"spec":{}}"#;
        assert_eq!(typed("kubectl", &["apply", "-f", "crds/", "-p", json]), format!("kubectl apply -f crds/ -p '{json}'"));
    }
}
