//! `status`: shows due, overdue and failing objects on one screen.

mod detail;
mod screen;

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use kube::runtime::watcher::{Config, Event, watcher};
use serde::Serialize;

use self::screen::Screen;
use super::args::StatusArgs;
use super::connect::Session;
use super::health::{Health, judge, sort};
use super::output::{self, Page};
use super::seen::Seen;
use super::{Exit, Trouble};
use crate::kubernetes::stored::Brief;

#[derive(Serialize)]
struct List<'a> {
    items: &'a [&'a Health],
}

pub(super) async fn run(session: &Session, args: &StatusArgs) -> Result<Exit, Trouble> {
    let (exit, shown) = show(session, args).await?;
    if args.watch { follow(session, args, shown).await } else { Ok(exit) }
}

/// Shows the objects as they are now, and returns what it has seen.
async fn show(session: &Session, args: &StatusArgs) -> Result<(Exit, Vec<Health>), Trouble> {
    if let [name] = args.names.as_slice() {
        let seen = session.seen(name).await?;
        let health = health(session, &seen);
        let exit = Exit::fine_if(health.is_fine());
        if !args.problems || exit == Exit::Wrong {
            let object = session.readable(seen)?;
            output::emit(&args.out, &health, || detail::page(&object, &health, session.now(), output::colours()))?;
        }
        return Ok((exit, vec![health]));
    }
    let mut missing = Exit::Fine;
    let seen = if args.names.is_empty() {
        session.list(args.all_namespaces, args.selector.as_deref()).await?
    } else {
        let mut found = Vec::new();
        for name in &args.names {
            match session.seen(name).await {
                Ok(seen) => found.push(seen),
                Err(trouble) if trouble.exit == Exit::Wrong => {
                    output::note(&format!("error: {trouble}"));
                    missing = Exit::Wrong;
                }
                Err(trouble) => return Err(trouble),
            }
        }
        found
    };
    let mut items: Vec<Health> = seen.iter().map(|seen| health(session, seen)).collect();
    sort(&mut items);
    let exit = Exit::fine_if(items.iter().all(Health::is_fine)).and(missing);
    if items.is_empty() && args.out.is_text() {
        return Ok((nothing(session, args).await?.and(missing), items));
    }
    let documents: Vec<&Health> = items.iter().filter(|health| !args.problems || !health.is_fine()).collect();
    output::emit(&args.out, &List { items: &documents }, || screen(session, args, items.len()).page(&items))?;
    Ok((exit, items))
}

/// Health of an object, also of one that this version does not fully know.
pub(super) fn health(session: &Session, seen: &Seen) -> Health {
    match seen {
        Seen::Readable { object, unknown } => Health { unknown_fields: unknown.clone(), ..judge(object, session.now(), &session.flags) },
        Seen::Unreadable(unreadable) => Health::unreadable(unreadable),
    }
}

fn screen(session: &Session, args: &StatusArgs, objects: usize) -> Screen {
    // What does not fit on the screen would push what needs action off it.
    let long = output::lines().is_some_and(|lines| objects.saturating_add(4) > lines);
    Screen {
        everywhere: args.all_namespaces,
        only_problems: args.problems || (long && !args.out.is_wide() && args.names.is_empty()),
        headers: !args.no_headers,
        wide: args.out.is_wide(),
        now: session.now(),
        colours: output::colours(),
    }
}

/// There is no object. A namespace that does not exist is a mistake.
async fn nothing(session: &Session, args: &StatusArgs) -> Result<Exit, Trouble> {
    let place = if args.all_namespaces { "this cluster" } else { session.namespace.as_str() };
    let labels = args.selector.as_ref().map_or_else(String::new, |selector| format!(" with the labels {selector}"));
    if !args.all_namespaces {
        let namespaces = Api::<Brief<Namespace>>::all(session.client.clone());
        if matches!(namespaces.get_opt(&session.namespace).await, Ok(None)) {
            let namespaces = session.flags.cluster("get namespaces");
            return Err(Trouble::wrong(format!("there is no namespace {place}: {namespaces} shows all")));
        }
    }
    output::note(&format!("No RotatedSecrets{labels} in {place}."));
    Ok(Exit::Fine)
}

/// Shows each change of what was shown before, until the user interrupts the command.
async fn follow(session: &Session, args: &StatusArgs, before: Vec<Health>) -> Result<Exit, Trouble> {
    let mut config = Config::default();
    config.label_selector.clone_from(&args.selector);
    let events = watcher(session.everywhere(args.all_namespaces), config);
    let mut events = std::pin::pin!(events);
    let key = |health: &Health| (health.namespace.clone(), health.name.clone());
    let mut shown: BTreeMap<(String, String), Health> = before.into_iter().map(|health| (key(&health), health)).collect();
    let screen = Screen { headers: false, only_problems: false, ..screen(session, args, 0) };
    loop {
        let event = tokio::select! {
            event = events.try_next() => event,
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Fine),
        };
        let seen = match event {
            Ok(Some(Event::Apply(seen) | Event::InitApply(seen))) => seen,
            Ok(Some(Event::Delete(seen))) => {
                let health = health(session, &seen);
                if wanted(args, &health) {
                    shown.remove(&key(&health));
                    output::note(&format!("{}/{} is deleted", health.namespace, health.name));
                }
                continue;
            }
            Ok(Some(Event::Init | Event::InitDone)) => continue,
            Ok(None) => return Ok(Exit::Fine),
            Err(error) => return Err(watching(session, args.all_namespaces, &error)),
        };
        let health = health(session, &seen);
        if !wanted(args, &health) {
            continue;
        }
        let before = shown.insert(key(&health), health.clone());
        if before.is_none_or(|before| !before.looks_like(&health)) {
            output::emit(&args.out, &health, || screen.row(&health))?;
        }
    }
}

fn wanted(args: &StatusArgs, health: &Health) -> bool {
    (args.names.is_empty() || args.names.contains(&health.name)) && (!args.problems || !health.is_fine())
}

fn watching(session: &Session, everywhere: bool, error: &kube::runtime::watcher::Error) -> Trouble {
    use kube::runtime::watcher::Error;
    match error {
        Error::InitialListFailed(error) | Error::WatchStartFailed(error) | Error::WatchFailed(error) => {
            session.trouble_of_all("watch", everywhere, error)
        }
        _ => Trouble::unreachable("the watch was interrupted: run the command again"),
    }
}

impl Screen {
    /// One object, as a line of the table.
    fn row(&self, health: &Health) -> Page {
        let mut page = Page::default();
        page.table(&self.table(std::slice::from_ref(health)), self.colours);
        if let Some(message) = &health.message {
            page.line(&format!("    {message}"));
        }
        page
    }
}
