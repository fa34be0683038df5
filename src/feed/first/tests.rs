use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::fairness::Key;
use crate::feed::{Feed, Sight};
use crate::identity::Identity;

const INTERVAL: SignedDuration = SignedDuration::from_mins(1);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn source() -> Source {
    Source { identity: Identity::Operator, region: "eu-central-1".to_owned() }
}

fn arn(number: usize) -> String {
    format!("arn:aws:secretsmanager:eu-central-1:123456789012:secret:k8s/shop/o{number:02}-AbCdEf")
}

fn entries() -> HashMap<String, AwsSecret> {
    let secret = |number| AwsSecret { arn: arn(number), last_changed: Some(at(-60)), ..AwsSecret::default() };
    (0..20).map(|number| (arn(number), secret(number))).collect()
}

/// A feed of so many objects, which are reconciled for the first time from now on.
fn feed(objects: usize) -> Feed {
    let feed = Feed::new(INTERVAL);
    feed.expect((0..objects).filter_map(|number| SecretArn::parse(&arn(number))), at(0));
    feed
}

#[tokio::test]
async fn a_source_is_listed_once_and_each_entry_is_used_once() {
    let (feed, lists) = (feed(20), AtomicUsize::new(0));
    let list = async |pages| {
        assert_eq!(pages, 2, "a page for each ten objects");
        lists.fetch_add(1, Ordering::Relaxed);
        (entries(), true)
    };
    for number in 0..20 {
        assert!(feed.first_sight(&source(), &arn(number), None, at(1), list).await.is_some_and(|found| found.arn == arn(number)));
        assert_eq!(feed.first_sight(&source(), &arn(number), None, at(2), list).await, None, "what comes later is read");
    }
    assert_eq!(lists.load(Ordering::Relaxed), 1);
    assert_eq!(feed.first_sight(&source(), &arn(20), None, at(2), list).await, None, "the list does not show it");
}

#[tokio::test]
async fn nothing_is_listed_for_few_objects_of_an_account_or_later() {
    let never = async |_| panic!("a list");
    assert_eq!(feed(9).first_sight(&source(), &arn(1), None, at(1), never).await, None);
    assert_eq!(feed(20).first_sight(&source(), &arn(1), None, at(301), never).await, None);
    assert_eq!(Feed::new(INTERVAL).first_sight(&source(), &arn(1), None, at(1), never).await, None, "no object is expected");
    let elsewhere = arn(1).replace("123456789012", "210987654321");
    let own = AwsAccount::parse("aws", "123456789012");
    assert_eq!(feed(20).first_sight(&source(), &elsewhere, own.as_ref(), at(1), never).await, None, "its secrets are not in the list");
}

#[tokio::test]
async fn the_number_of_pages_does_not_depend_on_who_asks_first() {
    let elsewhere = |number: usize| arn(number).replace("123456789012", "210987654321");
    let other_region = |number: usize| arn(number).replace("eu-central-1", "eu-west-1");
    for (own, first, expected) in [(None, elsewhere(1), 3), (None, arn(1), 3), (AwsAccount::parse("aws", "123456789012"), arn(1), 3)] {
        let feed = Feed::new(INTERVAL);
        let arns = (0..30).map(arn).chain((0..10).map(elsewhere)).chain((0..90).map(other_region));
        feed.expect(arns.filter_map(|arn| SecretArn::parse(&arn)), at(0));
        let listed = AtomicUsize::new(0);
        feed.first_sight(&source(), &first, own.as_ref(), at(1), async |pages| {
            listed.store(pages, Ordering::Relaxed);
            (entries(), true)
        })
        .await;
        assert_eq!(listed.into_inner(), expected, "{first} {own:?}");
    }
}

#[tokio::test]
async fn a_leader_that_is_elected_again_lists_again() {
    let feed = feed(20);
    let lists = AtomicUsize::new(0);
    for now in [1, 100] {
        feed.expect((0..20).filter_map(|number| SecretArn::parse(&arn(number))), at(now));
        let list = async |_| {
            lists.fetch_add(1, Ordering::Relaxed);
            (entries(), true)
        };
        assert!(feed.first_sight(&source(), &arn(0), None, at(now), list).await.is_some(), "{now}");
    }
    assert_eq!(lists.into_inner(), 2);
}

