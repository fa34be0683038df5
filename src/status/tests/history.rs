//! What the status remembers: failures, requests, versions and their causes, schedules, and what is told of a turn.

use super::*;
use crate::api::condition::{Statement, merge};
use crate::api::{REFRESH, StepFailure};

fn entry(version: &VersionId, time: i64, cause: Cause) -> HistoryEntry {
    HistoryEntry {
        version_id: version.to_string(),
        time: Time(at(time)),
        cause,
        outcome: crate::api::Outcome::Succeeded,
        reason: None,
        copy_of: None,
        due_time: None,
        failed_attempts: None,
    }
}

/// A status that knows these versions, newest first.
fn knows(versions: &[(&VersionId, i64)]) -> RotatedSecretStatus {
    let history = versions.iter().map(|(version, time)| entry(version, *time, Cause::External)).collect();
    RotatedSecretStatus { history, ..RotatedSecretStatus::default() }
}

/// The status after `version` was seen to be current.
fn sees(
    before: &RotatedSecretStatus,
    want: &Desired,
    version: &VersionId,
    previous: Option<&VersionId>,
    changed: i64,
) -> RotatedSecretStatus {
    let mut facts = seen(version, changed);
    facts.secret.as_mut().unwrap().labels.extend(previous.map(|previous| ("AWSPREVIOUS".to_owned(), previous.clone())));
    let outcome = assessed(facts, rest());
    report(&object(before), Some(want), &outcome, at(changed + 5))
}

/// Since when the schedule of `want` is in force.
fn since_when(status: &RotatedSecretStatus, want: &Desired, now: Timestamp) -> Option<Timestamp> {
    match &want.rotation {
        Rotation::Scheduled { expression, .. } => read(&object(status), now).schedule_since(expression, now),
        _ => None,
    }
}

fn cron(expression: &str) -> Desired {
    Desired { rotation: scheduled(expression), ..want() }
}

fn in_force(expression: &str, since: Option<i64>) -> ScheduleStatus {
    ScheduleStatus { expression: expression.to_owned(), since: since.map(|since| Time(at(since))) }
}

#[test]
fn failures_in_a_row_are_counted_and_wait_by_their_class_in_whole_seconds() {
    let mut status = live();
    for (count, class) in [(1, Class::Retry), (2, Class::Retry), (3, Class::Throttled), (4, Class::Limit)] {
        let now = MADE + 100 * i64::from(count);
        status = after(&status, &failure(ConditionType::Provisioned, class, Reason::AwsUnavailable), now);
        let wait = backoff::delay(class, u32::try_from(count).unwrap(), ids().seed()).as_secs();
        let (since, next) = (Some(Time(at(MADE + 100))), Some(Time(at(now + wait))));
        let step = StepFailure {
            step: "Read".to_owned(),
            detail: None,
            condition: "Provisioned".to_owned(),
            class: class.as_str().to_owned(),
            reason: Reason::AwsUnavailable.as_str().to_owned(),
            message: "why AwsUnavailable".to_owned(),
            count,
            since: since.clone(),
            next_attempt_time: next.clone(),
        };
        let steps = vec![step];
        let expected = FailureStatus { count, since, next_attempt_time: next, requests: None, generation: Some(1), access: None, steps };
        assert_eq!(status.failures, Some(expected));
    }
    for end in [
        rested(rest()),
        rested(Rest { suspended: true, ..Rest::default() }),
        Outcome::Invalid { refusal: refusal(Reason::InvalidSpec), secret_exists: None },
    ] {
        assert_eq!(after(&status, &end, MADE + 900).failures, None, "{end:?}");
    }
    let quick = failure(ConditionType::Mirrored, Class::Conflict, Reason::Progressing);
    for seed in 0..20_u32 {
        let mut object = object(&live());
        object.metadata.uid = Some(seed.to_string());
        let next = report(&object, Some(&want()), &quick, at(MADE)).failures.unwrap().next_attempt_time.unwrap();
        assert!(next.0 > at(MADE), "a wait of nothing would spin");
    }
}

