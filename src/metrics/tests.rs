use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::fleet::{InNamespace, One, Trouble};

/// Every verb once.
fn used() -> Metrics {
    let metrics = Metrics::new();
    metrics.reconcile("changed", Duration::from_millis(20));
    metrics.failure("AccessDenied");
    metrics.mirror_repair("shop");
    metrics.step("Put", "ok");
    metrics.rotation("Generate", "Scheduled", "Succeeded");
    metrics.mirror_write("NewVersion");
    metrics.drift_repair("Tag");
    metrics.aws_call("DescribeSecret", "ok");
    metrics.aws_call_delayed("PutSecretValue");
    metrics.aws_call_failed_fast("PutSecretValue");
    metrics.aws_call_took("DescribeSecret", Duration::from_millis(20));
    metrics.aws_request("DescribeSecret", "ok");
    metrics.target_gap("PostgresSingleUser", Duration::from_millis(20));
    metrics.kubernetes_request("GET", Some(200), Duration::from_millis(20));
    metrics.watch_error("list");
    metrics.event_not_published();
    metrics.leads(true);
    metrics.show_rates(|| vec![("Write", 0.7)]);
    metrics.measure_longest_wait(|| Duration::from_millis(61_900));
    metrics.count_objects(|| FleetStats {
        ready: BTreeMap::from([(("False", "NotOwned"), 2)]),
        overdue: 1,
        failing: 2,
        stalled: 3,
        suspended: 4,
        suspended_max: SignedDuration::from_secs(85),
        unreadable: 2,
        status_not_written: 11,
        out_of_step: 5,
        not_rolled_out: BTreeMap::from([("RolloutFailed", 6)]),
        rollout_waiting_max: SignedDuration::from_secs(70),
        deleting: 7,
        deleting_max: SignedDuration::from_secs(80),
        without_rotation: 8,
        over_age: 12,
        not_ready: BTreeMap::from([(
            ("shop".to_owned(), "NotOwned", "owner"),
            Trouble { number: 2, longest: SignedDuration::from_secs(90) },
        )]),
        namespaces: BTreeMap::from([(
            "shop".to_owned(),
            InNamespace {
                overdue_max: SignedDuration::from_secs(60),
                out_of_step: 4,
                not_rolled_out: BTreeMap::from([("RolloutFailed", 3)]),
                rollout_waiting_max: SignedDuration::from_secs(65),
                deleting_max: SignedDuration::from_secs(75),
                unreadable: 9,
                targets_refusing: BTreeMap::from([("ApplyFailed", 10)]),
                over_age: 13,
            },
        )]),
        overdue_max: SignedDuration::from_secs(60),
        oldest_version: Some(Timestamp::from_second(1_700_000_000).unwrap()),
        next_rotation: Some(Timestamp::from_second(1_800_000_000).unwrap()),
        each: vec![One {
            namespace: "shop".to_owned(),
            name: "db".to_owned(),
            ready: true,
            failures: 0,
            overdue: SignedDuration::ZERO,
            version_since: Some(Timestamp::from_second(1_700_000_000).unwrap()),
            next_rotation: Some(Timestamp::from_second(1_800_000_000).unwrap()),
        }],
    });
    metrics
}

/// Name as Prometheus stores it -> type and names of labels, of everything on a page.
fn families(page: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut families = BTreeMap::new();
    let mut family = String::new();
    for line in page.lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, kind) = typed.split_once(' ').unwrap();
            let suffix = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            family = format!("{name}{suffix}");
            let kind = if kind == "info" { "gauge" } else { kind };
            families.insert(family.clone(), (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let labels = line.split_once('{').map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
            let names = labels.split(',').filter_map(|label| label.split_once('=')).map(|(name, _)| name.to_owned());
            families.get_mut(&family).unwrap().1.extend(names.filter(|name| name != "le"));
        }
    }
    families
}

