//! The figures as a table in Markdown.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use testbed::controlplane::Requests;
use testbed::usage::Usage;

/// What one phase has cost.
pub(super) struct Phase {
    pub(super) took: Duration,
    /// Calls to AWS by operation, whatever came of them.
    pub(super) calls: BTreeMap<String, u64>,
    pub(super) requests: Requests,
    /// Processor time of this phase; the rest since the start of the process.
    pub(super) usage: Usage,
    /// The most memory of its own since the start of the process, in KiB.
    pub(super) own: u64,
}

impl Phase {
    pub(super) fn calls(&self) -> u64 {
        self.calls.values().sum()
    }
}

/// Everything that was measured with so many objects.
pub(super) struct Figures {
    pub(super) count: u32,
    pub(super) start: Phase,
    pub(super) steady: Phase,
    /// `None`: not measured with so many.
    pub(super) changes: Option<Changes>,
}

/// What was measured after the steady state.
pub(super) struct Changes {
    pub(super) drift: Vec<Duration>,
    pub(super) latency: Vec<Duration>,
    pub(super) restart: Phase,
}

/// What the figures depend on.
pub(super) struct Circumstances {
    pub(super) kubernetes: String,
    pub(super) build: &'static str,
    pub(super) processors: usize,
    pub(super) list_lag: Duration,
    pub(super) flags: Vec<String>,
}

/// Two tables, the figures and how they grow, with the circumstances before them.
pub(super) fn table(circumstances: &Circumstances, all: &[Figures]) -> String {
    let mut text = said(circumstances);
    if all.is_empty() {
        return text;
    }
    text.push_str(&line(["Objects".to_owned()].into_iter().chain(all.iter().map(|figures| grouped(figures.count.into())))));
    text.push_str(&line(["---".to_owned()].into_iter().chain(all.iter().map(|_| "---:".to_owned()))));
    let mut before = "";
    for Row { phase, label, cells } in rows(all) {
        let phase = if std::mem::replace(&mut before, phase) == phase { phase.to_owned() } else { format!("**{phase}**") };
        text.push_str(&line([format!("{phase}: {label}")].into_iter().chain(cells)));
    }
    text + &growth(all)
}

fn said(circumstances: &Circumstances) -> String {
    let Circumstances { kubernetes, build, processors, list_lag, flags } = circumstances;
    let plural = if *processors == 1 { "" } else { "s" };
    let lag = if list_lag.is_zero() { String::new() } else { format!("`ListSecrets` lags {} s behind, ", list_lag.as_secs()) };
    let flags = if flags.is_empty() { "no further flags".to_owned() } else { format!("flags `{}`", flags.join(" ")) };
    format!("Kubernetes {kubernetes}, {build} build, {processors} processor{plural}, {lag}{flags}.\n\n")
}

struct Row {
    phase: &'static str,
    label: String,
    cells: Vec<String>,
}

