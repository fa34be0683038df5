//! Where the lines go.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::sync::watch;

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

/// How many lines may wait for a reader.
const MOST_WAITING: usize = 4096;
/// How long a status waits for the lines before it.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the end of the process waits for them.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// The audit stream. Clones write to the same destination.
#[derive(Clone)]
pub struct Audit {
    sink: Option<Arc<Sink>>,
    queue: Option<Queue>,
}

/// Lines on their way to a reader that may be slow. It must not hold up the tasks of the runtime.
#[derive(Clone)]
struct Queue {
    /// Number of lines that were put into the queue.
    sent: Arc<AtomicU64>,
    /// How many of them were taken out and written.
    written: watch::Receiver<u64>,
    /// Nothing was written while a task waited for it.
    stuck: Arc<AtomicBool>,
}

impl Audit {
    /// The stream to this destination.
    pub fn open(destination: AuditLog) -> Self {
        match destination {
            AuditLog::Stdout => Self::through_a_queue(io::stdout()),
            AuditLog::Off => Self::off(),
        }
    }

    /// A stream that writes nothing.
    pub fn off() -> Self {
        Self { sink: None, queue: None }
    }

    /// A stream that passes each line, without its end, to `sink`.
    pub fn to(sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { sink: Some(Arc::new(sink)), queue: None }
    }

    /// A reader that is gone, a reader that does not read and a full disk do not stop the operator. The log says so once, until
    /// a line is written again.
    fn through_a_queue(out: impl Write + Send + 'static) -> Self {
        let (lines, waiting) = mpsc::sync_channel::<String>(MOST_WAITING);
        let (count, written) = watch::channel(0);
        let queue = Queue { sent: Arc::default(), written, stuck: Arc::default() };
        let stuck = Arc::clone(&queue.stuck);
        let thread = thread::Builder::new().name("audit".to_owned());
        // Ends with the last sender.
        let started = thread.spawn(move || write_all(out, &waiting, &count, &stuck));
        if started.is_err() {
            tracing::error!("the thread of the audit stream could not be started; there is no audit stream");
            return Self::off();
        }
        let (sent, full, written) = (Arc::clone(&queue.sent), AtomicBool::new(false), queue.written.clone());
        let sink = move |line: &str| {
            // Counted first, so that a flush of another task does not miss it.
            sent.fetch_add(1, Ordering::Relaxed);
            let fits = lines.try_send(line.to_owned()).is_ok();
            if !fits {
                sent.fetch_sub(1, Ordering::Relaxed);
            }
            if !fits && !full.load(Ordering::Relaxed) {
                tracing::error!("nothing reads the audit stream on standard output; its lines are lost until something does");
            }
            // A slow reader makes room for single lines. It is told again when it has read everything.
            let caught_up = *written.borrow() >= sent.load(Ordering::Relaxed).saturating_sub(1);
            full.store(!fits || (full.load(Ordering::Relaxed) && !caught_up), Ordering::Relaxed);
        };
        Self { sink: Some(Arc::new(sink)), queue: Some(queue) }
    }

    /// Whether lines are written.
    pub fn is_on(&self) -> bool {
        self.sink.is_some()
    }

    /// Writes one line for each entry about the object with this metadata in this cluster. Does not wait.
    pub fn record(&self, object: &ObjectMeta, cluster: &str, now: Timestamp, entries: &[Entry]) {
        let Some(sink) = &self.sink else { return };
        entries.iter().filter_map(|entry| entry.line(object, cluster, now)).for_each(|line| sink(&line));
    }

    /// Waits until the lines so far are written, for a second at most. While nothing is written at all, it does not wait.
    pub async fn flush(&self) {
        let Some(queue) = &self.queue else { return };
        let sent = queue.sent.load(Ordering::Relaxed);
        if queue.stuck.load(Ordering::Relaxed) {
            return;
        }
        let mut written = queue.written.clone();
        let timed_out = tokio::time::timeout(FLUSH_TIMEOUT, written.wait_for(|written| *written >= sent)).await.is_err();
        if timed_out && *queue.written.borrow() < sent {
            queue.stuck.store(true, Ordering::Relaxed);
        }
    }