#[test]
fn the_page_of_metrics_tells_of_every_metric_with_its_type_and_labels() {
    let page = include_str!("../../docs/metrics.md");
    let mut told = BTreeMap::new();
    for row in page.lines().filter(|line| ["| `rotated_secrets_", "| `process_"].iter().any(|ours| line.starts_with(ours))) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells[3].split(',').map(|label| label.trim().trim_matches('`').to_owned()).filter(|label| !label.is_empty());
        told.insert(cells[1].trim_matches('`').to_owned(), (cells[2].to_owned(), labels.collect::<BTreeSet<_>>()));
    }
    assert_eq!(
        families(&used().render().unwrap()),
        told,
        "docs/metrics.md against /metrics; a name is a promise: change it only with a reason"
    );
}

#[test]
fn names_follow_the_conventions() {
    for (name, (kind, labels)) in families(&used().render().unwrap()) {
        // Those of the process have the names that every exporter has for them.
        assert!(name.starts_with("rotated_secrets_") || name.starts_with("process_"), "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}: counters and only they end with total");
        for word in [
            "duration",
            "overdue_max",
            "waiting_max",
            "deleting_max",
            "leaderless",
            "suspended_max",
            "not_ready_max",
            "timestamp",
            "object_overdue",
        ] {
            assert!(!name.contains(word) || name.ends_with("_seconds"), "{name}: times are in seconds, and say so");
        }
        // Prometheus itself gives these to what it scrapes.
        assert!(["job", "instance", "namespace", "pod", "service"].iter().all(|taken| !labels.contains(*taken)), "{name}: {labels:?}");
    }
}