fn rows(all: &[Figures]) -> Vec<Row> {
    let row =
        |phase, label: &str, cell: fn(&Figures) -> String| Row { phase, label: label.to_owned(), cells: all.iter().map(cell).collect() };
    let mut rows = vec![row("start", "seconds until all are Ready", |all| seconds(all.start.took))];
    rows.extend(counts("start", all, |all| Some(&all.start)));
    rows.push(row("start", "CPU seconds", |all| seconds(all.start.usage.processor)));
    rows.push(row("start", "memory of its own, peak, MiB", |all| mebibytes(all.start.own)));
    rows.extend(counts("steady", all, |all| Some(&all.steady)));
    rows.push(row("steady", "requests for the Lease", |all| grouped(all.steady.requests.leases)));
    rows.push(row("steady", "watches that ended", |all| grouped(all.steady.requests.watches)));
    rows.push(row("steady", "CPU seconds", |all| seconds(all.steady.usage.processor)));
    rows.push(row("steady", "RSS, peak since the start, MiB", |all| mebibytes(all.steady.usage.peak)));
    rows.push(row("steady", "memory of its own, at the end, MiB", |all| mebibytes(all.steady.usage.own)));
    rows.push(row("steady", "open files", |all| all.steady.usage.files.to_string()));
    let changed = |phase, label: &str, cell: fn(&Changes) -> String| Row {
        phase,
        label: label.to_owned(),
        cells: all.iter().map(|all| all.changes.as_ref().map_or_else(|| "-".to_owned(), cell)).collect(),
    };
    rows.push(changed("drift", "seconds until repaired, median / max", |all| median_and_most(&all.drift)));
    rows.push(changed("latency", "seconds until mirrored, median / max", |all| median_and_most(&all.latency)));
    rows.push(changed("restart", "seconds until at rest", |all| seconds(all.restart.took)));
    rows.extend(counts("restart", all, |all| all.changes.as_ref().map(|changes| &changes.restart)));
    rows.push(changed("restart", "CPU seconds", |all| seconds(all.restart.usage.processor)));
    rows.push(changed("restart", "RSS, peak, MiB", |all| mebibytes(all.restart.usage.peak)));
    rows.push(changed("restart", "memory of its own, peak, MiB", |all| mebibytes(all.restart.own)));
    rows
}

/// Calls by operation, and requests, of one phase.
fn counts(phase: &'static str, all: &[Figures], of: fn(&Figures) -> Option<&Phase>) -> Vec<Row> {
    let mut operations: BTreeSet<&str> = all.iter().filter_map(of).flat_map(|phase| phase.calls.keys().map(String::as_str)).collect();
    // Shown also where they are zero: that is the point of some phases.
    operations.extend(["DescribeSecret", "GetSecretValue"]);
    let row = |label: String, count: &dyn Fn(&Phase) -> u64| Row {
        phase,
        label,
        cells: all.iter().map(|figures| of(figures).map_or_else(|| "-".to_owned(), |phase| grouped(count(phase)))).collect(),
    };
    let mut rows: Vec<Row> = operations
        .into_iter()
        .map(|operation| row(format!("`{operation}`"), &|phase| phase.calls.get(operation).copied().unwrap_or_default()))
        .collect();
    rows.push(row("Kubernetes reads".to_owned(), &|phase| phase.requests.reads));
    rows.push(row("Kubernetes writes".to_owned(), &|phase| phase.requests.writes));
    rows
}

type Figure = fn(&Figures) -> f64;

/// With twice the objects, a figure grows by two to the power of its exponent: 0 is constant, 1 linear.
fn growth(all: &[Figures]) -> String {
    let pairs: Vec<(&Figures, &Figures)> = all.iter().zip(all.iter().skip(1)).filter(|(a, b)| a.count != b.count).collect();
    if pairs.is_empty() {
        return String::new();
    }
    let mut text = "\n".to_owned();
    let heads = pairs.iter().map(|(a, b)| format!("{} to {}", grouped(a.count.into()), grouped(b.count.into())));
    text.push_str(&line(["Growth exponent".to_owned()].into_iter().chain(heads)));
    text.push_str(&line(["---".to_owned()].into_iter().chain(pairs.iter().map(|_| "---:".to_owned()))));
    let figures: [(&str, Figure); 7] = [
        ("start: seconds", |all| all.start.took.as_secs_f64()),
        ("steady: AWS calls", |all| number(all.steady.calls())),
        ("steady: Kubernetes reads", |all| number(all.steady.requests.reads)),
        ("steady: CPU seconds", |all| all.steady.usage.processor.as_secs_f64()),
        ("steady: RSS, peak", |all| number(all.steady.usage.peak)),
        ("start: memory of its own, peak", |all| number(all.start.own)),
        ("steady: memory of its own", |all| number(all.steady.usage.own)),
    ];
    for (label, figure) in figures {
        let cells = pairs.iter().map(|(a, b)| exponent((a.count, figure(a)), (b.count, figure(b))));
        text.push_str(&line([label.to_owned()].into_iter().chain(cells)));
    }
    text
}

