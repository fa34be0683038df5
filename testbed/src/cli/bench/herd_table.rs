//! The figures of the herds as a table in Markdown.

use std::collections::BTreeSet;
use std::time::Duration;

use super::herd::{Herd, Kind};
use super::table::{grouped, line, mebibytes, number, seconds};

type Cell = fn(&Herd) -> String;

/// A column for each herd; nothing without herds.
pub(super) fn table(herds: &[Herd]) -> String {
    if herds.is_empty() {
        return String::new();
    }
    let mut text = "\n".to_owned();
    let mut row = |label: &str, cells: &mut dyn Iterator<Item = String>| text.push_str(&line([label.to_owned()].into_iter().chain(cells)));
    row("Rotations that are due at the same time", &mut herds.iter().map(|herd| grouped(herd.count.into())));
    row("---", &mut herds.iter().map(|_| "---:".to_owned()));
    let figures: [(&str, Cell); 6] = [
        ("**herd**: quotas of AWS", |herd| said(herd.kind).to_owned()),
        ("secrets with exactly one new version", |herd| grouped_size(herd.once)),
        ("Secrets with the current value", |herd| grouped_size(herd.mirrored)),
        ("rotations a second", |herd| format!("{:.1}", herd.rate())),
        ("seconds from the due time to a new version, p50 / p99 / max", |herd| percentiles(&herd.rotated)),
        ("requests to write a version, and throttled ones of them", |herd| {
            format!("{}, {} ({:.2} %)", grouped(herd.attempts), grouped(herd.throttled), 100.0 * ratio(herd.throttled, herd.attempts))
        }),
    ];
    let mut told = |figures: &[(&str, Cell)]| {
        for (label, cell) in figures {
            row(&labelled(label), &mut herds.iter().map(cell));
        }
    };
    told(&figures);
    let operations: BTreeSet<&String> = herds.iter().flat_map(|herd| herd.calls.keys()).collect();
    for operation in operations {
        let each = |herd: &Herd| format!("{:.2}", ratio(herd.calls.get(operation).copied().unwrap_or_default(), herd.count.into()));
        row(&format!("herd: `{operation}` for each rotation"), &mut herds.iter().map(each));
    }
    let figures: [(&str, Cell); 9] = [
        ("Kubernetes reads for each rotation", |herd| format!("{:.2}", ratio(herd.requests.reads, herd.count.into()))),
        ("Kubernetes writes for each rotation", |herd| format!("{:.2}", ratio(herd.requests.writes, herd.count.into()))),
        ("new objects meanwhile", |herd| grouped_size(herd.created.len())),
        ("seconds until a new object is mirrored, p50 / p99 / max", |herd| percentiles(&herd.created)),
        ("seconds until an edited Secret is repaired, p50 / p99 / max", |herd| percentiles(&herd.edited)),
        ("CPU seconds of the operator", |herd| seconds(herd.processor[0])),
        ("CPU seconds of etcd and the API server", |herd| seconds(herd.processor[1])),
        ("CPU seconds of the emulated AWS and the benchmark", |herd| seconds(herd.processor[2])),
        ("memory of its own, peak, MiB", |herd| mebibytes(herd.own)),
    ];
    for (label, cell) in figures {
        row(&labelled(label), &mut herds.iter().map(cell));
    }
    text
}

impl Herd {
    /// From the due time to the last new version.
    fn rate(&self) -> f64 {
        let last = self.rotated.iter().max().copied().unwrap_or_default().as_secs_f64();
        if last > 0.0 { f64::from(self.count) / last } else { 0.0 }
    }
}

fn labelled(label: &str) -> String {
    if label.starts_with("**") { label.to_owned() } else { format!("herd: {label}") }
}

pub(super) fn said(kind: Kind) -> &'static str {
    match kind {
        Kind::Quotas => "as published",
        Kind::Killed => "as published, SIGKILL after half",
        Kind::Unlimited => "off, ten regions",
    }
}

fn ratio(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { number(part) / number(all) }
}

fn grouped_size(count: usize) -> String {
    grouped(u64::try_from(count).unwrap_or(u64::MAX))
}

fn percentiles(times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort();
    let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default();
    format!("{} / {} / {}", seconds(at(50)), seconds(at(99)), seconds(at(100)))
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use testbed::controlplane::Requests;

    use super::*;

    pub(crate) fn herd(kind: Kind) -> Herd {
        Herd {
            kind,
            count: 200,
            rotated: (1..=200).map(|number| Duration::from_millis(20 * number)).collect(),
            once: 200,
            mirrored: 199,
            attempts: 202,
            throttled: 2,
            calls: BTreeMap::from([("PutSecretValue".to_owned(), 202), ("DescribeSecret".to_owned(), 800)]),
            requests: Requests { reads: 400, writes: 600, ..Requests::default() },
            created: vec![Duration::from_millis(100), Duration::from_millis(300)],
            edited: Vec::new(),
            processor: [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(3)],
            own: 10_240,
        }
    }

    #[test]
    fn each_herd_is_a_column() {
        let text = table(&[herd(Kind::Quotas), herd(Kind::Unlimited)]);
        for line in [
            "| Rotations that are due at the same time | 200 | 200 |\n| --- | ---: | ---: |\n",
            "| **herd**: quotas of AWS | as published | off, ten regions |\n| herd: secrets with exactly one new version | 200 | 200 |\n",
            "| herd: rotations a second | 50.0 | 50.0 |\n",
            "| herd: seconds from the due time to a new version, p50 / p99 / max | 2.02 / 3.98 / 4.00 | 2.02 / 3.98 / 4.00 |\n",
            "| herd: requests to write a version, and throttled ones of them | 202, 2 (0.99 %) |",
            "| herd: `DescribeSecret` for each rotation | 4.00 | 4.00 |\n",
            "| herd: Kubernetes writes for each rotation | 3.00 | 3.00 |\n",
            "| herd: seconds until a new object is mirrored, p50 / p99 / max | 0.30 / 0.30 / 0.30 |",
            "| herd: seconds until an edited Secret is repaired, p50 / p99 / max | 0.00 / 0.00 / 0.00 |",
            "| herd: memory of its own, peak, MiB | 10.0 | 10.0 |\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert_eq!(table(&[]), "");
    }
}
