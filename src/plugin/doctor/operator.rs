//! Whether an operator is running: by its Lease, by what it has written, by what it should have written by now, and by a
//! request that it must acknowledge.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;

use super::report::{Finding, Report};
use crate::api::{FIELD_MANAGER, RotatedSecret};
use crate::plugin::ages;
use crate::plugin::answer::Outcome;
use crate::plugin::args::{DoctorArgs, OutputArgs, WaitArgs};
use crate::plugin::connect::Session;
use crate::plugin::flags::Flags;
use crate::plugin::format::Format;
use crate::plugin::health::unattended;
use crate::plugin::interrupt::Interrupt;
use crate::plugin::objects::Task;
use crate::plugin::operator::{Leader, leases};
use crate::plugin::progress::{Asked, Asking, Verdict, acknowledged};
use crate::plugin::request::{ready_for, request_refresh};

/// A status that was written this recently shows that the operator runs.
const RECENT: SignedDuration = SignedDuration::from_mins(2);

/// The checks of the operator.
pub(super) async fn check(session: &Session, args: &DoctorArgs, report: &mut Report) {
    let led = leaders(session, report).await;
    match session.list(args.all_namespaces, None).await {
        Ok(seen) => {
            let objects: Vec<RotatedSecret> = seen.into_iter().filter_map(|seen| seen.into_readable().ok()).collect();
            let (result, message) = by_objects(&objects, led, session.now(), &session.flags);
            report.add("operator", result, message);
        }
        Err(_) => report.add("operator", Finding::Note, "the objects cannot be listed, so the operator cannot be checked by them"),
    }
}

/// Who holds the Leases. Returns whether a replica of an operator leads.
async fn leaders(session: &Session, report: &mut Report) -> bool {
    let leases = leases(&session.client, session.now(), &session.flags).await;
    let led = leases.iter().any(|leader| leader.held && leader.bound);
    for Leader { held, bound, message } in leases {
        let result = match (bound, held) {
            (true, true) => Finding::Ok,
            (true, false) => Finding::Problem,
            (false, _) => Finding::Note,
        };
        report.add("operator", result, message);
    }
    led
}

/// Probes the operator by this object, if it can be read. If it does not answer, another client may hold its Lease.
pub(super) async fn probe_named(session: &Session, name: &str, report: &mut Report) {
    if let Ok(object) = session.object(name).await {
        let (result, message) = probe(session, &object).await;
        report.add("operator", result, message);
        if result == Finding::Problem {
            leaders(session, report).await;
        }
    }
}

/// Requests a refresh and waits for its acknowledgement.
async fn probe(session: &Session, object: &RotatedSecret) -> (Finding, String) {
    // The format suppresses the lines of the wait.
    let out = OutputArgs { output: Some(Format::Json) };
    let args = WaitArgs { no_wait: false, cancel: false, timeout: SignedDuration::from_mins(1), out };
    let name = object.name_any();
    let task = Task { name: &name, args: &args, several: false };
    // In a suspended namespace nobody acknowledges it.
    if let Err(trouble) = ready_for(session, task, Asking::Refresh).await {
        return (Finding::Note, format!("not probed: {trouble}"));
    }
    let ended = match request_refresh(session, task, object, &Interrupt::listen()).await {
        Ok(wait) => wait.for_refresh(session, answered, "").await,
        Err(trouble) => Err(trouble),
    };
    match ended {
        Ok(answer) if answer.outcome == Outcome::Done => (Finding::Ok, format!("it has acknowledged a refresh of {name}")),
        Ok(answer) if answer.outcome == Outcome::Interrupted => (Finding::Note, "not probed: interrupted".to_owned()),
        Ok(answer) => (
            Finding::Problem,
            format!("it has not acknowledged a refresh of {name} within 60s: {}", advice(&session.flags, answer.withdraw)),
        ),
        Err(trouble) => (Finding::Note, format!("not probed: {trouble}")),
    }
}

fn answered(object: &RotatedSecret, asked: &Asked) -> Verdict {
    if acknowledged(object, &asked.refresh) { Verdict::Done } else { Verdict::Wait }
}

