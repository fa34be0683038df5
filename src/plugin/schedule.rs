//! `schedule`: the next due times of an object, of a manifest or of an expression, by the operator's own parser.

mod document;
mod page;
mod source;

use jiff::Timestamp;
use serde::Serialize;

use self::document::{Document, document};
use super::args::ScheduleArgs;
use super::connect::Session;
use super::output;
use super::{Exit, Trouble};

#[derive(Serialize)]
struct List {
    items: Vec<Document>,
}

/// Of an object of the cluster.
pub(super) async fn run(session: &Session, args: &ScheduleArgs, name: &str) -> Result<Exit, Trouble> {
    let source = source::object(session, name).await?;
    let document = document(&source, args, session.now())?;
    let page = page::page(std::slice::from_ref(&document), output::colours());
    output::emit(&args.out, &document, || page)?;
    Ok(Exit::Fine)
}

/// Of manifests or of an expression. Sends no request.
pub(super) fn offline(args: &ScheduleArgs) -> Result<Exit, Trouble> {
    let now = args.after.unwrap_or_else(Timestamp::now);
    let sources = match &args.expression {
        Some(expression) => vec![source::expression(expression, args.time_zone.as_deref())?],
        None => source::manifests(&args.files)?,
    };
    let items = sources.into_iter().map(|source| document(&source, args, now)).collect::<Result<Vec<_>, _>>()?;
    let page = page::page(&items, output::colours());
    match items.as_slice() {
        [document] => output::emit(&args.out, document, || page)?,
        _ => output::emit(&args.out, &List { items }, || page)?,
    }
    Ok(Exit::Fine)
}