    /// The same before the process ends: waits longer, and logs how many lines are lost.
    pub async fn close(&self) {
        let Some(queue) = &self.queue else { return };
        let sent = queue.sent.load(Ordering::Relaxed);
        let mut written = queue.written.clone();
        if tokio::time::timeout(CLOSE_TIMEOUT, written.wait_for(|written| *written >= sent)).await.is_err() {
            let lines = sent.saturating_sub(*queue.written.borrow());
            tracing::error!(lines, "nothing reads the audit stream on standard output; its last lines are lost");
        }
    }
}

fn write_all(mut out: impl Write, lines: &mpsc::Receiver<String>, count: &watch::Sender<u64>, stuck: &AtomicBool) {
    let mut broken = false;
    for line in lines {
        // A part of the line before may have been written.
        let written = if broken { write(&mut out, &format!("\n{line}")) } else { write(&mut out, &line) };
        if let Err(error) = &written
            && !broken
        {
            tracing::error!(kind = %error.kind(), "the audit stream cannot be written to standard output; its lines are lost until it can");
        }
        broken = written.is_err();
        stuck.store(false, Ordering::Relaxed);
        count.send_modify(|count| *count = count.saturating_add(1));
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

    /// A pipe that nothing reads from: a write returns when the test says so.
    struct Full(mpsc::Receiver<()>, Arc<std::sync::Mutex<Vec<u8>>>);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_holds_up_nothing_and_gets_its_lines_later() {
        let (read, reads) = mpsc::channel();
        let written = Arc::<std::sync::Mutex<Vec<u8>>>::default();
        let audit = Audit::through_a_queue(Full(reads, Arc::clone(&written)));
        let record = || audit.record(&ObjectMeta::default(), "prod", Timestamp::UNIX_EPOCH, &[Entry::of(Action::Created)]);
        for _ in 0..MOST_WAITING + 100 {
            record();
        }
        audit.flush().await;
        assert!(written.lock().unwrap().is_empty());
        assert!(audit.queue.as_ref().unwrap().stuck.load(Ordering::Relaxed), "the next one does not wait");
        drop(read);
        let sent = audit.queue.as_ref().unwrap().sent.load(Ordering::Relaxed);
        assert!((MOST_WAITING as u64..MOST_WAITING as u64 + 100).contains(&sent), "{sent}");
        audit.queue.clone().unwrap().written.wait_for(|written| *written == sent).await.unwrap();
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count() as u64, sent);
    }

    #[test]
    fn a_line_after_one_that_was_cut_off_begins_a_new_line() {
        /// A disk that is full in the middle of the first line.
        struct Disk(Arc<std::sync::Mutex<Vec<u8>>>, bool);

        impl Write for Disk {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let part = if self.1 { bytes } else { bytes.get(..4).unwrap() };
                self.0.lock().unwrap().extend(part);
                if std::mem::replace(&mut self.1, true) { Ok(bytes.len()) } else { Err(io::ErrorKind::StorageFull.into()) }
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let written = Arc::<std::sync::Mutex<Vec<u8>>>::default();
        let (lines, waiting) = mpsc::channel();
        for line in ["first line", "second", "third"] {
            lines.send(line.to_owned()).unwrap();
        }
        drop(lines);
        write_all(Disk(Arc::clone(&written), false), &waiting, &watch::channel(0).0, &AtomicBool::new(false));
        assert_eq!(*written.lock().unwrap(), b"firs\nsecond\nthird\n");
    }

    #[test]
    fn a_stream_that_is_off_writes_nothing() {
        assert!(!Audit::open(AuditLog::Off).is_on() && Audit::open(AuditLog::Stdout).is_on());
        Audit::off().record(&ObjectMeta::default(), "prod", Timestamp::UNIX_EPOCH, &[Entry::of(Action::Created)]);
    }
}