fn advice(flags: &Flags, withdraw: Option<String>) -> String {
    let withdraw = withdraw.map_or_else(String::new, |command| format!(" (the request stays; to withdraw it: {command})"));
    format!("run {} | grep rotated-secrets, then read its logs{withdraw}", flags.cluster("get pods -A"))
}

/// Whether an operator reconciles the objects. `led`: a replica holds the Lease.
fn by_objects(objects: &[RotatedSecret], led: bool, now: Timestamp, flags: &Flags) -> (Finding, String) {
    let Some(first) = objects.first() else {
        return (Finding::Note, "there is no object to check it by: try -A".to_owned());
    };
    let behind: Vec<(&RotatedSecret, String)> =
        objects.iter().filter_map(|object| Some((object, unattended(object, now, flags)?))).collect();
    let count = count(objects.len());
    if let Some((object, why)) = behind.first() {
        let why = why.split(": ").next().unwrap_or_default();
        let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
        let message = format!("it is behind with {} of {count} ({namespace}/{name}: {why}): {}", behind.len(), advice(flags, None));
        return (Finding::Problem, message);
    }
    let written = objects.iter().filter_map(|object| Some((written(object)?, object))).max_by_key(|(at, _)| *at);
    match written {
        Some((at, object)) if now.duration_since(at) <= RECENT => {
            let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
            let ago = ages::since(at, now);
            (Finding::Ok, format!("it is up to date with {count}, and wrote the status of {namespace}/{name} {ago} ago"))
        }
        _ if led => (Finding::Ok, format!("it is up to date with {count}")),
        _ => {
            let probe = flags.within(&first.namespace().unwrap_or_default()).plugin(&format!("doctor {} --probe", first.name_any()));
            let message = format!("nothing is overdue with {count}, which an absent operator looks like too: {probe} proves that it runs");
            (Finding::Note, message)
        }
    }
}

/// When the operator last wrote the status.
fn written(object: &RotatedSecret) -> Option<Timestamp> {
    let entries = object.managed_fields().iter();
    let ours = entries.filter(|entry| entry.subresource.is_some() && entry.manager.as_deref() == Some(FIELD_MANAGER));
    ours.filter_map(|entry| entry.time.as_ref()).map(|time| time.0).max()
}

fn count(objects: usize) -> String {
    if objects == 1 { "1 object".to_owned() } else { format!("{objects} objects") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, observed: i64, written: &str) -> RotatedSecret {
        serde_json::from_value(json!({
            "apiVersion": "rotated-secrets.io/v1alpha1",
            "kind": "RotatedSecret",
            "metadata": {"name": name, "namespace": "shop", "generation": 2, "creationTimestamp": "2026-06-01T11:00:00Z",
                "managedFields": [{"manager": "rotated-secrets", "subresource": "status", "time": written}]},
            "spec": {},
            "status": {"observedGeneration": observed},
        }))
        .unwrap()
    }

    #[test]
    fn an_operator_is_judged_by_what_it_has_written_and_what_it_has_not() {
        let now = "2026-06-01T12:00:00Z".parse().unwrap();
        let flags = Flags::default();
        let (long_ago, recently) = ("2026-06-01T11:00:00Z", "2026-06-01T11:59:30Z");
        let judged = |objects: &[RotatedSecret], led| by_objects(objects, led, now, &flags);
        assert_eq!(judged(&[], false).0, Finding::Note);
        let fine = judged(&[object("a", 2, recently)], false);
        assert_eq!(fine, (Finding::Ok, "it is up to date with 1 object, and wrote the status of shop/a 30s ago".to_owned()));
        let (result, message) = judged(&[object("a", 2, long_ago)], false);
        assert_eq!(result, Finding::Note, "an operator that is away for an hour looks the same");
        assert!(message.contains("kubectl rotatedsecret doctor a --probe -n shop"), "{message}");
        assert_eq!(judged(&[object("a", 2, long_ago)], true).0, Finding::Ok, "a replica leads");
        let (result, message) = judged(&[object("a", 2, recently), object("b", 1, recently)], true);
        assert_eq!(result, Finding::Problem);
        assert!(message.starts_with("it is behind with 1 of 2 objects (shop/b: the operator has not reconciled the spec"), "{message}");
    }
}
