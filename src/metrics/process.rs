//! Metrics of the process, with the names that every exporter has for them. Read from `/proc` at scrape time; a system
//! without it exports none.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// What the kernel says of this process.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sample {
    cpu_seconds: f64,
    resident_bytes: u64,
    open_files: u64,
    /// `None`: unlimited.
    most_files: Option<u64>,
    /// Since 1970.
    started: f64,
}

/// The metrics of the process, without a prefix.
pub(super) fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(OwnProcess));
    registry
}

#[derive(Debug)]
struct OwnProcess;

impl Collector for OwnProcess {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(sample) = sample() else { return Ok(()) };
        let cpu = ConstCounter::new(sample.cpu_seconds);
        cpu.encode(encoder.encode_descriptor("process_cpu_seconds", "CPU time of the process", None, cpu.metric_type())?)?;
        let mut gauge = |name: &str, help: &str, value: f64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        #[allow(clippy::cast_precision_loss, reason = "bytes and numbers of files are far below 2^53")]
        let number = |number: u64| number as f64;
        gauge("process_resident_memory_bytes", "Resident memory of the process", number(sample.resident_bytes))?;
        gauge("process_open_fds", "Open file descriptors", number(sample.open_files))?;
        if let Some(most) = sample.most_files {
            gauge("process_max_fds", "Maximum number of open file descriptors", number(most))?;
        }
        gauge("process_start_time_seconds", "Start of the process since 1970", sample.started)
    }
}

fn sample() -> Option<Sample> {
    let read = |path: &str| fs::read_to_string(path).ok();
    let open_files = u64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?;
    let stat = Stat::parse(&read("/proc/self/stat")?)?;
    let booted = of_line(&read("/proc/stat")?, "btime ")?;
    let most_files = of_line(&read("/proc/self/limits")?, "Max open files");
    let ticks = rustix::param::clock_ticks_per_second();
    let page = u64::try_from(rustix::param::page_size()).ok()?;
    #[allow(clippy::cast_precision_loss, reason = "ticks since the boot are far below 2^53")]
    let seconds = |of: u64| of as f64 / ticks as f64;
    #[allow(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
    let booted = booted as f64;
    Some(Sample {
        cpu_seconds: seconds(stat.ticks),
        resident_bytes: stat.pages.saturating_mul(page),
        // The listing itself has one open.
        open_files: open_files.saturating_sub(1),
        most_files,
        started: booted + seconds(stat.started),
    })
}

/// Fields of `/proc/PID/stat`, by proc(5).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// In user mode and in the kernel.
    ticks: u64,
    /// Ticks after the boot.
    started: u64,
    /// Resident.
    pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name of the program is in parentheses and may contain any character. Field 3 follows.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |field: usize| fields.get(field.checked_sub(3)?)?.parse::<u64>().ok();
        Some(Self { ticks: number(14)?.saturating_add(number(15)?), started: number(22)?, pages: number(24)? })
    }
}

/// The number after this beginning of a line.
fn of_line(text: &str, beginning: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(beginning))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_behind_a_name_with_spaces_and_parentheses() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 9000 300000 1234 18446744073709551615";
        assert_eq!(Stat::parse(stat), Some(Stat { ticks: 300, started: 9000, pages: 1234 }));
        assert_eq!(Stat::parse("42 (a) S 1"), None);
    }

    #[test]
    fn a_limit_of_files_may_be_absent() {
        let limits = "Limit   Soft Limit   Hard Limit   Units\nMax open files            1024                 4096                 files\n";
        assert_eq!(of_line(limits, "Max open files"), Some(1024));
        assert_eq!(of_line("Max open files            unlimited            unlimited\n", "Max open files"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_measured() {
        let sample = sample().unwrap();
        assert!(sample.resident_bytes > 1 << 20 && sample.open_files >= 3, "{sample:?}");
        let now = jiff::Timestamp::now().as_second();
        #[allow(clippy::cast_possible_truncation, reason = "a time of this century")]
        let age = now - sample.started as i64;
        assert!((-2..86_400).contains(&age), "{sample:?}");
    }
}
