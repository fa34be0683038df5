//! Where the lines go.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::entry::Entry;

/// Destination of the audit stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum AuditLog {
    /// Standard output.
    #[default]
    Stdout,
    /// No audit stream.
    Off,
}

type Sink = dyn Fn(&str) + Send + Sync;

/// The audit stream. Clones write to the same destination.
#[derive(Clone)]
pub struct Audit(Option<Arc<Sink>>);

impl Audit {
    /// The stream to this destination.
    pub fn open(destination: AuditLog) -> Self {
        match destination {
            AuditLog::Stdout => Self::standard_output(),
            AuditLog::Off => Self::off(),
        }
    }

    /// A stream that writes nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// A stream that passes each line, without its end, to `sink`.
    pub fn to(sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(sink)))
    }

    /// A reader that is gone or a full disk does not stop the operator. The log says so once, until a line is written again.
    fn standard_output() -> Self {
        let broken = AtomicBool::new(false);
        Self::to(move |line| {
            let written = write(&mut io::stdout().lock(), line);
            let known = broken.swap(written.is_err(), Ordering::Relaxed);
            if let Err(error) = written
                && !known
            {
                tracing::error!(kind = %error.kind(), "the audit stream cannot be written to standard output; its lines are lost until it can");
            }
        })
    }

    /// Whether lines are written.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Writes one line for each entry about the object with this metadata in this cluster.
    pub fn record(&self, object: &ObjectMeta, cluster: &str, now: Timestamp, entries: &[Entry]) {
        let Some(sink) = &self.0 else { return };
        entries.iter().filter_map(|entry| entry.line(object, cluster, now)).for_each(|line| sink(&line));
    }
}

/// Writes the line at once, so that lines of concurrent reconciles do not mix.
fn write(out: &mut impl Write, line: &str) -> io::Result<()> {
    out.write_all(format!("{line}\n").as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Action;

    /// A pipe whose reader is gone.
    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_ends_with_one_line_feed_and_a_closed_pipe_is_an_error_and_no_panic() {
        let mut written = Vec::new();
        write(&mut written, "{}").unwrap();
        assert_eq!(written, b"{}\n");
        assert_eq!(write(&mut Closed, "{}").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_stream_that_is_off_writes_nothing() {
        assert!(!Audit::open(AuditLog::Off).is_on() && Audit::open(AuditLog::Stdout).is_on());
        Audit::off().record(&ObjectMeta::default(), "prod", Timestamp::UNIX_EPOCH, &[Entry::of(Action::Created)]);
    }
}