fn exponent((fewer, small): (u32, f64), (more, large): (u32, f64)) -> String {
    if small <= 0.0 || large <= 0.0 {
        return "-".to_owned();
    }
    format!("{:.2}", (large / small).ln() / (f64::from(more) / f64::from(fewer)).ln())
}

pub(super) fn number(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

pub(super) fn line(cells: impl Iterator<Item = String>) -> String {
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

pub(super) fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 10.0 { format!("{seconds:.2}") } else { format!("{seconds:.1}") }
}

pub(super) fn mebibytes(kib: u64) -> String {
    format!("{}.{}", kib / 1024, kib % 1024 * 10 / 1024)
}

fn median_and_most(times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort();
    let at = |place: usize| times.get(place).copied().unwrap_or_default();
    format!("{} / {}", seconds(at(times.len() / 2)), seconds(at(times.len().saturating_sub(1))))
}

/// 12,345.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn phase(count: u64) -> Phase {
        Phase {
            took: Duration::from_millis(12_340),
            calls: BTreeMap::from([("DescribeSecret".to_owned(), count)]),
            requests: Requests { reads: 2 * count, writes: 0, watches: 1, leases: 30 },
            usage: Usage { own: 1, peak: 10_240, processor: Duration::from_millis(count), files: 12 },
            own: 5120,
        }
    }

    pub(crate) fn figures(count: u32) -> Figures {
        let n = u64::from(count);
        Figures {
            count,
            start: phase(n),
            steady: phase(n),
            changes: Some(Changes {
                drift: vec![Duration::from_millis(30), Duration::from_millis(10), Duration::from_millis(20)],
                latency: vec![Duration::from_mins(1)],
                restart: phase(n),
            }),
        }
    }

    #[test]
    fn the_table_has_a_column_for_each_size_and_the_exponents_between_them() {
        let circumstances = Circumstances {
            kubernetes: "1.36.0".to_owned(),
            build: "release",
            processors: 2,
            list_lag: Duration::ZERO,
            flags: vec!["--change-feed".to_owned()],
        };
        let text = table(&circumstances, &[figures(250), figures(1000)]);
        for line in [
            "Kubernetes 1.36.0, release build, 2 processors, flags `--change-feed`.\n",
            "| Objects | 250 | 1,000 |\n| --- | ---: | ---: |\n",
            "| **start**: seconds until all are Ready | 12.3 | 12.3 |\n",
            "| **steady**: `DescribeSecret` | 250 | 1,000 |\n| steady: `GetSecretValue` | 0 | 0 |\n",
            "| steady: Kubernetes reads | 500 | 2,000 |\n| steady: Kubernetes writes | 0 | 0 |\n",
            "| **drift**: seconds until repaired, median / max | 0.02 / 0.03 | 0.02 / 0.03 |\n",
            "| steady: RSS, peak since the start, MiB | 10.0 | 10.0 |\n",
            "| start: memory of its own, peak, MiB | 5.0 | 5.0 |\n",
            "| Growth exponent | 250 to 1,000 |\n",
            "| steady: AWS calls | 1.00 |\n",
            "| steady: RSS, peak | 0.00 |\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!table(&circumstances, &[figures(250)]).contains("Growth"), "one size does not grow");
        let text = table(&circumstances, &[figures(250), Figures { changes: None, ..figures(1000) }]);
        for line in ["| **drift**: seconds until repaired, median / max | 0.02 / 0.03 | - |\n", "| restart: Kubernetes writes | 0 | - |\n"]
        {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn nothing_has_no_exponent() {
        assert_eq!(exponent((250, 0.0), (1000, 3.0)), "-");
        assert_eq!(exponent((10, 1.0), (100, 100.0)), "2.00");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
