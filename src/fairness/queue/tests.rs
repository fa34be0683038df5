use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;

fn key(namespace: &str, number: usize) -> Key {
    Key::new(namespace, format!("object-{number}"))
}

fn wait(queue: &mut Queue, namespace: &str, numbers: std::ops::Range<usize>, urgency: Urgency) {
    for number in numbers {
        queue.enqueue(&key(namespace, number), urgency, Instant::now());
    }
}

/// Grants all that can be granted.
fn grant(queue: &mut Queue) -> Vec<Key> {
    std::iter::from_fn(|| queue.grant()).collect()
}

fn by_namespace(keys: &[Key]) -> BTreeMap<&str, usize> {
    keys.iter().fold(BTreeMap::new(), |mut counts, key| {
        *counts.entry(&*key.namespace).or_default() += 1;
        counts
    })
}

#[test]
fn one_namespace_leaves_a_reserve_to_the_others_at_every_number_of_permits() {
    for (permits, most, share) in [(1, 1, 1), (2, 1, 1), (3, 2, 2), (4, 3, 2), (8, 6, 2), (16, 12, 4), (512, 384, 128)] {
        let mut queue = Queue::new(permits);
        wait(&mut queue, "hostile", 0..1000, Urgency::Urgent);
        assert_eq!(grant(&mut queue).len(), most, "{permits}");
        wait(&mut queue, "victim", 0..1000, Urgency::Routine);
        let expected = share.min(permits - most);
        assert_eq!(grant(&mut queue).len(), expected, "{permits}: at once, although the other one began first and waits urgently");
    }
}

#[test]
fn namespaces_that_wait_together_get_equal_shares() {
    let mut queue = Queue::new(16);
    for namespace in ["a", "b", "c", "d"] {
        wait(&mut queue, namespace, 0..100, Urgency::Routine);
    }
    let granted = grant(&mut queue);
    assert_eq!(by_namespace(&granted), [("a", 4), ("b", 4), ("c", 4), ("d", 4)].into());
    for (number, done) in granted.into_iter().enumerate() {
        queue.remove(&done);
        let next = queue.grant().expect("another one waits");
        assert_eq!(next.namespace, done.namespace, "{number}: each stays at its share");
    }
}

#[test]
fn an_object_that_waits_alone_in_its_namespace_is_next_after_one_turn_of_the_others() {
    let mut queue = Queue::new(8);
    let hostile = ["a", "b", "c", "d", "e"];
    for namespace in hostile {
        wait(&mut queue, namespace, 0..500, Urgency::Urgent);
    }
    let mut running: VecDeque<Key> = grant(&mut queue).into();
    wait(&mut queue, "victim", 0..1, Urgency::Urgent);
    let turns = (1..100).find(|_| {
        queue.remove(&running.pop_front().unwrap());
        let next = queue.grant().unwrap();
        running.push_back(next.clone());
        *next.namespace == *"victim"
    });
    assert!(turns.unwrap() <= hostile.len() + 1, "{turns:?}");
}

#[test]
fn urgent_objects_are_first_and_do_not_hold_up_routine_ones_forever() {
    let mut queue = Queue::new(1);
    wait(&mut queue, "a", 0..100, Urgency::Routine);
    wait(&mut queue, "b", 0..100, Urgency::Urgent);
    let order: Vec<_> = (0..8)
        .map(|_| {
            let next = queue.grant().unwrap();
            queue.remove(&next);
            next.namespace
        })
        .collect();
    assert_eq!(order.iter().map(|namespace| &**namespace).collect::<Vec<_>>(), ["b", "b", "b", "a", "b", "b", "b", "a"]);
}

#[test]
fn urgent_work_is_before_news_and_news_before_routine_work_of_a_namespace() {
    let mut queue = Queue::new(1);
    wait(&mut queue, "a", 0..1, Urgency::Routine);
    wait(&mut queue, "a", 10..13, Urgency::News);
    wait(&mut queue, "a", 20..21, Urgency::Urgent);
    queue.enqueue(&key("a", 12), Urgency::Urgent, Instant::now());
    let order: Vec<Key> = std::iter::from_fn(|| {
        let next = queue.grant()?;
        queue.remove(&next);
        Some(next)
    })
    .collect();
    assert_eq!(order, [20, 12, 10, 0, 11].map(|number| key("a", number)), "the fourth prefers routine work");
}

