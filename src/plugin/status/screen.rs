//! The list of objects: a table, one sentence for each reason, and the sum.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::plugin::ages;
use crate::plugin::health::{Health, State};
use crate::plugin::output::Page;
use crate::plugin::table::{Cell, Table, Tone};

/// Objects that are named before a sentence that concerns all of them.
const NAMED: usize = 5;

/// How the list is shown.
pub(super) struct Screen {
    /// With the column NAMESPACE.
    pub(super) everywhere: bool,
    /// Without the objects that are as they should be.
    pub(super) only_problems: bool,
    pub(super) headers: bool,
    /// Nothing is abbreviated.
    pub(super) wide: bool,
    pub(super) now: Timestamp,
    pub(super) colours: bool,
}

impl Screen {
    /// The whole list.
    pub(super) fn page(&self, items: &[Health]) -> Page {
        let shown: Vec<Health> = items.iter().filter(|health| !self.only_problems || !health.is_fine()).cloned().collect();
        let mut page = Page::default();
        if !shown.is_empty() {
            page.table(&self.table(&shown), self.colours);
        }
        let sentences = self.sentences(&shown);
        if !sentences.is_empty() {
            page.gap();
            for sentence in &sentences {
                page.line(sentence);
            }
        }
        let unknown: Vec<&Health> = items.iter().filter(|health| !health.unknown_fields.is_empty()).collect();
        if let Some(first) = unknown.first() {
            page.gap();
            let fields = first.unknown_fields.join(", ");
            let names = self.names(&unknown);
            page.line(&format!("{names}: the status has fields that this plugin does not know ({fields}): update the plugin"));
        }
        if self.headers {
            if !shown.is_empty() {
                page.gap();
            }
            page.line(&summary(items, self.now));
            let hidden = items.len().saturating_sub(shown.len());
            if hidden > 0 {
                page.line(&format!(
                    "{} not shown: -o wide shows all",
                    count(hidden, "object without a problem", "objects without a problem")
                ));
            }
        }
        page
    }

    /// The table.
    pub(super) fn table(&self, items: &[Health]) -> Table {
        let mut headers = vec!["NAME", "STATE", "REASON", "LAST ROTATED", "NEXT ROTATION", "AGE"];
        if self.everywhere {
            headers.insert(0, "NAMESPACE");
        }
        if self.wide {
            headers.extend(["VERSION", "SECRET"]);
        }
        let mut table = if self.headers { Table::new(&headers) } else { Table::bare() };
        for health in items {
            let age = |time: Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| {
                time.map_or_else(|| "-".to_owned(), |at| ages::since(at.0, self.now))
            };
            let mut row: Vec<Cell> = Vec::new();
            if self.everywhere {
                row.push(health.namespace.as_str().into());
            }
            row.push(health.name.as_str().into());
            row.push(Cell(format!("{:?}", health.state), health.state.tone()));
            row.push(health.shown_reason().unwrap_or("-").into());
            row.push(age(health.last_rotation_time.as_ref()).into());
            row.push(next(health, self.now));
            row.push(age(health.creation_time.as_ref()).into());
            if self.wide {
                row.push(health.current_version_id.as_deref().unwrap_or("-").into());
                row.push(health.mirror_secret_name.as_deref().unwrap_or("-").into());
            }
            table.row(row);
        }
        table
    }

    /// What is to be done, once for each sentence. Objects with one reason and different sentences share one line, unless
    /// they are few.
    fn sentences(&self, items: &[Health]) -> Vec<String> {
        let told: Vec<&Health> = items.iter().filter(|health| health.message.is_some() && health.state != State::Due).collect();
        let mut groups: Vec<Vec<&Health>> = Vec::new();
        let key = |health: &Health| (health.state, health.shown_reason().map(str::to_owned));
        for health in told {
            match groups.iter_mut().find(|group| group.first().is_some_and(|first| key(first) == key(health))) {
                Some(group) => group.push(health),
                None => groups.push(vec![health]),
            }
        }
        groups.iter().flat_map(|group| self.group(group)).collect()
    }

