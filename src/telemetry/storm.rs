//! When thousands of objects fail for one reason, the log repeats one line for each. The first lines of a minute are
//! written, and the rest is a number.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};

use super::caps::is_ours;

/// How many lines of one kind are written in a minute.
const MOST: u64 = 50;
/// How many kinds are counted. Texts and reasons are those of the program, so there are fewer.
const MOST_KINDS: usize = 1000;
/// The lines that are counted: what they say is in the status of the object too, or in the audit stream. A change of the
/// operator's flags can repair every object.
const TEXTS: [&str; 9] = [
    "a step failed",
    "the reconcile failed",
    "not ready",
    "a condition is False",
    "the deletion waits",
    "the value is not used",
    "repaired",
    "the status cannot be written",
    "another writer replaces the status",
];

/// Text and reason of a line.
type Kind = (String, String);

/// Counts the warnings about objects that fail.
#[derive(Clone, Default)]
pub(super) struct Storm(Arc<Mutex<HashMap<Kind, u64>>>);

/// Lines of one kind that were left out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) text: String,
    pub(super) reason: String,
    pub(super) lines: u64,
}

impl Storm {
    /// Ends a minute. Gives what was left out in it.
    pub(super) fn sweep(&self) -> Vec<LeftOut> {
        let counted = std::mem::take(&mut *self.counts());
        let left_out = counted.into_iter().filter(|(_, lines)| *lines > MOST);
        left_out.map(|((text, reason), lines)| LeftOut { text, reason, lines: lines.saturating_sub(MOST) }).collect()
    }

    /// Whether the line is written.
    fn admits(&self, kind: Kind) -> bool {
        let mut counts = self.counts();
        if counts.len() >= MOST_KINDS && !counts.contains_key(&kind) {
            return true;
        }
        let lines = counts.entry(kind).or_default();
        *lines = lines.saturating_add(1);
        *lines <= MOST
    }

    /// Counts are complete after every change, so a poisoned lock is used as it is.
    fn counts(&self) -> MutexGuard<'_, HashMap<Kind, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Filter<S> for Storm {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() != Level::WARN || !is_ours(metadata.target()) {
            return true;
        }
        let mut found = Found::default();
        event.record(&mut found);
        let reason = found.reason.filter(|_| TEXTS.contains(&found.text.as_str()));
        reason.is_none_or(|reason| self.admits((found.text, reason)))
    }
}

/// The text and the reason of an event.
#[derive(Default)]
struct Found {
    text: String,
    reason: Option<String>,
}

impl Visit for Found {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "reason" => self.reason = Some(format!("{value:?}")),
            // A field of this name can be recorded beside the text. The text comes first.
            "message" if self.text.is_empty() => self.text = format!("{value:?}"),
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "reason" {
            self.reason = Some(value.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_that_is_counted_is_that_of_a_warning() {
        let sources = [
            include_str!("../reconcile/mod.rs"),
            include_str!("../reconcile/report.rs"),
            include_str!("../reconcile/instrument.rs"),
            include_str!("../reconcile/removal.rs"),
            include_str!("../reconcile/act.rs"),
        ];
        let warnings: Vec<&str> =
            sources.iter().flat_map(|source| source.split("tracing::warn!(").skip(1)).filter_map(|call| call.split(");").next()).collect();
        for text in TEXTS {
            let message = format!("\"{text}\"");
            let found = warnings.iter().filter(|call| call.trim_end().ends_with(&message) && call.contains("reason")).count();
            assert!(found > 0, "no warning with a reason has the text: {text}");
        }
    }

    fn kind(reason: &str) -> Kind {
        ("a step failed".to_owned(), reason.to_owned())
    }

    #[test]
    fn the_lines_over_the_limit_of_a_minute_are_counted_by_text_and_reason() {
        let storm = Storm::default();
        for _ in 0..MOST {
            assert!(storm.admits(kind("Throttled")));
        }
        assert!(!storm.admits(kind("Throttled")) && !storm.admits(kind("Throttled")) && storm.admits(kind("AccessDenied")));
        let left_out = LeftOut { text: "a step failed".to_owned(), reason: "Throttled".to_owned(), lines: 2 };
        assert_eq!(storm.sweep(), [left_out]);
        assert!(storm.admits(kind("Throttled")) && storm.sweep().is_empty());
    }

    #[test]
    fn kinds_that_are_not_counted_are_written() {
        let storm = Storm::default();
        for number in 0..MOST_KINDS {
            assert!(storm.admits(kind(&number.to_string())));
        }
        for _ in 0..=MOST {
            assert!(storm.admits(kind("one more")));
        }
    }
}
