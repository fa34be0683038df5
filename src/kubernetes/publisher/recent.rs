//! Which Events were published in the last minutes. The same Event again is counted (`series`); a note cannot be changed,
//! so an Event with another note, such as the next version, is published by itself.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher, Hash};

use jiff::{SignedDuration, Timestamp};

use crate::status::EventNote;

/// How long after its last publication an Event is counted and not published again.
const COUNTED: SignedDuration = SignedDuration::from_mins(6);
/// How many Events of one object and reason may differ in their note meanwhile. More are not published, so that an object
/// that is edited in a loop does not fill the storage of the API server.
const MOST: usize = 10;

/// How often Events that are too old are removed. Not with each Event: in a herd, all of them are recent.
const SWEEP: SignedDuration = SignedDuration::from_mins(3);

/// A hash of the object, the type and the reason. Texts would need more memory than the objects.
type Kind = u64;

/// An Event that was published.
#[derive(Debug, Clone)]
struct Published {
    /// A hash.
    note: u64,
    name: Box<str>,
    count: i32,
    last: Timestamp,
}

/// What to do with an Event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Publication {
    /// It is published.
    New,
    /// The published Event of this name is counted.
    Again { name: String, count: i32 },
    /// There were too many that differ.
    TooMany,
}

/// The Events of the last minutes.
#[derive(Debug, Default)]
pub(super) struct Recent {
    published: HashMap<Kind, Vec<Published>>,
    /// When the old ones were removed last.
    swept: Option<Timestamp>,
}

impl Recent {
    /// What to do with this Event about `object` (its uid, or its name).
    pub(super) fn next(&mut self, object: &str, note: &EventNote, now: Timestamp) -> Publication {
        if self.swept.is_none_or(|swept| now.duration_since(swept).abs() >= SWEEP) {
            self.swept = Some(now);
            self.published.retain(|_, events| is_recent(events, now));
            self.published.shrink_to_fit();
        }
        let kind = kind(object, note);
        if self.published.get_mut(&kind).is_some_and(|events| !is_recent(events, now)) {
            self.published.remove(&kind);
        }
        let events = self.published.get(&kind).map(Vec::as_slice).unwrap_or_default();
        match events.iter().find(|event| event.note == hash(&note.note)) {
            Some(event) => Publication::Again { name: event.name.clone().into(), count: event.count.saturating_add(1) },
            None if events.len() >= MOST => Publication::TooMany,
            None => Publication::New,
        }
    }

    /// It was published, or counted, under this name.
    pub(super) fn published(&mut self, object: &str, note: &EventNote, name: &str, count: i32, now: Timestamp) {
        let events = self.published.entry(kind(object, note)).or_insert_with(|| Vec::with_capacity(1));
        events.retain(|event| event.note != hash(&note.note));
        events.push(Published { note: hash(&note.note), name: name.into(), count, last: now });
    }
}

/// Removes those of one kind that are too old. Returns whether there are others.
fn is_recent(events: &mut Vec<Published>, now: Timestamp) -> bool {
    // After a clock was set back, the age of an Event is not known.
    events.retain(|event| now.duration_since(event.last).abs() < COUNTED);
    !events.is_empty()
}

fn kind(object: &str, note: &EventNote) -> Kind {
    hash(&(object, note.warning, &note.reason))
}

fn hash(what: &(impl Hash + ?Sized)) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotated(version: &str) -> EventNote {
        EventNote { warning: false, reason: "Rotated".to_owned(), action: "Rotate", note: format!("version {version} is current") }
    }

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH.saturating_add(SignedDuration::from_mins(minutes)).unwrap()
    }

    #[test]
    fn the_same_event_is_counted_and_one_about_another_version_or_object_is_published() {
        let mut recent = Recent::default();
        assert_eq!(recent.next("uid", &rotated("v1"), at(0)), Publication::New);
        recent.published("uid", &rotated("v1"), "app.1", 1, at(0));
        let again = |count: i32| Publication::Again { name: "app.1".to_owned(), count };
        for (object, note, minute, expected) in [
            ("uid", rotated("v1"), 1, again(2)),
            ("uid", rotated("v2"), 1, Publication::New),
            ("other", rotated("v1"), 1, Publication::New),
            ("uid", EventNote { warning: true, ..rotated("v1") }, 1, Publication::New),
        ] {
            assert_eq!(recent.next(object, &note, at(minute)), expected, "{object} {note:?}");
        }
        recent.published("uid", &rotated("v1"), "app.1", 2, at(5));
        assert_eq!(recent.next("uid", &rotated("v1"), at(9)), again(3), "the time counts from the last one");
        assert_eq!(recent.next("uid", &rotated("v1"), at(11)), Publication::New);
        assert!(recent.published.is_empty(), "nothing old is kept");
    }

    #[test]
    fn an_object_that_is_edited_in_a_loop_has_ten_events_of_a_reason() {
        let mut recent = Recent::default();
        for version in 0..10 {
            let note = rotated(&version.to_string());
            assert_eq!(recent.next("uid", &note, at(0)), Publication::New);
            recent.published("uid", &note, "app.1", 1, at(0));
        }
        assert_eq!(recent.next("uid", &rotated("10"), at(0)), Publication::TooMany);
        assert_eq!(recent.next("other", &rotated("10"), at(0)), Publication::New);
        assert_eq!(recent.next("uid", &rotated("10"), at(6)), Publication::New);
    }

    #[test]
    fn after_a_clock_was_set_back_events_are_published_again() {
        let mut recent = Recent::default();
        for version in 0..10 {
            recent.published("uid", &rotated(&version.to_string()), "app.1", 1, at(600));
        }
        assert_eq!(recent.next("uid", &rotated("10"), at(600)), Publication::TooMany);
        assert_eq!(recent.next("uid", &rotated("10"), at(0)), Publication::New);
    }
}
