//! `status`: shows due, overdue and failing objects on one screen.

use jiff::{SignedDuration, Timestamp};
use kube::api::{Api, ListParams};
use serde::Serialize;

use super::args::StatusArgs;
use super::connect::Session;
use super::health::{Health, State, judge, sort};
use super::output::{self, Page};
use super::table::{Cell, Table, Tone};
use super::{Exit, Trouble, ages};
use crate::api::RotatedSecret;
use crate::kubernetes::stored::Stored;
use crate::kubernetes::watch::PAGE;

#[derive(Serialize)]
struct List<'a> {
    items: &'a [Health],
}

pub(super) async fn run(session: &Session, args: &StatusArgs) -> Result<Exit, Trouble> {
    let now = Timestamp::now();
    let colours = output::colours();
    if let Some(name) = &args.name {
        let object = session.object(name).await?;
        let health = judge(&object, now, &session.flags);
        output::emit(args.out.output, &health, || detail(&object, &health, now, colours))?;
        return Ok(Exit::fine_if(health.is_fine()));
    }
    let mut items: Vec<Health> = list(session, args.all_namespaces)
        .await?
        .iter()
        .map(|stored| match stored {
            Stored::Readable(object) => judge(object, now, &session.flags),
            Stored::Unreadable(unreadable) => Health::unreadable(unreadable),
        })
        .collect();
    sort(&mut items);
    output::emit(args.out.output, &List { items: &items }, || {
        let place = if args.all_namespaces { "this cluster" } else { session.namespace.as_str() };
        screen(&items, args.all_namespaces, place, now, colours)
    })?;
    Ok(Exit::fine_if(items.iter().all(Health::is_fine)))
}

/// All objects, read in pages because a cluster can hold thousands.
pub(super) async fn list(session: &Session, everywhere: bool) -> Result<Vec<Stored>, Trouble> {
    let api = if everywhere { Api::all(session.client.clone()) } else { session.objects() };
    let mut params = ListParams::default().limit(PAGE);
    let mut found = Vec::new();
    loop {
        let page = api.list(&params).await.map_err(|error| session.trouble("list", "", &error))?;
        found.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(found),
        }
    }
}

fn screen(items: &[Health], everywhere: bool, place: &str, now: Timestamp, colours: bool) -> Page {
    if items.is_empty() {
        return Page::of(&format!("No RotatedSecrets in {place}."));
    }
    let mut headers = vec!["NAME", "STATE", "REASON", "LAST ROTATED", "NEXT ROTATION", "AGE"];
    if everywhere {
        headers.insert(0, "NAMESPACE");
    }
    let mut table = Table::new(&headers);
    for health in items {
        let mut row: Vec<Cell> = Vec::new();
        if everywhere {
            row.push(health.namespace.as_str().into());
        }
        row.push(health.name.as_str().into());
        row.push(Cell(format!("{:?}", health.state), health.state.tone()));
        row.push(health.reason.as_deref().unwrap_or("-").into());
        row.push(health.last_rotation_time.as_ref().map_or_else(|| "-".to_owned(), |at| ages::since(at.0, now)).into());
        row.push(next(health, now));
        row.push(health.creation_time.as_ref().map_or_else(|| "-".to_owned(), |at| ages::since(at.0, now)).into());
        table.row(row);
    }
    let mut page = Page::default();
    page.table(&table, colours);
    let mut told = false;
    for health in items {
        if let (Some(message), true) = (&health.message, health.state != State::Due) {
            let name = if everywhere { format!("{}/{}", health.namespace, health.name) } else { health.name.clone() };
            if !std::mem::replace(&mut told, true) {
                page.gap();
            }
            page.line(&format!("{name}: {message}"));
        }
    }
    page.gap();
    page.line(&summary(items, now));
    page
}

/// `3 objects: 1 Stalled, 2 Ready; 1 rotates within 24h`.
fn summary(items: &[Health], now: Timestamp) -> String {
    let counts: Vec<String> = State::ALL
        .into_iter()
        .map(|state| (state, items.iter().filter(|health| health.state == state).count()))
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| format!("{count} {state:?}"))
        .collect();
    let day = SignedDuration::from_hours(24);
    let soon = items
        .iter()
        .filter(|health| matches!(health.state, State::Ready | State::Due))
        .filter(|health| health.next_rotation_time.as_ref().is_some_and(|next| next.0 <= now + day))
        .count();
    let objects = if items.len() == 1 { "1 object".to_owned() } else { format!("{} objects", items.len()) };
    let rotating = match soon {
        0 => String::new(),
        1 => "; 1 rotates within 24h".to_owned(),
        many => format!("; {many} rotate within 24h"),
    };
    format!("{objects}: {}{rotating}", counts.join(", "))
}

fn next(health: &Health, now: Timestamp) -> Cell {
    match (&health.next_rotation_time, health.overdue_seconds) {
        _ if health.suspended || health.rotation_suspended => "suspended".into(),
        (None, _) => "-".into(),
        (Some(at), None) => ages::until(at.0, now).into(),
        (Some(_), Some(seconds)) if health.state == State::Due => Cell(format!("due {}s", seconds.max(0)), Tone::Caution),
        (Some(_), Some(seconds)) => Cell(format!("overdue {}", ages::human(SignedDuration::from_secs(seconds))), Tone::Bad),
    }
}

