use super::*;

const TARGET: u64 = 7;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn size(memory: &Memory) -> usize {
    memory.generations().len()
}

/// One namespace after the other, so that an entry is used once in an interval only.
#[test]
fn every_target_is_asked_however_many_objects_there_are() {
    let (memory, objects) = (Memory::default(), 3 * MANY);
    memory.remembers_checks_of(move || objects);
    let every = SignedDuration::from_mins(60);
    let due = |number: usize, round: i64| {
        let offset = SignedDuration::from_secs(i64::try_from(number % 3600).unwrap());
        memory.checks.due(&number.to_string(), TARGET, every, offset, false, at(round * 3600)) <= at(round * 3600)
    };
    assert_eq!((0..objects).filter(|number| due(*number, 0)).count(), objects.div_ceil(3600), "they are spread over the interval");
    assert_eq!((0..objects).filter(|number| due(*number, 1)).count(), objects);
}

#[test]
fn the_number_of_objects_is_limited_and_an_object_in_use_stays() {
    let memory = Memory::default();
    memory.keep_quiet("ours", at(0));
    for number in 0..5 * MANY {
        memory.keep_quiet(&format!("theirs-{number}"), at(1));
        if number % 1000 == 0 {
            assert_eq!(memory.unreported("ours", at(1)), Some((1, at(0))), "{number}");
        }
    }
    assert!(size(&memory) <= 2 * MANY);
    assert_eq!(memory.unreported("theirs-0", at(1)), None);
}

#[test]
fn a_target_is_asked_once_in_an_interval_and_first_at_the_place_of_its_object() {
    let (every, offset) = (SignedDuration::from_mins(60), SignedDuration::from_mins(7));
    let memory = Memory::default();
    let due = |refused: bool, now: i64| memory.checks.due("db", TARGET, every, offset, refused, at(now));
    assert_eq!(due(false, 0), at(7 * 60));
    assert_eq!(due(false, 300), at(7 * 60), "the first time stays, also if nothing else is known of the object");
    memory.checks.accepts("db", TARGET, at(500));
    assert_eq!(due(true, 501), at(500 + 3600), "what this process saw counts");
    assert_eq!(due(false, -7200), at(-7200), "a wrong clock");
    memory.checks.refuses("db", TARGET);
    assert_eq!(due(false, 502), at(502), "the step has a backoff of its own");
    assert_eq!(memory.checks.silent("db", TARGET, 0, at(503)), None, "what it refused stays refused");
    assert_eq!(due(false, 504), at(504));
    memory.checks.accepts("db", TARGET, at(505));
    assert_eq!(due(false, 505), at(505 + 3600));
    let elsewhere = memory.checks.due("db", TARGET + 1, every, offset, false, at(506));
    assert_eq!(elsewhere, at(506), "another target is asked at once");
    memory.forget("db");
    assert_eq!(due(true, 506), at(506), "a restart does not hide a refusal");
}

#[test]
fn a_recorded_version_is_met_once_and_again_when_it_is_staged() {
    let memory = Memory::default();
    let (one, two) = (VersionId::from("one"), VersionId::from("two"));
    assert_eq!((memory.meets("db", &one, at(10)), memory.meets("db", &one, at(20))), (Some(at(10)), Some(at(10))));
    memory.stages("db", &one, at(30));
    assert_eq!(memory.meets("db", &one, at(40)), Some(at(30)));
    assert_eq!(memory.meets("db", &two, at(50)), Some(at(50)));
    assert_eq!(memory.meets("db", &two, at(45)), Some(at(45)), "a wrong clock");
    // Nothing is waited for that this process recorded itself and has not sent.
    memory.announces("db", &one, at(60));
    assert_eq!((memory.meets("db", &one, at(61)), memory.meets("other", &one, at(61))), (None, Some(at(61))));
    memory.stages("db", &one, at(70));
    assert_eq!(memory.meets("db", &one, at(71)), Some(at(70)));
}

#[test]
fn with_a_new_term_of_leadership_every_recorded_version_is_met_again() {
    let memory = Memory::default();
    let one = VersionId::from("one");
    memory.announces("db", &one, at(10));
    memory.begins_to_lead();
    assert_eq!(memory.meets("db", &one, at(400)), Some(at(400)));
}

#[test]
fn a_version_that_was_there_already_does_not_replace_one_that_was_written() {
    let memory = Memory::default();
    let (older, newer) = (VersionId::from("older"), VersionId::from("newer"));
    memory.puts("db", &newer, Cause::Scheduled, false);
    memory.puts("db", &older, Cause::Requested, true);
    assert_eq!(memory.unreported_version("db"), Some((newer, Cause::Scheduled)));
    memory.puts("other", &older, Cause::Requested, true);
    assert_eq!(memory.unreported_version("other"), Some((older, Cause::Requested)), "its answer was lost");
}

#[test]
fn a_target_that_does_not_answer_is_asked_again_after_ten_minutes_at_most() {
    let memory = Memory::default();
    let mut now = 0;
    let mut waits = Vec::new();
    for _ in 0..12 {
        let until = memory.checks.silent("db", TARGET, 7, at(now)).unwrap();
        let due = memory.checks.due("db", TARGET, SignedDuration::from_hours(1), SignedDuration::ZERO, false, at(now));
        assert_eq!(due, until);
        waits.push(until.as_second() - at(now).as_second());
        now = until.as_second() - at(0).as_second();
    }
    assert!(waits[0] <= 6 && waits.is_sorted_by_key(|wait| wait.min(&400)) && waits.iter().all(|wait| *wait <= 720), "{waits:?}");
    memory.checks.accepts("db", TARGET, at(now));
    assert!(memory.checks.silent("db", TARGET, 7, at(now)).unwrap() <= at(now + 6), "it begins again");
}

