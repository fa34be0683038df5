//! Commands that act on several objects at once.

use std::cell::Cell;
use std::collections::BTreeSet;

use futures::StreamExt as _;
use kube::ResourceExt;
use serde::Serialize;

use super::answer::{Answer, Outcome};
use super::args::{OutputArgs, Selection, WaitArgs};
use super::connect::Session;
use super::output::{Page, emit, emit_all, note, write};
use super::{Exit, Trouble};

/// Requests that wait at the same time.
const AT_ONCE: usize = 16;

/// One object of a command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task<'a> {
    pub(super) name: &'a str,
    pub(super) args: &'a WaitArgs,
    /// Whether the command acts on other objects too.
    pub(super) several: bool,
}

/// The names of the objects that the command line selects, each once.
pub(super) async fn selected(session: &Session, selection: &Selection) -> Result<Vec<String>, Trouble> {
    if !selection.names.is_empty() {
        let mut seen = BTreeSet::new();
        return Ok(selection.names.iter().filter(|name| seen.insert(name.as_str())).cloned().collect());
    }
    let found = session.list(false, selection.selector.as_deref()).await?;
    let names: Vec<String> = found.iter().map(ResourceExt::name_any).collect();
    if names.is_empty() {
        let labels = selection.selector.as_ref().map_or_else(String::new, |selector| format!(" with the labels {selector}"));
        return Err(Trouble::wrong(format!("there is no RotatedSecret{labels} in namespace {}", session.namespace)));
    }
    Ok(names)
}

/// Acts on every selected object. The exit code is the worst one.
pub(super) async fn each(
    session: &Session,
    selection: &Selection,
    args: &WaitArgs,
    act: impl AsyncFn(Task<'_>) -> Result<Answer, Trouble>,
) -> Result<Exit, Trouble> {
    let names = selected(session, selection).await?;
    if let Some(name) = alone(selection, &names) {
        return act(Task { name, args, several: false }).await?.give(&args.out);
    }
    let (act, interrupted) = (&act, &Cell::new(false));
    let tasks = names.iter().map(|name| async move {
        // After Ctrl-C nothing else is requested.
        if interrupted.get() {
            return (name, Err(Trouble::wrong("interrupted before anything was requested")));
        }
        let ended = act(Task { name, args, several: true }).await;
        interrupted.set(interrupted.get() || ended.as_ref().is_ok_and(|answer| answer.outcome == Outcome::Interrupted));
        (name, ended)
    });
    let ended: Vec<(&String, Result<Answer, Trouble>)> = futures::stream::iter(tasks).buffered(AT_ONCE).collect().await;
    let mut exit = Exit::Fine;
    let mut answers = Vec::new();
    for (name, ended) in ended {
        match ended {
            Ok(answer) => {
                exit = exit.and(answer.outcome.exit());
                if let Err(trouble) = said(&answer, &args.out) {
                    note(&format!("error: {name}: {trouble}"));
                }
                answers.push(answer);
            }
            Err(trouble) => {
                exit = exit.and(trouble.exit);
                note(&format!("error: {name}: {trouble}"));
            }
        }
    }
    emit_all(&args.out, &answers)?;
    Ok(exit)
}

/// Text for a person; a program gets all answers as one document.
fn said(answer: &Answer, out: &OutputArgs) -> Result<(), Trouble> {
    if out.is_text() { answer.give(out).map(drop) } else { Ok(()) }
}

/// The object, if one is named: its answer is one document. A selector gives a list also if one object matches, as
/// `kubectl get -l` does.
fn alone<'a>(selection: &Selection, names: &'a [String]) -> Option<&'a String> {
    names.first().filter(|_| names.len() == 1 && !selection.names.is_empty())
}

/// Shows each selected object. One alone is one document, several are a list. The exit code is the worst one.
/// `apart`: pages of several lines, with an empty line in between. `show` gets the name and whether there are several.
pub(super) async fn each_shown<T: Serialize>(
    session: &Session,
    selection: &Selection,
    out: &OutputArgs,
    apart: bool,
    show: impl AsyncFn(&str, bool) -> Result<(Page, T, Exit), Trouble>,
) -> Result<Exit, Trouble> {
    let names = selected(session, selection).await?;
    if let Some(name) = alone(selection, &names) {
        let (page, document, exit) = show(name, false).await?;
        emit(out, &document, || page)?;
        return Ok(exit);
    }
    let mut exit = Exit::Fine;
    let mut documents = Vec::new();
    for name in &names {
        match show(name, true).await {
            Ok((page, document, ended)) => {
                exit = exit.and(ended);
                if out.is_text() {
                    let mut all = Page::default();
                    if apart && !documents.is_empty() {
                        all.gap();
                    }
                    all.append(&page);
                    write(&all)?;
                }
                documents.push(document);
            }
            Err(trouble) => {
                exit = exit.and(trouble.exit);
                note(&format!("error: {name}: {trouble}"));
            }
        }
    }
    emit_all(out, &documents)?;
    Ok(exit)
}