#[test]
fn a_wait_ends_by_time_by_a_new_generation_and_once_by_each_new_refresh_request() {
    let failing = |refresh: Option<&str>, before: &RotatedSecretStatus| {
        let want = Desired { refresh_request: refresh.map(crate::desired::bounded), ..want() };
        report(&object(before), Some(&want), &throttled(), at(MADE))
    };
    let waits = |status: &RotatedSecretStatus, refresh: Option<&str>, generation: i64, now: Timestamp| {
        let mut object = object(status);
        object.metadata.generation = Some(generation);
        object.metadata.annotations = refresh.map(|token| BTreeMap::from([(REFRESH.to_owned(), token.to_owned())]));
        super::waits(&object, now).read
    };
    let status = failing(None, &live());
    let until = status.failures.clone().unwrap().next_attempt_time.unwrap().0;
    let second = SignedDuration::from_secs(1);
    assert_eq!(waits(&status, None, 1, at(MADE)), Some(until));
    assert_eq!(waits(&status, None, 1, until - second), Some(until));
    assert_eq!(waits(&status, None, 1, until), None, "time");
    assert_eq!(waits(&status, None, 2, at(MADE)), None, "generation");
    assert_eq!(waits(&status, Some(""), 1, at(MADE)), Some(until), "an empty annotation asks for nothing");

    let long = "x".repeat(300);
    for token in ["now", &long] {
        assert_eq!(waits(&status, Some(token), 1, at(MADE)), None, "a new request");
        let again = failing(Some(token), &status);
        let until = again.failures.clone().unwrap().next_attempt_time.unwrap().0;
        assert_eq!(waits(&again, Some(token), 1, at(MADE)), Some(until), "the same request");
        assert_eq!(waits(&again, Some("later"), 1, at(MADE)), None, "the next request");
        assert_eq!(waits(&again, None, 1, at(MADE)), Some(until), "a request that was taken back");
    }
    assert_eq!(waits(&live(), None, 1, at(MADE)), None, "there is nothing to wait for");
    let mut fresh = object(&status);
    fresh.status = None;
    assert!(super::waits(&fresh, at(MADE)).is_empty());
}

#[test]
fn requests_are_acknowledged_when_they_are_handled_and_then_remembered() {
    let asked = |refresh: Option<&str>| Desired { refresh_request: refresh.map(str::to_owned), ..want() };
    let acknowledged = |before: &RotatedSecretStatus, refresh: Option<&str>, rest: Rest| {
        let requests = report(&object(before), Some(&asked(refresh)), &rested(rest), at(MADE)).requests.unwrap_or_default();
        (requests.refresh, requests.rotate)
    };
    let both = Some(RequestStatus { rotate: Some("r1".to_owned()), refresh: Some("f1".to_owned()), ..RequestStatus::default() });
    let before = RotatedSecretStatus { requests: both, ..live() };
    let handled = |token: &str| Rest { rotate_handled: Some(token.to_owned()), ..rest() };
    let some = |token: &str| Some(token.to_owned());
    assert_eq!(acknowledged(&live(), None, rest()), (None, None));
    assert_eq!(acknowledged(&live(), Some("f1"), handled("r1")), (some("f1"), some("r1")));
    assert_eq!(acknowledged(&before, None, rest()), (some("f1"), some("r1")));
    assert_eq!(acknowledged(&before, Some("f2"), handled("r2")), (some("f2"), some("r2")));
    assert_eq!(acknowledged(&before, Some("f2"), Rest { awaiting: true, ..rest() }), (some("f2"), some("r1")));
}

