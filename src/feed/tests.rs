use super::listing::LAG;
use super::*;
use crate::identity::Identity;

const START: i64 = 1_800_000_000;
const INTERVAL: SignedDuration = SignedDuration::from_mins(1);

/// Seconds after the start.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(START + seconds).unwrap()
}

fn source() -> Source {
    Source { identity: Identity::Operator, region: "eu-central-1".to_owned() }
}

fn key(number: i64) -> Key {
    Key::new("shop", format!("o{number}"))
}

fn arn(number: i64) -> String {
    format!("arn:{number}")
}

fn sight(number: i64, changed: i64) -> Sight {
    Sight { source: source(), arn: arn(number), changed: at(changed) }
}

fn entry(number: i64, changed: i64) -> Listed {
    Listed { arn: arn(number), changed: at(changed) }
}

/// A feed on which four objects rest, none of them covered yet.
fn with_four() -> Feed {
    let feed = Feed::new(INTERVAL);
    for number in 0..4 {
        assert!(!feed.rests(&key(number), sight(number, 0), at(0)), "no list has ended");
    }
    feed
}

/// The same after a complete list, with all of them covered.
fn covered() -> Feed {
    let feed = with_four();
    assert_eq!(feed.ended(&source(), at(60), &Answer::Listed(vec![entry(0, 0)])), (vec![], Some(Standing::Working)));
    for number in 0..4 {
        assert!(feed.rests(&key(number), sight(number, 0), at(61)), "{number}");
    }
    feed
}

/// All parts of an interval.
fn all_uncovered(feed: &Feed, now: Timestamp) -> Vec<Key> {
    let mut keys: Vec<Key> = (0..PARTS).flat_map(|part| feed.uncovered(part, now)).collect();
    keys.sort();
    keys
}

#[test]
fn an_entry_requests_the_objects_that_saw_an_older_date_and_no_others() {
    let feed = covered();
    assert!(feed.rests(&Key::new("desk", "same"), sight(1, 0), at(62)), "two objects may mirror one secret");
    let entries = vec![entry(9, 80), entry(1, 80), entry(2, 0), entry(3, -5)];
    let (mut changed, standing) = feed.ended(&source(), at(120), &Answer::Listed(entries.clone()));
    changed.sort();
    assert_eq!(changed, [Key::new("desk", "same"), key(1)]);
    assert_eq!(standing, None, "it works as before");
    // Each list names them until they saw the change.
    assert_eq!(feed.ended(&source(), at(180), &Answer::Listed(entries.clone())).0.len(), 2);
    assert!(feed.rests(&key(1), sight(1, 80), at(190)));
    assert_eq!(feed.ended(&source(), at(240), &Answer::Listed(entries)).0, [Key::new("desk", "same")]);
}

#[test]
fn nothing_is_covered_before_a_list_or_by_few_objects() {
    let feed = with_four();
    assert_eq!(feed.counts(), Counts { covered: 0, uncovered: 4 });
    let feed = Feed::new(INTERVAL);
    assert!(!feed.rests(&key(0), sight(0, 0), at(0)));
    assert!(feed.due(at(3600)).is_empty(), "one object is cheaper to read");
    assert_eq!(covered().counts(), Counts { covered: 4, uncovered: 0 });
}

#[test]
fn a_source_is_listed_once_an_interval_and_first_within_one() {
    let feed = with_four();
    let first = (0..=60).find(|second| !feed.due(at(*second)).is_empty()).unwrap();
    feed.ended(&source(), at(first), &Answer::Listed(vec![]));
    let lists = |second: &i64| {
        let due = !feed.due(at(*second)).is_empty();
        if due {
            feed.ended(&source(), at(*second), &Answer::Listed(vec![]));
        }
        due
    };
    let listed: Vec<i64> = (first + 1..=first + 180).filter(lists).collect();
    assert_eq!(listed, [first + 60, first + 120, first + 180]);
}

#[test]
fn no_list_begins_while_another_one_of_the_source_is_under_way() {
    let feed = with_four();
    assert_eq!(feed.due(at(60)).len(), 1);
    let longest = feed.longest_list().as_secs();
    assert!((61..60 + longest).all(|second| feed.due(at(second)).is_empty()));
    assert_eq!(feed.due(at(60 + longest)).len(), 1, "it is given up");
    feed.ended(&source(), at(60), &Answer::Failed);
    assert_eq!(feed.due(at(61 + longest)).len(), 1, "it took longer than an interval");
}

#[test]
fn the_next_list_is_read_down_to_the_lag_before_the_newest_entry() {
    let feed = with_four();
    assert_eq!(feed.due(at(60)), [(source(), None)]);
    feed.ended(&source(), at(60), &Answer::Listed(vec![entry(7, 50), entry(1, -400)]));
    assert_eq!(feed.due(at(120)), [(source(), at(50).checked_sub(LAG).ok())]);
    feed.ended(&source(), at(120), &Answer::Listed(vec![]));
    feed.ended(&source(), at(180), &Answer::Failed);
    assert_eq!(feed.due(at(180)), [(source(), at(50).checked_sub(LAG).ok())], "a list that failed is made up for by the next one");
    // Nothing has changed for two hours.
    feed.ended(&source(), at(7200), &Answer::Listed(vec![]));
    assert_eq!(feed.due(at(7200)), [(source(), at(7200).checked_sub(LAG * 2).ok())]);
}

