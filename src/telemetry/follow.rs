//! What changes while the process runs: the filter, and the count of lines that were left out.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use tracing_subscriber::Registry;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::reload::Handle;

use super::filter::parse;
use super::storm::Storm;

/// How often the file with the filter is read.
const READ: Duration = Duration::from_secs(5);
/// The most bytes of a filter.
const LONGEST: u64 = 4096;
const MINUTE: Duration = Duration::from_mins(1);

/// The log of this process.
pub struct Log {
    pub(super) filter: Handle<EnvFilter, Registry>,
    pub(super) storm: Storm,
    /// The filter of the command line.
    pub(super) declared: String,
}

impl Log {
    /// Reports once a minute how many lines were left out, and applies the filter in `file` while the file has one. Does not
    /// return.
    pub async fn follow(self, file: Option<&Path>) {
        let (mut minute, mut read) = (tokio::time::interval(MINUTE), tokio::time::interval(READ));
        let mut known = String::new();
        loop {
            tokio::select! {
                _ = minute.tick() => self.summarize(),
                _ = read.tick(), if file.is_some() => {
                    let wish = file.map(filter_in).unwrap_or_default();
                    if wish != known {
                        self.apply(&wish);
                        known = wish;
                    }
                }
            }
        }
    }

    pub(super) fn summarize(&self) {
        for left_out in self.storm.sweep() {
            // Without the name `reason`, which would count this line as well.
            tracing::warn!(
                lines = left_out.lines,
                text = left_out.text,
                of_reason = left_out.reason,
                "lines with this text and reason were left out in the last minute"
            );
        }
    }

    /// An invalid filter changes nothing.
    pub(super) fn apply(&self, wish: &str) {
        let filter = if wish.is_empty() { &self.declared } else { wish };
        let parsed = parse(filter).inspect(|_| tracing::info!(filter, "the log filter changes"));
        match parsed.map(|parsed| self.filter.reload(parsed)) {
            Ok(Ok(())) => tracing::info!(filter, "the log filter was changed"),
            Ok(Err(_)) => tracing::error!("the log filter could not be changed"),
            Err(error) => tracing::warn!(filter = wish, %error, "the log filter in the file is not used"),
        }
    }
}

/// The filter in this file. A file that is missing or cannot be read has none.
fn filter_in(file: &Path) -> String {
    let mut text = String::new();
    let read = std::fs::File::open(file).and_then(|file| file.take(LONGEST).read_to_string(&mut text));
    if read.is_ok() { text.trim().to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_missing_empty_or_no_text_has_no_filter() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log");
        assert_eq!(filter_in(&file), "");
        for (bytes, expected) in [(&b""[..], ""), (b" \n", ""), (b"debug\n", "debug"), (b"\xff", "")] {
            std::fs::write(&file, bytes).unwrap();
            assert_eq!(filter_in(&file), expected);
        }
        std::fs::write(&file, vec![b'x'; 1 << 20]).unwrap();
        assert_eq!(filter_in(&file).len(), 4096);
    }
}