#[test]
fn the_cause_of_a_version_follows_from_its_id() {
    let (first, second, other) = (id("first"), id("second"), VersionIds::of("another object"));
    let asking = |token: &str| Desired { rotate_request: Some(token.to_owned()), ..want() };
    let slot = |hours: i64| ids().slot(at(MADE + hours * HOUR));
    let by_hand = |version: VersionId| (want(), version);
    let table: Vec<((Desired, VersionId), Cause)> = vec![
        (by_hand(ids().creation()), Cause::Created),
        (by_hand(slot(1)), Cause::Scheduled),
        (by_hand(slot(3)), Cause::Scheduled),
        (by_hand(slot(50)), Cause::External),
        (by_hand(other.slot(at(MADE + HOUR))), Cause::External),
        ((Desired { rotation: Rotation::Never, ..want() }, slot(1)), Cause::External),
        ((cron("0 8 * * *"), ids().slot(at(MADE + 7 * HOUR + 1800))), Cause::Scheduled),
        ((asking("now"), ids().request("now")), Cause::Requested),
        ((asking("later"), ids().request("now")), Cause::External),
        (by_hand(ids().declaration(&second, &declared("admin").hash())), Cause::SpecChanged),
        (by_hand(ids().declaration(&first, &declared("admin").hash())), Cause::External),
        (by_hand(first.clone()), Cause::RolledBack),
        (by_hand(id("somebody's")), Cause::External),
    ];
    let before = knows(&[(&second, MADE), (&first, MADE - HOUR)]);
    for (row, ((want, version), cause)) in table.into_iter().enumerate() {
        let status = sees(&before, &want, &version, Some(&second), MADE + 4 * HOUR);
        assert_eq!(HistoryEntry { due_time: None, ..status.history[0].clone() }, entry(&version, MADE + 4 * HOUR, cause), "row {row}");
        assert_eq!(status.history[1..], before.history[..], "row {row}");
        assert_eq!(status.last_rotation_time, Some(Time(at(MADE + 4 * HOUR))), "row {row}");
    }
    let ours = [(&slot(1), MADE + HOUR), (&ids().creation(), MADE)];
    let back = sees(&knows(&ours), &want(), &ids().creation(), Some(&slot(1)), MADE + 2 * HOUR);
    assert_eq!(back.history[0].cause, Cause::RolledBack, "also to a version that we made");
    let forth = sees(&back, &want(), &slot(1), None, MADE + 3 * HOUR);
    assert_eq!((forth.history[0].cause, forth.history.len()), (Cause::RolledBack, 4));
    let mirrored = Desired { value: None, rotation: Rotation::Never, ..want() };
    assert_eq!(sees(&before, &mirrored, &id("new"), Some(&second), MADE).history[0].cause, Cause::External);
}

#[test]
fn a_rotation_that_is_due_by_the_edit_of_its_schedule_is_scheduled() {
    // The second edit: to every hour, when the value is four hours and a half old.
    let edited = MADE + 4 * HOUR + 1800;
    let want = cron("0 * * * *");
    let before = RotatedSecretStatus { schedule: Some(in_force("0 12 * * *", Some(MADE + HOUR))), ..knows(&[(&ids().creation(), MADE)]) };
    let Rotation::Scheduled { clock, .. } = &want.rotation else { panic!() };
    let due = clock.due_after(at(MADE), since_when(&before, &want, at(edited))).unwrap();
    assert_eq!(due, at(MADE + 1800), "as the plan finds it: due and overdue");
    let status = sees(&before, &want, &ids().slot(due), Some(&ids().creation()), edited);
    assert_eq!((status.history[0].cause, status.missed_rotations), (Cause::Scheduled, 4));
}

#[test]
fn the_cause_is_found_although_the_status_was_lost() {
    let eight = MADE + 7 * HOUR + 1800;
    let status = sees(&RotatedSecretStatus::default(), &cron("0 8 * * *"), &ids().slot(at(eight)), Some(&id("before")), eight + 5);
    assert_eq!(status.history[0].cause, Cause::Scheduled);
}

#[test]
fn the_history_holds_ten_versions_newest_first() {
    let mut status = RotatedSecretStatus::default();
    for n in 0..25 {
        status = sees(&status, &want(), &id(&format!("v{n}")), None, MADE + n);
    }
    let versions: Vec<&str> = status.history.iter().map(|entry| entry.version_id.as_str()).collect();
    assert_eq!(versions, ["v24", "v23", "v22", "v21", "v20", "v19", "v18", "v17", "v16", "v15"]);
}