fn detail(object: &RotatedSecret, health: &Health, now: Timestamp, colours: bool) -> Page {
    let mut table = Table::bare();
    let mut line = |label: &str, cell: Cell| table.row(vec![label.into(), cell]);
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    line("Name:", format!("{}/{}", health.namespace, health.name).into());
    line("State:", Cell(format!("{:?}", health.state), health.state.tone()));
    line("AWS secret:", or_none(&health.secret_arn).into());
    line("Version:", or_none(&health.current_version_id).into());
    let mirror = match (&health.mirror_secret_name, &health.mirror_version_id) {
        (Some(name), version) if *version == health.current_version_id => format!("Secret {name}, of this version"),
        (Some(name), version) => format!("Secret {name}, of version {}", or_none(version)),
        (None, _) => "-".to_owned(),
    };
    line("Mirror:", mirror.into());
    let rotated = health.last_rotation_time.as_ref();
    line("Last rotated:", rotated.map_or_else(|| "-".to_owned(), |at| format!("{} ({})", ages::until(at.0, now), at.0)).into());
    let Cell(words, tone) = next(health, now);
    let words = health.next_rotation_time.as_ref().map_or(words.clone(), |at| format!("{words} ({})", at.0));
    line("Next rotation:", Cell(words, tone));
    if health.missed_rotations > 0 {
        line("Missed:", format!("{} due times before the last rotation", health.missed_rotations).into());
    }
    if let Some(failures) = &health.failures {
        let again = failures.next_attempt_time.as_ref().map_or_else(String::new, |at| format!(", next attempt {}", ages::until(at.0, now)));
        line("Failures:", Cell(format!("{} in a row{again}", failures.count), Tone::Bad));
    }
    if !health.pending_requests.is_empty() {
        line("Requested:", Cell(health.pending_requests.join(", "), Tone::Caution));
    }
    let mut page = Page::default();
    page.table(&table, colours);
    if let Some(message) = &health.message {
        page.gap();
        page.painted(message, health.state.tone(), colours);
    }
    let conditions = object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    if !conditions.is_empty() {
        let mut table = Table::new(&["CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"]);
        for condition in conditions {
            let since = ages::since(condition.last_transition_time.0, now);
            // Ready, Stalled and the condition at fault have the same message, which is already shown above.
            let repeated = health.message.as_ref() == Some(&condition.message);
            let message = if repeated { "as above" } else { condition.message.as_str() };
            let cells = [condition.type_.as_str(), &condition.status, &condition.reason, &since, message];
            table.row(cells.into_iter().map(Cell::from).collect());
        }
        page.gap();
        page.table(&table, colours);
    }
    page
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugin::flags::Flags;

    fn now() -> Timestamp {
        "2026-06-01T12:00:00Z".parse().unwrap()
    }

    fn health(name: &str, conditions: &serde_json::Value, next: &str) -> (RotatedSecret, Health) {
        let object: RotatedSecret = serde_json::from_value(json!({
            "apiVersion": "rotated-secrets.io/v1alpha1",
            "kind": "RotatedSecret",
            "metadata": {"name": name, "namespace": "shop", "creationTimestamp": "2026-05-20T12:00:00Z"},
            "spec": {},
            "status": {
                "conditions": conditions,
                "aws": {"arn": "arn:x", "currentVersionId": "v2"},
                "mirror": {"secretName": name, "versionId": "v2"},
                "lastRotationTime": "2026-05-31T12:00:00Z",
                "nextRotationTime": next,
            },
        }))
        .unwrap();
        let health = judge(&object, now(), &Flags::default());
        (object, health)
    }

    fn condition(of: &str, status: &str, reason: &str) -> serde_json::Value {
        json!({"type": of, "status": status, "reason": reason, "message": format!("about {of}"), "lastTransitionTime": "2026-06-01T11:00:00Z"})
    }

    #[test]
    fn the_screen_shows_one_line_each_then_the_sentences_then_a_sum() {
        let mut items = vec![
            health("api", &json!([condition("Ready", "True", "Succeeded")]), "2026-06-02T00:00:00Z").1,
            health(
                "db",
                &json!([condition("Ready", "False", "AwsUnavailable"), condition("Rotated", "False", "Overdue")]),
                "2026-06-01T09:00:00Z",
            )
            .1,
        ];
        sort(&mut items);
        assert_eq!(
            screen(&items, true, "shop", now(), false).text(),
            "NAMESPACE   NAME   STATE     REASON           LAST ROTATED   NEXT ROTATION   AGE\n\
             shop        db     Overdue   AwsUnavailable   24h            overdue 3h      12d\n\
             shop        api    Ready     Succeeded        24h            in 12h          12d\n\
             \n\
             shop/db: about Rotated\n\
             \n\
             2 objects: 1 Overdue, 1 Ready; 1 rotates within 24h\n"
        );
        let narrow = screen(&items, false, "shop", now(), false);
        let narrow = narrow.text();
        assert!(narrow.starts_with("NAME   STATE") && narrow.contains("\ndb: about Rotated\n"), "{narrow}");
        assert_eq!(screen(&[], false, "shop", now(), false).text(), "No RotatedSecrets in shop.\n");
    }

    #[test]
    fn one_object_is_shown_with_its_conditions() {
        let conditions = json!([condition("Ready", "False", "NotOwned"), condition("Stalled", "True", "NotOwned")]);
        let (object, health) = health("db", &conditions, "2026-06-02T12:00:00Z");
        let page = detail(&object, &health, now(), false);
        let text = page.text();
        for line in [
            "Name:            shop/db",
            "State:           Stalled",
            "Version:         v2",
            "Mirror:          Secret db, of this version",
            "Last rotated:    24h ago (2026-05-31T12:00:00Z)",
            "Next rotation:   in 24h (2026-06-02T12:00:00Z)",
            "about Ready",
            "Ready       False    NotOwned   60m     as above",
            "Stalled     True     NotOwned   60m     about Stalled",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