    fn group(&self, group: &[&Health]) -> Vec<String> {
        let mut by_message: Vec<(&str, Vec<&Health>)> = Vec::new();
        for health in group {
            let message = health.message.as_deref().unwrap_or_default();
            match by_message.iter_mut().find(|(known, _)| *known == message) {
                Some((_, group)) => group.push(health),
                None => by_message.push((message, vec![health])),
            }
        }
        match by_message.as_slice() {
            [(message, first), rest @ ..] if rest.len() >= 3 && !self.wide => {
                let example = first.first().map_or_else(String::new, |health| self.name(health));
                vec![format!("{}: each for itself, for example {example}: {message}", self.names(group))]
            }
            all => all.iter().map(|(message, group)| format!("{}: {message}", self.names(group))).collect(),
        }
    }

    fn name(&self, health: &Health) -> String {
        if self.everywhere { format!("{}/{}", health.namespace, health.name) } else { health.name.clone() }
    }

    /// `a, b, c, d, e and 55 more`.
    fn names(&self, group: &[&Health]) -> String {
        let most = if self.wide { group.len() } else { NAMED };
        let names: Vec<String> = group.iter().take(most).map(|health| self.name(health)).collect();
        let more = group.len().saturating_sub(most);
        if more == 0 { names.join(", ") } else { format!("{} and {more} more", names.join(", ")) }
    }
}

fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// `63 objects: 60 Stalled (60 AccessDenied), 3 Ready; 1 rotates within 24h`.
fn summary(items: &[Health], now: Timestamp) -> String {
    let counts: Vec<String> = State::ALL
        .into_iter()
        .map(|state| (state, items.iter().filter(|health| health.state == state).collect::<Vec<_>>()))
        .filter(|(_, group)| !group.is_empty())
        .map(|(state, group)| {
            let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
            for health in group.iter().filter(|health| !health.is_fine()) {
                // Of a suspended object the reason is Suspended.
                let reason = if state == State::Suspended { Some("not Ready before") } else { health.shown_reason() };
                let count = reasons.entry(reason.unwrap_or("no reason yet")).or_default();
                *count = count.saturating_add(1);
            }
            let mut reasons: Vec<(usize, &str)> = reasons.into_iter().map(|(reason, count)| (count, reason)).collect();
            reasons.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
            let several = group.len() > 1 && !reasons.is_empty();
            let reasons: Vec<String> = reasons.into_iter().map(|(count, reason)| format!("{count} {reason}")).collect();
            let reasons = if several { format!(" ({})", reasons.join(", ")) } else { String::new() };
            format!("{} {state:?}{reasons}", group.len())
        })
        .collect();
    let day = SignedDuration::from_hours(24);
    let soon = items
        .iter()
        .filter(|health| matches!(health.state, State::Ready | State::Pinned | State::Due))
        .filter(|health| health.next_rotation_time.as_ref().is_some_and(|next| next.0.duration_since(now) <= day))
        .count();
    let objects = count(items.len(), "object", "objects");
    let rotating = match soon {
        0 => String::new(),
        1 => "; 1 rotates within 24h".to_owned(),
        many => format!("; {many} rotate within 24h"),
    };
    format!("{objects}: {}{rotating}", counts.join(", "))
}

/// The column NEXT ROTATION.
pub(super) fn next(health: &Health, now: Timestamp) -> Cell {
    match (&health.next_rotation_time, health.overdue_seconds) {
        _ if health.suspended || health.rotation_suspended => "suspended".into(),
        (None, _) => "-".into(),
        (Some(at), None) => ages::until(at.0, now).into(),
        (Some(_), Some(seconds)) if health.state == State::Due => Cell(format!("due {}s", seconds.max(0)), Tone::Caution),
        (Some(_), Some(seconds)) => Cell(format!("overdue {}", ages::human(SignedDuration::from_secs(seconds))), Tone::Bad),
    }
}

#[cfg(test)]
mod tests;