#[test]
fn the_same_version_is_one_entry_whose_time_is_what_aws_says() {
    let before = knows(&[(&id("v1"), MADE), (&id("v0"), MADE - HOUR)]);
    let status = sees(&before, &want(), &id("v1"), None, MADE + 7);
    assert_eq!(status.history, [entry(&id("v1"), MADE + 7, Cause::External), before.history[1].clone()]);
    assert_eq!(status.last_rotation_time, Some(Time(at(MADE + 7))));
}

#[test]
fn after_an_outage_of_so_many_periods_so_many_rotations_were_missed() {
    let before = knows(&[(&id("v0"), MADE)]);
    let missed = |want: &Desired, due: i64, changed: i64| sees(&before, want, &ids().slot(at(due)), None, changed).missed_rotations;
    let first = MADE + HOUR;
    for periods in 0..5_i32 {
        assert_eq!(missed(&want(), first, first + i64::from(periods) * HOUR + 10), periods, "rate");
        assert_eq!(missed(&cron("0 * * * *"), first - 1800, first - 1800 + i64::from(periods) * HOUR + 10), periods, "cron");
    }
    let in_window = |on_missed| Desired { rotation: on_clock("rate(1 hour)", 50, on_missed), ..want() };
    for on_missed in [OnMissedWindow::RotateNow, OnMissedWindow::NextWindow] {
        for (late, expected) in [(44 * 60, 0), (50 * 60 - 1, 0), (HOUR + 44 * 60, 1), (3 * HOUR, 3)] {
            assert_eq!(missed(&in_window(on_missed), first, first + late), expected, "a window of fifty minutes");
        }
    }
    assert_eq!(missed(&want(), first + 2 * HOUR, first + 2 * HOUR + 10), 0, "it was on time, and no status has the two before");
    let late = RotatedSecretStatus { missed_rotations: 3, ..before.clone() };
    assert_eq!(sees(&late, &want(), &ids().slot(at(first)), None, first).missed_rotations, 0, "on time again");
    assert_eq!(sees(&late, &want(), &id("foreign"), None, first).missed_rotations, 3, "not the operator's rotation");
}

#[test]
fn a_schedule_is_in_force_since_its_edit_or_from_the_start() {
    let now = MADE + 9 * HOUR;
    let known = |schedule| RotatedSecretStatus { schedule, ..knows(&[(&id("v0"), MADE)]) };
    let rate = "rate(1 hour)";
    let table = vec![
        ("a new object", RotatedSecretStatus::default(), want(), None),
        ("there from the start", known(Some(in_force(rate, None))), want(), None),
        ("edited once", known(Some(in_force(rate, Some(MADE + 5)))), want(), Some(MADE + 5)),
        ("edited now", known(Some(in_force("rate(2 hours)", None))), want(), Some(now)),
        ("edited again", known(Some(in_force("rate(2 hours)", Some(MADE + 5)))), want(), Some(now)),
        ("added later", known(None), want(), Some(now)),
        ("taken away", known(Some(in_force(rate, None))), Desired { rotation: Rotation::Never, ..want() }, None),
        (
            "refused",
            known(Some(in_force(rate, None))),
            Desired { rotation: Rotation::Refused(refusal(Reason::InvalidSpec)), ..want() },
            None,
        ),
    ];
    for (case, before, want, since) in table {
        let since = since.map(at);
        assert_eq!(since_when(&before, &want, at(now)), since, "{case}");
        let status = report(&object(&before), Some(&want), &rested(rest()), at(now));
        let expected = (!matches!(want.rotation, Rotation::Never)).then(|| in_force(rate, since.map(Timestamp::as_second)));
        assert_eq!(status.schedule, expected, "{case}: what cannot be carried out leaves in force what was");
        assert_eq!(since_when(&status, &want, at(now + 60)), since, "{case}: a minute later");
    }
    let unsettled = rested(Rest { awaiting: true, ..rest() });
    assert_eq!(after(&known(None), &unsettled, now).schedule, None, "nothing is said of what is not settled");
}