#[test]
fn an_object_that_waits_becomes_urgent_and_is_granted_once() {
    let mut queue = Queue::new(1);
    wait(&mut queue, "a", 0..3, Urgency::Routine);
    queue.enqueue(&key("a", 2), Urgency::Urgent, Instant::now());
    queue.enqueue(&key("a", 2), Urgency::Routine, Instant::now());
    assert_eq!(queue.waiting(), 3);
    let order: Vec<Key> = std::iter::from_fn(|| {
        let next = queue.grant()?;
        queue.remove(&next);
        Some(next)
    })
    .collect();
    assert_eq!(order, [key("a", 2), key("a", 0), key("a", 1)]);
    assert_eq!(queue.waiting(), 0);
}

#[test]
fn the_longest_wait_begins_when_the_object_asks_first_and_ends_with_its_permit() {
    let mut queue = Queue::new(1);
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(queue.longest_since(), None);
    for (seconds, number) in [(0, 0), (1, 1), (2, 2)] {
        queue.enqueue(&key("a", number), Urgency::Routine, after(seconds));
    }
    assert_eq!(queue.grant(), Some(key("a", 0)));
    assert_eq!(queue.longest_since(), Some(after(1)), "one that has a permit does not wait");
    queue.enqueue(&key("a", 1), Urgency::Urgent, after(3));
    queue.enqueue(&key("a", 2), Urgency::Routine, after(3));
    assert_eq!(queue.longest_since(), Some(after(1)), "to ask again, or more urgently, does not begin another wait");
    queue.remove(&key("a", 1));
    assert_eq!(queue.longest_since(), Some(after(2)));
    queue.remove(&key("a", 0));
    assert_eq!((queue.grant(), queue.longest_since()), (Some(key("a", 2)), None));
}

#[test]
fn a_hanging_reconcile_lends_its_permit_and_counts_against_its_own_namespace() {
    let mut queue = Queue::new(16);
    wait(&mut queue, "hostile", 0..100, Urgency::Urgent);
    let hanging = grant(&mut queue);
    assert_eq!(hanging.len(), 12);
    for key in &hanging {
        queue.lend(key);
    }
    let beyond = grant(&mut queue);
    assert_eq!(beyond.len(), 2, "urgent work, which may need something else than what hangs");
    for key in &beyond {
        queue.lend(key);
    }
    assert_eq!(grant(&mut queue), [], "that hangs too");
    for ended in &beyond {
        queue.remove(ended);
        let next = queue.grant().expect("in the place of the one that ended");
        queue.lend(&next);
        assert_eq!(queue.grant(), None);
    }
    for namespace in ["a", "b", "c", "d"] {
        wait(&mut queue, namespace, 0..100, Urgency::Routine);
    }
    assert_eq!(grant(&mut queue).len(), 16, "the others have all permits");
    for key in &hanging {
        queue.remove(key);
    }
    queue.remove(&key("a", 0));
    wait(&mut queue, "a", 0..0, Urgency::Routine);
    assert_eq!(queue.grant().map(|key| key.namespace).as_deref(), Some("hostile"), "it gets its share again");
}

#[test]
fn urgent_work_is_not_held_up_by_routine_work_of_its_namespace_that_hangs() {
    for permits in [2, 4, 8, 16, 64] {
        let mut queue = Queue::new(permits);
        wait(&mut queue, "shop", 0..1000, Urgency::Routine);
        for key in grant(&mut queue) {
            queue.lend(&key);
        }
        assert_eq!(grant(&mut queue), [], "{permits}: routine work waits");
        queue.enqueue(&key("shop", 1000), Urgency::Urgent, Instant::now());
        assert_eq!(grant(&mut queue), [key("shop", 1000)], "{permits}");
        queue.remove(&key("shop", 1000));
        queue.enqueue(&key("shop", 1001), Urgency::Urgent, Instant::now());
        assert_eq!(grant(&mut queue), [key("shop", 1001)], "{permits}: the place is free again");
    }
}