#[test]
fn counts_and_standings_are_what_was_told() {
    let metrics = used();
    metrics.reconcile("changed", Duration::from_secs(100));
    let under_way = metrics.reconcile_begins();
    let text = metrics.render().unwrap();
    for line in [
        "rotated_secrets_objects_not_rolled_out{reason=\"RolloutFailed\"} 6",
        "rotated_secrets_objects_not_rolled_out{reason=\"RetirementFailed\"} 0",
        "rotated_secrets_rollout_waiting_max_seconds 70",
        "rotated_secrets_reconciles_total{outcome=\"changed\"} 2",
        "rotated_secrets_errors_total{reason=\"AccessDenied\"} 1",
        "rotated_secrets_steps_total{step=\"Put\",outcome=\"ok\"} 1",
        "rotated_secrets_rotations_total{strategy=\"Generate\",cause=\"Scheduled\",outcome=\"Succeeded\"} 1",
        "rotated_secrets_kubernetes_requests_total{method=\"GET\",code=\"200\"} 1",
        "rotated_secrets_kubernetes_requests_total{method=\"GET\",code=\"error\"} 0",
        "rotated_secrets_reconcile_duration_seconds_bucket{le=\"0.01\"} 0",
        "rotated_secrets_reconcile_duration_seconds_bucket{le=\"0.05\"} 1",
        "rotated_secrets_reconcile_duration_seconds_bucket{le=\"+Inf\"} 2",
        "rotated_secrets_reconcile_duration_seconds_count 2",
        "rotated_secrets_reconciles_in_progress 1",
        "rotated_secrets_events_not_published_total 1",
        "rotated_secrets_leaderless_seconds 0",
        "rotated_secrets_suspended_max_seconds 85",
        "rotated_secrets_reconciles_waiting_max_seconds 61",
        "rotated_secrets_objects{ready=\"False\",reason=\"NotOwned\"} 2",
        "rotated_secrets_objects_out_of_step 5",
        "rotated_secrets_overdue_max_seconds 60",
        "rotated_secrets_objects_deleting 7",
        "rotated_secrets_deleting_max_seconds 80",
        "rotated_secrets_objects_without_rotation 8",
        "rotated_secrets_objects_over_age 12",
        "rotated_secrets_namespace_objects_over_age{object_namespace=\"shop\"} 13",
        "rotated_secrets_namespace_objects_not_ready{object_namespace=\"shop\",reason=\"NotOwned\",concerns=\"owner\"} 2",
        "rotated_secrets_namespace_not_ready_max_seconds{object_namespace=\"shop\",reason=\"NotOwned\",concerns=\"owner\"} 90",
        "rotated_secrets_namespace_overdue_max_seconds{object_namespace=\"shop\"} 60",
        "rotated_secrets_namespace_objects_out_of_step{object_namespace=\"shop\"} 4",
        "rotated_secrets_namespace_objects_not_rolled_out{object_namespace=\"shop\",reason=\"RolloutFailed\"} 3",
        "rotated_secrets_namespace_rollout_waiting_max_seconds{object_namespace=\"shop\"} 65",
        "rotated_secrets_namespace_deleting_max_seconds{object_namespace=\"shop\"} 75",
        "rotated_secrets_namespace_unreadable_objects{object_namespace=\"shop\"} 9",
        "rotated_secrets_namespace_targets_refusing{object_namespace=\"shop\",reason=\"ApplyFailed\"} 10",
        "rotated_secrets_namespace_mirror_repairs_total{object_namespace=\"shop\"} 1",
        "rotated_secrets_objects_status_not_written 11",
        "rotated_secrets_next_rotation_timestamp_seconds{} 1800000000",
        "rotated_secrets_object_version_timestamp_seconds{object_namespace=\"shop\",object_name=\"db\"} 1700000000",
        concat!("rotated_secrets_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    metrics.leads(false);
    assert!(metrics.render().unwrap().contains("rotated_secrets_objects_status_not_written 0\n"), "a standby writes none");
    drop(under_way);
    assert!(metrics.render().unwrap().contains("rotated_secrets_reconciles_in_progress 0"));
}

#[test]
fn the_time_without_a_leader_begins_when_the_lease_expires_or_nobody_holds_it() {
    let metrics = Metrics::new();
    let hours = || {
        let page = metrics.render().unwrap();
        let seconds = page.lines().find_map(|line| line.strip_prefix("rotated_secrets_leaderless_seconds "));
        seconds.unwrap().parse::<u64>().unwrap() / 3600
    };
    let hour = Duration::from_hours(1);
    assert_eq!(hours(), 0, "there is no election");
    // The clock of a machine that was just started does not go back that far.
    let Some(past) = Instant::now().checked_sub(2 * hour) else { return };
    metrics.led_until(Some(past));
    assert_eq!(hours(), 2, "expired");
    metrics.led_until(None);
    assert_eq!(hours(), 2, "and deleted later");
    metrics.led_until(Some(Instant::now() + hour));
    assert_eq!(hours(), 0, "held");
    metrics.led_until(None);
    assert_eq!(hours(), 0, "nobody holds it from now on");
}

#[test]
fn the_first_event_of_each_kind_is_an_increase() {
    let page = Metrics::new().render().unwrap();
    for series in [
        "errors_total{reason=\"InternalError\"}",
        "errors_total{reason=\"StatusNotWritten\"}",
        "reconciles_total{outcome=\"error\"}",
        "steps_total{step=\"Put\",outcome=\"failed\"}",
        "mirror_writes_total{cause=\"Repair\"}",
        "kubernetes_requests_total{method=\"PATCH\",code=\"403\"}",
        "kubernetes_requests_total{method=\"GET\",code=\"error\"}",
        "drift_repairs_total{step=\"ReplaceMirror\"}",
        "rotations_total{strategy=\"Generate\",cause=\"Scheduled\",outcome=\"Succeeded\"}",
    ] {
        assert!(page.lines().any(|line| line == format!("rotated_secrets_{series} 0")), "{series} in {page}");
    }
}

#[test]
fn what_is_not_there_any_more_is_not_shown_any_more() {
    let there = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let metrics = Metrics::new();
    metrics.count_objects({
        let there = Arc::clone(&there);
        move || {
            let mut census = FleetStats::default();
            if there.load(std::sync::atomic::Ordering::Relaxed) {
                census.ready.insert(("True", "Succeeded"), 1);
                census.next_rotation = Some(Timestamp::UNIX_EPOCH);
            }
            census
        }
    });
    let page = metrics.render().unwrap();
    assert!(page.contains("rotated_secrets_objects{") && page.contains("rotated_secrets_next_rotation_timestamp_seconds{} 0"), "{page}");
    there.store(false, std::sync::atomic::Ordering::Relaxed);
    let page = metrics.render().unwrap();
    assert!(!page.contains("rotated_secrets_objects{") && !page.contains("rotated_secrets_next_rotation_timestamp_seconds{} 0"), "{page}");
}