#[test]
fn every_edit_of_the_clock_is_an_edit_and_a_suspension_is_none() {
    let now = MADE + 9 * HOUR;
    let Rotation::Scheduled { clock, expression, .. } = on_clock("0 8 * * *", 60, OnMissedWindow::NextWindow) else { panic!() };
    let before = RotatedSecretStatus { schedule: Some(in_force(&expression, Some(MADE + 5))), ..knows(&[(&id("v0"), MADE)]) };
    let since = |rotation| since_when(&before, &Desired { rotation, ..want() }, at(now));
    let same =
        |suspended, immediately| Rotation::Scheduled { clock: clock.clone(), expression: expression.clone(), suspended, immediately };
    for rotation in [same(false, false), same(true, false), same(false, true)] {
        assert_eq!(since(rotation), Some(at(MADE + 5)));
    }
    for (expression, window, on_missed) in [
        ("0 9 * * *", 60, OnMissedWindow::NextWindow),
        ("0 8 * * *", 61, OnMissedWindow::NextWindow),
        ("0 8 * * *", 60, OnMissedWindow::RotateNow),
    ] {
        assert_eq!(since(on_clock(expression, window, on_missed)), Some(at(now)), "{expression} {window}");
    }
}

#[test]
fn the_schedule_comes_into_force_after_the_first_rotation_that_was_asked_for() {
    let before = knows(&[(&id("v0"), MADE)]);
    let pending = rested(Rest { first_pending: true, ..rest() });
    let status = report(&object(&before), Some(&want()), &pending, at(MADE + 60));
    assert_eq!(status.schedule, None);
    assert!(read(&object(&status), at(MADE + 120)).rotation_is_new(), "so it is still to come");
    let status = sees(&before, &want(), &ids().first(), Some(&id("v0")), MADE + 9 * HOUR);
    assert_eq!((status.history[0].cause, status.missed_rotations), (Cause::Scheduled, 0), "there was no due time to miss");
    assert_eq!(status.schedule, Some(in_force("rate(1 hour)", Some(MADE + 9 * HOUR + 5))));
    assert!(!read(&object(&status), at(MADE + 10 * HOUR)).rotation_is_new());
    assert!(!read(&object(&RotatedSecretStatus::default()), at(MADE)).rotation_is_new(), "a status that was lost asks for nothing");
}

#[test]
fn the_plan_gets_back_what_the_status_reports() {
    let requests = Some(RequestStatus { rotate: Some("r1".to_owned()), refresh: Some("f1".to_owned()), ..RequestStatus::default() });
    let status = RotatedSecretStatus { requests, ..live() };
    let facts = read(&object(&status), at(MADE + 60));
    let fields = vec!["password".to_owned(), "username".to_owned()];
    assert_eq!((facts.declared.hash.clone(), facts.declared.all.clone()), (Some(declared("admin").hash()), fields));
    assert_eq!(facts.declared.fixed, ["username"]);
    assert_eq!((facts.requests.rotate.as_deref(), facts.requests.refresh.as_deref()), (Some("r1"), Some("f1")));
    assert_eq!((facts.newest(), facts.arn.as_deref()), (Some(&ids().creation()), Some(ARN)));
    assert!(facts.current_generation && facts.schedule.is_some());
    let begun = RotatedSecretStatus { schedule: None, ..status };
    assert_eq!(read(&object(&begun), at(MADE)).rotation_is_new(), !begun.history.is_empty());
    assert_eq!(read(&object(&RotatedSecretStatus::default()), at(MADE)), StatusFacts::default());
}