#[test]
fn work_beyond_the_shares_takes_no_permit_from_others_when_it_hangs() {
    for permits in [2, 4, 8, 16] {
        let mut queue = Queue::new(permits);
        // As many namespaces as have all permits together.
        let hostile: Vec<String> = (0..permits / queue.share).map(|number| format!("hostile-{number}")).collect();
        for namespace in &hostile {
            wait(&mut queue, namespace, 0..100, Urgency::Urgent);
        }
        for _ in 0..10 {
            for key in grant(&mut queue) {
                queue.lend(&key);
            }
        }
        assert_eq!(queue.running, 0, "{permits}: all that hang are lent");
        assert!(!queue.beyond.is_empty() && queue.beyond.len() <= queue.reserve, "{permits}: {:?}", queue.beyond);
        wait(&mut queue, "victim", 0..1000, Urgency::Routine);
        assert!(grant(&mut queue).len() >= queue.share, "{permits}");
    }
}

#[test]
fn no_more_reconciles_hang_than_there_are_permits_and_a_reserve() {
    let mut queue = Queue::new(4);
    for namespace in 0..20 {
        wait(&mut queue, &format!("n{namespace}"), 0..10, Urgency::Routine);
    }
    let mut begun = 0;
    loop {
        let granted = grant(&mut queue);
        if granted.is_empty() {
            break;
        }
        begun += granted.len();
        for key in &granted {
            queue.lend(key);
        }
    }
    assert_eq!(begun, 9, "twice the permits and the reserve, and no more");
}

#[test]
fn an_object_that_is_gone_is_not_granted_and_leaves_nothing_behind() {
    let mut queue = Queue::new(2);
    wait(&mut queue, "a", 0..2, Urgency::Routine);
    queue.remove(&key("a", 0));
    queue.remove(&key("a", 7));
    assert_eq!(grant(&mut queue), [key("a", 1)]);
    queue.remove(&key("a", 1));
    assert_eq!((queue.waiting(), queue.places.len(), queue.held.len(), queue.routine.turns.len()), (0, 0, 0, 0));
}

/// A reproducible sequence.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

#[test]
fn in_every_order_of_events_no_permit_is_idle_while_a_namespace_below_its_share_waits() {
    for seed in 1..=200 {
        let mut chance = Chance(seed << 32 | 0x7f4a_7c15);
        let permits = 1 + chance.below(20);
        let mut queue = Queue::new(permits);
        let (mut waiting, mut begun) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..500 {
            let any = key(["a", "b", "c", "d", "e"][chance.below(5)], chance.below(30));
            match chance.below(10) {
                0..5 => {
                    let urgency = [Urgency::Routine, Urgency::News, Urgency::Urgent][chance.below(3)];
                    queue.enqueue(&any, urgency, Instant::now());
                    if !begun.contains(&any) {
                        waiting.insert(any);
                    }
                }
                5..7 => queue.lend(&any),
                _ => {
                    queue.remove(&any);
                    waiting.remove(&any);
                    begun.remove(&any);
                }
            }
            while let Some(next) = queue.grant() {
                assert!(waiting.remove(&next), "{seed}: it waited");
                assert!(begun.insert(next), "{seed}: and was not granted twice");
            }
            assert_eq!(queue.waiting(), waiting.len(), "{seed}");
            assert!(
                queue.running <= permits && queue.lent <= permits + queue.reserve && queue.running + queue.lent == begun.len(),
                "{seed}"
            );
            let below = |key: &Key| begun.iter().filter(|other| other.namespace == key.namespace).count() < queue.share;
            assert!(queue.running == permits || !waiting.iter().any(below), "{seed}: a permit is idle");
        }
    }
}