#[tokio::test]
async fn a_list_that_fails_is_not_repeated_and_covers_nothing() {
    let (feed, lists) = (feed(20), AtomicUsize::new(0));
    for number in 0..3 {
        let list = async |_| {
            lists.fetch_add(1, Ordering::Relaxed);
            (HashMap::new(), false)
        };
        assert_eq!(feed.first_sight(&source(), &arn(number), None, at(1), list).await, None);
    }
    assert_eq!(lists.load(Ordering::Relaxed), 1);
    assert!(!rests(&feed, 0, 2));
}

#[tokio::test]
async fn what_arrived_of_a_list_that_is_not_complete_is_used_and_covers_nothing() {
    let feed = feed(20);
    let list = async |_| (entries().into_iter().filter(|(listed, _)| *listed < arn(10)).collect(), false);
    for number in 0..20 {
        assert_eq!(feed.first_sight(&source(), &arn(number), None, at(1), list).await.is_some(), number < 10, "{number}");
        assert!(!rests(&feed, number, 2));
    }
}

/// Whether an object that came to rest is left to the feed.
fn rests(feed: &Feed, number: usize, now: i64) -> bool {
    let sight = Sight { source: source(), arn: arn(number), changed: at(-60) };
    feed.rests(&Key::new("shop", number.to_string()), sight, at(now))
}

#[tokio::test]
async fn after_the_first_list_objects_are_left_to_the_feed_at_once() {
    let feed = feed(20);
    assert!(feed.first_sight(&source(), &arn(0), None, at(1), async |_| (entries(), true)).await.is_some());
    let left = (0..20).filter(|number| rests(&feed, *number, 2)).count();
    assert_eq!(left, 18, "the first two are too few for a list");
    let due = feed.due(at(70));
    assert_eq!(due.len(), 1);
    assert!(due[0].1.is_some_and(|since| since <= at(-60) - crate::feed::LAG), "{due:?}");
}

#[tokio::test]
async fn another_leader_lists_again() {
    let feed = feed(20);
    let (first, again) = (AtomicUsize::new(0), AtomicUsize::new(0));
    for lists in [&first, &again] {
        let list = async |_| {
            lists.fetch_add(1, Ordering::Relaxed);
            (entries(), true)
        };
        assert!(feed.first_sight(&source(), &arn(0), None, at(1), list).await.is_some());
        feed.clear();
    }
    assert_eq!((first.into_inner(), again.into_inner()), (1, 1));
}

#[tokio::test]
async fn what_is_too_old_to_be_used_is_freed_and_nothing_else_is_expected() {
    let feed = feed(20);
    assert!(feed.expects(&arn(19)) && !feed.expects(&arn(20)));
    feed.due(at(299));
    assert!(feed.first_sight(&source(), &arn(0), None, at(299), async |_| (entries(), true)).await.is_some());
    feed.due(at(301));
    assert!(!feed.expects(&arn(19)));
    assert_eq!(feed.first_sight(&source(), &arn(1), None, at(302), async |_| panic!("a list")).await, None);
}

#[tokio::test]
async fn after_a_clock_was_set_back_what_was_listed_before_is_not_used() {
    let (feed, never) = (feed(20), async |_| panic!("a list"));
    assert!(feed.first_sight(&source(), &arn(1), None, at(0), async |_| (entries(), true)).await.is_some());
    assert!(feed.first_sight(&source(), &arn(2), None, at(-2), never).await.is_some(), "a reconcile that began before the list");
    assert_eq!(feed.first_sight(&source(), &arn(3), None, at(-3600), never).await, None);
    assert!(feed.expects(&arn(3)));
    feed.due(at(-3600));
    assert!(!feed.expects(&arn(3)), "it is freed");
}