#[test]
fn what_was_declared_is_reported_only_when_it_was_carried_out() {
    let other = Desired { value: Some(declared("other")), ..want() };
    for (rest, carried_out) in [
        (rest(), true),
        (Rest { rotated: Some(refusal(Reason::Overdue)), ..rest() }, true),
        (Rest { provisioned: Some(refusal(Reason::ForeignPending)), ..rest() }, false),
        (Rest { awaiting: true, ..rest() }, false),
        (Rest { provisioned: Some(refusal(Reason::NotOwned)), ..Rest::default() }, false),
    ] {
        let status = report(&object(&live()), Some(&other), &rested(rest), at(MADE + 60));
        let hash = if carried_out { declared("other").hash() } else { declared("admin").hash() };
        assert_eq!(status.declared.unwrap().hash, hash);
    }
}

#[test]
fn equal_facts_give_an_equal_status_however_often_they_are_reported() {
    let early = |reason| Rest { provisioned: Some(refusal(reason)), ..Rest::default() };
    let outcomes = [
        rested(rest()),
        rested(early(Reason::NotOwned)),
        rested(Rest { awaiting: true, ..early(Reason::Creating) }),
        rested(Rest { mirrored: Some(refusal(Reason::SecretNotOwned)), ..early(Reason::Creating) }),
        rested(Rest { rotated: Some(refusal(Reason::Overdue)), rotate_handled: Some("r1".to_owned()), ..rest() }),
        rested(Rest { awaiting: true, ..rest() }),
        rested(Rest { suspended: true, ..Rest::default() }),
        Outcome::Invalid { refusal: refusal(Reason::InvalidSpec), secret_exists: None },
    ];
    let overdue = after(&live(), &throttled(), MADE + 2 * HOUR);
    let edited = RotatedSecretStatus { schedule: Some(in_force("rate(2 hours)", None)), ..live() };
    let wants = [want(), Desired { target: None, refresh_request: Some("f1".to_owned()), ..want() }];
    for before in [RotatedSecretStatus::default(), live(), overdue, edited, knows(&[(&id("v1"), MADE), (&ids().creation(), 0)])] {
        for outcome in &outcomes {
            for want in &wants {
                let once = report(&object(&before), Some(want), outcome, at(MADE + 3 * HOUR));
                let twice = report(&object(&once), Some(want), outcome, at(MADE + 3 * HOUR + 60));
                assert_eq!(once, twice, "{outcome:?}\n{before:?}");
            }
        }
    }
}

#[test]
fn a_refusal_never_puts_what_belongs_to_a_stranger_into_the_status() {
    let mut facts = seen(&id("stranger's version"), MADE);
    facts.secret.as_mut().unwrap().arn = "arn:stranger".to_owned();
    for reason in [Reason::NotOwned, Reason::AlreadyExists, Reason::ScheduledForDeletion, Reason::NameNotAllowed] {
        for before in [RotatedSecretStatus::default(), live()] {
            let rest = Rest { provisioned: Some(refusal(reason)), ..Rest::default() };
            let outcome = assessed(facts.clone(), rest);
            let status = after(&before, &outcome, MADE + 60);
            assert!(!serde_json::to_string(&status).unwrap().contains("stranger"), "{status:?}");
            assert_eq!((status.aws, status.history, status.mirror), (before.aws, before.history, before.mirror));
        }
    }
    let gone = Observation { secret: None, ..facts };
    let outcome = assessed(gone, Rest { provisioned: Some(refusal(Reason::SecretNotFound)), ..Rest::default() });
    let expected = AwsStatus { region: Some("eu-central-1".to_owned()), ..AwsStatus::default() };
    assert_eq!(after(&live(), &outcome, MADE + 60).aws, Some(expected), "an ARN that is gone is not used again");
}

#[test]
fn a_mirror_that_is_not_ours_is_not_reported_as_ours() {
    for mirror in [MirrorState::Foreign, MirrorState::Absent, MirrorState::Unwanted] {
        let facts = Observation { mirror, ..seen(&ids().creation(), MADE) };
        let rest = Rest { mirrored: Some(refusal(Reason::SecretNotOwned)), ..rest() };
        assert_eq!(after(&live(), &assessed(facts, rest), MADE).mirror, None);
    }
}