#[test]
fn questions_about_an_object_leave_nothing_and_neither_does_an_object_that_is_gone() {
    let (memory, status) = (Memory::default(), RotatedSecretStatus::default());
    assert_eq!(memory.unreported("db", at(0)), None);
    assert_eq!(memory.unwritable("db", Some(1), at(0)), None);
    assert_eq!(memory.permit("db", &status, &status, at(0)), Permit::Write);
    memory.reported("db");
    assert_eq!(size(&memory), 0);
    memory.wrote("db", &status, at(0));
    memory.cannot_write("db", Some(1), 0, "AccessDenied", at(0));
    assert_eq!(size(&memory), 1);
    memory.forget("db");
    assert_eq!(size(&memory), 0);
}

#[test]
fn a_revision_whose_status_was_replaced_is_recognized_until_the_next_one_is() {
    let memory = Memory::default();
    assert!(!memory.superseded("db", "7") && size(&memory) == 0);
    memory.supersedes("db", "7");
    assert!(memory.superseded("db", "7") && !memory.superseded("db", "8") && !memory.superseded("other", "7"));
    memory.supersedes("db", "8");
    assert!(!memory.superseded("db", "7") && memory.superseded("db", "8"));
}

#[test]
fn an_object_that_cannot_be_read_is_new_once_for_each_generation_and_defect() {
    let memory = Memory::default();
    let is_new = [(1, "deep"), (1, "deep"), (2, "deep"), (2, "large"), (2, "large"), (1, "deep")]
        .map(|(generation, defect)| memory.cannot_read("db", Some(generation), defect));
    assert_eq!(is_new, [true, false, true, true, false, true]);
    assert!(memory.cannot_read("other", Some(1), "deep"));
    memory.forget("db");
    assert!(memory.cannot_read("db", Some(1), "deep"));
}

#[test]
fn two_writers_that_begin_a_suspension_at_other_times_contest_the_status() {
    let memory = Memory::default();
    let status = |missed_rotations: i32, since: i64| RotatedSecretStatus {
        missed_rotations,
        suspension_time: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(since))),
        ..RotatedSecretStatus::default()
    };
    memory.wrote("db", &status(0, 0), at(0));
    for second in 1..=2 {
        assert_eq!(memory.permit("db", &status(1, second), &status(0, second), at(second)), Permit::Write);
        memory.wrote("db", &status(0, second), at(second));
    }
    assert_eq!(memory.permit("db", &status(1, 3), &status(0, 3), at(3)), Permit::WaitUntil(at(62)));
}

#[test]
fn objects_whose_status_cannot_be_written_are_counted_until_nothing_is_to_be_written() {
    let (memory, status) = (Memory::default(), RotatedSecretStatus::default());
    let uids = ["written", "as-written", "gone", "other"];
    for uid in uids {
        assert!(!memory.is_unwritable(uid));
        memory.cannot_write(uid, Some(1), 0, "AccessDenied", at(0));
    }
    assert!(uids.iter().all(|uid| memory.is_unwritable(uid)));
    memory.wrote("written", &status, at(1));
    memory.is_as_written("as-written");
    memory.forget("gone");
    assert_eq!(uids.map(|uid| memory.is_unwritable(uid)), [false, false, false, true]);
}

#[test]
fn a_clock_that_is_set_back_does_not_lengthen_the_wait_after_a_status_that_could_not_be_written() {
    let memory = Memory::default();
    let until = memory.cannot_write("db", Some(1), 0, "AccessDenied", at(3600)).until;
    assert_eq!(memory.unwritable("db", Some(1), at(3600)), Some(until));
    assert_eq!(memory.unwritable("db", Some(1), at(0)), None);
}

#[test]
fn what_stands_in_the_way_of_a_status_is_logged_once_and_then_once_an_hour() {
    let memory = Memory::default();
    let attempt = |failure: &str, refusal: &str, second: i64| {
        let failed = memory.fails_again("db", failure);
        (failed, memory.cannot_write("db", Some(1), 0, refusal, at(second)).logged)
    };
    assert_eq!(attempt("AccessDenied", "AccessDenied", 0), (false, false));
    assert_eq!(attempt("AccessDenied", "AccessDenied", 60), (true, true));
    assert_eq!(attempt("AwsUnavailable", "AccessDenied", 120), (false, true), "the reconcile fails for another reason");
    assert_eq!(attempt("AwsUnavailable", "Conflict", 180), (true, false), "the status is refused for another reason");
    let logged = (5..=LOGGED_AGAIN).filter(|count| attempt("AwsUnavailable", "Conflict", i64::from(60 * count)) == (false, false));
    assert_eq!(logged.collect::<Vec<_>>(), [LOGGED_AGAIN]);
    memory.failed_no_more("db");
    assert!(!memory.fails_again("db", "AwsUnavailable"), "it is another failure");
    assert!(memory.wrote("db", &RotatedSecretStatus::default(), at(3600)) && !memory.is_as_written("db"));
    assert!(!memory.fails_again("db", "AwsUnavailable"), "with a status, each failure is logged");
    assert!(!memory.fails_again("db", "AwsUnavailable"));
}