#[test]
fn without_any_entry_the_next_list_is_read_down_by_the_clock() {
    let feed = with_four();
    feed.ended(&source(), at(60), &Answer::Listed(vec![]));
    assert_eq!(feed.due(at(120)), [(source(), at(60).checked_sub(LAG * 2).ok())]);
}

#[test]
fn three_objects_are_enough() {
    let feed = Feed::new(INTERVAL);
    let rest = |now| [0, 1, 2].map(|number| feed.rests(&key(number), sight(number, 0), at(now)));
    assert_eq!(rest(0), [false; 3]);
    feed.ended(&source(), at(60), &Answer::Listed(vec![]));
    assert_eq!(rest(61), [true; 3]);
    feed.forget(&key(2));
    assert!(!feed.rests(&key(1), sight(1, 0), at(62)), "two are too few");
}

#[test]
fn a_clock_that_is_set_back_stops_neither_lists_nor_reads() {
    let feed = covered();
    assert_eq!(feed.due(at(61)).len(), 1);
    assert_eq!(feed.due(at(62)), []);
    let before = -86_400;
    assert_eq!(feed.due(at(before)).len(), 1, "the next one was planned for tomorrow");
    assert_eq!(feed.due(at(before + 1)), [], "from then on once an interval");
    assert_eq!(all_uncovered(&feed, at(before)), [key(0), key(1), key(2), key(3)], "the last list was tomorrow");
    assert!(!feed.rests(&key(0), sight(0, 0), at(before)));
    feed.ended(&source(), at(before + 2), &Answer::Listed(vec![]));
    assert!(feed.rests(&key(0), sight(0, 0), at(before + 3)));
    assert!(feed.rests(&key(0), sight(0, 0), at(before + 1)), "a reconcile that began to end before the list");
}

#[test]
fn objects_go_back_to_reads_of_their_own_after_two_intervals_without_a_list() {
    let feed = covered();
    assert_eq!(feed.ended(&source(), at(120), &Answer::Failed), (vec![], Some(Standing::Failing)));
    assert_eq!(all_uncovered(&feed, at(180)), []);
    // Some of them, and the others although lists work again: they missed what changed.
    let first: Vec<Key> = (0..PARTS / 2).flat_map(|part| feed.uncovered(part, at(181))).collect();
    feed.ended(&source(), at(182), &Answer::Listed(vec![]));
    let mut all = [first, all_uncovered(&feed, at(183))].concat();
    all.sort();
    assert_eq!(all, [key(0), key(1), key(2), key(3)]);
    assert_eq!(all_uncovered(&feed, at(184)), [], "each once");
    assert!(feed.rests(&key(0), sight(0, 0), at(185)), "lists work again");
}

#[test]
fn a_denied_list_and_one_that_is_too_long_end_the_feed_at_once() {
    for (answer, standing, next) in [(Answer::Denied, Standing::Denied, 120 + 600), (Answer::TooLong, Standing::Failing, 180)] {
        let feed = covered();
        assert_eq!(feed.due(at(120)).len(), 1);
        assert_eq!(feed.ended(&source(), at(120), &answer), (vec![], Some(standing)));
        assert_eq!(all_uncovered(&feed, at(121)).len(), 4, "{answer:?}");
        assert!(!feed.rests(&key(0), sight(0, 0), at(122)), "{answer:?}");
        assert!(feed.due(at(next - 1)).is_empty(), "{answer:?}");
        assert_eq!(feed.due(at(next)), [(source(), None)], "{answer:?}");
        assert_eq!(feed.ended(&source(), at(next), &Answer::Listed(vec![])).1, Some(Standing::Working));
        assert!(feed.rests(&key(0), sight(0, 0), at(next + 1)), "{answer:?}");
    }
}

#[test]
fn what_is_gone_or_moved_is_not_requested_and_a_cleared_feed_knows_nothing() {
    let feed = covered();
    feed.forget(&key(0));
    let other = Source { region: "eu-west-1".to_owned(), ..source() };
    assert!(!feed.rests(&key(1), Sight { source: other.clone(), ..sight(1, 0) }, at(70)), "the other region has no list");
    let entries = Answer::Listed((0..4).map(|number| entry(number, 90)).collect());
    assert_eq!(feed.ended(&source(), at(120), &entries).0, [key(2), key(3)]);
    assert_eq!(feed.ended(&Source { region: "us-east-1".to_owned(), ..source() }, at(120), &entries), (vec![], None));
    feed.forget(&key(1));
    feed.due(at(121));
    assert_eq!(feed.ended(&other, at(122), &entries), (vec![], None), "a source without objects is forgotten");
    feed.clear();
    assert_eq!(feed.counts(), Counts::default());
    assert!(feed.due(at(3600)).is_empty());
}