#[test]
fn the_owner_of_an_object_hears_of_what_changed_and_of_nothing_else() {
    // Ready, the version, and whether the mirror is known.
    let status = |ready: Option<(bool, Reason)>, version: Option<(&str, Cause)>, mirror: bool| {
        let ready = ready.map(|(holds, reason)| Statement {
            of: ConditionType::Ready,
            holds,
            reason,
            message: format!("why {reason}"),
            kept: false,
        });
        RotatedSecretStatus {
            conditions: merge(&[], ready.as_slice(), None, at(MADE)),
            history: version.iter().map(|(version, cause)| entry(&id(version), MADE, *cause)).collect(),
            mirror: mirror.then(MirrorStatus::default),
            ..RotatedSecretStatus::default()
        }
    };
    let well = |version, cause| status(Some((true, Reason::Succeeded)), Some((version, cause)), true);
    let ill = |reason| status(Some((false, reason)), Some(("v1", Cause::Created)), true);
    let v1 = || well("v1", Cause::Created);
    let new = RotatedSecretStatus::default;
    let table: Vec<(RotatedSecretStatus, RotatedSecretStatus, &[StepKind], &[&str])> = vec![
        (new(), v1(), &[StepKind::Create, StepKind::CreateMirror], &["Created"]),
        (v1(), well("v2", Cause::Scheduled), &[StepKind::Put, StepKind::ReplaceMirror], &["Rotated"]),
        (v1(), well("v2", Cause::Requested), &[StepKind::Put, StepKind::ReplaceMirror], &["Rotated"]),
        (v1(), well("v2", Cause::SpecChanged), &[StepKind::Put, StepKind::ReplaceMirror], &["ValueChanged"]),
        (v1(), well("v2", Cause::External), &[StepKind::ReplaceMirror], &["ChangedInAws"]),
        (v1(), well("v2", Cause::RolledBack), &[StepKind::ReplaceMirror], &["RolledBack"]),
        (v1(), v1(), &[StepKind::ReplaceMirror], &["!MirrorRepaired"]),
        (v1(), v1(), &[StepKind::CreateMirror], &["!MirrorRepaired"]),
        (v1(), v1(), &[StepKind::Tag, StepKind::SetDescription], &[]),
        (v1(), v1(), &[], &[]),
        (status(Some((true, Reason::Succeeded)), Some(("v1", Cause::Created)), false), v1(), &[StepKind::CreateMirror], &[]),
        (v1(), ill(Reason::Throttled), &[], &["!Throttled"]),
        (new(), status(Some((false, Reason::NotOwned)), None, false), &[], &["!NotOwned"]),
        (ill(Reason::Throttled), ill(Reason::Throttled), &[], &[]),
        (ill(Reason::Throttled), ill(Reason::AccessDenied), &[], &["!AccessDenied"]),
        (v1(), ill(Reason::Progressing), &[], &["Progressing"]),
        (v1(), ill(Reason::Suspended), &[], &["Suspended"]),
        (ill(Reason::Throttled), v1(), &[], &["Recovered"]),
        (ill(Reason::Throttled), well("v2", Cause::Scheduled), &[StepKind::Put, StepKind::ReplaceMirror], &["Rotated", "Recovered"]),
    ];
    for (row, (before, after, steps, expected)) in table.iter().enumerate() {
        let told: Vec<EventNote> = events::of_mirror(before, after, steps, None).into_iter().chain(event_notes(before, after)).collect();
        let short: Vec<String> = told.iter().map(|told| format!("{}{}", if told.warning { "!" } else { "" }, told.reason)).collect();
        assert_eq!(short, *expected, "row {row}");
        let version = super::super::recorded(before, after).map(|entry| entry.version_id.as_str());
        let first = told.first().map_or("", |told| told.note.as_str());
        assert!(version.is_none_or(|version| first.contains(version)), "row {row}: {first}");
        assert_eq!(version.is_some(), before.history != after.history, "row {row}: only a new head is news");
    }
}
